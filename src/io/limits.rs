//! The limit of open files: ours to keep, never a finding about a backup.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// Descriptors that are left to everything but band files.
const RESERVED: u64 = 48;
/// As many as we ever ask for.
const WANTED: u64 = 4096;

/// How many files may be kept open for reading on. The soft limit is raised first, as far as
/// the hard one allows.
pub fn descriptors() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile);
        let soft = limit.current.unwrap_or(u64::MAX);
        let wanted = limit.maximum.unwrap_or(u64::MAX).min(WANTED);
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        let now = match soft < wanted && setrlimit(Resource::Nofile, raised).is_ok() {
            true => wanted,
            false => soft,
        };
        // Half of a small limit: several threads open files on top of what is kept.
        let kept = now.saturating_sub(RESERVED).min(now / 2);
        usize::try_from(kept).unwrap_or(usize::MAX).max(1)
    })
}

/// Whether an error says that we, or the whole system, have too many files open.
pub fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    let of = |errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    of(rustix::io::Errno::MFILE) || of(rustix::io::Errno::NFILE)
}
