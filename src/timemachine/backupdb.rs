//! `Backups.backupdb`: Time Machine on HFS+.

use super::{Backup, Computer, Snapshot, State, Top, VolumeStore, is_stamp};
use crate::error::Result;
use crate::fs::{Cursor, DirEntry, FileSystem, Kind, Metadata, NodeId, ViewId};
use std::ops::ControlFlow;

/// Name of the folder in the volume's root.
pub const BACKUPDB: &str = "Backups.backupdb";

/// Read what Time Machine keeps on a volume; `None` if it keeps nothing there.
///
/// # Errors
/// Only when the root cannot be read; what else fails is told in
/// [`Backup::problems`].
pub fn read(fs: &dyn FileSystem) -> Result<Option<Backup>> {
    let Some(store) = fs.lookup(fs.root(), BACKUPDB)? else { return Ok(None) };
    if store.kind != Kind::Directory {
        return Ok(None);
    }
    let mut backup = Backup::default();
    let reader = Reader { fs };
    for (name, meta) in reader.folders(store.id, &mut backup.problems) {
        if !name.starts_with('.') {
            let computer = reader.computer(name, &meta, &mut backup.problems);
            backup.computers.push(computer);
        }
    }
    // A folder without snapshots and without a Mac's identity is not a computer.
    backup
        .computers
        .retain(|c| !c.snapshots.is_empty() || c.host_uuid.is_some() || c.mac_address.is_some());
    Ok(Some(backup))
}

struct Reader<'a> {
    fs: &'a dyn FileSystem,
}

impl Reader<'_> {
    fn entries(&self, dir: NodeId, problems: &mut Vec<String>) -> Vec<DirEntry> {
        let mut entries = Vec::new();
        let read = self.fs.read_dir(dir, Cursor::default(), &mut |e| {
            entries.push(e);
            ControlFlow::Continue(())
        });
        if let Err(e) = read {
            problems.push(e.to_string());
        }
        entries
    }

    /// The folders in a folder; names that lead nowhere are told as problems.
    fn folders(&self, dir: NodeId, problems: &mut Vec<String>) -> Vec<(String, Metadata)> {
        let mut folders = Vec::new();
        for entry in self.entries(dir, problems) {
            match entry.node {
                Ok(meta) if meta.kind == Kind::Directory => folders.push((entry.name, meta)),
                Ok(_) => {}
                Err(d) => problems.push(format!("{}: {}", entry.name, d.reason)),
            }
        }
        folders
    }

    fn computer(&self, name: String, meta: &Metadata, problems: &mut Vec<String>) -> Computer {
        let mut snapshots = Vec::new();
        let mut latest_link = None;
        for entry in self.entries(meta.id, problems) {
            match &entry.node {
                Ok(m) if m.kind == Kind::Directory => {
                    snapshots.extend(self.snapshot(entry.name.clone(), m, problems));
                }
                Ok(m) if m.kind == Kind::Symlink && entry.name == "Latest" => {
                    let target = self.fs.read_link(m.id).ok();
                    latest_link = target.map(|t| String::from_utf8_lossy(&t).into_owned());
                }
                Ok(_) => {}
                Err(d) => problems.push(format!("{}/{}: {}", name, entry.name, d.reason)),
            }
        }
        snapshots.sort_by(|a, b| a.age_key().cmp(&b.age_key()));
        let text = |x: &str| self.text(meta.id, &format!("com.apple.backupd.{x}"));
        Computer {
            node: meta.id,
            host_uuid: text("HostUUID"),
            model: text("ModelID"),
            mac_address: text("BackupMachineAddress"),
            name,
            latest_link,
            snapshots,
        }
    }

    fn snapshot(
        &self,
        name: String,
        meta: &Metadata,
        problems: &mut Vec<String>,
    ) -> Option<Snapshot> {
        let in_progress = name.ends_with(".inProgress") || name.ends_with(".interrupted");
        if !is_stamp(&name) && !in_progress {
            return None;
        }
        let number = |x: &str| self.number(meta.id, x);
        let started = number("com.apple.backupd.SnapshotStartDate");
        let completed = number("com.apple.backupd.SnapshotCompletionDate");
        let raw_state = number("com.apple.backupd.SnapshotState");
        let count = number("com.apple.backup.SnapshotNumber");
        let state = if in_progress {
            State::InProgress
        } else if completed.is_some() {
            State::Complete
        } else if started.or(raw_state).or(count).is_some() {
            State::Unfinished
        } else {
            State::Unmarked
        };
        let bytes = number("com.apple.backupd.SnapshotTotalBytesCopied");
        Some(Snapshot {
            view: ViewId::LIVE,
            top: Top::Folder(meta.id),
            state,
            raw_state,
            number: count,
            started,
            completed,
            bytes_copied: bytes.and_then(|n| u64::try_from(n).ok()),
            volumes: self.volume_stores(meta.id, problems),
            name,
        })
    }

    fn volume_stores(&self, snapshot: NodeId, problems: &mut Vec<String>) -> Vec<VolumeStore> {
        self.folders(snapshot, problems)
            .into_iter()
            .filter(|(name, _)| !name.starts_with('.'))
            .map(|(name, meta)| VolumeStore {
                uuid: self.text(meta.id, "com.apple.backupd.SnapshotVolumeUUID"),
                bytes_used: self
                    .number(meta.id, "com.apple.backupd.VolumeBytesUsed")
                    .and_then(|n| u64::try_from(n).ok()),
                name,
            })
            .collect()
    }

    /// An attribute's text without the NUL that usually ends it.
    fn text(&self, node: NodeId, name: &str) -> Option<String> {
        let value = self.fs.xattr(node, name).ok()??;
        let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
        let text = String::from_utf8_lossy(value.get(..end)?).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn number(&self, node: NodeId, name: &str) -> Option<i64> {
        self.text(node, name)?.parse().ok()
    }
}
