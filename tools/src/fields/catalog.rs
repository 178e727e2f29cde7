//! Catalog records: folders, files, links, inodes, threads.

use super::Rule::*;
use super::{Row, Rule, Sink, forks, trees};
use crate::hfs::Tree;

const CHAINED: u16 = 0x20;
/// Has attributes, has an access list, is part of a link chain: all compared with what is there.
const COMPARED: u64 = 0x04 | 0x08 | 0x20;
const FORMAT: u16 = 0o170_000;

/// A folder or file record and what the writer knows of it.
struct Item {
    data: u64,
    parent: u32,
    flags: u16,
    id: u32,
    owner_flags: u8,
    mode: u16,
    kind: [u8; 4],
    blocks: u32,
}

impl Item {
    fn chained(&self) -> bool {
        self.flags & CHAINED != 0
    }
}

pub(super) fn record(s: &mut Sink, at: u64, len: u64) {
    let data = at + 2 + u64::from(s.get16(at));
    let kind = s.get16(data);
    s.structure = match kind {
        1 => "catalog leaf: folder",
        2 => "catalog leaf: file",
        _ => "catalog leaf: thread",
    };
    if kind > 2 {
        trees::key(s, Tree::Catalog, at, true);
        return thread(s, data, at + len);
    }
    let bytes = s.image.read(data, 56);
    let blocks = if kind == 2 { s.get32(data + 100) } else { 0 };
    let item = Item {
        data,
        parent: s.get32(at + 2),
        flags: s.get16(data + 2),
        id: s.get32(data + 8),
        owner_flags: bytes[41],
        mode: s.get16(data + 42),
        kind: [bytes[48], bytes[49], bytes[50], bytes[51]],
        blocks,
    };
    let link = matches!(&item.kind, b"hlnk" | b"fdrp");
    let private = [s.layout.private.0, s.layout.private.1].contains(&item.parent);
    if link {
        s.structure = "catalog leaf: link";
    } else if private && item.chained() {
        s.structure = "catalog leaf: inode";
    }
    trees::key(s, Tree::Catalog, at, true);
    s.add(data, 2, "record type", Every);
    if kind == 1 { folder(s, &item) } else { file(s, &item, link) }
}

fn thread(s: &mut Sink, data: u64, end: u64) {
    s.rows(
        data,
        &[
            (0, 2, "record type", Every),
            (2, 2, "reserved", Never),
            (4, 4, "parent", Every),
            (8, 2, "name length", Every),
        ],
    );
    s.add(data + 10, end - data - 10, "name", Every);
}

fn folder(s: &mut Sink, f: &Item) {
    let hfsx = s.layout.hfsx;
    let inode = f.parent == s.layout.private.1 && f.chained();
    let private = f.id == s.layout.private.1;
    let count = if hfsx { Every } else { Never };
    // Only a missing mark of an ancestor of links is an error.
    let ancestor = u64::from(f.flags & 0x40);
    let counted = if hfsx { 0x10 } else { 0 };
    // Without the one bit it has, a mode was never set.
    let format = if f.mode == 0o040_000 { 0o130_000 } else { u64::from(FORMAT) };
    let rows: &[Row] = &[
        (2, 2, "flags", Bits(3 | COMPARED | counted | ancestor)),
        (4, 4, "valence", Every),
        (8, 4, "CNID", Every),
        (12, 28, "dates, owner", Never),
        (40, 1, "super-user's flags", Never),
        (41, 1, "owner's flags", Bits(if private { 2 } else { 0 })),
        (42, 2, "mode", Bits(format | if private { 0o1000 } else { 0 })),
        (44, 4, "link count", if inode { Every } else { Never }),
        (48, 36, "Finder information, encoding", Never),
        (84, 4, "folder count", count),
    ];
    s.rows(f.data, rows);
}

fn file(s: &mut Sink, f: &Item, link: bool) {
    let inode = f.parent == s.layout.private.0 && f.chained();
    let dir_link = &f.kind == b"fdrp";
    let chain = if link && f.chained() { Every } else { Never };
    let finder = if link { Every } else { Never };
    // Kinds that keep nothing in the file may be any kind.
    let format = match f.mode & FORMAT {
        0o100_000 if f.blocks > 0 => FORMAT.into(),
        0o120_000 => FORMAT.into(),
        _ => 0,
    };
    // Whether a file is compressed: the attribute says so, too.
    let compressed = u64::from(f.owner_flags & 0x20);
    let own = if dir_link { 2 } else { compressed };
    let rows: &[Row] = &[
        (2, 2, "flags", Bits(COMPARED)),
        (4, 4, "first link", if inode { Every } else { Never }),
        (8, 4, "CNID", Every),
        (12, 4, "creation date", if &f.kind == b"hlnk" { Every } else { Never }),
        (16, 16, "dates", Never),
        (32, 8, "owner or chain", chain),
        (40, 1, "super-user's flags", Never),
        (41, 1, "owner's flags", Bits(own)),
        (42, 2, "mode", Bits(if link { 0 } else { format })),
        (44, 4, "link number or count", special(f, link, inode)),
        (48, 8, "type and creator", finder),
        (56, 2, "Finder flags", Bits(if dir_link { 0x8000 } else { 0 })),
        (58, 30, "Finder information, encoding", Never),
    ];
    s.rows(f.data, rows);
    forks::fork(s, f.data + 88);
    forks::fork(s, f.data + 168);
}

fn special(f: &Item, link: bool, inode: bool) -> Rule {
    match f.mode & FORMAT {
        _ if link || inode => Every,
        0o020_000 | 0o060_000 => Never,
        _ => NotAbove(1),
    }
}
