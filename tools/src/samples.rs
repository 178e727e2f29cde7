//! Volumes of many kinds by name, for tests and for comparing with foreign readers.

use crate::decmpfs::DecmpfsType;
use crate::hfs::{Acl, Content, ForkKind, Meta, VolumeBuilder, VolumeOptions, utf16, wrap_in_hfs};
use crate::image::Image;
use crate::journal::{self, Dirty, JournalDamage, Torn, Wrap};
use crate::partition::{self, Gpt, MapDamage};

/// Names of the kinds that `sample` knows, with what is special about each.
pub const KINDS: [(&str, &str); 17] = [
    ("basic", "HFSX, journaled: a bit of everything"),
    ("hfs-plus", "H+, ignores case"),
    ("no-journal", "H+, without journal"),
    ("empty", "HFSX, nothing in it"),
    ("block-512", "512-byte blocks, 4096-byte nodes"),
    ("block-1k", "1024-byte blocks"),
    ("block-64k", "65,536-byte blocks, 8192-byte catalog nodes"),
    ("no-attributes", "no attributes tree"),
    ("fragmented", "forks in many extents, bad blocks"),
    ("pieces-xattr", "an attribute in many extents"),
    ("pieces-trees", "catalog and attributes file in many extents"),
    ("deep", "many folders, three levels of catalog, leaves numbered backwards"),
    ("maps", "catalog with map nodes"),
    ("links", "hard links to files and folders, nested and many"),
    ("everything", "all of the above on one volume, for damage"),
    ("time-machine", "the volume of testdata/Demo.sparsebundle"),
    ("old-links", "hard links without chains"),
];

/// A way to put a volume on a disk: the disk and the volume's byte offset on it.
pub type Wrapper = Box<dyn Fn(&Image) -> (Image, u64)>;

/// Disks by name: each partition map, whole and broken.
pub fn disks() -> Vec<(String, Wrapper)> {
    let efi = Gpt { efi_sectors: 409_600, name: "Time Machine Backups".into(), ..Gpt::default() };
    let large = Gpt { sector: 4096, first: 6, ..Gpt::default() };
    let mut out: Vec<(String, Wrapper)> = vec![
        ("none".into(), Box::new(|v: &Image| (v.clone(), 0))),
        ("gpt".into(), Box::new(|v: &Image| Gpt::default().wrap(v))),
        ("gpt-efi".into(), Box::new(move |v: &Image| efi.wrap(v))),
        ("gpt-4k".into(), Box::new(move |v: &Image| large.wrap(v))),
        ("apm".into(), Box::new(|v: &Image| partition::apm(v, "Apple_HFSX"))),
        ("hfs-wrapper".into(), Box::new(|v: &Image| wrap_in_hfs(v, 4096))),
        ("mbr".into(), Box::new(|v: &Image| partition::mbr(v))),
    ];
    for (name, damage) in MapDamage::ALL {
        let gpt = Gpt { damage: Some(damage), ..Gpt::default() };
        out.push((name.into(), Box::new(move |v: &Image| gpt.wrap(v))));
    }
    out
}

/// Dirty journals by name, whole and broken.
pub fn journals() -> Vec<(String, Dirty)> {
    let plain = Dirty::default();
    let mut out: Vec<(String, Dirty)> = vec![
        ("journal-little-endian".into(), plain.clone()),
        ("journal-big-endian".into(), Dirty { big_endian: true, ..plain.clone() }),
        ("journal-wrapped-data".into(), Dirty { wrap: Wrap::Data, ..plain.clone() }),
        ("journal-wrapped-header".into(), Dirty { wrap: Wrap::Header, ..plain.clone() }),
        ("journal-many-headers".into(), Dirty { blocks_per_header: 2, ..plain.clone() }),
        ("journal-no-block-sums".into(), Dirty { block_checksums: false, ..plain.clone() }),
        ("journal-past-end".into(), Dirty { past_end: true, ..plain.clone() }),
    ];
    let broken = JournalDamage::ALL
        .map(|(name, damage)| (name.into(), Dirty { damage: Some(damage), ..plain.clone() }));
    out.extend(broken);
    out
}

/// A volume between two states, with a journal that leads from one to the other.
pub fn torn(how: &Dirty) -> Torn {
    let (old, new) = two_states();
    journal::between(&old.build(), &new.build(), how)
}

/// A volume before and after files, folders and links were added.
pub fn two_states() -> (VolumeBuilder, VolumeBuilder) {
    let options = VolumeOptions {
        catalog_nodes: 96,
        attributes_nodes: 24,
        extents_nodes: 16,
        ..VolumeOptions::default()
    };
    let mut old = VolumeBuilder::new(options);
    plain(&mut old);
    let mut new = old.clone();
    extras(&mut new);
    let root = new.root();
    let dir = new.mkdir(root, "after", Meta::dir());
    for i in 0..100 {
        new.file(dir, &format!("new {i}"), Content::text(i, 700), Meta::file());
    }
    (old, new)
}

/// Makes the volume of that kind; `None` for an unknown name.
pub fn sample(kind: &str) -> Option<VolumeBuilder> {
    if kind == "time-machine" {
        return Some(crate::demo::volume().0);
    }
    let mut volume = VolumeBuilder::new(options_of(kind)?);
    match kind {
        "empty" => {}
        "links" => links(&mut volume),
        "old-links" => old_links(&mut volume),
        "no-attributes" => plain(&mut volume),
        "deep" => deep(&mut volume),
        "fragmented" => {
            plain(&mut volume);
            extras(&mut volume);
            fragments(&mut volume);
        }
        "everything" => everything(&mut volume),
        "pieces-xattr" => {
            plain(&mut volume);
            attribute_pieces(&mut volume);
        }
        _ => {
            plain(&mut volume);
            extras(&mut volume);
        }
    }
    Some(volume)
}

fn options_of(kind: &str) -> Option<VolumeOptions> {
    let hfsx = VolumeOptions::default();
    let plus = VolumeOptions::hfs_plus();
    Some(match kind {
        "basic" | "links" | "empty" => hfsx,
        "everything" => {
            VolumeOptions { size: 64 << 20, bad_blocks: 3, extents_node_size: 512, ..hfsx }
        }
        "hfs-plus" | "old-links" => plus,
        "no-journal" => VolumeOptions { journal_size: 0, ..plus },
        "block-512" => VolumeOptions { block_size: 512, size: (32 << 20) + 512, ..hfsx },
        "block-1k" => VolumeOptions { block_size: 1024, size: (32 << 20) + 512, ..hfsx },
        "block-64k" => VolumeOptions {
            block_size: 65_536,
            catalog_node_size: 8192,
            size: (64 << 20) + 4096,
            ..plus
        },
        "no-attributes" => VolumeOptions { with_attributes: false, ..plus },
        "fragmented" => VolumeOptions { bad_blocks: 10, ..hfsx },
        "pieces-xattr" => hfsx,
        "pieces-trees" => VolumeOptions {
            catalog_pieces: 21,
            catalog_nodes: 64,
            attributes_pieces: 11,
            attributes_nodes: 32,
            ..hfsx
        },
        "deep" => VolumeOptions { reverse_leaves: true, ..hfsx },
        "maps" => {
            let size = 256 << 20;
            VolumeOptions { size, catalog_nodes: 40_000, block_size: 512, ..hfsx }
        }
        _ => return None,
    })
}

fn plain(v: &mut VolumeBuilder) {
    let root = v.root();
    v.file(root, "empty", Content::Empty, Meta::file());
    v.file(root, "hello.txt", "Hello, world\n", Meta::file());
    v.file(root, "one block", Content::text(1, 4096), Meta::with_mode(0o600));
    let docs = v.mkdir(root, "Documents", Meta::dir().owned(502, 20));
    v.file(docs, "letter.txt", Content::text(2, 30_000), Meta::file().dated(1_400_000_000));
    v.file(docs, "noise.bin", Content::Pattern { seed: 5, len: 200_001 }, Meta::file());
    v.file(docs, "zeros.bin", Content::Zeros(70_000), Meta::file());
    v.file(docs, "Ångström café.txt", "unicode\n", Meta::file());
    v.file(docs, "각 한글 \u{212B}", "hangul\n", Meta::file());
    v.file(docs, "Жук и файл", "cyrillic\n", Meta::file());
    v.file(docs, "with/slash", "slash\n", Meta::file());
    v.file_units(docs, utf16(&"n".repeat(255)), "long name\n", Meta::file());
    let sub = v.mkdir(docs, "sub", Meta::with_mode(0o1777));
    v.mkdir(sub, "empty folder", Meta::dir());
    v.symlink(root, "link", "Documents/letter.txt", Meta::with_mode(0o755));
    v.symlink(sub, "dangling", "/nowhere/\u{e9}", Meta::with_mode(0o755));
    v.special(root, "fifo", 0, Meta::with_mode(0o010_644));
    v.special(root, "socket", 0, Meta::with_mode(0o140_755));
    v.special(root, "tty", 0x0200_0001, Meta::with_mode(0o020_620));
    v.special(root, "disk", 0x0100_0003, Meta::with_mode(0o060_640));
    for i in 0..40 {
        v.file(sub, &format!("file {i:03}"), Content::text(i, i as usize * 97), Meta::file());
    }
}

fn extras(v: &mut VolumeBuilder) {
    let root = v.root();
    let dir = v.mkdir(root, "extras", Meta::dir());
    let rsrc =
        v.file(dir, "resource", "data fork\n", Meta::file().finder(b"TEXT", b"ttxt", 0x0400));
    v.set_resource_fork(rsrc, Content::text(7, 9_000));
    let attrs = v.file(dir, "attributes", "has attributes\n", Meta::file());
    v.set_xattr(attrs, "com.example.empty", Content::Empty);
    v.set_xattr(attrs, "com.example.odd", "odd");
    v.set_xattr(attrs, "com.example.inline", Content::text(8, 1_500));
    v.set_xattr(attrs, "com.example.big", Content::text(9, 60_000));
    v.set_xattr(dir, "com.example.on-folder", "folder");
    let acl = v.file(dir, "acl", "listed\n", Meta::file());
    v.set_acl(acl, &Acl::time_machine());
    compressed(v, dir);
    let mut added = Meta::file();
    added.date_added = Some(1_571_000_001);
    v.file(dir, "added", "dated\n", added);
    v.orphan("deleted while open\n");
}

fn compressed(v: &mut VolumeBuilder, parent: u32) {
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
        let name = format!("type {:x}", how.number());
        let id = v.file(dir, &name, content, Meta::file());
        v.compress(id, how);
    }
    let noise = v.file(dir, "noise 4", Content::Pattern { seed: 3, len: 70_000 }, Meta::file());
    v.compress(noise, DecmpfsType::Zlib4);
    let empty = v.file(dir, "empty 3", Content::Empty, Meta::file());
    v.compress(empty, DecmpfsType::Zlib3);
}

fn fragments(v: &mut VolumeBuilder) {
    let root = v.root();
    for pieces in [2, 7, 8, 9, 16, 17, 40, 200] {
        let name = format!("pieces {pieces}");
        let len = 900_000 + u64::from(pieces);
        let id = v.file(root, &name, Content::Pattern { seed: pieces.into(), len }, Meta::file());
        v.fragment(id, ForkKind::Data, pieces);
    }
    let both = v.file(root, "both forks", Content::text(30, 90_000), Meta::file());
    v.set_resource_fork(both, Content::text(31, 100_000));
    v.fragment(both, ForkKind::Data, 10);
    v.fragment(both, ForkKind::Resource, 20);
    let spare = v.file(root, "preallocated", "short\n", Meta::file());
    v.preallocate(spare, ForkKind::Data, 12);
}

fn everything(v: &mut VolumeBuilder) {
    links(v);
    extras(v);
    fragments(v);
    attribute_pieces(v);
    let root = v.root();
    let many = v.mkdir(root, "many", Meta::dir());
    for i in 0..600 {
        let content = Content::text(i, 100 + i as usize);
        let sum = crate::cksum::cksum(&content.to_vec());
        let id = v.file(many, &format!("file {i:04}"), content, Meta::file());
        v.set_xattr(id, crate::timemachine::CHECKSUM, sum.to_le_bytes().to_vec());
        if i % 3 == 0 {
            v.set_acl(id, &Acl::time_machine());
        }
    }
}

fn attribute_pieces(v: &mut VolumeBuilder) {
    let root = v.root();
    let attr = v.file(root, "attribute", "", Meta::file());
    v.set_xattr_fork(attr, "com.example.pieces", Content::text(32, 150_000), 30);
    v.set_xattr_fork(attr, "com.example.small-fork", "tiny", 1);
}

fn deep(v: &mut VolumeBuilder) {
    let mut at = v.root();
    for level in 0..24 {
        at = v.mkdir(at, &format!("level {level:02} {}", "x".repeat(level)), Meta::dir());
        for i in 0..200 {
            v.file(
                at,
                &format!("{level} {i} {}", "y".repeat(i % 60)),
                Content::Empty,
                Meta::file(),
            );
        }
    }
}

fn links(v: &mut VolumeBuilder) {
    let root = v.root();
    plain(v);
    let file = v.file(root, "original", "one file, many names\n", Meta::file());
    v.set_xattr(file, "com.example.inode", "on the inode");
    for i in 0..30 {
        v.hard_link(file, root, &format!("name {i}"));
    }
    let tree = v.mkdir(root, "tree", Meta::dir());
    let inner = v.mkdir(tree, "inner", Meta::dir());
    v.file(inner, "leaf", "leaf\n", Meta::file());
    v.file(tree, "twig", "twig\n", Meta::file());
    let other = v.mkdir(root, "other", Meta::dir());
    v.dir_link(inner, other, "inner again");
    let far = v.mkdir(other, "far", Meta::dir());
    v.dir_link(tree, far, "tree again");
    v.dir_link(tree, other, "tree thrice");
    let compressed = v.file(tree, "compressed", Content::text(40, 50_000), Meta::file());
    v.compress(compressed, DecmpfsType::Zlib4);
    v.hard_link(compressed, far, "compressed too");
}

fn old_links(v: &mut VolumeBuilder) {
    let root = v.root();
    plain(v);
    let file = v.file(root, "old original", "linked before 2007\n", Meta::file());
    for i in 0..3 {
        v.old_hard_link(file, root, &format!("old name {i}"), 77_123);
    }
}

/// Snapshots on a big volume.
const SNAPSHOTS: usize = 10;

/// A volume of about `files` files, a hundred to a folder, with contents of zeros; every tenth
/// folder is shared by all of ten snapshots, and every hundredth file has a hard link.
pub fn big(files: u32) -> VolumeBuilder {
    let size = (u64::from(files) * 8192 + (1 << 30)).next_multiple_of(1 << 20);
    let options = VolumeOptions { size, journal_size: 8 << 20, ..VolumeOptions::default() };
    let mut v = VolumeBuilder::new(options);
    let root = v.root();
    let linked = v.mkdir(root, "linked", Meta::dir());
    let snapshots: [u32; SNAPSHOTS] =
        std::array::from_fn(|n| v.mkdir(root, &format!("snapshot {n}"), Meta::dir()));
    let mut shelf = root;
    for folder in 0..files.div_ceil(100) {
        if folder % 100 == 0 {
            shelf = v.mkdir(root, &format!("shelf {}", folder / 100), Meta::dir());
        }
        let dir = v.mkdir(shelf, &format!("folder {folder}"), Meta::dir());
        for i in 0..100.min(files - folder * 100) {
            let len = u64::from((folder * 31 + i * 97) % 6_000);
            let file = v.file(dir, &format!("file {i}"), Content::Zeros(len), Meta::file());
            if i == 7 {
                v.hard_link(file, linked, &format!("file {folder}"));
            }
        }
        if folder % 10 == 0 {
            for snapshot in snapshots {
                v.dir_link(dir, snapshot, &format!("folder {folder}"));
            }
        }
    }
    v
}
