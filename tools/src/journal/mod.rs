//! The journal: its info block and header, and journals with transactions to replay.

mod dirty;

pub use dirty::{Dirty, JournalDamage, Torn, Wrap, between, differences, without_leaves};

use crate::bytes::{Put, put};

/// Unit of block numbers in the journal, bytes.
pub const JOURNAL_BLOCK: u64 = 512;

/// Apple's journal checksum.
pub fn checksum(data: &[u8]) -> u32 {
    !data.iter().fold(0u32, |c, &b| (c << 8) ^ c.wrapping_add(u32::from(b)))
}

/// A journal info block: flags (1 in this volume, 4 needs initialising), byte offset and length.
pub fn info_block(flags: u32, offset: u64, len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.be32(flags);
    out.zeros(32);
    out.be64(offset);
    out.be64(len);
    out.zeros(128);
    out
}

/// Writes integers in the byte order of the Mac that wrote the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub big: bool,
}

impl Order {
    pub fn u16(self, v: u16) -> [u8; 2] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }
    pub fn u32(self, v: u32) -> [u8; 4] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }
    pub fn u64(self, v: u64) -> [u8; 8] {
        if self.big { v.to_be_bytes() } else { v.to_le_bytes() }
    }
}

/// Bytes of a block-list header in a journal of `len` bytes.
pub(crate) fn block_list_size(len: u64) -> u32 {
    if len >= 256 << 10 { 8192 } else { 4096 }
}

/// A journal header, one journal block long.
pub(crate) fn header(order: Order, start: u64, end: u64, len: u64, sequence: u32) -> Vec<u8> {
    let mut out = vec![0; JOURNAL_BLOCK as usize];
    put(&mut out, 0, &order.u32(0x4A4E_4C78));
    put(&mut out, 4, &order.u32(0x1234_5678));
    put(&mut out, 8, &order.u64(start));
    put(&mut out, 16, &order.u64(end));
    put(&mut out, 24, &order.u64(len));
    put(&mut out, 32, &order.u32(block_list_size(len)));
    put(&mut out, 40, &order.u32(JOURNAL_BLOCK as u32));
    put(&mut out, 44, &order.u32(sequence));
    let sum = checksum(&out[..44]);
    put(&mut out, 36, &order.u32(sum));
    out
}

/// The header of an empty little-endian journal of `len` bytes.
pub fn empty_header(len: u64, sequence: u32) -> Vec<u8> {
    header(Order { big: false }, JOURNAL_BLOCK, JOURNAL_BLOCK, len, sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header from a real journal (start 0x2cc00, end 0x47e00, checksum 0x09a0dc15).
    #[test]
    fn checksum_of_a_real_header() {
        let mut head = vec![0; 44];
        let order = Order { big: false };
        put(&mut head, 0, &order.u32(0x4A4E_4C78));
        put(&mut head, 4, &order.u32(0x1234_5678));
        put(&mut head, 8, &order.u64(0x2_CC00));
        put(&mut head, 16, &order.u64(0x4_7E00));
        put(&mut head, 24, &order.u64(0x8_0000));
        put(&mut head, 32, &order.u32(0x2000));
        put(&mut head, 40, &order.u32(512));
        assert_eq!(checksum(&head), 0x09A0_DC15);
    }
}
