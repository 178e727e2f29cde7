//! How the chunks of an encrypted bundle are numbered: from 0 in every band, as in all
//! bundles of version 1, or through the whole disk. A wrong number spoils only the first
//! 16 bytes of a chunk, so a disk can look right and be wrong: it is found out by
//! what must stand there (`formats/encrcdsa.md` section 6).

use super::cipher::ChunkCipher;
use super::decrypt::Numbering;
use super::encrcdsa::{Header, Keys};
use crate::bundle::Bands;
use crate::error::Result;
use crate::io::ReadAt;
use crate::io::bytes::{all_zero, to_u64, to_usize, usize32};

/// Most bands that are looked into.
const MAX_BANDS: usize = 16;
/// Bytes of each that are read.
const SAMPLE: u64 = 1 << 20;

struct Test<'a> {
    bands: &'a Bands,
    cipher: ChunkCipher,
}

/// Find out the numbering of a bundle; [`Numbering::Band`] where nothing tells.
pub fn find(header: &Header, keys: &Keys, bands: &Bands) -> Result<Numbering> {
    let chunk = usize32(header.chunk);
    let test = Test { bands, cipher: ChunkCipher::new(keys, chunk, SAMPLE / to_u64(chunk))? };
    if let Some(found) = test.partition_table()? {
        return Ok(found);
    }
    let mut present = bands.list()?.present;
    // Band 0 has the same numbers both ways.
    present.retain(|index| *index > 0);
    let step = present.len().div_ceil(MAX_BANDS).max(1);
    for index in present.into_iter().step_by(step) {
        if let Some(found) = test.zeros(index)? {
            return Ok(found);
        }
    }
    Ok(Numbering::Band)
}

impl Test<'_> {
    /// The backup partition table is the last sector and begins with its mark; that
    /// tells if a chunk begins there.
    fn partition_table(&self) -> Result<Option<Numbering>> {
        let chunk = to_u64(self.cipher.chunk());
        let Some(at) = self.bands.len().checked_sub(512) else { return Ok(None) };
        let (index, within) = (at / self.bands.band_size(), at % self.bands.band_size());
        if index == 0 || !at.is_multiple_of(chunk) {
            return Ok(None);
        }
        let mut buf = vec![0; self.cipher.chunk()];
        if self.bands.read_stored(index, &mut buf, within)? < buf.len() || all_zero(&buf) {
            return Ok(None);
        }
        self.cipher.decrypt(within / chunk, &mut buf, |_| {});
        Ok(self.numbering_of(index, within, &buf, |head| head.starts_with(b"EFI PART")))
    }

    /// A chunk that is all zeros after its first block begins with zeros as well under
    /// the right number, and with noise under the wrong one.
    fn zeros(&self, index: u64) -> Result<Option<Numbering>> {
        let chunk = to_u64(self.cipher.chunk());
        let mut buf = vec![0; to_usize(SAMPLE.min(self.bands.band_size()).next_multiple_of(chunk))];
        let stored = self.bands.read_stored(index, &mut buf, 0)?;
        buf.truncate(stored - stored % self.cipher.chunk());
        let mut unwritten = Vec::new();
        self.cipher.decrypt(0, &mut buf, |run| unwritten.push(run));
        for (n, plain) in buf.chunks(self.cipher.chunk()).enumerate() {
            let at = n * self.cipher.chunk();
            if !plain.get(16..).is_some_and(all_zero) || unwritten.iter().any(|r| r.contains(&at)) {
                continue;
            }
            if let Some(found) = self.numbering_of(index, to_u64(at), plain, all_zero) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Which numbering gives a chunk the right beginning, if one does; `plain` is
    /// decrypted by its number in the band.
    fn numbering_of(
        &self,
        index: u64,
        within: u64,
        plain: &[u8],
        right: impl Fn(&[u8]) -> bool,
    ) -> Option<Numbering> {
        let head = plain.get(..16)?;
        if right(head) {
            return Some(Numbering::Band);
        }
        let chunk = to_u64(self.cipher.chunk());
        let on_disk = index.saturating_mul(self.bands.band_size()).saturating_add(within) / chunk;
        let (band, disk) = (self.cipher.iv(within / chunk), self.cipher.iv(on_disk));
        let other: Vec<u8> =
            head.iter().zip(band.iter().zip(&disk)).map(|(p, (b, d))| p ^ b ^ d).collect();
        right(&other).then_some(Numbering::Disk)
    }
}
