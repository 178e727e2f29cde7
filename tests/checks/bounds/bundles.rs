//! Bundles: bands of any size and number, holes of a terabyte, files of petabytes.

use super::bounded;
use crate::common::{empty_bundle, info_plist};
use std::fs::File;
use std::path::{Path, PathBuf};
use tools::Image;
use tools::hfs::{ForkKind, Meta, Volume, VolumeBuilder, VolumeOptions};

/// A bundle of an image of which little is stored.
pub(super) fn bundle(image: &Image, dir: &Path, band_size: u64) -> PathBuf {
    let path = dir.join("Mac.sparsebundle");
    empty_bundle(&path, band_size, image.len());
    for (at, len) in image.stored_ranges() {
        for band in at / band_size..=(at + len - 1) / band_size {
            let (start, end) = (band * band_size, (band + 1) * band_size);
            let (from, to) = (at.max(start), (at + len).min(end));
            let file = path.join(format!("bands/{band:x}"));
            let file = File::options().create(true).write(true).truncate(false).open(file).unwrap();
            let bytes = image.read(from, usize::try_from(to - from).unwrap());
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, from - start).unwrap();
        }
    }
    path
}

fn volume(size: u64, block_size: u32) -> Volume {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { size, block_size, ..VolumeOptions::default() });
    let root = builder.root();
    for name in ["a", "b", "c"] {
        builder.file(root, name, "x\n", Meta::file());
    }
    builder.build()
}

#[test]
fn a_terabyte_in_bands_of_a_block() {
    let volume = volume(1 << 40, 4096);
    let mut image = volume.image.clone();
    // Everything is in use, says the bitmap, as far as it is stored.
    image.fill(volume.layout.bitmap_byte(0), 1 << 20, 0xAA);
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(&image, dir.path(), 4096);
    let (code, told) = bounded(&["verify", path.to_str().unwrap()]);
    assert_eq!(code, 1, "{told}");
    bounded(&["info", path.to_str().unwrap()]);
}

#[test]
fn a_disk_of_petabytes_without_bands() {
    let volume = volume(1 << 47, 65_536);
    let mut image = volume.image.clone();
    image.set_len(1 << 52);
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(&image, dir.path(), 1 << 30);
    let (code, told) = bounded(&["verify", path.to_str().unwrap()]);
    assert!(code <= 1, "{told}");
    bounded(&["verify", "--read-data", path.to_str().unwrap()]);
}

/// The record of what was written says that all of it was, where nothing is.
#[test]
fn a_record_of_a_band_of_a_terabyte_is_counted_not_collected() {
    let volume = volume(64 << 20, 4096);
    // The largest map that is read is 4 MiB, for a band of 128 GiB.
    for (band_size, map) in [(1u64 << 40, 32 << 20), (1 << 37, 4 << 20)] {
        let dir = tempfile::tempdir().unwrap();
        let mut image = volume.image.clone();
        image.set_len(1000 * band_size);
        let path = bundle(&image, dir.path(), band_size);
        std::fs::create_dir(path.join("mapped")).unwrap();
        std::fs::write(path.join("mapped/1"), vec![0xFF; map]).unwrap();
        for n in 2..500 {
            let file = File::create(path.join(format!("mapped/{n:x}"))).unwrap();
            file.set_len(map as u64).unwrap();
        }
        for args in [&["verify", "--quick"][..], &["verify"], &["info"]] {
            let (_, told) = bounded(&[args, &[path.to_str().unwrap()]].concat());
            let known = args[0] == "verify" && map == 4 << 20;
            assert_eq!(told.contains("mapped/1 says that"), known, "{told}");
        }
    }
}

/// Files of a whole disk, of which nothing is stored.
#[test]
fn a_file_of_a_quarter_of_a_petabyte_is_left_when_time_is_up() {
    let volume = volume((1 << 48) - (1 << 20), 65_536);
    let mut image = volume.image.clone();
    let id = volume.layout.forks().filter(|f| f.1 == ForkKind::Data).map(|f| f.0).max().unwrap();
    let data = volume.layout.record(&image, id).unwrap().data + 88;
    let count = 0xF000_0000u32;
    image.write_at(data, &(u64::from(count) * 65_536).to_be_bytes());
    image.write_at(data + 12, &count.to_be_bytes());
    image.write_at(data + 16, &0x0100_0000u32.to_be_bytes());
    image.write_at(data + 20, &count.to_be_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(&image, dir.path(), 8 << 20);
    let path = path.to_str().unwrap();
    let started = std::time::Instant::now();
    bounded(&["verify", "--read-data=2s", path]);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    // Neither is a restore of it begun that nobody has room for.
    let to = dir.path().join("to");
    let (code, told) = bounded(&["extract", path, "volume:/", "--to", to.to_str().unwrap()]);
    assert_eq!(code, 1, "{told}");
}

#[test]
fn a_hole_of_a_terabyte_is_not_hashed_byte_by_byte() {
    let volume = volume(64 << 20, 4096);
    let mut image = volume.image.clone();
    image.set_len(1 << 40);
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(&image, dir.path(), 1 << 40);
    let band = File::options().write(true).open(path.join("bands/0")).unwrap();
    band.set_len(1 << 40).unwrap();
    let (code, told) = bounded(&["verify", "--manifest", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{told}");
    // What the list says of a size that no Mac writes changes nothing of that.
    std::fs::write(path.join("Info.plist"), info_plist(1 << 60, 1 << 60)).unwrap();
    bounded(&["verify", "--manifest", path.to_str().unwrap()]);
}
