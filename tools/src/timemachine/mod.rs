//! Time Machine's tree on HFS+: backups that share unchanged folders and files by hard links.

mod dates;
mod source;

pub use dates::{iso, stamp};
pub use source::{Dir, FileItem, Item};

use std::collections::BTreeMap;

use crate::bundle::{History, MachineId, PlistValue, plist_xml, to_binary_plist};
use crate::cksum::cksum;
use crate::hfs::{Acl, Cnid, Content, Meta, VolumeBuilder};

/// The attribute with the POSIX checksum of a copied file.
pub const CHECKSUM: &str = "com.apple.finder.copy.source.checksum#N";

/// The Mac that is backed up.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Computer name, the folder's name.
    pub name: String,
    /// Hardware UUID.
    pub host_uuid: String,
    /// Model identifier.
    pub model: String,
    /// Primary MAC address.
    pub address: String,
    /// Name of the volume that is backed up.
    pub volume: String,
    /// UUID of that volume.
    pub volume_uuid: String,
    /// Seconds east of Greenwich, for the names of backups.
    pub utc_offset: i64,
    /// Record checksums of files (macOS 10.11 and later).
    pub checksums: bool,
    /// Put Time Machine's deny entries on everything.
    pub acls: bool,
    /// Note oldest and newest snapshot dates on every item.
    pub snapshot_dates: bool,
}

impl Default for Machine {
    /// A Mac in Greenwich, of which backups are made without what later systems add.
    fn default() -> Self {
        Self {
            name: "Mac".into(),
            host_uuid: "3B2A9C1E-7D44-5E0B-9F1A-0C8D5A6E4F21".into(),
            model: "MacBookPro14,1".into(),
            address: "a4:5e:60:c1:22:09".into(),
            volume: "HD".into(),
            volume_uuid: "8E6B1F57-2C0D-3A94-B7E5-91D04C6A3F10".into(),
            utc_offset: 0,
            checksums: false,
            acls: false,
            snapshot_dates: false,
        }
    }
}

/// One backup: what was there and when.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Running number.
    pub number: u64,
    /// Start, Unix seconds.
    pub start: i64,
    /// Completion, Unix seconds; `None` leaves a folder `….inProgress` behind.
    pub completed: Option<i64>,
    /// The volume's content.
    pub source: Dir,
}

/// Where a backup was put.
#[derive(Clone, Debug)]
pub struct Written {
    /// Name of the backup's folder.
    pub name: String,
    /// The backup's folder.
    pub folder: Cnid,
    /// The volume store in it.
    pub store: Cnid,
    /// Bytes copied anew.
    pub copied: u64,
    /// Completion, Unix seconds.
    pub completed: Option<i64>,
}

/// An item of the previous backup and where it lies now.
#[derive(Clone, Debug)]
struct Stored {
    id: Cnid,
    children: BTreeMap<String, Stored>,
}

struct Writer<'a> {
    volume: &'a mut VolumeBuilder,
    machine: &'a Machine,
    date: i64,
    copied: u64,
    items: u64,
}

/// Writes `Backups.backupdb` with all backups, oldest first, and the files beside it.
pub fn write(volume: &mut VolumeBuilder, machine: &Machine, backups: &[Backup]) -> Vec<Written> {
    let root = volume.root();
    let created = volume.options().created;
    let system = |mode| Meta::with_mode(mode).owned(0, 0).dated(created);
    volume.file(root, ".com.apple.timemachine.supported", "", system(0o644));
    let events = volume.mkdir(root, ".fseventsd", system(0o700));
    volume.file(events, "fseventsd-uuid", machine.volume_uuid.as_str(), system(0o600));
    volume.mkdir(root, ".Trashes", system(0o1333));
    volume.mkdir(root, ".Spotlight-V100", system(0o700));
    let store = volume.mkdir(root, "Backups.backupdb", system(0o755));
    volume.set_acl(store, &Acl::time_machine());
    let home = volume.mkdir(store, &machine.name, system(0o755));
    set_machine(volume, home, machine);

    let mut written: Vec<Written> = Vec::new();
    let mut previous: Option<(Stored, Dir)> = None;
    for backup in backups {
        let (done, stored) = write_backup(volume, machine, home, backup, previous.as_ref());
        if backup.completed.is_some() {
            previous = Some((stored, backup.source.clone()));
        }
        written.push(done);
    }
    if let Some(latest) = written.iter().rev().find(|w| w.completed.is_some()) {
        let date = latest.completed.unwrap_or(created);
        let meta = Meta::with_mode(0o755).owned(0, 0).dated(date);
        volume.symlink(home, "Latest", &latest.name, meta);
    }
    written
}

fn set_machine(volume: &mut VolumeBuilder, home: Cnid, machine: &Machine) {
    let mut set = |name: &str, value: &str| volume.set_xattr(home, name, text(value));
    set("com.apple.backupd.HostUUID", &machine.host_uuid);
    set("com.apple.backupd.BackupMachineAddress", &machine.address);
    set("com.apple.backupd.ModelID", &machine.model);
    set("com.apple.backupd.ComputerName", &machine.name);
    volume.set_acl(home, &Acl::time_machine());
}

/// A value as Time Machine stores it: text and a NUL.
fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), b"\0"].concat()
}

fn write_backup(
    volume: &mut VolumeBuilder,
    machine: &Machine,
    home: Cnid,
    backup: &Backup,
    previous: Option<&(Stored, Dir)>,
) -> (Written, Stored) {
    let finished = backup.completed.unwrap_or(backup.start);
    let stamped = stamp(finished + machine.utc_offset);
    let meta = Meta::dir().owned(0, 0).dated(finished);
    let (name, store_parent, folder) = if backup.completed.is_some() {
        let folder = volume.mkdir(home, &stamped, meta.clone());
        (stamped, folder, folder)
    } else {
        let name = format!("{stamped}.inProgress");
        let folder = volume.mkdir(home, &name, meta.clone());
        (name, volume.mkdir(folder, &machine.volume_uuid, meta.clone()), folder)
    };
    let mut writer = Writer { volume, machine, date: finished, copied: 0, items: 0 };
    let mut source = backup.source.clone();
    source.meta.finder_info = [0; 32];
    let store = writer.new_dir(store_parent, &machine.volume, &source, previous);
    let (copied, items) = (writer.copied, writer.items);
    set_store(volume, store.id, machine, backup);
    set_backup(volume, folder, backup, copied);
    write_logs(volume, folder, machine, backup, (copied, items));
    let completed = backup.completed;
    (Written { name, folder, store: store.id, copied, completed }, store)
}

fn set_backup(volume: &mut VolumeBuilder, folder: Cnid, backup: &Backup, copied: u64) {
    let mut set = |name: &str, value: String| volume.set_xattr(folder, name, text(&value));
    set("com.apple.backup.SnapshotNumber", backup.number.to_string());
    set("com.apple.backup.SnapshotVersion", "4".into());
    set("com.apple.backupd.SnapshotStartDate", (backup.start * 1_000_000).to_string());
    set("com.apple.backupd.SnapshotType", "1".into());
    if let Some(completed) = backup.completed {
        let micros = completed * 1_000_000 + 123_456;
        set("com.apple.backupd.SnapshotCompletionDate", micros.to_string());
        set("com.apple.backupd.SnapshotState", "4".into());
        set("com.apple.backupd.SnapshotTotalBytesCopied", copied.to_string());
    }
    volume.set_acl(folder, &Acl::time_machine());
}

fn set_store(volume: &mut VolumeBuilder, store: Cnid, machine: &Machine, backup: &Backup) {
    let mut set = |name: &str, value: &str| {
        volume.set_xattr(store, &format!("com.apple.backupd.{name}"), text(value));
    };
    set("SnapshotVolumeUUID", &machine.volume_uuid);
    set("SnapshotVolumeFSEventStoreUUID", "5E0A1C8B-6F0E-4D5C-9A58-0C5B1F3B7D11");
    set("SnapshotVolumeLastFSEventID", &(1_000_000 + 777 * backup.number).to_string());
    set("VolumeBytesUsed", &backup.source.bytes().to_string());
    set("VolumeIsCaseSensitive", "0");
    set("fstypename", "hfs");
}

fn write_logs(
    volume: &mut VolumeBuilder,
    folder: Cnid,
    machine: &Machine,
    backup: &Backup,
    (copied, items): (u64, u64),
) {
    let meta = Meta::file().owned(0, 0).dated(backup.completed.unwrap_or(backup.start));
    let log = format!(
        "{}: Starting standard backup\n{}: Backing up {} ({})\n{}: Copied {items} items ({copied} \
         bytes) from volume {}.\n",
        iso(backup.start),
        iso(backup.start),
        machine.volume,
        machine.volume_uuid,
        iso(backup.completed.unwrap_or(backup.start)),
        machine.volume,
    );
    volume.file(folder, ".Backup.log", log.as_str(), meta.clone());
    let number = PlistValue::Integer;
    let checkpoint = PlistValue::dict([
        ("SnapshotNumberOfBytesCopied", number(copied)),
        ("SnapshotNumberOfBytesToCopy", number(copied)),
        ("SnapshotNumberOfBytesToRepresent", number(backup.source.bytes())),
        ("SnapshotNumberOfItemsCopied", number(items)),
        ("SnapshotNumberOfItemsToCopy", number(items)),
        ("SnapshotNumberOfRollingPreviousBytesCopied", number(0)),
    ]);
    volume.file(folder, ".com.apple.TMCheckpoint", plist_xml(&checkpoint), meta.clone());
    let list =
        |paths: &[&str]| PlistValue::Array(paths.iter().map(|p| PlistValue::text(p)).collect());
    let exclusions = PlistValue::dict([
        ("apiExclusionPaths", list(&[])),
        ("sourcePaths", list(&["/"])),
        ("standardExclusionPaths", list(&["/private/tmp", "/Volumes", "/.Trashes"])),
        ("stickyExclusionPaths", list(&[])),
        ("systemFilesExcluded", number(0)),
        ("userExclusionPaths", list(&["/Users/anna/Downloads"])),
    ]);
    volume.file(folder, ".exclusions.plist", to_binary_plist(&exclusions), meta);
}

impl Writer<'_> {
    /// A real folder with everything in it, linked where the previous backup has the same.
    fn new_dir(
        &mut self,
        parent: Cnid,
        name: &str,
        dir: &Dir,
        previous: Option<&(Stored, Dir)>,
    ) -> Stored {
        let id = self.volume.mkdir(parent, name, dir.meta.clone());
        self.mark(id);
        dir.xattrs.iter().for_each(|(n, v)| self.volume.set_xattr(id, n, v.as_slice()));
        let mut children = BTreeMap::new();
        for (name, item) in &dir.items {
            let before = previous
                .and_then(|(stored, dir)| Some((stored.children.get(name)?, dir.items.get(name)?)));
            children.insert(name.clone(), self.item(id, name, item, before));
        }
        Stored { id, children }
    }

    fn item(
        &mut self,
        parent: Cnid,
        name: &str,
        item: &Item,
        before: Option<(&Stored, &Item)>,
    ) -> Stored {
        match (item, before) {
            (Item::Dir(dir), Some((stored, Item::Dir(old)))) if dir == old => {
                self.volume.dir_link(stored.id, parent, name);
                stored.clone()
            }
            (Item::Dir(dir), Some((stored, Item::Dir(old)))) => {
                self.new_dir(parent, name, dir, Some(&(stored.clone(), old.clone())))
            }
            (Item::Dir(dir), _) => self.new_dir(parent, name, dir, None),
            (Item::File(file), Some((stored, Item::File(old)))) if file == old => {
                self.volume.hard_link(stored.id, parent, name);
                stored.clone()
            }
            (Item::File(file), _) => self.new_file(parent, name, file),
            (Item::Symlink(target, meta), _) => {
                let id = self.volume.symlink(parent, name, target, meta.clone());
                self.items += 1;
                Stored { id, children: BTreeMap::new() }
            }
        }
    }

    fn new_file(&mut self, parent: Cnid, name: &str, file: &FileItem) -> Stored {
        let volume = &mut *self.volume;
        let id = volume.file(parent, name, file.content.clone(), file.meta.clone());
        if let Some(how) = file.compressed {
            volume.compress(id, how);
        }
        if !file.resource.is_empty() {
            volume.set_resource_fork(id, file.resource.clone());
        }
        file.xattrs.iter().for_each(|(n, v)| volume.set_xattr(id, n, v.as_slice()));
        if self.machine.checksums {
            let sum = cksum(&file.content.to_vec());
            volume.set_xattr(id, CHECKSUM, sum.to_le_bytes().to_vec());
        }
        self.copied += file.content.len() + file.resource.len();
        self.mark(id);
        Stored { id, children: BTreeMap::new() }
    }

    /// What every copied item gets.
    fn mark(&mut self, id: Cnid) {
        self.items += 1;
        if self.machine.acls {
            self.volume.set_acl(id, &Acl::time_machine());
        }
        if self.machine.snapshot_dates {
            let date = to_binary_plist(&PlistValue::Date(iso(self.date)));
            for which in ["Oldest", "Newest"] {
                let name = format!("com.apple.metadata:_kTimeMachine{which}Snapshot");
                self.volume.set_xattr(id, &name, Content::from(date.clone()));
            }
        }
    }
}

/// The bundle's `MachineID.plist` for this Mac.
pub fn machine_id(machine: &Machine, verified: Option<i64>) -> MachineId {
    MachineId {
        host_uuid: machine.host_uuid.clone(),
        model: Some(machine.model.clone()),
        verification_state: verified.map(|_| 1),
        verification_date: verified.map(iso),
        ..MachineId::default()
    }
}

/// The bundle's `SnapshotHistory.plist` for these backups.
pub fn history(written: &[Written]) -> History {
    let done =
        written.iter().filter_map(|w| Some((iso(w.completed?), w.name.clone(), Some(w.copied))));
    History { backups: done.collect() }
}
