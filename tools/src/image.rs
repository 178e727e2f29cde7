//! A disk image in memory that keeps only the chunks that are not zero.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes in a chunk.
pub const CHUNK: u64 = 1 << 16;

/// A sparse disk image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    len: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

impl Image {
    /// `len` bytes of zeros.
    pub fn new(len: u64) -> Self {
        Self { len, chunks: BTreeMap::new() }
    }

    /// An image of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut image = Self::new(bytes.len() as u64);
        image.write(0, bytes);
        image
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Cut or extend with zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.zero(len, self.len - len);
        }
        self.len = len;
    }

    /// Write bytes at an offset. Zeros into an absent chunk leave it absent.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.len, "write past the end of the image");
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let within = (at % CHUNK) as usize;
            let n = rest.len().min(CHUNK as usize - within);
            let (now, later) = rest.split_at(n);
            let index = at / CHUNK;
            if self.chunks.contains_key(&index) || now.iter().any(|b| *b != 0) {
                let chunk = self.chunks.entry(index).or_insert_with(|| vec![0; CHUNK as usize].into());
                chunk[within..within + n].copy_from_slice(now);
            }
            at += n as u64;
            rest = later;
        }
    }

    /// Write zeros.
    pub fn zero(&mut self, offset: u64, len: u64) {
        let mut at = offset;
        let end = offset + len;
        while at < end {
            let n = (CHUNK - at % CHUNK).min(end - at);
            if n == CHUNK {
                self.chunks.remove(&(at / CHUNK));
            } else if let Some(chunk) = self.chunks.get_mut(&(at / CHUNK)) {
                let within = (at % CHUNK) as usize;
                chunk[within..within + n as usize].fill(0);
            }
            at += n;
        }
    }

    /// Fill `buf` from an offset; zeros past the end.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let within = (at % CHUNK) as usize;
            let n = rest.len().min(CHUNK as usize - within);
            let (now, later) = rest.split_at_mut(n);
            match self.chunks.get(&(at / CHUNK)) {
                Some(chunk) => now.copy_from_slice(&chunk[within..within + n]),
                None => now.fill(0),
            }
            at += n as u64;
            rest = later;
        }
    }

    /// Read `len` bytes into a vector.
    pub fn read_vec(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut buf = vec![0; len];
        self.read(offset, &mut buf);
        buf
    }

    /// Copy the whole of another image to an offset.
    pub fn copy_from(&mut self, offset: u64, other: &Image) {
        for (index, chunk) in &other.chunks {
            let start = index * CHUNK;
            let n = CHUNK.min(other.len - start) as usize;
            self.write(offset + start, &chunk[..n]);
        }
    }

    /// All bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.read_vec(0, self.len as usize)
    }

    /// Whether a range holds only zeros.
    pub fn is_zero(&self, offset: u64, len: u64) -> bool {
        let first = offset / CHUNK;
        let last = (offset + len).div_ceil(CHUNK);
        self.chunks.range(first..last).all(|(index, chunk)| {
            let start = (index * CHUNK).max(offset) - index * CHUNK;
            let end = ((index + 1) * CHUNK).min(offset + len) - index * CHUNK;
            chunk[start as usize..end as usize].iter().all(|b| *b == 0)
        })
    }

    /// Write to a file, with holes for absent chunks.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len)?;
        for (index, chunk) in &self.chunks {
            let start = index * CHUNK;
            let n = CHUNK.min(self.len - start) as usize;
            file.write_all_at(&chunk[..n], start)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_keeps_zeros_out() {
        let mut image = Image::new(3 * CHUNK + 5);
        image.write(CHUNK - 2, &[1, 2, 3, 4]);
        assert_eq!(image.read_vec(CHUNK - 3, 6), [0, 1, 2, 3, 4, 0]);
        image.write(2 * CHUNK, &[0; 100]);
        assert_eq!(image.chunks.len(), 2);
        assert!(image.is_zero(CHUNK + 2, 2 * CHUNK) && !image.is_zero(CHUNK + 1, 1));
        image.zero(0, 2 * CHUNK);
        assert!(image.is_zero(0, image.len()));
        let mut outer = Image::new(4 * CHUNK);
        image.write(3 * CHUNK, &[9; 5]);
        outer.copy_from(100, &image);
        assert_eq!(outer.read_vec(3 * CHUNK + 100, 5), [9; 5]);
    }
}
