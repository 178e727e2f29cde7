//! B-trees in memory that are written copy-on-write, a node at a time.

use super::node::{self, Footer, TreeKind};

/// A key and its bytes.
pub trait Key: Ord + Clone {
    /// Appends the key as it is stored.
    fn encode(&self, out: &mut Vec<u8>);
    /// Length as stored.
    fn stored_len(&self) -> usize {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.len()
    }
}

/// Value of a leaf record; `None` is a ghost.
pub type Value = Option<Box<[u8]>>;

/// Where a node was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Block address.
    pub address: u64,
    /// Transaction.
    pub xid: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Leaf(Vec<Value>),
    Index(Vec<usize>),
}

#[derive(Clone, Debug)]
pub(super) struct Node<K> {
    pub(super) oid: u64,
    pub(super) level: u16,
    pub(super) keys: Vec<K>,
    pub(super) content: Content,
    /// Bytes of keys and values.
    bytes: usize,
    pub(super) dirty: bool,
    pub(super) written: Option<Written>,
}

/// A B-tree.
#[derive(Clone, Debug)]
pub struct Tree<K> {
    /// Its kind.
    pub kind: &'static TreeKind,
    pub(super) block_size: usize,
    pub(super) nodes: Vec<Option<Node<K>>>,
    free: Vec<usize>,
    pub(super) root: usize,
    pub(super) footer: Footer,
    pub(super) dropped: Vec<(u64, Written)>,
}

impl<K: Key> Tree<K> {
    /// An empty tree; `oid` names the root of virtual trees.
    pub fn new(kind: &'static TreeKind, block_size: usize, oid: u64) -> Self {
        let root = Node {
            oid,
            level: 0,
            keys: Vec::new(),
            content: Content::Leaf(Vec::new()),
            bytes: 0,
            dirty: true,
            written: None,
        };
        let footer = Footer { longest_key: kind.key, longest_value: kind.value, keys: 0, nodes: 1 };
        let nodes = vec![Some(root)];
        Tree { kind, block_size, nodes, free: vec![], root: 0, footer, dropped: vec![] }
    }

    /// A tree that was written elsewhere: it can be referred to, not changed.
    pub fn written(
        kind: &'static TreeKind,
        block_size: usize,
        (oid, written): (u64, Written),
        footer: Footer,
    ) -> Self {
        let mut tree = Tree::new(kind, block_size, oid);
        let root = tree.node_mut(0);
        root.dirty = false;
        root.written = Some(written);
        tree.footer = footer;
        tree
    }

    pub(super) fn node(&self, at: usize) -> &Node<K> {
        self.nodes[at].as_ref().expect("a node")
    }

    pub(super) fn node_mut(&mut self, at: usize) -> &mut Node<K> {
        self.nodes[at].as_mut().expect("a node")
    }

    /// Object identifier of the root: the address where the tree is physical.
    pub fn root_oid(&self) -> u64 {
        self.node(self.root).oid
    }

    /// Number of nodes.
    pub fn node_count(&self) -> u64 {
        self.footer.nodes
    }

    /// Number of records.
    pub fn len(&self) -> u64 {
        self.footer.keys
    }

    /// The path to the leaf that holds or would hold `key`: nodes and positions in them.
    fn path(&self, key: &K) -> Vec<(usize, usize)> {
        let mut out = Vec::new();
        let mut at = self.root;
        loop {
            let node = self.node(at);
            match &node.content {
                Content::Leaf(_) => {
                    out.push((at, node.keys.partition_point(|k| k < key)));
                    return out;
                }
                Content::Index(children) => {
                    let i = node.keys.partition_point(|k| k <= key).saturating_sub(1);
                    out.push((at, i));
                    at = children[i];
                }
            }
        }
    }

    fn touch(&mut self, path: &[(usize, usize)]) {
        let up = if self.kind.storage == super::object::PHYSICAL || self.kind.hashed {
            0
        } else {
            path.len() - 1
        };
        // The root's footer counts records, so a change of their number dirties it too.
        self.node_mut(path[0].0).dirty = true;
        path[up..].iter().for_each(|&(n, _)| self.node_mut(n).dirty = true);
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&Value> {
        let path = self.path(key);
        let &(at, i) = path.last()?;
        let node = self.node(at);
        match &node.content {
            Content::Leaf(values) if node.keys.get(i) == Some(key) => values.get(i),
            _ => None,
        }
    }

    /// Stores a record, in place of one with the same key.
    pub fn insert(&mut self, key: K, value: Value) {
        let path = self.path(&key);
        self.touch(&path);
        let &(leaf, i) = path.last().expect("a leaf");
        let len = value.as_ref().map_or(0, |v| v.len());
        self.footer.longest_key = self.footer.longest_key.max(key.stored_len());
        self.footer.longest_value = self.footer.longest_value.max(len);
        let node = self.node_mut(leaf);
        let key_len = key.stored_len();
        let Content::Leaf(values) = &mut node.content else { unreachable!() };
        if node.keys.get(i) == Some(&key) {
            node.bytes -= values[i].as_ref().map_or(0, |v| v.len());
            node.bytes += len;
            values[i] = value;
        } else {
            node.keys.insert(i, key);
            values.insert(i, value);
            node.bytes += key_len + len;
            self.footer.keys += 1;
            if i == 0 {
                self.fix_first_keys(&path);
            }
        }
        self.split_up(path);
    }

    /// After a leaf's first key changed: the index keys that lead to it.
    fn fix_first_keys(&mut self, path: &[(usize, usize)]) {
        for depth in (1..path.len()).rev() {
            let (child, parent, i) = (path[depth].0, path[depth - 1].0, path[depth - 1].1);
            let Some(first) = self.node(child).keys.first().cloned() else { return };
            let node = self.node_mut(parent);
            if node.keys[i] == first {
                return;
            }
            node.bytes = node.bytes - node.keys[i].stored_len() + first.stored_len();
            node.keys[i] = first;
            node.dirty = true;
            if i > 0 {
                return;
            }
        }
    }

    fn overfull(&self, at: usize) -> bool {
        let node = self.node(at);
        let shape = (at == self.root, node.level);
        !node::fits(self.kind, self.block_size, shape, node.keys.len(), node.bytes)
    }

    fn split_up(&mut self, mut path: Vec<(usize, usize)>) {
        while let Some((at, hint)) = path.pop() {
            if !self.overfull(at) {
                continue;
            }
            if at == self.root {
                self.grow_root();
                let child = match &self.node(self.root).content {
                    Content::Index(children) => children[0],
                    Content::Leaf(_) => unreachable!(),
                };
                if self.overfull(child) {
                    self.split(self.root, 0, hint);
                }
            } else {
                let &(parent, i) = path.last().expect("a parent");
                self.split(parent, i, hint);
            }
        }
    }

    fn add_node(&mut self, node: Node<K>) -> usize {
        self.footer.nodes += 1;
        match self.free.pop() {
            Some(at) => {
                self.nodes[at] = Some(node);
                at
            }
            None => {
                self.nodes.push(Some(node));
                self.nodes.len() - 1
            }
        }
    }

    /// Moves the root's content one level down; the root keeps its name.
    fn grow_root(&mut self) {
        let root = self.root;
        let old = self.node_mut(root);
        let child = Node {
            oid: 0,
            level: old.level,
            keys: std::mem::take(&mut old.keys),
            content: std::mem::replace(&mut old.content, Content::Index(Vec::new())),
            bytes: old.bytes,
            dirty: true,
            written: None,
        };
        let first = child.keys[0].clone();
        let child = self.add_node(child);
        let width = self.kind.index_value();
        let old = self.node_mut(root);
        old.level += 1;
        old.bytes = first.stored_len() + width;
        old.keys = vec![first];
        old.content = Content::Index(vec![child]);
        old.dirty = true;
    }

    /// Splits child `i` of `parent`; `hint` is where the last insertion went.
    fn split(&mut self, parent: usize, i: usize, hint: usize) {
        let width = self.kind.index_value();
        let Content::Index(children) = &self.node(parent).content else { unreachable!() };
        let child = children[i];
        let node = self.node_mut(child);
        let count = node.keys.len();
        assert!(count > 1, "a record does not fit into a node");
        // Ascending insertion leaves full nodes behind, other insertion halves.
        let at = if hint + 2 >= count { count - 1 } else { count / 2 };
        let keys = node.keys.split_off(at);
        let content = match &mut node.content {
            Content::Leaf(values) => Content::Leaf(values.split_off(at)),
            Content::Index(children) => Content::Index(children.split_off(at)),
        };
        let bytes = weigh(&keys, &content, width);
        node.bytes -= bytes;
        node.dirty = true;
        let level = node.level;
        let first = keys[0].clone();
        let right = Node { oid: 0, level, keys, content, bytes, dirty: true, written: None };
        let right = self.add_node(right);
        let node = self.node_mut(parent);
        node.bytes += first.stored_len() + width;
        node.keys.insert(i + 1, first);
        let Content::Index(children) = &mut node.content else { unreachable!() };
        children.insert(i + 1, right);
        node.dirty = true;
        // Long records may need more room than one split gives.
        for (place, half) in [(i + 1, right), (i, child)] {
            if self.overfull(half) {
                self.split(parent, place, 0);
            }
        }
    }

    /// Removes a record and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<Value> {
        let path = self.path(key);
        let &(leaf, i) = path.last()?;
        if self.node(leaf).keys.get(i) != Some(key) {
            return None;
        }
        self.touch(&path);
        self.footer.keys -= 1;
        let node = self.node_mut(leaf);
        let key = node.keys.remove(i);
        let Content::Leaf(values) = &mut node.content else { unreachable!() };
        let value = values.remove(i);
        node.bytes -= key.stored_len() + value.as_ref().map_or(0, |v| v.len());
        if self.node(leaf).keys.is_empty() {
            self.prune(&path);
        } else if i == 0 {
            self.fix_first_keys(&path);
        }
        Some(value)
    }

    /// Takes empty nodes out of their parents, then shortens the tree where it can.
    fn prune(&mut self, path: &[(usize, usize)]) {
        let width = self.kind.index_value();
        for depth in (1..path.len()).rev() {
            let (at, (parent, i)) = (path[depth].0, path[depth - 1]);
            if !self.node(at).keys.is_empty() {
                break;
            }
            self.drop_node(at);
            let node = self.node_mut(parent);
            let key = node.keys.remove(i);
            let Content::Index(children) = &mut node.content else { unreachable!() };
            children.remove(i);
            node.bytes -= key.stored_len() + width;
            node.dirty = true;
            if i == 0 {
                self.fix_first_keys(&path[..depth]);
            }
        }
        while self.shorten() {}
    }

    fn drop_node(&mut self, at: usize) -> Node<K> {
        let node = self.nodes[at].take().expect("a node");
        self.free.push(at);
        self.footer.nodes -= 1;
        if let Some(written) = node.written {
            self.dropped.push((node.oid, written));
        }
        node
    }

    /// Lets the root take the place of its only child, or become an empty leaf.
    fn shorten(&mut self) -> bool {
        let root = self.root;
        let node = self.node_mut(root);
        let Content::Index(children) = &node.content else { return false };
        match children[..] {
            [] => {
                node.content = Content::Leaf(Vec::new());
                node.level = 0;
                node.bytes = 0;
                false
            }
            [only] => {
                let child = self.node(only);
                let (count, bytes, level) = (child.keys.len(), child.bytes, child.level);
                if !node::fits(self.kind, self.block_size, (true, level), count, bytes) {
                    return false;
                }
                let child = self.drop_node(only);
                let node = self.node_mut(root);
                node.keys = child.keys;
                node.content = child.content;
                node.bytes = child.bytes;
                node.level = child.level;
                node.dirty = true;
                true
            }
            _ => false,
        }
    }

    /// Every record, in order.
    pub fn records(&self) -> Vec<(K, Value)> {
        let mut out = Vec::new();
        let mut stack = vec![self.root];
        while let Some(at) = stack.pop() {
            let node = self.node(at);
            match &node.content {
                Content::Index(children) => stack.extend(children.iter().rev()),
                Content::Leaf(values) => {
                    out.extend(node.keys.iter().cloned().zip(values.iter().cloned()));
                }
            }
        }
        out
    }

    /// Addresses of all nodes (those that were written).
    pub fn addresses(&self) -> Vec<u64> {
        self.nodes.iter().flatten().filter_map(|n| Some(n.written?.address)).collect()
    }
}

fn weigh<K: Key>(keys: &[K], content: &Content, width: usize) -> usize {
    let keys: usize = keys.iter().map(Key::stored_len).sum();
    keys + match content {
        Content::Leaf(values) => values.iter().flatten().map(|v| v.len()).sum(),
        Content::Index(children) => children.len() * width,
    }
}
