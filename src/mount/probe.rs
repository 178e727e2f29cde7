//! Notices that a source changes while it is mounted.
//!
//! A Mac that writes to a volume writes its header or its journal (or whatever else the
//! format says beats with each write, `Volume::pulse`), so the files that hold these are
//! watched, with the bundle's `Info.plist` and its folder of
//! bands: a handful of `stat`s, and no need to look at a hundred thousand bands.
//!
//! All of it goes below the descriptor of the source and follows no link: what somebody puts
//! in its place, be it a link into this very mount, is never looked into.

use crate::error::Result;
use crate::io::bytes::to_usize;
use crate::io::{Anchor, ReadAt, Source, open_untrusted_dir, read_vec};
use crate::timemachine::Archive;
use rustix::fs::{AtFlags, Stat, statat};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A source that was written to within this time is taken to be live.
const RECENT: Duration = Duration::from_secs(10 * 60);
/// Bytes of a run that are looked at; what changes stands at its beginning.
const LOOKED_AT: u64 = 4096;

/// A file that is watched.
enum Watched {
    /// The source itself, a file or device.
    Held,
    /// A name in a folder of the bundle.
    Below(Arc<OwnedFd>, String),
}

/// What is watched of a source.
pub struct Probe {
    anchor: Arc<Anchor>,
    files: Vec<Watched>,
    /// A source and the byte from which so many change with every write.
    places: Vec<(Source, u64, usize)>,
}

/// How it looked at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    files: Vec<Option<(i64, i64, i64, u64)>>,
    places: Vec<Option<Vec<u8>>>,
}

impl Probe {
    /// Watch the source that is held, which holds `archive`.
    ///
    /// # Errors
    /// If its folders cannot be opened.
    pub fn new(anchor: &Arc<Anchor>, archive: &Archive) -> Result<Self> {
        let mut files = Vec::new();
        let mut bands = None;
        if anchor.is_dir() {
            let dir = Arc::new(anchor.dir()?);
            bands = open_untrusted_dir(&dir, Path::new("bands")).ok().map(Arc::new);
            files.push(Watched::Below(dir.clone(), "Info.plist".into()));
            files.push(Watched::Below(dir, "bands".into()));
        } else {
            files.push(Watched::Held);
        }
        let (mut places, mut names) = (Vec::new(), Vec::new());
        for open in &archive.open {
            let source = &open.found.source;
            for range in open.volume.pulse() {
                if let Some(band) = source.locate(range.start).and_then(|at| at.band)
                    && !names.contains(&band.name)
                {
                    names.push(band.name);
                }
                let length = range.end.saturating_sub(range.start).min(LOOKED_AT);
                places.push((source.clone(), range.start, to_usize(length)));
            }
        }
        if let Some(bands) = bands {
            files.extend(names.into_iter().map(|name| Watched::Below(bands.clone(), name)));
        }
        Ok(Self { anchor: anchor.clone(), files, places })
    }

    fn stat(&self, file: &Watched) -> Option<Stat> {
        match file {
            Watched::Held => self.anchor.stat().ok(),
            Watched::Below(dir, name) => statat(dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok(),
        }
    }

    /// How it looks now.
    pub fn look(&self) -> Look {
        let stat = |file: &Watched| {
            let s = self.stat(file)?;
            let nanoseconds = i64::try_from(s.st_mtime_nsec).unwrap_or(0);
            Some((s.st_mtime, nanoseconds, s.st_size, s.st_ino))
        };
        // What cannot be read looks like nothing, every time.
        let bytes =
            |(source, at, length): &(Source, u64, usize)| read_vec(&**source, *at, *length).ok();
        Look {
            files: self.files.iter().map(stat).collect(),
            places: self.places.iter().map(bytes).collect(),
        }
    }

    /// Whether something was written a short while ago.
    pub fn is_recent(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let recent = i64::try_from(RECENT.as_secs()).unwrap_or(0);
        self.files.iter().filter_map(|f| self.stat(f)).any(|s| now - s.st_mtime < recent)
    }
}
