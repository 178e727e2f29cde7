//! Disk images that our own tools wrap: encrypted, sparse, compressed; whole, cut
//! and damaged.

use crate::common::tmbundle;
use std::path::{Path, PathBuf};
use tmbundle::Error;
use tmbundle::disk::{Disk, Locked, Secret, check};
use tmbundle::io::{Presence, ReadAt, read_vec};
use tmbundle::report::{Code, Collector};
use tools::Image;
use tools::bundle::single::{self, Packing};
use tools::bundle::{BundleOptions, Encryption, KeyRecord, Numbering};

fn open(path: &Path, password: &str) -> tmbundle::Result<Disk> {
    Disk::open_with(path, &|_| Ok(vec![Secret::new(password.as_bytes().to_vec())]))
}

fn whole(disk: &Disk) -> Vec<u8> {
    let bytes = disk.bytes().unwrap();
    read_vec(&*bytes, 0, bytes.len() as usize).unwrap()
}

fn codes(disk: &Disk) -> Vec<Code> {
    let collector = Collector::default();
    check::check(disk, &collector);
    collector.into_findings().0.iter().map(|f| f.code).collect()
}

/// 5 MiB and a sector: data, a gap, data.
fn disk() -> Image {
    let mut image = Image::new((5 << 20) + 512);
    let text: Vec<u8> = (0..1_500_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    image.write_at(1024, &text);
    image.write_at((4 << 20) + 100, &text[..700_000]);
    image.write_at(5 << 20, b"EFI PART");
    image
}

fn save(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_wrapping_gives_the_disk_back() {
    let dir = tempfile::tempdir().unwrap();
    let image = disk();
    let plain = image.to_vec();
    for chunk in [512, 4096] {
        for key_bits in [128, 256] {
            let how = Encryption { key_bits, chunk, ..Encryption::with_password("pw") };
            let sparse = single::sparse_image(&image, 256, 1008);
            let packed = single::compressed(&image, Packing::Zlib);
            for (name, inner) in [("raw", &plain), ("sparse", &sparse), ("packed", &packed)] {
                let v1 = save(&dir, "v1", &single::encrypted_v1(inner, &how));
                let v2 = save(&dir, "v2", &single::encrypted(inner, &how));
                for path in [v1, v2] {
                    let disk = open(&path, "pw").unwrap();
                    assert!(whole(&disk) == plain, "{name} {chunk} {key_bits} {path:?}");
                    assert!(codes(&disk).is_empty());
                    assert!(matches!(open(&path, "no"), Err(Error::WrongPassword(_))));
                    assert_eq!(Disk::open(&path).unwrap().locked(), Some(&Locked::NoPassword));
                }
            }
        }
    }
    for packing in [Packing::Stored, Packing::Zlib, Packing::Adc] {
        let path = save(&dir, "p.dmg", &single::compressed(&image, packing));
        assert!(whole(&open(&path, "").unwrap()) == plain, "{packing:?}");
    }
    // Bands of several sizes; tables that are full after three, and after all.
    for (sectors, table) in [(8, 1008), (256, 3), (2048, 1), (100_000, 7)] {
        let path = save(&dir, "s.sparseimage", &single::sparse_image(&image, sectors, table));
        assert!(whole(&open(&path, "").unwrap()) == plain, "{sectors} {table}");
    }
}

#[test]
fn holes_are_told_from_data() {
    let dir = tempfile::tempdir().unwrap();
    for file in
        [single::sparse_image(&disk(), 512, 1008), single::compressed(&disk(), Packing::Zlib)]
    {
        let path = save(&dir, "x", &file);
        let bytes = open(&path, "").unwrap().bytes().unwrap();
        let mut data = 0;
        bytes
            .presence(0..bytes.len(), &mut |r, p| {
                let zeros = read_vec(&*bytes, r.start, (r.end - r.start) as usize).unwrap();
                assert!(p == Presence::Stored || zeros.iter().all(|b| *b == 0));
                data += if p == Presence::Stored { r.end - r.start } else { 0 };
            })
            .unwrap();
        assert!((1 << 20..3 << 20).contains(&data), "{data}");
    }
}

#[test]
fn the_numbering_of_chunks_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.sparsebundle");
    for (zeros, sector) in [(true, 0), (false, 0), (false, 512)] {
        for (chunk, numbering) in [
            (512, Numbering::Band),
            (512, Numbering::Device),
            (4096, Numbering::Band),
            (4096, Numbering::Device),
        ] {
            // With `zeros` only they tell; with a table in the last sector, that alone.
            let mut image = Image::new(4 << 20);
            image.fill(0, 4 << 20, 0x55);
            if zeros {
                image.fill(3 << 20, 70 << 10, 0);
            } else if chunk == 4096 {
                // The mark is not at a chunk's start, where a wrong number would show.
                image.fill(464 * 4096, 8192, 0);
            }
            image.write_at((4 << 20) - 512, b"EFI PART");
            let how = Encryption { chunk, numbering, ..Encryption::with_password("pw") };
            let options = BundleOptions {
                band_size: (1 << 20) + sector * 8,
                version: 2,
                zero_bands: tools::bundle::ZeroBands::Keep,
                encryption: Some(how),
                ..BundleOptions::default()
            };
            tools::bundle::write(&image, &path, &options).unwrap();
            let disk = open(&path, "pw").unwrap();
            assert!(whole(&disk) == image.to_vec(), "{chunk} {numbering:?} {zeros} {sector}");
            let found = disk.encryption().unwrap().disk_numbering;
            assert_eq!(found, numbering == Numbering::Device, "{chunk} {zeros}");
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}

#[test]
fn unwritten_chunks_have_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.sparsebundle");
    let mut image = Image::new(4 << 20);
    image.fill(0, 4 << 20, 0x55);
    let encryption = Some(Encryption::with_password("pw"));
    let options = BundleOptions { band_size: 1 << 20, encryption, ..BundleOptions::default() };
    tools::bundle::write(&image, &path, &options).unwrap();
    let band = path.join("bands/2");
    let mut bytes = std::fs::read(&band).unwrap();
    bytes[4096..6144].fill(0);
    bytes[9000..9100].fill(0);
    std::fs::write(&band, &bytes).unwrap();
    let disk = open(&path, "pw").unwrap();
    let source = disk.bytes().unwrap();
    assert!(disk.unwritten_chunks().is_empty());
    for at in [0, 4608, 5000] {
        read_vec(&*source, (2 << 20) + at, 100_000).unwrap();
    }
    read_vec(&*source, 0, 4 << 20).unwrap();
    assert_eq!(disk.unwritten_chunks(), vec![(2 << 20) + 4096..(2 << 20) + 6144]);
    let collector = Collector::default();
    check::check_chunks(&disk, &collector);
    let (found, _) = collector.into_findings();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, Code::ChunkZero);
    assert_eq!((found[0].place.band.as_deref(), found[0].place.length), (Some("2"), Some(2048)));

    // A band that ends within a chunk: what is before it reads, it does not.
    std::fs::write(&band, &bytes[..600_100]).unwrap();
    let source = open(&path, "pw").unwrap().bytes().unwrap();
    assert!(read_vec(&*source, 2 << 20, 599_000).is_ok());
    let mut short = 0;
    let cut = (2 << 20) + 600_064;
    source
        .presence(cut - 64..cut + 10, &mut |part, how| {
            assert_eq!(how == Presence::Short, part.start >= cut, "{part:?} {how:?}");
            short += if how == Presence::Short { part.end - part.start } else { 0 };
        })
        .unwrap();
    assert_eq!(short, 10, "36 of its 512 bytes are as good as none");
    assert_eq!(read_vec(&*source, cut, 10).unwrap(), [0; 10]);
    assert_eq!(read_vec(&*source, (2 << 20) + 600_576, 512).unwrap(), [0; 512]);
}

#[test]
fn headers_that_are_half_broken() {
    let dir = tempfile::tempdir().unwrap();
    let records = ["a", "b"].map(|p| KeyRecord::Password(p.into())).to_vec();
    let how = Encryption { records, ..Encryption::with_password("") };
    let good = single::encrypted(&disk().to_vec(), &how);
    let with = |patches: &[(usize, u32)]| {
        let mut bytes = good.clone();
        for (at, value) in patches {
            bytes[*at..*at + 4].copy_from_slice(&value.to_be_bytes());
        }
        save(&dir, "x.dmg", &bytes)
    };
    // The first record's offset lies outside: the second still opens.
    let path = with(&[(80, u32::MAX)]);
    assert!(whole(&open(&path, "b").unwrap()) == disk().to_vec());
    assert!(matches!(open(&path, "a"), Err(Error::WrongPassword(_))));
    assert_eq!(codes(&Disk::open(&path).unwrap()), [Code::TokenOdd]);
    // The header says another key length than the keys have: the password is right.
    let path = with(&[(24, 256)]);
    let disk = open(&path, "a").unwrap();
    assert!(matches!(disk.locked(), Some(Locked::Damaged(_))));
    assert_eq!(codes(&disk), [Code::HeaderEncryption]);
    // Two records that are slow together.
    let records: Vec<usize> = (0..2)
        .map(|n| u64::from_be_bytes(good[80 + 20 * n..][..8].try_into().unwrap()) as usize)
        .collect();
    let path = with(&[(records[0] + 8, 9_000_000), (records[1] + 8, 9_000_000)]);
    assert_eq!(codes(&Disk::open(&path).unwrap()), [Code::HeaderEncryption]);
}

#[test]
fn files_that_end_early_are_findings() {
    let dir = tempfile::tempdir().unwrap();
    let (image, how) = (disk(), Encryption::with_password("pw"));
    let plain = image.to_vec();
    let file = single::encrypted(&plain, &how);
    let path = save(&dir, "cut.dmg", &file[..file.len() - 1_000_100]);
    let cut = open(&path, "pw").unwrap();
    assert_eq!(codes(&cut), [Code::DiskCut]);
    let read = whole(&cut);
    assert!(plain.starts_with(&read) && plain.len() - read.len() < 1_001_000);
    assert_eq!(codes(&Disk::open(&path).unwrap()), [Code::DiskCut]);

    let file = single::sparse_image(&image, 512, 1008);
    let path = save(&dir, "cut.sparseimage", &file[..file.len() - 100_000]);
    let cut = open(&path, "").unwrap();
    assert_eq!(codes(&cut), [Code::DiskCut]);
    // The band that was written last is the disk's first.
    let source = cut.bytes().unwrap();
    assert!(read_vec(&*source, 0, 256 << 10).is_err());
    assert!(read_vec(&*source, 1 << 20, 1 << 20).unwrap() == plain[1 << 20..2 << 20]);
    tmbundle(&["verify", path.to_str().unwrap()]).expect(1, &["DISK-CUT"]);
}

#[test]
fn damaged_tables_are_findings_and_foreign_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = single::sparse_image(&disk(), 512, 1008);
    let with = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        save(&dir, "x.sparseimage", &bytes)
    };
    for (at, value) in [(8, 0), (64, 1_000_000), (68, 1), (24, 77), (24, 8192)] {
        let path = with(at, value);
        assert_eq!(codes(&Disk::open(&path).unwrap()), [Code::DiskImageDamaged], "{at} {value}");
        tmbundle(&["verify", path.to_str().unwrap()]).expect(1, &["DISK-IMAGE-DAMAGED"]);
    }
    let path = with(4, 4);
    assert!(matches!(Disk::open(&path).unwrap().bytes(), Err(Error::Unsupported(_))));

    let good = single::compressed(&disk(), Packing::Stored);
    let koly = good.len() - 512;
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[koly + at..koly + at + bytes.len()].copy_from_slice(bytes);
        Disk::open(&save(&dir, "x.dmg", &file)).unwrap().bytes()
    };
    let refused =
        |r: tmbundle::Result<tmbundle::io::Source>| r.err().map(|e| e.to_string()).unwrap();
    assert!(refused(with(60, &[0, 0, 0, 3])).contains("one of 3 parts"));
    assert!(matches!(with(224, &[0xFF; 8]), Err(Error::Corrupt(_))));
    assert!(matches!(with(216, &[0; 8]), Err(Error::Corrupt(_))));
    assert!(matches!(with(24, &[0xFF; 8]), Err(Error::Corrupt(_))));
    assert!(matches!(with(492, &[0xFF; 8]), Err(Error::Corrupt(_))));
    assert!(with(0, b"koly").is_ok());
}
