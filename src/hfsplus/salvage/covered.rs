//! A set of bytes that grows.

use crate::io::Budget;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes that a run takes in memory, about.
const RUN: usize = 64;

/// Bytes that are covered, as runs that do not touch.
#[derive(Default)]
pub struct Covered(BTreeMap<u64, u64>);

impl Covered {
    /// Whether a byte is in it.
    pub fn holds(&self, at: u64) -> bool {
        self.0.range(..=at).next_back().is_some_and(|(_, end)| at < *end)
    }

    /// Add a range, unless there are too many.
    pub fn add(&mut self, range: Range<u64>, budget: &mut Budget) {
        if range.start >= range.end {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // From the last run that begins before its end backwards, as long as they touch.
        while let Some((from, to)) = self.0.range(..=end).next_back().map(|(s, e)| (*s, *e)) {
            if to < start {
                break;
            }
            (start, end) = (start.min(from), end.max(to));
            self.0.remove(&from);
        }
        if budget.take(RUN) {
            self.0.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_and_found() {
        let (mut all, mut budget) = (Covered::default(), Budget::of(1 << 20));
        for (start, end) in [(10, 20), (30, 40), (50, 60), (20, 30), (5, 5), (55, 70), (0, 3)] {
            all.add(start..end, &mut budget);
        }
        assert_eq!(all.0, BTreeMap::from([(0, 3), (10, 40), (50, 70)]));
        for (at, inside) in [(2, true), (3, false), (10, true), (39, true), (40, false), (69, true)]
        {
            assert_eq!(all.holds(at), inside, "{at}");
        }
        let mut none = Budget::of(0);
        all.add(100..101, &mut none);
        assert!(none.is_spent() && !all.holds(100));
    }
}
