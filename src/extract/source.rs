//! Contents on their way from the backup: in pieces, without their zeros, summed up.

use super::failure::{Failure, Outcome};
use crate::error::Error;
use crate::io::ReadAt;
use crate::io::bytes::{all_zero, to_u64, to_usize};
use crate::timemachine::checksum::Cksum;
use std::ops::Range;

/// Bytes copied at a time: what stays in a core's cache.
const PIECE: usize = 256 << 10;
/// Zeros of this length and place become a hole.
const HOLE: usize = 64 << 10;
/// Shorter files are written even if they are all zeros.
const SMALLEST_HOLE: usize = 4096;
/// What is given up where bytes cannot be read.
const SECTOR: u64 = 4096;

/// Reads contents piece by piece, with a buffer that is used again.
#[derive(Default)]
pub struct Reader {
    buf: Vec<u8>,
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
        while at < source.len() {
            let n = to_usize(source.len() - at).min(PIECE);
            let piece = self.piece(n);
            source.read_at(piece, at)?;
            if let Some(sum) = &mut sum {
                sum.update(piece);
            }
            end = put_runs(piece, at, to)?.unwrap_or(end);
            at += to_u64(n);
            to.passed(to_u64(n))?;
        }
        Ok(end)
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
        while at < source.len() {
            let step = if at < small_until { SECTOR } else { to_u64(PIECE) };
            let n = (source.len() - at).min(step);
            let piece = self.piece(to_usize(n));
            match source.read_at(piece, at) {
                Ok(()) => end = put_runs(piece, at, to)?.unwrap_or(end),
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
        }
        Ok((end, missing))
    }

    /// Whether two sources hold the same bytes.
    pub fn same(
        &mut self,
        source: &dyn ReadAt,
        other: &mut dyn FnMut(&mut [u8], u64) -> std::io::Result<()>,
        passed: &mut dyn FnMut(u64) -> Outcome<()>,
        mut sum: Option<&mut Cksum>,
    ) -> Outcome<bool> {
        let mut theirs = vec![0; PIECE.min(to_usize(source.len()))];
        let mut at = 0;
        while at < source.len() {
            let n = to_usize(source.len() - at).min(PIECE);
            let piece = self.piece(n);
            source.read_at(piece, at)?;
            if let Some(sum) = &mut sum {
                sum.update(piece);
            }
            let theirs = theirs.get_mut(..n).unwrap_or_default();
            match other(theirs, at) {
                Ok(()) if theirs == piece => {}
                Ok(()) => return Ok(false),
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(e) => {
                    return Err(Failure::Refused(Error::io("cannot read it back", e)));
                }
            }
            at += to_u64(n);
            passed(to_u64(n))?;
        }
        Ok(true)
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
    use crate::io::Memory;

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
