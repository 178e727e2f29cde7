//! Pieces of an order, each from a first to a last key, of which some overlap.

use std::cmp::Ordering;

/// Hand on all pieces in the order of their first keys: in one go those that overlap, one
/// behind the other.
///
/// `ends` gives the first and last key of a piece.
pub fn overlapping<T>(
    mut pieces: Vec<T>,
    ends: impl Fn(&T) -> (&[u8], &[u8]),
    order: impl Fn(&[u8], &[u8]) -> Ordering,
    mut group: impl FnMut(Vec<T>),
) {
    pieces.sort_by(|a, b| order(ends(a).0, ends(b).0));
    let mut open: Vec<T> = Vec::new();
    // The piece that reaches furthest, in `open`.
    let mut furthest = 0;
    for piece in pieces {
        let last = open.get(furthest).map(|p| ends(p).1);
        if last.is_some_and(|last| order(ends(&piece).0, last) == Ordering::Greater) {
            group(std::mem::take(&mut open));
        }
        let last = open.get(furthest).map(|p| ends(p).1);
        if last.is_none_or(|last| order(ends(&piece).1, last) == Ordering::Greater) {
            furthest = open.len();
        }
        open.push(piece);
    }
    if !open.is_empty() {
        group(open);
    }
}

#[cfg(test)]
mod tests {
    use super::overlapping;

    #[test]
    fn what_overlaps_is_together() {
        let pieces = vec!["hi", "ab", "bc", "dz", "ef", "zz"];
        let mut groups = Vec::new();
        overlapping(
            pieces,
            |p| (&p.as_bytes()[..1], &p.as_bytes()[1..]),
            <[u8]>::cmp,
            |group| groups.push(group.join(" ")),
        );
        assert_eq!(groups, ["ab bc", "dz ef hi zz"]);
        overlapping(Vec::<&str>::new(), |_| (b"", b""), <[u8]>::cmp, |_| panic!("there is none"));
    }
}
