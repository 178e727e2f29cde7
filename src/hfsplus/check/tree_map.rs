//! The header node of a B-tree, its map nodes, and the map against the nodes that are
//! in the tree.

use super::bits::CHUNK_BYTES;
use super::tree::{Checker, MAX_DEPTH};
use crate::error::{Error, Result};
use crate::hfsplus::node::{DESCRIPTOR, Node, kind};
use crate::io::bytes::{bit, to_u32, to_usize, usize32};
use crate::report::{Code, Finding, Severity};

/// Control file, user's, reserved: the types that Apple's code opens.
const TREE_TYPES: [u8; 3] = [0, 128, 255];

impl Checker<'_> {
    /// Fields that always have the same value in this tree.
    fn header_constants(&self) {
        let h = &self.header;
        if h.max_key_length != self.spec.max_key_length {
            let text = format!(
                "keys of up to {} bytes, expected {}",
                h.max_key_length, self.spec.max_key_length
            );
            self.grade_header(Severity::Warning, text);
        }
        if h.attributes & !7 != 0 || h.attributes & 2 == 0 {
            self.grade_header(Severity::Warning, format!("attributes {:#x}", h.attributes));
        }
        let orders = self.spec.orders;
        if !orders.is_empty() && !orders.contains(&h.key_compare_type) {
            let text =
                format!("order of names {:#04x}, expected {orders:02x?}", h.key_compare_type);
            self.grade_header(Severity::Warning, text);
        }
        // Whoever makes the attributes file at run time writes 255; a Mac refuses a tree of
        // any other type than these.
        if !TREE_TYPES.contains(&h.btree_type) {
            let text = format!("tree type {}, expected one of {TREE_TYPES:?}", h.btree_type);
            self.grade_header(Severity::Damage, text);
        }
    }

    pub(super) fn header_and_map(&mut self) -> Result<()> {
        let h = &self.header;
        let fits = self.file.len() / self.size();
        if u64::from(h.total_nodes) != fits {
            self.report_header(format!("{} nodes, but the file holds {fits}", h.total_nodes));
        }
        if h.tree_depth > MAX_DEPTH {
            self.report_header(format!("depth {}, more than {MAX_DEPTH}", h.tree_depth));
        }
        if (h.tree_depth == 0) != (h.root_node == 0) {
            self.report_header(format!("depth {} with root node {}", h.tree_depth, h.root_node));
        }
        self.mark(0);
        let Some(bytes) = self.read(0) else {
            return Err(Error::corrupt(self.spec.name, "no header"));
        };
        let Some(node) = Node::new(bytes) else {
            return Err(Error::corrupt(self.spec.name, "no header"));
        };
        if node.records != 3 {
            self.report_header(format!("{} records, expected 3", node.records));
        }
        if node.height != 0 {
            self.report_header(format!("height {}", node.height));
        }
        if node.backward != 0 {
            self.grade_header(Severity::Info, format!("previous node {}", node.backward));
        }
        self.header_constants();
        // Whatever the offsets say, Apple's code finds the map at 248.
        let end = to_usize(self.size()) - 8;
        let offsets: Vec<usize> = (0..4).filter_map(|i| node.offset(i)).collect();
        if let Some(problem) = node.offsets_problem() {
            self.report_header(problem);
        } else if offsets != [14, 120, 248, end] {
            let text = format!("its records begin at {offsets:?}, expected 14, 120, 248, {end}");
            self.grade_header(Severity::Warning, text);
        }
        self.map = node.bytes().get(248..end).unwrap_or_default().to_vec();
        self.map_nodes(node.forward);
        Ok(())
    }

    /// The map goes on in map nodes, chained from the header.
    fn map_nodes(&mut self, first: u32) {
        let (mut n, mut from) = (first, 0);
        while n != 0 {
            if !self.reach(n, from) {
                return;
            }
            let Some(node) = self.read(n).and_then(Node::new) else { return };
            if node.kind != kind::MAP || node.height != 0 {
                let text =
                    format!("kind {} and height {}, expected a map node", node.kind, node.height);
                self.report(Code::BtreeMap, n, text);
                self.summary.whole = false;
                return;
            }
            // Two bytes before the two offsets stay free.
            let end = to_usize(self.size()) - 6;
            let offsets = (node.offset(0), node.offset(1));
            if node.records != 1 || offsets != (Some(DESCRIPTOR), Some(end)) {
                let text = format!(
                    "{} records in a map node, the first from {:?} to {:?}",
                    node.records, offsets.0, offsets.1
                );
                self.report(Code::BtreeMap, n, text);
            }
            self.map.extend_from_slice(node.bytes().get(DESCRIPTOR..end).unwrap_or_default());
            (from, n) = (n, node.forward);
        }
        if self.map.len() < usize32(self.nodes).div_ceil(8) {
            let text = format!("the map covers {} of {} nodes", self.map.len() * 8, self.nodes);
            self.report(Code::BtreeMap, 0, text);
        }
    }

    /// The map against what was reached.
    pub(super) fn used_and_unused(&mut self) -> Result<()> {
        let mut free = 0u32;
        let (mut leaked, mut first_leaked) = (0u32, 0);
        let bytes = u64::from(self.nodes).div_ceil(8);
        for (i, at) in (0..).zip((0..bytes).step_by(to_usize(CHUNK_BYTES))) {
            for (in_chunk, at) in (at..bytes.min(at + CHUNK_BYTES)).enumerate() {
                let used = self.map.get(to_usize(at)).copied().unwrap_or(0);
                let reached = self.seen.piece(i).byte(in_chunk);
                let first = to_u32(to_usize(at * 8));
                // Most bytes are all free, or all in use.
                if first.checked_add(8).is_some_and(|n| n <= self.nodes) && used == reached {
                    free += used.count_zeros();
                    self.summary.reached += used.count_ones();
                    continue;
                }
                for n in first..first.saturating_add(8).min(self.nodes) {
                    let mask = 0x80 >> (n % 8);
                    let (used, reached) = (used & mask != 0, reached & mask != 0);
                    free += u32::from(!used);
                    self.summary.reached += u32::from(reached);
                    if reached && !used {
                        self.report(Code::BtreeMap, n, "is in use, but the map says it is free");
                    }
                    if used && !reached {
                        leaked += 1;
                        first_leaked = if leaked == 1 { n } else { first_leaked };
                    }
                }
            }
        }
        let beyond = usize32(self.nodes)..self.map.len() * 8;
        if let Some(n) = beyond.into_iter().find(|n| bit(&self.map, *n) == Some(true)) {
            let text =
                format!("{} header: the map marks node {n}, which does not exist", self.spec.name);
            let finding = Finding::new(Code::BtreeMap, self.place(0), text);
            self.reporter.report(finding.severity(Severity::Warning));
        }
        if leaked > 0 && self.summary.whole {
            let text =
                format!("{leaked} nodes are marked used but not in the tree, from this one on");
            self.report(Code::BtreeMap, first_leaked, text);
        }
        if free != self.header.free_nodes {
            self.report_header(format!(
                "{} free nodes, but the map has {free}",
                self.header.free_nodes
            ));
        }
        Ok(())
    }
}
