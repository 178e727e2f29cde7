//! A bitmap that costs memory only where bits differ: a volume may claim four thousand
//! million blocks and hold a few kilobytes.

use crate::io::bytes::{bit, to_u64, to_usize};

/// Bits in a chunk.
const CHUNK: u64 = 1 << 19;
/// Bytes in a chunk.
pub const CHUNK_BYTES: u64 = CHUNK / 8;

/// A stretch of the map.
enum Chunk {
    Empty,
    Full,
    Bits(Box<[u8]>),
}

/// What a chunk holds, most significant bit first.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    /// The same byte throughout.
    All(u8),
    /// These bytes.
    Bytes(&'a [u8]),
}

impl Piece<'_> {
    /// Byte `i` of it.
    pub fn byte(self, i: usize) -> u8 {
        match self {
            Self::All(byte) => byte,
            Self::Bytes(bytes) => bytes.get(i).copied().unwrap_or(0),
        }
    }

    /// Whether some bytes are the same as it.
    pub fn equals(self, other: &[u8]) -> bool {
        match self {
            Self::All(0) => crate::io::bytes::all_zero(other),
            Self::All(byte) => other.iter().all(|b| *b == byte),
            Self::Bytes(bytes) => bytes.get(..other.len()) == Some(other),
        }
    }
}

/// The bitmap.
pub struct Bits {
    chunks: Vec<Chunk>,
    len: u64,
}

impl Bits {
    /// `len` bits, none of them set.
    pub fn new(len: u64) -> Self {
        let chunks = (0..len.div_ceil(CHUNK)).map(|_| Chunk::Empty).collect();
        Self { chunks, len }
    }

    /// Number of bits.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether a bit is set; bits that do not exist are not.
    pub fn get(&self, n: u64) -> bool {
        match self.chunks.get(to_usize(n / CHUNK)) {
            Some(Chunk::Full) => n < self.len,
            Some(Chunk::Bits(bytes)) => bit(bytes, to_usize(n % CHUNK)).unwrap_or(false),
            _ => false,
        }
    }

    /// Bytes `i` × [`CHUNK_BYTES`] and those that follow in the chunk.
    pub fn piece(&self, i: u64) -> Piece<'_> {
        match self.chunks.get(to_usize(i)) {
            Some(Chunk::Full) => Piece::All(0xFF),
            Some(Chunk::Bits(bytes)) => Piece::Bytes(bytes),
            _ => Piece::All(0),
        }
    }

    /// Set the bits from `start` on, as far as they exist; the first that was set before.
    pub fn set(&mut self, start: u64, count: u64) -> Option<u64> {
        let end = start.saturating_add(count).min(self.len);
        let (mut at, mut taken) = (start, None);
        while at < end {
            let base = at / CHUNK * CHUNK;
            let (from, to) = (at - base, (end - base).min(CHUNK));
            let whole = from == 0 && base + to == (base + CHUNK).min(self.len);
            let chunk = self.chunks.get_mut(to_usize(base / CHUNK))?;
            let found = match chunk {
                Chunk::Full => Some(from),
                Chunk::Empty if whole => {
                    *chunk = Chunk::Full;
                    None
                }
                Chunk::Empty => {
                    let mut bytes = vec![0; to_usize(CHUNK_BYTES)].into_boxed_slice();
                    fill(&mut bytes, from, to);
                    *chunk = Chunk::Bits(bytes);
                    None
                }
                Chunk::Bits(bytes) => {
                    let found = fill(bytes, from, to);
                    if whole {
                        *chunk = Chunk::Full;
                    }
                    found
                }
            };
            taken = taken.or(found.map(|n| base + n));
            at = base + to;
        }
        taken
    }

    /// Number of set bits.
    pub fn count(&self) -> u64 {
        let mut left = self.len;
        let mut sum = 0;
        for chunk in &self.chunks {
            let here = left.min(CHUNK);
            left -= here;
            sum += match chunk {
                Chunk::Empty => 0,
                Chunk::Full => here,
                Chunk::Bits(bytes) => bytes.iter().map(|b| u64::from(b.count_ones())).sum(),
            };
        }
        sum
    }
}

/// Set the bits `from..to`; the first that was set before.
fn fill(bytes: &mut [u8], from: u64, to: u64) -> Option<u64> {
    let (first, last) = (to_usize(from / 8), to_usize(to.div_ceil(8)));
    let mut taken = None;
    for (i, byte) in bytes.iter_mut().enumerate().take(last).skip(first) {
        let base = to_u64(i) * 8;
        let mut mask = 0xFFu8;
        if base < from {
            mask &= 0xFF >> (from - base);
        }
        if base + 8 > to {
            mask &= !(0xFF >> (to - base));
        }
        if *byte & mask != 0 && taken.is_none() {
            taken = Some(base + u64::from((*byte & mask).leading_zeros()));
        }
        *byte |= mask;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_every_kind_agree_with_plain_bits() {
        let len = 3 * CHUNK + 77;
        let mut bits = Bits::new(len);
        let mut plain = vec![false; usize::try_from(len).unwrap()];
        let runs = [
            (3, 2),
            (5, 11),
            (CHUNK - 9, 20),
            (CHUNK + 11, CHUNK),
            (0, 1),
            (4, 1),
            (3 * CHUNK, 77),
            (2 * CHUNK + 1, 2 * CHUNK),
            (0, 2 * CHUNK),
            (len, 5),
        ];
        for (start, count) in runs {
            let end = (start + count).min(len);
            let expected = (start..end).find(|n| plain[usize::try_from(*n).unwrap()]);
            assert_eq!(bits.set(start, count), expected, "{start} {count}");
            (start..end).for_each(|n| plain[usize::try_from(n).unwrap()] = true);
            let set = plain.iter().filter(|b| **b).count();
            assert_eq!(bits.count(), u64::try_from(set).unwrap());
        }
        for (n, set) in (0..).zip(&plain) {
            assert_eq!(bits.get(n), *set, "{n}");
        }
        assert!(!bits.get(len + 1));
    }
}
