//! The extents overflow tree: what does not fit into the eight extents of a fork.

use super::alloc::{Extent, Placements};
use super::attributes::put_eight;
use super::btree::{Records, TreeKind};
use super::model::{Cnid, ForkKind};
use crate::bytes::Put;

pub(crate) const KIND: TreeKind = TreeKind { max_key: 10, compare: 0, attributes: 2 };

/// The owner of bad blocks, all of whose extents are in the tree.
pub(crate) const BAD_BLOCKS: Cnid = 5;

/// The tree's records. The placements are only needed for their contents.
pub(crate) struct ExtentRecords {
    items: Vec<(Cnid, ForkKind, u32)>,
    pub placements: Placements,
}

impl ExtentRecords {
    /// From the forks (in key order) and the number of extents each will have.
    pub fn new(forks: impl Iterator<Item = (Cnid, ForkKind, u32)>) -> Self {
        let mut items = Vec::new();
        for (id, fork, pieces) in forks {
            let first = if id == BAD_BLOCKS { 0 } else { 1 };
            items.extend((first..pieces.div_ceil(8)).map(|group| (id, fork, group)));
        }
        ExtentRecords { items, placements: Placements::default() }
    }

    fn extents(&self, i: usize) -> &[Extent] {
        self.placements.get(self.items[i].0, self.items[i].1)
    }
}

impl Records for ExtentRecords {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn key_len(&self, _: usize) -> usize {
        12
    }

    fn data_len(&self, _: usize) -> usize {
        64
    }

    fn put_key(&self, i: usize, out: &mut Vec<u8>) {
        let (id, fork, group) = self.items[i];
        let before = self.extents(i).iter().take(8 * group as usize);
        out.be16(10);
        out.u8(if fork == ForkKind::Data { 0 } else { 0xFF });
        out.u8(0);
        out.be32(id);
        out.be32(before.map(|e| e.count).sum());
    }

    fn put_data(&self, i: usize, out: &mut Vec<u8>) {
        put_eight(self.extents(i), self.items[i].2 as usize, out);
    }
}
