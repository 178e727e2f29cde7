//! One bundle, as far as it tells without a password and at once.

use super::limits;
use crate::bundle::{Bundle, History, HistoryEntry};
use crate::error::Result;
use crate::query::bytes_on_disk;
use crate::query::forecast::{DAY, Sample, growth, in_order, median};
use crate::state::{Record, Size};
use crate::timemachine::come_by;
use crate::volume::Layout;
use std::path::PathBuf;

/// Newest backups whose distances make the typical interval.
const INTERVALS: usize = 12;
/// Backups of this time, in seconds, tell how much is copied a week.
const COPIES: i64 = 28 * DAY;

/// What was seen of a bundle.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its path.
    pub path: PathBuf,
    /// The same without links, where that is known.
    pub real: PathBuf,
    /// Bytes that a server counts of it against a share's limit: its bands by their full size.
    pub counted: Option<u64>,
    /// Its name in the share.
    pub name: String,
    /// The Mac's hardware UUID.
    pub host_uuid: Option<String>,
    /// The Mac's model.
    pub model: Option<String>,
    /// What the volume is, where that can be seen without a password.
    pub format: Option<&'static str>,
    /// Whether the image is encrypted.
    pub encrypted: bool,
    /// When its last backup was completed, seconds since 1970.
    pub last_completed: Option<i64>,
    /// Seconds between two backups, typically.
    pub interval: Option<i64>,
    /// Bytes that backups copied a week.
    pub copied_per_week: Option<u64>,
    /// Bytes it takes on the server's disk.
    pub stored: Option<u64>,
    /// Bytes it may hold: the size of its image.
    pub limit: u64,
    /// Device number of the file system it lies on.
    pub device: u64,
    /// Bytes of that file system.
    pub total: Option<u64>,
    /// Bytes that are free there.
    pub free: Option<u64>,
    /// When it was last verified, seconds since 1970.
    pub verified: Option<i64>,
    /// What that came to.
    pub verdict: Option<String>,
    /// What runs saw of it, in the order they noted it.
    pub sizes: Vec<Size>,
}

/// Look at a bundle of a share; `None` if the source is no bundle.
///
/// # Errors
/// When its folder of bands cannot be listed.
pub fn look(layout: &Layout, name: &str, now: i64) -> Result<Option<Look>> {
    let disk = layout.disk();
    let Some(bundle) = disk.bundle() else { return Ok(None) };
    let listing = bundle.bands().list()?;
    let plists = bundle.time_machine();
    let machine = plists.machine.unwrap_or_default();
    let history = plists.history.unwrap_or_default();
    let limit = come_by(now);
    let (total, device) = file_system(bundle);
    Ok(Some(Look {
        path: disk.path().to_owned(),
        real: std::fs::canonicalize(disk.path()).unwrap_or_else(|_| disk.path().to_owned()),
        counted: limits::counted(name, listing.present.len(), bundle.bands().band_size()),
        name: name.to_owned(),
        host_uuid: machine.host_uuid,
        model: machine.model,
        format: format(layout),
        encrypted: bundle.is_encrypted(),
        last_completed: history.last_at(limit).and_then(|e| e.completed),
        interval: interval(&history, limit),
        copied_per_week: copied(&history, now),
        stored: bytes_on_disk(bundle, &listing.present).0,
        limit: disk.size(),
        device,
        total,
        free: bundle.free_space(),
        verified: None,
        verdict: None,
        sizes: Vec::new(),
    }))
}

impl Look {
    /// The size to note; `None` where it is not known.
    pub fn size(&self, now: i64) -> Option<Size> {
        Some(Size { at: now, stored: self.stored?, free: self.free })
    }

    /// Take in what is remembered.
    pub fn remember(&mut self, record: &Record) {
        self.verified = record.verified;
        self.verdict.clone_from(&record.verdict);
        self.sizes.clone_from(&record.sizes);
    }

    /// Bytes it grows by in a day, where runs saw enough.
    pub fn growth(&self, now: i64) -> Option<i64> {
        let noted: Vec<Sample> =
            self.sizes.iter().map(|s| Sample { at: s.at, bytes: s.stored }).collect();
        growth(&in_order(&noted, now))
    }
}

/// Bytes and device number of the file system a bundle lies on.
fn file_system(bundle: &Bundle) -> (Option<u64>, u64) {
    let stat = rustix::fs::fstatvfs(bundle.dir()).ok();
    let total = stat.and_then(|s| s.f_blocks.checked_mul(s.f_frsize));
    (total, rustix::fs::fstat(bundle.dir()).map_or(0, |s| s.st_dev))
}

/// The format of the volume that is largest.
fn format(layout: &Layout) -> Option<&'static str> {
    if layout.disk().locked().is_some() {
        return None;
    }
    let map = layout.scan().ok()?;
    let known = map.found.iter().filter(|f| f.kind.can_be_checked());
    known.max_by_key(|f| f.partition.len).map(|f| f.kind.name())
}

/// Dates of completed backups until `limit`, oldest first.
fn dates(history: &History, limit: i64) -> Vec<i64> {
    let mut dates: Vec<i64> = history.entries.iter().filter_map(|e| e.completed).collect();
    dates.retain(|date| *date <= limit);
    dates.sort_unstable();
    dates
}

/// The median of the last distances: history is thinned, the older the more.
fn interval(history: &History, limit: i64) -> Option<i64> {
    let dates = dates(history, limit);
    let newest = dates.len().saturating_sub(INTERVALS + 1);
    let newest = dates.get(newest..)?;
    let mut gaps: Vec<i64> =
        newest.iter().zip(newest.iter().skip(1)).map(|(a, b)| b.saturating_sub(*a)).collect();
    if gaps.len() < 3 { None } else { median(&mut gaps) }
}

/// Bytes that were copied a week lately, without the first backup, which copies all. It is more
/// than the growth: what was copied may be deleted by now.
fn copied(history: &History, now: i64) -> Option<u64> {
    let limit = come_by(now);
    let all = dates(history, limit);
    let (first, last) = (*all.first()?, *all.last()?);
    let since = first.max(last.saturating_sub(COPIES));
    let late = |e: &&HistoryEntry| e.completed.is_some_and(|t| t > since && t <= limit);
    let bytes: Option<Vec<u64>> =
        history.entries.iter().filter(late).map(|e| e.bytes_copied).collect();
    let bytes: u128 = bytes?.into_iter().map(u128::from).sum();
    let time = last.saturating_sub(since);
    if time < DAY {
        return None;
    }
    let week = bytes.checked_mul(u128::from((7 * DAY).unsigned_abs()))?;
    u64::try_from(week / u128::from(time.unsigned_abs())).ok()
}
