//! A disk with everything on it opened: partitions, volumes, backups.

use super::{Backup, backupdb};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::hfsplus::HfsPlus;
use crate::partition::{self, PartitionMap};
use crate::report::Ignore;
use crate::volume::{self, Volume};
use std::sync::Arc;

/// A volume that could be opened.
pub struct OpenVolume {
    /// Where it lies and what it is.
    pub volume: Volume,
    /// Its file system.
    pub hfs: Arc<HfsPlus>,
    /// What Time Machine keeps on it.
    pub backup: Option<Backup>,
}

impl OpenVolume {
    /// Its name.
    pub fn name(&self) -> &str {
        self.hfs.name()
    }

    /// Its file system.
    pub fn fs(&self) -> &dyn FileSystem {
        &*self.hfs
    }
}

/// A disk with its volumes.
pub struct Archive {
    /// Name of the source, for messages.
    pub name: String,
    /// The partition map.
    pub map: PartitionMap,
    /// Every volume that was recognised.
    pub volumes: Vec<Volume>,
    /// Those that could be opened.
    pub open: Vec<OpenVolume>,
    /// Those that could not: what, and why.
    pub failed: Vec<(Volume, Error)>,
}

impl Archive {
    /// Open everything on a disk.
    ///
    /// # Errors
    /// When the disk's bytes cannot be had. A volume that cannot be opened is kept
    /// in [`Archive::failed`].
    pub fn open(disk: &Disk) -> Result<Self> {
        Self::open_with(disk, |v| v.open())
    }

    /// The same with the private folders of HFS+ shown.
    pub fn open_with_private(disk: &Disk) -> Result<Self> {
        Self::open_with(disk, Volume::open_with_private)
    }

    fn open_with(disk: &Disk, opener: impl Fn(&Volume) -> Result<Arc<HfsPlus>>) -> Result<Self> {
        let bytes = disk.bytes()?;
        let map = partition::scan(&*bytes, &Ignore)?;
        let volumes = volume::volumes(&bytes, &map)?;
        let (mut open, mut failed) = (Vec::new(), Vec::new());
        for volume in &volumes {
            match opener(volume) {
                Ok(hfs) => {
                    let backup = backupdb::read(&*hfs).ok().flatten();
                    open.push(OpenVolume { volume: volume.clone(), hfs, backup });
                }
                Err(e) => failed.push((volume.clone(), e)),
            }
        }
        Ok(Self { name: disk.name(), map, volumes, open, failed })
    }

    /// The volume that holds backups, if any.
    pub fn backup(&self) -> Option<(&OpenVolume, &Backup)> {
        self.open
            .iter()
            .filter_map(|v| Some((v, v.backup.as_ref()?)))
            .max_by_key(|(_, b)| b.snapshots().count())
    }

    /// An error unless at least one volume could be opened: the reason of the one
    /// that matters most.
    pub fn require_volume(&self) -> Result<()> {
        if !self.open.is_empty() {
            return Ok(());
        }
        let text =
            |v: &Volume, e: &Error| format!("{}: partition {}: {e}", self.name, v.partition.number);
        // A helper partition (EFI) is never the reason.
        let worst = self
            .failed
            .iter()
            .filter(|(v, _)| v.partition.purpose != partition::Purpose::Efi)
            .max_by_key(|(_, e)| matches!(e, Error::Corrupt(_)))
            .or(self.failed.first());
        Err(match worst {
            Some((v, e @ Error::Corrupt(_))) => Error::corrupt(text(v, e), "cannot be opened"),
            Some((_, e)) => Error::Unsupported(format!("{}: {e}", self.name)),
            None => Error::Unsupported(format!("{}: no volume on the disk", self.name)),
        })
    }
}
