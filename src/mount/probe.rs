//! Notices that a source changes while it is mounted.
//!
//! A Mac that writes to a volume writes its header or its journal (or whatever else the
//! format says beats with each write, `Volume::pulse`), so the files that hold these are
//! watched, with the bundle's `Info.plist` and its folder of
//! bands: a handful of `stat`s, and no need to look at a hundred thousand bands.

use crate::io::bytes::to_usize;
use crate::io::{ReadAt, Source, read_vec};
use crate::timemachine::Archive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A source that was written to within this time is taken to be live.
const RECENT: Duration = Duration::from_secs(10 * 60);
/// Bytes of a run that are looked at; what changes stands at its beginning.
const LOOKED_AT: u64 = 4096;

/// What is watched of a source.
pub struct Probe {
    files: Vec<PathBuf>,
    /// A source and the byte from which so many change with every write.
    places: Vec<(Source, u64, usize)>,
}

/// How it looked at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    files: Vec<Option<(i64, i64, u64, u64)>>,
    places: Vec<Option<Vec<u8>>>,
}

impl Probe {
    /// Watch the source at `path`, which holds `archive`.
    pub fn new(path: &Path, archive: &Archive) -> Self {
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files = vec![path.join("Info.plist"), path.join("bands")];
        }
        let bands = path.join("bands");
        let mut places = Vec::new();
        for open in &archive.open {
            let source = &open.found.source;
            for range in open.volume.pulse() {
                if let Some(band) = source.locate(range.start).and_then(|at| at.band) {
                    let file = bands.join(band.name);
                    if !files.contains(&file) {
                        files.push(file);
                    }
                }
                let length = range.end.saturating_sub(range.start).min(LOOKED_AT);
                places.push((source.clone(), range.start, to_usize(length)));
            }
        }
        Self { files, places }
    }

    /// How it looks now.
    pub fn look(&self) -> Look {
        let stat = |path: &PathBuf| {
            let m = std::fs::symlink_metadata(path).ok()?;
            Some((m.mtime(), m.mtime_nsec(), m.size(), m.ino()))
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
        let now = SystemTime::now();
        self.files.iter().any(|path| {
            let modified = std::fs::symlink_metadata(path).and_then(|m| m.modified());
            modified.is_ok_and(|m| now.duration_since(m).unwrap_or_default() < RECENT)
        })
    }
}
