//! Does a file's data go right up to what is absent?
//!
//! A Mac leaves out bands of zeros. Zeros that a file rightly has there begin somewhere before
//! the band and end somewhere behind it, hardly ever just at its borders: where the file
//! has data up to both of them, a band was lost. In a sparse copy the zeros beside the band are
//! a hole.

use super::evidence::Evidence;
use super::kept::StoredZeros;
use super::rule::{Facts, OpenView};
use crate::error::Result;
use crate::fs::{Extent, FileSystem, NodeId, Stream, Zeros};
use crate::io::bytes::{all_zero, to_usize};
use crate::io::{Presence, ReadAt};
use std::ops::Range;

/// Bytes that are looked at on either side: no zeros may lie right beside what is absent.
const BLOCK: u64 = 512;
/// First and largest window in which the next stored byte is looked for.
const WINDOW: u64 = 64 << 10;
const MAX_WINDOW: u64 = 1 << 40;
/// Extents of a file that are gone through for one answer.
const MAX_EXTENTS: usize = 4096;

/// Looks around what is absent in files; remembers the last answer, which holds for all bands
/// in a row.
#[derive(Debug, Default)]
pub struct Around {
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    of: (NodeId, Stream),
    /// Whether holes were taken for zeros.
    holes: bool,
    range: Range<u64>,
    surrounded: bool,
}

/// Whether the hole around a byte of the volume may be zeros that this copy leaves out.
type Plausible<'a> = &'a dyn Fn(u64) -> bool;

/// What lies next to absent bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Data,
    Zeros,
    /// A hole, by a byte of it.
    Hole(u64),
    /// The file begins or ends there.
    End,
}

impl Around {
    /// Let the data around a run, and zeros stored elsewhere, decide whether one file's absent
    /// bytes are plausible. `at`: the volume, its bytes, and its first byte on the disk.
    pub fn look(
        &mut self,
        facts: &mut Facts,
        view: OpenView<'_>,
        evidence: &Evidence,
        at: (&dyn ReadAt, u64),
        run: (&[Range<u64>], Presence),
    ) {
        let Some((view_id, node, stream)) = facts.part_of() else { return };
        let Some(fs) = view(view_id) else { return };
        let ((volume, start), (absent, how)) = (at, run);
        let zeros = how != Presence::Hole && !facts.encrypted && facts.zeros == Zeros::Unwritten;
        let hole = |at: u64| {
            zeros && evidence.stored_zeros(start.saturating_add(at)) != StoredZeros::Alike
        };
        // What cannot be read decides nothing.
        let surrounded = self.asked((&*fs, volume), (node, stream), absent, (zeros, &hole));
        facts.surrounded = surrounded.unwrap_or_default();
        if let (Presence::Hole, Some(first)) = (how, absent.first()) {
            facts.stored_zeros = evidence.stored_zeros(start.saturating_add(first.start));
        }
    }

    fn asked(
        &mut self,
        (fs, volume): (&dyn FileSystem, &dyn ReadAt),
        of: (NodeId, Stream),
        absent: &[Range<u64>],
        (holes, plausible): (bool, Plausible<'_>),
    ) -> Result<bool> {
        let extents = fs.extents(of.0, &of.1)?;
        let file = File { extents: &extents, volume, len: fs.open(of.0, &of.1)?.len() };
        let Some(first) = file.first_of(absent) else { return Ok(false) };
        let known = |l: &&Last| l.of == of && l.holes == holes && l.range.contains(&first);
        if let Some(last) = self.last.as_ref().filter(known) {
            return Ok(last.surrounded);
        }
        let (start, before) = decided(plausible, |holes| file.before(first, holes))?;
        let (end, behind) = decided(plausible, |holes| file.behind(first, holes))?;
        let whole = before == Beside::End && behind == Beside::End;
        let surrounded = !whole && before != Beside::Zeros && behind != Beside::Zeros;
        self.last = Some(Last { of, holes, range: start..end, surrounded });
        Ok(surrounded)
    }
}

/// What lies on one side: first with holes told, and past them if they are no zeros.
fn decided(
    plausible: Plausible<'_>,
    look: impl Fn(bool) -> Result<(u64, Beside)>,
) -> Result<(u64, Beside)> {
    match look(true)? {
        (edge, Beside::Hole(at)) if plausible(at) => Ok((edge, Beside::Zeros)),
        (_, Beside::Hole(_)) => look(false),
        found => Ok(found),
    }
}

/// A stream as it lies on the volume.
struct File<'a> {
    extents: &'a [Extent],
    volume: &'a dyn ReadAt,
    len: u64,
}

impl File<'_> {
    /// The first byte of the stream that lies in some ranges of the volume.
    fn first_of(&self, absent: &[Range<u64>]) -> Option<u64> {
        let within = |e: &Extent| {
            let at = e.at?;
            let end = at.saturating_add(e.length);
            let starts = absent.iter().filter(|r| r.start < end && at < r.end);
            starts.map(|r| e.offset + (r.start.max(at) - at)).min()
        };
        self.extents.iter().filter_map(within).min().filter(|at| *at < self.len)
    }

    /// Where the absent bytes around `at` begin, and what lies before them. `holes`: whether they
    /// end at a hole.
    fn before(&self, at: u64, holes: bool) -> Result<(u64, Beside)> {
        let mut end = at;
        let extents = self.extents.iter().rev().skip_while(|e| e.offset > at);
        for e in extents.take(MAX_EXTENTS) {
            let Some(first) = e.at else { return Ok((end, Beside::Zeros)) };
            if e.offset.saturating_add(e.length) < end {
                return Ok((end, Beside::Zeros));
            }
            let mut window = WINDOW;
            while end > e.offset {
                let start = end.saturating_sub(window).max(e.offset);
                let place = |n: u64| first.saturating_add(n - e.offset);
                let mut stored = None;
                self.volume.presence(place(start)..place(end), &mut |part, how| {
                    if !how.is_absent() || holes && how == Presence::Hole {
                        stored = Some((part, how));
                    }
                })?;
                if let Some((part, how)) = stored {
                    let from = part.start.max(part.end.saturating_sub(BLOCK));
                    let edge = e.offset + (part.end - first);
                    if how == Presence::Hole {
                        return Ok((edge, Beside::Hole(from)));
                    }
                    return Ok((edge, self.is_data(from..part.end)?));
                }
                (end, window) = (start, (window * 2).min(MAX_WINDOW));
            }
        }
        Ok((end, if end == 0 { Beside::End } else { Beside::Zeros }))
    }

    /// Where the absent bytes around `at` end, and what lies behind them. `holes`: whether they
    /// end at a hole.
    fn behind(&self, at: u64, holes: bool) -> Result<(u64, Beside)> {
        let mut start = at;
        let extents = self.extents.iter().skip_while(|e| e.offset.saturating_add(e.length) <= at);
        for e in extents.take(MAX_EXTENTS) {
            let limit = e.offset.saturating_add(e.length).min(self.len);
            let Some(first) = e.at else { return Ok((start, Beside::Zeros)) };
            if e.offset > start {
                return Ok((start, Beside::Zeros));
            }
            let mut window = WINDOW;
            while start < limit {
                let end = start.saturating_add(window).min(limit);
                let place = |n: u64| first.saturating_add(n - e.offset);
                let mut stored: Option<(Range<u64>, Presence)> = None;
                self.volume.presence(place(start)..place(end), &mut |part, how| {
                    if !how.is_absent() || holes && how == Presence::Hole {
                        stored.get_or_insert((part, how));
                    }
                })?;
                if let Some((part, how)) = stored {
                    let to = part.end.min(part.start.saturating_add(BLOCK));
                    let edge = e.offset + (part.start - first);
                    if how == Presence::Hole {
                        return Ok((edge, Beside::Hole(part.start)));
                    }
                    return Ok((edge, self.is_data(part.start..to)?));
                }
                (start, window) = (end, (window * 2).min(MAX_WINDOW));
            }
        }
        Ok((start, if start >= self.len { Beside::End } else { Beside::Zeros }))
    }

    fn is_data(&self, range: Range<u64>) -> Result<Beside> {
        let len = to_usize((range.end - range.start).min(BLOCK));
        let bytes = crate::io::read_vec(self.volume, range.start, len)?;
        Ok(if all_zero(&bytes) { Beside::Zeros } else { Beside::Data })
    }
}
