//! The records of a volume's file-system trees, in all views at once.
//!
//! Each stored node is read once, with the runs of views that see it (`walk`); leaves in the
//! order of their keys make objects (`sweep`), which are proved alone (`object` and what it
//! uses); what must agree between objects goes into packed tables with runs of views
//! (`tables`), which are sorted and joined at the end, looked at only where something
//! changes (`links`, `siblings`, `streams`, `references`, `counts`).

mod attribute;
mod breaks;
mod counts;
mod fields;
mod inode;
mod links;
mod object;
mod record;
mod references;
mod runs;
mod siblings;
mod snapshots;
mod stream;
mod streams;
mod sweep;
mod tables;
mod telling;
mod views;
mod volume;
mod walk;

use super::nodes;
use super::say::Checker;
use crate::apfs::names::Rules;
use crate::apfs::node::Node;
use crate::apfs::volume::Apfs;
use crate::error::{Error, Result};
use crate::fs::ViewId;
use crate::io::bytes::usize32;
use crate::report::{Progress, Structure};
use breaks::Breaks;
use std::collections::HashSet;
use sweep::Sweep;
use tables::{Span, Tables};
use views::InTime;
use walk::{Due, Map, Walk};

/// Feature of a volume: it keeps maps from links to inodes.
const HARD_LINK_MAPS: u64 = 2;
/// Feature of a volume: it is one of a group of a system and a data volume.
const GROUP: u64 = 0x10;
const ROLE_SYSTEM: u16 = 1;
const ROLE_DATA: u16 = 0x40;
/// First number of objects of a system volume in a group.
const UNIFIED: u64 = 1 << 59;

/// What is known of a volume before its records are read.
pub(super) struct Facts {
    block_size: u64,
    blocks: u64,
    rules: Rules,
    encrypted: bool,
    sealed: bool,
    incompatible: u64,
    features: u64,
    role: u16,
    /// Made from HFS+ by Apple's program.
    converted: bool,
    /// The next number of an object, in each view, and of a document.
    next: Vec<(u64, u32)>,
    next_live: u64,
}

impl Facts {
    fn of(volume: &Apfs, views: &InTime) -> Self {
        let (sb, blocks) = (&volume.superblock, volume.container.store().blocks());
        let unknown = (u64::MAX, u32::MAX);
        let next = |i| views.superblock(i).map_or(unknown, |s| (s.next_object, s.next_document));
        Self {
            block_size: blocks.size(),
            blocks: blocks.count(),
            rules: sb.rules(),
            encrypted: sb.is_encrypted(),
            sealed: sb.is_sealed(),
            incompatible: sb.incompatible,
            features: sb.features,
            role: sb.role,
            converted: sb.formatted_by.starts_with("hfs_convert"),
            next: (0..views.all().until).map(next).collect(),
            next_live: sb.next_object,
        }
    }

    /// The next number that an object would have had in the first of some views.
    fn next_object(&self, span: Span) -> u64 {
        self.next.get(usize32(span.from)).map_or(u64::MAX, |n| n.0)
    }

    fn next_document(&self, span: Span) -> u32 {
        self.next.get(usize32(span.from)).map_or(u32::MAX, |n| n.1)
    }

    /// What kind of volume of a group has such numbers, if this one must not.
    fn group_side(&self, id: u64) -> Option<&'static str> {
        let grouped = self.features & GROUP != 0;
        match (self.role, id >= UNIFIED) {
            (ROLE_DATA, true) if grouped => Some("system"),
            (ROLE_SYSTEM, false) if grouped => Some("data"),
            _ => None,
        }
    }
}

/// Told of what cannot be read: in which view, of which structure.
pub(in crate::apfs) type Failed<'a> =
    &'a mut dyn FnMut(Option<ViewId>, Structure, Error) -> Result<()>;

/// Check the records of a volume. Blocks of nodes that were read go to `seen`.
///
/// # Errors
/// Only [`Error::Interrupted`].
pub(in crate::apfs) fn check(
    checker: &Checker<'_>,
    (volume, number): (&Apfs, u32),
    seen: &mut HashSet<u64>,
    failed: Failed<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let mut views =
        InTime::of(volume, &mut |view, e| failed(Some(view), Structure::VolumeSuperblock, e))?;
    let facts = Facts::of(volume, &views);
    let (mut breaks, mut tables) = (Breaks::default(), Tables::default());
    // What of the map cannot be read is told where the map itself is checked.
    let map = Map::read(volume, &mut |_| {})?;
    volume::check(volume, &views, &map, &mut breaks);
    // Other errors are told of where the volume is opened.
    if let Err(Error::Interrupted) = snapshots::check(volume, &views, &map, &mut breaks) {
        return Err(Error::Interrupted);
    }
    let of = Of { checker, volume, map: &map, facts: &facts };
    of.records(&mut views, (&mut breaks, &mut tables), seen, failed, progress)?;
    of.joins(&views, tables, &mut breaks, progress)?;
    telling::tell(checker, (volume, number), &views, breaks);
    Ok(())
}

/// What is checked, and who is told of nodes.
struct Of<'a> {
    checker: &'a Checker<'a>,
    volume: &'a Apfs,
    map: &'a Map,
    facts: &'a Facts,
}

impl Of<'_> {
    /// Read all records, and prove each object.
    fn records(
        &self,
        views: &mut InTime,
        (breaks, tables): (&mut Breaks, &mut Tables),
        seen: &mut HashSet<u64>,
        failed: Failed<'_>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let Some(shape) = walk::shape(views) else { return Ok(()) };
        let mut totals = walk::Totals::new(views.all());
        let mut torn: Vec<Span> = Vec::new();
        let mut walk = Walk::new(self.volume, self.map, shape, progress);
        let leaves = {
            let ids: Vec<ViewId> = views.iter().map(|(_, v)| v.id).collect();
            let mut lost = |span: Span, e: Error| {
                torn.push(span);
                let view = ids.get(usize32(span.from)).copied();
                failed(view, Structure::FileSystemTree, e)
            };
            walk.leaves(views, &mut lost, &mut |node, due| {
                seen.insert(node.block);
                totals.add(node, &due.runs);
                self.node(node, due, breaks);
            })?
        };
        for span in torn {
            views.torn(span);
        }
        let mut sweep = Sweep::new(self.facts, views, breaks, tables);
        let mut leaves = leaves.into_iter().peekable();
        while let Some(leaf) = leaves.next() {
            progress.check()?;
            progress.advance(1);
            if leaf.gap {
                sweep.gap(&leaf.runs);
                continue;
            }
            match walk.read(&leaf, 0) {
                Ok(node) => {
                    seen.insert(node.block);
                    totals.add(&node, &leaf.runs);
                    self.node(&node, &leaf, sweep.breaks);
                    sweep.leaf(&node, &leaf.runs);
                }
                Err(e) => {
                    sweep.gap(&leaf.runs);
                    let seen = leaf.runs.first().and_then(|r| sweep.view(r.from));
                    let ends = (&leaf, leaves.peek());
                    let e = telling::with_lost(e, seen.and_then(|v| v.state.as_deref()), ends);
                    failed(seen.map(|v| v.id), Structure::FileSystemTree, e)?;
                }
            }
        }
        sweep.end();
        totals.check(views, breaks);
        Ok(())
    }

    /// A stored node by itself, and against what leads to it.
    fn node(&self, node: &Node, due: &Due, breaks: &mut Breaks) {
        walk::fits(due, node, breaks);
        let kind = if self.facts.sealed { &nodes::FS_SEALED } else { &nodes::FS };
        nodes::inside(self.checker, Structure::FileSystemTree, node, kind);
    }

    /// Compare what objects say of each other.
    fn joins(
        &self,
        views: &InTime,
        tables: Tables,
        breaks: &mut Breaks,
        progress: &dyn Progress,
    ) -> Result<()> {
        let Tables { inodes, entries, extents, siblings, sibling_counts, streams, users } = tables;
        let (volume, facts) = (self.volume, self.facts);
        siblings::check(
            &siblings.into_sorted(),
            facts.features & HARD_LINK_MAPS != 0,
            views,
            breaks,
        );
        let (inodes, entries) = (inodes.into_sorted(), entries.into_sorted());
        links::check(&inodes, &entries, &sibling_counts.into_sorted(), views, breaks);
        drop((inodes, entries));
        progress.check()?;
        if facts.sealed {
            return Ok(());
        }
        let users = users.into_sorted();
        streams::check(&streams.into_sorted(), &users, views, breaks);
        // Blocks may have been taken by a snapshot that is not known.
        if !volume.lists_all {
            breaks.give_to_inodes(&users);
            return Ok(());
        }
        let store = volume.container.store();
        let tree = |root: u64| (root != 0).then(|| crate::apfs::references::tree_at(store, root));
        let trees: Vec<_> =
            volume.reference_trees().into_iter().map(|(_, root)| tree(root)).collect();
        let extents = extents.into_sorted();
        let totals = references::check(&extents, &trees, (facts, views), breaks, progress);
        breaks.give_to_inodes(&users);
        match totals {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Ok(totals) => {
                volume::check_allocated(volume, self.map, totals, views, breaks);
                Ok(())
            }
            // A tree that cannot be read is told of where all of its nodes are read.
            _ => Ok(()),
        }
    }
}
