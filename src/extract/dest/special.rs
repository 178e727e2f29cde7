//! Symbolic links, devices, fifos and sockets: made by name, then opened, looked at, and
//! given their metadata through the descriptor.

use super::{Abilities, Folder, Handle, NotGiven, Wanted, give};
use crate::error::Error;
use crate::extract::failure::{Failure, Outcome, refused};
use crate::fs::Kind;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Where permissions go that nobody shall have yet.
const NOBODY: Mode = Mode::empty();

impl Folder {
    /// Make a symbolic link.
    pub fn symlink(
        &self,
        target: &[u8],
        name: &str,
        wanted: &Wanted,
        can: &Abilities,
    ) -> Outcome<NotGiven> {
        rustix::fs::symlinkat(target, &self.dir, name).map_err(|e| refused(self.say(name), e))?;
        self.finish_symlink(target, name, wanted, can)
    }

    /// Give a link that is there its owner and times.
    pub fn finish_symlink(
        &self,
        target: &[u8],
        name: &str,
        wanted: &Wanted,
        can: &Abilities,
    ) -> Outcome<NotGiven> {
        let link = self
            .open_path(name, |stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)?;
        // The descriptor's own target: what was made, not what took its name.
        let found = rustix::fs::readlinkat(&link, c"", Vec::new());
        if found.is_ok_and(|t| t.as_bytes() != target) {
            return Err(self.changed(name));
        }
        Ok(give(Handle::Path(link.as_fd()), wanted, can, false))
    }

    /// Make a device, fifo or socket; `device` is its major and minor number.
    pub fn special(
        &self,
        name: &str,
        kind: Kind,
        device: (u32, u32),
        wanted: &Wanted,
        can: &Abilities,
    ) -> Outcome<NotGiven> {
        rustix::fs::mknodat(&self.dir, name, file_type(kind), NOBODY, number(kind, device))
            .map_err(|e| refused(self.say(name), e))?;
        self.finish_special(name, kind, device, wanted, can)
    }

    /// Give one that is there its owner, mode and times.
    pub fn finish_special(
        &self,
        name: &str,
        kind: Kind,
        device: (u32, u32),
        wanted: &Wanted,
        can: &Abilities,
    ) -> Outcome<NotGiven> {
        let (of, number) = (file_type(kind), number(kind, device));
        let right = |s: &Stat| FileType::from_raw_mode(s.st_mode) == of && s.st_rdev == number;
        let made = self.open_path(name, right)?;
        Ok(give(Handle::Path(made.as_fd()), wanted, can, true))
    }

    /// Open what was just made, to reach it and nothing else from now on; an error if
    /// something else is there.
    fn open_path(&self, name: &str, right: impl Fn(&Stat) -> bool) -> Outcome<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.dir, name, flags, Mode::empty())
            .map_err(|e| refused(self.say(name), e))?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| refused(self.say(name), e))?;
        // One that has other names may be anything.
        if right(&stat) && stat.st_nlink == 1 { Ok(fd) } else { Err(self.changed(name)) }
    }

    fn changed(&self, name: &str) -> Failure {
        let text = "somebody put something else in its place while it was being made";
        Failure::There(Error::io(self.say(name), std::io::Error::other(text)))
    }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::CharDevice => FileType::CharacterDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
        _ => FileType::Socket,
    }
}

/// A device's number; 0 of what is none.
fn number(kind: Kind, device: (u32, u32)) -> u64 {
    match kind {
        Kind::CharDevice | Kind::BlockDevice => rustix::fs::makedev(device.0, device.1),
        _ => 0,
    }
}

/// Whether a refusal to make such an object means that the destination has none.
pub fn is_unsupported(failure: &Failure) -> bool {
    let Failure::Refused(Error::Io { source, .. }) = failure else { return false };
    let errno = Errno::from_io_error(source);
    matches!(errno, Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL))
}
