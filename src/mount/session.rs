//! Mounting, waiting, and going away.
//!
//! fuser's own unmounting leaves a dead mount when somebody still uses it, and
//! its `AutoUnmount` hangs; so the mount is detached (`umount -l`) first and the
//! threads are given a moment to end.

use super::adapter::Adapter;
use super::check::{self, FS_TYPE, fusermount, mount_at};
use super::core::{Core, Opener};
use super::options::Options;
use super::tree::Tree;
use crate::error::{Error, Result};
use fuser::{BackgroundSession, Config, MountOption, Notifier, Session, SessionACL};
use rustix::mount::{MountFlags, UnmountFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::{CString, OsStr};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

/// How often a mounted source is looked at for changes.
const WATCH: Duration = Duration::from_secs(2);
/// How long a busy mount may go on answering after it was told to end.
const GRACE: Duration = Duration::from_secs(3);
/// Read-ahead for the mount, in KiB: the kernel's own 128 halves the speed.
const READ_AHEAD: &str = "1024";

/// Where the kernel says which it is.
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// A mount that is there.
pub struct Mounted {
    session: BackgroundSession,
    core: Arc<Core>,
    dir: PathBuf,
    device: Option<String>,
}

enum Event {
    Ended(std::io::Result<()>),
    Signal,
}

impl Mounted {
    /// Open the source at `path` with `opener` and mount it on `dir`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a sentence on what stands in the way of mounting,
    /// and whatever opening the source brings.
    pub fn new(path: &Path, opener: Opener, dir: &Path, options: Options) -> Result<Self> {
        check::check_machine(options)?;
        let dir = check::check_mountpoint(path, dir)?;
        let core = Arc::new(Core::open(path, opener, options)?);
        let session = start(&core, path, &dir, options)?;
        let device = mount_at(&dir).map(|m| m.device);
        if let Some(device) = &device {
            // Root only; others live with the kernel's own read-ahead.
            let _ = std::fs::write(format!("/sys/class/bdi/{device}/read_ahead_kb"), READ_AHEAD);
        }
        Ok(Self { session, core, dir, device })
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Call `f` with what is shown.
    pub fn with_tree<T>(&self, f: impl FnOnce(&Tree) -> T) -> T {
        f(&self.core.view().tree)
    }

    /// Serve until somebody unmounts it, or `SIGTERM`, `SIGINT` or `SIGHUP` comes.
    ///
    /// # Errors
    /// [`Error::Io`] when serving failed.
    pub fn wait(self) -> Result<()> {
        let Self { session, core, dir, device } = self;
        let (events, received) = mpsc::channel();
        forward_signals(events.clone())?;
        watch(core, session.notifier());
        std::thread::spawn(move || {
            let ended = session.join();
            let _ = events.send(Event::Ended(ended));
        });
        match received.recv() {
            Ok(Event::Ended(result)) => result.map_err(|e| Error::io("the mount failed", e)),
            Ok(Event::Signal) => {
                // If it is not ours that lies there now, the end is near anyway.
                if mount_at(&dir).map(|m| m.device) == device {
                    detach(&dir)?;
                }
                let _ = received.recv_timeout(GRACE);
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }
}

fn forward_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|e| Error::io("cannot listen to signals", e))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if events.send(Event::Signal).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// Look at the source now and then. The kernel is told of changes from here: to
/// do so while answering one of its requests could wait for ever.
fn watch(core: Arc<Core>, notifier: Notifier) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(WATCH);
            if !core.watch() {
                continue;
            }
            for number in core.inodes.numbers() {
                let _ = notifier.inval_inode(fuser::INodeNo(number), 0, 0);
            }
            for name in ["latest", "snapshots", "volumes", "disk.img"] {
                let root = fuser::INodeNo(super::inodes::ROOT);
                let _ = notifier.inval_entry(root, OsStr::new(name));
            }
        }
    });
}

fn acl(options: Options) -> SessionACL {
    if options.allow_other { SessionACL::All } else { SessionACL::Owner }
}

fn start(
    core: &Arc<Core>,
    source: &Path,
    dir: &Path,
    options: Options,
) -> Result<BackgroundSession> {
    let failed = |e: std::io::Error| Error::io(format!("cannot mount on {}", dir.display()), e);
    let adapter = Adapter::new(core.clone());
    let mut config = Config::default();
    config.acl = acl(options);
    config.n_threads = Some(options.worker_threads());
    config.clone_fd = has_clone(&std::fs::read_to_string(RELEASE).unwrap_or_default());
    let session = if rustix::process::geteuid().is_root() {
        let device = mount_directly(source, dir, options)?;
        Session::from_fd(adapter, device.into(), acl(options), config)
    } else {
        config.mount_options = vec![
            MountOption::RO,
            MountOption::NoSuid,
            MountOption::NoDev,
            MountOption::FSName(source_name(source)),
            MountOption::Subtype("tmbundle".into()),
        ];
        if options.allow_other {
            config.mount_options.push(MountOption::DefaultPermissions);
        }
        Session::new(adapter, dir, &config)
    };
    let spawned = session.and_then(Session::spawn);
    spawned.map_err(failed)
}

/// Whether a kernel of this release gives each thread a queue of requests of its own
/// (`FUSE_DEV_IOC_CLONE`, Linux 4.2; the boxes of some makers run 3.10). Else the threads share one.
fn has_clone(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (4, 2)
}

/// What `/proc/mounts` calls the source; a comma would end the option.
fn source_name(source: &Path) -> String {
    let path = std::fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    path.to_string_lossy().replace([',', '\\', '\n'], "_")
}

/// Mount with the system call, as root may; gives the kernel's end of it. fuser
/// would lose the type that makes the mount known as ours.
fn mount_directly(source: &Path, dir: &Path, options: Options) -> Result<std::fs::File> {
    let failed = |e: std::io::Error| Error::io(format!("cannot mount on {}", dir.display()), e);
    let device =
        std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(failed)?;
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={}",
        device.as_raw_fd(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if options.allow_other {
        // Without the kernel's check every user could read everything.
        data.push_str(",allow_other,default_permissions");
    }
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    let data = CString::new(data).map_err(|e| failed(e.into()))?;
    rustix::mount::mount(source_name(source), dir, FS_TYPE, flags, data.as_c_str()).map_err(|e| {
        let what = match e {
            rustix::io::Errno::PERM => format!(
                "no permission to mount on {}: root of a container needs the capability SYS_ADMIN",
                dir.display()
            ),
            _ => format!("cannot mount on {}", dir.display()),
        };
        Error::io(what, e)
    })?;
    Ok(device)
}

/// Take the mount on `dir` out of the tree of folders at once; whoever still uses
/// it may finish.
pub fn detach(dir: &Path) -> Result<()> {
    take_away(dir, true)
}

fn take_away(dir: &Path, lazy: bool) -> Result<()> {
    let shown = dir.display();
    let flags = if lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match rustix::mount::unmount(dir, flags) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::BUSY) => return Err(Error::Busy(shown.to_string())),
        Err(rustix::io::Errno::PERM) => {}
        Err(e) => return Err(Error::io(format!("cannot unmount {shown}"), e)),
    }
    let Some(helper) = fusermount() else {
        return Err(Error::Invalid("fusermount3 is not there: install the package fuse3".into()));
    };
    let mut command = Command::new(helper);
    command.arg("-u").args(lazy.then_some("-z")).arg("--").arg(dir);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| Error::io("cannot run fusermount3", e))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("busy") {
        return Err(Error::Busy(shown.to_string()));
    }
    Err(Error::io(format!("cannot unmount {shown}"), std::io::Error::other(text.trim().to_owned())))
}

/// Unmount a backup; `lazy`: even while it is in use.
///
/// # Errors
/// [`Error::Invalid`] when none is mounted there, [`Error::Busy`] while one is used.
pub fn unmount(dir: &Path, lazy: bool) -> Result<()> {
    // What is not there needs no advice on how to make it.
    let shown = dir.display();
    let nothing = || Error::Invalid(format!("nothing is mounted on {shown}"));
    // A mount whose server is gone is there, though it cannot be asked anything.
    let absent = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    if std::fs::symlink_metadata(dir).is_err_and(|e| absent(&e)) {
        return Err(nothing());
    }
    let dir = check::absolute(dir)?;
    match mount_at(&dir) {
        Some(mount) if mount.is_ours() => take_away(&dir, lazy),
        Some(mount) => {
            let text =
                format!("{} is not a backup but a mount of type {}", dir.display(), mount.fs_type);
            Err(Error::Invalid(text))
        }
        None => Err(nothing()),
    }
}

#[cfg(test)]
mod tests {
    use super::has_clone;

    #[test]
    fn old_kernels_share_one_queue() {
        for old in ["3.10.108", "4.1.52", "2.6.32-754.el6", ""] {
            assert!(!has_clone(old), "{old}");
        }
        for new in ["4.2.0", "4.4.302+", "4.18.0-553.el8", "6.1.0-26-amd64", "10.0"] {
            assert!(has_clone(new), "{new}");
        }
    }
}
