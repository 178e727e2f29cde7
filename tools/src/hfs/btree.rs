//! Packing sorted records into B-tree nodes.

use crate::bytes::{Put, put};

/// Records in key order, produced on demand so that a big tree need not be held in memory.
pub(crate) trait Records {
    fn count(&self) -> usize;
    /// Bytes of record `i`'s key, its length field included.
    fn key_len(&self, i: usize) -> usize;
    /// Bytes of record `i` after its key, even.
    fn data_len(&self, i: usize) -> usize;
    fn put_key(&self, i: usize, out: &mut Vec<u8>);
    fn put_data(&self, i: usize, out: &mut Vec<u8>);
}

/// Fixed properties of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TreeKind {
    pub max_key: u16,
    pub compare: u8,
    pub attributes: u32,
}

/// Where each record goes: levels[0] are the leaves, each entry the index of its first record
/// (leaves) or first child (index nodes).
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub node_size: usize,
    pub records: usize,
    pub levels: Vec<Vec<u32>>,
    pub total_nodes: u32,
    pub map_nodes: u32,
    /// Number the leaves backwards, so that node order and key order differ.
    pub reverse: bool,
}

const DESCRIPTOR: usize = 14;

/// Bytes of node map in the header node.
pub(crate) fn header_map_bytes(node_size: usize) -> usize {
    node_size - 256
}

/// Bytes of node map in a map node.
pub(crate) fn map_node_bytes(node_size: usize) -> usize {
    node_size - 20
}

fn pack(node_size: usize, sizes: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut starts = Vec::new();
    let mut free = 0;
    for (i, size) in sizes.enumerate() {
        assert!(size + 2 + DESCRIPTOR + 2 <= node_size, "a record does not fit into a node");
        if starts.is_empty() || free < size + 2 {
            starts.push(i as u32);
            free = node_size - DESCRIPTOR - 2;
        }
        free -= size + 2;
    }
    starts
}

impl Plan {
    pub fn new(records: &dyn Records, node_size: usize, reverse: bool) -> Plan {
        let even = |n: usize| n.next_multiple_of(2);
        let leaf = |i| even(records.key_len(i)) + records.data_len(i);
        let mut levels = vec![pack(node_size, (0..records.count()).map(leaf))];
        let mut firsts: Vec<u32> = levels[0].clone();
        while levels.last().unwrap().len() > 1 {
            let size = |&r: &u32| even(records.key_len(r as usize)) + 4;
            let level = pack(node_size, firsts.iter().map(size));
            firsts = level.iter().map(|&c| firsts[c as usize]).collect();
            levels.push(level);
        }
        let records = records.count();
        let mut plan = Plan { node_size, records, levels, total_nodes: 0, map_nodes: 0, reverse };
        plan.set_total(plan.used_without_maps());
        plan
    }

    fn used_without_maps(&self) -> u32 {
        1 + self.levels.iter().map(|l| l.len() as u32).sum::<u32>()
    }

    /// Nodes in use, header and map nodes included.
    pub fn used(&self) -> u32 {
        self.used_without_maps() + self.map_nodes
    }

    /// Makes the tree at least `total` nodes long.
    pub fn set_total(&mut self, total: u32) {
        let mut total = total.max(self.used_without_maps());
        loop {
            let beyond = (total as usize).saturating_sub(header_map_bytes(self.node_size) * 8);
            self.map_nodes = beyond.div_ceil(map_node_bytes(self.node_size) * 8) as u32;
            if self.used() <= total {
                break;
            }
            total = self.used();
        }
        self.total_nodes = total;
    }

    pub fn depth(&self) -> u16 {
        if self.records == 0 { 0 } else { self.levels.len() as u16 }
    }

    /// Node number of the `i`-th node of a level.
    pub fn number(&self, level: usize, i: usize) -> u32 {
        let count = self.levels[level].len();
        let below: usize = self.levels[..level].iter().map(Vec::len).sum();
        let i = if self.reverse { count - 1 - i } else { i };
        1 + self.map_nodes + (below + i) as u32
    }

    /// The leaf (its position in key order) and index of record `i`.
    pub fn locate(&self, i: usize) -> (usize, usize) {
        let leaf = self.levels[0].partition_point(|&s| s as usize <= i) - 1;
        (leaf, i - self.levels[0][leaf] as usize)
    }

    pub fn root(&self) -> u32 {
        if self.records == 0 { 0 } else { self.number(self.levels.len() - 1, 0) }
    }

    /// Produces every node in use, in no particular order.
    pub fn emit(&self, kind: TreeKind, records: &dyn Records, sink: &mut dyn FnMut(u32, &[u8])) {
        sink(0, &self.header_node(kind));
        for i in 0..self.map_nodes {
            sink(1 + i, &self.map_node(i));
        }
        if self.records == 0 {
            return;
        }
        let mut firsts: Vec<u32> = self.levels[0].clone();
        for level in 0..self.levels.len() {
            let starts = &self.levels[level];
            let count = if level == 0 { self.records } else { self.levels[level - 1].len() };
            for i in 0..starts.len() {
                let end = starts.get(i + 1).map_or(count, |&e| e as usize);
                let range = starts[i] as usize..end;
                let node = self.tree_node(level, i, |out, offsets| {
                    for r in range {
                        offsets.push(out.len() as u16);
                        if level == 0 {
                            put_padded_key(records, r, out);
                            records.put_data(r, out);
                        } else {
                            put_padded_key(records, firsts[r] as usize, out);
                            out.be32(self.number(level - 1, r));
                        }
                    }
                });
                sink(self.number(level, i), &node);
            }
            if level > 0 {
                firsts = starts.iter().map(|&c| firsts[c as usize]).collect();
            }
        }
    }

    fn tree_node(
        &self,
        level: usize,
        i: usize,
        fill: impl FnOnce(&mut Vec<u8>, &mut Vec<u16>),
    ) -> Vec<u8> {
        let count = self.levels[level].len();
        let next = if i + 1 < count { self.number(level, i + 1) } else { 0 };
        let prev = if i > 0 { self.number(level, i - 1) } else { 0 };
        let mut out = Vec::with_capacity(self.node_size);
        let mut offsets = Vec::new();
        out.be32(next);
        out.be32(prev);
        out.u8(if level == 0 { 0xFF } else { 0 });
        out.u8(level as u8 + 1);
        out.zeros(4);
        fill(&mut out, &mut offsets);
        put(&mut out, 10, &(offsets.len() as u16).to_be_bytes());
        offsets.push(out.len() as u16);
        seal(out, &offsets, self.node_size)
    }

    fn header_node(&self, kind: TreeKind) -> Vec<u8> {
        let leaves = self.levels[0].len();
        let edge = |i: usize| if self.records == 0 { 0 } else { self.number(0, i) };
        let mut out = Vec::with_capacity(self.node_size);
        out.be32(if self.map_nodes > 0 { 1 } else { 0 });
        out.be32(0);
        out.u8(1);
        out.u8(0);
        out.be16(3);
        out.be16(0);
        out.be16(self.depth());
        out.be32(self.root());
        out.be32(self.records as u32);
        out.be32(edge(0));
        out.be32(edge(leaves.saturating_sub(1)));
        out.be16(self.node_size as u16);
        out.be16(kind.max_key);
        out.be32(self.total_nodes);
        out.be32(self.total_nodes - self.used());
        out.be16(0);
        out.be32((self.total_nodes as u64 * self.node_size as u64) as u32);
        out.u8(0);
        out.u8(kind.compare);
        out.be32(kind.attributes);
        out.zeros(64 + 128);
        let map = header_map_bytes(self.node_size);
        self.put_map(0, map, &mut out);
        seal(out, &[14, 120, 248, (248 + map) as u16], self.node_size)
    }

    fn map_node(&self, i: u32) -> Vec<u8> {
        let bytes = map_node_bytes(self.node_size);
        let mut out = Vec::with_capacity(self.node_size);
        out.be32(if i + 1 < self.map_nodes { i + 2 } else { 0 });
        out.be32(i);
        out.u8(2);
        out.u8(0);
        out.be16(1);
        out.be16(0);
        self.put_map(header_map_bytes(self.node_size) + i as usize * bytes, bytes, &mut out);
        seal(out, &[14, (14 + bytes) as u16], self.node_size)
    }

    fn put_map(&self, from_byte: usize, bytes: usize, out: &mut Vec<u8>) {
        let used = self.used() as usize;
        for byte in from_byte..from_byte + bytes {
            let bits = used.saturating_sub(byte * 8).min(8);
            out.u8(!(0xFFu16 >> bits) as u8);
        }
    }
}

fn put_padded_key(records: &dyn Records, i: usize, out: &mut Vec<u8>) {
    let start = out.len();
    records.put_key(i, out);
    debug_assert_eq!(out.len() - start, records.key_len(i));
    if (out.len() - start) % 2 == 1 {
        out.u8(0);
    }
}

/// Pads a node and writes its offset table.
fn seal(mut out: Vec<u8>, offsets: &[u16], node_size: usize) -> Vec<u8> {
    out.resize(node_size, 0);
    for (i, offset) in offsets.iter().enumerate() {
        put(&mut out, node_size - 2 * (i + 1), &offset.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{be16, be32};

    struct Numbers(usize);

    impl Records for Numbers {
        fn count(&self) -> usize {
            self.0
        }
        fn key_len(&self, _: usize) -> usize {
            6
        }
        fn data_len(&self, _: usize) -> usize {
            64
        }
        fn put_key(&self, i: usize, out: &mut Vec<u8>) {
            out.be16(4);
            out.be32(i as u32);
        }
        fn put_data(&self, _: usize, out: &mut Vec<u8>) {
            out.zeros(64);
        }
    }

    const KIND: TreeKind = TreeKind { max_key: 10, compare: 0, attributes: 2 };

    #[test]
    fn node_map_counts_the_used_nodes() {
        let mut plan = Plan::new(&Numbers(20_000), 512, false);
        plan.set_total(9_000);
        let mut set = 0;
        let mut seen = 0;
        plan.emit(KIND, &Numbers(20_000), &mut |n, node| {
            seen += 1;
            let map = match n {
                0 => &node[248..504],
                n if n <= plan.map_nodes => &node[14..506],
                _ => return,
            };
            set += map.iter().map(|b| b.count_ones()).sum::<u32>();
        });
        assert!(plan.map_nodes >= 2);
        assert_eq!((set, seen), (plan.used(), plan.used()));
    }

    #[test]
    fn index_keys_equal_the_children_first_key() {
        for reverse in [false, true] {
            let records = Numbers(3_000);
            let plan = Plan::new(&records, 512, reverse);
            let mut nodes = vec![Vec::new(); plan.total_nodes as usize];
            plan.emit(KIND, &records, &mut |n, node| nodes[n as usize] = node.to_vec());
            let mut checked = 0;
            for node in nodes.iter().filter(|n| n[8] == 0 && n[9] > 1) {
                for i in 0..be16(node, 10) as usize {
                    let at = be16(node, 512 - 2 * (i + 1)) as usize;
                    let child = &nodes[be32(node, at + 6) as usize];
                    assert_eq!(node[at..at + 6], child[14..20]);
                    checked += 1;
                }
            }
            assert_eq!(checked, plan.used() as usize - 2 - plan.map_nodes as usize);
        }
    }

    #[test]
    fn empty_tree_has_no_root() {
        let plan = Plan::new(&Numbers(0), 4096, false);
        assert_eq!((plan.root(), plan.depth(), plan.used()), (0, 0, 1));
    }
}
