//! Checked integers from byte slices, for loops too hot for binrw, and the few
//! lossless conversions that `as` would hide.

/// The `N` bytes at `at`.
pub fn array<const N: usize>(b: &[u8], at: usize) -> Option<[u8; N]> {
    b.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Big-endian `u16` at `at`.
pub fn be16(b: &[u8], at: usize) -> Option<u16> {
    array(b, at).map(u16::from_be_bytes)
}

/// Big-endian `u32` at `at`.
pub fn be32(b: &[u8], at: usize) -> Option<u32> {
    array(b, at).map(u32::from_be_bytes)
}

/// Big-endian `u64` at `at`.
pub fn be64(b: &[u8], at: usize) -> Option<u64> {
    array(b, at).map(u64::from_be_bytes)
}

/// Little-endian `u16` at `at`.
pub fn le16(b: &[u8], at: usize) -> Option<u16> {
    array(b, at).map(u16::from_le_bytes)
}

/// Little-endian `u32` at `at`.
pub fn le32(b: &[u8], at: usize) -> Option<u32> {
    array(b, at).map(u32::from_le_bytes)
}

/// Little-endian `u64` at `at`.
pub fn le64(b: &[u8], at: usize) -> Option<u64> {
    array(b, at).map(u64::from_le_bytes)
}

/// `u64` to `usize`; saturates on machines with 32-bit addresses.
pub fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// `u32` to `usize` (never loses anything on the machines Linux runs on).
pub fn usize32(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// `usize` to `u64`.
pub fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// `n` as the low 32 bits' worth of count, saturating.
pub fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Test bit `n` of a bitmap whose most significant bit comes first.
pub fn bit(map: &[u8], n: usize) -> Option<bool> {
    map.get(n / 8).map(|byte| byte & (0x80 >> (n % 8)) != 0)
}

/// Whether every byte is zero.
pub fn all_zero(b: &[u8]) -> bool {
    let (words, tail) = b.as_chunks::<16>();
    words.iter().all(|w| u128::from_ne_bytes(*w) == 0) && tail.iter().all(|x| *x == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stop_at_the_end() {
        assert_eq!(be16(&[1, 2, 3], 1), Some(0x0203));
        assert_eq!(be16(&[1, 2, 3], 2), None);
        assert_eq!(be32(&[0, 0, 1, 0], 0), Some(256));
        assert_eq!(le32(&[0, 0, 1, 0], usize::MAX), None);
    }

    #[test]
    fn bits_and_zeros() {
        assert_eq!(bit(&[0x40], 1), Some(true));
        assert_eq!(bit(&[0x40], 0), Some(false));
        assert_eq!(bit(&[0x40], 8), None);
        let mut b = vec![0; 37];
        assert!(all_zero(&b));
        for i in 0..37 {
            b[i] = 1;
            assert!(!all_zero(&b), "{i}");
            b[i] = 0;
        }
    }
}
