//! Ordered scans of a B-tree's leaves.
//!
//! The next leaf is asked of the index, by the key that its parents have for it, not of
//! the link in the leaf: so a broken leaf is stepped over, and since these keys must
//! ascend no scan ever ends where it began, whatever the links say. Only where the index
//! is broken are the links followed, and there the first keys of the leaves must ascend.

use super::btree::{BTree, Position, SharedNode};
use super::descent::Leaf;
use super::node::{KeyedRecord, kind};
use crate::error::{Error, Result};
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// A record that a scan met.
pub struct Found<'a> {
    /// Its place.
    pub at: Position,
    /// Its key and data.
    pub record: KeyedRecord<'a>,
    /// Whether something before it could not be read.
    pub lacking: bool,
}

/// Called with a record. An error is kept, and the scan goes on.
pub type RecordVisitor<'a> = &'a mut dyn FnMut(Found<'_>) -> Result<ControlFlow<()>>;

/// Which keys a scan is after: `Less` for keys before them, `Greater` for keys behind.
pub type KeyRange<'a> = &'a dyn Fn(&[u8]) -> Ordering;

/// What is to be done after a leaf.
enum Then {
    GoOn,
    Stop,
}

impl BTree {
    /// Visit the records whose keys are in `range`, in order, until told to stop; from
    /// the record `from` on, which an earlier scan of the same range gave.
    ///
    /// # Errors
    /// The first thing that was broken: whatever could be read was visited all the same.
    /// A scan that was stopped has none.
    pub fn scan(
        &self,
        range: KeyRange<'_>,
        from: Option<Position>,
        visit: RecordVisitor<'_>,
    ) -> Result<()> {
        let mut at = match from {
            Some(position) => Some(self.leaf_again(position)?),
            // The first leaf that may hold such a key: keys in the range count as greater.
            None => self.leaf_for(&|k| range(k).then(Ordering::Greater))?,
        };
        let mut first = from.map_or(0, |p| p.record);
        let mut problem: Option<Error> = None;
        while let Some(leaf) = at {
            match self.visit_leaf(&leaf, first, range, visit, &mut problem) {
                Ok(Then::GoOn) => {}
                Ok(Then::Stop) => return Ok(()),
                Err(e) => {
                    problem.get_or_insert(e);
                }
            }
            first = 0;
            if leaf.high.as_deref().is_some_and(|k| range(k) == Ordering::Greater) {
                break;
            }
            match self.leaf_after(&leaf, range) {
                Ok(next) => at = next,
                Err(e) => {
                    problem.get_or_insert(e);
                    break;
                }
            }
        }
        problem.map_or(Ok(()), Err)
    }

    fn leaf_node(&self, n: u32) -> Result<SharedNode> {
        let node = self.node(n)?;
        if node.kind != kind::LEAF {
            return Err(self.corrupt(n, format!("kind {} among the leaves", node.kind)));
        }
        Ok(node)
    }

    fn visit_leaf(
        &self,
        leaf: &Leaf,
        first: usize,
        range: KeyRange<'_>,
        visit: RecordVisitor<'_>,
        problem: &mut Option<Error>,
    ) -> Result<Then> {
        let node = self.leaf_node(leaf.number)?;
        // What it has of what belongs there is shown all the same.
        if let Err(e) = self.belongs(leaf, &node, 1) {
            problem.get_or_insert(e);
        }
        let whole = self.fits(leaf, &node);
        for i in first..usize::from(node.records) {
            let record = match self.record(leaf.number, &node, i) {
                Ok(record) => record,
                Err(e) => {
                    problem.get_or_insert(e);
                    continue;
                }
            };
            if range(record.key) != Ordering::Equal || !(whole || self.within(leaf, record.key)) {
                continue;
            }
            let at = Position { node: leaf.number, record: i };
            match visit(Found { at, record, lacking: problem.is_some() }) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(Then::Stop),
                Err(e) => {
                    problem.get_or_insert(e);
                }
            }
        }
        Ok(Then::GoOn)
    }

    /// Whether a leaf is the one that its parents mean: its first key is theirs, or at
    /// least its second lies where it should. Then records that sort wrong are shown, too;
    /// of others only what belongs there, so that a leaf that is named many times is not
    /// shown many times.
    fn fits(&self, leaf: &Leaf, node: &SharedNode) -> bool {
        let Some(low) = leaf.low.as_deref() else { return true };
        let key = |i| self.record(leaf.number, node, i).ok().map(|r| r.key);
        let is_first =
            |k: &[u8]| self.order(leaf.number, k, low).is_ok_and(|o| o == Ordering::Equal);
        leaf.chained || key(0).is_some_and(is_first) || key(1).is_some_and(|k| self.within(leaf, k))
    }

    fn within(&self, leaf: &Leaf, key: &[u8]) -> bool {
        let order = |bound: &[u8]| self.order(leaf.number, key, bound).ok();
        let above = leaf.low.as_deref().is_none_or(|k| order(k).is_some_and(Ordering::is_ge));
        above && leaf.high.as_deref().is_none_or(|k| order(k).is_some_and(Ordering::is_lt))
    }

    /// The leaf behind one.
    fn leaf_after(&self, leaf: &Leaf, range: KeyRange<'_>) -> Result<Option<Leaf>> {
        if leaf.chained {
            return self.linked_after(leaf, range);
        }
        let Some(high) = &leaf.high else { return Ok(None) };
        let order = |k: &[u8]| self.order(leaf.number, k, high).unwrap_or(Ordering::Less);
        match self.leaf_for(&order) {
            // A search ends between two keys, so the next `high` is behind this one.
            Ok(Some(mut next)) => {
                if next.low.as_deref().is_none_or(|k| order(k) == Ordering::Less) {
                    next.low.clone_from(&leaf.high);
                }
                Ok(Some(next))
            }
            Ok(None) => Ok(None),
            // The index is broken: the link may still lead on.
            Err(broken) => self.linked_after(leaf, range).map_err(|_| broken),
        }
    }

    /// The leaf that a leaf's link leads to.
    fn linked_after(&self, leaf: &Leaf, range: KeyRange<'_>) -> Result<Option<Leaf>> {
        let node = self.leaf_node(leaf.number)?;
        if node.forward == 0 {
            return Ok(None);
        }
        let next = self.leaf_node(node.forward)?;
        let last = self.record(leaf.number, &node, usize::from(node.records).saturating_sub(1))?;
        let key = self.record(node.forward, &next, 0)?.key;
        if self.order(node.forward, key, last.key)? != Ordering::Greater {
            let text = format!("its link leads back, to node {}", node.forward);
            return Err(self.corrupt(leaf.number, text));
        }
        if next.backward != leaf.number {
            let text = format!("its link leads to node {}, which follows another", node.forward);
            return Err(self.corrupt(leaf.number, text));
        }
        if range(key) == Ordering::Greater {
            return Ok(None);
        }
        Ok(Some(Leaf { number: node.forward, low: Some(key.into()), high: None, chained: true }))
    }

    /// The leaf of a record, found as a scan finds it; `record` is the one behind it. Of
    /// several ways to it the farthest counts, so that a scan never goes back.
    fn leaf_again(&self, at: Position) -> Result<Leaf> {
        let n = at.node;
        let node = self.leaf_node(n)?;
        let (mut found, mut broken) = (None::<Leaf>, false);
        for i in [0, 1, at.record.saturating_sub(1)] {
            let Ok(record) = self.record(n, &node, i) else { continue };
            let order = |k: &[u8]| self.order(n, k, record.key).unwrap_or(Ordering::Less);
            match self.leaf_for(&order) {
                Ok(Some(leaf)) if leaf.number == n => {
                    if found.as_ref().is_none_or(|f| self.is_farther(&leaf, f)) {
                        found = Some(leaf);
                    }
                }
                Ok(_) => {}
                Err(_) => broken = true,
            }
        }
        match (found, self.record(n, &node, 0)) {
            (Some(leaf), _) => Ok(leaf),
            (None, Ok(first)) if broken => {
                Ok(Leaf { number: n, low: Some(first.key.into()), high: None, chained: true })
            }
            _ => Err(self.corrupt(n, "the index no longer leads to it")),
        }
    }

    fn is_farther(&self, a: &Leaf, b: &Leaf) -> bool {
        match (&a.high, &b.high) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(x), Some(y)) => self.order(a.number, x, y).is_ok_and(Ordering::is_gt),
        }
    }
}
