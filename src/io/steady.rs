//! Whether a file is still what it was when it was first looked at.
//!
//! What is taken away, cut or emptied while it is read gives zeros that nobody wrote. No
//! single read can tell that; what the file system says of the file before and after can.

use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

/// How a file stood when it was first looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    identity: (u64, u64),
    size: i64,
    blocks: i64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What became of a file since it was first looked at, the worse behind the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Its mode, owner or name changed, or its times were set.
    Touched,
    /// It was written to, and has lost nothing by it.
    Written,
    /// It cannot be looked at any more.
    Unknown,
    /// Something else lies under its name.
    Replaced,
    /// It has holes where it had bytes.
    Emptied,
    /// It is shorter.
    Cut,
    /// It is not there any more.
    Gone,
}

impl Change {
    /// Whether bytes that were there may have been read as zeros, or others in their place.
    pub fn is_loss(self) -> bool {
        self > Self::Written
    }

    /// What happened, behind "it".
    pub fn words(self) -> &'static str {
        match self {
            Self::Touched => "was given other attributes",
            Self::Written => "was written to",
            Self::Unknown => "cannot be looked at any more",
            Self::Replaced => "was replaced by something else",
            Self::Emptied => "has holes where it had bytes",
            Self::Cut => "was cut",
            Self::Gone => "was taken away",
        }
    }
}

impl FileState {
    /// Of what the file system says.
    pub fn of(stat: &Stat) -> Self {
        let nanos = |n| i64::try_from(n).unwrap_or(0);
        Self {
            identity: (stat.st_dev, stat.st_ino),
            size: stat.st_size,
            blocks: stat.st_blocks,
            modified: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
        }
    }

    /// What became of it, from what the file system says now.
    pub fn change(&self, now: rustix::io::Result<Stat>) -> Option<Change> {
        let now = match now {
            Ok(stat) => Self::of(&stat),
            Err(rustix::io::Errno::NOENT) => return Some(Change::Gone),
            Err(_) => return Some(Change::Unknown),
        };
        if now.identity != self.identity {
            return Some(Change::Replaced);
        }
        if now.size < self.size {
            return Some(Change::Cut);
        }
        // A file system may give back at any time what it had only set aside.
        if now.changed == self.changed && now.modified == self.modified {
            return None;
        }
        Some(match (now.blocks < self.blocks, now.modified == self.modified) {
            (true, _) => Change::Emptied,
            (false, true) if now.size == self.size => Change::Touched,
            (false, _) => Change::Written,
        })
    }
}

/// Watches the name a source was opened by, and of a file what is in it.
pub struct SourceWatch {
    held: OwnedFd,
    parent: OwnedFd,
    name: OsString,
    standing: FileState,
    file: bool,
}

impl SourceWatch {
    pub(super) fn new(held: OwnedFd, parent: OwnedFd, name: &OsStr) -> rustix::io::Result<Self> {
        let stat = fstat(&held)?;
        let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let standing = FileState::of(&stat);
        Ok(Self { held, parent, name: name.to_owned(), standing, file })
    }

    /// What became of the name; `None` while it leads to the source. Follows nothing and
    /// opens nothing.
    pub fn moved(&self) -> Option<&'static str> {
        match statat(&self.parent, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileState::of(&stat).identity == self.standing.identity => None,
            Ok(_) => Some("something else was put in its place"),
            Err(_) => Some("it is not there any more"),
        }
    }

    /// What became of what is in a file. Of a folder or a device nothing is told here.
    pub fn change(&self) -> Option<Change> {
        if self.file { self.standing.change(fstat(&self.held)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn stat(path: &std::path::Path) -> rustix::io::Result<Stat> {
        statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)
    }

    #[test]
    fn each_change_is_told_from_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let begin = || {
            std::fs::write(&path, vec![7; 1 << 20]).unwrap();
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.sync_all().unwrap();
            let standing = FileState::of(&stat(&path).unwrap());
            // Times of files may be as coarse as the clock's tick.
            std::thread::sleep(std::time::Duration::from_millis(20));
            (file, standing)
        };
        let (_, standing) = begin();
        assert_eq!(standing.change(stat(&path)), None);
        let (file, standing) = begin();
        file.write_at(b"x", 5).unwrap();
        assert_eq!(standing.change(stat(&path)), Some(Change::Written));
        let (file, standing) = begin();
        file.set_len(5000).unwrap();
        assert_eq!(standing.change(stat(&path)), Some(Change::Cut));
        let (file, standing) = begin();
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&file, punch, 0, 1 << 20).is_ok() {
            file.sync_all().unwrap();
            assert_eq!(standing.change(stat(&path)), Some(Change::Emptied));
        }
        let (_, standing) = begin();
        std::fs::write(dir.path().join("other"), vec![0; 1 << 20]).unwrap();
        std::fs::rename(dir.path().join("other"), &path).unwrap();
        assert_eq!(standing.change(stat(&path)), Some(Change::Replaced));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(standing.change(stat(&path)), Some(Change::Gone));
    }
}
