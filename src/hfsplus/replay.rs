//! The journal's transactions, replayed in memory: a map from places on the volume to the
//! newer bytes in the journal. The volume is never written.
//!
//! Follows the kernel's `replay_journal` (section 13 and the corrections in
//! section 0): stops at the first transaction that is not valid, keeps the ones
//! before it, and goes on past `end` while valid ones with consecutive sequence
//! numbers follow.

use super::format::{BlockInfo, BlockListHeader, JournalHeader, decode_endian};
use super::journal::{Journal, JournalState, Problem};
use super::overlay::insert;
use crate::error::Result;
use crate::io::bytes::{all_zero, to_u64, to_usize, usize32};
use crate::io::{Gone, Presence, ReadAt, absent, cut_off, gone, read_vec};
use binrw::Endian;
use std::ops::Range;

/// `JNLx`.
const MAGIC: u32 = 0x4A4E_4C78;
/// `JHDR`: old, without a checksum of the header.
const OLD_MAGIC: u32 = 0x4A48_4452;
const ENDIAN_MARK: u32 = 0x1234_5678;
/// Largest block-list header that is read.
const MAX_BLHDR: u32 = 1 << 20;
/// Largest block of a transaction that is believed; the kernel's whole transactions are
/// smaller.
const MAX_BLOCK: u64 = 16 << 20;
/// Bytes whose checksums are taken in all, and no more than the journal has; Apple's journals
/// are smaller.
const MAX_READ: u64 = 2 << 30;
/// Bytes that are read at a time for a checksum.
const PIECE: u64 = 64 << 10;
/// Bytes of a block-list header that its checksum covers.
const BLHDR_SUMMED: usize = 32;

const CHECKSUMS_VALID: u32 = 1;
const FIRST_HEADER: u32 = 2;

/// Apple's journal checksum over `bytes`.
pub fn checksum(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !fold(0, bytes)
}

/// One more stretch of bytes under a checksum that is not complemented yet.
fn fold(sum: u32, bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(sum, |c, b| c.wrapping_shl(8) ^ c.wrapping_add(u32::from(b)))
}

/// So many zeros more. A zero makes of a sum its product with 1 + x^8 (no carry is ever added);
/// of the powers of that, the eighths of a sum's 32 bits leave four terms, each there if its
/// binomial coefficient is odd.
fn fold_zeros(sum: u32, n: u64) -> u32 {
    let term = |odd: bool, shift: u32| if odd { sum << shift } else { 0 };
    sum ^ term(n & 1 == 1, 8) ^ term(n & 2 == 2, 16) ^ term(n & 3 == 3, 24)
}

/// `bytes` with the four at `at` as zeros.
fn without_field(bytes: &[u8], at: usize) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().enumerate().map(move |(i, b)| if (at..at + 4).contains(&i) { 0 } else { *b })
}

/// The journal's bytes on the volume: a header, then a ring.
pub(super) struct Ring<'a> {
    pub volume: &'a dyn ReadAt,
    pub range: Range<u64>,
}

/// A block list read from the ring.
struct BlockList {
    header: BlockListHeader,
    sequence: u32,
    blocks: Vec<BlockInfo>,
}

/// A block list that cannot be believed.
struct BadList {
    why: Problem,
    /// By what it says itself, it begins another transaction than the list before.
    begins: bool,
}

/// A block of a transaction: target on the volume, length, place in the ring.
type Moved = (u64, u64, u64);

/// A transaction that may go on in another block list.
#[derive(Default)]
struct Open {
    blocks: Vec<Moved>,
    lists: u32,
    /// Number of the last list, of this transaction or the one before.
    sequence: u32,
    /// Whether the last list had no room for more entries.
    no_entries: bool,
    /// Bytes of the last list with its blocks, and of its longest block.
    used: u64,
    longest: u64,
}

impl Open {
    fn add(&mut self, list: &BlockList, blocks: Vec<Moved>) {
        self.blocks.extend(blocks);
        self.lists += 1;
        self.sequence = list.sequence;
        self.no_entries = list.header.num_blocks >= list.header.max_blocks;
        self.used = list.header.bytes_used.into();
        let lengths = list.blocks.iter().skip(1).map(|b| b.bsize);
        self.longest = lengths.max().unwrap_or(0).into();
    }

    /// Whether a bad list behind it may be its own: then, as in the kernel, all of the
    /// transaction is torn. It is another's only if it says so and the kernel had no need
    /// to begin a list: one is begun when the entries are all taken, or the bytes of the
    /// transaction's buffer, which has one entry for each journal block in it.
    fn may_go_on(&self, bad: &BadList, g: &Geometry) -> bool {
        let buffer = u64::from(g.blhdr_size) / 16 * g.unit;
        !bad.begins || self.no_entries || self.used + self.longest > buffer
    }

    fn drop_all(&mut self) {
        self.blocks.clear();
        self.lists = 0;
    }
}

struct Geometry {
    endian: Endian,
    /// Unit of block numbers, and first byte of the ring.
    unit: u64,
    size: u64,
    blhdr_size: u32,
}

impl Geometry {
    /// `pos + n` within the ring `unit..size`.
    fn advance(&self, pos: u64, n: u64) -> u64 {
        let ring = self.size - self.unit;
        let n = n % ring;
        if pos + n >= self.size { pos + n - ring } else { pos + n }
    }

    fn normal(&self, pos: u64) -> u64 {
        if pos == self.size { self.unit } else { pos }
    }
}

impl Ring<'_> {
    /// Replay what is unfinished.
    pub fn replay(&self) -> Result<Journal> {
        let range = Some(self.range.clone());
        let head = read_vec(self.volume, self.range.start, 512)?;
        if let Some(gone) = gone(self.volume, self.range.start, &head) {
            return Ok(Journal::bad(Problem::lost("its header", &gone), range));
        }
        let (header, geometry) = match self.parse_header(&head) {
            Ok(parsed) => parsed,
            Err(text) => return Ok(Journal::bad(text, range)),
        };
        let mut journal = Journal::without(JournalState::Empty);
        journal.range = range;
        let (start, end) = (geometry.normal(header.start), geometry.normal(header.end));
        if start != end {
            self.collect(&geometry, start, end, &mut journal);
        }
        Ok(journal)
    }

    fn parse_header(&self, head: &[u8]) -> std::result::Result<(JournalHeader, Geometry), String> {
        let endian = match crate::io::bytes::be32(head, 4) {
            Some(ENDIAN_MARK) => Endian::Big,
            Some(0x7856_3412) => Endian::Little,
            other => {
                return Err(format!("header has no byte-order mark ({:#x})", other.unwrap_or(0)));
            }
        };
        let h: JournalHeader = decode_endian(head, endian).ok_or("header is cut off")?;
        if h.magic != MAGIC && h.magic != OLD_MAGIC {
            return Err(format!("header magic is {:#x}", h.magic));
        }
        let sum = checksum(without_field(head.get(..44).unwrap_or_default(), 36));
        if h.magic == MAGIC && sum != h.checksum {
            return Err(format!("header checksum is {sum:08x}, stored {:08x}", h.checksum));
        }
        let space = self.range.end - self.range.start;
        let unit = u64::from(h.jhdr_size);
        if h.size > space || !(64..=65536).contains(&unit) || h.size <= 2 * unit {
            return Err(format!("size {} with blocks of {unit} in {space} bytes", h.size));
        }
        if !(32..=MAX_BLHDR).contains(&h.blhdr_size) || u64::from(h.blhdr_size) >= h.size - unit {
            return Err(format!("block-list headers of {} bytes", h.blhdr_size));
        }
        let inside = |n: u64| (unit..=h.size).contains(&n);
        if !inside(h.start) || !inside(h.end) {
            return Err(format!("start {} or end {} outside its {} bytes", h.start, h.end, h.size));
        }
        let geometry = Geometry { endian, unit, size: h.size, blhdr_size: h.blhdr_size };
        Ok((h, geometry))
    }

    /// Read `len` bytes of the ring from `pos` on.
    fn read(&self, g: &Geometry, pos: u64, len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(len);
        for (at, n) in self.pieces(g, pos, to_u64(len)) {
            out.extend(read_vec(self.volume, at, to_usize(n))?);
        }
        Ok(out)
    }

    /// The checksum of `len` bytes of the ring from `pos` on, read piece by piece.
    fn sum(&self, g: &Geometry, pos: u64, len: u64) -> Result<u32> {
        let mut sum = 0;
        for (start, len) in self.pieces(g, pos, len) {
            let (mut at, end) = (start, start + len);
            for run in self.stored_runs(start..end) {
                sum = fold_zeros(sum, run.start.saturating_sub(at));
                at = run.start;
                while at < run.end {
                    let n = PIECE.min(run.end - at);
                    let bytes = read_vec(self.volume, at, to_usize(n))?;
                    // Zeros in front change nothing.
                    if sum != 0 || !all_zero(&bytes) {
                        sum = fold(sum, bytes);
                    }
                    at += n;
                }
            }
            sum = fold_zeros(sum, end.saturating_sub(at));
        }
        Ok(!sum)
    }

    /// What is absent of the ring where these bytes were read. What was written to it is there
    /// unless it was lost, but zeros may be a hole.
    fn gone(&self, g: &Geometry, pos: u64, bytes: &[u8]) -> Option<Gone> {
        let zeros = all_zero(bytes);
        self.pieces(g, pos, to_u64(bytes.len())).into_iter().find_map(|(at, n)| match zeros {
            true => absent(self.volume, at..at + n),
            false => cut_off(self.volume, at..at + n),
        })
    }

    /// An error if part of a block of a transaction is lost with its band.
    fn stored(
        &self,
        g: &Geometry,
        i: usize,
        pos: u64,
        len: u64,
    ) -> std::result::Result<(), Problem> {
        let gone = |(at, n)| cut_off(self.volume, at..at + n);
        match self.pieces(g, pos, len).into_iter().find_map(gone) {
            Some(gone) => Err(Problem::lost(&format!("block {i}"), &gone)),
            None => Ok(()),
        }
    }

    /// The parts of a range that are stored, or cannot be read, as far as that can be told: the
    /// others are zeros that nobody need read.
    fn stored_runs(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut stored = Vec::new();
        let told = self.volume.presence(range.clone(), &mut |run, how| {
            if matches!(how, Presence::Stored | Presence::Unreadable) {
                stored.push(run);
            }
        });
        if told.is_ok() { stored } else { vec![range] }
    }

    /// Volume offsets and lengths of `len` bytes of the ring from `pos` on.
    fn pieces(&self, g: &Geometry, pos: u64, len: u64) -> Vec<(u64, u64)> {
        let first = len.min(g.size - pos);
        let mut pieces = vec![(self.range.start + pos, first)];
        if len > first {
            pieces.push((self.range.start + g.unit, (len - first).min(g.size - g.unit)));
        }
        pieces
    }

    /// Walk the transactions from `start`; put the blocks of the valid ones into
    /// the journal's segments.
    fn collect(&self, g: &Geometry, start: u64, end: u64, journal: &mut Journal) {
        let (mut pos, mut travelled, mut past_end) = (start, 0u64, false);
        let mut open = Open::default();
        let mut budget = MAX_READ.min(g.size);
        let mut transactions = 0u32;
        loop {
            past_end |= pos == end;
            // A full turn of the ring without an end: whatever follows was seen.
            if travelled >= g.size - g.unit {
                break;
            }
            let list = match self.block_list(g, pos, open.sequence, past_end) {
                Ok(list) => list,
                Err(_) if past_end => break,
                Err(bad) => {
                    if open.may_go_on(&bad, g) {
                        open.drop_all();
                    }
                    journal.problems.push(bad.why.of_transaction(pos));
                    break;
                }
            };
            if list.header.flags & FIRST_HEADER != 0 {
                transactions += self.apply(g, &mut open, journal);
            }
            match self.data_blocks(g, pos, &list, &mut budget) {
                Ok(blocks) => open.add(&list, blocks),
                Err(problem) => {
                    open.drop_all();
                    if !past_end {
                        journal.problems.push(problem.of_transaction(pos));
                    }
                    break;
                }
            }
            let used = u64::from(list.header.bytes_used).max(u64::from(g.blhdr_size));
            travelled += used;
            pos = g.advance(pos, used);
        }
        transactions += self.apply(g, &mut open, journal);
        let blocks = to_u64(journal.segments.len());
        if transactions > 0 {
            journal.state = JournalState::Replayed { transactions, blocks };
        }
    }

    /// Lay the blocks of a transaction over the volume. Returns how many transactions
    /// that was: one, or none if there was none.
    fn apply(&self, g: &Geometry, open: &mut Open, journal: &mut Journal) -> u32 {
        for (target, len, pos) in open.blocks.drain(..) {
            let mut at = target;
            for (from, n) in self.pieces(g, pos, len) {
                insert(&mut journal.segments, at, n, from);
                at += n;
            }
        }
        u32::from(std::mem::take(&mut open.lists) > 0)
    }

    /// Read and check the block list at `pos`, which follows one with the sequence number
    /// `last`.
    fn block_list(
        &self,
        g: &Geometry,
        pos: u64,
        last: u32,
        past_end: bool,
    ) -> std::result::Result<BlockList, BadList> {
        let bad = |why: String| BadList { why: why.into(), begins: false };
        let bytes = self.read(g, pos, usize32(g.blhdr_size)).map_err(|e| bad(e.to_string()))?;
        let header = decode_endian::<BlockListHeader>(&bytes, g.endian);
        let header = header.ok_or_else(|| bad("block list is cut off".into()))?;
        let entry = |i: usize| decode_endian::<BlockInfo>(bytes.get(16 + 16 * i..)?, g.endian);
        let sequence = entry(0).map_or(0, |b| b.checksum);
        let begins = header.flags & FIRST_HEADER != 0 && sequence != last;
        let bad = |why: String| Err(BadList { why: why.into(), begins });
        let sum = checksum(without_field(bytes.get(..BLHDR_SUMMED).unwrap_or_default(), 8));
        if sum != header.checksum {
            if let Some(gone) = self.gone(g, pos, &bytes) {
                return Err(BadList { why: Problem::lost("its block list", &gone), begins });
            }
            return bad(format!("block list checksum {sum:08x}, stored {:08x}", header.checksum));
        }
        let room = (bytes.len() - 16) / 16;
        let count = usize::from(header.num_blocks);
        if count == 0 || count > usize::from(header.max_blocks) || count > room {
            return bad(format!("{count} blocks of at most {}", header.max_blocks));
        }
        let follows = sequence == last || Some(sequence) == last.checked_add(1);
        if last != 0 && sequence != 0 && !follows {
            return bad(format!("sequence number {sequence} follows {last}"));
        }
        if past_end && sequence == 0 {
            return bad("no sequence number".into());
        }
        Ok(BlockList { header, sequence, blocks: (0..count).filter_map(entry).collect() })
    }

    /// The blocks of a list; `budget`: bytes that may still be read for checksums.
    fn data_blocks(
        &self,
        g: &Geometry,
        pos: u64,
        list: &BlockList,
        budget: &mut u64,
    ) -> std::result::Result<Vec<Moved>, Problem> {
        let mut at = g.advance(pos, u64::from(g.blhdr_size));
        let mut out = Vec::with_capacity(list.blocks.len());
        for (i, block) in list.blocks.iter().enumerate().skip(1) {
            let len = u64::from(block.bsize);
            if len == 0 || len > MAX_BLOCK || len >= g.size - g.unit {
                return Err(format!("block {i} has {len} bytes").into());
            }
            if block.bnum != -1 {
                let target = u64::try_from(block.bnum).ok().and_then(|n| n.checked_mul(g.unit));
                let target = target.filter(|t| t.saturating_add(len) <= self.volume.len());
                let target =
                    target.ok_or_else(|| format!("block {i} goes to number {}", block.bnum))?;
                if list.header.flags & CHECKSUMS_VALID != 0 && block.checksum != 0 {
                    let left = budget.checked_sub(len);
                    *budget = left.ok_or_else(|| "more than any journal holds".to_owned())?;
                    let sum = self.sum(g, at, len).map_err(|e| format!("block {i}: {e}"))?;
                    if sum != block.checksum {
                        self.stored(g, i, at, len)?;
                        return Err(format!("block {i} has a wrong checksum").into());
                    }
                } else {
                    self.stored(g, i, at, len)?;
                }
                out.push((target, len, at));
            }
            at = g.advance(at, len);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_apples() {
        // c = (c << 8) ^ (c + b), then complemented.
        assert_eq!(checksum([]), !0);
        assert_eq!(checksum([1]), !1);
        assert_eq!(checksum([1, 2]), !((1 << 8) ^ 3));
    }

    #[test]
    fn zeros_are_folded_in_no_time() {
        for sum in [0, 1, 0xFF, 0x8000_0001, 0xDEAD_BEEF, u32::MAX] {
            for n in (0..70).chain([255, 256, 1000, 65_537]) {
                let slow = fold(sum, std::iter::repeat_n(0, n as usize));
                assert_eq!(fold_zeros(sum, n), slow, "{n} zeros behind {sum:#x}");
            }
        }
    }
}
