//! What `verify` keeps of each source.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tmbundle::report::Code;
use tmbundle::verify::Outcome;

/// A source and what came of it.
pub struct Checked {
    pub path: PathBuf,
    pub name: String,
    /// In seconds since 1970.
    pub ended: i64,
    pub took: Duration,
    /// Bytes read from bands or image.
    pub read: u64,
    /// `None` if it could not be examined. Without its findings, which may be many.
    pub outcome: Option<Outcome>,
    /// How many findings of each code there are.
    pub codes: BTreeMap<Code, u64>,
}
