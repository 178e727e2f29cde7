//! What holds within each node of every tree (section 3): its areas, its free pieces, its
//! flags, and what a root says of its tree.

use super::headers;
use super::say::Checker;
use crate::apfs::format::tree;
use crate::apfs::node::{Footer, Node, Span};
use crate::io::bytes::{le16, to_u64, usize32};
use crate::report::{Rule, Structure, Where};

/// Where the areas of a node begin.
const AREAS: usize = 0x38;
/// Ends a chain of free pieces.
const END: u16 = 0xFFFF;
/// Bytes of the smallest free piece: it holds the next one's place and its own length.
const PIECE: usize = 4;

const FIXED: u16 = 4;
const HASHED: u16 = 8;
const NO_HEADER: u16 = 0x10;
const KNOWN: u16 = 0x1F;
/// Flag of a footer that only advises a writer; not every system sets it.
const SEQUENTIAL: u32 = 2;
/// Flags of a sealed tree's footer: nodes with hashes, without header.
#[allow(dead_code)]
const SEALED_TREE: u32 = 0x180;

/// What all trees of a kind have in common.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name for people.
    pub name: &'static str,
    /// Subtype of its nodes.
    pub subtype: u32,
    /// Flags of its footer.
    pub flags: u32,
    /// Sizes of keys and leaf values where they are fixed.
    pub fixed: Option<(usize, usize)>,
    /// Whether keys may have no value.
    pub ghosts: bool,
    /// Whether nodes are hashed and have no header.
    pub sealed: bool,
}

const fn kind(name: &'static str, subtype: u32, flags: u32, fixed: Option<(usize, usize)>) -> Kind {
    Kind { name, subtype, flags, fixed, ghosts: false, sealed: false }
}

/// Object maps.
pub const OMAP: Kind = kind("object map", tree::OMAP, 0x12, Some((16, 16)));
/// Snapshots of object maps.
pub const OMAP_SNAPSHOTS: Kind =
    kind("object map's snapshot tree", tree::OMAP_SNAPSHOTS, 0x10, Some((8, 16)));
/// File-system trees.
#[allow(dead_code)]
pub const FS: Kind = kind("file-system tree", tree::FS, 0x42, None);
/// File-system trees of sealed volumes.
#[allow(dead_code)]
pub const FS_SEALED: Kind = Kind { flags: 0x42 | SEALED_TREE, sealed: true, ..FS };
/// Extents of sealed volumes.
pub const FEXT: Kind = kind("extents tree", tree::FEXT, 0x10, Some((16, 16)));
/// Extent references.
pub const REFERENCES: Kind = kind("extent reference tree", tree::EXTENT_REFERENCES, 0x52, None);
/// Snapshot metadata.
pub const SNAPSHOTS: Kind = kind("snapshot metadata tree", tree::SNAPSHOTS, 0x52, None);
/// Free queues.
pub const QUEUE: Kind =
    Kind { ghosts: true, ..kind("free queue", tree::QUEUE, 0xE, Some((16, 8))) };

/// Check a node by itself.
pub fn inside(checker: &Checker<'_>, structure: Structure, node: &Node, kind: &Kind) {
    let inside = Inside { checker, structure, node, kind };
    inside.header();
    inside.flags();
    inside.areas();
    if let Some(footer) = node.footer() {
        inside.footer(&footer);
    }
}

struct Inside<'a> {
    checker: &'a Checker<'a>,
    structure: Structure,
    node: &'a Node,
    kind: &'a Kind,
}

/// One area of a node: what lies in it, and what it says of its free bytes.
struct Area<'a> {
    name: &'static str,
    /// Whether the record that its rules are about are of keys.
    rules: [Rule; 2],
    len: usize,
    used: &'a mut Vec<Span>,
    /// Where the list of free pieces begins, and all free bytes.
    free: (u16, u16),
    /// Where in the node a place of the area begins.
    at: &'a dyn Fn(usize) -> Option<usize>,
    /// What of the area a piece at a place takes.
    span: &'a dyn Fn(usize, usize) -> Option<Span>,
}

impl Inside<'_> {
    fn broken(&self, rule: Rule, text: impl FnOnce() -> String) {
        let mut place = self.checker.place(self.structure, self.node.block);
        place.node = Some(self.node.header.oid).filter(|oid| *oid != 0);
        self.tell(rule, place, text);
    }

    fn tell(&self, rule: Rule, place: Where, text: impl FnOnce() -> String) {
        let (name, block) = (self.kind.name, self.node.block);
        self.checker.broken(rule, place, || format!("{name}: node in block {block} {}", text()));
    }

    /// Of nodes that are found by their block; others are as their mapping says.
    fn header(&self) {
        let problem = || headers::problem(&self.node.header, false);
        if self.kind.subtype != tree::FS
            && let Some((rule, text)) = problem()
        {
            self.broken(rule, || format!("is not sound: {text}"));
        }
    }

    fn flags(&self) {
        let (node, kind) = (self.node, self.kind);
        let flags = node.flags();
        if flags & !KNOWN != 0 {
            self.broken(Rule::A050, || format!("has unknown flags ({flags:#x})"));
        }
        let sealed = flags & (HASHED | NO_HEADER) != 0;
        if sealed && !kind.sealed {
            self.broken(Rule::A049, || format!("is marked as sealed ({flags:#x}) and is not"));
        }
        if (flags & FIXED != 0) != kind.fixed.is_some() {
            let not = if kind.fixed.is_some() { "not " } else { "" };
            self.broken(Rule::A066, || format!("is {not}marked as having entries of one size"));
        }
        if node.level > 0 {
            let size = if flags & HASHED != 0 { 40 } else { 8 };
            let odd =
                |i: &usize| node.entry(*i).and_then(|e| e.value).is_some_and(|v| v.len() != size);
            if let Some(i) = (0..node.count).find(odd) {
                self.broken(Rule::A077, || format!("entry {i} has a child of the wrong size"));
            }
        }
        if !kind.ghosts || node.level > 0 {
            let ghost = |i: &usize| node.entry(*i).is_some_and(|e| e.value.is_none());
            if let Some(i) = (0..node.count).find(ghost) {
                self.broken(Rule::A078, || format!("entry {i} has no value"));
            }
        }
    }

    fn areas(&self) {
        let (b, (keys, end)) = (self.node.bytes(), self.node.ends());
        let word = |at| le16(b, at).unwrap_or(0);
        let (gap, gap_len) = (usize::from(word(0x2C)), usize::from(word(0x2E)));
        let values = keys + gap + gap_len;
        if values > end {
            self.broken(Rule::A052, || {
                format!("has {gap_len} free bytes at {gap}, which is past its values")
            });
            return;
        }
        let (mut used, mut held) = (Vec::new(), Vec::new());
        for (key, value) in (0..self.node.count).filter_map(|i| self.node.spans(i)) {
            used.push(key);
            if let Some((back, len)) = value {
                held.push((end.saturating_sub(back).saturating_sub(values), len, back));
            }
        }
        self.fixed(&used, &held);
        let values_len = end - values;
        let outside =
            held.iter().any(|(at, len, back)| *back > values_len || at + len > values_len)
                || used.iter().any(|(at, len)| at + len > gap);
        if outside {
            self.broken(Rule::A055, || "has a key or value outside its area".into());
            return;
        }
        self.area(Area {
            name: "key",
            rules: [Rule::A057, Rule::A058],
            len: gap,
            used: &mut used,
            free: (word(0x30), word(0x32)),
            at: &|place| keys.checked_add(place),
            span: &|place, len| Some((place, len)),
        });
        self.area(Area {
            name: "value",
            rules: [Rule::A059, Rule::A060],
            len: values_len,
            used: &mut held.iter().map(|(at, len, _)| (*at, *len)).collect(),
            free: (word(0x34), word(0x36)),
            at: &|place| end.checked_sub(place),
            span: &|place, len| Some((values_len.checked_sub(place)?, len)),
        });
    }

    /// What holds of the entries of a node where they have one size.
    fn fixed(&self, keys: &[Span], values: &[(usize, usize, usize)]) {
        let Some((key, value)) = self.kind.fixed.filter(|_| self.node.flags() & FIXED != 0) else {
            return;
        };
        let value = if self.node.level > 0 { 8 } else { value };
        let table = usize::from(le16(self.node.bytes(), 0x2A).unwrap_or(0));
        let room = 4 * ((self.node.size() - AREAS) / (key + value + 4));
        if table < room || table > room && !self.kind.ghosts {
            self.broken(Rule::A075, || format!("has a table of {table} bytes, expected {room}"));
        }
        let odd = keys.iter().any(|(at, _)| !at.is_multiple_of(8))
            || values.iter().any(|(_, _, back)| !back.is_multiple_of(8));
        if odd {
            self.broken(Rule::A076, || "has a key or value that is not aligned".into());
        }
    }

    fn area(&self, area: Area<'_>) {
        let [list, total] = area.rules;
        area.used.sort_unstable();
        if overlap(area.used) {
            self.broken(Rule::A056, || format!("has two {}s in the same bytes", area.name));
            return;
        }
        let taken: usize = area.used.iter().map(|(_, len)| len).sum();
        let free = usize::from(area.free.1);
        if taken + free != area.len {
            self.broken(total, || {
                let (name, rest) = (area.name, area.len.saturating_sub(taken));
                format!("says that its {name}s leave {free} bytes, they leave {rest}")
            });
        }
        if let Err(text) = self.pieces(&area) {
            self.broken(list, || text);
        }
    }

    /// Follow the chain of free pieces.
    fn pieces(&self, area: &Area<'_>) -> Result<(), String> {
        let (name, mut next) = (area.name, area.free.0);
        let (mut all, mut sum) = (Vec::new(), 0);
        while next != END {
            let place = usize::from(next);
            let span = (area.at)(place).and_then(|at| {
                let b = self.node.bytes();
                let (after, len) = (le16(b, at)?, usize::from(le16(b, at + 2)?));
                Some((after, (area.span)(place, len)?))
            });
            let sound = |(_, (at, len)): &(u16, Span)| *len >= PIECE && at + len <= area.len;
            let Some((after, span)) = span.filter(sound) else {
                return Err(format!("has a free piece at {place} outside the area of its {name}s"));
            };
            all.push(span);
            sum += span.1;
            if sum > area.len {
                return Err(format!("has more free pieces among its {name}s than there is room"));
            }
            next = after;
        }
        if all.is_empty() {
            return Ok(());
        }
        if sum > usize::from(area.free.1) {
            return Err(format!("lists {sum} free bytes among its {name}s, more than it has"));
        }
        all.extend(area.used.iter().filter(|(_, len)| *len > 0));
        all.sort_unstable();
        match overlap(&all) {
            true => Err(format!("has a free piece in the bytes of a {name} or another piece")),
            false => Ok(()),
        }
    }

    fn footer(&self, footer: &Footer) {
        let kind = self.kind;
        let same = match kind.subtype {
            tree::FEXT => footer.flags & kind.flags == kind.flags,
            _ => (footer.flags ^ kind.flags) & !SEQUENTIAL == 0,
        };
        if !same {
            self.broken(Rule::A067, || {
                format!(
                    "says that its tree has the flags {:#x}, expected {:#x}",
                    footer.flags, kind.flags
                )
            });
        }
        let (key, value) = kind.fixed.unwrap_or((0, 0));
        let sizes = (usize32(footer.key_size), usize32(footer.value_size));
        if sizes != (key, value) {
            self.broken(Rule::A069, || {
                let (k, v) = sizes;
                format!(
                    "says that keys and values have {k} and {v} bytes, expected {key} and {value}"
                )
            });
        }
        if to_u64(usize32(footer.node_size)) != to_u64(self.node.size()) {
            let (size, real) = (footer.node_size, self.node.size());
            self.broken(Rule::A068, || format!("says that nodes have {size} bytes, it has {real}"));
        }
    }
}

/// Whether two of some spans, sorted, overlap.
fn overlap(spans: &[Span]) -> bool {
    let next = spans.iter().skip(1);
    spans.iter().zip(next).any(|((a, len), (b, _))| a + len > *b)
}

/// The longest key and value of a node.
pub fn longest(node: &Node) -> (usize, usize) {
    let mut longest = (0, 0);
    for (key, value) in (0..node.count).filter_map(|i| node.spans(i)) {
        longest.0 = longest.0.max(key.1);
        longest.1 = longest.1.max(value.map_or(0, |v| v.1));
    }
    longest
}
