//! Inodes and the entries that name them, in every view: how many there are, of which kind,
//! and which of them the inode repeats.

use super::breaks::Breaks;
use super::counts::Counts;
use super::tables::{EntryRow, InodeRow, SiblingCount, Span, points};
use super::views::InTime;
use crate::apfs::format::{FIRST_USER, PRIVATE_DIR, ROOT};
use crate::io::bytes::to_u64;
use crate::report::Rule;

/// Kind of a folder in a mode and in an entry.
const FOLDER: u16 = 4;
/// An entry that may outlive its object.
const PURGEABLE: u16 = 0xA00;

/// The rows of an object, and what reports go to.
struct Pass<'a> {
    views: &'a InTime,
    breaks: &'a mut Breaks,
    counts: &'a [SiblingCount],
    totals: Counts,
    /// Views in which the root and the private folder were met.
    tops: [Vec<Span>; 2],
}

/// Join inodes, entries and counts of links, each in order.
pub fn check(
    inodes: &[InodeRow],
    entries: &[EntryRow],
    counts: &[SiblingCount],
    views: &InTime,
    breaks: &mut Breaks,
) {
    let (mut inodes, mut entries, mut at) = (inodes, entries, Vec::new());
    let tops = [Vec::new(), Vec::new()];
    let mut pass = Pass { views, breaks, counts, totals: Counts::default(), tops };
    loop {
        let next = [inodes.first().map(InodeRow::id), entries.first().map(|e| e.target)];
        let Some(id) = next.into_iter().flatten().min() else { break };
        let (these, rest) = inodes.split_at(run(inodes, |r| r.id() == id));
        let (names, others) = entries.split_at(run(entries, |e| e.target == id));
        (inodes, entries) = (rest, others);
        pass.object(id, these, names, &mut at);
    }
    pass.roots();
    pass.totals.check(views, pass.breaks);
}

/// How many rows at the start are of one object: they are few.
fn run<R>(rows: &[R], is: impl Fn(&R) -> bool) -> usize {
    let few = rows.iter().take(8).take_while(|r| is(r)).count();
    if few < 8 { few } else { rows.partition_point(is) }
}

impl Pass<'_> {
    fn object(&mut self, id: u64, inodes: &[InodeRow], names: &[EntryRow], at: &mut Vec<u32>) {
        for (top, spans) in [ROOT, PRIVATE_DIR].into_iter().zip(&mut self.tops) {
            if id == top {
                spans.extend(inodes.iter().map(|r| r.span));
            }
        }
        if let ([inode], [name]) = (inodes, names)
            && inode.span == name.span
        {
            self.one(id, Some(inode), &[name], inode.span);
            return;
        }
        points(inodes.iter().map(|r| r.span).chain(names.iter().map(|e| e.span)), at);
        for (from, until) in at.iter().zip(at.iter().skip(1)) {
            let span = Span { from: *from, until: *until };
            let inode = inodes.iter().find(|r| span.is_in(r.span));
            let names: Vec<&EntryRow> = names.iter().filter(|e| span.is_in(e.span)).collect();
            if inode.is_some() || !names.is_empty() {
                self.one(id, inode, &names, span);
            }
        }
    }

    /// An object in some views in which nothing of this changes.
    fn one(&mut self, id: u64, inode: Option<&InodeRow>, names: &[&EntryRow], span: Span) {
        let orphan = names.iter().any(|e| e.parent == PRIVATE_DIR);
        if let Some(inode) = inode.filter(|_| id >= FIRST_USER && !orphan) {
            self.totals.add(inode.kind(), span);
        }
        let Some(span) = self.views.whole_in(span) else { return };
        let Some(inode) = inode else {
            if let Some(name) = names.iter().find(|e| e.flags & PURGEABLE == 0) {
                let folder = name.parent;
                self.breaks.add(Rule::A181, folder, span, || {
                    format!(
                        "an entry of folder {folder} leads to object {id}, which does not exist"
                    )
                });
            }
            return;
        };
        if names.is_empty() {
            self.breaks
                .add(Rule::A180, id, span, || format!("inode {id} has no entry in any folder"));
            return;
        }
        for name in names.iter().filter(|e| e.flags & 0xF != inode.kind()) {
            let (is, says) = (inode.kind(), name.flags & 0xF);
            self.breaks.add(Rule::A182, id, span, || {
                format!(
                    "inode {id} is of kind {is}, its entry in folder {} says {says}",
                    name.parent
                )
            });
        }
        self.number(id, inode, names, span);
        // What was unlinked while it was open keeps its old name and parent.
        if !orphan {
            self.first_name(id, inode, names, span);
        }
    }

    fn number(&mut self, id: u64, inode: &InodeRow, names: &[&EntryRow], span: Span) {
        let n = names.len();
        if inode.kind() == FOLDER {
            if n != 1 {
                self.breaks.add(Rule::A167, id, span, || format!("folder {id} has {n} names"));
            }
            return;
        }
        // What was unlinked while it was open has no name but the one in the private folder.
        let n = to_u64(names.iter().filter(|e| e.parent != PRIVATE_DIR).count());
        if u64::from(inode.links) != n {
            let says = inode.links;
            self.breaks.add(Rule::A165, id, span, || {
                format!("inode {id} says that it has {says} names, and has {n}")
            });
        }
        let first = self.counts.partition_point(|c| c.id < id);
        let of = self.counts.get(first..).unwrap_or_default().iter().take_while(|c| c.id == id);
        if let Some(count) = of.into_iter().find(|c| span.is_in(c.span)).map(|c| c.count)
            && u64::from(count) != n
        {
            self.breaks.add(Rule::A187, id, span, || {
                format!("inode {id} has {n} names, and records of {count}")
            });
        }
    }

    fn first_name(&mut self, id: u64, inode: &InodeRow, names: &[&EntryRow], span: Span) {
        let mut there = names.iter().filter(|e| e.parent == inode.parent).peekable();
        if there.peek().is_none() {
            let parent = inode.parent;
            self.breaks.add(Rule::A169, id, span, || {
                format!("inode {id} names folder {parent} as its parent, in which it has no entry")
            });
        } else if inode.name != 0 && !there.any(|e| e.name == inode.name) {
            self.breaks.add(Rule::A168, id, span, || {
                format!("inode {id} repeats another name than that of its entry")
            });
        }
    }

    /// Every view has a root and a private folder.
    fn roots(&mut self) {
        for (id, spans) in [ROOT, PRIVATE_DIR].into_iter().zip(std::mem::take(&mut self.tops)) {
            let has = |view: u32| spans.iter().any(|s| s.from <= view && view < s.until);
            let missing = self.views.iter().find(|(i, v)| v.whole && !has(*i));
            if let Some((i, _)) = missing {
                let span = Span { from: i, until: i + 1 };
                self.breaks.add(Rule::A164, id, span, || format!("there is no folder {id}"));
            }
        }
    }
}
