//! The read-only file system both formats offer: nodes by number, metadata,
//! directories, streams, attributes.
//!
//! Links, compression and journal replay are resolved below this interface:
//! whoever uses it never sees how a format stores them.

mod name;
mod object;
mod owners;
mod path;
mod walk;

pub use name::present;
pub use object::{Object, Stored};
pub use owners::{Name, Owned, Owner};
pub use path::{resolve, split};
pub use walk::{Entry, Step, walk};

use crate::error::Result;
use crate::io::{Ranges, ReadAt};
use crate::report::Progress;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Number of a file or folder within one view of a file system. All hard links
/// to an object share its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// What kind of object a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Directory,
    File,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

impl Kind {
    /// The kind that the type bits of a POSIX mode name; `None` for none of them.
    pub fn of_mode(mode: u16) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o040_000 => Self::Directory,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::CharDevice,
            0o060_000 => Self::BlockDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The letter `ls -l` begins a line with.
    pub fn letter(self) -> char {
        match self {
            Self::Directory => 'd',
            Self::File => '-',
            Self::Symlink => 'l',
            Self::CharDevice => 'c',
            Self::BlockDevice => 'b',
            Self::Fifo => 'p',
            Self::Socket => 's',
        }
    }
}

/// A moment, in seconds and nanoseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// The dates of an object; `None` where none is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Birth.
    pub created: Option<Time>,
    /// Contents changed (mtime).
    pub modified: Option<Time>,
    /// Attributes changed (ctime).
    pub changed: Option<Time>,
    /// Last read (atime).
    pub accessed: Option<Time>,
    /// Backed up.
    pub backup: Option<Time>,
    /// Added to its folder (Finder).
    pub added: Option<Time>,
}

/// Metadata of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its number.
    pub id: NodeId,
    /// What it is.
    pub kind: Kind,
    /// POSIX mode with type bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Logical size in bytes (of a compressed file: uncompressed; of a symlink:
    /// of its target; 0 for folders).
    pub size: u64,
    /// Size in bytes of the resource fork that a user sees (0 for compressed files).
    pub resource_size: u64,
    /// Bytes allocated on the volume for all forks.
    pub allocated: u64,
    /// Number of names the object has.
    pub links: u32,
    /// Number of entries of a folder, as recorded; 0 for others.
    pub entries: u32,
    /// Dates.
    pub times: Times,
    /// Device number as stored by macOS (major in the top 8 bits).
    pub rdev: u32,
    /// BSD flags (`chflags`): `UF_*` in the low, `SF_*` in the high 16 bits.
    pub flags: u32,
    /// Finder information, 32 bytes as macOS shows them in `com.apple.FinderInfo`.
    pub finder_info: [u8; 32],
    /// Whether the contents are stored compressed.
    pub compressed: bool,
    /// Whether there may be extended attributes besides Finder info and resource fork.
    pub has_xattrs: bool,
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The contents, decompressed.
    Data,
    /// The resource fork as stored.
    Resource,
}

/// A run of bytes of a stream and where the volume keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First byte in the stream (as stored, not as decompressed).
    pub offset: u64,
    /// First byte in the volume.
    pub volume_offset: u64,
    /// Length in bytes.
    pub len: u64,
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

/// A read-only file system. All methods may be called from any thread.
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

    /// Open a stream for reading at offsets.
    fn open(&self, node: NodeId, stream: Stream) -> Result<Arc<dyn ReadAt>>;

    /// The extents that store a stream, in stream order.
    fn extents(&self, node: NodeId, stream: Stream) -> Result<Vec<Extent>>;

    /// Target of a symbolic link, as stored (UTF-8 bytes).
    fn read_link(&self, node: NodeId) -> Result<Vec<u8>>;

    /// Extended attributes, sorted by name; with Finder info (when not all zero)
    /// and the resource fork, without what is only storage (compression, link chains).
    fn xattrs(&self, node: NodeId) -> Result<Vec<XattrInfo>>;

    /// Value of an extended attribute; `None` if there is none of that name.
    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>>;

    /// Visit what lies in the wanted bytes of the volume; what is not visited is
    /// free, or belongs to nothing. Works on a damaged volume as far as it can be
    /// read. Costs a pass over the records of all files, however little is wanted.
    fn owners(
        &self,
        wanted: &Ranges,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Owned),
    ) -> Result<()>;

    /// The parts of `wanted` that the volume counts as allocated to files, without
    /// its own structures.
    fn allocated(&self, wanted: &Ranges) -> Result<Ranges>;

    /// Every name of an object, all its hard links; the root has none. Works, as
    /// far as it can, for objects whose own record is lost.
    fn names(&self, node: NodeId) -> Result<Vec<Name>>;

    /// Visit every object once, however many names it has, in the order in which the
    /// format keeps them; without the format's own folders and files, and without
    /// what was deleted. Costs one pass over the catalog and no lookup. What cannot be
    /// read is passed over; returns whether nothing was.
    fn objects(&self, progress: &dyn Progress, visit: &mut dyn FnMut(Object)) -> Result<bool>;
}
