//! Time Machine's store on APFS: a working copy, a snapshot for each completed backup, a manifest.

use std::collections::BTreeMap;

use super::*;
use crate::bundle::{History, PlistValue, plist_xml};
use crate::decmpfs;
use crate::hfs::{self, HFS_EPOCH};
use crate::timemachine::{Dir, FileItem, Item, Machine, iso, stamp};

/// How a directory on its way to a backup is filled with what did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// The working copy of the last backup is renamed.
    Rename,
    /// A new directory is filled with clones, then the old one is deleted.
    Clone,
}

/// How a backup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Completed at this time (Unix seconds).
    Completed(i64),
    /// Cancelled: an `.interrupted` directory stays.
    Interrupted,
    /// The Mac went away: an `.inprogress` directory stays.
    Running,
    /// Copied, but no snapshot was made: a `.backup` directory stays.
    Unregistered(i64),
}

/// One backup: what was there, and how it went.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Start, Unix seconds.
    pub start: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// The source volume's content.
    pub source: Dir,
}

/// A completed backup.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its stamp.
    pub stamp: String,
    /// Completion, Unix seconds.
    pub completed: i64,
    /// Bytes copied anew.
    pub copied: u64,
}

const STRUCTURE: &str = "com.apple.timemachine.private.structure.metadata";
const STATE: &str = "com.apple.backupd.SnapshotState";
const COMPLETED: &str = "com.apple.timemachine.private.directorycompletiondate";
const MANIFEST: &str = "backup_manifest.plist";
const SECOND: i64 = 1_000_000_000;

/// The name of the snapshot of a backup.
pub fn snapshot_name(stamp: &str) -> String {
    format!("com.apple.TimeMachine.{stamp}.backup")
}

/// Options of the volume of a store.
pub fn volume_options(machine: &Machine, created: i64) -> VolumeOptions {
    VolumeOptions {
        name: format!("Backups of {}", machine.name),
        role: ROLE_BACKUP,
        created: created * SECOND,
        ..VolumeOptions::default()
    }
}

/// A slash in an HFS+ name is a colon to everybody else.
fn stored(name: &str) -> String {
    name.replace('/', ":")
}

struct Store<'a> {
    container: &'a mut Container,
    volume: usize,
    machine: &'a Machine,
    carry: Carry,
    /// The working copy's name and what it holds.
    previous: Option<(String, Dir)>,
    entries: Vec<PlistValue>,
    written: Vec<Written>,
    copied: (u64, u64),
    carried: (u64, u64),
}

/// Makes all backups on a volume, oldest first.
pub fn write(
    container: &mut Container,
    volume: usize,
    machine: &Machine,
    carry: Carry,
    backups: &[Backup],
) -> Vec<Written> {
    let mut store = Store {
        container,
        volume,
        machine,
        carry,
        previous: None,
        entries: Vec::new(),
        written: Vec::new(),
        copied: (0, 0),
        carried: (0, 0),
    };
    store.begin(backups.first().map_or(0, |b| b.start));
    for (number, backup) in backups.iter().enumerate() {
        store.backup(number as u64, backup);
    }
    store.written
}

/// The bundle's `SnapshotHistory.plist` for these backups.
pub fn history(written: &[Written]) -> History {
    let entry = |w: &Written| (iso(w.completed), format!("{}.backup", w.stamp), Some(w.copied));
    History { backups: written.iter().map(entry).collect() }
}

fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), b"\0"].concat()
}

fn system(date: i64, mode: u16) -> Meta {
    Meta::with_mode(mode).owned(0, 0).dated(date * SECOND)
}

/// HFS+ metadata (dates in seconds since 1904) as APFS keeps it.
fn meta(of: &hfs::Meta) -> Meta {
    let ns = |date: u32| (i64::from(date) - HFS_EPOCH) * SECOND;
    Meta {
        mode: of.mode,
        uid: of.uid,
        gid: of.gid,
        created: ns(of.created),
        // Real files have fractions of seconds; any that can be told from the date will do.
        modified: ns(of.modified) + i64::from(of.modified % 997) * 1_000_003,
        changed: ns(of.changed),
        accessed: ns(of.accessed),
        bsd_flags: of.bsd_flags,
    }
}

impl Store<'_> {
    fn vol(&mut self) -> Vol<'_> {
        self.container.volume(self.volume)
    }

    fn begin(&mut self, date: i64) {
        let uuid = text(&self.machine.host_uuid);
        let mut vol = self.vol();
        vol.set_time(date * SECOND);
        vol.set_xattr(ROOT, STRUCTURE, text("APFSBackup,1"));
        vol.set_xattr(ROOT, "com.apple.backupd.HostUUID", uuid);
        vol.file(ROOT, ".com.apple.timemachine.supported-2E7AC4F1", "", system(date, 0o644));
        let events = vol.mkdir(ROOT, ".fseventsd", system(date, 0o700));
        vol.file(
            events,
            "fseventsd-uuid",
            "6D0C7C1F-93B2-4E55-8F4E-1BDA38A1F0C4\n",
            system(date, 0o600),
        );
        vol.mkdir(ROOT, ".Spotlight-V100", system(date, 0o700));
    }

    fn stamp(&self, unix: i64) -> String {
        stamp(unix + self.machine.utc_offset)
    }

    fn backup(&mut self, number: u64, backup: &Backup) {
        (self.copied, self.carried) = ((0, 0), (0, 0));
        self.vol().set_time(backup.start * SECOND);
        let working = format!("{}.inprogress", self.stamp(backup.start));
        let whole = matches!(backup.outcome, Outcome::Completed(_));
        // What does not become a backup must leave the working copy of the last one alone.
        let carry = if whole { self.carry } else { Carry::Clone };
        let dir = self.working_copy(&working, carry, whole, backup);
        let store = self.store_dir(dir, backup.start);
        let old = self.previous.as_ref().map(|p| p.1.clone());
        self.fill(store, &backup.source, old.as_ref());
        if let Outcome::Running | Outcome::Interrupted = backup.outcome {
            let meta = system(backup.start, 0o600);
            self.vol().file(dir, ".Backup.partial", "not all was copied\n", meta);
        }
        self.container.commit();
        match backup.outcome {
            Outcome::Completed(at) => self.complete(number, backup, &working, at),
            Outcome::Running => {}
            Outcome::Interrupted => {
                let name = format!("{}.interrupted", self.stamp(backup.start));
                self.vol().rename(ROOT, &working, ROOT, &name);
            }
            Outcome::Unregistered(at) => {
                let name = format!("{}.backup", self.stamp(at));
                self.vol().rename(ROOT, &working, ROOT, &name);
            }
        }
        self.container.commit();
    }

    /// The directory of a running backup, filled with what the last one had.
    fn working_copy(&mut self, name: &str, carry: Carry, whole: bool, backup: &Backup) -> Ino {
        let date = backup.start;
        let previous = self.previous.as_ref().map(|p| p.0.clone());
        let mut vol = self.vol();
        match (previous, carry) {
            (Some(old), Carry::Rename) => {
                vol.rename(ROOT, &old, ROOT, name);
                let dir = vol.lookup(name).expect("the working copy");
                vol.set_xattr(dir, STATE, text("16"));
                dir
            }
            (Some(old), Carry::Clone) => {
                let from = vol.lookup(&old).expect("the working copy");
                let dir = vol.mkdir(ROOT, name, system(date, 0o755));
                clone_tree(&mut vol, from, dir);
                if whole {
                    vol.remove_tree(ROOT, &old);
                }
                dir
            }
            (None, _) => vol.mkdir(ROOT, name, system(date, 0o755)),
        }
    }

    /// The directory of the source volume.
    fn store_dir(&mut self, dir: Ino, date: i64) -> Ino {
        let (name, uuid) = (self.machine.volume.clone(), self.machine.volume_uuid.clone());
        let mut vol = self.vol();
        let there = vol.children(dir).into_iter().find(|c| c.0 == name);
        match there {
            Some((_, id)) => id,
            None => {
                let id = vol.mkdir(dir, &name, system(date, 0o755));
                vol.set_xattr(id, "com.apple.backupd.SnapshotVolumeUUID", text(&uuid));
                id
            }
        }
    }

    /// Makes a directory hold what the source holds, touching only what differs from `old`.
    fn fill(&mut self, dir: Ino, source: &Dir, old: Option<&Dir>) {
        let none = BTreeMap::new();
        let before = old.map_or(&none, |o| &o.items);
        for name in before.keys().filter(|n| !source.items.contains_key(*n)) {
            self.vol().remove_tree(dir, &stored(name));
        }
        if old.is_none_or(|o| o.meta != source.meta) {
            let wanted = Meta { mode: source.meta.mode | 0o040_000, ..meta(&source.meta) };
            self.vol().set_meta(dir, |m| *m = wanted);
        }
        for (name, value) in &source.xattrs {
            self.vol().set_xattr(dir, name, value.as_slice());
        }
        for (name, item) in &source.items {
            self.item(dir, &stored(name), item, before.get(name));
        }
        self.vol().set_xattr(dir, COMPLETED, text("1"));
    }

    fn item(&mut self, dir: Ino, name: &str, item: &Item, old: Option<&Item>) {
        if let (Item::Dir(new), Some(Item::Dir(old))) = (item, old) {
            if new == old {
                self.carried.0 += 1;
                self.carried.1 += new.bytes();
                return;
            }
            let id = self.vol().volume.inodes[&dir].children[name];
            return self.fill(id, new, Some(old));
        }
        if old == Some(item) {
            self.carried.0 += 1;
            self.carried.1 += if let Item::File(f) = item { f.content.len() } else { 0 };
            return;
        }
        if old.is_some() {
            self.vol().remove_tree(dir, name);
        }
        self.copied.0 += 1;
        match item {
            Item::Dir(new) => {
                let id = self.vol().mkdir(dir, name, meta(&new.meta));
                self.fill(id, new, None);
            }
            Item::File(file) => {
                self.copied.1 += file.content.len();
                copy_file(&mut self.vol(), dir, name, file);
            }
            Item::Symlink(target, of) => {
                self.vol().symlink(dir, name, target, meta(of));
            }
        }
    }

    fn complete(&mut self, number: u64, backup: &Backup, working: &str, at: i64) {
        let stamp = self.stamp(at);
        let done = format!("{stamp}.backup");
        let mut vol = self.vol();
        vol.set_time(at * SECOND);
        vol.rename(ROOT, working, ROOT, &done);
        let dir = vol.lookup(&done).expect("the backup");
        vol.set_xattr(dir, STATE, text("1"));
        let volume = self.volume;
        self.container.snapshot(volume, &snapshot_name(&stamp), at * SECOND + 250_000_000);
        self.enter(number, backup, at);
        let previous = format!("{stamp}.previous");
        self.vol().rename(ROOT, &done, ROOT, &previous);
        self.previous = Some((previous, backup.source.clone()));
        let copied = self.copied.1;
        self.written.push(Written { stamp, completed: at, copied });
    }

    /// Enters the backup in the manifest, which the snapshot itself does not have yet.
    fn enter(&mut self, number: u64, backup: &Backup, at: i64) {
        let n = PlistValue::Integer;
        let info = PlistValue::dict([
            ("name", PlistValue::text(&self.machine.volume)),
            ("role", PlistValue::text("Data")),
        ]);
        let stores = PlistValue::Dict(vec![(self.machine.volume_uuid.clone(), info)]);
        let changed = PlistValue::dict([
            ("count", n(self.copied.0)),
            ("logicalSize", n(self.copied.1)),
            ("physicalSize", n(self.copied.1.next_multiple_of(4096))),
        ]);
        let propagated =
            PlistValue::dict([("count", n(self.carried.0)), ("logicalSize", n(self.carried.1))]);
        self.entries.push(PlistValue::Date(iso(at)));
        self.entries.push(PlistValue::dict([
            ("startDate", PlistValue::Date(iso(backup.start))),
            ("stats", PlistValue::dict([("changed", changed), ("propagated", propagated)])),
            ("volumeStoreInfo", stores),
            ("xid", n(810_000 + 131 * number)),
        ]));
        let xml = plist_xml(&PlistValue::Array(self.entries.clone()));
        let mut vol = self.vol();
        if vol.lookup(MANIFEST).is_some() {
            vol.unlink(ROOT, MANIFEST);
        }
        vol.file(ROOT, MANIFEST, xml, system(at, 0o644));
    }
}

fn copy_file(vol: &mut Vol, dir: Ino, name: &str, file: &FileItem) {
    let id = vol.file(dir, name, file.content.clone(), meta(&file.meta));
    if let Some(how) = file.compressed {
        vol.compress(id, how);
    }
    if !file.resource.is_empty() {
        vol.set_xattr(id, decmpfs::RESOURCE_FORK, file.resource.clone());
    }
    if file.meta.finder_info != [0; 32] {
        vol.set_xattr(id, FINDER_INFO, file.meta.finder_info.to_vec());
    }
    for (name, value) in &file.xattrs {
        vol.set_xattr(id, name, value.as_slice());
    }
}

/// Clones everything in `from` into the empty directory `to`.
fn clone_tree(vol: &mut Vol, from: Ino, to: Ino) {
    for (name, id) in vol.children(from) {
        let inode = vol.volume.inodes[&id].clone();
        if inode.is_file() {
            vol.clone_file(id, to, &name, true);
        } else if let Some(model::Xattr::Embedded(target)) = inode.xattrs.get(SYMLINK) {
            let target = String::from_utf8_lossy(&target[..target.len() - 1]).into_owned();
            vol.symlink(to, &name, &target, inode.meta);
        } else {
            let dir = vol.mkdir(to, &name, inode.meta);
            for (name, xattr) in inode.xattrs {
                if let model::Xattr::Embedded(value) = xattr {
                    vol.set_xattr(dir, &name, value);
                }
            }
            clone_tree(vol, id, dir);
        }
    }
}
