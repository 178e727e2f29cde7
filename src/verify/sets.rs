//! In which snapshots things appear, told once for all that appear alike.

use crate::timemachine::{Set, Sightings};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Runs of snapshots in all sets together. What a hostile volume has more of is not told.
const MAX_RUNS: usize = 1_000_000;

/// Sets of snapshots. A set is a list of runs: the first and the last snapshot of each, by
/// their number in the list of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSets {
    /// The snapshots' names, as addresses begin, oldest first (of each volume).
    pub names: Vec<String>,
    /// The sets.
    pub sets: Vec<Vec<[u32; 2]>>,
}

impl SnapshotSets {
    /// Whether nothing refers to them.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

/// Takes in the sets of one volume.
pub(super) struct SetsOf<'a> {
    all: &'a mut SnapshotSets,
    /// Number of the volume's first snapshot among all.
    base: u32,
    /// By their place in memory; held, so that no other set comes to lie there.
    known: HashMap<usize, (Set, Option<u32>)>,
    runs: usize,
}

impl<'a> SetsOf<'a> {
    /// Of the volume whose snapshots `at` has.
    pub fn new(all: &'a mut SnapshotSets, at: &Sightings<'_>) -> Self {
        let base = u32::try_from(all.names.len()).unwrap_or(u32::MAX);
        let names = (0..at.snapshot_count()).map(|i| at.snapshot_name(i).to_owned());
        all.names.extend(names);
        let runs = all.sets.iter().map(Vec::len).sum();
        Self { all, base, known: HashMap::new(), runs }
    }

    /// The number of a set. Sets that are equal are shared, and kept by who made them.
    pub fn number(&mut self, set: &Set) -> Option<u32> {
        let place = set.as_ptr().addr();
        if let Some(known) = self.known.get(&place) {
            return known.1;
        }
        let runs = runs(set, self.base);
        let fits = self.runs + runs.len() <= MAX_RUNS;
        let number = u32::try_from(self.all.sets.len()).ok().filter(|_| fits);
        if number.is_some() {
            self.runs += runs.len();
            self.all.sets.push(runs);
        }
        self.known.insert(place, (set.clone(), number));
        number
    }
}

/// A set as runs, each number raised by `base`.
fn runs(set: &Set, base: u32) -> Vec<[u32; 2]> {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for index in set.iter().filter_map(|i| u32::try_from(*i).ok()?.checked_add(base)) {
        match runs.last_mut() {
            Some([_, last]) if last.checked_add(1) == Some(index) => *last = index,
            _ => runs.push([index, index]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_make_one_run() {
        let set: Set = vec![0, 1, 2, 5, 7, 8].into();
        assert_eq!(runs(&set, 10), [[10, 12], [15, 15], [17, 18]]);
        assert!(runs(&Vec::new().into(), 0).is_empty());
    }
}
