//! Sizes that runs saw of a bundle: what a forecast goes by.

use serde::{Deserialize, Serialize};

/// Most sizes that are kept of a bundle. With a run a day that is four months.
const MOST: usize = 120;
/// Of runs that follow one another more closely only the newest keeps its size, in seconds.
const APART: i64 = 12 * 3600;

/// What a run saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// When, in seconds since 1970, as the clock was then.
    pub at: i64,
    /// Bytes that the bundle took on the server's disk.
    pub stored: u64,
    /// Bytes that were free on that disk.
    pub free: Option<u64>,
}

/// Add a size to those that are kept, in the order they were noted; whether their times make
/// sense is for the reader to say.
pub(super) fn note(sizes: &mut Vec<Size>, size: Size) {
    let near = |a: &Size, b: &Size| (0..APART).contains(&b.at.saturating_sub(a.at));
    // The last one stands only for now while it lies close behind the one before it.
    if let [.., before, last] = sizes.as_slice()
        && near(before, last)
    {
        sizes.pop();
    }
    sizes.push(size);
    let over = sizes.len().saturating_sub(MOST);
    sizes.drain(..over);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hourly_runs_leave_two_a_day_and_the_newest() {
        let mut sizes = Vec::new();
        let size = |hour: i64| Size { at: hour * 3600, stored: 1, free: None };
        for hour in 0..=100 {
            note(&mut sizes, size(hour));
        }
        let hours: Vec<i64> = sizes.iter().map(|s| s.at / 3600).collect();
        assert_eq!(hours.last(), Some(&100));
        let gaps: Vec<i64> = hours.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps[..gaps.len() - 1].iter().all(|gap| *gap == 12), "{hours:?}");
        for hour in 0..10_000 {
            note(&mut sizes, size(hour * 24));
        }
        assert_eq!(sizes.len(), MOST);
        assert_eq!(sizes.last(), Some(&size(9999 * 24)));
    }
}
