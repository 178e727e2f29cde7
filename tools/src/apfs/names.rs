//! The hash of directory entries' names.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

const fn table() -> [u32; 256] {
    let mut out = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 != 0 { c >> 1 ^ 0x82F6_3B78 } else { c >> 1 };
            k += 1;
        }
        out[i] = c;
        i += 1;
    }
    out
}

static TABLE: [u32; 256] = table();

fn step(crc: u32, byte: u8) -> u32 {
    crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize]
}

/// The name as it is compared: canonically decomposed and, on volumes that ignore case, folded.
pub fn normal(name: &str, fold: bool) -> String {
    if fold { name.nfd().default_case_fold().nfd().collect() } else { name.nfd().collect() }
}

/// The 22-bit hash of a name: CRC-32C over its normal form's code points, not inverted at the end.
pub fn hash(name: &str, fold: bool) -> u32 {
    let mut crc = u32::MAX;
    for c in normal(name, fold).chars() {
        crc = u32::from(c).to_le_bytes().into_iter().fold(crc, step);
    }
    crc & 0x3F_FFFF
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// Hashes that stand on volumes of Apple's and of the Linux driver's making.
    #[test]
    fn hashes_on_real_volumes() {
        for (name, expected) in [
            ("private-dir", 0x2B_29A3),
            ("root", 0x2D_9C79),
            ("nfkd_3\u{2044}4", 0xE_5327),
            ("nfd_te\u{301}stfile\u{300}", 0x21_AEFD),
            ("case_folding_\u{b5}", 0x3A_3618),
            ("nfc_t\u{e9}stfil\u{e8}", 0x3E_FDE1),
            ("file", 0xE_7C61),
            ("\u{130}stanbul", 0xF_6AFC),
            ("\u{3a3}\u{3c3}\u{3c2}", 0x10_8861),
            ("Stra\u{df}e", 0x14_6C83),
            ("a\u{200d}b zwj", 0x18_8BE6),
            ("\u{958}", 0x19_3108),
            ("\u{fb01}ligature", 0x31_931E),
            ("\u{1e69}\u{323}\u{307}", 0xB_F911),
        ] {
            assert_eq!(hash(name, true), expected, "{name}");
        }
    }

    #[test]
    fn case_matters_where_it_should() {
        assert_eq!(hash("README", true), hash("readme", true));
        assert_ne!(hash("README", false), hash("readme", false));
        assert_eq!(hash("caf\u{e9}", false), hash("cafe\u{301}", false));
    }
}
