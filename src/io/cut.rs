//! A volume of which the end is missing.

use super::{Presence, PresenceVisitor, ReadAt, Source, check_range};
use crate::error::{Error, Locus, Result};
use std::ops::Range;

/// A source that should be longer than it is: what lies behind its end is an error.
pub struct Cut {
    inner: Source,
    len: u64,
}

impl Cut {
    /// `inner`, of which only the beginning of `len` bytes is there.
    pub fn new(inner: Source, len: u64) -> Self {
        let len = len.max(inner.len());
        Self { inner, len }
    }
}

impl ReadAt for Cut {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len, offset, buf.len(), "volume")?;
        let end = offset.saturating_add(super::bytes::to_u64(buf.len()));
        if end <= self.inner.len() {
            return self.inner.read_at(buf, offset);
        }
        let what = format!(
            "cannot read {} bytes at {offset} of a volume that is cut off after {}",
            buf.len(),
            self.inner.len()
        );
        Err(Error::io(what, std::io::Error::other("the copy is shorter than the volume")))
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        let border = self.inner.len().clamp(range.start, range.end.max(range.start));
        if range.start < border {
            self.inner.presence(range.start..border, visit)?;
        }
        if border < range.end {
            visit(border..range.end, Presence::Missing);
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        let inside = offset.min(self.inner.len().saturating_sub(1));
        let mut place = self.inner.locate(inside)?;
        if inside < offset {
            place.offset = place.offset.saturating_add(offset - inside);
            place.band = None;
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Memory;
    use std::sync::Arc;

    #[test]
    fn what_is_there_is_read_and_the_rest_is_an_error() {
        let cut = Cut::new(Arc::new(Memory::new(vec![7; 100])), 300);
        let mut buf = [0; 50];
        cut.read_at(&mut buf, 50).unwrap();
        assert_eq!(buf, [7; 50]);
        assert!(cut.read_at(&mut buf, 51).unwrap_err().to_string().contains("cut off after 100"));
        assert!(cut.read_at(&mut buf, 280).is_err());
        let mut seen = Vec::new();
        cut.presence(90..200, &mut |r, p| seen.push((r, p))).unwrap();
        assert_eq!(seen, [(90..100, Presence::Stored), (100..200, Presence::Missing)]);
    }
}
