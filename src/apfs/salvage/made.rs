//! Nodes that are made: leaves of records that were found, and an index over leaves.

use crate::apfs::format::{FOOTER, HEADER, kind};
use crate::apfs::node::Shape;
use crate::apfs::store::{MADE_XID, Store};
use crate::io::bytes::{to_u32, to_usize};

/// Where the table of entries begins.
const TABLE: usize = 0x38;
/// Bytes of an entry of the table.
const ENTRY: usize = 8;
const ROOT: u16 = 1;
const LEAF: u16 = 2;

/// Key and value.
pub type Record = (Box<[u8]>, Box<[u8]>);
/// First key of a node, and its number.
pub type Child = (Box<[u8]>, u64);

/// Makes nodes of one tree.
pub struct Maker<'a> {
    pub store: &'a Store,
    pub shape: Shape,
    /// The storage bits of their type.
    pub storage: u32,
}

impl Maker<'_> {
    fn size(&self) -> usize {
        to_usize(self.store.blocks().size())
    }

    /// Bytes for entries in a node, be it a root or not.
    fn room(&self) -> usize {
        self.size() - TABLE - FOOTER
    }

    /// Longest key of which an index node holds two, so that each level has half as many nodes as
    /// the one below at most. Those of macOS are about half as long.
    pub fn longest(&self) -> usize {
        self.room() / 2 - ENTRY - size_of::<u64>()
    }

    /// Leaves of records in order. What fits into no node, or under no index, is left out.
    pub fn leaves(&self, records: impl Iterator<Item = Record>) -> Vec<Child> {
        let longest = self.longest();
        self.level(0, records.filter(|(key, _)| key.len() <= longest))
    }

    /// The root of an index over these nodes of level 0.
    pub fn tree(&self, mut children: Vec<Child>) -> Option<u64> {
        let record = |(key, number): Child| (key, number.to_le_bytes().into());
        let cost = |(key, _): &Child| ENTRY + key.len() + 8;
        let mut level = 1;
        let longest = self.longest();
        children.retain(|(key, _)| key.len() <= longest);
        while children.iter().map(cost).sum::<usize>() > self.room() {
            children = self.level(level, children.into_iter().map(record));
            level += 1;
        }
        // A tree without records is a leaf.
        let level = if children.is_empty() { 0 } else { level };
        let records: Vec<Record> = children.into_iter().map(record).collect();
        self.node(true, level, &records)
    }

    fn level(&self, level: u16, records: impl Iterator<Item = Record>) -> Vec<Child> {
        let (mut made, mut open) = (Vec::new(), Vec::new());
        let mut free = self.room();
        let close = |open: &mut Vec<Record>, made: &mut Vec<Child>| {
            let number = if open.is_empty() { None } else { self.node(false, level, open) };
            let first = open.first().map(|r| r.0.clone());
            made.extend(first.zip(number));
            open.clear();
        };
        for record in records {
            let need = ENTRY + record.0.len() + record.1.len();
            if need > self.room() {
                continue;
            }
            if need > free {
                close(&mut open, &mut made);
                free = self.room();
            }
            free -= need;
            open.push(record);
        }
        close(&mut open, &mut made);
        made
    }

    fn node(&self, root: bool, level: u16, records: &[Record]) -> Option<u64> {
        let shape = self.shape;
        self.store.make(&shape, |number| self.bytes(number, root, level, records))
    }

    fn bytes(&self, number: u64, root: bool, level: u16, records: &[Record]) -> Vec<u8> {
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes();
        let kind = if root { kind::BTREE_ROOT } else { kind::BTREE_NODE };
        let flags = if root { ROOT } else { 0 } | if level == 0 { LEAF } else { 0 };
        let mut bytes = vec![0; 8];
        bytes.extend(number.to_le_bytes());
        bytes.extend(MADE_XID.to_le_bytes());
        bytes.extend((u32::from(kind) | self.storage).to_le_bytes());
        bytes.extend(self.shape.subtype.to_le_bytes());
        debug_assert_eq!(bytes.len(), HEADER);
        bytes.extend(flags.to_le_bytes());
        bytes.extend(level.to_le_bytes());
        bytes.extend(to_u32(records.len()).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(short(ENTRY * records.len()));
        bytes.resize(TABLE, 0);
        // Keys count from the start of their area, values from the end of theirs.
        let (mut key, mut value) = (0, 0);
        for (k, v) in records {
            value += v.len();
            for n in [key, k.len(), value, v.len()] {
                bytes.extend(short(n));
            }
            key += k.len();
        }
        records.iter().for_each(|(k, _)| bytes.extend_from_slice(k));
        let footer = if root { FOOTER } else { 0 };
        bytes.resize(self.size() - footer - value, 0);
        records.iter().rev().for_each(|(_, v)| bytes.extend_from_slice(v));
        if root {
            bytes.extend([0; 4]);
            bytes.extend(self.store.blocks().size32().to_le_bytes());
        }
        bytes.resize(self.size(), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apfs::object::Blocks;
    use crate::io::Memory;
    use std::sync::Arc;

    #[test]
    fn an_index_over_keys_that_fill_a_node_each_ends() {
        let store = Store::new(Blocks::new(Arc::new(Memory::new(vec![0; 8192])), 4096, 2));
        let maker = Maker { store: &store, shape: crate::apfs::records::shape(true), storage: 0 };
        for len in [20, maker.longest(), maker.longest() + 1, 3900] {
            let key = |n: u64| {
                let mut key = vec![0x61; len];
                key.splice(0..8, (3 << 60 | n).to_le_bytes());
                (key.into_boxed_slice(), n)
            };
            assert!(maker.tree((1..200).map(key).collect()).is_some(), "{len}");
        }
    }
}
