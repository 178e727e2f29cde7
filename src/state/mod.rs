//! What tmbundle remembers between runs: where that is kept, whose it is, and who
//! may write it.
//!
//! Nothing of this lies in the source. A bundle's state is found by the bundle's own
//! identity, not by its path, so that a run on a snapshot of the server's file system
//! continues what a run on the share itself began. Copies have the identity in common:
//! the place (`Spot`) tells them apart.

mod atomic;
mod identity;
mod place;
mod record;
mod sizes;
mod spot;

pub use atomic::{folder as folder_of, write_atomically};
pub use identity::{Identity, Mark};
pub use place::{Environment, SERVICE, find_dir, refuse_inside};
pub use record::{Record, Session, held_lock, kept_manifest, unwritten};
pub use sizes::Size;
pub use spot::Spot;
