//! Nodes of all trees of a container, read once: one cache, keyed by the block a
//! node lies in. Nothing is changed in place, so that what all snapshots share is
//! read once for all of them.

use super::format::{NO_HEADER, kind};
use super::node::{Node, Shape};
use super::object::{Blocks, Expected, Storage};
use crate::crypt::xts::Xts;
use crate::error::Result;
use crate::io::bytes::{all_zero, to_u64, to_usize};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::{Arc, RwLock};

/// A node, shared.
pub type SharedNode = Arc<Node>;

/// Bytes of nodes that are kept.
const CACHE_BYTES: u64 = 64 << 20;

/// Number, and block, of the first node that is made and not read: no container reaches so far.
pub const MADE: u64 = 1 << 46;

/// Most bytes of made nodes, of all views together.
const MAX_MADE: u64 = 1 << 30;

/// Transaction of made nodes.
pub const MADE_XID: u64 = 1;

/// Weighs nodes by their bytes.
#[derive(Clone)]
struct Weight;

impl Weighter<u64, SharedNode> for Weight {
    fn weight(&self, _: &u64, node: &SharedNode) -> u64 {
        to_u64(node.size()) + 192
    }
}

/// How a node's bytes are proved.
pub enum Proof<'a> {
    /// By their checksum, and by being what was looked for.
    Header(Expected),
    /// By the hash that the parent has of them: nodes of sealed volumes.
    Hash(Option<&'a [u8]>),
}

/// Blocks and the cache of nodes over them.
pub struct Store {
    blocks: Blocks,
    cache: Cache<u64, SharedNode, Weight>,
    max_xid: std::sync::atomic::AtomicU64,
    /// Nodes that stand for lost ones, in blocks from [`MADE`] on.
    made: RwLock<Vec<SharedNode>>,
}

impl Store {
    /// Over these blocks.
    pub fn new(blocks: Blocks) -> Self {
        let cache = Cache::with_weighter(8192, CACHE_BYTES, Weight);
        Self { blocks, cache, max_xid: u64::MAX.into(), made: RwLock::default() }
    }

    /// The blocks.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Objects of later transactions than this are from the future.
    pub fn set_max_xid(&self, xid: u64) {
        self.max_xid.store(xid, std::sync::atomic::Ordering::Relaxed);
    }

    /// The transaction of the checkpoint that is read.
    pub fn max_xid(&self) -> u64 {
        self.max_xid.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The node in a block, from the cache if it is there.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when it is not the node that was looked for, or not
    /// sound; errors of reading.
    pub fn node(
        &self,
        block: u64,
        shape: &Shape,
        proof: &Proof<'_>,
        cipher: Option<&Xts>,
    ) -> Result<SharedNode> {
        if let Some(node) = self.made_node(block).or_else(|| self.cache.get(&block)) {
            self.is_expected(&node, shape, proof)?;
            return Ok(node);
        }
        let bytes = self.bytes(block, shape, cipher)?;
        let bytes = match proof {
            Proof::Header(_) => self.blocks.prove(shape.name, block, bytes)?.into_bytes(),
            Proof::Hash(hash) => {
                if let Some(expected) = hash
                    && !super::sealed::is_hash_of(expected, &bytes)
                {
                    let text = "its hash is not the one that its parent has of it";
                    return Err(self.blocks.corrupt(shape.name, block, text));
                }
                bytes
            }
        };
        let node = Node::new(bytes, block, shape)
            .map_err(|text| self.blocks.corrupt(shape.name, block, text))?;
        self.is_expected(&node, shape, proof)?;
        let node = Arc::new(node);
        self.cache.insert(block, node.clone());
        Ok(node)
    }

    /// A node that was read before and may have left the cache; `None` if its block now
    /// holds none of this shape.
    pub fn node_again(
        &self,
        block: u64,
        shape: &Shape,
        cipher: Option<&Xts>,
    ) -> Result<Option<SharedNode>> {
        if let Some(node) = self.made_node(block).or_else(|| self.cache.get(&block)) {
            return Ok((node.tag == shape.tag).then_some(node));
        }
        // Not kept: only who came here from the root has proved that it belongs here.
        let bytes = self.bytes(block, shape, cipher)?;
        // Zeros are no node of a sealed tree, whose nodes have no header.
        let no_header =
            bytes.get(..super::format::HEADER).is_some_and(all_zero) && !all_zero(&bytes);
        let proved = if no_header {
            bytes
        } else {
            self.blocks.prove(shape.name, block, bytes)?.into_bytes()
        };
        Ok(Node::new(proved, block, shape).ok().map(Arc::new))
    }

    fn made_node(&self, block: u64) -> Option<SharedNode> {
        let index = to_usize(block.checked_sub(MADE)?);
        self.made.read().ok()?.get(index).cloned()
    }

    /// Keep a node that is made; `bytes` gives it for the number that is its own and its block.
    /// `None` if it is none, or
    /// no more are kept.
    pub fn make(&self, shape: &Shape, bytes: impl FnOnce(u64) -> Vec<u8>) -> Option<u64> {
        let mut made = self.made.write().ok()?;
        if to_u64(made.len()).saturating_mul(self.blocks.size()) >= MAX_MADE {
            return None;
        }
        let number = MADE + to_u64(made.len());
        made.push(Arc::new(Node::new(bytes(number), number, shape).ok()?));
        Some(number)
    }

    fn bytes(&self, block: u64, shape: &Shape, cipher: Option<&Xts>) -> Result<Vec<u8>> {
        let mut bytes = self.blocks.read(shape.name, block, 1)?;
        if all_zero(&bytes) {
            self.blocks.stored(shape.name, block, &bytes)?;
        } else if let Some(xts) = cipher {
            xts.decrypt(self.blocks.sector(block), &mut bytes);
        }
        Ok(bytes)
    }

    fn is_expected(&self, node: &Node, shape: &Shape, proof: &Proof<'_>) -> Result<()> {
        let wrong = |text: String| Err(self.blocks.corrupt(shape.name, node.block, text));
        if node.tag != shape.tag {
            return wrong("is a node of another tree".into());
        }
        let Proof::Header(expected) = proof else { return Ok(()) };
        if let Some(problem) = expected.problem(&node.header) {
            return wrong(problem);
        }
        let root = node.header.kind() == kind::BTREE_ROOT;
        if root != node.is_root() || node.header.kind_and_flags & NO_HEADER != 0 {
            return wrong("its type and its flags disagree on whether it is a root".into());
        }
        Ok(())
    }
}

/// What is expected of a node of a tree.
pub fn expected(
    oid: u64,
    xid: Option<u64>,
    max_xid: u64,
    shape: &Shape,
    storage: Storage,
    root: bool,
) -> Expected {
    let kinds: &'static [u16] = if root { &[kind::BTREE_ROOT] } else { &[kind::BTREE_NODE] };
    Expected { oid, xid, max_xid, kinds, subtype: shape.subtype, storage }
}
