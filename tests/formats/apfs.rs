//! APFS volumes and all of their snapshots must read exactly as their manifests say.
//!
//! Driven by data: every image with a manifest beside it in ../shared/data/apfs and
//! ../shared/data/images is read; `NAME@SNAPSHOT.jsonl.gz` tells of a snapshot.

use crate::common;
use crate::common::manifest::compare;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tmbundle::apfs::{Apfs, Container};
use tmbundle::disk::{Disk, Secret};
use tmbundle::io::Source;
use tmbundle::report::Ignore;
use tmbundle::{partition, volume};

/// Passwords of the catalogue; others are told by their file's name there.
const PASSWORDS: &[&str] = &["password", "hunter2hunter2", "test", "test123"];

fn container(bytes: &Source) -> Arc<Container> {
    let map = partition::scan(&**bytes, &Ignore).unwrap();
    let volumes = volume::volumes(bytes, &map).unwrap();
    let found = volumes.into_iter().find(|v| v.kind == volume::Kind::Apfs).expect("a container");
    Arc::new(Container::open(found.source).unwrap())
}

fn open(path: &Path) -> Apfs {
    let disk = Disk::open(path).unwrap();
    let container = container(&disk.bytes().unwrap());
    let oid = container.superblock().volumes[0];
    let all = || PASSWORDS.iter().map(|p| Secret::new(p.as_bytes().to_vec())).collect();
    Apfs::open(container, oid, &|_| Ok(all())).unwrap()
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
