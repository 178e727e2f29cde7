//! A stored object as a pass over all of them finds it.

use super::{Kind, NodeId, ViewId};

/// What is known of an object without looking anything up; see
/// [`Volume::objects`](super::Volume::objects).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// One of the views it is in.
    pub view: ViewId,
    /// Its number there.
    pub id: NodeId,
    /// What it is.
    pub kind: Kind,
    /// Birth as the format stores it. Numbers may be given again to later objects;
    /// number and birth together tell an object from all others.
    pub created: u64,
    /// The data fork as stored; of compressed contents usually empty.
    pub data: Body,
    /// The resource fork as stored; of compressed contents it holds the blocks.
    pub resource: Body,
    /// Whether the contents are marked as compressed.
    pub compressed: bool,
    /// Whether there may be extended attributes besides Finder information and resource
    /// fork.
    pub has_xattrs: bool,
}

/// Length and place of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Body {
    /// Length in bytes, as recorded: not checked against the blocks.
    pub len: u64,
    /// Its first byte in the volume; `None` if it has no blocks.
    pub first: Option<u64>,
}
