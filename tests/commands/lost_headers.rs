//! Compressed files whose compression header is lost: without it neither their size nor their
//! contents are known, and an empty file is not what they were. Which files that are is known
//! from where the writer put the records.

use crate::common::{Ran, marked, shared_data, tmbundle, unpack};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tools::bundle::{self, BundleOptions};
use tools::decmpfs::DecmpfsType;
use tools::hfs::{Content, Layout, Meta, VolumeBuilder, VolumeOptions};
use tools::image::Image;

const START: i64 = 1_572_686_100;
const FILES: u32 = 60;
/// So small that nothing else lies in the bands of the attributes.
const BAND: u64 = 4096;

fn content(n: u32) -> Content {
    marked(&format!("file {n}"), 1, 3000)
}

/// Every other file is compressed, in the record or in the resource fork; all have a note.
struct Sample {
    image: Image,
    layout: Layout,
    ids: Vec<u32>,
}

impl Sample {
    fn new() -> Self {
        let options = VolumeOptions { size: 16 << 20, created: START, ..VolumeOptions::default() };
        let mut volume = VolumeBuilder::new(options);
        let root = volume.root();
        let mut ids = Vec::new();
        for n in 0..FILES {
            let file =
                volume.file(root, &format!("file{n}"), content(n), Meta::file().dated(START));
            match n % 4 {
                0 => volume.compress(file, DecmpfsType::Zlib3),
                2 => volume.compress(file, DecmpfsType::Zlib4),
                _ => {}
            }
            volume.set_xattr(file, "com.example.note", vec![b'n'; 400]);
            ids.push(file);
        }
        let built = volume.build();
        Self { image: built.image, layout: built.layout, ids }
    }

    fn is_compressed(n: u32) -> bool {
        n.is_multiple_of(2)
    }

    /// The files whose record of an attribute lies in a leaf.
    fn in_leaf(&self, name: &str, leaf: u32) -> BTreeSet<u32> {
        let place = |id: u32| self.layout.attribute(&self.image, id, name);
        let here = |n: &u32| place(self.ids[*n as usize]).is_some_and(|p| p.node == leaf);
        (0..FILES).filter(here).collect()
    }

    /// The volume without one leaf of its attributes.
    fn without_leaf(&self, leaf: u32, path: &Path) {
        let tree = self.layout.attributes.as_ref().unwrap();
        let mut image = self.image.clone();
        image.fill(tree.node(leaf), tree.node_size.into(), 0);
        image.write_to(path).unwrap();
    }

    /// A bundle without the bands of its attributes.
    fn without_tree(&self, path: &Path) {
        let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
        bundle::write(&self.image, path, &options).unwrap();
        let tree = self.layout.attributes.as_ref().unwrap();
        for node in 0..tree.total_nodes {
            let band = tree.node(node) / BAND;
            let _ = std::fs::remove_file(path.join(format!("bands/{band:x}")));
        }
    }
}

/// A damaged source, the files that lost their header, and those that lost their note.
struct Damaged {
    _dir: tempfile::TempDir,
    path: PathBuf,
    lost: BTreeSet<u32>,
    unread: BTreeSet<u32>,
}

fn damaged() -> Vec<Damaged> {
    let sample = Sample::new();
    let dir = || tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    let own = dir();
    let path = own.path().join("tree.sparsebundle");
    sample.without_tree(&path);
    let lost = (0..FILES).filter(|n| Sample::is_compressed(*n)).collect();
    let unread = (0..FILES).filter(|n| !Sample::is_compressed(*n)).collect();
    all.push(Damaged { _dir: own, path, lost, unread });
    let leaves = &sample.layout.attributes.as_ref().unwrap().leaves;
    assert!(leaves.len() > 3, "the attributes are more than one leaf");
    let leaf = leaves[1];
    let lost = sample.in_leaf("com.apple.decmpfs", leaf);
    let mut unread = sample.in_leaf("com.example.note", leaf);
    unread.retain(|n| !Sample::is_compressed(*n));
    assert!(lost.len() > 3 && unread.len() > 3);
    let own = dir();
    let path = own.path().join("leaf.img");
    sample.without_leaf(leaf, &path);
    all.push(Damaged { _dir: own, path, lost, unread });
    all
}

fn run(path: &Path, command: &[&str], rest: &[&str]) -> Ran {
    tmbundle(&[command, &[path.to_str().unwrap()], rest].concat())
}

fn number(path: &str) -> u32 {
    path.trim_start_matches("file").parse().unwrap()
}

const WAYS: [&[&str]; 2] = [&[], &["--salvage"]];

#[test]
fn a_restore_leaves_out_files_whose_header_is_lost() {
    for damaged in damaged() {
        for way in WAYS {
            let to = tempfile::tempdir().unwrap();
            let args = ["volume:/", "--json", "--no-sync", "--to", to.path().to_str().unwrap()];
            let ran = run(&damaged.path, &["extract"], &[&args[..], way].concat());
            assert_eq!(ran.code, Some(1), "{way:?}: {}", ran.err);
            let document: Value = serde_json::from_str(&ran.out).unwrap();
            let failed = document["failed"].as_array().unwrap().iter();
            let failed: BTreeSet<u32> =
                failed.map(|f| number(f["path"].as_str().unwrap())).collect();
            assert_eq!(failed, damaged.lost, "{way:?}");
            let not_kept = document["not_kept"].as_array().unwrap().iter();
            let unread = not_kept.filter(|n| n["what"] == "attribute-unread");
            let unread: u64 = unread.map(|n| n["objects"].as_u64().unwrap()).sum();
            // Those at the borders of a lost leaf may have had records in it.
            let borders = if way.is_empty() { 0 } else { 2 };
            let lacking = damaged.unread.len() as u64;
            let right = (lacking..=lacking + borders).contains(&unread);
            assert!(right, "{way:?}: {lacking}, {unread}: {document:#}");
            for n in 0..FILES {
                let found = std::fs::read(to.path().join(format!("file{n}")));
                match damaged.lost.contains(&n) {
                    true => assert!(found.is_err(), "file{n} {way:?}"),
                    false => assert_eq!(found.unwrap(), content(n).to_vec(), "file{n} {way:?}"),
                }
            }
            assert!(!to.path().join("file0.damaged").exists());
        }
    }
}

#[test]
fn who_asks_for_a_file_whose_header_is_lost_is_told() {
    for damaged in damaged() {
        let lost = format!("volume:/file{}", damaged.lost.first().unwrap());
        for way in WAYS {
            let ran = run(&damaged.path, &["cat"], &[&[&*lost][..], way].concat());
            ran.expect(1, &["compressed file"]);
            assert_eq!(ran.out, "", "{way:?}");
            let ran = run(&damaged.path, &["ls", "-l"], &[&["volume:/"][..], way].concat());
            assert_eq!(ran.code, Some(1), "{way:?}: {ran:#?}");
            for line in ran.out.lines().filter(|l| l.contains(" file")) {
                let mut words = line.split_whitespace();
                let (size, name) = (words.nth(4).unwrap(), words.next_back().unwrap());
                let n = number(name);
                assert_eq!(size == "?", damaged.lost.contains(&n), "{way:?}: {line}");
                assert!(size == "?" || size == "3000", "{way:?}: {line}");
                let told = format!("{name}: its size is not known");
                assert_eq!(ran.err.contains(&told), size == "?", "{told}: {}", ran.err);
            }
            // What of a leaf is lost is told of the volume, too.
            let counted = damaged.path.extension().unwrap() == "img" && !way.is_empty();
            assert_eq!(ran.err.contains("attributes are lost"), counted, "{ran:#?}");
            let ran = run(&damaged.path, &["ls", "--json"], &[&["volume:/"][..], way].concat());
            assert_eq!(ran.code, Some(1));
            let document: Value = serde_json::from_str(&ran.out).unwrap();
            for entry in document["entries"].as_array().unwrap() {
                let lost = damaged.lost.contains(&number(entry["path"].as_str().unwrap()));
                assert_eq!(entry["size"].is_null(), lost, "{entry}");
            }
        }
    }
}

#[test]
fn an_empty_file_of_before_is_not_taken_for_one_whose_header_is_lost() {
    for damaged in damaged() {
        for way in WAYS {
            let to = tempfile::tempdir().unwrap();
            let n = damaged.lost.first().unwrap();
            let file = std::fs::File::create(to.path().join(format!("file{n}"))).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(START as u64);
            file.set_modified(time).unwrap();
            let address = format!("volume:/file{n}");
            let args = [&*address, "--json", "--no-sync", "--to", to.path().to_str().unwrap()];
            let ran = run(&damaged.path, &["extract"], &[&args[..], way].concat());
            assert_eq!(ran.code, Some(1), "{way:?}: {ran:#?}");
            let document: Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(
                (&document["there"], &document["failed"][0]["did"]),
                (&0.into(), &"failed".into())
            );
        }
    }
}

#[test]
#[cfg(feature = "mount")]
fn a_mount_gives_an_error_for_a_file_whose_header_is_lost() {
    use crate::mounting::{Mount, possible};
    if !possible("a_mount_gives_an_error_for_a_file_whose_header_is_lost") {
        return;
    }
    for damaged in damaged() {
        for way in WAYS {
            let mount = Mount::new(&damaged.path, way);
            let names = std::fs::read_dir(mount.volume()).unwrap();
            let names: BTreeSet<u32> =
                names.map(|e| number(e.unwrap().file_name().to_str().unwrap())).collect();
            assert_eq!(names, (0..FILES).collect(), "{way:?}");
            for n in 0..FILES {
                let path = mount.volume().join(format!("file{n}"));
                let (read, stat) = (std::fs::read(&path), std::fs::metadata(&path));
                if damaged.lost.contains(&n) {
                    assert_eq!(read.unwrap_err().raw_os_error(), Some(5), "file{n} {way:?}");
                    assert_eq!(stat.unwrap_err().raw_os_error(), Some(5), "file{n} {way:?}");
                } else {
                    assert_eq!(read.unwrap(), content(n).to_vec(), "file{n} {way:?}");
                }
            }
            let copy = tempfile::tempdir().unwrap();
            let from = mount.volume().join(format!("file{}", damaged.lost.first().unwrap()));
            let ran = std::process::Command::new("cp").arg(from).arg(copy.path()).output().unwrap();
            assert!(!ran.status.success(), "{ran:?}");
        }
    }
}

/// Compressed contents that are stored as they are, in an attribute with blocks of its own: one of
/// them is lost.
#[test]
fn a_lost_block_of_a_header_is_not_given_as_zeros() {
    for band in 0..4 {
        let options = VolumeOptions { size: 16 << 20, created: START, ..VolumeOptions::default() };
        let block = u64::from(options.block_size);
        let mut volume = VolumeBuilder::new(options);
        let root = volume.root();
        let bytes = marked("packed", 1, 4 * BAND as usize - 100).to_vec();
        let file = volume.file(root, "file0", bytes.clone(), Meta::file().dated(START));
        let mut header = b"fpmc".to_vec();
        header.extend(1u32.to_le_bytes());
        header.extend((bytes.len() as u64).to_le_bytes());
        header.extend(&bytes);
        volume.compress(file, DecmpfsType::Dataless);
        volume.set_xattr_fork(file, "com.apple.decmpfs", header, 1);
        let image = volume.build().image;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Mac.sparsebundle");
        let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
        bundle::write(&image, &path, &options).unwrap();
        assert_eq!(block, BAND, "a band is a block");
        let whole = run(&path, &["cat"], &["volume:/file0"]);
        assert!(whole.out.as_bytes() == bytes && whole.code == Some(0), "{}", whole.err);
        let holds = |n: &u64| {
            let band = std::fs::read(path.join(format!("bands/{n:x}"))).unwrap_or_default();
            band.windows(12).any(|w| w == b"<<packed#1>>")
        };
        let bands: Vec<u64> = (0..(16 << 20) / BAND).filter(holds).collect();
        assert_eq!(bands.len(), 4);
        std::fs::remove_file(path.join(format!("bands/{:x}", bands[band]))).unwrap();
        let ran = run(&path, &["cat"], &["volume:/file0"]);
        ran.expect(1, &["is missing"]);
        assert_eq!(ran.out, "");
    }
}

/// A volume that others wrote, without its attributes.
#[test]
fn a_foreign_volume_without_its_attributes_has_no_empty_files() {
    let Some(data) = shared_data("a_foreign_volume_without_its_attributes_has_no_empty_files")
    else {
        return;
    };
    let image = Image::from_file(&unpack(&data.join("hfs/lab-feat-c.img.gz"))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    bundle::write(&image, &path, &BundleOptions { band_size: 1 << 20, ..BundleOptions::default() })
        .unwrap();
    std::fs::remove_file(path.join("bands/2")).unwrap();
    for way in WAYS {
        let to = tempfile::tempdir().unwrap();
        let args = ["volume:/cmpf", "--json", "--no-sync", "--to", to.path().to_str().unwrap()];
        let ran = run(&path, &["extract"], &[&args[..], way].concat());
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.code, &document["not_restored"]), (Some(1), &8.into()), "{document:#}");
        assert_eq!(std::fs::read_dir(to.path().join("cmpf")).unwrap().count(), 0);
        let ran = run(&path, &["ls", "-l"], &[&["volume:/cmpf"][..], way].concat());
        let sizes: Vec<_> = ran.out.lines().map(|l| l.split_whitespace().nth(4)).collect();
        assert_eq!(sizes, [Some("?"); 8], "{}", ran.out);
    }
}
