//! Opening what lies below a folder that is held, and nothing else.
//!
//! Where the kernel can (Linux 5.6), it holds the whole path below the folder and off
//! symbolic links by itself, in one step. Older ones, and sandboxes that do not know the
//! call, get the same name by name.

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the kernel was found not to know the call.
static UNKNOWN: AtomicBool = AtomicBool::new(false);

/// Open `path` below `dir`: never through a symbolic link, never out of `dir`.
///
/// # Errors
/// `LOOP`, or `NOTDIR` where a folder is wanted, for a link; `XDEV` for a path that would lead
/// out.
pub fn open_below(dir: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let dir = dir.as_fd();
    if !UNKNOWN.load(Ordering::Relaxed) {
        match at_once(dir, path, flags) {
            Err(Errno::NOSYS) => UNKNOWN.store(true, Ordering::Relaxed),
            // A sandbox; or what is asked for is not allowed, which the other way will say.
            Err(Errno::PERM) => {}
            other => return other,
        }
    }
    stepwise(dir, path, flags)
}

fn at_once(dir: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(dir, path, flags | OFlags::NOFOLLOW, Mode::empty(), resolve)
}

fn stepwise(dir: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let name = match part {
            Component::Normal(name) => name,
            Component::CurDir => ".".as_ref(),
            _ => return Err(Errno::XDEV),
        };
        let flags = if parts.peek().is_some() { way } else { flags | OFlags::NOFOLLOW };
        let held = at.as_ref().map_or(dir, AsFd::as_fd);
        at = Some(openat(held, name, flags, Mode::empty())?);
    }
    at.ok_or(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    type Way = fn(BorrowedFd<'_>, &Path, OFlags) -> rustix::io::Result<OwnedFd>;

    fn opens(way: Way) -> bool {
        let own = tempfile::tempdir().unwrap();
        let at = own.path();
        std::fs::create_dir_all(at.join("source/bands")).unwrap();
        std::fs::write(at.join("source/bands/0"), b"mine").unwrap();
        std::fs::write(at.join("secret"), b"yours").unwrap();
        symlink("../secret", at.join("source/out")).unwrap();
        symlink("0", at.join("source/bands/link")).unwrap();
        symlink("bands", at.join("source/folder")).unwrap();
        symlink(at.join("source"), at.join("source/absolute")).unwrap();
        let dir = std::fs::File::open(at.join("source")).unwrap();
        let secret = at.join("secret");
        for (path, sound) in [
            ("bands/0", true),
            ("bands", true),
            (".", true),
            ("out", false),
            ("bands/link", false),
            ("folder/0", false),
            ("folder", false),
            ("absolute/bands/0", false),
            ("../secret", false),
            ("bands/../../secret", false),
            (secret.to_str().unwrap(), false),
            ("", false),
        ] {
            match way(dir.as_fd(), Path::new(path), OFlags::RDONLY | OFlags::CLOEXEC) {
                Err(Errno::NOSYS | Errno::PERM) => return false,
                opened => assert_eq!(opened.is_ok(), sound, "{path}: {opened:?}"),
            }
        }
        true
    }

    #[test]
    fn nothing_leads_out_name_by_name() {
        assert!(opens(stepwise));
    }

    #[test]
    fn nothing_leads_out_where_the_kernel_looks_after_it() {
        // Where the kernel does not know it, nothing is to be seen.
        let known = opens(at_once);
        let asked = at_once(rustix::fs::CWD, Path::new("."), OFlags::PATH);
        assert_eq!(known, asked.is_ok());
    }
}
