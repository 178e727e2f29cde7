//! `mapped/`: which parts of a band were ever written, as newer bundles record it.
//!
//! One small file a band, of the same name: a bit for each 4 KiB of the band, the
//! least significant first (`formats/sparsebundle.md` section 1). A bit that is set
//! where the band is missing or ends before is evidence that something was lost.

use super::listing::band_index;
use super::{BandListing, Bands, Bundle, FileError, read_file};
use crate::error::Result;
use crate::io::bytes::{bit, to_u64, to_usize};
use crate::io::open_untrusted_dir;
use crate::report::{Code, Finding, Progress, Reporter, Structure, Where};
use std::os::fd::OwnedFd;
use std::path::Path;

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
    let Ok(dir) = open_untrusted_dir(bundle.dir(), Path::new("mapped"), false) else {
        return Ok(());
    };
    let Ok(entries) = super::list_dir(&dir) else { return Ok(()) };
    let bands = bundle.bands();
    let count = bundle.info().band_count();
    let mut indices: Vec<u64> = entries
        .filter_map(|e| band_index(e.ok()?.file_name().to_bytes()))
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
pub struct Mapped(OwnedFd);

impl Mapped {
    /// The record, if the bundle has one.
    pub fn open(bundle: &Bundle) -> Option<Self> {
        open_untrusted_dir(bundle.dir(), Path::new("mapped"), false).ok().map(Self)
    }

    /// Whether it says that something in this range of a band was written.
    pub fn says_written(&self, index: u64, range: std::ops::Range<u64>, band_size: u64) -> bool {
        let most = band_size.div_ceil(UNIT * 8).next_multiple_of(UNIT).min(MAX_MAP);
        let Ok(map) = read_file(&self.0, &Bands::name(index), most) else { return false };
        let end = range.end.div_ceil(UNIT).min(to_u64(map.len()) * 8);
        (range.start / UNIT..end).any(|n| lsb(&map, n))
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
    // A band of any size that occurs has a map of some kilobytes.
    let most = bands.band_size().div_ceil(UNIT * 8).next_multiple_of(UNIT).min(MAX_MAP);
    let map = match read_file(dir, &Bands::name(index), most) {
        Ok(map) => map,
        Err(FileError::Missing | FileError::Other(_)) => return None,
    };
    let (from, to) = (stored.div_ceil(UNIT), size.div_ceil(UNIT).min(to_u64(map.len()) * 8));
    // Counted, not collected: a hostile map has millions of bits.
    let mut set: Option<(u64, u64, u64)> = None;
    for n in (from..to).filter(|n| lsb(&map, *n)) {
        let (first, last, count) = set.get_or_insert((n, n, 0));
        *first = n.min(*first);
        *last = n;
        *count += 1;
    }
    let (first, last, count) = set?;
    let first = first * UNIT;
    let bytes = ((last + 1) * UNIT).min(size) - first;
    Some((stored, Lost { first, bytes, written: count * UNIT }))
}

/// Bit `n`, least significant first.
fn lsb(map: &[u8], n: u64) -> bool {
    bit(map, to_usize(n ^ 7)).unwrap_or(false)
}
