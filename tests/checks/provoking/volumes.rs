//! Volumes that the writer has no name for.

use super::Told;
use std::sync::Arc;
use tmbundle::hfsplus;
use tmbundle::io::{Faulty, Memory, Source};
use tmbundle::report::{Collector, NoProgress};
use tools::Image;
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

fn source(image: &Image) -> Source {
    Arc::new(Memory::new(image.to_vec()))
}

fn check_source(source: &Source) -> Told {
    let collector = Collector::default();
    hfsplus::check::check(source, &collector, &NoProgress).unwrap();
    collector.into_findings().0.into_iter().map(|f| (f.code, f.message)).collect()
}

pub fn check(image: &Image) -> Told {
    check_source(&source(image))
}

pub fn dirty_journal() -> Told {
    let volume = tools::samples::sample("basic").unwrap().build();
    let torn = tools::journal::without_leaves(&volume, &tools::journal::Dirty::default());
    let mut told = check(&torn.image);
    let before = check(&volume.image);
    told.retain(|t| !before.contains(t));
    told
}

pub fn unreadable_leaf() -> Told {
    let volume = tools::samples::sample("no-attributes").unwrap().build();
    let at = volume.layout.catalog.node(volume.layout.catalog.leaves[1]);
    let leaf = std::iter::once(at..at + 1).collect();
    let faulty: Source = Arc::new(Faulty::new(source(&volume.image), leaf));
    check_source(&faulty)
}

pub fn split_nodes() -> Told {
    let options = VolumeOptions {
        block_size: 1024,
        catalog_nodes: 16,
        catalog_pieces: 5,
        split_nodes: true,
        ..VolumeOptions::default()
    };
    check(&VolumeBuilder::new(options).build().image)
}

pub fn symlink_too_long() -> Told {
    let mut volume = VolumeBuilder::new(VolumeOptions::default());
    let root = volume.root();
    volume.symlink(root, "far", &"x/".repeat(600), Meta::with_mode(0o755));
    check(&volume.build().image)
}
