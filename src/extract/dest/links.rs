//! Further names of a file that was restored before.

use super::metadata::proc_path;
use super::{Abilities, DIR, Folder, Found, Root, has, lacks};
use crate::extract::failure::{Outcome, refused};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the first name of a file with several was put, and which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Path from the root.
    pub path: PathBuf,
    /// Device and number.
    pub identity: (u64, u64),
}

impl Root {
    /// Open a folder below the root without following any link.
    fn open_below(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        crate::io::open_below(&self.dir, path, DIR)
    }

    /// Open what was made before, if it is still what was made.
    fn open_made(&self, made: &Made) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
        let dir = self.open_below(made.path.parent().unwrap_or(Path::new("")))?;
        let base = made.path.file_name().unwrap_or_default();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, base, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if (stat.st_dev, stat.st_ino) == made.identity {
            Ok((dir, file))
        } else {
            Err(Errno::STALE)
        }
    }

    /// Open a file that was made before, for reading its bytes again.
    pub fn read_made(&self, made: &Made) -> Option<std::fs::File> {
        let dir = self.open_below(made.path.parent().unwrap_or(Path::new(""))).ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, made.path.file_name()?, flags, Mode::empty()).ok()?;
        let same = Found::of(&rustix::fs::fstat(&file).ok()?).identity == made.identity;
        same.then(|| file.into())
    }

    /// Make another name for a file that was restored before. `Ok(false)`: the
    /// destination has no such links, or not that many.
    pub fn link(&self, made: &Made, folder: &Folder, name: &str, can: &Abilities) -> Outcome<bool> {
        if !has(&can.hard_links) {
            return Ok(false);
        }
        let Ok((dir, file)) = self.open_made(made) else { return Ok(false) };
        let from = proc_path(file.as_fd());
        let mut linked =
            rustix::fs::linkat(rustix::fs::CWD, &*from, folder.fd(), name, AtFlags::SYMLINK_FOLLOW);
        if matches!(linked, Err(Errno::NOENT | Errno::XDEV)) {
            // No /proc here.
            let base = made.path.file_name().unwrap_or_default();
            linked = rustix::fs::linkat(&dir, base, folder.fd(), name, AtFlags::empty());
        }
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NOTTY) => {
                lacks(&can.hard_links);
                Ok(false)
            }
            Err(Errno::MLINK | Errno::XDEV | Errno::NOENT) => Ok(false),
            Err(Errno::EXIST) => match folder.find(name)? {
                Some(found) if found.identity == made.identity => Ok(true),
                _ => Err(refused(folder.say(name), Errno::EXIST)),
            },
            Err(e) => Err(refused(folder.say(name), e)),
        }
    }
}
