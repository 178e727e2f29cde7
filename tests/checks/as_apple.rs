//! HFS+ as Apple reads and grades it: what a Mac can read is read, what it can do without
//! is no damage, what it refuses is.

use crate::common;
use std::collections::BTreeMap;
use std::sync::Arc;
use tmbundle::fs::{FileSystem, NodeId, Stream, resolve, walk};
use tmbundle::hfsplus::journal::{Journal, JournalState};
use tmbundle::hfsplus::{HfsPlus, check, parse_header};
use tmbundle::io::{Faulty, Memory, Source, read_vec};
use tmbundle::report::{Code, Collector, Finding, NoProgress, Severity};
use tools::Image;
use tools::hfs::{Content, Meta, Volume, VolumeBuilder, VolumeOptions};
use tools::journal::{Dirty, JournalDamage, between, without_leaves};

fn source(image: &Image) -> Source {
    Arc::new(Memory::new(image.to_vec()))
}

fn open(image: &Image) -> HfsPlus {
    HfsPlus::open(source(image)).unwrap()
}

/// Findings on a volume but for those on the undamaged one.
fn new_findings(volume: &Volume, image: &Image) -> Vec<Finding> {
    let of = |image: &Image| {
        let found = Collector::default();
        check::check(&source(image), &found, &NoProgress).unwrap();
        found.into_findings().0
    };
    let before = of(&volume.image);
    of(image).into_iter().filter(|f| !before.contains(f)).collect()
}

/// SHA-256 of every file by path, as the volume shows it; errors fail the test.
fn contents(fs: &HfsPlus) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let root = fs.metadata(fs.root()).unwrap();
    walk(
        fs,
        &root,
        &mut |e| {
            let meta = e.entry.node.as_ref().unwrap_or_else(|d| panic!("{}: {}", e.path, d.reason));
            if let Ok(data) = fs.open(meta.id, &Stream::Data) {
                let bytes = read_vec(&*data, 0, data.len() as usize).unwrap();
                found.insert(e.path.to_owned(), common::sha256(&bytes));
            }
            Ok(tmbundle::fs::Step::Into)
        },
        &mut |path, e| panic!("{path}: {e}"),
    )
    .unwrap();
    found
}

fn links() -> Volume {
    tools::samples::sample("links").unwrap().build()
}

/// Everything on the volume is shown with its contents, as before the damage.
#[track_caller]
fn reads_whole(volume: &Volume, image: &Image) {
    let before = contents(&open(&volume.image));
    assert!(before.len() > 20, "a volume with files is needed");
    assert!(contents(&open(image)) == before, "other names or contents");
}

#[test]
fn the_root_is_found_by_its_key_without_its_thread() {
    let volume = links();
    let thread = volume.layout.thread(&volume.image, 2).unwrap().data;
    // Its parent, its name, its type.
    for (at, byte) in [(7, 0x40), (13, 0x01), (1, 0x08)] {
        let mut image = volume.image.clone();
        image.edit(thread + at, 1, |b| b[0] ^= byte);
        reads_whole(&volume, &image);
        let fs = open(&image);
        assert_eq!(tmbundle::fs::Volume::about(&fs).name, "Time Machine Backups");
        let found = new_findings(&volume, &image);
        assert!(found.iter().any(|f| f.severity == Severity::Damage), "byte {at}: {found:#?}");
    }
}

#[test]
fn a_lost_root_record_costs_nothing_but_itself() {
    let mut builder = tools::samples::sample("links").unwrap();
    let whole = builder.clone().build();
    builder.omit_record(2);
    let volume = builder.build();
    reads_whole(&whole, &volume.image);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rootless.img");
    volume.image.write_to(&path).unwrap();
    let path = path.to_str().unwrap();
    common::tmbundle(&["verify", path]).expect(1, &["folder 2, which does not exist"]);
    common::tmbundle(&["ls", path, "volume:"]).expect(0, &[]);
    // The leaf of the root is gone altogether: damage, not a wrong argument.
    let mut image = volume.image.clone();
    let catalog = &volume.layout.catalog;
    image.fill(catalog.node(catalog.leaves[0]), u64::from(catalog.node_size), 0);
    image.write_to(std::path::Path::new(path)).unwrap();
    for command in ["ls", "cat"] {
        let ran = common::tmbundle(&[command, path, "volume:/nothing/here"]);
        assert!(matches!(ran.code, Some(1 | 3)), "{ran:?}");
    }
}

#[test]
fn objects_are_found_by_their_keys_where_threads_lie() {
    let volume = links();
    let (id, thread) = a_file(&volume);
    let key = volume.layout.record(&volume.image, id).unwrap();
    let name = open(&volume.image).names(NodeId(id.into())).unwrap();
    assert_eq!(name.len(), 1);
    let other_number = 0x7000_0000u32.to_be_bytes();
    // The thread's parent, its name; the number in its key.
    let damages: [(u64, &[u8]); 3] =
        [(thread.data + 4, &other_number), (thread.data + 11, &[0x7A]), (thread.key + 2, &[0x7F])];
    for (at, bytes) in damages {
        let mut image = volume.image.clone();
        image.write_at(at, bytes);
        let fs = open(&image);
        assert_eq!(fs.names(NodeId(id.into())).unwrap(), name, "at {at}");
        let data = fs.open(NodeId(id.into()), &Stream::Data).unwrap();
        let original = open(&volume.image).open(NodeId(id.into()), &Stream::Data).unwrap();
        let read = |s: &Source| read_vec(&**s, 0, s.len() as usize).unwrap();
        assert!(read(&data) == read(&original));
        let found = new_findings(&volume, &image);
        let threads: Vec<_> = found.iter().filter(|f| f.code == Code::CatalogThread).collect();
        assert_eq!(threads.len(), 1, "{found:#?}");
        assert_eq!(threads[0].severity, Severity::Warning);
    }
    assert!(key.data > 0);
}

/// A thread that lies costs its file nothing: it is read, and named where it is.
#[test]
fn contents_and_places_are_named_by_catalog_keys() {
    let volume = links();
    let (id, thread) = a_file(&volume);
    let fs = open(&volume.image);
    let root = fs.metadata(fs.root()).unwrap();
    let mut path = None;
    let mut look = |e: tmbundle::fs::Entry<'_>| {
        let here = e.entry.node.as_ref().is_ok_and(|meta| meta.id == NodeId(id.into()));
        path = path.take().or(here.then(|| e.path.to_owned()));
        Ok(tmbundle::fs::Step::Into)
    };
    walk(&fs, &root, &mut look, &mut |_, e| Err(e)).unwrap();
    let path = path.unwrap();
    let extents = fs.extents(NodeId(id.into()), &Stream::Data).unwrap();
    let at = extents[0].at.unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("threads.img");
    let source = file.to_str().unwrap();
    // The thread's parent, and its name.
    for (place, bytes) in [(thread.data + 4, &[0x70, 0, 0, 0][..]), (thread.data + 11, &[0x7A])] {
        let mut image = volume.image.clone();
        image.write_at(place, bytes);
        image.write_to(&file).unwrap();
        let ran = common::tmbundle(&["verify", "--read-data", "--all", source]);
        ran.expect(0, &["HFS-CATALOG-THREAD", &format!("volume:/{path}")]);
        assert!(!ran.out.contains("FILE-") && !ran.out.contains("DAMAGE"), "{ran:#?}");
        common::tmbundle(&["locate", source, "--offset", &at]).expect(0, &[&path]);
        common::tmbundle(&["cat", source, &format!("volume:/{path}")]).expect(0, &[]);
    }
}

/// CNID and thread of a file with contents that is no hard link.
fn a_file(volume: &Volume) -> (u32, tools::hfs::RecordPlace) {
    let kind = tools::hfs::ForkKind::Data;
    let layout = &volume.layout;
    let is_file = |id: u32| {
        let record = layout.record(&volume.image, id)?;
        let data = volume.image.read(record.data, 248);
        let key = volume.image.read(record.key + 2, 4);
        let parent = u32::from_be_bytes(key.try_into().unwrap());
        let plain = data[1] == 2 && data[3] & 0x20 == 0 && parent != 2;
        let private = parent == layout.private.0 || parent == layout.private.1;
        (plain && !private && !data[48..52].eq(b"jrnl")).then_some(id)
    };
    let id =
        layout.forks().filter(|f| f.1 == kind && f.0 >= 16).find_map(|f| is_file(f.0)).unwrap();
    (id, layout.thread(&volume.image, id).unwrap())
}

#[test]
fn types_of_trees_that_a_mac_opens_are_right_and_others_are_damage() {
    let volume = links();
    for tree in ["catalog", "attributes"] {
        let layout = match tree {
            "catalog" => &volume.layout.catalog,
            _ => volume.layout.attributes.as_ref().unwrap(),
        };
        for (kind, worst) in [
            (0, None),
            (128, None),
            (255, None),
            (1, Some(Severity::Damage)),
            (127, Some(Severity::Damage)),
        ] {
            let mut image = volume.image.clone();
            image.write_at(layout.node(0) + 50, &[kind]);
            let found = new_findings(&volume, &image);
            assert_eq!(found.iter().map(|f| f.severity).max(), worst, "{tree} {kind}: {found:#?}");
        }
    }
}

#[test]
fn a_special_file_longer_than_its_blocks_is_one_warning() {
    let volume = links();
    // logicalSize of allocation, extents, catalog and attributes file.
    for (fork, name) in [(112, "file 6"), (192, "file 3"), (272, "file 4"), (352, "file 8")] {
        let mut image = volume.image.clone();
        for header in [volume.layout.header(), volume.layout.alternate()] {
            image.write_at(header + fork, &(1u64 << 46).to_be_bytes());
        }
        let found = new_findings(&volume, &image);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].severity, found[0].code), (Severity::Warning, Code::ForkSize));
        assert!(found[0].message.starts_with(name), "{found:#?}");
        reads_whole(&volume, &image);
    }
}

#[test]
fn hints_in_the_header_have_bounds() {
    let volume = links();
    let total = volume.layout.total_blocks;
    let quarter = total / 4 * volume.layout.block_size;
    // Clump sizes of allocation, extents, catalog and attributes file; of resource and data
    // forks; next allocation.
    let wrong: [(u64, &[u32]); 7] = [
        (120, &[quarter + 4096, 4095]),
        (200, &[quarter + 4096, 1]),
        (280, &[quarter + 4096, 6000]),
        (360, &[quarter + 4096, 4097]),
        (56, &[0, 513]),
        (60, &[0, 4095]),
        (52, &[total, u32::MAX]),
    ];
    for (at, values) in wrong {
        for value in values {
            let mut image = volume.image.clone();
            image.write_at(volume.layout.header() + at, &value.to_be_bytes());
            let found = new_findings(&volume, &image);
            assert_eq!(found.len(), 1, "{at} = {value}: {found:#?}");
            assert_eq!((found[0].code, found[0].severity), (Code::HeaderField, Severity::Warning));
        }
    }
    for (at, value) in [(120, quarter), (280, 0), (52, total - 1), (60, 65_536)] {
        let mut image = volume.image.clone();
        image.write_at(volume.layout.header() + at, &value.to_be_bytes());
        assert_eq!(new_findings(&volume, &image), [], "{at} = {value}");
    }
}

#[test]
fn a_name_that_sorts_wrong_is_found_by_the_listing() {
    let mut builder = VolumeBuilder::new(VolumeOptions::default());
    let root = builder.root();
    let dir = builder.mkdir(root, "many", Meta::dir());
    for i in 0..200 {
        builder.file(dir, &format!("f{i:03}"), format!("{i}\n").into_bytes(), Meta::file());
    }
    let volume = builder.build();
    let catalog = &volume.layout.catalog;
    // The last record of a leaf in the middle of the folder: "z…" sorts behind all.
    let leaf = catalog.leaves[3];
    let last = catalog.records(&volume.image, leaf) - 1;
    let key = catalog.record(&volume.image, leaf, last);
    let name = volume.image.read(key + 8, 8);
    let units: Vec<u16> = name.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
    let mut name = String::from_utf16(&units).unwrap();
    let content = format!("{}\n", name[1..].parse::<u32>().unwrap());
    let mut image = volume.image.clone();
    image.write_at(key + 8, &[0, b'z']);
    name.replace_range(..1, "z");

    let fs = open(&image);
    let found = resolve(&fs, fs.root(), &format!("/many/{name}")).unwrap();
    let data = fs.open(found.id, &Stream::Data).unwrap();
    assert_eq!(read_vec(&*data, 0, data.len() as usize).unwrap(), content.as_bytes());
    // By its number alone, too, with nothing remembered.
    let data = open(&image).open(found.id, &Stream::Data).unwrap();
    assert_eq!(data.len() as usize, content.len());
    assert!(resolve(&fs, fs.root(), "/many/absent").is_err());
    let listed = contents(&fs);
    assert!(listed.contains_key(&format!("many/{name}")) && listed.len() == 200);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong-order.img");
    image.write_to(&path).unwrap();
    let cat = ["cat", path.to_str().unwrap(), &format!("volume:/many/{name}")];
    common::tmbundle(&cat).expect(0, &[content.as_str()]);
}

#[test]
fn marked_as_compressed_but_readable_is_only_noted() {
    let mut builder = VolumeBuilder::new(VolumeOptions::default());
    let root = builder.root();
    let marked = Meta { bsd_flags: 0x20, ..Meta::file() };
    builder.file(root, "plain", "contents of its own\n", marked.clone());
    let empty = builder.file(root, "empty", Content::Empty, marked);
    builder.set_resource_fork(empty, "what was compressed\n");
    let volume = builder.build();
    let found = Collector::default();
    check::check(&source(&volume.image), &found, &NoProgress).unwrap();
    let found = found.into_findings().0;
    let grade = |cnid: u32| {
        let about =
            |f: &&Finding| f.code == Code::AttributeFlags && f.place.object == Some(cnid.into());
        found.iter().find(about).map(|f| f.severity)
    };
    assert_eq!(grade(empty - 1), Some(Severity::Info), "{found:#?}");
    assert!(grade(empty) > Some(Severity::Info), "{found:#?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("marked.img");
    volume.image.write_to(&path).unwrap();
    let ran = common::tmbundle(&["verify", "--read-data", "--json", path.to_str().unwrap()]);
    let plain = ran.out.lines().filter(|l| l.contains("FILE-DECMPFS")).count();
    assert!(plain > 0, "{}", ran.out);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let findings = json["sources"][0]["findings"].as_array().unwrap();
    let of = |name: &str| {
        let of_file = |f: &&serde_json::Value| {
            f["code"] == "FILE-DECMPFS" && f["message"].as_str().unwrap().contains(name)
        };
        findings.iter().find(of_file).map(|f| f["severity"].clone())
    };
    assert_eq!(of("volume:/plain:"), Some("info".into()), "{findings:#?}");
    assert_eq!(of("volume:/empty:"), Some("damage".into()));
}

fn replayed(image: &Image) -> (Journal, Vec<u8>) {
    let disk = source(image);
    let header = parse_header(&read_vec(&*disk, 1024, 512).unwrap(), disk.len()).unwrap();
    let journal = Journal::read(&*disk, &header);
    let replayed = journal.overlay(disk);
    let len = replayed.len() as usize;
    (journal, read_vec(&*replayed, 0, len).unwrap())
}

#[test]
fn a_torn_transaction_of_several_lists_is_dropped_as_a_whole() {
    let of_blocks = [
        JournalDamage::BlockListChecksum,
        JournalDamage::BlockChecksum,
        JournalDamage::BlockCount,
        JournalDamage::NegativeBlock,
        JournalDamage::EmptyBlock,
    ];
    for damage in of_blocks {
        for (transactions, blocks_per_header) in [(1, 2), (2, 3), (3, 1)] {
            let how =
                Dirty { transactions, blocks_per_header, damage: Some(damage), ..Dirty::default() };
            let torn = without_leaves(&links(), &how);
            let (journal, bytes) = replayed(&torn.image);
            assert!(!journal.problems.is_empty(), "{how:?}");
            assert!(bytes == torn.replayed.to_vec(), "half a transaction: {how:?}");
            let expected = u32::try_from(torn.good).unwrap();
            let found = match journal.state {
                JournalState::Replayed { transactions, .. } => transactions,
                _ => 0,
            };
            assert_eq!(found, expected, "{how:?}");
        }
    }
}

/// The kernel begins another list when its buffer of 256 KiB is full, long before a header
/// of 8192 bytes has no entry left. What lies there instead, from an earlier turn of the
/// ring, says that it begins a transaction.
#[test]
fn a_list_that_is_full_by_bytes_goes_on_in_the_next() {
    let options = VolumeOptions {
        catalog_node_size: 8192,
        catalog_nodes: 64,
        journal_size: 1 << 20,
        ..VolumeOptions::default()
    };
    let mut builder = VolumeBuilder::new(options);
    let root = builder.root();
    let dir = builder.mkdir(root, "many", Meta::dir());
    builder.file(dir, "a", "a\n", Meta::file());
    let old = builder.build();
    for i in 0..800 {
        builder.file(dir, &format!("f{i:03}"), Content::Empty, Meta::file());
    }
    let how = Dirty {
        transactions: 1,
        blocks_per_header: 31,
        killed_block: false,
        overwrite: false,
        ..Dirty::default()
    };
    let torn = between(&old, &builder.build(), &how);
    let (at, _) = old.layout.journal.unwrap();
    let first = at + 512;
    let used = torn.image.read(first + 4, 4);
    let used = u32::from_le_bytes(used.try_into().unwrap());
    let mut image = torn.image.clone();
    let second = first + u64::from(used);
    let flags = u32::from_le_bytes(image.read(second + 12, 4).try_into().unwrap());
    assert_eq!(flags & 2, 0, "the transaction must have a second list");
    image.write_at(second + 12, &3u32.to_le_bytes());
    image.write_at(second + 28, &7u32.to_le_bytes());
    let (journal, bytes) = replayed(&image);
    assert_eq!(journal.state, JournalState::Empty, "{:?}", journal.problems);
    assert!(bytes == image.to_vec(), "half a transaction was laid over the volume");
}

/// Every single read that fails while the volume is opened and walked either leaves out
/// what needs it, with an error, or changes nothing.
#[test]
fn unreadable_nodes_never_make_files_empty() {
    let volume = tools::samples::sample("old-links").unwrap().build();
    let before = contents(&open(&volume.image));
    let layout = &volume.layout;
    let mut bad: Vec<(u64, u64)> = Vec::new();
    for tree in [&layout.catalog, layout.attributes.as_ref().unwrap(), &layout.extents] {
        let size = u64::from(tree.node_size);
        bad.extend((0..tree.used_nodes).map(|n| (tree.node(n), size)));
    }
    bad.extend(layout.journal.map(|(at, _)| (at, 512)));
    bad.extend(layout.journal_info.map(|at| (at, 512)));
    for (at, len) in bad {
        let disk: Source =
            Arc::new(Faulty::new(source(&volume.image), std::iter::once(at..at + len).collect()));
        let Ok(fs) = HfsPlus::open(disk) else { continue };
        let Ok(root) = fs.metadata(fs.root()) else { continue };
        let mut wrong = Vec::new();
        let _ = walk(
            &fs,
            &root,
            &mut |e| {
                let Ok(meta) = &e.entry.node else { return Ok(tmbundle::fs::Step::Over) };
                let data = fs.open(meta.id, &Stream::Data);
                let bytes = data.and_then(|d| read_vec(&*d, 0, d.len() as usize));
                if let (Ok(bytes), Some(sum)) = (bytes, before.get(e.path))
                    && common::sha256(&bytes) != *sum
                {
                    wrong.push(format!("{}: {} bytes", e.path, bytes.len()));
                }
                Ok(tmbundle::fs::Step::Into)
            },
            &mut |_, _| Ok(()),
        );
        assert!(wrong.is_empty(), "unreadable {len} bytes at {at}: {wrong:?}");
    }
}

#[test]
fn a_journal_that_cannot_be_read_costs_only_itself() {
    let torn = without_leaves(&links(), &Dirty::default());
    let volume = links();
    let (at, _) = volume.layout.journal.unwrap();
    let places = [volume.layout.journal_info.unwrap(), at, at + 512, at + 512 + 8192 + 4096];
    for place in places {
        let faulty = |image: &Image| -> Source {
            Arc::new(Faulty::new(source(image), std::iter::once(place..place + 512).collect()))
        };
        // Nothing to replay: all is there.
        let fs = HfsPlus::open(faulty(&volume.image)).unwrap();
        assert!(contents(&fs) == contents(&open(&volume.image)));
        // A dirty one is told.
        let found = Collector::default();
        check::check(&faulty(&torn.image), &found, &NoProgress).unwrap();
        let found = found.into_findings().0;
        let told = |f: &Finding| f.code == Code::JournalBad && f.severity == Severity::Damage;
        assert!(found.iter().any(told), "unreadable at {place}: {found:#?}");
    }
}
