//! Dates and names in words; numbers and sizes as the library says them.

use jiff::{Timestamp, tz::TimeZone};
use std::borrow::Cow;

pub use tmbundle::report::words::{binary, bytes, count, plural};

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
    fn durations_in_words() {
        assert_eq!(duration(360), "6 min");
    }
}
