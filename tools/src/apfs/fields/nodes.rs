//! B-tree nodes: header, table, records, unused pieces, footer.

use super::{Row, Sink, XID, bits, records};
use crate::apfs::node::{FOOTER, NODE_DATA, TreeKind};
use crate::apfs::object::{PHYSICAL, kind};
use crate::fields::Rule::{Every, Never};

const HEAD: &[Row] = &[
    (0x20, 2, "node flags", Every),
    (0x22, 2, "level", Every),
    (0x24, 4, "records", Every),
    (0x28, 4, "place of table", Every),
    (0x2C, 4, "free space", Every),
    (0x30, 4, "free keys", Every),
    (0x34, 4, "free values", Every),
];

const FOOT: &[Row] = &[
    // Whether keys are added in order is a hint.
    (0, 4, "footer flags", bits(!2, 4)),
    (4, 4, "node size", Every),
    (8, 4, "key size", Every),
    (12, 4, "value size", Every),
    (24, 8, "key count", Every),
    (32, 8, "node count", Every),
];

fn name(tree: &TreeKind, leaf: bool) -> &'static str {
    match (tree.subtype, leaf) {
        (kind::OMAP, true) => "object map leaf",
        (kind::OMAP, false) => "object map index",
        (kind::OMAP_SNAPSHOT, _) => "object map snapshots",
        (kind::FS_TREE, true) => "file-system leaf",
        (kind::FS_TREE, false) => "file-system index",
        (kind::EXTENTREF, true) => "extent reference leaf",
        (kind::EXTENTREF, false) => "extent reference index",
        (kind::SNAP_META, _) => "snapshot metadata node",
        _ => "free queue node",
    }
}

/// A part of a node that records or their heads take.
type Part = (u64, u64);

pub(super) fn node(s: &mut Sink, at: u64, end: u64, tree: &TreeKind) {
    let flags = s.u16(at + 0x20);
    let (root, leaf) = (flags & 1 != 0, flags & 2 != 0);
    s.structure = name(tree, leaf);
    s.header(at, if tree.storage == PHYSICAL { XID } else { Every });
    let data = at + NODE_DATA as u64;
    s.rows_from(at, 0x20, data, HEAD);
    let count = u64::from(s.u32(at + 0x24));
    let table = u64::from(s.u16(at + 0x2A));
    let entry = if tree.fixed() { 4 } else { 8 };
    s.add(data, entry * count, "table", Every);
    s.add(data + entry * count, table - entry * count, "unused table", Never);
    let values = if root { end - FOOTER as u64 } else { end };
    let mut parts = Vec::new();
    for i in 0..count {
        let (key, value) = place(s, (data + entry * i, data + table, values), tree, leaf);
        records::record(s, tree, leaf, key, value);
        parts.extend([key, value]);
    }
    for (field, from_end) in [(0x30, false), (0x34, true)] {
        chain(s, at + field, (data + table, values), from_end, &mut parts);
    }
    parts.sort_unstable();
    let mut next = data + table;
    for (start, len) in parts.into_iter().filter(|p| p.1 > 0) {
        s.add(next, start - next, "free", Never);
        next = start + len;
    }
    s.add(next, values - next, "free", Never);
    if root {
        s.rows(values, end, FOOT);
    }
}

/// Where key and value of the record lie whose table entry is at `entry`.
fn place(
    s: &Sink,
    (entry, keys, values): (u64, u64, u64),
    tree: &TreeKind,
    leaf: bool,
) -> (Part, Part) {
    let word = |i: u64| u64::from(s.u16(entry + 2 * i));
    let (key, key_len, value, value_len) = if tree.fixed() {
        let value_len = if leaf { tree.value } else { 8 };
        (word(0), tree.key as u64, word(1), value_len as u64)
    } else {
        (word(0), word(1), word(2), word(3))
    };
    let value = if value == 0xFFFF { (values, 0) } else { (values - value, value_len) };
    ((keys + key, key_len), value)
}

/// The heads of unused pieces: where the next one is and how long this one is.
fn chain(s: &mut Sink, list: u64, (keys, values): Part, from_end: bool, parts: &mut Vec<Part>) {
    let mut offset = s.u16(list);
    while offset != 0xFFFF {
        let at = if from_end { values - u64::from(offset) } else { keys + u64::from(offset) };
        s.add(at, 4, "free piece", Every);
        parts.push((at, 4));
        offset = s.u16(at);
    }
}
