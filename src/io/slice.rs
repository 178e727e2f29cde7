//! A window onto another source: a partition, an embedded volume.

use super::{PresenceVisitor, ReadAt, Source, bytes, check_range};
use crate::error::{Locus, Result};
use std::ops::Range;

/// `len` bytes of a source, starting at `start`.
#[derive(Clone)]
pub struct Slice {
    inner: Source,
    start: u64,
    len: u64,
}

impl Slice {
    /// The part of `inner` from `start`, `len` bytes long; cut where `inner` ends.
    pub fn new(inner: Source, start: u64, len: u64) -> Self {
        let start = start.min(inner.len());
        let len = len.min(inner.len() - start);
        Self { inner, start, len }
    }

    /// Byte offset in the source below.
    pub fn start(&self) -> u64 {
        self.start
    }
}

impl ReadAt for Slice {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len, offset, buf.len(), "partition")?;
        self.inner.read_at(buf, self.start + offset)
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        check_range(self.len, range.start, bytes::to_usize(range.end - range.start), "partition")?;
        let start = self.start;
        self.inner.presence(range.start + start..range.end + start, &mut |r, p| {
            visit(r.start - start..r.end - start, p)
        })
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.inner.locate(self.start.checked_add(offset)?)
    }
}
