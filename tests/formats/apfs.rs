//! APFS volumes and all of their snapshots must read exactly as their manifests say.
//!
//! Driven by data: every image with a manifest beside it in ../shared/data/apfs and
//! ../shared/data/images is read; `NAME@SNAPSHOT.jsonl.gz` tells of a snapshot.

use crate::common;
use crate::common::manifest::compare;
use crate::common::patched::Patched;
use crate::targets;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tmbundle::apfs::{Apfs, Container, NxSuperblock, Superblock, check, fletcher, names, records};
use tmbundle::disk::{Disk, Secret};
use tmbundle::io::Source;
use tmbundle::report::{Code, Collector, Ignore};
use tmbundle::{partition, volume};

/// Passwords of the catalogue; others are told by their file's name there.
const PASSWORDS: &[&str] = &["password", "hunter2hunter2", "test", "test123"];

fn container(bytes: &Source) -> Arc<Container> {
    let map = partition::scan(&**bytes, &Ignore).unwrap();
    let volumes = volume::volumes(bytes, &map).unwrap();
    let found = volumes.into_iter().find(|v| v.kind == volume::Kind::Apfs).expect("a container");
    Arc::new(Container::open(found.source).unwrap())
}

fn source(path: &Path) -> Source {
    Disk::open(path).unwrap().bytes().unwrap()
}

fn open(path: &Path) -> Apfs {
    let container = container(&source(path));
    let oid = container.superblock().volumes[0];
    open_volume(container, oid, PASSWORDS)
}

fn open_volume(container: Arc<Container>, oid: u64, passwords: &[&str]) -> Apfs {
    let all = || passwords.iter().map(|p| Secret::new(p.as_bytes().to_vec())).collect();
    Apfs::open(container, oid, &|_, wrong| Ok(if wrong == 0 { all() } else { Vec::new() })).unwrap()
}

/// The image that a manifest tells of, unpacked; and the snapshot it names.
fn image_of(manifest: &Path) -> Option<(PathBuf, Option<String>)> {
    let dir = manifest.parent()?;
    let name = manifest.file_name()?.to_str()?.strip_suffix(".jsonl.gz")?;
    let (image, snapshot) = match name.split_once('@') {
        Some((image, snapshot)) => (image, Some(snapshot.to_string())),
        None => (name, None),
    };
    let packed = ["img.gz", "dmg.gz"].map(|end| dir.join(format!("{image}.{end}")));
    let plain = dir.join(format!("{image}.dmg"));
    let path = match packed.iter().find(|p| p.exists()) {
        Some(gz) => common::unpack(gz),
        None if plain.exists() => plain,
        None => return None,
    };
    Some((path, snapshot))
}

/// The catalogue writes names of snapshots without blanks and accents.
fn plain_name(name: &str) -> String {
    name.split(' ').filter(|w| w.is_ascii()).collect::<Vec<_>>().join("-")
}

#[test]
fn volumes_and_snapshots_read_as_their_manifests_say() {
    let Some(data) = common::shared_data("volumes_and_snapshots_read_as_their_manifests_say")
    else {
        return;
    };
    let mut wrong = Vec::new();
    for dir in ["apfs", "images"] {
        for manifest in common::files_ending(&data.join(dir), ".jsonl.gz") {
            let Some((path, snapshot)) = image_of(&manifest) else { continue };
            let name = manifest.file_name().unwrap().to_str().unwrap();
            let apfs = open(&path);
            let view = match &snapshot {
                None => apfs.live().unwrap(),
                Some(wanted) => {
                    let found = apfs.snapshots().iter().find(|s| plain_name(&s.name) == *wanted);
                    apfs.at(found.unwrap_or_else(|| panic!("{name}: no snapshot {wanted}")))
                        .unwrap()
                }
            };
            let found = compare(name, &view, &common::gunzip(&manifest));
            eprintln!("{name}: {} differences", found.len());
            wrong.extend(found.into_iter().map(|w| format!("{name}: {w}")));
        }
    }
    common::assert_none(&wrong);
}

#[test]
fn the_demonstration_bundle_reads_as_its_manifests_say() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let apfs = open(&testdata.join("DemoAPFS.backupbundle"));
    let live = std::fs::read(testdata.join("DemoAPFS.manifest.jsonl")).unwrap();
    let mut wrong = compare("live", &apfs.live().unwrap(), &live);
    assert_eq!(apfs.snapshots().len(), 4);
    for snapshot in apfs.snapshots() {
        let name = format!("DemoAPFS.manifest@{}.jsonl", snapshot.name);
        let manifest = std::fs::read(testdata.join(&name)).unwrap();
        let found = compare(&name, &apfs.at(snapshot).unwrap(), &manifest);
        wrong.extend(found.into_iter().map(|w| format!("{name}: {w}")));
    }
    common::assert_none(&wrong);
}

/// A container of our own writer in a file that is gone after the test.
fn written(kind: &str) -> (tempfile::TempDir, PathBuf, tools::apfs::Built) {
    let built = tools::apfs::samples::sample(kind).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("apfs.img");
    built.image.write_to(&path).unwrap();
    (dir, path, built)
}

/// Two stored names that are one to macOS (composed and decomposed) have one path: only
/// the first of them can be asked for.
fn once_each(lines: &[String]) -> Vec<String> {
    let mut paths = std::collections::HashSet::new();
    let path = |line: &String| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["path"].to_string()
    };
    lines.iter().filter(|l| paths.insert(path(l))).cloned().collect()
}

#[test]
fn volumes_of_our_own_writer_read_as_it_says() {
    let mut wrong = Vec::new();
    for (kind, _) in tools::apfs::samples::KINDS {
        let (_dir, path, built) = written(kind);
        let container = container(&source(&path));
        let numbers = container.superblock().volumes.clone();
        assert_eq!(numbers.len(), built.volumes.len(), "{kind}");
        for (oid, manifest) in numbers.into_iter().zip(&built.volumes) {
            let apfs = open_volume(container.clone(), oid, PASSWORDS);
            assert_eq!(apfs.superblock().name, manifest.name);
            let mut compare_with =
                |what: String, view: &tmbundle::apfs::State, lines: &[String]| {
                    let found = compare(&what, view, once_each(lines).join("\n").as_bytes());
                    wrong.extend(found.into_iter().map(|w| format!("{what}: {w}")));
                };
            compare_with(kind.to_string(), &apfs.live().unwrap(), &manifest.live);
            assert_eq!(apfs.snapshots().len(), manifest.snapshots.len(), "{kind}");
            for (snapshot, (xid, name, lines)) in apfs.snapshots().iter().zip(&manifest.snapshots) {
                assert_eq!((snapshot.xid, &snapshot.name), (*xid, name));
                compare_with(format!("{kind}@{name}"), &apfs.at(snapshot).unwrap(), lines);
            }
        }
    }
    common::assert_none(&wrong);
}

#[test]
fn a_recovery_key_opens_a_volume() {
    let (_dir, path, _) = written("encrypted");
    let container = container(&source(&path));
    let oid = container.superblock().volumes[0];
    let apfs = open_volume(container, oid, &["wrong", tools::apfs::samples::RECOVERY_KEY]);
    apfs.live().unwrap();
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// One line of the test vectors; `None` for a structure that has no parser of its own.
fn vector(data: &Path, line: &serde_json::Value) -> Option<Vec<(&'static str, String, String)>> {
    let (what, want) = (line["what"].as_str().unwrap(), &line["expect"]);
    let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut pairs = Vec::new();
    let mut same =
        |name: &'static str, found: String, key: &str| pairs.push((name, found, text(&want[key])));
    if let Some(kind) = what.strip_prefix("record: ") {
        let (key, value) = (hex(want["key"].as_str()?), hex(want["value"].as_str()?));
        let (id, number) = records::split(&key)?;
        same("object", id.to_string(), "object_id");
        same("type", number.to_string(), "type");
        if kind.starts_with("inode") {
            let inode = records::Inode::parse(&value)?;
            same("parent", inode.parent.to_string(), "parent");
            same("stream", inode.stream_id.to_string(), "private");
            same("created", inode.created.to_string(), "create");
            same("modified", inode.modified.to_string(), "mod");
            same("flags", inode.internal_flags.to_string(), "flags");
            same("links", inode.links.to_string(), "nlink");
            same("bsd", inode.flags.to_string(), "bsd");
            same("mode", format!("{:06o}", inode.mode), "mode");
            if let Some(stream) = inode.stream {
                pairs.push(("size", stream.size.to_string(), text(&want["dstream"]["size"])));
            }
        } else if kind.starts_with("entry") {
            let link = records::Link::parse(&value)?;
            same("file", link.inode.to_string(), "file_id");
            same("added", link.added.to_string(), "date_added");
            same("flags", link.flags.to_string(), "flags");
            same("sibling", link.sibling.map_or("null".into(), |s| s.to_string()), "sibling_id");
            same("name", names::display(records::entry_name(&key, true)?), "name");
        } else if kind.starts_with("file extent") {
            let extent = records::Extent::parse(&key, &value)?;
            same("offset", extent.offset.to_string(), "logical");
            same("length", extent.len.to_string(), "length");
            same("block", extent.block.unwrap_or(0).to_string(), "paddr");
            same("crypto", extent.crypto_id.to_string(), "crypto_id");
        } else if kind == "attribute in a stream" {
            let value = records::XattrValue::parse(&value)?;
            same("size", value.size().to_string(), "size");
        } else if kind == "sibling link" {
            let (parent, name) = records::sibling(&value)?;
            same("parent", parent.to_string(), "parent");
            same("name", names::display(name), "name");
        }
        return Some(pairs);
    }
    let image = line["image"].as_str()?;
    let block = line["block"].as_u64()?;
    let path = common::unpack(&data.join(format!("apfs/{image}.img.gz")));
    let disk = source(&path);
    let map = partition::scan(&*disk, &Ignore).unwrap();
    let found = volume::volumes(&disk, &map).unwrap();
    let bytes = &found.iter().find(|v| v.kind == volume::Kind::Apfs)?.source;
    let len = 4096 * line["count"].as_u64().unwrap_or(1) as usize;
    let raw = tmbundle::io::read_vec(&**bytes, block * 4096, len).unwrap();
    pairs.push(("sha256", common::sha256(&raw)[..16].to_owned(), text(&line["sha256"])));
    if let Some(sum) = want["checksum"].as_str() {
        let found = fletcher::checksum(&raw)?;
        let sum = u64::from_str_radix(&sum[2..], 16).unwrap();
        pairs.push(("checksum", found.to_string(), sum.to_string()));
    }
    let mut same =
        |name: &'static str, found: String, key: &str| pairs.push((name, found, text(&want[key])));
    if what.starts_with("nx_superblock") {
        let nx = NxSuperblock::parse(&raw)?;
        same("xid", nx.xid.to_string(), "xid");
        same("blocks", nx.blocks.to_string(), "block_count");
        same("next oid", nx.next_oid.to_string(), "next_oid");
        same("ring", nx.descriptor_blocks.to_string(), "desc_blocks");
        same("index", nx.descriptor_index.to_string(), "desc_index");
        same("data index", nx.data_index.to_string(), "data_index");
        same("omap", nx.omap_oid.to_string(), "omap_oid");
        same("spaceman", nx.spaceman_oid.to_string(), "spaceman_oid");
        same("version", nx.newest_version.to_string(), "newest_mounted_version");
    } else if what.starts_with("apfs_superblock") {
        let sb = Superblock::parse(&raw)?;
        same("name", sb.name.clone(), "name");
        same("incompatible", sb.incompatible.to_string(), "incompat");
        same("root", sb.root_oid.to_string(), "root_oid");
        same("references", sb.extent_references.to_string(), "extref_oid");
        same("snapshots", sb.snapshots_block.to_string(), "snapmeta_oid");
        same("files", sb.files.to_string(), "num_files");
        same("role", sb.role.to_string(), "role");
        same("flags", sb.flags.to_string(), "flags");
        same("modified", sb.modified.to_string(), "last_mod");
    }
    Some(pairs)
}

#[test]
fn test_vectors() {
    let Some(data) = common::shared_data("test_vectors") else { return };
    let text = std::fs::read_to_string(data.join("../formats/apfs-vectors.jsonl")).unwrap();
    let (mut wrong, mut compared, mut passed_over) = (Vec::new(), 0, Vec::new());
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let what = line["what"].as_str().unwrap();
        if what.starts_with("name hashes") {
            for one in line["expect"].as_array().unwrap() {
                let name = String::from_utf8(hex(one["name_utf8"].as_str().unwrap())).unwrap();
                let rules = names::Rules { hashed: true, folded: one["fold"].as_bool().unwrap() };
                let found = format!("{:#x}", rules.hash(&name));
                compared += 1;
                if Some(found.as_str()) != one["hash"].as_str() {
                    wrong.push(format!("hash of {name}: {found}, expected {}", one["hash"]));
                }
            }
            continue;
        }
        match vector(&data, &line) {
            None => passed_over.push(what.to_owned()),
            Some(pairs) => {
                compared += pairs.len();
                let differ = pairs.into_iter().filter(|(_, found, want)| found != want);
                wrong.extend(differ.map(|(n, f, w)| format!("{what}: {n} is {f}, expected {w}")));
            }
        }
    }
    eprintln!("{compared} values compared; no parser of their own: {passed_over:?}");
    common::assert_none(&wrong);
    assert!(compared > 200, "{compared}");
}

/// xorshift64*: small, seeded, the same everywhere.
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

/// Change a few bytes of an object where it matters, and make its checksum right again
/// three times of four.
fn injure(object: &mut [u8], state: &mut u64) {
    for _ in 0..1 + random(state) % 4 {
        // Headers and tables are hit more often than the rest.
        let span = [0x70, 0x200, object.len()][random(state) as usize % 3].min(object.len());
        let at = random(state) as usize % span;
        match random(state) % 4 {
            0 => object[at] ^= 1 << (random(state) % 8),
            1 => object[at] = [0, 1, 0x7F, 0x80, 0xFF][random(state) as usize % 5],
            2 => {
                let value = random(state) >> (random(state) % 60);
                let n = 8.min(object.len() - at);
                object[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
            }
            _ => {
                let from = random(state) as usize % span;
                let n = 16.min(object.len() - at.max(from));
                object.copy_within(from..from + n, at);
            }
        }
    }
    if !random(state).is_multiple_of(4) {
        tools::apfs::object::reseal(object);
    }
}

/// Every APFS image, its objects changed at random: errors are fine; panics, hangs and
/// unbounded memory are not. `TMBUNDLE_FUZZ_ROUNDS` sets how many for each image; without
/// it there are as many as half a minute has room for.
#[test]
fn injured_containers_do_no_harm() {
    let rounds = std::env::var("TMBUNDLE_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok());
    let bounded = rounds.is_none();
    let rounds: u64 = rounds.unwrap_or(40);
    let mut images = Vec::new();
    for kind in ["everything", "snapshots", "encrypted", "clones", "volumes"] {
        let (dir, path, _) = written(kind);
        images.push((kind.to_owned(), source(&path), Some(dir)));
    }
    if let Some(data) = common::shared_data("injured_containers_do_no_harm") {
        for gz in common::files_ending(&data.join("apfs"), ".img.gz") {
            let disk = source(&common::unpack(&gz));
            let map = partition::scan(&*disk, &Ignore).unwrap();
            let found = volume::volumes(&disk, &map).unwrap();
            let apfs = found.into_iter().find(|v| v.kind == volume::Kind::Apfs).unwrap();
            images.push((gz.file_stem().unwrap().to_str().unwrap().to_owned(), apfs.source, None));
        }
    }
    let share = std::time::Duration::from_secs(30) / images.len() as u32;
    for (name, base, _dir) in &images {
        let started = std::time::Instant::now();
        let objects: Vec<u64> = (0..base.len().min(64 << 20) / 4096)
            .filter(|b| {
                let block = tmbundle::io::read_vec(&**base, b * 4096, 4096).unwrap();
                fletcher::is_sound(&block)
            })
            .collect();
        assert!(objects.len() > 10, "{name}");
        let mut state = 0x9E37_79B9_7F4A_7C15;
        let mut done = 0;
        for round in 0..rounds {
            if bounded && round > 0 && started.elapsed() > share {
                break;
            }
            done += 1;
            let mut patches = Vec::new();
            for _ in 0..1 + random(&mut state) % 2 {
                let block = objects[random(&mut state) as usize % objects.len()];
                let mut object = tmbundle::io::read_vec(&**base, block * 4096, 4096).unwrap();
                injure(&mut object, &mut state);
                patches.push((block * 4096, object));
            }
            let one = std::time::Instant::now();
            targets::apfs_source(Arc::new(Patched { base: base.clone(), patches }));
            let took = one.elapsed().as_secs();
            assert!(took < 60, "{name}, round {round}: {took} s");
        }
        eprintln!("{name}: {done} rounds, {:?}", started.elapsed());
    }
}

/// The block of the newest superblock of a kind, by its magic.
fn newest(base: &Source, magic: &[u8; 4]) -> (u64, Vec<u8>) {
    let blocks = (1..base.len().min(64 << 20) / 4096)
        .map(|b| (b * 4096, tmbundle::io::read_vec(&**base, b * 4096, 4096).unwrap()));
    let sound = blocks.filter(|(_, b)| b[32..36] == *magic && fletcher::is_sound(b));
    sound.max_by_key(|(_, b)| u64::from_le_bytes(b[16..24].try_into().unwrap())).unwrap()
}

fn told(base: &Source, at: u64, bytes: Vec<u8>) -> Vec<(Code, String)> {
    let source: Source = Arc::new(Patched { base: base.clone(), patches: vec![(at, bytes)] });
    let reporter = Collector::default();
    check::check(&source, &|_, _| Ok(Vec::new()), &reporter, &tmbundle::report::NoProgress)
        .unwrap();
    reporter.into_findings().0.into_iter().map(|f| (f.code, f.message)).collect()
}

#[test]
fn a_lost_checkpoint_is_told_and_an_older_one_read() {
    let (_dir, path, _) = written("snapshots");
    let base = source(&path);
    let (at, _) = newest(&base, b"NXSB");
    let found = told(&base, at, vec![0; 4096]);
    assert!(matches!(found.as_slice(), [(Code::ApfsCheckpoint, _), ..]), "{found:?}");
    let found = told(&base, 0, vec![0; 4096]);
    assert!(
        matches!(found.as_slice(), [(Code::ApfsCheckpoint, m)] if m.contains("block 0")),
        "{found:?}"
    );
}

#[test]
fn what_opening_shows_to_be_wrong_is_told() {
    let (_dir, path, _) = written("basic");
    let base = source(&path);
    let (at, mut superblock) = newest(&base, b"APSB");
    let found = told(&base, at, vec![0; 4096]);
    assert!(
        matches!(found.as_slice(), [(Code::ApfsUnreadable, m)] if m.contains("all zeros")),
        "{found:?}"
    );
    // A snapshot to go back to at the next mount.
    superblock[0xA0] = 9;
    tools::apfs::object::reseal(&mut superblock);
    let found = told(&base, at, superblock);
    assert!(
        matches!(found.as_slice(), [(Code::ApfsState, m)] if m.contains("transaction 9")),
        "{found:?}"
    );
    assert_eq!(told(&base, at, newest(&base, b"APSB").1), []);
}
