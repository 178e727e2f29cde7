//! What the contents of files cover, and leaves that lie in there.

use super::find::{self, Kind, Leaf};
use crate::hfsplus::format::{CatalogFile, FIRST_USER_CNID, VolumeHeader, decode, record_type};
use crate::hfsplus::node::split;
use crate::io::bytes::be16;
use crate::io::{Budget, ReadAt};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes that a run takes in memory, about.
const RUN: usize = 64;

/// Bytes that are covered, as runs that do not touch.
#[derive(Default)]
struct Covered(BTreeMap<u64, u64>);

impl Covered {
    /// Whether a byte is in it.
    fn holds(&self, at: u64) -> bool {
        self.0.range(..=at).next_back().is_some_and(|(_, end)| at < *end)
    }

    /// Add a range, unless there are too many.
    fn add(&mut self, range: Range<u64>, budget: &mut Budget) {
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

/// Leaves that lie in the contents of files are of other volumes: of disk images among the
/// files, or copies in the journal. The files are those of the most leaves that lie
/// together.
pub fn without_those_in_files(
    source: &dyn ReadAt,
    leaves: Vec<Leaf>,
    h: &VolumeHeader,
    budget: &mut Budget,
) -> Vec<Leaf> {
    const NEAR: u64 = 1 << 20;
    let at = |l: &Leaf| match l.bytes {
        find::Bytes::At(at) => at,
        find::Bytes::Made(_) => 0,
    };
    let mut leaves = leaves;
    leaves.sort_by_key(at);
    let mut groups: Vec<Vec<Leaf>> = Vec::new();
    for leaf in leaves {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|l| at(&leaf) - at(l) < NEAR) => {
                group.push(leaf);
            }
            _ => groups.push(vec![leaf]),
        }
    }
    groups.sort_by_key(|g| std::cmp::Reverse(g.len()));
    let mut kept: Vec<Leaf> = Vec::new();
    let mut files = Covered::default();
    for mut group in groups {
        group.retain(|l| !files.holds(at(l)));
        for leaf in &group {
            file_extents(source, leaf, h).into_iter().for_each(|r| files.add(r, budget));
        }
        group.retain(|l| !files.holds(at(l)));
        kept.extend(group);
    }
    kept
}

/// Bytes of the volume that the files in a leaf take.
fn file_extents(source: &dyn ReadAt, leaf: &Leaf, h: &VolumeHeader) -> Vec<Range<u64>> {
    let Ok(node) = find::read(source, leaf) else { return Vec::new() };
    let block = u64::from(h.block_size);
    let mut found = Vec::new();
    for record in find::good_records(Kind::Catalog, &node) {
        let Some(parts) = split(record) else { continue };
        if be16(parts.data, 0) != Some(record_type::FILE) {
            continue;
        }
        let Some(file) = decode::<CatalogFile>(parts.data) else { continue };
        if file.common.id < FIRST_USER_CNID {
            continue;
        }
        for fork in [&file.data_fork, &file.resource_fork] {
            let used = fork.extents.iter().take_while(|e| e.count > 0);
            found.extend(used.map(|e| {
                let start = u64::from(e.start) * block;
                start..start + u64::from(e.count) * block
            }));
        }
    }
    found
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
