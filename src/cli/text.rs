//! Numbers, sizes, dates and names in words.

use jiff::{Timestamp, tz::TimeZone};
use std::borrow::Cow;

/// 1234567 as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes in decimal units, as disks are sold: `1.2 GB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    scaled(n, 1000, &UNITS)
}

/// Bytes in binary units, as bands and blocks are made: `8 MiB`.
pub fn binary(n: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    scaled(n, 1024, &UNITS)
}

fn scaled(n: u64, base: u64, units: &[&str]) -> String {
    let (mut unit, mut size) = (0, 1u64);
    while unit + 1 < units.len() && n / size >= base {
        size *= base;
        unit += 1;
    }
    let tenths = u128::from(n) * 10 / u128::from(size);
    match (unit, tenths % 10) {
        (0, _) | (_, 0) => format!("{} {}", tenths / 10, units[unit]),
        (_, rest) => format!("{}.{rest} {}", tenths / 10, units[unit]),
    }
}

/// `one`, or `n many`: `plural(2, "file", "files")`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Seconds since 1970 in the server's time zone, to the minute.
pub fn date(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(t) => t.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

/// How long ago, in the largest unit that fits: `9 h`, `19 days`.
pub fn age(seconds: i64) -> String {
    let ago = Timestamp::now().as_second() - seconds;
    match ago {
        i64::MIN..=-60 => "in the future".into(),
        -59..=59 => "now".into(),
        60..=5399 => format!("{} min", ago / 60),
        5400..=172_799 => format!("{} h", (ago + 1800) / 3600),
        _ => format!("{} days", ago / 86400),
    }
}

/// A duration in seconds: `6 min`.
pub fn duration(seconds: i64) -> String {
    match seconds {
        ..=89 => format!("{} s", seconds.max(0)),
        90..=5399 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A name made safe for a terminal; elsewhere as it is.
pub fn name(name: &str, terminal: bool) -> Cow<'_, str> {
    if terminal { tmbundle::fs::present(name) } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_250_000_000), "1.2 GB");
        assert_eq!(binary(8 << 20), "8 MiB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(duration(360), "6 min");
    }
}
