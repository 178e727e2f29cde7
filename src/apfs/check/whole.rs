//! The container as a whole: everything that is not the records of files, and which blocks
//! all of it uses.

use super::omaps::Of;
use super::say::Checker;
use super::trees::{self, Told};
use super::used::{By, Used};
use super::{container, efi, keybags, nodes, reaper, space};
use crate::apfs::container::Container;
use crate::apfs::format::record;
use crate::apfs::omap::Omap;
use crate::apfs::records::split;
use crate::apfs::superblock::Superblock;
use crate::apfs::{Snapshot, references, snapshots};
use crate::error::Result;
use crate::io::bytes::le64;
use crate::report::{Progress, Structure, Unit, Where};
use std::collections::HashSet;

/// Kind of an extent reference that says that blocks were allocated.
const NEW: u64 = 1;

/// Where a superblock has the tree of blocks that move when a container is made smaller.
const EVICTED: usize = 0x4E8;

/// Check the container.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn check(checker: &Checker<'_>, container: &Container, progress: &dyn Progress) -> Result<()> {
    progress.phase("checking the structures of APFS", 0, Unit::Items);
    let mut pass = Pass { checker, container, progress, used: Used::new() };
    pass.areas();
    efi::check(checker, container, &mut pass.used)?;
    let of = Of { checker, progress, container, volume: None };
    of.check(container.omap(), container.superblock().omap_oid, None, &mut pass.used)?;
    let mut volumes = Vec::new();
    for (number, oid) in (1u32..).zip(&container.superblock().volumes) {
        match container.volume(*oid) {
            Ok((_, superblock)) => {
                pass.volume(number, &superblock)?;
                volumes.push((number, superblock));
            }
            // Opening it tells.
            Err(_) => pass.used.whole = false,
        }
    }
    keybags::check(checker, container, &volumes, &mut pass.used)?;
    pass.space(&volumes)
}

struct Pass<'a> {
    checker: &'a Checker<'a>,
    container: &'a Container,
    progress: &'a dyn Progress,
    used: Used,
}

impl Pass<'_> {
    /// What every container has at its beginning.
    fn areas(&mut self) {
        self.used.claim(0..1, By::BlockZero, 0);
        let rings = &self.container.checkpoint().rings;
        for blocks in rings.0.ranges().chain(rings.1.ranges()) {
            // Block 0 stands for the descriptors where it stands for a lost checkpoint.
            self.used.claim(blocks, By::Ring, 0);
        }
    }

    /// The object map, the snapshots and the extent references of a volume.
    fn volume(&mut self, number: u32, superblock: &Superblock) -> Result<()> {
        let store = self.container.store();
        let place = |structure| Where { volume: Some(number), ..Where::of(structure) };
        let listed = match snapshots::read(store, superblock.snapshots_block) {
            Ok(listed) => Some(listed),
            Err(e) => {
                self.used.whole = false;
                let what = format!("the tree of snapshots of volume {number}");
                self.checker.unreadable(place(Structure::SnapshotTree), &what, e)?;
                None
            }
        };
        match Omap::open(store, superblock.omap_block) {
            Ok(omap) => {
                let Self { checker, progress, container, .. } = *self;
                let of = Of { checker, progress, container, volume: Some(number) };
                of.check(&omap, superblock.omap_block, listed.as_deref(), &mut self.used)?;
            }
            Err(e) => {
                self.used.whole = false;
                let what = format!("the object map of volume {number}");
                self.checker.unreadable(place(Structure::ObjectMap), &what, e)?;
            }
        }
        let readable = || snapshots::readable(store, superblock.snapshots_block);
        self.trees(number, superblock, listed.unwrap_or_else(readable))
    }

    fn told(&self, number: u32, structure: Structure, kind: &'static nodes::Kind) -> Told<'_> {
        let Self { checker, progress, .. } = *self;
        Told { checker, progress, structure, volume: Some(number), kind }
    }

    fn trees(&mut self, number: u32, superblock: &Superblock, listed: Vec<Snapshot>) -> Result<()> {
        let store = self.container.store();
        let mut used = std::mem::take(&mut self.used);
        if superblock.snapshots_block != 0 {
            let tree = snapshots::tree_at(store, superblock.snapshots_block);
            let told = self.told(number, Structure::SnapshotTree, &nodes::SNAPSHOTS);
            let walked = trees::walk(&tree, told, &mut |node| {
                used.claim(node.block..node.block + 1, By::Snapshots, number);
                Ok(())
            })?;
            used.whole &= walked.whole;
        }
        let mut roots: Vec<u64> = listed.iter().map(|s| s.extent_references).collect();
        roots.push(superblock.extent_references);
        let mut seen = HashSet::from([0]);
        for root in roots.into_iter().filter(|root| seen.insert(*root)) {
            let tree = references::tree_at(store, root);
            let told = self.told(number, Structure::ExtentReferences, &nodes::REFERENCES);
            let all = store.blocks().count();
            let walked = trees::walk(&tree, told, &mut |node| {
                used.claim(node.block..node.block + 1, By::References, number);
                for entry in
                    (0..node.count).filter_map(|i| node.entry(i)).filter(|_| node.level == 0)
                {
                    let Some((start, record::PHYSICAL_EXTENT)) = split(entry.key) else { continue };
                    let len = entry.value.and_then(|v| le64(v, 0)).unwrap_or(0);
                    let end = start.saturating_add(len & ((1 << 60) - 1)).min(all);
                    if len >> 60 == NEW {
                        used.claim(start..end, By::Contents, number);
                    }
                }
                Ok(())
            })?;
            used.whole &= walked.whole;
        }
        if superblock.is_sealed() && superblock.sealed_extents != 0 {
            let tree = crate::apfs::sealed::extents(store, superblock.sealed_extents);
            let told = self.told(number, Structure::FileSystemTree, &nodes::FEXT);
            let walked = trees::walk(&tree, told, &mut |node| {
                used.claim(node.block..node.block + 1, By::Mapped, number);
                Ok(())
            })?;
            used.whole &= walked.whole;
        }
        for s in &listed {
            used.claim(
                s.superblock..s.superblock.saturating_add(1),
                By::SnapshotSuperblock,
                number,
            );
        }
        self.used = used;
        Ok(())
    }

    /// The space manager, the reaper, and what all blocks are used by.
    fn space(mut self, volumes: &[(u32, Superblock)]) -> Result<()> {
        let Self { checker, container, progress, .. } = self;
        let space = space::check(checker, container, progress, &mut self.used)?;
        let mut seen = HashSet::new();
        let mut limit = None;
        if let Some((_, found)) = &space {
            seen.extend(&found.objects);
            limit = Some(found.queue_limit);
        }
        let idle = reaper::check(checker, container, &mut seen)?;
        container::check(checker, container, limit);
        if let Some((space, _)) = space {
            if self.used.whole {
                container::reached(checker, container, &seen);
            }
            self.used.whole &= idle && self.settled(volumes);
            space.reserves(volumes);
            self.used.settle(checker);
            space.bitmaps(&self.used)?;
        }
        Ok(())
    }

    /// Whether nothing is under way that keeps blocks which are not looked at here: a
    /// container that is made smaller, a volume that is encrypted.
    fn settled(&self, volumes: &[(u32, Superblock)]) -> bool {
        let blocks = self.container.store().blocks();
        let superblock =
            blocks.object("container superblock", self.container.checkpoint().block, 1);
        let shrinks = superblock.map_or(true, |sb| sb.u64(EVICTED) != Some(0));
        !shrinks && volumes.iter().all(|(_, sb)| sb.encryption_state == 0)
    }
}
