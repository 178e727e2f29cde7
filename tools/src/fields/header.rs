//! Volume headers and the allocation bitmap.

use super::Rule::*;
use super::{Row, Sink, forks};
use crate::hfs::Tree;

/// Attributes that are reported: not unmounted, inconsistent.
const STATE: u64 = 1 << 8 | 1 << 14;

pub(super) fn volume(s: &mut Sink) {
    let (first, second) = (s.layout.header(), s.layout.alternate());
    let largest = s.layout.largest_cnid();
    let encodings = s.layout.encodings;
    s.structure = "volume header";
    let journaled = s.layout.journal_info.is_some();
    let rows: &[Row] = &[
        (0, 2, "signature", Every),
        (2, 2, "version", Every),
        (4, 4, "attributes", Bits(STATE)),
        (8, 4, "last mounted by", Never),
        (12, 4, "journal info block", if journaled { Every } else { Never }),
        (16, 4, "creation date", Every),
        (20, 12, "dates", Never),
        (32, 4, "file count", Every),
        (36, 4, "folder count", Every),
        (40, 4, "block size", Every),
        (44, 4, "block count", Every),
        (48, 4, "free blocks", Every),
        (52, 12, "next allocation, clumps", Never),
        (64, 4, "next CNID", NotBelow(u64::from(largest) + 1)),
        (68, 4, "write count", Never),
        (72, 8, "encodings", Bits(encodings)),
        (80, 32, "Finder information", Never),
    ];
    s.rows(first, rows);
    special_forks(s, first);
    s.structure = "alternate header";
    // The rest of the alternate is stale by design.
    let rows: &[Row] = &[
        (0, 2, "signature", Every),
        (2, 2, "version", Every),
        (4, 12, "attributes, version, journal", Never),
        (16, 4, "creation date", Every),
        (20, 20, "dates and counts", Never),
        (40, 4, "block size", Every),
        (44, 4, "block count", Every),
        (48, 64, "counts and Finder information", Never),
    ];
    s.rows(second, rows);
    special_forks(s, second);
}

fn special_forks(s: &mut Sink, header: u64) {
    for (i, name) in ["bitmap", "extents", "catalog", "attributes", "startup"].iter().enumerate() {
        let at = header + 112 + 80 * i as u64;
        let there = *name != "startup"
            && (*name != "attributes" || s.layout.tree(Tree::Attributes).is_some());
        if there {
            forks::special(s, at);
        } else {
            s.add(at, 80, "fork of no file", Never);
        }
    }
}

pub(super) fn bitmap(s: &mut Sink) {
    s.structure = "bitmap";
    let layout = s.layout;
    let mut first = 0;
    for extent in &layout.bitmap {
        let bytes = u64::from(extent.count) * u64::from(layout.block_size);
        s.map(layout.block(extent.start), bytes, first, layout.total_blocks.into(), "block");
        first += bytes * 8;
    }
}
