//! One field of a volume is wrong: whatever is not restored as it was is told, and the exit code
//! is not 0. The sound volume beside it is the measure.

use crate::common::tmbundle;
use std::collections::BTreeMap;
use std::path::Path;
use tools::bundle::{self, BundleOptions};
use tools::damage::Damage;
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;

/// What lies below a folder: contents by path; links and folders without.
fn tree(at: &Path, below: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(at) else { return };
    for entry in entries.map(|e| e.unwrap()) {
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        let bytes = if kind.is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
        found.insert(path.clone(), bytes);
        if kind.is_dir() {
            tree(&entry.path(), &path, found);
        }
    }
}

fn restored(image: &tools::Image) -> (BTreeMap<String, Vec<u8>>, Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let (source, to) = (dir.path().join("x.img"), dir.path().join("to"));
    image.write_to(&source).unwrap();
    let names = [source.to_str().unwrap(), "volume:/", "--to", to.to_str().unwrap()];
    let ran = tmbundle(&[&["extract"], &names[..]].concat());
    let mut found = BTreeMap::new();
    tree(&to, "", &mut found);
    (found, ran.code, ran.err)
}

fn verified(image: &tools::Image) -> Option<i32> {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("x.img");
    image.write_to(&source).unwrap();
    tmbundle(&["verify", source.to_str().unwrap()]).code
}

/// Damages of which a restore says what it costs.
const TOLD: &[&str] = &[
    "dir-link-flag",
    "dir-link-creator",
    "link-finder-type",
    "extent-at-zero",
    "extent-overlap-catalog",
];

#[test]
fn a_link_or_an_extent_that_is_wrong_is_told_and_no_file_is_empty_for_it() {
    let volume = tools::samples::sample("links").unwrap().build();
    let (sound, code, told) = restored(&volume.image);
    assert_eq!(code, Some(0), "{told}");
    assert!(sound.len() > 10);
    for name in TOLD {
        let damage = Damage::all().into_iter().find(|d| d.name == *name).unwrap();
        let mut image = volume.image.clone();
        damage.apply(&mut image, &volume.layout).unwrap();
        let (found, code, told) = restored(&image);
        assert_eq!(code, Some(1), "{name}: {told}");
        let wrong: Vec<&String> = found
            .iter()
            .filter(|(path, bytes)| sound.get(*path) != Some(bytes))
            .map(|f| f.0)
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?} {told}");
        assert!(found.len() < sound.len(), "{name}: nothing is missing");
        assert_eq!(verified(&image), Some(1), "{name}");
    }
}

#[test]
fn a_number_that_two_files_have_is_damage() {
    let volume = tools::samples::sample("links").unwrap().build();
    let damage = Damage::all().into_iter().find(|d| d.name == "record-id-twice").unwrap();
    let mut image = volume.image.clone();
    assert_eq!(verified(&image), Some(0));
    damage.apply(&mut image, &volume.layout).unwrap();
    assert_eq!(verified(&image), Some(1));
}

/// All names of a file carry what is doubtful of it, in folders and in archives.
#[test]
fn every_name_of_a_file_carries_its_doubt() {
    let mut volume = VolumeBuilder::new(VolumeOptions { size: 24 << 20, ..Default::default() });
    let root = volume.root();
    let text: Vec<u8> = b"<<linked>>".iter().copied().cycle().take(200_000).collect();
    let file = volume.file(root, "name 0", Content::Bytes(text), Meta::file());
    for n in 1..4 {
        volume.hard_link(file, root, &format!("name {n}"));
    }
    volume.file(root, "other", Content::Bytes(b"other".repeat(1000)), Meta::file());
    let (disk, _) = Gpt::default().wrap(&volume.build().image);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    let options = BundleOptions { band_size: 64 << 10, ..BundleOptions::default() };
    bundle::write(&disk, &path, &options).unwrap();
    let bands = std::fs::read_dir(path.join("bands")).unwrap().map(|e| e.unwrap().path());
    let full = |band: &std::path::PathBuf| {
        let bytes = std::fs::read(band).unwrap();
        bytes.len() == 64 << 10 && bytes.windows(10).step_by(1000).all(|w| w.contains(&b'k'))
    };
    std::fs::remove_file(bands.into_iter().find(full).unwrap()).unwrap();

    let (to, report) = (dir.path().join("to"), dir.path().join("report.json"));
    let (to, report_at) = (to.to_str().unwrap(), report.to_str().unwrap());
    for (tar, to) in [(false, &["--to", to][..]), (true, &["--tar"])] {
        let source = path.to_str().unwrap();
        let args = ["extract", source, "volume:/", "--lost-as-zeros", "--report", report_at];
        let ran = tmbundle(&[&args[..], to].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        let lines = std::fs::read_to_string(&report).unwrap();
        std::fs::remove_file(&report).unwrap();
        let doubts = lines.lines().filter(|l| l.contains("name ") && l.contains("\"doubt\""));
        assert_eq!(doubts.count(), 4, "tar {tar}: {lines}");
        for n in 0..4 {
            assert!(ran.err.contains(&format!("doubtful: name {n}")), "tar {tar}: {}", ran.err);
        }
        assert!(!ran.err.contains("doubtful: other"), "{}", ran.err);
    }
}

/// Of more paths than there is room for `locate` tells the number alone.
#[test]
fn a_range_over_any_number_of_deep_folders_keeps_few_of_their_paths() {
    const DEPTH: usize = 12_000;
    let mut volume = VolumeBuilder::new(VolumeOptions { size: 64 << 20, ..Default::default() });
    let mut folder = volume.root();
    for _ in 0..DEPTH {
        folder = volume.mkdir(folder, "a folder in a folder", Meta::dir());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.img");
    volume.build().image.write_to(&path).unwrap();
    let place = ["--offset", "0", "--length", "100000000"];
    let ran = tmbundle(&[&["locate", "--json", path.to_str().unwrap()], &place[..]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let pieces = found["pieces"].as_array().unwrap().iter();
    let objects: Vec<_> = pieces.filter_map(|p| p["objects"].as_array()).flatten().collect();
    let bytes: usize = objects.iter().filter_map(|o| Some(o["address"].as_str()?.len())).sum();
    let bare = objects.iter().filter(|o| o["address"].is_null()).count();
    assert!(objects.len() >= DEPTH && bytes < (32 << 20) + 8192, "{} {bytes}", objects.len());
    assert_eq!(found["by_number"], bare, "{}", objects.len());
    assert!(bare > 0);
}
