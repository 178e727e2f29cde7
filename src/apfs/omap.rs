//! Object maps (section 4): from a virtual number and a transaction to a block.

use super::btree::{Children, Tree};
use super::format::{MAP_DELETED, MAP_ENCRYPTED, MAP_NO_HEADER, PHYSICAL, kind, tree};
use super::node::Shape;
use super::object::{Expected, Storage};
use super::salvage::Maker;
use super::store::Store;
use crate::error::Result;
use crate::io::bytes::{le32, le64};
use quick_cache::sync::Cache;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Mappings that are remembered.
const REMEMBERED: usize = 1 << 16;

/// The tree of mappings.
const SHAPE: Shape = Shape {
    subtype: tree::OMAP,
    fixed: Some((16, 16)),
    order: by_two_numbers,
    tag: 1,
    name: "object map",
};

fn by_two_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let pair = |k: &[u8]| (le64(k, 0).unwrap_or(0), le64(k, 8).unwrap_or(0));
    pair(a).cmp(&pair(b))
}

/// Where a virtual object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Transaction that wrote it there.
    pub xid: u64,
    /// Block.
    pub block: u64,
    /// Flags of the mapping.
    pub flags: u32,
    /// Bytes of the object.
    pub size: u32,
}

impl Mapping {
    /// Of an object of one block that was found.
    pub fn found(xid: u64, block: u64, encrypted: bool, size: u32) -> Self {
        Self { xid, block, flags: if encrypted { MAP_ENCRYPTED } else { 0 }, size }
    }

    /// Whether the object is a node without header (sealed volumes).
    pub fn no_header(&self) -> bool {
        self.flags & MAP_NO_HEADER != 0
    }

    /// Whether it says that the object was deleted.
    pub fn deleted(&self) -> bool {
        self.flags & MAP_DELETED != 0
    }

    /// Whether the object is encrypted.
    pub fn encrypted(&self) -> bool {
        self.flags & MAP_ENCRYPTED != 0
    }
}

/// An object map.
pub struct Omap {
    tree: Tree,
    /// What was found before, by number and transaction asked for; all views share it.
    known: Cache<(u64, u64), Mapping>,
    /// Flags of the map.
    pub flags: u32,
    /// Number of snapshots it keeps mappings for.
    pub snapshots: u32,
}

impl Omap {
    /// Open the map in `block`.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when it is not one; its tree is read when it is needed.
    pub fn open(store: &Arc<Store>, block: u64) -> Result<Self> {
        let blocks = store.blocks();
        let object = blocks.object("object map", block, 1)?;
        let expected = Expected {
            oid: block,
            xid: None,
            max_xid: store.max_xid(),
            kinds: &[kind::OMAP],
            subtype: 0,
            storage: Storage::Physical,
        };
        if let Some(problem) = expected.problem(&object.header) {
            return Err(blocks.corrupt("object map", block, problem));
        }
        let root = object.u64(0x30).unwrap_or(0);
        Ok(Self {
            tree: Tree::new(store.clone(), SHAPE, Children::Physical, root),
            known: Cache::new(REMEMBERED),
            flags: object.u32(0x20).unwrap_or(0),
            snapshots: object.u32(0x24).unwrap_or(0),
        })
    }

    /// A map that is made: the tree of these mappings, in order of number and transaction.
    pub fn made(
        store: &Arc<Store>,
        mappings: impl Iterator<Item = (u64, Mapping)>,
    ) -> Option<Self> {
        let record = |(oid, m): (u64, Mapping)| {
            let value = u128::from(m.block) << 64 | u128::from(m.size) << 32 | u128::from(m.flags);
            (key(oid, m.xid).into(), value.to_le_bytes().into())
        };
        let maker = Maker { store, shape: SHAPE, storage: PHYSICAL };
        let root = maker.tree(maker.leaves(mappings.map(record)))?;
        let tree = Tree::new(store.clone(), SHAPE, Children::Physical, root);
        Some(Self { tree, known: Cache::new(REMEMBERED), flags: 0, snapshots: 0 })
    }

    /// Its tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The state of object `oid` at transaction `xid`: the newest mapping that is not
    /// newer; `None` if there is none, or it says that the object was deleted.
    pub fn find(&self, oid: u64, xid: u64) -> Result<Option<Mapping>> {
        if let Some(found) = self.known.get(&(oid, xid)) {
            return Ok(Some(found));
        }
        let Some((node, at)) = self.tree.floor(&key(oid, xid))? else { return Ok(None) };
        let Some(entry) = node.entry(at) else { return Ok(None) };
        let found = mapping(entry.key, entry.value.unwrap_or_default());
        let found = found.filter(|(o, m)| *o == oid && m.flags & MAP_DELETED == 0).map(|(_, m)| m);
        if let Some(found) = found {
            self.known.insert((oid, xid), found);
        }
        Ok(found)
    }

    /// Visit all mappings in order of number and transaction, also those that say that
    /// an object was deleted.
    pub fn scan(
        &self,
        visit: &mut dyn FnMut(u64, Mapping) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.tree.scan(&key(0, 0), &mut |entry| match mapping(
            entry.key,
            entry.value.unwrap_or_default(),
        ) {
            Some((oid, m)) => visit(oid, m),
            None => Ok(ControlFlow::Continue(())),
        })
    }
}

impl Omap {
    /// Visit all mappings that can be read, in order; what cannot be read is told to `failed`.
    pub fn walk(
        &self,
        failed: &mut dyn FnMut(crate::Error),
        visit: &mut dyn FnMut(u64, Mapping) -> Result<()>,
    ) -> Result<()> {
        self.tree.walk_telling(&mut HashSet::new(), failed, &mut |node| {
            if node.level > 0 {
                return Ok(());
            }
            for entry in (0..node.count).map_while(|i| node.entry(i)) {
                if let Some((oid, m)) = mapping(entry.key, entry.value.unwrap_or_default()) {
                    visit(oid, m)?;
                }
            }
            Ok(())
        })
    }
}

fn key(oid: u64, xid: u64) -> [u8; 16] {
    (u128::from(xid) << 64 | u128::from(oid)).to_le_bytes()
}

/// Decode a mapping: the number of the object, and where it lies.
pub(super) fn mapping(key: &[u8], value: &[u8]) -> Option<(u64, Mapping)> {
    let m = Mapping {
        xid: le64(key, 8)?,
        flags: le32(value, 0)?,
        size: le32(value, 4)?,
        block: le64(value, 8)?,
    };
    Some((le64(key, 0)?, m))
}
