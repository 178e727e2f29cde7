//! The structure of one B-tree (section 6): header, map, index levels from the
//! root down, then the leaves in the order they lie in the file.

use super::bits::Bits;
use crate::error::{Error, Result};
use crate::hfsplus::btree::{nodes_in, read_header};
use crate::hfsplus::format::BTreeHeader;
use crate::hfsplus::node::{Node, kind, split};
use crate::hfsplus::spec::TreeSpec;
use crate::io::bytes::{be32, to_u64, to_usize};
use crate::io::{ReadAt, gone, read_up_to, read_vec};
use crate::report::{Code, Finding, Progress, Reporter, Severity, Structure, Unit, Where};
use std::cmp::Ordering;

/// Deepest tree that fsck accepts.
pub(super) const MAX_DEPTH: u16 = 8;
/// Bytes of leaves that are read at a time.
pub(super) const BATCH: u64 = 1 << 20;

/// Called with every sound leaf record: node, record number, and its bytes.
pub type LeafVisitor<'a> = &'a mut dyn FnMut(u32, usize, &[u8]);

/// What a tree holds.
#[derive(Debug, Clone)]
pub struct TreeSummary {
    /// `extents`, `catalog`, `attributes`.
    pub name: Structure,
    /// Nodes in the file.
    pub nodes: u32,
    /// Nodes that were reached.
    pub reached: u32,
    /// Records in the leaves.
    pub records: u64,
    /// Whether every node could be followed.
    pub whole: bool,
    /// Bytes in a node.
    pub node_size: u16,
    /// The map of used nodes, most significant bit first.
    pub map: Vec<u8>,
}

impl TreeSummary {
    /// Of a tree of which nothing has been seen yet.
    fn new(name: Structure, nodes: u32, node_size: u16) -> Self {
        Self { name, nodes, node_size, reached: 0, records: 0, whole: true, map: Vec::new() }
    }
}

/// A node that a parent leads to.
struct Child {
    node: u32,
    /// The parent's key; `None` for the root, which has none.
    key: Option<Box<[u8]>>,
}

/// The check of one tree.
pub(super) struct Checker<'a> {
    pub(super) spec: &'a TreeSpec,
    pub(super) file: &'a dyn ReadAt,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) progress: &'a dyn Progress,
    pub(super) header: BTreeHeader,
    /// Nodes that exist: what the header says, but no more than the file holds.
    pub(super) nodes: u32,
    pub(super) map: Vec<u8>,
    pub(super) seen: Bits,
    pub(super) summary: TreeSummary,
}

/// Check a tree; its sound leaf records go to `leaf`.
///
/// # Errors
/// [`Error::Interrupted`], or the reason why the tree could not be walked at all
/// (which was reported).
pub fn check(
    spec: &TreeSpec,
    file: &dyn ReadAt,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
    leaf: LeafVisitor<'_>,
) -> Result<TreeSummary> {
    let header = match read_header(file, spec.name.as_str()) {
        Ok(header) => header,
        Err(e) => {
            let place = Where::of(spec.name).node(0u32).at(file.locate(0));
            let head = read_up_to(file, 0, 512).unwrap_or_default();
            if let Some(gone) = gone(file, 0, &head) {
                let text = format!("{} header is lost: {}", spec.name, gone.why);
                reporter.report(Finding::new(Code::BandLost, place, text));
                return Err(e);
            }
            let code = match &e {
                Error::Io { .. } => Code::BtreeUnreadable,
                _ => Code::BtreeHeader,
            };
            reporter.report(Finding::new(code, place, e.to_string()));
            return Err(e);
        }
    };
    let nodes = header.total_nodes.min(nodes_in(file, &header));
    progress.phase(&format!("checking the {} tree", spec.name), nodes.into(), Unit::Items);
    let node_size = header.node_size;
    let summary = TreeSummary::new(spec.name, nodes, node_size);
    let seen = Bits::new(nodes.into());
    let map = Vec::new();
    let mut c = Checker { spec, file, reporter, progress, header, nodes, map, seen, summary };
    c.header_and_map()?;
    let leaves = c.index_levels()?;
    c.leaves(&leaves, leaf)?;
    c.totals(&leaves);
    c.used_and_unused()?;
    c.summary.map = std::mem::take(&mut c.map);
    Ok(c.summary)
}

impl Checker<'_> {
    pub(super) fn size(&self) -> u64 {
        u64::from(self.header.node_size)
    }

    pub(super) fn place(&self, n: u32) -> Where {
        let at = self.file.locate(u64::from(n) * self.size());
        Where::of(self.spec.name).node(n).at(at).length(self.size())
    }

    pub(super) fn report(&self, code: Code, n: u32, text: impl AsRef<str>) {
        let text = format!("{} node {n}: {}", self.spec.name, text.as_ref());
        self.reporter.report(Finding::new(code, self.place(n), text));
    }

    pub(super) fn report_header(&self, text: impl AsRef<str>) {
        let text = format!("{} header: {}", self.spec.name, text.as_ref());
        self.reporter.report(Finding::new(Code::BtreeHeader, self.place(0), text));
    }

    pub(super) fn grade_header(&self, severity: Severity, text: String) {
        let text = format!("{} header: {text}", self.spec.name);
        let finding = Finding::new(Code::BtreeHeader, self.place(0), text);
        self.reporter.report(finding.severity(severity));
    }

    /// A node's bytes; an unreadable one is reported.
    pub(super) fn read(&mut self, n: u32) -> Option<Vec<u8>> {
        match read_vec(self.file, u64::from(n) * self.size(), to_usize(self.size())) {
            Ok(bytes) => (!self.lost(n, &bytes)).then_some(bytes),
            Err(e) => {
                self.report(Code::BtreeUnreadable, n, format!("cannot be read: {e}"));
                self.summary.whole = false;
                None
            }
        }
    }

    /// Whether a part of a node, whose bytes these are, is not stored; that is reported.
    fn lost(&mut self, n: u32, bytes: &[u8]) -> bool {
        let start = u64::from(n) * self.size();
        let Some(gone) = gone(self.file, start, bytes) else { return false };
        let length = start.saturating_add(self.size()).saturating_sub(gone.at);
        let place = Where::of(self.spec.name).node(n).at(self.file.locate(gone.at)).length(length);
        let text = format!("{} node {n}: is lost: {}", self.spec.name, gone.why);
        self.reporter.report(Finding::new(Code::BandLost, place, text));
        self.summary.whole = false;
        true
    }

    /// Mark a node as reached; false if it was before or does not exist.
    pub(super) fn reach(&mut self, n: u32, from: u32) -> bool {
        if n == 0 || n >= self.nodes {
            let text = format!("leads to node {n}, but the nodes are 1 to {}", self.nodes - 1);
            self.report(Code::BtreeLink, from, text);
            self.summary.whole = false;
            return false;
        }
        if self.seen.get(n.into()) {
            self.report(Code::BtreeTwice, n, format!("is reached a second time, from node {from}"));
            self.summary.whole = false;
            return false;
        }
        self.mark(n);
        true
    }

    pub(super) fn mark(&mut self, n: u32) {
        self.seen.set(n.into(), 1);
    }

    /// Walk the index levels; returns the leaves in key order.
    fn index_levels(&mut self) -> Result<Vec<Child>> {
        let (root, depth) = (self.header.root_node, self.header.tree_depth);
        if root == 0 {
            return Ok(Vec::new());
        }
        if !self.reach(root, 0) {
            return Ok(Vec::new());
        }
        let mut level = vec![Child { node: root, key: None }];
        for height in (2..=depth.min(MAX_DEPTH)).rev() {
            let mut below = Vec::new();
            for (i, child) in level.iter().enumerate() {
                self.progress.check()?;
                let Some(node) = self.read(child.node).and_then(Node::new) else { continue };
                if self.sound(child, &node, kind::INDEX, height) {
                    self.siblings(&level, i, &node);
                    self.children(child.node, &node, &mut below);
                    self.progress.advance(1);
                }
            }
            level = below;
        }
        Ok(level)
    }

    /// Check a node by itself and against its parent; whether it can be followed.
    fn sound<B: AsRef<[u8]>>(
        &mut self,
        child: &Child,
        node: &Node<B>,
        want: i8,
        height: u16,
    ) -> bool {
        let n = child.node;
        let bytes = node.bytes();
        if node.kind != want || u16::from(node.height) != height {
            let zero = crate::io::bytes::all_zero(bytes);
            let text = if zero {
                "holds only zeros".to_owned()
            } else {
                format!(
                    "kind {} and height {}, expected {want} and {height}",
                    node.kind, node.height
                )
            };
            self.report(if zero { Code::BtreeNode } else { Code::BtreeKind }, n, text);
            self.summary.whole = false;
            return false;
        }
        if let Some(problem) = node.offsets_problem() {
            self.report(Code::BtreeNode, n, problem);
            self.summary.whole = false;
            return false;
        }
        if node.records == 0 {
            self.report(Code::BtreeNode, n, "has no records");
            self.summary.whole = false;
            return false;
        }
        if node.reserved != 0 {
            let text = format!(
                "{} node {n}: reserved field is {}, expected 0",
                self.spec.name, node.reserved
            );
            let finding = Finding::new(Code::BtreeNode, self.place(n), text);
            self.reporter.report(finding.severity(Severity::Info));
        }
        self.keys(child, node)
    }

    /// Lengths and order of the keys of a node, and its first against its parent's.
    fn keys<B: AsRef<[u8]>>(&mut self, child: &Child, node: &Node<B>) -> bool {
        let n = child.node;
        let mut previous: Option<&[u8]> = None;
        let mut good = true;
        for i in 0..usize::from(node.records) {
            let Some(record) = node.record(i).and_then(split) else {
                self.report(Code::BtreeKeyLength, n, format!("the key of record {i} does not fit"));
                good = false;
                previous = None;
                continue;
            };
            if let Some(problem) = (self.spec.key_problem)(record.key) {
                self.report(Code::BtreeKeyLength, n, format!("the key of record {i}: {problem}"));
                good = false;
                previous = None;
                continue;
            }
            if i == 0
                && let Some(expected) = &child.key
                && (self.spec.compare)(expected, record.key) != Some(Ordering::Equal)
            {
                self.report(Code::BtreeIndexKey, n, "its first key is not the one its parent has");
            }
            if let Some(before) = previous
                && (self.spec.compare)(before, record.key) != Some(Ordering::Less)
            {
                let text = format!("the key of record {i} does not come after the one before it");
                self.report(Code::BtreeKeyOrder, n, text);
            }
            previous = Some(record.key);
        }
        self.summary.whole &= good;
        good
    }

    /// The links of a node to its neighbours on its level.
    fn siblings<B: AsRef<[u8]>>(&self, level: &[Child], i: usize, node: &Node<B>) {
        if !self.summary.whole {
            // A branch is missing, so the neighbours are not known.
            return;
        }
        let at = |i: Option<usize>| i.and_then(|i| level.get(i)).map_or(0, |c| c.node);
        let (before, after) = (at(i.checked_sub(1)), at(i.checked_add(1)));
        let Some(this) = level.get(i) else { return };
        if node.backward != before {
            let text = format!("its previous node is {}, expected {before}", node.backward);
            self.report(Code::BtreeLink, this.node, text);
        }
        if node.forward != after {
            let text = format!("its next node is {}, expected {after}", node.forward);
            self.report(Code::BtreeLink, this.node, text);
        }
    }

    fn children(&mut self, n: u32, node: &Node<Vec<u8>>, below: &mut Vec<Child>) {
        for i in 0..usize::from(node.records) {
            let Some(record) = node.record(i).and_then(split) else { continue };
            let Some(next) = be32(record.data, 0) else {
                self.report(Code::BtreeNode, n, format!("index record {i} has no child"));
                self.summary.whole = false;
                continue;
            };
            if record.data.len() != 4 {
                let text = format!(
                    "{} node {n}: index record {i} has {} bytes behind its key, expected 4",
                    self.spec.name,
                    record.data.len()
                );
                let finding = Finding::new(Code::BtreeNode, self.place(n), text);
                self.reporter.report(finding.severity(Severity::Warning));
            }
            if self.reach(next, n) {
                below.push(Child { node: next, key: Some(record.key.into()) });
            }
        }
    }

    /// Read the leaves in the order of the file and check each.
    fn leaves(&mut self, leaves: &[Child], visit: LeafVisitor<'_>) -> Result<()> {
        let mut order: Vec<usize> = (0..leaves.len()).collect();
        order.sort_unstable_by_key(|i| leaves.get(*i).map(|c| c.node));
        let per_batch = to_usize(BATCH / self.size()).max(1);
        let node_of = |i: &usize| leaves.get(*i).map_or(0, |c| c.node);
        for run in order.chunk_by(|a, b| node_of(a) + 1 == node_of(b)) {
            for batch in run.chunks(per_batch) {
                self.progress.check()?;
                self.leaf_batch(leaves, batch, visit);
                self.progress.advance(to_u64(batch.len()));
            }
        }
        Ok(())
    }

    fn leaf_batch(&mut self, leaves: &[Child], batch: &[usize], visit: LeafVisitor<'_>) {
        let size = to_usize(self.size());
        let first = batch.first().and_then(|i| leaves.get(*i)).map_or(0, |c| c.node);
        let read = read_vec(self.file, u64::from(first) * self.size(), size * batch.len());
        for (at, i) in batch.iter().enumerate() {
            let Some(child) = leaves.get(*i) else { continue };
            let single;
            let bytes = match &read {
                Ok(all) => {
                    let bytes = all.get(at * size..(at + 1) * size).unwrap_or_default();
                    (!self.lost(child.node, bytes)).then_some(bytes)
                }
                // Some part of the batch is unreadable: find out which.
                Err(_) => {
                    single = self.read(child.node);
                    single.as_deref()
                }
            };
            let Some(node) = bytes.and_then(Node::new) else { continue };
            self.leaf(leaves, *i, child, &node, visit);
        }
    }

    fn leaf(
        &mut self,
        leaves: &[Child],
        i: usize,
        child: &Child,
        node: &Node<&[u8]>,
        visit: LeafVisitor<'_>,
    ) {
        if !self.sound(child, node, kind::LEAF, 1) {
            return;
        }
        self.siblings(leaves, i, node);
        let last = usize::from(node.records) - 1;
        if let Some(next) = leaves.get(i + 1).and_then(|c| c.key.as_deref())
            && let Some(record) = node.record(last).and_then(split)
            && (self.spec.compare)(record.key, next) != Some(Ordering::Less)
        {
            self.report(
                Code::BtreeKeyOrder,
                child.node,
                "its last key comes after the next node's first",
            );
        }
        for r in 0..=last {
            if let Some(record) = node.record(r) {
                visit(child.node, r, record);
            }
        }
        self.summary.records += u64::from(node.records);
    }

    fn totals(&self, leaves: &[Child]) {
        if !self.summary.whole {
            return;
        }
        let h = &self.header;
        // In an empty tree nobody looks at these.
        let severity = if h.root_node == 0 { Severity::Info } else { Severity::Damage };
        if u64::from(h.leaf_records) != self.summary.records {
            let text = format!("{} leaf records, counted {}", h.leaf_records, self.summary.records);
            self.grade_header(severity, text);
        }
        let (first, last) =
            (leaves.first().map_or(0, |c| c.node), leaves.last().map_or(0, |c| c.node));
        if h.first_leaf_node != first || h.last_leaf_node != last {
            let text = format!(
                "first and last leaf are {} and {}, expected {first} and {last}",
                h.first_leaf_node, h.last_leaf_node
            );
            self.grade_header(severity, text);
        }
    }
}
