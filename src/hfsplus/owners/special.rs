//! The volume's own structures: headers, journal, special files and their nodes.

use super::nodes::{KeyRanges, kind_name};
use super::{Node, TreeNodes, Visit, owned};
use crate::error::Result;
use crate::fs::Owner;
use crate::hfsplus::HfsPlus;
use crate::hfsplus::btree::BTree;
use crate::hfsplus::extents::ForkType;
use crate::hfsplus::fork::{ForkReader, Runs};
use crate::hfsplus::format::{
    ALLOCATION_FILE, ATTRIBUTES_FILE, CATALOG_FILE, EXTENTS_FILE, ForkData, STARTUP_FILE,
};
use crate::hfsplus::spec::TreeSpec;
use crate::io::bytes::{to_u32, to_u64, to_usize};
use crate::io::{Presence, Ranges, ReadAt, read_vec};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of the bitmap that are looked at in one read.
const PIECE: u64 = 1 << 20;

/// One of the three trees.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tree {
    Extents,
    Catalog,
    Attributes,
}

impl Tree {
    fn parts(self, fs: &HfsPlus) -> (Option<&BTree>, u32, &ForkData, TreeSpec) {
        let h = fs.header();
        match self {
            Self::Extents => {
                (fs.extents.as_ref().ok(), EXTENTS_FILE, &h.extents_file, TreeSpec::extents())
            }
            Self::Catalog => {
                let tree = fs.catalog().tree();
                (Some(tree), CATALOG_FILE, &h.catalog_file, fs.catalog_spec())
            }
            Self::Attributes => {
                let tree = fs.attributes().map(|a| a.tree());
                (tree, ATTRIBUTES_FILE, &h.attributes_file, TreeSpec::attributes())
            }
        }
    }
}

/// Structures with a fixed place, and those that have no parts to tell apart.
pub(super) fn fixed(fs: &HfsPlus) -> Vec<(Range<u64>, String)> {
    let h = fs.header();
    // The alternate header lies before the end of the partition, not of the blocks.
    let len = fs.volume().len();
    let block = u64::from(h.block_size);
    let mut found = vec![
        (1536..1536u64.next_multiple_of(block), "reserved".to_owned()),
        (len.saturating_sub(512)..len, "reserved".to_owned()),
        (0..1024, "boot blocks".to_owned()),
        (1024..1536, "volume header".to_owned()),
        (len.saturating_sub(1024)..len.saturating_sub(512), "alternate volume header".to_owned()),
    ];
    for (_, _, range) in pieces(fs, STARTUP_FILE, &h.startup_file) {
        found.push((range, "startup file".to_owned()));
    }
    found
}

fn runs(fs: &HfsPlus, cnid: u32, fork: &ForkData) -> Runs {
    fs.runs(cnid, ForkType::Data, fork).unwrap_or_else(|_| {
        let mut runs = Runs::default();
        runs.push_record(&fork.extents);
        runs
    })
}

/// Runs of a special file: first byte in the file, length, bytes of the volume.
fn pieces(fs: &HfsPlus, cnid: u32, fork: &ForkData) -> Vec<(u64, u64, Range<u64>)> {
    let block = u64::from(fs.header().block_size);
    runs(fs, cnid, fork)
        .iter()
        .map(|run| {
            let (start, len) = (u64::from(run.start) * block, u64::from(run.count) * block);
            (run.file_block * block, len, start..start + len)
        })
        .collect()
}

/// All bytes that belong to the volume's own structures.
pub(super) fn structures(fs: &HfsPlus) -> Ranges {
    let h = fs.header();
    let mut all: Vec<Range<u64>> = fixed(fs).into_iter().map(|f| f.0).collect();
    all.extend(fs.journal().range.clone());
    // The blocks around the headers are allocated, but nothing is in the rest.
    all.push(0..2048);
    all.push(fs.volume().len().saturating_sub(1024)..fs.volume().len());
    let forks = [
        (ALLOCATION_FILE, &h.allocation_file),
        (EXTENTS_FILE, &h.extents_file),
        (CATALOG_FILE, &h.catalog_file),
        (ATTRIBUTES_FILE, &h.attributes_file),
    ];
    for (cnid, fork) in forks {
        all.extend(pieces(fs, cnid, fork).into_iter().map(|p| p.2));
    }
    Ranges::new(all)
}

/// The parts of `wanted` that the bitmap says are in use. Where the bitmap itself is
/// lost, everything may be.
pub(super) fn used(fs: &HfsPlus, wanted: &Ranges) -> Result<Ranges> {
    let h = fs.header();
    let block = u64::from(h.block_size);
    let file = fs.fork(ALLOCATION_FILE, ForkType::Data, &h.allocation_file)?;
    let lost = lost(&file);
    let mut used = Vec::new();
    for range in wanted.iter() {
        let end = range.end.min(block * u64::from(h.total_blocks));
        let mut add = |from: u64, to: u64| {
            used.push((from * block).max(range.start)..(to * block).min(end));
        };
        let (mut first, last) = (range.start / block, end.div_ceil(block));
        let of_bitmap = first / 8..last.div_ceil(8);
        lost.meet(of_bitmap).for_each(|r| add((r.start * 8).max(first), (r.end * 8).min(last)));
        while first < last {
            let n = (last - first).min(PIECE * 8 - first % 8);
            used_blocks(&file, first, n, &mut add)?;
            first += n;
        }
    }
    Ok(Ranges::new(used))
}

/// The bytes of the bitmap that are not stored. (A hole may be zeros in a sparse file.)
fn lost(bitmap: &ForkReader) -> Ranges {
    let mut lost = Vec::new();
    let visit = &mut |range, presence| {
        if matches!(presence, Presence::Missing | Presence::Short) {
            lost.push(range);
        }
    };
    // A part that cannot be asked about cannot be read either.
    let _ = bitmap.presence(0..bitmap.len(), visit);
    Ranges::new(lost)
}

/// Visit the runs of set bits among `n` bits from `first` on.
fn used_blocks(
    bitmap: &ForkReader,
    first: u64,
    n: u64,
    visit: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let base = first / 8;
    let bytes = read_vec(bitmap, base, to_usize((first + n).div_ceil(8) - base))?;
    let mut open: Option<u64> = None;
    for (i, byte) in bytes.iter().enumerate() {
        let at = (base + to_u64(i)) * 8;
        // Most bytes are all free or in the middle of a long run.
        if (*byte == 0 && open.is_none()) || (*byte == 0xFF && open.is_some()) {
            continue;
        }
        for bit in 0..8u8 {
            let block = at + u64::from(bit);
            let set = byte & (0x80 >> bit) != 0 && block >= first && block < first + n;
            match (set, open) {
                (true, None) => open = Some(block),
                (false, Some(from)) => {
                    visit(from, block);
                    open = None;
                }
                _ => {}
            }
        }
    }
    if let Some(from) = open {
        visit(from, first + n);
    }
    Ok(())
}

/// The parts of the bitmap that are wanted, with the blocks they tell of.
pub(super) fn bitmap(fs: &HfsPlus, wanted: &Ranges, visit: Visit<'_>) {
    for (at, _, range) in pieces(fs, ALLOCATION_FILE, &fs.header().allocation_file) {
        for part in wanted.meet(range.clone()) {
            let first = (at + part.start - range.start) * 8;
            let last = first + (part.end - part.start) * 8 - 1;
            let name = format!("allocation bitmap of blocks {first} to {last}");
            visit(owned(part, Owner::Structure { name, describes: Vec::new(), in_use: false }));
        }
    }
}

/// The nodes of a tree that lie in the wanted bytes.
pub(super) fn tree(fs: &HfsPlus, which: Tree, wanted: &Ranges) -> Result<TreeNodes> {
    let (tree, cnid, fork, spec) = which.parts(fs);
    let size = tree.map_or(u64::from(fs.header().block_size), |t| to_u64(t.node_size()));
    let mut found: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
    for (at, _, range) in pieces(fs, cnid, fork) {
        for part in wanted.meet(range.clone()) {
            // Cut at the borders of nodes.
            let mut from = part.start;
            while from < part.end {
                let in_file = at + from - range.start;
                let to = part.end.min(from + size - in_file % size);
                let number = to_u32(to_usize(in_file / size));
                found.entry(number).or_default().push(from..to);
                from = to;
            }
        }
    }
    let numbers: Vec<u32> = found.keys().copied().collect();
    let ranges = match tree {
        Some(tree) => KeyRanges::find(tree, &spec, &numbers),
        // A tree without a usable header is lost as a whole.
        None => KeyRanges::all(&spec, numbers.first().copied()),
    };
    let nodes = found
        .into_iter()
        .map(|(number, pieces)| {
            let reached = ranges.reached(number);
            let what = kind_name(tree, number, reached);
            // Of a tree without a header nobody knows which were used, the header apart.
            let in_use = number == 0 || tree.is_some() && reached;
            Node { number, pieces, what, in_use, describes: Vec::new() }
        })
        .collect();
    let (by_thread, elsewhere) = (Vec::new(), Vec::new());
    Ok(TreeNodes { name: spec.name.as_str(), nodes, ranges, by_thread, elsewhere })
}
