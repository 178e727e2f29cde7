//! Modes, owners, times, links, holes, attributes, forks, lists, flags, birth.

use super::{START, Sample, has, json, noise};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use tools::hfs::{Ace, Acl, Content, Meta};

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1 << 16];
    let n = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(n);
    Some(value)
}

/// A volume with one of each.
fn everything() -> Sample {
    Sample::new(|v| {
        let root = v.root();
        let dir = v.mkdir(root, "dir", Meta::dir().dated(START));
        let mut meta = Meta::file().dated(START).finder(b"TEXT", b"ttxt", 0);
        meta.mode = 0o4640;
        meta.created = meta.modified - 1000;
        // uchg and uappnd.
        meta.bsd_flags = 0x6;
        let file = v.file(dir, "full", "contents", meta);
        v.set_resource_fork(file, "the fork");
        v.set_xattr(file, "com.example.note", "hello");
        v.set_xattr(file, "com.example.large", noise(1, 6000));
        v.set_acl(file, &Acl { flags: 0, entries: vec![Ace::user(501, 1, 0b110)] });
        let mut fifo = Meta::file().dated(START);
        fifo.mode = 0o010_604;
        v.special(root, "fifo", 0, fifo);
        let mut device = Meta::file().dated(START);
        device.mode = 0o020_666;
        v.special(root, "null", 1 << 24 | 3, device);
        v.symlink(root, "link", "dir/full", Meta::file().dated(START));
        let mut holes = noise(2, 1 << 20);
        holes[65_536..786_432].fill(0);
        v.file(root, "holes", Content::Bytes(holes), Meta::file().dated(START));
        v.file(
            root,
            "end",
            Content::Bytes([noise(3, 100), vec![0; 300_000]].concat()),
            Meta::file(),
        );
    })
}

#[test]
fn attributes_keep_what_a_mac_knows() {
    let sample = everything();
    let ran = sample.restore(&["--json"]);
    let (to, doc) = (sample.to(), json(&ran));
    let full = to.join("dir/full");
    if xattr(&full, "user.com.example.note").is_none() {
        return crate::common::skipped("attributes_keep_what_a_mac_knows: no user attributes here");
    }
    assert_eq!(xattr(&full, "user.com.example.note").unwrap(), b"hello");
    assert_eq!(&xattr(&full, "user.com.apple.FinderInfo").unwrap()[..8], b"TEXTttxt");
    assert_eq!(xattr(&full, "user.com.apple.ResourceFork").unwrap(), b"the fork");
    assert_eq!(xattr(&full, "user.tmbundle.acl").unwrap(), b"0: user:501 allow read,write");
    assert_eq!(xattr(&full, "user.tmbundle.flags").unwrap(), b"uchg,uappnd");
    assert_eq!(xattr(&full, "user.tmbundle.birthtime").unwrap(), b"2019-11-02T08:58:20Z");
    // What does not fit goes into an AppleDouble file by itself, and nothing is lost.
    let large = xattr(&full, "user.com.example.large");
    let sidecar = fs::read(to.join("dir/._full")).unwrap_or_default();
    let kept = large.is_some_and(|v| v == noise(1, 6000))
        || sidecar.windows(6000).any(|w| w == noise(1, 6000));
    assert!(kept);
    // The set-id bit and the device are left off, and that is told.
    let meta = fs::metadata(&full).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o640);
    assert!(!to.join("null").exists());
    assert_eq!(doc["left_out"], 1);
    assert!(doc["not_kept"].to_string().contains("setid"), "{doc}");
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(fs::metadata(to.join("fifo")).unwrap().mode(), 0o010_604);
    assert_eq!(fs::symlink_metadata(to.join("link")).unwrap().mtime(), START);
    assert_eq!(fs::metadata(to.join("dir")).unwrap().mtime(), START);
}

#[test]
fn holes_stay_holes() {
    let sample = everything();
    sample.restore(&[]).expect(0, &[]);
    let holes = fs::metadata(sample.to().join("holes")).unwrap();
    assert_eq!(holes.len(), 1 << 20);
    assert!(holes.blocks() * 512 < 400_000, "{} blocks", holes.blocks());
    let end = fs::read(sample.to().join("end")).unwrap();
    assert_eq!(end, [noise(3, 100), vec![0; 300_000]].concat());
    let mut wanted = noise(2, 1 << 20);
    wanted[65_536..786_432].fill(0);
    assert_eq!(fs::read(sample.to().join("holes")).unwrap(), wanted);
}

#[test]
fn setid_and_devices_only_when_asked_for() {
    if !rustix::process::geteuid().is_root() {
        return crate::common::skipped("setid_and_devices_only_when_asked_for: not root");
    }
    let sample = everything();
    sample.restore(&["--setid", "--devices"]).expect(0, &[]);
    let full = fs::metadata(sample.to().join("dir/full")).unwrap();
    assert_eq!((full.mode() & 0o7777, full.uid(), full.gid()), (0o4640, 501, 20));
    let null = fs::metadata(sample.to().join("null")).unwrap();
    assert_eq!((null.mode(), null.rdev()), (0o020_666, rustix::fs::makedev(1, 3)));
    // Another device of that name is something else.
    fs::remove_file(sample.to().join("null")).unwrap();
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RUSR);
    let zero = rustix::fs::makedev(1, 5);
    rustix::fs::mknodat(rustix::fs::CWD, sample.to().join("null"), kind, mode, zero).unwrap();
    sample.restore(&["--setid", "--devices"]).expect(1, &["not restored: null", "differs"]);
    assert_eq!(fs::metadata(sample.to().join("null")).unwrap().rdev(), zero);
}

#[test]
fn owners_can_be_mapped() {
    if !rustix::process::geteuid().is_root() {
        return crate::common::skipped("owners_can_be_mapped: not root");
    }
    let sample = Sample::new(|v| {
        let root = v.root();
        let users = v.mkdir(root, "Users", Meta::dir());
        let mut meta = Meta::dir();
        meta.uid = 777;
        let anna = v.mkdir(users, "anna", meta);
        let mut meta = Meta::file();
        meta.uid = 777;
        v.file(anna, "hers", "x", meta);
        v.file(anna, "other", "x", Meta::file());
    });
    let owner = |to: &Path, path: &str| {
        let m = fs::metadata(to.join(path)).unwrap();
        (m.uid(), m.gid())
    };
    let to = sample.dir.path().join("a");
    sample.restore_to(&to, &["--map-user", "anna:1234", "--map-group", "20:100"]).expect(0, &[]);
    assert_eq!(owner(&to, "Users/anna/hers"), (1234, 100));
    assert_eq!(owner(&to, "Users/anna/other"), (501, 100));
    let to = sample.dir.path().join("b");
    sample.restore_to(&to, &["--owner", "daemon:9"]).expect(0, &[]);
    assert_eq!(owner(&to, "Users/anna/hers"), (1, 9));
    let to = sample.dir.path().join("c");
    sample.restore_to(&to, &["--no-owners"]).expect(0, &[]);
    assert_eq!(owner(&to, "Users/anna/hers"), (0, 0));
    sample.restore(&["--map-user", "nobody-here:5"]).expect(2, &["has no folder"]);
}

#[test]
fn apple_double_files_hold_everything() {
    let sample = everything();
    sample.restore(&["--mac-metadata", "appledouble"]).expect(0, &[]);
    let bytes = fs::read(sample.to().join("dir/._full")).unwrap();
    assert_eq!(bytes[..8], [0, 5, 0x16, 7, 0, 2, 0, 0]);
    assert_eq!(&bytes[50..58], b"TEXTttxt");
    assert!(bytes.ends_with(b"the fork"));
    for text in ["com.example.note\0", "com.apple.acl.text\0", "tmbundle.flags\0"] {
        assert!(bytes.windows(text.len()).any(|w| w == text.as_bytes()), "{text}");
    }
    assert_eq!(xattr(&sample.to().join("dir/full"), "user.com.example.note"), None);
    // Nothing of it when nothing is wanted.
    let to = sample.dir.path().join("plain");
    sample.restore_to(&to, &["--mac-metadata", "none"]).expect(0, &[]);
    assert!(!to.join("dir/._full").exists());
}

/// bsdtar's reader of AppleDouble is a Mac's only; python3 has none. The layout is taken
/// apart by a few lines that were written from xnu's header alone.
#[test]
fn a_foreign_reader_takes_the_apple_double_file() {
    if !has("python3", "a_foreign_reader_takes_the_apple_double_file") {
        return;
    }
    let sample = everything();
    sample.restore(&["--mac-metadata", "appledouble"]).expect(0, &[]);
    let script = r#"
import struct, sys
b = open(sys.argv[1], 'rb').read()
magic, version, filler, n = struct.unpack('>II16sH', b[:26])
assert (magic, version, n) == (0x51607, 0x20000, 2)
(t1, finder, flen), (t2, fork, rlen) = struct.iter_unpack('>III', b[26:50])
assert (t1, t2) == (9, 2) and finder == 50 and finder + flen == fork
hdr, tag, total, start, length = struct.unpack('>4sIIII', b[84:104])
flags, count = struct.unpack('>HH', b[116:120])
assert hdr == b'ATTR' and total == fork
at = 120
for _ in range(count):
    off, size, fl, namelen = struct.unpack('>IIHB', b[at:at + 11])
    name = b[at + 11:at + 11 + namelen]
    assert name.endswith(b'\0')
    if name == b'com.example.note\0': print(b[off:off + size].decode())
    at = (at + 11 + namelen + 3) & ~3
assert at == start
print(b[fork:fork + rlen].decode())
"#;
    let path = sample.to().join("dir/._full");
    let out = Command::new("python3").arg("-c").arg(script).arg(path).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "hello\nthe fork\n");
}

#[test]
fn time_machines_own_entries_are_dropped() {
    let to = tempfile::tempdir().unwrap();
    let demo = crate::common::demo();
    let args = ["extract", demo.to_str().unwrap(), "latest", "--to", to.path().to_str().unwrap()];
    crate::common::tmbundle(&args).expect(0, &[]);
    let mut lists = Vec::new();
    let mut todo = vec![to.path().to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            lists.extend(xattr(&entry.path(), "user.tmbundle.acl"));
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
        }
    }
    let lists: Vec<String> = lists.into_iter().map(|l| String::from_utf8(l).unwrap()).collect();
    assert!(lists.iter().all(|l| !l.contains("everyone deny")), "{lists:?}");
}

#[test]
fn names_of_one_file_stay_one_file() {
    let sample = Sample::new(|v| {
        let root = v.root();
        let a = v.mkdir(root, "a", Meta::dir());
        let b = v.mkdir(root, "b", Meta::dir());
        let file = v.file(a, "first", noise(1, 5000), Meta::file().dated(START));
        v.hard_link(file, a, "second");
        v.hard_link(file, b, "third");
        v.file(b, "alone", noise(1, 5000), Meta::file().dated(START));
    });
    sample.restore(&["--verify"]).expect(0, &["Restored 4 files", " 0 differ"]);
    let meta = |path: &str| fs::metadata(sample.to().join(path)).unwrap();
    let inode = meta("a/first").ino();
    assert_eq!((meta("a/second").ino(), meta("b/third").ino()), (inode, inode));
    assert_eq!((meta("a/first").nlink(), meta("b/alone").nlink()), (3, 1));
    // One name of them alone is a file like any other.
    let to = sample.dir.path().join("one");
    sample.restore_to(&to, &["--include", "third"]).expect(0, &["Restored 1 file"]);
    assert_eq!(fs::metadata(to.join("b/third")).unwrap().nlink(), 1);
    // And a name that is missing is linked to those that are there.
    fs::remove_file(sample.to().join("a/first")).unwrap();
    sample.restore(&[]).expect(0, &["Restored 1 file"]);
    assert_eq!((meta("a/first").ino(), meta("a/first").nlink()), (meta("b/third").ino(), 3));
}
