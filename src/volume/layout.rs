//! A source that was opened, with what lies on its disk: read once in a run, and passed
//! on to whoever asks.

use super::{Attempt, Found, OpenOptions, open, volumes};
use crate::crypt::Asker;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::partition::PartitionMap;
use crate::report::{Collector, Finding};
use std::sync::OnceLock;

/// An open source. What lies on it is looked at when it is first asked for, and then
/// remembered, the errors too.
pub struct Layout {
    disk: Disk,
    scan: OnceLock<std::result::Result<Scan, Error>>,
}

/// What lies on a disk.
pub struct Scan {
    /// The bytes of the disk.
    pub bytes: Source,
    /// The partition map.
    pub map: PartitionMap,
    /// Every partition that may hold a volume, with what it holds.
    pub found: Vec<Found>,
    /// What is wrong with the partition map.
    pub findings: Vec<Finding>,
}

impl From<Disk> for Layout {
    fn from(disk: Disk) -> Self {
        Self { disk, scan: OnceLock::new() }
    }
}

impl Layout {
    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Ask for the disk's password, if it is locked for want of one; and have `asker`
    /// give those of volumes from now on.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], and what asking comes to.
    pub fn unlock(&mut self, asker: Asker) -> Result<()> {
        self.disk.unlock(asker)?;
        if matches!(self.scan.get(), Some(Err(_))) {
            self.scan = OnceLock::new();
        }
        Ok(())
    }

    /// What lies on the disk.
    ///
    /// # Errors
    /// When its bytes cannot be had, or its map not be read.
    pub fn scan(&self) -> Result<&Scan> {
        self.scan.get_or_init(|| Scan::of(&self.disk)).as_ref().map_err(Error::again)
    }

    /// Open the volumes of a partition; who gave the disk's password gives theirs.
    pub fn open(&self, found: &Found, options: &OpenOptions) -> Vec<Attempt> {
        let asker = options.asker.clone().or_else(|| self.disk.asker().cloned());
        open(found, &OpenOptions { asker, ..options.clone() })
    }
}

impl Scan {
    fn of(disk: &Disk) -> Result<Self> {
        let bytes = disk.bytes()?;
        let collector = Collector::default();
        let map = disk.partitions(&collector)?;
        let found = volumes(&bytes, &map)?;
        Ok(Self { bytes, map, found, findings: collector.into_findings().0 })
    }
}
