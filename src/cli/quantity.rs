//! Amounts on the command line.

use std::num::NonZeroU64;

/// A number of bytes such as `500k`, `50M`, `50MiB` (1024 of them) or `50MB` (1000).
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a number of bytes such as 500K, 50M, 1.5G or 2T");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 6 || fraction.contains('.') {
        return Err(wrong());
    }
    let mut letters = unit.chars();
    let power = match letters.next().map(|c| c.to_ascii_uppercase()) {
        None => 0,
        Some('B') if letters.as_str().is_empty() => 0,
        Some(c) => "KMGTP".find(c).and_then(|i| u32::try_from(i + 1).ok()).ok_or_else(wrong)?,
    };
    let base: u128 = match (power, letters.as_str()) {
        (0, _) | (_, "" | "i" | "iB" | "ib") => 1024,
        (_, "B" | "b") => 1000,
        _ => return Err(wrong()),
    };
    let micro: u128 = format!("{whole}{fraction:0<6}").parse().map_err(|_| wrong())?;
    let bytes = micro.checked_mul(base.pow(power)).ok_or_else(wrong)? / 1_000_000;
    u64::try_from(bytes).map_err(|_| wrong())
}

/// Bytes a second: as [`bytes`], with or without `/s`, not 0.
pub fn rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = bytes(text.strip_suffix("/s").unwrap_or(text))?;
    NonZeroU64::new(rate).ok_or_else(|| "a rate of 0 would never end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, n) in [
            ("0", 0),
            ("12", 12),
            ("12B", 12),
            ("1k", 1024),
            ("50M", 50 << 20),
            ("50MiB", 50 << 20),
            ("50MB", 50_000_000),
            ("1.5G", 3 << 29),
            ("2T", 2 << 40),
        ] {
            assert_eq!(bytes(text), Ok(n), "{text}");
        }
        for bad in ["", "M", "-1", "1X", "1.2.3M", ".5M", "1MM", "99999999999999999999P", "1 M"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("1M/s").unwrap().get(), 1 << 20);
        assert!(rate("0").is_err() && rate("0.0000001K").is_err());
    }
}
