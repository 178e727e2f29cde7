//! Bytes of bands that were read just now by somebody who reads whole bands, for others
//! who read in the same order: what both need is read once.

use crate::io::bytes::{to_u64, to_usize};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces of bands, the newest as many as fit.
#[derive(Default)]
pub struct Kept {
    /// Nobody else needs the lock.
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that are kept at most.
    most: usize,
    bytes: usize,
    /// By band and offset in it.
    pieces: HashMap<(u64, u64), Arc<[u8]>>,
    order: VecDeque<(u64, u64)>,
    /// Size of each piece but the last of a band.
    size: u64,
    /// Lengths of the bands that were read to their end.
    lengths: HashMap<u64, u64>,
}

impl Kept {
    /// Keep so many bytes from now on, in pieces of one size; 0 for none any more.
    pub fn begin(&self, most: usize, size: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { most, size: to_u64(size).max(1), ..State::default() };
        self.used.store(most > 0, Ordering::Release);
    }

    /// Keep the piece of a band that lies at `offset`.
    pub fn put(&self, band: u64, offset: u64, bytes: &[u8]) {
        if !self.used.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.bytes + bytes.len() > state.most
            && let Some(oldest) = state.order.pop_front()
        {
            let gone = state.pieces.remove(&oldest).map_or(0, |p| p.len());
            state.bytes = state.bytes.saturating_sub(gone);
        }
        let before = state.pieces.insert((band, offset), bytes.into());
        if before.is_none() {
            state.order.push_back((band, offset));
        }
        state.bytes = state.bytes.saturating_sub(before.map_or(0, |b| b.len())) + bytes.len();
    }

    /// That a band has so many bytes.
    pub fn end(&self, band: u64, length: u64) {
        if self.used.load(Ordering::Acquire) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.lengths.insert(band, length);
        }
    }

    /// Fill `buf` with what a band has from `offset` on, zeros behind its end; how many
    /// bytes it has there. `None`, and nothing else is known of `buf`, unless all of them
    /// are kept.
    pub fn read(&self, band: u64, buf: &mut [u8], offset: u64) -> Option<usize> {
        if !self.used.load(Ordering::Acquire) {
            return None;
        }
        let pieces = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let end = offset.checked_add(to_u64(buf.len()))?;
            let end = state.lengths.get(&band).map_or(end, |length| end.min(*length));
            let mut at = offset;
            let mut pieces = Vec::new();
            while at < end {
                let start = at - at % state.size;
                let piece = state.pieces.get(&(band, start))?.clone();
                let from = to_usize(at - start);
                let to = piece.len().min(to_usize(end - start));
                if to <= from {
                    return None;
                }
                at = start + to_u64(to);
                pieces.push((piece, from..to));
            }
            pieces
        };
        let mut filled = 0;
        for (piece, range) in pieces {
            let from = piece.get(range)?;
            buf.get_mut(filled..filled + from.len())?.copy_from_slice(from);
            filled += from.len();
        }
        buf.get_mut(filled..)?.fill(0);
        Some(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_what_is_not_is_not() {
        let kept = Kept::default();
        let mut buf = [9; 6];
        kept.put(1, 0, b"abcd");
        assert_eq!(kept.read(1, &mut buf, 0), None, "nobody asked to keep anything");
        kept.begin(12, 4);
        kept.put(1, 0, b"abcd");
        kept.put(1, 4, b"ef");
        assert_eq!(kept.read(1, &mut buf[..3], 2), Some(3));
        assert_eq!(&buf[..3], b"cde");
        assert_eq!(kept.read(1, &mut buf, 2), None, "the band may go on");
        kept.end(1, 6);
        assert_eq!((kept.read(1, &mut buf, 2), &buf), (Some(4), b"cdef\0\0"));
        assert_eq!((kept.read(1, &mut buf, 9), &buf), (Some(0), &[0; 6]));
        assert_eq!(kept.read(2, &mut buf, 0), None);
        // The oldest makes room.
        kept.put(2, 0, b"ABCD");
        kept.put(2, 4, b"EFGH");
        assert_eq!(kept.read(1, &mut buf[..2], 0), None);
        assert_eq!(kept.read(2, &mut buf, 1), Some(6));
        assert_eq!(&buf, b"BCDEFG");
        kept.begin(0, 4);
        assert_eq!(kept.read(2, &mut buf, 1), None);
    }
}
