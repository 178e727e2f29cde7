//! When will it be full? From sizes that were seen, and nothing else.
//!
//! The slope is Theil and Sen's: the median of the slopes between all pairs of sizes, so that
//! neither a burst, nor a night of thinning, nor a wrong size or two decides. (H. Theil, "A
//! rank-invariant method of linear and polynomial regression analysis", 1950; P. K. Sen,
//! "Estimates of the regression coefficient based on Kendall's tau", 1968.) Of times that
//! contradict the order in which sizes were noted the fewest possible are left out: a clock
//! jumped there. How far off the day is on made-up histories is tested, and stands in
//! `docs/watch.md`.

/// Seconds in a day.
pub const DAY: i64 = 86_400;
/// How far back sizes count, in seconds: what a Mac did half a year ago says little.
const WINDOW: i64 = 120 * DAY;
/// Fewer sizes tell no slope.
pub const FEWEST: usize = 5;
/// Nor do those of a shorter time, in seconds: a week has its rhythm.
pub const SHORTEST: i64 = 7 * DAY;
/// Pairs that lie closer together than this say nothing of growth.
const CLOSE: i64 = DAY;
/// Who adds series of several bundles up keeps one size in this time.
const APART: i64 = 6 * 3600;
/// No day is named that lies further ahead, in days.
pub const HORIZON: u64 = 5 * 365;

/// What was seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Seconds since 1970.
    pub at: i64,
    /// Bytes.
    pub bytes: u64,
}

/// The samples, given in the order they were noted, that can be true together: none lies
/// after `now` or too far back, and times rise.
pub fn in_order(noted: &[Sample], now: i64) -> Vec<Sample> {
    let counts = |s: &&Sample| s.at <= now && s.at >= now.saturating_sub(WINDOW);
    let noted: Vec<Sample> = noted.iter().filter(counts).copied().collect();
    // The longest rising run that ends at each: its length, and what stands before.
    let mut runs: Vec<(usize, Option<usize>)> = Vec::with_capacity(noted.len());
    for (n, sample) in noted.iter().enumerate() {
        let before = noted.iter().zip(&runs).take(n).enumerate();
        let best = before
            .filter(|(_, (earlier, _))| earlier.at < sample.at)
            .max_by_key(|(at, (_, (length, _)))| (*length, *at));
        runs.push(match best {
            Some((at, (_, (length, _)))) => (length + 1, Some(at)),
            None => (1, None),
        });
    }
    let mut at = (0..runs.len()).max_by_key(|n| runs.get(*n).map(|run| run.0));
    let mut chosen = Vec::new();
    while let Some(n) = at {
        chosen.extend(noted.get(n));
        at = runs.get(n).and_then(|run| run.1);
    }
    chosen.reverse();
    chosen
}

/// One series of several that saw the same thing, each in order already.
pub fn together(series: impl IntoIterator<Item = Vec<Sample>>) -> Vec<Sample> {
    let mut all: Vec<Sample> = series.into_iter().flatten().collect();
    all.sort_by_key(|s| s.at);
    let mut last = None;
    all.retain(|s| {
        let keep = last.is_none_or(|at: i64| s.at.saturating_sub(at) >= APART);
        if keep {
            last = Some(s.at);
        }
        keep
    });
    all
}

/// Growth in bytes a day of samples in order; `None` where there is too little to go by.
pub fn growth(samples: &[Sample]) -> Option<i64> {
    let (first, last) = (samples.first()?, samples.last()?);
    if samples.len() < FEWEST || last.at.saturating_sub(first.at) < SHORTEST {
        return None;
    }
    let mut slopes: Vec<i64> = Vec::new();
    for (n, a) in samples.iter().enumerate() {
        for b in samples.iter().skip(n + 1) {
            let time = b.at.saturating_sub(a.at);
            if time >= CLOSE {
                let more = (i128::from(b.bytes) - i128::from(a.bytes)) * i128::from(DAY);
                slopes.push(clamp(more / i128::from(time)));
            }
        }
    }
    median(&mut slopes)
}

/// The median; of an even number the mean of the two in the middle.
pub fn median(values: &mut [i64]) -> Option<i64> {
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(clamp((i128::from(lower) + i128::from(upper)).div_euclid(2)))
}

fn clamp(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

/// Something on a disk that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grower {
    /// Bytes a day that are counted in the growth of the disk.
    pub was: i64,
    /// Bytes a day from now on: 0 of a Mac that is gone.
    pub will: i64,
    /// Bytes until it may grow no more.
    pub room: u64,
}

/// In how many days a disk with `free` bytes is full, whose use grew by `growth` bytes a day;
/// `None` if not within [`HORIZON`]. Each grower stops at its limit.
pub fn full_in(free: u64, growth: i64, growers: &[Grower]) -> Option<u64> {
    let rest = growers.iter().fold(i128::from(growth), |rest, g| rest - i128::from(g.was));
    let mut stops: Vec<(i128, i128)> = Vec::new();
    let mut rate = rest;
    for grower in growers {
        let will = i128::from(grower.will);
        if will > 0 {
            stops.push((i128::from(grower.room) / will, will));
        }
        rate += will;
    }
    stops.sort_unstable();
    let (mut day, mut left) = (0i128, i128::from(free));
    for (stop, less) in stops {
        if let Some(found) = reached(day, left, rate).filter(|found| *found <= stop) {
            return within(found);
        }
        left -= rate * (stop - day);
        day = stop;
        rate -= less;
    }
    within(reached(day, left, rate)?)
}

/// The day on which nothing is left.
fn reached(day: i128, left: i128, rate: i128) -> Option<i128> {
    if left <= 0 {
        return Some(day);
    }
    (rate > 0).then(|| day + left / rate)
}

fn within(day: i128) -> Option<u64> {
    u64::try_from(day).ok().filter(|day| *day <= HORIZON)
}
