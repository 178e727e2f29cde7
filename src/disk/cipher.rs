//! The cipher of encrypted images: AES-CBC over chunks, whose initialisation
//! vectors are HMAC-SHA1 of the chunk's number.
//!
//! CBC decrypts in parallel: all blocks of a piece go through AES at once, over
//! the borders of chunks, and are then XORed with the ciphertext before each. Vectors
//! depend on the number only, and numbers start anew in every band, so they are
//! kept.

use super::encrcdsa::Keys;
use crate::error::{Error, Result};
use crate::io::bytes::{to_u64, to_usize};
use aes::cipher::array::sizes::U16;
use aes::cipher::{Array, BlockCipherDecrypt, KeyInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use std::ops::Range;
use std::sync::OnceLock;

/// AES blocks that go through the cipher at once: 8 KiB stay in the nearest cache.
const PIECE_BLOCKS: usize = 512;
/// Vectors in a segment of the table.
const SEGMENT: usize = 1024;
/// Most segments: 8 MiB of vectors, enough for bands of 256 MiB in chunks of 512.
const MAX_SEGMENTS: u64 = 512;

type Block = Array<u8, U16>;
type Iv = [u8; 16];

enum Aes {
    Bits128(aes::Aes128Dec),
    Bits256(aes::Aes256Dec),
}

/// Decrypts whole chunks.
pub struct ChunkCipher {
    aes: Aes,
    hmac: Hmac<Sha1>,
    chunk: usize,
    table: Vec<OnceLock<Box<[Iv]>>>,
}

impl ChunkCipher {
    /// A cipher for chunks of `chunk` bytes. The vectors of the first `reused`
    /// chunk numbers are kept, as far as memory should go.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the keys have impossible lengths.
    pub fn new(keys: &Keys, chunk: usize, reused: u64) -> Result<Self> {
        let bad = |_| Error::corrupt("encryption header", "its keys have impossible lengths");
        let aes = if keys.aes.len() == 32 {
            Aes::Bits256(aes::Aes256Dec::new_from_slice(&keys.aes).map_err(bad)?)
        } else {
            Aes::Bits128(aes::Aes128Dec::new_from_slice(&keys.aes).map_err(bad)?)
        };
        let hmac = <Hmac<Sha1> as KeyInit>::new_from_slice(&keys.hmac).map_err(bad)?;
        let segments = reused.div_ceil(to_u64(SEGMENT)).min(MAX_SEGMENTS);
        let table = (0..segments).map(|_| OnceLock::new()).collect();
        Ok(Self { aes, hmac, chunk, table })
    }

    /// Bytes in a chunk.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Decrypt whole chunks in place; `first` is the number of the first. Chunks of
    /// zeros were never written and stay zeros; `zeros` is told of each run of them,
    /// in bytes of `data`.
    pub fn decrypt(&self, first: u64, data: &mut [u8], mut zeros: impl FnMut(Range<usize>)) {
        let mut number = first;
        let (mut rest, mut at) = (data, 0);
        while !rest.is_empty() {
            let unwritten = self.run(rest, true);
            if unwritten > 0 {
                zeros(at..at + unwritten);
            }
            let (_, later) = std::mem::take(&mut rest).split_at_mut(unwritten);
            number += to_u64(unwritten / self.chunk);
            let stored = self.run(later, false);
            let (now, later) = later.split_at_mut(stored);
            self.decrypt_run(number, now);
            number += to_u64(stored / self.chunk);
            at += unwritten + stored;
            rest = later;
        }
    }

    /// Bytes of the chunks at the start of `data` that are, or are not, zeros.
    fn run(&self, data: &[u8], zeros: bool) -> usize {
        let chunks = data.chunks(self.chunk);
        chunks.take_while(|c| crate::io::bytes::all_zero(c) == zeros).map(<[u8]>::len).sum()
    }

    fn decrypt_run(&self, first: u64, data: &mut [u8]) {
        let step = if self.chunk < PIECE_BLOCKS * 16 { PIECE_BLOCKS * 16 } else { self.chunk };
        let mut before = vec![Block::default(); step / 16];
        let mut number = first;
        for piece in data.chunks_mut(step) {
            let (blocks, _) = Array::slice_as_chunks_mut(piece);
            let Some(before) = before.get_mut(..blocks.len()) else { return };
            self.decrypt_piece(number, blocks, before);
            number += to_u64(piece.len() / self.chunk);
        }
    }

    /// Decrypt the blocks of some chunks; `before` is room for their ciphertext.
    fn decrypt_piece(&self, first: u64, blocks: &mut [Block], before: &mut [Block]) {
        before.copy_from_slice(blocks);
        match &self.aes {
            Aes::Bits128(aes) => aes.decrypt_blocks(blocks),
            Aes::Bits256(aes) => aes.decrypt_blocks(blocks),
        }
        let per_chunk = self.chunk / 16;
        let chunks = blocks.chunks_mut(per_chunk).zip(before.chunks(per_chunk));
        for ((plain, cipher), number) in chunks.zip(first..) {
            let Some((head, tail)) = plain.split_first_mut() else { return };
            xor(head, &self.iv(number));
            for (p, c) in tail.iter_mut().zip(cipher) {
                xor(p, &c.0);
            }
        }
    }

    /// The initialisation vector of a chunk.
    pub(super) fn iv(&self, number: u64) -> Iv {
        let index = to_usize(number);
        let Some(segment) = self.table.get(index / SEGMENT) else { return self.make_iv(number) };
        let segment = segment.get_or_init(|| {
            let start = number - number % to_u64(SEGMENT);
            (start..start + to_u64(SEGMENT)).map(|n| self.make_iv(n)).collect()
        });
        segment.get(index % SEGMENT).copied().unwrap_or_default()
    }

    fn make_iv(&self, number: u64) -> Iv {
        let mut mac = self.hmac.clone();
        // Numbers are 32 bits wide and wrap: 2 TiB in chunks of 512 bytes.
        let [_, _, _, _, low @ ..] = number.to_be_bytes();
        mac.update(&low);
        let tag: [u8; 20] = mac.finalize().into_bytes().into();
        let [iv @ .., _, _, _, _] = tag;
        iv
    }
}

fn xor(block: &mut Block, with: &Iv) {
    let sum = u128::from_ne_bytes(block.0) ^ u128::from_ne_bytes(*with);
    block.0 = sum.to_ne_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::{BlockModeDecrypt, KeyIvInit};
    use zeroize::Zeroizing;

    fn keys(bits: usize) -> Keys {
        let aes = (0..bits / 8).map(|n| n as u8).collect();
        Keys { aes: Zeroizing::new(aes), hmac: Zeroizing::new(vec![7; 20]) }
    }

    /// One chunk after the other, by the letter of the format.
    fn plain_loop(keys: &Keys, chunk: usize, first: u64, data: &mut [u8]) {
        for (n, c) in data.chunks_mut(chunk).enumerate() {
            let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&keys.hmac).unwrap();
            mac.update(&((first + n as u64) as u32).to_be_bytes());
            let tag = mac.finalize().into_bytes();
            let (blocks, _) = Array::slice_as_chunks_mut(c);
            if keys.aes.len() == 16 {
                cbc::Decryptor::<aes::Aes128>::new_from_slices(&keys.aes, &tag[..16])
                    .unwrap()
                    .decrypt_blocks(blocks);
            } else {
                cbc::Decryptor::<aes::Aes256>::new_from_slices(&keys.aes, &tag[..16])
                    .unwrap()
                    .decrypt_blocks(blocks);
            }
        }
    }

    #[test]
    fn batches_equal_one_chunk_after_the_other() {
        for (bits, chunk) in [(128, 512), (256, 512), (128, 4096), (256, 65536)] {
            let keys = keys(bits);
            let cipher = ChunkCipher::new(&keys, chunk, 2000).unwrap();
            let text: Vec<u8> = (0..chunk * 41).map(|n| (n * 31 % 251) as u8).collect();
            for first in [0, 1000, 2030, 5000, u64::from(u32::MAX) - 3] {
                let (mut a, mut b) = (text.clone(), text.clone());
                cipher.decrypt(first, &mut a, |_| panic!("no zeros"));
                plain_loop(&keys, chunk, first, &mut b);
                assert!(a == b, "{bits} {chunk} {first}");
            }
        }
    }

    #[test]
    fn chunks_of_zeros_stay() {
        let cipher = ChunkCipher::new(&keys(128), 512, 10).unwrap();
        let mut data = vec![0; 512 * 5];
        data[600] = 1;
        data[1024 + 511] = 1;
        data[2048] = 1;
        let mut wanted = data.clone();
        plain_loop(&keys(128), 512, 0, &mut wanted);
        wanted[..512].fill(0);
        wanted[1536..2048].fill(0);
        let mut zeros = Vec::new();
        cipher.decrypt(0, &mut data, |r| zeros.push(r));
        assert!(data == wanted);
        assert_eq!(zeros, [0..512, 1536..2048]);
    }
}
