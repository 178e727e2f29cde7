//! Fletcher-64, the checksum of every object (section 1).

/// Words summed side by side, so that the compiler can use vector registers.
const LANES: usize = 16;
/// Words after which sums are reduced: 64 KiB; until there nothing overflows.
const CHUNK: usize = 16384;
const M: u64 = 0xFFFF_FFFF;

/// The checksum of an object: of all of its bytes but the first eight, which hold it.
/// `None` for what is shorter than a checksum, or no whole number of words.
pub fn checksum(object: &[u8]) -> Option<u64> {
    let (words, []) = object.get(8..)?.as_chunks::<4>() else { return None };
    let (mut s1, mut s2) = (0, 0);
    for chunk in words.chunks(CHUNK) {
        let (c1, c2) = sums(chunk);
        let n = crate::io::bytes::to_u64(chunk.len());
        s2 = (s2 + s1 * n + c2 % M) % M;
        s1 = (s1 + c1) % M;
    }
    let low = M - (s1 + s2) % M;
    let high = M - (s1 + low) % M;
    Some(high << 32 | low)
}

/// The sum of all words, and the sum of all such sums on the way. Lane `l` sees the
/// words `l`, `l` + 16, …; a word that is followed by `n` words counts `n` + 1 times.
fn sums(words: &[[u8; 4]]) -> (u64, u64) {
    let (rows, rest) = words.as_chunks::<LANES>();
    let (mut first, mut second) = ([0u64; LANES], [0u64; LANES]);
    for row in rows {
        for ((a, b), w) in first.iter_mut().zip(&mut second).zip(row) {
            *a += u64::from(u32::from_le_bytes(*w));
            *b += *a;
        }
    }
    let (mut s1, mut s2) = (0, 0);
    for (lane, (a, b)) in (0u64..).zip(first.iter().zip(&second)) {
        s1 += a;
        s2 += crate::io::bytes::to_u64(LANES) * b - lane * a;
    }
    for w in rest {
        s1 += u64::from(u32::from_le_bytes(*w));
        s2 += s1;
    }
    (s1, s2)
}

/// Whether the checksum that an object carries is right. A block of zeros is not:
/// its sum would be all ones.
pub fn is_sound(object: &[u8]) -> bool {
    crate::io::bytes::le64(object, 0) == checksum(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the letter of the format, one word after the other.
    fn plain(object: &[u8]) -> u64 {
        let (mut s1, mut s2) = (0u128, 0u128);
        for w in object[8..].chunks(4) {
            s1 += u128::from(u32::from_le_bytes(w.try_into().unwrap()));
            s2 += s1;
        }
        let m = 0xFFFF_FFFF;
        let c1 = m - (s1 + s2) % m;
        let c2 = m - (s1 + c1) % m;
        u64::try_from(c2 << 32 | c1).unwrap()
    }

    #[test]
    fn lanes_and_chunks_give_what_the_letter_gives() {
        for len in [8, 12, 64, 4096, 8192, 65536, 65544, 200_000] {
            let full = vec![0xFF; len];
            assert_eq!(checksum(&full), Some(plain(&full)), "{len}");
            let mixed: Vec<u8> = (0..len).map(|n| (n * 131 % 251) as u8).collect();
            assert_eq!(checksum(&mixed), Some(plain(&mixed)), "{len}");
        }
        assert_eq!(checksum(&[0; 7]), None);
        assert_eq!(checksum(&[0; 4095]), None);
    }

    #[test]
    fn zeros_are_no_object() {
        assert!(!is_sound(&[0; 4096]));
        assert_eq!(checksum(&[0; 4096]), Some(u64::MAX));
    }
}
