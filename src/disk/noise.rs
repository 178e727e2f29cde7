//! Ciphertext is told from what a disk holds by how even its bytes are.

use crate::io::bytes::{all_zero, to_u64, to_usize};
use crate::io::{ReadAt, read_up_to};

/// Places that are looked at, and bytes at each.
const PLACES: usize = 16;
const SAMPLE: u64 = 64 << 10;
/// Zeros of this length were never written: they are neither.
const BLOCK: usize = 4096;
/// Of fewer bytes nothing is said.
const ENOUGH: usize = 16 << 10;

/// Whether all that is stored at these places (byte offsets) is as even as ciphertext; some of
/// many are looked at. What cannot be read says nothing.
pub fn is_all(disk: &dyn ReadAt, places: &[u64]) -> bool {
    let step = places.len().div_ceil(PLACES).max(1);
    let mut judged = places.iter().step_by(step).filter_map(|at| {
        let len = disk.len().saturating_sub(*at).min(SAMPLE);
        is_even(&read_up_to(disk, *at, to_usize(len)).ok()?)
    });
    judged.next() == Some(true) && judged.all(|even| even)
}

/// As many places as are looked at, spread over a disk.
pub fn spread(len: u64) -> Vec<u64> {
    let n = to_u64(PLACES);
    (0..n).map(|i| len / n * i).collect()
}

/// Whether all values of a byte are about as frequent, as in no file system's structures;
/// `None` if there is too little to tell.
fn is_even(bytes: &[u8]) -> Option<bool> {
    let (mut counts, mut len) = ([0usize; 256], 0);
    for block in bytes.chunks(BLOCK).filter(|block| !all_zero(block)) {
        len += block.len();
        for byte in block {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
    }
    let usual = len / 256;
    let even = counts.iter().all(|n| (usual / 2..usual * 2).contains(n));
    (len >= ENOUGH).then_some(even)
}

#[cfg(test)]
mod tests {
    use super::is_even;

    #[test]
    fn structures_are_told_from_ciphertext() {
        let mut state = 1u64;
        let mut noise = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        let mut bytes: Vec<u8> = (0..64 << 10).map(&mut noise).collect();
        assert_eq!(is_even(&bytes), Some(true));
        // Parts that were never written say nothing.
        bytes[8 << 10..40 << 10].fill(0);
        assert_eq!(is_even(&bytes), Some(true));
        bytes[8 << 10..9 << 10].fill(b'x');
        assert_eq!(is_even(&bytes), Some(false));
        assert_eq!(is_even(&[0; 64 << 10]), None);
        assert_eq!(is_even(b"much too short"), None);
    }
}
