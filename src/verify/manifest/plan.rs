//! Which bands a run reads.

use super::file::{Entry, Stamp};
use crate::verify::Subset;
use std::collections::BTreeMap;

/// Which bands a run reads, and in what order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be read in any case, ascending.
    pub due: Vec<u64>,
    /// To be read while there is time, those unread for longest first.
    pub spare: Vec<u64>,
    /// Whether a band is new or was written, by its size and times.
    pub written: bool,
}

impl Plan {
    /// Choose from the bands that are there: those that are new, that changed, that
    /// were rotten or were hashed too soon after a change, and of the rest those unread for longest, as much as `read` says.
    ///
    /// A share is one of all bands, so that as many runs as there are parts read each:
    /// a band that is left out by a run has as many others before it in the next as
    /// there are bands, less a share; what a run read goes to the end.
    pub fn new(present: &BTreeMap<u64, Stamp>, kept: &BTreeMap<u64, Entry>, read: Subset) -> Self {
        let mut plan = Self::default();
        let mut rest = Vec::new();
        for (&index, &stamp) in present {
            match kept.get(&index) {
                // One that was hashed within a tick of its change, or by a clock that
                // lags behind the bundle's, may have changed since under the same times.
                // One that is back is as good as new.
                Some(old) if old.is(Entry::GIVEN) => {
                    plan.written = true;
                    plan.due.push(index);
                }
                Some(old)
                    if old.stamp == stamp && !old.is(Entry::ROTTEN) && !old.is(Entry::YOUNG) =>
                {
                    rest.push((old.run, index, stamp.size));
                }
                Some(old) => {
                    plan.written |= (old.stamp.size, old.stamp.mtime) != (stamp.size, stamp.mtime);
                    plan.due.push(index);
                }
                None => {
                    plan.written = true;
                    plan.due.push(index);
                }
            }
        }
        rest.sort_unstable();
        let count = match read.share(crate::io::bytes::to_u64(present.len())) {
            Some(share) => crate::io::bytes::to_usize(share),
            None => bounded(&rest, read),
        };
        let indices = |part: &[(u32, u64, u64)]| part.iter().map(|r| r.1).collect::<Vec<_>>();
        let (chosen, left) = rest.split_at(count.min(rest.len()));
        plan.due.extend(indices(chosen));
        plan.due.sort_unstable();
        if matches!(read, Subset::Time(_)) {
            plan.spare = indices(left);
        }
        plan
    }
}

/// How many of `rest` make so many bytes: the last may exceed them.
fn bounded(rest: &[(u32, u64, u64)], read: Subset) -> usize {
    let Subset::Bytes(most) = read else { return 0 };
    let mut sum = 0u64;
    rest.iter()
        .take_while(|(_, _, size)| {
            let more = sum < most;
            sum = sum.saturating_add(*size);
            more
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const STAMP: Stamp = Stamp { size: 10, mtime: 1, ctime: 1 };
    const SEVENTH: Subset = Subset::Part { n: 1, of: 7 };

    fn entry(index: u64, run: u32) -> (u64, Entry) {
        (index, Entry { index, stamp: STAMP, read: 0, run, flags: 0, hash: [0; 32] })
    }

    fn bands(count: u64) -> (BTreeMap<u64, Stamp>, BTreeMap<u64, Entry>) {
        let present = (0..count).map(|i| (i, STAMP)).collect();
        (present, (0..count).map(|i| entry(i, 1)).collect())
    }

    #[test]
    fn seven_runs_of_a_seventh_read_every_band_whatever_else_happens() {
        for count in [1, 6, 7, 8, 100, 1023] {
            let (mut present, mut kept) = bands(count);
            let mut read = std::collections::BTreeSet::new();
            for run in 2..9 {
                // A Mac writes some of them on the way, and one is added.
                present.entry(u64::from(run) * 37 % count).or_insert(STAMP).mtime += 1;
                if run == 5 {
                    present.insert(count, STAMP);
                }
                let plan = Plan::new(&present, &kept, SEVENTH);
                for index in plan.due {
                    read.insert(index);
                    kept.insert(index, Entry { stamp: present[&index], ..entry(index, run).1 });
                }
            }
            assert_eq!(read.len(), present.len(), "of {count} bands");
        }
    }

    #[test]
    fn what_changed_is_due_and_does_not_take_the_place_of_the_rest() {
        let (mut present, mut kept) = bands(70);
        present.insert(70, STAMP);
        present.get_mut(&3).unwrap().ctime = 9;
        kept.get_mut(&5).unwrap().flags = Entry::ROTTEN;
        kept.get_mut(&60).unwrap().run = 0;
        let plan = Plan::new(&present, &kept, SEVENTH);
        assert_eq!(plan.due, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 60, 70]);
        assert!(plan.written && plan.spare.is_empty());
        present.remove(&70);
        assert!(!Plan::new(&present, &kept, SEVENTH).written, "a change of ctime is no write");
    }

    #[test]
    fn bytes_and_time_bound_the_rest() {
        let (present, kept) = bands(10);
        let due = |read| Plan::new(&present, &kept, read).due.len();
        assert_eq!(due(Subset::Bytes(1)), 1);
        assert_eq!(due(Subset::Bytes(30)), 3);
        assert_eq!(due(Subset::Bytes(31)), 4);
        assert_eq!(due(Subset::Bytes(u64::MAX)), 10);
        assert_eq!(due(Subset::All), 10);
        assert_eq!(due(Subset::Percent(100)), 1);
        let timed = Plan::new(&present, &kept, Subset::Time(Duration::from_secs(1)));
        assert_eq!((timed.due.len(), timed.spare.len()), (0, 10));
    }
}
