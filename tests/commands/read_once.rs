//! What is read is read once, and no longer than the user allows.

use crate::common;

use crate::common::{state_home, tmbundle, tmbundle_with};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tools::bundle::BundleOptions;
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

/// A bundle with so many megabytes in large and small files.
fn bundle(dir: &Path, megabytes: usize, band_size: u64) -> PathBuf {
    let size = (megabytes as u64 + 64) << 20;
    let mut volume = VolumeBuilder::new(VolumeOptions { size, ..VolumeOptions::default() });
    let root = volume.root();
    for n in 0..megabytes {
        let mut seed = n as u64 + 1;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .take(1 << 20)
        .collect();
        volume.file(root, &format!("file {n}"), bytes, Meta::file());
    }
    let path = dir.join("Mac.sparsebundle");
    let options = BundleOptions { band_size, ..BundleOptions::default() };
    tools::bundle::write(&volume.build().image, &path, &options).unwrap();
    path
}

fn stored(bundle: &Path) -> u64 {
    let bands = fs::read_dir(bundle.join("bands")).unwrap();
    bands.map(|b| b.unwrap().metadata().unwrap().len()).sum()
}

/// Bytes that a run reads from the bands, by its own meter.
fn read(bundle: &Path, args: &[&str]) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("tm.prom"), dir.path().join("state"));
    let args =
        [&["verify", "--metrics", file.to_str().unwrap()], args, &[bundle.to_str().unwrap()]];
    tmbundle_with(&[("XDG_STATE_HOME", state.to_str().unwrap())], &args.concat()).expect(0, &[]);
    let text = fs::read_to_string(&file).unwrap();
    let sample = text.lines().find(|l| l.starts_with("tmbundle_read_bytes{")).unwrap();
    sample.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn a_manifest_and_the_data_together_read_every_byte_once() {
    for band_size in [1 << 20, 8 << 20, 128 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(dir.path(), 48, band_size);
        let stored = stored(&bundle);
        let structures = read(&bundle, &[]);
        let both = read(&bundle, &["--manifest", "--read-data"]);
        // The check of the structures comes before, and reads them for itself.
        let most = stored + 2 * structures + (1 << 20);
        assert!(both <= most, "{both} bytes read of {stored}, {structures} for the structures");
        assert!(both >= stored, "{both} of {stored}");
    }
}

#[test]
fn a_file_larger_than_any_disk_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("huge.img");
    // A file of a terabyte, all of it a hole of the image.
    let mut volume = VolumeBuilder::new(VolumeOptions::default());
    let root = volume.root();
    volume.file(root, "small", b"x".to_vec(), Meta::file());
    volume.build().image.write_to(&raw).unwrap();
    let file = fs::File::options().write(true).open(&raw).unwrap();
    file.set_len(1 << 40).unwrap();
    let started = Instant::now();
    let ran = tmbundle(&["verify", "--read-data=5s", raw.to_str().unwrap()]);
    assert!(ran.code.is_some() && started.elapsed().as_secs() < 60, "{ran:?}");
}

/// A sparse band of a terabyte (HOSTILE.md D16) costs what is stored of it.
#[test]
fn holes_of_a_band_are_not_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Sparse.sparsebundle");
    common::empty_bundle(&bundle, 1 << 40, 1 << 42);
    let band = fs::File::create(bundle.join("bands/0")).unwrap();
    band.set_len(1 << 40).unwrap();
    use std::os::unix::fs::FileExt;
    band.write_at(b"something", 1 << 39).unwrap();
    let state = dir.path().join("state");
    let state = [("XDG_STATE_HOME", state.to_str().unwrap())];
    let run = || {
        let args = ["verify", "--json", "--manifest", bundle.to_str().unwrap()];
        let ran = tmbundle_with(&state, &args);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        json["sources"][0]["manifest"].clone()
    };
    let started = Instant::now();
    let first = run();
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    if first.is_null() {
        // Bands of such a size are refused altogether.
        return;
    }
    assert_eq!(first["new"], 1, "{first}");
    // Other bytes are another hash, other holes are not.
    let modified = band.metadata().unwrap().modified().unwrap();
    let again = |change: &dyn Fn()| {
        change();
        band.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
        run()
    };
    let zeros = again(&|| band.write_all_at(&[0; 4096], 1 << 20).unwrap());
    assert_eq!((&zeros["rewritten"], &zeros["changed"]), (&0.into(), &0.into()), "{zeros}");
    let bytes = again(&|| band.write_all_at(b"!", 1 << 21).unwrap());
    assert_eq!(bytes["rewritten"], 1, "{bytes}");
    let _ = state_home();
    // BAND-PART-UNREADABLE needs a disk that fails: see src/verify/manifest/bad.rs.
}
