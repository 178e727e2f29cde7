//! Disks with partition maps, and small backups, that the writer makes.

use super::{Told, verify};
use tools::Image;
use tools::hfs::{Cnid, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::{Gpt, apm};

fn small() -> VolumeBuilder {
    let options = VolumeOptions { size: 4 << 20, ..VolumeOptions::default() };
    let mut volume = VolumeBuilder::new(options);
    let root = volume.root();
    volume.file(root, "file", "content\n", Meta::file());
    volume
}

fn verify_disk(image: &Image) -> Told {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    image.write_to(&path).unwrap();
    verify(&["verify", path.to_str().unwrap()])
}

fn named_disk(name: &str) -> Told {
    let (_, wrap) = tools::samples::disks().into_iter().find(|d| d.0 == name).unwrap();
    verify_disk(&wrap(&small().build().image).0)
}

pub fn gpt_primary() -> Told {
    named_disk("gpt-primary-header")
}

pub fn gpt_backup() -> Told {
    named_disk("gpt-backup-array")
}

pub fn gpt_differs() -> Told {
    let volume = small().build().image;
    let (mut disk, _) = Gpt::default().wrap(&volume);
    let (other, _) = Gpt { name: "another name".into(), ..Gpt::default() }.wrap(&volume);
    let (len, tail) = (disk.len(), 33 * 512);
    disk.write_at(len - tail, &other.read(len - tail, tail as usize));
    verify_disk(&disk)
}

pub fn partition_entry() -> Told {
    named_disk("gpt-overlap")
}

pub fn apm_entry() -> Told {
    let (mut disk, _) = apm(&small().build().image, "Apple_HFSX");
    // The entry of the free space at the end, without its signature.
    disk.write_at(3 * 512, &[0, 0]);
    verify_disk(&disk)
}

pub fn volume_unknown() -> Told {
    let mut volume = small().build().image;
    let len = volume.len();
    volume.fill(0, len, 0x5A);
    verify_disk(&Gpt::default().wrap(&volume).0)
}

pub fn volume_none() -> Told {
    let mut disk = Gpt { kind: "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7".into(), ..Gpt::default() }
        .wrap(&Image::new(4 << 20))
        .0;
    disk.fill(40 * 512, 4096, 0x5A);
    verify_disk(&disk)
}

/// A backup with one completed snapshot that holds one volume.
struct Backup {
    volume: VolumeBuilder,
    computer: Cnid,
}

const STAMPS: [&str; 2] = ["2020-01-01-000000", "2020-01-02-000000"];

impl Backup {
    fn empty() -> Self {
        let mut volume = small();
        let root = volume.root();
        let store = volume.mkdir(root, "Backups.backupdb", Meta::dir());
        let computer = volume.mkdir(store, "Mac", Meta::dir());
        volume.set_xattr(computer, "com.apple.backupd.HostUUID", "a-b-c\0");
        Self { volume, computer }
    }

    fn new() -> Self {
        let mut backup = Self::empty();
        let snapshot = backup.snapshot(STAMPS[0], Some(1_577_836_800));
        backup.volume.mkdir(snapshot, "Macintosh HD", Meta::dir());
        backup
    }

    fn snapshot(&mut self, name: &str, completed: Option<u64>) -> Cnid {
        let id = self.volume.mkdir(self.computer, name, Meta::dir());
        let mut set = |key: &str, value: String| {
            let name = format!("com.apple.backupd.{key}");
            self.volume.set_xattr(id, &name, format!("{value}\0").as_str());
        };
        set("SnapshotStartDate", "1577836000000000".into());
        if let Some(seconds) = completed {
            set("SnapshotCompletionDate", format!("{seconds}000000"));
        }
        id
    }

    fn verify(&self) -> Told {
        verify_disk(&self.volume.build().image)
    }
}

pub fn never_completed() -> Told {
    let mut backup = Backup::empty();
    backup.snapshot(STAMPS[0], None);
    backup.verify()
}

pub fn unfinished() -> Told {
    let mut backup = Backup::new();
    backup.snapshot(&format!("{}.inProgress", STAMPS[1]), None);
    backup.verify()
}

pub fn incomplete() -> Told {
    let mut backup = Backup::new();
    backup.snapshot(STAMPS[1], Some(1_577_923_200));
    backup.verify()
}

pub fn latest() -> Told {
    let mut backup = Backup::new();
    let newer = backup.snapshot(STAMPS[1], Some(1_577_923_200));
    backup.volume.mkdir(newer, "Macintosh HD", Meta::dir());
    backup.volume.symlink(backup.computer, "Latest", STAMPS[0], Meta::with_mode(0o755));
    backup.verify()
}

/// A name in the computer's folder leads to an inode that does not exist.
pub fn unreadable_folder() -> Told {
    let mut backup = Backup::new();
    let root = backup.volume.root();
    let file = backup.volume.file(root, "linked", "", Meta::file());
    backup.volume.hard_link(file, backup.computer, "second name");
    backup.volume.omit_record(file);
    backup.volume.omit_thread(file);
    backup.verify()
}
