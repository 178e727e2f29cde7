//! The destination: folders held open, files made under a temporary name.

use crate::error::{Error, Result};
use crate::fs::{Kind, Metadata, Time};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps, Uid,
};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder that everything goes into.
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
}

fn failed(what: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Error {
    move |e| match e {
        rustix::io::Errno::EXIST => {
            let text = "is already there and was not overwritten";
            Error::io(what, std::io::Error::new(std::io::ErrorKind::AlreadyExists, text))
        }
        e => Error::io(what, e),
    }
}

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Open `path`, making it and its parents if they are not there.
    pub fn open(path: &Path) -> Result<Self> {
        let what = format!("cannot use {}", path.display());
        std::fs::create_dir_all(path).map_err(|e| Error::io(what.clone(), e))?;
        let dir = rustix::fs::open(path, DIR, Mode::empty()).map_err(failed(what))?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// The root as a folder to put things into.
    pub fn folder(&self) -> Result<Folder> {
        let dir = self.dir.try_clone().map_err(|e| Error::io("cannot use the destination", e))?;
        Ok(Folder { dir, path: PathBuf::new(), shown: self.path.clone() })
    }
}

/// A folder in the destination, held open.
pub struct Folder {
    dir: OwnedFd,
    /// Path from the root.
    path: PathBuf,
    /// Path for messages.
    shown: PathBuf,
}

fn owner(meta: &Metadata) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))
}

fn times(meta: &Metadata) -> Timestamps {
    let spec = |t: Option<Time>| {
        let t = t.unwrap_or_default();
        Timespec { tv_sec: t.seconds, tv_nsec: t.nanoseconds.into() }
    };
    let modified = meta.times.modified;
    Timestamps {
        last_access: spec(meta.times.accessed.or(modified)),
        last_modification: spec(modified),
    }
}

fn permissions(meta: &Metadata) -> Mode {
    Mode::from_raw_mode(u32::from(meta.mode & 0o7777))
}

/// Owner, then mode (a change of owner clears set-id bits), then times.
fn set_by_fd(fd: BorrowedFd<'_>, meta: &Metadata, owners: bool) -> rustix::io::Result<()> {
    if owners {
        let (uid, gid) = owner(meta);
        rustix::fs::fchown(fd, uid, gid)?;
    }
    let mut mode = permissions(meta);
    if !owners {
        // Set-id bits of an owner who is not set would be somebody else's.
        mode.remove(Mode::SUID | Mode::SGID);
    }
    rustix::fs::fchmod(fd, mode)?;
    rustix::fs::futimens(fd, &times(meta))
}

impl Folder {
    /// Path from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn say(&self, name: &str) -> String {
        self.shown.join(name).display().to_string()
    }

    /// Another handle of the same folder.
    pub fn again(&self) -> Result<Self> {
        let dir = self.dir.try_clone().map_err(|e| Error::io(self.say(""), e))?;
        Ok(Self { dir, path: self.path.clone(), shown: self.shown.clone() })
    }

    /// Make or enter a folder; whether it was made. A link in its place is refused.
    pub fn make_folder(&self, name: &str) -> Result<(Self, bool)> {
        let made = match rustix::fs::mkdirat(&self.dir, name, Mode::RWXU) {
            Ok(()) => true,
            Err(rustix::io::Errno::EXIST) => false,
            Err(e) => return Err(failed(self.say(name))(e)),
        };
        let dir = rustix::fs::openat(&self.dir, name, DIR | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|e| match e {
                rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => {
                    failed(self.say(name))(rustix::io::Errno::EXIST)
                }
                e => failed(self.say(name))(e),
            })?;
        let folder = Self { dir, path: self.path.join(name), shown: self.shown.join(name) };
        Ok((folder, made))
    }

    /// Give the folder itself its metadata.
    pub fn set_own_metadata(&self, meta: &Metadata, owners: bool) -> Result<()> {
        set_by_fd(self.dir.as_fd(), meta, owners).map_err(failed(self.say("")))
    }

    /// Begin a file; it gets its name when it is finished.
    pub fn create<'a>(&'a self, name: &'a str) -> Result<Partial<'a>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".tmbundle-{}-{unique}.partial", std::process::id());
        if rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(failed(self.say(name))(rustix::io::Errno::EXIST));
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, &*temporary, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed(self.say(name)))?;
        Ok(Partial { folder: self, name, temporary, file: file.into(), done: false })
    }

    /// Make another name for a file that was restored before.
    pub fn link(&self, root: &Root, first: &Path, name: &str) -> Result<()> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let parent = first.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let from = rustix::fs::openat2(&root.dir, parent, DIR, Mode::empty(), resolve)
            .map_err(failed(self.say(name)))?;
        let base = first.file_name().unwrap_or_default();
        rustix::fs::linkat(&from, base, &self.dir, name, AtFlags::empty())
            .map_err(failed(self.say(name)))
    }

    fn set_by_name(&self, name: &str, meta: &Metadata, owners: bool) -> rustix::io::Result<()> {
        if owners {
            let (uid, gid) = owner(meta);
            rustix::fs::chownat(&self.dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        rustix::fs::utimensat(&self.dir, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Make a symbolic link.
    pub fn symlink(&self, target: &[u8], name: &str, meta: &Metadata, owners: bool) -> Result<()> {
        rustix::fs::symlinkat(target, &self.dir, name).map_err(failed(self.say(name)))?;
        self.set_by_name(name, meta, owners).map_err(failed(self.say(name)))
    }

    /// Make a device, fifo or socket.
    pub fn special(&self, name: &str, meta: &Metadata, owners: bool) -> Result<()> {
        let kind = match meta.kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            _ => FileType::Socket,
        };
        let device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        let number = meta.device.map_or(0, |d| rustix::fs::makedev(d.major, d.minor));
        rustix::fs::mknodat(&self.dir, name, kind, permissions(meta), number).map_err(
            |e| match e {
                rustix::io::Errno::PERM if device => Error::io(
                    self.say(name),
                    std::io::Error::other("devices can be made by root only"),
                ),
                e => failed(self.say(name))(e),
            },
        )?;
        self.set_by_name(name, meta, owners).map_err(failed(self.say(name)))?;
        // The mode is subject to the umask until set.
        rustix::fs::chmodat(&self.dir, name, permissions(meta), AtFlags::empty())
            .map_err(failed(self.say(name)))
    }
}

/// A file being written; removed again unless it is finished.
pub struct Partial<'a> {
    folder: &'a Folder,
    name: &'a str,
    temporary: String,
    file: File,
    done: bool,
}

impl Partial<'_> {
    /// Write bytes at an offset.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|e| Error::io(format!("cannot write {}", self.folder.say(self.name)), e))
    }

    /// Give the file its size, metadata and name.
    pub fn finish(mut self, len: u64, meta: &Metadata, owners: bool) -> Result<()> {
        let what = || self.folder.say(self.name);
        self.file.set_len(len).map_err(|e| Error::io(what(), e))?;
        set_by_fd(self.file.as_fd(), meta, owners).map_err(failed(what()))?;
        let dir = &self.folder.dir;
        let renamed = rustix::fs::renameat_with(
            dir,
            &*self.temporary,
            dir,
            self.name,
            RenameFlags::NOREPLACE,
        );
        match renamed {
            // File systems without that flag: a link refuses an existing name, too.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                rustix::fs::linkat(dir, &*self.temporary, dir, self.name, AtFlags::empty())
                    .map_err(failed(what()))?;
            }
            other => {
                other.map_err(failed(what()))?;
                self.done = true;
            }
        }
        Ok(())
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        if !self.done {
            let _ = rustix::fs::unlinkat(&self.folder.dir, &*self.temporary, AtFlags::empty());
        }
    }
}
