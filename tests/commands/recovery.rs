//! What a recovery engineer tries: a bundle with one kind of damage after the other. Every
//! file whose record and contents still exist comes back, byte for byte, and nothing else.

// A list of places may have one.
#![allow(clippy::single_range_in_vec_init)]

use crate::common::{self, Ran, tmbundle};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tools::Image;
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Content, ForkKind, Layout, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;

const BAND: u64 = 64 << 10;
const FILES: u64 = 900;

/// A file: the leaf its record is in, and where its bytes lie on the disk.
struct File {
    leaf: Range<u64>,
    bytes: Vec<Range<u64>>,
}

struct Bundle {
    dir: tempfile::TempDir,
    disk: Image,
    layout: Layout,
    /// By the hash of the contents, all of which differ.
    files: BTreeMap<String, File>,
}

/// Bytes that are lost, and how that is done to the bundle.
type Lost = Vec<Range<u64>>;

fn content(seed: u64) -> Content {
    Content::text(seed, 700 + 5 * seed as usize)
}

impl Bundle {
    fn new() -> Self {
        let options = VolumeOptions { size: 16 << 20, ..VolumeOptions::default() };
        let mut builder = VolumeBuilder::new(options);
        let root = builder.root();
        let mut ids = Vec::new();
        for d in 0..30 {
            let dir = builder.mkdir(root, &format!("folder {d}"), Meta::dir());
            for f in 0..FILES / 30 {
                let seed = d * 30 + f;
                let name = format!("a name that takes room in the catalog {seed}");
                ids.push((builder.file(dir, &name, content(seed), Meta::file()), seed));
            }
        }
        let volume = builder.build();
        let (disk, start) = Gpt::default().wrap(&volume.image);
        let layout = volume.layout.shifted(start);
        let mut files = BTreeMap::new();
        for (id, seed) in ids {
            let record = volume.layout.record(&volume.image, id).unwrap();
            let leaf = layout.catalog.node(record.node);
            let extents = layout.fork(id, ForkKind::Data).iter();
            let bytes = extents.map(|e| layout.block(e.start)..layout.block(e.start + e.count));
            let file = File {
                leaf: leaf..leaf + u64::from(layout.catalog.node_size),
                bytes: bytes.collect(),
            };
            files.insert(common::sha256(&content(seed).to_vec()), file);
        }
        assert_eq!(files.len() as u64, FILES);
        let this = Self { dir: tempfile::tempdir().unwrap(), disk, layout, files };
        this.renew();
        this
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("Mac.sparsebundle")
    }

    /// As it was at first.
    fn renew(&self) {
        let _ = std::fs::remove_dir_all(self.path());
        let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
        bundle::write(&self.disk, &self.path(), &options).unwrap();
    }

    fn band(&self, index: u64) -> PathBuf {
        self.path().join(format!("bands/{index:x}"))
    }

    /// Overwrite bytes with zeros that are stored.
    fn zero(&self, ranges: &[Range<u64>]) {
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let n = (BAND - at % BAND).min(range.end - at);
                let band = std::fs::File::options().write(true).open(self.band(at / BAND));
                if let Ok(band) = band {
                    let zeros = vec![0; usize::try_from(n).unwrap()];
                    band.write_all_at(&zeros, at % BAND).unwrap();
                }
                at += n;
            }
        }
    }

    fn range_of(&self, band: u64) -> Range<u64> {
        band * BAND..(band + 1) * BAND
    }

    fn node(&self, number: u32) -> Range<u64> {
        let at = self.layout.catalog.node(number);
        at..at + u64::from(self.layout.catalog.node_size)
    }

    /// Contents that must come back when these bytes are lost.
    fn left(&self, lost: &Lost) -> BTreeSet<&String> {
        let hit = |r: &Range<u64>| lost.iter().any(|l| l.start < r.end && r.start < l.end);
        let whole = |f: &File| !hit(&f.leaf) && !f.bytes.iter().any(hit);
        self.files.iter().filter(|(_, f)| whole(f)).map(|(sum, _)| sum).collect()
    }

    fn restore(&self, salvage: bool) -> (Ran, BTreeSet<String>) {
        let (path, to) = (self.path(), self.dir.path().join("to"));
        let _ = std::fs::remove_dir_all(&to);
        let mut args = vec!["extract", path.to_str().unwrap(), "volume:/", "--no-sync", "--to"];
        args.push(to.to_str().unwrap());
        args.extend(salvage.then_some("--salvage"));
        let ran = tmbundle(&args);
        (ran, hashes(&to))
    }

    /// Do damage; what is left comes back, and nothing that was never there.
    #[track_caller]
    fn survives(&self, what: &str, salvage: bool, harm: impl FnOnce(&Self) -> Lost) -> Ran {
        self.renew();
        let lost = harm(self);
        let (ran, back) = self.restore(salvage);
        let left = self.left(&lost);
        let missed = left.iter().filter(|sum| !back.contains(**sum)).count();
        let told = format!("{what}: of {} left {missed} did not come back: {ran:#?}", left.len());
        assert_eq!(missed, 0, "{told}");
        // Where only a hole speaks against a file, it is given, and told by its name.
        let false_ones = back.iter().filter(|sum| !self.files.contains_key(*sum)).count();
        let doubtful = ran.err.lines().filter(|l| l.starts_with("doubtful: ")).count();
        assert!(false_ones <= doubtful, "{what}: {false_ones} were never there: {ran:#?}");
        assert!(false_ones == 0 || ran.code == Some(1), "{what}: {ran:#?}");
        assert!(ran.code == Some(0) || ran.code == Some(1), "{told}");
        if back.len() < self.files.len() && left.len() > back.len() {
            assert_eq!(ran.code, Some(1), "{told}");
        }
        eprintln!("{what}: {} of {FILES}, exit code {:?}", back.len(), ran.code);
        ran
    }
}

/// Hashes of all files with contents.
fn hashes(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            match entry.file_type().unwrap() {
                t if t.is_dir() => todo.push(entry.path()),
                t if t.is_file() => {
                    found.insert(common::sha256(&std::fs::read(entry.path()).unwrap()));
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn nothing_is_lost_with_what_has_a_copy_or_is_not_needed() {
    let all = Bundle::new();
    let layout = &all.layout;
    let sector = |at: u64| vec![at..at + 512];
    all.survives("none", false, |_| Vec::new()).expect(0, &["Restored 900 files"]);
    type Harm<'a> = Box<dyn Fn(&Bundle) + 'a>;
    let harms: Vec<(&str, Harm<'_>)> = vec![
        ("primary volume header", Box::new(|b| b.zero(&sector(layout.header())))),
        ("primary GPT", Box::new(|b| b.zero(&[0..17_408]))),
        ("token", Box::new(|b| std::fs::remove_file(b.path().join("token")).unwrap())),
        ("extents header", Box::new(|b| b.zero(&sector(layout.extents.node(0))))),
        (
            "attributes header",
            Box::new(|b| b.zero(&sector(layout.attributes.as_ref().unwrap().node(0)))),
        ),
        (
            "bitmap",
            Box::new(|b| {
                let at = layout.block(layout.bitmap[0].start);
                b.zero(std::slice::from_ref(&(at..at + 4096)));
            }),
        ),
        ("both GPTs", Box::new(|b| b.zero(&[0..17_408, b.disk.len() - 16_896..b.disk.len()]))),
        (
            "Info.plist and Info.bckup",
            Box::new(|b| {
                for name in ["Info.plist", "Info.bckup"] {
                    std::fs::remove_file(b.path().join(name)).unwrap();
                }
            }),
        ),
    ];
    for (what, harm) in harms {
        all.survives(what, false, |b| {
            harm(b);
            Vec::new()
        });
    }
}

#[test]
fn headers_root_and_index_are_made_anew() {
    let all = Bundle::new();
    let layout = &all.layout;
    let (header, alternate) = (layout.header(), layout.alternate());
    all.survives("both volume headers", true, |b| {
        b.zero(&[header..header + 512, alternate..alternate + 512]);
        Vec::new()
    });
    for (what, number) in [("catalog header node", 0), ("catalog root node", layout.catalog.root)] {
        all.survives(what, true, |b| {
            b.zero(&[b.node(number)]);
            Vec::new()
        });
    }
    all.survives("both GPTs and both volume headers", true, |b| {
        b.zero(&[0..17_408, b.disk.len() - 16_896..b.disk.len()]);
        b.zero(&[header..header + 512, alternate..alternate + 512]);
        Vec::new()
    });
    all.survives("both GPTs and the primary volume header", true, |b| {
        b.zero(&[0..17_408, b.disk.len() - 16_896..b.disk.len()]);
        b.zero(std::slice::from_ref(&(header..header + 512)));
        Vec::new()
    });
}

#[test]
fn what_is_not_in_lost_leaves_or_bands_comes_back() {
    let all = Bundle::new();
    let catalog = &all.layout.catalog;
    assert!(catalog.leaves.len() > 60, "{}", catalog.leaves.len());
    all.survives("every sixth leaf", true, |b| {
        let lost: Lost = catalog.leaves.iter().step_by(6).map(|n| b.node(*n)).collect();
        b.zero(&lost);
        lost
    });
    let middle = all.node(catalog.leaves[catalog.leaves.len() / 2]).start / BAND;
    all.survives("a band of the catalog deleted", true, |b| {
        std::fs::remove_file(b.band(middle)).unwrap();
        vec![b.range_of(middle)]
    });
    all.survives("a band of the catalog cut", true, |b| {
        let band = std::fs::File::options().write(true).open(b.band(middle)).unwrap();
        band.set_len(BAND / 2).unwrap();
        vec![b.range_of(middle).start + BAND / 2..b.range_of(middle).end]
    });
    all.survives("first band of the volume deleted", true, |b| {
        std::fs::remove_file(b.band(0)).unwrap();
        vec![b.range_of(0)]
    });
}

#[test]
fn lost_bands_and_holes_of_contents_cost_the_files_in_them_and_are_told() {
    let all = Bundle::new();
    // Bands in which nothing lies but contents, away from the catalog.
    let mut bands: Vec<u64> =
        all.files.values().flat_map(|f| &f.bytes).map(|r| r.start / BAND).collect();
    bands.sort_unstable();
    bands.dedup();
    let nodes = all.layout.catalog.extents.iter();
    let catalog: Lost =
        nodes.map(|e| all.layout.block(e.start)..all.layout.block(e.start + e.count)).collect();
    bands.retain(|b| {
        let r = all.range_of(*b);
        !catalog.iter().any(|c| c.start < r.end && r.start < c.end)
    });
    let ten: Vec<u64> = bands.iter().copied().skip(2).step_by(3).take(10).collect();
    assert_eq!(ten.len(), 10);
    let ran = all.survives("ten bands of contents deleted", false, |b| {
        ten.iter().for_each(|band| std::fs::remove_file(b.band(*band)).unwrap());
        ten.iter().map(|band| b.range_of(*band)).collect()
    });
    ran.expect(1, &["lost"]);
    let ran = all.survives("blocks that ddrescue left as holes", false, |b| {
        // Files of a block: a hole in a larger one may be zeros that a sparse copy left out.
        let small = all.files.values().filter(|f| f.bytes[0].end - f.bytes[0].start == 4096);
        let blocks = small.step_by(40).map(|f| f.bytes[0].start);
        let lost: Lost = blocks.map(|at| at..at + 4096).collect();
        for hole in &lost {
            let band =
                std::fs::File::options().write(true).open(b.band(hole.start / BAND)).unwrap();
            let how =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&band, how, hole.start % BAND, 4096).unwrap();
        }
        lost
    });
    ran.expect(1, &["hole"]);
}
