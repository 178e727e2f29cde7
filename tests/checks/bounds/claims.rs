//! Volumes that claim more than they hold: files of holes, folders that are linked to again and
//! again, names that grow when they are told.

use super::bounded;
use super::bundles::bundle;
use std::os::unix::fs::MetadataExt;
use tools::bundle::BundleOptions;
use tools::hfs::{Content, ForkKind, Meta, VolumeBuilder, VolumeOptions};

/// Restoring a file that is not stored costs what is stored of it.
#[test]
fn files_of_holes_are_restored_without_reading_them() {
    const LEN: u64 = 64 << 30;
    let options = VolumeOptions { size: 80 << 30, ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(options);
    let root = builder.root();
    builder.file(root, "huge", Content::Zeros(LEN), Meta::file());
    builder.file(root, "small", "x\n", Meta::file());
    let image = builder.build().image;
    let dir = tempfile::tempdir().unwrap();
    let (raw, to) = (dir.path().join("huge.img"), dir.path().join("to"));
    image.write_to(&raw).unwrap();
    let bands = bundle(&image, dir.path(), 8 << 20);
    let (raw, to) = (raw.to_str().unwrap(), to.to_str().unwrap());
    let lost: &[&str] = &["--lost-as-zeros"];
    for (source, more) in [(raw, &[][..]), (bands.to_str().unwrap(), lost)] {
        for how in [&["--no-sync", "--verify", "--to", to][..], &["--tar"]] {
            let args = [&["extract", "--force", source, "volume:/"], more, how].concat();
            let (code, told) = bounded(&args);
            assert!(code <= 1, "{args:?}: {told}");
        }
        let huge = std::fs::metadata(format!("{to}/huge")).unwrap();
        assert!(huge.len() == LEN && huge.blocks() < 1 << 20, "{huge:?}");
        assert_eq!(std::fs::read(format!("{to}/small")).unwrap(), b"x\n");
        std::fs::remove_dir_all(to).unwrap();
    }
}

/// Two links on each level lead to one folder in 2^40 ways, and that has many files.
#[test]
fn folders_that_are_in_too_many_places_are_not_listed_in_all() {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { size: 64 << 20, ..VolumeOptions::default() });
    let root = builder.root();
    let hidden = builder.mkdir(root, "levels", Meta::dir());
    let mut below = builder.mkdir(hidden, "deepest", Meta::dir());
    for n in 0..5_000 {
        builder.file(below, &format!("file {n:05}"), Content::Empty, Meta::file());
    }
    for i in 0..40 {
        let dir = builder.mkdir(hidden, &format!("level {i}"), Meta::dir());
        builder.dir_link(below, dir, "a");
        builder.dir_link(below, dir, "b");
        below = dir;
    }
    let top = builder.mkdir(root, "top", Meta::dir());
    builder.dir_link(below, top, "a");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.img");
    builder.build().image.write_to(&path).unwrap();
    let path = path.to_str().unwrap();
    let (_, told) = bounded(&["ls", "-R", path, "volume:/top"]);
    let rows = told.lines().filter(|l| l.contains("file 0")).count();
    assert!((5_000..200_000).contains(&rows), "{rows}");
    assert!(told.contains("not entered again"));
    let (_, told) = bounded(&["extract", "--dry-run", path, "volume:/top", "--to", "/nowhere"]);
    assert!(told.contains("cannot be reached"), "{told}");
}

/// Each letter of these names takes six in JSON, by which a check is told: the damage is, still.
#[test]
fn damage_of_files_with_long_names_is_told() {
    const FILES: u32 = 15_000;
    let options = VolumeOptions { size: 256 << 20, ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(options);
    let mut at = builder.root();
    for _ in 0..15 {
        at = builder.mkdir(at, &"\u{1}".repeat(255), Meta::dir());
    }
    for n in 0..FILES {
        let name = format!("{n:05}{}", "\u{1}".repeat(250));
        builder.file(at, &name, "x\n", Meta::file());
    }
    let volume = builder.build();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    let options = BundleOptions { band_size: 1 << 20, ..BundleOptions::default() };
    tools::bundle::write(&volume.image, &path, &options).unwrap();
    let last = volume.layout.forks().map(|f| f.0).max().unwrap();
    let band = |id| {
        let block = volume.layout.fork(id, ForkKind::Data)[0].start;
        volume.layout.block(block) >> 20
    };
    let (a, b) = (band(last), band(last - FILES + 100));
    let mut removed = 0;
    for n in a.min(b) + 1..a.max(b) {
        removed += u32::from(std::fs::remove_file(path.join(format!("bands/{n:x}"))).is_ok());
    }
    assert!(removed > 30, "{removed}");
    let (code, told) = bounded(&["verify", path.to_str().unwrap()]);
    assert!(code == 1 && told.contains("BAND-LOST"), "{code} {}", told.len());
}

/// A property list of a disk image is counted before it is built.
#[test]
fn a_disk_image_with_millions_of_objects_in_its_list() {
    let mut list = b"<?xml version=\"1.0\"?><plist><array>".to_vec();
    list.extend(b"<true/>".repeat(8 << 20));
    let mut file = vec![0; 4096];
    let at = file.len() as u64;
    file.extend(&list);
    let mut koly = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| koly[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"koly");
    put(0x20, &at.to_be_bytes());
    put(0x38, &1u32.to_be_bytes());
    put(0x3C, &1u32.to_be_bytes());
    put(0xD8, &at.to_be_bytes());
    put(0xE0, &(list.len() as u64).to_be_bytes());
    put(0x1EC, &2048u64.to_be_bytes());
    file.extend(koly);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.dmg");
    std::fs::write(&path, file).unwrap();
    for command in ["info", "verify"] {
        let (_, told) = bounded(&[command, path.to_str().unwrap()]);
        assert!(told.contains("too many objects"), "{told}");
    }
}

/// A disk of many terabytes of which nothing is stored is not searched byte by byte.
#[test]
fn an_empty_disk_of_terabytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.img");
    std::fs::File::create(&path).unwrap().set_len(15 << 40).unwrap();
    let args = ["info", path.to_str().unwrap()];
    bounded(&args);
    let mut traced = vec!["-f", "-c", "-e", "trace=pread64", env!("CARGO_BIN_EXE_tmbundle")];
    traced.extend(args);
    let Ok(out) = std::process::Command::new("strace").args(&traced).output() else {
        return crate::common::skipped("an_empty_disk_of_terabytes: strace is not here");
    };
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let line = text.lines().find(|l| l.ends_with("pread64")).unwrap_or("0 0 0 0");
    let calls: u64 = line.split_whitespace().nth(3).and_then(|n| n.parse().ok()).unwrap();
    assert!(calls < 200, "{text}");
}
