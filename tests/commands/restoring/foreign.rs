//! Onto disks that are not a Mac's nor Linux's own: exFAT, NTFS, who forbids owners; and
//! btrfs, where clones stay clones.

use super::{START, Sample, has};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tools::hfs::{Meta, VolumeOptions};

/// A mount that goes away again.
pub(crate) struct Mounted {
    dir: tempfile::TempDir,
    device: Option<String>,
}

impl Mounted {
    pub(crate) fn at(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// The file that it lies in.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// A copy of the file of another, with a place to mount it on.
    pub(crate) fn beside(other: &Self) -> Self {
        let copy = Self { dir: tempfile::tempdir().unwrap(), device: None };
        fs::create_dir(copy.at()).unwrap();
        fs::copy(other.image(), copy.image()).unwrap();
        copy
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.at()).stderr(Stdio::null()).status();
        let _ = Command::new("umount").arg("-l").arg(self.at()).stderr(Stdio::null()).status();
        if let Some(device) = &self.device {
            run("losetup", &["-d", device]);
        }
    }
}

pub(crate) fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A fresh file system in a file, mounted.
pub(crate) fn fresh(make: &[&str], mount: &[&str], megabytes: u64, test: &str) -> Option<Mounted> {
    if !has(make[0], test) || !has(mount[0], test) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let (image, at) = (dir.path().join("image"), dir.path().join("mnt"));
    fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
    fs::create_dir(&at).unwrap();
    let image = image.to_str().unwrap();
    let made = run(make[0], &[&make[1..], &[image]].concat());
    // What is mounted through FUSE as a disk must be one.
    let device = match mount[0] {
        "mount" => None,
        _ => Command::new("losetup")
            .args(["-f", "--show", image])
            .output()
            .ok()
            .filter(|o| o.status.success())
            .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()),
    };
    let what = device.clone().unwrap_or_else(|| image.to_owned());
    let at = at.to_str().unwrap().to_owned();
    let mounted = made && run(mount[0], &[&mount[1..], &[&*what, &*at]].concat());
    let there = Mounted { dir, device };
    if !mounted {
        crate::common::skipped(format_args!("{test}: {} does not work here", mount[0]));
        return None;
    }
    Some(there)
}

fn sample() -> Sample {
    let options = VolumeOptions {
        size: 24 << 20,
        hfsx: true,
        case_sensitive: true,
        ..VolumeOptions::default()
    };
    Sample::with(options, |v| {
        let root = v.root();
        let dir = v.mkdir(root, "Folder", Meta::dir().dated(START));
        v.file(dir, "File.txt", "one", Meta::file().dated(START));
        v.file(dir, "FILE.TXT", "two", Meta::file().dated(START));
        v.file(dir, "12/30 \"what?\".", "three", Meta::file().dated(START));
        let forked = v.file(dir, "forked", "four", Meta::file().dated(START));
        v.set_resource_fork(forked, "the fork");
        let mut private = Meta::file().dated(START);
        private.mode = 0o600;
        v.file(dir, "private", "five", private);
        v.symlink(root, "link", "Folder/private", Meta::file().dated(START));
    })
}

/// Everything arrives, twice alike, and what was changed is told.
fn everything_arrives(to: &Path) {
    let sample = sample();
    let to = to.join("out");
    let report = sample.dir.path().join("report.json");
    let report = report.to_str().unwrap();
    let ran = sample.restore_to(&to, &["--verify", "--report", report]);
    ran.expect(0, &["Read back 5 files"]);
    let mut found: Vec<String> = fs::read_dir(to.join("Folder"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| !p.file_name().unwrap().to_str().unwrap().starts_with("._"))
        .map(|p| fs::read_to_string(p).unwrap())
        .collect();
    found.sort();
    assert_eq!(found, ["five", "four", "one", "three", "two"], "{}", ran.err);
    sample.restore_to(&to, &[]).expect(0, &["Restored 0 files"]);
    let link = to.join("link");
    match fs::read_link(&link) {
        Ok(target) => assert_eq!(target, Path::new("Folder/private")),
        Err(_) => assert!(fs::read(&link).unwrap().starts_with(b"XSym\n0014\n")),
    }
}

#[test]
fn exfat() {
    let mount = ["mount.exfat-fuse", "-o", "uid=0"];
    if let Some(m) = fresh(&["mkfs.exfat"], &mount, 64, "exfat") {
        everything_arrives(&m.at());
        let sidecar = fs::read(m.at().join("out/Folder/._forked")).unwrap();
        assert!(sidecar.ends_with(b"the fork"));
    }
}

#[test]
fn ntfs() {
    if let Some(m) = fresh(&["mkfs.ntfs", "-F", "-Q"], &["ntfs-3g"], 64, "ntfs") {
        everything_arrives(&m.at());
    }
}

#[test]
fn owners_and_modes_forbidden() {
    if !has("bindfs", "owners_and_modes_forbidden") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (below, at) = (dir.path().join("below"), dir.path().join("mnt"));
    fs::create_dir(&below).unwrap();
    fs::create_dir(&at).unwrap();
    let args = ["--chown-deny", "--chmod-deny", below.to_str().unwrap(), at.to_str().unwrap()];
    if !run("bindfs", &args) {
        return crate::common::skipped("owners_and_modes_forbidden: bindfs does not work here");
    }
    let mounted = Mounted { dir, device: None };
    let sample = sample();
    let ran = sample.restore_to(&at.join("out"), &[]);
    ran.expect(0, &["Restored 5 files", "The owner of 7 objects could not be set"]);
    // Once each kind.
    assert_eq!(ran.err.matches("The owner of").count(), 1, "{}", ran.err);
    drop(mounted);
}

#[test]
fn btrfs_and_xfs_and_ext4() {
    for (make, kind) in [
        (&["mkfs.btrfs", "-q"][..], "btrfs"),
        (&["mkfs.xfs", "-q"], "xfs"),
        (&["mkfs.ext4", "-q"], "ext4"),
    ] {
        let mount = ["mount", "-t", kind, "-o", "loop"];
        if let Some(m) = fresh(make, &mount, 320, kind) {
            everything_arrives(&m.at());
        }
    }
}
