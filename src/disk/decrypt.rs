//! The plaintext of an encrypted image, decrypted as it is read.
//!
//! In a bundle, what no band stores is plaintext zeros. So is a chunk whose ciphertext is
//! all zeros, which no cipher makes: it was never written, or was lost; such chunks
//! are noted. Source: `formats/encrcdsa.md` section 6.

use super::cipher::ChunkCipher;
use super::encrcdsa::{Header, Keys};
use crate::bundle::Bands;
use crate::error::{Error, Locus, Result};
use crate::io::bytes::{to_u64, to_usize, usize32};
use crate::io::{Presence, PresenceVisitor, Ranges, ReadAt, Source, check_range};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Reads from this size on are shared among cores.
const PARALLEL: usize = 256 << 10;
/// Bytes that one core reads and decrypts at a time.
const SHARE: u64 = 128 << 10;
/// Most runs of unwritten chunks that are kept apart.
const MAX_RUNS: usize = 10_000;

/// A pool of our own: the global one could be waited for from inside itself. The first
/// disk that needs it says how large it is.
static POOL: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();

fn pool(jobs: usize) -> Option<&'static rayon::ThreadPool> {
    let make = || {
        let threads = crate::io::threads(jobs);
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        (threads > 1).then(|| builder.build().ok()).flatten()
    };
    POOL.get_or_init(make).as_ref()
}

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

/// An image that is decrypted as it is read.
pub struct Decrypted {
    store: Store,
    size: u64,
    cipher: ChunkCipher,
    unwritten: Mutex<Runs>,
    jobs: usize,
}

impl Decrypted {
    /// The plaintext, `size` bytes, of what is in `store`, decrypted by `jobs` threads
    /// (0: as many as there are cores, up to 4).
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the keys have impossible lengths, or when bands do not hold whole
    /// chunks.
    pub fn new(header: &Header, keys: &Keys, store: Store, size: u64, jobs: usize) -> Result<Self> {
        let reused = match &store {
            Store::Bands(bands, numbering) => {
                let (band, chunk) = (bands.band_size(), u64::from(header.chunk));
                if !band.is_multiple_of(chunk) {
                    let text = format!("bands of {band} bytes do not hold whole chunks of {chunk}");
                    return Err(Error::corrupt("encryption header", text));
                }
                if *numbering == Numbering::Band { band / chunk } else { 0 }
            }
            Store::File(..) => 0,
        };
        let cipher = ChunkCipher::new(keys, usize32(header.chunk), reused)?;
        Ok(Self { store, size, cipher, unwritten: Mutex::default(), jobs })
    }

    /// Runs of chunks met so far whose ciphertext is all zero: never written, or
    /// lost. In order; of very many, neighbours are joined.
    pub fn unwritten(&self) -> Vec<Range<u64>> {
        let runs = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        runs.0.iter().map(|(start, end)| *start..(*end).min(self.size)).collect()
    }

    /// Bytes after which storage and, in bundles, numbering begin anew.
    fn segment_size(&self) -> u64 {
        match &self.store {
            Store::Bands(bands, _) => bands.band_size(),
            Store::File(..) => u64::MAX,
        }
    }

    /// Read whole chunks of ciphertext; returns how many bytes of it are stored. The
    /// others are zeros.
    fn fetch(&self, index: u64, within: u64, buf: &mut [u8]) -> Result<usize> {
        let stored = match &self.store {
            Store::Bands(bands, _) => bands.read_stored(index, buf, within)?,
            Store::File(file, start) => {
                let from = start.saturating_add(within);
                let stored = to_usize(file.len().saturating_sub(from)).min(buf.len());
                file.read_at(buf.get_mut(..stored).unwrap_or_default(), from)?;
                stored
            }
        };
        let (chunk, over) = (self.cipher.chunk(), stored % self.cipher.chunk());
        if matches!(self.store, Store::Bands(..)) {
            // A part of a chunk is as good as nothing: its band ends before it.
            buf.get_mut(stored - over..stored).unwrap_or_default().fill(0);
            return Ok(stored - over);
        }
        if over == 0 && stored == buf.len() {
            return Ok(stored);
        }
        let at = within.saturating_add(to_u64(stored - over));
        let at = index.saturating_mul(self.segment_size()).saturating_add(at);
        let text = format!("{over} of its {chunk} bytes are stored, which cannot be decrypted");
        Err(Error::corrupt_at("encrypted chunk", self.locate(at), text))
    }

    /// Fill `buf`, whole chunks, from the byte `within` of segment `index`.
    fn read_chunks(&self, index: u64, within: u64, buf: &mut [u8]) -> Result<()> {
        let stored = self.fetch(index, within, buf)?;
        let start = index.saturating_mul(self.segment_size()).saturating_add(within);
        let from = match &self.store {
            Store::Bands(_, Numbering::Disk) => start,
            _ => within,
        };
        let first = from / to_u64(self.cipher.chunk());
        let data = buf.get_mut(..stored).unwrap_or_default();
        self.cipher.decrypt(first, data, |zeros| {
            let run = start + to_u64(zeros.start)..start + to_u64(zeros.end);
            self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).add(run);
        });
        Ok(())
    }

    /// Fill `buf` from within one segment: whole chunks in place, the edges by way
    /// of a buffer.
    fn read_segment(&self, index: u64, mut within: u64, mut buf: &mut [u8]) -> Result<()> {
        let size = self.cipher.chunk();
        let chunk = to_u64(size);
        while !buf.is_empty() {
            let ahead = to_usize(within % chunk);
            let n = if ahead == 0 && buf.len() >= size {
                buf.len() - buf.len() % size
            } else {
                (size - ahead).min(buf.len())
            };
            let (now, rest) = buf.split_at_mut(n);
            if n >= size {
                self.read_chunks(index, within, now)?;
            } else {
                let mut whole = vec![0; size];
                self.read_chunks(index, within - to_u64(ahead), &mut whole)?;
                now.copy_from_slice(whole.get(ahead..ahead + n).unwrap_or_default());
            }
            within += to_u64(n);
            buf = rest;
        }
        Ok(())
    }

    /// Fill `buf` on this thread.
    fn read_serial(&self, mut buf: &mut [u8], offset: u64) -> Result<()> {
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
}

/// Cut `buf` where the disk's offsets are multiples of [`SHARE`].
fn shares(mut buf: &mut [u8], mut offset: u64) -> Vec<(u64, &mut [u8])> {
    let mut shares = Vec::new();
    while !buf.is_empty() {
        let n = to_usize(SHARE - offset % SHARE).min(buf.len());
        let (now, rest) = buf.split_at_mut(n);
        shares.push((offset, now));
        offset += to_u64(n);
        buf = rest;
    }
    shares
}

impl ReadAt for Decrypted {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), "disk image")?;
        // Who runs in a pool already has work for the other cores.
        if buf.len() < PARALLEL || rayon::current_thread_index().is_some() {
            return self.read_serial(buf, offset);
        }
        let Some(pool) = pool(self.jobs) else { return self.read_serial(buf, offset) };
        pool.install(|| {
            shares(buf, offset)
                .into_par_iter()
                .try_for_each(|(at, part)| self.read_serial(part, at))
        })
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        // Chunks of zeros that were met are as good as holes.
        let unwritten = Ranges::new(self.unwritten());
        let visit: PresenceVisitor<'_> = &mut |part, how| {
            let mut at = part.start;
            if how == Presence::Stored {
                for zeros in unwritten.meet(part.clone()) {
                    if at < zeros.start {
                        visit(at..zeros.start, Presence::Stored);
                    }
                    at = zeros.end;
                    visit(zeros, Presence::Hole);
                }
            }
            if at < part.end {
                visit(at..part.end, how);
            }
        };
        match &self.store {
            Store::Bands(bands, _) => {
                let chunk = to_u64(self.cipher.chunk());
                whole_chunks(&**bands, range, chunk, visit)
            }
            Store::File(file, start) => {
                check_range(
                    self.size,
                    range.start,
                    to_usize(range.end - range.start),
                    "disk image",
                )?;
                file.presence(range.start + start..range.end + start, &mut |r, p| {
                    visit(r.start - start..r.end - start, p);
                })
            }
        }
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        match &self.store {
            Store::Bands(bands, _) => bands.locate(offset),
            Store::File(file, start) => {
                file.locate(offset.checked_add(*start)?).map(|p| Locus { offset, ..p })
            }
        }
    }
}

/// How the chunks of a range are stored: one of which only a part is stored is not.
fn whole_chunks(
    bands: &dyn ReadAt,
    range: Range<u64>,
    chunk: u64,
    visit: PresenceVisitor<'_>,
) -> Result<()> {
    let down = |n: u64| n - n % chunk;
    let around = down(range.start)..range.end.next_multiple_of(chunk).min(bands.len());
    let mut held: Option<(Range<u64>, Presence)> = None;
    let mut tell = |part: Range<u64>, how| {
        let part = part.start.max(range.start)..part.end.min(range.end);
        if part.start < part.end {
            visit(part, how);
        }
    };
    bands.presence(around, &mut |mut part, how| {
        if let Some((mut before, what)) = held.take() {
            if how == Presence::Short {
                before.end = down(before.end);
                part.start = before.end;
            }
            tell(before, what);
        }
        held = Some((part, how));
    })?;
    if let Some((part, how)) = held {
        tell(part, how);
    }
    Ok(())
}

/// Ranges that do not touch: start and end of each.
#[derive(Default)]
struct Runs(BTreeMap<u64, u64>);

impl Runs {
    fn add(&mut self, run: Range<u64>) {
        let Range { mut start, mut end } = run;
        if let Some((s, e)) = self.0.range(..=start).next_back()
            && *e >= start
        {
            if *e >= end {
                return;
            }
            start = *s;
        }
        while let Some((s, e)) = self.0.range(start..=end).next_back().map(|(s, e)| (*s, *e)) {
            end = end.max(e);
            self.0.remove(&s);
        }
        if self.0.len() < MAX_RUNS {
            self.0.insert(start, end);
        } else if let Some((_, e)) = self.0.range_mut(..=start).next_back() {
            *e = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Presence, ReadAt, Result, Runs, whole_chunks};
    use crate::io::PresenceVisitor;
    use std::ops::Range;

    /// A band that ends after 1000 bytes.
    struct Cut;

    impl ReadAt for Cut {
        fn len(&self) -> u64 {
            4096
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> Result<()> {
            Ok(())
        }
        fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
            if range.start < 1000 {
                visit(range.start..range.end.min(1000), Presence::Stored);
            }
            if range.end > 1000 {
                visit(range.start.max(1000)..range.end, Presence::Short);
            }
            Ok(())
        }
    }

    #[test]
    fn a_part_of_a_chunk_is_not_stored() {
        let seen = |range: Range<u64>| {
            let mut seen = Vec::new();
            whole_chunks(&Cut, range, 512, &mut |part, how| seen.push((part, how))).unwrap();
            seen
        };
        use Presence::{Short, Stored};
        assert_eq!(seen(0..4096), [(0..512, Stored), (512..4096, Short)]);
        assert_eq!(seen(100..500), [(100..500, Stored)]);
        assert_eq!(seen(600..900), [(600..900, Short)]);
        assert_eq!(seen(511..513), [(511..512, Stored), (512..513, Short)]);
    }

    #[test]
    fn runs_join_and_are_kept_once() {
        let mut runs = Runs::default();
        for (start, end) in
            [(10, 20), (30, 40), (10, 20), (12, 15), (40, 50), (5, 8), (8, 10), (19, 31)]
        {
            runs.add(start..end);
        }
        assert_eq!(runs.0.into_iter().collect::<Vec<_>>(), [(5, 50)]);
        let mut runs = Runs::default();
        for n in 0..super::MAX_RUNS as u64 + 5 {
            runs.add(10 * n..10 * n + 1);
        }
        assert_eq!(runs.0.len(), super::MAX_RUNS);
        assert_eq!(
            runs.0.last_key_value().map(|(_, e)| *e),
            Some(10 * (super::MAX_RUNS as u64 + 4) + 1)
        );
    }
}
