//! What looks harmless and is meant to confuse: names that show alike, bands that are no
//! folder, passwords that cost hours, one volume named a thousand times.

use crate::common::{copy_demo, tmbundle};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};
use tools::bundle::{self, BundleOptions, Encryption};
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;

/// `é` in one character and in two; HFS+ should only hold the second.
const ONE: &str = "caf\u{e9}";
const TWO: &str = "cafe\u{301}";

#[test]
fn of_names_that_show_alike_none_is_lost_in_silence() {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { decompose: false, ..VolumeOptions::default() });
    let root = builder.root();
    builder.file(root, ONE, "one\n", Meta::file());
    builder.file(root, TWO, "two\n", Meta::file());
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("alike.img");
    builder.build().image.write_to(&image).unwrap();
    let (image, to) = (image.to_str().unwrap(), dir.path().join("to"));
    // Both are listed.
    let listed = tmbundle(&["ls", image, "volume:/"]).expect(0, &[]).out.clone();
    assert_eq!(listed.lines().filter(|l| l.contains("caf")).count(), 2, "{listed}");
    let ran = tmbundle(&["extract", image, "volume:/", "--no-sync", "--to", to.to_str().unwrap()]);
    let mut texts: Vec<String> = std::fs::read_dir(&to)
        .unwrap()
        .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
        .collect();
    texts.sort();
    // Each is there, under whichever name, or it is said which is not.
    match ran.code {
        Some(0) => assert_eq!(texts, ["one\n", "two\n"], "{ran:#?}"),
        Some(1) => assert!(texts.len() == 1 && ran.err.contains("caf"), "{ran:#?}"),
        _ => panic!("{ran:#?}"),
    }
}

#[test]
fn bands_that_are_no_folder_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (how, words) in [("missing", "missing"), ("link", "symbolic link"), ("file", "no folder")] {
        let source = dir.path().join(format!("{how}.sparsebundle"));
        copy_demo(&source);
        let (bands, away) = (source.join("bands"), dir.path().join(how));
        std::fs::rename(&bands, &away).unwrap();
        match how {
            "link" => symlink(&away, &bands).unwrap(),
            "file" => std::fs::write(&bands, "x").unwrap(),
            _ => {}
        }
        let source = source.to_str().unwrap();
        tmbundle(&["verify", source]).expect(1, &["bands", words]);
        let ran = tmbundle(&["ls", source]);
        assert!(ran.code != Some(0) && ran.err.contains(words), "{how}: {ran:#?}");
    }
}

#[test]
fn a_password_function_of_hours_is_refused_at_once() {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { size: 4 << 20, ..VolumeOptions::default() });
    let root = builder.root();
    builder.file(root, "a", "x\n", Meta::file());
    let (disk, _) = Gpt::default().wrap(&builder.build().image);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    let encryption = Some(Encryption::with_password("right"));
    bundle::write(&disk, &path, &BundleOptions { encryption, ..BundleOptions::default() }).unwrap();
    let passwords = dir.path().join("password");
    std::fs::write(&passwords, "right\n").unwrap();
    let source = path.to_str().unwrap();
    let args = ["ls", source, "volume:/", "--password-file", passwords.to_str().unwrap()];
    tmbundle(&args).expect(0, &["a"]);
    let token = path.join("token");
    let mut bytes = std::fs::read(&token).unwrap();
    // The only key record: its place at 80 in the header, its rounds 8 bytes into it.
    let at = u64::from_be_bytes(bytes[80..88].try_into().unwrap()) as usize;
    assert_eq!(bytes[at + 8..at + 12], 1000u32.to_be_bytes());
    for rounds in [10_000_001u32, u32::MAX] {
        bytes[at + 8..at + 12].copy_from_slice(&rounds.to_be_bytes());
        std::fs::write(&token, &bytes).unwrap();
        let started = Instant::now();
        let ran = tmbundle(&args);
        assert!(ran.code != Some(0) && ran.err.contains("rounds"), "{ran:#?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

/// A map of 1,024 entries that all name one volume is read in the time of one.
#[test]
fn a_map_that_names_one_volume_a_thousand_times_costs_one() {
    let (_dir, path) = map_of_a_thousand(0);
    let path = path.to_str().unwrap();
    for args in [&["info", path][..], &["ls", path, "volume:/"], &["verify", path]] {
        let started = Instant::now();
        let ran = tmbundle(args);
        assert!(matches!(ran.code, Some(0..=3)), "{ran:#?}");
        eprintln!("{args:?}: {:?}, {:?}, {} bytes", ran.code, started.elapsed(), ran.out.len());
        assert!(!ran.out.contains("EXAMINATION-ENDED"), "{ran:#?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{args:?}: {:?}", started.elapsed());
        assert!(ran.out.len() < 4 << 20, "{} bytes", ran.out.len());
    }
}

/// Each may have a journal and trees of its own, in the same bytes.
#[test]
fn of_partitions_that_lie_over_others_a_few_are_looked_at() {
    let (_dir, path) = map_of_a_thousand(8);
    let path = path.to_str().unwrap();
    // Where one ends is a volume's last header, but none begins where the others do.
    let words = "1023 partitions lie over others; 1015 of them are left out";
    tmbundle(&["verify", "--all", path]).expect(1, &["9 partitions", words]);
}

/// A disk whose map has a thousand entries, each so many sectors behind the one before, and all
/// ending with the volume that the first names.
fn map_of_a_thousand(step: u64) -> (tempfile::TempDir, std::path::PathBuf) {
    const ENTRIES: usize = 1024;
    let mut builder = VolumeBuilder::new(VolumeOptions::default());
    let root = builder.root();
    for n in 0..300 {
        builder.file(root, &format!("file {n}"), "x\n", Meta::file());
    }
    let (disk, _) = Gpt { first: 400, ..Gpt::default() }.wrap(&builder.build().image);
    let mut bytes = disk.to_vec();
    let entry = bytes[1024..1152].to_vec();
    let mut table = Vec::new();
    for n in 0..ENTRIES {
        let mut entry = entry.clone();
        entry[16..18].copy_from_slice(&(n as u16).to_le_bytes());
        let first = u64::from_le_bytes(entry[32..40].try_into().unwrap()) + n as u64 * step;
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        table.extend(entry);
    }
    bytes[1024..1024 + table.len()].copy_from_slice(&table);
    let header = &mut bytes[512..512 + 92];
    header[80..84].copy_from_slice(&(ENTRIES as u32).to_le_bytes());
    header[88..92].copy_from_slice(&crc32fast::hash(&table).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32fast::hash(header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}
