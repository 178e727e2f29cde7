//! Files of an earlier restore.

use super::{Abilities, DOUBT, Folder, Found, Handle, NotGiven, Wanted, give};
use crate::extract::failure::{Outcome, refused};
use rustix::fs::{Mode, OFlags, XattrFlags};
use std::os::fd::AsFd;

impl Folder {
    /// Whether a file that is there was marked as one whose bytes may not be right.
    pub fn is_doubtful(&self, name: &str) -> bool {
        let Ok(file) = self.open_file(name) else { return false };
        rustix::fs::fgetxattr(&file, DOUBT, &mut [0u8; 0][..]).is_ok()
    }

    /// Give a file that is there its owner, mode and times, if any of them differ. One that
    /// has more names than were restored (`names`) may be anybody's, and is left.
    pub fn give_again(
        &self,
        name: &str,
        found: &Found,
        wanted: &Wanted,
        can: &Abilities,
        names: bool,
    ) -> Outcome<NotGiven> {
        let owned = wanted.owner.is_none_or(|owner| owner == found.owner);
        let same =
            owned && found.mode == wanted.mode && can.same_time(wanted.modified, found.modified);
        if same {
            return Ok(NotGiven::default());
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let say = |e| refused(self.path().join(name).display().to_string(), e);
        let file = rustix::fs::openat(self.fd(), name, flags, Mode::empty()).map_err(say)?;
        let stat = rustix::fs::fstat(&file).map_err(say)?;
        let same = (stat.st_dev, stat.st_ino) == found.identity;
        if !same || (stat.st_nlink > 1 && !names) {
            return Ok(NotGiven { owner: !owned, ..NotGiven::default() });
        }
        Ok(give(Handle::Path(file.as_fd()), wanted, can, true))
    }
}

/// Give an attribute, unless it is there already.
pub fn set_again(file: impl AsFd, name: &str, value: &[u8]) -> bool {
    let mut is = vec![0; value.len() + 1];
    let there = rustix::fs::fgetxattr(&file, name, &mut is[..]);
    if there.is_ok_and(|n| is.get(..n) == Some(value)) {
        return true;
    }
    rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()).is_ok()
}
