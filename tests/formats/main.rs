//! What the formats hold is read as it is: volumes, disks, containers, ours and others'.
#![allow(clippy::print_stderr)]

mod apfs;
mod apfs_written;
#[path = "../common/mod.rs"]
mod common;
mod containers;
mod disks;
mod encrypted;
mod foreign_bundles;
mod fuzz_seeded;
mod hostile_images;
mod journal;
mod manifests;
mod properties;
mod random_trees;
#[path = "../../fuzz/src/lib.rs"]
#[allow(dead_code)]
mod targets;
mod two_views;
