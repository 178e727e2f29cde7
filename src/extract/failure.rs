//! Why an object could not be restored, sorted by what follows from it.

use crate::error::Error;
use rustix::io::Errno;

/// What went wrong with one object, or with all.
#[derive(Debug)]
pub enum Failure {
    /// The backup's side: damaged, unreadable, unsupported. Another snapshot may help.
    Source(Error),
    /// Something that differs is at the destination already.
    There(Error),
    /// The destination refuses this object.
    Refused(Error),
    /// Nothing more can be written: the destination is full, or gone.
    Fatal(Error),
    /// The user asked to stop.
    Interrupted,
}

/// Result with a [`Failure`].
pub type Outcome<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Interrupted => Self::Interrupted,
            other => Self::Source(other),
        }
    }
}

/// Whether no other object will fare better.
fn is_fatal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOSPC
            | Errno::DQUOT
            | Errno::ROFS
            | Errno::IO
            | Errno::NODEV
            | Errno::NXIO
            | Errno::STALE
            | Errno::NOTCONN
            | Errno::MFILE
            | Errno::NFILE
    )
}

/// An error of the destination with what was being done.
pub fn refused(what: impl Into<String>, errno: Errno) -> Failure {
    let what = what.into();
    match errno {
        Errno::EXIST => Failure::There(Error::io(
            what,
            std::io::Error::new(
                std::io::ErrorKind::AlreadyExists,
                "is already there and was not overwritten",
            ),
        )),
        e if is_fatal(e) => Failure::Fatal(Error::io(what, e)),
        e => Failure::Refused(Error::io(what, e)),
    }
}

/// As [`refused`], of the standard library's errors.
pub fn refused_io(what: impl Into<String>, error: std::io::Error) -> Failure {
    match Errno::from_io_error(&error) {
        Some(errno) => refused(what, errno),
        None => Failure::Refused(Error::io(what, error)),
    }
}
