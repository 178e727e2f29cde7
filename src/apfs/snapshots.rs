//! The snapshots of a volume (section 7).

use super::btree::{Children, Tree};
use super::format::{record, tree};
use super::node::Shape;
use super::records::{self, split};
use super::store::Store;
use crate::error::{Error, Result};
use crate::io::bytes::{le16, le32, le64};
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Most snapshots that are read: hundreds of times as many as macOS keeps.
const MAX_SNAPSHOTS: usize = 1 << 20;

const SHAPE: Shape =
    Shape { subtype: tree::SNAPSHOTS, fixed: None, order, tag: 5, name: "snapshot metadata tree" };

fn order(a: &[u8], b: &[u8]) -> Ordering {
    (records::shape(false).order)(a, b)
}

/// A snapshot as the tree has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Transaction at which it was taken.
    pub xid: u64,
    /// Its name.
    pub name: String,
    /// Root of its tree of extent references.
    pub extent_references: u64,
    /// Block of its copy of the superblock.
    pub superblock: u64,
    /// Nanoseconds since 1970.
    pub created: u64,
    /// Whether its data was given up or is about to be.
    pub dataless: bool,
}

/// All snapshots, oldest first.
///
/// # Errors
/// [`Error::Corrupt`] when the tree or a record is not sound.
pub fn read(store: &Arc<Store>, root: u64) -> Result<Vec<Snapshot>> {
    if root == 0 {
        return Ok(Vec::new());
    }
    let tree = Tree::new(store.clone(), SHAPE, Children::Physical, root);
    let mut found = Vec::new();
    tree.scan(&[], &mut |entry| {
        let bad = || Error::corrupt(SHAPE.name, "a record is cut off");
        let (xid, kind) = split(entry.key).ok_or_else(bad)?;
        if kind == record::SNAPSHOT {
            let value = entry.value.unwrap_or_default();
            found.push(parse(xid, value).ok_or_else(bad)?);
        }
        Ok(if found.len() < MAX_SNAPSHOTS {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    Ok(found)
}

/// The snapshots whose records can be read, oldest first.
pub fn readable(store: &Arc<Store>, root: u64) -> Vec<Snapshot> {
    let mut blocks = Vec::new();
    nodes(store, root, &mut |block| blocks.push(block));
    in_nodes(store, blocks.into_iter())
}

/// The snapshots of which records are in these nodes, oldest first; of several records of one
/// the newest counts.
pub fn in_nodes(store: &Store, blocks: impl Iterator<Item = u64>) -> Vec<Snapshot> {
    let mut found = std::collections::BTreeMap::new();
    for node in blocks.filter_map(|b| store.node_again(b, &SHAPE, None).ok().flatten()) {
        for entry in (0..node.count).filter_map(|i| node.entry(i)).filter(|_| node.level == 0) {
            let Some((xid, record::SNAPSHOT)) = split(entry.key) else { continue };
            let Some(snapshot) = parse(xid, entry.value.unwrap_or_default()) else { continue };
            let of = node.header.xid;
            if found.get(&xid).is_none_or(|(at, _)| *at < of) && found.len() < MAX_SNAPSHOTS {
                found.insert(xid, (of, snapshot));
            }
        }
    }
    found.into_values().map(|(_, snapshot)| snapshot).collect()
}

fn parse(xid: u64, b: &[u8]) -> Option<Snapshot> {
    let len = usize::from(le16(b, 0x30)?);
    let name = b.get(0x32..0x32 + len)?;
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    Some(Snapshot {
        xid,
        name: String::from_utf8_lossy(name).into_owned(),
        extent_references: le64(b, 0)?,
        superblock: le64(b, 8)?,
        created: le64(b, 0x10)?,
        dataless: le32(b, 0x2C)? & 1 != 0,
    })
}

/// The tree with this root.
pub(super) fn tree_at(store: &Arc<Store>, root: u64) -> Tree {
    Tree::new(store.clone(), SHAPE, Children::Physical, root)
}

/// Visit the blocks of the tree's nodes, as far as they can be read.
pub fn nodes(store: &Arc<Store>, root: u64, visit: &mut dyn FnMut(u64)) {
    if root != 0 {
        let tree = Tree::new(store.clone(), SHAPE, Children::Physical, root);
        let _ = tree.walk(&mut std::collections::HashSet::new(), &mut |node| {
            visit(node.block);
            Ok(())
        });
    }
}
