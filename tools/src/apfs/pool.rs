//! The internal pool: where chunk bitmaps and chunk-info blocks lie, and which of it is used.

use super::device::Device;
use super::space::Queue;

/// Copies of the pool's bitmap in its ring.
const COPIES: u64 = 16;

/// The internal pool.
#[derive(Debug)]
pub struct Pool {
    /// First block.
    pub base: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// First block of the ring of bitmaps.
    pub ring_base: u64,
    /// Blocks of one bitmap.
    pub bitmap_blocks: u64,
    /// Transactions of the bitmap's blocks.
    pub xids: Vec<u64>,
    /// Where in the ring they are.
    pub current: Vec<u16>,
    /// The list of free ring blocks.
    pub next: Vec<u16>,
    /// First of it.
    pub head: u16,
    /// Last of it.
    pub tail: u16,
    /// Blocks freed but still marked.
    pub queue: Queue,
    used: Vec<bool>,
    cursor: usize,
}

impl Pool {
    /// A pool of `blocks` blocks; `ring_base` and `base` are set once they are known.
    pub fn new(blocks: u64, block_size: u64) -> Self {
        let n = blocks.div_ceil(block_size * 8);
        let count = (n * COPIES) as u16;
        let next = (0..count)
            .map(|i| if u64::from(i) < n || i + 1 == count { 0xFFFF } else { i + 1 })
            .collect();
        Pool {
            base: 0,
            blocks,
            ring_base: 0,
            bitmap_blocks: n,
            xids: vec![1; n as usize],
            current: (0..n as u16).collect(),
            next,
            head: n as u16,
            tail: count - 1,
            queue: Queue::new(),
            used: vec![false; blocks as usize],
            cursor: 0,
        }
    }

    /// Blocks of the whole ring.
    pub fn ring_blocks(&self) -> u64 {
        self.bitmap_blocks * COPIES
    }

    /// Takes a block of the pool.
    pub fn allocate(&mut self) -> u64 {
        let n = self.used.len();
        let found = (0..n).map(|i| (self.cursor + i) % n).find(|&i| !self.used[i]);
        let Some(i) = found else {
            let (&key, _) = self.queue.first_key_value().expect("a pool with room");
            self.release_one(key);
            return self.allocate();
        };
        self.used[i] = true;
        self.cursor = i + 1;
        self.base + i as u64
    }

    /// Frees a block; it stays marked for the checkpoints before this transaction.
    pub fn free(&mut self, block: u64, xid: u64) {
        self.queue.insert((xid, block), 1);
    }

    fn release_one(&mut self, key: (u64, u64)) {
        let count = self.queue.remove(&key).expect("an entry");
        for block in key.1..key.1 + count {
            self.used[(block - self.base) as usize] = false;
        }
    }

    /// Really frees what was freed before transaction `until`.
    pub fn release(&mut self, until: u64) {
        while let Some((&key, _)) = self.queue.first_key_value() {
            if key.0 >= until {
                break;
            }
            self.release_one(key);
        }
    }

    /// Writes the bitmap to fresh blocks of the ring.
    pub fn write(&mut self, device: &mut Device, block_size: u64, xid: u64) {
        for i in 0..self.bitmap_blocks {
            let mut map = vec![0u8; block_size as usize];
            let first = i * block_size * 8;
            for bit in 0..(self.blocks - first).min(block_size * 8) {
                if self.used[(first + bit) as usize] {
                    map[(bit / 8) as usize] |= 1 << (bit % 8);
                }
            }
            let place = self.turn(i as usize);
            self.xids[i as usize] = xid;
            device.write(self.ring_base + u64::from(place), &map);
        }
    }

    /// Takes the list's first ring block for part `i` and appends the old one.
    fn turn(&mut self, i: usize) -> u16 {
        let (new, old) = (self.head, self.current[i]);
        self.head = self.next[usize::from(new)];
        self.next[usize::from(new)] = 0xFFFF;
        self.next[usize::from(self.tail)] = old;
        self.next[usize::from(old)] = 0xFFFF;
        self.tail = old;
        self.current[i] = new;
        new
    }

    /// Address of the valid copy of part `i` of the bitmap.
    pub fn bitmap_address(&self, i: usize) -> u64 {
        self.ring_base + u64::from(self.current[i])
    }
}
