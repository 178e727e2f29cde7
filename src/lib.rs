//! Read and verify Time Machine backups on the Linux server that stores them.
//!
//! ```no_run
//! use tmbundle::disk::Disk;
//! use tmbundle::timemachine::Archive;
//! use tmbundle::volume::Layout;
//!
//! # fn main() -> tmbundle::Result<()> {
//! let layout = Layout::from(Disk::open("Mac.sparsebundle".as_ref())?);
//! let archive = Archive::open(&layout)?;
//! let place = archive.find("latest:/Macintosh HD/Users")?;
//! assert!(place.node.entries > 0, "{} is empty", place.path);
//! # Ok(())
//! # }
//! ```
//!
//! What a program needs, from the outside in:
//!
//! - [`disk::Disk`] opens a bundle, image or device; [`volume::Layout`] what lies on it;
//!   [`timemachine::Archive`] volumes, computers and snapshots, by addresses as the
//!   command takes them.
//! - [`fs::Volume`] and [`fs::FileSystem`]: a volume and its views, whatever the format.
//! - [`verify::verify`], [`query`], [`extract`], [`mount`]: the jobs. They tell of findings and
//!   progress through the small traits of [`report`].
//!
//! The rest (`hfsplus`, `apfs`, `bundle`, `partition`, `decmpfs`) is open for tests and tools and
//! promises nothing.
//!
//! The library is a house of rooms; each room imports only rooms further down
//! (`tests/checks/layering.rs` holds it):
//!
//! ```text
//! verify mount extract query server  the jobs: no terminal, no knowledge of one another
//! losses                             of bytes that are not stored: free, doubtful or lost?
//! timemachine  state                 computers, snapshots, volumes, history; what we remember
//! volume                             what is in this partition? the only room that knows a format
//! hfsplus  apfs                      the formats; neither knows the other
//! disk                               SOURCE to one disk of bytes
//! bundle  partition                  the sparse bundle; GPT, APM, MBR
//! decmpfs  fs  crypt                 Apple's file compression; volumes and views; passwords, ciphers
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
pub mod config;
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
pub mod server;
pub mod state;
pub mod timemachine;
pub mod verify;
pub mod volume;

pub use error::{Error, Result};
