//! A folder of the destination, held open.

use super::{Abilities, DIR, PARTIAL, TEMPORARY, Wanted};
use crate::extract::failure::{Failure, Outcome, refused};
use crate::extract::xsym;
use crate::fs::{Kind, Time};
use crate::io::bytes::to_u64;
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Mode of a folder that is being filled. By it the next run knows the folders that an
/// interrupted one made and did not finish.
const UNFINISHED: u32 = 0o1700;

/// A folder in the destination, held open.
pub struct Folder {
    pub(super) dir: OwnedFd,
    /// Path from the root.
    path: PathBuf,
    /// What was in it when it was entered.
    names: HashSet<Vec<u8>>,
    /// What to do with its own metadata at the end.
    pub finish: Finish,
}

/// What becomes of a folder's own metadata when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was made by a restore: give it everything.
    All,
    /// It was finished before: give it all that was asked for this time.
    Again,
    /// It may have been finished before: give it its times again.
    Times,
    /// It is somebody else's: leave it as it is.
    Nothing,
}

/// What is at a name.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// What it is; `None` for kinds unknown.
    pub kind: Option<Kind>,
    /// Length in bytes.
    pub size: u64,
    /// When it was changed.
    pub modified: Time,
    /// Device and number.
    pub identity: (u64, u64),
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Major and minor number, of a device.
    pub device: (u32, u32),
}

impl Found {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            kind: u16::try_from(stat.st_mode).ok().and_then(Kind::of_mode),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: Time {
                seconds: stat.st_mtime,
                nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            },
            identity: (stat.st_dev, stat.st_ino),
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
        }
    }
}

impl Folder {
    /// A folder that may hold something already.
    pub(super) fn existing(dir: OwnedFd, path: PathBuf) -> Outcome<Self> {
        let names = remove_leftovers(&dir);
        Ok(Self { dir, path, names, finish: Finish::Nothing })
    }

    /// A folder to look into.
    pub(super) fn plain(dir: OwnedFd) -> Self {
        let names = HashSet::new();
        Self { dir, path: PathBuf::new(), names, finish: Finish::Nothing }
    }

    /// Path from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    pub(super) fn say(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// Whether something of that name may have been there when the folder was entered.
    /// On destinations that fold names this cannot be told without asking.
    pub fn may_hold(&self, name: &str, can: &Abilities) -> bool {
        if self.names.is_empty() {
            return false;
        }
        can.names.folds_case || can.names.folds_forms || self.names.contains(name.as_bytes())
    }

    /// What is at `name`; `None` if nothing is.
    pub fn find(&self, name: &str) -> Outcome<Option<Found>> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(refused(self.say(name), e)),
        }
    }

    /// Open a file that is there, to compare it. Links are not followed.
    pub fn open_file(&self, name: &str) -> Outcome<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name, flags, Mode::empty())
            .map(Into::into)
            .map_err(|e| refused(self.say(name), e))
    }

    /// Target of a link that is there.
    pub fn read_link(&self, name: &str) -> Outcome<Vec<u8>> {
        rustix::fs::readlinkat(&self.dir, name, Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(|e| refused(self.say(name), e))
    }

    /// Whether what is there is a link to `target`, or the file that stands for one.
    pub fn is_link_to(&self, name: &str, found: &Found, target: &[u8]) -> Outcome<bool> {
        match found.kind {
            Some(Kind::Symlink) => Ok(self.read_link(name)? == target),
            Some(Kind::File) if found.size == to_u64(xsym::LEN) => {
                let file = self.open_file(name)?;
                let mut bytes = vec![0; xsym::LEN];
                let read = std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0);
                Ok(read.is_ok() && xsym::file(target).as_ref() == Some(&bytes))
            }
            _ => Ok(false),
        }
    }

    /// Make or enter a folder. A link or file in its place is refused.
    pub fn make_folder(&self, name: &str, wanted: &Wanted, can: &Abilities) -> Outcome<Self> {
        let mode = Mode::from_raw_mode(UNFINISHED);
        let made = match rustix::fs::mkdirat(&self.dir, name, mode) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => return Err(refused(self.say(name), e)),
        };
        let mut folder = self.enter(name)?;
        let stat = rustix::fs::fstat(&folder.dir).map_err(|e| refused(self.say(name), e))?;
        folder.finish = if made && stat.st_uid == rustix::process::geteuid().as_raw() {
            Finish::All
        } else {
            folder.names = remove_leftovers(&folder.dir);
            how_to_finish(&stat, wanted, can, made)
        };
        Ok(folder)
    }

    /// Enter a folder that is there. A link or file in its place is refused.
    pub fn enter(&self, name: &str) -> Outcome<Self> {
        let dir = rustix::fs::openat(&self.dir, name, DIR | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|e| match e {
                Errno::NOTDIR | Errno::LOOP => refused(self.say(name), Errno::EXIST),
                e => refused(self.say(name), e),
            })?;
        let names = HashSet::new();
        Ok(Self { dir, path: self.path.join(name), names, finish: Finish::Nothing })
    }

    /// Take a file that is there out of the way of one that replaces it by other means
    /// than renaming.
    pub fn remove(&self, name: &str) -> Outcome<()> {
        rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()).map_err(|e| match e {
            Errno::ISDIR => Failure::There(crate::Error::io(self.say(name), e)),
            e => refused(self.say(name), e),
        })
    }
}

/// What may be done to a folder that was there.
fn how_to_finish(stat: &Stat, wanted: &Wanted, can: &Abilities, made: bool) -> Finish {
    let own = stat.st_uid == rustix::process::geteuid().as_raw()
        || wanted.owner.is_some_and(|(uid, _)| uid == stat.st_uid);
    // Where owners are made up, a folder that was just made need not be ours.
    let ours = stat.st_mode & 0o7777 == UNFINISHED || (made && !can.modes);
    if own && ours {
        Finish::All
    } else if can.same_time(wanted.modified, Found::of(stat).modified) && can.modes {
        Finish::Again
    } else if !can.modes {
        Finish::Times
    } else {
        Finish::Nothing
    }
}

/// The names in a folder, without what a killed run left behind, which is removed.
pub(super) fn remove_leftovers(dir: &OwnedFd) -> HashSet<Vec<u8>> {
    let mut names = HashSet::new();
    let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return names };
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let ours = name.starts_with(TEMPORARY.as_bytes());
        if ours && name.ends_with(PARTIAL.as_bytes()) {
            let _ = rustix::fs::unlinkat(dir, entry.file_name(), AtFlags::empty());
        } else if ours && name.ends_with(b"-probe") {
            remove_probe(dir, entry.file_name());
        } else {
            names.insert(name.to_vec());
        }
    }
    names
}

fn remove_probe(dir: &OwnedFd, name: &std::ffi::CStr) {
    if let Ok(probe) = rustix::fs::openat(dir, name, DIR | OFlags::NOFOLLOW, Mode::empty())
        && let Ok(entries) = rustix::fs::Dir::read_from(&probe)
    {
        for entry in entries.flatten() {
            let _ = rustix::fs::unlinkat(&probe, entry.file_name(), AtFlags::empty());
        }
    }
    let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
}
