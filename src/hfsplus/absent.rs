//! Whether the server stores what a structure lies in.

use crate::io::{Presence, ReadAt};

/// How the bytes of a node are absent on the server, if they are.
pub(super) fn absent(file: &dyn ReadAt, n: u32, size: u64) -> Option<&'static str> {
    absent_at(file, u64::from(n) * size, size)
}

/// How `size` bytes from `start` on are absent on the server, if they are.
pub(super) fn absent_at(file: &dyn ReadAt, start: u64, size: u64) -> Option<&'static str> {
    let mut absent = None;
    let visit = &mut |_, presence| {
        absent = absent.or(match presence {
            Presence::Stored | Presence::Unwritten => None,
            Presence::Missing => Some("the band is missing"),
            Presence::Short => Some("the band ends before it"),
            Presence::Hole => Some("the band has a hole"),
        });
    };
    file.presence(start..start + size, visit).ok()?;
    absent
}
