//! `Backups.backupdb`: Time Machine on HFS+.

use super::{Backup, Computer, Snapshot, State, Top, VolumeStore, is_stamp};
use crate::error::{Error, Result};
use crate::fs::{Cursor, DirEntry, FileSystem, Kind, Metadata, NodeId, ViewId};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// Reasons why attributes cannot be read that are kept.
const MAX_REASONS: usize = 10;
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
    let reader = Reader { fs, unread: RefCell::default(), attributes: RefCell::default() };
    for (name, meta) in reader.folders(store.id, &mut backup.problems) {
        if !name.starts_with('.') {
            let computer = reader.computer(name, &meta, &mut backup.problems);
            backup.computers.push(computer);
        }
    }
    backup.unread = reader.unread.take();
    backup.problems.append(&mut reader.attributes.take());
    // A folder without snapshots and without a Mac's identity is not a computer.
    backup
        .computers
        .retain(|c| !c.snapshots.is_empty() || c.host_uuid.is_some() || c.mac_address.is_some());
    Ok(Some(backup))
}

struct Reader<'a> {
    fs: &'a dyn FileSystem,
    /// The first error of reading.
    unread: RefCell<Option<String>>,
    /// Why attributes could not be read.
    attributes: RefCell<Vec<String>>,
}

impl Reader<'_> {
    /// Keep in mind that attributes could not be read, once for each reason.
    fn without(&self, error: &Error) {
        self.note(error);
        let text = format!("Time Machine's attributes cannot be read: {error}");
        let mut said = self.attributes.borrow_mut();
        if said.len() < MAX_REASONS && !said.contains(&text) {
            said.push(text);
        }
    }

    /// Keep in mind that the system could not read something that may be whole.
    fn note(&self, error: &Error) {
        if matches!(error, Error::Io { .. }) {
            self.unread.borrow_mut().get_or_insert_with(|| error.to_string());
        }
    }

    fn entries(&self, dir: NodeId, problems: &mut Vec<String>) -> Vec<DirEntry> {
        let mut entries = Vec::new();
        let read = self.fs.read_dir(dir, Cursor::default(), &mut |e| {
            entries.push(e);
            ControlFlow::Continue(())
        });
        if let Err(e) = read {
            self.note(&e);
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
        let value = self.fs.xattr(node, name).inspect_err(|e| self.without(e)).ok()??;
        let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
        let text = String::from_utf8_lossy(value.get(..end)?).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn number(&self, node: NodeId, name: &str) -> Option<i64> {
        self.text(node, name)?.parse().ok()
    }
}
