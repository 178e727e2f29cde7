//! B-trees: header and map nodes, index nodes, leaves, nodes that are not in use.

use super::Rule::*;
use super::{Row, Sink, attributes, catalog, forks};
use crate::hfs::{Tree, TreeLayout};

/// Names of the structures of a tree.
struct Names {
    header: &'static str,
    map: &'static str,
    index: &'static str,
    leaf: &'static str,
    unused: &'static str,
}

const fn names(tree: Tree) -> Names {
    match tree {
        Tree::Extents => Names {
            header: "extents header",
            map: "extents map",
            index: "extents index",
            leaf: "extents leaf",
            unused: "extents unused node",
        },
        Tree::Catalog => Names {
            header: "catalog header",
            map: "catalog map",
            index: "catalog index",
            leaf: "catalog leaf",
            unused: "catalog unused node",
        },
        Tree::Attributes => Names {
            header: "attributes header",
            map: "attributes map",
            index: "attributes index",
            leaf: "attributes leaf",
            unused: "attributes unused node",
        },
    }
}

pub(super) fn tree(s: &mut Sink, which: Tree) {
    let layout = s.layout;
    let Some(tree) = layout.tree(which) else { return };
    let names = names(which);
    header(s, which, tree, &names);
    let covered = u64::from(tree.node_size - 256) * 8;
    for i in 0..tree.map_nodes {
        map_node(s, tree, i, covered, &names);
    }
    for &n in tree.index.iter().flatten() {
        node(s, which, tree, n, names.index);
    }
    for &n in &tree.leaves {
        node(s, which, tree, n, names.leaf);
    }
    s.structure = names.unused;
    for n in tree.used_nodes..tree.total_nodes {
        s.add(tree.node(n), tree.node_size.into(), "zeros", Never);
    }
}

const DESCRIPTOR: &[Row] = &[
    (0, 4, "next node", Every),
    (4, 4, "previous node", Every),
    (8, 1, "kind", Every),
    (9, 1, "height", Every),
    (10, 2, "record count", Every),
    (12, 2, "reserved", Never),
];

fn header(s: &mut Sink, which: Tree, tree: &TreeLayout, names: &Names) {
    s.structure = names.header;
    let at = tree.node(0);
    let catalog = which == Tree::Catalog;
    let compare = if catalog && s.layout.hfsx { Every } else { Never };
    // In an empty tree nobody looks at these.
    let leaves = if tree.root == 0 { Never } else { Every };
    let rows: &[Row] = &[
        (0, 4, "first map node", Every),
        (4, 4, "previous node", Never),
        (8, 1, "kind", Every),
        (9, 1, "height", Every),
        (10, 2, "record count", Every),
        (12, 2, "reserved", Never),
        (14, 2, "depth", Every),
        (16, 4, "root", Every),
        (20, 4, "leaf records", leaves),
        (24, 4, "first leaf", leaves),
        (28, 4, "last leaf", leaves),
        (32, 2, "node size", Every),
        (34, 2, "longest key", Every),
        (36, 4, "node count", Every),
        (40, 4, "free nodes", Every),
        (44, 6, "reserved, clump", Never),
        (50, 1, "tree type", Every),
        (51, 1, "name order", compare),
        (52, 4, "attributes", Bits(2)),
        (56, 192, "reserved, user data", Never),
    ];
    s.rows(at, rows);
    let size = u64::from(tree.node_size);
    s.structure = names.map;
    s.map(at + 248, size - 256, 0, tree.total_nodes.into(), "node");
    s.structure = names.header;
    s.add(at + size - 8, 8, "record offsets", Every);
}

fn map_node(s: &mut Sink, tree: &TreeLayout, i: u32, covered: u64, names: &Names) {
    s.structure = names.map;
    let at = tree.node(1 + i);
    let size = u64::from(tree.node_size);
    let rows: &[Row] = &[
        (0, 4, "next map node", Every),
        (4, 4, "previous map node", Never),
        (8, 1, "kind", Every),
        (9, 1, "height", Every),
        (10, 2, "record count", Every),
        (12, 2, "reserved", Never),
    ];
    s.rows(at, rows);
    let bytes = size - 20;
    let first = covered + u64::from(i) * bytes * 8;
    s.map(at + 14, bytes, first, tree.total_nodes.into(), "node");
    s.add(at + size - 6, 2, "free", Never);
    s.add(at + size - 4, 4, "record offsets", Every);
}

fn node(s: &mut Sink, which: Tree, tree: &TreeLayout, n: u32, name: &'static str) {
    s.structure = name;
    let at = tree.node(n);
    s.rows(at, DESCRIPTOR);
    let count = tree.records(s.image, n);
    for i in 0..count {
        let start = tree.record(s.image, n, i);
        let len = tree.record(s.image, n, i + 1) - start;
        let key_len = u64::from(s.get16(start));
        s.structure = name;
        if name.ends_with("index") {
            index_key(s, which, start);
            s.add(start + 2 + key_len, len - 6 - key_len, "padding", Never);
            s.add(start + len - 4, 4, "child", Every);
            continue;
        }
        match which {
            Tree::Extents => {
                key(s, which, start, true);
                forks::extents(s, start + 12);
            }
            Tree::Catalog => catalog::record(s, start, len),
            Tree::Attributes => attributes::record(s, start, len),
        }
    }
    s.structure = name;
    let end = tree.record(s.image, n, count);
    let table = at + u64::from(tree.node_size) - 2 * (u64::from(count) + 1);
    s.add(end, table - end, "free space", Never);
    s.add(table, 2 * (u64::from(count) + 1), "record offsets", Every);
}

/// An index key stands again in the child; where case does not count, in either case.
fn index_key(s: &mut Sink, which: Tree, at: u64) {
    key(s, which, at, true);
    if which == Tree::Catalog && s.layout.folds {
        let Some(name) = s.out.pop_if(|f| f.name == "name") else { return };
        for unit in 0..u64::from(name.len / 2) {
            s.add(name.at + 2 * unit, 2, "name", Bits(!0x20));
        }
    }
}

/// A key. `named`: whether the letters of a name stand a second time somewhere.
pub(super) fn key(s: &mut Sink, which: Tree, at: u64, named: bool) {
    let letters = if named { Every } else { Never };
    s.add(at, 2, "key length", Every);
    match which {
        Tree::Extents => s.rows(
            at,
            &[
                (2, 1, "fork", Every),
                (3, 1, "padding", Never),
                (4, 4, "file", Every),
                (8, 4, "first block", Every),
            ],
        ),
        Tree::Catalog => {
            s.rows(at, &[(2, 4, "parent", Every), (6, 2, "name length", Every)]);
            s.add(at + 8, 2 * u64::from(s.get16(at + 6)), "name", letters);
        }
        Tree::Attributes => {
            s.rows(
                at,
                &[
                    (2, 2, "padding", Never),
                    (4, 4, "object", Every),
                    (8, 4, "first block", Every),
                    (12, 2, "name length", Every),
                ],
            );
            s.add(at + 14, 2 * u64::from(s.get16(at + 12)), "attribute name", letters);
        }
    }
}
