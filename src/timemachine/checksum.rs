//! Time Machine's per-file checksums (`formats/timemachine-hfs.md` section 4).
//!
//! Since macOS 10.11 a file that is copied to an HFS+ backup carries the CRC of POSIX
//! `cksum` over its contents in an extended attribute, four bytes, little-endian.

use crate::fs::{FileSystem, Metadata, NodeId, Stream};
use crate::io::ReadAt;
use crate::io::bytes::{le32, to_usize};
use crc::{CRC_32_CKSUM, Crc, Digest, Table};

/// Name of the attribute, without the suffix that tells macOS how to copy it.
const NAME: &str = "com.apple.finder.copy.source.checksum";

/// Bytes read at a time.
const PIECE: u64 = 1 << 20;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_CKSUM);

/// Whether an extended attribute is a file's recorded checksum: its name, with or
/// without a suffix such as `#N`.
pub fn is_name(name: &str) -> bool {
    name.strip_prefix(NAME).is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('#'))
}

/// The recorded value; `None` if it is not four bytes long.
pub fn parse(value: &[u8]) -> Option<u32> {
    le32(value, 0).filter(|_| value.len() == 4)
}

/// Whether a file whose contents have the checksum `found` is what was `recorded`. It is not
/// known whether that of a compressed file is of its contents or of what is stored: either
/// will do.
pub fn agrees(fs: &dyn FileSystem, meta: &Metadata, recorded: u32, found: u32) -> bool {
    found == recorded || meta.compressed && of_stored(fs, meta.id) == Some(recorded)
}

/// The checksum of a compressed file as it is stored, if that is not in an attribute.
fn of_stored(fs: &dyn FileSystem, node: NodeId) -> Option<u32> {
    let fork = fs.open(node, &Stream::Resource).ok()?;
    let mut sum = Cksum::default();
    let mut at = 0;
    while at < fork.len() {
        let n = (fork.len() - at).min(PIECE);
        sum.update(&crate::io::read_vec(&*fork, at, to_usize(n)).ok()?);
        at += n;
    }
    (at > 0).then(|| sum.finish())
}

/// POSIX `cksum`, piece by piece: the CRC-32 of polynomial 04C11DB7, most significant
/// bit first, over the bytes and then their number.
pub struct Cksum {
    digest: Digest<'static, u32, Table<16>>,
    len: u64,
}

impl Default for Cksum {
    fn default() -> Self {
        Self { digest: CRC.digest(), len: 0 }
    }
}

impl Cksum {
    /// Take in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.len = self.len.wrapping_add(crate::io::bytes::to_u64(bytes.len()));
    }

    /// Take in so many zeros, in no time.
    pub fn zeros(&mut self, n: u64) {
        let state = self.digest.clone().finalize() ^ CRC_32_CKSUM.xorout;
        let after = multiply(state, power_of_x8(n));
        self.digest = CRC.digest_with_initial(after);
        self.len = self.len.wrapping_add(n);
    }

    /// The checksum of all that was taken in.
    pub fn finish(mut self) -> u32 {
        // The length is appended in as few bytes as it needs, the lowest first.
        let len = self.len.to_le_bytes();
        let used = len.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        self.digest.update(len.get(..used).unwrap_or_default());
        self.digest.finalize()
    }
}

/// The product of two polynomials over GF(2), reduced by the CRC's.
fn multiply(a: u32, b: u32) -> u32 {
    let mut product = 0u32;
    for bit in (0..32).rev() {
        let carry = product >> 31 == 1;
        product <<= 1;
        if carry {
            product ^= CRC_32_CKSUM.poly;
        }
        if b >> bit & 1 == 1 {
            product ^= a;
        }
    }
    product
}

/// x to the power of 8 n: what n zero bytes multiply a CRC's state by.
fn power_of_x8(mut n: u64) -> u32 {
    let (mut power, mut square) = (1, 1 << 8);
    while n > 0 {
        if n & 1 == 1 {
            power = multiply(power, square);
        }
        square = multiply(square, square);
        n >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_count_as_if_they_were_taken_in() {
        for (before, n, after) in
            [("", 1, "x"), ("abc", 1000, ""), ("abc", 70_001, "def"), ("", 0, "")]
        {
            let (mut slow, mut fast) = (Cksum::default(), Cksum::default());
            slow.update(before.as_bytes());
            fast.update(before.as_bytes());
            slow.update(&vec![0; n]);
            fast.zeros(n as u64);
            slow.update(after.as_bytes());
            fast.update(after.as_bytes());
            assert_eq!(fast.finish(), slow.finish(), "{n} zeros after {before:?}");
        }
    }
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn cksum(bytes: &[u8]) -> u32 {
        let mut sum = Cksum::default();
        // Uneven pieces must not matter.
        for piece in bytes.chunks(4097) {
            sum.update(piece);
        }
        sum.finish()
    }

    /// What coreutils says; `None` where there is no `cksum`.
    fn coreutils(bytes: &[u8]) -> Option<u32> {
        let mut child = Command::new("cksum")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        child.stdin.take()?.write_all(bytes).ok()?;
        let out = child.wait_with_output().ok()?;
        String::from_utf8(out.stdout).ok()?.split(' ').next()?.parse().ok()
    }

    #[test]
    fn agrees_with_the_standard_and_with_the_known_example() {
        assert_eq!(cksum(b"123456789"), 930_766_865);
        assert_eq!(cksum(b""), 4_294_967_295);
        assert_eq!(parse(&[0x11, 0x60, 0x7A, 0x37]), Some(930_766_865));
    }

    #[test]
    fn agrees_with_the_writer_and_with_coreutils() {
        let mut x = 1u64;
        for len in [0usize, 1, 15, 16, 17, 255, 256, 257, 65_535, 65_536, 1_000_003] {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (x >> 56) as u8
                })
                .collect();
            assert_eq!(cksum(&bytes), tools::cksum::cksum(&bytes), "{len} bytes");
            if let Some(want) = coreutils(&bytes) {
                assert_eq!(cksum(&bytes), want, "{len} bytes");
            }
        }
    }

    #[test]
    fn names_and_values() {
        assert!(is_name("com.apple.finder.copy.source.checksum#N"));
        assert!(is_name("com.apple.finder.copy.source.checksum"));
        assert!(!is_name("com.apple.finder.copy.source.checksums"));
        assert_eq!(parse(&[1, 2, 3]), None);
        assert_eq!(parse(&[1, 0, 0, 0, 0]), None);
    }
}
