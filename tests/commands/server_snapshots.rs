//! A bundle on a snapshot of the server's own file system is the same bundle and continues its
//! manifest: on btrfs (and ZFS) with the inode's number on another device, with LVM, too. A copy
//! is another one.

use crate::common::{self, Ran, tmbundle_with};
use crate::restoring::foreign::{Mounted, fresh, run};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A state directory of its own.
struct State(tempfile::TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn verify(&self, bundle: &Path) -> Ran {
        let state = self.0.path().to_str().unwrap();
        let args = ["verify", "--manifest", "-v", bundle.to_str().unwrap()];
        let ran = tmbundle_with(&[("XDG_STATE_HOME", state)], &args);
        ran.expect(0, &[]);
        ran
    }

    fn bundles(&self) -> usize {
        fs::read_dir(self.0.path().join("tmbundle")).unwrap().count()
    }

    /// Verified for the first time.
    fn begins(&self, bundle: &Path) -> Ran {
        let ran = self.verify(bundle);
        ran.expect(0, &["4 bands, all read for the first time"]);
        ran
    }

    /// Known, with `changed` bands that were written since, and no twin.
    fn goes_on(&self, bundle: &Path, changed: usize) {
        let ran = self.verify(bundle);
        ran.expect(0, &["4 bands: 4 read"]);
        let told = ran.out.contains(&format!("{changed} changed"));
        assert_eq!(told, changed > 0, "{}: {ran:#?}", bundle.display());
        for code in ["BUNDLE-TWICE", "BAND-REWRITTEN", "BAND-GONE"] {
            assert!(!ran.out.contains(code), "{}: {ran:#?}", bundle.display());
        }
        assert!(!ran.out.contains("rewritten"), "{ran:#?}");
    }
}

/// One inode on two devices: what a snapshot looks like.
fn is_snapshot(one: &Path, other: &Path) {
    let [a, b] = [one, other].map(|p| fs::metadata(p).unwrap());
    assert_eq!(a.ino(), b.ino());
    assert_ne!(a.dev(), b.dev());
}

/// As a Mac would.
fn write(band: &Path) {
    let mut bytes = fs::read(band).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(band, bytes).unwrap();
}

#[test]
fn a_snapshot_of_btrfs_continues_the_manifest() {
    let test = "a_snapshot_of_btrfs_continues_the_manifest";
    let mount = ["mount", "-t", "btrfs", "-o", "loop"];
    let Some(disk) = fresh(&["mkfs.btrfs", "-q"], &mount, 320, test) else { return };
    let (tm, at) = (disk.at().join("tm"), |name: &str| disk.at().join(name));
    let btrfs = |words: &[&str], places: &[&Path]| {
        let places = places.iter().map(|p| p.to_str().unwrap());
        run("btrfs", &words.iter().copied().chain(places).collect::<Vec<_>>())
    };
    if !btrfs(&["subvolume", "create"], &[&tm]) {
        return common::skipped(format_args!("{test}: btrfs(8) does not work here"));
    }
    let live = tm.join("Mac.sparsebundle");
    common::copy_demo(&live);
    let state = State::new();
    state.begins(&live);
    assert!(btrfs(&["subvolume", "snapshot", "-r"], &[&tm, &at("monday")]));
    let monday = at("monday").join("Mac.sparsebundle");
    is_snapshot(&live, &monday);
    state.goes_on(&monday, 0);
    state.goes_on(&live, 0);
    // A Mac writes, and the next snapshot is of that.
    write(&live.join("bands/9"));
    assert!(btrfs(&["subvolume", "snapshot", "-r"], &[&tm, &at("tuesday")]));
    state.goes_on(&at("tuesday").join("Mac.sparsebundle"), 1);
    state.goes_on(&live, 0);
    assert_eq!(state.bundles(), 1);
    // A copy beside it is another bundle, whatever the two have in common.
    let copy = tm.join("Copy.sparsebundle");
    common::copy(&live, &copy);
    state.begins(&copy).expect(0, &["BUNDLE-TWICE"]);
    assert_eq!(state.bundles(), 2);
}

/// LVM's snapshots are whole disks: the same inodes, made at the same moment, on another device.
#[test]
fn a_snapshot_of_a_whole_disk_continues_the_manifest() {
    let test = "a_snapshot_of_a_whole_disk_continues_the_manifest";
    let mount = ["mount", "-t", "ext4", "-o", "loop"];
    let Some(disk) = fresh(&["mkfs.ext4", "-q"], &mount, 32, test) else { return };
    let live = disk.at().join("Mac.sparsebundle");
    common::copy_demo(&live);
    let state = State::new();
    state.begins(&live);
    let Some((_snapshot, kept)) = copy_of(&disk, test) else { return };
    is_snapshot(&live, &kept);
    state.goes_on(&kept, 0);
    write(&live.join("bands/9"));
    state.goes_on(&live, 1);
    assert_eq!(state.bundles(), 1);
    let copy = disk.at().join("Copy.sparsebundle");
    common::copy(&live, &copy);
    state.begins(&copy).expect(0, &["BUNDLE-TWICE"]);
}

/// A copy of a mounted disk's bytes, mounted read-only; the bundle in it.
fn copy_of(disk: &Mounted, test: &str) -> Option<(Mounted, PathBuf)> {
    assert!(run("sync", &["-f", disk.at().to_str().unwrap()]));
    let copy = Mounted::beside(disk);
    let (image, at) = (copy.image(), copy.at());
    // The journal was not replayed, and need not be: all was written out.
    let args =
        ["-t", "ext4", "-o", "loop,ro,noload", image.to_str().unwrap(), at.to_str().unwrap()];
    if !run("mount", &args) {
        common::skipped(format_args!("{test}: a second loop device does not work here"));
        return None;
    }
    let bundle = at.join("Mac.sparsebundle");
    Some((copy, bundle))
}
