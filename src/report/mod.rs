//! What a check or a job tells its caller: findings, progress, interruption.
//!
//! It stands at the bottom of the house because every layer may have something
//! to report. Listeners implement the small traits; the library never prints.

mod code;
mod finding;
mod progress;
pub mod words;

pub use code::{Code, CodeInfo};
pub use finding::{Collector, Cost, Finding, Ignore, Reporter, Severity, Where};
pub use progress::{NoProgress, Progress, Unit};
