//! Appending and patching integers in byte buffers.

/// Big-endian and little-endian appends to a growing record.
pub trait Put {
    /// Appends a byte.
    fn u8(&mut self, v: u8);
    /// Appends a big-endian u16.
    fn be16(&mut self, v: u16);
    /// Appends a big-endian u32.
    fn be32(&mut self, v: u32);
    /// Appends a big-endian u64.
    fn be64(&mut self, v: u64);
    /// Appends a little-endian u32.
    fn le32(&mut self, v: u32);
    /// Appends a little-endian u64.
    fn le64(&mut self, v: u64);
    /// Appends `n` zero bytes.
    fn zeros(&mut self, n: usize);
    /// Appends big-endian UTF-16 units.
    fn utf16be(&mut self, units: &[u16]);
}

impl Put for Vec<u8> {
    fn u8(&mut self, v: u8) {
        self.push(v);
    }
    fn be16(&mut self, v: u16) {
        self.extend_from_slice(&v.to_be_bytes());
    }
    fn be32(&mut self, v: u32) {
        self.extend_from_slice(&v.to_be_bytes());
    }
    fn be64(&mut self, v: u64) {
        self.extend_from_slice(&v.to_be_bytes());
    }
    fn le32(&mut self, v: u32) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn le64(&mut self, v: u64) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }
    fn utf16be(&mut self, units: &[u16]) {
        units.iter().for_each(|&u| self.be16(u));
    }
}

/// Overwrites `buf[at..]` with `value`.
pub fn put(buf: &mut [u8], at: usize, value: &[u8]) {
    buf[at..at + value.len()].copy_from_slice(value);
}

/// Reads a big-endian u16 at `at`.
pub fn be16(buf: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(buf[at..at + 2].try_into().unwrap())
}

/// Reads a big-endian u32 at `at`.
pub fn be32(buf: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(buf[at..at + 4].try_into().unwrap())
}

/// Reads a big-endian u64 at `at`.
pub fn be64(buf: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(buf[at..at + 8].try_into().unwrap())
}
