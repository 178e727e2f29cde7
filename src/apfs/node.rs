//! A node of a B-tree (section 3): its areas and entries, proved when it is read.

use super::format::{FOOTER, HEADER};
use super::object::Header;
use crate::io::bytes::{le16, le32, le64, usize32};
use std::cmp::Ordering;
use std::ops::Range;

/// Where the areas of a node begin.
const AREAS: usize = 0x38;
/// Offset of a value that is not there.
const NO_VALUE: u16 = 0xFFFF;

const FLAG_ROOT: u16 = 1;
const FLAG_LEAF: u16 = 2;
const FLAG_FIXED: u16 = 4;
const FLAG_HASHED: u16 = 8;

/// Offset and length in an area.
pub type Span = (usize, usize);

/// Order of two keys.
pub type Order = fn(&[u8], &[u8]) -> Ordering;

/// What a node's tree says about its entries.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Subtype of the tree.
    pub subtype: u32,
    /// Sizes of keys and leaf values where both are fixed.
    pub fixed: Option<(usize, usize)>,
    /// How keys are ordered.
    pub order: Order,
    /// Tells trees apart whose keys are ordered differently.
    pub tag: u8,
    /// Its name for people.
    pub name: &'static str,
}

/// The footer of a root (`btree_info_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Flags.
    pub flags: u32,
    /// Bytes of a node.
    pub node_size: u32,
    /// Bytes of a key, 0 if they vary.
    pub key_size: u32,
    /// Bytes of a value, 0 if they vary.
    pub value_size: u32,
    /// Bytes of the longest key and of the longest value that were ever in it.
    pub longest: (u32, u32),
    /// Number of keys in all leaves.
    pub keys: u64,
    /// Number of nodes.
    pub nodes: u64,
}

/// An entry of a node.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Key.
    pub key: &'a [u8],
    /// Value; `None` for a ghost.
    pub value: Option<&'a [u8]>,
}

/// A node with all of its entries within their areas and in order.
pub struct Node {
    bytes: Vec<u8>,
    /// Header of the object.
    pub header: Header,
    /// Block it lies in.
    pub block: u64,
    /// 0 for leaves.
    pub level: u16,
    /// Number of entries.
    pub count: usize,
    /// Which order was proved.
    pub tag: u8,
    flags: u16,
    keys: Range<usize>,
    values: Range<usize>,
    fixed: Option<(usize, usize)>,
}

impl Node {
    /// Decode a node and prove its entries.
    ///
    /// # Errors
    /// What is wrong with it: a sentence.
    pub fn new(bytes: Vec<u8>, block: u64, shape: &Shape) -> Result<Self, String> {
        let short = || "is cut off".to_string();
        let header = Header::parse(&bytes).ok_or_else(short)?;
        let flags = le16(&bytes, HEADER).ok_or_else(short)?;
        let level = le16(&bytes, HEADER + 2).ok_or_else(short)?;
        let count = usize32(le32(&bytes, HEADER + 4).ok_or_else(short)?);
        let table = (le16(&bytes, 0x28), le16(&bytes, 0x2A));
        let (Some(table_at), Some(table_len)) = table else { return Err(short()) };
        let leaf = flags & FLAG_LEAF != 0;
        if leaf != (level == 0) {
            return Err(format!(
                "has level {level} and flags {flags:#x}, which contradict each other"
            ));
        }
        let is_fixed = flags & FLAG_FIXED != 0;
        let fixed = match (is_fixed, shape.fixed) {
            (true, Some((key, value))) => Some((key, if leaf { value } else { 8 })),
            (false, _) => None,
            (true, None) => {
                return Err("has entries of fixed size in a tree of variable ones".into());
            }
        };
        let end = bytes.len() - if flags & FLAG_ROOT != 0 { FOOTER } else { 0 };
        let keys_at = AREAS + usize::from(table_at) + usize::from(table_len);
        let entry_size = if is_fixed { 4 } else { 8 };
        if table_at != 0 || keys_at > end || count > usize::from(table_len) / entry_size {
            let text = format!(
                "{count} entries do not fit into a table of {table_len} bytes at {table_at}"
            );
            return Err(text);
        }
        let (keys, values) = (keys_at..end, keys_at..end);
        let node =
            Self { bytes, header, block, level, count, tag: shape.tag, flags, keys, values, fixed };
        node.prove(shape)?;
        Ok(node)
    }

    /// All entries lie in the node and ascend.
    fn prove(&self, shape: &Shape) -> Result<(), String> {
        let mut last: Option<&[u8]> = None;
        for i in 0..self.count {
            let entry =
                self.entry(i).ok_or_else(|| format!("entry {i} does not lie in the node"))?;
            if let Some(last) = last
                && (shape.order)(last, entry.key) != Ordering::Less
            {
                return Err(format!("entry {i} is not in order"));
            }
            if self.level > 0 && entry.value.is_none_or(|v| v.len() < 8) {
                return Err(format!("entry {i} has no child"));
            }
            last = Some(entry.key);
        }
        if self.count == 0 && !self.is_root() {
            return Err("has no entries, which only a root may".into());
        }
        if self.count == 0 && self.level > 0 {
            return Err(format!("has no entries, but level {}", self.level));
        }
        Ok(())
    }

    /// Entry `i`; `None` past the last.
    pub fn entry(&self, i: usize) -> Option<Entry<'_>> {
        if i >= self.count {
            return None;
        }
        if let Some((key_len, value_len)) = self.fixed {
            let at = AREAS + i * 4;
            let (k, v) = (le16(&self.bytes, at)?, le16(&self.bytes, at + 2)?);
            return Some(Entry { key: self.key(k, key_len)?, value: self.value(v, value_len)? });
        }
        let at = AREAS + i * 8;
        let b: [u8; 8] = crate::io::bytes::array(&self.bytes, at)?;
        let [k0, k1, kl0, kl1, v0, v1, vl0, vl1] = b;
        let key = self.key(u16::from_le_bytes([k0, k1]), u16::from_le_bytes([kl0, kl1]).into())?;
        let value =
            self.value(u16::from_le_bytes([v0, v1]), u16::from_le_bytes([vl0, vl1]).into())?;
        Some(Entry { key, value })
    }

    /// Keys count forward from the start of their area.
    fn key(&self, offset: u16, len: usize) -> Option<&[u8]> {
        let start = self.keys.start + usize::from(offset);
        self.bytes.get(start..start + len).filter(|_| start + len <= self.keys.end)
    }

    /// Values count backward from the end of theirs.
    #[allow(clippy::option_option)]
    fn value(&self, offset: u16, len: usize) -> Option<Option<&[u8]>> {
        if offset == NO_VALUE {
            return Some(None);
        }
        let start = self.values.end.checked_sub(usize::from(offset))?;
        if start < self.values.start || start + len > self.values.end {
            return None;
        }
        self.bytes.get(start..start + len).map(Some)
    }

    /// Number of entries for which `less` holds; they come first.
    pub fn partition(&self, less: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(middle).is_some_and(|e| less(e.key)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Whether it is a root.
    pub fn is_root(&self) -> bool {
        self.flags & FLAG_ROOT != 0
    }

    /// Whether children are named by number and hash.
    pub fn is_hashed(&self) -> bool {
        self.flags & FLAG_HASHED != 0
    }

    /// The footer of a root.
    pub fn footer(&self) -> Option<Footer> {
        let at = self.bytes.len().checked_sub(FOOTER).filter(|_| self.is_root())?;
        Some(Footer {
            flags: le32(&self.bytes, at)?,
            node_size: le32(&self.bytes, at + 4)?,
            key_size: le32(&self.bytes, at + 8)?,
            value_size: le32(&self.bytes, at + 12)?,
            longest: (le32(&self.bytes, at + 16)?, le32(&self.bytes, at + 20)?),
            keys: le64(&self.bytes, at + 24)?,
            nodes: le64(&self.bytes, at + 32)?,
        })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its flags.
    pub fn flags(&self) -> u16 {
        self.flags
    }

    /// Where the area of keys begins, and where that of values ends.
    pub fn ends(&self) -> (usize, usize) {
        (self.keys.start, self.values.end)
    }

    /// Offset and length of the key of entry `i` in the area of keys, and of its value, where
    /// there is one, in that of values, counted from the end.
    pub fn spans(&self, i: usize) -> Option<(Span, Option<Span>)> {
        let at = AREAS + i * if self.fixed.is_some() { 4 } else { 8 };
        if let Some((key_len, value_len)) = self.fixed {
            let (k, v) = (le16(&self.bytes, at)?, le16(&self.bytes, at + 2)?);
            return Some(((k.into(), key_len), (v != NO_VALUE).then_some((v.into(), value_len))));
        }
        let word = |n: usize| le16(&self.bytes, at + n);
        let (k, len, v, value_len) = (word(0)?, word(2)?, word(4)?, word(6)?);
        let value = (v != NO_VALUE).then_some((v.into(), value_len.into()));
        Some(((k.into(), len.into()), value))
    }

    /// Size of the node in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        subtype: 0xB,
        fixed: Some((16, 16)),
        order: |a, b| a.cmp(b),
        tag: 1,
        name: "test tree",
    };

    /// A leaf that is a root, with two entries of a fixed size.
    fn sample() -> Vec<u8> {
        let mut b = vec![0; 4096];
        b[0x20..0x22].copy_from_slice(&7u16.to_le_bytes());
        b[0x24..0x28].copy_from_slice(&2u32.to_le_bytes());
        b[0x2A..0x2C].copy_from_slice(&16u16.to_le_bytes());
        b[0x38..0x40].copy_from_slice(&[0, 0, 16, 0, 16, 0, 32, 0]);
        let keys = 0x38 + 16;
        b[keys] = 1;
        b[keys + 16] = 2;
        b[4096 - 40 - 16] = 11;
        b[4096 - 40 - 32] = 22;
        b
    }

    #[test]
    fn keys_count_forward_and_values_backward() {
        let n = Node::new(sample(), 5, &SHAPE).unwrap();
        assert_eq!((n.entry(0).unwrap().key[0], n.entry(0).unwrap().value.unwrap()[0]), (1, 11));
        assert_eq!((n.entry(1).unwrap().key[0], n.entry(1).unwrap().value.unwrap()[0]), (2, 22));
        assert!(n.entry(2).is_none());
        assert_eq!(n.partition(|k| k[0] < 2), 1);
    }

    #[test]
    fn wild_tables_are_refused() {
        let with = |at: usize, value: u16| {
            let mut b = sample();
            b[at..at + 2].copy_from_slice(&value.to_le_bytes());
            Node::new(b, 5, &SHAPE).err()
        };
        assert!(with(0x38, 4000).unwrap().contains("entry 0"));
        assert!(with(0x3A, 15).unwrap().contains("entry 0"));
        assert!(with(0x3A, 4090).unwrap().contains("entry 0"));
        assert!(with(0x38, 16).unwrap().contains("order"));
        assert!(with(0x24, 5).unwrap().contains("do not fit"));
        assert!(with(0x24, 0xFFFF).unwrap().contains("do not fit"));
        assert!(with(0x28, 0xFFFF).unwrap().contains("do not fit"));
        assert!(with(0x22, 1).unwrap().contains("contradict"));
        assert!(with(0x3A, 0xFFFF).is_none(), "a ghost");
    }
}
