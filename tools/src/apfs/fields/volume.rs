//! Volume superblocks, object maps, extended snapshot metadata.

use super::{Row, Sink, XID, bits};
use crate::fields::Rule::{Every, Never};

const OMAP: &[Row] = &[
    // That keys were changed says nothing of a map of objects.
    (0x20, 4, "flags", bits(!0x10, 4)),
    (0x24, 4, "snapshots", Every),
    (0x28, 4, "tree type", Every),
    (0x2C, 4, "snapshot tree type", Every),
    (0x30, 8, "tree", Every),
    (0x38, 8, "snapshot tree", Every),
    (0x40, 8, "newest snapshot", Every),
    (0x48, 16, "pending revert", Never),
];

pub(super) fn omap(s: &mut Sink, at: u64, end: u64) {
    s.structure = "object map";
    s.header(at, XID);
    s.rows_from(at, 0x20, end, OMAP);
}

const COUNTS: [&str; 5] = ["files", "directories", "symlinks", "others", "snapshots"];

/// A volume's superblock, or a snapshot's copy of it.
pub(super) fn superblock(s: &mut Sink, at: u64, end: u64, (live, encrypted): (bool, bool)) {
    s.structure = if live { "volume superblock" } else { "superblock copy" };
    s.header(at, if live { Every } else { XID });
    // Growing the next identifier harms nobody; without its highest bit it is too small.
    let next = s.u64(at + 0xB0);
    let top = 1u64 << next.ilog2();
    let mut rows: Vec<Row> = vec![
        (0x20, 4, "magic", Every),
        (0x24, 4, "index", Every),
        (0x30, 8, "read-only features", Every),
        // Undefined ones, and how names are compared.
        (0x38, 8, "incompatible features", bits(!0x1D6, 8)),
        (0x48, 8, "reserve", if live { Every } else { Never }),
        (0x58, 8, "allocated", if live { Every } else { Never }),
        (0x60, 8, "meta crypto", Every),
        (0x74, 12, "tree types", Every),
        (0x80, 8, "object map", Every),
        (0x88, 8, "root tree", Every),
        (0x90, 8, "extent references", Every),
        (0x98, 8, "snapshot metadata", Every),
        (0xB0, 8, "next object", bits(top, 8)),
    ];
    for (i, name) in COUNTS.into_iter().enumerate() {
        let rule = if i < 4 || live { Every } else { Never };
        rows.push((0xB8 + 8 * i as u64, 8, name, rule));
    }
    rows.extend([
        // Its keys are found by it.
        (0xF0, 16, "uuid", if encrypted { Every } else { Never }),
        (0x108, 8, "flags", bits(!0x3F0, 8)),
        (0x3F0, 16, "volume group", Every),
        (0x400, 8, "integrity metadata", Every),
        (0x408, 8, "file extents", Every),
    ]);
    s.rows_from(at, 0x20, end, &rows);
}

const SNAP_META_EXT: &[Row] = &[
    (0x20, 4, "version", Every),
    (0x24, 4, "flags", Every),
    (0x28, 8, "snapshot", Every),
    (0x30, 16, "uuid", Never),
    (0x40, 8, "token", Never),
];

pub(super) fn snap_meta_ext(s: &mut Sink, at: u64, end: u64) {
    s.structure = "extended snapshot metadata";
    s.header(at, Every);
    s.rows_from(at, 0x20, end, SNAP_META_EXT);
}
