//! Trees whose nodes name their children by block: every node once, and how the nodes fit
//! together.

use super::nodes::{self, Kind};
use super::say::Checker;
use crate::apfs::btree::Tree;
use crate::apfs::node::Node;
use crate::apfs::store::SharedNode;
use crate::error::{Error, Result};
use crate::io::bytes::{to_u64, usize32};
use crate::report::{Progress, Rule, Structure, Where};
use std::cmp::Ordering;

/// What a tree is, and who hears of it.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Who is told.
    pub checker: &'a Checker<'a>,
    /// Asked whether to go on.
    pub progress: &'a dyn Progress,
    /// The part of the volume it is.
    pub structure: Structure,
    /// Number of the volume; none for the container's.
    pub volume: Option<u32>,
    /// What its kind has in common.
    pub kind: &'static Kind,
}

impl Told<'_> {
    /// The place of a block of it.
    pub fn place(&self, block: u64) -> Where {
        Where { volume: self.volume, ..self.checker.place(self.structure, block) }
    }

    /// Whose it is, for people.
    pub fn whose(&self) -> String {
        let name = self.kind.name;
        self.volume.map_or(format!("{name} of the container"), |n| format!("{name} of volume {n}"))
    }

    /// A rule is broken in a block of it.
    pub fn broken(&self, rule: Rule, block: u64, text: impl FnOnce() -> String) {
        let whose = self.whose();
        self.checker.broken(rule, self.place(block), || format!("{whose}: {}", text()));
    }
}

/// What a walk saw.
#[derive(Debug, Clone, Copy, Default)]
pub struct Walked {
    /// Whether all of it could be read.
    pub whole: bool,
    /// Keys in leaves.
    pub keys: u64,
    /// Nodes.
    pub nodes: u64,
}

/// Visit all nodes of a tree, and tell what is wrong with it.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn walk(
    tree: &Tree,
    told: Told<'_>,
    visit: &mut dyn FnMut(&SharedNode) -> Result<()>,
) -> Result<Walked> {
    let done = Walked { whole: true, ..Walked::default() };
    let mut pass = Pass { tree, told, visit, longest: (0, 0), done };
    let root = match tree.root() {
        Ok(root) => root,
        Err(e) => {
            pass.failed(e)?;
            return Ok(pass.done);
        }
    };
    pass.enter(&root, None)?;
    pass.totals(&root);
    Ok(pass.done)
}

struct Pass<'a> {
    tree: &'a Tree,
    told: Told<'a>,
    visit: &'a mut dyn FnMut(&SharedNode) -> Result<()>,
    longest: (usize, usize),
    done: Walked,
}

impl Pass<'_> {
    fn failed(&mut self, e: Error) -> Result<()> {
        self.done.whole = false;
        let place = Where { volume: self.told.volume, ..Where::of(self.told.structure) };
        self.told.checker.unreadable(place, &self.told.whose(), e)
    }

    /// Check a node and all below it; `before`: the key that no key of it may reach.
    fn enter(&mut self, node: &SharedNode, before: Option<&[u8]>) -> Result<()> {
        self.told.progress.check()?;
        if !self.told.checker.enters(node.block) {
            self.told.broken(Rule::A308, node.block, || {
                format!("the node in block {} stands in it or another tree, too", node.block)
            });
            self.done.whole = false;
            return Ok(());
        }
        self.told.progress.advance(1);
        nodes::inside(self.told.checker, self.told.structure, node, self.told.kind);
        let long = nodes::longest(node);
        if node.level == 0 {
            self.longest = (self.longest.0.max(long.0), self.longest.1.max(long.1));
            self.done.keys += to_u64(node.count);
        }
        self.done.nodes += 1;
        (self.visit)(node)?;
        let last = node.count.checked_sub(1).and_then(|i| node.entry(i));
        if let (Some(last), Some(before)) = (last, before)
            && self.tree.order(last.key, before) != Ordering::Less
        {
            self.told.broken(Rule::A061, node.block, || {
                format!("the last key of block {} is past the node's", node.block)
            });
        }
        if node.level > 0 {
            self.children(node, before)?;
        }
        Ok(())
    }

    fn children(&mut self, node: &SharedNode, before: Option<&[u8]>) -> Result<()> {
        for i in 0..node.count {
            let Some(entry) = node.entry(i) else { break };
            let next = node.entry(i + 1).map(|e| e.key).or(before);
            match self.tree.child(node, &entry) {
                Err(e) => self.failed(e)?,
                Ok(child) => {
                    self.fits(node, &child, entry.key);
                    self.enter(&child, next)?;
                }
            }
        }
        Ok(())
    }

    fn fits(&self, parent: &Node, child: &Node, key: &[u8]) {
        if child.entry(0).is_none_or(|first| first.key != key) {
            self.told.broken(Rule::A062, child.block, || {
                let (child, parent) = (child.block, parent.block);
                format!(
                    "the first key of block {child} is not the one that block {parent} has for it"
                )
            });
        }
        if child.header.xid > parent.header.xid {
            self.told.broken(Rule::A073, child.block, || {
                format!(
                    "block {} is of transaction {}, block {} above it of {}",
                    child.block, child.header.xid, parent.block, parent.header.xid
                )
            });
        }
    }

    fn totals(&self, root: &Node) {
        let Some(footer) = root.footer().filter(|_| self.done.whole) else { return };
        let Walked { keys, nodes, .. } = self.done;
        if footer.keys != keys {
            self.told.broken(Rule::A071, root.block, || {
                format!("it says that it has {} keys, it has {keys}", footer.keys)
            });
        }
        if footer.nodes != nodes {
            self.told.broken(Rule::A072, root.block, || {
                format!("it says that it has {} nodes, it has {nodes}", footer.nodes)
            });
        }
        let (key, value) = (usize32(footer.longest.0), usize32(footer.longest.1));
        if key < self.longest.0 || value < self.longest.1 {
            self.told.broken(Rule::A070, root.block, || {
                let (k, v) = self.longest;
                format!("it says that nothing is longer than {key} and {value} bytes, there are {k} and {v}")
            });
        }
    }
}
