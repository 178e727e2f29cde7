//! Trees written in one go from sorted records, a leaf at a time: for volumes that do not fit in
//! memory.

use super::btree::{Key, Tree, Written};
use super::core::Core;
use super::node::{self, Entry, Footer, NodeSpec, TreeKind};
use super::object::PHYSICAL;

/// An index record in the making: key and child.
type Child = (Box<[u8]>, u64);

/// Writes a tree from records in ascending order.
pub struct Bulk {
    kind: &'static TreeKind,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// Ends of keys and values of the records held back.
    ends: Vec<(usize, usize)>,
    leaves: Vec<Child>,
    footer: Footer,
    /// Virtual nodes: identifier and address.
    pub mapped: Vec<(u64, u64)>,
}

impl Bulk {
    /// A tree without records.
    pub fn new(kind: &'static TreeKind) -> Self {
        let footer = Footer { longest_key: kind.key, longest_value: kind.value, keys: 0, nodes: 0 };
        Bulk {
            kind,
            keys: Vec::new(),
            values: Vec::new(),
            ends: Vec::new(),
            leaves: Vec::new(),
            footer,
            mapped: Vec::new(),
        }
    }

    /// Adds a record behind all others.
    pub fn push(&mut self, core: &mut Core, key: &impl Key, value: &[u8]) {
        let (key_len, bytes) = (key.stored_len(), self.keys.len() + self.values.len());
        let more = bytes + key_len + value.len();
        let bs = core.block_size as usize;
        // Room for the footer, in case the leaf becomes the root.
        if !node::fits(self.kind, bs, (true, 0), self.ends.len() + 1, more) {
            self.leaf(core);
        }
        key.encode(&mut self.keys);
        self.values.extend_from_slice(value);
        self.ends.push((self.keys.len(), self.values.len()));
        self.footer.longest_key = self.footer.longest_key.max(key_len);
        self.footer.longest_value = self.footer.longest_value.max(value.len());
        self.footer.keys += 1;
    }

    fn entries(&self) -> Vec<Entry<'_>> {
        let mut from = (0, 0);
        let mut out = Vec::with_capacity(self.ends.len());
        for &(key, value) in &self.ends {
            out.push((&self.keys[from.0..key], Some(&self.values[from.1..value])));
            from = (key, value);
        }
        out
    }

    fn leaf(&mut self, core: &mut Core) {
        let first = self.entries()[0].0.into();
        let oid = self.node(core, 0, &self.entries(), None);
        self.leaves.push((first, oid.0));
        self.mapped.extend(oid.1);
        (self.footer.nodes, self.ends) = (self.footer.nodes + 1, Vec::new());
        self.keys.clear();
        self.values.clear();
    }

    /// Writes a node; returns its identifier and, if it is virtual, its mapping. `root` gives the
    /// identifier of the root.
    fn node(
        &self,
        core: &mut Core,
        level: u16,
        entries: &[Entry],
        root: Option<(u64, Footer)>,
    ) -> (u64, Option<(u64, u64)>) {
        let address = core.space.allocate(1);
        let physical = self.kind.storage == PHYSICAL;
        let oid = match root {
            _ if physical => address,
            Some((oid, _)) => oid,
            None => core.oid(),
        };
        let spec = NodeSpec {
            tree: self.kind,
            block_size: core.block_size as usize,
            footer: root.map(|r| r.1),
            level,
            entries,
            ragged: false,
        };
        let block = spec.object(oid, core.xid, 0);
        core.device.write(address, &block);
        (oid, (!physical).then_some((oid, address)))
    }

    /// Writes the index nodes and the root, which is called `root` where the tree is virtual.
    pub fn finish<K: Key>(mut self, core: &mut Core, root: u64) -> (Tree<K>, Vec<(u64, u64)>) {
        let bs = core.block_size as usize;
        let mut level = 0;
        if self.leaves.is_empty() {
            let footer = Footer { nodes: 1, ..self.footer };
            let (oid, mapping) = self.node(core, 0, &self.entries(), Some((root, footer)));
            return self.done(core, bs, oid, mapping, footer);
        }
        self.leaf(core);
        let mut children = std::mem::take(&mut self.leaves);
        loop {
            level += 1;
            let (groups, is_root) = self.group(bs, level, &children);
            let mut parents = Vec::with_capacity(groups.len());
            self.footer.nodes += groups.len() as u64;
            for group in groups {
                let part = &children[group];
                let oids: Vec<[u8; 8]> = part.iter().map(|c| c.1.to_le_bytes()).collect();
                let entries: Vec<Entry> =
                    part.iter().zip(&oids).map(|(c, o)| (&c.0[..], Some(&o[..]))).collect();
                let named = is_root.then_some((root, self.footer));
                let (oid, mapping) = self.node(core, level, &entries, named);
                if is_root {
                    let footer = self.footer;
                    return self.done(core, bs, oid, mapping, footer);
                }
                self.mapped.extend(mapping);
                parents.push((part[0].0.clone(), oid));
            }
            children = parents;
        }
    }

    /// Which children go into which node, and whether that is the root.
    fn group(
        &self,
        bs: usize,
        level: u16,
        children: &[Child],
    ) -> (Vec<std::ops::Range<usize>>, bool) {
        let size = |c: &Child| c.0.len() + 8;
        let all = children.iter().map(size).sum();
        if node::fits(self.kind, bs, (true, level), children.len(), all) {
            return (std::iter::once(0..children.len()).collect(), true);
        }
        let (mut out, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (i, child) in children.iter().enumerate() {
            if !node::fits(self.kind, bs, (false, level), i - start + 1, bytes + size(child)) {
                out.push(start..i);
                (start, bytes) = (i, 0);
            }
            bytes += size(child);
        }
        out.push(start..children.len());
        (out, false)
    }

    fn done<K: Key>(
        mut self,
        core: &Core,
        bs: usize,
        oid: u64,
        mapping: Option<(u64, u64)>,
        footer: Footer,
    ) -> (Tree<K>, Vec<(u64, u64)>) {
        self.mapped.extend(mapping);
        let address = mapping.map_or(oid, |m| m.1);
        let written = Written { address, xid: core.xid };
        (Tree::written(self.kind, bs, (oid, written), footer), self.mapped)
    }
}
