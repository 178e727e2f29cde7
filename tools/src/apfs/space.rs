//! Which blocks are used: bitmaps of chunks, queues of freed blocks.

use std::collections::{BTreeMap, BTreeSet};

use crate::hfs::splitmix;

/// What the chunk-info blocks say of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// Transaction of its last change.
    pub xid: u64,
    /// Free blocks.
    pub free: u32,
    /// Where its bitmap lies; 0 where all is free.
    pub bitmap: u64,
}

/// Blocks freed in a transaction: (transaction, first block) to count.
pub type Queue = BTreeMap<(u64, u64), u64>;

/// The space of a container.
#[derive(Debug)]
pub struct Space {
    /// Blocks in the container.
    pub blocks: u64,
    /// Blocks in a chunk.
    pub per_chunk: u64,
    /// All chunks.
    pub chunks: Vec<Chunk>,
    /// Chunks changed since the last checkpoint.
    pub changed: BTreeSet<u64>,
    /// Freed blocks that an older checkpoint may need.
    pub queue: Queue,
    bitmaps: BTreeMap<u64, Box<[u8]>>,
    cursor: u64,
    /// Put single blocks anywhere instead of one after the other.
    scatter: Option<u64>,
}

impl Space {
    /// An empty container of `blocks` blocks of `block_size` bytes.
    pub fn new(blocks: u64, block_size: u64, scatter: Option<u64>) -> Self {
        let per_chunk = block_size * 8;
        let chunk = |i: u64| Chunk {
            xid: 1,
            free: (blocks - i * per_chunk).min(per_chunk) as u32,
            bitmap: 0,
        };
        let chunks: Vec<Chunk> = (0..blocks.div_ceil(per_chunk)).map(chunk).collect();
        Space {
            blocks,
            per_chunk,
            changed: BTreeSet::new(),
            chunks,
            queue: Queue::new(),
            bitmaps: BTreeMap::new(),
            cursor: 0,
            scatter,
        }
    }

    /// The bitmap of a chunk that has used blocks.
    pub fn bitmap(&self, chunk: u64) -> Option<&[u8]> {
        self.bitmaps.get(&chunk).map(|b| &**b)
    }

    /// Whether a block is used.
    pub fn is_used(&self, block: u64) -> bool {
        let (chunk, bit) = (block / self.per_chunk, block % self.per_chunk);
        self.bitmaps.get(&chunk).is_some_and(|b| b[(bit / 8) as usize] & 1 << (bit % 8) != 0)
    }

    fn set(&mut self, block: u64, used: bool) {
        let (chunk, bit) = (block / self.per_chunk, block % self.per_chunk);
        let bytes = (self.per_chunk / 8) as usize;
        let map = self.bitmaps.entry(chunk).or_insert_with(|| vec![0; bytes].into());
        let (byte, mask) = (&mut map[(bit / 8) as usize], 1u8 << (bit % 8));
        assert!((*byte & mask != 0) != used, "block {block} is used twice or freed twice");
        *byte ^= mask;
        let free = &mut self.chunks[chunk as usize].free;
        *free = if used { *free - 1 } else { *free + 1 };
        if u64::from(*free) == (self.blocks - chunk * self.per_chunk).min(self.per_chunk) {
            self.bitmaps.remove(&chunk);
        }
        self.changed.insert(chunk);
    }

    /// Takes these blocks.
    pub fn mark(&mut self, first: u64, count: u64) {
        (first..first + count).for_each(|b| self.set(b, true));
    }

    fn find(&self, from: u64, to: u64, count: u64) -> Option<u64> {
        let (mut start, mut at) = (from, from);
        while at < to.min(self.blocks) {
            if self.is_used(at) {
                start = at + 1;
            } else if at + 1 - start == count {
                return Some(start);
            }
            at += 1;
        }
        None
    }

    /// Takes `count` blocks in a row.
    pub fn allocate(&mut self, count: u64) -> u64 {
        if let Some(seed) = &mut self.scatter
            && count == 1
        {
            *seed = splitmix(*seed);
            self.cursor = *seed % (self.blocks / 2);
        }
        let found = self.find(self.cursor, self.blocks, count);
        let found = found.or_else(|| self.find(0, self.blocks, count)).expect("a volume with room");
        self.mark(found, count);
        self.cursor = found + count;
        found
    }

    /// Where allocation begins, and whether single blocks go anywhere.
    pub fn start_at(&mut self, block: u64, scatter: Option<u64>) {
        self.cursor = block;
        self.scatter = scatter;
    }

    /// Leaves a gap before the next allocation.
    pub fn skip(&mut self, blocks: u64) {
        self.cursor = (self.cursor + blocks) % self.blocks;
    }

    /// Frees blocks; they stay marked until no checkpoint needs them.
    pub fn free(&mut self, first: u64, count: u64, xid: u64) {
        let before = self.queue.range(..(xid, first)).next_back().map(|(&k, &n)| (k, n));
        let mut start = (xid, first);
        let mut len = count;
        if let Some((key, n)) = before
            && key.0 == xid
            && key.1 + n == first
        {
            start = key;
            len += n;
        }
        if let Some(n) = self.queue.remove(&(xid, first + count)) {
            len += n;
        }
        self.queue.insert(start, len);
    }

    /// Really frees what was freed before transaction `until`.
    pub fn release(&mut self, until: u64) {
        while let Some((&key, &count)) = self.queue.first_key_value() {
            if key.0 >= until {
                break;
            }
            self.release_oldest(key, count);
        }
    }

    fn release_oldest(&mut self, key: (u64, u64), count: u64) {
        self.queue.remove(&key);
        (key.1..key.1 + count).for_each(|b| self.set(b, false));
    }

    /// Really frees the oldest entry, whatever its age.
    pub fn release_one(&mut self) {
        if let Some((&key, &count)) = self.queue.first_key_value() {
            self.release_oldest(key, count);
        }
    }

    /// All free blocks.
    pub fn free_blocks(&self) -> u64 {
        self.chunks.iter().map(|c| u64::from(c.free)).sum()
    }
}
