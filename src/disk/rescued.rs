//! Copies of failing disks that ddrescue made.

use super::{Disk, RAW};
use crate::error::{Error, Result};
use crate::io::{Rescued, Source};
use std::sync::Arc;

/// What is said of a map of ddrescue with a source that it cannot be of.
pub const BAD_MAP: &str = "--bad-map is for a raw copy of a Mac's disk or partition. A bundle \
    lies on the disk of a server: there, mount ddrescue's copy of that disk so that its bad \
    places are read errors (ddrescue's map can be made a table for dmsetup, with an error target \
    for each), and give the bundle in it without --bad-map";

impl Disk {
    /// A file without what ddrescue could not read of it.
    pub(super) fn rescued(&self, file: Source) -> Source {
        match &self.bad_map {
            Some(map) => {
                let (name, meter) = (self.path.display().to_string(), self.meter.clone());
                Arc::new(Rescued::new(file, map.clone(), name, meter))
            }
            None => file,
        }
    }

    /// Whether it was copied with ddrescue, whose map is known.
    pub fn is_rescued(&self) -> bool {
        self.bad_map.is_some()
    }

    /// An error for a map of ddrescue with what it cannot be of.
    pub(super) fn check_bad_map(&self) -> Result<()> {
        if !self.is_rescued() || !self.is_container() {
            return Ok(());
        }
        let (path, kind) = (self.path.display(), self.kind);
        let kind = if kind == RAW { "encrypted image" } else { kind };
        Err(Error::Invalid(format!("{path} ({kind}): {BAD_MAP}")))
    }
}
