//! APFS, read-only: containers, volumes and snapshots.
//!
//! From the ground up: blocks and objects, whose checksum is proved before anything
//! is believed (`object`, `fletcher`); nodes of trees, cached by block (`node`,
//! `store`, `btree`); the checkpoint that is read (`container`, `checkpoint`); object
//! maps, and the state of a volume at one transaction (`omap`, `space`); records,
//! names, streams; keys; and the [`crate::fs`] interface over all of it. Source:
//! `formats/apfs.md`, cited by section.

mod about;
mod allocation;
mod attributes;
mod btree;
pub mod check;
mod checkpoint;
pub mod container;
mod der;
pub mod dump;
mod filesystem;
pub mod fletcher;
mod format;
pub mod keybag;
mod lookup;
mod lost;
pub mod names;
pub mod node;
mod nx;
mod object;
mod objects;
mod omap;
mod owners;
pub mod records;
mod references;
mod salvage;
mod sealed;
mod snapshots;
mod space;
mod store;
mod stream;
mod structures;
pub mod superblock;
mod unlock;
mod view;
mod volume;
mod walk;

pub use container::{Container, begins};
pub use nx::{Note, NxSuperblock};
pub use salvage::{Opened as Salvaged, open as salvage};
pub use snapshots::Snapshot;
pub use superblock::Superblock;
pub use view::State;
pub use volume::Apfs;
