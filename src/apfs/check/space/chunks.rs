//! Chunks: their lists, their bitmaps, and what really is in use in them.

use super::Space;
use crate::apfs::check::headers;
use crate::apfs::check::used::Used;
use crate::apfs::format::{HEADER, kind};
use crate::apfs::object::{Expected, Object, Storage};
use crate::error::{Error, Result};
use crate::io::bytes::{le32, le64, to_u64, usize32};
use crate::report::words::{count, plural};
use crate::report::{Rule, Structure};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Where the lists in chunk-info and address blocks begin, their index and number of entries.
const LIST: usize = HEADER + 8;
const INDEX: usize = HEADER;
const COUNT: usize = HEADER + 4;
/// Bytes of what is said of one chunk.
const CHUNK: usize = 32;
/// The bits of a count of blocks that are one.
const BLOCKS: u32 = (1 << 20) - 1;

/// What is said of a chunk.
struct Chunk {
    xid: u64,
    first: u64,
    count: u32,
    free: u32,
    bitmap: u64,
}

impl Chunk {
    fn parse(b: &[u8]) -> Option<Self> {
        Some(Self {
            xid: le64(b, 0)?,
            first: le64(b, 8)?,
            count: le32(b, 16)? & BLOCKS,
            free: le32(b, 20)? & BLOCKS,
            bitmap: le64(b, 24)?,
        })
    }
}

/// What was seen on the way through the chunks.
pub(super) struct Tally {
    /// Number of the next chunk and of the next list.
    chunk: u64,
    cib: u64,
    free: u64,
    whole: bool,
    /// Blocks of the pool that are in use.
    pub in_pool: HashSet<u64>,
}

impl Space<'_> {
    /// Compare all bitmaps with what is in use.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn bitmaps(&self, used: &Used) -> Result<()> {
        let in_pool = HashSet::new();
        let mut tally = Tally { chunk: 0, cib: 0, free: 0, whole: true, in_pool };
        let lists: Vec<u64> = self.addresses().collect();
        if self.u32(0x44) == 0 {
            for block in lists {
                self.list(block, used, &mut tally)?;
            }
        } else {
            for (i, block) in (0u64..).zip(lists) {
                self.list_of_lists(i, block, used, &mut tally)?;
            }
        }
        if tally.whole && tally.chunk == self.sizes.chunks {
            self.number(Rule::A295, "the free blocks", self.u64(0x48), tally.free);
        }
        // Of lists that lack chunks not all bitmaps are known.
        let whole = tally.whole && tally.chunk == self.sizes.chunks;
        self.pool_bitmap(tally.in_pool, whole)
    }

    fn object(&self, what: &str, block: u64, kinds: &'static [u16]) -> Result<Object> {
        let store = self.container.store();
        let object = store.blocks().object(what, block, 1)?;
        let (max_xid, storage) = (store.max_xid(), Storage::Physical);
        let expected = Expected { oid: block, xid: None, max_xid, kinds, subtype: 0, storage };
        if let Some(problem) = expected.problem(&object.header) {
            return Err(store.blocks().corrupt(what, block, problem));
        }
        if let Some((rule, text)) = headers::problem(&object.header, false) {
            let place = self.checker.place(Structure::SpaceManager, block);
            self.checker.broken(rule, place, || format!("{what} in block {block}: {text}"));
        }
        Ok(object)
    }

    fn failed(&self, block: u64, e: Error, tally: &mut Tally) -> Result<()> {
        tally.whole = false;
        let place = self.checker.place(Structure::SpaceManager, block);
        self.checker.unreadable(place, "the space manager", e)
    }

    /// Note a block of the pool; returns whether it was not met before: no block is two of its
    /// lists or bitmaps, and each is read once.
    fn in_pool(&self, what: &str, block: u64, tally: &mut Tally) -> bool {
        if !tally.in_pool.insert(block) {
            tally.whole = false;
            let place = self.checker.place(Structure::SpaceManager, block);
            self.checker.broken(Rule::A308, place, || {
                format!("the space manager has {what} in block {block}, and something else, too")
            });
            return false;
        }
        if !self.pool().contains(&block) {
            self.broken(Rule::A287, || {
                format!("has {what} in block {block}, which is outside its pool")
            });
        }
        true
    }

    fn list_of_lists(&self, i: u64, block: u64, used: &Used, tally: &mut Tally) -> Result<()> {
        let what = "list of chunk lists";
        let next = (i + 1) * self.sizes.per_cab;
        if !self.in_pool(what, block, tally) {
            (tally.cib, tally.chunk) = (next, next * self.sizes.per_cib);
            return Ok(());
        }
        let cab = match self.object(what, block, &[kind::CAB]) {
            Ok(cab) => cab,
            Err(e) => {
                (tally.cib, tally.chunk) = (next, next * self.sizes.per_cib);
                return self.failed(block, e, tally);
            }
        };
        let s = &self.sizes;
        let expected = (s.cibs - (i * s.per_cab).min(s.cibs)).min(s.per_cab);
        let (index, count) = (cab.u32(INDEX).unwrap_or(0), cab.u32(COUNT).unwrap_or(0));
        if u64::from(index) != i || u64::from(count) != expected {
            self.checker.broken(Rule::A288, self.checker.place(Structure::SpaceManager, block), || {
                format!("list of chunk lists {i} calls itself {index} and has {count} lists, expected {expected}")
            });
        }
        let room = (cab.bytes().len() - LIST) / 8;
        for cib in (0..usize32(count).min(room)).map_while(|n| cab.u64(LIST + n * 8)) {
            self.list(cib, used, tally)?;
        }
        Ok(())
    }

    fn list(&self, block: u64, used: &Used, tally: &mut Tally) -> Result<()> {
        self.progress.check()?;
        let (s, what, i) = (&self.sizes, "list of chunks", tally.cib);
        tally.cib += 1;
        if !self.in_pool(what, block, tally) {
            tally.chunk = tally.cib * s.per_cib;
            return Ok(());
        }
        let cib = match self.object("space manager's chunk-info block", block, &[kind::CIB]) {
            Ok(cib) => cib,
            Err(e) => {
                tally.chunk = tally.cib * s.per_cib;
                return self.failed(block, e, tally);
            }
        };
        let place = || self.checker.place(Structure::SpaceManager, block);
        let expected = (s.chunks - (i * s.per_cib).min(s.chunks)).min(s.per_cib);
        let (index, count) = (cib.u32(INDEX).unwrap_or(0), cib.u32(COUNT).unwrap_or(0));
        if u64::from(index) != i || u64::from(count) != expected {
            self.checker.broken(Rule::A289, place(), || {
                format!("list of chunks {i} calls itself {index} and has {count} chunks, expected {expected}")
            });
        }
        let mut newest = 0;
        for n in 0..usize32(count) {
            let at = LIST + n * CHUNK;
            let Some(chunk) = cib.bytes().get(at..at + CHUNK).and_then(Chunk::parse) else { break };
            newest = newest.max(chunk.xid);
            if chunk.xid == 0 || chunk.xid > cib.header.xid {
                self.checker.broken(Rule::A293, place(), || {
                    format!(
                        "the chunk from block {} on is of transaction {}, its list of {}",
                        chunk.first, chunk.xid, cib.header.xid
                    )
                });
            }
            self.chunk(&chunk, block, used, tally)?;
            self.progress.advance(1);
        }
        if newest != cib.header.xid {
            self.checker.broken(Rule::A294, place(), || {
                format!(
                    "list of chunks {i} is of transaction {}, the newest of its chunks of {newest}",
                    cib.header.xid
                )
            });
        }
        Ok(())
    }

    fn chunk(&self, chunk: &Chunk, cib: u64, used: &Used, tally: &mut Tally) -> Result<()> {
        let s = &self.sizes;
        let first = tally.chunk * s.chunk;
        let count = self.container.store().blocks().count().saturating_sub(first).min(s.chunk);
        tally.chunk += 1;
        tally.free += u64::from(chunk.free);
        let place = || self.checker.place(Structure::SpaceManager, cib);
        if chunk.first != first || u64::from(chunk.count) != count {
            self.checker.broken(Rule::A290, place(), || {
                format!(
                    "a chunk has {} blocks from {} on, expected {count} from {first}",
                    chunk.count, chunk.first
                )
            });
        }
        let blocks = first..first + count;
        let free = u64::from(chunk.free) == count;
        let bitmap = if chunk.bitmap == 0 { None } else { self.bitmap(chunk.bitmap, free, tally)? };
        let bits = match (&bitmap, chunk.bitmap) {
            (Some(bits), _) => bits.as_slice(),
            (None, 0) => &[],
            (None, _) => return Ok(()),
        };
        let taken = ones(bits, 0..count);
        if u64::from(chunk.free) != count.saturating_sub(taken) {
            let at = if chunk.bitmap == 0 { cib } else { chunk.bitmap };
            let place = self.checker.place(Structure::SpaceManager, at);
            self.checker.broken(Rule::A291, place, || {
                format!(
                    "the chunk from block {first} on has {} blocks free, its bitmap {}",
                    chunk.free,
                    count.saturating_sub(taken)
                )
            });
        }
        if ones(bits, count..to_u64(bits.len()) * 8) != 0 {
            let place = self.checker.place(Structure::SpaceManager, chunk.bitmap);
            self.checker.broken(Rule::A292, place, || {
                format!("the bitmap of the chunk from block {first} on goes on behind its end")
            });
        }
        self.compare(bits, blocks, used);
        Ok(())
    }

    /// The bitmap of a chunk; of one that is `free` it may be a hole, as zeros are kept.
    fn bitmap(&self, block: u64, free: bool, tally: &mut Tally) -> Result<Option<Vec<u8>>> {
        if !self.in_pool("a bitmap", block, tally) {
            return Ok(None);
        }
        let what = "space manager bitmap";
        let read = match free {
            true => self.container.store().blocks().read(what, block, 1),
            false => self.bits(what, block),
        };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) => self.failed(block, e, tally).map(|()| None),
        }
    }

    /// What is in use is marked so, and nothing else. Of a chunk each kind of owner is told once.
    fn compare(&self, bits: &[u8], blocks: Range<u64>, used: &Used) {
        let (mut free, mut unused) = (BTreeMap::new(), Wrong::default());
        let mut at = blocks.start;
        for (range, by) in used.within(blocks.clone()) {
            if used.whole {
                unused.add(runs(bits, blocks.start, at..range.start, true));
            }
            at = range.end;
            let wrong: &mut Wrong = free.entry(by).or_default();
            wrong.add(runs(bits, blocks.start, range, false));
        }
        for (by, wrong) in &free {
            self.marked(Rule::A309, wrong, |n, from| {
                format!("{n} from block {from} on hold {by}, and are marked free")
            });
        }
        if used.whole {
            unused.add(runs(bits, blocks.start, at..blocks.end, true));
            self.marked(Rule::A318, &unused, |n, from| {
                format!("{n} from block {from} on are marked used, and nothing uses them")
            });
        }
    }

    fn marked(&self, rule: Rule, wrong: &Wrong, text: impl FnOnce(&str, &str) -> String) {
        let Some(first) = wrong.first else { return };
        let place = self.checker.place(Structure::SpaceManager, first);
        self.checker.broken(rule, place, || {
            let from = match wrong.runs {
                0 | 1 => first.to_string(),
                n => format!("{first} in {} places", count(n)),
            };
            text(&plural(wrong.blocks, "block", "blocks"), &from)
        });
    }
}

/// Blocks of a chunk that are not marked as they must be.
#[derive(Default)]
struct Wrong {
    first: Option<u64>,
    blocks: u64,
    runs: u64,
}

impl Wrong {
    fn add(&mut self, runs: Vec<Range<u64>>) {
        for run in runs {
            self.first.get_or_insert(run.start);
            self.blocks += run.end - run.start;
            self.runs += 1;
        }
    }
}

pub(super) fn bit(bits: &[u8], i: u64) -> bool {
    let byte = usize::try_from(i / 8).ok().and_then(|at| bits.get(at));
    byte.is_some_and(|b| b >> (i % 8) & 1 != 0)
}

/// Number of ones among some bits.
fn ones(bits: &[u8], range: Range<u64>) -> u64 {
    let mut at = range.start;
    let mut sum = 0;
    while at < range.end {
        let whole = at.is_multiple_of(8) && range.end - at >= 8;
        if whole {
            let byte = usize::try_from(at / 8).ok().and_then(|i| bits.get(i));
            sum += u64::from(byte.map_or(0, |b| b.count_ones()));
            at += 8;
        } else {
            sum += u64::from(bit(bits, at));
            at += 1;
        }
    }
    sum
}

/// Runs of blocks whose bit is as wanted, among `range`; the bits begin at block `first`.
fn runs(bits: &[u8], first: u64, range: Range<u64>, wanted: bool) -> Vec<Range<u64>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let other = if wanted { 0 } else { 0xFF };
    let mut at = range.start;
    while at < range.end {
        let i = at - first;
        let byte = usize::try_from(i / 8).ok().and_then(|at| bits.get(at)).copied().unwrap_or(0);
        if i.is_multiple_of(8) && range.end - at >= 8 && byte == other {
            at += 8;
            continue;
        }
        if bit(bits, i) == wanted {
            match found.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ => found.push(at..at + 1),
            }
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_and_found_in_runs() {
        let bits = [0b1111_0000, 0xFF, 0, 0b1];
        assert_eq!(ones(&bits, 0..32), 13);
        assert_eq!(ones(&bits, 5..15), 10);
        assert_eq!(runs(&bits, 100, 100..132, true), [104..116, 124..125]);
        assert_eq!(runs(&bits, 100, 102..130, false), [102..104, 116..124, 125..130]);
        assert_eq!(runs(&[], 0, 0..9, false).len(), 1);
    }
}
