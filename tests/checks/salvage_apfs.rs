//! What comes back of a broken APFS container: every file whose records and extents still exist,
//! in the live view and in the snapshots. Expected is what the writer put in.

use crate::common::{self, contents::readable};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use tmbundle::apfs::{Apfs, salvage};
use tmbundle::disk::{Disk, Secret};
use tmbundle::fs::{FileSystem, Volume};
use tmbundle::report::NoProgress;
use tools::Image;
use tools::apfs::{Built, Container, ContainerOptions, Meta, VolumeOptions, What, fields, samples};

const FS_TREE: u32 = 0xE;
const OMAP: u32 = 0xB;
const ROOT: u16 = 2;
const ROOT_FOLDER: u64 = 2;

/// Paths and hashes of the files in a manifest, but for those nobody can decode.
fn wanted(lines: &[String]) -> Vec<(String, String)> {
    let all = lines.iter().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let files = all
        .filter_map(|v| Some((v["path"].as_str()?.to_owned(), v["sha256"].as_str()?.to_owned())));
    files.filter(|(path, _)| !path.starts_with("compressed/type ")).collect()
}

/// What came back of the views of all volumes.
#[derive(Default, Debug)]
struct Share {
    files: usize,
    /// With their contents, by their path or not.
    back: usize,
    /// By their path.
    in_place: usize,
    missing: Vec<String>,
    /// Paths that the writer knows nothing of.
    more: usize,
}

impl Share {
    fn add(&mut self, name: &str, fs: &dyn FileSystem, lines: &[String]) {
        let found = readable(fs);
        let sums: HashSet<&String> = found.values().collect();
        let wanted = wanted(lines);
        for (path, sum) in &wanted {
            self.files += 1;
            self.back += usize::from(sums.contains(sum));
            self.in_place += usize::from(found.get(path) == Some(sum));
            if !sums.contains(sum) {
                self.missing.push(format!("{name}: {path}"));
            }
        }
        self.more += found.len().saturating_sub(wanted.len());
    }
}

fn salvaged(image: &Image) -> Vec<Result<Apfs, String>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    image.write_to(file.path()).unwrap();
    let bytes = Disk::open(file.path()).unwrap().bytes().unwrap();
    let ask = |_: &str, _: u32| Ok(vec![Secret::new(b"password".to_vec())]);
    match salvage(&bytes, &ask, &NoProgress) {
        Ok(all) => all.into_iter().map(|(_, v)| v.map_err(|e| e.to_string())).collect(),
        Err(e) => vec![Err(e.to_string())],
    }
}

fn share(image: &Image, built: &Built) -> Share {
    let mut share = Share::default();
    let volumes = salvaged(image);
    for wanted in &built.volumes {
        let of = volumes.iter().filter_map(|v| v.as_ref().ok());
        let volume = of.into_iter().find(|v| v.superblock().name == wanted.name);
        let Some(volume) = volume else {
            share.files += 1;
            share.missing.push(format!("{}: {:?}", wanted.name, errors(&volumes)));
            continue;
        };
        share.add(&wanted.name, &volume.live().unwrap(), &wanted.live);
        for (_, name, lines) in &wanted.snapshots {
            match volume.snapshots().iter().find(|s| s.name == *name) {
                Some(s) => share.add(name, &volume.at(s).unwrap(), lines),
                None => {
                    share.files += 1;
                    share.missing.push(format!("snapshot {name}"));
                }
            }
        }
    }
    share
}

fn errors(volumes: &[Result<Apfs, String>]) -> Vec<&String> {
    volumes.iter().filter_map(|v| v.as_ref().err()).collect()
}

/// Type and level of a node.
fn node(built: &Built, block: u64) -> (u16, u16) {
    let bytes = built.image.read(built.layout.byte(block), 0x24);
    let at = |n: usize| u16::from_le_bytes([bytes[n], bytes[n + 1]]);
    (at(0x18), at(0x22))
}

/// The sample with every block zeroed that is chosen; and how many that were.
fn without(built: &Built, chosen: &dyn Fn(&What, u64) -> bool) -> (Image, usize) {
    let mut image = built.image.clone();
    let size = built.layout.block_size;
    let mut count = 0;
    for place in &built.layout.places {
        for block in place.address..place.address + place.count {
            if chosen(&place.what, block) {
                image.fill(built.layout.byte(block), size, 0);
                count += 1;
            }
        }
    }
    (image, count)
}

fn is_checkpoint(what: &What) -> bool {
    matches!(what, What::BlockZero | What::Superblock | What::CheckpointMap | What::OldCheckpoint)
}

fn is_map(what: &What, of: Option<u32>) -> bool {
    match what {
        What::Omap(volume) => volume.is_some() == of.is_some(),
        What::Node { volume, tree, .. } => tree.subtype == OMAP && volume.is_some() == of.is_some(),
        _ => false,
    }
}

fn is_index(built: &Built, what: &What, block: u64) -> bool {
    matches!(what, What::Node { tree, .. } if tree.subtype == FS_TREE) && node(built, block).1 > 0
}

type Damage<'a> = (&'static str, Box<dyn Fn(&What, u64) -> bool + 'a>);

fn damages(built: &Built) -> Vec<Damage<'_>> {
    let count = std::cell::Cell::new(0usize);
    vec![
        ("block 0 and all checkpoints", Box::new(|w, _| is_checkpoint(w))),
        ("the container's object map", Box::new(|w, _| is_map(w, None))),
        ("the volumes' object maps", Box::new(|w, _| is_map(w, Some(0)))),
        (
            "roots of the object maps",
            Box::new(|w, b| {
                let node = matches!(w, What::Node { tree, .. } if tree.subtype == OMAP);
                node && node_is_root(built, b)
            }),
        ),
        (
            "roots of the file-system trees",
            Box::new(|w, b| is_index(built, w, b) && node_is_root(built, b)),
        ),
        ("all of their index", Box::new(|w, b| is_index(built, w, b))),
        (
            "a third of their index",
            Box::new(move |w, b| {
                let index = is_index(built, w, b);
                count.set(count.get() + usize::from(index));
                index && count.get().is_multiple_of(3)
            }),
        ),
        (
            "checkpoints, all maps, all of the index",
            Box::new(|w, b| {
                is_checkpoint(w) || is_map(w, None) || is_map(w, Some(0)) || is_index(built, w, b)
            }),
        ),
    ]
}

fn node_is_root(built: &Built, block: u64) -> bool {
    node(built, block).0 == ROOT
}

/// Each sample with each damage that is fit for it: all files come back, each in its place.
fn all_come_back(kinds: &[&str], fit: impl Fn(&str, &str) -> bool) {
    let mut wrong = Vec::new();
    for kind in kinds {
        let built = samples::sample(kind).unwrap();
        let whole = share(&built.image, &built);
        assert!(whole.missing.is_empty() && whole.files > 10, "{kind}: {whole:?}");
        for (name, chosen) in damages(&built) {
            let (image, blocks) = without(&built, &*chosen);
            if blocks == 0 || !fit(kind, name) {
                continue;
            }
            let share = share(&image, &built);
            println!(
                "{kind}, {name} ({blocks} blocks): {} of {} files back, {} in place, {} more",
                share.back, share.files, share.in_place, share.more
            );
            let says = salvaged(&image).iter().flatten().find_map(|v| v.about().older.clone());
            // Where the way to the volume is searched for, a volume that the last transaction did
            // not write cannot be told from an older one.
            let searched = ["the container's object map", "roots of the object maps"];
            let unsure = |says: &str| {
                searched.contains(&name) && says.ends_with("written between them may be lost")
            };
            if let Some(says) = says.filter(|says| !unsure(says)) {
                wrong.push(format!("{kind}, {name}: said to be lost or old: {says}"));
            }
            if share.in_place != share.files {
                let some = share.missing.iter().take(4);
                let all = (share.in_place, share.files);
                wrong.push(format!("{kind}, {name}: {all:?} {:?}", some.collect::<Vec<_>>()));
            }
        }
    }
    common::assert_none(&wrong);
}

#[test]
fn every_file_of_apfs_comes_back_while_its_leaves_are_there() {
    let kinds = ["basic", "folded", "plain-names", "deep", "clones", "dirty"];
    all_come_back(&kinds, |_, _| true);
}

#[test]
fn snapshots_of_apfs_come_back_as_they_were() {
    let kinds = ["snapshots", "tombstones", "time-machine", "encrypted"];
    // Without any superblock of the container nothing tells where the keys are; and what of the
    // nodes is an index is not seen from outside.
    all_come_back(&kinds, |kind, damage| {
        kind != "encrypted" || damage.contains("map") && !damage.contains("check")
    });
}

/// Numbers of the objects that have an inode record in a leaf, and of streams that have extents.
fn in_leaf(image: &Image, at: u64, size: u64) -> (Vec<u64>, Vec<u64>) {
    let b = image.read(at, size as usize);
    let short = |n: usize| usize::from(u16::from_le_bytes([b[n], b[n + 1]]));
    let keys = 0x38 + short(0x2A);
    let (mut inodes, mut extents) = (Vec::new(), Vec::new());
    for i in 0..short(0x24) {
        let key = keys + short(0x38 + i * 8);
        let number = u64::from_le_bytes(b[key..key + 8].try_into().unwrap());
        match number >> 60 {
            3 => inodes.push(number & (u64::MAX >> 4)),
            8 => extents.push(number & (u64::MAX >> 4)),
            _ => {}
        }
    }
    (inodes, extents)
}

/// Leaves are lost: a file comes back if its record and its extents are in others, under
/// `lost+found` where its folder is not known any more.
#[test]
fn what_is_in_other_leaves_of_apfs_comes_back() {
    let mut container = Container::new(ContainerOptions::default());
    let number = container.add_volume(VolumeOptions::default());
    let mut volume = container.volume(number);
    let root = volume.root();
    let mut sums = HashMap::new();
    for d in 0..40 {
        let dir = volume.mkdir(root, &format!("folder {d}"), Meta::dir());
        for f in 0..60 {
            let text = format!("{d} {f} ").repeat(700).into_bytes();
            let sum = common::sha256(&text);
            let id = volume.file(dir, &format!("file {f}"), text, Meta::file());
            sums.insert(id, sum);
        }
    }
    container.commit();
    let built = container.finish();
    let mut under = 0;
    for (step, maps) in [(3usize, false), (7, false), (5, true)] {
        let count = std::cell::Cell::new(0usize);
        let (mut inodes, mut extents) = (HashSet::new(), HashSet::new());
        let size = built.layout.block_size;
        let records = |block| in_leaf(&built.image, built.layout.byte(block), size);
        let is_leaf = |w: &What, b| {
            matches!(w, What::Node { tree, live: true, .. } if tree.subtype == FS_TREE)
                && node(&built, b).1 == 0
        };
        for place in built.layout.find(|_| true) {
            for block in place.address..place.address + place.count {
                if !is_leaf(&place.what, block) {
                    continue;
                }
                count.set(count.get() + 1);
                let (i, e) = records(block);
                // The root's record and names are lost as well.
                if !count.get().is_multiple_of(step) && !i.contains(&ROOT_FOLDER) {
                    inodes.extend(i);
                    extents.extend(e);
                }
            }
        }
        count.set(0);
        let (image, lost) = without(&built, &|w, b| {
            let leaf = is_leaf(w, b);
            count.set(count.get() + usize::from(leaf));
            let chosen =
                leaf && (count.get().is_multiple_of(step) || records(b).0.contains(&ROOT_FOLDER));
            chosen || (maps && is_map(w, Some(0)))
        });
        let volume = salvaged(&image).remove(0).unwrap();
        let found = readable(&volume.live().unwrap());
        let back: HashSet<&String> = found.values().collect();
        let exist = |id: &&u64| inodes.contains(*id) && extents.contains(*id);
        let expected: Vec<&u64> = sums.keys().filter(exist).collect();
        let missing = expected.iter().filter(|id| !back.contains(&sums[**id])).count();
        under += found.keys().filter(|p| p.starts_with("lost+found/")).count();
        println!(
            "{lost} blocks lost: of {} files {} have their records left, {} of them are back, \
             {under} so far under lost+found",
            sums.len(),
            expected.len(),
            expected.len() - missing
        );
        assert!(lost > 5 && expected.len() * 3 > sums.len(), "{lost} {}", expected.len());
        assert_eq!(missing, 0, "every {step}th of {}", count.get());
    }
    assert!(under > 0, "nothing is under lost+found");
}

/// A map of right sums may lead to other objects than it says: all files come back of the nodes
/// that it does not lead to any more.
#[test]
fn a_map_that_leads_astray_costs_nothing() {
    for (kind, spoilt) in [("snapshots", usize::MAX), ("deep", usize::MAX), ("deep", 605)] {
        let built = samples::sample(kind).unwrap();
        let mut image = built.image.clone();
        let mut addresses = fields::of(&built);
        addresses.retain(|f| f.structure == "object map leaf" && f.name == "address");
        let first = image.read(addresses[0].at, 8);
        let chosen = |n: usize| spoilt == usize::MAX || n == spoilt;
        for (_, field) in addresses.iter().enumerate().filter(|(n, _)| chosen(*n)) {
            image.write_at(field.at, &first);
        }
        for object in fields::objects(&built.layout) {
            object.reseal(&mut image);
        }
        let share = share(&image, &built);
        println!("{kind}: {} of {} files back", share.back, share.files);
        assert!(share.files > 10, "{kind}");
        assert_eq!(share.in_place, share.files, "{kind}: {:?}", share.missing);
    }
}

/// Whatever leaf is lost, it is said that what is shown is not all: once the view that has it
/// is open.
#[test]
fn a_lost_leaf_of_apfs_is_told() {
    let built = samples::sample("snapshots").unwrap();
    let mut tried = [0, 0];
    for place in
        built.layout.find(|w| matches!(w, What::Node { tree, .. } if tree.subtype == FS_TREE))
    {
        let What::Node { live, .. } = place.what else { continue };
        if node(&built, place.address).1 > 0 {
            continue;
        }
        let mut image = built.image.clone();
        image.fill(built.layout.byte(place.address), built.layout.block_size, 0);
        let volume = salvaged(&image).remove(0).unwrap();
        assert!(!live || volume.about().older.is_some(), "block {}", place.address);
        tried[usize::from(live)] += 1;
        let volume: std::sync::Arc<dyn Volume> = std::sync::Arc::new(volume);
        for view in volume.views().unwrap() {
            let _ = volume.clone().open(view.id);
        }
        let told = volume.about().older.as_deref().unwrap_or_default();
        assert!(told.contains("lost"), "block {}: {told}", place.address);
        assert!(live || told.contains("snapshot '"), "block {}: {told}", place.address);
    }
    assert!(tried[0] > 2 && tried[1] > 2, "{tried:?}");
}

/// What is said of one volume is said of no other.
#[test]
fn what_is_lost_of_one_volume_is_said_of_that_one() {
    let built = samples::sample("volumes").unwrap();
    let (image, lost) = without(&built, &|w, _| matches!(w, What::Volume(n) if *n == 0));
    assert!(lost > 0);
    let told: Vec<bool> = salvaged(&image)
        .iter()
        .flatten()
        .map(|v| {
            let about = v.about();
            about.notes.iter().chain(&about.older).any(|n| n.contains("newest superblock"))
        })
        .collect();
    assert_eq!(told.iter().filter(|t| **t).count(), 1, "{told:?}");
}

#[test]
fn commands_salvage_apfs() {
    let built = samples::sample("basic").unwrap();
    let (image, _) = without(&built, &|w, b| is_checkpoint(w) || is_index(&built, w, b));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.img");
    image.write_to(&path).unwrap();
    let path = path.to_str().unwrap();
    let (no_maps, _) = without(&built, &|w, _| is_map(w, Some(0)));
    let hinted = dir.path().join("hinted.img");
    no_maps.write_to(&hinted).unwrap();
    common::tmbundle(&["ls", hinted.to_str().unwrap(), "volume:/"]).expect(1, &["--salvage"]);
    let (file, sum) = wanted(&built.volumes[0].live).remove(0);
    let parent = Path::new(&file).parent().unwrap().to_str().unwrap();
    let last = Path::new(&file).file_name().unwrap().to_str().unwrap();
    let ls = common::tmbundle(&["ls", "--salvage", path, &format!("volume:/{parent}")]);
    ls.expect(0, &[last, "searching all of the container"]);
    let to = dir.path().join("restored");
    let ran = common::tmbundle(&[
        "extract",
        "--salvage",
        path,
        "volume:/",
        "--no-sync",
        "--to",
        to.to_str().unwrap(),
    ]);
    assert!(ran.code.is_some_and(|c| c < 2), "{ran:?}");
    assert_eq!(common::sha256(&std::fs::read(to.join(&file)).unwrap()), sum);
    // A leaf less: what is shown is not all there was.
    let leaf = built
        .layout
        .find(|w| matches!(w, What::Node { tree, live: true, .. } if tree.subtype == FS_TREE));
    let leaf = leaf.map(|p| p.address).filter(|b| node(&built, *b).1 == 0).last().unwrap();
    let (image, _) = without(&built, &|_, block| block == leaf);
    let less = dir.path().join("less.img");
    image.write_to(&less).unwrap();
    let less = less.to_str().unwrap();
    common::tmbundle(&["ls", "--salvage", less, "volume:/"]).expect(1, &["lost: what is shown"]);
}
