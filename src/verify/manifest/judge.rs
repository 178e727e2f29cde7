//! What a band's new hash means beside the one that was kept.

use super::file::{Entry, Stamp};

/// What became of a band since it was last hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was not known.
    New,
    /// The same bytes under the same size and times.
    Same,
    /// The same bytes, but a time changed: it was copied, or its owner or attributes
    /// were changed.
    Touched,
    /// Its size or its modification time changed, as when a Mac writes to it.
    Changed,
    /// Other bytes under the same size and modification time, but the inode changed.
    Rewritten,
    /// Other bytes, though size, mtime and ctime say that nobody wrote.
    Rotten,
    /// A rotten band that has its bytes again.
    Healed,
}

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;
/// A change so shortly before the band was hashed may be followed by another that
/// leaves the same times: file systems stamp with the kernel's tick or, some of them,
/// with seconds.
const TICK: i64 = 3 * SECOND;
/// A time that lies further ahead than this is a wrong date, not a clock that differs.
const SKEW: i64 = 86400 * SECOND;

/// Whether a band that was hashed from `began` on (nanoseconds since 1970) might change
/// once more without new times.
fn is_young(stamp: Stamp, began: i64) -> bool {
    let age = began.saturating_sub(stamp.ctime);
    (-SKEW..TICK).contains(&age)
}

/// Where and when a band was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub index: u64,
    pub stamp: Stamp,
    pub hash: [u8; 32],
    /// When reading began, nanoseconds since 1970.
    pub began: i64,
    pub run: u32,
}

/// Judge a band and say what is to be kept of it.
pub(super) fn judge(old: Option<&Entry>, now: Reading) -> (Change, Entry) {
    let fresh = Entry {
        index: now.index,
        stamp: now.stamp,
        read: now.began / SECOND,
        run: now.run,
        flags: if is_young(now.stamp, now.began) { Entry::YOUNG } else { 0 },
        hash: now.hash,
    };
    let Some(old) = old else { return (Change::New, fresh) };
    let (a, b) = (old.stamp, now.stamp);
    let written = (a.size, a.mtime) != (b.size, b.mtime);
    let same_bytes = old.hash == now.hash;
    let change = match (same_bytes, written) {
        (_, true) => Change::Changed,
        (true, false) if old.is(Entry::ROTTEN) => Change::Healed,
        (true, false) if a.ctime != b.ctime => Change::Touched,
        (true, false) => Change::Same,
        // Rot stays rot, whatever happens to the inode, until somebody writes.
        (false, false) if old.is(Entry::ROTTEN) => Change::Rotten,
        (false, false) if a.ctime != b.ctime => Change::Rewritten,
        (false, false) if old.is(Entry::YOUNG) => Change::Changed,
        (false, false) => Change::Rotten,
    };
    match change {
        // What the bytes were is kept, so that the finding comes again.
        Change::Rotten => (change, Entry { flags: Entry::ROTTEN, hash: old.hash, ..fresh }),
        // The new hash hides it from the next run.
        Change::Rewritten => (change, Entry { flags: fresh.flags | Entry::UNTOLD, ..fresh }),
        Change::Same | Change::Touched => {
            (change, Entry { flags: fresh.flags | old.flags & Entry::UNTOLD, ..fresh })
        }
        _ => (change, fresh),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86400 * SECOND;

    fn reading(mtime: i64, ctime: i64, byte: u8) -> Reading {
        let stamp = Stamp { size: 100, mtime, ctime };
        Reading { index: 4, stamp, hash: [byte; 32], began: 10 * DAY, run: 2 }
    }

    fn kept(flags: u32) -> Entry {
        let (change, entry) = judge(None, reading(DAY, DAY, 1));
        assert_eq!((change, entry.flags, entry.read), (Change::New, 0, 864_000));
        Entry { flags, ..entry }
    }

    #[test]
    fn bytes_and_times_together_tell_what_happened() {
        let judged = |flags, r| judge(Some(&kept(flags)), r).0;
        assert_eq!(judged(0, reading(DAY, DAY, 1)), Change::Same);
        assert_eq!(judged(0, reading(DAY, DAY, 2)), Change::Rotten);
        assert_eq!(judged(0, reading(DAY, 2 * DAY, 1)), Change::Touched);
        assert_eq!(judged(0, reading(DAY, 2 * DAY, 2)), Change::Rewritten);
        assert_eq!(judged(0, reading(2 * DAY, 2 * DAY, 2)), Change::Changed);
        assert_eq!(judged(0, reading(2 * DAY, 2 * DAY, 1)), Change::Changed);
        let longer = Stamp { size: 101, ..reading(DAY, DAY, 1).stamp };
        assert_eq!(judged(0, Reading { stamp: longer, ..reading(DAY, DAY, 1) }), Change::Changed);
    }

    #[test]
    fn rot_keeps_the_old_hash_until_somebody_writes() {
        let (_, rotten) = judge(Some(&kept(0)), reading(DAY, DAY, 2));
        assert_eq!((rotten.hash, rotten.run), ([1; 32], 2));
        assert!(rotten.is(Entry::ROTTEN));
        let again = |r| judge(Some(&rotten), r);
        assert_eq!(again(reading(DAY, DAY, 2)).0, Change::Rotten);
        // A change of owner does not make it good.
        let (change, entry) = again(reading(DAY, 3 * DAY, 2));
        assert_eq!((change, entry.hash), (Change::Rotten, [1; 32]));
        let (change, entry) = again(reading(DAY, 3 * DAY, 1));
        assert_eq!((change, entry.flags), (Change::Healed, 0));
        let (change, entry) = again(reading(4 * DAY, 4 * DAY, 2));
        assert_eq!((change, entry.flags, entry.hash), (Change::Changed, 0, [2; 32]));
    }

    #[test]
    fn a_band_hashed_within_a_tick_of_its_change_is_not_called_rotten() {
        let began = 10 * DAY;
        let young = |ctime| judge(None, reading(DAY, ctime, 1)).1;
        for ctime in [began, began - SECOND, began + SECOND] {
            let old = young(ctime);
            assert!(old.is(Entry::YOUNG), "{ctime}");
            let (change, entry) =
                judge(Some(&old), Reading { began: 11 * DAY, ..reading(DAY, ctime, 2) });
            assert_eq!((change, entry.flags, entry.hash), (Change::Changed, 0, [2; 32]));
            assert_eq!(judge(Some(&entry), reading(DAY, ctime, 3)).0, Change::Rotten);
        }
        // A date in another century is no reason never to speak.
        for ctime in [began - TICK, began + 2 * DAY, i64::MAX, i64::MIN] {
            assert!(!young(ctime).is(Entry::YOUNG), "{ctime}");
        }
    }
}
