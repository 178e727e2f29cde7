//! Extents of all views against the extent reference trees (section 7): what the trees have
//! recorded up to a view must be what the streams of that view hold, block by block.
//!
//! Both are taken in the order of blocks. Where one allocation meets one extent for all
//! time, that is all there is to see; only where more meet is a piece looked at view by view.

use super::Facts;
use super::breaks::Breaks;
use super::runs::{Piece, Runs};
use super::tables::{ExtentRow, Span, points};
use super::views::InTime;
use crate::apfs::btree::{Tree, Way};
use crate::apfs::format::{FIRST_USER, record};
use crate::apfs::node::Entry;
use crate::apfs::records::split;
use crate::error::{Error, Result};
use crate::io::bytes::{le32, le64, to_u64};
use crate::report::{Progress, Rule};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::Range;

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
    /// Blocks of the leaves that were met.
    leaves: HashSet<u64>,
    runs: Runs,
    totals: Totals,
}

impl<'t> Merged<'t> {
    fn of(trees: &'t [Option<Tree>], facts: &Facts, breaks: &mut Breaks) -> Result<Self> {
        let (ends, ways) = (vec![0; trees.len()], Vec::with_capacity(trees.len()));
        let (heap, leaves) = (BinaryHeap::new(), HashSet::new());
        let (runs, totals) = (Runs::default(), Totals::default());
        let mut merged = Self { ways, heap, ends, leaves, runs, totals };
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
            if let Some((leaf, 0)) = way.place()
                && !self.leaves.insert(leaf)
            {
                // Told where the nodes of all trees are read.
                return Err(Error::corrupt("extent reference tree", "a node stands in two trees"));
            }
            let found = parse(&entry, tree, facts, breaks);
            way.advance()?;
            let Some(found) = found else { continue };
            if found.start < *end {
                let span = Span { from: tree, until: tree + 1 };
                let piece = Piece { blocks: found.start..found.end, reach: *end };
                self.runs.add(breaks, (Rule::A242, Some(tree)), &piece, (0, span), || {
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
    let most = MAX_LOOKS.saturating_add(to_u64(extents.len()).saturating_mul(64));
    let (over, runs) = ((Vec::new(), Vec::new()), Runs::default());
    let mut pass = Pass { views, breaks, extents: over.0, records: over.1, runs, looks: 0, most };
    let swept = sweep(&mut pass, &mut merged, extents, facts, progress);
    // What was found before an error is told, too.
    pass.runs.end(pass.breaks);
    merged.runs.end(breaks);
    swept.map(|()| merged.totals)
}

/// Goes over all blocks in order.
fn sweep(
    pass: &mut Pass<'_>,
    merged: &mut Merged,
    extents: &[ExtentRow],
    facts: &Facts,
    progress: &dyn Progress,
) -> Result<()> {
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
        pass.piece(at..until);
        at = until;
        pass.drop_ended(at);
        if pass.looks > pass.most {
            let all = pass.views.all();
            pass.breaks.add(Rule::A242, 0, all, || {
                "more extents and records lie over each other than can be compared".into()
            });
            break;
        }
    }
    Ok(())
}

/// What lies over a piece of the container.
struct Pass<'a> {
    views: &'a InTime,
    breaks: &'a mut Breaks,
    extents: Vec<ExtentRow>,
    records: Vec<Recorded>,
    runs: Runs,
    looks: u64,
    most: u64,
}

fn end(extent: &ExtentRow) -> u64 {
    extent.block.saturating_add(extent.count)
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
    fn piece(&mut self, blocks: Range<u64>) {
        self.looks += to_u64(self.extents.len() + self.records.len());
        if let ([extent], [record]) = (self.extents.as_slice(), self.records.as_slice())
            && record.new
            && record.count == 1
            && extent.span == (Span { from: record.tree, until: self.views.all().until })
        {
            return;
        }
        self.records.sort_by_key(|r| r.tree);
        let ends = self.extents.iter().map(end).chain(self.records.iter().map(|r| r.end));
        let piece = Piece { reach: ends.max().unwrap_or(blocks.end), blocks };
        self.sequence(&piece);
        self.each_view(&piece);
    }

    fn broken(
        &mut self,
        rule: Rule,
        piece: &Piece,
        of: (u64, Span),
        text: impl FnOnce() -> String,
    ) {
        self.runs.add(self.breaks, (rule, None), piece, of, text);
    }

    /// What the trees say must be possible one after the other.
    fn sequence(&mut self, piece: &Piece) {
        let (mut total, block) = (0i64, piece.blocks.start);
        for i in 0..self.records.len() {
            let Some(r) = self.records.get(i).copied() else { break };
            let span = Span { from: r.tree, until: r.tree + 1 };
            if r.new && total > 0 {
                self.broken(Rule::A244, piece, (r.owner, span), || {
                    format!("block {block} was taken while it was in use")
                });
            }
            if !r.new && total <= 0 {
                self.broken(Rule::A243, piece, (0, span), || {
                    format!("the references to block {block} change, but it was not taken before")
                });
            }
            total = total.saturating_add(r.count);
        }
    }

    fn each_view(&mut self, piece: &Piece) {
        let (mut at, block) = (Vec::new(), piece.blocks.start);
        let until = self.views.all().until;
        let recorded = self.records.iter().map(|r| Span { from: r.tree, until });
        points(self.extents.iter().map(|e| e.span).chain(recorded), &mut at);
        for (from, until) in at.iter().zip(at.iter().skip(1)) {
            let span = Span { from: *from, until: *until };
            let Some(span) = self.views.whole_in(span) else { continue };
            self.looks += to_u64(self.extents.len() + self.records.len());
            if self.looks > self.most {
                return;
            }
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
            let owner = self.records.iter().find(|r| r.new).map_or(0, |r| r.owner);
            let of = streams.first().copied().unwrap_or(owner);
            let whose = || if of == 0 { String::new() } else { format!(" of stream {of}") };
            let n = to_u64(streams.len());
            if n > 0 && !taken {
                self.broken(Rule::A246, piece, (of, span), || {
                    format!("block {block}{} is not recorded as used", whose())
                });
            } else if u64::try_from(recorded) != Ok(n) {
                self.broken(Rule::A245, piece, (of, span), || {
                    format!(
                        "{recorded} references to block {block}{} are recorded, and there are {n}",
                        whose()
                    )
                });
            }
        }
    }
}
