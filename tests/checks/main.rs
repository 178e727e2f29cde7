//! What is damaged is found, named and graded; page, codes and layers agree.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod apfs_agreement;
mod apfs_campaign;
mod apfs_campaign_volumes;
mod apfs_records;
mod apfs_rules;
mod apfs_sound;
mod as_apple;
mod bounds;
mod campaign;
mod campaign_runner;
mod campaign_volumes;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod findings;
mod forecast;
mod fsck_agreement;
mod layering;
mod losses;
mod lost_nodes;
mod once;
mod pages;
mod provoke;
mod provoking;
mod salvage;
mod salvage_apfs;
mod server;
mod wrong_nodes;
