//! What a bundle tells of bytes that its bands do not store.

use super::kept::{self, StoredZeros};
use super::rule::Facts;
use crate::bundle::{Alternate, Bands, Bundle, Strays, mapped::Mapped};
use crate::disk::Disk;
use crate::error::Result;
use crate::io::{Presence, ReadAt};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Of a source that is no bundle, holes are looked at in windows of this size.
pub(super) const WINDOW: u64 = 8 << 20;

/// The bands of a bundle and what is known about them; of another source, nothing.
pub struct Evidence {
    bands: Option<Arc<Bands>>,
    encrypted: bool,
    /// What is no data in the image was zeros when it was made.
    packed: bool,
    mapped: Option<Mapped>,
    /// Bands that earlier runs have read, once somebody asked.
    known: OnceLock<Vec<u64>>,
    ask: Known,
    alternates: OnceLock<BTreeMap<u64, Vec<Alternate>>>,
    bundle: Option<Arc<Bundle>>,
    /// The largest aligned block of zeros that is stored.
    zeros: OnceLock<u64>,
}

/// Tells which bands earlier runs have read, ascending. Asked at most once, and only where
/// something is absent.
pub type Known = Box<dyn Fn() -> Vec<u64> + Send + Sync>;

/// A run of absent bytes within one band.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The bytes.
    pub range: Range<u64>,
    /// How the first of them are absent.
    pub how: Presence,
}

impl Evidence {
    /// The evidence that lies in `disk`, and what earlier runs know.
    pub fn of(disk: &Disk, ask: Known) -> Self {
        let bundle = disk.shared_bundle();
        Self {
            bands: bundle.as_ref().map(|b| b.bands()),
            encrypted: disk.encryption().is_some(),
            packed: disk.kind() == crate::disk::PACKED,
            mapped: bundle.as_ref().and_then(|b| Mapped::open(b)),
            known: OnceLock::new(),
            ask,
            alternates: OnceLock::new(),
            bundle,
            zeros: OnceLock::new(),
        }
    }

    /// The bands, of a bundle.
    pub fn bands(&self) -> Option<&Arc<Bands>> {
        self.bands.as_ref()
    }

    /// Whether what is stored is encrypted.
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// Other files that may be a band.
    pub fn alternates(&self, band: u64) -> &[Alternate] {
        self.all_alternates().get(&band).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether any band has such files beside it.
    pub fn has_alternates(&self) -> bool {
        !self.all_alternates().is_empty()
    }

    /// The bands of a range that have such files beside them.
    pub fn with_alternates(&self, bands: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        // A range that ends before it begins has none.
        let end = bands.end.max(bands.start);
        self.all_alternates().range(bands.start..end).map(|(band, _)| *band)
    }

    fn all_alternates(&self) -> &BTreeMap<u64, Vec<Alternate>> {
        let find = || self.bundle.as_ref().map(|b| Strays::find(b).bands).unwrap_or_default();
        self.alternates.get_or_init(find)
    }

    fn known(&self) -> &[u64] {
        self.known.get_or_init(&self.ask)
    }

    /// Runs end where these do at the latest.
    fn window(&self) -> u64 {
        self.bands.as_ref().map_or(WINDOW, |b| b.band_size())
    }

    /// The end of the whole bands in a range of the disk of which nothing is known.
    pub(super) fn unknown_until(&self, disk: &Range<u64>) -> u64 {
        let size = self.window();
        let (first, end) = (disk.start / size, disk.end / size);
        let told = self.bands.is_some().then(|| self.next_told(first)).flatten();
        told.map_or(end, |told| told.min(end)).saturating_mul(size)
    }

    /// The first band from one on of which something is known, or may be.
    fn next_told(&self, from: u64) -> Option<u64> {
        let known = self.known();
        let known = known.get(known.partition_point(|band| *band < from)).copied();
        let other = self.all_alternates().range(from..).next().map(|(band, _)| *band);
        let mapped = self.mapped.as_ref().and_then(|mapped| mapped.next(from));
        [known, other, mapped].into_iter().flatten().min()
    }

    /// The run of absent bytes of a volume, within one band, around one of its bytes; `None`
    /// if that is stored. `start`: the volume's first byte on the disk. All in bytes of the
    /// volume.
    pub(super) fn run(&self, volume: &dyn ReadAt, start: u64, offset: u64) -> Result<Option<Run>> {
        if self.packed {
            return Ok(None);
        }
        let size = self.window();
        let first = (start.saturating_add(offset) / size).saturating_mul(size);
        let end = first.saturating_add(size).saturating_sub(start).min(volume.len());
        let (mut run, mut found): (Option<Run>, Option<Run>) = (None, None);
        volume.presence(first.saturating_sub(start)..end, &mut |part, how| {
            if !how.is_absent() {
                run = None;
                return;
            }
            let now = run.get_or_insert(Run { range: part.clone(), how });
            if now.how != how {
                *now = Run { range: part.clone(), how };
            }
            now.range.end = part.end;
            if now.range.contains(&offset) {
                found = Some(now.clone());
            }
        })?;
        Ok(found)
    }

    /// What the bundle knows of absent bytes of the disk within one band.
    pub fn facts(&self, run: &Range<u64>) -> Facts {
        let mut facts = Facts::default();
        facts.encrypted = self.encrypted;
        let Some(bands) = &self.bands else { return facts };
        facts.banded = true;
        let index = run.start / bands.band_size();
        let start = bands.range(index).start;
        let within = run.start - start..run.end.saturating_sub(start);
        facts.known = self.known().binary_search(&index).is_ok();
        facts.mapped = self
            .mapped
            .as_ref()
            .is_some_and(|m| m.says_written(index, within.clone(), bands.band_size()));
        facts.alternates = self
            .alternates(index)
            .iter()
            .filter(|a| a.has_data(within.clone()))
            .map(|a| a.path.clone())
            .collect();
        facts
    }

    /// Whether zeros like those of a hole around `at`, a byte of the disk, are stored
    /// elsewhere. Costs a bounded look at the bands, once.
    pub(super) fn stored_zeros(&self, at: u64) -> StoredZeros {
        let Some(bands) = self.bands.as_ref().filter(|_| !self.encrypted) else {
            return StoredZeros::None;
        };
        // What cannot be read decides nothing.
        let largest = *self.zeros.get_or_init(|| kept::largest_block(bands).unwrap_or(0));
        match kept::grain(bands, at) {
            _ if largest == 0 => StoredZeros::None,
            Ok(grain) if grain <= largest => StoredZeros::Alike,
            _ => StoredZeros::Smaller,
        }
    }

    /// What is wrong with the band there, for people.
    pub fn describe(&self, run: &Range<u64>, how: Presence) -> String {
        match (&self.bands, how) {
            (Some(bands), how) => {
                let index = run.start / bands.band_size();
                let within = run.start % bands.band_size();
                match how {
                    Presence::Missing => format!("band {index:x} is missing"),
                    Presence::Short => format!("band {index:x} ends after {within} bytes"),
                    _ => format!("band {index:x} has a hole from byte {within} on"),
                }
            }
            (None, Presence::Unreadable) => {
                format!("ddrescue could not read the disk from byte {} on", run.start)
            }
            (None, Presence::Missing | Presence::Short) => {
                format!("the image ends by byte {}", run.start)
            }
            (None, _) => format!("the image has a hole from byte {} on", run.start),
        }
    }
}
