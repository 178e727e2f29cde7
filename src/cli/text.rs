//! Dates in words; numbers, sizes and spans as the library says them.

use super::clock;
use jiff::{Timestamp, tz::TimeZone};
use std::time::Duration;

pub use tmbundle::report::words::{bytes, count, plural, span};

/// Seconds since 1970 in the server's time zone, to the minute.
pub fn date(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(t) => t.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

/// How long ago something was: `9 hours`, `7 years`; `now`; `in the future`.
pub fn age(seconds: i64) -> String {
    match clock::now().saturating_sub(seconds) {
        i64::MIN..=-60 => "in the future".into(),
        -59..=59 => "now".into(),
        ago => span(ago),
    }
}

/// The same in a sentence: `9 hours ago`.
pub fn ago(seconds: i64) -> String {
    let age = age(seconds);
    match age.as_str() {
        "now" | "in the future" => age,
        _ => format!("{age} ago"),
    }
}

/// What something took, in seconds: `6 min`.
pub fn duration(seconds: i64) -> String {
    match seconds {
        ..=89 => format!("{} s", seconds.max(0)),
        90..=5399 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The same of what took its time just now; tenths of a second where they matter.
pub fn took(took: Duration) -> String {
    let took = if clock::stands_still() { Duration::ZERO } else { took };
    if took.as_secs() < 10 {
        return format!("{:.1} s", took.as_secs_f64());
    }
    duration(i64::try_from(took.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words() {
        assert_eq!(duration(360), "6 min");
        assert_eq!(duration(-1), "0 s");
        assert_eq!(took(Duration::from_millis(1234)), "1.2 s");
    }

    #[test]
    fn ages_in_words() {
        let now = clock::now();
        assert_eq!(ago(now), "now");
        assert_eq!(ago(now - 3 * 86400 - 9), "3 days ago");
        assert_eq!(age(now + 90), "in the future");
        assert_eq!(age(i64::MAX), "in the future");
    }
}
