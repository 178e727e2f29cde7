//! Bytes at offsets: the one interface through which everything is read.
//!
//! [`ReadAt`] is positional and takes `&self`: no cursor, no lock in the hot
//! path, so that any number of threads can share one source. Each layer (bands,
//! decryption, partition, fork) implements it on top of the one below and
//! translates [`ReadAt::presence`] and [`ReadAt::locate`] for the one above.

mod anchor;
mod bad_map;
mod below;
mod budget;
pub mod bytes;
mod cut;
mod double;
mod gone;
mod limits;
mod meter;
mod ranges;
mod raw;
mod rescued;
mod slice;
mod steady;

pub use anchor::{Anchor, Links, still_below};
pub use bad_map::BadMap;
pub use below::open_below;
pub use budget::Budget;
pub use cut::Cut;
#[doc(hidden)]
pub use double::Faulty;
pub use double::Memory;
pub use gone::{Gone, absent, cut_off, gone};
pub use limits::{descriptors, is_out_of_descriptors};
pub use meter::{Access, FailedRead, Given, Meter, threads};
pub use ranges::{RangeSums, Ranges};
pub use raw::{RawFile, open_untrusted, open_untrusted_dir, visit_holes};
pub use rescued::Rescued;
pub use slice::Slice;
pub use steady::{Change, FileState, SourceWatch};

use crate::error::{Locus, Result};
use std::ops::Range;
use std::sync::Arc;

/// How a range of bytes is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Stored.
    Stored,
    /// The whole band file is absent: reads as zeros.
    Missing,
    /// Past the end of a band file that is shorter than a band: reads as zeros.
    Short,
    /// A hole in one of the server's files: reads as zeros.
    Hole,
    /// A hole in a file of the volume, which its own records say was never written: reads
    /// as zeros and is meant to. Only streams of a file system know of it.
    Unwritten,
    /// The disk was failing, and what was saved of it lacks these bytes: reading them is an
    /// error, never zeros ([`Rescued`]).
    Unreadable,
}

impl Presence {
    /// Whether no one stores these bytes, and no record says that they are zeros.
    pub fn is_absent(self) -> bool {
        !matches!(self, Self::Stored | Self::Unwritten)
    }

    /// Whether reading these bytes gives zeros without anything being read for it.
    pub fn is_zeros(self) -> bool {
        !matches!(self, Self::Stored | Self::Unreadable)
    }
}

/// Called with each run of equal presence, in order and without gaps.
pub type PresenceVisitor<'a> = &'a mut dyn FnMut(Range<u64>, Presence);

/// A read-only run of bytes of known length.
pub trait ReadAt: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Fill `buf` from `offset`. A range that ends past [`ReadAt::len`], or that
    /// cannot be read, is an error; it is never returned as zeros.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// Tell how each part of `range` is stored.
    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        visit(range, Presence::Stored);
        Ok(())
    }

    /// Take note that `range` is taken for zeros without being read, since nothing is stored
    /// there; an error where reading it would be one.
    fn skip(&self, _range: Range<u64>) -> Result<()> {
        Ok(())
    }

    /// Where on the disk, and in which band file, the byte at `offset` lies.
    fn locate(&self, offset: u64) -> Option<Locus> {
        Some(Locus { offset, band: None })
    }

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A shared source of bytes.
pub type Source = Arc<dyn ReadAt>;

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        (**self).read_at(buf, offset)
    }
    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        (**self).presence(range, visit)
    }
    fn skip(&self, range: Range<u64>) -> Result<()> {
        (**self).skip(range)
    }
    fn locate(&self, offset: u64) -> Option<Locus> {
        (**self).locate(offset)
    }
}

/// Read `len` bytes at `offset` into a new buffer. The length is checked
/// against the source before anything is allocated.
pub fn read_vec(source: &dyn ReadAt, offset: u64, len: usize) -> Result<Vec<u8>> {
    check_range(source.len(), offset, len, "read")?;
    let mut buf = vec![0; len];
    source.read_at(&mut buf, offset)?;
    Ok(buf)
}

/// Read up to `len` bytes at `offset`, fewer where the source ends.
pub fn read_up_to(source: &dyn ReadAt, offset: u64, len: usize) -> Result<Vec<u8>> {
    match bytes::to_usize(source.len().saturating_sub(offset)) {
        0 => Ok(Vec::new()),
        left => read_vec(source, offset, len.min(left)),
    }
}

/// Fill `buf` from `offset` on, piece by piece: `map` tells what a byte belongs to
/// and how many bytes from it on do so, too; `read` fills one piece.
pub fn read_pieces<T>(
    mut buf: &mut [u8],
    offset: u64,
    map: impl Fn(u64) -> Result<(T, u64)>,
    mut read: impl FnMut(T, u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut at = offset;
    while !buf.is_empty() {
        let (what, left) = map(at)?;
        let n = bytes::to_usize(left).min(buf.len());
        if n == 0 {
            return Err(crate::Error::corrupt("read", format!("nothing lies at {at}")));
        }
        let (now, rest) = buf.split_at_mut(n);
        read(what, at, now)?;
        at += bytes::to_u64(n);
        buf = rest;
    }
    Ok(())
}

/// An error unless `offset..offset + wanted` lies within `len` bytes.
pub fn check_range(len: u64, offset: u64, wanted: usize, what: &str) -> Result<()> {
    match offset.checked_add(bytes::to_u64(wanted)) {
        Some(end) if end <= len => Ok(()),
        _ => Err(crate::Error::corrupt(
            what,
            format!("{wanted} bytes at {offset} lie past the end ({len} bytes)"),
        )),
    }
}

/// The parts of a source that are stored: the rest reads as zeros.
pub fn stored(source: &dyn ReadAt, range: Range<u64>) -> Vec<Range<u64>> {
    let mut parts: Vec<Range<u64>> = Vec::new();
    let told = source.presence(range.clone(), &mut |r, p| {
        if p == Presence::Stored {
            match parts.last_mut() {
                Some(last) if last.end == r.start => last.end = r.end,
                _ => parts.push(r),
            }
        }
    });
    // Where it cannot be asked, all of it is looked at.
    if told.is_err() { vec![range] } else { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_past_the_end_is_an_error_and_allocates_nothing() {
        let m = Memory::new(vec![1, 2, 3]);
        assert_eq!(read_vec(&m, 1, 2).unwrap(), [2, 3]);
        assert!(read_vec(&m, 1, 3).is_err());
        assert!(read_vec(&m, u64::MAX, usize::MAX).is_err());
        assert_eq!(read_up_to(&m, 2, 100).unwrap(), [3]);
        assert!(read_up_to(&m, 9, 100).unwrap().is_empty());
    }
}
