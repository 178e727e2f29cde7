//! Leaves in order, none of which overlaps another: of two states of a part of the tree the
//! newer counts for all that lies between its first and its last record.

use super::made::{Child, Maker, Record};
use crate::apfs::btree::Tree;
use crate::apfs::node::{Node, Order};
use crate::fs::overlapping;
use crate::io::Budget;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A leaf that can be read.
pub struct Leaf {
    pub number: u64,
    pub xid: u64,
    /// Keys of its first and last record.
    pub first: Box<[u8]>,
    pub last: Box<[u8]>,
    /// Whether it cannot stand below an index as it is.
    pub is_root: bool,
}

impl Leaf {
    /// The leaf that a node is; `None` if it has no records, or no more may be kept.
    pub fn of(node: &Node, number: u64, budget: &mut Budget) -> Option<Self> {
        let first = node.entry(0)?.key;
        let last = node.entry(node.count.checked_sub(1)?)?.key;
        // Twice, since the index keeps the first key, too.
        if !budget.take(2 * (size_of::<Self>() + first.len() + last.len())) {
            return None;
        }
        let (xid, is_root) = (node.header.xid, node.is_root());
        Some(Self { number, xid, first: first.into(), last: last.into(), is_root })
    }
}

/// The records of a node.
pub fn records(node: &Node) -> impl Iterator<Item = Record> + '_ {
    let entries = (0..node.count).filter_map(|i| node.entry(i));
    entries.filter_map(|e| Some((e.key.into(), e.value?.into())))
}

/// Put leaves in order. Those that overlap are packed into new ones, as many as may be kept.
pub fn resolve(
    tree: &Tree,
    maker: &Maker<'_>,
    leaves: Vec<Leaf>,
    budget: &mut Budget,
) -> Vec<Child> {
    let mut out = Vec::with_capacity(leaves.len());
    overlapping(
        leaves,
        |leaf| (&leaf.first, &leaf.last),
        maker.shape.order,
        |group| {
            flush(tree, maker, &group, &mut out, budget);
        },
    );
    out
}

fn flush(
    tree: &Tree,
    maker: &Maker<'_>,
    group: &[Leaf],
    out: &mut Vec<Child>,
    budget: &mut Budget,
) {
    if let [only] = group
        && !only.is_root
        && only.first.len() <= maker.longest()
    {
        out.push((only.first.clone(), only.number));
        return;
    }
    let order = maker.shape.order;
    let mut all: Vec<(Record, u64)> = Vec::new();
    for leaf in group {
        // Its records are held while they are sorted, and again in the leaves made of them.
        if !budget.take(3 * tree.node_size()) {
            break;
        }
        let Some(node) = tree.loose(leaf.number) else { continue };
        all.extend(records(&node).map(|r| (r, leaf.xid)));
    }
    all.sort_by(|a, b| order(&a.0.0, &b.0.0).then(b.1.cmp(&a.1)));
    all.dedup_by(|b, a| order(&a.0.0, &b.0.0) == Ordering::Equal);
    let mut newest = Newest { order, leaves: group, at: 0, heap: BinaryHeap::new() };
    all.retain(|((key, _), xid)| newest.over(key) <= *xid);
    out.extend(maker.leaves(all.into_iter().map(|(record, _)| record)));
}

/// The newest leaf over each of ascending keys.
struct Newest<'a> {
    order: Order,
    /// In the order of their first keys.
    leaves: &'a [Leaf],
    at: usize,
    /// Those that begin at or before the key: transaction and index.
    heap: BinaryHeap<(u64, usize)>,
}

impl Newest<'_> {
    fn over(&mut self, key: &[u8]) -> u64 {
        while let Some(leaf) = self.leaves.get(self.at) {
            if (self.order)(&leaf.first, key) == Ordering::Greater {
                break;
            }
            self.heap.push((leaf.xid, self.at));
            self.at += 1;
        }
        while let Some((xid, index)) = self.heap.peek().copied() {
            let ended =
                self.leaves.get(index).is_none_or(|l| (self.order)(&l.last, key) == Ordering::Less);
            if !ended {
                return xid;
            }
            self.heap.pop();
        }
        0
    }
}
