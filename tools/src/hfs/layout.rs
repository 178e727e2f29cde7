//! Where everything lies on a finished volume, so that tests and damage can aim.

use super::alloc::{Extent, Placements};
use super::btree::Plan;
use super::model::{Cnid, ForkKind};
use crate::bytes::be16;
use crate::image::Image;

/// One of the three B-trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Extents overflow file, CNID 3.
    Extents,
    /// Catalog file, CNID 4.
    Catalog,
    /// Attributes file, CNID 8.
    Attributes,
}

/// A B-tree's place and shape.
#[derive(Clone, Debug)]
pub struct TreeLayout {
    /// Bytes in a node.
    pub node_size: u32,
    /// Nodes in the file, used and free.
    pub total_nodes: u32,
    /// Nodes in use.
    pub used_nodes: u32,
    /// Number of map nodes; they are nodes 1, 2, ...
    pub map_nodes: u32,
    /// Root node, 0 in an empty tree.
    pub root: u32,
    /// Leaves in key order.
    pub leaves: Vec<u32>,
    /// Index nodes, level by level upwards, each in key order.
    pub index: Vec<Vec<u32>>,
    /// The file's extents.
    pub extents: Vec<Extent>,
    base: u64,
    block_size: u32,
}

impl TreeLayout {
    pub(crate) fn new(plan: &Plan, extents: Vec<Extent>, block_size: u32) -> Self {
        let level = |l: usize| -> Vec<u32> {
            (0..plan.levels[l].len()).map(|i| plan.number(l, i)).collect()
        };
        TreeLayout {
            node_size: plan.node_size as u32,
            total_nodes: plan.total_nodes,
            used_nodes: plan.used(),
            map_nodes: plan.map_nodes,
            root: plan.root(),
            leaves: if plan.records == 0 { Vec::new() } else { level(0) },
            index: (1..plan.levels.len()).map(level).collect(),
            extents,
            base: 0,
            block_size,
        }
    }

    /// Byte offset of a node.
    pub fn node(&self, number: u32) -> u64 {
        let mut at = u64::from(number) * u64::from(self.node_size);
        for extent in &self.extents {
            let len = u64::from(extent.count) * u64::from(self.block_size);
            if at < len {
                return self.base + u64::from(extent.start) * u64::from(self.block_size) + at;
            }
            at -= len;
        }
        panic!("node {number} is past the end of the tree");
    }

    /// Byte offset of record `i` (its key) in node `number`.
    pub fn record(&self, image: &Image, number: u32, i: u32) -> u64 {
        let node = self.node(number);
        let entry = image.read(node + u64::from(self.node_size - 2 * (i + 1)), 2);
        node + u64::from(be16(&entry, 0))
    }

    /// Number of records in a node.
    pub fn records(&self, image: &Image, number: u32) -> u32 {
        u32::from(be16(&image.read(self.node(number) + 10, 2), 0))
    }

    /// The first free node that is in the file.
    pub fn free_node(&self) -> Option<u32> {
        (self.used_nodes < self.total_nodes).then_some(self.used_nodes)
    }
}

/// Where a catalog record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPlace {
    /// Leaf node.
    pub node: u32,
    /// Record number in the node.
    pub index: u32,
    /// Byte offset of the key's length field.
    pub key: u64,
    /// Byte offset of the record's type field.
    pub data: u64,
    /// Position among all records of the catalog in key order.
    pub order: usize,
}

/// The places of a volume's parts. Byte offsets are from the start of the device.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Byte offset of the volume.
    pub base: u64,
    /// Length of the volume in bytes.
    pub len: u64,
    /// Bytes in an allocation block.
    pub block_size: u32,
    /// Allocation blocks.
    pub total_blocks: u32,
    /// Extents of the allocation file.
    pub bitmap: Vec<Extent>,
    /// Byte offset of the journal info block.
    pub journal_info: Option<u64>,
    /// Byte offset and length of the journal.
    pub journal: Option<(u64, u64)>,
    /// The extents tree.
    pub extents: TreeLayout,
    /// The catalog.
    pub catalog: TreeLayout,
    /// The attributes tree.
    pub attributes: Option<TreeLayout>,
    /// CNIDs of the private directories of files and of folders; 0 where there is none.
    pub private: (Cnid, Cnid),
    /// A block that is free.
    pub free_block: u32,
    /// Whether the volume is HFSX.
    pub hfsx: bool,
    /// Whether case does not count in names.
    pub folds: bool,
    /// The bits of the encodings bitmap that names on the volume need.
    pub encodings: u64,
    pub(crate) placements: Placements,
    /// Catalog entries in key order: (CNID, is a thread).
    pub(crate) entries: Vec<(Cnid, bool)>,
    pub(crate) catalog_plan: Plan,
    pub(crate) attribute_keys: Vec<(Cnid, Vec<u16>)>,
    pub(crate) attribute_plan: Option<Plan>,
}

impl Layout {
    /// Byte offset of the volume header.
    pub fn header(&self) -> u64 {
        self.base + 1024
    }

    /// Byte offset of the alternate volume header.
    pub fn alternate(&self) -> u64 {
        self.base + self.len - 1024
    }

    /// The largest CNID in use.
    pub fn largest_cnid(&self) -> Cnid {
        self.entries.iter().map(|e| e.0).max().unwrap_or(0)
    }

    /// Byte offset of an allocation block.
    pub fn block(&self, number: u32) -> u64 {
        self.base + u64::from(number) * u64::from(self.block_size)
    }

    /// Byte offset of the bitmap byte for a block.
    pub fn bitmap_byte(&self, block: u32) -> u64 {
        self.block(self.bitmap[0].start) + u64::from(block / 8)
    }

    /// The extents of a fork, in file order.
    pub fn fork(&self, id: Cnid, kind: ForkKind) -> &[Extent] {
        self.placements.get(id, kind)
    }

    /// All forks that have blocks, in key order.
    pub fn forks(&self) -> impl Iterator<Item = (Cnid, ForkKind, &[Extent])> + '_ {
        self.placements.iter()
    }

    /// The tree of that name.
    pub fn tree(&self, tree: Tree) -> Option<&TreeLayout> {
        match tree {
            Tree::Extents => Some(&self.extents),
            Tree::Catalog => Some(&self.catalog),
            Tree::Attributes => self.attributes.as_ref(),
        }
    }

    /// Where the file or folder record of an object lies.
    pub fn record(&self, image: &Image, id: Cnid) -> Option<RecordPlace> {
        self.entry(image, (id, false))
    }

    /// Where the thread record of an object lies.
    pub fn thread(&self, image: &Image, id: Cnid) -> Option<RecordPlace> {
        self.entry(image, (id, true))
    }

    fn entry(&self, image: &Image, wanted: (Cnid, bool)) -> Option<RecordPlace> {
        let order = self.entries.iter().position(|&e| e == wanted)?;
        Some(place(image, &self.catalog, &self.catalog_plan, order))
    }

    /// Where an attribute's first record lies.
    pub fn attribute(&self, image: &Image, id: Cnid, name: &str) -> Option<RecordPlace> {
        let name = super::names::utf16(name);
        let order = self.attribute_keys.iter().position(|k| k.0 == id && k.1 == name)?;
        Some(place(image, self.attributes.as_ref()?, self.attribute_plan.as_ref()?, order))
    }

    /// CNIDs that have an attribute of that name, in order.
    pub fn attribute_owners(&self, name: &str) -> impl Iterator<Item = Cnid> + '_ {
        let name = super::names::utf16(name);
        let mut last = 0;
        self.attribute_keys
            .iter()
            .filter(move |k| k.1 == name)
            .map(|k| k.0)
            .filter(move |&id| std::mem::replace(&mut last, id) != id)
    }

    /// The same layout for a volume that begins `by` bytes later on the device.
    pub fn shifted(&self, by: u64) -> Layout {
        let mut out = self.clone();
        out.base += by;
        out.extents.base += by;
        out.catalog.base += by;
        if let Some(tree) = &mut out.attributes {
            tree.base += by;
        }
        out.journal_info = out.journal_info.map(|at| at + by);
        out.journal = out.journal.map(|(at, len)| (at + by, len));
        out
    }
}

fn place(image: &Image, tree: &TreeLayout, plan: &Plan, order: usize) -> RecordPlace {
    let (leaf, index) = plan.locate(order);
    let node = plan.number(0, leaf);
    let key = tree.record(image, node, index as u32);
    let key_len = u64::from(be16(&image.read(key, 2), 0));
    let data = key + 2 + key_len.next_multiple_of(2);
    RecordPlace { node, index: index as u32, key, data, order }
}
