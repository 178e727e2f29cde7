//! Bundles and compressed files that others wrote read as the catalogue says.

use crate::common;

use std::path::Path;
use std::sync::Arc;
use tmbundle::disk::Disk;
use tmbundle::fs::{Stream, resolve};
use tmbundle::io::{Memory, ReadAt, read_vec};
use tmbundle::timemachine::Archive;
use tmbundle::volume::Layout;
use tmbundle::{Error, decmpfs};

fn bundle(data: &Path, name: &str) -> Layout {
    let path = common::unpack_bundle(&data.join(format!("bundles/{name}.sparsebundle.tar.gz")));
    Disk::open(&path).unwrap().into()
}

fn disk_sha256(layout: &Layout) -> String {
    let bytes = layout.disk().bytes().unwrap();
    common::sha256(&read_vec(&*bytes, 0, bytes.len() as usize).unwrap())
}

#[test]
fn plain_bundles_have_the_stated_bytes_and_files() {
    let Some(data) = common::shared_data("plain_bundles_have_the_stated_bytes_and_files") else {
        return;
    };
    let test1 = bundle(&data, "Test1");
    assert_eq!(
        disk_sha256(&test1),
        "2ee8196920a422db4bab64f36b3cf01e06d1962c5f53180cf0eeaa9f540ff8e7"
    );
    let archive = Archive::open(&test1).unwrap();
    let mut texts = 0;
    let fs = archive.open[0].fs();
    fs.read_dir(fs.root(), Default::default(), &mut |e| {
        if e.name.starts_with("SampleTextFile") {
            let meta = e.node.unwrap();
            assert_eq!(meta.size, 102_180, "{}", e.name);
            let source = fs.open(meta.id, &Stream::Data).unwrap();
            let bytes = read_vec(&*source, 0, 102_180).unwrap();
            assert_eq!(common::md5(&bytes), "da0f4249186fe6533ac214e07bccc381", "{}", e.name);
            texts += 1;
        }
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(texts, 44);

    let aj = bundle(&data, "aj_bundle");
    assert_eq!(
        disk_sha256(&aj),
        "69fd05ee19642670734e25fd7c5f930fb11bb794bb04eb03411530cf25bd9bb8"
    );
    let archive = Archive::open(&aj).unwrap();
    let fs = archive.open[0].fs();
    let jpg = resolve(fs, fs.root(), "keep-calm-carry-on.jpg").unwrap();
    let source = fs.open(jpg.id, &Stream::Data).unwrap();
    let bytes = read_vec(&*source, 0, 568_741).unwrap();
    assert_eq!(source.len(), 568_741);
    assert_eq!(common::md5(&bytes), "0799f20d0e6d19802324663d4d7b31b9");
}

#[test]
fn the_lab_backup_has_its_three_snapshots() {
    let Some(data) = common::shared_data("the_lab_backup_has_its_three_snapshots") else { return };
    let archive = Archive::open(&bundle(&data, "lab-tm")).unwrap();
    let (_, backup) = archive.backup().unwrap();
    let names: Vec<&str> = backup.snapshots().map(|(_, s)| s.name.as_str()).collect();
    assert_eq!(names, ["2024-01-01-101010", "2024-01-02-101010", "2024-01-03-101010"]);
    assert_eq!(archive.find("latest").unwrap().snapshot.unwrap().name, "2024-01-03-101010");
    assert_eq!(archive.find("2024-01-02").unwrap().snapshot.unwrap().name, "2024-01-02-101010");
    assert!(matches!(archive.find("2024-01"), Err(Error::NotFound(_))), "ambiguous");
}

#[test]
fn what_cannot_be_read_yet_is_named() {
    let Some(data) = common::shared_data("what_cannot_be_read_yet_is_named") else { return };
    let exfat = Archive::open(&bundle(&data, "chocolate-gpt-exfat-partial")).unwrap();
    let error = exfat.require_volume().unwrap_err();
    assert!(matches!(&error, Error::Unsupported(text) if text.contains("exFAT")), "{error}");
}

#[test]
fn decmpfs_payloads_decode() {
    let Some(data) = common::shared_data("decmpfs_payloads_decode") else { return };
    let file = |name: &str| std::fs::read(data.join("decmpfs").join(name)).unwrap();
    let header = |kind: u32, size: usize| {
        [&b"fpmc"[..], &kind.to_le_bytes(), &(size as u64).to_le_bytes()].concat()
    };
    let decode =
        |attribute: &[u8], fork: Option<Vec<u8>>| {
            let source = decmpfs::open(attribute, || {
                Ok(Arc::new(Memory::new(fork.unwrap())) as Arc<dyn ReadAt>)
            });
            let source = source.unwrap();
            read_vec(&*source, 0, source.len() as usize).unwrap()
        };
    for (kind, fork, expected) in [
        (8, "lzvn.rsrc", "lzvn.expected"),
        (4, "real_zlib_rsrc.rsrc", "zlib.expected"),
        (12, "real_lzfse_rsrc.rsrc", "zlib.expected"),
        (8, "tahoe_type8.rsrc", "tahoe_type8.expected"),
    ] {
        let want = file(expected);
        assert_eq!(decode(&header(kind, want.len()), Some(file(fork))), want, "{fork}");
    }
    for (kind, payload, expected) in [
        (3, "real_zlib_inline.payload", "real_zlib_inline.expected"),
        (11, "real_lzfse_inline.payload", "real_zlib_inline.expected"),
        (3, "zlib_type3_stored.payload", "zlib_inline.expected"),
    ] {
        let want = file(expected);
        let attribute = [header(kind, want.len()), file(payload)].concat();
        assert_eq!(decode(&attribute, None), want, "{payload}");
    }
    assert_eq!(decode(&file("tahoe_type9.decmpfs"), None), file("tahoe_type9.expected"));
}
