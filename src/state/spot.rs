//! Where a bundle lies, so that a copy of it is told from a snapshot of it.

use rustix::fs::{AtFlags, StatxFlags, statx};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The place of a bundle's folder on its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// Number of the device.
    device: (u32, u32),
    /// Number of the inode.
    inode: u64,
    /// When the inode was made, seconds and nanoseconds since 1970, where the file system
    /// tells. Nobody can set it.
    born: Option<(i64, u32)>,
}

impl Spot {
    /// The spot of what lies at `path`; `None` if nothing does.
    pub fn of(path: &Path) -> Option<Self> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let s = statx(rustix::fs::CWD, path, AtFlags::empty(), wanted).ok()?;
        let born = StatxFlags::from_bits_retain(s.stx_mask).contains(StatxFlags::BTIME);
        Some(Self {
            device: (s.stx_dev_major, s.stx_dev_minor),
            inode: s.stx_ino,
            born: born.then_some((s.stx_btime.tv_sec, s.stx_btime.tv_nsec)),
        })
    }

    /// Whether both are one bundle, or one is a snapshot of the other's file system: the
    /// same inode, made at the same moment, perhaps on another device. A copy is made
    /// later, even where it happens to get the same number.
    pub fn is_same_bundle(self, other: Self) -> bool {
        self.inode == other.inode && self.born == other.born
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_the_same_bundle_and_a_copy_is_not() {
        let live = Spot { device: (8, 1), inode: 257, born: Some((1_600_000_000, 5)) };
        assert!(live.is_same_bundle(Spot { device: (0, 99), ..live }));
        assert!(!live.is_same_bundle(Spot { inode: 258, ..live }));
        assert!(!live.is_same_bundle(Spot { born: Some((1_600_000_000, 6)), ..live }));
        let untold = Spot { born: None, ..live };
        assert!(untold.is_same_bundle(Spot { device: (0, 99), ..untold }));
    }
}
