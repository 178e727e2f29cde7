//! The journal, replayed in memory: a map from places on the volume to the
//! newer bytes in the journal. The volume is never written.
//!
//! Follows the kernel's `replay_journal` (section 13 and the corrections in
//! section 0): stops at the first transaction that is not valid, keeps the ones
//! before it, and goes on past `end` while valid ones with consecutive sequence
//! numbers follow.

use super::format::{BlockInfo, BlockListHeader, JournalHeader, JournalInfoBlock, VolumeHeader};
use super::format::{VOL_JOURNALED, decode, decode_endian};
use crate::error::{Locus, Result};
use crate::io::bytes::{to_u64, to_usize, usize32};
use crate::io::{PresenceVisitor, ReadAt, Source, check_range, read_vec};
use binrw::Endian;
use std::collections::BTreeMap;
use std::ops::Range;

/// `JNLx`.
const MAGIC: u32 = 0x4A4E_4C78;
/// `JHDR`: old, without a checksum of the header.
const OLD_MAGIC: u32 = 0x4A48_4452;
const ENDIAN_MARK: u32 = 0x1234_5678;
/// Largest block-list header that is read.
const MAX_BLHDR: u32 = 1 << 20;
/// Bytes of a block-list header that its checksum covers.
const BLHDR_SUMMED: usize = 32;

const IN_VOLUME: u32 = 1;
const ON_OTHER_DEVICE: u32 = 2;
const NEEDS_INIT: u32 = 4;
const CHECKSUMS_VALID: u32 = 1;
const FIRST_HEADER: u32 = 2;

/// State of a volume's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalState {
    /// The volume is not journaled.
    None,
    /// Nothing to replay.
    Empty,
    /// Made by newfs, never used.
    NeedsInit,
    /// On another device.
    External,
    /// Held unfinished work, which was replayed in memory.
    Replayed {
        /// Transactions.
        transactions: u32,
        /// Blocks that differ from the volume's own.
        blocks: u64,
    },
}

/// The journal of a volume.
#[derive(Debug, Clone)]
pub struct Journal {
    /// Its state.
    pub state: JournalState,
    /// What is wrong with it, one sentence each.
    pub problems: Vec<String>,
    /// Its byte range in the volume.
    pub range: Option<Range<u64>>,
    /// The newer bytes that replay brings.
    segments: Segments,
}

/// Where newer bytes lie: volume offset → (length, volume offset in the journal).
type Segments = BTreeMap<u64, (u64, u64)>;

impl Journal {
    fn without(state: JournalState) -> Self {
        Self { state, problems: Vec::new(), range: None, segments: Segments::new() }
    }

    fn bad(text: String, range: Option<Range<u64>>) -> Self {
        let mut journal = Self::without(JournalState::Empty);
        journal.problems.push(text);
        journal.range = range;
        journal
    }

    /// Read and check the journal of a volume.
    ///
    /// # Errors
    /// Only when bytes cannot be read; a journal that is wrong says so in
    /// [`Journal::problems`].
    pub fn read(volume: &dyn ReadAt, header: &VolumeHeader) -> Result<Self> {
        if header.attributes & VOL_JOURNALED == 0 || header.journal_info_block == 0 {
            return Ok(Self::without(JournalState::None));
        }
        let at = u64::from(header.journal_info_block) * u64::from(header.block_size);
        if check_range(volume.len(), at, 180, "").is_err() {
            let text =
                format!("the journal info block {} is past the end", header.journal_info_block);
            return Ok(Self::bad(text, None));
        }
        let Some(info) = decode::<JournalInfoBlock>(&read_vec(volume, at, 180)?) else {
            return Ok(Self::bad("the journal info block is cut off".into(), None));
        };
        if info.flags & ON_OTHER_DEVICE != 0 && info.flags & IN_VOLUME == 0 {
            return Ok(Self::without(JournalState::External));
        }
        if info.flags & NEEDS_INIT != 0 {
            return Ok(Self::without(JournalState::NeedsInit));
        }
        let end = info.offset.saturating_add(info.size);
        if end > volume.len() || info.size < 1024 {
            let text = format!("{} bytes at {} do not fit the volume", info.size, info.offset);
            return Ok(Self::bad(text, None));
        }
        let ring = Ring { volume, range: info.offset..end };
        ring.replay()
    }

    /// The volume with the journal's newer bytes laid over it.
    pub fn overlay(&self, volume: Source) -> Source {
        if self.segments.is_empty() {
            return volume;
        }
        std::sync::Arc::new(Overlay { volume, segments: self.segments.clone() })
    }
}

/// Apple's journal checksum over `bytes`.
pub fn checksum(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(0u32, |c, b| c.wrapping_shl(8) ^ c.wrapping_add(u32::from(b)))
}

/// `bytes` with the four at `at` as zeros.
fn without_field(bytes: &[u8], at: usize) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().enumerate().map(move |(i, b)| if (at..at + 4).contains(&i) { 0 } else { *b })
}

/// The journal's bytes on the volume: a header, then a ring.
struct Ring<'a> {
    volume: &'a dyn ReadAt,
    range: Range<u64>,
}

/// A block list read from the ring.
struct BlockList {
    header: BlockListHeader,
    sequence: u32,
    blocks: Vec<BlockInfo>,
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
    fn replay(&self) -> Result<Journal> {
        let range = Some(self.range.clone());
        let head = read_vec(self.volume, self.range.start, 512)?;
        let (header, geometry) = match self.parse_header(&head) {
            Ok(parsed) => parsed,
            Err(text) => return Ok(Journal::bad(text, range)),
        };
        let mut journal = Journal::without(JournalState::Empty);
        journal.range = range;
        let (start, end) = (geometry.normal(header.start), geometry.normal(header.end));
        if start != end {
            self.collect(&geometry, start, end, &mut journal)?;
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
    fn collect(&self, g: &Geometry, start: u64, end: u64, journal: &mut Journal) -> Result<()> {
        let (mut pos, mut last, mut past_end) = (start, 0u32, false);
        let mut pending: Vec<(u64, u64, u64)> = Vec::new();
        let (mut transactions, mut travelled) = (0u32, 0u64);
        // A transaction goes on in another block list only when the last was full.
        let mut may_continue = false;
        loop {
            past_end |= pos == end;
            // A full turn of the ring without an end: whatever follows was seen.
            if travelled >= g.size - g.unit {
                break;
            }
            let list = match self.block_list(g, pos, last, past_end)? {
                Ok(list) => list,
                Err(_) if past_end => break,
                Err(text) => {
                    journal.problems.push(format!("transaction at {pos} of the journal: {text}"));
                    if may_continue {
                        pending.clear();
                        transactions = transactions.saturating_sub(1);
                    }
                    break;
                }
            };
            last = list.sequence;
            if list.header.flags & FIRST_HEADER != 0 {
                self.apply(g, &mut pending, journal);
                transactions += 1;
            }
            match self.data_blocks(g, pos, &list)? {
                Ok(blocks) => pending.extend(blocks),
                Err(text) => {
                    pending.clear();
                    transactions = transactions.saturating_sub(1);
                    if !past_end {
                        let text = format!("transaction at {pos} of the journal: {text}");
                        journal.problems.push(text);
                    }
                    break;
                }
            }
            may_continue = list.header.num_blocks == list.header.max_blocks;
            let used = u64::from(list.header.bytes_used).max(u64::from(g.blhdr_size));
            travelled += used;
            pos = g.advance(pos, used);
        }
        self.apply(g, &mut pending, journal);
        let blocks = to_u64(journal.segments.len());
        if transactions > 0 {
            journal.state = JournalState::Replayed { transactions, blocks };
        }
        Ok(())
    }

    fn apply(&self, g: &Geometry, pending: &mut Vec<(u64, u64, u64)>, journal: &mut Journal) {
        for (target, len, pos) in pending.drain(..) {
            let mut at = target;
            for (from, n) in self.pieces(g, pos, len) {
                insert(&mut journal.segments, at, n, from);
                at += n;
            }
        }
    }

    /// Read and check the block list at `pos`; the inner error says what is wrong.
    fn block_list(
        &self,
        g: &Geometry,
        pos: u64,
        last: u32,
        past_end: bool,
    ) -> Result<std::result::Result<BlockList, String>> {
        let bytes = self.read(g, pos, usize32(g.blhdr_size))?;
        let Some(header) = decode_endian::<BlockListHeader>(&bytes, g.endian) else {
            return Ok(Err("block list is cut off".into()));
        };
        let sum = checksum(without_field(bytes.get(..BLHDR_SUMMED).unwrap_or_default(), 8));
        if sum != header.checksum {
            return Ok(Err(format!(
                "block list checksum {sum:08x}, stored {:08x}",
                header.checksum
            )));
        }
        let room = (bytes.len() - 16) / 16;
        let count = usize::from(header.num_blocks);
        if count == 0 || count > usize::from(header.max_blocks) || count > room {
            return Ok(Err(format!("{count} blocks of at most {}", header.max_blocks)));
        }
        let blocks: Vec<BlockInfo> =
            (0..count).filter_map(|i| decode_endian(bytes.get(16 + 16 * i..)?, g.endian)).collect();
        let sequence = blocks.first().map_or(0, |b| b.checksum);
        let follows = sequence == last || Some(sequence) == last.checked_add(1);
        if last != 0 && sequence != 0 && !follows {
            return Ok(Err(format!("sequence number {sequence} follows {last}")));
        }
        if past_end && sequence == 0 {
            return Ok(Err("no sequence number".into()));
        }
        Ok(Ok(BlockList { header, sequence, blocks }))
    }

    /// The blocks of a list: target on the volume, length, place in the ring.
    #[allow(clippy::type_complexity)]
    fn data_blocks(
        &self,
        g: &Geometry,
        pos: u64,
        list: &BlockList,
    ) -> Result<std::result::Result<Vec<(u64, u64, u64)>, String>> {
        let mut at = g.advance(pos, u64::from(g.blhdr_size));
        let mut out = Vec::with_capacity(list.blocks.len());
        for (i, block) in list.blocks.iter().enumerate().skip(1) {
            let len = u64::from(block.bsize);
            if len == 0 || len >= g.size - g.unit {
                return Ok(Err(format!("block {i} has {len} bytes")));
            }
            if block.bnum != -1 {
                let target = u64::try_from(block.bnum).ok().and_then(|n| n.checked_mul(g.unit));
                let Some(target) = target.filter(|t| t.saturating_add(len) <= self.volume.len())
                else {
                    return Ok(Err(format!("block {i} goes to number {}", block.bnum)));
                };
                if list.header.flags & CHECKSUMS_VALID != 0 && block.checksum != 0 {
                    let sum = checksum(self.read(g, at, usize32(block.bsize))?);
                    if sum != block.checksum {
                        return Ok(Err(format!("block {i} has a wrong checksum")));
                    }
                }
                out.push((target, len, at));
            }
            at = g.advance(at, len);
        }
        Ok(Ok(out))
    }
}

/// Lay a segment over the map; parts of older ones that stick out stay.
fn insert(map: &mut Segments, start: u64, len: u64, from: u64) {
    let end = start + len;
    let before = map.range(..start).next_back().map(|(s, v)| (*s, *v));
    if let Some((s, (n, f))) = before
        && s + n > start
    {
        map.insert(s, (start - s, f));
        if s + n > end {
            map.insert(end, (s + n - end, f + (end - s)));
        }
    }
    let covered: Vec<u64> = map.range(start..end).map(|(s, _)| *s).collect();
    for s in covered {
        if let Some((n, f)) = map.remove(&s)
            && s + n > end
        {
            map.insert(end, (s + n - end, f + (end - s)));
        }
    }
    map.insert(start, (len, from));
}

/// A volume with newer bytes laid over it.
struct Overlay {
    volume: Source,
    segments: Segments,
}

impl Overlay {
    /// Split a range into runs, each with the place its bytes really lie.
    fn runs(&self, range: Range<u64>) -> Vec<(Range<u64>, u64)> {
        let mut runs = Vec::new();
        let mut at = range.start;
        let first = self.segments.range(..=range.start).next_back();
        let from = first.map_or(range.start, |(s, _)| *s);
        for (start, (len, source)) in self.segments.range(from..range.end) {
            let (s, e) = ((*start).max(at), (start + len).min(range.end));
            if e <= at {
                continue;
            }
            if s > at {
                runs.push((at..s, at));
            }
            runs.push((s..e, source + (s - start)));
            at = e;
        }
        if at < range.end {
            runs.push((at..range.end, at));
        }
        runs
    }
}

impl ReadAt for Overlay {
    fn len(&self) -> u64 {
        self.volume.len()
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len(), offset, buf.len(), "volume")?;
        for (part, from) in self.runs(offset..offset + to_u64(buf.len())) {
            let (now, rest) = buf.split_at_mut(to_usize(part.end - part.start).min(buf.len()));
            self.volume.read_at(now, from)?;
            buf = rest;
        }
        Ok(())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        for (part, from) in self.runs(range) {
            let len = part.end - part.start;
            self.volume.presence(from..from + len, &mut |r, p| {
                visit(part.start + r.start - from..part.start + r.end - from, p);
            })?;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.volume.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Memory;

    #[test]
    fn later_segments_win_and_leave_the_edges() {
        let mut m = Segments::new();
        insert(&mut m, 0, 10, 100);
        insert(&mut m, 4, 2, 200);
        assert_eq!(m, [(0, (4, 100)), (4, (2, 200)), (6, (4, 106))].into());
        insert(&mut m, 2, 20, 300);
        assert_eq!(m, [(0, (2, 100)), (2, (20, 300))].into());
    }

    #[test]
    fn an_overlay_reads_the_newer_bytes() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut segments = Segments::new();
        insert(&mut segments, 10, 5, 50);
        let o = Overlay { volume: std::sync::Arc::new(Memory::new(bytes)), segments };
        assert_eq!(read_vec(&o, 8, 10).unwrap(), [8, 9, 50, 51, 52, 53, 54, 15, 16, 17]);
        assert_eq!(read_vec(&o, 12, 2).unwrap(), [52, 53]);
        assert_eq!(read_vec(&o, 20, 2).unwrap(), [20, 21]);
    }

    #[test]
    fn the_checksum_is_apples() {
        // c = (c << 8) ^ (c + b), then complemented.
        assert_eq!(checksum([]), !0);
        assert_eq!(checksum([1]), !1);
        assert_eq!(checksum([1, 2]), !((1 << 8) ^ 3));
    }
}
