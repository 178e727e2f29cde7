//! The blocks of a container's and a volume's own structures, the file-system trees
//! apart.

use super::container::Container;
use super::format::{HEADER, kind};
use super::keybag::{self, Kind, UNLOCK};
use super::volume::Apfs;
use crate::io::bytes::{le32, le64, usize32};
use std::collections::HashSet;
use std::ops::Range;

/// Most extents of the EFI driver that are told.
const MAX_EFI: usize = 4096;

/// Told of blocks and of what they are.
pub type Visit<'a> = &'a mut dyn FnMut(Range<u64>, String);

/// Visit the structures, as far as they can be read.
pub fn visit(volume: &Apfs, visit: Visit<'_>) {
    container(&volume.container, visit);
    let store = volume.container.store();
    one(volume.block, "volume superblock", visit);
    keys(volume, visit);
    one(volume.superblock.omap_block, "object map of the volume", visit);
    nodes(volume.omap.tree(), "object map node of the volume", visit);
    for snapshot in &volume.snapshots {
        one(snapshot.superblock, &format!("superblock of snapshot '{}'", snapshot.name), visit);
    }
    super::snapshots::nodes(store, volume.superblock.snapshots_block, &mut |block| {
        one(block, "snapshot metadata tree node", visit);
    });
    super::owners::reference_nodes(volume, &mut |block| {
        one(block, "extent reference tree node", visit)
    });
    if volume.superblock.is_sealed() {
        let tree = super::sealed::extents(store, volume.superblock.sealed_extents);
        nodes(&tree, "extents tree node of the sealed volume", visit);
    }
}

fn one(block: u64, name: &str, visit: Visit<'_>) {
    if block != 0 {
        visit(block..block.saturating_add(1), name.to_owned());
    }
}

fn nodes(tree: &super::btree::Tree, name: &str, visit: Visit<'_>) {
    let _ = tree.walk(&mut HashSet::new(), &mut |node| {
        one(node.block, name, visit);
        Ok(())
    });
}

fn container(container: &Container, visit: Visit<'_>) {
    visit(0..1, "container superblock".to_owned());
    let rings = &container.checkpoint().rings;
    for blocks in rings.0.ranges() {
        visit(blocks, "checkpoint descriptor area".to_owned());
    }
    for blocks in rings.1.ranges() {
        visit(blocks, "checkpoint data area".to_owned());
    }
    let nx = container.superblock();
    one(nx.omap_oid, "object map of the container", visit);
    nodes(container.omap().tree(), "object map node of the container", visit);
    let (block, count) = nx.keylocker;
    if count != 0 {
        visit(block..block.saturating_add(count), "container keybag".to_owned());
    }
    space_manager(container, visit);
    efi(container, visit);
}

/// The pool of the space manager, and the ring of its bitmaps.
fn space_manager(container: &Container, visit: Visit<'_>) {
    let oid = container.superblock().spaceman_oid;
    let Ok(spaceman) = container.ephemeral("space manager", oid, kind::SPACEMAN) else { return };
    let b = spaceman.bytes();
    if let (Some(count), Some(base)) = (le32(b, 0xA4), le64(b, 0xA8)) {
        visit(base..base.saturating_add(count.into()), "space manager bitmaps".to_owned());
    }
    if let (Some(count), Some(base)) = (le64(b, 0x98), le64(b, 0xB0)) {
        visit(base..base.saturating_add(count), "space manager pool".to_owned());
    }
}

/// The driver that a Mac's firmware starts from.
fn efi(container: &Container, visit: Visit<'_>) {
    let block = container.superblock().efi_jumpstart;
    if block == 0 {
        return;
    }
    one(block, "EFI jumpstart", visit);
    let Ok(object) = container.store().blocks().object("EFI jumpstart", block, 1) else { return };
    let count = usize32(object.u32(0x2C).unwrap_or(0)).min(MAX_EFI);
    for i in 0..count {
        let at = HEADER + 0x90 + i * 16;
        if let (Some(start), Some(len)) = (object.u64(at), object.u64(at + 8)) {
            visit(start..start.saturating_add(len), "EFI driver".to_owned());
        }
    }
}

/// The keybag of an encrypted volume.
fn keys(volume: &Apfs, visit: Visit<'_>) {
    if !volume.superblock.is_encrypted() {
        return;
    }
    let nx = volume.container.superblock();
    let bag =
        keybag::read(volume.container.store().blocks(), Kind::Container, nx.keylocker, &nx.uuid);
    let places = bag.unwrap_or_default().into_iter();
    for entry in places.filter(|e| e.tag == UNLOCK && e.uuid == volume.superblock.uuid) {
        if let (Some(start), Some(len)) = (le64(&entry.data, 0), le64(&entry.data, 8)) {
            visit(start..start.saturating_add(len), "volume keybag".to_owned());
        }
    }
}
