//! Fuzz targets. The contract: errors are fine, panics, hangs and unbounded
//! memory are bugs. `tests/fuzz_seeded.rs` drives the same functions with a
//! seeded mutator, for machines without cargo-fuzz.

mod sums;

use std::ops::ControlFlow;
use std::sync::Arc;
use tmbundle::apfs::{self, Apfs, Container};
use tmbundle::bundle::Info;
use tmbundle::disk::check::{check as check_image, check_chunks};
use tmbundle::disk::{Disk, Secret};
use tmbundle::fs::acl::Acl;
use tmbundle::fs::{FileSystem, Kind, Step, Stream, Views, Volume, walk};
use tmbundle::hfsplus::attributes::{Key as AttributeKey, Value};
use tmbundle::hfsplus::catalog::{Key as CatalogKey, Record};
use tmbundle::hfsplus::format::{VOL_JOURNALED, VolumeHeader, decode};
use tmbundle::hfsplus::journal::Journal;
use tmbundle::hfsplus::node::{Node, split};
use tmbundle::hfsplus::{HfsPlus, check, unicode};
use tmbundle::io::{Memory, Ranges, ReadAt, Source, read_vec};
use tmbundle::report::{Collector, NoProgress};
use tmbundle::{decmpfs, partition, volume};

/// Bytes of one stream that are read.
const MOST: u64 = 4 << 20;

fn memory(data: &[u8]) -> Source {
    Arc::new(Memory::new(data.to_vec()))
}

fn read_all(source: &dyn ReadAt) {
    let mut at = 0;
    while at < source.len().min(MOST) {
        let n = (source.len() - at).min(1 << 16);
        if read_vec(source, at, n as usize).is_err() {
            break;
        }
        at += n;
    }
}

/// A property list as `Info.plist`: the bytes themselves, then as a graph of objects.
pub fn plist(data: &[u8]) {
    info(data);
    info(&sums::plist_graph(data));
}

fn info(data: &[u8]) {
    if let Ok(info) = Info::parse(data) {
        assert!(info.band_size >= 512);
        let _ = info.band_count();
    }
}

/// A whole disk: map, then what the partitions hold; with its checksums as they are,
/// then made right.
pub fn partition(data: &[u8]) {
    map(data);
    map(&sums::gpt(data));
}

fn map(data: &[u8]) {
    let disk = memory(data);
    let reporter = Collector::new(100);
    if let Ok(map) = partition::scan(&*disk, &reporter) {
        for p in &map.partitions {
            assert!(p.start + p.len <= disk.len() || p.len == 0);
        }
        let _ = volume::volumes(&disk, &map);
    }
}

/// A map of ddrescue.
pub fn bad_map(data: &[u8]) {
    let Ok(map) = tmbundle::io::BadMap::parse("map", data) else { return };
    assert!(map.good_end() <= map.end());
    let range = map.end() / 3..map.end().saturating_add(4096);
    let (mut at, mut first) = (range.start, None);
    for (part, good) in map.parts(range.clone()) {
        assert!(part.start == at && part.end > at, "parts leave no gap");
        at = part.end;
        if !good {
            first.get_or_insert(part);
        }
    }
    assert!(at == range.end, "parts tell all");
    assert_eq!(map.first_bad(range), first);
}

/// A disk image in one file: raw, encrypted with the password `pw`, sparse, compressed.
pub fn image(data: &[u8]) {
    let name = format!("tmbundle-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    if std::fs::write(&path, data).is_err() {
        return;
    }
    let opened = Disk::open_with(&path, &|_| Ok(vec![Secret::new(b"pw".to_vec())]));
    let _ = std::fs::remove_file(&path);
    let Ok(disk) = opened else { return };
    check_image(&disk, &Collector::new(100));
    if let Ok(bytes) = disk.bytes() {
        read_all(&*bytes);
        let _ = read_vec(&*bytes, bytes.len().saturating_sub(700), 700);
        let range = 0..bytes.len().min(MOST);
        let mut at = 0;
        let told = bytes.presence(range.clone(), &mut |r, _| {
            assert!(r.start == at && r.end > at, "presence leaves no gap");
            at = r.end;
        });
        assert!(told.is_err() || at == range.end, "presence tells all");
    }
    check_chunks(&disk, &Collector::new(100));
}

/// A catalog key and record.
pub fn catalog_record(data: &[u8]) {
    if let Some(record) = split(data) {
        if let Some(key) = CatalogKey::parse(record.key) {
            let shown = unicode::display(key.name);
            let _ = unicode::stored(&shown);
            let _ = unicode::compare_folded(key.name, record.data);
        }
        let _ = Record::parse(record.data);
    }
    let _ = Record::parse(data);
}

/// A B-tree node.
pub fn btree_node(data: &[u8]) {
    let Some(node) = Node::new(data) else { return };
    let sound = node.offsets_problem().is_none();
    for i in 0..usize::from(node.records) {
        let record = node.record(i);
        assert!(!sound || record.is_some(), "sound offsets give records");
        if let Some(record) = record.and_then(split) {
            let _ = Record::parse(record.data);
        }
    }
}

/// An attribute key and record; its value as an access control list.
pub fn attribute(data: &[u8]) {
    if let Some(record) = split(data) {
        let _ = AttributeKey::parse(record.key);
        if let Some(Value::Inline(value)) = Value::parse(record.data)
            && let Ok(Some(acl)) = Acl::parse(&value)
        {
            let _ = acl.lines(true);
        }
    }
    let _ = Acl::parse(data);
}

/// A compressed file: the attribute's length, the attribute, the resource fork.
pub fn decmpfs(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk::<2>() else { return };
    let at = usize::from(u16::from_le_bytes(*len)).min(rest.len());
    let (attribute, fork) = rest.split_at(at);
    if let Ok(source) = decmpfs::open(attribute, || Ok(memory(fork))) {
        read_all(&*source);
    }
}

/// A volume of which only the journal matters: 512-byte blocks, the journal info
/// block is block 1. With its checksums as they are, then made right.
pub fn journal(data: &[u8]) {
    replay(data);
    // The offset of the journal, as the info block has it.
    let ring = data.get(512 + 36..).and_then(|b| b.first_chunk());
    let ring = ring.map_or(1024, |b| usize::try_from(u64::from_be_bytes(*b)).unwrap_or(1024));
    replay(&sums::journal(data, ring.min(data.len())));
}

fn replay(data: &[u8]) {
    let Some(mut header) = decode::<VolumeHeader>(&[0; 512]) else { return };
    header.attributes = VOL_JOURNALED;
    header.block_size = 512;
    header.journal_info_block = 1;
    let volume = memory(data);
    let journal = Journal::read(&*volume, &header);
    read_all(&*journal.overlay(volume));
}

/// A whole volume: opened, walked, everything read, checked.
pub fn volume(data: &[u8]) {
    let source = memory(data);
    let _ = check::check(&source, &Collector::new(100), &NoProgress);
    let Ok(fs) = HfsPlus::open(source) else { return };
    let Ok(root) = fs.metadata(fs.root()) else { return };
    let mut left = 5000;
    let _ = walk(
        &fs,
        &root,
        &mut |entry| {
            left -= 1;
            if left == 0 {
                return Err(tmbundle::Error::Interrupted);
            }
            if let Ok(meta) = &entry.entry.node {
                look_at(&fs, meta);
            }
            Ok(Step::Into)
        },
        &mut |_, _| Ok(()),
    );
    let _ = tmbundle::timemachine::read(&fs);
}

fn look_at(fs: &HfsPlus, meta: &tmbundle::fs::Metadata) {
    match meta.kind {
        Kind::File => {
            if let Ok(source) = fs.open(meta.id, &Stream::Data) {
                read_all(&*source);
            }
            let _ = fs.extents(meta.id, &Stream::Data);
        }
        Kind::Symlink => {
            let _ = fs.read_link(meta.id);
        }
        Kind::Directory => {
            let _ = fs.read_dir(meta.id, Default::default(), &mut |_| ControlFlow::Break(()));
        }
        _ => {}
    }
    for x in fs.xattrs(meta.id).unwrap_or_default().iter().take(20) {
        let _ = fs.xattr(meta.id, &x.name);
    }
}

/// An APFS container, with the password `password`: every volume and some views of it.
pub fn apfs(data: &[u8]) {
    apfs_source(memory(data));
}

/// The same, from any source.
pub fn apfs_source(source: Source) {
    let reporter = Collector::new(100);
    let ask = |_: &str, _| Ok(vec![Secret::new(b"password".to_vec())]);
    let _ = apfs::check::check(&source, &ask, &reporter, &tmbundle::report::NoProgress);
    let Ok(container) = Container::open(source) else { return };
    let container = Arc::new(container);
    for oid in container.superblock().volumes.iter().take(4) {
        if let Ok(volume) = Apfs::open(container.clone(), *oid, &ask) {
            apfs_volume(&(Arc::new(volume) as Arc<dyn Volume>));
        }
    }
}

fn apfs_volume(volume: &Arc<dyn Volume>) {
    let views = volume.views().unwrap();
    let last = views.len().saturating_sub(1);
    for (n, view) in views.iter().enumerate() {
        if n > 1 && n < last {
            continue;
        }
        if let Ok(fs) = volume.clone().open(view.id) {
            browse(&*fs, 300);
        }
    }
    let inside: Views = views.iter().take(2).map(|v| v.id).collect();
    let whole = Ranges::one(0..volume.bytes().len());
    let mut owned = 0u64;
    let _ = volume.owners(&whole, &inside, &NoProgress, &mut |o| {
        assert!(o.range.start < o.range.end && o.range.end <= volume.bytes().len());
        owned += 1;
    });
    let _ = volume.allocated(&whole);
    let _ = volume.objects(&inside, &NoProgress, &mut |_| {});
    let _ = volume.pulse();
}

/// Walk a view and read what is met.
fn browse(fs: &dyn FileSystem, most: usize) {
    let Ok(root) = fs.metadata(fs.root()) else { return };
    let mut left = most;
    let _ = walk(
        fs,
        &root,
        &mut |e| {
            left = left.saturating_sub(1);
            if let Ok(meta) = &e.entry.node {
                if meta.kind == Kind::File {
                    for stream in [Stream::Data, Stream::Resource] {
                        if let Ok(source) = fs.open(meta.id, &stream) {
                            read_all(&*source);
                        }
                        let _ = fs.extents(meta.id, &stream);
                    }
                }
                let _ = fs.read_link(meta.id);
                for x in fs.xattrs(meta.id).unwrap_or_default().iter().take(20) {
                    let _ = fs.open(meta.id, &Stream::attribute(&x.name)).map(|s| read_all(&*s));
                }
                let _ = fs.names(meta.id);
                let _ = fs.same(meta.id);
            }
            match left {
                0 => Err(tmbundle::Error::Interrupted),
                _ => Ok(Step::Into),
            }
        },
        &mut |_, _| Ok(()),
    );
}

/// A node of any APFS tree, and its entries as records.
pub fn apfs_node(data: &[u8]) {
    for hashed in [false, true] {
        let shape = apfs::records::shape(hashed);
        if let Ok(node) = apfs::node::Node::new(data.to_vec(), 1, &shape) {
            for i in 0..node.count {
                let entry = node.entry(i).expect("proved when it was read");
                record(entry.key, entry.value.unwrap_or_default(), hashed);
            }
            let _ = node.footer();
        }
    }
}

/// Key and value of a record: the first byte tells where the key ends.
pub fn apfs_record(data: &[u8]) {
    let Some((&len, rest)) = data.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(len).min(rest.len()));
    record(key, value, true);
    record(key, value, false);
}

fn record(key: &[u8], value: &[u8], hashed: bool) {
    use apfs::records::{
        Extent, Inode, Link, XattrValue, entry_name, primary_name, sibling, split, xattr_name,
    };
    let _ = (split(key), entry_name(key, hashed), xattr_name(key));
    let _ = (Inode::parse(value), primary_name(value), Link::parse(value), sibling(value));
    let _ = (XattrValue::parse(value), Extent::parse(key, value), Extent::parse_sealed(key, value));
    let _ = apfs::names::display(value);
}

/// Superblocks of containers and volumes, wrapped keys.
pub fn apfs_structure(data: &[u8]) {
    let _ = apfs::NxSuperblock::parse(data).map(|nx| nx.problem());
    let _ = apfs::Superblock::parse(data);
    let _ = apfs::keybag::Wrapped::parse(data, "fuzz");
    let _ = apfs::fletcher::checksum(data);
}
