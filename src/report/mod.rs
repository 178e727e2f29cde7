//! What a check or a job tells its caller: findings, progress, interruption.
//!
//! It stands at the bottom of the house because every layer may have something
//! to report. Listeners implement the small traits; the library never prints.

mod code;
mod consequence;
pub mod dump;
mod escape;
mod finding;
mod fsck;
mod place;
mod progress;
mod remedy;
mod rules;
mod server;
pub mod words;

pub use code::{Code, CodeInfo, Quality, Subject};
pub use consequence::Consequence;
pub use escape::{misleads, present};
pub use finding::{Affected, Collector, Cost, Finding, Ignore, Reporter, Severity, Worst};
pub use fsck::{FsckError, Maps};
pub use place::{Scope, Structure, Where};
pub use progress::{NoProgress, Progress, Silently, Unit};
pub use remedy::{DENIED, KeptIn, STANDS_IN, UNTRIED};
pub use rules::Rule;
pub use server::ServerCode;
