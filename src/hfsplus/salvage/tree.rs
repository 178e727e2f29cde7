//! A B-tree file put together again from leaves: a header and an index are made for them;
//! the leaves stay where they are. Leaves that overlap (copies, older states, made records)
//! are merged: of two records with one key the newer counts.

use super::find::{Bytes, Kind, Leaf, date, good_records, read};
use crate::error::{Locus, Result};
use crate::fs::overlapping;
use crate::hfsplus::btree::CompareKeys;
use crate::hfsplus::node::{DESCRIPTOR, kind, split};
use crate::io::Budget;
use crate::io::bytes::{to_u32, to_u64, to_usize};
use crate::io::{PresenceVisitor, ReadAt, Source, check_range, read_pieces};
use std::cmp::Ordering;
use std::ops::Range;

/// What is known of a tree besides its leaves.
pub struct Shape {
    pub kind: Kind,
    pub compare: CompareKeys,
    pub node_size: u16,
    /// As in a header: 0xBC compares as numbers.
    pub key_compare_type: u8,
}

/// The file.
pub struct Rebuilt {
    source: Source,
    node_size: u64,
    nodes: Vec<Bytes>,
}

impl Rebuilt {
    /// From leaves that were found in `source`.
    pub fn new(source: Source, shape: &Shape, leaves: Vec<Leaf>, budget: &mut Budget) -> Self {
        let leaves = merged(&*source, shape, leaves, budget);
        let size = usize::from(shape.node_size);
        let count = to_u32(leaves.len());
        let mut nodes = vec![Bytes::Made(Box::default())];
        let mut level: Vec<(Box<[u8]>, u32)> = Vec::new();
        for (leaf, n) in leaves.into_iter().zip(1..) {
            level.push((leaf.first, n));
            nodes.push(leaf.bytes);
        }
        let mut depth = u16::from(count > 0);
        while level.len() > 1 {
            depth += 1;
            level = index(level, depth, size, &mut nodes);
        }
        let root = level.first().map_or(0, |l| l.1);
        let header = header(shape, depth, root, count, to_u32(nodes.len()));
        if let Some(first) = nodes.first_mut() {
            *first = Bytes::Made(header.into());
        }
        Self { source, node_size: shape.node_size.into(), nodes }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() < 2
    }

    /// The node that holds a byte, the byte's offset in it, and what follows it there.
    fn map(&self, offset: u64) -> Result<((&Bytes, u64), u64)> {
        let within = offset % self.node_size;
        let node = self.nodes.get(to_usize(offset / self.node_size));
        let node = node.ok_or_else(|| crate::Error::corrupt("tree", "no such node"))?;
        Ok(((node, within), self.node_size - within))
    }
}

impl ReadAt for Rebuilt {
    fn len(&self) -> u64 {
        to_u64(self.nodes.len()) * self.node_size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len(), offset, buf.len(), "tree")?;
        let piece = |(node, within): (&Bytes, u64), _: u64, buf: &mut [u8]| match node {
            Bytes::At(at) => self.source.read_at(buf, at + within),
            Bytes::Made(bytes) => {
                let from = bytes.get(to_usize(within)..).unwrap_or_default();
                let from = from.get(..buf.len()).unwrap_or_default();
                check_range(to_u64(from.len()), 0, buf.len(), "made node")?;
                buf.copy_from_slice(from);
                Ok(())
            }
        };
        read_pieces(buf, offset, |at| self.map(at), piece)
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        visit(range, crate::io::Presence::Stored);
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        match self.map(offset).ok()?.0 {
            (Bytes::At(at), within) => self.source.locate(at + within),
            (Bytes::Made(_), _) => None,
        }
    }
}

/// The leaves in order, none of which overlaps another. Of those that must be put together
/// anew, as much as may be kept.
fn merged(source: &dyn ReadAt, shape: &Shape, leaves: Vec<Leaf>, budget: &mut Budget) -> Vec<Leaf> {
    let order = |a: &[u8], b: &[u8]| (shape.compare)(a, b).unwrap_or(Ordering::Equal);
    let mut out = Vec::with_capacity(leaves.len());
    overlapping(
        leaves,
        |leaf| (&leaf.first, &leaf.last),
        order,
        |group| flush(source, shape, group, &mut out, budget),
    );
    out
}

fn flush(
    source: &dyn ReadAt,
    shape: &Shape,
    group: Vec<Leaf>,
    out: &mut Vec<Leaf>,
    budget: &mut Budget,
) {
    let usable = |l: &Leaf| l.sound && l.size == usize::from(shape.node_size);
    if group.len() == 1 && group.iter().all(usable) {
        out.extend(group);
        return;
    }
    let mut records: Vec<(Box<[u8]>, u32, u32)> = Vec::new();
    for leaf in &group {
        // Its records are held while they are sorted, and again in the leaves made of them.
        if !budget.take(3 * leaf.size) {
            break;
        }
        let Ok(node) = read(source, leaf) else { continue };
        let good = good_records(shape.kind, &node);
        records.extend(good.map(|r| (r.into(), date(r), leaf.newest)));
    }
    let key = |r: &[u8]| split(r).map(|p| p.key.to_vec()).unwrap_or_default();
    let order = |a: &[u8], b: &[u8]| (shape.compare)(&key(a), &key(b)).unwrap_or(Ordering::Equal);
    records.sort_by(|a, b| order(&a.0, &b.0).then((b.1, b.2).cmp(&(a.1, a.2))));
    records.dedup_by(|b, a| order(&a.0, &b.0) == Ordering::Equal);
    pack(shape, records.into_iter().map(|r| r.0), out);
}

/// Put records, in order, into new leaves.
fn pack(shape: &Shape, records: impl Iterator<Item = Box<[u8]>>, out: &mut Vec<Leaf>) {
    let size = usize::from(shape.node_size);
    let mut open: Vec<Box<[u8]>> = Vec::new();
    let mut free = room(size);
    for record in records {
        let need = record.len() + 2;
        if need > room(size) {
            continue;
        }
        if need > free {
            out.extend(made(size, std::mem::take(&mut open)));
            free = room(size);
        }
        free -= need;
        open.push(record);
    }
    out.extend(made(size, open));
}

/// Bytes for records and their offsets.
fn room(size: usize) -> usize {
    size - DESCRIPTOR - 2
}

fn made(size: usize, records: Vec<Box<[u8]>>) -> Option<Leaf> {
    let first = split(records.first()?)?.key.into();
    let last = split(records.last()?)?.key.into();
    let bytes = node(size, kind::LEAF, 1, &records);
    let (bytes, records) = (Bytes::Made(bytes), to_u32(records.len()));
    let (previous, next) = (0, 0);
    Some(Leaf { bytes, size, first, last, previous, next, records, newest: 0, sound: true })
}

/// A leaf with one record.
pub fn single(size: usize, record: Vec<u8>) -> Option<Leaf> {
    (record.len() + 2 <= room(size)).then(|| made(size, vec![record.into()])).flatten()
}

/// The bytes of a node.
fn node(size: usize, kind: i8, height: u16, records: &[Box<[u8]>]) -> Box<[u8]> {
    let mut bytes = vec![0; 8];
    bytes.extend(kind.to_be_bytes());
    bytes.push(u8::try_from(height).unwrap_or(u8::MAX));
    bytes.extend(u16::try_from(records.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend([0, 0]);
    let mut offsets = Vec::new();
    for record in records {
        offsets.push(bytes.len());
        bytes.extend_from_slice(record);
    }
    offsets.push(bytes.len());
    bytes.resize(size - 2 * offsets.len(), 0);
    for at in offsets.into_iter().rev() {
        bytes.extend(u16::try_from(at).unwrap_or(u16::MAX).to_be_bytes());
    }
    bytes.into()
}

/// One level of the index over the level below.
fn index(
    below: Vec<(Box<[u8]>, u32)>,
    height: u16,
    size: usize,
    nodes: &mut Vec<Bytes>,
) -> Vec<(Box<[u8]>, u32)> {
    let mut level = Vec::new();
    let mut open: Vec<Box<[u8]>> = Vec::new();
    let mut first: Option<Box<[u8]>> = None;
    let mut free = room(size);
    let mut close = |open: &mut Vec<Box<[u8]>>, first: &mut Option<Box<[u8]>>| {
        if let Some(key) = first.take() {
            level.push((key, to_u32(nodes.len())));
            nodes.push(Bytes::Made(node(size, kind::INDEX, height, open)));
            open.clear();
        }
    };
    for (key, child) in below {
        let mut record = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        record.extend_from_slice(&key);
        record.resize(record.len().next_multiple_of(2), 0);
        record.extend(child.to_be_bytes());
        if record.len() + 2 > free {
            close(&mut open, &mut first);
            free = room(size);
        }
        free = free.saturating_sub(record.len() + 2);
        first.get_or_insert(key);
        open.push(record.into());
    }
    close(&mut open, &mut first);
    level
}

/// A header node.
fn header(shape: &Shape, depth: u16, root: u32, leaves: u32, nodes: u32) -> Vec<u8> {
    let size = usize::from(shape.node_size);
    let max_key: u16 = match shape.kind {
        Kind::Extents => 10,
        Kind::Catalog => 516,
        Kind::Attributes => 266,
    };
    let mut record = Vec::with_capacity(106);
    record.extend(depth.to_be_bytes());
    record.extend(root.to_be_bytes());
    record.extend(0u32.to_be_bytes());
    record.extend(u32::from(leaves > 0).to_be_bytes());
    record.extend(leaves.to_be_bytes());
    record.extend(shape.node_size.to_be_bytes());
    record.extend(max_key.to_be_bytes());
    record.extend(nodes.to_be_bytes());
    record.extend([0; 4 + 2 + 4]);
    record.extend([0, shape.key_compare_type]);
    record.extend(6u32.to_be_bytes());
    record.resize(106, 0);
    let map = vec![0xFF; size - 256];
    let parts = [record.into_boxed_slice(), vec![0; 128].into(), map.into()];
    node(size, kind::HEADER, 0, &parts).into()
}
