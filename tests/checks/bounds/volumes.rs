//! Single volumes: trees, journals, extents, names, links and compressed files.

use super::bounded;
use crate::common;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use tmbundle::fs::{Cursor, FileSystem, NodeId, Views, Volume as _};
use tmbundle::hfsplus::HfsPlus;
use tmbundle::io::{Memory, Ranges};
use tmbundle::report::NoProgress;
use tmbundle::timemachine::Appearances;
use tools::Image;
use tools::hfs::{Content, ForkKind, Meta, Volume, VolumeBuilder, VolumeOptions};
use tools::journal::checksum;

/// Every command that reads volumes, within bounds.
fn all_commands(image: &Image) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.img");
    image.write_to(&path).unwrap();
    let path = path.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["info", path],
        &["snapshots", path],
        &["ls", "-R", path, "volume:/"],
        &["cat", path, "volume:/nothing"],
        &["verify", path],
    ];
    commands.iter().map(|args| bounded(args).1).collect()
}

fn small(options: VolumeOptions, files: u32) -> Volume {
    let mut builder = VolumeBuilder::new(options);
    let root = builder.root();
    for i in 0..files {
        builder.file(root, &format!("f{i:05}"), "x\n", Meta::file());
    }
    builder.build()
}

#[test]
fn a_leaf_that_leads_to_itself_in_a_tree_of_any_size() {
    let volume = small(VolumeOptions::default(), 200);
    let mut image = volume.image.clone();
    let catalog = &volume.layout.catalog;
    for leaf in &catalog.leaves {
        image.write_at(catalog.node(*leaf), &leaf.to_be_bytes());
    }
    image.write_at(catalog.node(0) + 36, &u32::MAX.to_be_bytes());
    image.write_at(volume.layout.header() + 272, &(1u64 << 44).to_be_bytes());
    let told = all_commands(&image);
    let listed = told[2].lines().filter(|l| l.starts_with('f')).count();
    assert_eq!(listed, 200, "each file once");
    assert!(told[4].contains("HFS-BTREE"), "{}", told[4]);
}

/// The mount asks for one piece of a folder after the other, each from where the last ended.
#[test]
fn a_listing_in_pieces_ends_whatever_the_links_say() {
    let volume = small(VolumeOptions::default(), 300);
    let catalog = &volume.layout.catalog;
    let (leaves, root) = (&catalog.leaves, catalog.node(catalog.root));
    let mut images = vec![volume.image.clone(); 4];
    // Links that go back.
    images[0].write_at(catalog.node(leaves[6]), &leaves[2].to_be_bytes());
    // An index that names one leaf again and again.
    for i in 3..8 {
        let record = catalog.record(&images[1], catalog.root, i);
        let key = u64::from(u16::from_be_bytes(images[1].read(record, 2).try_into().unwrap()));
        images[1].write_at(record + 2 + key.next_multiple_of(2), &leaves[2].to_be_bytes());
    }
    // No index at all, and links that go back.
    images[2].write_at(root + 8, &[7]);
    images[2].write_at(catalog.node(leaves[6]), &leaves[2].to_be_bytes());
    // A leaf of zeros.
    images[3].fill(catalog.node(leaves[4]), u64::from(catalog.node_size), 0);
    for (i, image) in images.iter().enumerate() {
        let fs = HfsPlus::open(Arc::new(Memory::new(image.to_vec())));
        let Ok(fs) = fs else { continue };
        for piece in [1, 3, 50] {
            let (mut at, mut listed, mut failed) = (Cursor::default(), Vec::new(), false);
            loop {
                let before = listed.len();
                let read = fs.read_dir(fs.root(), at, &mut |e| {
                    listed.push(e.name);
                    at = e.next;
                    let full = listed.len() - before >= piece;
                    if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                failed |= read.is_err();
                assert!(listed.len() < 700, "image {i}: the listing has no end");
                if listed.len() == before {
                    break;
                }
            }
            let (all, mut once) = (listed.len(), listed);
            once.sort();
            once.dedup();
            assert!(all < 2 * once.len() + 100, "image {i}: {all} entries of {}", once.len());
            match i {
                0 => assert_eq!((all, failed), (300, false)),
                3 => assert!((200..300).contains(&all) && failed, "{all}, told: {failed}"),
                _ => {}
            }
        }
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn a_journal_of_huge_blocks_of_zeros() {
    const JOURNAL: u64 = 300 << 30;
    const LIST: usize = 1 << 20;
    let options =
        VolumeOptions { size: 400 << 30, journal_size: JOURNAL, ..VolumeOptions::default() };
    for length in [u32::MAX - 511, 16 << 20] {
        let volume = small(options.clone(), 3);
        let mut image = volume.image.clone();
        let (at, len) = volume.layout.journal.unwrap();
        let mut head = vec![0; 512];
        put(&mut head, 0, &0x4A4E_4C78u32.to_le_bytes());
        put(&mut head, 4, &0x1234_5678u32.to_le_bytes());
        put(&mut head, 8, &512u64.to_le_bytes());
        put(&mut head, 16, &(len - 512).to_le_bytes());
        put(&mut head, 24, &len.to_le_bytes());
        put(&mut head, 32, &(LIST as u32).to_le_bytes());
        put(&mut head, 40, &512u32.to_le_bytes());
        let sum = checksum(&head[..44]);
        put(&mut head, 36, &sum.to_le_bytes());
        image.write_at(at, &head);
        let mut list = vec![0; LIST];
        put(&mut list, 0, &65_535u16.to_le_bytes());
        put(&mut list, 2, &65_535u16.to_le_bytes());
        put(&mut list, 4, &(LIST as u32).to_le_bytes());
        put(&mut list, 12, &3u32.to_le_bytes());
        put(&mut list, 28, &1u32.to_le_bytes());
        for i in 1..65_535 {
            put(&mut list, 16 + 16 * i, &64u64.to_le_bytes());
            put(&mut list, 24 + 16 * i, &length.to_le_bytes());
            put(&mut list, 28 + 16 * i, &u32::MAX.to_le_bytes());
        }
        let sum = checksum(&list[..32]);
        put(&mut list, 8, &sum.to_le_bytes());
        image.write_at(at + 512, &list);
        let told = all_commands(&image);
        assert!(told[4].contains("HFS-JOURNAL"), "{}", told[4]);
        assert_eq!(told[2].lines().filter(|l| l.starts_with('f')).count(), 3);
    }
}

/// Lay these extents over the data fork of a file.
fn set_extents(volume: &Volume, image: &mut Image, id: u32, extents: &[(u32, u32)]) {
    let data = volume.layout.record(image, id).unwrap().data + 88;
    let blocks = extents.iter().fold(0u32, |n, e| n.saturating_add(e.1));
    image.write_at(data, &(u64::from(blocks) * 4096).to_be_bytes());
    image.write_at(data + 12, &blocks.to_be_bytes());
    for (i, (start, count)) in extents.iter().enumerate() {
        image.write_at(data + 16 + 8 * i as u64, &start.to_be_bytes());
        image.write_at(data + 20 + 8 * i as u64, &count.to_be_bytes());
    }
}

#[test]
fn a_hundred_files_over_all_of_two_thousand_million_blocks() {
    let options = VolumeOptions { size: 1 << 43, ..VolumeOptions::default() };
    let volume = small(options, 100);
    let mut image = volume.image.clone();
    let files: Vec<u32> = volume.layout.forks().map(|f| f.0).filter(|id| *id >= 20).collect();
    for id in files.iter().rev().take(100) {
        set_extents(&volume, &mut image, *id, &[(70_000, 0x7FF0_0000); 8]);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overlaps.img");
    image.write_to(&path).unwrap();
    let (code, told) = bounded(&["verify", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(told.contains("HFS-FORK-OVERLAP"), "{told}");
}

#[test]
fn owners_of_many_ranges_are_one_piece_an_extent() {
    let volume = small(VolumeOptions { size: 1 << 32, ..VolumeOptions::default() }, 40);
    let mut image = volume.image.clone();
    let files: Vec<u32> = volume.layout.forks().map(|f| f.0).filter(|id| *id >= 20).collect();
    for id in files.iter().rev().take(12) {
        set_extents(&volume, &mut image, *id, &[(1000, 1_000_000); 8]);
    }
    let fs = HfsPlus::open(Arc::new(Memory::new(image.slice(0, 64 << 20).to_vec())));
    assert!(fs.is_err(), "the volume is longer than that");
    let path = tempfile::NamedTempFile::new().unwrap();
    image.write_to(path.path()).unwrap();
    let file = tmbundle::io::RawFile::open(path.path(), Arc::default()).unwrap();
    let fs = HfsPlus::open(Arc::new(file)).unwrap();
    // Every second block, as a bitmap of 1010… says.
    let wanted = (0..500_000u64).map(|i| (2000 + 2 * i) * 4096).map(|at| at..at + 4096);
    let wanted = Ranges::new(wanted.collect());
    let mut found = 0;
    fs.owners(&wanted, &Views::live(), &NoProgress, &mut |_| found += 1).unwrap();
    assert!((12 * 8..12 * 8 + 100).contains(&found), "{found}");
}

#[test]
fn many_misses_in_a_large_folder_of_other_scripts() {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { size: 256 << 20, ..VolumeOptions::default() });
    let root = builder.root();
    let dir = builder.mkdir(root, "写真", Meta::dir());
    for i in 0..20_000 {
        builder.file(dir, &format!("写真{i:05}"), Content::Empty, Meta::file());
    }
    let image = builder.build().image;
    let reads = Arc::new(std::sync::atomic::AtomicU64::new(0));
    struct Counted(Memory, Arc<std::sync::atomic::AtomicU64>);
    impl tmbundle::io::ReadAt for Counted {
        fn len(&self) -> u64 {
            self.0.len()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> tmbundle::Result<()> {
            self.1.fetch_add(buf.len() as u64, std::sync::atomic::Ordering::Relaxed);
            self.0.read_at(buf, offset)
        }
    }
    // A node cache of 24 MiB holds this folder; so look at every leaf through cold copies.
    let counted = Counted(Memory::new(image.to_vec()), reads.clone());
    let fs = HfsPlus::open(Arc::new(counted)).unwrap();
    let dir = fs.lookup(fs.root(), "写真").unwrap().unwrap().id;
    let started = cpu_seconds();
    for i in 0..3000 {
        assert!(fs.lookup(dir, &format!("絵{i:05}")).unwrap().is_none());
    }
    // A pass over the folder for each miss took more than a minute of this.
    assert!(cpu_seconds() - started < 10.0, "{}", cpu_seconds() - started);
    assert!(reads.load(std::sync::atomic::Ordering::Relaxed) < 64 << 20);
    assert!(fs.lookup(dir, "写真19999").unwrap().is_some());
}

/// Processor time of this process's thread.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
fn links_without_threads_are_named_in_one_pass() {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { size: 128 << 20, ..VolumeOptions::default() });
    let root = builder.root();
    let file = builder.file(root, "first", "contents\n", Meta::file());
    for i in 0..20_000 {
        let link = builder.hard_link(file, root, &format!("link {i:05}"));
        builder.omit_thread(link);
    }
    let volume = builder.build();
    let inode = volume.layout.forks().map(|f| f.0).max().unwrap();
    let at = volume.layout.fork(inode, ForkKind::Data)[0].start;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("links.img");
    volume.image.write_to(&path).unwrap();
    let path = path.to_str().unwrap();
    let offset = (u64::from(at) * 4096).to_string();
    let (code, told) = bounded(&["locate", path, "--offset", &offset]);
    assert_eq!(code, 0, "{told}");
    let fs = HfsPlus::open(Arc::new(Memory::new(volume.image.to_vec()))).unwrap();
    assert_eq!(fs.names(NodeId(inode.into())).unwrap().len(), 20_001);
    bounded(&["verify", path]);
}

#[test]
fn links_that_multiply_paths_end() {
    let mut builder = VolumeBuilder::new(VolumeOptions::default());
    let root = builder.root();
    let mut below = builder.mkdir(root, "deepest", Meta::dir());
    builder.file(below, "file", "x\n", Meta::file());
    for i in 0..60 {
        let dir = builder.mkdir(root, &format!("level {i}"), Meta::dir());
        builder.dir_link(below, dir, "a");
        builder.dir_link(below, dir, "b");
        below = dir;
    }
    let told = all_commands(&builder.build().image);
    assert!(told[2].lines().count() < 1_500_000, "{}", told[2].lines().count());
    assert!(told[2].contains("not entered again"));
}

#[test]
fn addresses_of_deep_folders_stay_short() {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { size: 64 << 20, ..VolumeOptions::default() });
    let name = "深".repeat(255);
    let mut at = builder.root();
    for _ in 0..900 {
        at = builder.mkdir(at, &name, Meta::dir());
    }
    let id = builder.file(at, "file", "x\n", Meta::file());
    let fs = HfsPlus::open(Arc::new(Memory::new(builder.build().image.to_vec()))).unwrap();
    let address = Appearances::new(Arc::new(fs), None).of(NodeId(id.into())).address;
    assert!(address.len() < 5000, "{}", address.len());
    assert!(address.ends_with("/file") && address.contains("folders)"), "{address}");
}

#[test]
fn a_block_table_that_names_one_block_a_million_times() {
    let mut builder = VolumeBuilder::new(VolumeOptions::default());
    let root = builder.root();
    let id = builder.file(root, "bomb", Content::Zeros(32 * 65_536), Meta::file());
    builder.compress(id, tools::decmpfs::DecmpfsType::Zlib4);
    let volume = builder.build();
    let mut image = volume.image.clone();
    let fork = volume.layout.block(volume.layout.fork(id, ForkKind::Resource)[0].start);
    let data = u64::from(u32::from_be_bytes(image.read(fork, 4).try_into().unwrap()));
    let table = fork + data + 8;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.img");
    image.write_to(&path).unwrap();
    let cat = ["cat", path.to_str().unwrap(), "volume:/bomb"];
    common::tmbundle(&cat).expect(0, &[]);
    // Every entry names all of the fork.
    for i in 0..32 {
        image.write_at(table + 8 * i, &0u32.to_le_bytes());
        image.write_at(table + 8 * i + 4, &900u32.to_le_bytes());
    }
    image.write_to(&path).unwrap();
    common::tmbundle(&cat).expect(1, &["bytes in a fork of"]);
    assert!(Path::new(cat[1]).exists());
}
