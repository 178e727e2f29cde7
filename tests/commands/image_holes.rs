//! Disk images in one file that lack bytes: `verify` judges them as who hands them out does.

use super::holes::punch;
use crate::common::{gunzip, shared_data, tmbundle};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use tools::bundle::single::sparse_image;
use tools::samples::sample;

/// What `extract` says that it could not restore of the contents of an image.
fn not_restored(image: &str) -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    let (out, report) = (dir.path().join("out"), dir.path().join("report.json"));
    let (out, report_file) = (out.to_str().unwrap(), report.to_str().unwrap());
    let ran = tmbundle(&["extract", image, "volume:/", "--to", out, "--report", report_file]);
    let document: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let objects = document["objects"].as_array().unwrap();
    let failed = objects.iter().filter(|o| o["did"] == "failed");
    let failed: BTreeSet<_> = failed.map(|o| o["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ran.code, Some(i32::from(!failed.is_empty())), "{ran:#?}");
    failed
}

/// What `verify` comes to, and what it says is hit by lost bytes.
fn verified(image: &str, args: &[&str]) -> (Value, BTreeSet<String>) {
    let ran = tmbundle(&[&["verify", "--json", image], args].concat());
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let source = document["sources"][0].clone();
    let damage = source["verdict"] == "damage";
    assert_eq!(ran.code, Some(i32::from(damage)), "{ran:#?}");
    let findings = source["findings"].as_array().unwrap().iter();
    let lost = findings.filter(|f| f["code"] == "BAND-LOST" && f["severity"] == "damage");
    let all = lost.flat_map(|f| f["costs"]["affected"].as_array().unwrap());
    let name =
        |a: &Value| a["address"].as_str().unwrap().strip_prefix("volume:/").map(str::to_owned);
    let hit = all.filter_map(name).collect();
    (source, hit)
}

/// Whatever cannot be restored was told by `verify`, which read none of it.
/// `before`: what cannot be restored of it as it was.
#[track_caller]
fn agree(image: &Path, before: &BTreeSet<String>) {
    let image = image.to_str().unwrap();
    let failed: BTreeSet<_> = not_restored(image).difference(before).cloned().collect();
    assert!(failed.len() > 3, "{failed:?}");
    for args in [&[][..], &["--read-data"]] {
        let (source, hit) = verified(image, args);
        assert_eq!(source["verdict"], "damage", "{source:#}");
        let untold: Vec<_> = failed.difference(&hit).collect();
        assert!(untold.is_empty(), "{untold:?} of {source:#}");
        let contents = &source["contents"];
        assert_eq!(contents.is_null(), args.is_empty());
        let read = contents["bytes_read"].as_u64() < contents["bytes"].as_u64();
        assert!(args.is_empty() || read, "{source:#}");
    }
}

#[test]
fn a_hole_in_a_raw_image_is_told_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("Mac.img");
    std::fs::write(&image, sample("basic").unwrap().build().image.to_vec()).unwrap();
    let before = not_restored(image.to_str().unwrap());
    assert!(before.iter().all(|path| path.contains("compressed/")), "{before:?}");
    if punch(&image, 1 << 20, 1 << 17) {
        agree(&image, &before);
    }
}

#[test]
fn an_image_that_lost_an_entry_of_its_table_is_told_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparseimage");
    let lose = |mut bytes: Vec<u8>, of: std::ops::Range<usize>| {
        std::fs::write(&path, &bytes).unwrap();
        let before = not_restored(path.to_str().unwrap());
        bytes[of].fill(0);
        std::fs::write(&path, bytes).unwrap();
        agree(&path, &before);
    };
    let bytes = sparse_image(&sample("basic").unwrap().build().image, 256, 1008);
    // Entries of four bytes from byte 64 on: which band lies there, from 1.
    let entry = |n: usize| 64 + 4 * n..68 + 4 * n;
    let of = (0..1008).map(entry).find(|e| bytes[e.clone()] == 9u32.to_be_bytes()).unwrap();
    lose(bytes, of);
    let Some(data) = shared_data("a sparse image of others") else { return };
    lose(gunzip(&data.join("images/aj_sparse.sparseimage.gz")), entry(1));
}

/// A copy that leaves out zeros lacks nothing.
#[test]
fn a_sparse_copy_of_an_image_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("Mac.img");
    sample("basic").unwrap().build().image.write_to(&image).unwrap();
    let (source, hit) = verified(image.to_str().unwrap(), &["--read-data"]);
    assert!(source["counts"]["damage"] == 0 && hit.is_empty(), "{source:#}");
}
