//! Small volumes that have everything, each cheap to check.

use crate::campaign_runner::{KEPT, Subject};
use std::sync::Arc;
use tmbundle::hfsplus::check;
use tmbundle::io::{Memory, Source};
use tmbundle::report::{Collector, Finding, NoProgress};
use tools::decmpfs::DecmpfsType;
use tools::fields::{self, Field};
use tools::hfs::{Acl, Content, ForkKind, Meta, VolumeBuilder, VolumeOptions};
use tools::journal::{Dirty, without_leaves};
use tools::timemachine::{self, Backup, Dir, Machine};

fn findings(source: &Source) -> Vec<Finding> {
    let collector = Collector::new(KEPT);
    check::check(source, &collector, &NoProgress).unwrap();
    collector.into_findings().0
}

/// HFS+ has no checksums over its metadata (but for the journal's, which are fields).
fn of(name: &'static str, weight: u64, image: Vec<u8>, fields: Vec<Field>) -> Subject {
    let source = Arc::new(Memory::new(image));
    Subject { name, source, fields, sums: Vec::new(), weight, check: findings }
}

fn subject(name: &'static str, weight: u64, builder: &VolumeBuilder) -> Subject {
    let volume = builder.build();
    of(name, weight, volume.image.to_vec(), fields::of(&volume))
}

pub fn all() -> Vec<Subject> {
    vec![
        subject("hfsx", 4, &everything(hfsx())),
        subject("hfs+", 4, &everything(hfs_plus())),
        subject("no journal", 1, &everything(no_journal())),
        subject("time machine", 2, &backups()),
        dirty(),
    ]
}

/// Trees of several levels, because names are long and nodes small; map nodes in the
/// extents tree; leaves numbered backwards.
fn hfsx() -> VolumeOptions {
    VolumeOptions {
        size: 6 << 20,
        journal_size: 64 << 10,
        extents_node_size: 512,
        extents_nodes: 2100,
        attributes_node_size: 4096,
        reverse_leaves: true,
        bad_blocks: 3,
        ..VolumeOptions::default()
    }
}

fn hfs_plus() -> VolumeOptions {
    VolumeOptions {
        size: 5 << 20,
        block_size: 1024,
        journal_size: 64 << 10,
        extents_node_size: 512,
        attributes_node_size: 4096,
        catalog_pieces: 11,
        attributes_pieces: 4,
        ..VolumeOptions::hfs_plus()
    }
}

fn no_journal() -> VolumeOptions {
    VolumeOptions { journal_size: 0, case_sensitive: false, extents_node_size: 1024, ..hfsx() }
}

fn long(name: &str, i: u32) -> String {
    format!("{name} {i:03} {}", "x".repeat(120 + (i as usize * 37) % 90))
}

fn everything(options: VolumeOptions) -> VolumeBuilder {
    let mut v = VolumeBuilder::new(options);
    let root = v.root();
    let docs = v.mkdir(root, "Documents", Meta::dir());
    for i in 0..40 {
        let id = v.file(docs, &long("file", i), Content::text(i.into(), 700), Meta::file());
        if i % 3 == 0 {
            v.set_xattr(id, "com.example.inline", Content::text(i.into(), 300));
        }
        if i % 5 == 0 {
            v.set_acl(id, &Acl::time_machine());
        }
    }
    let mut at = docs;
    for i in 0..6 {
        at = v.mkdir(at, &long("folder", i), Meta::dir());
        v.file(at, "Ångström.txt", "unicode\n", Meta::file());
    }
    v.symlink(docs, "link", "file", Meta::with_mode(0o755));
    v.special(docs, "fifo", 0, Meta::with_mode(0o010_644));
    v.special(docs, "tty", 0x0200_0001, Meta::with_mode(0o020_620));
    links(&mut v, docs);
    forks(&mut v, docs);
    v.orphan("deleted while open\n");
    v
}

fn links(v: &mut VolumeBuilder, docs: u32) {
    let root = v.root();
    let file = v.file(root, "original", "one file, many names\n", Meta::file());
    v.set_xattr(file, "com.example.inode", "on the inode");
    for i in 0..5 {
        v.hard_link(file, docs, &format!("name {i}"));
    }
    let tree = v.mkdir(root, "tree", Meta::dir());
    let inner = v.mkdir(tree, "inner", Meta::dir());
    v.file(inner, "leaf", "leaf\n", Meta::file());
    let other = v.mkdir(docs, "other", Meta::dir());
    v.dir_link(inner, other, "inner again");
    let far = v.mkdir(other, "far", Meta::dir());
    v.dir_link(tree, far, "tree again");
    v.dir_link(tree, other, "tree thrice");
}

fn forks(v: &mut VolumeBuilder, docs: u32) {
    for (i, how) in DecmpfsType::ALL.into_iter().enumerate() {
        if !matches!(how, DecmpfsType::Dataless | DecmpfsType::Zeros5) {
            let content =
                Content::text(i as u64, if how.in_resource_fork() { 20_000 } else { 900 });
            let id = v.file(docs, &format!("compressed {i}"), content, Meta::file());
            v.compress(id, how);
        }
    }
    for pieces in [5, 8, 9, 17, 60] {
        let content = Content::text(pieces.into(), 64 << 10);
        let id = v.file(docs, &format!("pieces {pieces}"), content, Meta::file());
        v.fragment(id, ForkKind::Data, pieces);
        v.set_resource_fork(id, Content::text(7, 30_000));
        v.fragment(id, ForkKind::Resource, pieces);
    }
    let spare = v.file(docs, "preallocated", "short\n", Meta::file());
    v.preallocate(spare, ForkKind::Data, 4);
    let attr = v.file(docs, "attribute", "", Meta::file());
    v.set_xattr_fork(attr, "com.example.pieces", Content::text(32, 40_000), 20);
    v.set_xattr_fork(attr, "com.example.small-fork", "tiny", 1);
}

/// Three backups of a small Mac, sharing what did not change.
fn backups() -> VolumeBuilder {
    let mut v = VolumeBuilder::new(VolumeOptions {
        size: 8 << 20,
        journal_size: 64 << 10,
        attributes_node_size: 4096,
        ..VolumeOptions::default()
    });
    let machine: Machine = tools::demo::machine();
    let mut source = Dir::new(Meta::dir().owned(0, 0));
    for folder in ["Users/anna/Documents", "Users/anna/Pictures", "Library", "Applications"] {
        for i in 0..8 {
            let content = Content::text(i, 300);
            source.dir(folder).file(&format!("file {i}"), content, Meta::file());
        }
    }
    let start = v.options().created + 1000;
    let backups: Vec<Backup> = (0..3)
        .map(|n| {
            let name = format!("new {n}");
            source.dir("Users/anna/Documents").file(&name, "new\n", Meta::file());
            let start = start + 86_400 * n as i64;
            let completed = Some(start + 60);
            Backup { number: n + 1, start, completed, source: source.clone() }
        })
        .collect();
    timemachine::write(&mut v, &machine, &backups);
    v
}

/// A volume whose leaves are in the journal only.
fn dirty() -> Subject {
    let options = VolumeOptions {
        size: 6 << 20,
        journal_size: 1 << 20,
        attributes_node_size: 4096,
        ..VolumeOptions::default()
    };
    let volume = everything(options).build();
    let torn = without_leaves(&volume, &Dirty::default());
    let fields = fields::of_journal(&torn.image, &volume.layout);
    of("dirty journal", 1, torn.image.to_vec(), fields)
}
