//! A node of a volume's trees lies where another should: a write went elsewhere, or never came.
//! It is sound by itself, so what is missing in it must be noticed by what leads to it. What
//! is then read either is what was written, or something is told. Expected is what the writer
//! put in, and of Apple's volumes what they have when they are not injured.

use crate::common::patched::Patched;
use crate::{common, fsck_agreement};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tmbundle::fs::{FileSystem, Kind, Step, Stream, walk};
use tmbundle::hfsplus::HfsPlus;
use tmbundle::io::{Source, read_vec};
use tools::decmpfs::DecmpfsType;
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};

const NOTE: &str = "com.example.note";
const FORK: &str = "com.apple.ResourceFork";

/// What is known of an object: its contents, if it has any, and its attributes.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Object {
    content: Option<Vec<u8>>,
    attributes: BTreeMap<String, Vec<u8>>,
}

/// More is read of no file.
const LONGEST: usize = 4 << 20;

type Objects = BTreeMap<String, Object>;

/// All that can be read, and what is told about the rest.
fn read(fs: &dyn FileSystem) -> (Objects, Vec<String>) {
    let (mut objects, mut told, mut failed) = (Objects::new(), Vec::new(), Vec::new());
    let root = match fs.metadata(fs.root()) {
        Ok(root) => root,
        Err(e) => return (objects, vec![e.to_string()]),
    };
    let walked = walk(
        fs,
        &root,
        &mut |e| {
            let meta = match &e.entry.node {
                Ok(meta) => meta,
                Err(dangling) => {
                    told.push(dangling.reason.clone());
                    return Ok(Step::Into);
                }
            };
            let mut object = Object::default();
            if meta.kind == Kind::File {
                let read = fs
                    .open(meta.id, &Stream::Data)
                    .and_then(|s| read_vec(&*s, 0, usize::try_from(s.len()).unwrap().min(LONGEST)));
                match read {
                    Ok(content) => object.content = Some(content),
                    Err(e) => told.push(e.to_string()),
                }
            }
            match fs.readable_xattrs(meta.id) {
                Ok((names, lacking)) => {
                    told.extend(lacking.map(|e| e.to_string()));
                    for name in names {
                        match fs.xattr(meta.id, &name.name) {
                            Ok(value) => {
                                object.attributes.insert(name.name, value.unwrap_or_default());
                            }
                            Err(e) => told.push(e.to_string()),
                        }
                    }
                }
                Err(e) => told.push(e.to_string()),
            }
            objects.insert(e.path.to_owned(), object);
            Ok(Step::Into)
        },
        &mut |_, e| {
            failed.push(e.to_string());
            Ok(())
        },
    );
    told.extend(walked.err().map(|e| e.to_string()));
    told.extend(failed);
    (objects, told)
}

/// What differs, if nothing is told.
fn silent(volume: Source, wanted: &Objects) -> Option<String> {
    let (found, told) = read(&HfsPlus::open(volume).ok()?);
    if !told.is_empty() {
        return None;
    }
    let mut differ = wanted.iter().filter(|(path, object)| found.get(*path) != Some(object));
    let (first, _) = differ.next()?;
    Some(format!("'{first}' and {} others", differ.count()))
}

/// Folders of files, compressed ones among them, all with attributes.
fn written() -> (tools::hfs::Volume, Objects) {
    let mut volume =
        VolumeBuilder::new(VolumeOptions { size: 4 << 20, ..VolumeOptions::default() });
    let mut objects = Objects::new();
    let root = volume.root();
    for f in 0..4u64 {
        let folder = volume.mkdir(root, &format!("folder {f}"), Meta::dir());
        objects.insert(format!("folder {f}"), Object::default());
        for n in 0..12 {
            let number = 100 * f + n;
            let (content, note) = (Content::text(number, 300), Content::text(number, 900));
            let path = format!("folder {f}/file {n}");
            let id = volume.file(folder, &format!("file {n}"), content.clone(), Meta::file());
            volume.set_xattr(id, NOTE, note.clone());
            let mut attributes = BTreeMap::from([(NOTE.to_owned(), note.to_vec())]);
            match n % 3 {
                0 => volume.compress(id, DecmpfsType::Zlib3),
                1 => {
                    let fork = Content::text(1000 + number, 50);
                    volume.set_resource_fork(id, fork.clone());
                    attributes.insert(FORK.to_owned(), fork.to_vec());
                }
                _ => {}
            }
            objects.insert(path, Object { content: Some(content.to_vec()), attributes });
        }
    }
    (volume.build(), objects)
}

#[test]
fn a_node_over_another_loses_nothing_in_silence() {
    let (built, wanted) = written();
    let source = common::contents::memory(&built.image);
    let (found, told) = read(&HfsPlus::open(source.clone()).unwrap());
    assert!(told.is_empty(), "{told:?}");
    assert!(found == wanted, "the sound volume");
    let layout = &built.layout;
    let trees = [&layout.catalog, layout.attributes.as_ref().unwrap()];
    let nodes: Vec<(u64, usize)> = trees
        .iter()
        .flat_map(|t| (0..t.used_nodes).map(|n| (t.node(n), t.node_size as usize)))
        .collect();
    assert!(trees.iter().all(|t| t.leaves.len() > 4 && !t.index.is_empty()));
    let (mut wrong, mut tried) = (Vec::new(), 0);
    let mut attempt = |what: String, at: u64, bytes: Vec<u8>| {
        let base = source.clone();
        let volume = Arc::new(Patched { base, patches: vec![(at, bytes)] });
        tried += 1;
        wrong.extend(silent(volume, &wanted).map(|lost| format!("{what}: {lost}")));
    };
    for (to, room) in &nodes {
        for (from, len) in nodes.iter().filter(|(from, _)| from != to) {
            let bytes = built.image.read(*from, *len.min(room));
            attempt(format!("{from} over {to}"), *to, bytes);
        }
        // No records.
        attempt(format!("{to} emptied"), to + 10, vec![0, 0]);
    }
    assert!(tried > 200, "{tried}");
    common::assert_none(&wrong);
}

/// Exchanged nodes of the volumes that Apple's fsck called corrupt.
#[test]
fn exchanged_nodes_lose_nothing_in_silence() {
    let Some(data) = common::shared_data("exchanged_nodes_lose_nothing_in_silence") else { return };
    let objects = |source: &Source| read(&HfsPlus::open(source.clone()).unwrap()).0;
    let bases = fsck_agreement::bases(&data, objects);
    let cases = fsck_agreement::cases(&data);
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (number, line) in cases.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        if case["fsck"] == 0 || case["swap"].is_null() {
            continue;
        }
        let name = case["base"].as_str().unwrap();
        let (source, wanted) = &bases[name];
        let patches = fsck_agreement::patches(source, &case);
        let volume = Arc::new(Patched { base: source.clone(), patches });
        tried += 1;
        let lost = silent(volume, wanted);
        wrong.extend(lost.map(|lost| format!("{number}, {name} {}: {lost}", case["swap"])));
    }
    assert!(tried > 20, "{tried}");
    common::assert_none(&wrong);
}
