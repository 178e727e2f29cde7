//! The superblock of a volume, and its copies in snapshots (section 5).

use super::breaks::Breaks;
use super::tables::Span;
use super::views::InTime;
use super::walk::Map;
use crate::apfs::check::headers;
use crate::apfs::format::{
    CASE_INSENSITIVE, KNOWN_INCOMPATIBLE, NORMALIZATION_INSENSITIVE, SEALED,
};
use crate::apfs::volume::Apfs;
use crate::fs::ViewId;
use crate::io::bytes::{all_zero, le16, le32, le64, to_u64, usize32};
use crate::report::Rule;

const FEATURES: u64 = 0x1E;
const GROUP: u64 = 0x10;
const FLAGS: u64 = 0x3FF & !4;
/// Flags of volumes that are not encrypted, and of keys.
const UNENCRYPTED: u64 = 1;
const KEYS: u64 = 2 | 8;
const FIRST_OBJECT: u64 = 16;
const FIRST_DOCUMENT: u32 = 3;
const DOCUMENT_FLAGS: u32 = 0x1F;
/// Type of a root in the container, and of one found through the map.
const PHYSICAL_ROOT: u32 = 0x4000_0002;
const VIRTUAL_ROOT: u32 = 2;
/// Where the history begins, its entries, and the bytes of one.
const FORMATTED_BY: usize = 0x110;
const HISTORY: usize = 8;
const PROGRAM: usize = 48;
/// Where a container's superblock lists its volumes, and how many at most.
const VOLUMES: usize = 0xB8;
const MAX_VOLUMES: usize = 100;

/// A superblock's bytes, and which views have it.
struct Head<'a> {
    bytes: &'a [u8],
    span: Span,
    copy: bool,
    breaks: &'a mut Breaks,
}

/// Check the superblocks of all views that can be read.
pub fn check(volume: &Apfs, views: &InTime, map: &Map, breaks: &mut Breaks) {
    let blocks = volume.container.store().blocks();
    for (i, view) in views.iter() {
        let snapshot = usize32(view.id.0).checked_sub(1).and_then(|n| volume.snapshots.get(n));
        let block = snapshot.map_or(volume.block, |s| s.superblock);
        let Ok(object) = blocks.object("volume superblock", block, 1) else { continue };
        let span = Span { from: i, until: i + 1 };
        let copy = view.id != ViewId::LIVE;
        if let Some((rule, text)) = headers::problem(&object.header, false) {
            breaks.add(rule, 0, span, || format!("the superblock is not sound: {text}"));
        }
        let mut head = Head { bytes: object.bytes(), span, copy, breaks };
        head.features();
        head.trees();
        head.names();
        head.history();
        head.rest();
        head.place(volume);
        if !copy {
            head.snapshots(volume);
        }
    }
    mappings(volume, views, map, breaks);
}

/// Objects are mapped as encrypted where the volume is, and without header where it is sealed.
fn mappings(volume: &Apfs, views: &InTime, map: &Map, breaks: &mut Breaks) {
    let due = volume.superblock.is_encrypted();
    for (oid, m) in map.iter().filter(|(_, m)| !m.deleted() && m.encrypted() != due) {
        breaks.add(Rule::A128, 0, views.all(), || {
            let is = if due { "plain on an encrypted" } else { "encrypted on a plain" };
            format!("object {oid} of transaction {} is mapped as {is} volume", m.xid)
        });
    }
    let sealed = volume.superblock.incompatible & SEALED != 0;
    for (oid, m) in map.iter().filter(|(_, m)| m.no_header() && !sealed) {
        breaks.add(Rule::A084, 0, views.all(), || {
            let xid = m.xid;
            format!("object {oid} of transaction {xid} is mapped as having no header, and the volume is not sealed")
        });
    }
}

impl Head<'_> {
    fn u64(&self, at: usize) -> u64 {
        le64(self.bytes, at).unwrap_or(0)
    }

    fn u32(&self, at: usize) -> u32 {
        le32(self.bytes, at).unwrap_or(0)
    }

    fn u16(&self, at: usize) -> u16 {
        le16(self.bytes, at).unwrap_or(0)
    }

    fn zero(&self, at: usize, len: usize) -> bool {
        self.bytes.get(at..at + len).is_some_and(all_zero)
    }

    fn wrong(&mut self, rule: Rule, is: bool, text: &str) {
        if is {
            self.breaks.add(rule, 0, self.span, || format!("the superblock {text}"));
        }
    }

    fn features(&mut self) {
        let (features, incompatible) = (self.u64(0x28), self.u64(0x38));
        let (flags, role) = (self.u64(0x108), self.u16(0x3C4));
        self.wrong(
            Rule::A102,
            features & !FEATURES != 0,
            &format!("has optional features {features:#x}, some of them unknown"),
        );
        self.wrong(
            Rule::A103,
            incompatible & !KNOWN_INCOMPATIBLE != 0,
            &format!("has features {incompatible:#x}, some of them unknown"),
        );
        self.wrong(Rule::A104, self.u64(0x30) != 0, "has features that writers must know");
        let contradict = flags & UNENCRYPTED != 0 && flags & KEYS != 0;
        self.wrong(
            Rule::A105,
            flags & !FLAGS != 0 || contradict,
            &format!("has flags {flags:#x}, which there are not, or which exclude each other"),
        );
        let known = crate::apfs::format::role_name(role) != "unknown";
        self.wrong(Rule::A106, !known, &format!("gives the volume the role {role:#x}"));
        let both = CASE_INSENSITIVE | NORMALIZATION_INSENSITIVE;
        self.wrong(Rule::A125, incompatible & both == both, "says twice how names are compared");
        let sealed = incompatible & SEALED != 0;
        let (meta, extents) = (self.u64(0x400) != 0, self.u64(0x408) != 0);
        self.wrong(
            Rule::A122,
            sealed != meta || sealed != extents,
            "does not tell clearly whether the volume is sealed",
        );
        let group = !self.zero(0x3F0, 16);
        self.wrong(
            Rule::A123,
            group != (features & GROUP != 0),
            "does not tell clearly whether the volume is one of a group",
        );
    }

    fn trees(&mut self) {
        let (root, references, snapshots) = (self.u32(0x74), self.u32(0x78), self.u32(0x7C));
        let known = matches!(root, VIRTUAL_ROOT | PHYSICAL_ROOT);
        let physical = references == PHYSICAL_ROOT && snapshots == PHYSICAL_ROOT;
        self.wrong(
            Rule::A107,
            !known || !physical,
            &format!("names trees of types {root:#x}, {references:#x} and {snapshots:#x}"),
        );
        let named = [0x80, 0x90, 0x98].iter().any(|at| self.u64(*at) != 0);
        self.wrong(Rule::A264, self.copy && named, "of a snapshot names a map or tree of its own");
    }

    fn names(&mut self) {
        let name = self.bytes.get(0x2C0..0x3C0).unwrap_or_default();
        let none = name.first() == Some(&0) || !name.contains(&0);
        self.wrong(Rule::A108, none, "has no name, or one without an end");
        self.wrong(
            Rule::A110,
            self.u64(0xB0) < FIRST_OBJECT,
            "has a reserved number for the next object",
        );
        self.wrong(
            Rule::A111,
            self.u32(0x3C0) < FIRST_DOCUMENT,
            "has a reserved number for the next document",
        );
    }

    /// What made the volume, and what changed it, the newest first.
    fn history(&mut self) {
        let entry = |i: usize| {
            let at = FORMATTED_BY + i * PROGRAM;
            let id = self.bytes.get(at..at + 32).unwrap_or_default();
            (id, self.u64(at + 40))
        };
        let (maker, made) = entry(0);
        let mut sound = maker.first().is_some_and(|b| *b != 0) && maker.contains(&0);
        let (mut newer, mut ended) = (u64::MAX, false);
        for i in 1..=HISTORY {
            let (id, xid) = entry(i);
            if id.first().is_none_or(|b| *b == 0) {
                ended = true;
                sound &= xid == 0;
                continue;
            }
            sound &= !ended && id.contains(&0) && xid < newer && xid > made;
            newer = xid;
        }
        self.wrong(Rule::A109, !sound, "tells a history of the volume that is not in order");
    }

    fn rest(&mut self) {
        let (allocated, quota, reserve) = (self.u64(0x58), self.u64(0x50), self.u64(0x48));
        self.wrong(
            Rule::A118,
            self.u64(0xE8) > self.u64(0xE0),
            "counts more blocks given back than taken",
        );
        self.wrong(
            Rule::A119,
            quota != 0 && (quota < allocated || quota < reserve),
            "has a quota that the volume exceeds",
        );
        let kind = self.u32(0x414);
        let reserved =
            self.u16(0x3C6) != 0 || self.u64(0x418) != 0 || !matches!(kind, 0 | PHYSICAL_ROOT);
        self.wrong(Rule::A121, reserved, "has reserved fields that are not zero");
        let (major, minor, flags) = (self.u16(0x60), self.u16(0x62), self.u32(0x64));
        let crypto = self.zero(0x60, 20) || (major, minor, flags) == (5, 0, 0);
        self.wrong(
            Rule::A124,
            !crypto,
            &format!("has keys of its metadata of version {major}.{minor}"),
        );
        let documents = self.u32(0x428);
        self.wrong(
            Rule::A127,
            documents & !DOCUMENT_FLAGS != 0,
            &format!("has flags {documents:#x} of a document index"),
        );
    }

    /// The place in the container's list.
    fn place(&mut self, volume: &Apfs) {
        let container = &volume.container;
        let blocks = container.store().blocks();
        if let Ok(nx) = blocks.object("container superblock", container.checkpoint().block, 1) {
            let oid = volume.superblock.oid;
            let index = (0..MAX_VOLUMES).position(|i| nx.u64(VOLUMES + i * 8) == Some(oid));
            let says = usize32(self.u32(0x24));
            self.wrong(
                Rule::A101,
                index.is_some_and(|i| i != says),
                &format!("says that the volume is number {says} of the container"),
            );
        }
    }

    fn snapshots(&mut self, volume: &Apfs) {
        let (says, has) = (self.u64(0xD8), to_u64(volume.snapshots.len()));
        self.wrong(
            Rule::A116,
            volume.lists_all && says != has,
            &format!("counts {says} snapshots, and there are {has}"),
        );
    }
}

/// Blocks that a volume has: its map, trees, objects and contents of files.
fn allocated(volume: &Apfs, map: &Map, of: super::references::Totals) -> Option<u64> {
    let blocks = volume.container.store().blocks();
    // The last number of a root is how many nodes its tree has.
    let nodes = |root: u64| match root {
        0 => Some(0),
        root => le64(blocks.read("root of a tree", root, 1).ok()?.last_chunk::<8>()?, 0),
    };
    let head = blocks.object("object map", volume.superblock.omap_block, 1).ok()?;
    let trees = [head.u64(0x30)?, head.u64(0x38)?, volume.superblock.snapshots_block];
    let mapped = map.iter().filter(|(_, m)| !m.deleted()).count();
    let own = trees.into_iter().map(nodes).sum::<Option<u64>>()?.checked_add(1)?;
    own.checked_add(of.nodes)?.checked_add(of.blocks)?.checked_add(to_u64(mapped))
}

/// What the superblock counts of them.
pub fn check_allocated(
    volume: &Apfs,
    map: &Map,
    of: super::references::Totals,
    views: &InTime,
    breaks: &mut Breaks,
) {
    let (Some(has), says) = (allocated(volume, map, of), volume.superblock.allocated) else {
        return;
    };
    if has != says {
        let until = views.all().until;
        breaks.add(Rule::A117, 0, Span { from: until - 1, until }, || {
            format!("the superblock counts {says} blocks in use, and there are {has}")
        });
    }
}
