//! Every band that is there: can it be opened, is it a file, is it too long, and
//! when was it last written?

use crate::bundle::{BandListing, Bands, Bundle};
use crate::error::Result;
use crate::io::bytes::{to_u64, to_usize};
use crate::report::{Code, Finding, Progress, Reporter, Structure, Unit, Where};
use rustix::fs::{AtFlags, FileType, Stat, statat};

/// More bands than this slow file servers down (`formats/sparsebundle.md` section 4).
const MANY: usize = 100_000;

/// When the bands were written, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    oldest: Option<i64>,
    /// With nanoseconds: it grows when a Mac writes.
    newest: Option<(i64, i64)>,
}

fn modified(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

impl Written {
    /// The oldest and the newest date.
    pub fn span(&self) -> Option<(i64, i64)> {
        Some((self.oldest?, self.newest?.0))
    }

    /// Whether a band was written since.
    pub fn since(&self, bands: &Bands, listing: &BandListing) -> bool {
        listing.present.iter().any(|index| {
            statat(bands.dir(), Bands::name(*index), AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                    && Some(modified(&stat)) > self.newest
            })
        })
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
    for index in &listing.present {
        progress.check()?;
        let name = Bands::name(*index);
        let report = |code, text: String| {
            let place = bands.place(*index);
            reporter.report(Finding::new(code, place, format!("band {name}: {text}")));
        };
        match statat(bands.dir(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(e) => report(Code::BandUnreadable, format!("cannot be examined: {e}")),
            Ok(stat) => {
                let known = listing.not_files.iter().any(|(i, _)| i == index);
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    if !known {
                        report(Code::BandNotFile, "is not a regular file".into());
                    }
                    continue;
                }
                written.oldest = written.oldest.min(Some(stat.st_mtime)).or(Some(stat.st_mtime));
                written.newest = written.newest.max(Some(modified(&stat)));
                let len = u64::try_from(stat.st_size).unwrap_or(0);
                if len > bands.band_size() {
                    let text = format!("{len} bytes, more than a band's {}", bands.band_size());
                    report(Code::BandTooLong, text);
                }
                if let Err(e) = bands.open_band(*index) {
                    report(Code::BandUnreadable, e.to_string());
                }
            }
        }
        progress.advance(1);
    }
    Ok(written)
}

/// Whether the first band that is there begins with bytes as even as ciphertext: what
/// begins a disk is anything but that.
pub fn look_encrypted(bands: &Bands, listing: &BandListing) -> bool {
    let Some(first) = listing.present.first() else { return false };
    let mut bytes = vec![0; 64 << 10];
    let size = to_usize(bands.band_size()).min(bytes.len());
    let sample = bytes.get_mut(..size).unwrap_or_default();
    let Ok(stored) = bands.read_stored(*first, sample, 0) else { return false };
    let mut counts = [0usize; 256];
    for byte in sample.iter().take(stored) {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let usual = stored / 256;
    stored >= 16 << 10 && counts.iter().all(|n| (usual / 2..usual * 2).contains(n))
}
