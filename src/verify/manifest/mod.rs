//! Rot between runs: a hash of every band, kept outside the bundle.
//!
//! Each run hashes the bands that changed and, of the rest, those unread for longest.
//! It works on the files as the server stores them, so it needs no password. `judge`
//! says what a hash means, `plan` which bands are read, `hash` reads them, `file` keeps
//! the result, and `run` puts them together.

mod bad;
mod file;
mod hash;
mod judge;
mod known;
mod plan;
mod run;
mod told;

pub use file::{Entry, Found, Header, Manifest, Stamp};
pub use known::known;
pub(super) use known::known_after;
pub use run::ManifestRun;
pub use told::told;

use crate::report::words::{count, plural};
use crate::verify::Subset;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How to keep the manifest of a bundle.
#[derive(Debug, Clone)]
pub struct Options {
    /// The manifest's file.
    pub file: PathBuf,
    /// Whether the file lies in the state directory: what is there and is no manifest
    /// is put aside. A file that the user named is left alone then.
    pub ours: bool,
    /// How much to read of what did not change.
    pub read: Subset,
    /// Bands that are read at a time; 0 for as many as there are processors, at most
    /// four.
    pub jobs: usize,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// What a run over the bands came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bands {
    /// The manifest's file.
    pub file: String,
    /// The bundle carries no identity of its own and is known by its path.
    pub path_only: bool,
    /// Bands that are there.
    pub bands: u64,
    /// Bands read in this run.
    pub read: u64,
    /// Bytes read in this run.
    pub read_bytes: u64,
    /// Bands that were not known.
    pub new: u64,
    /// Bands whose size or modification time changed.
    pub changed: u64,
    /// Bands with the same bytes but another time of change.
    pub touched: u64,
    /// Bands with other bytes and another time of change, but the same size and
    /// modification time.
    pub rewritten: u64,
    /// Bands with other bytes under the same size and times.
    pub rotten: u64,
    /// Bands that were rotten and have their bytes again.
    pub healed: u64,
    /// Bands that are no longer there.
    pub gone: u64,
    /// Which these are.
    #[serde(skip, default)]
    pub gone_bands: Vec<u64>,
    /// Bands that could not be read.
    pub unreadable: u64,
    /// Bands that changed each time they were read; left for the next run.
    pub moving: u64,
    /// Findings are kept with the bands until [`told`].
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub untold: bool,
    /// When the band that was unread for longest was read, seconds since 1970; `None`
    /// while there is a band that was never read.
    pub oldest_read: Option<i64>,
}

impl Bands {
    /// One line for people.
    pub fn text(&self) -> String {
        let first = self.new > 0 && self.new == self.read && self.new == self.bands;
        let mut text = plural(self.bands, "band", "bands");
        if first {
            text.push_str(", all read for the first time");
        } else {
            text.push_str(&format!(": {} read", count(self.read)));
        }
        let new = if first { 0 } else { self.new };
        for (n, what) in [
            (self.changed, "changed"),
            (new, "new"),
            (self.gone, "gone"),
            (self.rotten, "rotten"),
            (self.rewritten, "rewritten"),
            (self.healed, "as they were before they were rotten"),
            (self.unreadable, "unreadable"),
            (self.moving, "being written and left out"),
        ] {
            if n > 0 {
                text.push_str(&format!(", {} {what}", count(n)));
            }
        }
        if self.path_only {
            text.push_str("; the bundle is known by its path only");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_people() {
        let mut bands =
            Bands { bands: 51_204, read: 7315, changed: 120, new: 3, ..Bands::default() };
        assert_eq!(bands.text(), "51,204 bands: 7,315 read, 120 changed, 3 new");
        (bands.rotten, bands.gone) = (1, 2);
        assert_eq!(bands.text(), "51,204 bands: 7,315 read, 120 changed, 3 new, 2 gone, 1 rotten");
        let first = Bands { bands: 9, read: 9, new: 9, ..Bands::default() };
        assert_eq!(first.text(), "9 bands, all read for the first time");
    }
}
