//! The space manager's blocks: chunk info, addresses of them, the object itself, free queues.

use super::btree::{Key, Tree};
use super::device::Device;
use super::flush::{Sink, Style};
use super::layout::{Layout, What};
use super::node::FREE_QUEUE_TREE;
use super::object::{self, EPHEMERAL, PHYSICAL, kind};
use super::pool::Pool;
use super::space::{Queue, Space};
use crate::bytes::put;

/// An ephemeral object to go into a checkpoint.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    /// Object identifier.
    pub oid: u64,
    /// Type with storage flag.
    pub kind: u32,
    /// Subtype.
    pub subtype: u32,
    /// Sealed bytes.
    pub bytes: Vec<u8>,
}

/// Where chunk-info blocks lie.
#[derive(Debug)]
pub struct Spaceman {
    /// Object identifier.
    pub oid: u64,
    /// Roots of the pool's and the main device's free queue.
    pub queue_oids: [u64; 2],
    /// Identifiers for further nodes of free queues.
    pub spare_oids: Vec<u64>,
    /// With allocation zones (10.13 and later).
    pub versioned: bool,
    block_size: u64,
    cibs: Vec<u64>,
    cabs: Vec<u64>,
}

/// Chunks a chunk-info block describes.
pub fn chunks_per_cib(block_size: u64) -> u64 {
    (block_size - 40) / 32
}

/// Chunk-info blocks an address block lists.
pub fn cibs_per_cab(block_size: u64) -> u64 {
    (block_size - 40) / 8
}

/// Numbers of chunks, chunk-info blocks and address blocks of a device.
pub fn tiers(blocks: u64, block_size: u64) -> (u64, u64, u64) {
    let chunks = blocks.div_ceil(block_size * 8);
    let cibs = chunks.div_ceil(chunks_per_cib(block_size));
    let cabs = cibs.div_ceil(cibs_per_cab(block_size));
    (chunks, cibs, if cabs > 1 { cabs } else { 0 })
}

fn not_two(limit: u64) -> u64 {
    if limit == 2 { 3 } else { limit }
}

/// Most nodes of the pool's free queue.
pub fn pool_node_limit(chunks: u64) -> u64 {
    not_two(3 * (chunks + 751) / 1127 - 1)
}

/// Most nodes of the main device's free queue.
pub fn main_node_limit(blocks: u64) -> u64 {
    not_two(match blocks {
        n if n < 1 << 18 => 1 + (n - 1) / 4544,
        n if n < 1 << 20 => 116 + (n - 261_281) / 2272,
        _ => 512,
    })
}

impl Key for (u64, u64) {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
        out.extend_from_slice(&self.1.to_le_bytes());
    }
    fn stored_len(&self) -> usize {
        16
    }
}

/// Collects the nodes of an ephemeral tree.
struct Nodes<'a> {
    oids: std::slice::Iter<'a, u64>,
    blocks: Vec<Vec<u8>>,
}

impl Sink for Nodes<'_> {
    fn allocate(&mut self) -> u64 {
        self.blocks.len() as u64
    }
    fn next_oid(&mut self) -> u64 {
        *self.oids.next().expect("an identifier for each node")
    }
    fn write(&mut self, _: u64, block: Vec<u8>) {
        self.blocks.push(block);
    }
}

fn queue_tree(queue: &Queue, root: u64, block_size: u64) -> Tree<(u64, u64)> {
    let mut tree = Tree::new(&FREE_QUEUE_TREE, block_size as usize, root);
    for (&key, &count) in queue {
        let value = (count > 1).then(|| count.to_le_bytes().to_vec().into_boxed_slice());
        tree.insert(key, value);
    }
    tree
}

impl Spaceman {
    /// A space manager of a new container.
    pub fn new(space: &Space, block_size: u64, versioned: bool) -> Self {
        let (_, cibs, cabs) = tiers(space.blocks, block_size);
        Spaceman {
            oid: 0,
            queue_oids: [0; 2],
            spare_oids: Vec::new(),
            versioned,
            block_size,
            cibs: vec![0; cibs as usize],
            cabs: vec![0; cabs as usize],
        }
    }

    /// Really frees the oldest entries of a main queue that has more nodes than it may.
    fn drain(&self, space: &mut Space) {
        let limit = main_node_limit(space.blocks);
        while space.queue.len() as u64 > limit * self.block_size / 28 {
            space.release_one();
        }
        while queue_tree(&space.queue, 1, self.block_size).node_count() > limit {
            space.release_one();
        }
    }

    /// Writes bitmaps, chunk info and address blocks that changed.
    pub fn write(&mut self, space: &mut Space, pool: &mut Pool, device: &mut Device, xid: u64) {
        self.drain(space);
        pool.release(xid.saturating_sub(1));
        let per_cib = chunks_per_cib(self.block_size);
        let changed = std::mem::take(&mut space.changed);
        let mut cibs: Vec<u64> = changed.iter().map(|c| c / per_cib).collect();
        if self.cibs[0] == 0 {
            cibs = (0..self.cibs.len() as u64).collect();
        }
        cibs.dedup();
        for &chunk in &changed {
            let old = space.chunks[chunk as usize].bitmap;
            let bitmap = space.bitmap(chunk).map(<[u8]>::to_vec);
            let info = &mut space.chunks[chunk as usize];
            info.xid = xid;
            info.bitmap = match bitmap {
                Some(bitmap) => {
                    let at = pool.allocate();
                    device.write(at, &bitmap);
                    at
                }
                None => 0,
            };
            if old != 0 {
                pool.free(old, xid);
            }
        }
        for &cib in &cibs {
            let at = pool.allocate();
            device.write(at, &self.cib(space, cib, at));
            let old = std::mem::replace(&mut self.cibs[cib as usize], at);
            if old != 0 {
                pool.free(old, xid);
            }
        }
        self.write_cabs(&cibs, pool, device, xid);
        pool.write(device, self.block_size, xid);
    }

    fn cib(&self, space: &Space, index: u64, address: u64) -> Vec<u8> {
        let per_cib = chunks_per_cib(self.block_size);
        let first = index * per_cib;
        let last = (first + per_cib).min(space.chunks.len() as u64);
        let mut out = vec![0u8; self.block_size as usize];
        put(&mut out, 0x20, &(index as u32).to_le_bytes());
        put(&mut out, 0x24, &((last - first) as u32).to_le_bytes());
        let mut newest = 1;
        for chunk in first..last {
            let at = 0x28 + 32 * (chunk - first) as usize;
            let info = space.chunks[chunk as usize];
            let start = chunk * space.per_chunk;
            let count = (space.blocks - start).min(space.per_chunk);
            put(&mut out, at, &info.xid.to_le_bytes());
            put(&mut out, at + 8, &start.to_le_bytes());
            put(&mut out, at + 16, &(count as u32).to_le_bytes());
            put(&mut out, at + 20, &info.free.to_le_bytes());
            put(&mut out, at + 24, &info.bitmap.to_le_bytes());
            newest = newest.max(info.xid);
        }
        object::seal(&mut out, address, newest, kind::CIB | PHYSICAL, 0);
        out
    }

    fn write_cabs(&mut self, cibs: &[u64], pool: &mut Pool, device: &mut Device, xid: u64) {
        let per_cab = cibs_per_cab(self.block_size);
        for index in 0..self.cabs.len() as u64 {
            if !cibs.iter().any(|c| c / per_cab == index) {
                continue;
            }
            let first = (index * per_cab) as usize;
            let list = &self.cibs[first..self.cibs.len().min(first + per_cab as usize)];
            let mut out = vec![0u8; self.block_size as usize];
            put(&mut out, 0x20, &(index as u32).to_le_bytes());
            put(&mut out, 0x24, &(list.len() as u32).to_le_bytes());
            for (i, cib) in list.iter().enumerate() {
                put(&mut out, 0x28 + 8 * i, &cib.to_le_bytes());
            }
            let at = pool.allocate();
            object::seal(&mut out, at, xid, kind::CAB | PHYSICAL, 0);
            device.write(at, &out);
            let old = std::mem::replace(&mut self.cabs[index as usize], at);
            if old != 0 {
                pool.free(old, xid);
            }
        }
    }

    /// The free queues' nodes.
    fn queues(&self, space: &Space, pool: &Pool, xid: u64) -> Vec<Ephemeral> {
        let mut oids = self.spare_oids.iter();
        let mut out = Vec::new();
        for (queue, root) in [&pool.queue, &space.queue].into_iter().zip(self.queue_oids) {
            let mut tree = queue_tree(queue, root, self.block_size);
            let mut nodes = Nodes { oids: oids.clone(), blocks: Vec::new() };
            tree.flush(&mut nodes, Style { xid, ragged: false, flags: 0 });
            oids = nodes.oids;
            for bytes in nodes.blocks {
                let oid = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
                let kind = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
                out.push(Ephemeral { oid, kind, subtype: kind::FREE_QUEUE, bytes });
            }
        }
        out
    }

    /// Identifiers that the free queues' nodes need beyond those there are.
    pub fn oids_wanted(&self, space: &Space, pool: &Pool) -> usize {
        let nodes = |q: &Queue| queue_tree(q, 1, self.block_size).node_count() as usize - 1;
        (nodes(&space.queue) + nodes(&pool.queue)).saturating_sub(self.spare_oids.len())
    }

    /// The space manager and its free queues.
    pub fn ephemerals(&self, space: &Space, pool: &Pool, xid: u64) -> Vec<Ephemeral> {
        let mut out = vec![self.object(space, pool, xid)];
        out.extend(self.queues(space, pool, xid));
        out
    }

    /// Offsets of the arrays: transactions, ring indices, list of ring blocks, addresses.
    fn offsets(&self, pool: &Pool) -> [usize; 4] {
        let n = pool.bitmap_blocks as usize;
        let xids = if self.versioned { 0x9D8 } else { 0x150 };
        let current = xids + 8 * n;
        let next = current + (2 * n).next_multiple_of(8);
        [xids, current, next, next + (2 * pool.next.len()).next_multiple_of(8)]
    }

    fn object(&self, space: &Space, pool: &Pool, xid: u64) -> Ephemeral {
        let offsets = self.offsets(pool);
        let addresses = if self.cabs.is_empty() { &self.cibs } else { &self.cabs };
        let len = (offsets[3] + 8 * addresses.len()).next_multiple_of(self.block_size as usize);
        let mut out = vec![0u8; len];
        let bs = self.block_size;
        let mut u32s = |at, v: u64| put(&mut out, at, &(v as u32).to_le_bytes());
        u32s(0x20, bs);
        u32s(0x24, bs * 8);
        u32s(0x28, chunks_per_cib(bs));
        u32s(0x2C, cibs_per_cab(bs));
        u32s(0x40, self.cibs.len() as u64);
        u32s(0x44, self.cabs.len() as u64);
        u32s(0x50, offsets[3] as u64);
        // The second device has no blocks; its addresses would follow those of the first.
        u32s(0x80, (offsets[3] + 8 * addresses.len()) as u64);
        u32s(0x90, self.versioned.into());
        u32s(0x94, 16);
        u32s(0xA0, pool.bitmap_blocks);
        u32s(0xA4, pool.ring_blocks());
        u32s(0x144, offsets[0] as u64);
        u32s(0x148, offsets[1] as u64);
        u32s(0x14C, offsets[2] as u64);
        if self.versioned {
            u32s(0x150, 1);
            u32s(0x154, 0x9D8);
        }
        let mut u64s = |at, v: u64| put(&mut out, at, &v.to_le_bytes());
        u64s(0x30, space.blocks);
        u64s(0x38, space.chunks.len() as u64);
        u64s(0x48, space.free_blocks());
        u64s(0x98, pool.blocks);
        u64s(0xA8, pool.ring_base);
        u64s(0xB0, pool.base);
        let limits = [pool_node_limit(space.chunks.len() as u64), main_node_limit(space.blocks)];
        for (i, queue) in [&pool.queue, &space.queue].into_iter().enumerate() {
            let at = 0xC8 + 40 * i;
            u64s(at, queue.values().sum());
            u64s(at + 8, self.queue_oids[i]);
            u64s(at + 16, queue.keys().next().map_or(0, |k| k.0));
            u64s(at + 24, limits[i]);
        }
        for (i, xid) in pool.xids.iter().enumerate() {
            u64s(offsets[0] + 8 * i, *xid);
        }
        for (i, address) in addresses.iter().enumerate() {
            u64s(offsets[3] + 8 * i, *address);
        }
        let mut u16s = |at, v: u16| put(&mut out, at, &v.to_le_bytes());
        u16s(0x140, pool.head);
        u16s(0x142, pool.tail);
        pool.current.iter().enumerate().for_each(|(i, &v)| u16s(offsets[1] + 2 * i, v));
        pool.next.iter().enumerate().for_each(|(i, &v)| u16s(offsets[2] + 2 * i, v));
        let kind = kind::SPACEMAN | EPHEMERAL;
        object::seal(&mut out, self.oid, xid, kind, 0);
        Ephemeral { oid: self.oid, kind, subtype: 0, bytes: out }
    }

    /// Notes where the blocks in use lie.
    pub fn describe(&self, space: &Space, pool: &Pool, layout: &mut Layout) {
        self.cibs.iter().for_each(|&a| layout.add(a, 1, What::Cib));
        self.cabs.iter().for_each(|&a| layout.add(a, 1, What::Cab));
        for (i, chunk) in space.chunks.iter().enumerate().filter(|(_, c)| c.bitmap != 0) {
            layout.add(chunk.bitmap, 1, What::Bitmap { chunk: i as u64 });
        }
        for i in 0..pool.bitmap_blocks as usize {
            layout.add(pool.bitmap_address(i), 1, What::PoolBitmap { part: i as u64 });
        }
    }
}
