//! Sparse or lost: bands that are missing, short or have a hole where the volume
//! keeps the data of files.
//!
//! That the volume's own records are there is seen by who reads them (`hfsplus/check`).
//! A file's data may rightly be zeros that were never written, so what is found here
//! is judged once it is known whose data it is (`costs`).

use crate::bundle::Bands;
use crate::error::Result;
use crate::io::{Presence, Ranges, ReadAt};
use crate::report::{Progress, Unit};
use crate::timemachine::OpenVolume;
use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges of holes that are kept; a server that keeps all zeros as holes has many.
const MAX_HOLES: usize = 1 << 20;

/// Bytes in use that are not stored.
pub(super) struct Loss {
    /// The band; of holes, of the first.
    pub band: u64,
    /// How they are absent.
    pub how: Presence,
    /// Bytes of the volume.
    pub ranges: Vec<Range<u64>>,
}

/// Find what is allocated on a volume but absent in the bands. `trust_bitmap`: whether the bitmap says what is in use.
pub(super) fn find(
    volume: &OpenVolume,
    bands: &Bands,
    trust_bitmap: bool,
    progress: &dyn Progress,
) -> Result<Vec<Loss>> {
    let source = &volume.found.source;
    let all = Ranges::one(0..source.len());
    let used = if trust_bitmap { volume.volume.allocated(&all)? } else { all };
    let start = volume.found.range().start;
    let mut found: BTreeMap<(u64, u8), Loss> = BTreeMap::new();
    let mut holes = 0;
    progress.phase("looking for lost bands", source.len(), Unit::Bytes);
    let mut told = 0;
    for piece in pieces(&used, start, bands.band_size()) {
        progress.check()?;
        progress.advance(piece.end.saturating_sub(told));
        told = piece.end;
        let band = (start + piece.start) / bands.band_size();
        let visit = &mut |range: Range<u64>, how: Presence| {
            let key = match how {
                Presence::Stored | Presence::Unwritten => return,
                Presence::Missing => (band, 0),
                Presence::Short => (band, 1),
                // All holes are told together.
                Presence::Hole => (u64::MAX, 2),
            };
            let lost = used.meet(range);
            if how == Presence::Hole {
                holes += 1;
                if holes > MAX_HOLES {
                    return;
                }
            }
            let loss = found.entry(key).or_insert_with(|| Loss { band, how, ranges: Vec::new() });
            loss.ranges.extend(lost);
        };
        // A band that cannot be opened has its own finding.
        let _ = source.presence(piece, visit);
    }
    let mut losses: Vec<Loss> = found.into_values().collect();
    losses.retain(|l| !l.ranges.is_empty());
    Ok(losses)
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
