//! Damage that fits each of the three B-trees. The names get the tree's name in front.

use super::TreeRow;
use super::target::Target;
use crate::hfs::Tree;

pub(super) const TABLE: &[TreeRow] = &[
    ("header-kind", "node 0 is no header node", &[526, 515], |t, tree| {
        let at = node(t, tree, 0)? + 8;
        t.poke(at, &[0xFF])
    }),
    ("header-records", "the header node has two records", &[526, 520], |t, tree| {
        let at = node(t, tree, 0)? + 10;
        t.poke16(at, 2)
    }),
    ("header-depth", "treeDepth is one too many", &[504, 550], |t, tree| {
        let at = node(t, tree, 0)? + 14;
        let depth = t.get16(at);
        t.poke16(at, depth + 1)
    }),
    ("header-depth-high", "treeDepth is 9", &[527], |t, tree| {
        let at = node(t, tree, 0)? + 14;
        t.poke16(at, 9)
    }),
    ("header-root", "rootNode is past the end", &[514], |t, tree| {
        let total = t.tree(tree)?.total_nodes;
        let at = node(t, tree, 0)? + 16;
        t.poke32(at, total + 3)
    }),
    ("header-leaf-records", "leafRecords is one too many", &[558, 550], |t, tree| {
        let at = node(t, tree, 0)? + 20;
        t.add32(at, 1)
    }),
    ("header-first-leaf", "firstLeafNode is wrong", &[550], |t, tree| {
        let at = node(t, tree, 0)? + 24;
        t.add32(at, 1)
    }),
    ("header-last-leaf", "lastLeafNode is wrong", &[550], |t, tree| {
        let at = node(t, tree, 0)? + 28;
        t.add32(at, 1)
    }),
    ("header-node-size", "nodeSize is 100", &[557], |t, tree| {
        let at = node(t, tree, 0)? + 32;
        t.poke16(at, 100)
    }),
    ("header-max-key", "maxKeyLength is 7", &[550], |t, tree| {
        let at = node(t, tree, 0)? + 34;
        t.poke16(at, 7)
    }),
    ("header-total-nodes", "totalNodes is one too many", &[550], |t, tree| {
        let at = node(t, tree, 0)? + 36;
        t.add32(at, 1)
    }),
    ("header-free-nodes", "freeNodes is one too few", &[550], |t, tree| {
        let at = node(t, tree, 0)? + 40;
        t.add32(at, -1)
    }),
    ("header-attributes", "the tree is said to have small keys", &[], |t, tree| {
        let at = node(t, tree, 0)? + 55;
        t.poke(at, &[0])
    }),
    ("map-node-free", "a node in use is marked free", &[525], |t, tree| {
        let at = node(t, tree, 0)? + 248;
        let used = *t.tree(tree)?.leaves.first()?;
        t.flip(at + u64::from(used / 8), 0x80 >> (used % 8))
    }),
    ("map-node-used", "a free node is marked used", &[525], |t, tree| {
        let free = t.tree(tree)?.free_node()?;
        let at = node(t, tree, 0)? + 248;
        t.flip(at + u64::from(free / 8), 0x80 >> (free % 8))
    }),
    ("unused-node", "a free node is not zero", &[608], |t, tree| {
        let free = t.tree(tree)?.free_node()?;
        let at = node(t, tree, free)? + 100;
        t.poke(at, b"old bytes")
    }),
    ("leaf-kind", "a leaf is of kind 5", &[515, 520], |t, tree| leaf8(t, tree, 8, 5)),
    ("leaf-kind-index", "a leaf says it is an index node", &[515, 504], |t, tree| {
        leaf8(t, tree, 8, 0)
    }),
    ("leaf-height", "a leaf has height 3", &[504], |t, tree| leaf8(t, tree, 9, 3)),
    ("leaf-flink", "a leaf's forward link points to itself", &[519], |t, tree| {
        let (number, at) = leaf(t, tree)?;
        t.poke32(at, number)
    }),
    ("leaf-flink-far", "a leaf's forward link is past the end", &[519], |t, tree| {
        let (_, at) = leaf(t, tree)?;
        t.poke32(at, 0x00FF_FFFF)
    }),
    ("leaf-blink", "a leaf's backward link is wrong", &[519], |t, tree| {
        let root = t.tree(tree)?.root;
        let (_, at) = leaf(t, tree)?;
        t.poke32(at + 4, root)
    }),
    (
        "leaf-chain-loop",
        "the last leaf's forward link goes back to the first",
        &[519],
        |t, tree| {
            let tree = t.tree(tree)?;
            let (first, last) = (*tree.leaves.first()?, *tree.leaves.last()?);
            let at = tree.node(last);
            t.poke32(at, first)
        },
    ),
    ("leaf-offset-first", "a leaf's first record does not begin at 14", &[520], |t, tree| {
        let at = entry(t, tree, 0)?;
        t.poke16(at, 20)
    }),
    ("leaf-offset-order", "a leaf's record offsets do not ascend", &[520], |t, tree| {
        let at = entry(t, tree, 1)?;
        t.poke16(at, 14)
    }),
    ("leaf-offset-odd", "a leaf's record offset is odd", &[520], |t, tree| {
        let at = entry(t, tree, 1)?;
        let value = t.get16(at);
        t.poke16(at, value + 1)
    }),
    ("leaf-offset-far", "a leaf's record offset is past the node", &[520], |t, tree| {
        let at = entry(t, tree, 1)?;
        t.poke16(at, 0xFFF0)
    }),
    ("leaf-records-many", "a leaf has more records than fit", &[516, 520], |t, tree| {
        let (_, at) = leaf(t, tree)?;
        t.poke16(at + 10, 0x7000)
    }),
    ("leaf-records-none", "a leaf has no records", &[516, 520], |t, tree| {
        let (_, at) = leaf(t, tree)?;
        t.poke16(at + 10, 0)
    }),
    ("key-long", "a key is longer than maxKeyLength", &[523], |t, tree| {
        let at = record(t, tree, 1)?;
        t.poke16(at, 0x0400)
    }),
    ("key-short", "a key is two bytes long", &[523], |t, tree| {
        let at = record(t, tree, 1)?;
        t.poke16(at, 2)
    }),
    ("key-order", "keys are out of order", &[524], |t, tree| {
        let at = record(t, tree, 1)?;
        t.poke32(at + id_offset(tree), 0x7FFF_FFF0)
    }),
    ("key-twice", "two records have one key", &[524], |t, tree| {
        let (first, second) = (record(t, tree, 0)?, record(t, tree, 1)?);
        let len = usize::from(t.get16(second)).min(usize::from(t.get16(first))) + 2;
        let key = t.image.read(first, len);
        t.poke(second, &key)
    }),
    ("index-key", "an index key is not its child's first key", &[517], |t, tree| {
        let (at, _) = index_record(t, tree, 1)?;
        let at = at + id_offset(tree) + 3;
        t.flip(at, 0x01)
    }),
    ("index-child", "an index record points past the end", &[518], |t, tree| {
        let (_, child) = index_record(t, tree, 1)?;
        t.poke32(child, 0x00FF_FFFF)
    }),
    ("index-child-root", "an index record points to the root", &[504, 515, 518, 521], |t, tree| {
        let root = t.tree(tree)?.root;
        let (_, child) = index_record(t, tree, 1)?;
        t.poke32(child, root)
    }),
    ("index-child-twice", "two index records point to one node", &[517, 519, 521], |t, tree| {
        let (_, first) = index_record(t, tree, 0)?;
        let (_, second) = index_record(t, tree, 1)?;
        let node = t.get32(first);
        t.poke32(second, node)
    }),
    ("index-kind", "an index node says it is a leaf", &[515, 504], |t, tree| {
        let at = index_node(t, tree)? + 8;
        t.poke(at, &[0xFF])
    }),
    ("index-records-none", "an index node has no records", &[516, 520], |t, tree| {
        let at = index_node(t, tree)? + 10;
        t.poke16(at, 0)
    }),
];

fn node(t: &Target, tree: Tree, number: u32) -> Option<u64> {
    Some(t.tree(tree)?.node(number))
}

/// A leaf with at least three records that is neither first nor last, if there is one.
fn leaf(t: &Target, tree: Tree) -> Option<(u32, u64)> {
    let tree = t.tree(tree)?;
    let middle = tree.leaves.len() / 2;
    let order = tree.leaves[middle..].iter().chain(&tree.leaves[..middle]);
    let number = order.copied().find(|&n| tree.records(t.image, n) >= 3)?;
    Some((number, tree.node(number)))
}

fn leaf8(t: &mut Target, tree: Tree, at: u64, value: u8) -> Option<u64> {
    let (_, node) = leaf(t, tree)?;
    t.poke(node + at, &[value])
}

/// Byte offset of the leaf's entry `i` in its table of record offsets.
fn entry(t: &Target, tree: Tree, i: u64) -> Option<u64> {
    let (_, at) = leaf(t, tree)?;
    Some(at + u64::from(t.tree(tree)?.node_size) - 2 * (i + 1))
}

fn record(t: &Target, tree: Tree, i: u32) -> Option<u64> {
    let (number, _) = leaf(t, tree)?;
    Some(t.tree(tree)?.record(t.image, number, i))
}

fn index_node(t: &Target, tree: Tree) -> Option<u64> {
    let tree = t.tree(tree)?;
    Some(tree.node(*tree.index.first()?.first()?))
}

/// Byte offsets of an index record's key and of its child number.
fn index_record(t: &Target, tree: Tree, i: u32) -> Option<(u64, u64)> {
    let tree = t.tree(tree)?;
    let number = *tree.index.first()?.first()?;
    let key = tree.record(t.image, number, i);
    let len = u64::from(t.get16(key).next_multiple_of(2));
    Some((key, key + 2 + len))
}

/// Where in a key the first number that is compared lies.
fn id_offset(tree: Tree) -> u64 {
    if tree == Tree::Catalog { 2 } else { 4 }
}
