//! An object as a pass over all of them finds it.

use super::{Kind, NodeId};

/// What is known of an object without looking anything up; see
/// [`FileSystem::objects`](super::FileSystem::objects).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// Its number.
    pub id: NodeId,
    /// What it is.
    pub kind: Kind,
    /// Birth as the format stores it. Numbers may be given again to later objects;
    /// number and birth together tell an object from all others.
    pub created: u64,
    /// The data fork as stored; of compressed contents usually empty.
    pub data: Stored,
    /// The resource fork as stored; of compressed contents it holds the blocks.
    pub resource: Stored,
    /// Whether the contents are marked as compressed.
    pub compressed: bool,
    /// Whether there may be extended attributes.
    pub has_xattrs: bool,
}

/// Where a stream is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stored {
    /// Length in bytes, as recorded: not checked against the blocks.
    pub len: u64,
    /// Its first byte in the volume; `None` if it has no blocks.
    pub first: Option<u64>,
}
