//! Where a Mac goes on looking for free blocks: of use to nobody else.

use super::Space;
use crate::io::bytes::{all_zero, le16, le32, le64};
use crate::report::Rule;

/// Where the zones begin, their number, and bytes of one.
const ZONES: usize = 0x158;
const COUNT: usize = 16;
const ZONE: usize = 136;
/// Earlier bounds that a zone remembers.
const EARLIER: u16 = 7;

impl Space<'_> {
    pub(super) fn zones(&self) {
        if !self.is_versioned() {
            return;
        }
        let mut ids = Vec::new();
        for i in 0..COUNT {
            let at = ZONES + i * ZONE;
            let Some(b) = self.object.bytes().get(at..at + ZONE) else { return };
            if let Some(why) = self.zone(b) {
                self.broken(Rule::A279, || format!("has a zone {i} that {why}"));
            }
            ids.extend(le16(b, 0x80).filter(|id| *id != 0));
        }
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        if ids.len() != all {
            self.broken(Rule::A279, || "has two zones of one number".into());
        }
    }

    /// Why a zone is impossible.
    fn zone(&self, b: &[u8]) -> Option<&'static str> {
        let (start, end) = (le64(b, 0)?, le64(b, 8)?);
        let (id, previous, reserved) = (le16(b, 0x80)?, le16(b, 0x82)?, le32(b, 0x84)?);
        if start > end || end > self.container.store().blocks().count() {
            return Some("ends before it begins, or past the container");
        }
        if reserved != 0 {
            return Some("has a reserved field that is set");
        }
        if previous >= EARLIER {
            return Some("has an impossible place for its earlier bounds");
        }
        if previous == 0 && !b.get(0x10..0x80).is_some_and(all_zero) {
            return Some("has earlier bounds, and no place for them");
        }
        (id == 0 && end != 0).then_some("has no number")
    }
}
