//! A source that was opened, with what lies on its disk: read once in a run, and passed
//! on to whoever asks.

use super::{Attempt, Found, Kind, OpenOptions, open, volumes};
use crate::bundle::{Strays, Token};
use crate::crypt::Asker;
use crate::disk::{Disk, noise};
use crate::error::{Corrupt, Error, Result};
use crate::io::Source;
use crate::partition::{PartitionMap, Scheme};
use crate::report::{Code, Collector, Finding, Structure, Where};
use std::sync::OnceLock;

/// An open source. What lies on it is looked at when it is first asked for, and then
/// remembered, the errors too.
pub struct Layout {
    disk: Disk,
    scan: OnceLock<std::result::Result<Scan, Error>>,
    keys: OnceLock<Option<Keys>>,
}

/// Why nothing on a disk can be read although no password is wanted: the keys are lost, or
/// are another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    code: Code,
    text: String,
}

impl Keys {
    /// The finding that says so.
    pub fn finding(&self) -> Finding {
        Finding::new(self.code, Where::of(Structure::Token), self.text.clone())
    }
}

/// What lies on a disk.
pub struct Scan {
    /// The bytes of the disk.
    pub bytes: Source,
    /// The partition map.
    pub map: PartitionMap,
    /// Every partition that may hold a volume, with what it holds.
    pub found: Vec<Found>,
    /// What is wrong with the partition map.
    pub findings: Vec<Finding>,
}

impl From<Disk> for Layout {
    fn from(disk: Disk) -> Self {
        Self { disk, scan: OnceLock::new(), keys: OnceLock::new() }
    }
}

impl Layout {
    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Ask for the disk's password, if it is locked for want of one; and have `asker`
    /// give those of volumes from now on.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], and what asking comes to.
    pub fn unlock(&mut self, asker: Asker) -> Result<()> {
        self.disk.unlock(asker)?;
        if matches!(self.scan.get(), Some(Err(_))) {
            self.scan = OnceLock::new();
            self.keys = OnceLock::new();
        }
        Ok(())
    }

    /// Why nothing on the disk can be read, if it is for want of the keys.
    pub fn keys(&self) -> Option<&Keys> {
        let _ = self.scan();
        self.keys.get()?.as_ref()
    }

    /// What lies on the disk.
    ///
    /// # Errors
    /// When its bytes cannot be had, or its map not be read.
    pub fn scan(&self) -> Result<&Scan> {
        self.scan.get_or_init(|| self.look()).as_ref().map_err(Error::again)
    }

    fn look(&self) -> Result<Scan> {
        let scan = Scan::of(&self.disk).map_err(|e| with_other_token(e, &self.disk))?;
        match self.keys.get_or_init(|| Keys::trouble(&self.disk, &scan)) {
            Some(keys) => Err(Error::corrupt(self.disk.name(), keys.text.clone())),
            None => Ok(scan),
        }
    }

    /// Open the volumes of a partition; who gave the disk's password gives theirs.
    pub fn open(&self, found: &Found, options: &OpenOptions) -> Vec<Attempt> {
        let asker = options.asker.clone().or_else(|| self.disk.asker().cloned());
        open(found, &OpenOptions { asker, ..options.clone() })
    }
}

impl Scan {
    fn of(disk: &Disk) -> Result<Self> {
        let bytes = disk.bytes()?;
        let collector = Collector::default();
        let map = disk.partitions(&collector)?;
        let found = volumes(&bytes, &map)?;
        Ok(Self { bytes, map, found, findings: collector.into_findings().0 })
    }
}

impl Keys {
    /// What is wrong with the keys of a disk on which nothing is recognised: what is stored, or
    /// what a token makes of it, is noise everywhere.
    fn trouble(disk: &Disk, scan: &Scan) -> Option<Self> {
        let nothing = |f: &Found| matches!(f.kind, Kind::Empty | Kind::Unknown);
        if scan.map.scheme != Scheme::None || !scan.found.iter().all(nothing) {
            return None;
        }
        let keyless =
            disk.bundle().is_some_and(|b| matches!(b.token(), Token::Empty | Token::Missing));
        if !keyless && disk.encryption().is_none() {
            return None;
        }
        let places = match disk.bundle() {
            Some(bundle) => {
                let bands = bundle.bands();
                let present = bands.list().ok()?.present;
                present.into_iter().map(|band| bands.range(band).start).collect()
            }
            None => noise::spread(disk.size()),
        };
        if !noise::is_all(&*scan.bytes, &places) {
            return None;
        }
        let beside = other_tokens(disk);
        Some(if keyless {
            let missing = disk.bundle().is_some_and(|b| *b.token() == Token::Missing);
            let how = if missing { "missing" } else { "empty" };
            let text = format!(
                "the bands look encrypted, but the token that holds the keys is {how}{beside}"
            );
            Self { code: Code::TokenLost, text }
        } else {
            let text = format!(
                "the token opens with the password, but does not fit these bands: what it decrypts \
                 is noise where the disk begins{beside}"
            );
            Self { code: Code::TokenForeign, text }
        })
    }
}

/// Other files of a bundle that hold keys, as an end of a sentence.
fn other_tokens(disk: &Disk) -> String {
    let tokens = disk.bundle().map(|b| Strays::find(b).tokens).unwrap_or_default();
    if tokens.is_empty() {
        return String::new();
    }
    let names: Vec<String> = tokens.iter().map(|t| format!("'{t}'")).collect();
    let hold = if names.len() == 1 { "holds" } else { "hold" };
    format!("; {} {hold} an encryption header, perhaps the right one", names.join(", "))
}

/// The error of a disk whose token is damaged, with what may stand for the token.
fn with_other_token(error: Error, disk: &Disk) -> Error {
    match error {
        Error::Corrupt(c) if disk.locked().is_some() => {
            let problem = format!("{}{}", c.problem, other_tokens(disk));
            Error::Corrupt(Box::new(Corrupt { problem, ..*c }))
        }
        other => other,
    }
}
