//! What the destination can do, asked once by doing it in a folder of its own.

use super::{DIR, TEMPORARY};
use crate::fs::Time;
use rustix::fs::{AtFlags, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// How names that differ on the Mac may fall together, and which are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameRules {
    /// `a` and `A` are one name.
    pub folds_case: bool,
    /// Composed and decomposed forms are one name.
    pub folds_forms: bool,
    /// `: " * < > ? | \`, control characters, and a dot or space at the end are refused.
    pub windows: bool,
}

/// What the destination can do.
pub struct Abilities {
    /// What it does to names.
    pub names: NameRules,
    /// Modes are kept.
    pub modes: bool,
    /// Attributes `user.*` are kept.
    pub xattrs: bool,
    /// Smallest step of its times, in nanoseconds.
    pub time_step: u64,
    /// `renameat2` with `RENAME_NOREPLACE`; until it is refused.
    pub rename_noreplace: AtomicBool,
    /// Hard links; until they are refused.
    pub hard_links: AtomicBool,
    /// Clones (reflinks); until they are refused.
    pub clones: AtomicBool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            names: NameRules::default(),
            modes: true,
            xattrs: true,
            time_step: 1,
            rename_noreplace: AtomicBool::new(true),
            hard_links: AtomicBool::new(true),
            clones: AtomicBool::new(true),
        }
    }
}

const NAME: &str = "probe-é";
const OTHER_CASE: &str = "PROBE-é";
const OTHER_FORM: &str = "probe-e\u{301}";
/// Odd nanoseconds and an odd second, so that every coarser step shows.
const MOMENT: (i64, i64) = (1_500_000_001, 123_456_789);

impl Abilities {
    /// Try everything in a folder of its own below `root`; what cannot be tried is
    /// taken to work, and the refusal met later.
    pub fn probe(root: impl AsFd) -> Self {
        let name = format!("{TEMPORARY}{}-probe", std::process::id());
        let mut found = Self::default();
        if rustix::fs::mkdirat(&root, &*name, Mode::RWXU).is_err() {
            return found;
        }
        let flags = DIR | OFlags::NOFOLLOW;
        if let Ok(dir) = rustix::fs::openat(&root, &*name, flags, Mode::empty()) {
            found.try_all(&dir);
        }
        let _ = rustix::fs::unlinkat(&root, &*name, AtFlags::REMOVEDIR);
        found
    }

    fn try_all(&mut self, dir: &OwnedFd) {
        let Ok(file) = make(dir, NAME) else { return };
        let there = |name: &str| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        self.names.folds_case = there(OTHER_CASE);
        self.names.folds_forms = there(OTHER_FORM);
        self.names.windows = refuses_names(dir);
        self.modes = keeps_mode(&file);
        let set = rustix::fs::fsetxattr(&file, "user.tmbundle.probe", b"x", XattrFlags::empty());
        self.xattrs = set.is_ok();
        self.time_step = time_step(&file).unwrap_or(1);
        let _ = rustix::fs::unlinkat(dir, NAME, AtFlags::empty());
    }

    /// Whether a time that was set as `wanted` may read as `found`.
    pub fn same_time(&self, wanted: Time, found: Time) -> bool {
        let nanos = |t: Time| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanoseconds);
        let (wanted, found) = (nanos(wanted), nanos(found));
        (wanted - found).unsigned_abs() < u128::from(self.time_step)
    }
}

/// Whether an ability is still believed in.
pub fn has(ability: &AtomicBool) -> bool {
    ability.load(Ordering::Relaxed)
}

/// Believe in it no more.
pub fn lacks(ability: &AtomicBool) {
    ability.store(false, Ordering::Relaxed);
}

fn make(dir: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
}

fn refuses_names(dir: &OwnedFd) -> bool {
    ["a:b", "a?b", "a. "].iter().any(|name| match make(dir, name) {
        Ok(_) => {
            // Some cut what is at the end.
            let kept = rustix::fs::unlinkat(dir, *name, AtFlags::empty()).is_ok();
            !kept || !listed_alike(dir, name)
        }
        Err(Errno::INVAL | Errno::NOENT | Errno::ILSEQ | Errno::PERM | Errno::ACCESS) => true,
        Err(_) => false,
    })
}

/// Whether a name made anew is listed as it was given.
fn listed_alike(dir: &OwnedFd, name: &str) -> bool {
    if make(dir, name).is_err() {
        return true;
    }
    let found = rustix::fs::Dir::read_from(dir).is_ok_and(|entries| {
        entries.flatten().any(|e| e.file_name().to_bytes() == name.as_bytes())
    });
    let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
    found
}

fn keeps_mode(file: &OwnedFd) -> bool {
    let bits = |mode: u32| {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).is_ok()
            && rustix::fs::fstat(file).is_ok_and(|s: Stat| s.st_mode & 0o777 == mode)
    };
    bits(0o640) && bits(0o600)
}

fn time_step(file: &OwnedFd) -> Option<u64> {
    let spec = Timespec { tv_sec: MOMENT.0, tv_nsec: MOMENT.1 };
    let times = Timestamps { last_access: spec, last_modification: spec };
    rustix::fs::futimens(file, &times).ok()?;
    let stat = rustix::fs::fstat(file).ok()?;
    let found = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    let off = (i128::from(MOMENT.0) * 1_000_000_000 + i128::from(MOMENT.1) - found).unsigned_abs();
    let steps = [1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000];
    steps.into_iter().find(|step| u128::from(*step) > off)
}
