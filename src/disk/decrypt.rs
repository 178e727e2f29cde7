//! The plaintext of an encrypted image, decrypted as it is read.
//!
//! Each chunk is AES-CBC with an IV made from its number (`formats/encrcdsa.md`
//! section 5). In a bundle the numbers begin anew in every band, so the IVs of one
//! band serve all of them and are made once. What no band stores is plaintext zeros.

use super::encrcdsa::{Header, Keys};
use crate::bundle::Bands;
use crate::error::{Error, Place, Result};
use crate::io::bytes::{all_zero, to_u64, to_usize, usize32};
use crate::io::{PresenceVisitor, ReadAt, Source, check_range};
use aes::cipher::{Array, BlockModeDecrypt, InnerIvInit, KeyInit};
use hmac::{Hmac, Mac};
use rayon::prelude::*;
use sha1::Sha1;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

/// Most IVs that are kept (16 MiB); of larger bands they are made as needed.
const MAX_TABLE: u64 = 1 << 20;
/// Reads from this size on are shared among cores.
const PARALLEL: usize = 256 << 10;
/// Bytes that one core decrypts at a time.
const SHARE: usize = 64 << 10;

/// A pool of our own: the global one could be waited for from inside itself.
static POOL: LazyLock<Option<rayon::ThreadPool>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    if cores < 2 {
        return None;
    }
    rayon::ThreadPoolBuilder::new().num_threads(cores).build().ok()
});

/// How chunks of a bundle are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// From 0 in every band.
    Band,
    /// From the start of the disk.
    Disk,
}

/// Where the ciphertext is.
pub enum Store {
    /// In bands, each from its first byte on.
    Bands(Arc<Bands>, Numbering),
    /// In one file, from this byte on.
    File(Source, u64),
}

enum Cipher {
    Aes128(aes::Aes128),
    Aes256(aes::Aes256),
}

/// An image that is decrypted as it is read.
pub struct Decrypted {
    store: Store,
    size: u64,
    chunk: usize,
    cipher: Cipher,
    hmac: Hmac<Sha1>,
    table: OnceLock<Vec<[u8; 16]>>,
    zero_chunks: AtomicU64,
}

impl Decrypted {
    /// The plaintext, `size` bytes, of what is in `store`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the keys have impossible lengths.
    pub fn new(header: &Header, keys: &Keys, store: Store, size: u64) -> Result<Self> {
        let bad = |_| Error::corrupt("encryption header", "a key has an impossible length");
        let cipher = if header.key_bits == 128 {
            Cipher::Aes128(aes::Aes128::new_from_slice(&keys.aes).map_err(bad)?)
        } else {
            Cipher::Aes256(aes::Aes256::new_from_slice(&keys.aes).map_err(bad)?)
        };
        let hmac = Hmac::new_from_slice(&keys.hmac).map_err(bad)?;
        Ok(Self {
            store,
            size,
            chunk: usize32(header.chunk),
            cipher,
            hmac,
            table: OnceLock::new(),
            zero_chunks: AtomicU64::new(0),
        })
    }

    /// Chunks met so far whose ciphertext is all zero: never written, or lost.
    pub fn zero_chunks(&self) -> u64 {
        self.zero_chunks.load(Ordering::Relaxed)
    }

    /// Bytes after which storage and, in bundles, numbering begin anew.
    fn segment_size(&self) -> u64 {
        match &self.store {
            Store::Bands(bands, _) => bands.band_size(),
            Store::File(..) => u64::MAX,
        }
    }

    fn iv(&self, number: u64) -> [u8; 16] {
        if let Some(iv) = usize::try_from(number).ok().and_then(|n| self.ivs().get(n)) {
            return *iv;
        }
        self.make_iv(number)
    }

    fn make_iv(&self, number: u64) -> [u8; 16] {
        let mut mac = self.hmac.clone();
        // The number is 32 bits wide; a disk beyond 2^32 chunks wraps round.
        let number = u32::try_from(number & 0xFFFF_FFFF).unwrap_or(0);
        mac.update(&number.to_be_bytes());
        crate::io::bytes::array(&mac.finalize().into_bytes(), 0).unwrap_or_default()
    }

    /// The IVs of one band, which all bands share.
    fn ivs(&self) -> &[[u8; 16]] {
        self.table.get_or_init(|| match &self.store {
            Store::Bands(bands, Numbering::Band) => {
                let count = bands.band_size().div_ceil(to_u64(self.chunk));
                (0..count.min(MAX_TABLE)).map(|n| self.make_iv(n)).collect()
            }
            _ => Vec::new(),
        })
    }

    fn decrypt_chunk(&self, number: u64, chunk: &mut [u8]) {
        if all_zero(chunk) {
            self.zero_chunks.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let iv = Array::from(self.iv(number));
        let (blocks, _) = Array::slice_as_chunks_mut(chunk);
        match &self.cipher {
            Cipher::Aes128(c) => cbc::Decryptor::inner_iv_init(c, &iv).decrypt_blocks(blocks),
            Cipher::Aes256(c) => cbc::Decryptor::inner_iv_init(c, &iv).decrypt_blocks(blocks),
        }
    }

    /// Decrypt whole chunks in place, the first having this number.
    fn decrypt(&self, first: u64, data: &mut [u8]) {
        let share = (SHARE / self.chunk).max(1);
        let one = |(i, part): (usize, &mut [u8])| {
            let base = first + to_u64(i * share);
            for (n, chunk) in (base..).zip(part.chunks_exact_mut(self.chunk)) {
                self.decrypt_chunk(n, chunk);
            }
        };
        match &*POOL {
            Some(pool) if data.len() >= PARALLEL => {
                // Made before the cores share the work, not once for each.
                self.ivs();
                pool.install(|| data.par_chunks_mut(share * self.chunk).enumerate().for_each(one));
            }
            _ => data.chunks_mut(share * self.chunk).enumerate().for_each(one),
        }
    }

    /// Fill `buf`, whole chunks, from the byte `within` of segment `index`.
    fn read_chunks(&self, index: u64, within: u64, buf: &mut [u8]) -> Result<()> {
        let chunk = to_u64(self.chunk);
        let (stored, first) = match &self.store {
            Store::Bands(bands, numbering) => {
                let stored = bands.read_stored(index, buf, within)?;
                let base = match numbering {
                    Numbering::Band => 0,
                    Numbering::Disk => index.saturating_mul(bands.band_size()) / chunk,
                };
                (stored, base + within / chunk)
            }
            Store::File(file, start) => {
                let left = file.len().saturating_sub(start.saturating_add(within));
                let stored = to_usize(left).min(buf.len());
                let (now, rest) = buf.split_at_mut(stored);
                file.read_at(now, start + within)?;
                rest.fill(0);
                (stored, within / chunk)
            }
        };
        let whole = stored - stored % self.chunk;
        if stored != whole {
            return Err(Error::corrupt_at(
                "encrypted chunk",
                self.locate(
                    index
                        .saturating_mul(self.segment_size())
                        .saturating_add(within + to_u64(whole)),
                ),
                format!(
                    "{} of its {chunk} bytes are stored, which cannot be decrypted",
                    stored - whole
                ),
            ));
        }
        self.decrypt(first, buf.get_mut(..whole).unwrap_or_default());
        Ok(())
    }

    /// Fill `buf` from within one segment: whole chunks in place, the edges by way
    /// of a buffer.
    fn read_segment(&self, index: u64, mut within: u64, mut buf: &mut [u8]) -> Result<()> {
        let chunk = to_u64(self.chunk);
        while !buf.is_empty() {
            let ahead = to_usize(within % chunk);
            if ahead == 0 && buf.len() >= self.chunk {
                let n = buf.len() - buf.len() % self.chunk;
                let (now, rest) = buf.split_at_mut(n);
                self.read_chunks(index, within, now)?;
                within += to_u64(n);
                buf = rest;
                continue;
            }
            let mut whole = vec![0; self.chunk];
            self.read_chunks(index, within - to_u64(ahead), &mut whole)?;
            let n = (self.chunk - ahead).min(buf.len());
            let (now, rest) = buf.split_at_mut(n);
            now.copy_from_slice(whole.get(ahead..ahead + n).unwrap_or_default());
            within += to_u64(n);
            buf = rest;
        }
        Ok(())
    }
}

impl ReadAt for Decrypted {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), "disk image")?;
        let segment = self.segment_size();
        let mut at = offset;
        while !buf.is_empty() {
            let within = at % segment;
            let n = to_usize(segment - within).min(buf.len());
            let (now, rest) = buf.split_at_mut(n);
            self.read_segment(at / segment, within, now)?;
            at += to_u64(n);
            buf = rest;
        }
        Ok(())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        match &self.store {
            Store::Bands(bands, _) => bands.presence(range, visit),
            Store::File(file, start) => {
                file.presence(range.start + start..range.end + start, &mut |r, p| {
                    visit(r.start - start..r.end - start, p);
                })
            }
        }
    }

    fn locate(&self, offset: u64) -> Option<Place> {
        match &self.store {
            Store::Bands(bands, _) => bands.locate(offset),
            Store::File(file, start) => {
                file.locate(offset.checked_add(*start)?).map(|p| Place { offset, ..p })
            }
        }
    }
}

/// Find out how a bundle's chunks are numbered: by what is known to lie on the
/// disk, or by chunks that would be all zero but for their first block, which a
/// wrong IV spoils (section 6).
pub fn find_numbering(header: &Header, keys: &Keys, bands: &Arc<Bands>) -> Result<Numbering> {
    let size = bands.len();
    let open = |n| Decrypted::new(header, keys, Store::Bands(bands.clone(), n), size);
    let both =
        [(Numbering::Band, open(Numbering::Band)?), (Numbering::Disk, open(Numbering::Disk)?)];
    // The backup partition table lies in the last sector and begins with its mark.
    let mut mark = [0; 8];
    for (numbering, disk) in &both {
        if size >= 512 && disk.read_at(&mut mark, size - 512).is_ok() && &mark == b"EFI PART" {
            return Ok(*numbering);
        }
    }
    let chunk = usize32(header.chunk);
    let mut buf = vec![0; chunk];
    let Ok(listing) = bands.list() else { return Ok(Numbering::Band) };
    for index in listing.present.iter().filter(|i| **i > 0).take(8) {
        for n in 0..2048u64 {
            let at = index.saturating_mul(bands.band_size()).saturating_add(n * to_u64(chunk));
            for (numbering, disk) in &both {
                let before = disk.zero_chunks();
                if at.saturating_add(to_u64(chunk)) > size || disk.read_at(&mut buf, at).is_err() {
                    break;
                }
                // Zeros that are not stored tell nothing.
                if all_zero(&buf)
                    && disk.zero_chunks() == before
                    && bands.stores(*index, n * to_u64(chunk))
                {
                    return Ok(*numbering);
                }
            }
        }
    }
    Ok(Numbering::Band)
}
