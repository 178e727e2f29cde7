//! What lies where on a volume.

use super::{NodeId, Stream, Views};
use std::ops::Range;

/// A run of bytes of a volume and what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Bytes of the volume.
    pub range: Range<u64>,
    /// What they belong to.
    pub owner: Owner,
    /// The views, of those asked about, in which they do. A node number in
    /// [`Owned::owner`] is that of the first of them.
    pub views: Views,
}

/// What bytes of a volume belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A stream of a file, as stored; of attributes, those kept outside the tree.
    Stream {
        /// The object that has it.
        node: NodeId,
        /// Which.
        stream: Stream,
        /// First of the bytes in the stream.
        offset: u64,
    },
    /// Allocated to a file past the end of its contents.
    Slack(NodeId),
    /// A structure of the format.
    Structure {
        /// Its name, such as `catalog node 418`.
        name: String,
        /// The objects whose records are in it, or were as far as the rest of
        /// the volume tells; sorted.
        describes: Vec<NodeId>,
        /// Whether it is never zeros, so that zeros there are lost bytes. Trees have nodes
        /// that were never used, rings and bitmaps parts that were never written.
        in_use: bool,
    },
}

/// A name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The folder it stands in.
    pub parent: NodeId,
    /// Name for people, as in [`super::DirEntry::name`].
    pub name: String,
}
