//! `mapped/`: which parts of a band were ever written, as newer bundles record it.
//!
//! One small file a band, of the same name: a bit for each 4 KiB of the band, the
//! least significant first (`formats/sparsebundle.md` section 1). A bit that is set
//! where the band is missing or ends before is evidence that something was lost.

use super::listing::band_index;
use super::{BandListing, Bands, Bundle};
use crate::error::Result;
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{Presence, open_untrusted_dir, visit_holes};
use crate::report::{Code, Finding, Progress, Reporter, Structure, Where};
use std::ops::{ControlFlow, Range};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Bytes of a band that one bit stands for.
const UNIT: u64 = 4096;
/// Largest map that is read: that of a band of 8 GiB takes 256 KiB.
const MAX_MAP: u64 = 4 << 20;

/// Report the bands that lack what `mapped/` says was written to them.
///
/// # Errors
/// Only [`crate::Error::Interrupted`].
pub fn check(
    bundle: &Bundle,
    listing: &BandListing,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<()> {
    let bands = bundle.bands();
    let opened = open_untrusted_dir(bundle.dir(), Path::new("mapped"));
    let listed = opened.and_then(|dir| Ok((super::list_dir(&dir)?, dir)));
    let (entries, dir) = match listed {
        Ok(listed) => listed,
        Err(e) => {
            bands.unlisted("mapped", e);
            return Ok(());
        }
    };
    let count = bundle.info().band_count();
    let mut indices: Vec<u64> = entries
        .filter_map(|e| e.inspect_err(|e| bands.unlisted("mapped", *e)).ok())
        .filter_map(|e| band_index(e.file_name().to_bytes()))
        .filter(|i| *i < count)
        .collect();
    indices.sort_unstable();
    for index in indices {
        progress.check()?;
        if let Some((stored, finding)) = lost(&dir, &bands, listing, index) {
            let start = bands.range(index).start;
            let place = Where::of(Structure::Band).band(Bands::name(index)).length(finding.bytes);
            let place = Where { offset: Some(start + finding.first), ..place };
            let how = if listing.contains(index) {
                format!("ends after {stored} bytes")
            } else {
                "is missing".into()
            };
            let text = format!(
                "band {index:x} {how}, but mapped/{index:x} says that {} more were written, the \
                 first at {}",
                crate::report::words::plural(finding.written, "byte", "bytes"),
                finding.first
            );
            reporter.report(Finding::new(Code::BandMapped, place, text));
        }
    }
    Ok(())
}

/// The record of a bundle, for who asks about single bands.
pub struct Mapped {
    dir: OwnedFd,
    /// The map that was asked last: many files lie in one band.
    last: Mutex<Option<(u64, Option<Map>)>>,
    /// The bands that have a map, in order; `None` if that cannot be told.
    bands: OnceLock<Option<Vec<u64>>>,
}

impl Mapped {
    /// The record, if the bundle has one.
    pub fn open(bundle: &Bundle) -> Option<Self> {
        let dir = open_untrusted_dir(bundle.dir(), Path::new("mapped")).ok()?;
        Some(Self { dir, last: Mutex::default(), bands: OnceLock::new() })
    }

    /// The first band from one on that has a map, or may have one.
    pub fn next(&self, from: u64) -> Option<u64> {
        let list = || {
            let mut bands = Vec::new();
            for entry in super::list_dir(&self.dir).ok()? {
                bands.extend(band_index(entry.ok()?.file_name().to_bytes()));
            }
            bands.sort_unstable();
            Some(bands)
        };
        let Some(bands) = self.bands.get_or_init(list) else { return Some(from) };
        bands.get(bands.partition_point(|band| *band < from)).copied()
    }

    /// Whether it says that something in this range of a band was written.
    pub fn says_written(&self, index: u64, range: Range<u64>, band_size: u64) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(of, _)| *of != index) {
            *last = Some((index, Map::read(&self.dir, index, band_size)));
        }
        let Some((_, Some(map))) = &*last else { return false };
        let mut written = false;
        map.visit(range.start / UNIT..range.end.div_ceil(UNIT), &mut |_| {
            written = true;
            ControlFlow::Break(())
        });
        written
    }
}

/// What a band lacks: first byte in it, bytes to the end of the last, and how many
/// of these were written.
struct Lost {
    first: u64,
    bytes: u64,
    written: u64,
}

fn lost(dir: &OwnedFd, bands: &Bands, listing: &BandListing, index: u64) -> Option<(u64, Lost)> {
    let stored = match (listing.contains(index), bands.seen(index)) {
        (false, _) => 0,
        (true, Some(seen)) => seen.len,
        (true, None) => bands.open_band(index).ok()??.1,
    };
    let range = bands.range(index);
    let size = range.end - range.start;
    if stored >= size {
        return None;
    }
    let map = Map::read(dir, index, bands.band_size())?;
    let (from, to) = (stored.div_ceil(UNIT), size.div_ceil(UNIT));
    // Counted, not collected: a hostile map has millions of bits.
    let mut set: Option<(u64, u64, u64)> = None;
    map.visit(from..to, &mut |n| {
        let (first, last, count) = set.get_or_insert((n, n, 0));
        *first = n.min(*first);
        *last = n;
        *count += 1;
        ControlFlow::Continue(())
    });
    let (first, last, count) = set?;
    let first = first * UNIT;
    let bytes = ((last + 1) * UNIT).min(size) - first;
    Some((stored, Lost { first, bytes, written: count * UNIT }))
}

/// The map of one band: the parts of its file that are stored, with their places.
struct Map(Vec<(u64, Vec<u8>)>);

impl Map {
    /// A band of any size that occurs has a map of some kilobytes. Holes are not read: a
    /// folder of maps that are nothing else costs its owner nothing.
    fn read(dir: &OwnedFd, index: u64, band_size: u64) -> Option<Self> {
        let most = band_size.div_ceil(UNIT * 8).next_multiple_of(UNIT).min(MAX_MAP);
        let (file, size) = super::open_file(dir, Path::new(&Bands::name(index))).ok()?;
        let mut parts = Vec::new();
        if size <= most {
            let told = visit_holes(&file, 0..size, &mut |r, p| {
                if p == Presence::Stored {
                    parts.push(r);
                }
            });
            told.ok()?;
        }
        let read = |part: Range<u64>| {
            let mut bytes = vec![0; to_usize(part.end - part.start)];
            file.read_exact_at(&mut bytes, part.start).ok()?;
            Some((part.start, bytes))
        };
        parts.into_iter().map(read).collect::<Option<_>>().map(Self)
    }

    /// The bits within a range that are set, in order, least significant of a byte first.
    fn visit(&self, range: Range<u64>, found: &mut dyn FnMut(u64) -> ControlFlow<()>) {
        for (start, bytes) in &self.0 {
            let skip = to_usize((range.start / 8).saturating_sub(*start)).min(bytes.len());
            let end = to_usize(range.end.div_ceil(8).saturating_sub(*start)).min(bytes.len());
            let asked = bytes.get(skip..end).unwrap_or_default();
            for (at, byte) in (start + to_u64(skip)..).zip(asked).filter(|b| *b.1 != 0) {
                for n in (at * 8..at * 8 + 8).filter(|n| range.contains(n)) {
                    let set = byte >> (n % 8) & 1 == 1;
                    if set && found(n).is_break() {
                        return;
                    }
                }
            }
        }
    }
}
