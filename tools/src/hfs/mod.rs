//! HFS+ and HFSX volumes.

mod acl;
mod alloc;
mod attributes;
mod btree;
mod builder;
mod catalog;
mod extents;
mod layout;
mod links;
mod manifest;
mod model;
mod names;
mod options;
mod volume;
mod wrapper;

pub use acl::{Ace, Acl};
pub use alloc::Extent;
pub use builder::VolumeBuilder;
pub use layout::{Layout, RecordPlace, Tree, TreeLayout};
pub use model::{
    Cnid, Content, DEFAULT_UNIX, ForkKind, HFS_EPOCH, Meta, ROOT, UF_COMPRESSED, UF_IMMUTABLE,
    hfs_date, splitmix,
};
pub use names::{NameOrder, compare, decompose, display, fold, utf16};
pub use options::VolumeOptions;
pub use volume::Volume;
pub use wrapper::wrap_in_hfs;
