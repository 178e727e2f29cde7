//! A tree of records whose index is lost in part gets another: what the old one leads to stays,
//! and leaves that it does not lead to any more are found by the object map.

use super::made::{Child, Maker};
use super::orphans;
use super::overlap::{Leaf, records, resolve};
use crate::apfs::btree::Tree;
use crate::apfs::format::tree::FS;
use crate::apfs::omap::{Mapping, Omap};
use crate::apfs::records::shape;
use crate::apfs::store::SharedNode;
use crate::apfs::view::State;
use crate::error::{Error, Result};
use crate::io::Budget;
use crate::io::bytes::{le64, to_u64};
use crate::report::words::plural;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

/// The tree, and what is to be said of it.
pub struct Mended {
    pub tree: Tree,
    pub notes: Vec<String>,
    /// What of it is lost, in a sentence.
    pub lacks: Option<String>,
}

/// Mend the tree of a state at transaction `xid`; `searched`: the map is of all that was found,
/// so that it knows of what is long gone, too. `None` if nothing is to be mended.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn mend(
    state: &State,
    omap: &Arc<Omap>,
    xid: u64,
    searched: bool,
    budget: &mut Budget,
) -> Result<Option<Mended>> {
    let mut walk = Walk::new(&state.tree, budget);
    walk.run()?;
    if walk.lost == 0 && !searched {
        return Ok(None);
    }
    let Walk { reached, spans, lost, mut leaves, gone, .. } = walk;
    let order = shape(state.rules.hashed).order;
    let stale = |leaf: &Leaf| {
        let after = spans.partition_point(|s| order(&s.first, &leaf.first) != Ordering::Greater);
        let span = after.checked_sub(1).and_then(|i| spans.get(i));
        // An index node knows what is below it as of its own transaction.
        span.is_some_and(|s| order(&leaf.first, &s.last) != Ordering::Greater && leaf.xid <= s.xid)
    };
    let before = leaves.len();
    for number in live(omap, xid, &reached, budget)? {
        let node = state.tree.loose(number).filter(|n| n.level == 0 && n.header.subtype == FS);
        let leaf = node.and_then(|n| Leaf::of(&n, number, budget));
        leaves.extend(leaf.filter(|l| !stale(l)));
    }
    let found = leaves.len() - before;
    if lost == 0 && found == 0 {
        return Ok(None);
    }
    let shape = shape(state.rules.hashed);
    let maker = Maker { store: state.tree.store(), shape, storage: 0 };
    let children = resolve(&state.tree, &maker, leaves, budget);
    let added = orphans::added(state, &children, budget);
    let mut notes = vec![format!(
        "{lost} nodes of the tree of files cannot be read, {found} leaves were found that nothing \
         leads to; what was deleted or moved lately may be shown as it was before"
    )];
    notes.extend(added.told());
    // What was not counted to the end says nothing of what is lost.
    let counted = if budget.is_spent() { None } else { added.lacking(&state.superblock) };
    let lacks = counted.or_else(|| lost_leaves(gone));
    let children = insert(&state.tree, &maker, children, added);
    let root = maker.tree(children);
    let root = root.ok_or_else(|| Error::corrupt("file-system tree", "no index can be made"))?;
    Ok(Some(Mended { tree: state.tree.with_root(root), notes, lacks }))
}

/// What is said of leaves that are lost with their records.
fn lost_leaves(count: usize) -> Option<String> {
    let nodes = plural(to_u64(count), "leaf", "leaves");
    (count > 0).then(|| {
        format!(
            "{nodes} of the tree of files, with the records in them, are lost: what is shown \
             is not all there was"
        )
    })
}

/// An index node above leaves: its keys, and when it was written.
struct Span {
    first: Box<[u8]>,
    last: Box<[u8]>,
    xid: u64,
}

/// A walk over what can be read of a tree.
struct Walk<'a> {
    tree: &'a Tree,
    budget: &'a mut Budget,
    reached: HashSet<u64>,
    /// In order.
    spans: Vec<Span>,
    leaves: Vec<Leaf>,
    /// Children that cannot be read.
    lost: u64,
    /// Of them, leaves: what was in them is lost. Of what is below a lost node nobody knows
    /// whether it is a leaf.
    gone: usize,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a Tree, budget: &'a mut Budget) -> Self {
        let (reached, spans, leaves) = (HashSet::new(), Vec::new(), Vec::new());
        Self { tree, budget, reached, spans, leaves, lost: 0, gone: 0 }
    }

    fn run(&mut self) -> Result<()> {
        match self.tree.root() {
            Ok(root) => self.node(&root, self.tree.root_number()),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(_) => {
                self.lost += 1;
                Ok(())
            }
        }
    }

    /// Each level is below the one before, and a tree has few.
    fn node(&mut self, node: &SharedNode, number: u64) -> Result<()> {
        if !self.budget.take(2 * size_of::<u64>()) || !self.reached.insert(number) {
            return Ok(());
        }
        if node.level == 0 {
            self.leaves.extend(Leaf::of(node, number, self.budget));
            return Ok(());
        }
        if node.level == 1
            && let (Some(first), Some(last)) = (node.entry(0), node.entry(node.count - 1))
            && self.budget.take(size_of::<Span>() + first.key.len() + last.key.len())
        {
            let (first, last) = (first.key.into(), last.key.into());
            self.spans.push(Span { first, last, xid: node.header.xid });
        }
        for entry in (0..node.count).filter_map(|i| node.entry(i)) {
            let number = entry.value.and_then(|v| le64(v, 0)).unwrap_or(0);
            match self.tree.child(node, &entry) {
                Ok(child) => self.node(&child, number)?,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(_) => {
                    self.lost += 1;
                    self.gone += usize::from(node.level == 1);
                }
            }
        }
        Ok(())
    }
}

/// The objects that a map knows at a transaction, but for those that were reached.
fn live(omap: &Omap, xid: u64, reached: &HashSet<u64>, budget: &mut Budget) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut last: Option<(u64, Mapping)> = None;
    let mut end = |last: Option<(u64, Mapping)>| {
        if let Some((oid, m)) = last
            && !m.deleted()
            && !m.no_header()
            && !reached.contains(&oid)
            && budget.take(size_of::<u64>())
        {
            found.push(oid);
        }
    };
    omap.walk(&mut |_| {}, &mut |oid, m| {
        if last.as_ref().is_some_and(|(before, _)| *before != oid) {
            end(last.take());
        }
        if m.xid <= xid {
            last = Some((oid, m));
        }
        Ok(())
    })?;
    end(last);
    Ok(found)
}

/// Put records where they belong among the leaves. Where there is one with the same key, that
/// stays.
fn insert(
    tree: &Tree,
    maker: &Maker<'_>,
    children: Vec<Child>,
    added: orphans::Added,
) -> Vec<Child> {
    let order = maker.shape.order;
    let mut added = added.records;
    added.sort_by(|a, b| order(&a.0, &b.0));
    if children.is_empty() {
        return maker.leaves(added.into_iter());
    }
    let mut added = added.into_iter().peekable();
    let mut out = Vec::with_capacity(children.len());
    let mut children = children.into_iter().peekable();
    while let Some(child) = children.next() {
        let mut here = Vec::new();
        while let Some(record) = added
            .next_if(|r| children.peek().is_none_or(|next| order(&r.0, &next.0) == Ordering::Less))
        {
            here.push(record);
        }
        match tree.loose(child.1).filter(|_| !here.is_empty()) {
            Some(node) => {
                let mut all: Vec<_> = records(&node).chain(here).collect();
                all.sort_by(|a, b| order(&a.0, &b.0));
                all.dedup_by(|b, a| order(&a.0, &b.0) == Ordering::Equal);
                out.extend(maker.leaves(all.into_iter()));
            }
            None => out.push(child),
        }
    }
    out
}
