//! The xz streams of disk images. The decoder keeps all of its output in memory, so
//! what a stream claims to hold is added up before it runs.

use crate::io::bytes::{be16, be32, usize32};

/// Decode a stream into exactly `out`.
pub fn decode(stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    let claimed = claimed_size(stored).ok_or("xz data is not valid")?;
    if claimed != out.len() {
        return Err(format!("xz data of {claimed} bytes, expected {}", out.len()));
    }
    let mut decoded = Vec::with_capacity(claimed);
    lzma_rs::xz_decompress(&mut &*stored, &mut decoded).map_err(|e| format!("xz: {e:?}"))?;
    if decoded.len() != out.len() {
        return Err(format!("xz data of {} bytes, expected {}", decoded.len(), out.len()));
    }
    out.copy_from_slice(&decoded);
    Ok(())
}

/// The sum of what the LZMA2 chunks of a stream say they decode to.
fn claimed_size(xz: &[u8]) -> Option<usize> {
    let check = match *xz.get(7)? {
        0 => 0,
        1 => 4,
        4 => 8,
        10 => 32,
        _ => return None,
    };
    let (mut at, mut sum) = (12, 0usize);
    // A block begins with its header's length; the index after the last, with zero.
    while let Some(size) = xz.get(at).filter(|size| **size != 0) {
        let (end, len) = block(xz, at + 4 * (usize::from(*size) + 1))?;
        sum = sum.checked_add(len)?;
        at = end.next_multiple_of(4) + check;
    }
    Some(sum)
}

/// Where the chunks of a block end, and what they decode to.
fn block(xz: &[u8], start: usize) -> Option<(usize, usize)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_claims_is_what_it_gives() {
        for len in [1, 70_000, 300_000] {
            let plain: Vec<u8> = (0..len).map(|n: u32| (n % 251) as u8).collect();
            let mut packed = Vec::new();
            lzma_rs::xz_compress(&mut &*plain, &mut packed).unwrap();
            assert_eq!(claimed_size(&packed), Some(plain.len()));
            let mut out = vec![0; plain.len()];
            decode(&packed, &mut out).unwrap();
            assert!(out == plain);
            assert!(decode(&packed, &mut out[1..]).is_err());
            assert!(decode(&packed[..packed.len() / 2], &mut out).is_err());
        }
        assert_eq!(claimed_size(&[0; 40]), Some(0));
        assert_eq!(claimed_size(&[]), None);
    }
}
