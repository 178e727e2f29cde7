//! The directory on the server: property lists, token, bands.
//!
//! A bundle is any directory whose `Info.plist` (or its copy, `Info.bckup`)
//! says that it is a sparse bundle; its name does not matter. Everything in it is
//! opened for reading, without following links, and must be a regular file.
//! Source: `formats/sparsebundle.md`.

mod bands;
pub mod busy;
mod changes;
mod check;
mod enclosing;
mod geometry;
mod info;
mod kept;
mod listing;
mod locks;
pub mod mapped;
mod memory_map;
mod plists;
mod property_list;
pub mod samba;
mod share;
mod strays;
mod strays_check;

pub use bands::{Bands, Seen};
pub use changes::Changes;
pub use check::{check, check_lists};
pub use enclosing::{destination, enclosing, named_like_bundle};
pub use info::{Info, InfoSource};
pub use listing::{BandListing, Stray, StrayKind};
pub use plists::{History, HistoryEntry, MachineId, TimeMachinePlists};
pub(crate) use property_list::parse_plist;
pub use share::{NEVER, Share, ago, is_bundle_name};
pub use strays::{Alternate, Strays};

use crate::error::{Error, Result};
use crate::io::{Access, Anchor, open_untrusted, open_untrusted_dir};
use rustix::fs::{Dir, FileType};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What the `token` file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// No such file; read as not encrypted.
    Missing,
    /// Empty: not encrypted.
    Empty,
    /// An `encrcdsa` header (version 2), whole.
    EncrCdsa(Vec<u8>),
    /// A `cdsaencr` trailer (version 1), whole.
    CdsaEncr(Vec<u8>),
    /// Something else; its length.
    Unknown(u64),
    /// It is there and cannot be read.
    Unread {
        /// Why not.
        why: String,
        /// The system refused this user.
        denied: bool,
    },
}

/// An open sparse bundle.
pub struct Bundle {
    path: PathBuf,
    dir: OwnedFd,
    info: Info,
    token: Token,
    bands: Arc<Bands>,
    plists: OnceLock<TimeMachinePlists>,
}

/// Largest token that is read; macOS writes 122,368 bytes.
const MAX_TOKEN: u64 = 1 << 20;

impl Bundle {
    /// Open the bundle at `path`.
    ///
    /// # Errors
    /// [`Error::NotASource`] when it is no bundle; [`Error::Io`] when it cannot be
    /// read; [`Error::Corrupt`] when it was one but its geometry is lost.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &Access::default())
    }

    /// Open the bundle at `path`; `access` says how its bands are read.
    ///
    /// # Errors
    /// As for [`Bundle::open`]; and [`Error::Unsupported`] if they are to be mapped into
    /// memory and that is not safe here.
    pub fn open_with(path: &Path, access: &Access) -> Result<Self> {
        Self::open_held(&Anchor::open(path, access.links)?, access)
    }

    /// Open the bundle that is held; the path it was found by is only said in messages.
    ///
    /// # Errors
    /// As for [`Bundle::open_with`].
    pub fn open_held(anchor: &Anchor, access: &Access) -> Result<Self> {
        let (path, dir) = (anchor.path(), anchor.dir()?);
        let bands = Bands::dir_of(&dir, path);
        let (sample, unlisted) = match bands.as_ref().map(geometry::Sample::take) {
            Ok(Ok(sample)) => (Some(sample), None),
            Ok(Err(e)) => (None, Some(e)),
            Err(_) => (None, None),
        };
        let info = Info::read(path, &dir, sample.as_ref(), access.given)?;
        let token = read_token(&dir, path)?;
        let (there, unseen) = sample.map(|s| (s.indices, s.unseen)).unwrap_or_default();
        let bands = Arc::new(Bands::open(&dir, bands?, there, path, &info, access)?);
        unseen.into_iter().for_each(|(index, e)| bands.unseen(index, e));
        unlisted.into_iter().for_each(|e| bands.unlisted("bands", e));
        let plists = OnceLock::new();
        let bundle = Self { path: path.to_owned(), dir, info, token, bands, plists };
        if access.mapped
            && let Some(why) = memory_map::refusal(&bundle)
        {
            let path = path.display();
            let text = format!("{path} cannot be read through memory maps (--mmap): {why}");
            return Err(Error::Unsupported(text));
        }
        Ok(bundle)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Geometry and identity.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The token.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Whether the bands hold ciphertext, as far as that is known.
    pub fn is_encrypted(&self) -> bool {
        !matches!(self.token, Token::Empty | Token::Missing)
    }

    /// The bands as one run of bytes, as stored (ciphertext if encrypted).
    pub fn bands(&self) -> Arc<Bands> {
        self.bands.clone()
    }

    /// Time Machine's own property lists, as far as they can be read. They are read once:
    /// who tells that one of them cannot be read speaks for all who use them.
    pub fn time_machine(&self) -> TimeMachinePlists {
        self.plists.get_or_init(|| TimeMachinePlists::read(&self.dir)).clone()
    }

    /// Bytes that are free on the file system that holds it, if that can be told.
    pub fn free_space(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&self.dir).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }

    /// The bundle's directory.
    pub fn dir(&self) -> &OwnedFd {
        &self.dir
    }
}

/// List a directory that is held open. It is opened anew (`.`), since listing
/// moves a position that all users of a descriptor share.
pub(crate) fn list_dir(dir: &OwnedFd) -> rustix::io::Result<Dir> {
    Dir::new(open_untrusted_dir(dir, Path::new("."))?)
}

/// Why a file in the bundle could not be read.
#[derive(Debug)]
pub(crate) enum FileError {
    /// There is none.
    Missing,
    /// It is not a regular file, is too large, or the system refused.
    Other(std::io::Error),
}

impl FileError {
    /// Whether the system refused this user.
    fn is_denied(&self) -> bool {
        matches!(self, Self::Other(e) if e.kind() == std::io::ErrorKind::PermissionDenied)
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing"),
            Self::Other(e) => write!(f, "it cannot be read: {e}"),
        }
    }
}

/// Open a regular file in the bundle; its size is given with it.
pub(crate) fn open_file(dir: &OwnedFd, name: &Path) -> std::result::Result<(File, u64), FileError> {
    let (file, stat) = open_seen(dir, name)?;
    Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
}

/// Open a regular file in the bundle, with what the file system says of it.
fn open_seen(
    dir: &OwnedFd,
    name: &Path,
) -> std::result::Result<(File, rustix::fs::Stat), FileError> {
    let file = match open_untrusted(dir, name) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Err(FileError::Missing),
        Err(rustix::io::Errno::LOOP) => {
            return Err(FileError::Other(std::io::Error::other("it is a symbolic link")));
        }
        Err(e) => return Err(FileError::Other(e.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|e| FileError::Other(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FileError::Other(std::io::Error::other("it is not a regular file")));
    }
    Ok((file, stat))
}

/// Read a regular file in the bundle, whole, if it is at most `max` bytes.
pub(crate) fn read_file(
    dir: &OwnedFd,
    name: &str,
    max: u64,
) -> std::result::Result<Vec<u8>, FileError> {
    let (file, size) = open_file(dir, Path::new(name))?;
    if size > max {
        let text = format!("{size} bytes, more than {max}");
        return Err(FileError::Other(std::io::Error::other(text)));
    }
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes).map_err(FileError::Other)?;
    Ok(bytes)
}

fn read_token(dir: &OwnedFd, path: &Path) -> Result<Token> {
    let bytes = match read_file(dir, "token", MAX_TOKEN) {
        Ok(bytes) => bytes,
        Err(FileError::Missing) => return Ok(Token::Missing),
        // Ours to mend.
        Err(FileError::Other(e)) if crate::io::is_out_of_descriptors(&e) => {
            return Err(Error::io(format!("cannot read {}/token", path.display()), e));
        }
        Err(e) => return Ok(Token::Unread { denied: e.is_denied(), why: e.to_string() }),
    };
    Ok(if bytes.is_empty() {
        Token::Empty
    } else if bytes.starts_with(b"encrcdsa") {
        Token::EncrCdsa(bytes)
    } else if bytes.ends_with(b"cdsaencr") {
        Token::CdsaEncr(bytes)
    } else {
        Token::Unknown(crate::io::bytes::to_u64(bytes.len()))
    })
}
