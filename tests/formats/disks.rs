//! The volume is found in every partition map, whole or damaged, and in bundles of
//! every geometry.

use crate::common::manifest::{compare, open_disk};
use std::sync::Arc;
use tmbundle::bundle::Bundle;
use tmbundle::disk::Disk;
use tmbundle::io::{Memory, Presence, ReadAt, Source, read_vec};
use tmbundle::report::{Code, Collector, Finding, Severity};
use tmbundle::{partition, volume};
use tools::bundle::{BundleOptions, ZeroBands};

#[test]
fn the_volume_is_found_in_every_map() {
    let builder = tools::samples::sample("no-journal").unwrap();
    let built = builder.build().image;
    let mut manifest = Vec::new();
    builder.manifest(&mut manifest).unwrap();
    for (name, wrap) in tools::samples::disks() {
        let (image, _) = wrap(&built);
        let disk: Source = Arc::new(Memory::new(image.to_vec()));
        let found = Collector::default();
        let map = partition::scan(&*disk, &found).unwrap();
        let (findings, _) = found.into_findings();
        let codes: Vec<Code> = findings.iter().map(|f| f.code).collect();
        let wanted = match name.as_str() {
            "gpt-primary-header" | "gpt-primary-array" => Some(Code::GptPrimary),
            "gpt-backup-header" | "gpt-backup-array" | "gpt-no-backup" => Some(Code::GptBackup),
            "gpt-both-headers" => Some(Code::GptPrimary),
            "gpt-overlap" | "gpt-past-end" => Some(Code::PartitionEntry),
            _ => None,
        };
        match wanted {
            Some(code) => assert!(codes.contains(&code), "{name}: {findings:#?}"),
            None => assert!(findings.is_empty(), "{name}: {findings:#?}"),
        }
        if name == "gpt-both-headers" {
            // Without either copy nothing says where the volume begins.
            continue;
        }
        let volumes = volume::volumes(&disk, &map).unwrap();
        let hfs = volumes.iter().filter(|v| matches!(v.kind, volume::Kind::HfsPlus { .. }));
        assert!(hfs.count() >= 1, "{name}: {:?}", map.partitions);
        let wrong = compare(&name, &*open_disk(disk), &manifest);
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

/// Bundles of one image in every geometry that was ever seen, and odder ones.
fn geometries() -> Vec<BundleOptions> {
    let mut all = Vec::new();
    for band_size in [512, 1_000_000, 1 << 20, 85_100_032, 8 << 30] {
        for (zero_bands, trim) in [(ZeroBands::Omit, true), (ZeroBands::Keep, false)] {
            let version = if trim { 1 } else { 2 };
            // A file for each of 65,536 bands of zeros would only be slow.
            if band_size == 512 && !trim {
                continue;
            }
            all.push(BundleOptions {
                band_size,
                version,
                binary_info: version == 2,
                mapped: version == 2,
                lock: version == 2,
                zero_bands,
                trim,
                ..BundleOptions::default()
            });
        }
    }
    all
}

#[test]
fn a_bundle_of_any_geometry_has_the_bytes_of_its_image() {
    let dir = tempfile::tempdir().unwrap();
    let image = tools::samples::sample("no-attributes").unwrap().build().image;
    let bytes = image.to_vec();
    for (n, options) in geometries().iter().enumerate() {
        let path = dir.path().join(format!("{n}.backupbundle"));
        tools::bundle::write(&image, &path, options).unwrap();
        let disk = Disk::open(&path).unwrap();
        let source = disk.bytes().unwrap();
        assert_eq!(source.len(), image.len(), "{options:?}");
        assert!(read_vec(&*source, 0, bytes.len()).unwrap() == bytes, "{options:?}");
        for (at, len) in [(511, 3), (999_999, 2), (1_048_575, 1_000_002), (bytes.len() - 1, 1)] {
            assert_eq!(read_vec(&*source, at as u64, len).unwrap(), bytes[at..at + len]);
        }
        assert!(read_vec(&*source, image.len() - 1, 2).is_err(), "past the end");
        presence_is_whole(&*source, options.band_size, options.trim);
        let found = Collector::default();
        let bundle = Bundle::open(&path).unwrap();
        tmbundle::bundle::check(&bundle, &bundle.bands().list().unwrap(), &found);
        let told = found.into_findings().0;
        // Bands of parts of sectors are read, but macOS does not make them.
        let odd = !options.band_size.is_multiple_of(512);
        assert_eq!(told.iter().any(|f| f.code == Code::InfoOdd), odd, "{told:#?}");
        let mild = |f: &Finding| f.severity == Severity::Info || f.code == Code::InfoOdd;
        assert!(told.iter().all(mild), "{told:#?}");
    }
}

/// The runs of presence cover everything without gap, and say where bands lack.
fn presence_is_whole(source: &dyn ReadAt, band_size: u64, trimmed: bool) {
    let (mut at, mut absent) = (0, 0);
    source
        .presence(0..source.len(), &mut |range, presence| {
            assert_eq!(range.start, at);
            assert!(range.end > range.start);
            at = range.end;
            if matches!(presence, Presence::Missing | Presence::Short) {
                absent += range.end - range.start;
            }
        })
        .unwrap();
    assert_eq!(at, source.len());
    if trimmed && band_size <= 1 << 20 {
        assert!(absent > 0);
    }
}

#[test]
fn a_lost_band_reads_as_zeros_and_a_bad_one_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.sparsebundle");
    let image = tools::samples::sample("no-attributes").unwrap().build().image;
    let options = BundleOptions { band_size: 1 << 20, ..BundleOptions::default() };
    tools::bundle::write(&image, &path, &options).unwrap();
    std::fs::remove_file(path.join("bands/0")).unwrap();
    let read = || {
        let source = Disk::open(&path).unwrap().bytes().unwrap();
        read_vec(&*source, 4096, 4096)
    };
    assert_eq!(read().unwrap(), vec![0; 4096]);
    std::fs::create_dir(path.join("bands/0")).unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("cannot read band 0"), "{error}");
}
