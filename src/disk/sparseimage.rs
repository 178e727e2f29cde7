//! Single-file sparse images (`.sparseimage`, UDSP; `formats/sparsebundle.md`
//! section 11).
//!
//! The file begins with a table of the bands that follow it. When that is full,
//! another table comes after its bands, with as many of its own, and so on; each gives
//! the place of the next. All integers are big-endian.

use crate::error::{Error, Locus, Result};
use crate::io::bytes::{be32, be64, to_usize};
use crate::io::{Presence, PresenceVisitor, ReadAt, Source, check_range, read_pieces, read_vec};
use std::ops::Range;

const TABLE: u64 = 4096;
const SECTOR: u64 = 512;
/// Most bands a file may hold: 16 TiB of the usual 1 MiB.
const MAX_BANDS: usize = 1 << 24;

/// An open sparse image.
pub struct SparseImage {
    file: Source,
    size: u64,
    band: u64,
    /// The stored bands: number on the disk, place in the file. Sorted.
    bands: Vec<(u64, u64)>,
}

fn bad(text: String) -> Error {
    Error::corrupt("sparse image", text)
}

impl SparseImage {
    /// Read the header and the tables of bands.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a field is impossible or a band is listed twice.
    pub fn open(file: Source) -> Result<Self> {
        let header = read_vec(&*file, 0, to_usize(TABLE))?;
        let field = |at| be32(&header, at).map_or(0, u64::from);
        let (version, per_band) = (field(4), field(8));
        if version != 3 {
            return Err(Error::Unsupported(format!("sparse image of version {version}")));
        }
        // The wide count came later than the narrow one before it.
        let sectors = match be64(&header, 28) {
            Some(wide) if wide & 0xFFFF_FFFF == field(16) => wide,
            _ => field(16),
        };
        let band = per_band * SECTOR;
        let size = sectors.checked_mul(SECTOR).filter(|n| *n <= i64::MAX.unsigned_abs());
        let Some(size) = size.filter(|n| *n > 0 && band > 0) else {
            return Err(bad(format!("{sectors} sectors in bands of {per_band} are impossible")));
        };
        let mut image = Self { file, size, band, bands: Vec::new() };
        image.read_tables(&header)?;
        Ok(image)
    }

    fn read_tables(&mut self, header: &[u8]) -> Result<()> {
        self.read_table(0, header.get(64..).unwrap_or_default())?;
        let (mut at, mut next) = (0, be64(header, 20).unwrap_or(0));
        while next != 0 {
            // Each table lies after the last, so they come to an end.
            if next < at + TABLE {
                return Err(bad(format!(
                    "the table after the one at {at} is said to be at {next}"
                )));
            }
            at = next;
            let table = read_vec(&*self.file, at, to_usize(TABLE))?;
            if !table.starts_with(b"sprs") {
                return Err(bad(format!("there is no table of bands at {at}")));
            }
            self.read_table(at, table.get(56..).unwrap_or_default())?;
            next = be64(&table, 12).unwrap_or(0);
        }
        self.bands.sort_unstable();
        let twice = self.bands.iter().zip(self.bands.iter().skip(1)).find(|(a, b)| a.0 == b.0);
        if let Some(((number, _), _)) = twice {
            return Err(bad(format!("band {number} is listed twice")));
        }
        Ok(())
    }

    /// Take the entries of the table at `start`: each gives the number, from 1, of the
    /// band in its position.
    fn read_table(&mut self, start: u64, entries: &[u8]) -> Result<()> {
        let count = self.size.div_ceil(self.band);
        for (position, entry) in (0u64..).zip(entries.chunks_exact(4)) {
            let Some(number) = be32(entry, 0).map(u64::from).and_then(|n| n.checked_sub(1)) else {
                continue;
            };
            if number >= count || self.bands.len() >= MAX_BANDS {
                return Err(bad(format!("band {number} lies past the end of the disk")));
            }
            let at = start + TABLE + position * self.band;
            self.bands.push((number, at));
        }
        Ok(())
    }

    /// How many bands, wholly or in part, lie past the end of the file. Reading them
    /// is an error.
    pub fn cut(&self) -> usize {
        // The last band of the disk need not be whole.
        let len = |number| self.band.min(self.size - number * self.band);
        let end = |(number, at): &(u64, u64)| at.saturating_add(len(*number));
        self.bands.iter().filter(|b| end(b) > self.file.len()).count()
    }

    /// Where a byte of the disk lies in the file, and how many follow it there or
    /// are absent.
    fn map(&self, offset: u64) -> (Option<u64>, u64) {
        let (number, within) = (offset / self.band, offset % self.band);
        let found = self.bands.binary_search_by_key(&number, |b| b.0).ok();
        let at = found.and_then(|i| self.bands.get(i)).map(|(_, at)| at + within);
        (at, self.band - within)
    }
}

impl ReadAt for SparseImage {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), "sparse image")?;
        read_pieces(
            buf,
            offset,
            |at| Ok(self.map(at)),
            |place, _, now| match place {
                Some(from) => self.file.read_at(now, from),
                None => {
                    now.fill(0);
                    Ok(())
                }
            },
        )
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let (place, left) = self.map(at);
            let end = range.end.min(at.saturating_add(left));
            visit(at..end, if place.is_some() { Presence::Stored } else { Presence::Missing });
            at = end;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        Some(Locus { offset, band: None })
    }
}
