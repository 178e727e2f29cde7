//! Owner, mode and times of what was made, by its descriptor.

use super::Abilities;
use crate::fs::{Metadata, Time};
use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What an object shall have.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// User and group; `None` to leave them.
    pub owner: Option<(u32, u32)>,
    /// Permission bits.
    pub mode: u32,
    /// Contents changed.
    pub modified: Time,
    /// Last read.
    pub accessed: Time,
}

/// What the destination did not take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotGiven {
    /// User or group.
    pub owner: bool,
    /// Permissions.
    pub mode: bool,
    /// Times.
    pub times: bool,
    /// Set-id bits that were taken off.
    pub setid: bool,
}

impl Wanted {
    /// Of an object of the backup. `owner`: who gets it. Set-id bits only where they are
    /// wanted (`setid`) and are the owner's.
    pub fn new(meta: &Metadata, owner: Option<(u32, u32)>, setid: bool) -> Self {
        let keep = if setid && owner.is_some() { 0o7777 } else { 0o1777 };
        let modified = meta.times.modified.unwrap_or_default();
        Self {
            owner,
            mode: u32::from(meta.mode) & keep,
            modified,
            accessed: meta.times.accessed.unwrap_or(modified),
        }
    }

    /// The mode to make a file with: what does not wait for the owner.
    pub fn first_mode(&self) -> Mode {
        let mut mode = self.mode & 0o777;
        // Before it has its owner a group may not do what not everybody may.
        if self.owner.is_some() && (mode >> 3) & 0o7 & !mode != 0 {
            mode &= 0o707;
        }
        Mode::from_raw_mode(mode)
    }

    fn timestamps(&self) -> Timestamps {
        let spec = |t: Time| Timespec { tv_sec: t.seconds, tv_nsec: t.nanoseconds.into() };
        Timestamps { last_access: spec(self.accessed), last_modification: spec(self.modified) }
    }
}

/// A descriptor, and how calls reach it: one that is open for paths only has to be
/// reached in other ways.
#[derive(Clone, Copy)]
pub enum Handle<'a> {
    /// Open for reading or writing.
    Open(BorrowedFd<'a>),
    /// Opened with `O_PATH`.
    Path(BorrowedFd<'a>),
}

impl Handle<'_> {
    fn stat(self) -> rustix::io::Result<Stat> {
        match self {
            Self::Open(fd) | Self::Path(fd) => rustix::fs::fstat(fd),
        }
    }

    fn chown(self, uid: u32, gid: u32) -> rustix::io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, gid),
            Self::Path(fd) => rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH),
        }
    }

    fn chmod(self, mode: u32) -> rustix::io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => rustix::fs::fchmod(fd, mode),
            // The link in /proc leads to what is open, whatever its name is now.
            Self::Path(fd) => rustix::fs::chmod(proc_path(fd), mode),
        }
    }

    fn set_times(self, times: &Timestamps) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, times),
            Self::Path(fd) => match rustix::fs::utimensat(fd, c"", times, AtFlags::EMPTY_PATH) {
                // Linux before 5.8.
                Err(Errno::INVAL | Errno::NOENT | Errno::NOSYS) => {
                    rustix::fs::utimensat(rustix::fs::CWD, proc_path(fd), times, AtFlags::empty())
                }
                other => other,
            },
        }
    }
}

pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Give an object its owner, mode and times, in this order: a change of owner clears
/// set-id bits. `links` have no mode of their own.
pub fn give(handle: Handle<'_>, wanted: &Wanted, can: &Abilities, has_mode: bool) -> NotGiven {
    let mut not = NotGiven::default();
    let Ok(stat) = handle.stat() else {
        return NotGiven { owner: true, mode: true, times: true, setid: false };
    };
    give_owner(handle, wanted, &stat, &mut not);
    if has_mode {
        give_mode(handle, wanted, &stat, can, &mut not);
    }
    not.times = handle.set_times(&wanted.timestamps()).is_err();
    not
}

/// The same of a folder, its mode last: until then it counts as unfinished.
pub fn give_folder(fd: BorrowedFd<'_>, wanted: &Wanted, can: &Abilities) -> NotGiven {
    let handle = Handle::Open(fd);
    let mut not = NotGiven::default();
    let Ok(stat) = handle.stat() else {
        return NotGiven { owner: true, mode: true, times: true, setid: false };
    };
    give_owner(handle, wanted, &stat, &mut not);
    not.times = handle.set_times(&wanted.timestamps()).is_err();
    give_mode(handle, wanted, &stat, can, &mut not);
    not
}

/// Give a folder its times alone.
pub fn give_times(fd: BorrowedFd<'_>, wanted: &Wanted) -> bool {
    Handle::Open(fd).set_times(&wanted.timestamps()).is_ok()
}

fn give_owner(handle: Handle<'_>, wanted: &Wanted, stat: &Stat, not: &mut NotGiven) {
    if let Some((uid, gid)) = wanted.owner
        && (stat.st_uid, stat.st_gid) != (uid, gid)
    {
        not.owner = handle.chown(uid, gid).is_err();
    }
}

fn give_mode(
    handle: Handle<'_>,
    wanted: &Wanted,
    stat: &Stat,
    can: &Abilities,
    not: &mut NotGiven,
) {
    let mut mode = wanted.mode;
    if not.owner && mode & 0o6000 != 0 {
        // Set-id bits of an owner who is not set would be somebody else's.
        mode &= 0o1777;
        not.setid = true;
    }
    if stat.st_mode & 0o7777 == mode {
        return;
    }
    not.mode = !can.modes || handle.chmod(mode).is_err();
}
