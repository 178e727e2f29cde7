//! A sparse disk image in memory: zero ranges take no room.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const CHUNK: u64 = 64 * 1024;

/// A byte-addressed device whose absent 64 KiB chunks read as zeros.
#[derive(Clone, Default)]
pub struct Image {
    len: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

impl Image {
    /// An image of `len` zero bytes.
    pub fn new(len: u64) -> Self {
        Image { len, chunks: BTreeMap::new() }
    }

    /// An image holding `data`.
    pub fn from_bytes(data: &[u8]) -> Self {
        let mut image = Image::new(data.len() as u64);
        image.write_at(0, data);
        image
    }

    /// Reads a whole file as an image.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut image = Image::new(file.metadata()?.len());
        let mut buf = vec![0; CHUNK as usize];
        let mut at = 0;
        while at < image.len {
            let n = (image.len - at).min(CHUNK) as usize;
            file.read_exact(&mut buf[..n])?;
            image.write_at(at, &buf[..n]);
            at += n as u64;
        }
        Ok(image)
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the image has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Changes the length; new bytes are zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.fill(len, self.len - len, 0);
            self.chunks.retain(|&n, _| n * CHUNK < len);
        }
        self.len = len;
    }

    /// Fills `buf` from byte `at`. Panics past the end.
    pub fn read_at(&self, at: u64, buf: &mut [u8]) {
        assert!(at + buf.len() as u64 <= self.len, "read past the end of the image");
        let mut done = 0;
        while done < buf.len() {
            let pos = at + done as u64;
            let (n, inner) = (pos / CHUNK, (pos % CHUNK) as usize);
            let take = (CHUNK as usize - inner).min(buf.len() - done);
            let out = &mut buf[done..done + take];
            match self.chunks.get(&n) {
                Some(chunk) => out.copy_from_slice(&chunk[inner..inner + take]),
                None => out.fill(0),
            }
            done += take;
        }
    }

    /// The `len` bytes from byte `at`.
    pub fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut buf = vec![0; len];
        self.read_at(at, &mut buf);
        buf
    }

    /// Writes `data` at byte `at`. Panics past the end.
    pub fn write_at(&mut self, at: u64, data: &[u8]) {
        assert!(at + data.len() as u64 <= self.len, "write past the end of the image");
        let mut done = 0;
        while done < data.len() {
            let pos = at + done as u64;
            let (n, inner) = (pos / CHUNK, (pos % CHUNK) as usize);
            let take = (CHUNK as usize - inner).min(data.len() - done);
            let part = &data[done..done + take];
            if let Some(chunk) = self.chunks.get_mut(&n) {
                chunk[inner..inner + take].copy_from_slice(part);
            } else if part.iter().any(|&b| b != 0) {
                let mut chunk = vec![0; CHUNK as usize].into_boxed_slice();
                chunk[inner..inner + take].copy_from_slice(part);
                self.chunks.insert(n, chunk);
            }
            done += take;
        }
    }

    /// Writes `len` copies of `byte` from byte `at`.
    pub fn fill(&mut self, at: u64, len: u64, byte: u8) {
        let block = vec![byte; CHUNK as usize];
        let end = at + len;
        let mut pos = at;
        while pos < end {
            let take = (CHUNK - pos % CHUNK).min(end - pos);
            if byte == 0 && take == CHUNK {
                self.chunks.remove(&(pos / CHUNK));
            } else {
                self.write_at(pos, &block[..take as usize]);
            }
            pos += take;
        }
    }

    /// Applies `f` to the `len` bytes at `at` in place.
    pub fn edit(&mut self, at: u64, len: usize, f: impl FnOnce(&mut [u8])) {
        let mut buf = self.read(at, len);
        f(&mut buf);
        self.write_at(at, &buf);
    }

    /// Copies the whole of `other` to byte `at`.
    pub fn paste(&mut self, at: u64, other: &Image) {
        for (&n, chunk) in &other.chunks {
            let start = n * CHUNK;
            let take = CHUNK.min(other.len - start) as usize;
            self.write_at(at + start, &chunk[..take]);
        }
    }

    /// The bytes `at..at + len` as an image of their own.
    pub fn slice(&self, at: u64, len: u64) -> Image {
        let mut out = Image::new(len);
        for (start, stored) in self.stored_ranges() {
            let from = start.max(at);
            let to = (start + stored).min(at + len);
            if from < to {
                out.write_at(from - at, &self.read(from, (to - from) as usize));
            }
        }
        out
    }

    /// Ranges (start, length) that may hold non-zero bytes, in order, none longer than 64 KiB.
    pub fn stored_ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.chunks.keys().map(|&n| (n * CHUNK, CHUNK.min(self.len - n * CHUNK)))
    }

    /// Whether the bytes `at..at + len` are all zero.
    pub fn is_zero(&self, at: u64, len: u64) -> bool {
        let end = at + len;
        self.chunks.range(at / CHUNK..end.div_ceil(CHUNK)).all(|(&n, chunk)| {
            let base = n * CHUNK;
            let from = at.max(base) - base;
            let to = end.min(base + CHUNK) - base;
            chunk[from as usize..to as usize].iter().all(|&b| b == 0)
        })
    }

    /// The whole image as one buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        self.read(0, self.len as usize)
    }

    /// Writes the image to a file, leaving holes where nothing is stored.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len)?;
        for (start, len) in self.stored_ranges() {
            let chunk = &self.chunks[&(start / CHUNK)][..len as usize];
            if chunk.iter().any(|&b| b != 0) {
                file.write_all_at(chunk, start)?;
            }
        }
        Ok(())
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Image, b: &Image| {
            a.chunks.iter().all(|(n, chunk)| match b.chunks.get(n) {
                Some(twin) => chunk == twin,
                None => chunk.iter().all(|&b| b == 0),
            })
        };
        self.len == other.len && same(self, other) && same(other, self)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} bytes, {} chunks stored)", self.len, self.chunks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_over_chunk_edges() {
        let mut image = Image::new(300_000);
        image.write_at(65_530, b"across the edge");
        assert_eq!(image.read(65_530, 15), b"across the edge");
        assert!(image.is_zero(0, 65_530) && image.is_zero(65_545, 300_000 - 65_545));
        assert!(!image.is_zero(65_544, 1));
        let copy = Image::from_bytes(&image.to_vec());
        assert_eq!(copy, image);
        assert_eq!(image.slice(65_532, 3).to_vec(), b"ros");
    }

    #[test]
    fn shrink_forgets() {
        let mut image = Image::new(200_000);
        image.fill(0, 200_000, 7);
        image.set_len(70_000);
        image.set_len(200_000);
        assert!(image.is_zero(70_000, 130_000));
        assert_eq!(image.read(69_999, 1), [7]);
    }

    #[test]
    fn paste_and_compare() {
        let mut big = Image::new(1 << 20);
        big.paste(100_001, &Image::from_bytes(&[5; 70_000]));
        assert_eq!(big.read(169_999, 2), [5, 5]);
        assert!(big.is_zero(170_001, (1 << 20) - 170_001));
    }
}
