//! Read and verify Time Machine backups on the Linux server that stores them.
//!
//! The library is a house of rooms; each room imports only rooms further down
//! (`tests/checks/layering.rs` holds it):
//!
//! ```text
//! verify  mount  extract  query      the jobs: no terminal, no knowledge of one another
//! losses                             is it stored, free of meaning, or lost? one judgement
//! timemachine  state                 computers, snapshots, volumes, history; what we remember
//! volume                             what is in this partition?
//! hfsplus  apfs                      HFS Plus / HFSX; APFS
//! disk                               SOURCE to one disk of bytes
//! bundle  partition                  the sparse bundle; GPT, APM, MBR
//! decmpfs  fs                        Apple's file compression; the file-system interface
//! io  report                         bytes at offsets; findings, progress
//! error                              what can go wrong, by what the caller can do about it
//! ```
//!
//! Nothing in here ever writes to a source. See `docs/architecture.md`.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod apfs;
pub mod bundle;
pub mod crypt;
pub mod decmpfs;
pub mod disk;
pub mod error;
pub mod extract;
pub mod fs;
pub mod hfsplus;
pub mod io;
pub mod losses;
#[cfg(feature = "mount")]
pub mod mount;
pub mod partition;
pub mod query;
pub mod report;
pub mod state;
pub mod timemachine;
pub mod verify;
pub mod volume;

pub use error::{Error, Result};
