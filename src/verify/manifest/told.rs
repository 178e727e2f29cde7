//! What a manifest forgets once it was told.

use super::file::{Entry, Found, Manifest};
use crate::error::{Error, Result};
use crate::state::held_lock;
use std::path::Path;

/// Forget the findings that were kept with the bands' hashes until somebody was told of
/// them: the new hash would hide them from the next run, and a run that is ended before
/// it prints anything has told nobody. Where another run is at work, they are told once
/// more.
///
/// # Errors
/// [`Error::Io`].
pub fn told(path: &Path) -> Result<()> {
    let _lock = match held_lock(path) {
        Ok(lock) => lock,
        Err(Error::Busy(_)) => return Ok(()),
        Err(e) => return Err(e),
    };
    let Found::Manifest(mut manifest) = Manifest::read(path)? else { return Ok(()) };
    manifest.header.restarted = None;
    for entry in manifest.entries.values_mut() {
        entry.flags &= !Entry::UNTOLD;
    }
    manifest.write(path)
}
