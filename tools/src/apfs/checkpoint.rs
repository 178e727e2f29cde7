//! The checkpoint rings, superblock and reaper.

use super::core::Core;
use super::layout::{Layout, What};
use super::object::{self, EPHEMERAL, PHYSICAL, kind};
use super::spaceman::Ephemeral;
use crate::bytes::put;

/// Both rings and where they stand.
#[derive(Debug)]
pub struct Rings {
    /// First block of the ring of maps and superblocks.
    pub desc_base: u64,
    /// Its length.
    pub desc_blocks: u64,
    /// First block of the ring of ephemeral objects.
    pub data_base: u64,
    /// Its length.
    pub data_blocks: u64,
    desc_next: u64,
    data_next: u64,
    /// What the newest checkpoint wrote.
    newest: Vec<(u64, u64, What)>,
    /// Blocks of older checkpoints' maps and superblocks that are still whole.
    older: Vec<u64>,
}

/// What the superblock says beside the rings.
#[derive(Clone, Debug)]
pub struct Superblock {
    /// Container UUID.
    pub uuid: [u8; 16],
    /// Space manager, object map, reaper.
    pub oids: [u64; 3],
    /// Volumes.
    pub volumes: Vec<u64>,
    /// Container flags.
    pub flags: u64,
    /// Container keybag.
    pub keylocker: (u64, u64),
    /// Word 0 of the ephemeral information.
    pub ephemeral_info: u64,
    /// Newest version that mounted it.
    pub newest_mounted: u64,
}

impl Rings {
    /// Rings behind block 0.
    pub fn new(desc_blocks: u64, data_blocks: u64) -> Self {
        Rings {
            desc_base: 1,
            desc_blocks,
            data_base: 1 + desc_blocks,
            data_blocks,
            desc_next: 0,
            data_next: 0,
            newest: Vec::new(),
            older: Vec::new(),
        }
    }

    /// Writes a checkpoint and returns its superblock.
    pub fn write(&mut self, core: &mut Core, objects: &[Ephemeral], sb: &Superblock) -> Vec<u8> {
        let bs = core.block_size;
        let per_map = ((bs - 40) / 40) as usize;
        let maps = objects.len().div_ceil(per_map) as u64;
        let (desc_index, data_index) = (self.desc_next, self.data_next);
        let mut newest = Vec::new();
        let mut mappings = Vec::new();
        for object in objects {
            let address = self.data_base + self.data_next;
            mappings.push((object, address));
            for (i, block) in object.bytes.chunks(bs as usize).enumerate() {
                let at = self.data_base + (self.data_next + i as u64) % self.data_blocks;
                core.device.write(at, block);
            }
            let blocks = object.bytes.len() as u64 / bs;
            newest.push((address, blocks, what(object)));
            self.data_next = (self.data_next + blocks) % self.data_blocks;
        }
        let data_len = objects.iter().map(|o| o.bytes.len() as u64 / bs).sum::<u64>();
        assert!(data_len < self.data_blocks / 2, "the data ring is too small");
        for (i, part) in mappings.chunks(per_map).enumerate() {
            let at = self.desc_base + (desc_index + i as u64) % self.desc_blocks;
            let last = i as u64 + 1 == maps;
            core.device.write(at, &map_block(part, at, core, last));
            newest.push((at, 1, What::CheckpointMap));
        }
        let at = self.desc_base + (desc_index + maps) % self.desc_blocks;
        self.desc_next = (desc_index + maps + 1) % self.desc_blocks;
        let rings = [desc_index, maps + 1, data_index, data_len];
        let block = self.superblock(core, sb, rings);
        core.device.write(at, &block);
        newest.push((at, 1, What::Superblock));
        let old = std::mem::replace(&mut self.newest, newest);
        self.older.extend(old.iter().filter(|o| is_desc(&o.2)).map(|o| o.0));
        self.older.retain(|a| !self.newest.iter().any(|n| n.0 == *a));
        block
    }

    fn superblock(&self, core: &Core, sb: &Superblock, rings: [u64; 4]) -> Vec<u8> {
        let mut out = vec![0u8; core.block_size as usize];
        put(&mut out, 0x20, b"NXSB");
        put(&mut out, 0x48, &sb.uuid);
        let size = core.space.blocks * core.block_size;
        let mut u32s = |at, v: u64| put(&mut out, at, &(v as u32).to_le_bytes());
        u32s(0x24, core.block_size);
        u32s(0x68, self.desc_blocks);
        u32s(0x6C, self.data_blocks);
        u32s(0x80, self.desc_next);
        u32s(0x84, self.data_next);
        rings.into_iter().enumerate().for_each(|(i, v)| u32s(0x88 + 4 * i, v));
        u32s(0xB4, size.div_ceil(512 << 20).min(100));
        let mut u64s = |at, v: u64| put(&mut out, at, &v.to_le_bytes());
        u64s(0x28, core.space.blocks);
        u64s(0x40, 2);
        u64s(0x58, core.next_oid);
        u64s(0x60, core.xid + 1);
        u64s(0x70, self.desc_base);
        u64s(0x78, self.data_base);
        sb.oids.into_iter().enumerate().for_each(|(i, v)| u64s(0x98 + 8 * i, v));
        sb.volumes.iter().enumerate().for_each(|(i, &v)| u64s(0xB8 + 8 * i, v));
        u64s(0x3D8, 40 + core.xid);
        u64s(0x4F0, sb.flags);
        u64s(0x510, sb.keylocker.0);
        u64s(0x518, sb.keylocker.1);
        u64s(0x520, sb.ephemeral_info);
        u64s(0x568, sb.newest_mounted);
        object::seal(&mut out, 1, core.xid, kind::NX | EPHEMERAL, 0);
        out
    }

    /// Blocks of the newest checkpoint and what they are.
    pub fn describe(&self, layout: &mut Layout) {
        for &(address, count, what) in &self.newest {
            layout.add(address, count, what);
        }
        self.older.iter().for_each(|&a| layout.add(a, 1, What::OldCheckpoint));
    }
}

fn is_desc(what: &What) -> bool {
    matches!(what, What::CheckpointMap | What::Superblock)
}

fn what(object: &Ephemeral) -> What {
    match object.kind & 0xFFFF {
        kind::SPACEMAN => What::Spaceman,
        kind::REAPER => What::Reaper,
        kind::REAP_LIST => What::ReapList,
        _ => What::FreeQueueNode,
    }
}

fn map_block(part: &[(&Ephemeral, u64)], address: u64, core: &Core, last: bool) -> Vec<u8> {
    let mut out = vec![0u8; core.block_size as usize];
    put(&mut out, 0x20, &u32::from(last).to_le_bytes());
    put(&mut out, 0x24, &(part.len() as u32).to_le_bytes());
    for (i, (object, to)) in part.iter().enumerate() {
        let at = 0x28 + 40 * i;
        put(&mut out, at, &object.kind.to_le_bytes());
        put(&mut out, at + 4, &object.subtype.to_le_bytes());
        put(&mut out, at + 8, &(object.bytes.len() as u32).to_le_bytes());
        put(&mut out, at + 24, &object.oid.to_le_bytes());
        put(&mut out, at + 32, &to.to_le_bytes());
    }
    object::seal(&mut out, address, core.xid, kind::CHECKPOINT_MAP | PHYSICAL, 0);
    out
}

/// The reaper, idle; `reaped` says whether it ever had work, in which case it has a list.
pub fn reaper(core: &Core, oid: u64, list: Option<u64>) -> Vec<Ephemeral> {
    let bs = core.block_size as usize;
    let mut out = vec![0u8; bs];
    let next = if list.is_some() { 2u64 } else { 1 };
    put(&mut out, 0x20, &next.to_le_bytes());
    put(&mut out, 0x28, &(next - 1).to_le_bytes());
    put(&mut out, 0x40, &1u32.to_le_bytes());
    put(&mut out, 0x6C, &(bs as u32 - 0x70).to_le_bytes());
    if let Some(list) = list {
        put(&mut out, 0x30, &list.to_le_bytes());
        put(&mut out, 0x38, &list.to_le_bytes());
        put(&mut out, 0x44, &1u32.to_le_bytes());
    }
    object::seal(&mut out, oid, core.xid, kind::REAPER | EPHEMERAL, 0);
    let mut objects =
        vec![Ephemeral { oid, kind: kind::REAPER | EPHEMERAL, subtype: 0, bytes: out }];
    objects.extend(list.map(|oid| reap_list(core, oid)));
    objects
}

/// An empty reap list: free entries in a chain, as many as fit.
fn reap_list(core: &Core, oid: u64) -> Ephemeral {
    let entries = ((core.block_size - 0x40) / 40) as u32;
    let mut out = vec![0u8; core.block_size as usize];
    let words = [0, entries, 0, u32::MAX, u32::MAX, 0];
    for (i, word) in words.into_iter().enumerate() {
        put(&mut out, 0x28 + 4 * i, &word.to_le_bytes());
    }
    for i in 0..entries {
        let next = if i + 1 == entries { u32::MAX } else { i + 1 };
        put(&mut out, 0x40 + 40 * i as usize, &next.to_le_bytes());
    }
    let kind = kind::REAP_LIST | EPHEMERAL;
    object::seal(&mut out, oid, core.xid, kind, 0);
    Ephemeral { oid, kind, subtype: 0, bytes: out }
}
