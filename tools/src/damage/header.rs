//! Damage to the volume headers and the allocation bitmap.

use super::Row;
use super::target::Target;
use crate::hfs::{ForkKind, Tree};

pub(super) const TABLE: &[Row] = &[
    ("vh-signature", "the volume header has no signature", &[564], |t| {
        t.poke16(t.layout.header(), 0)
    }),
    ("vh-both-signatures", "neither volume header has a signature", &[564], |t| {
        t.poke16(t.layout.alternate(), 0);
        t.poke16(t.layout.header(), 0)
    }),
    ("vh-version", "the volume header's version is 6", &[561, 564], |t| field16(t, 2, 6)),
    ("vh-unclean", "the volume was not unmounted", &[], |t| t.flip(t.layout.header() + 6, 0x01)),
    ("vh-inconsistent", "the volume is marked inconsistent", &[], |t| {
        t.flip(t.layout.header() + 6, 0x40)
    }),
    ("vh-replay-failed", "lastMountedVersion is FSK!", &[], |t| {
        t.poke(t.layout.header() + 8, b"FSK!")
    }),
    ("vh-journal-info-block", "journalInfoBlock is past the end", &[574], |t| {
        field32(t, 0x0C, t.layout.total_blocks + 5)
    }),
    ("vh-file-count", "fileCount is one too many", &[542, 555], |t| add(t, 0x20, 1)),
    ("vh-folder-count", "folderCount is one too few", &[541, 555], |t| add(t, 0x24, -1)),
    ("vh-block-size", "blockSize is 3000", &[506, 564], |t| field32(t, 0x28, 3000)),
    ("vh-total-blocks", "totalBlocks is greater than the device", &[507, 564], |t| {
        add(t, 0x2C, 1000)
    }),
    ("vh-free-blocks", "freeBlocks is off by three", &[553, 555], |t| add(t, 0x30, 3)),
    ("vh-next-cnid", "nextCatalogID is in use", &[555], |t| field32(t, 0x40, 17)),
    ("vh-encodings", "the encodings bitmap is empty", &[555], |t| {
        t.poke(t.layout.header() + 0x48, &[0; 8])
    }),
    ("vh-bitmap-size", "the allocation file is too short for the volume", &[510, 543, 555], |t| {
        t.poke(t.layout.header() + 0x70, &8u64.to_be_bytes())
    }),
    ("vh-catalog-clump", "the catalog's clump size is no multiple of its nodes", &[549], |t| {
        field32(t, 0x118, 100)
    }),
    ("vh-catalog-size", "the catalog is longer than its blocks", &[543, 501], |t| {
        t.flip(t.layout.header() + 0x110 + 4, 0x10)
    }),
    (
        "vh-catalog-blocks",
        "the catalog's block count is not the sum of its extents",
        &[543, 500],
        |t| add(t, 0x110 + 12, 1),
    ),
    ("vh-catalog-extent", "the catalog lies past the end", &[510], |t| {
        field32(t, 0x110 + 16, t.layout.total_blocks + 7)
    }),
    ("vh-extents-extent", "the extents tree lies past the end", &[510], |t| {
        field32(t, 0xC0 + 16, t.layout.total_blocks + 7)
    }),
    ("vh-attributes-extent", "the attributes tree lies past the end", &[510], |t| {
        field32(t, 0x160 + 16, t.layout.total_blocks + 7)
    }),
    ("vh-special-overlap", "the startup file overlaps the catalog", &[511, 563, 607], |t| {
        let start = t.layout.catalog.extents[0].start;
        let at = t.layout.header() + 0x1B0;
        t.poke(at, &u64::from(t.layout.block_size).to_be_bytes());
        t.poke32(at + 12, 1);
        t.poke32(at + 20, 1);
        t.poke32(at + 16, start)
    }),
    ("alternate-signature", "the alternate volume header has no signature", &[564, 555], |t| {
        t.poke16(t.layout.alternate(), 0)
    }),
    ("alternate-catalog", "the alternate volume header has the catalog elsewhere", &[555], |t| {
        let at = t.layout.alternate() + 0x110 + 16;
        t.add32(at, 3)
    }),
    ("bitmap-file-free", "a block of a file is marked free", &[556], |t| {
        let file = t.file()?;
        let extents = t.layout.fork(file.id(), ForkKind::Data);
        clear(t, extents[0].start)
    }),
    ("bitmap-catalog-free", "a block of the catalog is marked free", &[556], |t| {
        clear(t, t.layout.catalog.extents[0].start)
    }),
    ("bitmap-header-free", "the volume header's block is marked free", &[556], |t| clear(t, 0)),
    ("bitmap-end-free", "the last block is marked free", &[556], |t| {
        clear(t, t.layout.total_blocks - 1)
    }),
    ("bitmap-leak", "a free block is marked used", &[609], |t| {
        let block = t.layout.free_block;
        t.flip(t.layout.bitmap_byte(block), 0x80 >> (block % 8))
    }),
    ("journal-info-flags", "the journal is said to be on another device", &[574], |t| {
        let at = t.layout.journal_info?;
        t.poke32(at, 2)
    }),
    ("journal-info-offset", "the journal is said to lie past the end", &[574], |t| {
        let at = t.layout.journal_info?;
        t.poke(at + 36, &(t.layout.len + 4096).to_be_bytes())
    }),
    ("journal-header", "the journal header has no magic number", &[574], |t| {
        let (at, _) = t.layout.journal?;
        t.poke(at, &[0; 4])
    }),
    ("journal-sum", "the journal header does not match its checksum", &[574], |t| {
        let (at, _) = t.layout.journal?;
        t.flip(at + 37, 0xFF)
    }),
    ("journal-range", "the journal's start lies past its end", &[574], |t| {
        let (at, len) = t.layout.journal?;
        let start = (len + 512).to_le_bytes();
        t.poke(at + 8, &start);
        let head = t.image.read(at, 44);
        let mut zeroed = head.clone();
        zeroed[36..40].fill(0);
        let sum = crate::journal::checksum(&zeroed);
        t.poke(at + 36, &sum.to_le_bytes());
        Some(at + 8)
    }),
    (
        "lost-leaf",
        "a leaf of the catalog is all zero, as where a band was lost",
        &[515, 520, 523],
        |t| {
            let tree = t.tree(Tree::Catalog)?;
            let (at, len) = (tree.node(*tree.leaves.get(1)?), u64::from(tree.node_size));
            t.image.fill(at, len, 0);
            Some(at)
        },
    ),
];

fn field16(t: &mut Target, at: u64, value: u16) -> Option<u64> {
    t.poke16(t.layout.header() + at, value)
}

fn field32(t: &mut Target, at: u64, value: u32) -> Option<u64> {
    t.poke32(t.layout.header() + at, value)
}

fn add(t: &mut Target, at: u64, more: i32) -> Option<u64> {
    t.add32(t.layout.header() + at, more)
}

fn clear(t: &mut Target, block: u32) -> Option<u64> {
    let at = t.layout.bitmap_byte(block);
    t.image.edit(at, 1, |b| b[0] &= !(0x80 >> (block % 8)));
    Some(at)
}
