//! `--mmap`, `--limit-rate`, `--jobs`: other ways to read, the same bytes and verdicts.

use crate::common;

use crate::common::{copy_demo, tmbundle};
use std::fs;
use std::sync::Arc;
use tmbundle::disk::Disk;
use tmbundle::io::{Access, Meter, ReadAt, read_vec};

#[test]
fn maps_give_the_bytes_that_reads_give() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    // An empty band, and one that ends early.
    fs::write(bundle.join("bands/3"), b"").unwrap();
    fs::write(bundle.join("bands/5"), vec![7; 4097]).unwrap();
    let meter = Arc::new(Meter::default());
    let access = Access { mapped: true, meter: meter.clone(), jobs: 1, ..Access::default() };
    let mapped = Disk::open_how(&bundle, &|_| Ok(Vec::new()), &access).unwrap().bytes().unwrap();
    let plain = Disk::open(&bundle).unwrap().bytes().unwrap();
    assert_eq!(mapped.len(), plain.len());
    for band in [0, 3, 5, 8, 9, 0x400] {
        let at = band << 20;
        let len = (plain.len() - at).min(1 << 20) as usize;
        let before = meter.bytes();
        let bytes = read_vec(&*mapped, at, len).unwrap();
        assert!(bytes == read_vec(&*plain, at, len).unwrap(), "band {band:x}");
        // What the band's file holds was counted, and no more.
        let file = bundle.join(format!("bands/{band:x}"));
        assert_eq!(meter.bytes() - before, fs::metadata(file).unwrap().len().min(len as u64));
    }
    assert!(mapped.read_at(&mut [0; 2], plain.len() - 1).is_err());
    // A gap between bands, and a read over an edge.
    assert_eq!(read_vec(&*mapped, 1 << 21, 99).unwrap(), [0; 99]);
    let edge = (4 << 20) - 4500;
    assert_eq!(read_vec(&*mapped, edge, 9000).unwrap(), read_vec(&*plain, edge, 9000).unwrap());
}

#[test]
fn the_same_verdict_whatever_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    common::zero_volume_header(&bundle);
    let path = bundle.to_str().unwrap();
    let json = |more: &[&str]| {
        let mut args = vec!["verify", "--json", path];
        args.extend(more);
        let ran = tmbundle(&args);
        ran.expect(1, &["HFS-HEADER"]);
        ran.out
    };
    let plain = json(&[]);
    for more in [&["--mmap"][..], &["--jobs", "1"], &["-j", "7", "--limit-rate", "1G"]] {
        assert_eq!(json(more), plain, "{more:?}");
    }
    let diary = ["cat", path, "latest:/Macintosh HD/Users/anna/Documents/Diary.txt"];
    let read = tmbundle(&diary);
    read.expect(0, &[]);
    assert!(!read.out.is_empty());
    assert_eq!(tmbundle(&[&diary[..], &["--mmap"]].concat()).out, read.out);
}

#[test]
fn maps_are_refused_where_they_are_not_safe() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    let path = bundle.to_str().unwrap();
    let image = dir.path().join("disk.img");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    tmbundle(&["verify", "--mmap", image.to_str().unwrap()]).expect(3, &["for bundles only"]);
    let token = fs::File::options().read(true).write(true).open(bundle.join("token")).unwrap();
    rustix::fs::fcntl_lock(&token, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    tmbundle(&["verify", "--mmap", path])
        .expect(3, &["--mmap", "a Mac is using the bundle", "token is locked"]);
    tmbundle(&["verify", path]).expect(0, &[]);
    drop(token);
    tmbundle(&["verify", "--mmap", path]).expect(0, &[]);
}

#[test]
fn rates_and_jobs_that_make_no_sense_are_usage() {
    for bad in [["--limit-rate", "0"], ["--limit-rate", "fast"], ["--jobs", "0"], ["-j", "x"]] {
        tmbundle(&["verify", bad[0], bad[1], "x"]).expect(2, &[bad[0]]);
    }
}
