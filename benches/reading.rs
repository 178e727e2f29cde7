//! Micro benchmarks of the read path. `cargo bench --bench reading`.

use divan::counter::{BytesCount, ItemsCount};
use std::hint::black_box;
use std::io::Read;
use std::sync::{Arc, LazyLock};
use tmbundle::bundle::Bundle;
use tmbundle::hfsplus::HfsPlus;
use tmbundle::hfsplus::catalog::Record;
use tmbundle::hfsplus::node::{Node, split};
use tmbundle::io::{ReadAt, Source};

fn main() {
    divan::main();
}

/// A volume of 20,000 files, in memory.
static VOLUME: LazyLock<Source> = LazyLock::new(|| {
    let image = tools::samples::big(20_000).build().image;
    Arc::new(tmbundle::io::Memory::new(image.to_vec()))
});

fn leaf() -> Vec<u8> {
    let fs = HfsPlus::open(VOLUME.clone()).unwrap();
    let tree = fs.catalog().tree();
    tree.node(tree.header().first_leaf_node).unwrap().bytes().to_vec()
}

#[divan::bench]
fn node_offsets_and_keys(bencher: divan::Bencher) {
    let bytes = leaf();
    let records = Node::new(bytes.as_slice()).unwrap().records;
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        let node = Node::new(black_box(bytes.as_slice())).unwrap();
        assert!(node.offsets_problem().is_none());
        (0..usize::from(node.records)).filter_map(|i| split(node.record(i)?)).count()
    });
}

#[divan::bench]
fn catalog_records_decoded(bencher: divan::Bencher) {
    let bytes = leaf();
    let node = Node::new(bytes.as_slice()).unwrap();
    bencher.counter(ItemsCount::new(node.records)).bench_local(|| {
        let decoded = (0..usize::from(node.records))
            .filter_map(|i| Record::parse(split(node.record(i)?)?.data));
        black_box(decoded.count())
    });
}

#[divan::bench]
fn catalog_scan_of_20000_files(bencher: divan::Bencher) {
    let fs = HfsPlus::open(VOLUME.clone()).unwrap();
    let tree = fs.catalog().tree();
    bencher.counter(ItemsCount::new(40_000usize)).bench_local(|| {
        let mut n = 0;
        tree.scan(&|_| std::cmp::Ordering::Equal, None, &mut |found| {
            n += found.record.data.len();
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
        black_box(n)
    });
}

const BANDS: u64 = 16;
const BAND: u64 = 8 << 20;

static BUNDLE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bench.sparsebundle");
    std::fs::create_dir_all(bundle.join("bands")).unwrap();
    std::fs::write(bundle.join("token"), b"").unwrap();
    let plist = format!(
        "<plist version=\"1.0\"><dict><key>band-size</key><integer>{BAND}</integer>\
         <key>diskimage-bundle-type</key><string>com.apple.diskimage.sparsebundle</string>\
         <key>size</key><integer>{}</integer></dict></plist>",
        BANDS * BAND
    );
    std::fs::write(bundle.join("Info.plist"), plist).unwrap();
    let content: Vec<u8> = (0..BAND).map(|n| (n % 253) as u8).collect();
    for n in 0..BANDS {
        std::fs::write(bundle.join(format!("bands/{n:x}")), &content).unwrap();
    }
    dir
});

#[divan::bench]
fn bands_through_read_at(bencher: divan::Bencher) {
    let bundle = Bundle::open(&BUNDLE.path().join("bench.sparsebundle")).unwrap();
    let bands = bundle.bands();
    let mut buf = vec![0; 1 << 20];
    bencher.counter(BytesCount::new(BANDS * BAND)).bench_local(|| {
        for at in (0..bands.len()).step_by(1 << 20) {
            bands.read_at(&mut buf, at).unwrap();
        }
        black_box(buf[0])
    });
}

#[divan::bench]
fn bands_as_cat_reads_them(bencher: divan::Bencher) {
    let dir = BUNDLE.path().join("bench.sparsebundle/bands");
    let mut buf = vec![0; 1 << 20];
    bencher.counter(BytesCount::new(BANDS * BAND)).bench_local(|| {
        for n in 0..BANDS {
            let mut file = std::fs::File::open(dir.join(format!("{n:x}"))).unwrap();
            while file.read(&mut buf).unwrap() > 0 {}
        }
        black_box(buf[0])
    });
}
