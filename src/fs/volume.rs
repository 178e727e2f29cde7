//! What all views of a volume share.

use super::{FileSystem, Owned, Stored, Time, Views};
use crate::error::Result;
use crate::io::{Ranges, Source};
use crate::report::Progress;
use std::ops::Range;
use std::sync::Arc;

/// Number of a view within its volume: 0 is the live tree; snapshots count from 1, the
/// oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ViewId(pub u32);

impl ViewId {
    /// The live tree.
    pub const LIVE: Self = Self(0);
}

/// A view that a volume has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its number.
    pub id: ViewId,
    /// Name of the snapshot; `None` for the live tree.
    pub name: Option<String>,
    /// When it was made.
    pub made: Option<Time>,
    /// What the format itself calls it, for findings and other tools: on APFS the
    /// transaction (xid). 0 where there is no such number.
    pub number: u64,
}

impl View {
    /// The live tree.
    pub const LIVE: Self = Self { id: ViewId::LIVE, name: None, made: None, number: 0 };
}

/// What a volume says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// `HFS+`, `HFSX`, `APFS`.
    pub format: &'static str,
    /// Its name.
    pub name: String,
    /// Numbers that tell it from all other volumes, for what is drawn by lot but the same
    /// in every run.
    pub identity: Vec<u64>,
    /// Whether names that differ in case are different.
    pub case_sensitive: bool,
    /// Bytes in an allocation block.
    pub block_size: u32,
    /// Blocks it has, or may take of its container.
    pub blocks: u64,
    /// Blocks that are free; `None` where what counts them cannot be read.
    pub free: Option<u64>,
    /// Files as it counts them.
    pub files: u64,
    /// Folders as it counts them.
    pub folders: u64,
    /// Last modification.
    pub modified: Option<Time>,
    /// What to know before it is relied on, one sentence each: another header had to be
    /// used, the journal could not be read, it is what could be salvaged.
    pub notes: Vec<String>,
    /// That it is, or may be, seen as it was before its newest state, which cannot be read; or
    /// that records are lost of what was salvaged: one sentence. Whatever is read of it is no success.
    pub older: Option<String>,
    /// What only this format has.
    pub details: Details,
}

/// What only one format has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Details {
    /// HFS Plus and HFSX.
    HfsPlus {
        /// Whether it is journaled.
        journaled: bool,
        /// State of the journal in words: `none`, `empty`, `needs replay`, …
        journal: String,
        /// Transactions that were replayed in memory.
        transactions: u32,
        /// Whether it was unmounted cleanly.
        clean: bool,
        /// Whether the alternate volume header had to be used.
        alternate_header: bool,
    },
    /// A volume of an APFS container.
    Apfs {
        /// Its role in words, such as `Backup`; `None` for none.
        role: Option<&'static str>,
        /// Whether its files are encrypted.
        encrypted: bool,
        /// Whether it is sealed: every block hashed, as macOS' own system volume is.
        sealed: bool,
        /// UUID of the container.
        container: uuid::Uuid,
        /// The transaction that is seen.
        xid: u64,
    },
}

/// What it tells of a file's bytes that they are not stored and read as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Zeros {
    /// They may never have been written: blocks are given to whatever a file spans.
    #[default]
    Unwritten,
    /// They were written, perhaps as zeros: what never was takes no blocks.
    Written,
    /// They were written and are not what was written: that was ciphertext.
    Ciphertext,
}

/// A volume: what all its views share, its bytes, its identity, and who owns which of
/// them. All methods may be called from any thread.
///
/// # The principle of cost
///
/// A backup volume may have hundreds of snapshots of ten million objects each. **A
/// question over several views must not cost views × objects**, in time or memory.
/// There are two ways round it, and a format needs both:
///
/// 1. *Each stored node once, with the range of views it is valid in.* A tree that is
///    edited in place shares nearly all nodes between views; a walk over the stored
///    versions (APFS: object id and transaction in the object map) sees each once and
///    answers with [`Views`].
/// 2. *Extent references first.* Where every backup writes its tree anew (node numbers
///    differ from snapshot to snapshot, so that versions ≈ views × nodes), the tables
///    that say which bytes were born in which snapshot answer without any file-system
///    tree; names are then looked for only in the views asked for.
///
/// So [`Volume::owners`] and [`Volume::objects`] take the views they are to look into,
/// and a caller names as few as will do: usually the view in which something was born
/// and the newest. On HFS+ there is one view, and the whole principle is free.
pub trait Volume: Send + Sync {
    /// What it says of itself. Read when it was opened.
    fn about(&self) -> &About;

    /// The bytes that extents, owners and allocation count in: of APFS the container's.
    /// Of an encrypted volume they are as stored; what a view's streams read is plain.
    fn bytes(&self) -> &Source;

    /// Its views, the live one first. Costs one look at a list, whatever its length.
    fn views(&self) -> Result<Vec<View>>;

    /// Open a view. Costs a few reads, not a walk; what is cached of nodes is the
    /// volume's and shared by all views.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) for a view there is not.
    fn open(self: Arc<Self>, view: ViewId) -> Result<Arc<dyn FileSystem>>;

    /// The few runs of [`Volume::bytes`] of which one changes with every write to the
    /// volume: its headers or checkpoints, the journal's beginning. For whoever watches.
    fn pulse(&self) -> Vec<Range<u64>>;

    /// What zeros in the place of a file's blocks mean.
    fn zeros(&self) -> Zeros {
        Zeros::default()
    }

    /// Visit what lies in the wanted bytes, as the views `inside` see it; what is not
    /// visited is free, belongs to nothing, or to another view. Works on a damaged volume
    /// as far as it can be read. Costs a pass over the records of all files of one view,
    /// however little is wanted, and not that times the number of views. What is visited
    /// may also span bytes between two wanted ranges.
    fn owners(
        &self,
        wanted: &Ranges,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Owned),
    ) -> Result<()>;

    /// The parts of `wanted` that the volume counts as allocated to files of any view,
    /// without its own structures.
    fn allocated(&self, wanted: &Ranges) -> Result<Ranges>;

    /// Visit every object of the views `inside` once, however many names it has and in
    /// however many of them it is stored as the same (one whose extents may have changed
    /// is visited again), in the order in which the format
    /// keeps them; without the format's own folders and files, and without what was
    /// deleted. Costs one pass over the stored records and no lookup. What cannot be
    /// read is passed over; returns whether nothing was.
    fn objects(
        &self,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Stored),
    ) -> Result<bool>;
}
