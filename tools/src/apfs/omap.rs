//! Object maps.

use std::collections::{BTreeMap, BTreeSet};

use super::btree::{Key, Tree, Written};
use super::core::Core;
use super::flush::Change;
use super::layout::{Layout, What};
use super::node::{OMAP_SNAPSHOTS, OMAP_TREE};
use super::object::{self, PHYSICAL, kind};
use crate::bytes::put;

/// Flag of the container's map: manually managed.
pub const MANAGED: u32 = 1;
/// Mapping flag: the object was deleted here.
const DELETED: u32 = 1;
/// Mapping flag: the object is encrypted.
const MAPPED_ENCRYPTED: u32 = 4;
/// Mapping flag: the object has no header.
const MAPPED_NO_HEADER: u32 = 8;

impl Key for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn stored_len(&self) -> usize {
        8
    }
}

/// An object map.
#[derive(Debug)]
pub struct Omap {
    /// Where the map lies.
    pub address: u64,
    /// Mark objects that snapshots still need as deleted.
    pub tombstones: bool,
    flags: u32,
    tree: Tree<(u64, u64)>,
    snapshot_tree: Option<Tree<u64>>,
    snapshots: BTreeSet<u64>,
    /// Mappings that only snapshots need, and since when.
    retired: BTreeMap<(u64, u64), u64>,
    dead: u64,
}

impl Omap {
    /// An empty map.
    pub fn new(block_size: u64, flags: u32) -> Self {
        Omap {
            address: 0,
            tombstones: false,
            flags,
            tree: Tree::new(&OMAP_TREE, block_size as usize, 0),
            snapshot_tree: None,
            snapshots: BTreeSet::new(),
            retired: BTreeMap::new(),
            dead: 0,
        }
    }

    /// Takes over a tree that was written elsewhere.
    pub fn set_tree(&mut self, tree: Tree<(u64, u64)>) {
        self.tree = tree;
    }

    /// Number of blocks of the map and its trees.
    pub fn blocks(&self) -> u64 {
        1 + self.tree.node_count() + self.snapshot_tree.as_ref().map_or(0, Tree::node_count)
    }

    /// Number of mappings that point to an object.
    pub fn mapped(&self) -> u64 {
        self.tree.len() - self.dead
    }

    /// Maps `oid` to `address` from this transaction on.
    pub fn map(&mut self, core: &mut Core, oid: u64, address: u64, old: Option<Written>) {
        self.map_with(core, oid, address, old, 0);
    }

    /// The same with mapping flags.
    fn map_with(&mut self, core: &mut Core, oid: u64, to: u64, old: Option<Written>, flags: u32) {
        let flags = flags | if core.key.is_some() { MAPPED_ENCRYPTED } else { 0 };
        let mut value = [0u8; 16];
        put(&mut value, 0, &flags.to_le_bytes());
        put(&mut value, 4, &(core.block_size as u32).to_le_bytes());
        put(&mut value, 8, &to.to_le_bytes());
        self.tree.insert((oid, core.xid), Some(Box::new(value)));
        if let Some(old) = old {
            self.retire(core, oid, old);
        }
    }

    fn retire(&mut self, core: &mut Core, oid: u64, old: Written) -> bool {
        let needed = self.snapshots.range(old.xid..core.xid).next().is_some();
        if needed {
            self.retired.insert((oid, old.xid), core.xid);
        } else {
            self.tree.remove(&(oid, old.xid));
            core.free(old.address, 1);
        }
        needed
    }

    /// Notes what a virtual tree wrote.
    pub fn apply(&mut self, core: &mut Core, changes: &[Change], no_header: bool) {
        let flags = if no_header { MAPPED_NO_HEADER } else { 0 };
        for &change in changes {
            match change {
                Change::Wrote { oid, old, address } => {
                    self.map_with(core, oid, address, old, flags);
                }
                Change::Dropped { oid, old } => {
                    if self.retire(core, oid, old) && self.tombstones {
                        let mut value = [0u8; 16];
                        put(&mut value, 0, &DELETED.to_le_bytes());
                        put(&mut value, 4, &(core.block_size as u32).to_le_bytes());
                        self.tree.insert((oid, core.xid), Some(Box::new(value)));
                        self.dead += 1;
                    }
                }
            }
        }
    }

    /// Keeps everything that is mapped now for a snapshot.
    pub fn add_snapshot(&mut self, core: &Core) {
        let tree = self
            .snapshot_tree
            .get_or_insert_with(|| Tree::new(&OMAP_SNAPSHOTS, core.block_size as usize, 0));
        tree.insert(core.xid, Some(Box::new([0u8; 16])));
        self.snapshots.insert(core.xid);
    }

    /// Forgets a snapshot and what only it needed.
    pub fn remove_snapshot(&mut self, core: &mut Core, xid: u64) {
        self.snapshots.remove(&xid);
        if let Some(tree) = &mut self.snapshot_tree {
            tree.remove(&xid);
        }
        let dead: Vec<(u64, u64)> = self
            .retired
            .iter()
            .filter(|(key, until)| self.snapshots.range(key.1..**until).next().is_none())
            .map(|(key, _)| *key)
            .collect();
        for key in dead {
            let until = self.retired.remove(&key).expect("a mapping");
            let value = self.tree.remove(&key).flatten().expect("a mapping");
            core.free(u64::from_le_bytes(value[8..16].try_into().unwrap()), 1);
            self.remove_tombstone(key.0, until);
        }
    }

    /// Takes the newest mapping of an object away; the one before it counts again.
    pub fn step_back(&mut self, core: &mut Core, oid: u64, newest: Written) -> Option<Written> {
        self.tree.remove(&(oid, newest.xid));
        core.free(newest.address, 1);
        let (&key, _) = self.retired.range((oid, 0)..(oid, newest.xid)).next_back()?;
        self.retired.remove(&key);
        let value = self.tree.get(&key)?.as_ref()?;
        let address = u64::from_le_bytes(value[8..16].try_into().unwrap());
        Some(Written { address, xid: key.1 })
    }

    /// A tombstone whose object nobody needs any more says nothing.
    fn remove_tombstone(&mut self, oid: u64, at: u64) {
        let older = self.retired.range((oid, 0)..(oid, at)).next().is_some();
        let key = (oid, at);
        if !older && self.tree.get(&key).is_some_and(|v| flags(v) & DELETED != 0) {
            self.tree.remove(&key);
            self.dead -= 1;
        }
    }

    /// Writes what changed.
    pub fn write(&mut self, core: &mut Core) {
        let style = core.style();
        let changes = self.tree.flush(core, style);
        core.free_dropped(&changes);
        if let Some(tree) = &mut self.snapshot_tree {
            let changes = tree.flush(core, style);
            core.free_dropped(&changes);
        }
        let old = self.address;
        self.address = core.space.allocate(1);
        if old != 0 {
            core.free(old, 1);
        }
        let mut out = vec![0u8; core.block_size as usize];
        let physical_tree = (kind::BTREE | PHYSICAL).to_le_bytes();
        put(&mut out, 0x20, &self.flags.to_le_bytes());
        put(&mut out, 0x24, &(self.snapshots.len() as u32).to_le_bytes());
        put(&mut out, 0x28, &physical_tree);
        put(&mut out, 0x2C, &physical_tree);
        put(&mut out, 0x30, &self.tree.root_oid().to_le_bytes());
        let snapshots = self.snapshot_tree.as_ref().map_or(0, Tree::root_oid);
        put(&mut out, 0x38, &snapshots.to_le_bytes());
        let newest = self.snapshots.last().copied().unwrap_or(0);
        put(&mut out, 0x40, &newest.to_le_bytes());
        object::seal(&mut out, self.address, core.xid, kind::OMAP | PHYSICAL, 0);
        core.device.write(self.address, &out);
    }

    /// Where an object lies, and whether only snapshots need it.
    pub fn places(&self) -> Vec<(u64, u64, bool)> {
        let mut out = Vec::new();
        for (key, value) in self.tree.records() {
            let value = value.expect("a mapping");
            if flags(&Some(value.clone())) & DELETED == 0 {
                let address = u64::from_le_bytes(value[8..16].try_into().unwrap());
                out.push((key.0, address, !self.retired.contains_key(&key)));
            }
        }
        out
    }

    /// Blocks of the tree and of everything it maps.
    pub fn live_blocks(&self) -> Vec<u64> {
        let mapped = self.places().into_iter().map(|p| p.1);
        self.tree.addresses().into_iter().chain(mapped).collect()
    }

    /// Notes where the map lies.
    pub fn describe(&self, volume: Option<u32>, layout: &mut Layout) {
        layout.add(self.address, 1, What::Omap(volume));
        let mut nodes = |tree, addresses: Vec<u64>| {
            for address in addresses {
                layout.add(address, 1, What::Node { volume, tree, live: true });
            }
        };
        nodes(&OMAP_TREE, self.tree.addresses());
        if let Some(tree) = &self.snapshot_tree {
            nodes(&OMAP_SNAPSHOTS, tree.addresses());
        }
    }
}

fn flags(value: &super::btree::Value) -> u32 {
    value.as_ref().map_or(0, |v| u32::from_le_bytes(v[..4].try_into().unwrap()))
}
