//! Damage to attribute records and to what attributes hold: access lists, compression, checksums.

use super::Row;
use super::target::{Found, Target};
use crate::bytes::be32;
use crate::hfs::{ForkKind, Tree};
use crate::{decmpfs, timemachine};

const SECURITY: &str = "com.apple.system.Security";

pub(super) const TABLE: &[Row] = &[
    ("attribute-type", "an attribute record is of type 0x99", &[579], |t| {
        let at = record_of(t, 0x10, 0)?;
        t.poke32(at, 0x99)
    }),
    ("attribute-size", "an inline attribute is longer than its record", &[579, 520], |t| {
        let at = record_of(t, 0x10, 0)?;
        t.poke32(at + 12, 0x7000)
    }),
    ("attribute-orphan", "attributes belong to no file", &[575], |t| {
        let tree = t.tree(Tree::Attributes)?;
        let leaf = *tree.leaves.last()?;
        let key = tree.record(t.image, leaf, tree.records(t.image, leaf) - 1);
        t.poke32(key + 4, 0x7FFF_FFF0)
    }),
    (
        "attribute-fork-blocks",
        "an attribute's block count is not the sum of its extents",
        &[577],
        |t| {
            let at = record_of(t, 0x20, 0)?;
            t.add32(at + 20, 1)
        },
    ),
    ("attribute-fork-size", "an attribute is longer than its blocks", &[578], |t| {
        let at = record_of(t, 0x20, 0)?;
        t.poke(at + 8, &(1u64 << 40).to_be_bytes())
    }),
    ("attribute-fork-extent", "an attribute's extent is past the end", &[510], |t| {
        let at = record_of(t, 0x20, 0)?;
        t.poke32(at + 24, t.layout.total_blocks + 5)
    }),
    (
        "attribute-extents-start",
        "an attribute's extents record begins at the wrong block",
        &[579, 577],
        |t| {
            let key = record_of(t, 0x30, 1)?;
            t.add32(key + 8, 1)
        },
    ),
    ("attribute-extents-range", "an attribute's extents record lies past the end", &[510], |t| {
        let at = record_of(t, 0x30, 0)?;
        t.poke32(at + 8, t.layout.total_blocks + 5)
    }),
    ("acl-magic", "an access list has no magic number", &[], |t| {
        let at = value_of(t, SECURITY)?;
        t.poke32(at, 0)
    }),
    ("acl-count", "an access list has more entries than bytes", &[], |t| {
        let at = value_of(t, SECURITY)?;
        t.poke32(at + 36, 100)
    }),
    ("decmpfs-magic", "a compression header has no magic number", &[], |t| {
        let at = value_of(t, decmpfs::XATTR)?;
        t.poke32(at, 0)
    }),
    ("decmpfs-type", "a compression type is unknown", &[], |t| {
        let at = value_of(t, decmpfs::XATTR)?;
        t.poke(at + 4, &[99])
    }),
    ("decmpfs-size", "a compression header promises one byte too many", &[], |t| {
        let at = compressed(t, 4)?.0;
        let size = t.image.read(at + 8, 1)[0];
        t.poke(at + 8, &[size.wrapping_add(1)])
    }),
    ("decmpfs-huge", "a compression header promises an exabyte", &[], |t| {
        let at = compressed(t, 4)?.0;
        t.poke(at + 8, &(1u64 << 60).to_le_bytes())
    }),
    ("decmpfs-inline-data", "inline compressed data is changed", &[], |t| {
        let at = compressed(t, 3)?.0;
        t.flip(at + 16 + 20, 0xFF)
    }),
    ("decmpfs-zlib-data", "compressed data in the resource fork is changed", &[], |t| {
        let at = fork(t, 4)?;
        t.flip(at + 0x100 + 400, 0xFF)
    }),
    ("decmpfs-zlib-table", "a zlib block is said to lie past the fork", &[], |t| {
        let at = fork(t, 4)?;
        t.poke(at + 0x108, &0x00FF_FFFFu32.to_le_bytes())
    }),
    ("decmpfs-zlib-count", "the zlib table has too many blocks", &[], |t| {
        let at = fork(t, 4)?;
        t.poke(at + 0x104, &0x0100_0000u32.to_le_bytes())
    }),
    ("decmpfs-lzvn-table", "an LZVN block ends before it begins", &[], |t| {
        let at = fork(t, 8)?;
        t.poke(at + 4, &1u32.to_le_bytes())
    }),
    ("decmpfs-lzvn-data", "LZVN data is changed", &[], |t| {
        let at = fork(t, 8)?;
        let first = u32::from_le_bytes(t.image.read(at, 4).try_into().ok()?);
        t.poke(at + u64::from(first), &[0x70, 0x70, 0x70])
    }),
    ("decmpfs-lzfse-data", "LZFSE data is changed", &[], |t| {
        let at = fork(t, 12)?;
        let first = u32::from_le_bytes(t.image.read(at, 4).try_into().ok()?);
        t.image.fill(at + u64::from(first) + 4, 60, 0xA5);
        Some(at + u64::from(first) + 4)
    }),
    ("decmpfs-flag", "a compressed file is not marked as one", &[], |t| {
        let at = compressed(t, 3)?.1.at(41);
        t.flip(at, 0x20)
    }),
    ("decmpfs-no-header", "a file is marked compressed but has no header", &[], |t| {
        let file = t.find(|f| f.is_plain_file() && f.flags() & 4 == 0 && f.blocks() > 0)?;
        t.flip(file.at(41), 0x20)
    }),
    ("checksum-data", "a file's content does not match its recorded checksum", &[], |t| {
        let (_, file) = checksummed(t)?;
        let extent = t.layout.fork(file.id(), ForkKind::Data)[0];
        t.flip(t.layout.block(extent.start), 0x01)
    }),
    ("checksum-value", "a recorded checksum is changed", &[], |t| {
        let at = checksummed(t)?.0;
        t.flip(at, 0x80)
    }),
    ("checksum-length", "a recorded checksum is three bytes long", &[], |t| {
        let at = checksummed(t)?.0;
        t.poke32(at - 4, 3)
    }),
];

/// Byte offset of the first attribute record of a type; with `part` 1 of its key.
fn record_of(t: &Target, kind: u32, part: u32) -> Option<u64> {
    let tree = t.tree(Tree::Attributes)?;
    for &leaf in &tree.leaves {
        for i in 0..tree.records(t.image, leaf) {
            let key = tree.record(t.image, leaf, i);
            let data = key + 2 + u64::from(t.get16(key).next_multiple_of(2));
            if t.get32(data) == kind {
                return Some(if part == 1 { key } else { data });
            }
        }
    }
    None
}

/// Byte offset of the value of the first inline attribute of that name.
fn value_of(t: &Target, name: &str) -> Option<u64> {
    let owner = t.layout.attribute_owners(name).next()?;
    Some(t.layout.attribute(t.image, owner, name)?.data + 16)
}

/// The first compressed file of a type: byte offset of its header, its record.
fn compressed(t: &Target, kind: u8) -> Option<(u64, Found)> {
    t.layout.attribute_owners(decmpfs::XATTR).find_map(|id| {
        let at = t.layout.attribute(t.image, id, decmpfs::XATTR)?.data + 16;
        let file = t.find(|f| f.kind() == 2 && f.id() == id)?;
        (t.image.read(at + 4, 4) == [kind, 0, 0, 0]).then_some((at, file))
    })
}

/// Byte offset of the resource fork of the first compressed file of a type.
fn fork(t: &Target, kind: u8) -> Option<u64> {
    let (_, file) = compressed(t, kind)?;
    debug_assert!(be32(&file.data, 168 + 12) > 0);
    Some(t.layout.block(t.layout.fork(file.id(), ForkKind::Resource).first()?.start))
}

/// The first file with a recorded checksum and a data fork: byte offset of the value, its record.
fn checksummed(t: &Target) -> Option<(u64, Found)> {
    t.layout.attribute_owners(timemachine::CHECKSUM).find_map(|id| {
        let at = t.layout.attribute(t.image, id, timemachine::CHECKSUM)?.data + 16;
        let file = t.find(|f| f.kind() == 2 && f.id() == id)?;
        (file.blocks() > 0).then_some((at, file))
    })
}
