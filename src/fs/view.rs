//! One tree of names: the live one, or a snapshot's.

use super::{Metadata, Name, NodeId};
use crate::error::{Error, Result};
use crate::io::bytes::to_usize;
use crate::io::{Source, read_vec};
use std::ops::ControlFlow;

/// Largest value of an attribute that is read into memory, the resource fork apart: as
/// much as macOS lets a program set (`XATTR_MAXSIZE` of XNU, 64 MiB).
const MAX_VALUE: u64 = 64 << 20;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Name for people: NFC, `/` inside a name shown as `:`.
    pub name: String,
    /// The object it leads to, links resolved; or why it leads nowhere.
    pub node: std::result::Result<Metadata, Dangling>,
    /// Where to go on after this entry; see [`FileSystem::read_dir`].
    pub next: Cursor,
}

/// A name whose object cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangling {
    /// Number of the entry itself.
    pub id: u64,
    /// Why, one sentence.
    pub reason: String,
    /// Whether the name was that of a linked folder.
    pub directory: bool,
}

/// A position in a directory: 0 is the start; others come from [`DirEntry::next`]
/// of the same directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Cursor(pub u64);

/// Which of an object's streams of bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// The contents, decompressed.
    Data,
    /// The resource fork as stored: of a compressed file it may hold the blocks, which
    /// nobody sees as an attribute.
    Resource,
    /// The value of the extended attribute of that name.
    Attribute(Box<str>),
}

impl Stream {
    /// The stream of an extended attribute.
    pub fn attribute(name: &str) -> Self {
        Self::Attribute(name.into())
    }
}

/// A run of bytes of a stream and where the volume keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First byte in the stream (as stored, not as decompressed).
    pub offset: u64,
    /// First byte in [`Volume::bytes`](super::Volume::bytes); `None` for a hole, which
    /// reads as zeros and was never written.
    pub at: Option<u64>,
    /// Length in bytes.
    pub length: u64,
}

/// A name and size of an extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XattrInfo {
    /// Name as macOS shows it.
    pub name: String,
    /// Size of the value in bytes.
    pub size: u64,
    /// Whether the value lies in blocks of its own, which no [`Stream`] shows.
    pub own_blocks: bool,
}

/// Tells contents apart, within one volume; see [`FileSystem::same`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u128);

/// A view: one tree of names of a volume, read-only. All methods may be called from any
/// thread. Node numbers belong to the view: those of another view of the same volume
/// may stand for other objects.
pub trait FileSystem: Send + Sync {
    /// The root folder.
    fn root(&self) -> NodeId;

    /// Metadata of an object.
    fn metadata(&self, node: NodeId) -> Result<Metadata>;

    /// The object of that name (in the form of [`DirEntry::name`]) in a folder.
    fn lookup(&self, dir: NodeId, name: &str) -> Result<Option<Metadata>>;

    /// Visit the entries of a folder from `from` on, in the order of the format.
    fn read_dir(
        &self,
        dir: NodeId,
        from: Cursor,
        visit: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<()>;

    /// Whether entries come in the order of their names.
    fn is_sorted(&self) -> bool {
        true
    }

    /// Open a stream for reading at offsets.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no attribute of that name.
    fn open(&self, node: NodeId, stream: &Stream) -> Result<Source>;

    /// The extents that store a stream, in stream order and without gaps: what was never
    /// written is an extent that lies nowhere. None for a stream that is stored inside a
    /// record. Of compressed contents, those of what holds the compressed bytes.
    fn extents(&self, node: NodeId, stream: &Stream) -> Result<Vec<Extent>>;

    /// Target of a symbolic link, as stored (UTF-8 bytes).
    fn read_link(&self, node: NodeId) -> Result<Vec<u8>>;

    /// Extended attributes, sorted by name; with Finder information (when not all zero)
    /// and the resource fork, without what is only storage (compression, link chains).
    ///
    /// # Errors
    /// Where some of them cannot be read.
    fn xattrs(&self, node: NodeId) -> Result<Vec<XattrInfo>> {
        match self.readable_xattrs(node)? {
            (all, None) => Ok(all),
            (_, Some(e)) => Err(e),
        }
    }

    /// The same: those that can be read, and why there may be others.
    fn readable_xattrs(&self, node: NodeId) -> Result<(Vec<XattrInfo>, Option<Error>)>;

    /// Value of an extended attribute; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a value larger than any Mac can set.
    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        let source = match self.open(node, &Stream::attribute(name)) {
            Err(Error::NotFound(_)) => return Ok(None),
            opened => opened?,
        };
        if source.len() > MAX_VALUE && name != super::xattr::RESOURCE_FORK {
            let text = format!("its value has {} bytes, more than {MAX_VALUE}", source.len());
            return Err(Error::corrupt(format!("attribute {name}"), text));
        }
        read_vec(&*source, 0, to_usize(source.len())).map(Some)
    }

    /// Size in bytes of the resource fork that a user sees (0 for compressed files).
    fn resource_size(&self, node: NodeId) -> Result<u64> {
        let all = self.xattrs(node)?;
        Ok(all.iter().find(|x| x.name == super::xattr::RESOURCE_FORK).map_or(0, |x| x.size))
    }

    /// Every name of an object, all its hard links; the root has none. Works, as
    /// far as it can, for objects whose own record is lost.
    fn names(&self, node: NodeId) -> Result<Vec<Name>>;

    /// What tells whether an object of another view, or of this one, has the same contents
    /// without reading them: two objects with the same value are the same in all that is
    /// stored of them, a folder with everything in it. Different values say nothing.
    /// HFS+: the CNID; APFS: a hash of the extents, of files. `None`: compare by
    /// other means.
    fn same(&self, node: NodeId) -> Result<Option<ContentId>>;
}
