//! Apple's transparent file compression (`com.apple.decmpfs`).
//!
//! A compressed file has an empty data fork. The attribute holds a 16-byte
//! little-endian header (magic `fpmc`, type, uncompressed size) and, for small
//! files, the compressed bytes; larger ones keep blocks of 64 KiB in the
//! resource fork. Source: xnu `decmpfs.h`; `formats/hfsplus.md` section 12.

mod codec;
mod fork;
mod lzbitmap;
mod lzvn;

use crate::error::{Error, Result};
use crate::io::bytes::{le32, le64, to_usize};
use crate::io::{Memory, ReadAt, Source};
use std::sync::Arc;

pub use fork::ForkReader;

/// Name of the attribute that holds the header.
pub const XATTR: &str = "com.apple.decmpfs";
/// Uncompressed bytes of one block.
pub const BLOCK: u64 = 65536;
/// Length of the header in bytes.
pub const HEADER_LEN: usize = 16;
/// Largest content that is taken from an attribute; macOS keeps at most one
/// block there, and an attribute that promises more could only exhaust memory.
const MAX_INLINE: u64 = 16 << 20;

/// How the bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Algorithm {
    Stored,
    Zlib,
    Lzvn,
    Lzfse,
    Lzbitmap,
}

/// Where the compressed bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In the attribute, after the header.
    Attribute,
    /// In the resource fork.
    ResourceFork,
}

/// The header of a compressed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The type field.
    pub kind: u32,
    /// Uncompressed size in bytes.
    pub size: u64,
}

impl Header {
    /// Decode the attribute's first 16 bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is too short or the magic is wrong.
    pub fn parse(attribute: &[u8]) -> Result<Self> {
        let (Some(magic), Some(kind), Some(size)) =
            (le32(attribute, 0), le32(attribute, 4), le64(attribute, 8))
        else {
            let n = attribute.len();
            return Err(Error::corrupt(XATTR, format!("{n} bytes, shorter than its header")));
        };
        if magic != 0x636D_7066 {
            return Err(Error::corrupt(XATTR, format!("magic {magic:#010x}, expected 'fpmc'")));
        }
        Ok(Self { kind, size })
    }

    /// Whether the bytes are in the attribute itself.
    pub fn is_in_attribute(&self) -> bool {
        matches!(self.method(), Ok((_, Storage::Attribute)))
    }

    /// Algorithm and place of the bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the reason for every other type.
    pub fn method(&self) -> Result<(Algorithm, Storage)> {
        use {Algorithm::*, Storage::*};
        Ok(match self.kind {
            1 => (Stored, Attribute),
            3 => (Zlib, Attribute),
            4 => (Zlib, ResourceFork),
            7 => (Lzvn, Attribute),
            8 => (Lzvn, ResourceFork),
            9 => (Stored, Attribute),
            10 => (Stored, ResourceFork),
            11 => (Lzfse, Attribute),
            12 => (Lzfse, ResourceFork),
            13 => (Lzbitmap, Attribute),
            14 => (Lzbitmap, ResourceFork),
            k if k & 0xFF00_0000 == 0x8000_0000 => return Err(dataless()),
            k => return Err(Error::Unsupported(format!("unknown compression type {k}"))),
        })
    }
}

/// Why there are no contents of a file that was not on the Mac.
pub fn dataless() -> Error {
    let text = "the file's contents were only in iCloud when it was backed up; the backup holds \
                its name but no data";
    Error::Unsupported(text.into())
}

/// The uncompressed contents of a file, from its attribute and resource fork.
///
/// # Errors
/// [`Error::Corrupt`] when the parts contradict each other; [`Error::Unsupported`]
/// for types that cannot be decoded.
pub fn open(attribute: &[u8], resource: impl FnOnce() -> Result<Source>) -> Result<Source> {
    let header = Header::parse(attribute)?;
    let (algorithm, storage) = header.method()?;
    match storage {
        Storage::ResourceFork => {
            Ok(Arc::new(ForkReader::new(header, algorithm, resource()?)?) as Arc<dyn ReadAt>)
        }
        Storage::Attribute => {
            let payload = attribute.get(HEADER_LEN..).unwrap_or_default();
            let contents = inline(&header, algorithm, payload)?;
            Ok(Arc::new(Memory::new(contents)))
        }
    }
}

fn inline(header: &Header, algorithm: Algorithm, payload: &[u8]) -> Result<Vec<u8>> {
    if header.size > MAX_INLINE {
        let text = format!("{} bytes are said to fit in the attribute", header.size);
        return Err(Error::corrupt(XATTR, text));
    }
    let mut out = vec![0; to_usize(header.size)];
    if header.kind == 1 {
        copy_exact(payload, &mut out)?;
    } else {
        codec::decode_block(algorithm, payload, &mut out)?;
    }
    Ok(out)
}

fn copy_exact(from: &[u8], out: &mut [u8]) -> Result<()> {
    let (have, want) = (from.len(), out.len());
    match from.get(..want) {
        Some(bytes) => {
            out.copy_from_slice(bytes);
            Ok(())
        }
        None => Err(Error::corrupt(XATTR, format!("{have} stored bytes, expected {want}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn attribute(kind: u32, size: u64, payload: &[u8]) -> Vec<u8> {
        let mut v = b"fpmc".to_vec();
        v.extend(kind.to_le_bytes());
        v.extend(size.to_le_bytes());
        v.extend(payload);
        v
    }

    fn none() -> Result<Source> {
        panic!("the resource fork is not needed")
    }

    #[test]
    fn inline_types_decode() {
        let text = b"hello, hello, hello";
        let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        z.write_all(text).unwrap();
        let zlib = z.finish().unwrap();
        let stored = |mark: u8| [&[mark][..], text].concat();
        for (kind, payload) in [
            (1, text.to_vec()),
            (3, zlib),
            (3, stored(0xFF)),
            (7, stored(6)),
            (9, stored(0xCC)),
            (11, stored(0xFF)),
            (13, stored(0xFF)),
        ] {
            let source = open(&attribute(kind, 19, &payload), none).unwrap();
            assert_eq!(crate::io::read_vec(&*source, 0, 19).unwrap(), text, "type {kind}");
        }
    }

    #[test]
    fn damage_and_the_unknown_are_told_apart() {
        let is_corrupt = |a: &[u8]| matches!(open(a, none), Err(Error::Corrupt(_)));
        assert!(is_corrupt(b"fpmc"));
        assert!(is_corrupt(&attribute(1, 5, b"four")));
        assert!(is_corrupt(&attribute(3, u64::MAX, b"x")));
        assert!(is_corrupt(&attribute(3, 10, b"\x78\x01garbage")));
        let is_unsupported =
            |k| matches!(open(&attribute(k, 5, b""), none), Err(Error::Unsupported(_)));
        assert!(is_unsupported(0x8000_0001) && is_unsupported(77));
    }
}
