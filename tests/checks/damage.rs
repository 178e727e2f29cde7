//! Every named damage of the writer is found, by a code that stands for what
//! Apple's fsck would say; and the undamaged volume is clean.

use std::collections::BTreeSet;
use std::sync::Arc;
use tmbundle::hfsplus::check;
use tmbundle::io::{Memory, Source};
use tmbundle::report::{Code, Collector, Finding, NoProgress, Severity};
use tools::Image;
use tools::damage::{Damage, broken};

fn findings(image: &Image) -> Vec<Finding> {
    let source: Source = Arc::new(Memory::new(image.to_vec()));
    let collector = Collector::default();
    check::check(&source, &collector, &NoProgress).unwrap();
    collector.into_findings().0
}

/// What is told of a damaged volume, against what should be: a sentence if it is
/// not enough.
fn judge(name: &str, fsck: &[u16], found: &[Finding]) -> Option<String> {
    let told: Vec<&Finding> = found.iter().filter(|f| f.code != Code::InodeUnlinked).collect();
    let codes: BTreeSet<&str> = told.iter().map(|f| f.code.name()).collect();
    if told.is_empty() {
        return Some(format!("{name}: not found (fsck {fsck:?})"));
    }
    let fits = |f: &&&Finding| f.code.info().fsck_hfs.iter().any(|n| fsck.contains(n));
    if !fsck.is_empty() && told.iter().filter(fits).count() == 0 {
        return Some(format!("{name}: fsck {fsck:?}, but {codes:?}"));
    }
    None
}

/// What the check of the structure leaves alone: contents of files (compression,
/// checksums, a link's target), which only reading them shows, and what neither our
/// readers nor Apple's mind (a composed name is found by comparing; a file deleted
/// while open is normal after a crash).
const NOT_STRUCTURE: &[&str] =
    &["decmpfs-", "checksum-", "dataless", "symlink-length", "composed-name", "deleted-while-open"];

#[test]
fn every_named_damage_is_found() {
    let volume = tools::samples::sample("everything").unwrap().build();
    let clean = findings(&volume.image);
    assert!(clean.iter().all(|f| f.severity == Severity::Info), "{clean:#?}");
    let mut wrong = Vec::new();
    let mut count = 0;
    for damage in Damage::all() {
        let mut image = volume.image.clone();
        if damage.apply(&mut image, &volume.layout).is_none() {
            continue;
        }
        count += 1;
        let mut found = findings(&image);
        found.retain(|f| !clean.contains(f));
        if !NOT_STRUCTURE.iter().any(|n| damage.name.starts_with(n)) {
            wrong.extend(judge(&damage.name, damage.fsck, &found));
        }
    }
    for fault in broken() {
        if NOT_STRUCTURE.contains(&fault.name) {
            continue;
        }
        count += 1;
        wrong.extend(judge(fault.name, fault.fsck, &findings(&fault.builder().build().image)));
    }
    eprintln!("{count} kinds of damage, {} not found as they should", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
