//! Extended attributes and their tree.

use std::collections::BTreeMap;

use super::alloc::Extent;
use super::btree::{Records, TreeKind};
use super::catalog::put_fork;
use super::model::{Cnid, Content};
use super::options::VolumeOptions;
use crate::bytes::Put;

pub(crate) const KIND: TreeKind = TreeKind { max_key: 266, compare: 0, attributes: 6 };

#[derive(Clone, Debug)]
pub(crate) struct Xattr {
    pub value: Content,
    pub inline: bool,
    pub pieces: u32,
}

pub(crate) type XattrKey = (Cnid, Vec<u16>);

/// The longest value that the kernel stores inline, in bytes.
pub(crate) fn max_inline(options: &VolumeOptions) -> u64 {
    u64::from(((options.attributes_node_size - 20) / 2 - 284) & !1)
}

/// Which record of an attribute: 0 the first, n the n-th extents record.
struct Item<'a> {
    key: &'a XattrKey,
    xattr: &'a Xattr,
    part: u32,
}

/// The attributes tree's records. `extents` is only needed for their contents.
pub(crate) struct AttributeRecords<'a> {
    items: Vec<Item<'a>>,
    pub extents: BTreeMap<&'a XattrKey, Vec<Extent>>,
    block_size: u32,
}

impl<'a> AttributeRecords<'a> {
    /// `pieces` tells how many extents an attribute's fork will have.
    pub fn new(
        xattrs: &'a BTreeMap<XattrKey, Xattr>,
        block_size: u32,
        pieces: impl Fn(&Xattr) -> u32,
    ) -> Self {
        let mut items = Vec::new();
        for (key, xattr) in xattrs {
            let more = if xattr.inline { 0 } else { pieces(xattr).saturating_sub(8).div_ceil(8) };
            items.extend((0..=more).map(|part| Item { key, xattr, part }));
        }
        AttributeRecords { items, extents: BTreeMap::new(), block_size }
    }

    /// Owner and name of each record, in key order.
    pub fn keys(&self) -> Vec<XattrKey> {
        self.items.iter().map(|i| i.key.clone()).collect()
    }

    fn extents_of(&self, item: &Item<'a>) -> &[Extent] {
        self.extents.get(item.key).map_or(&[], Vec::as_slice)
    }
}

impl Records for AttributeRecords<'_> {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn key_len(&self, i: usize) -> usize {
        14 + 2 * self.items[i].key.1.len()
    }

    fn data_len(&self, i: usize) -> usize {
        let item = &self.items[i];
        match (item.xattr.inline, item.part) {
            (true, _) => (16 + item.xattr.value.len() as usize).next_multiple_of(2),
            (false, 0) => 88,
            (false, _) => 72,
        }
    }

    fn put_key(&self, i: usize, out: &mut Vec<u8>) {
        let item = &self.items[i];
        let (id, name) = item.key;
        let before = self.extents_of(item).iter().take(8 * item.part as usize);
        out.be16(12 + 2 * name.len() as u16);
        out.be16(0);
        out.be32(*id);
        out.be32(before.map(|e| e.count).sum());
        out.be16(name.len() as u16);
        out.utf16be(name);
    }

    fn put_data(&self, i: usize, out: &mut Vec<u8>) {
        let item = &self.items[i];
        let value = &item.xattr.value;
        if item.xattr.inline {
            out.be32(0x10);
            out.zeros(8);
            out.be32(value.len() as u32);
            out.extend_from_slice(&value.to_vec());
            out.zeros((value.len() % 2) as usize);
        } else if item.part == 0 {
            out.be32(0x20);
            out.be32(0);
            put_fork(value.len(), self.block_size, self.extents_of(item), out);
        } else {
            out.be32(0x30);
            out.be32(0);
            put_eight(self.extents_of(item), item.part as usize, out);
        }
    }
}

/// Appends the `group`-th eight extents of a fork.
pub(crate) fn put_eight(extents: &[Extent], group: usize, out: &mut Vec<u8>) {
    for i in 8 * group..8 * group + 8 {
        let extent = extents.get(i).copied().unwrap_or(Extent { start: 0, count: 0 });
        out.be32(extent.start);
        out.be32(extent.count);
    }
}
