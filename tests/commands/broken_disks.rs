//! Disks whose partition map or volume headers are lost or odd, and copies that are cut: what is there is
//! found and read.

use super::broken_bundles::{Demo, FILE, demo_size};
use crate::common::tmbundle;
use std::path::Path;

/// The demo's disk in one file.
fn image(demo: &Demo, to: &Path) -> Vec<u8> {
    let disk = tmbundle::disk::Disk::open(&demo.path).unwrap().bytes().unwrap();
    let bytes = tmbundle::io::read_vec(&*disk, 0, 16 << 20).unwrap();
    std::fs::write(to, &bytes).unwrap();
    std::fs::File::options().write(true).open(to).unwrap().set_len(disk.len()).unwrap();
    bytes
}

#[test]
fn a_volume_whose_map_is_lost_is_found() {
    let demo = Demo::new();
    let whole = demo.list(&[]);
    let path = demo.path.with_extension("img");
    let mut bytes = image(&demo, &path);
    // Both copies of the map: the second lies behind what was copied.
    bytes[..20480].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let size = demo_size(&demo);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    let source = path.to_str().unwrap();
    for more in [&[][..], &["--volume-offset", "20480"], &["--offset", "20K"]] {
        let args = [&["ls", source, FILE], more].concat();
        let ran = tmbundle(&args);
        ran.expect(0, &[]);
        assert_eq!(ran.out, whole, "{more:?}");
    }
    tmbundle(&["verify", source]).expect(1, &["PART-SEARCHED", "byte 20480"]);
    tmbundle(&["ls", source, FILE, "--partition", "7"]).expect(2, &["no partition 7"]);
    // It may begin anywhere.
    let moved = [vec![0; 123 * 512], bytes[20480..].to_vec()].concat();
    std::fs::write(&path, moved).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(size + (1 << 20)).unwrap();
    let ran = tmbundle(&["ls", source, FILE]);
    assert_eq!(ran.expect(0, &[]).out, whole);
}

#[test]
fn of_a_copy_that_is_cut_the_rest_is_read() {
    let demo = Demo::new();
    let whole = demo.list(&[]);
    let path = demo.path.with_extension("img");
    image(&demo, &path);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(900 << 20).unwrap();
    let source = path.to_str().unwrap();
    let ran = tmbundle(&["ls", source, FILE]);
    assert_eq!(ran.expect(0, &[]).out, whole);
    let ran = tmbundle(&["verify", source]);
    assert!(!ran.expect(1, &["DISK-CUT", "before the volume"]).out.contains("hits"), "{ran:#?}");
    // Behind the end of one file's first half.
    file.set_len(9 << 20).unwrap();
    let ran = tmbundle(&["cat", source, &format!("{FILE}/Diary.txt")]);
    assert!(ran.out.is_empty(), "{ran:?}");
    ran.expect(3, &["the copy is shorter than the volume"]);
    // verify names what that costs, and nothing that is still there.
    let ran = tmbundle(&["verify", "--all", source]);
    let diary = "2019-11-13-102343:/Macintosh HD/Users/anna/Documents/Diary.txt";
    ran.expect(1, &["DISK-CUT", diary]);
    assert!(!ran.out.contains("etc/hosts"), "{ran:#?}");
    tmbundle(&["cat", source, "latest:/Macintosh HD/private/etc/hosts"]).expect(0, &["localhost"]);
    // A link, whose target would lie there.
    let to = demo.path.with_extension("out");
    let link = "latest:/Macintosh HD/Users/anna/Desktop";
    let ran = tmbundle(&["extract", source, link, "--to", to.to_str().unwrap()]);
    ran.expect(1, &["the image ends by byte 9437184"]);
    assert!(std::fs::symlink_metadata(to.join("Desktop")).is_err());
}

#[test]
fn records_in_larger_units_are_understood() {
    let demo = Demo::new();
    let whole = demo.list(&[]);
    let path = demo.path.with_extension("img");
    let bytes = image(&demo, &path);
    let volume = &bytes[20480..];
    for unit in [512usize, 2048, 4096] {
        // An MBR with one partition of type AF at block 8.
        let mut disk = vec![0; 8 * unit];
        disk[450] = 0xAF;
        disk[454..458].copy_from_slice(&8u32.to_le_bytes());
        let count = u32::try_from((1u64 << 31) / unit as u64).unwrap();
        disk[458..462].copy_from_slice(&count.to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk.extend(volume);
        std::fs::write(&path, &disk).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(demo_size(&demo) * 2).unwrap();
        let ran = tmbundle(&["ls", path.to_str().unwrap(), FILE]);
        assert_eq!(ran.expect(0, &[]).out, whole, "MBR of {unit}");
        // An Apple map of blocks of that size.
        let mut disk = vec![0; 8 * unit];
        let parts = [("Apple_partition_map", 1, 7), ("Apple_HFSX", 8, count)];
        put_apple_map(&mut disk, unit, &parts);
        disk.extend(volume);
        std::fs::write(&path, &disk).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(demo_size(&demo) * 2).unwrap();
        let ran = tmbundle(&["ls", path.to_str().unwrap(), FILE]);
        assert_eq!(ran.expect(0, &[]).out, whole, "Apple map of {unit}");
    }
}

/// Write the entries of an Apple partition map: types, first blocks and numbers of blocks, of
/// `unit` bytes.
fn put_apple_map(disk: &mut [u8], unit: usize, parts: &[(&str, u32, u32)]) {
    let all = u32::try_from(parts.len()).unwrap();
    for (n, (kind, start, count)) in parts.iter().enumerate() {
        let entry = &mut disk[(n + 1) * unit..(n + 1) * unit + 512];
        entry[..2].copy_from_slice(b"PM");
        for (at, number) in [(4, all), (8, *start), (12, *count)] {
            entry[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        entry[48..48 + kind.len()].copy_from_slice(kind.as_bytes());
    }
}

/// A small volume without Time Machine, as an image's bytes.
fn small_volume() -> tools::image::Image {
    tools::samples::sample("basic").unwrap().build().image
}

#[test]
fn a_gpt_in_units_of_2048_bytes_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let map = tools::partition::Gpt { sector: 2048, first: 10, ..Default::default() };
    let (disk, start) = map.wrap(&small_volume());
    assert_eq!(start, 20_480);
    let path = dir.path().join("disk.sparsebundle");
    tools::bundle::write(&disk, &path, &tools::bundle::BundleOptions::default()).unwrap();
    let ran = tmbundle(&["verify", "-v", path.to_str().unwrap()]);
    ran.expect(0, &["GPT", "No damage"]);
    tmbundle(&["ls", path.to_str().unwrap(), "volume:"]).expect(0, &[]);
}

#[test]
fn every_command_names_core_storage_beside_a_readable_helper() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    // An Apple map: what is encrypted, then the helper with a volume of its own.
    let helper = small_volume();
    let bytes = helper.to_vec();
    let blocks = u32::try_from(bytes.len() / 512).unwrap();
    let mut disk = vec![0; 1024 * 512];
    let parts = [
        ("Apple_partition_map", 1, 63),
        ("Apple_CoreStorage", 64, 960),
        ("Apple_Boot", 1024, blocks),
    ];
    put_apple_map(&mut disk, 512, &parts);
    disk.extend(bytes);
    std::fs::write(&path, &disk).unwrap();
    let (source, to) = (path.to_str().unwrap(), dir.path().join("to"));
    let to = to.to_str().unwrap();
    for args in [
        &["info", source][..],
        &["verify", "-v", source],
        &["snapshots", source],
        &["ls", source],
        &["ls", source, "latest:/"],
        &["cat", source, "latest:/x"],
        &["extract", source, "latest:/", "--to", to],
    ] {
        let ran = tmbundle(args);
        assert!(
            ran.out.contains("CoreStorage") || ran.err.contains("CoreStorage"),
            "{args:?}: {ran:#?}"
        );
    }
}

#[test]
fn core_storage_in_an_mbr_is_named_by_either_of_its_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    let mut disk = vec![0; 4 << 20];
    let (start, sectors) = (64, (disk.len() / 512 - 64) as u32);
    disk[450] = 0xAF;
    disk[454..458].copy_from_slice(&64u32.to_le_bytes());
    disk[458..462].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    for header in [start * 512, disk.len() - 512] {
        let mut disk = disk.clone();
        disk[header + 10] = 0x10;
        disk[header + 88..header + 90].copy_from_slice(b"CS");
        std::fs::write(&path, disk).unwrap();
        for (command, code) in [("info", 0), ("verify", 0), ("ls", 3)] {
            tmbundle(&[command, path.to_str().unwrap()]).expect(code, &["CoreStorage"]);
        }
    }
}

#[test]
fn where_both_volume_headers_are_gone_nobody_is_told_to_delete_anything() {
    let demo = Demo::new();
    crate::common::zero_volume_header(&demo.path);
    // The other one: 1024 bytes before the end of the partition, wherever that is.
    for entry in std::fs::read_dir(demo.at("bands")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let all = bytes.len();
        for at in (0..all.saturating_sub(512)).step_by(512) {
            if matches!(&bytes[at..at + 4], b"H+\0\x04" | b"HX\0\x05") {
                bytes[at..at + 512].fill(0);
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let ran = tmbundle(&["verify", "--all", demo.str()]);
    ran.expect(1, &["DAMAGE"]);
    demo.nothing_to_remove();
    for word in ["never formatted", "new backup", "delete"] {
        assert!(!ran.out.to_lowercase().contains(word), "'{word}' in {}", ran.out);
    }
}
