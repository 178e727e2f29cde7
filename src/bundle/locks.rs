//! Which files are locked, as `/proc/locks` tells it.
//!
//! The kernel gives that table a page at a time and finds the place of the next page by counting
//! locks: whatever was given back in between moves the rest up, and one that is held all the time
//! is passed over (`fs/seq_file.c`, `locks_start` of `fs/locks.c`). So a table of several pages is
//! read several times, cut into pages at other places each time, and what any of them named counts.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Result};
use std::time::{Duration, Instant};

/// Device (major, minor) and inode of a locked file.
pub type Locked = (u32, u32, u64);

/// What the kernel gives in one read at most, and in one piece: a page.
const PAGE: usize = 4096;

/// Bytes that a line of the table has at most: less than that was left of a page that is full.
const LINE: usize = 256;

/// How often a table of several pages is read, if that is done in [`ENOUGH`]; twice in any case.
const TIMES: usize = 8;

/// Each page stops all locking for a moment (milliseconds): a table of a hundred thousand locks
/// is not read over and over.
const ENOUGH: Duration = Duration::from_secs(1);

/// Every file that is locked now.
///
/// # Errors
/// The table cannot be read.
pub fn held() -> Result<HashSet<Locked>> {
    held_in(ENOUGH, || File::open("/proc/locks"))
}

fn held_in<R: Read>(enough: Duration, open: impl Fn() -> Result<R>) -> Result<HashSet<Locked>> {
    let mut all = HashSet::new();
    let began = Instant::now();
    for time in 0..TIMES {
        // The first page is cut at another place each time, and with it all that follow.
        let first = PAGE - time * (PAGE / TIMES);
        let (table, whole) = table(open()?, first)?;
        all.extend(locked_in(&String::from_utf8_lossy(&table)));
        if whole || (time > 0 && began.elapsed() > enough) {
            break;
        }
    }
    Ok(all)
}

/// The table, of which the first piece has `first` bytes at most; and whether it came in one piece.
fn table(mut from: impl Read, first: usize) -> Result<(Vec<u8>, bool)> {
    let mut table = Vec::new();
    let mut page = [0; PAGE];
    let (mut pieces, mut room) = (0, first);
    loop {
        let n = match from.read(page.get_mut(..room).unwrap_or_default()) {
            Ok(0) => return Ok((table, pieces <= 1)),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        table.extend(page.iter().take(n));
        // A page with room for another line was the last one when it was made.
        pieces += if n + LINE > room { 2 } else { 1 };
        room = PAGE;
    }
}

/// Device and inode of every locked file in the text of `/proc/locks`.
fn locked_in(table: &str) -> impl Iterator<Item = Locked> {
    table.lines().filter_map(|line| {
        let place = line.split_whitespace().find(|w| w.matches(':').count() == 2)?;
        let mut parts = place.split(':');
        let major = u32::from_str_radix(parts.next()?, 16).ok()?;
        let minor = u32::from_str_radix(parts.next()?, 16).ok()?;
        Some((major, minor, parts.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FlockOperation, flock};
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn lines_of_proc_locks() {
        let table = "1: POSIX  ADVISORY  WRITE 12 fe:00:1835 0 EOF\n\
                     2: FLOCK  ADVISORY  READ  -1 00:1b:77 9223372036854775798 9223372036854775798\n\
                     2: -> POSIX  ADVISORY  WRITE 13 fe:00:1835 0 EOF\nnonsense\n";
        let want = [(0xfe, 0, 1835), (0, 0x1b, 77), (0xfe, 0, 1835)];
        assert_eq!(locked_in(table).collect::<Vec<_>>(), want);
    }

    /// Locks that come and go by the thousand hide none that is held.
    #[test]
    fn a_lock_that_is_held_is_always_seen() {
        let files = |n| (0..n).map(|_| tempfile::tempfile().unwrap()).collect::<Vec<File>>();
        let lock = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive).unwrap();
        let held_ones = files(300);
        held_ones.iter().for_each(lock);
        let name = |file: &File| {
            let stat = file.metadata().unwrap();
            let dev = stat.dev();
            (rustix::fs::major(dev), rustix::fs::minor(dev), stat.ino())
        };
        let want: HashSet<Locked> = held_ones.iter().map(name).collect();
        let look = || held_in(Duration::MAX, || File::open("/proc/locks")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            for _ in 0..3 {
                let others = files(40);
                let stop = &stop;
                threads.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        others.iter().for_each(lock);
                        others.iter().for_each(|f| flock(f, FlockOperation::Unlock).unwrap());
                    }
                });
            }
            let missed = (0..20).filter(|_| !want.is_subset(&look())).count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(missed, 0, "of 20 looks so many missed a lock that was held");
        });
    }

    #[test]
    fn a_table_that_cannot_be_read_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> Result<usize> {
                Err(std::io::Error::from_raw_os_error(5))
            }
        }
        assert!(held_in(ENOUGH, || Ok(Broken)).is_err());
        assert!(
            held_in(ENOUGH, || Ok(&b"1: FLOCK  ADVISORY  WRITE 1 00:1b:7 0 EOF\n"[..])).is_ok()
        );
    }
}
