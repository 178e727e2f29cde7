//! Records of a file-system tree (section 6): keys, their order, and values.

use super::format::record;
use super::names::LENGTH_BITS;
use super::node::{Order, Shape};
use crate::fs::Time;
use crate::io::bytes::{array, le16, le32, le64};
use std::cmp::Ordering;

/// The bits of a key's first number that are the object's.
const ID_BITS: u32 = 60;
/// Most extended fields that are looked at; an inode has a handful.
const MAX_FIELDS: u16 = 64;

/// The tree of a volume's records; `hashed`: keys of entries hold a hash.
pub fn shape(hashed: bool) -> Shape {
    let order: Order = if hashed { order_hashed } else { order_plain };
    let tag = if hashed { 2 } else { 3 };
    Shape { subtype: super::format::tree::FS, fixed: None, order, tag, name: "file-system tree" }
}

/// First number of a key split into object and type.
pub fn split(key: &[u8]) -> Option<(u64, u8)> {
    let n = le64(key, 0)?;
    Some((n & ((1 << ID_BITS) - 1), u8::try_from(n >> ID_BITS).ok()?))
}

/// The first eight bytes of a key.
pub fn key(id: u64, kind: u8) -> [u8; 8] {
    (id & ((1 << ID_BITS) - 1) | u64::from(kind) << ID_BITS).to_le_bytes()
}

/// A key with a number behind it.
pub fn key_with(id: u64, kind: u8, tail: u64) -> [u8; 16] {
    (u128::from(tail) << 64 | u128::from(u64::from_le_bytes(key(id, kind)))).to_le_bytes()
}

/// The key before the first entry of a folder whose name has this hash.
pub fn hash_key(folder: u64, hash: u32) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = key(folder, record::ENTRY);
    let [i, j, k, l] = (hash << LENGTH_BITS).to_le_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

fn order_hashed(a: &[u8], b: &[u8]) -> Ordering {
    order(a, b, true)
}

fn order_plain(a: &[u8], b: &[u8]) -> Ordering {
    order(a, b, false)
}

/// Object, type, then as the type says. A key without a tail comes first.
fn order(a: &[u8], b: &[u8], hashed: bool) -> Ordering {
    // Rotated, the number orders by object and then by type.
    let first = |k: &[u8]| le64(k, 0).unwrap_or(0).rotate_left(64 - ID_BITS);
    let (x, y) = (first(a), first(b));
    x.cmp(&y).then_with(|| {
        let (s, t) = (a.get(8..).unwrap_or_default(), b.get(8..).unwrap_or_default());
        match u8::try_from(x & 0xF).unwrap_or(0) {
            record::ENTRY if hashed => {
                let name = |k: &[u8]| le32(k, 0).map_or(0, u64::from);
                name(s).cmp(&name(t)).then_with(|| after(s, 4).cmp(after(t, 4)))
            }
            record::ENTRY | record::XATTR | record::SNAPSHOT_NAME => after(s, 2).cmp(after(t, 2)),
            _ => le64(s, 0).cmp(&le64(t, 0)),
        }
    })
}

fn after(tail: &[u8], n: usize) -> &[u8] {
    tail.get(n..).unwrap_or_default()
}

/// The name in the key of an entry, with its NUL.
pub fn entry_name(key: &[u8], hashed: bool) -> Option<&[u8]> {
    let (len, at) = if hashed {
        (usize::from(le16(key, 8)? & ((1 << LENGTH_BITS) - 1)), 12)
    } else {
        (usize::from(le16(key, 8)?), 10)
    };
    key.get(at..at + len)
}

/// The name in the key of an attribute, without its NUL.
pub fn xattr_name(key: &[u8]) -> Option<&[u8]> {
    let len = usize::from(le16(key, 8)?);
    let name = key.get(10..10 + len)?;
    Some(name.strip_suffix(&[0]).unwrap_or(name))
}

/// Nanoseconds since 1970, signed, as a moment.
pub fn time(nanoseconds: u64) -> Time {
    const SECOND: i64 = 1_000_000_000;
    let n = nanoseconds.cast_signed();
    let (seconds, rest) = (n.div_euclid(SECOND), n.rem_euclid(SECOND));
    Time { seconds, nanoseconds: u32::try_from(rest).unwrap_or(0) }
}

/// A stream of bytes as an inode or attribute describes it (`j_dstream_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamInfo {
    /// Length in bytes.
    pub size: u64,
    /// Bytes of its extents, holes included.
    pub allocated: u64,
    /// Crypto state of new extents.
    pub crypto_id: u64,
}

impl StreamInfo {
    fn parse(b: &[u8]) -> Option<Self> {
        Some(Self { size: le64(b, 0)?, allocated: le64(b, 8)?, crypto_id: le64(b, 16)? })
    }
}

/// An inode (section 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Inode {
    pub parent: u64,
    /// Number of the data stream.
    pub stream_id: u64,
    pub created: u64,
    pub modified: u64,
    pub changed: u64,
    pub accessed: u64,
    pub internal_flags: u64,
    /// Children of a folder; names of everything else.
    pub links: u32,
    pub flags: u32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u16,
    pub stream: Option<StreamInfo>,
    /// Bytes of holes.
    pub sparse: u64,
    pub device: u32,
    pub finder_info: Option<[u8; 32]>,
}

impl Inode {
    /// Decode the value of an inode record; `None` if it is cut off.
    pub fn parse(b: &[u8]) -> Option<Self> {
        let mut inode = Self {
            parent: le64(b, 0)?,
            stream_id: le64(b, 8)?,
            created: le64(b, 0x10)?,
            modified: le64(b, 0x18)?,
            changed: le64(b, 0x20)?,
            accessed: le64(b, 0x28)?,
            internal_flags: le64(b, 0x30)?,
            links: le32(b, 0x38)?,
            flags: le32(b, 0x44)?,
            uid: le32(b, 0x48)?,
            gid: le32(b, 0x4C)?,
            mode: le16(b, 0x50)?,
            stream: None,
            sparse: 0,
            device: 0,
            finder_info: None,
        };
        b.get(..0x5C)?;
        fields(b.get(0x5C..)?, &mut |kind, value| {
            match kind {
                7 => inode.finder_info = array(value, 0),
                8 => inode.stream = StreamInfo::parse(value),
                13 => inode.sparse = le64(value, 0).unwrap_or(0),
                14 => inode.device = le32(value, 0).unwrap_or(0),
                _ => {}
            };
        })?;
        Some(inode)
    }
}

/// The name of the primary link in the value of an inode record.
pub fn primary_name(b: &[u8]) -> Option<Vec<u8>> {
    let mut name = None;
    fields(b.get(0x5C..)?, &mut |kind, value| {
        if kind == 4 {
            name = Some(value.to_vec());
        }
    })?;
    name
}

/// Visit extended fields (section 6.2); `None` if they do not fit.
fn fields(b: &[u8], visit: &mut dyn FnMut(u8, &[u8])) -> Option<()> {
    if b.is_empty() {
        return Some(());
    }
    let count = le16(b, 0)?;
    if count > MAX_FIELDS {
        return None;
    }
    let count = usize::from(count);
    let mut at = 4 + count * 4;
    for i in 0..count {
        let head = 4 + i * 4;
        let kind = *b.get(head)?;
        let len = usize::from(le16(b, head + 2)?);
        visit(kind, b.get(at..at + len)?);
        at += len.next_multiple_of(8);
    }
    Some(())
}

/// An entry of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Number of the object.
    pub inode: u64,
    /// When it came into the folder.
    pub added: u64,
    /// Kind in the low 4 bits.
    pub flags: u16,
    /// Number of this link, if the object has several.
    pub sibling: Option<u64>,
}

impl Link {
    /// Decode the value of an entry; `None` if it is cut off.
    pub fn parse(b: &[u8]) -> Option<Self> {
        let mut link =
            Self { inode: le64(b, 0)?, added: le64(b, 8)?, flags: le16(b, 16)?, sibling: None };
        fields(b.get(18..)?, &mut |kind, value| {
            if kind == 1 {
                link.sibling = le64(value, 0);
            }
        })?;
        Some(link)
    }
}

/// Another name of an object: folder and name (type 5).
pub fn sibling(b: &[u8]) -> Option<(u64, &[u8])> {
    let len = usize::from(le16(b, 8)?);
    Some((le64(b, 0)?, b.get(10..10 + len)?))
}

/// The value of an attribute (section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XattrValue<'a> {
    /// In the record.
    Embedded(&'a [u8]),
    /// In extents of its own.
    Stream {
        /// Number of the stream.
        id: u64,
        /// Its sizes.
        info: StreamInfo,
    },
}

impl<'a> XattrValue<'a> {
    /// Decode the value of an attribute record; `None` if it is cut off or claims to be
    /// stored in both ways or in none.
    pub fn parse(b: &'a [u8]) -> Option<Self> {
        let (flags, len) = (le16(b, 0)?, usize::from(le16(b, 2)?));
        let data = b.get(4..4 + len)?;
        match (flags & super::format::XATTR_STREAM != 0, flags & super::format::XATTR_EMBEDDED != 0)
        {
            (false, true) => Some(Self::Embedded(data)),
            (true, false) => {
                Some(Self::Stream { id: le64(data, 0)?, info: StreamInfo::parse(data.get(8..)?)? })
            }
            _ => None,
        }
    }

    /// Length of the value in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Embedded(data) => crate::io::bytes::to_u64(data.len()),
            Self::Stream { info, .. } => info.size,
        }
    }
}

/// An extent of a stream (section 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First byte in the stream.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// First block; `None` for a hole.
    pub block: Option<u64>,
    /// What its encryption is tweaked by.
    pub crypto_id: u64,
}

impl Extent {
    const LENGTH: u64 = (1 << 56) - 1;

    /// Decode an extent record (type 8): key and value.
    pub fn parse(key: &[u8], b: &[u8]) -> Option<Self> {
        let (offset, len, block) = (le64(key, 8)?, le64(b, 0)? & Self::LENGTH, le64(b, 8)?);
        Some(Self { offset, len, block: (block != 0).then_some(block), crypto_id: le64(b, 16)? })
    }

    /// Decode a record of the extents tree of a sealed volume.
    pub fn parse_sealed(key: &[u8], b: &[u8]) -> Option<Self> {
        let (offset, len, block) = (le64(key, 8)?, le64(b, 0)? & Self::LENGTH, le64(b, 8)?);
        Some(Self { offset, len, block: (block != 0).then_some(block), crypto_id: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_by_object_then_type_then_tail() {
        let mut keys: Vec<Vec<u8>> = vec![
            key_with(17, record::FILE_EXTENT, 4096).to_vec(),
            key(17, record::INODE).to_vec(),
            key_with(17, record::FILE_EXTENT, 0).to_vec(),
            key(18, record::INODE).to_vec(),
            [&key(17, record::XATTR)[..], &[2, 0], b"b\0"].concat(),
            [&key(17, record::XATTR)[..], &[3, 0], b"ab\0"].concat(),
            key(16, record::SNAPSHOT_NAME).to_vec(),
        ];
        keys.sort_by(|a, b| order_hashed(a, b));
        let kinds: Vec<(u64, u8)> = keys.iter().map(|k| split(k).unwrap()).collect();
        assert_eq!(kinds, [(16, 11), (17, 3), (17, 4), (17, 4), (17, 8), (17, 8), (18, 3)]);
        assert_eq!(xattr_name(&keys[2]), Some(&b"ab"[..]));
        assert_eq!(le64(&keys[4], 8), Some(0));
    }

    #[test]
    fn fields_that_do_not_fit_are_refused() {
        let mut inode = vec![0; 0x5C];
        assert!(Inode::parse(&inode).is_some());
        assert!(Inode::parse(&inode[..0x5B]).is_none());
        inode.extend([1, 0, 8, 0, 8, 0x20, 40, 0]);
        assert!(Inode::parse(&inode).is_none());
        inode.extend([7; 40]);
        assert_eq!(Inode::parse(&inode).unwrap().stream.unwrap().size, 0x0707_0707_0707_0707);
        inode[0x5C] = 0xFF;
        inode[0x5D] = 0xFF;
        assert!(Inode::parse(&inode).is_none());
    }

    #[test]
    fn dates_before_1970() {
        assert_eq!(time((-1i64).cast_unsigned()), Time { seconds: -1, nanoseconds: 999_999_999 });
    }
}
