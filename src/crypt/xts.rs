//! XTS-AES over sectors of 512 bytes (IEEE 1619), many blocks at once so that the
//! processor's AES unit is never idle.

use crate::io::bytes::to_u64;
use aes::cipher::array::sizes::U16;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
const SECTOR_LEN: usize = 512;
/// Sectors that go through the cipher at once: 8 KiB stay in the nearest cache.
const BATCH: usize = 16;
const BLOCKS: usize = BATCH * SECTOR_LEN / 16;

type Block = Array<u8, U16>;

enum Aes {
    Bits128 { data: aes::Aes128Dec, tweak: aes::Aes128Enc },
    Bits256 { data: aes::Aes256Dec, tweak: aes::Aes256Enc },
}

/// The two keys of a volume, a container's keybag, or the like.
pub struct Xts(Aes);

impl Xts {
    /// From a key for the data and one for the tweaks, both of 16 or both of 32 bytes;
    /// `None` for other lengths.
    pub fn new(data: &[u8], tweak: &[u8]) -> Option<Self> {
        Some(Self(match data.len() {
            16 => Aes::Bits128 {
                data: aes::Aes128Dec::new_from_slice(data).ok()?,
                tweak: aes::Aes128Enc::new_from_slice(tweak).ok()?,
            },
            _ => Aes::Bits256 {
                data: aes::Aes256Dec::new_from_slice(data).ok()?,
                tweak: aes::Aes256Enc::new_from_slice(tweak).ok()?,
            },
        }))
    }

    /// Decrypt whole sectors in place; `first` is the number of the first. A sector
    /// that is cut off stays as it is.
    pub fn decrypt(&self, first: u64, data: &mut [u8]) {
        let (sectors, _) = data.as_chunks_mut::<SECTOR_LEN>();
        let mut number = first;
        for batch in sectors.chunks_mut(BATCH) {
            let n = to_u64(batch.len());
            self.batch(number, batch.as_flattened_mut());
            number = number.wrapping_add(n);
        }
    }

    fn batch(&self, first: u64, data: &mut [u8]) {
        let mut starts = [Block::default(); BATCH];
        for (n, start) in (0u64..).zip(&mut starts) {
            start.0 = u128::from(first.wrapping_add(n)).to_le_bytes();
        }
        match &self.0 {
            Aes::Bits128 { tweak, .. } => tweak.encrypt_blocks(&mut starts),
            Aes::Bits256 { tweak, .. } => tweak.encrypt_blocks(&mut starts),
        }
        let mut tweaks = [0u128; BLOCKS];
        for (sector, start) in
            tweaks.as_chunks_mut::<{ SECTOR_LEN / 16 }>().0.iter_mut().zip(&starts)
        {
            let mut t = u128::from_le_bytes(start.0);
            for slot in sector {
                *slot = t;
                // Times x in GF(2^128), without a branch on what is secret.
                t = (t << 1) ^ (0x87 & 0u128.wrapping_sub(t >> 127));
            }
        }
        let (blocks, _) = Array::<u8, U16>::slice_as_chunks_mut(data);
        xor(blocks, &tweaks);
        match &self.0 {
            Aes::Bits128 { data, .. } => data.decrypt_blocks(blocks),
            Aes::Bits256 { data, .. } => data.decrypt_blocks(blocks),
        }
        xor(blocks, &tweaks);
    }
}

fn xor(blocks: &mut [Block], tweaks: &[u128]) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        block.0 = (u128::from_le_bytes(block.0) ^ tweak).to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(s: &str) -> Vec<u8> {
        (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
    }

    /// IEEE 1619-2007, vector 4: sector 0, text 00 01 02 … twice.
    #[test]
    fn a_vector_of_the_standard() {
        let key1 = hex("27182818284590452353602874713526");
        let key2 = hex("31415926535897932384626433832795");
        let begin = hex("27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c");
        let xts = Xts::new(&key1, &key2).unwrap();
        // The inverse is not at hand: what decrypts to the text must begin so.
        let mut sector = hex(VECTOR_4);
        assert_eq!(&sector[..32], begin);
        xts.decrypt(0, &mut sector);
        let text: Vec<u8> = (0..=255).chain(0..=255).collect();
        assert!(sector == text);
    }

    #[test]
    fn batches_equal_sector_after_sector() {
        let xts = Xts::new(&[7; 32], &[9; 32]).unwrap();
        let text: Vec<u8> = (0..512 * 41).map(|n| (n * 31 % 251) as u8).collect();
        let (mut all, mut each) = (text.clone(), text);
        xts.decrypt(u64::MAX - 3, &mut all);
        for (n, sector) in each.chunks_mut(512).enumerate() {
            xts.decrypt((u64::MAX - 3).wrapping_add(n as u64), sector);
        }
        assert!(all == each);
        assert!(Xts::new(&[0; 16], &[0; 32]).is_none() && Xts::new(&[0; 3], &[0; 3]).is_none());
    }

    const VECTOR_4: &str = "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89cc78cf7f5e543445f8333d8fa7f56000005279fa5d8b5e4ad40e736ddb4d35412328063fd2aab53e5ea1e0a9f332500a5df9487d07a5c92cc512c8866c7e860ce93fdf166a24912b422976146ae20ce846bb7dc9ba94a767aaef20c0d61ad02655ea92dc4c4e41a8952c651d33174be51a10c421110e6d81588ede82103a252d8a750e8768defffed9122810aaeb99f9172af82b604dc4b8e51bcb08235a6f4341332e4ca60482a4ba1a03b3e65008fc5da76b70bf1690db4eae29c5f1badd03c5ccf2a55d705ddcd86d449511ceb7ec30bf12b1fa35b913f9f747a8afd1b130e94bff94effd01a91735ca1726acd0b197c4e5b03393697e126826fb6bbde8ecc1e08298516e2c9ed03ff3c1b7860f6de76d4cecd94c8119855ef5297ca67e9f3e7ff72b1e99785ca0a7e7720c5b36dc6d72cac9574c8cbbc2f801e23e56fd344b07f22154beba0f08ce8891e643ed995c94d9a69c9f1b5f499027a78572aeebd74d20cc39881c213ee770b1010e4bea718846977ae119f7a023ab58cca0ad752afe656bb3c17256a9f6e9bf19fdd5a38fc82bbe872c5539edb609ef4f79c203ebb140f2e583cb2ad15b4aa5b655016a8449277dbd477ef2c8d6c017db738b18deb4a427d1923ce3ff262735779a418f20a282df920147beabe421ee5319d0568";
}
