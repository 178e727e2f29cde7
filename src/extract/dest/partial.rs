//! A file being written under a temporary name.

use super::{Abilities, Folder, Handle, NotGiven, PARTIAL, TEMPORARY, Wanted, give, has, lacks};
use crate::extract::failure::{Outcome, refused, refused_io};
use rustix::fs::{AtFlags, OFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a file may take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// What is there stays.
    No,
    /// What is there goes.
    Yes,
}

/// A file being written; removed again unless it is finished.
pub struct Partial<'a> {
    folder: &'a Folder,
    name: &'a str,
    temporary: String,
    file: File,
    done: bool,
}

/// A name nobody else in this process uses.
pub(super) fn temporary() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    let unique = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY}{}-{unique}{PARTIAL}", *PROCESS)
}

impl Folder {
    /// Begin a file; it gets its name when it is finished.
    pub fn create<'a>(&'a self, name: &'a str, wanted: &Wanted) -> Outcome<Partial<'a>> {
        let temporary = temporary();
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, &*temporary, flags, wanted.first_mode())
            .map_err(|e| refused(self.say(name), e))?;
        Ok(Partial { folder: self, name, temporary, file: file.into(), done: false })
    }
}

impl Partial<'_> {
    /// Write bytes at an offset.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Outcome<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|e| refused_io(format!("cannot write {}", self.folder.say(self.name)), e))
    }

    /// Give the file a length; needed only where it ends in a hole.
    pub fn set_len(&self, len: u64) -> Outcome<()> {
        self.file.set_len(len).map_err(|e| refused_io(self.folder.say(self.name), e))
    }

    /// Give the file an attribute.
    pub fn set_xattr(&self, name: &str, value: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::fsetxattr(&self.file, name, value, XattrFlags::empty())
    }

    /// Take over the blocks of another file. `false` where that cannot be done.
    pub fn clone_from(&self, other: &File, can: &Abilities) -> bool {
        if !has(&can.clones) {
            return false;
        }
        match rustix::fs::ioctl_ficlone(&self.file, other) {
            Ok(()) => true,
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
                lacks(&can.clones);
                false
            }
            Err(_) => false,
        }
    }

    /// Device and number.
    pub fn identity(&self) -> Option<(u64, u64)> {
        rustix::fs::fstat(&self.file).ok().map(|s| (s.st_dev, s.st_ino))
    }

    /// Give the file its metadata and its name.
    pub fn finish(
        mut self,
        wanted: &Wanted,
        can: &Abilities,
        replace: Replace,
    ) -> Outcome<NotGiven> {
        let not = give(Handle::Open(self.file.as_fd()), wanted, can, true);
        self.rename(can, replace).map_err(|e| refused(self.folder.say(self.name), e))?;
        Ok(not)
    }

    fn rename(&mut self, can: &Abilities, replace: Replace) -> rustix::io::Result<()> {
        let (dir, from, to) = (&self.folder.dir, &*self.temporary, self.name);
        if replace == Replace::Yes {
            rustix::fs::renameat(dir, from, dir, to)?;
            self.done = true;
            return Ok(());
        }
        if has(&can.rename_noreplace) {
            match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    lacks(&can.rename_noreplace);
                }
                Err(e) => return Err(e),
                Ok(()) => {
                    self.done = true;
                    return Ok(());
                }
            }
        }
        self.rename_without_flag(can)
    }

    /// File systems without that flag: a link refuses an existing name, too. Those that
    /// have no links either are asked first, which leaves a moment in between.
    fn rename_without_flag(&mut self, can: &Abilities) -> rustix::io::Result<()> {
        let (dir, from, to) = (&self.folder.dir, &*self.temporary, self.name);
        if has(&can.hard_links) {
            match rustix::fs::linkat(dir, from, dir, to, AtFlags::empty()) {
                // The temporary name goes when this is dropped.
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => return Err(Errno::EXIST),
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    lacks(&can.hard_links);
                }
                Err(e) => return Err(e),
            }
        }
        match rustix::fs::statat(dir, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => {
                rustix::fs::renameat(dir, from, dir, to)?;
                self.done = true;
                Ok(())
            }
            Err(e) => Err(e),
        }
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        if !self.done {
            let _ = rustix::fs::unlinkat(&self.folder.dir, &*self.temporary, AtFlags::empty());
        }
    }
}
