//! Keys and values of records.

use super::{Row, Sink, bits};
use crate::apfs::node::TreeKind;
use crate::apfs::object::kind;
use crate::apfs::records::{field, flag, record as types};
use crate::decmpfs;
use crate::fields::Rule::{self, Every, Never};

type Part = (u64, u64);

pub(super) fn record(s: &mut Sink, tree: &TreeKind, leaf: bool, key: Part, value: Part) {
    if !leaf {
        s.add(key.0, key.1, "index key", Every);
        s.add(value.0, value.1, "child", Every);
        return;
    }
    let (v, end) = (value.0, value.0 + value.1);
    match tree.subtype {
        kind::OMAP => {
            s.add(key.0, 16, "oid, xid", Every);
            // A mapping that says `deleted` has nothing else to say.
            let rule = if s.u32(v) & 1 != 0 { Never } else { Every };
            s.rows(
                v,
                end,
                &[(0, 4, "flags", bits(!0x10, 4)), (4, 4, "size", rule), (8, 8, "address", rule)],
            );
        }
        kind::OMAP_SNAPSHOT => {
            s.add(key.0, 8, "snapshot", Every);
            s.rows(v, end, &[(4, 4, "padding", Every), (8, 8, "oid", Every)]);
        }
        kind::FREE_QUEUE => {
            s.add(key.0, 16, "xid, first block", Every);
            s.add(v, value.1, "count", Every);
        }
        _ => keyed(s, key, value),
    }
}

/// Records whose key begins with number and type.
fn keyed(s: &mut Sink, key: Part, value: Part) {
    let kind = (s.u64(key.0) >> 60) as u8;
    s.add(key.0, 8, "object, type", Every);
    let tail = (key.0 + 8, key.1 - 8);
    let (v, end) = (value.0, value.0 + value.1);
    if kind == types::XATTR {
        return xattr(s, tail, value);
    }
    s.add(tail.0, tail.1, "rest of key", Every);
    match kind {
        types::INODE => inode(s, v, end),
        types::ENTRY => {
            s.rows(v, v + 18, &[(0, 8, "inode", Every), (16, 2, "flags", Every)]);
            fields(s, v + 18, end);
        }
        types::SNAP_META => s.rows(v, end, &snapshot(value.1)),
        types::EXTENT => {
            let update = s.u64(v) >> 60 == 2;
            // Any number that was ever given out can own blocks.
            let owner = if update { Every } else { bits(!0xFFFF, 8) };
            s.rows(
                v,
                end,
                &[(0, 8, "length, kind", Every), (8, 8, "owner", owner), (16, 4, "count", Every)],
            );
        }
        _ => s.add(v, value.1, "value", Every),
    }
}

fn snapshot(len: u64) -> [Row; 5] {
    [
        (0, 8, "extent references", Every),
        (8, 8, "superblock copy", Every),
        (0x28, 4, "tree type", Every),
        (0x30, 2, "name length", Every),
        (0x32, len as u32 - 0x32, "name", Every),
    ]
}

fn xattr(s: &mut Sink, tail: Part, value: Part) {
    let name = s.image.read(tail.0 + 2, tail.1 as usize - 3);
    // Names of the system must be there; nobody misses any other, but it must be one.
    let own = name.starts_with(b"com.apple.");
    s.add(tail.0, 2, "name length", Every);
    s.add(tail.0 + 2, tail.1 - 3, "name", if own { Every } else { Never });
    s.add(tail.0 + tail.1 - 1, 1, "end of name", Every);
    let (v, end) = (value.0, value.0 + value.1);
    s.add(v, 2, "flags", bits(!0x14, 2));
    s.add(v + 2, 2, "length", Every);
    if s.u16(v) & 1 != 0 {
        s.add(v + 4, 8, "stream", Every);
        stream(s, v + 12, end);
    } else if name == decmpfs::XATTR.as_bytes() {
        s.rows(
            v + 4,
            end,
            &[(0, 4, "magic", Every), (4, 4, "compression", Every), (8, 8, "size", Every)],
        );
    } else {
        s.add(v + 4, end - v - 4, "embedded value", Never);
    }
}

/// A stream's record at `at`.
fn stream(s: &mut Sink, at: u64, end: u64) {
    let allocated = s.u64(at + 8).max(1);
    // The extents may hold more than the size says, not less.
    let size = bits(!(allocated.next_power_of_two() - 1), 8);
    s.rows(
        at,
        end,
        &[(0, 8, "size", size), (8, 8, "allocated", Every), (16, 8, "default crypto id", Every)],
    );
}

/// Flags of an inode that stand for something that is there or not, and those that are undefined.
const INODE_FLAGS: u64 = !0x027F_FFDF
    | flag::MAINTAIN_STATS
    | flag::SECURITY
    | flag::FINDER_INFO
    | flag::SPARSE
    | flag::RESOURCE_FORK
    | flag::PURGEABLE_FIELD;

fn inode(s: &mut Sink, v: u64, end: u64) {
    let compressed = s.u64(v + 0x30) & flag::UNCOMPRESSED_SIZE != 0;
    s.rows(
        v,
        v + 0x5C,
        &[
            (0, 8, "parent", Every),
            (8, 8, "private id", Every),
            (0x30, 8, "flags", bits(INODE_FLAGS, 8)),
            (0x38, 4, "children or links", Every),
            (0x3C, 4, "protection class", bits(!0xF, 4)),
            (0x44, 4, "BSD flags", bits(0x20, 4)),
            (0x50, 2, "mode", bits(0xF000, 2)),
            (0x52, 2, "padding", Every),
            (0x54, 8, "uncompressed size", if compressed { Every } else { Never }),
        ],
    );
    fields(s, v + 0x5C, end);
}

/// A table of extended fields, if there is one.
fn fields(s: &mut Sink, at: u64, end: u64) {
    if at >= end {
        return;
    }
    s.add(at, 2, "field count", Every);
    s.add(at + 2, 2, "field bytes", Every);
    let count = u64::from(s.u16(at));
    let mut value = at + 4 + 4 * count;
    for i in 0..count {
        let head = at + 4 + 4 * i;
        let (what, len) = (s.image.read(head, 1)[0], u64::from(s.u16(head + 2)));
        s.add(head, 1, "field type", Every);
        s.add(head + 1, 1, "field flags", flags_rule(what));
        s.add(head + 2, 2, "field size", Every);
        match what {
            field::STREAM => stream(s, value, value + len),
            field::DEVICE | field::PURGEABLE => s.add(value, len, "device, purgeable", Never),
            _ => s.add(value, len, "field", Every),
        }
        let padded = len.next_multiple_of(8);
        s.add(value + len, padded - len, "field padding", Every);
        value += padded;
    }
}

fn flags_rule(what: u8) -> Rule {
    match what {
        field::NAME | field::STREAM | field::SPARSE | field::DIR_STATS => Every,
        // Others may carry any that is defined.
        _ => Rule::Bits(0xC4),
    }
}
