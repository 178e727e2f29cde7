//! A volume with newer bytes laid over it: what the journal holds, read in its place.

use crate::error::{Locus, Result};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{PresenceVisitor, ReadAt, Source, check_range};
use std::collections::BTreeMap;
use std::ops::Range;

/// Where newer bytes lie: volume offset → (length, volume offset in the journal).
pub(super) type Segments = BTreeMap<u64, (u64, u64)>;

/// Lay a segment over the map; parts of older ones that stick out stay.
pub(super) fn insert(map: &mut Segments, start: u64, len: u64, from: u64) {
    let end = start + len;
    let before = map.range(..start).next_back().map(|(s, v)| (*s, *v));
    if let Some((s, (n, f))) = before
        && s + n > start
    {
        map.insert(s, (start - s, f));
        if s + n > end {
            map.insert(end, (s + n - end, f + (end - s)));
        }
    }
    let covered: Vec<u64> = map.range(start..end).map(|(s, _)| *s).collect();
    for s in covered {
        if let Some((n, f)) = map.remove(&s)
            && s + n > end
        {
            map.insert(end, (s + n - end, f + (end - s)));
        }
    }
    map.insert(start, (len, from));
}

/// A volume with newer bytes laid over it.
pub(super) struct Overlay {
    pub volume: Source,
    pub segments: Segments,
}

impl Overlay {
    /// Split a range into runs, each with the place its bytes really lie.
    fn runs(&self, range: Range<u64>) -> Vec<(Range<u64>, u64)> {
        let mut runs = Vec::new();
        let mut at = range.start;
        let first = self.segments.range(..=range.start).next_back();
        let from = first.map_or(range.start, |(s, _)| *s);
        for (start, (len, source)) in self.segments.range(from..range.end) {
            let (s, e) = ((*start).max(at), (start + len).min(range.end));
            if e <= at {
                continue;
            }
            if s > at {
                runs.push((at..s, at));
            }
            runs.push((s..e, source + (s - start)));
            at = e;
        }
        if at < range.end {
            runs.push((at..range.end, at));
        }
        runs
    }
}

impl ReadAt for Overlay {
    fn len(&self) -> u64 {
        self.volume.len()
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len(), offset, buf.len(), "volume")?;
        for (part, from) in self.runs(offset..offset + to_u64(buf.len())) {
            let (now, rest) = buf.split_at_mut(to_usize(part.end - part.start).min(buf.len()));
            self.volume.read_at(now, from)?;
            buf = rest;
        }
        Ok(())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        for (part, from) in self.runs(range) {
            let len = part.end - part.start;
            self.volume.presence(from..from + len, &mut |r, p| {
                visit(part.start + r.start - from..part.start + r.end - from, p);
            })?;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.volume.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Memory, read_vec};

    #[test]
    fn later_segments_win_and_leave_the_edges() {
        let mut m = Segments::new();
        insert(&mut m, 0, 10, 100);
        insert(&mut m, 4, 2, 200);
        assert_eq!(m, [(0, (4, 100)), (4, (2, 200)), (6, (4, 106))].into());
        insert(&mut m, 2, 20, 300);
        assert_eq!(m, [(0, (2, 100)), (2, (20, 300))].into());
    }

    #[test]
    fn an_overlay_reads_the_newer_bytes() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut segments = Segments::new();
        insert(&mut segments, 10, 5, 50);
        let o = Overlay { volume: std::sync::Arc::new(Memory::new(bytes)), segments };
        assert_eq!(read_vec(&o, 8, 10).unwrap(), [8, 9, 50, 51, 52, 53, 54, 15, 16, 17]);
        assert_eq!(read_vec(&o, 12, 2).unwrap(), [52, 53]);
        assert_eq!(read_vec(&o, 20, 2).unwrap(), [20, 21]);
    }
}
