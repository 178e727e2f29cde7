//! What comes back of a broken volume: every file whose record and extents still exist.

use crate::common::{self, contents::readable};
use std::collections::BTreeSet;
use std::sync::Arc;
use tmbundle::hfsplus::HfsPlus;
use tmbundle::io::Memory;
use tmbundle::report::NoProgress;
use tools::Image;
use tools::hfs::{Content, Meta, Volume, VolumeBuilder, VolumeOptions};

/// Folders, files with contents of their own, links, fragments, compression.
fn volume() -> Volume {
    let mut builder = tools::samples::sample("links").unwrap();
    let root = builder.root();
    for d in 0..12 {
        let dir = builder.mkdir(root, &format!("folder {d}"), Meta::dir());
        for f in 0..40 {
            let seed = d * 1000 + f;
            builder.file(
                dir,
                &format!("file {f}"),
                Content::text(seed, 3000 + 7 * f as usize),
                Meta::file(),
            );
        }
    }
    builder.build()
}

/// Hashes of all contents that can be read, and paths of all files.
fn contents(fs: &HfsPlus) -> (BTreeSet<String>, BTreeSet<String>) {
    let found = readable(fs);
    let sums = found.values().cloned().collect();
    (sums, found.into_keys().collect())
}

fn salvaged(image: &Image) -> HfsPlus {
    HfsPlus::salvage(Arc::new(Memory::new(image.to_vec())), &NoProgress).unwrap()
}

fn headers_lost(volume: &Volume, image: &mut Image) {
    image.fill(volume.layout.header(), 512, 0);
    image.fill(volume.layout.alternate(), 512, 0);
}

#[test]
fn everything_comes_back_without_headers_root_or_index() {
    let volume = volume();
    let whole = HfsPlus::open(Arc::new(Memory::new(volume.image.to_vec()))).unwrap();
    let (sums, paths) = contents(&whole);
    assert!(sums.len() > 480, "{}", sums.len());
    let catalog = &volume.layout.catalog;
    let node = |n: u32| (catalog.node(n), u64::from(catalog.node_size));
    type Damage<'a> = (&'a str, Box<dyn Fn(&mut Image) + 'a>);
    let damages: Vec<Damage<'_>> = vec![
        ("nothing", Box::new(|_| {})),
        ("primary header", Box::new(|i| i.fill(volume.layout.header(), 512, 0))),
        ("both headers", Box::new(|i| headers_lost(&volume, i))),
        ("catalog header node", Box::new(|i| i.fill(node(0).0, node(0).1, 0))),
        ("catalog root node", Box::new(|i| i.fill(node(catalog.root).0, node(catalog.root).1, 0))),
        (
            "all of the index, and the header node",
            Box::new(|i| {
                i.fill(node(0).0, node(0).1, 0);
                for n in catalog.index.iter().flatten() {
                    i.fill(node(*n).0, node(*n).1, 0);
                }
            }),
        ),
        (
            "everything but leaves and contents",
            Box::new(|i| {
                headers_lost(&volume, i);
                i.fill(node(0).0, node(0).1, 0);
                for n in catalog.index.iter().flatten() {
                    i.fill(node(*n).0, node(*n).1, 0);
                }
                i.fill(
                    volume.layout.extents.node(0),
                    u64::from(volume.layout.extents.node_size),
                    0,
                );
                i.fill(volume.layout.block(volume.layout.bitmap[0].start), 4096, 0);
            }),
        ),
    ];
    for (name, damage) in damages {
        let mut image = volume.image.clone();
        damage(&mut image);
        let (back, named) = contents(&salvaged(&image));
        assert_eq!(sums.difference(&back).count(), 0, "{name}: {} of {}", back.len(), sums.len());
        assert!(
            paths.is_subset(&named),
            "{name}: {:?}",
            paths.difference(&named).collect::<Vec<_>>()
        );
    }
}

/// Leaves are lost: what was in the others is there, by its path or under lost+found.
#[test]
fn what_is_in_other_leaves_comes_back() {
    let volume = volume();
    let catalog = &volume.layout.catalog;
    let count = catalog.leaves.len();
    for step in [3, 7] {
        let mut image = volume.image.clone();
        let lost: Vec<u32> = catalog.leaves.iter().copied().step_by(step).collect();
        for n in &lost {
            image.fill(catalog.node(*n), u64::from(catalog.node_size), 0);
        }
        // Files whose own record, and that of their inode, is in a leaf that is left.
        let mut left = BTreeSet::new();
        for (id, kind, extents) in volume.layout.forks() {
            let record = volume.layout.record(&volume.image, id);
            let there = record.is_some_and(|r| !lost.contains(&r.node));
            let data = record.map(|r| volume.image.read(r.data, 248));
            let plain =
                data.is_some_and(|d| d[1] == 2 && d[41] & 0x20 == 0 && &d[48..52] != b"jrnl");
            if there && plain && kind == tools::hfs::ForkKind::Data && id >= 16 {
                let record = record.unwrap().data + 88;
                let len = u64::from_be_bytes(volume.image.read(record, 8).try_into().unwrap());
                let mut bytes = Vec::new();
                for e in extents {
                    let at = volume.layout.block(e.start);
                    bytes.extend(volume.image.read(at, e.count as usize * 4096));
                }
                bytes.truncate(len as usize);
                left.insert((id, common::sha256(&bytes)));
            }
        }
        let fs = salvaged(&image);
        let (back, paths) = contents(&fs);
        let (links, plain): (Vec<_>, Vec<_>) = left.iter().partition(|(id, _)| {
            let key = volume.layout.record(&volume.image, *id).unwrap().key;
            let parent = volume.image.read(key + 2, 4);
            u32::from_be_bytes(parent.try_into().unwrap()) == volume.layout.private.0
        });
        let missing = plain.iter().filter(|(_, sum)| !back.contains(sum)).count();
        assert_eq!(missing, 0, "of {} files in {count} leaves, every {step}th lost", plain.len());
        assert!(plain.len() > 150, "{} and {} links", plain.len(), links.len());
        assert!(paths.iter().any(|p| p.starts_with("folder ")), "{paths:?}");
    }
}

/// A disk image among the files has a catalog of its own, which is not the volume's.
#[test]
fn catalogs_inside_files_are_not_taken_for_the_volumes() {
    let mut inner = VolumeBuilder::new(VolumeOptions {
        size: 4 << 20,
        journal_size: 0,
        ..VolumeOptions::default()
    });
    let root = inner.root();
    for i in 0..60 {
        inner.file(root, &format!("inner {i}"), Content::text(i, 500), Meta::file());
    }
    let mut builder = tools::samples::sample("links").unwrap();
    let root = builder.root();
    for i in 0..200 {
        builder.file(root, &format!("outer {i}"), Content::text(900 + i, 500), Meta::file());
    }
    builder.file(root, "disk.dmg", inner.build().image.to_vec(), Meta::file());
    let volume = builder.build();
    let mut image = volume.image.clone();
    headers_lost(&volume, &mut image);
    let (_, paths) = contents(&salvaged(&image));
    assert!(paths.contains("disk.dmg") && paths.contains("outer 199"), "{paths:?}");
    assert!(!paths.iter().any(|p| p.starts_with("inner ")), "{paths:?}");
}

#[test]
fn commands_take_the_option_and_hint_at_it() {
    let volume = volume();
    let mut image = volume.image.clone();
    let catalog = &volume.layout.catalog;
    image.fill(catalog.node(0), u64::from(catalog.node_size), 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.img");
    image.write_to(&path).unwrap();
    let path = path.to_str().unwrap();
    common::tmbundle(&["ls", path, "volume:/"]).expect(1, &["--salvage"]);
    common::tmbundle(&["ls", "--salvage", path, "volume:/"]).expect(0, &["folder 7"]);
    let text = String::from_utf8(Content::text(7003, 3021).to_vec()).unwrap();
    let cat = common::tmbundle(&["cat", "--salvage", path, "volume:/folder 7/file 3"]);
    assert!(cat.out == text, "{cat:?}");
    let to = dir.path().join("restored");
    let to = to.to_str().unwrap();
    common::tmbundle(&["extract", "--salvage", path, "volume:/folder 7", "--to", to])
        .expect(0, &[]);
}

/// What was put together of half the records is no success.
#[test]
fn lost_leaves_are_told_in_the_exit_code() {
    let volume = volume();
    let mut image = volume.image.clone();
    let catalog = &volume.layout.catalog;
    let lost = catalog.leaves[catalog.leaves.len() / 2];
    image.fill(catalog.node(lost), u64::from(catalog.node_size), 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.img");
    image.write_to(&path).unwrap();
    let path = path.to_str().unwrap();
    let to = dir.path().join("to");
    let words = ["are lost: what is shown is not all there was"];
    common::tmbundle(&["ls", "--salvage", path, "volume:/"]).expect(1, &words);
    let to = ["--to", to.to_str().unwrap()];
    common::tmbundle(&[&["extract", "--salvage", path, "volume:/"], &to[..]].concat())
        .expect(1, &words);
}

/// Without a map, a journal or a header that leads to it: by the header's copy at its end, or
/// where volumes usually begin, if the files fit there; else nothing is given.
#[test]
fn a_volume_without_map_or_journal_is_found_where_its_files_fit() {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { journal_size: 0, ..VolumeOptions::default() });
    let root = builder.root();
    for n in 0..300 {
        let text = Content::text(n, 100 + 61 * n as usize);
        builder.file(root, &format!("file {n}"), text, Meta::file());
    }
    let volume = builder.build();
    let whole = HfsPlus::open(Arc::new(Memory::new(volume.image.to_vec()))).unwrap();
    let (sums, paths) = contents(&whole);
    assert_eq!(sums.len(), 300);
    let salvage = |start: usize, alternate: bool, behind: usize| {
        let mut image = volume.image.clone();
        image.fill(volume.layout.header(), 512, 0);
        if !alternate {
            image.fill(volume.layout.alternate(), 512, 0);
        }
        let mut disk = vec![0; start];
        disk.extend(image.to_vec());
        disk.resize(disk.len() + behind, 0);
        HfsPlus::salvage(Arc::new(Memory::new(disk)), &NoProgress)
    };
    for (start, alternate, behind) in [
        (20_480, false, 33 * 512),
        (24_576, false, 5 * 4096),
        (32_256, false, 0),
        (0, false, 4096),
        // The copy leads to it wherever it is.
        (1_049_088, true, 33 * 512),
        (777 * 512, true, 1 << 20),
    ] {
        let back = salvage(start, alternate, behind);
        let (back, named) = contents(&back.unwrap_or_else(|e| panic!("{start}: {e}")));
        assert_eq!(sums.difference(&back).count(), 0, "{start}: {} are back", back.len());
        assert!(paths.is_subset(&named), "{start}");
    }
    let lost = salvage(777 * 512, false, 512).err().unwrap().to_string();
    assert!(lost.contains("--volume-offset"), "{lost}");
}
