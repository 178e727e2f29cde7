//! Holes in bands: zeros that a sparse copy leaves out, or bytes that are lost.

use super::lost_bytes::{BAND, Sample, bands_with, lost};
use crate::common::{self, tmbundle};
use serde_json::Value;
use std::path::Path;
use tools::bundle::BundleOptions;

pub(super) fn punch(path: &Path, offset: u64, len: u64) -> bool {
    use rustix::fs::FallocateFlags as F;
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let done = rustix::fs::fallocate(&file, F::PUNCH_HOLE | F::KEEP_SIZE, offset, len);
    if done.is_err() {
        common::skipped("holes: the file system of the temporary folder has none");
    }
    done.is_ok()
}

/// Dig holes for all aligned zeros of 4 KiB, as `cp --sparse=always` leaves them.
fn make_sparse(bundle: &Path) -> bool {
    std::fs::read_dir(bundle.join("bands")).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let mut blocks = bytes.chunks_exact(4096).zip((0..).step_by(4096));
        blocks.all(|(block, at)| block.iter().any(|b| *b != 0) || punch(&path, at, 4096))
    })
}

#[test]
fn a_band_that_has_its_length_and_nothing_else_is_doubtful() {
    // As after a power loss: room was given to it, and nothing was written out.
    let s = Sample::new(&BundleOptions::default());
    let bands = bands_with(&s.path, b"<<big>>");
    let (band, last) = (&bands[2], &bands[3]);
    let kept = std::fs::read(s.band(band)).unwrap();
    for some in [std::slice::from_ref(band), &bands[2..4]] {
        if !some.iter().all(|band| punch(&s.band(band), 0, BAND)) {
            return;
        }
        let out = s.cat("big", &[]);
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("may be lost"), "{out:?}");
        for band in some {
            assert_eq!(s.finding_of(band)["severity"], "warning");
        }
    }
    // Only its end.
    std::fs::write(s.band(band), &kept).unwrap();
    std::fs::write(s.band(last), &kept).unwrap();
    punch(&s.band(band), BAND / 2, BAND / 2);
    let out = s.cat("big", &[]);
    assert_eq!(out.status.code(), Some(1), "doubtful");
    assert!(String::from_utf8_lossy(&out.stderr).contains("may be lost"), "{out:?}");
    assert_eq!(s.finding_of(band)["severity"], "warning");
    // Zeros just beside it: a sparse copy left out what was a whole number of blocks.
    let mut zeros = std::fs::read(s.band(&bands[1])).unwrap();
    let end = zeros.len();
    zeros[end - 2048..].fill(0);
    std::fs::write(s.band(&bands[1]), &zeros).unwrap();
    punch(&s.band(band), 0, BAND);
    assert_eq!(s.cat("big", &[]).status.code(), Some(0));
    // In its midst: other zeros are stored here, so that this is no sparse copy.
    std::fs::write(s.band(band), &kept).unwrap();
    punch(&s.band(band), 65_536, 65_536);
    let out = s.cat("big", &[]);
    assert_eq!(out.status.code(), Some(1), "doubtful");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("stores such zeros elsewhere"), "{said}");
    assert_eq!(s.finding_of(band)["severity"], "warning");
}

#[test]
fn a_sparse_copy_stays_sound_wherever_its_zeros_begin() {
    // Zeros that a file really has: in the midst of a band, just a band, one with zeros before
    // it that no hole was dug for, and up to the file's end.
    for (zeros, before) in [((60_000, 40_000), 0), ((0, BAND), 0), ((0, BAND), 2048)] {
        let s = Sample::new(&BundleOptions::default());
        let bands = bands_with(&s.path, b"<<big>>");
        let mut bytes = std::fs::read(s.band(&bands[2])).unwrap();
        let (at, len) = (zeros.0 as usize, zeros.1 as usize);
        bytes[at..at + len].fill(0);
        std::fs::write(s.band(&bands[2]), &bytes).unwrap();
        let mut bytes = std::fs::read(s.band(&bands[1])).unwrap();
        let end = bytes.len();
        bytes[end - before..].fill(0);
        std::fs::write(s.band(&bands[1]), &bytes).unwrap();
        if !make_sparse(&s.path) {
            return;
        }
        assert_eq!(s.cat("big", &[]).status.code(), Some(0), "{zeros:?} {before}");
        let said = s.findings("BAND-LOST");
        assert!(said.iter().all(|f| !f.to_string().contains("/big\"")), "{said:#?}");
        let holes = s.findings("BAND-HOLE");
        assert!(holes.iter().all(|f| f["severity"] == "info") && !holes.is_empty(), "{holes:#?}");
    }
}

/// Zeros beside a band that is missing are a hole in a sparse copy: no more is known of the band.
#[test]
fn what_is_doubtful_is_no_damage_in_a_sparse_copy() {
    let s = Sample::new(&BundleOptions::default());
    let grades = || {
        let found = s.findings("BAND-LOST");
        let of = |f: &Value, key: &str| f[key].as_str().map(str::to_owned);
        found.iter().map(|f| (of(&f["where"], "band"), of(f, "severity"))).collect::<Vec<_>>()
    };
    let before = grades();
    assert!(before.len() >= 3 && before.iter().all(|g| g.1.as_deref() == Some("warning")));
    if !make_sparse(&s.path) {
        return;
    }
    assert_eq!(grades(), before);
    let out = s.cat("sparse", &[]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("may be lost"), "{out:?}");
    // One that is taken out of a file's midst is lost there, too.
    let bands = bands_with(&s.path, b"<<big>>");
    std::fs::remove_file(s.band(&bands[2])).unwrap();
    assert_eq!(s.finding_of(&bands[2])["severity"], "damage");
    lost(&s.cat("big", &[]), &bands[2]);
}

/// `verify` and `cat` say the same of a hole, and of one that is plausible not a word.
#[test]
fn what_people_read_of_holes() {
    let s = Sample::new(&BundleOptions::default());
    let verify = |more: &[&str]| {
        let args = [&["verify", "-v"], more, &[s.path.to_str().unwrap()]].concat();
        tmbundle(&args).expect(0, &[]).out.clone()
    };
    let band = bands_with(&s.path, b"<<big>>")[2].clone();
    let mut bytes = std::fs::read(s.band(&band)).unwrap();
    bytes[65_536..131_072].fill(0);
    std::fs::write(s.band(&band), bytes).unwrap();
    if !punch(&s.band(&band), 65_536, 65_536) {
        return;
    }
    // Other zeros are stored: doubtful.
    let found = s.finding_of(&band);
    let message = found["message"].as_str().unwrap();
    let (_, why) = message.split_once('(').unwrap();
    let why = why.trim_end_matches(')');
    assert!(why.contains("never written, or lost"), "{message}");
    let said = verify(&[]);
    assert!(said.contains(message) && said.contains("some of the rest may be lost"), "{said}");
    let out = s.cat("big", &[]);
    let cat = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(cat.contains(why) && cat.contains("64 KiB") && cat.contains("may be lost"), "{cat}");
    // None are: what such a copy leaves out. Who asks for all is told.
    assert!(make_sparse(&s.path));
    assert!(!verify(&[]).contains("/big"), "{said}");
    let all = verify(&["--all"]);
    let hole = all.split("BAND-HOLE").next().unwrap().lines().last().unwrap().to_owned();
    assert!(hole.contains("info") && hole.contains("which read as zeros"), "{all}");
    assert!(all.contains("volume:/big"), "{all}");
    let out = s.cat("big", &[]);
    assert_eq!((out.status.code(), out.stderr.len()), (Some(0), 0), "{out:?}");
    // Proven by a checksum: nothing is told of it as lost.
    assert!(s.findings("BAND-LOST").iter().all(|f| !f.to_string().contains("sparse_summed")));
    let out = s.cat("sparse_summed", &[]);
    assert_eq!((out.status.code(), out.stderr.len()), (Some(0), 0), "{out:?}");
}

#[test]
fn a_hole_under_several_whole_files_is_a_loss_and_a_checksum_decides() {
    let s = Sample::new(&BundleOptions::default());
    let band = bands_with(&s.path, b"<<small3>>").pop().unwrap();
    if !punch(&s.band(&band), 0, BAND) {
        return;
    }
    lost(&s.cat("small3", &[]), &band);
    let found = s.finding_of(&band);
    assert_eq!(found["severity"], "damage", "{found:#}");
    // A hole inside one file with a checksum.
    let bands = bands_with(&s.path, b"<<summed>>");
    let middle = &bands[bands.len() / 2];
    punch(&s.band(middle), 65_536, 65_536);
    lost(&s.cat("summed", &[]), middle);
}

#[test]
fn a_hole_under_one_whole_file_is_doubtful() {
    let s = Sample::new(&BundleOptions::default());
    let (band, at, len) = s.place_of("small3");
    if !punch(&s.band(&band), at, len) {
        return;
    }
    let out = s.cat("small3", &[]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("may be lost") && said.contains(&format!("band {band} ")), "{said}");
    assert_eq!(s.finding_of(&band)["severity"], "warning");
}

/// What is doubtful is restored, told once for each file, counted, and no success.
#[test]
fn a_restore_counts_what_is_doubtful() {
    let s = Sample::new(&BundleOptions::default());
    let to = tempfile::tempdir().unwrap();
    let run = |more: &[&str], to: &Path| {
        let source = s.path.to_str().unwrap();
        let args = ["extract", source, "volume:/sparse", "volume:/small0", "--to"];
        tmbundle(&[&args[..], &[to.to_str().unwrap()], more].concat())
    };
    let ran = run(&["--json"], &to.path().join("a"));
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &json["doubtful"], &json["files"]), (Some(1), &1.into(), &2.into()));
    assert_eq!(json["failed"].as_array().unwrap().len(), 1, "{json:#}");
    assert!(json["failed"][0]["doubt"].as_str().unwrap().contains("may be lost"), "{json:#}");
    let ran = run(&[], &to.path().join("b"));
    assert_eq!((ran.code, ran.err.matches("may be lost").count()), (Some(1), 1), "{ran:#?}");
    assert!(ran.out.contains("doubtful") || ran.err.contains("doubtful"), "{ran:#?}");
    let bytes = std::fs::read(to.path().join("b/sparse")).unwrap();
    assert!(bytes[1 << 20..4 << 20].iter().all(|b| *b == 0));
}
