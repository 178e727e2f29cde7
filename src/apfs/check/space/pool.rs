//! The pool: the blocks that lists and bitmaps of chunks lie in, and its own bitmap.

use super::Space;
use super::chunks::bit;
use crate::error::Result;
use crate::io::Ranges;
use crate::io::bytes::{to_u64, to_usize};
use crate::report::{Rule, Severity, Structure};
use std::collections::HashSet;

/// Ends a list of bitmaps, and marks those in use.
const END: u16 = 0xFFFF;
/// Bytes that a bitmap of the pool takes in the tables.
const PART: u64 = 8 + 2 + 2 * super::BITMAP_COPIES;

impl Space<'_> {
    fn table16(&self, offset: usize, i: u64) -> u16 {
        self.u16(to_usize(u64::from(self.u32(offset)) + i * 2))
    }

    /// The list of free bitmaps, and the bitmap in use against `in_use`, which may not be all
    /// if it is not `whole`.
    pub(super) fn pool_bitmap(&self, in_use: HashSet<u64>, whole: bool) -> Result<()> {
        let s = &self.sizes;
        let all = s.pool_bitmap * super::BITMAP_COPIES;
        // What does not fit into the tables is told where those are.
        let parts = s.pool_bitmap.min(to_u64(self.object.bytes().len()) / PART);
        let current: Vec<u16> = (0..parts).map(|i| self.table16(0x148, i)).collect();
        for i in 0..parts {
            let xid = self.u64(to_usize(u64::from(self.u32(0x144)) + i * 8));
            let max = self.container.superblock().xid;
            if xid == 0 || xid > max {
                self.broken(Rule::A304, || {
                    format!("has a bitmap of its pool of transaction {xid}, which is not one from 1 to {max}")
                });
            }
        }
        self.free_bitmaps(&current, all);
        if let Some(out) = current.iter().find(|c| u64::from(**c) >= all) {
            self.broken(Rule::A306, || format!("uses bitmap {out} of {all} of its pool"));
            return Ok(());
        }
        self.compare_pool(&current, in_use, whole)
    }

    fn free_bitmaps(&self, current: &[u16], all: u64) {
        let (head, tail) = (self.u16(0x140), self.u16(0x142));
        let (mut free, mut at, mut last) = (HashSet::new(), head, END);
        while at != END {
            if u64::from(at) >= all || !free.insert(at) {
                self.broken(Rule::A305, || {
                    format!(
                        "has a list of free bitmaps that leads to {at}, of {all}, or there twice"
                    )
                });
                return;
            }
            last = at;
            at = self.table16(0x14C, at.into());
        }
        if last != tail {
            self.broken(Rule::A305, || {
                format!("has a list of free bitmaps that ends at {last}, expected {tail}")
            });
        }
        let used: HashSet<u16> = current.iter().copied().collect();
        let sum = to_u64(free.len() + used.len());
        let both = used.iter().any(|i| free.contains(i));
        let marked = current.iter().any(|i| self.table16(0x14C, (*i).into()) != END);
        if sum != all || both || marked || used.len() != current.len() {
            self.broken(Rule::A306, || {
                let (free, used) = (free.len(), used.len());
                format!("has {free} free bitmaps and {used} in use, of {all}, or one that is both")
            });
        }
    }

    /// The block of a bitmap. It has no sum: zeros that are not stored are told by what they lack.
    pub(super) fn bits(&self, what: &str, block: u64) -> Result<Vec<u8>> {
        let blocks = self.container.store().blocks();
        let bytes = blocks.read(what, block, 1)?;
        blocks.stored(what, block, &bytes)?;
        Ok(bytes)
    }

    fn compare_pool(&self, current: &[u16], in_use: HashSet<u64>, whole: bool) -> Result<()> {
        let (pool, size) = (self.pool(), self.sizes.chunk);
        let queue = self.pool_queue.borrow();
        // Of a queue of which not all is known, more may be marked.
        let whole = whole && queue.whole;
        let lists = in_use.into_iter().filter(|b| pool.contains(b)).map(|b| b - pool.start);
        let wanted = lists.map(|b| b..b + 1).chain(queue.blocks.iter().cloned());
        let wanted = Ranges::new(wanted.collect());
        for (part, index) in (0u64..).zip(current) {
            let block = self.u64(0xA8).saturating_add((*index).into());
            let place = self.checker.place(Structure::SpaceManager, block);
            let here = part * size..(part + 1) * size;
            let what = "bitmap of the space manager's pool";
            let read = match wanted.meet(here.clone()).next().is_none() {
                // Zeros are all that is wanted, stored or not.
                true => self.container.store().blocks().read(what, block, 1),
                false => self.bits(what, block),
            };
            let bits = match read {
                Ok(bits) => bits,
                Err(e) => {
                    self.checker.unreadable(place, "the space manager", e)?;
                    continue;
                }
            };
            let mut expected = vec![0u8; bits.len()];
            for bit in wanted.meet(here.clone()).flatten().map(|b| b - here.start) {
                if let Some(byte) = expected.get_mut(to_usize(bit / 8)) {
                    *byte |= 1 << (bit % 8);
                }
            }
            let missing = |(found, expected): (&u8, &u8)| expected & !found != 0;
            let lacks = bits.iter().zip(&expected).any(missing);
            // What is marked past the end of the pool is nobody's.
            let last = (pool.end - pool.start).saturating_sub(here.start).min(size);
            let marks_more = (0..last).any(|b| bit(&bits, b) && !bit(&expected, b));
            if lacks || whole && bits != expected {
                let severity =
                    if lacks || marks_more { Rule::A307.severity() } else { Severity::Warning };
                self.checker.broken_as(Rule::A307, severity, place, || {
                    let what = match (lacks, marks_more) {
                        (true, _) => "does not mark what is in use in it",
                        (_, true) => "marks more than what is in use in it",
                        _ => "marks blocks past the pool's end",
                    };
                    format!("the bitmap of the space manager's pool {what}")
                });
            }
        }
        Ok(())
    }
}
