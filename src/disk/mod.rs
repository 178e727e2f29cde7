//! SOURCE to one disk of bytes: a bundle, a raw image, a block device.

use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::io::{RawFile, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the disk is kept in.
pub enum Container {
    /// A sparse bundle.
    Bundle(Box<Bundle>),
    /// A raw image or block device.
    Raw(Arc<RawFile>),
}

/// A disk: where it is kept, and its bytes.
pub struct Disk {
    path: PathBuf,
    container: Container,
    locked: Option<Locked>,
}

/// Why the bytes of the disk cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locked {
    /// Encrypted; reading needs what is not built yet.
    Encrypted(String),
    /// A container that cannot be read.
    Container(String),
}

impl Disk {
    /// Open what lies at `path`.
    ///
    /// # Errors
    /// [`Error::NotASource`] for what is none, [`Error::Io`], or [`Error::Corrupt`]
    /// for a bundle that has lost its geometry.
    pub fn open(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path)
            .map_err(|e| Error::io(format!("cannot open {}", path.display()), e))?;
        if meta.is_dir() {
            let bundle = Bundle::open(path)?;
            let locked = bundle.is_encrypted().then(|| Locked::Encrypted(cipher(&bundle)));
            let container = Container::Bundle(Box::new(bundle));
            return Ok(Self { path: path.to_owned(), container, locked });
        }
        let raw = RawFile::open(path)?;
        let locked = foreign_container(&raw)?;
        Ok(Self { path: path.to_owned(), container: Container::Raw(Arc::new(raw)), locked })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Last part of the path, for people.
    pub fn name(&self) -> String {
        let real = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        real.file_name()
            .map_or_else(|| self.path.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    /// What it is kept in.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// The bundle, if it is one.
    pub fn bundle(&self) -> Option<&Bundle> {
        match &self.container {
            Container::Bundle(b) => Some(b),
            Container::Raw(_) => None,
        }
    }

    /// Why the bytes cannot be read, if so.
    pub fn locked(&self) -> Option<&Locked> {
        self.locked.as_ref()
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        use crate::io::ReadAt;
        match &self.container {
            Container::Bundle(b) => b.info().size,
            Container::Raw(f) => f.len(),
        }
    }

    /// The bytes of the disk.
    ///
    /// # Errors
    /// [`Error::Unsupported`] while it is locked.
    pub fn bytes(&self) -> Result<Source> {
        match (&self.locked, &self.container) {
            (Some(Locked::Encrypted(how)), _) => Err(Error::Unsupported(format!(
                "{} is encrypted ({how}); reading encrypted images is not yet possible",
                self.name()
            ))),
            (Some(Locked::Container(what)), _) => Err(Error::Unsupported(format!(
                "{} is {what}; reading it is not yet possible",
                self.name()
            ))),
            (None, Container::Bundle(b)) => Ok(b.bands()),
            (None, Container::Raw(f)) => Ok(f.clone()),
        }
    }
}

fn cipher(bundle: &Bundle) -> String {
    use crate::bundle::Token;
    use crate::io::bytes::be32;
    match bundle.token() {
        Token::EncrCdsa(t) => match be32(t, 24) {
            Some(bits @ (128 | 256)) => format!("AES-{bits}"),
            _ => "unknown cipher".into(),
        },
        Token::CdsaEncr(_) => "AES, version 1 header".into(),
        _ => "unknown token".into(),
    }
}

/// Containers that are files but not raw disks, by their magic.
fn foreign_container(raw: &RawFile) -> Result<Option<Locked>> {
    use crate::io::{ReadAt, read_up_to};
    let head = read_up_to(raw, 0, 8)?;
    let tail = |n: u64, len| read_up_to(raw, raw.len().saturating_sub(n), len);
    if head.starts_with(b"encrcdsa") {
        return Ok(Some(Locked::Encrypted("disk image, version 2 header".into())));
    }
    if raw.len() >= 1276 && tail(8, 8)? == b"cdsaencr" {
        return Ok(Some(Locked::Encrypted("disk image, version 1 header".into())));
    }
    if head.starts_with(b"sprs") {
        return Ok(Some(Locked::Container("a single-file sparse image (.sparseimage)".into())));
    }
    if raw.len() >= 512 && tail(512, 4)? == b"koly" {
        return Ok(Some(Locked::Container("a compressed disk image (UDIF .dmg)".into())));
    }
    Ok(None)
}
