//! Sparse or lost: bands that are missing, short or have a hole where the volume
//! keeps the data of files.
//!
//! That the volume's own records are there is seen by who reads them (`hfsplus/check`).
//! A file's data may rightly be zeros that were never written, so what is found here
//! is judged once it is known whose data it is ([`Facts`](super::Facts)).

use super::evidence::WINDOW;
use crate::bundle::Bands;
use crate::error::{Error, Result};
use crate::io::{Presence, Ranges, ReadAt};
use crate::report::{Progress, Unit};
use crate::timemachine::OpenVolume;
use std::ops::Range;

/// Holes that are kept apart; a server that keeps all zeros as holes has many. Beyond, those
/// of a band are taken together.
const MAX_HOLES: usize = 1 << 18;

/// Losses that are kept apart: a large disk may have very small bands.
const MAX_LOSSES: usize = 1 << 16;

/// Bytes in use that are not stored: of a band that is missing or short, or one hole in a
/// band.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The band; of a source that has none, which window of it.
    pub band: u64,
    /// How they are absent.
    pub how: Presence,
    /// Bytes of the volume.
    pub ranges: Vec<Range<u64>>,
}

/// Find what is allocated on a volume but absent in the bands. `trust_bitmap`: whether the bitmap says what is in use.
pub fn find(
    volume: &OpenVolume,
    bands: &Bands,
    trust_bitmap: bool,
    progress: &dyn Progress,
) -> Result<Vec<Loss>> {
    find_in(volume, (bands.band_size(), false), trust_bitmap, progress)
}

/// The same of a disk image in one file: each run that nothing stores is a loss of its own, as
/// who hands out its bytes judges it. What cannot be read is left to [`find_unreadable`].
pub fn find_in_image(
    volume: &OpenVolume,
    trust_bitmap: bool,
    progress: &dyn Progress,
) -> Result<Vec<Loss>> {
    let mut found = find_in(volume, (WINDOW, true), trust_bitmap, progress)?;
    found.retain(|l| l.how != Presence::Unreadable);
    Ok(found)
}

/// Find what is absent, in pieces that lie in one band each; in `runs`, if not only holes are
/// to be kept apart.
fn find_in(
    volume: &OpenVolume,
    (band_size, runs): (u64, bool),
    trust_bitmap: bool,
    progress: &dyn Progress,
) -> Result<Vec<Loss>> {
    let source = &volume.found.source;
    let used = used(volume, trust_bitmap)?;
    let start = volume.found.range().start;
    let mut found: Vec<Loss> = Vec::new();
    let mut holes = 0;
    progress.phase("looking for lost bands", source.len(), Unit::Bytes);
    let mut told = 0;
    for piece in pieces(&used, start, band_size) {
        progress.check()?;
        progress.advance(piece.end.saturating_sub(told));
        told = piece.end;
        let visit = &mut |range: Range<u64>, how: Presence| {
            if !how.is_absent() {
                return;
            }
            let mut at = range.start;
            while at < range.end {
                let band = (start + at) / band_size;
                let border = (band + 1).saturating_mul(band_size).saturating_sub(start);
                // Very many bands in a row are told as one.
                let many = found.len() >= MAX_LOSSES;
                let end = if many { range.end } else { border.min(range.end) };
                let single = runs || how == Presence::Hole;
                holes += usize::from(single);
                let apart = single && holes <= MAX_HOLES;
                let same = |l: &&mut Loss| !apart && l.how == how && (many || l.band == band);
                match found.last_mut().filter(same) {
                    Some(last) => last.ranges.extend(used.meet(at..end)),
                    None => found.push(Loss { band, how, ranges: used.meet(at..end).collect() }),
                }
                at = end;
            }
        };
        // A band that cannot be opened has its own finding.
        let _ = source.presence(piece, visit);
    }
    found.retain(|l| !l.ranges.is_empty());
    Ok(found)
}

/// Find what is allocated on a volume and cannot be read ([`Presence::Unreadable`]): at most
/// one loss with all of it.
pub fn find_unreadable(
    volume: &OpenVolume,
    trust_bitmap: bool,
    progress: &dyn Progress,
) -> Result<Vec<Loss>> {
    let source = &volume.found.source;
    progress.phase("looking for unreadable data", source.len(), Unit::Bytes);
    let used = used(volume, trust_bitmap)?;
    let (how, mut ranges) = (Presence::Unreadable, Vec::new());
    source.presence(0..source.len(), &mut |range, is| {
        if is == how {
            ranges.extend(used.meet(range));
        }
    })?;
    let loss = Loss { band: 0, how, ranges };
    Ok(std::iter::once(loss).filter(|l| !l.ranges.is_empty()).collect())
}

/// What is in use on a volume: all of it, if that cannot be told.
fn used(volume: &OpenVolume, trust_bitmap: bool) -> Result<Ranges> {
    let all = Ranges::one(0..volume.found.source.len());
    match trust_bitmap.then(|| volume.volume.allocated(&all)) {
        Some(Ok(used)) => Ok(used),
        Some(Err(Error::Interrupted)) => Err(Error::Interrupted),
        // What says what is in use cannot be read: whose the bytes are decides alone.
        Some(Err(_)) | None => Ok(all),
    }
}

/// What is in use, joined where it lies in one band.
fn pieces(used: &Ranges, start: u64, band_size: u64) -> impl Iterator<Item = Range<u64>> + '_ {
    let mut ranges = used.iter().cloned().peekable();
    let band = move |at: u64| (start + at) / band_size;
    std::iter::from_fn(move || {
        let mut now = ranges.next()?;
        while let Some(next) = ranges.next_if(|next| band(next.start) == band(now.end - 1)) {
            now.end = next.end;
        }
        Some(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_reach_over_gaps_within_a_band_only() {
        let used = Ranges::new(vec![0..10, 12..35, 50..52, 55..60, 95..130]);
        let cut: Vec<_> = pieces(&used, 5, 20).collect();
        assert_eq!(cut, [0..35, 50..52, 55..60, 95..130]);
    }
}
