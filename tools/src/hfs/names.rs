//! Catalog names: decomposition and the two orders of keys.

use std::cmp::Ordering;
use unicode_normalization::UnicodeNormalization;

/// How names are compared in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOrder {
    /// Apple's fixed case folding (HFS+, and HFSX with key compare type 0xCF).
    Folded,
    /// Code unit by code unit (HFSX with key compare type 0xBC).
    Binary,
}

/// The UTF-16 units of `name` as given.
pub fn utf16(name: &str) -> Vec<u16> {
    name.encode_utf16().collect()
}

/// The UTF-16 units of `name` in HFS+'s canonical decomposition.
pub fn decompose(name: &str) -> Vec<u16> {
    let kept = |c: char| matches!(c as u32, 0x2000..=0x2FFF | 0xF900..=0xFAFF | 0x2F800..=0x2FAFF);
    let mut out = String::new();
    let mut run = String::new();
    for c in name.chars() {
        if kept(c) {
            out.extend(run.nfd());
            run.clear();
            out.push(c);
        } else {
            run.push(c);
        }
    }
    out.extend(run.nfd());
    utf16(&out)
}

/// The name as Linux shows it: composed, with `/` and `:` exchanged.
pub fn display(name: &[u16]) -> String {
    String::from_utf16_lossy(name).nfc().map(|c| if c == '/' { ':' } else { c }).collect()
}

/// Pairs (unit, folded unit) that do not follow a rule.
const FOLD_PAIRS: [(u16, u16); 73] = [
    (0x00C6, 0x00E6),
    (0x00D0, 0x00F0),
    (0x00D8, 0x00F8),
    (0x00DE, 0x00FE),
    (0x0110, 0x0111),
    (0x0126, 0x0127),
    (0x0132, 0x0133),
    (0x013F, 0x0140),
    (0x0141, 0x0142),
    (0x014A, 0x014B),
    (0x0152, 0x0153),
    (0x0166, 0x0167),
    (0x0181, 0x0253),
    (0x0182, 0x0183),
    (0x0184, 0x0185),
    (0x0186, 0x0254),
    (0x0187, 0x0188),
    (0x0189, 0x0256),
    (0x018A, 0x0257),
    (0x018B, 0x018C),
    (0x018E, 0x01DD),
    (0x018F, 0x0259),
    (0x0190, 0x025B),
    (0x0191, 0x0192),
    (0x0193, 0x0260),
    (0x0194, 0x0263),
    (0x0196, 0x0269),
    (0x0197, 0x0268),
    (0x0198, 0x0199),
    (0x019C, 0x026F),
    (0x019D, 0x0272),
    (0x019F, 0x0275),
    (0x01A2, 0x01A3),
    (0x01A4, 0x01A5),
    (0x01A7, 0x01A8),
    (0x01A9, 0x0283),
    (0x01AC, 0x01AD),
    (0x01AE, 0x0288),
    (0x01B1, 0x028A),
    (0x01B2, 0x028B),
    (0x01B3, 0x01B4),
    (0x01B5, 0x01B6),
    (0x01B7, 0x0292),
    (0x01B8, 0x01B9),
    (0x01BC, 0x01BD),
    (0x01C4, 0x01C6),
    (0x01C5, 0x01C6),
    (0x01C7, 0x01C9),
    (0x01C8, 0x01C9),
    (0x01CA, 0x01CC),
    (0x01CB, 0x01CC),
    (0x01E4, 0x01E5),
    (0x01F1, 0x01F3),
    (0x01F2, 0x01F3),
    (0x0402, 0x0452),
    (0x040F, 0x045F),
    (0x04C3, 0x04C4),
    (0x04C7, 0x04C8),
    (0x04CB, 0x04CC),
    (0x03E2, 0x03E3),
    (0x03E4, 0x03E5),
    (0x03E6, 0x03E7),
    (0x03E8, 0x03E9),
    (0x03EA, 0x03EB),
    (0x03EC, 0x03ED),
    (0x03EE, 0x03EF),
    (0x0404, 0x0454),
    (0x0405, 0x0455),
    (0x0406, 0x0456),
    (0x0408, 0x0458),
    (0x0409, 0x0459),
    (0x040A, 0x045A),
    (0x040B, 0x045B),
];

/// Apple's folding of one unit; `None` for the ignorable ones.
pub fn fold(unit: u16) -> Option<u16> {
    Some(match unit {
        0 => 0xFFFF,
        0x41..=0x5A | 0x391..=0x3A1 | 0x3A3..=0x3A9 | 0x410..=0x418 | 0x41A..=0x42F => unit + 0x20,
        0xFF21..=0xFF3A => unit + 0x20,
        0x460..=0x474 | 0x478..=0x480 | 0x490..=0x4BE if unit.is_multiple_of(2) => unit + 1,
        0x531..=0x556 | 0x10A0..=0x10C5 => unit + 0x30,
        0x2160..=0x216F => unit + 0x10,
        0x200C..=0x200F | 0x202A..=0x202E | 0x206A..=0x206F | 0xFEFF => return None,
        _ => FOLD_PAIRS.iter().find(|p| p.0 == unit).map_or(unit, |p| p.1),
    })
}

/// Compares two names in the order `order`.
pub fn compare(order: NameOrder, a: &[u16], b: &[u16]) -> Ordering {
    match order {
        NameOrder::Binary => a.cmp(b),
        NameOrder::Folded => {
            a.iter().filter_map(|&u| fold(u)).cmp(b.iter().filter_map(|&u| fold(u)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_order() {
        let cmp = |a: &str, b: &str| compare(NameOrder::Folded, &utf16(a), &utf16(b));
        assert_eq!(cmp("README", "readme"), Ordering::Equal);
        assert_eq!(cmp("a\u{200D}b", "AB"), Ordering::Equal);
        assert_eq!(cmp("\0\0\0\0HFS+ Private Data", "zzz"), Ordering::Greater);
        assert_eq!(cmp("É", "é"), Ordering::Less, "precomposed Latin letters are not folded");
    }

    #[test]
    fn binary_order() {
        let cmp = |a: &str, b: &str| compare(NameOrder::Binary, &utf16(a), &utf16(b));
        assert_eq!(cmp("Z", "a"), Ordering::Less);
        assert_eq!(cmp("ab", "abc"), Ordering::Less);
        assert_eq!(cmp("\0\0", "a"), Ordering::Less);
    }

    #[test]
    fn decomposition_keeps_the_excluded_ranges() {
        assert_eq!(decompose("é"), [0x65, 0x301]);
        assert_eq!(decompose("\u{212B}"), [0x212B]);
        assert_eq!(decompose("각").len(), 3);
    }
}
