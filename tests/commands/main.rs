//! The command as its users meet it.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod access;
mod addressing;
mod alerts;
#[cfg(feature = "mount")]
mod apfs;
mod apfs_losses;
mod bad_input;
mod bad_map;
mod bad_sector;
mod band_manifest;
mod bounds;
mod broken_bundles;
mod broken_disks;
mod changing;
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod counts;
mod doctor;
mod doctor_trust;
mod dump;
mod escaping;
mod failed_looks;
mod golden;
mod guarding;
#[cfg(feature = "mount")]
mod held;
mod holes;
mod hostile;
mod image_holes;
mod json_schema;
mod keys;
mod large_numbers;
mod lost_bytes;
mod lost_forks;
mod lost_headers;
mod lost_maps;
mod lost_records;
mod metrics;
#[cfg(feature = "mount")]
mod mount;
#[cfg(feature = "mount")]
mod mounted_attributes;
#[cfg(feature = "mount")]
mod mounting;
mod nth_read;
mod oddities;
mod older_states;
mod packaging;
mod passwords;
mod progress;
#[cfg(feature = "mount")]
mod races;
mod read_data;
mod read_data_order;
mod read_once;
mod readme;
mod recovery;
mod remembered;
mod restoring;
#[cfg(feature = "mount")]
mod runbooks;
mod server_snapshots;
mod setup;
mod share;
mod signals;
mod silent;
mod spelling;
mod stand_ins;
mod state;
mod timemachine_state;
mod verdicts;
mod watch;
