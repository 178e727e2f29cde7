//! Parts of structures that are not stored any more.

use super::bytes::{all_zero, to_u64};
use super::{Presence, ReadAt};
use std::ops::Range;

/// Zeros are looked for in pieces of this size at both ends of a structure.
const SECTOR: usize = 512;

/// A part that is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its first byte in the source.
    pub at: u64,
    /// Why, for people: `band 19 is missing`.
    pub why: String,
}

/// What is absent of a structure that was read from `start` on: one with something else than
/// zeros in its first and its last sector, as all nodes of trees have that are in use. A hole
/// between the two may be zeros that the server did not store.
pub fn gone(source: &dyn ReadAt, start: u64, bytes: &[u8]) -> Option<Gone> {
    let n = bytes.len().min(SECTOR);
    let head = bytes.get(..n).is_some_and(all_zero);
    let tail = bytes.get(bytes.len() - n..).is_some_and(all_zero);
    if !head && !tail {
        return None;
    }
    let end = start.saturating_add(to_u64(bytes.len()));
    find(source, start..end, |part, how| {
        let at_edge = head && part.start == start || tail && part.end == end;
        how != Presence::Hole || at_edge
    })
}

/// What is absent of a range whose bytes were certainly stored once, holes as well.
pub fn absent(source: &dyn ReadAt, range: Range<u64>) -> Option<Gone> {
    find(source, range, |_, _| true)
}

/// What a band that is missing or ends early lacks of a range. Of holes nothing is said.
pub fn cut_off(source: &dyn ReadAt, range: Range<u64>) -> Option<Gone> {
    find(source, range, |_, how| how != Presence::Hole)
}

fn find(
    source: &dyn ReadAt,
    range: Range<u64>,
    counts: impl Fn(&Range<u64>, Presence) -> bool,
) -> Option<Gone> {
    let mut first = None;
    let told = source.presence(range, &mut |part, how| {
        // Of what is unreadable nothing was parsed: the read has failed.
        let absent = how.is_absent() && how != Presence::Unreadable;
        if first.is_none() && absent && counts(&part, how) {
            first = Some((part.start, how));
        }
    });
    let (at, how) = told.ok().and(first)?;
    Some(Gone { at, why: why(source, at, how) })
}

fn why(source: &dyn ReadAt, at: u64, how: Presence) -> String {
    match (source.locate(at).and_then(|place| place.band), how) {
        (Some(band), Presence::Missing) => format!("band {} is missing", band.name),
        (Some(band), Presence::Short) => format!("band {} ends before it", band.name),
        (Some(band), _) => format!("band {} has a hole there", band.name),
        (None, Presence::Hole) => "the image has a hole there".into(),
        (None, _) => "the copy ends before it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    /// Of 4,096 bytes these are not stored.
    struct Torn(Range<u64>, Presence);

    impl ReadAt for Torn {
        fn len(&self) -> u64 {
            4096
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> Result<()> {
            Ok(())
        }
        fn presence(&self, range: Range<u64>, visit: crate::io::PresenceVisitor<'_>) -> Result<()> {
            let (start, end) = (self.0.start.max(range.start), self.0.end.min(range.end));
            if range.start < start {
                visit(range.start..start, Presence::Stored);
            }
            if start < end {
                visit(start..end, self.1);
            }
            if end < range.end {
                visit(end.max(range.start)..range.end, Presence::Stored);
            }
            Ok(())
        }
    }

    #[test]
    fn only_what_cannot_be_zeros_is_gone() {
        let bytes = |zeros: Range<usize>| {
            let mut bytes = vec![1; 4096];
            bytes[zeros].fill(0);
            bytes
        };
        let find =
            |range: Range<u64>, how, bytes: &[u8]| gone(&Torn(range, how), 0, bytes).map(|g| g.at);
        let tail = bytes(2048..4096);
        assert_eq!(find(2048..4096, Presence::Missing, &tail), Some(2048));
        assert_eq!(find(2048..4096, Presence::Hole, &tail), Some(2048));
        assert_eq!(find(1024..2048, Presence::Hole, &tail), None);
        let middle = bytes(1024..2048);
        assert_eq!(find(1024..2048, Presence::Hole, &middle), None);
        assert_eq!(find(0..0, Presence::Hole, &bytes(0..4096)), None, "zeros that are stored");
        assert_eq!(absent(&Torn(5..9, Presence::Hole), 0..4096).map(|g| g.at), Some(5));
        assert_eq!(cut_off(&Torn(5..9, Presence::Hole), 0..4096), None);
    }
}
