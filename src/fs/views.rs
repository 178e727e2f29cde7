//! Sets of views, as runs: an object of a backup is usually in a hundred views that
//! follow one another.

use super::ViewId;
use std::fmt;
use std::ops::RangeInclusive;

/// A set of views of one volume. Kept as sorted runs that neither touch nor overlap, so
/// that it costs what it has in gaps, not what it has in views.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Views(Vec<(u32, u32)>);

impl Views {
    /// No view.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// One view.
    pub fn one(view: ViewId) -> Self {
        Self(vec![(view.0, view.0)])
    }

    /// The live view alone.
    pub fn live() -> Self {
        Self::one(ViewId::LIVE)
    }

    /// All views from the first to the last, both included; none where they are the
    /// wrong way round.
    pub fn run(views: RangeInclusive<ViewId>) -> Self {
        let (first, last) = (views.start().0, views.end().0);
        if first <= last { Self(vec![(first, last)]) } else { Self::none() }
    }

    /// From runs in any order that may touch or overlap.
    fn of_runs(mut runs: Vec<(u32, u32)>) -> Self {
        runs.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(runs.len());
        for (first, last) in runs {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    /// Whether there is no view in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many views are in it.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(*last) - u64::from(*first) + 1).sum()
    }

    /// Whether a view is in it.
    pub fn contains(&self, view: ViewId) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= view.0);
        after.checked_sub(1).and_then(|i| self.0.get(i)).is_some_and(|(_, last)| view.0 <= *last)
    }

    /// The runs in order, each with its first and last view.
    pub fn runs(&self) -> impl Iterator<Item = RangeInclusive<ViewId>> + '_ {
        self.0.iter().map(|(first, last)| ViewId(*first)..=ViewId(*last))
    }

    /// The views in the order of their numbers. Costs what there is in views: for a
    /// hundred of them, not for every object on a volume.
    pub fn iter(&self) -> impl Iterator<Item = ViewId> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last).map(ViewId)
    }

    /// Add a view.
    pub fn insert(&mut self, view: ViewId) {
        match self.0.last_mut() {
            // In order is how they come.
            Some(last) if view.0 == last.1.saturating_add(1) => last.1 = view.0,
            Some(last) if view.0 <= last.1 => *self = self.union(&Self::one(view)),
            _ => self.0.push((view.0, view.0)),
        }
    }

    /// The views in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::of_runs(self.0.iter().chain(&other.0).copied().collect())
    }

    /// The views in both.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let (mut met, mut a, mut b) = (Vec::new(), self.0.iter(), other.0.iter());
        let (mut left, mut right) = (a.next(), b.next());
        while let (Some(l), Some(r)) = (left, right) {
            let (first, last) = (l.0.max(r.0), l.1.min(r.1));
            if first <= last {
                met.push((first, last));
            }
            if l.1 < r.1 {
                left = a.next();
            } else {
                right = b.next();
            }
        }
        Self(met)
    }

    /// The views in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut taken = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut at = Some(first);
            while let (Some(start), Some(&&(from, to))) = (at, taken.peek()) {
                if from > last {
                    break;
                }
                if to >= start {
                    if from > start {
                        left.push((start, from.saturating_sub(1)));
                    }
                    at = to.checked_add(1).filter(|next| *next <= last);
                    if to > last {
                        break;
                    }
                }
                taken.next();
            }
            left.extend(at.map(|start| (start, last)));
        }
        Self(left)
    }
}

impl FromIterator<ViewId> for Views {
    fn from_iter<I: IntoIterator<Item = ViewId>>(views: I) -> Self {
        Self::of_runs(views.into_iter().map(|v| (v.0, v.0)).collect())
    }
}

impl fmt::Display for Views {
    /// `0, 3-40, 42`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn views(of: &BTreeSet<u32>) -> Views {
        of.iter().copied().map(ViewId).collect()
    }

    /// Runs that neither touch nor overlap, in order.
    fn is_normal(v: &Views) -> bool {
        v.0.iter().all(|(first, last)| first <= last) && v.0.windows(2).all(|w| w[0].1 + 1 < w[1].0)
    }

    #[test]
    fn runs_say_what_a_set_of_numbers_says() {
        // Every pair of sets of the numbers 0 to 5.
        let sets: Vec<BTreeSet<u32>> =
            (0..64u32).map(|bits| (0..6).filter(|n| bits >> n & 1 == 1).collect()).collect();
        for a in &sets {
            let va = views(a);
            assert!(is_normal(&va), "{va}");
            assert_eq!(va.iter().map(|v| v.0).collect::<BTreeSet<_>>(), *a);
            assert_eq!((va.count(), va.is_empty()), (a.len() as u64, a.is_empty()));
            for n in 0..7 {
                assert_eq!(va.contains(ViewId(n)), a.contains(&n), "{n} in {va}");
                let mut more = va.clone();
                more.insert(ViewId(n));
                let wanted: BTreeSet<u32> = a.iter().copied().chain([n]).collect();
                assert!(more == views(&wanted) && is_normal(&more), "{n} into {va} is {more}");
            }
            for b in &sets {
                let vb = views(b);
                let is = |found: Views, wanted: BTreeSet<u32>| {
                    assert!(is_normal(&found), "{va} and {vb}: {found:?}");
                    assert_eq!(found, views(&wanted), "{va} and {vb}");
                };
                is(va.union(&vb), a.union(b).copied().collect());
                is(va.meet(&vb), a.intersection(b).copied().collect());
                is(va.without(&vb), a.difference(b).copied().collect());
            }
        }
    }

    #[test]
    fn the_largest_number_is_a_view_like_the_others() {
        let last = ViewId(u32::MAX);
        let all = Views::run(ViewId::LIVE..=last);
        assert_eq!(all.count(), 1 << 32);
        assert_eq!(all.without(&Views::one(last)), Views::run(ViewId(0)..=ViewId(u32::MAX - 1)));
        assert_eq!(Views::one(last).union(&all), all);
        let mut end = Views::one(last);
        end.insert(last);
        assert_eq!(end, Views::one(last));
        assert!(Views::run(last..=ViewId::LIVE).is_empty());
        assert_eq!(Views::run(ViewId(3)..=ViewId(40)).union(&Views::live()).to_string(), "0, 3-40");
    }
}
