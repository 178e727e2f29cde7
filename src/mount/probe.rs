//! Notices that a source changes while it is mounted.
//!
//! A Mac that writes to a volume writes its header or its journal, so the files
//! that hold these are watched, with the bundle's `Info.plist` and its folder of
//! bands: a handful of `stat`s, and no need to look at a hundred thousand bands.

use crate::io::{ReadAt, Source};
use crate::timemachine::Archive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A source that was written to within this time is taken to be live.
const RECENT: Duration = Duration::from_secs(10 * 60);
const VOLUME_HEADER: u64 = 1024;
const SECTOR: u64 = 512;

/// What is watched of a source.
pub struct Probe {
    files: Vec<PathBuf>,
    headers: Vec<Source>,
}

/// How it looked at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    files: Vec<Option<(i64, i64, u64, u64)>>,
    headers: Vec<[u8; 512]>,
}

impl Probe {
    /// Watch the source at `path`, which holds `archive`.
    pub fn new(path: &Path, archive: &Archive) -> Self {
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files = vec![path.join("Info.plist"), path.join("bands")];
        }
        let bands = path.join("bands");
        let mut headers = Vec::new();
        for open in &archive.open {
            let journal = open.hfs.journal().range.as_ref().map(|r| r.start);
            let catalog = open.hfs.catalog().tree().file().locate(0);
            let on_volume = [Some(VOLUME_HEADER), journal].into_iter().flatten();
            let places = on_volume.filter_map(|at| open.volume.source.locate(at)).chain(catalog);
            for band in places.filter_map(|p| p.band) {
                let file = bands.join(band.name);
                if !files.contains(&file) {
                    files.push(file);
                }
            }
            headers.push(open.volume.source.clone());
        }
        Self { files, headers }
    }

    /// How it looks now.
    pub fn look(&self) -> Look {
        let stat = |path: &PathBuf| {
            let m = std::fs::symlink_metadata(path).ok()?;
            Some((m.mtime(), m.mtime_nsec(), m.size(), m.ino()))
        };
        let header = |source: &Source| {
            let mut sector = [0; 512];
            if source.len() >= VOLUME_HEADER + SECTOR {
                // What cannot be read looks like zeros, every time.
                let _ = source.read_at(&mut sector, VOLUME_HEADER);
            }
            sector
        };
        Look {
            files: self.files.iter().map(stat).collect(),
            headers: self.headers.iter().map(header).collect(),
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
