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

/// Bytes in decimal units, as disks are sold: `1.2 GB`.
pub fn bytes(n: u64) -> String {
    scaled(n, 1000, ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Bytes in binary units, as bands and blocks are made: `8 MiB`.
pub fn binary(n: u64) -> String {
    scaled(n, 1024, ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

fn scaled(n: u64, base: u64, units: [&str; 7]) -> String {
    let mut size = 1u64;
    let [mut unit, rest @ ..] = units;
    for next in rest {
        if n / size < base {
            break;
        }
        size *= base;
        unit = next;
    }
    let tenths = u128::from(n) * 10 / u128::from(size);
    match (size, tenths % 10) {
        (1, _) | (_, 0) => format!("{} {unit}", tenths / 10),
        (_, rest) => format!("{}.{rest} {unit}", tenths / 10),
    }
}

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

/// Seconds as `19 days`, `5 hours`, `30 minutes`; rounded down.
pub fn span(seconds: i64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86400),
        7200.. => format!("{} hours", seconds / 3600),
        _ => format!("{} minutes", seconds.max(0) / 60),
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
        assert_eq!(bytes(1_250_000_000), "1.2 GB");
        assert_eq!(binary(8 << 20), "8 MiB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(percent(999_999, 1_000_000), "99.9 %");
        assert_eq!(percent(1, 4), "25 %");
        assert_eq!(percent(0, 0), "0 %");
    }
}
