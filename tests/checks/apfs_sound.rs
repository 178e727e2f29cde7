//! Nothing above `info` is said of a sound APFS volume: those that macOS wrote, and those of
//! the writer.

use crate::apfs_agreement::rule;
use crate::common;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tmbundle::apfs::check;
use tmbundle::disk::{Disk, Secret};
use tmbundle::io::{Memory, Source};
use tmbundle::report::{Collector, Ignore, NoProgress, Severity};
use tmbundle::{partition, volume};

/// Passwords of the catalogue.
const PASSWORDS: &[&str] = &["password", "hunter2hunter2", "test", "test123"];

/// What is said above `info` of each container in some bytes.
fn alarms(name: &str, source: &Source, skip: &[&str]) -> Vec<String> {
    let passwords = || PASSWORDS.iter().map(|p| Secret::new(p.as_bytes().to_vec())).collect();
    let ask = |_: &str, wrong| Ok(if wrong == 0 { passwords() } else { Vec::new() });
    let map = partition::scan(&**source, &Ignore).unwrap();
    let volumes = volume::volumes(source, &map).unwrap();
    let mut wrong = Vec::new();
    let containers: Vec<_> = volumes.into_iter().filter(|v| v.kind == volume::Kind::Apfs).collect();
    if containers.is_empty() {
        wrong.push(format!("{name}: no container"));
    }
    for container in containers {
        let collector = Collector::default();
        check::check(&container.source, &ask, &collector, &NoProgress).unwrap();
        for f in collector.into_findings().0 {
            let told = f.severity > Severity::Info;
            if told && !rule(&f).is_some_and(|r| skip.contains(&r)) {
                wrong.push(format!("{name}: {} {}", f.code, f.message));
            } else if std::env::var_os("SHOW").is_some() {
                eprintln!("{name}: {} {} {}", f.severity.as_str(), f.code, f.message);
            }
        }
    }
    wrong
}

fn images(data: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = common::files_ending(&data.join("apfs"), ".img.gz")
        .iter()
        .map(|gz| common::unpack(gz))
        .collect();
    let images = data.join("images");
    for manifest in common::files_ending(&images, ".jsonl.gz") {
        let name = manifest.file_name().unwrap().to_str().unwrap().replace(".jsonl.gz", ".dmg");
        if name.contains("apfs") {
            found.push(images.join(name));
        }
    }
    found
}

#[test]
fn nothing_is_wrong_with_what_macos_wrote() {
    let Some(data) = common::shared_data("nothing_is_wrong_with_what_macos_wrote") else { return };
    let mut wrong = Vec::new();
    for path in images(&data) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Disk::open(&path).unwrap().bytes().unwrap();
        // Child counts that hfs_convert leaves.
        wrong.extend(alarms(&name, &source, if name.contains("jhfs") { &["A166"] } else { &[] }));
    }
    common::assert_none(&wrong);
}

#[test]
fn nothing_is_wrong_with_the_writers_volumes() {
    let mut wrong = Vec::new();
    for (kind, _) in tools::apfs::samples::KINDS {
        if std::env::var("KIND").is_ok_and(|wanted| wanted != *kind) {
            continue;
        }
        let built = tools::apfs::samples::sample(kind).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("apfs.img");
        built.image.write_to(&path).unwrap();
        let source = Disk::open(&path).unwrap().bytes().unwrap();
        wrong.extend(alarms(kind, &source, &[]));
    }
    common::assert_none(&wrong);
}

#[test]
fn nothing_is_wrong_with_the_demonstration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/DemoAPFS.backupbundle");
    let source = Disk::open(&path).unwrap().bytes().unwrap();
    common::assert_none(&alarms("demonstration", &source, &[]));
    let zeros: Source = Arc::new(Memory::new(vec![0; 1 << 20]));
    assert_ne!(alarms("zeros", &zeros, &[]), Vec::<String>::new());
}
