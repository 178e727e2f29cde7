//! Contents on their way from the backup: in pieces, without their zeros, summed up.

use super::failure::{Failure, Outcome};
use crate::error::Error;
use crate::io::ReadAt;
use crate::io::bytes::{all_zero, to_u64, to_usize};
use crate::timemachine::checksum::Cksum;
use rustix::fs::SeekFrom;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes copied at a time: what stays in a core's cache.
const PIECE: usize = 256 << 10;
/// Zeros of this length and place become a hole.
const HOLE: usize = 64 << 10;
/// Shorter files are written even if they are all zeros.
const SMALLEST_HOLE: usize = 4096;
/// Bytes behind zeros of which it is asked first whether they are stored, and at most at a
/// time.
const WINDOW: u64 = 1 << 20;
const LARGEST_WINDOW: u64 = 1 << 30;
/// Bytes that are skipped before the wish to stop is looked at.
const MOST_SKIPPED: u64 = 64 << 30;
/// What is given up where bytes cannot be read.
const SECTOR: u64 = 4096;

/// Reads contents piece by piece, with a buffer that is used again.
#[derive(Default)]
pub struct Reader {
    buf: Vec<u8>,
    /// How far it is known that bytes of the source at hand are stored, or unreadable.
    stored_until: u64,
}

/// Where the bytes go, and what is asked between two pieces.
pub trait Pieces {
    /// Bytes at an offset; never called with a run of zeros that may be a hole.
    fn put(&mut self, bytes: &[u8], offset: u64) -> Outcome<()>;
    /// So many more bytes were read; an error ends it.
    fn passed(&mut self, n: u64) -> Outcome<()>;
}

impl Reader {
    fn piece(&mut self, n: usize) -> &mut [u8] {
        if self.buf.len() < n {
            self.buf.resize(n, 0);
        }
        self.buf.get_mut(..n).unwrap_or_default()
    }

    /// Copy everything; returns the end of what was put: where it is not the length,
    /// the file ends in a hole.
    pub fn copy(
        &mut self,
        source: &dyn ReadAt,
        to: &mut dyn Pieces,
        mut sum: Option<&mut Cksum>,
    ) -> Outcome<u64> {
        let (mut at, mut end) = (0, 0);
        self.stored_until = 0;
        while at < source.len() {
            let n = to_usize(source.len() - at).min(PIECE);
            let piece = self.piece(n);
            source.read_at(piece, at)?;
            if let Some(sum) = &mut sum {
                sum.update(piece);
            }
            let zeros = all_zero(piece);
            end = put_runs(piece, at, to)?.unwrap_or(end);
            at += to_u64(n);
            to.passed(to_u64(n))?;
            let gap = if zeros { self.gap(source, at)? } else { 0 };
            if gap > 0 {
                source.skip(at..at + gap)?;
                if let Some(sum) = &mut sum {
                    sum.zeros(gap);
                }
                at += gap;
                to.passed(gap)?;
            }
        }
        Ok(end)
    }

    /// How many of the bytes behind a piece of zeros need not be read: nothing is stored for
    /// them, and a piece more. Where what is stored nowhere reads as something else than
    /// zeros (a cipher may make that of it), its first piece was none.
    fn gap(&mut self, source: &dyn ReadAt, at: u64) -> Outcome<u64> {
        let mut end = at;
        if at < self.stored_until {
            return Ok(0);
        }
        let mut window = WINDOW;
        while end < source.len() {
            let until = source.len().min(end.saturating_add(window));
            let (mut absent, mut stored) = (end, None);
            let told = source.presence(end..until, &mut |run, how| {
                if !how.is_zeros() {
                    stored.get_or_insert(run.end);
                } else if stored.is_none() {
                    absent = run.end;
                }
            });
            // What cannot be told here is an error when it is read.
            if told.is_err() {
                break;
            }
            end = absent;
            if let Some(stored) = stored {
                if end == at {
                    self.stored_until = stored;
                }
                break;
            }
            if absent < until {
                break;
            }
            window = window.saturating_mul(4).min(LARGEST_WINDOW);
            if end - at >= MOST_SKIPPED {
                break;
            }
        }
        let pieces = ((end - at) / to_u64(PIECE)).saturating_sub(1);
        Ok(pieces.saturating_mul(to_u64(PIECE)))
    }

    /// Copy what can be read, and tell what cannot.
    pub fn salvage(
        &mut self,
        source: &dyn ReadAt,
        to: &mut dyn Pieces,
    ) -> Outcome<(u64, Vec<Range<u64>>)> {
        let (mut at, mut end) = (0, 0);
        let mut missing: Vec<Range<u64>> = Vec::new();
        // The end of a piece that is read in small steps.
        let mut small_until = 0;
        self.stored_until = 0;
        while at < source.len() {
            let step = if at < small_until { SECTOR } else { to_u64(PIECE) };
            let n = (source.len() - at).min(step);
            let piece = self.piece(to_usize(n));
            let mut zeros = false;
            match source.read_at(piece, at) {
                Ok(()) => {
                    zeros = n == to_u64(PIECE) && all_zero(piece);
                    end = put_runs(piece, at, to)?.unwrap_or(end);
                }
                Err(Error::Interrupted) => return Err(Failure::Interrupted),
                Err(_) if step > SECTOR => {
                    small_until = at + n;
                    continue;
                }
                Err(_) => match missing.last_mut() {
                    Some(last) if last.end == at => last.end = at + n,
                    _ => missing.push(at..at + n),
                },
            }
            at += n;
            to.passed(n)?;
            let gap = if zeros { self.gap(source, at)? } else { 0 };
            if gap > 0 && source.skip(at..at + gap).is_ok() {
                at += gap;
                to.passed(gap)?;
            }
        }
        Ok((end, missing))
    }

    /// Whether a file holds the bytes of a source.
    pub fn same(
        &mut self,
        source: &dyn ReadAt,
        other: &File,
        passed: &mut dyn FnMut(u64) -> Outcome<()>,
        mut sum: Option<&mut Cksum>,
    ) -> Outcome<bool> {
        let mut theirs = vec![0; PIECE.min(to_usize(source.len()))];
        let mut at = 0;
        self.stored_until = 0;
        while at < source.len() {
            let n = to_usize(source.len() - at).min(PIECE);
            let piece = self.piece(n);
            source.read_at(piece, at)?;
            if let Some(sum) = &mut sum {
                sum.update(piece);
            }
            let theirs = theirs.get_mut(..n).unwrap_or_default();
            match other.read_exact_at(theirs, at) {
                Ok(()) if theirs == piece => {}
                Ok(()) => return Ok(false),
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(e) => {
                    return Err(Failure::Refused(Error::io("cannot read it back", e)));
                }
            }
            let zeros = all_zero(piece);
            at += to_u64(n);
            passed(to_u64(n))?;
            let gap = if zeros { self.gap(source, at)? } else { 0 };
            let gap = hole(other, at..at + gap);
            if gap > 0 {
                source.skip(at..at + gap)?;
                if let Some(sum) = &mut sum {
                    sum.zeros(gap);
                }
                at += gap;
                passed(gap)?;
            }
        }
        Ok(true)
    }
}

/// How much of a range is a hole of a file, from its start on.
fn hole(file: &File, range: Range<u64>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let inside = file.metadata().is_ok_and(|meta| range.end <= meta.len());
    match rustix::fs::seek(file, SeekFrom::Data(range.start)) {
        Ok(data) => data.clamp(range.start, range.end) - range.start,
        Err(rustix::io::Errno::NXIO) if inside => range.end - range.start,
        Err(_) => 0,
    }
}

/// Whether a run may be a hole.
fn is_hole(unit: &[u8]) -> bool {
    unit.len() >= SMALLEST_HOLE && all_zero(unit)
}

/// Put what is not a hole, in as few calls as can be; the end of the last.
fn put_runs(piece: &[u8], offset: u64, to: &mut dyn Pieces) -> Outcome<Option<u64>> {
    let (mut start, mut at, mut end) = (0, 0, None);
    let mut put = |range: Range<usize>| -> Outcome<()> {
        if range.is_empty() {
            return Ok(());
        }
        let run = piece.get(range.clone()).unwrap_or_default();
        to.put(run, offset + to_u64(range.start))?;
        end = Some(offset + to_u64(range.end));
        Ok(())
    };
    for unit in piece.chunks(HOLE) {
        if is_hole(unit) {
            put(start..at)?;
            start = at + unit.len();
        }
        at += unit.len();
    }
    put(start..at)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::io::{Memory, Presence};

    struct Kept(Vec<(u64, usize)>);
    impl Pieces for Kept {
        fn put(&mut self, bytes: &[u8], offset: u64) -> Outcome<()> {
            self.0.push((offset, bytes.len()));
            Ok(())
        }
        fn passed(&mut self, _: u64) -> Outcome<()> {
            Ok(())
        }
    }

    #[test]
    fn zeros_are_not_put_and_the_end_is_told() {
        let mut bytes = vec![1; 400_000];
        bytes[65_536..196_608].fill(0);
        bytes[327_680..].fill(0);
        let mut kept = Kept(Vec::new());
        let source = Memory::new(bytes);
        let end = Reader::default().copy(&source, &mut kept, None).ok().unwrap();
        assert_eq!(kept.0, [(0, 65_536), (196_608, 65_536), (262_144, 65_536)]);
        assert_eq!(end, 327_680);
    }

    /// A terabyte of which a few bytes are stored; what is read of it is counted.
    struct Sparse {
        stored: Vec<Range<u64>>,
        read: std::sync::atomic::AtomicU64,
        skipped: std::sync::atomic::AtomicU64,
    }

    impl ReadAt for Sparse {
        fn len(&self) -> u64 {
            1 << 40
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            self.read.fetch_add(to_u64(buf.len()), std::sync::atomic::Ordering::Relaxed);
            let end = offset + to_u64(buf.len());
            buf.fill(0);
            for run in &self.stored {
                for at in run.start.max(offset)..run.end.min(end) {
                    buf[to_usize(at - offset)] = 7;
                }
            }
            Ok(())
        }
        fn presence(&self, range: Range<u64>, visit: crate::io::PresenceVisitor<'_>) -> Result<()> {
            let mut at = range.start;
            for run in &self.stored {
                let (from, to) = (run.start.max(at), run.end.min(range.end));
                if from < to {
                    if at < from {
                        visit(at..from, Presence::Hole);
                    }
                    visit(from..to, Presence::Stored);
                    at = to;
                }
            }
            if at < range.end {
                visit(at..range.end, Presence::Missing);
            }
            Ok(())
        }
        fn skip(&self, range: Range<u64>) -> Result<()> {
            let n = range.end - range.start;
            self.skipped.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn what_is_not_stored_is_neither_read_nor_forgotten() {
        use std::sync::atomic::Ordering::Relaxed;
        let stored = vec![10..20, (1 << 30) + 5..(1 << 30) + 6, (1 << 40) - 9..(1 << 40) - 8];
        let sparse = || Sparse {
            stored: stored.clone(),
            read: Default::default(),
            skipped: Default::default(),
        };
        let source = sparse();
        let (mut kept, mut sum) = (Kept(Vec::new()), Cksum::default());
        let end = Reader::default().copy(&source, &mut kept, Some(&mut sum)).ok().unwrap();
        let starts: Vec<u64> = kept.0.iter().map(|(at, _)| *at).collect();
        assert_eq!(starts, [0, 1 << 30, (1 << 40) - (1 << 16)]);
        assert_eq!(end, 1 << 40);
        let read = source.read.load(Relaxed);
        assert!(read < 200 << 20, "{read} bytes were read");
        assert_eq!(read + source.skipped.load(Relaxed), 1 << 40, "each byte once");
        // The checksum is that of all bytes.
        let mut all = Cksum::default();
        let mut at = 0;
        for run in &stored {
            all.zeros(run.start - at);
            all.update(&vec![7; to_usize(run.end - run.start)]);
            at = run.end;
        }
        all.zeros((1 << 40) - at);
        assert_eq!(sum.finish(), all.finish());
        // Salvaged and read back it costs as little.
        let source = sparse();
        let mut kept = Kept(Vec::new());
        let (end, missing) = Reader::default().salvage(&source, &mut kept).ok().unwrap();
        assert_eq!((end, missing.len(), kept.0.len()), (1 << 40, 0, 3));
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        for run in &stored {
            file.write_all_at(&vec![7; to_usize(run.end - run.start)], run.start).unwrap();
        }
        let source = sparse();
        let mut reader = Reader::default();
        assert!(reader.same(&source, &file, &mut |_| Ok(()), None).ok().unwrap());
        assert!(source.read.load(Relaxed) < 200 << 20);
        file.write_all_at(b"x", 700 << 30).unwrap();
        assert!(!reader.same(&source, &file, &mut |_| Ok(()), None).ok().unwrap());
    }

    /// Zeros of which nothing is stored, and in their midst what could not be read.
    struct Rescued(Range<u64>);

    impl ReadAt for Rescued {
        fn len(&self) -> u64 {
            4 << 20
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
            let bad = offset < self.0.end && self.0.start < offset + to_u64(buf.len());
            if bad {
                return Err(Error::corrupt("x", "unreadable"));
            }
            buf.fill(0);
            Ok(())
        }
        fn presence(&self, range: Range<u64>, visit: crate::io::PresenceVisitor<'_>) -> Result<()> {
            for (of, how) in [
                (0..self.0.start, Presence::Hole),
                (self.0.clone(), Presence::Unreadable),
                (self.0.end..self.len(), Presence::Hole),
            ] {
                let part = of.start.max(range.start)..of.end.min(range.end);
                if part.start < part.end {
                    visit(part, how);
                }
            }
            Ok(())
        }
    }

    #[test]
    fn what_is_unreadable_amid_a_hole_is_no_hole() {
        let bad = 1u64 << 20..(1 << 20) + 8192;
        let source = Rescued(bad.clone());
        let mut kept = Kept(Vec::new());
        assert!(Reader::default().copy(&source, &mut kept, None).is_err());
        let (_, missing) = Reader::default().salvage(&source, &mut kept).ok().unwrap();
        assert_eq!(missing, [bad]);
        let zeros = tempfile::tempfile().unwrap();
        zeros.set_len(4 << 20).unwrap();
        assert!(Reader::default().same(&source, &zeros, &mut |_| Ok(()), None).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_kept() {
        struct Torn(Memory);
        impl ReadAt for Torn {
            fn len(&self) -> u64 {
                self.0.len()
            }
            fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
                let bad = 270_000..280_000;
                if offset < bad.end && bad.start < offset + to_u64(buf.len()) {
                    return Err(Error::corrupt("x", "y"));
                }
                self.0.read_at(buf, offset)
            }
        }
        let torn = Torn(Memory::new(vec![3; 300_000]));
        let mut kept = Kept(Vec::new());
        let (end, missing) = Reader::default().salvage(&torn, &mut kept).ok().unwrap();
        assert_eq!(end, 300_000);
        assert_eq!((missing.len(), &missing[0]), (1, &(266_240..282_624)));
    }
}
