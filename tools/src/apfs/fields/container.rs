//! Superblock, checkpoint maps, space manager, reaper.

use super::{Row, Sink, XID, bits};
use crate::fields::Rule::{self, Every, Never};

/// A structure whose bytes all mean the same.
pub(super) fn whole(s: &mut Sink, at: u64, end: u64, structure: &'static str, rule: Rule) {
    s.structure = structure;
    s.add(at, end - at, "all of it", rule);
}

/// Block 0 and the newest superblock must agree but for these parts.
pub(super) fn superblock(s: &mut Sink, at: u64, end: u64, structure: &'static str) {
    s.structure = structure;
    s.add(at, 8, "checksum", Never);
    s.add(at + 8, 0x3D0, "header and fields", Every);
    s.add(at + 0x3D8, 0x100, "counters", Never);
    s.add(at + 0x4D8, 0x18, "blocked-out range, evict mapping", Every);
    s.add(at + 0x4F0, 8, "flags", bits(!4, 8));
    s.add(at + 0x4F8, end - at - 0x4F8, "further fields", Every);
}

/// What a superblock says that no copy in block 0 repeats.
pub(super) fn lone_superblock(s: &mut Sink, at: u64, end: u64) {
    s.structure = "lone superblock";
    s.header(at, Every);
    let next = s.u64(at + 0x58);
    let rows: &[Row] = &[
        (0x20, 4, "magic", Every),
        (0x24, 4, "block size", Every),
        (0x28, 8, "blocks", Every),
        (0x30, 8, "features", bits(!3, 8)),
        (0x38, 8, "read-only features", Every),
        (0x40, 8, "incompatible features", Every),
        // Growing the next identifier harms nobody; without its highest bit it is too small.
        (0x58, 8, "next object", bits(1 << next.ilog2(), 8)),
        (0x60, 8, "next transaction", Every),
        (0x68, 0x48, "rings, parts", Every),
        (0xB0, 8, "test field, volumes at most", Every),
        (0xB8, 800, "volumes", Every),
        (0x4D8, 16, "blocked-out range", Every),
        (0x4F0, 8, "flags", bits(!4, 8)),
        (0x4F8, 0x18, "driver for firmware, Fusion", Every),
        (0x518, 8, "blocks of the keybag", Every),
        (0x520, 0x48, "limits of memory, tests, Fusion", Every),
    ];
    s.rows_from(at, 0x20, end, rows);
}

/// Block 0 of a container that was not unmounted leads to the ring of checkpoints, no more.
pub(super) fn old_block_zero(s: &mut Sink, at: u64, end: u64) {
    s.structure = "old block 0";
    s.add(at, 8, "checksum", Never);
    s.add(at + 8, 8, "oid", Every);
    s.add(at + 16, 8, "xid", XID);
    s.add(at + 24, 4, "type", bits(0xFFFF, 4));
    let rows: &[Row] = &[
        (0x20, 4, "magic", Every),
        (0x24, 4, "block size", Every),
        (0x28, 8, "blocks", Every),
        (0x68, 4, "descriptor blocks", bits(0x7FFF_FFFF, 4)),
        (0x70, 8, "descriptor area", Every),
    ];
    s.rows_from(at, 0x1C, end, rows);
}

/// Of older checkpoints nothing is read, but that they are older: which shows of those with a
/// sound checksum only.
pub(super) fn old_checkpoint(s: &mut Sink, at: u64, end: u64) {
    s.structure = "old checkpoint";
    s.add(at, 16, "checksum, oid", Never);
    s.add(at + 16, 8, "xid", Never);
    s.add(at + 24, end - at - 24, "all the rest", Never);
}

const MAPPING: &[Row] = &[
    (0, 4, "type", Every),
    (4, 4, "subtype", Every),
    (8, 4, "size", Every),
    (12, 4, "padding", Every),
    (16, 8, "fs oid", Never),
    (24, 8, "oid", Every),
    (32, 8, "address", Every),
];

pub(super) fn checkpoint_map(s: &mut Sink, at: u64, end: u64) {
    s.structure = "checkpoint map";
    s.header(at, Every);
    s.add(at + 0x20, 4, "flags", Every);
    s.add(at + 0x24, 4, "count", Every);
    let count = u64::from(s.u32(at + 0x24));
    for i in 0..count {
        let base = at + 0x28 + 40 * i;
        s.rows(base, base + 40, MAPPING);
    }
    let used = at + 0x28 + 40 * count;
    s.add(used, end - used, "unused", Never);
}

const SPACEMAN: &[Row] = &[
    (0x20, 4, "block size", Every),
    (0x24, 4, "blocks a chunk", Every),
    (0x28, 4, "chunks a CIB", Every),
    (0x2C, 4, "CIBs a CAB", Every),
    (0x30, 8, "blocks", Every),
    (0x38, 8, "chunks", Every),
    (0x40, 4, "CIBs", Every),
    (0x44, 4, "CABs", Every),
    (0x48, 8, "free blocks", Every),
    (0x50, 4, "offset of addresses", Every),
    (0x60, 8, "blocks of tier 2", Every),
    (0x68, 8, "chunks of tier 2", Every),
    (0x70, 4, "CIBs of tier 2", Every),
    (0x74, 4, "CABs of tier 2", Every),
    (0x78, 8, "free blocks of tier 2", Every),
    (0x90, 4, "flags", Every),
    (0x94, 4, "pool multiplier", Every),
    (0x98, 8, "pool blocks", Every),
    (0xA0, 4, "blocks of a pool bitmap", Every),
    (0xA4, 4, "pool bitmap blocks", Every),
    (0xA8, 8, "pool bitmap base", Every),
    (0xB0, 8, "pool base", Every),
    (0xB8, 8, "reserved blocks", Every),
    (0xC0, 8, "reserved and allocated", Every),
    (0xC8, 8, "pool queue: count", Every),
    (0xD0, 8, "pool queue: tree", Every),
    (0xD8, 8, "pool queue: oldest", Every),
    (0xE0, 2, "pool queue: node limit", Every),
    (0xE2, 6, "pool queue: padding", Every),
    (0xF0, 8, "main queue: count", Every),
    (0xF8, 8, "main queue: tree", Every),
    (0x100, 8, "main queue: oldest", Every),
    (0x108, 2, "main queue: node limit", Every),
    (0x10A, 6, "main queue: padding", Every),
    (0x118, 8, "tier 2 queue: count", Every),
    (0x120, 8, "tier 2 queue: tree", Every),
    (0x140, 2, "list head", Every),
    (0x142, 2, "list tail", Every),
    (0x144, 4, "offset of xids", Every),
    (0x148, 4, "offset of ring indices", Every),
    (0x14C, 4, "offset of list", Every),
];

pub(super) fn spaceman(s: &mut Sink, at: u64, end: u64) {
    s.structure = "space manager";
    s.header(at, Every);
    let [xids, current, list, addresses] =
        [0x144, 0x148, 0x14C, 0x50].map(|o| at + u64::from(s.u32(at + o)));
    s.rows_from(at, 0x20, xids, SPACEMAN);
    let parts = u64::from(s.u32(at + 0xA0));
    s.add(xids, 8 * parts, "xids of pool bitmaps", XID);
    s.add(current, 2 * parts, "ring indices", Every);
    s.add(current + 2 * parts, list - current - 2 * parts, "padding", Never);
    s.add(list, 32 * parts, "list of ring blocks", Every);
    s.add(list + 32 * parts, addresses - list - 32 * parts, "padding", Never);
    let cabs = u64::from(s.u32(at + 0x44));
    let count = if cabs > 0 { cabs } else { u64::from(s.u32(at + 0x40)) };
    s.add(addresses, 8 * count, "addresses", Every);
    let used = addresses + 8 * count;
    s.add(used, end - used, "unused", Never);
}

const CHUNK: &[Row] = &[
    (0, 8, "xid", XID),
    (8, 8, "first block", Every),
    (16, 4, "blocks", bits(0xF_FFFF, 4)),
    (20, 4, "free blocks", bits(0xF_FFFF, 4)),
    (24, 8, "bitmap", Every),
];

pub(super) fn cib(s: &mut Sink, at: u64, end: u64) {
    s.structure = "chunk info";
    s.header(at, Every);
    s.add(at + 0x20, 4, "index", Every);
    s.add(at + 0x24, 4, "count", Every);
    let count = u64::from(s.u32(at + 0x24));
    for i in 0..count {
        let base = at + 0x28 + 32 * i;
        s.rows(base, base + 32, CHUNK);
    }
    let used = at + 0x28 + 32 * count;
    s.add(used, end - used, "unused", Never);
}

pub(super) fn cab(s: &mut Sink, at: u64, end: u64) {
    s.structure = "chunk-info addresses";
    s.header(at, XID);
    s.add(at + 0x20, 4, "index", Every);
    s.add(at + 0x24, 4, "count", Every);
    let count = u64::from(s.u32(at + 0x24));
    s.add(at + 0x28, 8 * count, "addresses", Every);
    let used = at + 0x28 + 8 * count;
    s.add(used, end - used, "unused", Never);
}

/// One bit a block of the pool, which has three blocks for each chunk, CIB and CAB.
pub(super) fn pool_bitmap(s: &mut Sink, at: u64, end: u64, part: u64) {
    s.structure = "pool bitmap";
    let (chunks, cibs, cabs) = crate::apfs::spaceman::tiers(s.layout.blocks, s.layout.block_size);
    let bits_here = (end - at) * 8;
    let bits_used = (3 * (chunks + cibs + cabs) - part * bits_here).min(bits_here);
    s.add(at, bits_used / 8, "bits", Every);
    let rest = bits_used % 8;
    if rest > 0 {
        s.add(at + bits_used / 8, 1, "bits", Rule::Bits((1 << rest) - 1));
    }
    let used = at + bits_used.div_ceil(8);
    s.add(used, end - used, "past the last", Never);
}

const REAPER: &[Row] = &[
    (0x20, 8, "next id", Never),
    (0x28, 8, "completed id", Never),
    (0x30, 8, "head", Every),
    (0x38, 8, "tail", Every),
    (0x40, 4, "flags", Every),
    (0x44, 4, "lists", Every),
    (0x48, 0x24, "last reaped", Never),
    (0x6C, 4, "state size", Every),
];

pub(super) fn reaper(s: &mut Sink, at: u64, end: u64) {
    s.structure = "reaper";
    s.header(at, Every);
    s.rows_from(at, 0x20, end, REAPER);
}

pub(super) fn reap_list(s: &mut Sink, at: u64, end: u64) {
    s.structure = "reap list";
    s.header(at, Every);
    s.rows_from(at, 0x20, end, &[(0x20, 8, "next", Every), (0x2C, 4, "capacity", Every)]);
}
