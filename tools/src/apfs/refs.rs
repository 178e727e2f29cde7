//! Extent references: which blocks were allocated since the last snapshot, and how the number of
//! streams that share them changed.

use std::collections::BTreeMap;

use super::btree::Tree;
use super::node::EXTENTREF_TREE;
use super::records::{FsKey, record};
use crate::bytes::Put;

/// A record: blocks that were allocated, or a change of their count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ref {
    /// Blocks.
    pub len: u64,
    /// The stream that allocated them; `None` where only the count changed.
    pub owner: Option<u64>,
    /// The count, or its change.
    pub count: i32,
}

/// An extent reference tree.
#[derive(Clone, Debug)]
pub struct Refs {
    /// The tree as stored.
    pub tree: Tree<FsKey>,
    map: BTreeMap<u64, Ref>,
    /// Blocks allocated in records that are not in `map`.
    elsewhere: u64,
}

impl Refs {
    /// An empty tree.
    pub fn new(block_size: u64) -> Self {
        let tree = Tree::new(&EXTENTREF_TREE, block_size as usize, 0);
        Refs { tree, map: BTreeMap::new(), elsewhere: 0 }
    }

    /// A tree that was written elsewhere, with so many allocated blocks.
    pub fn written(tree: Tree<FsKey>, allocated: u64) -> Self {
        Refs { tree, map: BTreeMap::new(), elsewhere: allocated }
    }

    fn set(&mut self, start: u64, record: Ref) {
        let kind: u64 = if record.owner.is_some() { 1 } else { 2 };
        let mut value = Vec::with_capacity(20);
        value.le64(kind << 60 | record.len);
        value.le64(record.owner.unwrap_or(u64::MAX));
        value.le32(record.count as u32);
        self.tree.insert(FsKey::plain(start, record::EXTENT), Some(value.into()));
        self.map.insert(start, record);
    }

    fn unset(&mut self, start: u64) -> Option<Ref> {
        self.tree.remove(&FsKey::plain(start, record::EXTENT));
        self.map.remove(&start)
    }

    /// Makes a record begin at `block` if one covers it.
    fn cut(&mut self, block: u64) {
        let Some((&start, &record)) = self.map.range(..block).next_back() else { return };
        if start + record.len > block {
            self.set(start, Ref { len: block - start, ..record });
            self.set(block, Ref { len: start + record.len - block, ..record });
        }
    }

    /// Notes that `owner` allocated blocks.
    pub fn allocate(&mut self, owner: u64, start: u64, len: u64) {
        self.set(start, Ref { len, owner: Some(owner), count: 1 });
    }

    /// Changes the count of blocks and returns those that nothing refers to any more and that were
    /// allocated since the last snapshot.
    pub fn change(&mut self, start: u64, len: u64, delta: i32) -> Vec<(u64, u64)> {
        let mut freed = Vec::new();
        self.cut(start);
        self.cut(start + len);
        let mut at = start;
        while at < start + len {
            let next = self.map.range(at..start + len).next().map(|(&s, &r)| (s, r));
            match next {
                Some((s, record)) if s == at => {
                    at += record.len;
                    let count = record.count + delta;
                    if count == 0 {
                        self.unset(s);
                        if record.owner.is_some() {
                            freed.push((s, record.len));
                        }
                    } else {
                        self.set(s, Ref { count, ..record });
                    }
                }
                other => {
                    let end = other.map_or(start + len, |(s, _)| s);
                    self.set(at, Ref { len: end - at, owner: None, count: delta });
                    at = end;
                }
            }
        }
        freed
    }

    /// Takes over the records of the tree before, whose snapshot is deleted; returns blocks that
    /// no view refers to any more.
    pub fn merge(&mut self, older: &Refs) -> Vec<(u64, u64)> {
        let mut freed = Vec::new();
        for (&start, &record) in &older.map {
            let end = start + record.len;
            self.cut(start);
            self.cut(end);
            let mut at = start;
            while at < end {
                let next = self.map.range(at..end).next().map(|(&s, &r)| (s, r));
                match next {
                    Some((s, newer)) if s == at => {
                        let count = record.count + newer.count;
                        at += newer.len;
                        self.unset(s);
                        if count != 0 {
                            let owner = record.owner.or(newer.owner);
                            self.set(s, Ref { len: newer.len, owner, count });
                        } else if record.owner.is_some() {
                            freed.push((s, newer.len));
                        }
                    }
                    other => {
                        let to = other.map_or(end, |(s, _)| s);
                        self.set(at, Ref { len: to - at, ..record });
                        at = to;
                    }
                }
            }
        }
        freed
    }

    /// Blocks that the tree says were allocated.
    pub fn allocated(&self) -> u64 {
        let here: u64 = self.map.values().filter(|r| r.owner.is_some()).map(|r| r.len).sum();
        here + self.elsewhere
    }

    /// The records.
    pub fn records(&self) -> impl Iterator<Item = (u64, Ref)> + '_ {
        self.map.iter().map(|(&s, &r)| (s, r))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(owner: u64, len: u64, count: i32) -> Ref {
        Ref { len, owner: Some(owner), count }
    }

    fn update(len: u64, count: i32) -> Ref {
        Ref { len, owner: None, count }
    }

    #[test]
    fn counts_split_and_vanish() {
        let mut refs = Refs::new(4096);
        refs.allocate(20, 100, 10);
        assert_eq!(refs.change(103, 2, 1), []);
        let all: Vec<_> = refs.records().collect();
        assert_eq!(all, [(100, new(20, 3, 1)), (103, new(20, 2, 2)), (105, new(20, 5, 1))]);
        assert_eq!(refs.change(100, 10, -1), [(100, 3), (105, 5)]);
        assert_eq!(refs.change(95, 8, -1), []);
        let all: Vec<_> = refs.records().collect();
        assert_eq!(all, [(95, update(8, -1)), (103, new(20, 2, 1))]);
    }

    #[test]
    fn a_deleted_snapshot_hands_over() {
        let mut old = Refs::new(4096);
        old.allocate(20, 100, 10);
        let mut live = Refs::new(4096);
        live.change(104, 2, -1);
        live.allocate(21, 300, 1);
        assert_eq!(live.merge(&old), [(104, 2)]);
        let all: Vec<_> = live.records().collect();
        assert_eq!(all, [(100, new(20, 4, 1)), (106, new(20, 4, 1)), (300, new(21, 1, 1))]);
    }
}
