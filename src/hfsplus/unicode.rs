//! Names: Apple's case folding and order, decomposition, and names for people.

use crate::fs::decompose;
use std::cmp::Ordering;
use unicode_normalization::UnicodeNormalization;

/// How a range of code units folds to lower case.
#[derive(Clone, Copy)]
enum Fold {
    /// Each unit plus this.
    Plus(u16),
    /// Even units plus one; odd ones stay.
    EvenUp,
    /// To this one unit.
    To(u16),
    /// Left out of comparisons.
    Ignored,
}

/// Apple's lower-case mapping (TN1150 `FastUnicodeCompare`; section 6.4): it is
/// fixed, older than today's Unicode, and leaves letters that decompose alone.
#[rustfmt::skip]
const FOLDS: &[(u16, u16, Fold)] = {
    use Fold::{EvenUp, Ignored, Plus, To};
    &[
        (0x0000, 0x0000, To(0xFFFF)), (0x0041, 0x005A, Plus(0x20)),
        (0x00C6, 0x00C6, To(0x00E6)), (0x00D0, 0x00D0, To(0x00F0)),
        (0x00D8, 0x00D8, To(0x00F8)), (0x00DE, 0x00DE, To(0x00FE)),
        (0x0110, 0x0110, To(0x0111)), (0x0126, 0x0126, To(0x0127)),
        (0x0132, 0x0132, To(0x0133)), (0x013F, 0x013F, To(0x0140)),
        (0x0141, 0x0141, To(0x0142)), (0x014A, 0x014A, To(0x014B)),
        (0x0152, 0x0152, To(0x0153)), (0x0166, 0x0166, To(0x0167)),
        (0x0181, 0x0181, To(0x0253)), (0x0182, 0x0182, To(0x0183)),
        (0x0184, 0x0184, To(0x0185)), (0x0186, 0x0186, To(0x0254)),
        (0x0187, 0x0187, To(0x0188)), (0x0189, 0x0189, To(0x0256)),
        (0x018A, 0x018A, To(0x0257)), (0x018B, 0x018B, To(0x018C)),
        (0x018E, 0x018E, To(0x01DD)), (0x018F, 0x018F, To(0x0259)),
        (0x0190, 0x0190, To(0x025B)), (0x0191, 0x0191, To(0x0192)),
        (0x0193, 0x0193, To(0x0260)), (0x0194, 0x0194, To(0x0263)),
        (0x0196, 0x0196, To(0x0269)), (0x0197, 0x0197, To(0x0268)),
        (0x0198, 0x0198, To(0x0199)), (0x019C, 0x019C, To(0x026F)),
        (0x019D, 0x019D, To(0x0272)), (0x019F, 0x019F, To(0x0275)),
        (0x01A2, 0x01A2, To(0x01A3)), (0x01A4, 0x01A4, To(0x01A5)),
        (0x01A7, 0x01A7, To(0x01A8)), (0x01A9, 0x01A9, To(0x0283)),
        (0x01AC, 0x01AC, To(0x01AD)), (0x01AE, 0x01AE, To(0x0288)),
        (0x01B1, 0x01B1, To(0x028A)), (0x01B2, 0x01B2, To(0x028B)),
        (0x01B3, 0x01B3, To(0x01B4)), (0x01B5, 0x01B5, To(0x01B6)),
        (0x01B7, 0x01B7, To(0x0292)), (0x01B8, 0x01B8, To(0x01B9)),
        (0x01BC, 0x01BC, To(0x01BD)), (0x01C4, 0x01C5, To(0x01C6)),
        (0x01C7, 0x01C8, To(0x01C9)), (0x01CA, 0x01CB, To(0x01CC)),
        (0x01E4, 0x01E4, To(0x01E5)), (0x01F1, 0x01F2, To(0x01F3)),
        (0x0391, 0x03A1, Plus(0x20)), (0x03A3, 0x03A9, Plus(0x20)),
        (0x03E2, 0x03EF, EvenUp),     (0x0402, 0x0402, To(0x0452)),
        (0x0404, 0x0406, Plus(0x50)), (0x0408, 0x040B, Plus(0x50)),
        (0x040F, 0x040F, To(0x045F)), (0x0410, 0x0418, Plus(0x20)),
        (0x041A, 0x042F, Plus(0x20)), (0x0460, 0x0475, EvenUp),
        (0x0478, 0x0481, EvenUp),     (0x0490, 0x04BF, EvenUp),
        (0x04C3, 0x04C3, To(0x04C4)), (0x04C7, 0x04C7, To(0x04C8)),
        (0x04CB, 0x04CB, To(0x04CC)), (0x0531, 0x0556, Plus(0x30)),
        (0x10A0, 0x10C5, Plus(0x30)), (0x200C, 0x200F, Ignored),
        (0x202A, 0x202E, Ignored),    (0x206A, 0x206F, Ignored),
        (0x2160, 0x216F, Plus(0x10)), (0xFEFF, 0xFEFF, Ignored),
        (0xFF21, 0xFF3A, Plus(0x20)),
    ]
};

/// The folded unit; `None` for one that is left out of comparisons.
fn fold(unit: u16) -> Option<u16> {
    if (0x61..=0x7A).contains(&unit) || (0x20..=0x40).contains(&unit) {
        return Some(unit);
    }
    let at = FOLDS.partition_point(|(_, last, _)| *last < unit);
    match FOLDS.get(at) {
        Some(&(first, _, how)) if first <= unit => match how {
            Fold::Plus(n) => Some(unit.wrapping_add(n)),
            Fold::EvenUp => Some(unit | 1),
            Fold::To(to) => Some(to),
            Fold::Ignored => None,
        },
        _ => Some(unit),
    }
}

/// The big-endian UTF-16 units of a stored name.
pub fn units(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_be_bytes(*b))
}

/// Order of two stored names (big-endian UTF-16) on volumes that fold case.
pub fn compare_folded(a: &[u8], b: &[u8]) -> Ordering {
    units(a).filter_map(fold).cmp(units(b).filter_map(fold))
}

/// Order of two stored names by code unit (case-sensitive HFSX).
pub fn compare_binary(a: &[u8], b: &[u8]) -> Ordering {
    // Big-endian units of even length order as their bytes do.
    a.cmp(b)
}

/// A stored name for people: NFC, `/` (which only a Mac can have in a name)
/// as `:`, NUL as its symbol, unpaired surrogates as U+FFFD.
pub fn display(stored: &[u8]) -> String {
    if stored.as_chunks::<2>().0.iter().all(|b| b[0] == 0 && (0x20..0x7F).contains(&b[1])) {
        // Nearly every name: ASCII, which normalises to itself.
        let ascii = stored.as_chunks::<2>().0.iter();
        return ascii.map(|b| if b[1] == b'/' { ':' } else { char::from(b[1]) }).collect();
    }
    char::decode_utf16(units(stored))
        .map(|r| match r.unwrap_or(char::REPLACEMENT_CHARACTER) {
            '/' => ':',
            '\0' => '\u{2400}',
            c => c,
        })
        .nfc()
        .collect()
}

/// A stored name exactly as it is, without conversion for people.
pub fn raw_string(stored: &[u8]) -> String {
    char::decode_utf16(units(stored)).map(|r| r.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A name as Apple stores it, in big-endian UTF-16: canonically decomposed but
/// for the ranges Apple leaves alone (section 7.4), `:` as `/`.
pub fn stored(name: &str) -> Vec<u8> {
    encode(decompose(name).into_iter().map(|c| match c {
        ':' => '/',
        '\u{2400}' => '\0',
        c => c,
    }))
}

/// A name in big-endian UTF-16 without decomposition, `:` as `/`.
pub fn stored_verbatim(name: &str) -> Vec<u8> {
    encode(name.chars().map(|c| match c {
        ':' => '/',
        '\u{2400}' => '\0',
        c => c,
    }))
}

fn encode(chars: impl Iterator<Item = char>) -> Vec<u8> {
    let text: String = chars.collect();
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn be(s: &str) -> Vec<u8> {
        s.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn the_fold_table_is_sorted_and_has_apples_exceptions() {
        assert!(FOLDS.iter().all(|(a, b, _)| a <= b));
        assert!(FOLDS.windows(2).all(|w| w[0].1 < w[1].0));
        assert_eq!(fold(0), Some(0xFFFF));
        assert_eq!(fold(0xC0), Some(0xC0), "precomposed letters are not folded");
        assert_eq!(fold(0x0419), Some(0x0419));
        assert_eq!(fold(0x0476), Some(0x0476));
        assert_eq!((0..=0xFFFF).filter(|u| fold(*u).is_none()).count(), 16);
    }

    #[test]
    fn order() {
        assert_eq!(compare_folded(&be("README"), &be("readme")), Ordering::Equal);
        assert_eq!(compare_folded(&be("a\u{200C}b"), &be("AB")), Ordering::Equal);
        assert_eq!(compare_folded(&be("\0x"), &be("zzz")), Ordering::Greater);
        assert_eq!(compare_folded(&be("ab"), &be("abc")), Ordering::Less);
        assert_eq!(compare_binary(&be("B"), &be("a")), Ordering::Less);
        assert_eq!(compare_binary(&be("a"), &be("a\u{100}")), Ordering::Less);
    }

    #[test]
    fn names_for_people_and_back() {
        assert_eq!(display(&be("e\u{301}te\u{301}/1")), "été:1");
        assert_eq!(stored("été:1"), be("e\u{301}te\u{301}/1"));
        assert_eq!(stored("\u{212B}"), be("\u{212B}"), "left alone by Apple");
        assert_eq!(display(&be("\0\0x")), "\u{2400}\u{2400}x");
        assert_eq!(display(&[0xD8, 0x00, 0, b'a']), "\u{FFFD}a");
        assert_eq!(stored("한"), be("\u{1112}\u{1161}\u{11AB}"));
    }
}
