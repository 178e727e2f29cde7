//! What all parts of a container share: device, space, numbers.

use super::crypto::Xts;
use super::device::Device;
use super::flush::{Change, Sink, Style};
use super::object::ENCRYPTED;
use super::space::Space;
use crate::hfs::splitmix;

/// Device, space and the counters of a container.
#[derive(Debug)]
pub struct Core {
    /// Where blocks are stored.
    pub device: Device,
    /// Which are used.
    pub space: Space,
    /// The transaction in the making.
    pub xid: u64,
    /// The next virtual or ephemeral identifier.
    pub next_oid: u64,
    /// Bytes in a block.
    pub block_size: u64,
    /// Leave unused pieces in nodes.
    pub ragged: bool,
    /// Key of the virtual objects being written.
    pub key: Option<Xts>,
    seed: u64,
}

impl Core {
    /// The core of a new container.
    pub fn new(device: Device, space: Space, block_size: u64, ragged: bool, seed: u64) -> Self {
        let (xid, next_oid) = (1, 1024);
        Core { device, space, xid, next_oid, block_size, ragged, key: None, seed }
    }

    /// How nodes are written now.
    pub fn style(&self) -> Style {
        let flags = if self.key.is_some() { ENCRYPTED } else { 0 };
        Style { xid: self.xid, ragged: self.ragged, flags }
    }

    /// A new identifier.
    pub fn oid(&mut self) -> u64 {
        self.next_oid += 1;
        self.next_oid - 1
    }

    /// Sixteen reproducible bytes that look like a random UUID.
    pub fn uuid(&mut self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.random().to_le_bytes());
        out[8..].copy_from_slice(&self.random().to_le_bytes());
        out[6] = out[6] & 0x0F | 0x40;
        out[8] = out[8] & 0x3F | 0x80;
        out
    }

    /// The next number of the container's sequence.
    pub fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(1);
        splitmix(self.seed)
    }

    /// Frees a block as of this transaction.
    pub fn free(&mut self, address: u64, count: u64) {
        self.space.free(address, count, self.xid);
    }

    /// Frees the nodes that a physical tree no longer uses; the root's address is its name.
    pub fn free_dropped(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Dropped { old, .. } = change {
                self.free(old.address, 1);
            }
        }
    }

    /// Writes blocks, encrypted under the tweak of `tweak_block` where there is a key.
    pub fn write_sealed(&mut self, address: u64, tweak_block: u64, mut bytes: Vec<u8>) {
        if let Some(key) = &self.key {
            key.encrypt(&mut bytes, tweak_block * (self.block_size / 512));
        }
        self.device.write(address, &bytes);
    }
}

impl Sink for Core {
    fn allocate(&mut self) -> u64 {
        self.space.allocate(1)
    }
    fn next_oid(&mut self) -> u64 {
        self.oid()
    }
    fn write(&mut self, address: u64, block: Vec<u8>) {
        self.write_sealed(address, address, block);
    }
}
