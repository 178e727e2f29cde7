//! Which keys the nodes of a tree hold, as far as their parents tell: so it can be
//! said what was in a node that is lost.

use crate::hfsplus::btree::BTree;
use crate::hfsplus::node::{kind, split};
use crate::hfsplus::spec::TreeSpec;
use crate::io::bytes::{be32, usize32};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// The keys that a node may hold.
struct KeyRange {
    number: u32,
    /// First key; `None`: from the smallest.
    low: Option<Box<[u8]>>,
    /// First key that is not in it; `None`: to the largest.
    high: Option<Box<[u8]>>,
}

/// The key ranges of some nodes of a tree.
#[derive(Default)]
pub(super) struct KeyRanges {
    /// By level, each in the order of keys: no two of a level overlap.
    levels: Vec<Vec<KeyRange>>,
    reached: BTreeSet<u32>,
    compare: Option<crate::hfsplus::btree::CompareKeys>,
}

/// What kind of node it is, for people.
pub(super) fn kind_name(tree: Option<&BTree>, number: u32, reached: bool) -> &'static str {
    let Some(node) = tree.and_then(|t| t.node(number).ok()) else {
        // What was never in use need not be stored.
        let unused = tree.is_some() && !reached && number != 0;
        return if unused { "not in use" } else { "unreadable" };
    };
    match node.kind {
        kind::HEADER if number == 0 => "header",
        kind::MAP => "map",
        _ if !reached => "not in use",
        _ if crate::io::bytes::all_zero(node.bytes()) => "zeros",
        kind::LEAF => "leaf",
        kind::INDEX => "index",
        _ => "broken",
    }
}

impl KeyRanges {
    /// Walk the index levels from the root for the ranges of the nodes `wanted` (sorted).
    pub(super) fn find(tree: &BTree, spec: &TreeSpec, wanted: &[u32]) -> Self {
        let mut found = Self { compare: Some(spec.compare), ..Self::default() };
        let root = tree.header().root_node;
        if wanted.is_empty() || root == 0 {
            return found;
        }
        let mut seen = BTreeSet::new();
        let mut level = vec![KeyRange { number: root, low: None, high: None }];
        while !level.is_empty() {
            let mut below = Vec::new();
            for range in &level {
                if seen.insert(range.number) && usize32(tree.header().total_nodes) >= seen.len() {
                    children(tree, range, &mut below);
                }
            }
            let of_level = level.into_iter().filter(|r| wanted.binary_search(&r.number).is_ok());
            let of_level: Vec<KeyRange> = of_level.collect();
            found.reached.extend(of_level.iter().map(|r| r.number));
            found.levels.push(of_level);
            level = below;
        }
        found
    }

    /// One node that stands for the whole tree.
    pub(super) fn all(spec: &TreeSpec, number: Option<u32>) -> Self {
        let all = number.map(|number| KeyRange { number, low: None, high: None });
        Self {
            levels: vec![all.into_iter().collect()],
            reached: number.into_iter().collect(),
            compare: Some(spec.compare),
        }
    }

    /// Whether the tree leads to a node.
    pub(super) fn reached(&self, number: u32) -> bool {
        self.reached.contains(&number)
    }

    /// The nodes, one a level at most, that hold a key.
    pub(super) fn holding<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let compare = self.compare;
        self.levels.iter().filter_map(move |level| {
            let compare = compare?;
            let before = |bound: &Option<Box<[u8]>>| {
                bound.as_ref().is_none_or(|b| compare(b, key) != Some(Ordering::Greater))
            };
            let at = level.partition_point(|r| before(&r.low)).checked_sub(1)?;
            let range = level.get(at)?;
            let past = range
                .high
                .as_ref()
                .is_some_and(|h| compare(key, h).is_none_or(|order| order != Ordering::Less));
            (!past).then_some(range.number)
        })
    }

    /// The nodes whose range has keys of a file: of trees whose keys have the number of
    /// a file at byte 2.
    pub(super) fn of_file(&self, cnid: u32) -> impl Iterator<Item = u32> + '_ {
        let number = |key: &Option<Box<[u8]>>| key.as_ref().and_then(|k| be32(k, 2));
        self.levels.iter().flat_map(move |level| {
            let past = level.partition_point(|r| number(&r.low).unwrap_or(0) <= cnid);
            let before = level.get(..past).unwrap_or_default().iter().rev();
            before
                .take_while(move |r| number(&r.high).unwrap_or(u32::MAX) >= cnid)
                .map(|r| r.number)
        })
    }
}

/// The ranges of an index node's children.
fn children(tree: &BTree, parent: &KeyRange, below: &mut Vec<KeyRange>) {
    let Ok(node) = tree.node(parent.number) else { return };
    if node.kind != kind::INDEX {
        return;
    }
    let first = below.len();
    for i in 0..usize::from(node.records) {
        let Some(record) = node.record(i).and_then(split) else { continue };
        let Some(number) = be32(record.data, 0) else { continue };
        let low: Box<[u8]> = record.key.into();
        if below.len() > first
            && let Some(last) = below.last_mut()
        {
            last.high = Some(low.clone());
        }
        let low = if below.len() == first { parent.low.clone() } else { Some(low) };
        below.push(KeyRange { number, low, high: None });
    }
    if below.len() > first
        && let Some(last) = below.last_mut()
    {
        last.high.clone_from(&parent.high);
    }
}
