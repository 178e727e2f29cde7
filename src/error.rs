//! What can go wrong, sorted by what the caller can do about it.
//!
//! Texts are lower case, without a full stop: where first, then what was found
//! and what was expected. *Unsupported* is never called *corrupt*.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused or failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to what.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The path is not something tmbundle can open.
    #[error("{path} is not a sparse bundle or disk image: {why}", path = .path.display())]
    NotASource {
        /// The path that was given.
        path: PathBuf,
        /// What was looked for and not found.
        why: String,
    },
    /// Another program is using the source.
    #[error("{0} is in use")]
    Busy(String),
    /// The source is encrypted and no password was given.
    #[error("{0} is encrypted and no password was given")]
    PasswordRequired(String),
    /// No key record opens with this password.
    #[error("the password does not open {0}")]
    WrongPassword(String),
    /// No such file, folder, snapshot or volume.
    #[error("{0}")]
    NotFound(String),
    /// The arguments do not fit what is there.
    #[error("{0}")]
    Invalid(String),
    /// Recognised, but tmbundle cannot read it.
    #[error("{0}")]
    Unsupported(String),
    /// A structure on the disk is wrong.
    #[error("{0}")]
    Corrupt(Box<Corrupt>),
    /// Bytes that were asked for are not stored any more.
    #[error("{0}")]
    Lost(Box<Lost>),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Bytes of a file that are lost: what should hold them is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Whose bytes, for people; may be empty.
    pub what: String,
    /// First and behind the last of the lost bytes, in the stream.
    pub range: Range<u64>,
    /// The band that should hold them (its name), where the source is a bundle.
    pub band: Option<BandLocus>,
    /// What is wrong with it and how that is known, one sentence.
    pub why: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.what.is_empty() {
            write!(f, "{}: ", self.what)?;
        }
        let Range { start, end } = &self.range;
        write!(f, "bytes {start} to {} are lost: {}", end.saturating_sub(1), self.why)
    }
}

/// A structure that is wrong: which, where, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupt {
    /// The structure, e.g. `catalog node 418`.
    pub structure: String,
    /// Where it lies, if known.
    pub place: Option<Locus>,
    /// Found and expected.
    pub problem: String,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.structure)?;
        if let Some(place) = &self.place {
            write!(f, " at {place}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// A byte's address: its offset on the disk, and where the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locus {
    /// Byte offset from the start of the disk.
    pub offset: u64,
    /// The band file that holds it (its name), where the source is a bundle.
    pub band: Option<BandLocus>,
}

/// A byte inside a band file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BandLocus {
    /// Name of the band file: the band's index in lower-case hexadecimal.
    pub name: String,
    /// Byte offset in that file.
    pub offset: u64,
}

impl fmt::Display for Locus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.offset)?;
        if let Some(band) = &self.band {
            write!(f, " (band {}, offset {:#x})", band.name, band.offset)?;
        }
        Ok(())
    }
}

impl Error {
    /// Wrap a system error with what was being done.
    pub fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }

    /// Whether the system refused this user, which says nothing about the thing itself.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied)
    }

    /// Whether too many files are open, which is nobody's fault but ours.
    pub fn is_out_of_descriptors(&self) -> bool {
        // EMFILE, ENFILE.
        matches!(self, Self::Io { source, .. } if matches!(source.raw_os_error(), Some(24 | 23)))
    }

    /// A wrong structure whose place is not known.
    pub fn corrupt(structure: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::corrupt_at(structure, None, problem)
    }

    /// A wrong structure and its place.
    pub fn corrupt_at(
        structure: impl Into<String>,
        place: Option<Locus>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Corrupt(Box::new(Corrupt {
            structure: structure.into(),
            place,
            problem: problem.into(),
        }))
    }

    /// Whether a password is missing or opens nothing.
    pub fn is_about_password(&self) -> bool {
        matches!(self, Self::PasswordRequired(_) | Self::WrongPassword(_))
    }

    /// The same error once more, for who keeps what once failed: errors of the system
    /// cannot be copied, their kind and text can.
    pub fn again(&self) -> Self {
        match self {
            Self::Io { what, source } => {
                let source = match source.raw_os_error() {
                    Some(number) => std::io::Error::from_raw_os_error(number),
                    None => std::io::Error::new(source.kind(), source.to_string()),
                };
                Self::Io { what: what.clone(), source }
            }
            Self::NotASource { path, why } => {
                Self::NotASource { path: path.clone(), why: why.clone() }
            }
            Self::Busy(text) => Self::Busy(text.clone()),
            Self::PasswordRequired(text) => Self::PasswordRequired(text.clone()),
            Self::WrongPassword(text) => Self::WrongPassword(text.clone()),
            Self::NotFound(text) => Self::NotFound(text.clone()),
            Self::Invalid(text) => Self::Invalid(text.clone()),
            Self::Unsupported(text) => Self::Unsupported(text.clone()),
            Self::Corrupt(corrupt) => Self::Corrupt(corrupt.clone()),
            Self::Lost(lost) => Self::Lost(lost.clone()),
            Self::Interrupted => Self::Interrupted,
        }
    }

    /// Put `prefix: ` before the text of a damaged or unsupported thing, so
    /// that an inner error says which file it belongs to.
    pub fn within(self, outer: &str) -> Self {
        match self {
            Self::Corrupt(c) => Self::Corrupt(Box::new(Corrupt {
                structure: format!("{outer}: {}", c.structure),
                ..*c
            })),
            Self::Unsupported(s) => Self::Unsupported(format!("{outer}: {s}")),
            Self::Lost(l) if l.what.is_empty() => {
                Self::Lost(Box::new(Lost { what: outer.to_owned(), ..*l }))
            }
            Self::Lost(l) => {
                Self::Lost(Box::new(Lost { what: format!("{outer}: {}", l.what), ..*l }))
            }
            Self::Io { what, source } => Self::Io { what: format!("{outer}: {what}"), source },
            other => other,
        }
    }
}
