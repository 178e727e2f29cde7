//! How much of a whole to read in one run: `--read-data=SUBSET`, `--manifest-read SUBSET`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How much to read in one run. Which part that is, is the reader's own choice; it
/// makes it so that runs one after the other cover the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subset {
    /// Everything.
    All,
    /// A share, in hundredths of a percent: `25%` is 2500; 1 to 10,000.
    Percent(u32),
    /// Part `n` of `of` equal ones, as for day 3 of a week; 1 ≤ `n` ≤ `of`.
    Part {
        /// Which part, from 1.
        n: u32,
        /// Of how many.
        of: u32,
    },
    /// So many bytes.
    Bytes(u64),
    /// What can be read in this time.
    Time(Duration),
}

/// Most parts that a whole is divided into.
const MAX_PARTS: u32 = 100_000;

impl Subset {
    /// How many of `total` things one run reads, rounded up so that as many runs as
    /// there are parts read them all; `None` where bytes or time set the bound.
    pub fn share(self, total: u64) -> Option<u64> {
        let (n, of) = match self {
            Self::All => (1, 1),
            Self::Percent(p) => (p.min(10_000), 10_000),
            Self::Part { of, .. } => (1, of.max(1)),
            Self::Bytes(_) | Self::Time(_) => return None,
        };
        let share = (u128::from(total) * u128::from(n)).div_ceil(u128::from(of));
        Some(u64::try_from(share).unwrap_or(total))
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::All => f.write_str("all"),
            Self::Percent(p) if p % 100 == 0 => write!(f, "{}%", p / 100),
            Self::Percent(p) => write!(f, "{}.{:02}%", p / 100, p % 100),
            Self::Part { n, of } => write!(f, "{n}/{of}"),
            Self::Bytes(n) => {
                let (size, letter) = units(n, &SIZES);
                write!(f, "{size}{letter}")
            }
            Self::Time(t) => {
                let (time, letter) = units(t.as_secs(), &TIMES);
                write!(f, "{time}{letter}")
            }
        }
    }
}

const SIZES: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
const TIMES: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];

/// `n` in the largest unit that divides it (rounded up to the smallest).
fn units(n: u64, units: &[(char, u64); 4]) -> (u64, char) {
    let whole = units.iter().rev().find(|(_, unit)| n.is_multiple_of(*unit));
    let (letter, unit) = whole.copied().unwrap_or(units[0]);
    (n.div_ceil(unit), letter)
}

/// A whole number and a letter, in the smallest unit; `None` if it is not that or too
/// large.
fn quantity(text: &str, units: &[(char, u64); 4]) -> Option<u64> {
    let letter = text.chars().last()?;
    let (_, unit) = units.iter().find(|(l, _)| *l == letter)?;
    digits(text.strip_suffix(letter)?)?.checked_mul(*unit)
}

/// A whole number of digits only (`parse` would take a sign, too).
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(percent) = text.strip_suffix('%') {
            return hundredths(percent).map(Self::Percent).ok_or_else(|| {
                format!("'{text}' is not a share between 0.01% and 100%, such as 25%")
            });
        }
        if let Some((n, of)) = text.split_once('/') {
            return part(n, of).ok_or_else(|| {
                format!("'{text}' is not a part such as 1/7 or 3/7: the first number counts from 1 to the second")
            });
        }
        let amount = |units| quantity(text, units).filter(|n| *n > 0);
        let bytes = amount(&SIZES).map(Self::Bytes);
        bytes.or_else(|| amount(&TIMES).map(|s| Self::Time(Duration::from_secs(s)))).ok_or_else(
            || format!("'{text}' is none of all, a share (25%), a part (3/7), a size (200G; K, M, G, T) or a time (2h; s, m, h, d)"),
        )
    }
}

fn part(n: &str, of: &str) -> Option<Subset> {
    let (n, of) = (u32::try_from(digits(n)?).ok()?, u32::try_from(digits(of)?).ok()?);
    (n >= 1 && n <= of && of <= MAX_PARTS).then_some(Subset::Part { n, of })
}

/// `25` or `2.5` percent in hundredths of a percent.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || fraction.len() > 2 {
        return None;
    }
    let scale = if fraction.len() == 1 { 10 } else { 1 };
    let n = digits(whole)?.checked_mul(100)?.checked_add(digits(fraction)? * scale)?;
    u32::try_from(n).ok().filter(|n| (1..=10_000).contains(n))
}

/// A duration such as `90s`, `30m`, `2h`, `3d`.
///
/// # Errors
/// A sentence for the user.
pub fn duration(text: &str) -> Result<Duration, String> {
    quantity(text, &TIMES)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("'{text}' is not a duration such as 90s, 30m, 2h or 3d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_written() {
        for (text, want) in [
            ("all", Subset::All),
            ("25%", Subset::Percent(2500)),
            ("100%", Subset::Percent(10_000)),
            ("0.05%", Subset::Percent(5)),
            ("1/7", Subset::Part { n: 1, of: 7 }),
            ("7/7", Subset::Part { n: 7, of: 7 }),
            ("200G", Subset::Bytes(200 << 30)),
            ("64K", Subset::Bytes(64 << 10)),
            ("3T", Subset::Bytes(3 << 40)),
            ("2h", Subset::Time(Duration::from_secs(7200))),
            ("90s", Subset::Time(Duration::from_secs(90))),
            ("2d", Subset::Time(Duration::from_secs(172_800))),
        ] {
            let found: Subset = text.parse().unwrap();
            assert_eq!(found, want, "{text}");
            assert_eq!(found.to_string().parse(), Ok(want), "{text} as {found}");
        }
        assert_eq!("2.5%".parse(), Ok(Subset::Percent(250)));
        assert_eq!(Subset::Bytes(200 << 30).to_string(), "200G");
    }

    #[test]
    fn anything_else_is_refused_with_what_would_be_taken() {
        for bad in [
            "",
            "0",
            "7",
            "All",
            "0%",
            "101%",
            "-5%",
            "+5%",
            "1.234%",
            ".%",
            "%",
            "0/7",
            "8/7",
            "1/0",
            "/7",
            "1/",
            "1/7/2",
            "+1/7",
            "200g",
            "G",
            "0G",
            "-1G",
            "99999999999999999999G",
            "16777216T",
            "2 h",
            "h",
            "2w",
            "ä",
        ] {
            let text = bad.parse::<Subset>().unwrap_err();
            assert!(text.starts_with(&format!("'{bad}' is no")), "{text}");
        }
    }

    #[test]
    fn as_many_shares_as_there_are_parts_make_the_whole() {
        let seventh = Subset::Part { n: 3, of: 7 };
        for total in [0, 1, 6, 7, 8, 51_204] {
            assert!(seventh.share(total).unwrap() * 7 >= total);
        }
        assert_eq!(seventh.share(8), Some(2));
        assert_eq!(Subset::Percent(2500).share(8), Some(2));
        assert_eq!(Subset::All.share(u64::MAX), Some(u64::MAX));
        assert_eq!(Subset::Bytes(1).share(9), None);
    }

    #[test]
    fn durations() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        for bad in ["", "5", "h", "1hh", "+1h", "1.5h", "999999999999999999d", "soon"] {
            assert!(duration(bad).unwrap_err().contains("such as 90s"), "{bad}");
        }
    }
}
