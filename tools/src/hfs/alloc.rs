//! The allocation bitmap and where each fork lies.

use super::model::{Cnid, ForkKind};

/// A run of allocation blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// First block.
    pub start: u32,
    /// Number of blocks.
    pub count: u32,
}

/// The bitmap with a next-fit cursor. The last block never goes to a file.
#[derive(Clone, Debug)]
pub(crate) struct Allocator {
    bits: Vec<u8>,
    total: u32,
    cursor: u32,
}

impl Allocator {
    pub fn new(total: u32) -> Self {
        Allocator { bits: vec![0; (total as usize).div_ceil(8)], total, cursor: 0 }
    }

    pub fn is_used(&self, block: u32) -> bool {
        self.bits[block as usize / 8] & (0x80 >> (block % 8)) != 0
    }

    pub fn mark(&mut self, extent: Extent) {
        let mut block = extent.start;
        let end = extent.start + extent.count;
        while block < end {
            if block.is_multiple_of(8) && end - block >= 8 {
                self.bits[block as usize / 8] = 0xFF;
                block += 8;
            } else {
                self.bits[block as usize / 8] |= 0x80 >> (block % 8);
                block += 1;
            }
        }
    }

    pub fn skip(&mut self, blocks: u32) {
        self.cursor += blocks;
    }

    pub fn cursor(&self) -> u32 {
        self.cursor.min(self.total - 1)
    }

    /// A run of `count` free blocks: at the cursor if it fits, else the first that does.
    pub fn take(&mut self, count: u32) -> Extent {
        let limit = self.total - 1;
        let start = self
            .find(self.cursor, count, limit)
            .or_else(|| self.find(0, count, limit))
            .expect("the volume is too small for its content");
        let extent = Extent { start, count };
        self.mark(extent);
        self.cursor = start + count;
        extent
    }

    fn find(&self, from: u32, count: u32, limit: u32) -> Option<u32> {
        let mut start = from;
        while start + count <= limit {
            match (start..start + count).rev().find(|&b| self.is_used(b)) {
                Some(block) => start = block + 1,
                None => return Some(start),
            }
        }
        None
    }

    /// `count` blocks in `pieces` runs, each a multiple of `grain` blocks long, with a free block
    /// between them and the later ones earlier on the volume.
    pub fn scatter(&mut self, count: u32, pieces: u32, grain: u32) -> Vec<Extent> {
        let pieces = pieces.clamp(1, (count / grain).max(1));
        if count == 0 {
            return Vec::new();
        }
        let grains = count.div_ceil(grain);
        let mut out: Vec<Extent> = (0..pieces)
            .map(|i| {
                let size = grains / pieces + u32::from(i < grains % pieces);
                let extent = self.take(size * grain);
                if pieces > 1 {
                    self.skip(1);
                }
                extent
            })
            .collect();
        out.reverse();
        out
    }

    pub fn free(&self) -> u32 {
        let ones: u32 = self.bits.iter().map(|b| b.count_ones()).sum();
        self.total - ones
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bits
    }
}

/// The extents of every fork, kept flat.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placements {
    forks: Vec<(Cnid, ForkKind, u32, u32)>,
    extents: Vec<Extent>,
}

impl Placements {
    pub fn add(&mut self, id: Cnid, fork: ForkKind, extents: &[Extent]) {
        if !extents.is_empty() {
            let start = self.extents.len() as u32;
            self.forks.push((id, fork, start, extents.len() as u32));
            self.extents.extend_from_slice(extents);
        }
    }

    /// Puts the forks in key order; needed before `get` and `iter`.
    pub fn sort(&mut self) {
        self.forks.sort_unstable_by_key(|f| (f.0, f.1));
    }

    pub fn get(&self, id: Cnid, fork: ForkKind) -> &[Extent] {
        match self.forks.binary_search_by_key(&(id, fork), |f| (f.0, f.1)) {
            Ok(i) => self.slice(i),
            Err(_) => &[],
        }
    }

    fn slice(&self, i: usize) -> &[Extent] {
        let (_, _, start, count) = self.forks[i];
        &self.extents[start as usize..(start + count) as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (Cnid, ForkKind, &[Extent])> + '_ {
        (0..self.forks.len()).map(|i| (self.forks[i].0, self.forks[i].1, self.slice(i)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_msb_first() {
        let mut a = Allocator::new(40);
        a.mark(Extent { start: 1, count: 17 });
        assert_eq!(a.bytes(), [0x7F, 0xFF, 0xC0, 0, 0]);
        assert_eq!(a.free(), 23);
    }

    #[test]
    fn scatter_makes_the_wanted_pieces() {
        let mut a = Allocator::new(1000);
        let got = a.scatter(50, 12, 2);
        assert_eq!(got.len(), 12);
        assert_eq!(got.iter().map(|e| e.count).sum::<u32>(), 50);
        assert!(got.iter().all(|e| e.count % 2 == 0));
        assert!(got.windows(2).all(|w| w[0].start > w[1].start + w[1].count));
    }

    #[test]
    fn the_last_block_stays_out() {
        let mut a = Allocator::new(16);
        assert_eq!(a.take(15).start, 0);
        assert_eq!(a.free(), 1);
    }
}
