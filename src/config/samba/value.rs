//! Values as Samba takes them.

/// A boolean; `None` for any other word.
pub fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// What a size comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// That many bytes.
    Bytes(u64),
    /// None: 0, or nothing.
    None,
    /// None, because Samba does not understand it.
    Unread,
}

/// `fruit:time machine max size`: digits and one of K M G T P in any case, blanks allowed between
/// them; `fractions` from Samba 4.25 on.
pub fn size(value: &str, fractions: bool) -> Size {
    // A no-break blank is no blank to Samba.
    let value = value.trim_ascii();
    if value.is_empty() {
        return Size::None;
    }
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = value.split_at(digits);
    let (fraction, rest) = match rest.strip_prefix('.').filter(|_| fractions) {
        Some(more) => more.split_at(more.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let shift = match rest.trim_ascii().to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Size::Unread,
    };
    let Ok(whole) = number.parse::<u64>() else { return Size::Unread };
    let Some(bytes) = whole.checked_mul(1 << shift) else { return Size::Unread };
    let part = fraction_of(fraction, shift);
    match bytes.saturating_add(part) {
        0 => Size::None,
        bytes => Size::Bytes(bytes),
    }
}

/// Whether Samba finds an octal number at its beginning, with or without a sign; it does not
/// care what follows.
pub fn is_octal(value: &str) -> bool {
    let value = value.trim_ascii();
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    digits.starts_with(|c: char| c.is_digit(8))
}

/// Two numbers with a dash between them; Samba does not care what follows.
pub fn range(value: &str) -> Option<std::ops::RangeInclusive<u64>> {
    let (first, rest) = value.trim_ascii().split_once('-')?;
    let rest = rest.trim_ascii_start();
    let digits = rest.strip_prefix('+').unwrap_or(rest);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    Some(first.trim_ascii().parse().ok()?..=digits.get(..end)?.parse().ok()?)
}

/// `5` of a unit of `2^shift` bytes: half of it.
fn fraction_of(digits: &str, shift: u32) -> u64 {
    let digits = digits.get(..digits.len().min(9)).unwrap_or_default();
    let Ok(n) = digits.parse::<u64>() else { return 0 };
    let scale = u32::try_from(digits.len()).map_or(1, |len| 10u128.pow(len));
    u64::try_from((u128::from(n) << shift) / scale).unwrap_or(0)
}

/// A size as Samba reads it without fractions: 1536G for 1.5T.
pub fn in_words(bytes: u64) -> String {
    for (shift, letter) in [(50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{letter}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// What was meant by a size that Samba does not read: `500GB`, `1.5T`, `1TiB`, `"1T"`, with a
/// comment behind.
pub fn meant(value: &str) -> Option<u64> {
    let plain = super::super::text::plain(value);
    let plain = plain.split(['#', ';']).next().unwrap_or("");
    let plain: String =
        plain.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')).collect();
    let lower = plain.to_ascii_lowercase();
    let short = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    match size(&short.replace(',', "."), true) {
        Size::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// Items of a list: blanks, commas and semicolons part them, double quotes hold them together.
pub fn list(value: &str) -> Vec<String> {
    let mut items = Vec::new();
    let (mut item, mut quoted, mut any) = (String::new(), false, false);
    for c in value.chars() {
        match c {
            '"' => (quoted, any) = (!quoted, true),
            ' ' | '\t' | ',' | ';' if !quoted => {
                if any || !item.is_empty() {
                    items.push(std::mem::take(&mut item));
                }
                any = false;
            }
            c => item.push(c),
        }
    }
    if any || !item.is_empty() {
        items.push(item);
    }
    items.retain(|i| !i.is_empty());
    items
}

/// Without double quotes at its ends.
pub fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    inner.unwrap_or(value).to_owned()
}

/// Where a comment seems to begin in a value: behind a blank.
pub fn comment(value: &str) -> Option<(&str, &str)> {
    let at = value.char_indices().find(|(at, c)| {
        let before = value.get(..*at).and_then(|b| b.chars().next_back());
        matches!(c, '#' | ';') && before.is_none_or(char::is_whitespace)
    })?;
    Some((value.get(..at.0)?.trim_end(), value.get(at.0..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_samba_makes_of_them() {
        // Measured: server-config.md section 5.
        for (text, bytes) in [
            ("800G", 800 << 30),
            ("1 T", 1 << 40),
            ("900g", 900 << 30),
            ("1000000", 1_000_000),
            ("10k", 10_240),
        ] {
            assert_eq!(size(text, false), Size::Bytes(bytes), "{text}");
        }
        for text in
            ["1TB", "1TiB", "500GB", "\"1T\"", "1T # x", "none", "-1", "1.5T", "x", "\u{a0}1T"]
        {
            assert_eq!(size(text, false), Size::Unread, "{text}");
        }
        assert_eq!(size("0", false), Size::None);
        assert_eq!(size("1.5T", true), Size::Bytes(3 << 39));
        assert_eq!(meant("500GB").map(in_words).as_deref(), Some("500G"));
        assert_eq!(meant("1.5T").map(in_words).as_deref(), Some("1536G"));
        assert_eq!(meant("1T ; one").map(in_words).as_deref(), Some("1T"));
        assert_eq!(size("99999999999999999999T", true), Size::Unread);
    }

    #[test]
    fn lists_and_comments() {
        assert_eq!(list("catia, fruit  streams_xattr"), ["catia", "fruit", "streams_xattr"]);
        assert_eq!(list("\"anna\", @\"tm users\""), ["anna", "@tm users"]);
        assert_eq!(list("\"fruit streams_xattr\""), ["fruit streams_xattr"]);
        assert_eq!(comment("yes   # offer"), Some(("yes", "# offer")));
        assert_eq!(comment("a#b"), None);
        assert_eq!(comment("; x"), Some(("", "; x")));
    }
}
