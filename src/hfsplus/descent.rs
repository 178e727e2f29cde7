//! The way down a B-tree. A node is held against what leads to it: its kind and height, and
//! the keys between which its parents say it lies. A write that went elsewhere, or never
//! came, leaves a node that is sound by itself; what is not in it is missing in silence.

use super::btree::{BTree, MAX_DEPTH, SharedNode};
use super::node::kind;
use crate::error::{Error, Result};
use crate::io::bytes::be32;
use std::cmp::Ordering;

/// A leaf, and the keys between which its parents say it lies.
pub(super) struct Leaf {
    pub number: u32,
    pub low: Option<Box<[u8]>>,
    /// The first key of the next leaf; `None` in the last.
    pub high: Option<Box<[u8]>>,
    /// The index does not lead here: found by the link of the leaf before.
    pub chained: bool,
}

impl BTree {
    /// The leaf to which the index leads for a target; `None` in an empty tree. The leaf
    /// itself is not read.
    pub(super) fn leaf_for(&self, order: &dyn Fn(&[u8]) -> Ordering) -> Result<Option<Leaf>> {
        let header = self.header();
        if header.root_node == 0 && header.leaf_records == 0 {
            return Ok(None);
        }
        let depth = header.tree_depth;
        if header.root_node == 0 || !(1..=MAX_DEPTH).contains(&depth) {
            let root = header.root_node;
            let text = format!(
                "its root is node {root} at height {depth}, of {} records",
                header.leaf_records
            );
            return Err(self.corrupt(0, text));
        }
        let mut leaf = Leaf { number: header.root_node, low: None, high: None, chained: false };
        for height in (2..=depth).rev() {
            let n = leaf.number;
            let node = self.node(n)?;
            self.belongs(&leaf, &node, height)?;
            let after = self.partition(n, &node, |k| order(k) != Ordering::Greater)?;
            let chosen = after.saturating_sub(1);
            let record = self.record(n, &node, chosen)?;
            leaf.number = be32(record.data, 0)
                .ok_or_else(|| self.corrupt(n, "an index record has no child"))?;
            leaf.low = Some(record.key.into());
            if chosen + 1 < usize::from(node.records) {
                leaf.high = Some(self.record(n, &node, chosen + 1)?.key.into());
            }
        }
        Ok(Some(leaf))
    }

    /// Whether a node is the one that leads on at `height`, or the leaf there: an error if not.
    pub(super) fn belongs(&self, place: &Leaf, node: &SharedNode, height: u16) -> Result<()> {
        let n = place.number;
        let expected = if height == 1 { kind::LEAF } else { kind::INDEX };
        if node.kind != expected || u16::from(node.height) != height {
            let (kind, found) = (node.kind, node.height);
            let text = format!(
                "is another node (kind {kind} and height {found}, expected {expected} and {height})"
            );
            return Err(self.corrupt(n, text));
        }
        let Some(last) = usize::from(node.records).checked_sub(1) else {
            return match self.header().leaf_records {
                // What some writers leave of a tree of which all is deleted.
                0 if place.low.is_none() => Ok(()),
                _ => Err(self.corrupt(n, "has no records")),
            };
        };
        let first = self.record(n, node, 0)?.key;
        let end = self.record(n, node, last)?.key;
        // Keys of another tree hardly compare.
        self.order(n, end, first)?;
        let start = place.low.as_deref().map(|low| self.order(n, first, low)).transpose()?;
        if start.is_some_and(Ordering::is_lt) {
            return Err(self.misplaced(n));
        }
        let Some(high) = place.high.as_deref() else { return Ok(()) };
        let behind = |key: &[u8]| self.order(n, key, high).map(Ordering::is_ge);
        if !behind(end)? {
            return Ok(());
        }
        // The node it should be, but its last name sorts wrong: no reason to doubt the rest.
        let right = start == Some(Ordering::Equal) && last > 0;
        if right && !behind(self.record(n, node, last - 1)?.key)? {
            return Ok(());
        }
        Err(self.misplaced(n))
    }

    fn misplaced(&self, n: u32) -> Error {
        self.corrupt(n, "is another node: its keys lie outside of those that the index has for it")
    }
}
