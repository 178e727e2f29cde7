//! The file-system trees of all views at once: each stored node is read once, with the runs
//! of views that see it. A node that a view shares with the one before is not met again.

use super::breaks::Breaks;
use super::tables::Span;
use super::views::InTime;
use crate::apfs::check::headers;
use crate::apfs::check::nodes::longest;
use crate::apfs::node::{Footer, Node, Shape};
use crate::apfs::object::Storage;
use crate::apfs::omap::Mapping;
use crate::apfs::records;
use crate::apfs::store::{Proof, SharedNode, expected};
use crate::apfs::volume::Apfs;
use crate::error::{Error, Result};
use crate::io::bytes::{le64, usize32};
use crate::report::{Progress, Rule};
use std::collections::HashMap;

/// A mapping of the volume's object map in memory.
#[derive(Clone, Copy)]
struct Mapped {
    oid: u64,
    mapping: Mapping,
}

/// The volume's object map in memory, by number and transaction.
pub struct Map {
    list: Vec<Mapped>,
}

impl Map {
    /// Read it; what cannot be read is told to `failed`.
    pub fn read(volume: &Apfs, failed: &mut dyn FnMut(Error)) -> Result<Self> {
        let mut list = Vec::new();
        volume.omap.walk(failed, &mut |oid, mapping| {
            list.push(Mapped { oid, mapping });
            Ok(())
        })?;
        list.sort_by_key(|m| (m.oid, m.mapping.xid));
        Ok(Self { list })
    }

    /// All mappings, by number and transaction.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Mapping)> {
        self.list.iter().map(|m| (m.oid, &m.mapping))
    }

    /// The state of an object at a transaction.
    pub fn at(&self, oid: u64, xid: u64) -> Option<Mapping> {
        let past = self.list.partition_point(|m| (m.oid, m.mapping.xid) <= (oid, xid));
        let found = self.list.get(past.checked_sub(1)?)?;
        (found.oid == oid && !found.mapping.deleted()).then_some(found.mapping)
    }

    /// The states of an object in some views: each with the views that see it, and `None`
    /// for those in which there is none.
    fn states(
        &self,
        views: &InTime,
        oid: u64,
        span: Span,
        visit: &mut dyn FnMut(Span, Option<Mapping>) -> Result<()>,
    ) -> Result<()> {
        let xid = |view| views.get(view).map_or(0, |v| v.xid);
        let (oldest, newest) = (xid(span.from), xid(span.until.saturating_sub(1)));
        let past = self.list.partition_point(|m| (m.oid, m.mapping.xid) <= (oid, oldest));
        let before =
            past.checked_sub(1).filter(|i| self.list.get(*i).is_some_and(|m| m.oid == oid));
        let of = self.list.get(before.unwrap_or(past)..).unwrap_or_default().iter();
        let of = of.take_while(|m| m.oid == oid && m.mapping.xid <= newest);
        let mut done = span.from;
        let mut states = of.peekable();
        while let Some(m) = states.next() {
            let until = states.peek().map_or(u64::MAX, |next| next.mapping.xid);
            let seen = views.between(m.mapping.xid, until).and_then(|s| s.meet(span));
            let Some(seen) = seen.filter(|_| !m.mapping.deleted()) else { continue };
            if done < seen.from {
                visit(Span { from: done, until: seen.from }, None)?;
            }
            visit(seen, Some(m.mapping))?;
            done = seen.until;
        }
        if done < span.until {
            visit(Span { from: done, until: span.until }, None)?;
        }
        Ok(())
    }
}

/// A node that is to be read.
pub struct Due {
    oid: u64,
    mapping: Mapping,
    /// The first views of each run that sees it.
    pub runs: Vec<Span>,
    /// The key that leads to it.
    key: Box<[u8]>,
    /// Other index nodes lead to it by another key.
    differs: bool,
    /// The hash that its parent has of it.
    hash: Option<Box<[u8]>>,
    root: bool,
    /// Not a leaf that is to be read: all below it is lost.
    pub gap: bool,
}

/// Told of what cannot be read, in which views.
pub type Failed<'a> = &'a mut dyn FnMut(Span, Error) -> Result<()>;

/// A walk over the trees of a volume.
pub struct Walk<'a> {
    volume: &'a Apfs,
    map: &'a Map,
    shape: Shape,
    progress: &'a dyn Progress,
    /// Nodes to be read, by level and block.
    levels: Vec<HashMap<u64, Due>>,
    gaps: Vec<Due>,
    /// How many states of nodes may still be met beyond one for each entry that leads to them:
    /// in a tree each is met once.
    left: usize,
}

impl<'a> Walk<'a> {
    /// Of the views whose keys are ordered like `shape`'s.
    pub fn new(volume: &'a Apfs, map: &'a Map, shape: Shape, progress: &'a dyn Progress) -> Self {
        let levels = (0..=crate::apfs::format::MAX_DEPTH).map(|_| HashMap::new()).collect();
        let left = map.list.len();
        Self { volume, map, shape, progress, levels, gaps: Vec::new(), left }
    }

    /// Read the index nodes, and give the leaves in the order of their keys. `visit` sees
    /// each node with its views.
    pub fn leaves(
        &mut self,
        views: &InTime,
        failed: Failed<'_>,
        visit: &mut dyn FnMut(&Node, &Due),
    ) -> Result<Vec<Due>> {
        self.roots(views, failed)?;
        for level in (1..self.levels.len()).rev() {
            let nodes = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default();
            let mut nodes: Vec<Due> = nodes.into_values().collect();
            nodes.sort_by_key(|due| due.mapping.block);
            for due in nodes {
                self.progress.check()?;
                self.progress.advance(1);
                match self.read(&due, level) {
                    Ok(node) => {
                        visit(&node, &due);
                        self.children(&node, &due, level, views, failed)?;
                    }
                    Err(e) => {
                        tell(&due, e, failed)?;
                        self.gaps.push(Due { gap: true, ..due });
                    }
                }
            }
        }
        let leaves = self.levels.first_mut().map(std::mem::take).unwrap_or_default();
        let mut leaves: Vec<Due> = leaves.into_values().collect();
        leaves.append(&mut self.gaps);
        let order = self.shape.order;
        leaves.sort_by(|a, b| {
            order(&a.key, &b.key)
                .then_with(|| a.first_view().cmp(&b.first_view()))
                .then_with(|| a.mapping.block.cmp(&b.mapping.block))
        });
        Ok(leaves)
    }

    /// The roots: what they lead to is as deep as they say.
    fn roots(&mut self, views: &InTime, failed: Failed<'_>) -> Result<()> {
        let (mut roots, name) = (HashMap::<u64, Due>::new(), self.shape.name);
        for (i, view) in views.iter() {
            let Some(state) = &view.state else { continue };
            let span = Span { from: i, until: i + 1 };
            let oid = state.superblock.root_oid;
            let hash = state.tree.root_hash();
            self.map.states(views, oid, span, &mut |span, mapping| match mapping {
                Some(mapping) => {
                    let new = || Due::new(oid, mapping, (&[], hash), true);
                    roots.entry(mapping.block).or_insert_with(new).add(span);
                    Ok(())
                }
                None => failed(span, unmapped(name, oid, view.xid)),
            })?;
        }
        for due in roots.into_values() {
            match self.load(&due) {
                Ok(node) => match self.levels.get_mut(usize::from(node.level)) {
                    Some(level) => {
                        level.insert(due.mapping.block, due);
                    }
                    None => tell(&due, self.corrupt(&due, "is deeper than any tree is"), failed)?,
                },
                Err(e) => tell(&due, e, failed)?,
            }
        }
        Ok(())
    }

    fn children(
        &mut self,
        node: &Node,
        due: &Due,
        level: usize,
        views: &InTime,
        failed: Failed<'_>,
    ) -> Result<()> {
        for entry in (0..node.count).map_while(|i| node.entry(i)) {
            let value = entry.value.unwrap_or_default();
            let Some(number) = le64(value, 0) else { continue };
            let hash = value.get(8..).filter(|h| !h.is_empty());
            for run in &due.runs {
                if self.left == 0 {
                    return self.too_often(due, entry.key, failed);
                }
                let root = views.superblock(run.from).map_or(0, |s| s.root_oid);
                let oid = if node.is_hashed() { root.wrapping_add(number) } else { number };
                let below = level.checked_sub(1).and_then(|l| self.levels.get_mut(l));
                let Some(below) = below else { continue };
                let (gaps, name, mut states) = (&mut self.gaps, self.shape.name, 0usize);
                self.map.states(views, oid, *run, &mut |span, mapping| match mapping {
                    Some(mapping) => {
                        let new = || Due::new(oid, mapping, (entry.key, hash), false);
                        let child = below.entry(mapping.block).or_insert_with(new);
                        child.add(span);
                        child.differs |= *child.key != *entry.key;
                        states += 1;
                        Ok(())
                    }
                    None => {
                        gaps.push(Due::gap(oid, entry.key, span));
                        failed(span, unmapped(name, oid, views.get(span.from).map_or(0, |v| v.xid)))
                    }
                })?;
                self.left = self.left.saturating_sub(states.saturating_sub(1));
            }
        }
        Ok(())
    }

    /// Nodes are led to again and again, as no tree does: the rest is lost, in all views that
    /// see this one.
    fn too_often(&mut self, due: &Due, key: &[u8], failed: Failed<'_>) -> Result<()> {
        for run in &due.runs {
            self.gaps.push(Due::gap(due.oid, key, *run));
            failed(*run, self.corrupt(due, "leads to nodes that others lead to, again and again"))?;
        }
        Ok(())
    }

    /// Read a node that must be of a level.
    pub fn read(&self, due: &Due, level: usize) -> Result<SharedNode> {
        let node = self.load(due)?;
        if usize::from(node.level) != level {
            let text = format!("has level {} below a node of level {}", node.level, level + 1);
            return Err(self.corrupt(due, text));
        }
        Ok(node)
    }

    fn load(&self, due: &Due) -> Result<SharedNode> {
        let store = self.volume.container.store();
        let proof = if due.mapping.no_header() {
            Proof::Hash(due.hash.as_deref())
        } else {
            let (xid, storage) = (Some(due.mapping.xid), Storage::Virtual);
            let of = expected(due.oid, xid, store.max_xid(), &self.shape, storage, due.root);
            Proof::Header(of)
        };
        let cipher = match (&self.volume.key, due.mapping.encrypted()) {
            (_, false) => None,
            (Some(key), true) => Some(&**key),
            (None, true) => return Err(Error::PasswordRequired("the volume".into())),
        };
        store.node(due.mapping.block, &self.shape, &proof, cipher)
    }

    fn corrupt(&self, due: &Due, text: impl Into<String>) -> Error {
        let blocks = self.volume.container.store().blocks();
        blocks.corrupt(self.shape.name, due.mapping.block, text)
    }
}

fn unmapped(what: &str, oid: u64, xid: u64) -> Error {
    Error::corrupt(what, format!("the object map has no object {oid} at transaction {xid}"))
}

fn tell(due: &Due, e: Error, failed: Failed<'_>) -> Result<()> {
    let mut runs = due.runs.iter();
    let Some(first) = runs.next() else { return Ok(()) };
    let rest =
        runs.fold(*first, |a, b| Span { from: a.from.min(b.from), until: a.until.max(b.until) });
    failed(rest, e)
}

/// Tell of a node that does not begin with the key that leads to it, and of its header.
pub fn fits(due: &Due, node: &Node, breaks: &mut Breaks) {
    let (Some(span), block) = (due.runs.first(), node.block) else { return };
    let other = |first: &[u8]| first != &*due.key || due.differs;
    if !due.root && node.entry(0).is_some_and(|e| other(e.key)) {
        breaks.add(Rule::A062, 0, *span, || {
            format!("the node in block {block} does not begin with the key that leads to it")
        });
    }
    // Nodes of sealed volumes have no header.
    if !due.mapping.no_header()
        && let Some((rule, text)) = headers::problem(&node.header, due.mapping.encrypted())
    {
        breaks.add(rule, 0, *span, || format!("the node in block {block} is not sound: {text}"));
    }
}

impl Due {
    fn new(oid: u64, mapping: Mapping, (key, hash): (&[u8], Option<&[u8]>), root: bool) -> Self {
        let hash = hash.map(Into::into);
        Self {
            oid,
            mapping,
            runs: Vec::new(),
            key: key.into(),
            differs: false,
            hash,
            root,
            gap: false,
        }
    }

    /// Records from a key on that are lost in some views.
    fn gap(oid: u64, key: &[u8], span: Span) -> Self {
        let nowhere = Mapping { xid: 0, block: 0, flags: 0, size: 0 };
        Self { runs: vec![span], gap: true, ..Self::new(oid, nowhere, (key, None), false) }
    }

    /// Views that see it; runs are kept in order and joined.
    fn add(&mut self, span: Span) {
        let at = self.runs.partition_point(|r| r.until < span.from);
        let past = self.runs.partition_point(|r| r.from <= span.until);
        let met = self.runs.get(at..past).unwrap_or_default();
        let from = met.first().map_or(span.from, |r| r.from.min(span.from));
        let until = met.last().map_or(span.until, |r| r.until.max(span.until));
        self.runs.splice(at..past.max(at), [Span { from, until }]);
    }

    /// The object whose record its key is.
    pub fn first_object(&self) -> Option<u64> {
        records::split(&self.key).map(|k| k.0)
    }

    fn first_view(&self) -> u32 {
        self.runs.first().map_or(0, |r| r.from)
    }
}

/// The order of keys in the trees of a volume.
pub fn shape(views: &InTime) -> Option<Shape> {
    let state = views.iter().rev().find_map(|(_, v)| v.state.as_ref())?;
    Some(records::shape(state.rules.hashed))
}

/// Sums over the trees of each view: what the footers of their roots must say.
pub struct Totals {
    sums: Vec<Sum>,
    roots: Vec<(Span, Footer)>,
}

/// Changes from the view before; the longest key and value are those of the view itself.
#[derive(Clone, Copy, Default)]
struct Sum {
    keys: i64,
    nodes: i64,
    longest: (usize, usize),
}

impl Totals {
    /// Of so many views.
    pub fn new(views: Span) -> Self {
        Self { sums: vec![Sum::default(); usize32(views.until) + 1], roots: Vec::new() }
    }

    /// A node is seen by these views.
    pub fn add(&mut self, node: &Node, runs: &[Span]) {
        let leaf = node.level == 0;
        let keys = if leaf { i64::try_from(node.count).unwrap_or(0) } else { 0 };
        let longest = if leaf { longest(node) } else { (0, 0) };
        for run in runs {
            for (at, sign) in [(run.from, 1), (run.until, -1)] {
                if let Some(sum) = self.sums.get_mut(usize32(at)) {
                    (sum.nodes, sum.keys) = (sum.nodes + sign, sum.keys + sign * keys);
                }
            }
            let seen = usize32(run.from)..usize32(run.until);
            for sum in self.sums.get_mut(seen).unwrap_or_default() {
                sum.longest.0 = sum.longest.0.max(longest.0);
                sum.longest.1 = sum.longest.1.max(longest.1);
            }
            self.roots.extend(node.footer().map(|f| (*run, f)));
        }
    }

    /// Compare with what the roots of whole trees say.
    pub fn check(&mut self, views: &InTime, breaks: &mut Breaks) {
        // A view has one root.
        self.roots.sort_unstable_by_key(|(run, _)| run.from);
        let (mut keys, mut nodes) = (0i64, 0i64);
        for (i, sum) in (0u32..).zip(&self.sums) {
            (keys, nodes) = (keys + sum.keys, nodes + sum.nodes);
            let span = Span { from: i, until: i.saturating_add(1) };
            let past = self.roots.partition_point(|(run, _)| run.from <= i);
            let root = past.checked_sub(1).and_then(|at| self.roots.get(at));
            let root = root.filter(|(run, _)| span.is_in(*run));
            let (Some((_, footer)), true) = (root, views.whole_in(span).is_some()) else {
                continue;
            };
            if footer.keys != keys.cast_unsigned() {
                breaks.add(Rule::A071, 0, span, || {
                    format!("the root counts {} keys, and there are {keys}", footer.keys)
                });
            }
            if footer.nodes != nodes.cast_unsigned() {
                breaks.add(Rule::A072, 0, span, || {
                    format!("the root counts {} nodes, and there are {nodes}", footer.nodes)
                });
            }
            let says = (usize32(footer.longest.0), usize32(footer.longest.1));
            if says.0 < sum.longest.0 || says.1 < sum.longest.1 {
                breaks.add(Rule::A070, 0, span, || {
                    format!("the root says that no key or value is longer than {} and {}; there are such of {} and {}", says.0, says.1, sum.longest.0, sum.longest.1)
                });
            }
        }
    }
}
