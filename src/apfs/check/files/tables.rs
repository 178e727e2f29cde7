//! Packed tables of what records say, each row with the run of views that it holds in.
//!
//! A node that is rewritten repeats what did not change. Rows that say the same in views
//! that follow each other are joined while the table grows, so that it holds what changed.

/// Rows that are gathered before they are joined.
const CHUNK: usize = 1 << 16;

/// A run of views in the order of time: the first, and the one past the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First view.
    pub from: u32,
    /// Past the last.
    pub until: u32,
}

impl Span {
    /// What two runs have in common, if anything.
    pub fn meet(self, other: Self) -> Option<Self> {
        let (from, until) = (self.from.max(other.from), self.until.min(other.until));
        (from < until).then_some(Self { from, until })
    }

    /// Whether it is a part of another run.
    pub fn is_in(self, other: Self) -> bool {
        other.from <= self.from && self.until <= other.until
    }
}

/// A row of a table. Their order is by what they say, then by their views.
pub trait Row: Copy + Ord {
    /// What it says.
    type Content: PartialEq;
    /// What it says, but for the views.
    fn content(&self) -> Self::Content;
    /// The views.
    fn span(&self) -> Span;
    /// The views.
    fn span_mut(&mut self) -> &mut Span;
}

/// Rows of one kind.
pub struct Table<R> {
    rows: Vec<R>,
    joined: usize,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), joined: 0 }
    }
}

impl<R: Row> Table<R> {
    /// Add a row.
    pub fn push(&mut self, row: R) {
        self.rows.push(row);
        if self.rows.len() - self.joined >= CHUNK {
            self.join(self.joined);
        }
    }

    /// All rows in order, joined.
    pub fn into_sorted(mut self) -> Vec<R> {
        self.join(0);
        self.rows
    }

    fn join(&mut self, start: usize) {
        let Some(tail) = self.rows.get_mut(start..) else { return };
        tail.sort_unstable();
        let mut kept = 0;
        for i in 1..tail.len() {
            let Some(row) = tail.get(i).copied() else { break };
            let Some(last) = tail.get_mut(kept) else { break };
            if last.span().until >= row.span().from && last.content() == row.content() {
                last.span_mut().until = last.span().until.max(row.span().until);
                continue;
            }
            kept += 1;
            if let Some(slot) = tail.get_mut(kept) {
                *slot = row;
            }
        }
        if !tail.is_empty() {
            self.rows.truncate(start + kept + 1);
        }
        self.joined = self.rows.len();
    }
}

macro_rules! row {
    ($name:ident, $content:ty, |$row:ident| $value:expr) => {
        impl Row for $name {
            type Content = $content;
            fn content(&self) -> Self::Content {
                let $row = self;
                $value
            }
            fn span(&self) -> Span {
                self.span
            }
            fn span_mut(&mut self) -> &mut Span {
                &mut self.span
            }
        }
    };
}

/// An inode: what its names must agree with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InodeRow {
    /// Number, and in the low 4 bits the kind in its mode.
    key: u64,
    /// Folder of its first name.
    pub parent: u64,
    /// Hash of its first name; 0 if it has none.
    pub name: u32,
    /// Names, of what is no folder.
    pub links: u32,
    /// Views.
    pub span: Span,
}
row!(InodeRow, (u64, u64, u32, u32), |r| (r.key, r.parent, r.name, r.links));

impl InodeRow {
    /// Of inode `id`, whose parent and first name are these.
    pub fn new(id: u64, kind: u8, (parent, name): (u64, u32), links: u32, span: Span) -> Self {
        Self { key: id << 4 | u64::from(kind & 0xF), parent, name, links, span }
    }

    /// Number.
    pub fn id(&self) -> u64 {
        self.key >> 4
    }

    /// The kind in its mode.
    pub fn kind(&self) -> u16 {
        u16::try_from(self.key & 0xF).unwrap_or(0)
    }
}

/// An entry of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryRow {
    /// The object it names.
    pub target: u64,
    /// The folder.
    pub parent: u64,
    /// Hash of the name.
    pub name: u32,
    /// Its flags: kind in the low 4 bits.
    pub flags: u16,
    /// Views.
    pub span: Span,
}
row!(EntryRow, (u64, u64, u32, u16), |r| (r.target, r.parent, r.name, r.flags));

/// A run of blocks that a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExtentRow {
    /// First block.
    pub block: u64,
    /// Blocks.
    pub count: u64,
    /// The stream.
    pub stream: u64,
    /// Views.
    pub span: Span,
}
row!(ExtentRow, (u64, u64, u64), |r| (r.block, r.count, r.stream));

/// What says something of one link of an inode with several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiblingRow {
    /// Number of the link.
    pub sibling: u64,
    /// Which record says it.
    pub said_by: SaidBy,
    /// The inode.
    pub inode: u64,
    /// The folder; 0 for a map.
    pub parent: u64,
    /// Hash of the name; 0 for a map.
    pub name: u32,
    /// Views.
    pub span: Span,
}
row!(SiblingRow, (u64, SaidBy, u64, u64, u32), |r| (
    r.sibling, r.said_by, r.inode, r.parent, r.name
));

/// The three records about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SaidBy {
    /// The entry of the folder.
    Entry,
    /// The sibling link.
    Link,
    /// The sibling map.
    Map,
}

/// How many sibling links an inode has, where it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiblingCount {
    /// The inode.
    pub id: u64,
    /// Sibling links.
    pub count: u32,
    /// Views.
    pub span: Span,
}
row!(SiblingCount, (u64, u32), |r| (r.id, r.count));

/// A stream that is not settled by the inode of the same number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamRow {
    /// Number.
    pub stream: u64,
    /// Inodes that share it, as its record says.
    pub shared_by: Option<u32>,
    /// Past its last extent.
    pub end: u64,
    /// Bytes of holes.
    pub holes: u64,
    /// Views.
    pub span: Span,
}
row!(StreamRow, (u64, Option<u32>, u64, u64), |r| (r.stream, r.shared_by, r.end, r.holes));

/// Who uses such a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserRow {
    /// The stream.
    pub stream: u64,
    /// The inode that has it, or whose attribute does.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Bytes of extents.
    pub allocated: u64,
    /// Bytes of holes that the inode speaks of.
    pub sparse: u64,
    /// Whether it is the stream of an attribute.
    pub attribute: bool,
    /// Whether the inode is marked as cloned.
    pub cloned: bool,
    /// Views.
    pub span: Span,
}
row!(UserRow, (u64, u64, u64, u64, u64, bool, bool), |r| (
    r.stream,
    r.inode,
    r.size,
    r.allocated,
    r.sparse,
    r.attribute,
    r.cloned
));

/// All tables.
#[derive(Default)]
pub struct Tables {
    /// Inodes.
    pub inodes: Table<InodeRow>,
    /// Entries of folders.
    pub entries: Table<EntryRow>,
    /// Extents.
    pub extents: Table<ExtentRow>,
    /// Links of inodes with several.
    pub siblings: Table<SiblingRow>,
    /// How many of them.
    pub sibling_counts: Table<SiblingCount>,
    /// Streams that are not settled by one inode.
    pub streams: Table<StreamRow>,
    /// Who uses those.
    pub users: Table<UserRow>,
}

/// A hash of a name, never 0.
pub fn name_hash(name: &[u8]) -> u32 {
    let mut hash = 0x811C_9DC5u32;
    for b in name {
        hash = (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193);
    }
    hash.max(1)
}

/// The points at which something changes, in order.
pub fn points(spans: impl Iterator<Item = Span>, into: &mut Vec<u32>) {
    into.clear();
    for span in spans {
        into.extend([span.from, span.until]);
    }
    into.sort_unstable();
    into.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, count: u32, from: u32, until: u32) -> SiblingCount {
        SiblingCount { id, count, span: Span { from, until } }
    }

    #[test]
    fn rows_that_say_the_same_in_views_that_follow_are_joined() {
        let mut table = Table::default();
        for r in
            [row(2, 1, 5, 9), row(1, 1, 0, 3), row(1, 1, 3, 5), row(1, 1, 6, 7), row(1, 2, 5, 6)]
        {
            table.push(r);
        }
        let wanted = [row(1, 1, 0, 5), row(1, 1, 6, 7), row(1, 2, 5, 6), row(2, 1, 5, 9)];
        assert_eq!(table.into_sorted(), wanted);
    }

    #[test]
    fn a_history_without_changes_takes_one_row_an_object() {
        let mut table = Table::default();
        for object in 0..4000u64 {
            for view in 0..100 {
                table.push(row(object, 1, view, view + 1));
            }
        }
        assert!(table.rows.len() < 4000 + CHUNK, "{} rows", table.rows.len());
        assert_eq!(table.into_sorted().len(), 4000);
    }
}
