//! The record of one bundle, and the lock that lets one run at a time have it.

use super::place::{make_private, refuse_inside};
use super::sizes::note;
use super::{Identity, Size, Spot, write_atomically};
use crate::error::{Error, Result};
use crate::report::words::span;
use crate::report::{Code, Finding, Structure, Where};
use crate::volume::Layout;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const RECORD: &str = "record.json";
const LOCK: &str = "lock";
const MANIFEST: &str = "bands";
/// Largest record that is read, in bytes; ours have less than twenty thousand.
const MAX_RECORD: u64 = 64 << 10;

/// What is known of a bundle from earlier runs. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// By what it is known.
    pub identity: Identity,
    /// Its path at the last run.
    pub path: String,
    /// Where on its file system it lay at the last run.
    #[serde(default)]
    pub spot: Option<Spot>,
    /// When it was first met.
    pub first_seen: i64,
    /// When it was last verified.
    pub verified: Option<i64>,
    /// What that came to but for the age of the backup: `ok`, `unchecked`, `warning`,
    /// `damage`.
    pub verdict: Option<String>,
    /// Codes of the damage to contents that it found, which is no half-written state.
    #[serde(default)]
    pub damage: Vec<String>,
    /// Sizes that runs saw, in the order they were noted; not too many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<Size>,
}

/// The state of one bundle during one run.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    name: String,
    record: Record,
    problems: Vec<Finding>,
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
        let path = std::path::absolute(disk.path()).unwrap_or_else(|_| disk.path().to_owned());
        let spot = Spot::of(&path);
        let found = find(dir, &identity, spot, &path)?;
        make_private(&found.folder)?;
        let mut problems = Vec::new();
        let mut record = match read(&found.folder.join(RECORD)) {
            Ok(record) => record,
            Err(why) => {
                let restarted = |text| {
                    Finding::new(Code::ManifestRestarted, Where::of(Structure::Record), text)
                };
                problems.extend(why.map(restarted));
                Record { first_seen: now, ..Record::default() }
            }
        };
        // What was free on the disk it lay on before says nothing of this one.
        if record.spot.zip(spot).is_some_and(|(before, now)| !before.is_same_bundle(now)) {
            record.sizes.iter_mut().for_each(|size| size.free = None);
        }
        record.identity = identity.with(&record.identity);
        record.path = path.display().to_string();
        record.spot = spot;
        if let Some(twin) = found.twin {
            let text = format!("{twin} has the same identity; each has a manifest of its own");
            problems.push(Finding::new(Code::BundleTwice, Where::of(Structure::Bundle), text));
        }
        let mut session =
            Self { folder: found.folder, name: disk.name(), record, problems, lock: None };
        if let Err(e) = session.save() {
            session.problems.push(unwritten(&e));
        }
        Ok(Some(session))
    }

    /// Keep other runs away from this bundle until the session ends.
    ///
    /// # Errors
    /// [`Error::Busy`] while another run holds it.
    pub fn lock(&mut self) -> Result<()> {
        let path = self.folder.join(LOCK);
        let failed = |e| Error::io(format!("cannot lock {}", path.display()), e);
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            // A file system that can only be read can still be locked.
            .or_else(|e| File::open(&path).map_err(|_| e));
        let file = match opened {
            Ok(file) => file,
            Err(e) => {
                if self.problems.iter().all(|f| f.code != Code::ManifestUnwritten) {
                    self.problems.push(unwritten(&failed(e)));
                }
                return Ok(());
            }
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(Error::Busy(format!("{} (another tmbundle verifies it)", self.name)))
            }
            // Some file systems know no locks.
            Err(e) => {
                self.problems.push(unwritten(&failed(e.into())));
                Ok(())
            }
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

    /// What is wrong with what was remembered: the record was damaged and begun anew, it
    /// cannot be written, another bundle has the same identity.
    pub fn problems(&self) -> &[Finding] {
        &self.problems
    }

    /// The last verification.
    pub fn last(&self) -> Option<(i64, &str)> {
        Some((self.record.verified?, self.record.verdict.as_deref()?))
    }

    /// The damage to contents that it found.
    pub fn damage(&self) -> BTreeSet<Code> {
        self.record.damage.iter().filter_map(|name| Code::by_name(name)).collect()
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

    /// Note that the bundle was verified: what that came to, and the damage to contents that
    /// was found.
    pub fn verified(&mut self, now: i64, verdict: &str, damage: &BTreeSet<Code>) -> Result<()> {
        // Others may have noted sizes meanwhile.
        if let Ok(record) = read(&self.folder.join(RECORD)) {
            self.record.sizes = record.sizes;
        }
        self.record.verified = Some(now);
        self.record.verdict = Some(verdict.to_owned());
        self.record.damage = damage.iter().map(|code| code.name().to_owned()).collect();
        self.save()
    }

    /// Note how much room the bundle takes now.
    ///
    /// # Errors
    /// [`Error::Io`] if the record cannot be written.
    pub fn weighed(&mut self, size: Size) -> Result<()> {
        note(&mut self.record.sizes, size);
        self.save()
    }

    fn save(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.record)
            .map_err(|e| Error::io("cannot write the record", e))?;
        write_atomically(&self.folder.join(RECORD), &text, 0o600)
    }
}

/// Where earlier runs kept the manifest of the bundle in `layout` below `dir`; `None` if none
/// did. Nothing is written.
pub fn kept_manifest(dir: &Path, layout: &Layout) -> Option<PathBuf> {
    let identity = Identity::of(layout)?;
    let path = std::path::absolute(layout.disk().path()).ok()?;
    let place = find(dir, &identity, Spot::of(&path), &path).ok()?;
    Some(place.folder.join(MANIFEST)).filter(|file| file.is_file())
}

/// Hold the lock of the folder that a bundle's manifest lies in; `None` where there is
/// none, as beside a file that the user named.
///
/// # Errors
/// [`Error::Busy`] while a run holds it, [`Error::Io`].
pub fn held_lock(manifest: &Path) -> Result<Option<File>> {
    let path = super::folder_of(manifest).join(LOCK);
    let failed = |e| Error::io(format!("cannot lock {}", path.display()), e);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy(path.display().to_string())),
        Err(e) => Err(failed(e.into())),
    }
}

/// The finding that something could not be kept for the next run.
pub fn unwritten(e: &Error) -> Finding {
    Finding::new(Code::ManifestUnwritten, Where::of(Structure::Record), e.to_string())
}

/// Where the state of a bundle lies.
struct Place {
    folder: PathBuf,
    /// Another bundle that has the same identity and is there now.
    twin: Option<String>,
}

/// The folder of a bundle: of those whose record has its marks the one that lay at this
/// spot, else the one that had this path, else one whose bundle is no longer where it
/// was, for it may have been moved; else a new one, beside that of its twin.
fn find(dir: &Path, identity: &Identity, spot: Option<Spot>, path: &Path) -> Result<Place> {
    let known = known(dir, identity)?;
    let is_path = |r: &Record| Path::new(&r.path) == path;
    let chosen = known
        .iter()
        .find(|k| k.record.spot.is_some() && k.record.spot == spot)
        .or_else(|| known.iter().find(|k| k.is_same_bundle(spot)))
        .or_else(|| known.iter().find(|k| is_path(&k.record)))
        .or_else(|| known.iter().find(|k| k.record.spot.is_none() || !k.is_there()));
    let others = known.iter().filter(|k| chosen.is_none_or(|c| c.folder != k.folder));
    let twin = others
        .filter(|k| k.record.spot.is_some() && !k.is_same_bundle(spot) && k.is_there())
        .map(|k| k.record.path.clone())
        .next();
    let folder = match chosen {
        Some(known) => known.folder.clone(),
        None => free(dir, identity),
    };
    Ok(Place { folder, twin })
}

/// A folder's name that no other bundle's state has. One whose record cannot be read is
/// the bundle's own.
fn free(dir: &Path, identity: &Identity) -> PathBuf {
    let taken = |folder: &PathBuf| read(&folder.join(RECORD)).is_ok();
    let own = dir.join(identity.id());
    let others = (2..u32::MAX).map(|n| dir.join(format!("{}-{n}", identity.id())));
    std::iter::once(own.clone()).chain(others).find(|f| !taken(f)).unwrap_or(own)
}

/// A record and its folder.
struct KnownBundle {
    folder: PathBuf,
    record: Record,
}

impl KnownBundle {
    fn is_same_bundle(&self, spot: Option<Spot>) -> bool {
        self.record.spot.zip(spot).is_some_and(|(a, b)| a.is_same_bundle(b))
    }

    /// Whether it is still where the last run saw it.
    fn is_there(&self) -> bool {
        self.record.spot.is_some() && Spot::of(Path::new(&self.record.path)) == self.record.spot
    }
}

/// All that is known under an identity. The strongest mark names the folder, but a part
/// of the bundle may be damaged today that told it before.
fn known(dir: &Path, identity: &Identity) -> Result<Vec<KnownBundle>> {
    let entries = std::fs::read_dir(dir)
        .map_err(|e| Error::io(format!("cannot list {}", dir.display()), e))?;
    let mut known: Vec<KnownBundle> = entries
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let record = read(&folder.join(RECORD)).ok()?;
            let same = record.identity.matches(identity) == Some(true)
                || record.identity == *identity && identity.is_path_only();
            same.then_some(KnownBundle { folder, record })
        })
        .collect();
    known.sort_unstable_by(|a, b| a.folder.cmp(&b.folder));
    Ok(known)
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
