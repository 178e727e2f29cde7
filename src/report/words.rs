//! Numbers and sizes in words.

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

/// Bytes in binary units, as bands and blocks are made: `8 MiB`, `1.2 GiB`. One family
/// for everything, so that any two sizes can be compared.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = 1u64;
    let [mut unit, rest @ ..] = UNITS;
    for next in rest {
        if n / size < 1024 {
            break;
        }
        size *= 1024;
        unit = next;
    }
    let tenths = u128::from(n) * 10 / u128::from(size);
    match (size, tenths % 10) {
        _ if n == 1 => "1 byte".into(),
        (1, _) | (_, 0) => format!("{} {unit}", tenths / 10),
        (_, rest) => format!("{}.{rest} {unit}", tenths / 10),
    }
}

pub use self::bytes as binary;

/// `part` of `whole` as `2.1 %`; rounded down, so that only the whole is 100 %.
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    match tenths % 10 {
        0 => format!("{} %", tenths / 10),
        rest => format!("{}.{rest} %", tenths / 10),
    }
}

/// `one`, or `n many`: `plural(2, "file", "files")`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Seconds as people say them: `30 minutes`, `5 hours`, `19 days`, `8 months`, `7 years`;
/// rounded down, and counted in the smaller unit as long as that tells more.
pub fn span(seconds: i64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    // Of the Gregorian calendar, on average.
    const YEAR: u64 = 31_556_952;
    const MONTH: u64 = YEAR / 12;
    let s = u64::try_from(seconds).unwrap_or(0);
    match s {
        _ if s < MINUTE => plural(s, "second", "seconds"),
        _ if s < 2 * HOUR => plural(s / MINUTE, "minute", "minutes"),
        _ if s < 2 * DAY => plural(s / HOUR, "hour", "hours"),
        _ if s < 61 * DAY => plural(s / DAY, "day", "days"),
        _ if s < 2 * YEAR => plural(s / MONTH, "month", "months"),
        _ => plural(s / YEAR, "year", "years"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1_250_000_000), "1.1 GiB");
        assert_eq!(bytes(8 << 20), "8 MiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
        assert_eq!(percent(999_999, 1_000_000), "99.9 %");
        assert_eq!(percent(1, 4), "25 %");
        assert_eq!(percent(0, 0), "0 %");
    }

    #[test]
    fn spans_as_people_say_them() {
        const DAY: i64 = 86400;
        for (seconds, words) in [
            (-5, "0 seconds"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (7199, "119 minutes"),
            (7200, "2 hours"),
            (2 * DAY - 1, "47 hours"),
            (19 * DAY, "19 days"),
            (60 * DAY, "60 days"),
            (61 * DAY, "2 months"),
            (700 * DAY, "22 months"),
            (731 * DAY, "2 years"),
            (2569 * DAY, "7 years"),
        ] {
            assert_eq!(span(seconds), words, "{seconds}");
        }
    }
}
