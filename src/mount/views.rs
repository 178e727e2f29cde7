//! Views of volumes as places of the mount: which there are, under which names, and
//! which of a backup's snapshots each holds.

use crate::error::{Error, Result};
use crate::fs::{FileSystem, NodeId, Time, View, ViewId};
use crate::timemachine::{Archive, OpenVolume, Snapshot, Top, stamp_of};
use std::collections::HashMap;
use std::sync::Arc;

/// A view of a volume. Views are told apart by what the format calls them, because
/// their places in the list change when a Mac deletes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Space {
    /// Which volume.
    pub volume: u8,
    /// [`View::number`] of the snapshot; 0 is the live view.
    pub number: u64,
}

impl Space {
    /// The live view of a volume.
    pub const fn live(volume: u8) -> Self {
        Self { volume, number: 0 }
    }
}

/// The views of all volumes.
pub struct AllViews(Vec<OfVolume>);

struct OfVolume {
    by_number: HashMap<u64, View>,
    /// Snapshots that are no backup of Time Machine's, under the names of their folders.
    others: Vec<(String, u64)>,
}

impl AllViews {
    /// List the views of an archive's volumes.
    pub fn new(archive: &Archive) -> Self {
        Self(archive.open.iter().map(OfVolume::new).collect())
    }

    fn of(&self, volume: u8) -> Option<&OfVolume> {
        self.0.get(usize::from(volume))
    }

    /// The file system of a space.
    pub fn open(&self, open: &OpenVolume, space: Space) -> Result<Arc<dyn FileSystem>> {
        if space.number == 0 {
            return Ok(open.live.clone());
        }
        let view = self.of(space.volume).and_then(|v| v.by_number.get(&space.number));
        let gone = || Error::NotFound("the snapshot is no longer there".into());
        open.view(view.ok_or_else(gone)?.id)
    }

    /// The view of a space.
    pub fn id(&self, space: Space) -> ViewId {
        let view = self.of(space.volume).and_then(|v| v.by_number.get(&space.number));
        view.map_or(ViewId::LIVE, |v| v.id)
    }

    /// When a space was made.
    pub fn made(&self, space: Space) -> Option<Time> {
        self.of(space.volume)?.by_number.get(&space.number)?.made
    }

    /// The space that a snapshot of a backup lies in.
    pub fn space_of(&self, volume: u8, snapshot: &Snapshot) -> Option<Space> {
        if snapshot.view == ViewId::LIVE {
            return Some(Space::live(volume));
        }
        let views = self.of(volume)?.by_number.values();
        let view = views.into_iter().find(|v| v.id == snapshot.view)?;
        Some(Space { volume, number: view.number })
    }

    /// Snapshots of a volume that are no backups: name of the folder, and space.
    pub fn others(&self, volume: u8) -> impl Iterator<Item = (&str, Space)> {
        let all = self.of(volume).map(|v| v.others.as_slice()).unwrap_or_default();
        all.iter().map(move |(name, number)| (name.as_str(), Space { volume, number: *number }))
    }
}

impl OfVolume {
    fn new(open: &OpenVolume) -> Self {
        let views = open.volume.views().unwrap_or_default();
        let is_other = |name: &str| open.backup.is_none() || stamp_of(name).is_none();
        let mut others: Vec<(String, u64)> = Vec::new();
        for view in &views {
            let Some(name) = view.name.as_deref().filter(|n| is_other(n)) else { continue };
            others.push((folder_name(name, view.number), view.number));
        }
        let by_number = views.into_iter().filter(|v| v.id != ViewId::LIVE).map(|v| (v.number, v));
        Self { by_number: by_number.collect(), others }
    }
}

/// A snapshot's name as that of a folder.
fn folder_name(name: &str, number: u64) -> String {
    match name {
        "" | "." | ".." => format!("snapshot {number}"),
        name => name.replace('/', ":").replace('\0', "\u{2400}"),
    }
}

/// The folder of a snapshot in its view.
pub fn top(fs: &dyn FileSystem, snapshot: &Snapshot) -> Result<NodeId> {
    match &snapshot.top {
        Top::Folder(id) => Ok(*id),
        Top::Named(name) => {
            let text =
                || Error::NotFound(format!("snapshot {} holds no folder {name}", snapshot.name));
            Ok(fs.lookup(fs.root(), name)?.ok_or_else(text)?.id)
        }
    }
}
