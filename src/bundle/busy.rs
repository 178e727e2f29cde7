//! Is a Mac using the bundle right now? (`formats/sparsebundle.md` section 8)
//!
//! What a server can see without asking Samba or Netatalk: files of the bundle that
//! their processes hold open, those that Samba's own database lists, byte-range locks on
//! them, and files that change while one looks. Fresh dates alone mean nothing: a copy has them, too.

use super::{Bundle, samba};
use crate::io::bytes::to_u64;
use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Files of a bundle that a Mac holds open or locked while it is attached.
const TELLING: &[&str] = &["Info.plist", "Info.bckup", "token", "lock", "bands"];

/// Signs that the bundle is in use, one sentence each; empty if there are none.
pub fn signs(bundle: &Bundle) -> Vec<String> {
    signs_and_gaps(bundle).0
}

/// The same, and the files that could not be looked at, with why.
pub fn signs_and_gaps(bundle: &Bundle) -> (Vec<String>, Vec<String>) {
    Moment::now().signs_and_gaps(bundle)
}

/// What file servers hold open and locked at one moment, of whatever bundle.
pub struct Moment {
    /// The files that each process of a server holds, with the server's name.
    held: Vec<(String, Vec<File>)>,
    /// Those that Samba's database lists.
    listed: HashSet<File>,
    blind: Option<String>,
    locked: std::io::Result<HashSet<super::locks::Locked>>,
}

/// Device and inode of a file.
type File = (u64, u64);

impl Moment {
    /// Look, once for any number of bundles.
    pub fn now() -> Self {
        let servers: Vec<(PathBuf, String)> = servers().collect();
        let opened = samba::open(&of(&servers, "smbd"));
        let blind = blind(&servers, opened.blind);
        let held = |(path, name): (PathBuf, String)| {
            let fds = std::fs::read_dir(path.join("fd")).into_iter().flatten().flatten();
            (name, fds.filter_map(|fd| identity(&fd.path())).collect())
        };
        let held = servers.into_iter().map(held).collect();
        Self { held, listed: opened.files, blind, locked: super::locks::held() }
    }

    /// Why the files that other users' processes hold open could not be seen, if so.
    pub fn blind(&self) -> Option<&str> {
        self.blind.as_deref()
    }

    /// Signs that a bundle was in use then, and what could not be looked at, with why.
    pub fn signs_and_gaps(&self, bundle: &Bundle) -> (Vec<String>, Vec<String>) {
        let mut gaps = Vec::new();
        let mut signs = self.open_files(bundle, &mut gaps);
        signs.extend(self.locks(bundle, &mut gaps));
        (signs, gaps)
    }

    /// Files that a file server's processes hold open (only root sees those of others), and
    /// those that Samba keeps beside.
    fn open_files(&self, bundle: &Bundle, gaps: &mut Vec<String>) -> Vec<String> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let own = own_files(bundle, gaps);
        let mut by_server: BTreeMap<&str, u64> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (server, files) in &self.held {
            let held: Vec<File> = files.iter().copied().filter(|f| own.contains(f)).collect();
            if !held.is_empty() {
                *by_server.entry(server).or_default() += to_u64(held.len());
                seen.extend(held);
            }
        }
        let say = |(server, n): (&str, u64)| format!("{server} holds {n} of its files open");
        let mut signs: Vec<String> = by_server.into_iter().map(say).collect();
        signs.extend(self.kept_by_samba(&own, &seen));
        signs
    }

    /// Files that Samba's database lists, beside those that its processes were seen to hold.
    fn kept_by_samba(&self, own: &HashSet<File>, seen: &HashSet<File>) -> Option<String> {
        let n = self.listed.iter().filter(|f| own.contains(f) && !seen.contains(f)).count();
        let files = crate::report::words::plural(to_u64(n), "file", "files");
        match rustix::process::geteuid().is_root() {
            _ if n == 0 => None,
            true => Some(format!("Samba keeps {files} of it open for a connection that was cut")),
            false => Some(format!("Samba holds {files} of it open")),
        }
    }

    /// Locks on the telling files, as `/proc/locks` lists them.
    fn locks(&self, bundle: &Bundle, gaps: &mut Vec<String>) -> Vec<String> {
        let held = match &self.locked {
            Ok(held) => held,
            Err(e) => {
                gaps.push(format!("/proc/locks cannot be read: {e}"));
                return Vec::new();
            }
        };
        let mut signs = Vec::new();
        for name in TELLING {
            let stat = match statat(bundle.dir(), *name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(e) => {
                    gaps.push(format!("{name} cannot be looked at: {e}"));
                    continue;
                }
            };
            let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
            if held.contains(&(major, minor, stat.st_ino)) {
                signs.push(format!("{name} is locked"));
            }
        }
        signs
    }
}

/// Why the files that these servers hold open cannot be seen; `samba`: why its database does not
/// tell.
fn blind(servers: &[(PathBuf, String)], samba: Option<String>) -> Option<String> {
    if rustix::process::geteuid().is_root() {
        // Of a container that has a file server in it, that is the one that matters.
        let all = in_first_namespace() || !servers.is_empty();
        return (!all).then(|| "other processes are hidden here (another pid namespace)".into());
    }
    match servers.iter().find(|(_, name)| name.starts_with("ksmbd")) {
        // Netatalk's locks are in `/proc/locks` for everybody.
        None if !of(servers, "smbd").is_empty() => samba,
        None if !servers.is_empty() => None,
        _ => Some("only root sees what a file server holds open".into()),
    }
}

/// The processes of one server.
fn of(servers: &[(PathBuf, String)], name: &str) -> Vec<PathBuf> {
    servers.iter().filter(|s| s.1.starts_with(name)).map(|s| s.0.clone()).collect()
}

/// Whether all of the system's processes are in `/proc`: the first pid namespace has a fixed
/// number (`PROC_PID_INIT_INO` of Linux).
fn in_first_namespace() -> bool {
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|ns| ns.as_os_str() == "pid:[4026531836]")
}

/// The processes of file servers, with their names.
fn servers() -> impl Iterator<Item = (PathBuf, String)> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|process| Some((process.path(), file_server(&process.path())?)))
}

/// The files of a bundle that may be held open: those at its top, the folder of bands, and
/// the bands, by device and inode. A path would not do: a server may see the bundle under
/// another one.
fn own_files(bundle: &Bundle, gaps: &mut Vec<String>) -> HashSet<File> {
    let mut own = HashSet::new();
    let mut add = |dir: &OwnedFd| -> rustix::io::Result<()> {
        let stat = rustix::fs::fstat(dir)?;
        own.insert((stat.st_dev, stat.st_ino));
        // A directory tells the inodes of what is in it; nothing is looked at one by one.
        for entry in super::list_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_bytes() != b".." {
                own.insert((stat.st_dev, entry.ino()));
            }
        }
        Ok(())
    };
    let mut tried = vec![("the folder", add(bundle.dir()))];
    tried.push(("bands", add(bundle.bands().dir())));
    if let Ok(mapped) = crate::io::open_untrusted_dir(bundle.dir(), Path::new("mapped")) {
        tried.push(("mapped", add(&mapped)));
    }
    for (what, e) in tried.into_iter().filter_map(|(what, tried)| Some((what, tried.err()?))) {
        gaps.push(format!("{what} cannot be listed: {e}"));
    }
    own
}

/// Device and inode of an open file, as far as the kernel knows them without asking a server
/// that may not answer.
fn identity(fd: &Path) -> Option<File> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    let stat = statx(CWD, fd, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    Some((makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino))
}

/// The name of a process if it is a file server's.
fn file_server(process: &Path) -> Option<String> {
    let name = process.file_name()?.to_str()?;
    if !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let command = std::fs::read_to_string(process.join("comm")).ok()?;
    let command = command.trim();
    let known = ["smbd", "afpd", "ksmbd"].iter().any(|s| command.starts_with(s));
    known.then(|| command.to_owned())
}

/// Sizes and dates of the files that change with every backup.
#[derive(Debug, Clone)]
pub struct Stamp(Vec<(&'static str, Seen)>);

/// Size and date of a file, in seconds and nanoseconds.
type Seen = rustix::io::Result<(i64, i64, i64)>;

impl Stamp {
    /// Whether it tells that the bundle changed since an earlier one. What could not be looked
    /// at tells nothing ([`Stamp::gaps`]).
    pub fn differs(&self, before: &Self) -> bool {
        let known = |seen: &Seen| matches!(seen, Ok(_) | Err(Errno::NOENT));
        let mut pairs = self.0.iter().zip(&before.0);
        pairs.any(|((_, a), (_, b))| known(a) && known(b) && a != b)
    }

    /// What could not be looked at, and why.
    pub fn gaps(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(name, seen)| match seen {
            Ok(_) | Err(Errno::NOENT) => None,
            Err(e) => Some(format!("{name} cannot be looked at: {e}")),
        })
    }
}

/// Take the stamp of a bundle: two that differ mean that it changed in between.
pub fn stamp(bundle: &Bundle) -> Stamp {
    let files = TELLING.iter().copied().chain([
        "com.apple.TimeMachine.MachineID.plist",
        "com.apple.TimeMachine.SnapshotHistory.plist",
        "com.apple.TimeMachine.Results.plist",
    ]);
    Stamp(
        files
            .map(|name| {
                let stat = statat(bundle.dir(), name, AtFlags::SYMLINK_NOFOLLOW);
                let nanos = |n| i64::try_from(n).unwrap_or(0);
                (name, stat.map(|s| (s.st_size, s.st_mtime, nanos(s.st_mtime_nsec))))
            })
            .collect(),
    )
}
