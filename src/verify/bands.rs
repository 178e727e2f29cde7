//! Every band that is there: can it be opened, is it a file, is it too long, and
//! when was it last written?

use crate::bundle::{BandListing, Bands, Bundle, Seen};
use crate::error::Result;
use crate::io::bytes::to_u64;
use crate::report::{Code, Finding, Progress, Reporter, Structure, Unit, Where};
use rustix::fs::{AtFlags, FileType, Stat, statat};
use std::collections::HashMap;

/// More bands than this slow file servers down (`formats/sparsebundle.md` section 4).
const MANY: usize = 100_000;

/// A band whose date is older by more seconds than its inode's was given that date.
const COPIED: i64 = 2;

/// When the bands were written, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    oldest: Option<i64>,
    /// With nanoseconds: it grows when a Mac writes.
    newest: Option<(i64, i64)>,
    /// Seconds from that until the band's inode changed last: 0 where it was written, more
    /// where a copy gave it its date.
    dated_after: i64,
    /// Whether a band belongs to another user than ours.
    by_others: bool,
    stored: u64,
}

fn modified(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

impl Written {
    /// Whether somebody else seems to have written within the last seconds: some bands are
    /// as new, the others are not. In a copy all are, or their dates were given to them.
    pub fn is_fresh(&self, now: i64, seconds: i64) -> bool {
        let within = |date: i64| (0..seconds).contains(&now.saturating_sub(date));
        let Some((oldest, newest)) = self.span() else { return false };
        let copied = within(oldest) || self.dated_after > COPIED;
        self.by_others && within(newest) && !copied
    }

    /// The oldest and the newest date.
    pub fn span(&self) -> Option<(i64, i64)> {
        Some((self.oldest?, self.newest?.0))
    }

    /// Bytes that the bands take on the server's disk.
    pub fn stored(&self) -> u64 {
        self.stored
    }
}

/// Look at each band once. Nothing is read from it.
pub fn check(
    bundle: &Bundle,
    listing: &BandListing,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<Written> {
    let mut written = Written::default();
    if listing.present.len() > MANY {
        let text = format!("{} bands lie in one folder", listing.present.len());
        reporter.report(Finding::new(Code::BandMany, Where::of(Structure::Bands), text));
    }
    progress.phase("looking at the bands", to_u64(listing.present.len()), Unit::Items);
    let bands = bundle.bands();
    let mut seen = HashMap::with_capacity(listing.present.len());
    for index in &listing.present {
        progress.check()?;
        let name = Bands::name(*index);
        let report = |code, text: String| {
            let place = bands.place(*index);
            reporter.report(Finding::new(code, place, format!("band {name}: {text}")));
        };
        // One look-up by name serves all that is asked of a band in this run.
        match bands.stat_band(*index) {
            Ok(Some(stat)) => {
                written.oldest = written.oldest.min(Some(stat.st_mtime)).or(Some(stat.st_mtime));
                if Some(modified(&stat)) > written.newest {
                    written.newest = Some(modified(&stat));
                    written.dated_after = stat.st_ctime.saturating_sub(stat.st_mtime);
                }
                written.by_others |= stat.st_uid != rustix::process::geteuid().as_raw();
                let len = u64::try_from(stat.st_size).unwrap_or(0);
                let allocated = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
                seen.insert(*index, Seen { len, whole: allocated >= len });
                written.stored = written.stored.saturating_add(allocated);
                if len > bands.band_size() {
                    let text = format!("{len} bytes, more than a band's {}", bands.band_size());
                    report(Code::BandTooLong, text);
                }
            }
            Ok(None) => report(Code::BandUnreadable, "it was removed meanwhile".into()),
            Err(e) if e.is_out_of_descriptors() => return Err(e),
            Err(e) if e.is_denied() => report(Code::BandDenied, e.to_string()),
            Err(e) => {
                let known = listing.not_files.iter().any(|(i, _)| i == index);
                let stat = statat(bands.dir(), &name, AtFlags::SYMLINK_NOFOLLOW);
                let file =
                    stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile);
                match (file, known) {
                    (true, _) => report(Code::BandUnreadable, e.to_string()),
                    (false, false) => report(Code::BandNotFile, "is not a regular file".into()),
                    (false, true) => {}
                }
            }
        }
        progress.advance(1);
    }
    bands.remember(seen);
    Ok(written)
}
