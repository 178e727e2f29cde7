//! Where a volume lies in bytes that no map divides: by the copy of its header at its end, by
//! its journal, or at a usual place, as far as contents of its files fit there.

use crate::hfsplus::format::VolumeHeader;
use crate::hfsplus::node::kind;
use crate::hfsplus::parse_header;
use crate::io::bytes::{all_zero, be32, to_u64, to_usize};
use crate::io::{ReadAt, read_up_to, read_vec};
use crate::partition::USUAL_STARTS;
use std::ops::Range;

/// Bytes at the end of the disk, and before what macOS leaves free there on physical disks
/// (`formats/partition.md` section 6), in which a volume's copy of its header is looked for.
const END: u64 = 2 << 20;
const LEFT_FREE: u64 = 128 << 20;
/// Copies of headers that are tried there, and the largest blocks they may tell of.
const COPIES: usize = 8;
const LARGEST_BLOCK: u64 = 1 << 20;
/// Files that are compared with what lies where they should.
pub const ENOUGH: usize = 64;
/// What the kernel fills with zeros behind the end of a file's contents.
const PAGE: u64 = 4096;
/// `JNLx` in the byte order of today's Macs, and the other.
const JOURNAL: [[u8; 4]; 2] = [*b"xLNJ", *b"JNLx"];

/// A file's last bytes: the block that holds them, and how many they are.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    pub block: u32,
    pub bytes: u64,
}

/// The volume that a copy of a header at its end tells of; only where its catalog is found
/// by it.
pub fn by_alternate(source: &dyn ReadAt) -> Option<Range<u64>> {
    let len = source.len();
    let before = |end: u64| end.saturating_sub(END) / 512 * 512..end;
    let ends = [before(len), before(len.saturating_sub(LEFT_FREE))];
    ends.into_iter().find_map(|range| {
        let bytes = read_up_to(source, range.start, to_usize(range.end - range.start)).ok()?;
        let sectors = bytes.chunks_exact(512).enumerate();
        let marked = sectors.filter(|(_, s)| matches!(be32(s, 0), Some(0x482B_0004 | 0x4858_0005)));
        let mut copies =
            marked.filter_map(|(n, s)| Some((to_u64(n) * 512, parse_header(s, u64::MAX).ok()?)));
        copies
            .by_ref()
            .take(COPIES)
            .find_map(|(at, header)| begins(source, range.start + at + 1024, &header))
    })
}

/// The volume of `header` that ends at a byte, or a little before: the partition need not be a
/// whole number of blocks.
fn begins(source: &dyn ReadAt, end: u64, header: &VolumeHeader) -> Option<Range<u64>> {
    let block = Some(u64::from(header.block_size)).filter(|n| *n <= LARGEST_BLOCK)?;
    let last = end.checked_sub(block.checked_mul(header.total_blocks.into())?)?;
    let [catalog, ..] = header.catalog_file.extents;
    let catalog = block.checked_mul(catalog.start.into())?;
    (0..block / 512).filter_map(|n| last.checked_sub(n * 512)).find_map(|start| {
        let node = read_vec(source, start.checked_add(catalog)?, 14).ok()?;
        // A header node: its kind, no height, three records.
        (node.get(8..12) == Some(&[kind::HEADER.to_be_bytes()[0], 0, 0, 3])).then_some(start..end)
    })
}

/// Where the volume must begin for the journal's first block to be where a journal is, and
/// for files to be where they are: sector by sector through the first gigabyte.
fn by_journal(source: &dyn ReadAt, first: u32, block: u32) -> impl Iterator<Item = u64> + '_ {
    let within = u64::from(first) * u64::from(block);
    let is_journal = move |start: &u64| {
        let head = start.checked_add(within).and_then(|at| read_vec(source, at, 4).ok());
        head.is_some_and(|h| JOURNAL.iter().any(|j| j == h.as_slice()))
    };
    (0..source.len().min(1 << 30)).step_by(512).filter(is_journal)
}

/// How many files end, in a volume that begins at `start`, where they should: not in zeros,
/// and followed by nothing else.
fn fitting(source: &dyn ReadAt, start: u64, block: u32, tails: &[Tail]) -> usize {
    let size = u64::from(block);
    let fits = |t: &&Tail| {
        let at = u64::from(t.block).checked_mul(size).and_then(|at| at.checked_add(start));
        let wanted = t.bytes.next_multiple_of(PAGE).min(size);
        let bytes = at.and_then(|at| read_vec(source, at, to_usize(wanted)).ok());
        let parts = bytes.as_ref().and_then(|b| b.split_at_checked(to_usize(t.bytes)));
        parts.is_some_and(|(own, rest)| all_zero(rest) && own.last().is_some_and(|b| *b != 0))
    };
    tails.iter().filter(fits).count()
}

/// Where a volume begins; `None` where nothing tells, or what might is contradicted by the
/// files.
pub fn start(source: &dyn ReadAt, journal: Option<u32>, block: u32, tails: &[Tail]) -> Option<u64> {
    let fit = |start: u64| fitting(source, start, block, tails);
    if tails.is_empty() {
        return journal.and_then(|j| by_journal(source, j, block).next());
    }
    let enough = tails.len().div_ceil(2);
    let usual = std::iter::once(0).chain(USUAL_STARTS).filter(|s| *s < source.len());
    let best = usual.map(|start| (fit(start), std::cmp::Reverse(start))).max();
    if let Some((_, start)) = best.filter(|(n, _)| *n >= enough) {
        return Some(start.0);
    }
    journal.and_then(|j| by_journal(source, j, block).take(ENOUGH).find(|s| fit(*s) >= enough))
}
