//! Progress of long work, and the wish to stop it.

use crate::error::{Error, Result};

/// What a phase counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: nodes, files, records.
    Items,
    /// Bytes.
    Bytes,
}

/// Listens to progress and carries the wish to stop. Called from several threads.
pub trait Progress: Sync {
    /// A new phase begins; `total` in `unit`s, 0 if not known.
    fn phase(&self, name: &str, total: u64, unit: Unit) {
        let _ = (name, total, unit);
    }
    /// `n` more units are done.
    fn advance(&self, n: u64) {
        let _ = n;
    }
    /// `n` more of what the phase does not count: bytes in a phase of items, items in a
    /// phase of bytes.
    fn beside(&self, n: u64) {
        let _ = n;
    }
    /// What is being done now: a path. Called for every object.
    fn at(&self, name: &str) {
        let _ = name;
    }
    /// State is being saved from now on (`true`), or no longer: do not end the program
    /// by force in between.
    fn saving(&self, now: bool) {
        let _ = now;
    }
    /// Whether the user asked to stop.
    fn interrupted(&self) -> bool {
        false
    }
    /// [`Error::Interrupted`] if the user asked to stop.
    fn check(&self) -> Result<()> {
        if self.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Shows nothing, never stops.
pub struct NoProgress;

impl Progress for NoProgress {}

/// Shows nothing, stops when the other one is told to.
pub struct Silently<'a>(pub &'a dyn Progress);

impl Progress for Silently<'_> {
    fn saving(&self, now: bool) {
        self.0.saving(now);
    }
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
