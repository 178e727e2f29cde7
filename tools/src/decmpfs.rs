//! Transparent compression: the `com.apple.decmpfs` attribute and the forks that go with it.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use crate::bytes::{Put, put};
use crate::{lzbitmap, lzvn};

/// The attribute that holds the header and, if it fits, the data.
pub const XATTR: &str = "com.apple.decmpfs";
/// How readers call the resource fork.
pub const RESOURCE_FORK: &str = "com.apple.ResourceFork";

const BLOCK: usize = 64 * 1024;

/// A kind of compression, by decmpfs type number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecmpfsType {
    /// 1: plain bytes in the attribute.
    Plain1,
    /// 3: zlib in the attribute.
    Zlib3,
    /// 4: zlib in the resource fork.
    Zlib4,
    /// 5: a run of zeros without data.
    Zeros5,
    /// 7: LZVN in the attribute.
    Lzvn7,
    /// 8: LZVN in the resource fork.
    Lzvn8,
    /// 9: stored in the attribute.
    Stored9,
    /// 10: stored in the resource fork.
    Stored10,
    /// 11: LZFSE in the attribute.
    Lzfse11,
    /// 12: LZFSE in the resource fork.
    Lzfse12,
    /// 13: LZBITMAP in the attribute.
    Lzbitmap13,
    /// 14: LZBITMAP in the resource fork.
    Lzbitmap14,
    /// 0x80000001: the data is elsewhere (iCloud).
    Dataless,
}

impl DecmpfsType {
    /// Every kind.
    pub const ALL: [DecmpfsType; 13] = [
        DecmpfsType::Plain1,
        DecmpfsType::Zlib3,
        DecmpfsType::Zlib4,
        DecmpfsType::Zeros5,
        DecmpfsType::Lzvn7,
        DecmpfsType::Lzvn8,
        DecmpfsType::Stored9,
        DecmpfsType::Stored10,
        DecmpfsType::Lzfse11,
        DecmpfsType::Lzfse12,
        DecmpfsType::Lzbitmap13,
        DecmpfsType::Lzbitmap14,
        DecmpfsType::Dataless,
    ];

    /// The number in the header.
    pub fn number(self) -> u32 {
        match self {
            DecmpfsType::Plain1 => 1,
            DecmpfsType::Zlib3 => 3,
            DecmpfsType::Zlib4 => 4,
            DecmpfsType::Zeros5 => 5,
            DecmpfsType::Lzvn7 => 7,
            DecmpfsType::Lzvn8 => 8,
            DecmpfsType::Stored9 => 9,
            DecmpfsType::Stored10 => 10,
            DecmpfsType::Lzfse11 => 11,
            DecmpfsType::Lzfse12 => 12,
            DecmpfsType::Lzbitmap13 => 13,
            DecmpfsType::Lzbitmap14 => 14,
            DecmpfsType::Dataless => 0x8000_0001,
        }
    }

    /// Whether the data lies in the resource fork.
    pub fn in_resource_fork(self) -> bool {
        use DecmpfsType::*;
        matches!(self, Zlib4 | Lzvn8 | Stored10 | Lzfse12 | Lzbitmap14)
    }
}

/// The attribute and the resource fork (empty if there is none) for `data`.
pub fn compress(data: &[u8], how: DecmpfsType) -> (Vec<u8>, Vec<u8>) {
    let mut xattr = b"fpmc".to_vec();
    xattr.le32(how.number());
    xattr.le64(data.len() as u64);
    let mut fork = Vec::new();
    match how {
        DecmpfsType::Plain1 => xattr.extend_from_slice(data),
        DecmpfsType::Zeros5 => {
            assert!(data.iter().all(|&b| b == 0), "type 5 holds zeros only");
            xattr.zeros(12);
        }
        DecmpfsType::Dataless => {}
        DecmpfsType::Zlib4 => fork = zlib_fork(data),
        _ if how.in_resource_fork() => fork = table_fork(data, how),
        _ => xattr.extend_from_slice(&block(data, how)),
    }
    assert!(xattr.len() <= 3802, "type {} does not fit into an attribute", how.number());
    (xattr, fork)
}

/// One block, compressed or, where that does not pay, stored behind the type's marker.
fn block(data: &[u8], how: DecmpfsType) -> Vec<u8> {
    use DecmpfsType::*;
    let (marker, packed) = match how {
        Zlib3 | Zlib4 => (0xFF, Some(zlib(data))),
        Lzvn7 | Lzvn8 => (0x06, Some(lzvn::encode(data))),
        Lzfse11 | Lzfse12 => (0xFF, Some(lzfse(data))),
        Lzbitmap13 | Lzbitmap14 => (0xFF, Some(lzbitmap::encode(data))),
        Stored9 | Stored10 => (0xCC, None),
        _ => (0xFF, None),
    };
    match packed {
        Some(packed) if packed.len() <= data.len() => packed,
        _ => [&[marker], data].concat(),
    }
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(5));
    encoder.write_all(data).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

fn lzfse(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    lzfse_rust::encode_bytes(data, &mut out).expect("writing to memory");
    out
}

fn blocks(data: &[u8], how: DecmpfsType) -> Vec<Vec<u8>> {
    data.chunks(BLOCK).map(|part| block(part, how)).collect()
}

/// A resource fork with one `cmpf` resource: a table of offsets and sizes, then the blocks.
fn zlib_fork(data: &[u8]) -> Vec<u8> {
    let blocks = blocks(data, DecmpfsType::Zlib4);
    let mut body = Vec::new();
    body.le32(blocks.len() as u32);
    let mut at = 4 + 8 * blocks.len();
    for block in &blocks {
        body.le32(at as u32);
        body.le32(block.len() as u32);
        at += block.len();
    }
    blocks.iter().for_each(|b| body.extend_from_slice(b));
    let mut out = Vec::new();
    out.be32(0x100);
    out.be32(0x104 + body.len() as u32);
    out.be32(4 + body.len() as u32);
    out.be32(50);
    out.zeros(0x100 - 16);
    out.be32(body.len() as u32);
    out.extend_from_slice(&body);
    out.extend_from_slice(&resource_map());
    out
}

fn resource_map() -> [u8; 50] {
    let mut map = [0; 50];
    put(&mut map, 24, &[0x00, 0x1C, 0x00, 0x32, 0x00, 0x00]);
    put(&mut map, 30, b"cmpf");
    put(&mut map, 34, &[0x00, 0x00, 0x00, 0x0A, 0x00, 0x01, 0xFF, 0xFF]);
    map
}

/// A table of block offsets from the fork's start, then the blocks.
fn table_fork(data: &[u8], how: DecmpfsType) -> Vec<u8> {
    let blocks = blocks(data, how);
    let mut out = Vec::new();
    let mut at = 4 * (blocks.len() + 1);
    for block in &blocks {
        out.le32(at as u32);
        at += block.len();
    }
    out.le32(at as u32);
    blocks.iter().for_each(|b| out.extend_from_slice(b));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hfs::Content;

    #[test]
    fn headers_and_forks() {
        let text = Content::text(1, 150_000).to_vec();
        for how in DecmpfsType::ALL.into_iter().filter(|h| h.in_resource_fork()) {
            let (xattr, fork) = compress(&text, how);
            assert_eq!(xattr.len(), 16);
            assert_eq!(&xattr[..4], b"fpmc");
            assert!(!fork.is_empty());
        }
        let (xattr, fork) = compress(b"", DecmpfsType::Zlib3);
        assert_eq!((xattr.len(), fork.len()), (17, 0));
    }

    #[test]
    fn incompressible_blocks_are_stored() {
        let noise = Content::Pattern { seed: 1, len: 300 }.to_vec();
        assert_eq!(compress(&noise, DecmpfsType::Lzvn7).0[16], 0x06);
        assert_eq!(compress(&noise, DecmpfsType::Zlib3).0[16], 0xFF);
        assert_eq!(compress(&noise, DecmpfsType::Lzfse11).0[16], 0xFF);
    }
}
