//! The day a disk is full, on made-up histories: how far off it is, printed and bounded.

use tmbundle::query::forecast::{DAY, Grower, Sample, full_in, growth, in_order, together};

const GIB: i64 = 1 << 30;
const NOW: i64 = 1_700_000_000;

/// A made-up history, a size each day: `used(day)` of the days before 0, which is now.
fn history(days: i64, used: impl Fn(i64) -> i64) -> Vec<Sample> {
    let at =
        |day: i64| Sample { at: NOW + day * DAY, bytes: u64::try_from(used(day)).unwrap_or(0) };
    (-days..=0).map(at).collect()
}

/// The day that is forecast for a disk of `size`, and the day the history itself, carried
/// on, fills it.
fn days(name: &str, size: i64, growers: &[Grower], used: impl Fn(i64) -> i64) -> i64 {
    let samples = in_order(&history(60, &used), NOW);
    let free = u64::try_from(size - used(0)).unwrap();
    let said = full_in(free, growth(&samples).unwrap(), growers).unwrap();
    let said = i64::try_from(said).unwrap();
    let true_day = (0..).find(|day| used(*day) >= size).unwrap();
    let error = said - true_day;
    println!("{name:12} full in {true_day:3} days, forecast {said:3}, error {error:+}");
    error
}

/// A number that looks like chance and is the same in each run.
fn noise(day: i64, below: i64) -> i64 {
    let mut x = day.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    i64::try_from((x >> 33) % below.unsigned_abs()).unwrap()
}

#[test]
fn the_day_is_about_right_on_made_up_histories() {
    let steady = |day: i64| 1000 * GIB + day * 5 * GIB;
    assert!(days("steady", 1400 * GIB, &[], steady).abs() <= 1);
    let noisy = |day: i64| steady(day) + noise(day, 12) * GIB;
    assert!(days("noisy", 1400 * GIB, &[], noisy).abs() <= 4);
    // Nothing for weeks but a little, then 70 GiB on one day in a fortnight.
    let bursty = |day: i64| 1000 * GIB + day.div_euclid(14) * 70 * GIB + noise(day, 3) * GIB;
    assert!(days("bursty", 1400 * GIB, &[], bursty).abs() <= 14);
    // It grows by 9 GiB a day and is thinned by 28 GiB each week.
    let thinned = |day: i64| 1000 * GIB + day * 9 * GIB - day.div_euclid(7) * 28 * GIB;
    assert!(days("thinned", 1400 * GIB, &[], thinned).abs() <= 7);
    // One night a migration that was deleted again.
    let spike = |day: i64| steady(day) + if day == -20 { 300 * GIB } else { 0 };
    assert!(days("spike", 1400 * GIB, &[], spike).abs() <= 1);
}

#[test]
fn a_mac_that_is_gone_grows_no_more() {
    // Two Macs; one went away three weeks ago.
    let other = |day: i64| 400 * GIB + 4 * GIB * (day.min(-21) + 60);
    let used = |day: i64| 500 * GIB + day * 6 * GIB + other(day);
    let was = growth(&in_order(&history(60, other), NOW)).unwrap();
    let gone = Grower { was, will: 0, room: u64::MAX };
    let error = days("one gone", 1300 * GIB, &[gone], used);
    assert!(error.abs() <= 3);
    assert!(days("unknown", 1300 * GIB, &[], used) < -10, "it would be far off");
}

#[test]
fn at_its_limit_a_mac_stops() {
    // Of 10 GiB a day 6 are one Mac's, which has room for 10 days.
    let used = |day: i64| 1000 * GIB + day * 4 * GIB + day.min(10) * 6 * GIB;
    let room = u64::try_from(60 * GIB).unwrap();
    let mac = Grower { was: 6 * GIB, will: 6 * GIB, room };
    assert!(days("at limit", 1300 * GIB, &[mac], used).abs() <= 1);
    let all = Grower { was: 10 * GIB, will: 10 * GIB, room };
    assert_eq!(full_in(2 * room, 10 * GIB, &[all]), None, "the limit comes first");
}

#[test]
fn no_day_where_none_can_be_told() {
    let shrinking = growth(&history(60, |day| 1000 * GIB - day * GIB)).unwrap();
    assert_eq!(shrinking, -GIB);
    assert_eq!(full_in(1 << 40, shrinking, &[]), None);
    assert_eq!(full_in(1 << 40, 0, &[]), None);
    assert_eq!(full_in(1 << 60, 1, &[]), None, "beyond the horizon");
    assert_eq!(full_in(0, -5, &[]), Some(0), "it is full");
    assert_eq!(growth(&history(6, |day| day + 100)), None, "too short a time");
    let few: Vec<Sample> = history(60, |day| day + 100).into_iter().step_by(20).collect();
    assert_eq!(growth(&few), None, "too few sizes");
    assert_eq!(growth(&[]), None);
    let wild = Grower { was: i64::MIN, will: i64::MAX, room: u64::MAX };
    assert!(full_in(u64::MAX, i64::MAX, &[wild, wild]).is_some(), "and no overflow");
}

#[test]
fn jumps_of_the_clock_are_left_out() {
    let mut noted = history(60, |day| 1000 * GIB + day * 5 * GIB);
    let right = growth(&noted).unwrap();
    // For a night in 1970, for one a month ahead, for two a month behind, and once in 2040.
    for (n, at) in [(10, 0), (20, NOW), (30, noted[0].at - 1), (31, noted[0].at), (60, 1 << 31)] {
        noted[n].at = at;
    }
    let kept = in_order(&noted, NOW);
    println!("clock jumps: {} of {} sizes kept", kept.len(), noted.len());
    assert_eq!(kept.len(), 56);
    assert_eq!(growth(&kept), Some(right));
    // A clock that is behind knows nothing of what was noted after it.
    assert!(in_order(&noted, NOW - 400 * DAY).is_empty());
}

#[test]
fn what_several_saw_is_one_series() {
    let a = history(10, |day| day + 100);
    let b = a.iter().map(|s| Sample { at: s.at + 3600, ..*s }).collect();
    assert_eq!(together([a.clone(), b]), a);
}
