//! Nodes, trees and object maps.

use super::Row;
use super::bent::{Bent, get, get16, get32, put, put16, put32};
use tmbundle::report::Rule::*;
use tools::apfs::What;
use tools::apfs::object::kind;

pub const TABLE: &[Row] = &[
    (A040, "small", |c| {
        let (at, _) = c.find(|w| matches!(w, What::Cib));
        c.byte(at + 0x100, |b| b ^ 1);
    }),
    (A041, "small", |c| c.cib(|b| put(b, 8, 5))),
    (A042, "small", |c| c.cib(|b| put(b, 16, 1 << 40))),
    (A043, "small", |c| c.cib(|b| put32(b, 24, 0x4000_0006))),
    (A045, "small", |c| c.spaceman(|b| put(b, get32(b, 0x50) as usize, 1 << 40))),
    (A046, "small", |c| c.cib(|b| put32(b, 24, get32(b, 24) | 0x0004_0000))),
    (A046, "small", |c| omap(c, |b| put32(b, 24, get32(b, 24) | 0x0800_0000))),
    (A046, "small", |c| omap_tree(c, |b| put32(b, 24, get32(b, 24) | 0x0001_0000))),
    (A046, "snapshots", |c| sibling(c, |b| put32(b, 24, get32(b, 24) | 0x0001_0000))),
    (A046, "snapshots", |c| copy(c, |b| put32(b, 24, get32(b, 24) | 0x0001_0000))),
    (A047, "small", |c| c.cib(|b| put32(b, 24, get32(b, 24) | 0x1000_0000))),
    (A047, "snapshots", |c| sibling(c, |b| put32(b, 24, get32(b, 24) | 0x1000_0000))),
    (A048, "small", |c| c.superblock(|b| put(b, 0x58, 1025))),
    (A049, "snapshots", |c| references(c, |b| put16(b, 0x20, get16(b, 0x20) | 0x10))),
    (A050, "snapshots", |c| references(c, |b| put16(b, 0x20, get16(b, 0x20) | 0x40))),
    (A052, "snapshots", |c| references(c, |b| put16(b, 0x2E, 0x7000))),
    (A053, "snapshots", |c| references(c, |b| put32(b, 0x24, 3000))),
    (A055, "snapshots", |c| references(c, |b| put16(b, 0x2C, 0))),
    (A056, "snapshots", |c| references(c, |b| put16(b, 0x38 + 4, get16(b, 0x40 + 4)))),
    (A057, "snapshots", |c| references(c, |b| put16(b, 0x30, 0))),
    (A058, "snapshots", |c| references(c, |b| put16(b, 0x32, get16(b, 0x32) + 4))),
    (A059, "snapshots", |c| references(c, |b| put16(b, 0x34, 20))),
    (A060, "snapshots", |c| references(c, |b| put16(b, 0x36, get16(b, 0x36) + 4))),
    (A061, "snapshots", |c| references(c, |b| put16(b, 0x38, get16(b, 0x40)))),
    // The last key of the root above leaves that snapshots have, too.
    (A062, "snapshots", |c| {
        sibling(c, |b| {
            let last = 0x38 + 8 * (get32(b, 0x24) as usize - 1);
            let key = 0x38 + usize::from(get16(b, 0x2A)) + usize::from(get16(b, last));
            b[key + usize::from(get16(b, last + 2)) - 2] ^= 1;
        })
    }),
    (A063, "snapshots", |c| references(c, |b| put16(b, 0x22, 1))),
    (A067, "snapshots", |c| references(c, |b| footer(b, 0, 0x40))),
    (A068, "snapshots", |c| references(c, |b| footer(b, 4, 512))),
    (A069, "snapshots", |c| references(c, |b| footer(b, 8, 8))),
    (A070, "snapshots", |c| references(c, |b| footer(b, 16, 4))),
    (A071, "snapshots", |c| references(c, |b| footer(b, 24, 7000))),
    (A072, "snapshots", |c| references(c, |b| footer(b, 32, 7))),
    (A080, "small", |c| omap(c, |b| put32(b, 0x20, 0x100))),
    (A080, "small", |c| c.object(|w| matches!(w, What::Omap(None)), |b| put32(b, 0x20, 0))),
    (A081, "small", |c| omap(c, |b| put32(b, 0x28, 2))),
    (A082, "small", |c| omap(c, |b| put(b, 0x48, 5))),
    (A083, "small", |c| omap(c, |b| put32(b, 0x20, 2))),
    (A084, "small", |c| mapping(c, |b, v| put32(b, v, get32(b, v) | 2))),
    (A084, "small", |c| mapping(c, |b, v| put32(b, v, get32(b, v) | 8))),
    (A085, "small", |c| mapping(c, |b, v| put32(b, v + 4, 100))),
    (A086, "small", |c| container_mapping(c, |b, key| put(b, key + 8, 0))),
    (A087, "small", |c| omap_tree(c, |b| put(b, 16, 1))),
    (A088, "small", |c| mapping(c, |b, v| put(b, v + 8, 1 << 40))),
    (A089, "small", |c| mapping(c, |b, v| put32(b, v + 4, 8192))),
    (A090, "snapshots", |c| omap_snapshot(c, |b, _, v| put32(b, v + 4, 1))),
    (A091, "snapshots", |c| omap_snapshot(c, |b, _, v| put32(b, v, 1))),
    (A092, "snapshots", |c| omap(c, |b| put32(b, 0x24, get32(b, 0x24) + 1))),
    (A093, "small", |c| c.superblock(|b| put(b, 0xB8, 0x9999))),
    (A094, "snapshots", |c| sibling(c, |b| put(b, 16, get(b, 16) - 1))),
    (A095, "small", |c| container_mapping(c, |b, key| put(b, key, get(b, key) + 1))),
    (A044, "snapshots", |c| references(c, |b| put32(b, 24, 2))),
    (A054, "deep", |c| level(c, kind::FS_TREE, 0, |b| put32(b, 0x24, 0))),
    (A062, "deep", |c| {
        level(c, kind::FS_TREE, 1, |b| {
            let at = keys(b) + usize::from(get16(b, 0x38));
            put(b, at, get(b, at) - 1);
        })
    }),
    (A064, "snapshots", |c| references(c, |b| put16(b, 0x20, get16(b, 0x20) & !1))),
    (A065, "snapshots", |c| references(c, |b| put32(b, 28, kind::OMAP))),
    (A066, "snapshots", |c| references(c, |b| put16(b, 0x20, get16(b, 0x20) | 4))),
    (A073, "deep", |c| level(c, kind::OMAP, 1, |b| put(b, 16, get(b, 16) - 1))),
    (A075, "small", |c| {
        omap_tree(c, |b| {
            let (at, gap) = (keys(b), usize::from(get16(b, 0x2C)));
            b.copy_within(at..at + gap, at + 4);
            put16(b, 0x2A, get16(b, 0x2A) + 4);
            put16(b, 0x2E, get16(b, 0x2E) - 4);
        })
    }),
    (A076, "small", |c| {
        omap_tree(c, |b| {
            let end = b.len() - 40;
            let count = get32(b, 0x24) as usize;
            let last = (0..count).max_by_key(|i| get16(b, 0x3A + i * 4)).unwrap();
            let (at, off) = (0x3A + last * 4, get16(b, 0x3A + last * 4));
            let start = end - usize::from(off);
            b.copy_within(start..start + 16, start - 4);
            put16(b, at, off + 4);
            put16(b, 0x2E, get16(b, 0x2E) - 4);
        })
    }),
    (A077, "deep", |c| {
        level(c, kind::FS_TREE, 1, |b| {
            let i = (0..get32(b, 0x24) as usize).find(|i| get16(b, 0x3C + i * 8) >= 16).unwrap();
            put16(b, 0x3E + i * 8, 16);
        })
    }),
    (A078, "snapshots", |c| references(c, |b| put16(b, 0x3C, 0xFFFF))),
    (A079, "snapshots", |c| record(c, 3, |b, at, _| put16(b, at + 2, 9))),
    (A103, "snapshots", |c| copy(c, |b| put(b, 0x38, get(b, 0x38) | 0x400))),
    (A128, "small", |c| mapping(c, |b, v| put32(b, v, get32(b, v) | 4))),
    (A130, "snapshots", |c| record(c, 6, |b, at, _| put16(b, at + 6, 3))),
    (A150, "snapshots", |c| record(c, 3, |b, at, _| put16(b, at + 6, 90))),
    (A177, "clones", |c| record(c, 3, |b, _, v| put(b, v + 0x30, get(b, v + 0x30) & !0x410))),
    (A234, "clones", |c| {
        record(c, 3, |b, at, v| {
            let id = get(b, keys(b) + usize::from(get16(b, at))) << 4 >> 4;
            put(b, v + 8, id);
        })
    }),
    (A264, "snapshots", |c| copy(c, |b| put(b, 0x80, 5))),
    (A269, "snapshots", |c| {
        let (at, len) = node(c, first_volume(c), kind::SNAP_META);
        c.edit(at, len, |b| {
            for i in 0..get32(b, 0x24) as usize {
                let xid = get(b, keys(b) + usize::from(get16(b, 0x38 + i * 8)));
                let value = len - 40 - usize::from(get16(b, 0x3C + i * 8));
                if xid >> 60 == 1 {
                    put(b, value + 0x10, (1 << 60) - (xid << 4 >> 4));
                }
            }
        });
    }),
    (A270, "snapshots", |c| c.object(|w| matches!(w, What::SnapMetaExt(_)), |b| put32(b, 0x20, 2))),
    (A360, "compressed", |c| record(c, 4, |b, at, v| decmpfs(b, at, |b| put32(b, v + 4, 1)))),
    (A361, "compressed", |c| {
        record(c, 4, |b, at, v| {
            decmpfs(b, at, |b| put32(b, v + 8, get32(b, v + 8) ^ 7));
        })
    }),
    (A362, "compressed", |c| {
        record(c, 4, |b, at, v| {
            decmpfs(b, at, |b| put(b, v + 12, get(b, v + 12) + 1));
        })
    }),
    (A101, "snapshots", |c| copy(c, |b| put32(b, 0x24, 3))),
    (A262, "snapshots", |c| omap_snapshot(c, |b, k, _| put(b, k, get(b, k) + 1))),
    (A268, "snapshots", |c| omap_snapshot(c, |b, k, _| put(b, k, get(b, k) + 1))),
    (A270, "snapshots", |c| c.object(|w| matches!(w, What::SnapMetaExt(_)), |b| put32(b, 28, 1))),
];

/// A node of the volume's tree of that subtype which has entries, a root if there is one.
fn node(c: &Bent, volume: Option<u32>, subtype: u32) -> (u64, usize) {
    let size = c.layout.block_size;
    let found = c.layout.find(
        |w| matches!(w, What::Node { volume: v, tree, .. } if *v == volume && tree.subtype == subtype),
    );
    let mut all: Vec<u64> = found.map(|p| p.address * size).collect();
    all.retain(|at| get32(&c.image.read(at + 0x24, 4), 0) > 2 || volume.is_none());
    let root = all.iter().find(|at| c.image.read(*at + 0x20, 1)[0] & 1 != 0).copied();
    (root.unwrap_or(all[0]), size as usize)
}

fn first_volume(c: &Bent) -> Option<u32> {
    let volumes = c.layout.places.iter().filter_map(|p| match p.what {
        What::Volume(n) => Some(n),
        _ => None,
    });
    volumes.min()
}

fn references(c: &mut Bent, change: impl FnOnce(&mut [u8])) {
    let (at, len) = node(c, first_volume(c), kind::EXTENTREF);
    c.edit(at, len, change);
}

fn sibling(c: &mut Bent, change: impl FnOnce(&mut [u8])) {
    let (at, len) = node(c, first_volume(c), kind::FS_TREE);
    c.edit(at, len, change);
}

fn footer(b: &mut [u8], at: usize, value: u32) {
    let start = b.len() - 40;
    put32(b, start + at, value);
}

/// The volume's object map.
fn omap(c: &mut Bent, change: impl FnOnce(&mut [u8])) {
    c.object(|w| matches!(w, What::Omap(Some(_))), change);
}

fn omap_tree(c: &mut Bent, change: impl FnOnce(&mut [u8])) {
    let (at, len) = node(c, first_volume(c), kind::OMAP);
    c.edit(at, len, change);
}

/// The value of the first entry of a leaf of a fixed tree.
fn value(b: &[u8]) -> usize {
    let end = b.len() - if b[0x20] & 1 != 0 { 40 } else { 0 };
    end - usize::from(get16(b, 0x3A))
}

fn mapping(c: &mut Bent, change: impl FnOnce(&mut [u8], usize)) {
    omap_tree(c, |b| {
        let value = value(b);
        change(b, value);
    });
}

fn key(b: &[u8]) -> usize {
    0x38 + usize::from(get16(b, 0x2A)) + usize::from(get16(b, 0x38))
}

fn container_mapping(c: &mut Bent, change: impl FnOnce(&mut [u8], usize)) {
    let (at, len) = node(c, None, kind::OMAP);
    c.edit(at, len, |b| {
        let key = key(b);
        change(b, key);
    });
}

fn omap_snapshot(c: &mut Bent, change: impl FnOnce(&mut [u8], usize, usize)) {
    let (at, len) = node(c, first_volume(c), kind::OMAP_SNAPSHOT);
    c.edit(at, len, |b| {
        let (key, value) = (key(b), value(b));
        change(b, key, value);
    });
}

/// Where the keys of a node begin.
fn keys(b: &[u8]) -> usize {
    0x38 + usize::from(get16(b, 0x2A))
}

/// Change the node of a tree of the volume that is of a level and no other's.
fn level(c: &mut Bent, subtype: u32, level: u8, change: impl FnOnce(&mut [u8])) {
    let size = c.layout.block_size;
    let found = c
        .layout
        .find(|w| matches!(w, What::Node { tree, volume: Some(_), .. } if tree.subtype == subtype));
    let mut all =
        found.map(|p| p.address * size).filter(|at| c.image.read(at + 0x22, 1)[0] == level);
    let at = all.next().unwrap();
    drop(all);
    c.edit(at, size as usize, change);
}

/// Change the records of a kind in all leaves of the file-system trees: given are the place of
/// an entry in the table, and of its value.
fn record(c: &mut Bent, kind: u64, change: fn(&mut [u8], usize, usize)) {
    let size = c.layout.block_size;
    let found =
        c.layout.find(|w| matches!(w, What::Node { tree, .. } if tree.subtype == kind::FS_TREE));
    let mut all: Vec<u64> = found.map(|p| p.address * size).collect();
    all.retain(|at| c.image.read(at + 0x22, 1)[0] == 0);
    for at in all {
        c.edit(at, size as usize, |b| {
            let end = b.len() - if b[0x20] & 1 != 0 { 40 } else { 0 };
            for i in 0..get32(b, 0x24) as usize {
                let entry = 0x38 + i * 8;
                let key = keys(b) + usize::from(get16(b, entry));
                if get(b, key) >> 60 == kind {
                    let value = end - usize::from(get16(b, entry + 4));
                    change(b, entry, value);
                }
            }
        });
    }
}

/// Change the copy of the superblock that a snapshot keeps.
fn copy(c: &mut Bent, change: impl FnOnce(&mut [u8])) {
    c.object(|w| matches!(w, What::VolumeCopy(_)), change);
}

/// Change what an entry of a node tells if it is the header of compressed contents.
fn decmpfs(b: &mut [u8], entry: usize, change: impl FnOnce(&mut [u8])) {
    let name = keys(b) + usize::from(get16(b, entry)) + 10;
    if b[name..].starts_with(b"com.apple.decmpfs\0") {
        change(b);
    }
}
