//! Sparse or lost: bands that are missing, short or have a hole where the volume
//! keeps the data of files.
//!
//! That the volume's own records are there is seen by who reads them (`hfsplus/check`).
//! A file's data may rightly be zeros that were never written, so what is found here
//! is judged once it is known whose data it is ([`Facts`](super::Facts)).

use crate::bundle::Bands;
use crate::error::Result;
use crate::io::{Presence, Ranges, ReadAt};
use crate::report::{Progress, Unit};
use crate::timemachine::OpenVolume;
use std::ops::Range;

/// Holes that are kept apart; a server that keeps all zeros as holes has many. Beyond, those
/// of a band are taken together.
const MAX_HOLES: usize = 1 << 18;

/// Bytes in use that are not stored: of a band that is missing or short, or one hole in a
/// band.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The band.
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
    let source = &volume.found.source;
    let all = Ranges::one(0..source.len());
    let used = if trust_bitmap { volume.volume.allocated(&all)? } else { all };
    let start = volume.found.range().start;
    let mut found: Vec<Loss> = Vec::new();
    let mut holes = 0;
    progress.phase("looking for lost bands", source.len(), Unit::Bytes);
    let mut told = 0;
    for piece in pieces(&used, start, bands.band_size()) {
        progress.check()?;
        progress.advance(piece.end.saturating_sub(told));
        told = piece.end;
        let band = (start + piece.start) / bands.band_size();
        let visit = &mut |range: Range<u64>, how: Presence| {
            if matches!(how, Presence::Stored | Presence::Unwritten) {
                return;
            }
            holes += usize::from(how == Presence::Hole);
            let apart = how == Presence::Hole && holes <= MAX_HOLES;
            match found.last_mut().filter(|l| !apart && l.band == band && l.how == how) {
                Some(last) => last.ranges.extend(used.meet(range)),
                None => found.push(Loss { band, how, ranges: used.meet(range).collect() }),
            }
        };
        // A band that cannot be opened has its own finding.
        let _ = source.presence(piece, visit);
    }
    found.retain(|l| !l.ranges.is_empty());
    Ok(found)
}

/// What is in use, joined over small gaps and cut at the borders of bands.
fn pieces(used: &Ranges, start: u64, band_size: u64) -> impl Iterator<Item = Range<u64>> + '_ {
    let mut ranges = used.iter().cloned().peekable();
    let mut open: Option<Range<u64>> = None;
    std::iter::from_fn(move || {
        let mut now = open.take().or_else(|| ranges.next())?;
        let border = ((start + now.start) / band_size + 1) * band_size - start;
        while now.end < border
            && let Some(next) = ranges.next_if(|next| next.start < border)
        {
            now.end = next.end;
        }
        if now.end > border {
            open = Some(border..now.end);
            now.end = border;
        }
        Some(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_at_bands() {
        let used = Ranges::new(vec![0..10, 12..35, 50..52, 55..60, 95..130]);
        let cut: Vec<_> = pieces(&used, 5, 20).collect();
        assert_eq!(cut, [0..15, 15..35, 50..52, 55..60, 95..115, 115..130]);
    }
}
