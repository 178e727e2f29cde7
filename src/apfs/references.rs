//! Extent references (section 7): which blocks hold contents of files, since which
//! snapshot, until which. The trees partition the extents by time, so that no
//! file-system tree is needed to tell.

use super::btree::{Children, Tree};
use super::format::{record, tree};
use super::node::{Entry, Shape};
use super::records::{self, split};
use super::store::Store;
use super::volume::Apfs;
use crate::error::Result;
use crate::fs::{ViewId, Views};
use crate::io::bytes::{le32, le64};
use crate::report::Progress;
use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

const SHAPE: Shape = Shape {
    subtype: tree::EXTENT_REFERENCES,
    fixed: None,
    order,
    tag: 7,
    name: "extent reference tree",
};

/// Kind of a record that says that blocks were allocated.
const NEW: u64 = 1;

fn order(a: &[u8], b: &[u8]) -> Ordering {
    (records::shape(false).order)(a, b)
}

/// A record: blocks that were allocated in an interval of time, or whose number of
/// references changed in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Blocks.
    pub blocks: Range<u64>,
    /// Stream they were allocated for; `None` for a change.
    pub owner: Option<u64>,
    /// References, or how many more or fewer.
    pub count: i32,
}

fn parse(entry: &Entry<'_>) -> Option<Reference> {
    let (start, kind) = split(entry.key)?;
    let value = entry.value?;
    let (length, owner) = (le64(value, 0)?, le64(value, 8)?);
    let blocks = start..start.checked_add(length & ((1 << 60) - 1))?;
    let owner = (length >> 60 == NEW).then_some(owner);
    let count = le32(value, 16)?.cast_signed();
    (kind == record::PHYSICAL_EXTENT).then_some(Reference { blocks, owner, count })
}

/// Visit the records of one tree that meet a range of blocks.
pub fn scan(
    store: &Arc<Store>,
    root: u64,
    wanted: &Range<u64>,
    visit: &mut dyn FnMut(Reference) -> Result<()>,
) -> Result<()> {
    if root == 0 {
        return Ok(());
    }
    let tree = Tree::new(store.clone(), SHAPE, Children::Physical, root);
    let from = records::key(wanted.start, record::PHYSICAL_EXTENT);
    // A record that begins before may reach into the range.
    if let Some((node, at)) = tree.floor(&from)?
        && let Some(reference) = node.entry(at).and_then(|e| parse(&e))
        && reference.blocks.start < wanted.start
        && reference.blocks.end > wanted.start
    {
        visit(reference)?;
    }
    tree.scan(&from, &mut |entry| {
        let bad = || crate::Error::corrupt(SHAPE.name, "a record is cut off");
        let reference = parse(&entry).ok_or_else(bad)?;
        if reference.blocks.start >= wanted.end {
            return Ok(ControlFlow::Break(()));
        }
        visit(reference)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Visit the nodes of one tree, as far as they can be read: their blocks.
pub fn nodes(store: &Arc<Store>, root: u64, visit: &mut dyn FnMut(u64)) {
    if root != 0 {
        let tree = Tree::new(store.clone(), SHAPE, Children::Physical, root);
        tree.walk(&mut std::collections::HashSet::new(), &mut |node| {
            visit(node.block);
            Ok(())
        })
        .ok();
    }
}

/// The tree with this root.
pub(super) fn tree_at(store: &Arc<Store>, root: u64) -> Tree {
    Tree::new(store.clone(), SHAPE, Children::Physical, root)
}

/// Blocks that hold contents, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Blocks.
    pub blocks: Range<u64>,
    /// Stream they were allocated for.
    pub owner: u64,
    /// Views in which a stream refers to them.
    pub views: Views,
    /// Whether more than one stream does, in some view.
    pub shared: bool,
}

/// A change in time: index of the view in the order of time, references, owner.
#[derive(Clone, Copy)]
struct Change {
    at: usize,
    count: i64,
    owner: Option<u64>,
}

impl Apfs {
    /// Roots of the trees of extent references in the order of time.
    pub(super) fn reference_trees(&self) -> Vec<(ViewId, u64)> {
        let snapshots = (1..).zip(&self.snapshots).map(|(id, s)| (ViewId(id), s.extent_references));
        snapshots
            .chain(std::iter::once((ViewId::LIVE, self.superblock.extent_references)))
            .collect()
    }

    /// What the extent reference trees say of a range of blocks. Errors of one tree go to
    /// `failed`, and the others are asked all the same.
    pub(super) fn held(
        &self,
        wanted: &Range<u64>,
        progress: &dyn Progress,
        failed: &mut dyn FnMut(crate::Error),
    ) -> Result<Vec<Held>> {
        let store = self.container.store();
        let trees = self.reference_trees();
        let mut changes: Vec<(Range<u64>, Change)> = Vec::new();
        for (at, (_, root)) in trees.iter().enumerate() {
            progress.check()?;
            let read = scan(store, *root, wanted, &mut |r| {
                let blocks = r.blocks.start.max(wanted.start)..r.blocks.end.min(wanted.end);
                if !blocks.is_empty() {
                    changes.push((blocks, Change { at, count: r.count.into(), owner: r.owner }));
                }
                Ok(())
            });
            if let Err(e) = read {
                failed(e);
            }
        }
        let views: Vec<ViewId> = trees.into_iter().map(|(v, _)| v).collect();
        Ok(sweep(changes, &views))
    }
}

/// Cut the blocks where a change begins or ends, and add up each piece over time.
fn sweep(mut changes: Vec<(Range<u64>, Change)>, views: &[ViewId]) -> Vec<Held> {
    changes.sort_by_key(|(blocks, change)| (blocks.start, change.at));
    let mut cuts: Vec<u64> = changes.iter().flat_map(|(b, _)| [b.start, b.end]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let (mut active, mut next, mut held): (Vec<(u64, Change)>, usize, Vec<Held>) =
        (Vec::new(), 0, Vec::new());
    for (start, end) in cuts.iter().zip(cuts.iter().skip(1)) {
        active.retain(|(until, _)| until > start);
        while let Some((blocks, change)) = changes.get(next).filter(|(b, _)| b.start <= *start) {
            active.push((blocks.end, *change));
            next += 1;
        }
        active.sort_by_key(|(_, c)| c.at);
        for piece in lives(&active, views) {
            let piece = Held { blocks: *start..*end, ..piece };
            match held.last_mut() {
                Some(last) if joins(last, &piece) => last.blocks.end = piece.blocks.end,
                _ => held.push(piece),
            }
        }
    }
    held
}

fn joins(a: &Held, b: &Held) -> bool {
    a.blocks.end == b.blocks.start && (a.owner, a.shared, &a.views) == (b.owner, b.shared, &b.views)
}

/// The lives of one piece: from an allocation until nobody refers to it.
fn lives(changes: &[(u64, Change)], views: &[ViewId]) -> Vec<Held> {
    let mut found: Vec<Held> = Vec::new();
    let (mut count, mut left) = (0i64, changes.iter().map(|(_, c)| c).peekable());
    while let Some(change) = left.next() {
        count += change.count;
        if let Some(owner) = change.owner {
            found.push(Held { blocks: 0..0, owner, views: Views::none(), shared: false });
        }
        let until = left.peek().map_or(views.len(), |c| c.at);
        if count <= 0 {
            continue;
        }
        // References without an allocation: a tree is damaged. Better named than lost.
        if found.is_empty() {
            found.push(Held { blocks: 0..0, owner: u64::MAX, views: Views::none(), shared: false });
        }
        if let Some(last) = found.last_mut() {
            last.shared |= count > 1;
            let seen: Views =
                views.get(change.at..until).unwrap_or_default().iter().copied().collect();
            last.views = last.views.union(&seen);
        }
    }
    found.retain(|h| !h.views.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: usize, count: i64, owner: Option<u64>) -> Change {
        Change { at, count, owner }
    }

    #[test]
    fn pieces_live_from_allocation_until_nobody_refers_to_them() {
        let views = [ViewId(1), ViewId(2), ViewId(3), ViewId::LIVE];
        let changes = vec![
            (10..20, change(0, 1, Some(17))),
            (15..20, change(2, -1, None)),
            (18..30, change(3, 2, Some(40))),
        ];
        let held = sweep(changes, &views);
        let is = |h: &Held| (h.blocks.clone(), h.owner, h.views.to_string(), h.shared);
        assert_eq!(
            held.iter().map(is).collect::<Vec<_>>(),
            [
                (10..15, 17, "0-3".into(), false),
                (15..20, 17, "1-2".into(), false),
                (18..30, 40, "0".into(), true),
            ]
        );
    }
}
