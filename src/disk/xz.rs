//! The xz streams of disk images: the frame is read here, LZMA2 by a library. That
//! keeps all of its output in memory, so what a stream claims to hold is added up
//! before it runs.

use crate::io::bytes::{array, be16, be32, to_u64, usize32};
use std::sync::LazyLock;

/// Why a stream cannot be decoded.
type Result<T> = std::result::Result<T, String>;

/// A block: where its chunks are, what they decode to, and the check after them.
struct Block<'a> {
    chunks: &'a [u8],
    len: usize,
    check: Check<'a>,
}

enum Check<'a> {
    /// None, or one that is not looked at.
    Other,
    Crc32(&'a [u8]),
    Crc64(&'a [u8]),
}

/// Decode a stream into exactly `out`.
pub fn decode(stored: &[u8], out: &mut [u8]) -> Result<()> {
    let blocks = blocks(stored).ok_or("xz data is not valid")?;
    let claimed = blocks.iter().fold(0, |sum, b| usize::saturating_add(sum, b.len));
    if claimed != out.len() {
        return Err(format!("xz data of {claimed} bytes, expected {}", out.len()));
    }
    let mut rest = out;
    for block in blocks {
        let (now, later) = rest.split_at_mut(block.len);
        block.decode(now)?;
        rest = later;
    }
    Ok(())
}

impl Block<'_> {
    fn decode(&self, out: &mut [u8]) -> Result<()> {
        let mut decoded = Vec::with_capacity(self.len);
        lzma_rs::lzma2_decompress(&mut &*self.chunks, &mut decoded)
            .map_err(|e| format!("xz data is not valid: {e:?}"))?;
        if decoded.len() != out.len() || !self.check.holds(&decoded) {
            return Err("xz data does not decode to what its checksum says".into());
        }
        out.copy_from_slice(&decoded);
        Ok(())
    }
}

impl Check<'_> {
    fn holds(&self, plain: &[u8]) -> bool {
        match self {
            Self::Other => true,
            Self::Crc32(sum) => array(sum, 0) == Some(crc32fast::hash(plain).to_le_bytes()),
            Self::Crc64(sum) => array(sum, 0) == Some(crc64(plain).to_le_bytes()),
        }
    }
}

/// The blocks of a stream, by its own account.
fn blocks(xz: &[u8]) -> Option<Vec<Block<'_>>> {
    if !xz.starts_with(b"\xFD7zXZ\0") {
        return None;
    }
    let kind = *xz.get(7)?;
    let check_len = match kind {
        0 => 0,
        1 => 4,
        4 => 8,
        10 => 32,
        _ => return None,
    };
    let (mut at, mut blocks) = (12, Vec::new());
    // A block begins with its header's length; the index after the last, with zero.
    while let Some(size) = xz.get(at).filter(|size| **size != 0) {
        let header = 4 * (usize::from(*size) + 1);
        lzma2_only(xz.get(at..at + header)?)?;
        let start = at + header;
        let (end, len) = chunks(xz, start)?;
        let sum = end.next_multiple_of(4);
        let stored = xz.get(sum..sum + check_len)?;
        let check = match kind {
            1 => Check::Crc32(stored),
            4 => Check::Crc64(stored),
            _ => Check::Other,
        };
        blocks.push(Block { chunks: xz.get(start..end)?, len, check });
        at = sum + check_len;
    }
    Some(blocks)
}

/// Whether a block's header names LZMA2 as its one filter; `None` if not.
fn lzma2_only(header: &[u8]) -> Option<()> {
    let flags = *header.get(1)?;
    let mut at = 2;
    // The sizes of the block may stand before the filter, seven bits a byte.
    for bit in [0x40, 0x80] {
        if flags & bit != 0 {
            at += header.get(at..)?.iter().position(|b| b & 0x80 == 0)? + 1;
        }
    }
    (flags & 3 == 0 && *header.get(at)? == 0x21).then_some(())
}

/// Where the LZMA2 chunks end that begin at `start`, and what they decode to.
fn chunks(xz: &[u8], start: usize) -> Option<(usize, usize)> {
    let (mut at, mut sum) = (start, 0usize);
    loop {
        let control = *xz.get(at)?;
        let low = usize::from(be16(xz, at + 1).unwrap_or(0)) + 1;
        match control {
            0 => return Some((at + 1, sum)),
            1 | 2 => {
                sum = sum.checked_add(low)?;
                at += 3 + low;
            }
            0x80.. => {
                let high = usize32(be32(&[0, control & 0x1F, 0, 0], 0)?);
                sum = sum.checked_add(high + low)?;
                // A chunk that sets new properties has a byte for them.
                let packed = usize::from(be16(xz, at + 3)?) + 1;
                at += if control >= 0xC0 { 6 } else { 5 } + packed;
            }
            _ => return None,
        }
    }
}

/// CRC-64 as xz has it (ECMA-182, reflected).
fn crc64(bytes: &[u8]) -> u64 {
    static TABLE: LazyLock<[u64; 256]> = LazyLock::new(|| {
        let shift =
            |crc: u64, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xC96C_5795_D787_0F42 };
        std::array::from_fn(|n| (0..8).fold(to_u64(n), shift))
    });
    let step = |crc: u64, byte: &u8| {
        let [low, ..] = crc.to_le_bytes();
        TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default() ^ crc >> 8
    };
    !bytes.iter().fold(u64::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_claims_is_what_it_gives() {
        for len in [1, 70_000, 300_000] {
            let plain: Vec<u8> = (0..len).map(|n: u32| (n % 251) as u8).collect();
            let mut packed = Vec::new();
            lzma_rs::xz_compress(&mut &*plain, &mut packed).unwrap();
            let mut out = vec![0; plain.len()];
            decode(&packed, &mut out).unwrap();
            assert!(out == plain);
            assert!(decode(&packed, &mut out[1..]).is_err());
            assert!(decode(&packed[..packed.len() / 2], &mut out).is_err());
        }
        assert!(decode(&[], &mut []).is_err());
        assert!(decode(&[0; 40], &mut []).is_err());
    }

    #[test]
    fn the_checksum_is_that_of_xz() {
        assert_eq!(crc64(b"123456789"), 0x995D_C9BB_DF19_39FA);
        assert!(Check::Crc32(&0xCBF4_3926u32.to_le_bytes()).holds(b"123456789"));
        assert!(!Check::Crc64(&[0; 8]).holds(b"123456789"));
    }
}
