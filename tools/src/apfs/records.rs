//! Keys and values of file-system records.

use super::btree::Key;
use crate::bytes::Put;

/// Record types.
pub mod record {
    /// Snapshot metadata.
    pub const SNAP_META: u8 = 1;
    /// Physical extent.
    pub const EXTENT: u8 = 2;
    /// Inode.
    pub const INODE: u8 = 3;
    /// Extended attribute.
    pub const XATTR: u8 = 4;
    /// Sibling link.
    pub const SIBLING: u8 = 5;
    /// Stream id.
    pub const STREAM: u8 = 6;
    /// Crypto state.
    pub const CRYPTO: u8 = 7;
    /// File extent.
    pub const FILE_EXTENT: u8 = 8;
    /// Directory entry.
    pub const ENTRY: u8 = 9;
    /// Directory statistics.
    pub const DIR_STATS: u8 = 10;
    /// Snapshot name.
    pub const SNAP_NAME: u8 = 11;
    /// Sibling map.
    pub const SIBLING_MAP: u8 = 12;
    /// Hash of file data.
    pub const FILE_INFO: u8 = 13;
}

/// What follows the number of a key, in its order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tail {
    /// Nothing.
    None,
    /// A number: sibling id, logical address.
    Number(u64),
    /// A name, without its NUL.
    Name(Box<[u8]>),
    /// Hash and length of a name, and the name.
    Hashed(u32, Box<[u8]>),
}

/// A key of the file-system, extent reference or snapshot metadata tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FsKey {
    /// Object identifier.
    pub id: u64,
    /// Record type.
    pub kind: u8,
    /// The rest.
    pub tail: Tail,
}

impl FsKey {
    /// A key that is only a number and a type.
    pub fn plain(id: u64, kind: u8) -> Self {
        FsKey { id, kind, tail: Tail::None }
    }

    /// A key with a number behind.
    pub fn numbered(id: u64, kind: u8, number: u64) -> Self {
        FsKey { id, kind, tail: Tail::Number(number) }
    }

    /// A key with a name behind.
    pub fn named(id: u64, kind: u8, name: &str) -> Self {
        FsKey { id, kind, tail: Tail::Name(name.as_bytes().into()) }
    }

    /// A directory entry's key with the name's hash.
    pub fn hashed(id: u64, hash: u32, name: &str) -> Self {
        let word = hash << 10 | (name.len() as u32 + 1);
        FsKey { id, kind: record::ENTRY, tail: Tail::Hashed(word, name.as_bytes().into()) }
    }
}

impl Key for FsKey {
    fn encode(&self, out: &mut Vec<u8>) {
        out.le64(u64::from(self.kind) << 60 | self.id);
        match &self.tail {
            Tail::None => {}
            Tail::Number(n) => out.le64(*n),
            Tail::Name(name) => {
                out.extend_from_slice(&(name.len() as u16 + 1).to_le_bytes());
                out.extend_from_slice(name);
                out.push(0);
            }
            Tail::Hashed(word, name) => {
                out.le32(*word);
                out.extend_from_slice(name);
                out.push(0);
            }
        }
    }

    fn stored_len(&self) -> usize {
        8 + match &self.tail {
            Tail::None => 0,
            Tail::Number(_) => 8,
            Tail::Name(name) => 3 + name.len(),
            Tail::Hashed(_, name) => 5 + name.len(),
        }
    }
}

/// Inode flags.
pub mod flag {
    /// Keeps directory statistics.
    pub const MAINTAIN_STATS: u64 = 2;
    /// The statistics begin here.
    pub const STATS_ORIGIN: u64 = 4;
    /// Is a clone.
    pub const WAS_CLONED: u64 = 0x10;
    /// Has an access control list.
    pub const SECURITY: u64 = 0x40;
    /// Is being truncated.
    pub const BEING_TRUNCATED: u64 = 0x80;
    /// Has Finder information.
    pub const FINDER_INFO: u64 = 0x100;
    /// Has holes.
    pub const SPARSE: u64 = 0x200;
    /// Was the source of a clone.
    pub const EVER_CLONED: u64 = 0x400;
    /// Has a resource fork.
    pub const RESOURCE_FORK: u64 = 0x4000;
    /// Has none.
    pub const NO_RESOURCE_FORK: u64 = 0x8000;
    /// The uncompressed size is set.
    pub const UNCOMPRESSED_SIZE: u64 = 0x4_0000;
    /// May be purged.
    pub const PURGEABLE: u64 = 0x8_0000;
    /// Has the field of purgeable flags.
    pub const PURGEABLE_FIELD: u64 = 0x200_0000;
}

/// Extended fields.
pub mod field {
    /// Sibling id, in entries.
    pub const SIBLING: u8 = 1;
    /// Document id.
    pub const DOCUMENT: u8 = 3;
    /// Name of the primary link.
    pub const NAME: u8 = 4;
    /// Size before a truncation.
    pub const PREVIOUS_SIZE: u8 = 5;
    /// The data stream.
    pub const STREAM: u8 = 8;
    /// Key of the directory statistics.
    pub const DIR_STATS: u8 = 10;
    /// Bytes of holes.
    pub const SPARSE: u8 = 13;
    /// Device number.
    pub const DEVICE: u8 = 14;
    /// Purgeable flags.
    pub const PURGEABLE: u8 = 15;
}

/// Appends a table of extended fields: type, flags, value.
pub fn put_fields(out: &mut Vec<u8>, fields: &[(u8, u8, Vec<u8>)]) {
    if fields.is_empty() {
        return;
    }
    let used: usize = fields.iter().map(|f| f.2.len().next_multiple_of(8)).sum();
    out.extend_from_slice(&(fields.len() as u16).to_le_bytes());
    out.extend_from_slice(&(used as u16).to_le_bytes());
    for (kind, flags, value) in fields {
        out.extend_from_slice(&[*kind, *flags]);
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    for (_, _, value) in fields {
        out.extend_from_slice(value);
        out.zeros(value.len().next_multiple_of(8) - value.len());
    }
}

/// A stream's record: size, allocated bytes, default crypto id, bytes written and read.
pub fn stream(size: u64, allocated: u64, crypto_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    [size, allocated, crypto_id, size, 0].into_iter().for_each(|v| out.le64(v));
    out
}

/// The value of a file extent.
pub fn file_extent(length: u64, flags: u8, address: u64, crypto_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    out.le64(u64::from(flags) << 56 | length);
    out.le64(address);
    out.le64(crypto_id);
    out
}

/// The value of a directory entry.
pub fn entry(id: u64, added: i64, mode: u16, sibling: Option<u64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.le64(id);
    out.le64(added as u64);
    out.extend_from_slice(&(mode >> 12).to_le_bytes());
    if let Some(sibling) = sibling {
        put_fields(&mut out, &[(field::SIBLING, 2, sibling.to_le_bytes().to_vec())]);
    }
    out
}

/// The value of a sibling link.
pub fn sibling(parent: u64, name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 11);
    out.le64(parent);
    out.extend_from_slice(&(name.len() as u16 + 1).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out
}

/// The value of an embedded attribute.
pub fn embedded(flags: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 4);
    out.extend_from_slice(&(flags | 2).to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    out
}

/// The value of an attribute in a stream.
pub fn in_stream(flags: u16, id: u64, size: u64, allocated: u64, crypto_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(52);
    out.extend_from_slice(&(flags | 1).to_le_bytes());
    out.extend_from_slice(&48u16.to_le_bytes());
    out.le64(id);
    out.extend(stream(size, allocated, crypto_id));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn key(key: FsKey) -> String {
        let mut out = Vec::new();
        key.encode(&mut out);
        assert_eq!(out.len(), key.stored_len());
        hex(&out)
    }

    /// Keys and values that stand on volumes macOS wrote.
    #[test]
    fn records_of_real_volumes() {
        let hash = crate::apfs::names::hash("private-dir", true);
        assert_eq!(
            key(FsKey::hashed(1, hash, "private-dir")),
            "01000000000000900c8ca6ac707269766174652d64697200"
        );
        let value = entry(3, 1_760_639_946_531_391_628, 0o040_000, None);
        assert_eq!(hex(&value), "03000000000000008cc85dfeb30c6f180400");
        let value = entry(20, 1_760_639_947_176_269_055, 0o100_644, Some(22));
        assert_eq!(
            hex(&value),
            "1400000000000000ffd4cd24b40c6f18080001000800010208001600000000000000"
        );
        assert_eq!(key(FsKey::numbered(20, 5, 21)), "14000000000000501500000000000000");
        assert_eq!(hex(&sibling(19, "file")), "1300000000000000050066696c6500");
        assert_eq!(key(FsKey::plain(21, 12)), "15000000000000c0");
        assert_eq!(key(FsKey::numbered(17, 8, 0)), "11000000000000800000000000000000");
        assert_eq!(
            hex(&file_extent(4096, 0, 93, 0)),
            "00100000000000005d000000000000000000000000000000"
        );
        assert_eq!(
            key(FsKey::named(23, 4, "com.apple.fs.symlink")),
            "17000000000000401500636f6d2e6170706c652e66732e73796d6c696e6b00"
        );
        assert_eq!(hex(&embedded(4, b"dir/file\0")), "060009006469722f66696c6500");
    }
}
