//! The destination: folders held open, files made under a temporary name.
//!
//! Everything is done relative to open folders, and what is done to an object after it
//! was made goes to its own descriptor, never to its name: who may write to the
//! destination may have put something else there meanwhile.

mod abilities;
mod again;
mod folder;
mod links;
mod metadata;
mod partial;
mod special;

pub use abilities::{Abilities, NameRules, has, lacks};
pub use again::set_again;
pub use folder::{Finish, Folder, Found};
pub use links::Made;
pub use metadata::{Handle, NotGiven, Wanted, give, give_folder, give_times};
pub use partial::{Partial, Replace};
pub use special::is_unsupported;

use super::failure::{Failure, Outcome, refused, refused_io};
use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Beginning of the names under which things are made.
pub const TEMPORARY: &str = ".tmbundle-";
/// End of the names of files that are not finished.
const PARTIAL: &str = ".partial";
/// Attribute of a file that was restored though its bytes may not be right: why.
pub const DOUBT: &str = "user.tmbundle.doubt";

/// The folder that everything goes into.
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
    /// What it can do.
    pub can: Abilities,
}

/// Room at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may be written.
    pub bytes: u64,
    /// Objects that may be made; `None` where there is no such limit.
    pub objects: Option<u64>,
    /// Size of a block: what the smallest file takes.
    pub block: u64,
}

impl Root {
    /// Open `path`, making it and its parents if they are not there.
    ///
    /// # Errors
    /// When it cannot be used, or another restore into it is running.
    pub fn open(path: &Path) -> Outcome<Self> {
        let what = || format!("cannot use {}", path.display());
        std::fs::create_dir_all(path).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                let text = format!("{}: it is no folder, or lies in none", what());
                Failure::Fatal(Error::Invalid(text))
            }
            _ => refused_io(what(), e),
        })?;
        let dir = rustix::fs::open(path, DIR, Mode::empty()).map_err(|e| refused(what(), e))?;
        let locked = rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive);
        // Some file systems do not lock folders; that is no reason not to go on.
        if locked == Err(rustix::io::Errno::AGAIN) {
            let text = format!("{}: another restore into it is running", path.display());
            return Err(Failure::Fatal(Error::Invalid(text)));
        }
        folder::remove_leftovers(&dir);
        let can = Abilities::probe(&dir);
        Ok(Self { dir, path: path.to_owned(), can })
    }

    /// Open `path` only to look what is there, and change nothing; `None` if nothing is.
    pub fn look(path: &Path) -> Option<Self> {
        let dir = rustix::fs::open(path, DIR, Mode::empty()).ok()?;
        Some(Self { dir, path: path.to_owned(), can: Abilities::default() })
    }

    /// Whether it holds anything.
    pub fn is_empty(&self) -> bool {
        let Ok(entries) = rustix::fs::Dir::read_from(&self.dir) else { return false };
        !entries.flatten().any(|e| !matches!(e.file_name().to_bytes(), b"." | b".."))
    }

    /// The root as a folder to look into.
    pub fn folder_to_look(&self) -> Option<Folder> {
        Some(Folder::plain(self.dir.try_clone().ok()?))
    }

    /// The root as a folder to put things into.
    pub fn folder(&self) -> Outcome<Folder> {
        let dir =
            self.dir.try_clone().map_err(|e| refused_io(self.path.display().to_string(), e))?;
        Folder::existing(dir, PathBuf::new())
    }

    /// Path of something below it, for messages.
    pub fn say(&self, below: &Path) -> String {
        self.path.join(below).display().to_string()
    }

    /// Wait until its disk has everything.
    pub fn sync(&self) -> Outcome<()> {
        rustix::fs::syncfs(self.dir.as_fd())
            .map_err(|e| refused(format!("cannot save {}", self.path.display()), e))
    }
}

/// How much room there is at `path`, or at the nearest folder above that exists.
///
/// # Errors
/// When the system does not say.
pub fn room(path: &Path) -> Result<Room> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let s = rustix::fs::statvfs(there)
        .map_err(|e| Error::io(format!("cannot ask for room at {}", there.display()), e))?;
    let block = s.f_frsize.max(1);
    Ok(Room {
        bytes: s.f_bavail.saturating_mul(block),
        objects: (s.f_files > 0).then_some(s.f_favail),
        block,
    })
}
