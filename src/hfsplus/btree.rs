//! Navigation in a B-tree: nodes and search. Ordered scans are in `scan`.

use super::format::{BTreeHeader, decode};
use super::node::{DESCRIPTOR, KeyedRecord, Node, kind, split};
use crate::error::{Error, Locus, Result};
use crate::io::bytes::{to_u32, to_u64, to_usize};
use crate::io::{ReadAt, gone, read_vec};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::cmp::Ordering;
use std::sync::Arc;

/// Deepest tree that is read; the kernel's limit.
pub(super) const MAX_DEPTH: u16 = 16;

/// Compares two keys (without their length fields); `None` if one cannot be decoded.
pub type CompareKeys = fn(&[u8], &[u8]) -> Option<Ordering>;

/// A node that was read, shared.
pub type SharedNode = Arc<Node<Vec<u8>>>;

/// Nodes of all trees of a volume, by tree (its file's CNID) and number.
pub type NodeCache = Cache<(u32, u32), SharedNode, NodeWeight>;

/// Weighs nodes by their bytes.
#[derive(Clone)]
pub struct NodeWeight;

impl Weighter<(u32, u32), SharedNode> for NodeWeight {
    fn weight(&self, _: &(u32, u32), node: &SharedNode) -> u64 {
        to_u64(node.bytes().len()) + 128
    }
}

/// A cache that holds about `bytes` of nodes.
pub fn node_cache(bytes: u64) -> NodeCache {
    Cache::with_weighter(2048, bytes, NodeWeight)
}

/// A record's place: leaf node and index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Leaf node number.
    pub node: u32,
    /// Record number in it; may be one past the last.
    pub record: usize,
}

/// A B-tree file. A copy shares its cache.
#[derive(Clone)]
pub struct BTree {
    file: Arc<dyn ReadAt>,
    cnid: u32,
    name: &'static str,
    header: BTreeHeader,
    /// Nodes that exist: what the header says, but no more than the file holds.
    nodes: u32,
    compare: CompareKeys,
    cache: Arc<NodeCache>,
}

impl BTree {
    /// Open the tree in `file`, the special file `cnid`. `compare` chooses the order
    /// of its keys by its header.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its header node cannot be used.
    pub fn open(
        file: Arc<dyn ReadAt>,
        cnid: u32,
        name: &'static str,
        compare: impl FnOnce(&BTreeHeader) -> CompareKeys,
        cache: Arc<NodeCache>,
    ) -> Result<Self> {
        let header = read_header(&*file, name)?;
        let nodes = header.total_nodes.min(nodes_in(&*file, &header));
        let compare = compare(&header);
        Ok(Self { file, cnid, name, header, nodes, compare, cache })
    }

    /// The header record.
    pub fn header(&self) -> &BTreeHeader {
        &self.header
    }

    /// The file that holds the tree.
    pub fn file(&self) -> &Arc<dyn ReadAt> {
        &self.file
    }

    /// Bytes of a node.
    pub fn node_size(&self) -> usize {
        usize::from(self.header.node_size)
    }

    /// Order of two keys; an error names the node that holds the first.
    pub(super) fn order(&self, n: u32, a: &[u8], b: &[u8]) -> Result<Ordering> {
        (self.compare)(a, b).ok_or_else(|| self.corrupt(n, "a key is not valid"))
    }

    /// Where node `n` lies on the disk.
    pub fn locate(&self, n: u32) -> Option<Locus> {
        self.file.locate(u64::from(n) * u64::from(self.header.node_size))
    }

    /// An error about node `n`.
    pub fn corrupt(&self, n: u32, problem: impl Into<String>) -> Error {
        Error::corrupt_at(format!("{} node {n}", self.name), self.locate(n), problem)
    }

    /// Read node `n`, from the cache if it is there.
    pub fn node(&self, n: u32) -> Result<SharedNode> {
        if let Some(node) = self.cache.get(&(self.cnid, n)) {
            return Ok(node);
        }
        if n >= self.nodes {
            let text = format!("does not exist: the tree has {} nodes", self.nodes);
            return Err(Error::corrupt(format!("{} node {n}", self.name), text));
        }
        let offset = u64::from(n) * u64::from(self.header.node_size);
        let bytes = read_vec(&*self.file, offset, self.node_size())
            .map_err(|e| e.within(&format!("{} node {n}", self.name)))?;
        if let Some(gone) = gone(&*self.file, offset, &bytes) {
            let place = self.file.locate(gone.at);
            let text = format!("is lost: {}", gone.why);
            return Err(Error::corrupt_at(format!("{} node {n}", self.name), place, text));
        }
        let node = Node::new(bytes).ok_or_else(|| self.corrupt(n, "is cut off"))?;
        let node = Arc::new(node);
        self.cache.insert((self.cnid, n), node.clone());
        Ok(node)
    }

    /// Record `i` of a node, split; an error names the node.
    pub(super) fn record<'a>(
        &self,
        n: u32,
        node: &'a SharedNode,
        i: usize,
    ) -> Result<KeyedRecord<'a>> {
        node.record(i)
            .and_then(split)
            .ok_or_else(|| self.corrupt(n, format!("record {i} is not sound")))
    }

    /// The number of records of `node` for which `less` holds; they come first.
    pub(super) fn partition(
        &self,
        n: u32,
        node: &SharedNode,
        less: impl Fn(&[u8]) -> bool,
    ) -> Result<usize> {
        let (mut low, mut high) = (0, usize::from(node.records));
        while low < high {
            let middle = low.midpoint(high);
            if less(self.record(n, node, middle)?.key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The data of the record whose key equals the target; `order` compares a record's key
    /// with it.
    ///
    /// # Errors
    /// Also when there is none, but the leaf where it should be is not the right one.
    pub fn find(&self, order: impl Fn(&[u8]) -> Ordering) -> Result<Option<Vec<u8>>> {
        let Some(leaf) = self.leaf_for(&order)? else { return Ok(None) };
        let node = self.node(leaf.number)?;
        let belongs = self.belongs(&leaf, &node, 1);
        if node.kind == kind::LEAF {
            let at = self.partition(leaf.number, &node, |k| order(k) == Ordering::Less)?;
            if at < usize::from(node.records) {
                let record = self.record(leaf.number, &node, at)?;
                if order(record.key) == Ordering::Equal {
                    return Ok(Some(record.data.to_vec()));
                }
            }
        }
        belongs.map(|()| None)
    }
}

/// Nodes that the file of a tree has room for.
pub(super) fn nodes_in(file: &dyn ReadAt, header: &BTreeHeader) -> u32 {
    to_u32(to_usize(file.len() / u64::from(header.node_size)))
}

/// Read and check the header node of a tree.
pub fn read_header(file: &dyn ReadAt, name: &str) -> Result<BTreeHeader> {
    let bad = |text: String| Error::corrupt_at(format!("{name} header"), file.locate(0), text);
    let head = read_vec(file, 0, 512).map_err(|e| e.within(&format!("{name} header")))?;
    if let Some(gone) = gone(file, 0, &head) {
        return Err(bad(format!("is lost: {}", gone.why)));
    }
    let node = Node::new(head.as_slice()).ok_or_else(|| bad("is cut off".into()))?;
    if node.kind != kind::HEADER {
        return Err(bad(format!("its node has kind {}, expected 1", node.kind)));
    }
    let header = head.get(DESCRIPTOR..).and_then(decode::<BTreeHeader>);
    let header = header.ok_or_else(|| bad("is cut off".into()))?;
    if !header.node_size.is_power_of_two() || header.node_size < 512 {
        return Err(bad(format!("node size {} is impossible", header.node_size)));
    }
    let nodes = header.total_nodes.min(nodes_in(file, &header));
    if nodes == 0 {
        return Err(bad(format!("{} nodes in {} bytes", header.total_nodes, file.len())));
    }
    if header.root_node >= nodes {
        return Err(bad(format!("root node {} of {nodes}", header.root_node)));
    }
    Ok(header)
}
