//! Forks and their extents.

use super::Rule::*;
use super::Sink;

/// A special file's fork in a volume header: its size is exact, too.
pub(super) fn special(s: &mut Sink, at: u64) {
    s.add(at, 8, "size of a special file", Every);
    rest(s, at);
}

/// A file's or attribute's fork; its size may be anything that its blocks hold.
pub(super) fn fork(s: &mut Sink, at: u64) {
    let room = u64::from(s.get32(at + 12)) * u64::from(s.layout.block_size);
    s.add(at, 8, "fork size", NotAbove(room));
    rest(s, at);
}

fn rest(s: &mut Sink, at: u64) {
    s.add(at + 8, 4, "clump", Never);
    s.add(at + 12, 4, "block count", Every);
    extents(s, at + 16);
}

/// Eight extents; nobody reads behind the first empty one.
pub(super) fn extents(s: &mut Sink, at: u64) {
    let used = (0..8).take_while(|i| s.get32(at + 8 * i + 4) > 0).count() as u64;
    s.add(at, 8 * used, "extents", Every);
    if used < 8 {
        // A count there makes an extent of it.
        s.add(at + 8 * used, 4, "start of no extent", Never);
        s.add(at + 8 * used + 4, 4, "end of extents", Every);
        s.add(at + 8 * used + 8, 8 * (7 - used), "behind the extents", Never);
    }
}
