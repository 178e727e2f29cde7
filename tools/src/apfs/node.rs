//! The layout of a B-tree node.

use super::object::{self, EPHEMERAL, PHYSICAL, VIRTUAL, kind};

/// Bytes before the table of contents.
pub const NODE_DATA: usize = 0x38;
/// Bytes of the footer of a root.
pub const FOOTER: usize = 40;

/// A kind of tree.
#[derive(Debug)]
pub struct TreeKind {
    /// Object subtype.
    pub subtype: u32,
    /// Storage of its nodes.
    pub storage: u32,
    /// Flags of the footer.
    pub flags: u32,
    /// Key size, 0 where keys vary.
    pub key: usize,
    /// Value size in leaves, 0 where values vary.
    pub value: usize,
    /// Nodes carry no header and parents carry hashes.
    pub hashed: bool,
}

impl TreeKind {
    /// Whether keys and values have fixed sizes.
    pub fn fixed(&self) -> bool {
        self.key != 0
    }

    /// Bytes of a value of an index node.
    pub fn index_value(&self) -> usize {
        if self.hashed { 40 } else { 8 }
    }
}

const fn tree(subtype: u32, storage: u32, flags: u32, key: usize, value: usize) -> TreeKind {
    TreeKind { subtype, storage, flags, key, value, hashed: false }
}

/// Object maps.
pub static OMAP_TREE: TreeKind = tree(kind::OMAP, PHYSICAL, 0x12, 16, 16);
/// Snapshots of an object map.
pub static OMAP_SNAPSHOTS: TreeKind = tree(kind::OMAP_SNAPSHOT, PHYSICAL, 0x10, 8, 16);
/// File-system records.
pub static FS_TREE: TreeKind = tree(kind::FS_TREE, VIRTUAL, 0x42, 0, 0);
/// Extent references.
pub static EXTENTREF_TREE: TreeKind = tree(kind::EXTENTREF, PHYSICAL, 0x52, 0, 0);
/// Snapshot metadata.
pub static SNAP_META_TREE: TreeKind = tree(kind::SNAP_META, PHYSICAL, 0x52, 0, 0);
/// Free queues.
pub static FREE_QUEUE_TREE: TreeKind = tree(kind::FREE_QUEUE, EPHEMERAL, 0xE, 16, 8);
/// What the footer says of the whole tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct Footer {
    /// Longest key ever stored.
    pub longest_key: usize,
    /// Longest value ever stored.
    pub longest_value: usize,
    /// Number of records in leaves.
    pub keys: u64,
    /// Number of nodes.
    pub nodes: u64,
}

/// A record: key and value, `None` for a ghost.
pub type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

/// Bytes of the table of contents of a node of `count` records.
pub fn table_len(tree: &TreeKind, block_size: usize, level: u16, count: usize) -> usize {
    if tree.fixed() {
        let value = if level > 0 { 8 } else { tree.value };
        4 * ((block_size - NODE_DATA) / (tree.key + value + 4))
    } else {
        8 * count.max(1).next_multiple_of(8)
    }
}

/// Whether `count` records of `bytes` bytes (keys and values) fit into a node.
pub fn fits(
    tree: &TreeKind,
    block_size: usize,
    (root, level): (bool, u16),
    count: usize,
    bytes: usize,
) -> bool {
    let footer = if root { FOOTER } else { 0 };
    let table = table_len(tree, block_size, level, count);
    let entry = if tree.fixed() { 4 } else { 8 };
    count * entry <= table && NODE_DATA + table + bytes + footer <= block_size
}

/// A node to be written.
pub struct NodeSpec<'a> {
    /// The tree it belongs to.
    pub tree: &'a TreeKind,
    /// Its size.
    pub block_size: usize,
    /// The footer, if it is the root.
    pub footer: Option<Footer>,
    /// Its level, 0 for leaves.
    pub level: u16,
    /// Its records in order.
    pub entries: &'a [Entry<'a>],
    /// Leave unused pieces between keys and between values, where there is room.
    pub ragged: bool,
}

/// One of the two areas of a node: bytes, and the pieces in it that no record uses.
struct Area {
    bytes: usize,
    unused: usize,
    pieces: Vec<(usize, usize)>,
}

impl Area {
    fn new() -> Self {
        Area { bytes: 0, unused: 0, pieces: Vec::new() }
    }

    fn gap(&mut self, len: usize) {
        self.unused += len;
        if len >= 4 {
            self.pieces.push((self.bytes, len));
        }
        self.bytes += len;
    }
}

impl NodeSpec<'_> {
    /// The node's block, without object header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0u8; self.block_size];
        let footer = if self.footer.is_some() { FOOTER } else { 0 };
        let end = self.block_size - footer;
        let table = table_len(self.tree, self.block_size, self.level, self.entries.len());
        let start = NODE_DATA + table;
        let ragged = self.ragged && self.room(start, end) >= 96 && self.entries.len() > 3;
        let (mut keys, mut values) = (Area::new(), Area::new());
        for (i, (key, value)) in self.entries.iter().enumerate() {
            let key_at = keys.bytes;
            out[start + key_at..start + key_at + key.len()].copy_from_slice(key);
            keys.bytes += key.len();
            let value_at = value.map(|value| {
                values.bytes += value.len();
                let at = end - values.bytes;
                out[at..at + value.len()].copy_from_slice(value);
                values.bytes
            });
            self.toc(&mut out, i, key_at, value_at);
            if ragged {
                self.gaps(i, &mut keys, &mut values);
            }
        }
        let key_list = chain(&mut out, &keys, |at| start + at);
        let value_list = chain(&mut out, &values, |at| end - at);
        let words = [
            self.flags(),
            self.level,
            self.entries.len() as u16,
            (self.entries.len() >> 16) as u16,
            0,
            table as u16,
            keys.bytes as u16,
            (end - start - keys.bytes - values.bytes) as u16,
            key_list,
            keys.unused as u16,
            value_list,
            values.unused as u16,
        ];
        for (i, word) in words.into_iter().enumerate() {
            out[0x20 + 2 * i..0x22 + 2 * i].copy_from_slice(&word.to_le_bytes());
        }
        if let Some(footer) = self.footer {
            self.write_footer(&mut out[end..], footer);
        }
        out
    }

    fn room(&self, start: usize, end: usize) -> usize {
        let used: usize =
            self.entries.iter().map(|(k, v)| k.len() + v.map_or(0, <[u8]>::len)).sum();
        end - start - used
    }

    fn flags(&self) -> u16 {
        u16::from(self.footer.is_some())
            | u16::from(self.level == 0) << 1
            | u16::from(self.tree.fixed()) << 2
            | if self.tree.hashed { 0x18 } else { 0 }
    }

    fn toc(&self, out: &mut [u8], i: usize, key: usize, value: Option<usize>) {
        let (key_len, value_len) =
            (self.entries[i].0.len(), self.entries[i].1.map_or(0, <[u8]>::len));
        let value = value.map_or(0xFFFF, |v| v as u16);
        let words: &[u16] = if self.tree.fixed() {
            &[key as u16, value]
        } else {
            &[key as u16, key_len as u16, value, value_len as u16]
        };
        let at = NODE_DATA + 2 * words.len() * i;
        for (j, word) in words.iter().enumerate() {
            out[at + 2 * j..at + 2 * j + 2].copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Unused pieces as deleted records leave them: two in the chain, one too small for it.
    fn gaps(&self, i: usize, keys: &mut Area, values: &mut Area) {
        let value = if self.level > 0 { 8 } else { self.tree.value };
        let sizes = if self.tree.fixed() { (self.tree.key, value) } else { (12, 20) };
        match self.entries.len() {
            n if i == n / 3 || i == n / 2 => {
                keys.gap(sizes.0);
                values.gap(sizes.1);
            }
            n if i == 2 * n / 3 && !self.tree.fixed() => {
                keys.gap(3);
                values.gap(2);
            }
            _ => {}
        }
    }

    fn write_footer(&self, out: &mut [u8], footer: Footer) {
        let words = [
            self.tree.flags,
            self.block_size as u32,
            self.tree.key as u32,
            self.tree.value as u32,
            footer.longest_key as u32,
            footer.longest_value as u32,
        ];
        for (i, word) in words.into_iter().enumerate() {
            out[4 * i..4 * i + 4].copy_from_slice(&word.to_le_bytes());
        }
        out[24..32].copy_from_slice(&footer.keys.to_le_bytes());
        out[32..40].copy_from_slice(&footer.nodes.to_le_bytes());
    }

    /// The node as an object with header and checksum; sealed nodes have none.
    pub fn object(&self, oid: u64, xid: u64, more_flags: u32) -> Vec<u8> {
        let mut out = self.encode();
        if !self.tree.hashed {
            let kind = if self.footer.is_some() { kind::BTREE } else { kind::NODE };
            let kind = kind | self.tree.storage | more_flags;
            object::seal(&mut out, oid, xid, kind, self.tree.subtype);
        }
        out
    }
}

/// Links the unused pieces of an area and returns the first; places are told as those of keys and
/// values are (a value's offset is that of its far end).
fn chain(out: &mut [u8], area: &Area, place: impl Fn(usize) -> usize) -> u16 {
    let from_end = place(1) < place(0);
    let told = |&(at, len): &(usize, usize)| if from_end { at + len } else { at };
    for (i, piece) in area.pieces.iter().enumerate() {
        let next = area.pieces.get(i + 1).map_or(0xFFFF, |p| told(p) as u16);
        let at = place(told(piece));
        out[at..at + 2].copy_from_slice(&next.to_le_bytes());
        out[at + 2..at + 4].copy_from_slice(&(piece.1 as u16).to_le_bytes());
    }
    area.pieces.first().map_or(0xFFFF, |p| told(p) as u16)
}
