//! Containers of many kinds by name, for tests and for comparing with foreign readers.

use super::*;
use crate::decmpfs::DecmpfsType;
use crate::hfs::{Acl, Content};

/// Names of the kinds that `sample` knows, with what is special about each.
pub const KINDS: &[(&str, &str)] = &[
    ("basic", "one case-sensitive volume: a bit of everything"),
    ("folded", "ignores case"),
    ("plain-names", "names are not hashed, space manager without zones (10.12)"),
    ("empty", "nothing on it"),
    ("block-8k", "8192-byte blocks"),
    ("block-64k", "65,536-byte blocks"),
    ("small", "ten megabytes"),
    ("fragmented", "metadata scattered, nodes with gaps, data in many extents"),
    ("compressed", "files of all kinds of compression"),
    ("long-names", "names of more than 255 bytes"),
    ("deep", "many files: three levels of the file-system tree"),
    ("snapshots", "a history with six snapshots, one of which was deleted"),
    ("tombstones", "the same, with mappings marked deleted"),
    ("clones", "shared streams and shared blocks, before and after writes and snapshots"),
    ("volumes", "four volumes with roles, one of them encrypted"),
    ("encrypted", "an encrypted volume, password \"password\" and a recovery key"),
    ("huge", "nine terabytes: chunk info in two tiers"),
    ("dirty", "not unmounted: block 0 is old"),
    ("time-machine", "the volume of testdata/DemoAPFS.backupbundle"),
    ("time-machine-clones", "the same, unchanged files carried over as clones"),
    ("everything", "most of the above on one volume, for damage"),
];

const SECOND: i64 = 1_000_000_000;

/// The recovery key of the kind "encrypted".
pub const RECOVERY_KEY: &str = "ABCD-EFGH-JKLM-NPQR-STUV-WXYZ";

fn container(kind: &str) -> ContainerOptions {
    let usual = ContainerOptions::default();
    match kind {
        "plain-names" => ContainerOptions { versioned: false, newest_mounted: 0, ..usual },
        "block-8k" => ContainerOptions { block_size: 8192, size: 512 << 20, ..usual },
        "block-64k" => ContainerOptions { block_size: 65_536, size: (2 << 30) + 4096, ..usual },
        "small" => ContainerOptions { size: 10 << 20, data_blocks: 0, ..usual },
        "fragmented" => ContainerOptions { scatter: true, ragged: true, size: 300 << 20, ..usual },
        "everything" => ContainerOptions { ragged: true, size: 300 << 20, ..usual },
        "volumes" => ContainerOptions { size: 2 << 30, ..usual },
        "huge" => ContainerOptions { size: 9 << 40, ..usual },
        "dirty" => ContainerOptions { unmounted: false, ..usual },
        _ => usual,
    }
}

fn volume(kind: &str) -> VolumeOptions {
    let usual = VolumeOptions::default();
    match kind {
        "folded" => VolumeOptions { names: Names::Folded, ..usual },
        "plain-names" => VolumeOptions { names: Names::Plain, ..usual },
        "encrypted" => VolumeOptions { encryption: Some(encryption()), ..usual },
        "tombstones" => VolumeOptions { tombstones: true, ..usual },
        "everything" => VolumeOptions { prealloc_feature: true, ..usual },
        _ => usual,
    }
}

/// Encryption with the password "password" and a recovery key.
pub fn encryption() -> VolumeEncryption {
    VolumeEncryption {
        recovery_key: Some(RECOVERY_KEY.into()),
        hint: Some("the usual".into()),
        ..VolumeEncryption::with_password("password")
    }
}

/// Makes the container of that kind; `None` for an unknown name.
pub fn sample(kind: &str) -> Option<Built> {
    KINDS.iter().find(|k| k.0 == kind)?;
    match kind {
        "time-machine" => return Some(demo::container(timemachine::Carry::Rename).0),
        "time-machine-clones" => return Some(demo::container(timemachine::Carry::Clone).0),
        _ => {}
    }
    let mut c = Container::new(container(kind));
    let v = c.add_volume(volume(kind));
    c.commit();
    match kind {
        "empty" => {}
        "long-names" => {
            let mut vol = c.volume(v);
            for (i, c) in ["\u{65e5}", "\u{e9}", "o\u{301}", "\u{1f600}"].into_iter().enumerate() {
                let content = format!("long name {i}\n");
                vol.file(ROOT, &c.repeat(255), content.as_str(), Meta::file());
            }
        }
        "compressed" => compressed(&mut c.volume(v), ROOT),
        "deep" => deep(&mut c.volume(v)),
        "snapshots" | "tombstones" => snapshots(&mut c, v),
        "clones" => clones(&mut c, v),
        "volumes" => volumes(&mut c, v),
        "fragmented" => {
            plain(&mut c.volume(v));
            fragments(&mut c.volume(v));
            snapshots(&mut c, v);
        }
        "everything" => everything(&mut c, v),
        "small" => plain(&mut c.volume(v)),
        _ => {
            plain(&mut c.volume(v));
            extras(&mut c.volume(v));
            c.snapshot(v, "first", DEFAULT_NS + SECOND);
            let mut vol = c.volume(v);
            vol.unlink(ROOT, "hello.txt");
            vol.file(ROOT, "later", "written after the snapshot\n", Meta::file());
        }
    }
    Some(c.finish())
}

/// Files, folders and links of all kinds.
pub fn plain(v: &mut Vol) {
    v.file(ROOT, "empty", "", Meta::file());
    v.file(ROOT, "hello.txt", "Hello, world\n", Meta::file());
    v.file(ROOT, "one block", Content::text(1, 4096), Meta::with_mode(0o600));
    let docs = v.mkdir(ROOT, "Documents", Meta::dir().owned(502, 20));
    let letter = Meta::file().dated(1_400_000_000_000_000_001);
    v.file(docs, "letter.txt", Content::text(2, 30_000), letter);
    v.file(docs, "before 1970", "old\n", Meta::file().dated(-1_000_000_001));
    v.file(docs, "noise.bin", Content::Pattern { seed: 5, len: 200_001 }, Meta::file());
    v.file(docs, "zeros.bin", Content::Zeros(70_000), Meta::file());
    v.file(docs, "Ångström café.txt", "unicode\n", Meta::file());
    v.file(docs, "decomposed e\u{301}", "unicode\n", Meta::file());
    v.file(docs, "각 한글 \u{212B}", "hangul\n", Meta::file());
    v.file(docs, "Жук и файл", "cyrillic\n", Meta::file());
    v.file(docs, "with:colon", "colon\n", Meta::file());
    v.file(docs, &"n".repeat(255), "long name\n", Meta::file());
    let sub = v.mkdir(docs, "sub", Meta::with_mode(0o1777));
    v.mkdir(sub, "empty folder", Meta::dir());
    v.symlink(ROOT, "link", "Documents/letter.txt", Meta::with_mode(0o755));
    v.symlink(sub, "dangling", "/nowhere/\u{e9}", Meta::with_mode(0o755));
    v.special(ROOT, "fifo", None, Meta::with_mode(0o010_644));
    v.special(ROOT, "socket", None, Meta::with_mode(0o140_755));
    v.special(ROOT, "tty", Some(0x0200_0001), Meta::with_mode(0o020_620));
    v.special(ROOT, "disk", Some(0x0100_0003), Meta::with_mode(0o060_640));
    for i in 0..40 {
        v.file(sub, &format!("file {i:03}"), Content::text(i, i as usize * 97), Meta::file());
    }
}

/// Attributes, holes, hard links, a file that is deleted but open.
pub fn extras(v: &mut Vol) {
    let dir = v.mkdir(ROOT, "extras", Meta::dir());
    let rsrc = v.file(dir, "resource", "data fork\n", Meta::file());
    v.set_xattr(rsrc, crate::decmpfs::RESOURCE_FORK, Content::text(7, 9_000));
    let mut info = [0u8; 32];
    info[..8].copy_from_slice(b"TEXTttxt");
    v.set_xattr(rsrc, FINDER_INFO, info.to_vec());
    let small = v.file(dir, "small resource", "data fork\n", Meta::file());
    v.set_embedded_xattr(small, crate::decmpfs::RESOURCE_FORK, "tiny fork");
    let attrs = v.file(dir, "attributes", "has attributes\n", Meta::file());
    v.set_xattr(attrs, "com.example.empty", "");
    v.set_xattr(attrs, "com.example.odd", "odd");
    v.set_xattr(attrs, "com.example.inline", Content::text(8, 3_804));
    v.set_xattr(attrs, "com.example.big", Content::text(9, 60_000));
    v.set_stream_xattr(attrs, "com.example.small-stream", "in a stream all the same");
    v.set_xattr(dir, "com.example.on-folder", "folder");
    let acl = v.file(dir, "acl", "listed\n", Meta::file());
    v.set_acl(acl, &Acl::time_machine());
    v.file(dir, "flagged", "hidden\n", Meta::file().flagged(0x8002));
    holes(v, dir);
    links(v, dir);
    v.orphan("deleted while open\n");
}

fn holes(v: &mut Vol, dir: Ino) {
    let sparse = v.file(dir, "sparse", "", Meta::file());
    v.write(sparse, 100_000, "after a hole\n");
    v.write(sparse, 500_000, Content::text(10, 9_000));
    let end = v.file(dir, "ends in a hole", "begins with data\n", Meta::file());
    v.truncate(end, 1 << 20);
    let hole = v.file(dir, "all hole", "", Meta::file());
    v.truncate(hole, 123_456);
    let spare = v.file(dir, "preallocated", "short\n", Meta::file());
    v.preallocate(spare, 12);
}

fn links(v: &mut Vol, dir: Ino) {
    let file = v.file(dir, "original", "one file, many names\n", Meta::file());
    v.set_xattr(file, "com.example.inode", "on the inode");
    for i in 0..5 {
        v.hard_link(file, ROOT, &format!("name {i}"));
    }
    let primary = v.file(dir, "to be removed", "its name moves\n", Meta::file());
    v.hard_link(primary, dir, "second name");
    v.hard_link(primary, dir, "third name");
    v.unlink(dir, "to be removed");
    let single = v.file(dir, "one link left", "keeps its sibling\n", Meta::file());
    v.hard_link(single, dir, "gone");
    v.unlink(dir, "gone");
}

/// Files of all kinds of compression, in a folder of `parent`.
pub fn compressed(v: &mut Vol, parent: Ino) {
    let dir = v.mkdir(parent, "compressed", Meta::dir());
    let small = Content::text(20, 2_000);
    let large = Content::text(21, 200_000);
    for how in DecmpfsType::ALL {
        use DecmpfsType::*;
        let content = match how {
            Zeros5 => Content::Zeros(10_000),
            Dataless => Content::Empty,
            Plain1 | Stored9 | Lzbitmap13 => small.clone(),
            _ if how.in_resource_fork() => large.clone(),
            _ => small.clone(),
        };
        let id = v.file(dir, &format!("type {:x}", how.number()), content, Meta::file());
        v.compress(id, how);
        if how == Dataless {
            v.set_meta(id, |m| m.bsd_flags |= 0x4000_0000);
        }
    }
    let noise = v.file(dir, "noise 4", Content::Pattern { seed: 3, len: 70_000 }, Meta::file());
    v.compress(noise, DecmpfsType::Zlib4);
    let empty = v.file(dir, "empty 3", "", Meta::file());
    v.compress(empty, DecmpfsType::Zlib3);
}

fn fragments(v: &mut Vol) {
    for pieces in [2, 7, 8, 40, 200] {
        let len = 900_000 + pieces;
        let id = v.file(ROOT, &format!("pieces {pieces}"), "", Meta::file());
        v.write_pieces(id, 0, Content::Pattern { seed: pieces, len }, pieces);
    }
}

fn deep(v: &mut Vol) {
    let mut at = ROOT;
    for level in 0..24 {
        at = v.mkdir(at, &format!("level {level:02} {}", "x".repeat(level)), Meta::dir());
        for i in 0..400 {
            let name = format!("{level} {i} {}", "y".repeat(i % 60));
            v.file(at, &name, Content::text(i as u64, i % 3 * 50), Meta::file());
        }
    }
}

fn snapshots(c: &mut Container, v: usize) {
    let mut vol = c.volume(v);
    let dir = vol.mkdir(ROOT, "history", Meta::dir());
    for i in 0..300 {
        vol.file(dir, &format!("file {i:03}"), Content::text(i, 3_000), Meta::file());
    }
    let log = vol.file(dir, "log", "begin\n", Meta::file());
    for round in 0..7 {
        let name = format!("snapshot {round}");
        c.snapshot(v, &name, DEFAULT_NS + (round as i64 + 1) * 3600 * SECOND);
        let mut vol = c.volume(v);
        for i in (round * 40..round * 40 + 40).step_by(3) {
            let name = format!("file {i:03}");
            match i % 4 {
                0 => vol.unlink(dir, &name),
                1 => vol.rename(dir, &name, ROOT, &format!("moved {i}")),
                2 => {
                    let id = vol.lookup(&format!("history/{name}")).expect("a file");
                    vol.write(id, 1_000, Content::text(i as u64 + 999, 2_500));
                }
                _ => {
                    let id = vol.lookup(&format!("history/{name}")).expect("a file");
                    vol.truncate(id, 100);
                }
            }
        }
        vol.write(log, vol.size(log), format!("round {round}\n").as_str());
        let new = vol.mkdir(dir, &format!("new in {round}"), Meta::dir());
        for i in 0..20 {
            vol.file(new, &format!("new {i}"), Content::text(i + 5_000, 1_500), Meta::file());
        }
        if round > 1 {
            vol.remove_tree(dir, &format!("new in {}", round - 2));
        }
        c.commit();
    }
    c.delete_snapshot(v, "snapshot 3");
    c.commit();
}

/// Shared streams and shared blocks, before and after two snapshots.
pub fn clones(c: &mut Container, v: usize) {
    let mut vol = c.volume(v);
    let dir = vol.mkdir(ROOT, "clones", Meta::dir());
    let first = vol.file(dir, "source", Content::text(1, 40_000), Meta::file());
    vol.set_xattr(first, "com.example.big", Content::text(2, 20_000));
    vol.clone_file(first, dir, "same stream", false);
    vol.clone_file(first, dir, "same blocks", true);
    let third = vol.clone_file(first, dir, "written", false);
    vol.write(third, 8_192, "changed in the clone");
    c.snapshot(v, "one", DEFAULT_NS + SECOND);
    let mut vol = c.volume(v);
    let later = vol.clone_file(first, dir, "cloned later", true);
    vol.write(later, 0, Content::text(3, 5_000));
    vol.write(first, 20_000, "the source changes too");
    vol.unlink(dir, "same blocks");
    c.snapshot(v, "two", DEFAULT_NS + 2 * SECOND);
    let mut vol = c.volume(v);
    vol.unlink(dir, "source");
    vol.clone_file(later, dir, "clone of a clone", true);
    vol.truncate(later, 12_288);
}

fn volumes(c: &mut Container, v: usize) {
    plain(&mut c.volume(v));
    let more = [
        ("Data", 0x40, Names::Folded, None),
        ("Backups of Mac", ROLE_BACKUP, Names::Normal, None),
        ("Secret", 0, Names::Folded, Some(encryption())),
    ];
    for (name, role, names, encryption) in more {
        let name = name.to_string();
        let options = VolumeOptions { name, role, names, encryption, ..VolumeOptions::default() };
        let n = c.add_volume(options);
        plain(&mut c.volume(n));
        c.snapshot(n, "of this volume", DEFAULT_NS + SECOND);
        extras(&mut c.volume(n));
    }
}

fn everything(c: &mut Container, v: usize) {
    plain(&mut c.volume(v));
    extras(&mut c.volume(v));
    compressed(&mut c.volume(v), ROOT);
    fragments(&mut c.volume(v));
    clones(c, v);
    snapshots(c, v);
}
