//! Archives of thousands of snapshots over files that are lost.

use super::bounded;
use std::path::{Path, PathBuf};
use tools::bundle::BundleOptions;
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

const BAND: u64 = 1 << 20;
const START: i64 = 1_400_000_000;

/// A bundle with so many snapshots that show `folders` shared folders, each in every
/// snapshot or, for many different sets, in those with a bit of its own; `files` in these
/// folders, all lost with their bands.
fn archive(dir: &Path, snapshots: u32, folders: u32, files: u32) -> PathBuf {
    let size = (u64::from(files) * 4096 + (256 << 20)).next_multiple_of(BAND);
    let options = VolumeOptions { size, ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(options);
    let root = builder.root();
    let store = builder.mkdir(root, "Backups.backupdb", Meta::dir());
    let home = builder.mkdir(store, "Mac", Meta::dir());
    let mut shared = Vec::new();
    for s in 0..snapshots {
        let date = START + 3600 * i64::from(s);
        let meta = Meta::dir().dated(date);
        let folder = builder.mkdir(home, &tools::timemachine::stamp(date), meta.clone());
        let micros = format!("{}\0", date * 1_000_000);
        builder.set_xattr(folder, "com.apple.backupd.SnapshotCompletionDate", micros.as_str());
        let volume = builder.mkdir(folder, "Macintosh HD", meta.clone());
        if s == 0 {
            let all = 0..folders;
            shared.extend(all.map(|f| builder.mkdir(volume, &format!("folder {f}"), meta.clone())));
            continue;
        }
        for (f, id) in (0u32..).zip(&shared) {
            if f == 0 || s.wrapping_mul(2 * f + 1) >> (f % 8) & 1 == 1 {
                builder.dir_link(*id, volume, &format!("folder {f}"));
            }
        }
    }
    for n in 0..files {
        let at = shared[(n % folders) as usize];
        builder.file(at, &format!("file {n:05}"), "contents\n", Meta::file().dated(START));
    }
    let volume = builder.build();
    let path = dir.join("Mac.sparsebundle");
    let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
    tools::bundle::write(&volume.image, &path, &options).unwrap();
    // What holds nothing but files' contents goes.
    let last = volume.layout.forks().map(|f| f.0).max().unwrap();
    let of = |id| volume.layout.fork(id, tools::hfs::ForkKind::Data)[0].start;
    let first = last - files + 2;
    let lost = of(first).min(of(last))..of(first).max(of(last));
    let band = |block: u32| volume.layout.block(block) / BAND;
    for n in band(lost.start) + 1..band(lost.end) {
        std::fs::remove_file(path.join(format!("bands/{n:x}"))).unwrap();
    }
    path
}

#[test]
fn twenty_thousand_lost_files_in_five_thousand_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let path = archive(dir.path(), 5000, 1, 20_000);
    let (code, told) = bounded(&["verify", path.to_str().unwrap()]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("BAND-LOST") && told.contains("5,000 snapshots"), "{told}");
    assert!(told.len() < 1 << 20, "{} bytes", told.len());
}

#[test]
fn lost_files_of_many_different_sets_of_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let path = archive(dir.path(), 4000, 16, 20_000);
    let path = path.to_str().unwrap();
    let (code, told) = bounded(&["verify", path]);
    assert_eq!(code, 1, "{told}");
    let (code, told) = bounded(&["verify", "--json", path]);
    assert_eq!(code, 1);
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(json["sources"][0]["verdict"], "damage");
    assert!(told.len() < 16 << 20, "{} bytes", told.len());
}
