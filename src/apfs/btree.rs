//! Navigation in a B-tree (section 3): search, and scans in order.

use super::format::MAX_DEPTH;
use super::node::{Entry, Node, Shape};
use super::object::Storage;
use super::space::Space;
use super::store::{Proof, SharedNode, Store, expected};
use crate::error::{Error, Result};
use crate::io::bytes::{le64, to_usize};
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How the nodes of a tree name their children.
#[derive(Clone)]
pub enum Children {
    /// By block.
    Physical,
    /// By number, found through an object map.
    Virtual(Arc<Space>),
}

/// A B-tree.
#[derive(Clone)]
pub struct Tree {
    store: Arc<Store>,
    shape: Shape,
    children: Children,
    root: u64,
    /// Hash of the root of a sealed tree.
    root_hash: Option<Arc<[u8]>>,
}

/// One level of a way down: a node and an entry of it.
struct Step {
    node: SharedNode,
    at: usize,
}

/// A way from the root to a record, from which the next ones are reached.
pub struct Way<'t> {
    tree: &'t Tree,
    steps: Vec<Step>,
}

impl Tree {
    /// The tree whose root is `root`: a block, or a virtual object.
    pub fn new(store: Arc<Store>, shape: Shape, children: Children, root: u64) -> Self {
        Self { store, shape, children, root, root_hash: None }
    }

    /// The same with a hash that its root must have.
    pub fn sealed_by(mut self, hash: Option<Arc<[u8]>>) -> Self {
        self.root_hash = hash;
        self
    }

    /// The container's nodes.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Number of the root.
    pub fn root_number(&self) -> u64 {
        self.root
    }

    /// The hash that its root must have.
    pub fn root_hash(&self) -> Option<&[u8]> {
        self.root_hash.as_deref()
    }

    /// An error about a node.
    pub fn corrupt(&self, node: &Node, problem: impl Into<String>) -> Error {
        self.store.blocks().corrupt(self.shape.name, node.block, problem)
    }

    /// The root.
    pub fn root(&self) -> Result<SharedNode> {
        let node = self.load(self.root, true, self.root_hash.as_deref())?;
        if node.level > MAX_DEPTH {
            let text = format!("has level {} and is deeper than any tree is", node.level);
            return Err(self.corrupt(&node, text));
        }
        if let Some(footer) = node.footer() {
            let size = self.store.blocks().size32();
            if footer.node_size != size {
                let text =
                    format!("says that nodes have {} bytes, blocks have {size}", footer.node_size);
                return Err(self.corrupt(&node, text));
            }
        }
        Ok(node)
    }

    /// The child that an entry of an index node leads to.
    pub fn child(&self, parent: &Node, entry: &Entry<'_>) -> Result<SharedNode> {
        let value = entry.value.unwrap_or_default();
        let number = le64(value, 0).ok_or_else(|| self.corrupt(parent, "an entry has no child"))?;
        let node = if parent.is_hashed() {
            self.load(
                self.root.wrapping_add(number),
                false,
                value.get(8..).filter(|h| !h.is_empty()),
            )?
        } else {
            self.load(number, false, None)?
        };
        if node.level.checked_add(1) != Some(parent.level) {
            let text = format!("has level {} below a node of level {}", node.level, parent.level);
            return Err(self.corrupt(&node, text));
        }
        Ok(node)
    }

    fn load(&self, number: u64, root: bool, hash: Option<&[u8]>) -> Result<SharedNode> {
        let max = self.store.max_xid();
        match &self.children {
            Children::Physical => {
                let proof = Proof::Header(expected(
                    number,
                    None,
                    max,
                    &self.shape,
                    Storage::Physical,
                    root,
                ));
                self.store.node(number, &self.shape, &proof, None)
            }
            Children::Virtual(space) => {
                let found = space.require(number, self.shape.name)?;
                let proof = if found.no_header() {
                    Proof::Hash(hash)
                } else {
                    let (xid, storage) = (Some(found.xid), Storage::Virtual);
                    Proof::Header(expected(number, xid, max, &self.shape, storage, root))
                };
                self.store.node(found.block, &self.shape, &proof, space.cipher(&found)?)
            }
        }
    }

    /// The same with another root.
    pub fn with_root(&self, root: u64) -> Self {
        Self { root, root_hash: None, ..self.clone() }
    }

    /// Bytes of a node.
    pub fn node_size(&self) -> usize {
        to_usize(self.store.blocks().size())
    }

    /// A sound node by its number, wherever in the tree it belongs.
    pub fn loose(&self, number: u64) -> Option<SharedNode> {
        let (block, cipher) = match &self.children {
            Children::Physical => (number, None),
            Children::Virtual(space) => {
                let found = space.require(number, self.shape.name).ok()?;
                (found.block, space.cipher(&found).ok()?)
            }
        };
        let node = self.store.node_again(block, &self.shape, cipher).ok()??;
        (node.header.oid == number).then_some(node)
    }

    /// A node that was met before, by its block; `None` if it is none of this tree's.
    pub fn node_again(&self, block: u64) -> Result<Option<SharedNode>> {
        let cipher = match &self.children {
            Children::Physical => None,
            Children::Virtual(space) => space.key(),
        };
        self.store.node_again(block, &self.shape, cipher)
    }

    pub(super) fn order(&self, a: &[u8], b: &[u8]) -> Ordering {
        (self.shape.order)(a, b)
    }

    /// The way to the first record whose key is not less than `target`.
    pub fn seek(&self, target: &[u8]) -> Result<Way<'_>> {
        let mut steps = Vec::with_capacity(4);
        let mut node = self.root()?;
        while node.level > 0 {
            let after = node.partition(|k| self.order(k, target) != Ordering::Greater);
            let at = after.saturating_sub(1);
            let entry = node.entry(at).ok_or_else(|| self.corrupt(&node, "has no entries"))?;
            let child = self.child(&node, &entry)?;
            steps.push(Step { node, at });
            node = child;
        }
        let at = node.partition(|k| self.order(k, target) == Ordering::Less);
        let past = at == node.count;
        steps.push(Step { node, at });
        let mut way = Way { tree: self, steps };
        if past {
            way.next_leaf()?;
        }
        Ok(way)
    }

    /// The leaf that holds the last record whose key is not greater than `target`, and
    /// its index; `None` if there is none.
    pub fn floor(&self, target: &[u8]) -> Result<Option<(SharedNode, usize)>> {
        let mut node = self.root()?;
        loop {
            let after = node.partition(|k| self.order(k, target) != Ordering::Greater);
            let Some(at) = after.checked_sub(1) else { return Ok(None) };
            if node.level == 0 {
                return Ok(Some((node, at)));
            }
            let entry = node.entry(at).ok_or_else(|| self.corrupt(&node, "has no entries"))?;
            let child = self.child(&node, &entry)?;
            node = child;
        }
    }

    /// The value of exactly this key.
    pub fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some((node, at)) = self.floor(key)? else { return Ok(None) };
        let Some(entry) = node.entry(at) else { return Ok(None) };
        let same = self.order(entry.key, key) == Ordering::Equal;
        Ok(same.then(|| entry.value.unwrap_or_default().to_vec()))
    }

    /// Visit the records from the first that is not less than `from`, in order, until
    /// told to stop.
    pub fn scan(
        &self,
        from: &[u8],
        visit: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut way = self.seek(from)?;
        while let Some(entry) = way.record() {
            if visit(entry)?.is_break() {
                break;
            }
            way.advance()?;
        }
        Ok(())
    }
}

impl Way<'_> {
    /// The record it leads to; `None` behind the last.
    pub fn record(&self) -> Option<Entry<'_>> {
        let last = self.steps.last()?;
        last.node.entry(last.at)
    }

    /// Block of the leaf and index in it.
    pub fn place(&self) -> Option<(u64, usize)> {
        self.steps.last().map(|s| (s.node.block, s.at))
    }

    /// Go on to the next record.
    pub fn advance(&mut self) -> Result<()> {
        let Some(last) = self.steps.last_mut() else { return Ok(()) };
        last.at += 1;
        if last.at >= last.node.count {
            self.next_leaf()?;
        }
        Ok(())
    }

    /// From the end of a leaf to the start of the next; behind the last leaf nothing is
    /// left. Its keys must follow: so no leaf is met twice, whatever index nodes say.
    fn next_leaf(&mut self) -> Result<()> {
        let Some(old) = self.steps.pop() else { return Ok(()) };
        while let Some(step) = self.steps.last_mut() {
            step.at += 1;
            if step.at < step.node.count {
                break;
            }
            self.steps.pop();
        }
        while let Some(step) = self.steps.last() {
            if step.node.level == 0 {
                break;
            }
            let entry = step.node.entry(step.at);
            let entry = entry.ok_or_else(|| self.tree.corrupt(&step.node, "has no such entry"))?;
            let child = self.tree.child(&step.node, &entry)?;
            self.steps.push(Step { node: child, at: 0 });
        }
        let Some(new) = self.steps.last() else { return Ok(()) };
        let last = old.node.count.checked_sub(1).and_then(|i| old.node.entry(i));
        if let (Some(last), Some(first)) = (last, new.node.entry(0))
            && self.tree.order(last.key, first.key) != Ordering::Less
        {
            let text = format!("its keys do not follow those of block {}", old.node.block);
            return Err(self.tree.corrupt(&new.node, text));
        }
        Ok(())
    }
}
