//! Reading and hashing bands, several at a time, in the order they are given.

use super::bad::bad_ranges;
use super::file::Stamp;
use crate::bundle::Bands;
use crate::error::{Error, Result};
use crate::io::bytes::{all_zero, to_u64, to_usize};
use crate::io::{Presence, visit_holes};
use crate::report::Progress;
use rustix::fs::{Advice, Stat, fadvise, fstat};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Bytes read at once: few calls, yet the wish to stop is heeded at once, and what was
/// read is still in the processor's cache when it is hashed.
pub(super) const PIECE: usize = 256 << 10;
/// From this size on the holes of a band are not hashed.
const LARGE: u64 = (1 << 30) + 1;
/// Runs of data in such a band that are looked at.
const MOST_RUNS: usize = 1 << 20;
/// Copying and hashing are faster where pages and cache lines begin.
const PAGE: usize = 4096;

/// The time, counted on from when the run began: a clock that is set does not matter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Seconds since 1970 when the run began.
    pub began: i64,
    pub started: Instant,
}

impl Clock {
    /// Nanoseconds since 1970.
    fn now(self) -> i64 {
        let since = i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.began.saturating_mul(1_000_000_000).saturating_add(since)
    }
}

/// Size and times in a file's status.
pub(super) fn stamp(stat: &Stat) -> Stamp {
    let time = |seconds: i64, nanos| {
        let nanos = i64::try_from(nanos).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    };
    Stamp {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}

/// What reading a band came to.
pub(super) enum Read {
    /// It was read whole and stood still meanwhile.
    Done {
        stamp: Stamp,
        hash: [u8; 32],
        /// When reading began, nanoseconds since 1970.
        began: i64,
        bytes: u64,
    },
    /// It changed, appeared or vanished meanwhile.
    Moved,
    /// It cannot be opened.
    Unopened,
    /// Parts of it cannot be read: which bytes of it, as far as that was found out.
    Failed(Error, Vec<Range<u64>>),
}

/// Reads bands and hashes them.
#[derive(Clone)]
pub(super) struct Hasher<'a> {
    pub bands: Arc<Bands>,
    pub jobs: usize,
    pub clock: Clock,
    pub progress: &'a dyn Progress,
}

impl Hasher<'_> {
    /// Hash these bands; `take` gets what came of each, in no certain order, on the
    /// caller's thread.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; what was finished by then has been taken.
    pub fn run(&self, bands: &[u64], mut take: impl FnMut(u64, Read)) -> Result<()> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, results) = mpsc::channel();
        let work = |sender: mpsc::Sender<_>| {
            let mut buf = vec![0u8; PIECE + PAGE];
            let start = buf.as_ptr().align_offset(PAGE);
            let buf = buf.get_mut(start..).and_then(|b| b.get_mut(..PIECE)).unwrap_or_default();
            while let Some(&index) = bands.get(next.fetch_add(1, Ordering::Relaxed)) {
                let read = self.band(index, buf, &stop);
                let ended = read.is_err();
                if sender.send((index, read)).is_err() || ended {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, bands.len().max(1)) {
                let (work, sender) = (&work, sender.clone());
                scope.spawn(move || work(sender));
            }
            drop(sender);
            let mut result = Ok(());
            for (index, read) in results {
                match read {
                    Ok(read) => take(index, read),
                    Err(e) => {
                        stop.store(true, Ordering::Relaxed);
                        result = Err(e);
                    }
                }
            }
            result
        })
    }

    /// Hash one band. Only the wish to stop is an error.
    fn band(&self, index: u64, buf: &mut [u8], stop: &AtomicBool) -> Result<Read> {
        let began = self.clock.now();
        let file = match self.bands.open_band(index) {
            Ok(Some((file, _))) => file,
            Ok(None) => return Ok(Read::Moved),
            Err(_) => return Ok(Read::Unopened),
        };
        let failed = |e: rustix::io::Errno| {
            Ok(Read::Failed(Error::io(format!("cannot read band {index:x}"), e), Vec::new()))
        };
        let before = match fstat(&file) {
            Ok(stat) => stamp(&stat),
            Err(e) => return failed(e),
        };
        // What lies beyond a band's size is no part of the disk (BAND-TOO-LONG).
        let len = before.size.min(self.bands.band_size());
        // Advice only: without it, it is a little slower.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        let (mut hasher, mut at) = (blake3::Hasher::new(), 0);
        let mut take = |piece: &[u8]| {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            self.progress.check()?;
            hasher.update(piece);
            if len < LARGE {
                self.bands.kept().put(index, at, piece);
            }
            at += to_u64(piece.len());
            self.progress.advance(to_u64(piece.len()));
            Ok(())
        };
        let streamed = match len {
            LARGE.. => self.stored_only(&file, len, buf, &mut take),
            _ => self.bands.stream(&file, len, buf, &mut take),
        };
        match streamed {
            Ok(n) if n == len => self.bands.kept().end(index, len),
            // Shorter than it was.
            Ok(_) => return Ok(Read::Moved),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => {
                let bad = bad_ranges(at..len, &|buf, at| file.read_at(buf, at), self.progress)?;
                return Ok(Read::Failed(e.within(&format!("band {index:x}")), bad));
            }
        }
        match fstat(&file) {
            Ok(after) if stamp(&after) == before => {
                let hash = *hasher.finalize().as_bytes();
                Ok(Read::Done { stamp: before, hash, began, bytes: len })
            }
            Ok(_) => Ok(Read::Moved),
            Err(e) => failed(e),
        }
    }

    /// Show `take` what of a very large band is stored and not zero, each run behind its
    /// place. Such a band is one of a hostile or odd bundle (a Mac makes none above 1 GiB)
    /// and may be a hole of any size; what it holds is the same whether its zeros are
    /// stored or not.
    fn stored_only(
        &self,
        file: &std::fs::File,
        len: u64,
        buf: &mut [u8],
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut runs = Vec::new();
        visit_holes(file, 0..len, &mut |range, how| {
            if how == Presence::Stored && runs.len() < MOST_RUNS {
                runs.push(range);
            }
        })?;
        let size = to_u64(buf.len()).max(1);
        for run in runs {
            // Pieces that begin at multiples of their size, wherever holes are.
            let mut at = run.start - run.start % size;
            while at < run.end.min(len) {
                self.progress.check()?;
                let wanted = to_usize(size.min(len - at));
                let piece = buf.get_mut(..wanted).unwrap_or_default();
                file.read_exact_at(piece, at).map_err(|e| Error::io("cannot read the band", e))?;
                self.bands.meter().take(wanted)?;
                if !all_zero(piece) {
                    take(&at.to_le_bytes())?;
                    take(piece)?;
                }
                at += size;
            }
        }
        Ok(len)
    }
}
