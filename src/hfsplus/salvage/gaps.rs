//! Whose attributes may be lost where their tree is put together from leaves: those of the
//! objects between leaves of which each does not name the other as its neighbour.

use super::find::{Bytes, Leaf};
use crate::hfsplus::attributes::{Key, compare_keys};
use crate::io::Ranges;
use crate::io::bytes::to_u64;
use std::cmp::Ordering;

/// Every object.
pub fn everybody() -> Ranges {
    Ranges::one(0..u64::from(u32::MAX) + 1)
}

/// Numbers of the objects of whom records may be lost, by the leaves that are left.
pub fn gaps(leaves: &[Leaf]) -> Ranges {
    let order = |a: &[u8], b: &[u8]| compare_keys(a, b).unwrap_or(Ordering::Equal);
    let mut sorted: Vec<&Leaf> = leaves.iter().collect();
    sorted.sort_by(|a, b| order(&a.first, &b.first));
    let mut gaps = Vec::new();
    // The leaf that reaches farthest so far.
    let mut end: Option<&Leaf> = None;
    for leaf in sorted {
        let behind = end.is_none_or(|e| order(&leaf.first, &e.last) == Ordering::Greater);
        if behind && !follows(end, leaf) {
            gaps.push(end.map_or(0, |e| file(&e.last))..file(&leaf.first) + 1);
        }
        if !leaf.sound {
            gaps.push(file(&leaf.first)..file(&leaf.last) + 1);
        }
        if end.is_none_or(|e| order(&leaf.last, &e.last) == Ordering::Greater) {
            end = Some(leaf);
        }
    }
    let Some(end) = end else { return everybody() };
    if end.next != 0 || !end.sound {
        gaps.push(file(&end.last)..u64::from(u32::MAX) + 1);
    }
    Ranges::new(gaps)
}

fn file(key: &[u8]) -> u64 {
    Key::parse(key).map_or(0, |key| key.file.into())
}

/// Whether nothing lies between two leaves, or before one. Their numbers are known by where they
/// lie, but for what is common to both.
fn follows(before: Option<&Leaf>, leaf: &Leaf) -> bool {
    let Some(before) = before else { return leaf.previous == 0 && leaf.sound };
    let place = |leaf: &Leaf, neighbour: u32| match leaf.bytes {
        Bytes::At(at) => Some(at.saturating_add(u64::from(neighbour) * to_u64(leaf.size))),
        Bytes::Made(_) => None,
    };
    before.sound
        && leaf.sound
        && before.next != 0
        && leaf.previous != 0
        && place(before, before.next) == place(leaf, leaf.previous)
}
