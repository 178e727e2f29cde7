//! Single-file sparse images (`.sparseimage`, UDSP; `formats/sparsebundle.md`
//! section 11).

use crate::error::{Error, Place, Result};
use crate::io::bytes::{be32, to_u64, to_usize};
use crate::io::{Presence, PresenceVisitor, ReadAt, Source, check_range, read_vec};
use std::ops::Range;

const HEADER: u64 = 4096;
const SECTOR: u64 = 512;
/// Most bands that are taken (an 8 MiB band makes this 32 TB).
const MAX_BANDS: u64 = 1 << 22;

/// An open sparse image.
pub struct SparseImage {
    file: Source,
    size: u64,
    band: u64,
    /// For each band of the disk its position in the file plus one; 0 if absent.
    positions: Vec<u32>,
}

impl SparseImage {
    /// Read the header and the table of bands.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a field is impossible.
    pub fn open(file: Source) -> Result<Self> {
        let bad = |text: String| Error::corrupt("sparse image header", text);
        let h = read_vec(&*file, 0, to_usize(HEADER))?;
        let field = |at| be32(&h, at).map_or(0, u64::from);
        let (version, per_band, sectors) = (field(4), field(8), field(16));
        if version != 3 {
            return Err(Error::Unsupported(format!("sparse image of version {version}")));
        }
        if per_band == 0 || sectors == 0 {
            return Err(bad(format!("{sectors} sectors in bands of {per_band}")));
        }
        let (band, size) = (per_band * SECTOR, sectors * SECTOR);
        let count = size.div_ceil(band);
        if count > MAX_BANDS {
            return Err(bad(format!("{count} bands")));
        }
        let mut image = Self { file, size, band, positions: vec![0; to_usize(count)] };
        image.read_table(&h)?;
        Ok(image)
    }

    /// The header's table gives, for each position in the file, the band there.
    /// Larger images go on in further headers, each before as many bands as it lists.
    fn read_table(&mut self, first: &[u8]) -> Result<()> {
        for (position, entry) in (1u32..).zip(first.get(64..).unwrap_or_default().chunks_exact(4)) {
            let number = be32(entry, 0).unwrap_or(0);
            if number == 0 {
                continue;
            }
            let Some(slot) = self.positions.get_mut(to_usize(u64::from(number) - 1)) else {
                let text = format!("band {number} lies past the end of the disk");
                return Err(Error::corrupt("sparse image", text));
            };
            *slot = position;
        }
        let listed = to_u64(self.positions.iter().filter(|p| **p != 0).count());
        let stored = self.file.len().saturating_sub(HEADER).div_ceil(self.band);
        if to_u64(self.positions.len()) > 1008 && stored > listed + 1 {
            let text = "a sparse image with more than one table of bands cannot be read";
            return Err(Error::Unsupported(text.into()));
        }
        Ok(())
    }

    /// Where a byte of the disk lies in the file, and how many follow it there or
    /// are absent.
    fn map(&self, offset: u64) -> (Option<u64>, u64) {
        let (index, within) = (offset / self.band, offset % self.band);
        let left = self.band - within;
        let position = self.positions.get(to_usize(index)).copied().unwrap_or(0);
        if position == 0 {
            return (None, left);
        }
        (Some(HEADER + (u64::from(position) - 1) * self.band + within), left)
    }
}

impl ReadAt for SparseImage {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), "sparse image")?;
        let mut at = offset;
        while !buf.is_empty() {
            let (place, left) = self.map(at);
            let n = to_usize(left).min(buf.len());
            let (now, rest) = buf.split_at_mut(n);
            match place {
                // The last band of the file may be cut short: zeros.
                Some(from) => {
                    let have = to_usize(self.file.len().saturating_sub(from)).min(n);
                    let (stored, absent) = now.split_at_mut(have);
                    self.file.read_at(stored, from)?;
                    absent.fill(0);
                }
                None => now.fill(0),
            }
            at += to_u64(n);
            buf = rest;
        }
        Ok(())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let (place, left) = self.map(at);
            let end = range.end.min(at + left);
            visit(at..end, if place.is_some() { Presence::Data } else { Presence::Missing });
            at = end;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Place> {
        Some(Place { offset, band: None })
    }
}
