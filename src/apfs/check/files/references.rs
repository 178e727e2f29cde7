//! Extents of all views against the extent reference trees (section 7): what the trees have
//! recorded up to a view must be what the streams of that view hold, block by block.
//!
//! Both are taken in the order of blocks. Where one allocation meets one extent for all
//! time, that is all there is to see; only where more meet is a piece looked at view by view.

use super::Facts;
use super::breaks::Breaks;
use super::tables::{ExtentRow, Span, points};
use super::views::InTime;
use crate::apfs::btree::{Tree, Way};
use crate::apfs::format::{FIRST_USER, record};
use crate::apfs::node::Entry;
use crate::apfs::records::split;
use crate::error::Result;
use crate::io::bytes::{le32, le64, to_u64};
use crate::report::{Progress, Rule};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Kinds of records.
const NEW: u64 = 1;
const UPDATE: u64 = 2;
/// Bits of a record's length.
const LENGTH_BITS: u32 = 60;
/// Owner of a change.
const NOBODY: u64 = u64::MAX;
/// Bytes of a record.
const VALUE: usize = 20;
/// How much more than one look at each row is done at most.
const MAX_LOOKS: u64 = 50_000_000;

/// A record of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Recorded {
    start: u64,
    end: u64,
    /// The tree, which is that of a view.
    tree: u32,
    new: bool,
    count: i64,
    owner: u64,
}

/// What the trees have in all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Blocks that were allocated.
    pub blocks: u64,
    /// Nodes of the trees, as they say.
    pub nodes: u64,
}

/// The records of all trees in the order of blocks.
struct Merged<'t> {
    ways: Vec<Option<Way<'t>>>,
    heap: BinaryHeap<Reverse<Recorded>>,
    /// Past the last record of each tree.
    ends: Vec<u64>,
    totals: Totals,
}

impl<'t> Merged<'t> {
    fn of(trees: &'t [Option<Tree>], facts: &Facts, breaks: &mut Breaks) -> Result<Self> {
        let (ends, ways) = (vec![0; trees.len()], Vec::with_capacity(trees.len()));
        let mut merged = Self { ways, heap: BinaryHeap::new(), ends, totals: Totals::default() };
        for (i, tree) in (0u32..).zip(trees) {
            let way = match tree {
                Some(tree) => {
                    let nodes = tree.root()?.footer().map_or(0, |f| f.nodes);
                    merged.totals.nodes = merged.totals.nodes.saturating_add(nodes);
                    Some(tree.seek(&[])?)
                }
                None => None,
            };
            merged.ways.push(way);
            merged.refill(i, facts, breaks)?;
        }
        Ok(merged)
    }

    /// The next record of a tree goes into the heap.
    fn refill(&mut self, tree: u32, facts: &Facts, breaks: &mut Breaks) -> Result<()> {
        let at = crate::io::bytes::usize32(tree);
        let (Some(Some(way)), Some(end)) = (self.ways.get_mut(at), self.ends.get_mut(at)) else {
            return Ok(());
        };
        while let Some(entry) = way.record() {
            let found = parse(&entry, tree, facts, breaks);
            way.advance()?;
            let Some(found) = found else { continue };
            if found.start < *end {
                let span = Span { from: tree, until: tree + 1 };
                breaks.add(Rule::A242, 0, span, || {
                    format!("two records of used blocks overlap at block {}", found.start)
                });
            }
            *end = found.end.max(*end);
            if found.new {
                let blocks = found.end - found.start;
                self.totals.blocks = self.totals.blocks.saturating_add(blocks);
            }
            self.heap.push(Reverse(found));
            break;
        }
        Ok(())
    }

    fn peek(&self) -> Option<&Recorded> {
        self.heap.peek().map(|r| &r.0)
    }

    fn next(&mut self, facts: &Facts, breaks: &mut Breaks) -> Result<Option<Recorded>> {
        let Some(Reverse(next)) = self.heap.pop() else { return Ok(None) };
        self.refill(next.tree, facts, breaks)?;
        Ok(Some(next))
    }
}

/// A record, proved.
fn parse(entry: &Entry<'_>, tree: u32, facts: &Facts, breaks: &mut Breaks) -> Option<Recorded> {
    let (start, kind) = split(entry.key)?;
    let value = entry.value.unwrap_or_default();
    let span = Span { from: tree, until: tree + 1 };
    let numbers = (le64(value, 0), le64(value, 8), le32(value, 16));
    let (Some(length), Some(owner), Some(count)) = numbers else {
        breaks.add(Rule::A240, 0, span, || format!("the record of block {start} is cut off"));
        return None;
    };
    let (len, what) = (length & ((1 << LENGTH_BITS) - 1), length >> LENGTH_BITS);
    let count = i64::from(count.cast_signed());
    let end = start.checked_add(len).filter(|end| *end <= facts.blocks);
    let form = kind == record::PHYSICAL_EXTENT && value.len() == VALUE && entry.key.len() == 8;
    let Some(end) = end.filter(|_| form && len > 0 && matches!(what, NEW | UPDATE) && count != 0)
    else {
        breaks.add(Rule::A240, 0, span, || {
            format!(
                "the record of block {start} says kind {what}, {len} blocks, {count} references"
            )
        });
        return None;
    };
    let new = what == NEW;
    let possible =
        if new { (FIRST_USER..facts.next_live).contains(&owner) } else { owner == NOBODY };
    if !possible {
        breaks
            .add(Rule::A241, 0, span, || format!("the record of block {start} has owner {owner}"));
    }
    if new && count < 0 {
        breaks.add(Rule::A247, owner, span, || {
            format!("blocks from {start} on were taken for {count} references")
        });
    }
    Some(Recorded { start, end, tree, new, count, owner })
}

/// Compare the extents, in the order of blocks, with the trees of all views.
///
/// # Errors
/// When a tree cannot be read to its end.
pub fn check(
    extents: &[ExtentRow],
    trees: &[Option<Tree>],
    (facts, views): (&Facts, &InTime),
    breaks: &mut Breaks,
    progress: &dyn Progress,
) -> Result<Totals> {
    let mut merged = Merged::of(trees, facts, breaks)?;
    let mut pass = Pass { views, breaks, extents: Vec::new(), records: Vec::new(), looks: 0 };
    let (mut left, mut at, mut n) = (extents, 0u64, 0u64);
    loop {
        n += 1;
        if n.is_multiple_of(4096) {
            progress.check()?;
        }
        if pass.is_idle() {
            let starts = [left.first().map(|e| e.block), merged.peek().map(|r| r.start)];
            let Some(start) = starts.into_iter().flatten().min() else { break };
            at = start;
        }
        while let Some((extent, rest)) = left.split_first().filter(|(e, _)| e.block <= at) {
            pass.extents.push(*extent);
            left = rest;
        }
        while merged.peek().is_some_and(|r| r.start <= at) {
            pass.records.extend(merged.next(facts, pass.breaks)?);
        }
        let next = [left.first().map(|e| e.block), merged.peek().map(|r| r.start)];
        let next = next.into_iter().flatten().min().unwrap_or(u64::MAX);
        let until = pass.first_end().min(next);
        pass.piece(at);
        at = until;
        pass.drop_ended(at);
        if pass.looks > MAX_LOOKS.saturating_add(to_u64(extents.len()).saturating_mul(64)) {
            let all = views.all();
            pass.breaks.add(Rule::A242, 0, all, || {
                "more extents and records lie over each other than can be compared".into()
            });
            break;
        }
    }
    Ok(merged.totals)
}

/// What lies over a piece of the container.
struct Pass<'a> {
    views: &'a InTime,
    breaks: &'a mut Breaks,
    extents: Vec<ExtentRow>,
    records: Vec<Recorded>,
    looks: u64,
}

fn end(extent: &ExtentRow) -> u64 {
    extent.block.saturating_add(extent.count.into())
}

impl Pass<'_> {
    fn is_idle(&self) -> bool {
        self.extents.is_empty() && self.records.is_empty()
    }

    fn first_end(&self) -> u64 {
        let ends = self.extents.iter().map(end).chain(self.records.iter().map(|r| r.end));
        ends.min().unwrap_or(u64::MAX)
    }

    fn drop_ended(&mut self, at: u64) {
        self.extents.retain(|e| end(e) > at);
        self.records.retain(|r| r.end > at);
    }

    /// A piece over which nothing begins or ends.
    fn piece(&mut self, block: u64) {
        self.looks += to_u64(self.extents.len() + self.records.len());
        if let ([extent], [record]) = (self.extents.as_slice(), self.records.as_slice())
            && record.new
            && record.count == 1
            && extent.span == (Span { from: record.tree, until: self.views.all().until })
        {
            return;
        }
        self.records.sort_by_key(|r| r.tree);
        self.sequence(block);
        self.each_view(block);
    }

    /// What the trees say must be possible one after the other.
    fn sequence(&mut self, block: u64) {
        let mut total = 0i64;
        for r in &self.records {
            let span = Span { from: r.tree, until: r.tree + 1 };
            if r.new && total > 0 {
                self.breaks.add(Rule::A244, r.owner, span, || {
                    format!("block {block} was taken while it was in use")
                });
            }
            if !r.new && total <= 0 {
                self.breaks.add(Rule::A243, 0, span, || {
                    format!("the references to block {block} change, but it was not taken before")
                });
            }
            total = total.saturating_add(r.count);
        }
    }

    fn each_view(&mut self, block: u64) {
        let mut at = Vec::new();
        let until = self.views.all().until;
        let recorded = self.records.iter().map(|r| Span { from: r.tree, until });
        points(self.extents.iter().map(|e| e.span).chain(recorded), &mut at);
        for (from, until) in at.iter().zip(at.iter().skip(1)) {
            let span = Span { from: *from, until: *until };
            let Some(span) = self.views.whole_in(span) else { continue };
            let before = self.records.iter().take_while(|r| r.tree <= span.from);
            let (mut recorded, mut taken) = (0i64, false);
            for r in before {
                recorded = recorded.saturating_add(r.count);
                taken |= r.new;
            }
            let mut streams: Vec<u64> =
                self.extents.iter().filter(|e| span.is_in(e.span)).map(|e| e.stream).collect();
            streams.sort_unstable();
            streams.dedup();
            self.looks += to_u64(self.extents.len() + self.records.len());
            let owner = self.records.iter().find(|r| r.new).map_or(0, |r| r.owner);
            let of = streams.first().copied().unwrap_or(owner);
            let n = to_u64(streams.len());
            if n > 0 && !taken {
                self.breaks.add(Rule::A246, of, span, || {
                    format!("block {block} of stream {of} is not recorded as used")
                });
            } else if u64::try_from(recorded) != Ok(n) {
                self.breaks.add(Rule::A245, of, span, || {
                    format!("{recorded} references to block {block} are recorded, and there are {n} (stream {of})")
                });
            }
        }
    }
}
