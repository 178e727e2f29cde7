//! Writing the changed nodes of a tree.

use super::btree::{Content, Key, Tree, Written};
use super::node::{self, NodeSpec};

/// What becomes of one node in a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It was written.
    Wrote {
        /// Object identifier (of physical nodes: the address).
        oid: u64,
        /// Where it lay before.
        old: Option<Written>,
        /// Where it lies now.
        address: u64,
    },
    /// It is no longer part of the tree.
    Dropped {
        /// Object identifier.
        oid: u64,
        /// Where it lay.
        old: Written,
    },
}

/// Where nodes go and what they are called.
pub trait Sink {
    /// A free block.
    fn allocate(&mut self) -> u64;
    /// A new virtual or ephemeral object identifier.
    fn next_oid(&mut self) -> u64;
    /// Stores a block.
    fn write(&mut self, address: u64, block: Vec<u8>);
}

/// How nodes are written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Transaction.
    pub xid: u64,
    /// Leave unused pieces in nodes.
    pub ragged: bool,
    /// Flags added to the object type.
    pub flags: u32,
}

impl<K: Key> Tree<K> {
    /// Writes all changed nodes, children first, and tells what became of each.
    pub fn flush(&mut self, sink: &mut dyn Sink, style: Style) -> Vec<Change> {
        let mut out: Vec<Change> =
            self.dropped.drain(..).map(|(oid, old)| Change::Dropped { oid, old }).collect();
        if self.nodes.iter().flatten().any(|n| n.dirty) {
            // The root says how many nodes and keys there are.
            self.node_mut(self.root).dirty = true;
            self.name_nodes(sink);
            self.flush_node(self.root, sink, style, &mut out);
        }
        out
    }

    fn name_nodes(&mut self, sink: &mut dyn Sink) {
        if self.kind.storage == super::object::PHYSICAL {
            return;
        }
        for node in self.nodes.iter_mut().flatten().filter(|n| n.oid == 0) {
            node.oid = sink.next_oid();
        }
    }

    fn flush_node(&mut self, at: usize, sink: &mut dyn Sink, style: Style, out: &mut Vec<Change>) {
        if let Content::Index(children) = &self.node(at).content {
            // Nodes that are clean may have changed ones below in virtual trees.
            for child in children.clone() {
                let node = self.node(child);
                if node.dirty || node.level > 0 {
                    self.flush_node(child, sink, style, out);
                }
            }
        }
        if !self.node(at).dirty {
            return;
        }
        let address = sink.allocate();
        let physical = self.kind.storage == super::object::PHYSICAL;
        let old_oid = self.node(at).oid;
        if physical {
            self.node_mut(at).oid = address;
        }
        let block = self.encode(at, style);
        sink.write(address, block);
        let node = self.node_mut(at);
        let old = node.written.replace(Written { address, xid: style.xid });
        node.dirty = false;
        if physical && let Some(old) = old {
            out.push(Change::Dropped { oid: old_oid, old });
        }
        out.push(Change::Wrote { oid: node.oid, old: if physical { None } else { old }, address });
    }

    fn encode(&self, at: usize, style: Style) -> Vec<u8> {
        let node = self.node(at);
        let mut keys = Vec::with_capacity(node.keys.len());
        for key in &node.keys {
            let mut bytes = Vec::new();
            key.encode(&mut bytes);
            keys.push(bytes);
        }
        let children: Vec<[u8; 8]> = match &node.content {
            Content::Index(c) => c.iter().map(|&c| self.node(c).oid.to_le_bytes()).collect(),
            Content::Leaf(_) => Vec::new(),
        };
        let entries: Vec<node::Entry> = match &node.content {
            Content::Leaf(values) => {
                keys.iter().zip(values).map(|(k, v)| (&k[..], v.as_deref())).collect()
            }
            Content::Index(_) => {
                keys.iter().zip(&children).map(|(k, c)| (&k[..], Some(&c[..]))).collect()
            }
        };
        let spec = NodeSpec {
            tree: self.kind,
            block_size: self.block_size,
            footer: (at == self.root).then_some(self.footer),
            level: node.level,
            entries: &entries,
            ragged: style.ragged,
        };
        spec.object(node.oid, style.xid, style.flags)
    }
}
