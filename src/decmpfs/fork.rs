//! Contents compressed block by block in a resource fork.

use super::{Algorithm, BLOCK, Header, XATTR, codec::decode_block};
use crate::error::{Error, Result};
use crate::io::bytes::{be32, le32, to_u64, to_usize};
use crate::io::{ReadAt, Source, check_range, read_vec};
use std::sync::{Arc, Mutex, PoisonError};

/// A compressed block may be longer than its contents, but not by much.
const MAX_STORED: u64 = 2 * BLOCK;

/// How the fork lists its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    /// Type 4: a Macintosh resource; `base` is where its table begins and
    /// the block offsets count from. Entries are offset and size.
    Resource { base: u64 },
    /// Types 8, 12, 14: offsets from the start of the fork, one more than blocks.
    Offsets,
}

/// Decompressed view of a file whose blocks lie in its resource fork.
pub struct ForkReader {
    algorithm: Algorithm,
    size: u64,
    fork: Source,
    table: Table,
    last: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
}

impl ForkReader {
    /// Check the fork's block table against the header.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the table does not fit the size or the fork.
    pub fn new(header: Header, algorithm: Algorithm, fork: Source) -> Result<Self> {
        let blocks = header.size.div_ceil(BLOCK);
        let table = match header.kind {
            4 => resource_table(&*fork, blocks)?,
            8 | 12 | 14 => offset_table(&*fork, blocks)?,
            // Sources conflict on type 10: take the layout that fits.
            _ => resource_table(&*fork, blocks).or_else(|_| offset_table(&*fork, blocks))?,
        };
        Ok(Self { algorithm, size: header.size, fork, table, last: Mutex::new(None) })
    }

    /// Where block `n` lies in the fork: offset and length in bytes.
    fn block_range(&self, n: u64) -> Result<(u64, u64)> {
        let wrong = |text: String| Error::corrupt(format!("compressed block {n}"), text);
        let (start, len) = match self.table {
            Table::Resource { base } => {
                let entry = read_vec(&*self.fork, base + 4 + n * 8, 8)?;
                let (Some(offset), Some(len)) = (le32(&entry, 0), le32(&entry, 4)) else {
                    return Err(wrong("no table entry".into()));
                };
                (base + u64::from(offset), u64::from(len))
            }
            Table::Offsets => {
                let entry = read_vec(&*self.fork, n * 4, 8)?;
                let (Some(from), Some(to)) = (le32(&entry, 0), le32(&entry, 4)) else {
                    return Err(wrong("no table entry".into()));
                };
                match to.checked_sub(from) {
                    Some(len) => (u64::from(from), u64::from(len)),
                    None => return Err(wrong(format!("begins at {from} but ends at {to}"))),
                }
            }
        };
        if len > MAX_STORED {
            return Err(wrong(format!("{len} bytes, more than {MAX_STORED}")));
        }
        if start.checked_add(len).is_none_or(|end| end > self.fork.len()) {
            let have = self.fork.len();
            return Err(wrong(format!("ends at {} of a fork of {have} bytes", start + len)));
        }
        Ok((start, len))
    }

    fn block(&self, n: u64) -> Result<Arc<Vec<u8>>> {
        let cached = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((number, block)) = cached
            && number == n
        {
            return Ok(block);
        }
        let (start, len) = self.block_range(n)?;
        let stored = read_vec(&*self.fork, start, to_usize(len))?;
        let want = (self.size - n * BLOCK).min(BLOCK);
        let mut out = vec![0; to_usize(want)];
        decode_block(self.algorithm, &stored, &mut out)
            .map_err(|e| e.within(&format!("compressed block {n}")))?;
        let block = Arc::new(out);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((n, block.clone()));
        Ok(block)
    }
}

/// Type 4: resource header (big-endian), then count and entries (little-endian).
fn resource_table(fork: &dyn ReadAt, blocks: u64) -> Result<Table> {
    let head = read_vec(fork, 0, 16)?;
    let data = u64::from(be32(&head, 0).unwrap_or(0));
    let base = data + 4;
    let count = le32(&read_vec(fork, base, 4)?, 0).unwrap_or(0);
    if u64::from(count) != blocks {
        return Err(Error::corrupt(XATTR, format!("{count} blocks listed, expected {blocks}")));
    }
    check_range(fork.len(), base + 4, to_usize(blocks * 8), "block table")?;
    check_blocks(fork, base + 4, blocks)?;
    Ok(Table::Resource { base })
}

/// The blocks of a resource's table lie in the fork one behind the other: together they are
/// no longer than it. Otherwise a small fork could name one block a million times.
fn check_blocks(fork: &dyn ReadAt, table: u64, blocks: u64) -> Result<()> {
    const ENTRIES: u64 = 8192;
    let mut sum = 0u64;
    for first in (0..blocks).step_by(to_usize(ENTRIES)) {
        let n = ENTRIES.min(blocks - first);
        let entries = read_vec(fork, table + first * 8, to_usize(n * 8))?;
        let lengths = entries.chunks_exact(8).filter_map(|e| le32(e, 4));
        sum += lengths.map(u64::from).sum::<u64>();
    }
    if sum > fork.len() {
        let text = format!("blocks of {sum} bytes in a fork of {}", fork.len());
        return Err(Error::corrupt(XATTR, text));
    }
    Ok(())
}

/// Types 8 and 12: the first offset is the size of the table itself, which may
/// be padded beyond the entries that are needed.
fn offset_table(fork: &dyn ReadAt, blocks: u64) -> Result<Table> {
    let need = (blocks + 1) * 4;
    check_range(fork.len(), 0, to_usize(need), "block table")?;
    let first = u64::from(le32(&read_vec(fork, 0, 4)?, 0).unwrap_or(0));
    if first < need {
        let text = format!("table of {first} bytes, expected {need} or more");
        return Err(Error::corrupt(XATTR, text));
    }
    Ok(Table::Offsets)
}

impl ReadAt for ForkReader {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), "compressed file")?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + to_u64(done);
            let block = self.block(at / BLOCK)?;
            let from = block.get(to_usize(at % BLOCK)..).unwrap_or_default();
            let Some(to) = buf.get_mut(done..) else { break };
            let n = from.len().min(to.len());
            if n == 0 {
                return Err(Error::corrupt(XATTR, format!("block {} is too short", at / BLOCK)));
            }
            for (t, f) in to.iter_mut().zip(from) {
                *t = *f;
            }
            done += n;
        }
        Ok(())
    }
}
