//! Names: their hash, which names are the same, and names for people (section 6).

use caseless::Caseless;
use crc::{Algorithm, Crc};
use unicode_normalization::UnicodeNormalization;

/// CRC-32C without the final inversion.
const CRC: Algorithm<u32> = Algorithm { xorout: 0, ..crc::CRC_32_ISCSI };
static TABLE: Crc<u32> = Crc::<u32>::new(&CRC);

/// Bits of the hash in a key.
const HASH_BITS: u32 = 22;
/// Bits of the name's length below it.
pub const LENGTH_BITS: u32 = 10;

/// How the names of a volume are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Keys hold a hash of the name; names that are canonically equivalent are one.
    pub hashed: bool,
    /// Names that differ in case only are one.
    pub folded: bool,
}

impl Rules {
    /// The hash that keys of this name hold.
    pub fn hash(self, name: &str) -> u32 {
        let mut digest = TABLE.digest();
        if name.is_ascii() {
            for b in name.bytes() {
                let b = if self.folded { b.to_ascii_lowercase() } else { b };
                digest.update(&u32::from(b).to_le_bytes());
            }
        } else {
            for c in self.normal(name) {
                digest.update(&u32::from(c).to_le_bytes());
            }
        }
        digest.finalize() & ((1 << HASH_BITS) - 1)
    }

    /// The hash of a name whose characters were all left as they are.
    pub fn hash_unchanged(name: &str) -> u32 {
        let mut digest = TABLE.digest();
        for c in name.chars() {
            digest.update(&u32::from(c).to_le_bytes());
        }
        digest.finalize() & ((1 << HASH_BITS) - 1)
    }

    /// Whether two names are one.
    pub fn same(self, a: &str, b: &str) -> bool {
        if !self.hashed {
            return a == b;
        }
        if a.is_ascii() && b.is_ascii() {
            return if self.folded { a.eq_ignore_ascii_case(b) } else { a == b };
        }
        self.normal(a).eq(self.normal(b))
    }

    /// The code points that are hashed and compared: canonically decomposed, and case
    /// folded in full if the volume folds.
    fn normal(self, name: &str) -> Box<dyn Iterator<Item = char> + '_> {
        if self.folded {
            Box::new(name.nfd().default_case_fold().nfd())
        } else {
            Box::new(name.nfd())
        }
    }
}

/// A stored name for people: NFC. `/` cannot stand in one; should it, it shows as `:`.
pub fn display(stored: &[u8]) -> String {
    let text = stored.strip_suffix(&[0]).unwrap_or(stored);
    let text = String::from_utf8_lossy(text);
    let plain = |b: u8| b.is_ascii() && b != b'/' && b != 0;
    if text.bytes().all(plain) {
        return text.into_owned();
    }
    let shown = |c| match c {
        '/' => ':',
        '\0' => '\u{2400}',
        c => c,
    };
    text.nfc().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_one() {
        let folding = Rules { hashed: true, folded: true };
        let exact = Rules { hashed: true, folded: false };
        let plain = Rules { hashed: false, folded: false };
        let (nfc, nfd, upper) = ("stra\u{DF}e \u{E9}", "stra\u{DF}e e\u{301}", "STRASSE \u{C9}");
        assert!(folding.same(nfc, nfd) && folding.same(nfc, upper));
        assert!(exact.same(nfc, nfd) && !exact.same(nfc, upper));
        assert!(!plain.same(nfc, nfd) && plain.same(nfc, nfc));
        assert_eq!(folding.hash(nfc), folding.hash(upper));
        assert_eq!(exact.hash(nfc), exact.hash(nfd));
        assert_ne!(exact.hash(nfc), exact.hash(upper));
        assert_eq!(folding.hash("README"), folding.hash("readme"));
    }

    #[test]
    fn names_for_people() {
        assert_eq!(display(b"plain\0"), "plain");
        assert_eq!(display("e\u{301}\0".as_bytes()), "\u{E9}");
        assert_eq!(display(b"a/b\0"), "a:b");
        assert_eq!(display(b"\xFFa\0"), "\u{FFFD}a");
    }
}
