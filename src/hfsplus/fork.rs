//! A fork: its extents, and reading through them.

use super::format::{Extent, ExtentRecord, ForkData};
use crate::error::{Error, Locus, Result};
use crate::io::{PresenceVisitor, ReadAt, Source, check_range, read_pieces};
use std::ops::Range;
use std::sync::Arc;

/// A run of blocks of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Number of the run's first block in the fork.
    pub file_block: u64,
    /// First allocation block.
    pub start: u32,
    /// Number of blocks.
    pub count: u32,
}

/// The extents of a fork in order, ready for lookup.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    runs: Vec<Run>,
    blocks: u64,
    /// Why there are no more of them, if they may end early.
    end: Option<Arc<str>>,
}

impl Runs {
    /// Append the extents of one record, up to its first empty one. Adjacent
    /// extents are joined. Returns whether the record was full.
    pub fn push_record(&mut self, record: &ExtentRecord) -> bool {
        for extent in record {
            if extent.count == 0 {
                return false;
            }
            self.push(*extent);
        }
        true
    }

    fn push(&mut self, e: Extent) {
        let file_block = self.blocks;
        self.blocks += u64::from(e.count);
        if let Some(last) = self.runs.last_mut()
            && last.start.checked_add(last.count) == Some(e.start)
            && let Some(count) = last.count.checked_add(e.count)
        {
            last.count = count;
            return;
        }
        self.runs.push(Run { file_block, start: e.start, count: e.count });
    }

    /// Remember why further extents are not known.
    pub fn end_because(&mut self, why: &str) {
        self.end = Some(why.into());
    }

    /// Blocks in all extents.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The runs.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter()
    }

    /// The run that holds a block of the fork.
    fn find(&self, file_block: u64) -> Option<Run> {
        let after = self.runs.partition_point(|r| r.file_block <= file_block);
        let run = *self.runs.get(after.checked_sub(1)?)?;
        (file_block - run.file_block < u64::from(run.count)).then_some(run)
    }
}

/// Bytes of a fork, read from the volume through its extents.
#[derive(Clone)]
pub struct ForkReader {
    volume: Source,
    block_size: u64,
    size: u64,
    runs: Arc<Runs>,
    what: Arc<str>,
}

impl ForkReader {
    /// A fork of `size` bytes in these runs; `what` names it in errors.
    pub fn new(volume: Source, block_size: u32, size: u64, runs: Runs, what: &str) -> Self {
        let block_size = u64::from(block_size);
        Self { volume, block_size, size, runs: Arc::new(runs), what: what.into() }
    }

    /// A fork that has all its extents in its catalog or volume header record.
    pub fn from_fork(volume: Source, block_size: u32, fork: &ForkData, what: &str) -> Self {
        let mut runs = Runs::default();
        runs.push_record(&fork.extents);
        Self::new(volume, block_size, fork.logical_size, runs, what)
    }

    /// Its extents.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Volume offset of a byte of the fork, and how many bytes follow it there.
    fn map(&self, offset: u64) -> Result<(u64, u64)> {
        let Some(run) = self.runs.find(offset / self.block_size) else {
            let mut text = format!(
                "its extents hold {} blocks of {} bytes, but byte {offset} of {} is wanted",
                self.runs.blocks(),
                self.block_size,
                self.size
            );
            if let Some(why) = &self.runs.end {
                text = format!("{text}; further extents are not known: {why}");
            }
            return Err(Error::corrupt(&*self.what, text));
        };
        let within = offset - run.file_block * self.block_size;
        let left = u64::from(run.count) * self.block_size - within;
        Ok((u64::from(run.start) * self.block_size + within, left))
    }

    /// Map a range of the fork to ranges of the volume.
    pub fn map_range(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let mut out = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let (offset, left) = self.map(at)?;
            let n = left.min(range.end - at);
            out.push(offset..offset + n);
            at += n;
        }
        Ok(out)
    }
}

impl ReadAt for ForkReader {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), &self.what)?;
        read_pieces(buf, offset, |at| self.map(at), |from, _, now| self.volume.read_at(now, from))
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let (volume_offset, left) = self.map(at)?;
            let n = left.min(range.end - at);
            let base = at;
            self.volume.presence(volume_offset..volume_offset + n, &mut |r, p| {
                visit(base + r.start - volume_offset..base + r.end - volume_offset, p)
            })?;
            at += n;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.volume.locate(self.map(offset).ok()?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Memory, read_vec};

    #[test]
    fn reads_across_runs_and_fails_past_them() {
        let disk: Vec<u8> = (0..=255).collect();
        let fork = ForkData {
            logical_size: 24,
            total_blocks: 3,
            extents: {
                let mut e = ExtentRecord::default();
                e[0] = Extent { start: 4, count: 1 };
                e[1] = Extent { start: 2, count: 1 };
                e
            },
            ..ForkData::default()
        };
        let r = ForkReader::from_fork(Arc::new(Memory::new(disk)), 8, &fork, "test");
        assert_eq!(read_vec(&r, 6, 4).unwrap(), [38, 39, 16, 17]);
        assert!(read_vec(&r, 14, 4).is_err(), "the third block has no extent");
        assert_eq!(r.locate(8).unwrap().offset, 16);
    }
}
