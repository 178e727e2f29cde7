//! A source that is opened once and held on to.
//!
//! Whoever may write beside a source can put something else in its place: a link to
//! another's bundle, or to a file that only root may read. So a path is walked once, part
//! by part; from then on everything is opened below the descriptor that was got, and
//! whether the name still leads there is asked without following anything.

use super::{SourceWatch, open_untrusted, open_untrusted_dir};
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Links that are followed on the way to a source before that is given up.
const MAX_LINKS: usize = 40;

/// Whether the path of a source may lead through symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Links {
    /// Yes: the path is the word of the person who runs the command.
    #[default]
    Follow,
    /// The source itself may be none, and on the way only root's and the caller's own are
    /// followed: the path comes from a share, or from a mount that serves others.
    Refuse,
}

/// A source: the descriptor that is held, and the name it was found by.
pub struct Anchor {
    held: OwnedFd,
    parent: OwnedFd,
    name: OsString,
    path: PathBuf,
    kind: FileType,
    identity: (u64, u64),
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

impl Anchor {
    /// Open what lies at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened; [`Error::NotASource`] if it is neither a folder,
    /// a regular file nor a block device; [`Error::Invalid`] for a link that is not followed.
    pub fn open(path: &Path, links: Links) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(format!("cannot open {}", path.display()), e);
        let (parent, name) = walk(path, links)?;
        let stat =
            statat(&parent, &*name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed(e.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let held = match kind {
            FileType::Directory => open_untrusted_dir(&parent, Path::new(&name)),
            FileType::RegularFile | FileType::BlockDevice => {
                open_untrusted(&parent, Path::new(&name)).map(OwnedFd::from)
            }
            _ => {
                let why = "neither a folder, a regular file nor a block device".to_string();
                return Err(Error::NotASource { path: path.to_owned(), why });
            }
        };
        let held = held.map_err(|e| failed(e.into()))?;
        // What was opened counts, not what was looked at.
        let stat = fstat(&held).map_err(|e| failed(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != kind {
            return Err(failed(std::io::Error::other("it was replaced while it was opened")));
        }
        let identity = identity(&stat);
        Ok(Self { held, parent, name, path: path.to_owned(), kind, identity })
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// What it is.
    pub fn kind(&self) -> FileType {
        self.kind
    }

    /// Its device and inode.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Another descriptor of the folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn dir(&self) -> Result<OwnedFd> {
        open_untrusted_dir(&self.held, Path::new("."))
            .map_err(|e| Error::io(format!("cannot open {}", self.path.display()), e))
    }

    /// Another descriptor of the file. Both share a position, which nobody here uses.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn file(&self) -> Result<File> {
        let copy = self.held.try_clone();
        copy.map(File::from)
            .map_err(|e| Error::io(format!("cannot open {}", self.path.display()), e))
    }

    /// What became of the name the source was opened by; `None` while it leads there. Follows
    /// nothing and opens nothing.
    pub fn replaced(&self) -> Option<&'static str> {
        match statat(&self.parent, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if identity(&stat) == self.identity => None,
            Ok(_) => Some("something else was put in its place"),
            Err(_) => Some("it is not there any more"),
        }
    }

    /// Something that tells at the end what became of the source, without the anchor.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn watch(&self) -> Result<SourceWatch> {
        let failed = |e| Error::io(format!("cannot watch {}", self.path.display()), e);
        let held = self.held.try_clone().map_err(failed)?;
        let parent = self.parent.try_clone().map_err(failed)?;
        SourceWatch::new(held, parent, &self.name).map_err(|e| failed(e.into()))
    }

    /// Look at it again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stat(&self) -> Result<Stat> {
        fstat(&self.held)
            .map_err(|e| Error::io(format!("cannot examine {}", self.path.display()), e))
    }
}

/// A part of a path that is still to be walked.
enum Part {
    Root,
    Up,
    Name(OsString),
}

fn parts(path: &Path) -> VecDeque<Part> {
    path.components()
        .filter_map(|c| match c {
            Component::RootDir => Some(Part::Root),
            Component::ParentDir => Some(Part::Up),
            Component::Normal(name) => Some(Part::Name(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Walk to the folder that holds `path`: its descriptor, and the last name, which is no
/// link.
fn walk(path: &Path, links: Links) -> Result<(OwnedFd, OsString)> {
    let failed = |e: rustix::io::Errno| Error::io(format!("cannot open {}", path.display()), e);
    let refused = |what: &OsStr| {
        let what = what.to_string_lossy();
        Error::Invalid(format!(
            "cannot open {}: '{what}' is a symbolic link, which is not followed here",
            path.display()
        ))
    };
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open =
        |at: &OwnedFd, name: &OsStr| openat(at, name, folder | OFlags::NOFOLLOW, Mode::empty());
    let start = if path.is_absolute() { "/" } else { "." };
    let mut at = openat(rustix::fs::CWD, start, folder, Mode::empty()).map_err(failed)?;
    let mut left = parts(path);
    let mut followed = 0;
    while let Some(part) = left.pop_front() {
        let name = match part {
            Part::Root => {
                at = openat(rustix::fs::CWD, "/", folder, Mode::empty()).map_err(failed)?;
                continue;
            }
            Part::Up => {
                at = open(&at, OsStr::new("..")).map_err(failed)?;
                continue;
            }
            Part::Name(name) => name,
        };
        let stat = statat(&at, &*name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let trusted = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
            // Devices go by links such as /dev/disk/by-id/NAME, which the system makes.
            let device = path.starts_with("/dev/") && trusted;
            if links == Links::Refuse && ((left.is_empty() && !device) || !trusted) {
                return Err(refused(&name));
            }
            followed += 1;
            if followed > MAX_LINKS {
                return Err(failed(rustix::io::Errno::LOOP));
            }
            let target = readlinkat(&at, &*name, Vec::new()).map_err(failed)?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            let mut before = parts(&target);
            before.append(&mut left);
            left = before;
        } else if left.is_empty() {
            return Ok((at, name));
        } else {
            at = open(&at, &name).map_err(failed)?;
        }
    }
    Ok((at, ".".into()))
}

/// Whether a descriptor is still reached by its name below a folder.
pub fn still_below(dir: impl AsFd, name: &str, held: impl AsFd) -> bool {
    let (Ok(there), Ok(here)) = (statat(dir, name, AtFlags::SYMLINK_NOFOLLOW), fstat(held)) else {
        return false;
    };
    identity(&there) == identity(&here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_for_people_and_refused_for_programs() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        std::fs::create_dir(at.join("real")).unwrap();
        std::fs::write(at.join("real/file"), b"x").unwrap();
        symlink("real", at.join("folder")).unwrap();
        symlink("file", at.join("real/link")).unwrap();
        symlink(at.join("real"), at.join("absolute")).unwrap();
        symlink("loop", at.join("loop")).unwrap();
        for (path, follow, refuse) in [
            ("real/file", true, true),
            // On the way: a link of our own.
            ("folder/file", true, true),
            ("absolute/../real/file", true, true),
            ("real/link", true, false),
            ("folder", true, false),
            ("loop", false, false),
            ("nothing", false, false),
        ] {
            let path = at.join(path);
            assert_eq!(Anchor::open(&path, Links::Follow).is_ok(), follow, "{path:?}");
            assert_eq!(Anchor::open(&path, Links::Refuse).is_ok(), refuse, "{path:?}");
        }
    }

    #[test]
    fn a_swap_is_noticed_and_what_is_held_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source");
        std::fs::write(&path, b"mine").unwrap();
        std::fs::write(dir.path().join("other"), b"yours").unwrap();
        let anchor = Anchor::open(&path, Links::Refuse).unwrap();
        assert_eq!(anchor.replaced(), None);
        std::fs::rename(&path, dir.path().join("away")).unwrap();
        assert!(anchor.replaced().unwrap().contains("not there"));
        symlink("other", &path).unwrap();
        assert!(anchor.replaced().unwrap().contains("something else"));
        let mut text = String::new();
        std::io::Read::read_to_string(&mut anchor.file().unwrap(), &mut text).unwrap();
        assert_eq!(text, "mine");
    }
}
