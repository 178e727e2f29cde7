//! Which blocks were read: of what views share, every block is read once.

use crate::io::bytes::to_usize;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Blocks in a piece of the map: 32 MiB of 4 KiB each.
const PIECE: u64 = 8192;

/// A set of blocks, in pieces, of which those that have none take no memory.
pub(super) struct Claims {
    block: u64,
    pieces: Mutex<HashMap<u64, Box<[u64]>>>,
}

impl Claims {
    /// Of blocks of so many bytes.
    pub fn new(block: u64) -> Self {
        Self { block: block.max(1), pieces: Mutex::default() }
    }

    /// Claim the blocks of a range of bytes; the parts of it that nobody had claimed.
    pub fn take(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free: Vec<Range<u64>> = Vec::new();
        for n in range.start / self.block..range.end.div_ceil(self.block) {
            let words = to_usize(PIECE / 64);
            let piece = pieces.entry(n / PIECE).or_insert_with(|| vec![0; words].into());
            let (word, bit) = (to_usize(n % PIECE / 64), 1u64 << (n % 64));
            let Some(word) = piece.get_mut(word).filter(|w| **w & bit == 0) else { continue };
            *word |= bit;
            let start = n.saturating_mul(self.block).max(range.start);
            let end = (n + 1).saturating_mul(self.block).min(range.end);
            match free.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => free.push(start..end),
            }
        }
        free
    }

    /// How many blocks were claimed.
    #[cfg(test)]
    fn count(&self) -> u64 {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.values().flat_map(|p| p.iter()).map(|w| u64::from(w.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_given_once() {
        let claims = Claims::new(4096);
        assert_eq!(claims.take(4096..12288), vec![4096..12288]);
        assert_eq!(claims.take(0..20480), vec![0..4096, 12288..20480]);
        assert_eq!(claims.take(0..20480), Vec::<Range<u64>>::new());
        // Over the border of a piece, and the last block in part.
        let border = PIECE * 4096;
        assert_eq!(claims.take(border - 4096..border + 100), vec![border - 4096..border + 100]);
        assert_eq!(claims.take(border..border + 4096), Vec::<Range<u64>>::new());
        assert_eq!(claims.count(), 7);
        assert_eq!(claims.pieces.lock().unwrap().len(), 2);
    }
}
