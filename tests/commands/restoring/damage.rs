//! Damaged files: left out, another version, or what can be read.

use super::START;
use crate::common::tmbundle;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;
use tools::timemachine::{self, Backup, Dir, Machine};

const LEN: usize = 3 << 20;

fn bytes(version: u64) -> Vec<u8> {
    super::noise(version, LEN)
}

/// Three snapshots of `Docs/story`, each another version, in bands of 1 MiB, and `same`
/// that never changes.
struct Backups {
    dir: tempfile::TempDir,
    names: Vec<String>,
}

impl Backups {
    fn new() -> Self {
        let mut volume = VolumeBuilder::new(VolumeOptions {
            size: 48 << 20,
            created: START - 86_400,
            ..VolumeOptions::default()
        });
        let machine = Machine { checksums: true, ..Machine::default() };
        let mut backups = Vec::new();
        for n in 1..=3u64 {
            let mut root = Dir::new(Meta::dir().dated(START));
            let docs = root.dir("Docs");
            let dated = Meta::file().dated(START + n as i64);
            docs.file("story", Content::Bytes(bytes(n)), dated);
            docs.file("same", Content::Bytes(bytes(9)), Meta::file().dated(START));
            let start = START + 86_400 * n as i64;
            backups.push(Backup { number: n, start, completed: Some(start + 60), source: root });
        }
        let written = timemachine::write(&mut volume, &machine, &backups);
        let (disk, _) = Gpt::default().wrap(&volume.build().image);
        let dir = tempfile::tempdir().unwrap();
        let options = BundleOptions { band_size: 1 << 20, ..BundleOptions::default() };
        bundle::write(&disk, &dir.path().join("Mac.sparsebundle"), &options).unwrap();
        Self { dir, names: written.iter().map(|w| w.name.clone()).collect() }
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("Mac.sparsebundle")
    }

    /// The bands that hold nothing but a part of `content`.
    fn bands_of(&self, content: &[u8]) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(self.bundle().join("bands"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| {
                let band = fs::read(p).unwrap();
                let middle = &band[band.len() / 2..][..64];
                content.windows(64).any(|w| w == middle)
            })
            .collect();
        found.sort();
        assert!(!found.is_empty());
        found
    }

    fn run(&self, options: &[&str], to: &str) -> (Value, i32, PathBuf) {
        let to = self.dir.path().join(to);
        let bundle = self.bundle();
        let mut args = vec!["extract", bundle.to_str().unwrap(), "latest:/HD/Docs", "--json"];
        args.extend(["--to", to.to_str().unwrap()]);
        args.extend(options);
        let ran = tmbundle(&args);
        (super::json(&ran), ran.code.unwrap(), to.join("Docs"))
    }
}

fn flip(path: &Path) {
    let mut band = fs::read(path).unwrap();
    let middle = band.len() / 2;
    band[middle] ^= 0xFF;
    fs::write(path, band).unwrap();
}

#[test]
fn a_lost_band_costs_the_file_and_names_the_snapshot_that_has_it() {
    let backups = Backups::new();
    fs::remove_file(&backups.bands_of(&bytes(3))[0]).unwrap();
    let (doc, code, docs) = backups.run(&[], "a");
    assert_eq!(code, 1, "{doc}");
    assert!(!docs.join("story").exists());
    assert_eq!(fs::read(docs.join("same")).unwrap(), bytes(9));
    let failed = &doc["failed"][0];
    assert_eq!(failed["path"], "Docs/story");
    assert!(failed["reason"].as_str().unwrap().contains("band"), "{failed}");
    assert_eq!(failed["snapshot"], backups.names[1].as_str());
}

#[test]
fn another_version_is_taken_and_told() {
    let backups = Backups::new();
    for version in [2, 3] {
        fs::remove_file(&backups.bands_of(&bytes(version))[0]).unwrap();
    }
    let (doc, code, docs) = backups.run(&["--fallback", "previous"], "a");
    assert_eq!((code, &doc["fallbacks"]), (1, &1.into()), "{doc}");
    assert!(fs::read(docs.join("story")).unwrap() == bytes(1));
    assert_eq!(doc["failed"][0]["snapshot"], backups.names[0].as_str());
    // There is nothing newer.
    let (doc, _, docs) = backups.run(&["--fallback", "next"], "b");
    assert_eq!(doc["not_restored"], 1, "{doc}");
    assert!(!docs.join("story").exists());
}

#[test]
fn a_wrong_checksum_is_damage_unless_ignored() {
    let backups = Backups::new();
    flip(&backups.bands_of(&bytes(3))[0]);
    let (doc, code, docs) = backups.run(&[], "a");
    assert_eq!(code, 1, "{doc}");
    assert!(!docs.join("story").exists());
    assert!(doc["failed"][0]["reason"].as_str().unwrap().contains("checksum"), "{doc}");
    let (_, code, docs) = backups.run(&["--ignore-checksums"], "b");
    assert_eq!(code, 0);
    assert!(docs.join("story").exists());
}

#[test]
fn what_can_be_read_is_salvaged_under_another_name() {
    let backups = Backups::new();
    let bands = backups.bands_of(&bytes(3));
    fs::remove_file(&bands[0]).unwrap();
    let (doc, code, docs) = backups.run(&["--salvage"], "a");
    assert_eq!((code, &doc["salvaged"]), (1, &1.into()), "{doc}");
    assert!(!docs.join("story").exists());
    let torn = fs::read(docs.join("story.damaged")).unwrap();
    let wanted = bytes(3);
    assert_eq!(torn.len(), wanted.len());
    let mut left = wanted.clone();
    for range in doc["failed"][0]["missing"].as_array().unwrap() {
        let (at, n) = (range[0].as_u64().unwrap() as usize, range[1].as_u64().unwrap() as usize);
        assert!(n <= 1 << 20);
        left[at..at + n].fill(0);
    }
    assert!(left != wanted, "nothing was told to be missing");
    assert!(torn == left, "the told ranges are zeros and all else is there");
}

/// Thirty folders, each with a file of so many bytes of noise.
fn thirty_folders(len: usize) -> super::Sample {
    super::Sample::new(|v| {
        let root = v.root();
        for n in 0..30u64 {
            let dir = v.mkdir(root, &format!("folder {n}"), Meta::dir().dated(START));
            let content = Content::Bytes(super::noise(n, len));
            v.file(dir, "file", content, Meta::file().dated(START));
        }
    })
}

/// The catalog's header node zeroed: nothing can be opened, and everything is still there.
#[test]
fn a_broken_catalog_costs_nothing_with_salvage() {
    let sample = thirty_folders(5000);
    let mut image = fs::read(sample.image()).unwrap();
    let be = |at: usize| u32::from_be_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    // The volume header's block size, and the first block of its catalog (272 + 16).
    let catalog = be(1024 + 40) * be(1024 + 288);
    image[catalog..catalog + 512].fill(0);
    fs::write(sample.image(), image).unwrap();
    sample.restore(&[]).expect(1, &["--salvage"]);
    assert!(!sample.to().exists());
    sample.restore(&["--salvage"]).expect(0, &["Restored 30 files, 30 folders"]);
    for n in 0..30u64 {
        let file = sample.to().join(format!("folder {n}/file"));
        assert!(fs::read(file).unwrap() == super::noise(n, 5000), "{n}");
    }
}

/// Each leaf of the catalog over each other one, as a write leaves it that went elsewhere.
#[test]
fn a_leaf_of_the_catalog_over_another_is_told() {
    let sample = thirty_folders(500);
    let image = fs::read(sample.image()).unwrap();
    let be = |at: usize| u32::from_be_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let catalog = be(1024 + 40) * be(1024 + 288);
    // The header record's node size and number of nodes; a leaf's kind is -1.
    let (size, nodes) = (be(catalog + 30) & 0xFFFF, be(catalog + 36));
    let node = |n: usize| catalog + n * size;
    let leaves: Vec<usize> = (0..nodes).map(node).filter(|n| image[n + 8] == 0xFF).collect();
    assert!(leaves.len() > 2, "{leaves:?}");
    for to in &leaves {
        let from = leaves.iter().find(|from| *from != to).unwrap();
        let mut wrong = image.clone();
        wrong.copy_within(*from..*from + size, *to);
        fs::write(sample.image(), wrong).unwrap();
        sample.restore(&[]).expect(1, &["is another node"]);
        let _ = fs::remove_dir_all(sample.to());
        let listed = crate::common::tmbundle(&["ls", "-R", &sample.image()]);
        listed.expect(1, &["is another node"]);
    }
}

const CHECKSUM: &str = "com.apple.finder.copy.source.checksum#N";

/// `files` files of which the first `wrong` do not agree with what is recorded, each with
/// a second name.
fn checksummed(files: u64, wrong: u64) -> super::Sample {
    super::Sample::new(|v| {
        let root = v.root();
        let dir = v.mkdir(root, "docs", Meta::dir().dated(START));
        for n in 0..files {
            let content = super::noise(n, 5000);
            let mut sum = tmbundle::timemachine::checksum::Cksum::default();
            sum.update(&content);
            let recorded = sum.finish() ^ u32::from(n < wrong);
            let name = format!("{n:03}");
            let id = v.file(dir, &name, Content::Bytes(content), Meta::file().dated(START));
            v.set_xattr(id, CHECKSUM, recorded.to_le_bytes().to_vec());
            v.hard_link(id, dir, &format!("{name} again"));
        }
    })
}

fn restore(sample: &super::Sample, to: &str, options: &[&str]) -> (Value, i32, usize) {
    let (image, to) = (sample.image(), sample.dir.path().join(to));
    let mut args = vec!["extract", &image, "volume:/", "--json", "--no-owners"];
    args.extend(["--to", to.to_str().unwrap()]);
    args.extend(options);
    let ran = tmbundle(&args);
    let there = fs::read_dir(to.join("docs")).unwrap().count();
    (super::json(&ran), ran.code.unwrap(), there)
}

/// However many disagree, and under whichever name: none is written as if it were right.
#[test]
fn every_file_that_disagrees_is_left_out_and_named() {
    for (files, wrong) in [(60, 15), (19, 19)] {
        let sample = checksummed(files, wrong);
        let (doc, code, there) = restore(&sample, "a", &["--verify"]);
        let right = usize::try_from(2 * (files - wrong)).unwrap();
        assert_eq!((code, there), (1, right), "{wrong} of {files}: {doc}");
        assert_eq!(doc["not_restored"], 2 * wrong, "{doc}");
        assert_eq!(doc["failed"].as_array().unwrap().len() as u64, 2 * wrong);
        assert_eq!(doc["verified"]["with_checksum"], right, "{doc}");
    }
}

/// Where damage comes in one piece, what is met first says nothing of the rest: the first 50
/// of 100 are left out under both names, in whatever order they come.
#[test]
fn half_of_all_files_damaged_are_all_left_out() {
    for threads in ["1", "4"] {
        let (doc, code, there) = restore(&checksummed(100, 50), "a", &["--jobs", threads]);
        let told = (&doc["not_restored"], &doc["doubtful"]);
        assert_eq!((code, there, told), (1, 100, (&100.into(), &0.into())), "{doc}");
    }
}

#[test]
fn where_next_to_none_agrees_files_are_taken_and_each_is_named() {
    let (doc, code, _) = restore(&checksummed(60, 60), "a", &[]);
    assert_eq!(code, 1, "{doc}");
    assert_eq!((&doc["not_restored"], &doc["doubtful"]), (&0.into(), &120.into()), "{doc}");
}

/// A file that was written though its bytes may be wrong is not "there" afterwards: it is
/// told again, and is right as soon as the backup is.
#[test]
fn what_was_doubtful_is_told_again_and_mended_with_its_backup() {
    let wrong = checksummed(60, 60);
    for _ in 0..3 {
        let (doc, code, there) = restore(&wrong, "a", &[]);
        let told = (&doc["doubtful"], &doc["files"], there);
        assert_eq!((code, told), (1, (&120.into(), &120.into(), 120)), "{doc}");
        let meta = |name: &str| fs::metadata(wrong.dir.path().join("a/docs").join(name)).unwrap();
        assert_eq!(meta("007").ino(), meta("007 again").ino());
    }
    let right = checksummed(60, 0);
    fs::copy(right.image(), wrong.image()).unwrap();
    let (doc, code, _) = restore(&wrong, "a", &[]);
    assert_eq!((code, &doc["doubtful"], &doc["files"]), (0, &0.into(), &120.into()), "{doc}");
    let (doc, code, _) = restore(&wrong, "a", &[]);
    assert_eq!((code, &doc["files"]), (0, &0.into()), "{doc}");
}

#[test]
fn a_dry_run_counts_files_with_lost_bytes() {
    let backups = Backups::new();
    fs::remove_file(&backups.bands_of(&bytes(3))[0]).unwrap();
    let (doc, code, _) = backups.run(&["--dry-run"], "a");
    assert_eq!((code, &doc["plan"]["damaged"]), (1, &1.into()), "{doc}");
    let (doc, code, _) = backups.run(&["--dry-run", "--include", "same"], "a");
    assert_eq!((code, &doc["plan"]["damaged"]), (0, &0.into()), "{doc}");
}

#[test]
fn reading_back_counts_and_names_what_disagrees() {
    let sample = checksummed(40, 3);
    let (doc, code, _) = restore(&sample, "a", &["--ignore-checksums"]);
    assert_eq!((code, &doc["not_restored"]), (0, &0.into()), "{doc}");
    // As another program would have copied them, without the mark of what was ignored.
    let mut marked = 0;
    for entry in fs::read_dir(sample.dir.path().join("a/docs")).unwrap() {
        let path = entry.unwrap().path();
        marked += u32::from(rustix::fs::removexattr(&path, "user.tmbundle.doubt").is_ok());
    }
    assert!(marked > 0);
    let (doc, code, _) = restore(&sample, "a", &["--verify"]);
    assert_eq!((code, &doc["verified"]["checksums_differ"]), (1, &6.into()), "{doc}");
    assert_eq!((&doc["verified"]["differ"], &doc["not_restored"]), (&0.into(), &6.into()));
}

#[test]
fn cat_says_that_what_it_wrote_is_damaged() {
    let sample = checksummed(3, 1);
    let ran = tmbundle(&["cat", &sample.image(), "volume:/docs/000"]);
    ran.expect(1, &["checksum"]);
    tmbundle(&["cat", &sample.image(), "volume:/docs/001"]).expect(0, &[]);
}

#[test]
fn lost_bytes_as_zeros_are_given_whatever_the_checksum_says() {
    let backups = Backups::new();
    let band = backups.bands_of(&bytes(3))[0].clone();
    let lost = fs::read(&band).unwrap();
    fs::remove_file(&band).unwrap();
    let name = format!("band {} is missing", band.file_name().unwrap().to_str().unwrap());
    let (doc, code, docs) = backups.run(&["--lost-as-zeros"], "a");
    assert_eq!(code, 1, "{doc}");
    let story = fs::read(docs.join("story")).unwrap();
    let wanted = bytes(3);
    assert_eq!(story.len(), wanted.len());
    let at = wanted.windows(lost.len()).position(|w| w == lost).unwrap();
    assert!(story[at..at + lost.len()].iter().all(|b| *b == 0));
    assert_eq!(story[..at], wanted[..at]);
    assert_eq!(story[at + lost.len()..], wanted[at + lost.len()..]);
    let told = doc["failed"][0]["doubt"].as_str().unwrap();
    assert!(told.contains(&name) && told.contains("lost bytes"), "{doc:#}");
    // An archive has it as well.
    let bundle = backups.bundle();
    let source = bundle.to_str().unwrap();
    let ran = tmbundle(&["extract", source, "latest:/HD/Docs", "--tar", "--lost-as-zeros"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains(&name) && !ran.err.contains("not restored"), "{}", ran.err);
}

#[test]
fn what_was_taken_in_spite_of_its_checksum_is_looked_at_again() {
    let backups = Backups::new();
    flip(&backups.bands_of(&bytes(3))[0]);
    let (doc, code, docs) = backups.run(&["--ignore-checksums"], "a");
    assert_eq!(code, 0, "{doc}");
    assert!(docs.join("story").exists());
    let (doc, code, _) = backups.run(&[], "a");
    assert_eq!(code, 1, "{doc}");
    assert_eq!(doc["failed"][0]["path"], "Docs/story", "{doc:#}");
    assert!(doc["failed"][0]["reason"].as_str().unwrap().contains("checksum"), "{doc:#}");
    // What agrees is there, and its folder.
    assert_eq!(doc["there"], 2, "{doc:#}");
}
