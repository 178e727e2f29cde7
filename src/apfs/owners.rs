//! What lies where: structures of the container and the volume, and contents of files
//! by the extent reference trees, so that no file-system tree is walked where one
//! stream alone refers to a block.

use super::format::MAP_DELETED;
use super::lookup::{Found, Lookup};
use super::omap::Mapping;
use super::references::{self, Held};
use super::structures;
use super::volume::Apfs;
use crate::error::{Error, Result};
use crate::fs::{NodeId, Owned, Owner, ViewId, Views};
use crate::io::Ranges;
use crate::report::Progress;
use std::ops::{ControlFlow, Range};

/// Visit what lies in the wanted bytes.
pub fn visit(
    volume: &Apfs,
    wanted: &Ranges,
    inside: &Views,
    progress: &dyn Progress,
    visit: &mut dyn FnMut(Owned),
) -> Result<()> {
    let mut pass = Pass { volume, wanted, inside, progress, visit };
    pass.structures()?;
    pass.virtual_objects()?;
    pass.contents()
}

struct Pass<'a> {
    volume: &'a Apfs,
    wanted: &'a Ranges,
    inside: &'a Views,
    progress: &'a dyn Progress,
    visit: &'a mut dyn FnMut(Owned),
}

impl Pass<'_> {
    fn size(&self) -> u64 {
        self.volume.container.store().blocks().size()
    }

    /// Tell of the parts of some blocks that are wanted.
    fn tell(&mut self, blocks: Range<u64>, views: &Views, owner: impl Fn(u64) -> Owner) {
        let bytes =
            blocks.start.saturating_mul(self.size())..blocks.end.saturating_mul(self.size());
        let start = bytes.start;
        let parts: Vec<Range<u64>> = self.wanted.meet(bytes).collect();
        for range in parts {
            let owner = owner(range.start - start);
            (self.visit)(Owned { range, owner, views: views.clone() });
        }
    }

    fn is_wanted(&self, blocks: &Range<u64>) -> bool {
        let bytes =
            blocks.start.saturating_mul(self.size())..blocks.end.saturating_mul(self.size());
        self.wanted.meet(bytes).next().is_some()
    }

    /// Structures that do not belong to one state of the volume: they matter to all.
    fn structures(&mut self) -> Result<()> {
        let mut found = Vec::new();
        structures::visit(self.volume, &mut |blocks, name| {
            if self.is_wanted(&blocks) {
                found.push((blocks, name));
            }
        });
        self.progress.check()?;
        for (blocks, name) in found {
            let views = self.inside.clone();
            // Rings, pools and the driver for firmware need not be full.
            let ring = ["checkpoint", "space manager", "EFI"].iter().any(|r| name.starts_with(r));
            self.tell(blocks, &views, |_| Owner::Structure {
                name: name.clone(),
                describes: Vec::new(),
                in_use: !ring,
            });
        }
        Ok(())
    }

    /// Nodes of the file-system trees: each mapping is one, valid from its transaction to
    /// that of the next mapping of the same object.
    fn virtual_objects(&mut self) -> Result<()> {
        let mut found: Vec<(u64, Mapping, Views)> = Vec::new();
        let mut last: Option<(u64, Mapping)> = None;
        let scanned = self.volume.omap.scan(&mut |oid, m| {
            self.progress.check()?;
            if let Some((before, mapping)) = last.take() {
                let until = if before == oid { m.xid } else { u64::MAX };
                self.keep(&mut found, before, mapping, until);
            }
            last = Some((oid, m));
            Ok(ControlFlow::Continue(()))
        });
        if let Some((oid, m)) = last {
            self.keep(&mut found, oid, m, u64::MAX);
        }
        for (oid, m, views) in found {
            let (name, describes) = self.describe(oid, &m, &views);
            let owner = |_| Owner::Structure {
                name: name.clone(),
                describes: describes.clone(),
                in_use: true,
            };
            self.tell(m.block..m.block.saturating_add(1), &views, owner);
        }
        match scanned {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }

    fn keep(&self, found: &mut Vec<(u64, Mapping, Views)>, oid: u64, m: Mapping, until: u64) {
        let block = m.block..m.block.saturating_add(1);
        if m.flags & MAP_DELETED == 0 && self.is_wanted(&block) {
            let views = self.volume.views_between(m.xid, until).meet(self.inside);
            if !views.is_empty() {
                found.push((oid, m, views));
            }
        }
    }

    /// Name of a virtual object, and what is in it.
    fn describe(&self, oid: u64, m: &Mapping, views: &Views) -> (String, Vec<NodeId>) {
        let name = format!("file-system tree node {oid}");
        let view = self.first_view(views);
        let Some(state) = view.and_then(|v| self.volume.state(v).ok()) else {
            return (name, Vec::new());
        };
        let ids = match state.tree.node_again(m.block) {
            Ok(Some(node)) if node.level == 0 => state.described_by(&node),
            Ok(Some(_)) => Vec::new(),
            Ok(None) => return (format!("object {oid} of the volume"), Vec::new()),
            Err(_) => {
                let lost = state.lost();
                let node = lost.nodes.iter().find(|n| {
                    n.number == oid || n.number.wrapping_add(state.tree.root_number()) == oid
                });
                let inside = |id: &&u64| node.is_some_and(|n| n.objects.contains(id));
                let mut ids: Vec<u64> = lost.names.keys().filter(inside).copied().collect();
                ids.sort_unstable();
                ids
            }
        };
        (name, ids.into_iter().map(NodeId).collect())
    }

    /// The view whose node numbers are told: the first by number, as promised.
    fn first_view(&self, views: &Views) -> Option<ViewId> {
        views.iter().next()
    }

    /// Contents of files.
    fn contents(&mut self) -> Result<()> {
        let size = self.size();
        let mut held: Vec<Held> = Vec::new();
        let mut trouble = false;
        let ranges: Vec<Range<u64>> = self.wanted.iter().cloned().collect();
        for range in ranges {
            let blocks = range.start / size..range.end.div_ceil(size);
            let found = self.volume.held(&blocks, self.progress, &mut |_| trouble = true)?;
            held.extend(found.into_iter().filter_map(|mut h| {
                h.views = h.views.meet(self.inside);
                (!h.views.is_empty()).then_some(h)
            }));
        }
        let mut lookup = Lookup::new(self.volume, self.inside, self.progress);
        if trouble {
            // A tree of references cannot be read: ask the files themselves.
            let blocks = self.wanted.iter().map(|r| r.start / size..r.end.div_ceil(size)).collect();
            return self.tell_all(lookup.everything(blocks)?);
        }
        let mut open: Vec<Held> = Vec::new();
        for piece in held {
            self.progress.check()?;
            match self.first_view(&piece.views).map(|v| lookup.directly(v, &piece)) {
                Some(Ok(Some(found))) if !piece.shared => self.tell_found(&found, &piece.views),
                _ => open.push(piece),
            }
        }
        let found = if open.is_empty() { Vec::new() } else { lookup.thoroughly(&open)? };
        self.tell_all(found)
    }

    fn tell_all(&mut self, found: Vec<(Found, Views)>) -> Result<()> {
        for (found, views) in found {
            self.progress.check()?;
            self.tell_found(&found, &views);
        }
        Ok(())
    }

    fn tell_found(&mut self, found: &Found, views: &Views) {
        for part in &found.parts {
            let owner = |into: u64| match part.slack {
                true => Owner::Slack(found.node),
                false => Owner::Stream {
                    node: found.node,
                    stream: found.stream.clone(),
                    offset: part.offset.saturating_add(into),
                },
            };
            self.tell_bytes(part.bytes.clone(), views, owner);
        }
    }

    fn tell_bytes(&mut self, bytes: Range<u64>, views: &Views, owner: impl Fn(u64) -> Owner) {
        let start = bytes.start;
        let parts: Vec<Range<u64>> = self.wanted.meet(bytes).collect();
        for range in parts {
            let owner = owner(range.start - start);
            (self.visit)(Owned { range, owner, views: views.clone() });
        }
    }
}

impl Apfs {
    /// The views that show what is valid from one transaction up to another.
    pub(super) fn views_between(&self, from: u64, until: u64) -> Views {
        let number = |i: usize| ViewId(u32::try_from(i + 1).unwrap_or(u32::MAX));
        let first = self.snapshots.partition_point(|s| s.xid < from);
        let past = self.snapshots.partition_point(|s| s.xid < until);
        let live = (from..until).contains(&self.container.superblock().xid);
        let snapshots =
            if first < past { Views::run(number(first)..=number(past - 1)) } else { Views::none() };
        if live { snapshots.union(&Views::live()) } else { snapshots }
    }
}

/// Blocks of all trees of references.
pub(super) fn reference_nodes(volume: &Apfs, visit: &mut dyn FnMut(u64)) {
    for (_, root) in volume.reference_trees() {
        references::nodes(volume.container.store(), root, visit);
    }
}
