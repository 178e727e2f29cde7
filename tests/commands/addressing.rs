//! Addresses: what is understood, and what a wrong one is answered with.

use crate::common::{self, tmbundle};
use std::path::Path;
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};
use tools::image::Image;
use tools::timemachine::{self, Backup, Dir, Machine};

fn demo() -> String {
    common::demo().to_str().unwrap().to_owned()
}

#[test]
fn without_an_address_the_newest_snapshot_is_listed() {
    let bare = tmbundle(&["ls", &demo()]);
    bare.expect(0, &["Macintosh HD/"]);
    assert_eq!(bare.out, tmbundle(&["ls", &demo(), "latest"]).out);
    // Where there are no snapshots, the volume.
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("plain.img");
    let mut volume = VolumeBuilder::new(VolumeOptions::default());
    let root = volume.root();
    volume.file(root, "only.txt", "x", Meta::file());
    std::fs::write(&image, bytes(&volume.build().image)).unwrap();
    tmbundle(&["ls", image.to_str().unwrap()]).expect(0, &["only.txt"]);
}

#[test]
fn snapshots_before_the_newest() {
    let name = |address: &str| tmbundle(&["ls", "-d", &demo(), &format!("{address}:/nope")]).err;
    for (address, snapshot) in [
        ("latest~0", "2019-11-13-102343"),
        ("latest~1", "2019-11-06-102242"),
        ("latest~2", "2019-11-03-102141"),
        ("2019-11-03~1", "2019-11-02-102040"),
        ("2019-11-14-101500.inProgress~1", "2019-11-13-102343"),
        ("Anna’s MacBook/latest~1", "2019-11-06-102242"),
    ] {
        assert!(name(address).contains(&format!("in snapshot {snapshot}")), "{address}");
    }
    tmbundle(&["ls", &demo(), "latest~9"]).expect(2, &["only 3 are older"]);
}

#[test]
fn a_wrong_address_is_answered_with_the_right_one() {
    let right = "did you mean 'latest:/Macintosh HD/Users/anna'?";
    for wrong in [
        "latest:/Users/anna",
        "latest:/users/Anna",
        "latest:/macintosh hd/users/anna",
        "/Users/anna",
        "/Macintosh HD/Users/anna",
        "latest/Macintosh HD/Users/anna",
        "latest/Users/anna",
        "Users/anna",
    ] {
        tmbundle(&["ls", &demo(), wrong]).expect(2, &[right]);
    }
    let raw = "did you mean 'volume:/Backups.backupdb'?";
    tmbundle(&["ls", &demo(), "volume:/backups.backupdb"]).expect(2, &[raw]);
    let volume = "did you mean 'volume=Time Machine Backups:'?";
    tmbundle(&["ls", &demo(), "volume=time machine backups:"]).expect(2, &[volume]);
    // Through a link, and words in another case.
    let linked = "did you mean 'latest:/Macintosh HD/etc/hosts'?";
    for wrong in ["latest:/etc/hosts", "/etc/hosts", "latest:/macintosh hd/ETC/Hosts"] {
        tmbundle(&["cat", &demo(), wrong]).expect(2, &[linked]);
    }
    for (wrong, right) in [
        ("Latest", "'latest'"),
        ("LATEST:/Macintosh HD", "'latest:/Macintosh HD'"),
        ("Latest~1:/", "'latest~1:/'"),
        ("anna’s macbook/Latest", "'Anna’s MacBook/latest'"),
        ("Latest/Users/anna", "'latest:/Macintosh HD/Users/anna'"),
    ] {
        tmbundle(&["ls", &demo(), wrong]).expect(2, &[&format!("did you mean {right}?")]);
    }
    // What helps is itself an address.
    tmbundle(&["ls", &demo(), "latest:/Macintosh HD/Users/anna"]).expect(0, &["Documents/"]);
    // Where nothing fits, nothing is made up.
    let nothing = tmbundle(&["ls", &demo(), "latest:/nowhere/at/all"]);
    nothing.expect(2, &["there is no /nowhere"]);
    assert!(!nothing.err.contains("did you mean"), "{nothing:#?}");
}

fn machine(name: &str, volume: &str) -> Machine {
    Machine { name: name.into(), volume: volume.into(), ..Machine::default() }
}

#[test]
fn links_on_the_way_are_followed_within_the_snapshot() {
    let mut root = Dir::new(Meta::dir());
    root.dir("private/etc").file("hosts", "127.0.0.1 localhost\n", Meta::file());
    let link = || Meta::with_mode(0o755);
    root.symlink("etc", "private/etc", link());
    root.symlink("absolute", "/private/etc", link());
    root.symlink("own", "/Volumes/HD/private/etc", link());
    root.symlink("up", "private/../../../../../private/etc", link());
    root.symlink("hosts", "etc/hosts", link());
    root.symlink("round", "a/round", link());
    root.symlink("a", "round", link());
    root.symlink("broken", "not/there", link());
    let backup =
        Backup { number: 1, start: 1_572_686_100, completed: Some(1_572_686_400), source: root };
    let mut volume = VolumeBuilder::new(VolumeOptions::default());
    timemachine::write(&mut volume, &machine("Mac", "HD"), &[backup]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("A.sparsebundle");
    bundle::write(&volume.build().image, &path, &BundleOptions::default()).unwrap();
    let path = path.to_str().unwrap();
    for through in ["etc/hosts", "absolute/hosts", "own/hosts", "up/hosts", "hosts"] {
        let ran = tmbundle(&["cat", path, &format!("latest:/HD/{through}")]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "127.0.0.1 localhost\n"), "{through}");
    }
    let ls = |args: &[&str]| tmbundle(&[&["ls", path], args].concat());
    assert_eq!(ls(&["latest:/HD/etc"]).out, "hosts\n");
    assert_eq!(ls(&["latest:/HD/etc/"]).out, "hosts\n");
    // The link itself, where its own line was asked for.
    ls(&["-l", "latest:/HD/etc"]).expect(0, &["etc -> private/etc"]);
    ls(&["latest:/HD/round/x"]).expect(2, &["leads round and round"]);
    ls(&["latest:/HD/broken/x"])
        .expect(2, &["there is no /HD/not", "the link /HD/broken -> not/there leads there"]);
    // A link is restored as a link.
    let to = dir.path().join("to");
    tmbundle(&["extract", path, "latest:/HD/etc", "--to", to.to_str().unwrap()]).expect(0, &[]);
    assert_eq!(std::fs::read_link(to.join("etc")).unwrap(), Path::new("private/etc"));
}

fn bytes(image: &Image) -> Vec<u8> {
    let mut bytes = vec![0; image.len() as usize];
    image.read_at(0, &mut bytes);
    bytes
}

#[test]
fn of_two_volumes_of_one_name_none_is_taken_silently() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("two.img");
    // Two HFS+ partitions in a table of the old kind (type 0xAF).
    let mut disk = vec![0u8; 512];
    for (n, name) in ["first.txt", "second.txt"].iter().enumerate() {
        let mut volume =
            VolumeBuilder::new(VolumeOptions { name: "Twin".into(), ..Default::default() });
        let root = volume.root();
        volume.file(root, name, "x", Meta::file());
        let part = bytes(&volume.build().image);
        let entry = 446 + 16 * n;
        let (start, count) = ((disk.len() / 512) as u32, (part.len() / 512) as u32);
        disk[entry + 4] = 0xAF;
        disk[entry + 8..entry + 12].copy_from_slice(&start.to_le_bytes());
        disk[entry + 12..entry + 16].copy_from_slice(&count.to_le_bytes());
        disk.extend(part);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    std::fs::write(&image, disk).unwrap();
    let ls = |address: &str| tmbundle(&["ls", image.to_str().unwrap(), address]);
    ls("volume=Twin:").expect(2, &["2 volumes are called 'Twin'", "'volume=Twin#1:' (partition"]);
    ls("volume=Twin#1:").expect(0, &["first.txt"]);
    ls("volume=Twin#2:").expect(0, &["second.txt"]);
    for vague in ["volume:", "volume=Other:"] {
        ls(vague).expect(2, &["'Twin#1', 'Twin#2'"]);
    }
    ls("volume=Twin#3:").expect(2, &["there is no volume 'Twin#3'"]);
}

#[test]
fn an_unfinished_snapshot_is_found_by_its_beginning_where_no_other_fits() {
    let demo = common::demo();
    let demo = demo.to_str().unwrap();
    for word in ["2019-11-14", "2019-11-14-10"] {
        tmbundle(&["ls", "--json", demo, word]).expect(0, &[]);
    }
    // Where a completed one fits, it is meant.
    tmbundle(&["ls", demo, "2019-11-1"]).expect(0, &[]);
}
