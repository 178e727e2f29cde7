//! Does this copy of a bundle store zeros?
//!
//! What makes a copy sparse (`cp --sparse=always`, `fallocate -d`, ZFS) leaves out every aligned
//! block of zeros of one size. Where such a block is stored, no hole of that size stands for
//! zeros that were written.

use crate::bundle::Bands;
use crate::error::Result;
use crate::io::ReadAt;
use crate::io::bytes::{all_zero, to_u64, to_usize};
use std::ops::Range;

/// Smallest and largest blocks of zeros that are left out: a page, and the largest records
/// that are usual on ZFS.
const SMALLEST: u64 = 4096;
const LARGEST: u64 = 1 << 20;
/// Stored bytes that are looked at: from the first band on, where a volume has its
/// bitmap, journal and trees, and spread over all others.
const FIRST: u64 = 32 << 20;
const SPREAD: usize = 32;
/// First window in which a hole's end is looked for.
const WINDOW: u64 = 64 << 10;

/// What stored zeros say of a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoredZeros {
    /// No zeros are stored, as far as was looked.
    #[default]
    None,
    /// In smaller blocks than the hole consists of.
    Smaller,
    /// In blocks that would have been holes, too.
    Alike,
}

/// The largest aligned block of zeros that is found stored, in bytes; 0 if there is none.
pub(super) fn largest_block(bands: &Bands) -> Result<u64> {
    let present = bands.list()?.present;
    let mut buf = vec![0; to_usize(LARGEST)];
    let (mut largest, mut rest, mut done) = (0, FIRST, 0);
    for index in &present {
        if rest == 0 || largest >= LARGEST {
            break;
        }
        largest = largest.max(in_band(bands, *index, &mut rest, &mut buf)?);
        done += 1;
    }
    let others = present.get(done..).unwrap_or_default();
    for index in others.iter().step_by((others.len() / SPREAD).max(1)) {
        if largest >= LARGEST {
            break;
        }
        largest = largest.max(in_band(bands, *index, &mut { LARGEST }, &mut buf)?);
    }
    Ok(largest)
}

/// The same in the stored bytes of one band, of which at most `most` are read.
fn in_band(bands: &Bands, index: u64, most: &mut u64, buf: &mut [u8]) -> Result<u64> {
    let range = bands.range(index);
    let mut stored: Vec<Range<u64>> = Vec::new();
    bands.presence(range.clone(), &mut |part, how| {
        if !how.is_absent() {
            stored.push(part.start - range.start..part.end - range.start);
        }
    })?;
    let mut largest = 0;
    for part in stored {
        let mut at = part.start.next_multiple_of(SMALLEST);
        while at < part.end && *most > 0 {
            // A window has no border in the midst of an aligned block.
            let end = (at / LARGEST + 1).saturating_mul(LARGEST).min(part.end);
            let bytes = buf.get_mut(..to_usize(end - at)).unwrap_or_default();
            bands.read_at(bytes, range.start + at)?;
            *most = most.saturating_sub(end - at);
            largest = largest.max(largest_of(bytes, at));
            at = end;
        }
    }
    Ok(largest)
}

/// The largest aligned block of zeros in bytes that begin `at` a multiple of the smallest.
fn largest_of(bytes: &[u8], at: u64) -> u64 {
    let blocks = bytes.chunks_exact(to_usize(SMALLEST));
    let (mut largest, mut run, mut now) = (0, at, at);
    for block in blocks {
        now += to_u64(block.len());
        if !all_zero(block) {
            run = now;
        }
        largest = largest.max(largest_within(run..now));
    }
    largest
}

/// The largest power of two that has an aligned block in a range.
fn largest_within(range: Range<u64>) -> u64 {
    let mut size = LARGEST;
    while size >= SMALLEST {
        if range.start.next_multiple_of(size).saturating_add(size) <= range.end {
            return size;
        }
        size /= 2;
    }
    0
}

/// The largest blocks that the hole around `at`, a byte of the disk, can consist of.
pub(super) fn grain(bands: &Bands, at: u64) -> Result<u64> {
    let band = bands.range(at / bands.band_size());
    let (start, end) = (begin(bands, band.start..at)?, end(bands, at..band.end)?);
    // A band's end is none of the hole's.
    let of = |at: u64| if at == 0 || at == band.end - band.start { 0 } else { at };
    let both = of(start - band.start) | of(end - band.start);
    Ok(1 << both.trailing_zeros().min(LARGEST.trailing_zeros()))
}

/// Where the absent bytes right before the end of `range` begin.
fn begin(bands: &Bands, range: Range<u64>) -> Result<u64> {
    let (mut end, mut window) = (range.end, WINDOW);
    while end > range.start {
        let start = end.saturating_sub(window).max(range.start);
        let mut stored = None;
        bands.presence(start..end, &mut |part, how| {
            if !how.is_absent() {
                stored = Some(part.end);
            }
        })?;
        if let Some(at) = stored {
            return Ok(at);
        }
        (end, window) = (start, window.saturating_mul(2));
    }
    Ok(range.start)
}

/// Where the absent bytes right at the start of `range` end.
fn end(bands: &Bands, range: Range<u64>) -> Result<u64> {
    let (mut start, mut window) = (range.start, WINDOW);
    while start < range.end {
        let end = start.saturating_add(window).min(range.end);
        let mut stored = None;
        bands.presence(start..end, &mut |part, how| {
            if !how.is_absent() {
                stored.get_or_insert(part.start);
            }
        })?;
        if let Some(at) = stored {
            return Ok(at);
        }
        (start, window) = (end, window.saturating_mul(2));
    }
    Ok(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_aligned_blocks_count() {
        assert_eq!(largest_within(0..4096), 4096);
        assert_eq!(largest_within(4096..12_288), 4096);
        assert_eq!(largest_within(8192..16_384), 8192);
        assert_eq!(largest_within(100..8191), 0);
        assert_eq!(largest_within(0..3 << 20), 1 << 20);
        let mut bytes = vec![0; 64 << 10];
        assert_eq!(largest_of(&bytes, 0), 64 << 10);
        assert_eq!(largest_of(&bytes, 4096), 32 << 10);
        bytes[40_000] = 1;
        assert_eq!(largest_of(&bytes, 0), 32 << 10);
        bytes.iter_mut().step_by(4096).for_each(|b| *b = 1);
        assert_eq!(largest_of(&bytes, 0), 0);
    }
}
