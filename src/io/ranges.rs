//! Sets of bytes as sorted ranges.

use std::ops::Range;

/// Sorted, disjoint, non-empty ranges of bytes; adjacent ones are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// From ranges in any order; overlapping ones are joined.
    pub fn new(mut ranges: Vec<Range<u64>>) -> Self {
        ranges.retain(|r| r.start < r.end);
        ranges.sort_unstable_by_key(|r| r.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for r in ranges {
            match joined.last_mut() {
                Some(last) if r.start <= last.end => last.end = last.end.max(r.end),
                _ => joined.push(r),
            }
        }
        Self(joined)
    }

    /// One range.
    pub fn one(range: Range<u64>) -> Self {
        Self::new(std::iter::once(range).collect())
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in all of them.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|r| r.end - r.start).sum()
    }

    /// The parts of `range` that are in the set, in order.
    pub fn meet(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.0.partition_point(|r| r.end <= range.start);
        self.0
            .get(first..)
            .unwrap_or_default()
            .iter()
            .take_while({
                let end = range.end;
                move |r| r.start < end
            })
            .map(move |r| r.start.max(range.start)..r.end.min(range.end))
            .filter(|r| r.start < r.end)
    }

    /// From the first to the last byte of `range` that is in the set.
    pub fn span(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let first = self.0.get(self.0.partition_point(|r| r.end <= range.start))?;
        let last = self.0.get(self.0.partition_point(|r| r.start < range.end).checked_sub(1)?)?;
        let span = first.start.max(range.start)..last.end.min(range.end);
        (span.start < span.end).then_some(span)
    }

    /// What is in this set and not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for r in &self.0 {
            let mut at = r.start;
            for taken in other.meet(r.clone()) {
                left.push(at..taken.start);
                at = taken.end;
            }
            left.push(at..r.end);
        }
        Self::new(left)
    }
}

/// Ranges with what lies below each, so that a long owner over a million of them is
/// counted in a few steps.
#[derive(Debug)]
pub struct RangeSums(Vec<(Range<u64>, u64)>);

impl RangeSums {
    /// Of ranges in any order.
    pub fn new(ranges: &[Range<u64>]) -> Self {
        let mut below = 0;
        let add = |r: &Range<u64>| {
            let before = below;
            below += r.end - r.start;
            (r.clone(), before)
        };
        Self(Ranges::new(ranges.to_vec()).iter().map(add).collect())
    }

    /// The first byte.
    pub fn first(&self) -> Option<u64> {
        self.0.first().map(|(r, _)| r.start)
    }

    /// Past the last byte.
    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|(r, _)| r.end)
    }

    /// Bytes of the ranges below an offset.
    pub fn below(&self, offset: u64) -> u64 {
        let after = self.0.partition_point(|(r, _)| r.start < offset);
        let at = after.checked_sub(1).and_then(|i| self.0.get(i));
        at.map_or(0, |(r, before)| before + offset.min(r.end) - r.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn meet_and_without() {
        let set = Ranges::new(vec![20..30, 0..10, 8..12, 30..31, 50..50]);
        assert_eq!(set, Ranges(vec![0..12, 20..31]));
        assert_eq!(set.meet(5..25).collect::<Vec<_>>(), [5..12, 20..25]);
        assert_eq!(set.meet(12..20).count(), 0);
        assert_eq!(set.meet(40..u64::MAX).count(), 0);
        let other = Ranges::new(vec![2..4, 11..22, 31..90]);
        assert_eq!(set.without(&other), Ranges(vec![0..2, 4..11, 22..31]));
        assert_eq!(set.without(&set), Ranges::default());
        assert_eq!(set.bytes(), 23);
        assert_eq!(set.span(&(5..25)), Some(5..25));
        assert_eq!(set.span(&(13..90)), Some(20..31));
        assert_eq!((set.span(&(12..20)), set.span(&(40..50))), (None, None));
    }
}
