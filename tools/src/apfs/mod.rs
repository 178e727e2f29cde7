//! APFS containers with volumes, snapshots and everything that macOS puts there, written from
//! the format's description alone.

mod audit;
pub mod big;
mod btree;
mod bulk;
mod checkpoint;
pub mod cli;
mod container;
mod core;
mod crypto;
mod data;
pub mod demo;
mod device;
mod encode;
pub mod fields;
mod flush;
pub mod history;
mod keys;
mod layout;
mod manifest;
mod model;
pub mod names;
mod node;
pub mod object;
mod omap;
mod ops;
mod options;
mod pool;
mod records;
mod refs;
pub mod samples;
mod space;
mod spaceman;
#[cfg(test)]
mod tests;
pub mod timemachine;
mod volume;

pub use container::{Built, Container, VolumeManifest};
pub use layout::{Layout, Place, What};
pub use model::{
    DEFAULT_NS, FINDER_INFO, Ino, Meta, PRIVATE_DIR, ROOT, ROOT_PARENT, SECURITY, SYMLINK,
};
pub use node::TreeKind;
pub use ops::Vol;
pub use options::{ContainerOptions, Names, ROLE_BACKUP, VolumeEncryption, VolumeOptions};
pub use records::{field, flag, record};
pub use volume::Volume;
