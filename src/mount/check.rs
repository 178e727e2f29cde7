//! What stands in the way of mounting, one sentence each; and what is mounted.

use super::options::Options;
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FUSE_DEVICE: &str = "/dev/fuse";
const FUSE_CONF: &str = "/etc/fuse.conf";
/// Type of our mounts in `/proc/mounts`.
pub const FS_TYPE: &str = "fuse.tmbundle";

/// A mount as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Device number, `major:minor`.
    pub device: String,
    /// Where it is.
    pub dir: PathBuf,
    /// Type of its file system.
    pub fs_type: String,
}

impl MountEntry {
    /// Whether tmbundle mounted it.
    pub fn is_ours(&self) -> bool {
        self.fs_type == FS_TYPE
    }
}

/// The topmost mount on exactly this folder.
pub fn mount_at(dir: &Path) -> Option<MountEntry> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    text.lines().filter_map(parse_mount).rfind(|m| m.dir == dir)
}

/// A line of mountinfo: id, parent, device, root, folder, options, …, `-`, type.
fn parse_mount(line: &str) -> Option<MountEntry> {
    let mut fields = line.split(' ');
    let device = fields.nth(2)?.to_owned();
    let dir = PathBuf::from(unescape(fields.nth(1)?));
    let fs_type = fields.skip_while(|f| *f != "-").nth(1)?.to_owned();
    Some(MountEntry { device, dir, fs_type })
}

/// The kernel writes spaces and the like as `\040`.
fn unescape(field: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|c| u8::from_str_radix(std::str::from_utf8(c).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    std::ffi::OsString::from_vec(bytes)
}

/// The absolute path of a mountpoint, even one whose file system is dead and
/// cannot be asked.
pub fn absolute(dir: &Path) -> Result<PathBuf> {
    let failed = |e| Error::io(format!("cannot find {}", dir.display()), e);
    match std::fs::canonicalize(dir) {
        Ok(path) => Ok(path),
        Err(e) if is_dead(&e) => {
            let absolute = std::path::absolute(dir).map_err(failed)?;
            let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                return Ok(absolute);
            };
            Ok(std::fs::canonicalize(parent).map_err(failed)?.join(name))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let text =
                format!("the mountpoint {} does not exist; make it with mkdir", dir.display());
            Err(Error::Invalid(text))
        }
        Err(e) => Err(failed(e)),
    }
}

/// Whether an error says that the server of a FUSE mount is gone.
fn is_dead(e: &std::io::Error) -> bool {
    e.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error())
}

/// See that something can be mounted on `dir`; what a killed tmbundle left there
/// is taken away. Gives the absolute path.
///
/// # Errors
/// [`Error::Invalid`] with the reason, [`Error::Io`] where the system refuses.
pub fn check_mountpoint(source: &Path, dir: &Path) -> Result<PathBuf> {
    let dir = absolute(dir)?;
    let shown = dir.display();
    if let Err(e) = std::fs::read_dir(&dir)
        && is_dead(&e)
    {
        clear_dead(&dir)?;
    }
    let meta = std::fs::metadata(&dir).map_err(|e| Error::io(format!("cannot use {shown}"), e))?;
    if !meta.is_dir() {
        return Err(Error::Invalid(format!("the mountpoint {shown} is not a folder")));
    }
    if let Some(mount) = mount_at(&dir).filter(MountEntry::is_ours) {
        let text = format!("a backup is already mounted on {}", mount.dir.display());
        return Err(Error::Invalid(text));
    }
    if std::fs::canonicalize(source).is_ok_and(|s| dir.starts_with(s)) {
        return Err(Error::Invalid(format!("the mountpoint {shown} lies inside the source")));
    }
    let mut entries =
        std::fs::read_dir(&dir).map_err(|e| Error::io(format!("cannot look into {shown}"), e))?;
    if entries.next().is_some() {
        let text = format!("the mountpoint {shown} is not empty; mount on an empty folder");
        return Err(Error::Invalid(text));
    }
    Ok(dir)
}

fn clear_dead(dir: &Path) -> Result<()> {
    match mount_at(dir) {
        Some(mount) if mount.is_ours() => {
            tracing::warn!(
                "{}: a tmbundle that was killed left its mount; taking it away",
                dir.display()
            );
            super::session::detach(dir)
        }
        _ => Err(Error::Invalid(format!(
            "on {} lies the mount of a program that is gone; take it away with: umount -l {}",
            dir.display(),
            dir.display()
        ))),
    }
}

/// See that this machine and user can mount at all.
pub fn check_machine(options: Options) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    match std::fs::OpenOptions::new().read(true).write(true).open(FUSE_DEVICE) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return Err(Error::Unsupported(format!(
                "no permission to use {FUSE_DEVICE}: mounting is for root here, unless the device is \
                 opened to everybody (chmod 666 {FUSE_DEVICE})"
            )));
        }
        Err(e) => {
            return Err(Error::Unsupported(format!(
                "{FUSE_DEVICE} cannot be used ({e}): load the kernel's module (modprobe fuse), or give \
                 the device to the container (--device {FUSE_DEVICE})"
            )));
        }
    }
    if root {
        return Ok(());
    }
    if fusermount().is_none() {
        let text = "mounting as a normal user needs fusermount3: install the package fuse3";
        return Err(Error::Unsupported(text.into()));
    }
    if options.allow_other && !user_allow_other() {
        let text =
            format!("--allow-other is for root, unless {FUSE_CONF} has a line 'user_allow_other'");
        return Err(Error::Invalid(text));
    }
    Ok(())
}

fn user_allow_other() -> bool {
    // Who may not read the file leaves the decision to fusermount3.
    let Ok(text) = std::fs::read_to_string(FUSE_CONF) else { return true };
    text.lines().any(|line| line.trim() == "user_allow_other")
}

/// The helper that mounts and unmounts for normal users.
pub fn fusermount() -> Option<&'static str> {
    let runs = |name: &&str| {
        let mut command = std::process::Command::new(name);
        command.arg("-V").stdin(std::process::Stdio::null()).output().is_ok()
    };
    ["fusermount3", "fusermount"].into_iter().find(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line =
            r"36 35 0:45 / /mnt/a\040b rw,nosuid shared:1 - fuse.tmbundle /srv/x rw,user_id=0";
        let mount = parse_mount(line).unwrap();
        assert_eq!(mount.dir, Path::new("/mnt/a b"));
        assert_eq!(mount.device, "0:45");
        assert!(mount.is_ours());
        assert!(mount_at(Path::new("/")).is_some());
        assert!(parse_mount("36 35").is_none());
    }

    #[test]
    fn refusals() {
        let temp = tempfile::tempdir().unwrap();
        let text = |dir: &Path| check_mountpoint(temp.path(), dir).unwrap_err().to_string();
        assert!(text(&temp.path().join("no")).contains("does not exist"));
        let sub = temp.path().join("sub");
        std::fs::create_dir(&sub).unwrap();
        assert!(text(&sub).contains("inside the source"));
        let other = tempfile::tempdir().unwrap();
        assert!(check_mountpoint(temp.path(), other.path()).is_ok());
        std::fs::write(other.path().join("x"), "").unwrap();
        assert!(text(other.path()).contains("not empty"));
        assert!(text(&other.path().join("x")).contains("not a folder"));
    }
}
