//! A B-tree node: its descriptor, and records that are checked before use.

use crate::io::bytes::be16;

/// Bytes of the node descriptor.
pub const DESCRIPTOR: usize = 14;

/// Kind of a node, as stored.
pub mod kind {
    #![allow(missing_docs)]
    pub const LEAF: i8 = -1;
    pub const INDEX: i8 = 0;
    pub const HEADER: i8 = 1;
    pub const MAP: i8 = 2;
}

/// A node's bytes with its descriptor decoded (`BTNodeDescriptor`; section 6.1).
#[derive(Debug, Clone)]
pub struct Node<B> {
    bytes: B,
    /// Next node of the level.
    pub forward: u32,
    /// Previous node of the level.
    pub backward: u32,
    /// Leaf −1, index 0, header 1, map 2.
    pub kind: i8,
    /// Leaves are 1; header and map nodes 0.
    pub height: u8,
    /// Number of records.
    pub records: u16,
    /// Reserved, 0.
    pub reserved: u16,
}

impl<B: AsRef<[u8]>> Node<B> {
    /// Decode the descriptor; `None` if the bytes are too few for one.
    pub fn new(bytes: B) -> Option<Self> {
        let [f0, f1, f2, f3, b0, b1, b2, b3, kind, height, n0, n1, r0, r1] =
            crate::io::bytes::array::<DESCRIPTOR>(bytes.as_ref(), 0)?;
        Some(Self {
            forward: u32::from_be_bytes([f0, f1, f2, f3]),
            backward: u32::from_be_bytes([b0, b1, b2, b3]),
            kind: i8::from_be_bytes([kind]),
            height,
            records: u16::from_be_bytes([n0, n1]),
            reserved: u16::from_be_bytes([r0, r1]),
            bytes,
        })
    }

    /// The whole node.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Offset of record `i` in the node, or of the free space for `i` = number
    /// of records; `None` if the table does not reach so far.
    pub fn offset(&self, i: usize) -> Option<usize> {
        let bytes = self.bytes();
        let at = bytes.len().checked_sub(2 * i.checked_add(1)?)?;
        be16(bytes, at).map(usize::from)
    }

    /// First byte of the table of offsets at the node's end.
    pub fn table_start(&self) -> Option<usize> {
        self.bytes().len().checked_sub(2 * (usize::from(self.records) + 1))
    }

    /// Bytes of record `i`; `None` if its offsets are not sound.
    pub fn record(&self, i: usize) -> Option<&[u8]> {
        if i >= usize::from(self.records) {
            return None;
        }
        let (start, end) = (self.offset(i)?, self.offset(i + 1)?);
        if start < DESCRIPTOR || end > self.table_start()? {
            return None;
        }
        self.bytes().get(start..end)
    }

    /// Why the table of offsets is not sound: a sentence; `None` if it is.
    pub fn offsets_problem(&self) -> Option<String> {
        let count = usize::from(self.records);
        let Some(limit) = self.table_start().filter(|l| *l >= DESCRIPTOR) else {
            return Some(format!("{count} records do not fit into {} bytes", self.bytes().len()));
        };
        let mut last = 0;
        for i in 0..=count {
            let at = self.offset(i)?;
            if i == 0 && at != DESCRIPTOR {
                return Some(format!("record 0 begins at {at}, expected {DESCRIPTOR}"));
            }
            if at % 2 != 0 {
                return Some(format!("record {i} begins at the odd offset {at}"));
            }
            if i > 0 && at <= last {
                return Some(format!("record {i} begins at {at}, not after {last}"));
            }
            if at > limit {
                return Some(format!("record {i} begins at {at}, beyond {limit}"));
            }
            last = at;
        }
        None
    }
}

/// A record split into its key and what follows it. `key` is without its length.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRecord<'a> {
    /// The key's bytes.
    pub key: &'a [u8],
    /// The data behind the key (padded to an even offset).
    pub data: &'a [u8],
}

/// Split a record with a two-byte key length; `None` if the key does not fit.
pub fn split(record: &[u8]) -> Option<KeyedRecord<'_>> {
    let len = usize::from(be16(record, 0)?);
    let key = record.get(2..2 + len)?;
    let data = record.get((2 + len).next_multiple_of(2)..).unwrap_or_default();
    Some(KeyedRecord { key, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut b = vec![0; 64];
        b[8] = 0xFF;
        b[9] = 1;
        b[11] = 2;
        for (i, at) in [14u16, 20, 30].iter().enumerate() {
            b[62 - 2 * i..64 - 2 * i].copy_from_slice(&at.to_be_bytes());
        }
        b
    }

    #[test]
    fn records_lie_between_their_offsets() {
        let n = Node::new(sample()).unwrap();
        assert_eq!((n.kind, n.height, n.records), (kind::LEAF, 1, 2));
        assert_eq!(n.record(0).unwrap().len(), 6);
        assert_eq!(n.record(1).unwrap().len(), 10);
        assert!(n.record(2).is_none());
        assert_eq!(n.offsets_problem(), None);
    }

    #[test]
    fn wild_offsets_and_counts_are_refused() {
        let with = |at: usize, value: u16| {
            let mut b = sample();
            b[at..at + 2].copy_from_slice(&value.to_be_bytes());
            Node::new(b).unwrap()
        };
        assert!(with(60, 9000).record(0).is_none());
        assert!(with(60, 9000).offsets_problem().is_some());
        assert!(with(60, 15).offsets_problem().unwrap().contains("odd"));
        assert!(with(10, 0xFFFF).offsets_problem().unwrap().contains("do not fit"));
        assert!(with(10, 0xFFFF).record(40_000).is_none());
        assert!(Node::new(vec![0; 13]).is_none());
        assert!(split(&[0xFF, 0xFF, 1]).is_none());
    }
}
