//! ADC, Apple Data Compression: the oldest codec of compressed disk images.
//!
//! A byte with its top bit set copies so many plain bytes; with the next bit set it
//! is a long match (three bytes), else a short one (two). Distances count from 1.

/// Decode `src` into exactly `out`; `None` if it is not valid.
pub fn decode(src: &[u8], out: &mut [u8]) -> Option<()> {
    let (mut at, mut done) = (0, 0);
    while done < out.len() {
        let op = usize::from(*src.get(at)?);
        if op & 0x80 != 0 {
            let n = (op & 0x7F) + 1;
            out.get_mut(done..done + n)?.copy_from_slice(src.get(at + 1..at + 1 + n)?);
            at += 1 + n;
            done += n;
            continue;
        }
        let byte = |i: usize| src.get(at + i).map(|b| usize::from(*b));
        let (n, distance, len) = if op & 0x40 != 0 {
            ((op & 0x3F) + 4, byte(1)? << 8 | byte(2)?, 3)
        } else {
            ((op >> 2) + 3, (op & 3) << 8 | byte(1)?, 2)
        };
        let start = done.checked_sub(distance + 1)?;
        if done + n > out.len() {
            return None;
        }
        for i in 0..n {
            let b = *out.get(start + i)?;
            *out.get_mut(done + i)? = b;
        }
        at += len;
        done += n;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn plain_short_and_long() {
        let mut out = [0; 10];
        // "ab", then 3 bytes from 2 back, then 5 from 5 back.
        decode(&[0x81, b'a', b'b', 0x00, 1, 0x41, 0, 4], &mut out).unwrap();
        assert_eq!(&out, b"ababaababa");
        assert!(decode(&[0x00, 9], &mut out).is_none());
        assert!(decode(&[], &mut out).is_none());
    }
}
