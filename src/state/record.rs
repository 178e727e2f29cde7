//! The record of one bundle, and the lock that lets one run at a time have it.

use super::place::{make_private, refuse_inside};
use super::{Identity, write_atomically};
use crate::error::{Error, Result};
use crate::report::words::span;
use crate::report::{Code, Finding, Structure, Where};
use crate::volume::Layout;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const RECORD: &str = "record.json";
const LOCK: &str = "lock";
const MANIFEST: &str = "bands";
/// Largest record that is read, in bytes; ours have less than a thousand.
const MAX_RECORD: u64 = 64 << 10;

/// What is known of a bundle from earlier runs. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// By what it is known.
    pub identity: Identity,
    /// Its path at the last run, for people who look into the folder.
    pub path: String,
    /// When it was first met.
    pub first_seen: i64,
    /// When it was last verified.
    pub verified: Option<i64>,
    /// What that came to: `ok`, `warning`, `damage`.
    pub verdict: Option<String>,
}

/// The state of one bundle during one run.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    name: String,
    record: Record,
    problem: Option<String>,
    lock: Option<File>,
}

impl Session {
    /// Find the state of the bundle in `layout` below `dir`, or begin it; `None` if the
    /// source is no bundle. `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `dir` lies in the bundle, [`Error::Io`] if it cannot be used.
    pub fn open(dir: &Path, layout: &Layout, now: i64) -> Result<Option<Self>> {
        let disk = layout.disk();
        let Some(identity) = Identity::of(layout) else { return Ok(None) };
        refuse_inside(dir, disk.path())?;
        make_private(dir)?;
        let folder = find(dir, &identity)?;
        make_private(&folder)?;
        let (mut record, problem) = match read(&folder.join(RECORD)) {
            Ok(record) => (record, None),
            Err(why) => (Record { first_seen: now, ..Record::default() }, why),
        };
        record.identity = identity.with(&record.identity);
        record.path = disk.path().display().to_string();
        let session = Self { folder, name: disk.name(), record, problem, lock: None };
        session.save()?;
        Ok(Some(session))
    }

    /// Keep other runs away from this bundle until the session ends.
    ///
    /// # Errors
    /// [`Error::Busy`] while another run holds it.
    pub fn lock(&mut self) -> Result<()> {
        let path = self.folder.join(LOCK);
        let failed = |e| Error::io(format!("cannot lock {}", path.display()), e);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(Error::Busy(format!("{} (another tmbundle verifies it)", self.name)))
            }
            Err(e) => Err(failed(e.into())),
        }
    }

    /// Where this bundle's manifest of bands lies unless the user says otherwise.
    pub fn manifest(&self) -> PathBuf {
        self.folder.join(MANIFEST)
    }

    /// What earlier runs have noted.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// A finding if the record was damaged and had to be begun anew.
    pub fn problem(&self) -> Option<Finding> {
        let text = self.problem.clone()?;
        Some(Finding::new(Code::ManifestRestarted, Where::of(Structure::Record), text))
    }

    /// A finding if the last verification, or if there was none the day the bundle was
    /// first seen, is longer ago than `limit` seconds.
    pub fn unverified(&self, now: i64, limit: i64) -> Option<Finding> {
        let since = self.record.verified.unwrap_or(self.record.first_seen);
        let ago = now.saturating_sub(since);
        if ago <= limit {
            return None;
        }
        let (ago, limit) = (span(ago), span(limit));
        let text = match self.record.verified {
            Some(_) => format!("it was last verified {ago} ago, more than {limit}"),
            None => format!("it was first seen {ago} ago, more than {limit}, and never verified"),
        };
        Some(Finding::new(Code::BundleUnverified, Where::of(Structure::Bundle), text))
    }

    /// Note that the bundle was verified.
    pub fn verified(&mut self, now: i64, verdict: &str) -> Result<()> {
        self.record.verified = Some(now);
        self.record.verdict = Some(verdict.to_owned());
        self.save()
    }

    fn save(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.record)
            .map_err(|e| Error::io("cannot write the record", e))?;
        write_atomically(&self.folder.join(RECORD), &text, 0o600)
    }
}

/// The folder of the bundle with this identity: one whose record has its marks, else
/// the one named after its strongest mark.
fn find(dir: &Path, identity: &Identity) -> Result<PathBuf> {
    let own = dir.join(identity.id());
    if own.join(RECORD).exists() {
        return Ok(own);
    }
    // A part of the bundle may be damaged today that told its strongest mark before.
    let entries = std::fs::read_dir(dir)
        .map_err(|e| Error::io(format!("cannot list {}", dir.display()), e))?;
    let mut known: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| {
            let record = read(&folder.join(RECORD));
            record.is_ok_and(|r| r.identity.matches(identity) == Some(true))
        })
        .collect();
    known.sort_unstable();
    Ok(known.into_iter().next().unwrap_or(own))
}

/// Read a record. The error is `None` where there is none yet.
fn read(path: &Path) -> std::result::Result<Record, Option<String>> {
    let why = |e: &dyn std::fmt::Display| Some(format!("{}: {e}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(None),
        Err(e) => return Err(why(&e)),
    };
    let mut text = Vec::new();
    file.take(MAX_RECORD).read_to_end(&mut text).map_err(|e| why(&e))?;
    serde_json::from_slice(&text).map_err(|_| why(&"it is damaged and was begun anew"))
}
