//! Attribute records.

use super::Rule::*;
use super::{Sink, forks, trees};
use crate::hfs::{Tree, utf16};

/// Attributes whose name is expected for another reason.
const EXPECTED: [&str; 3] =
    ["com.apple.system.Security", "com.apple.system.hfs.firstlink", crate::decmpfs::XATTR];

pub(super) fn record(s: &mut Sink, at: u64, len: u64) {
    let name = s.image.read(at + 14, 2 * usize::from(s.get16(at + 12)));
    let is =
        |known: &str| utf16(known).iter().flat_map(|u| u.to_be_bytes()).eq(name.iter().copied());
    let known = EXPECTED.iter().position(|k| is(k));
    let data = at + 2 + u64::from(s.get16(at)).next_multiple_of(2);
    let kind = s.get32(data);
    s.structure = match kind {
        0x10 => "attributes leaf: inline",
        0x20 => "attributes leaf: fork",
        _ => "attributes leaf: extents",
    };
    // The name of a fork stands again in the records of its further extents, if any.
    trees::key(s, Tree::Attributes, at, known.is_some() || kind == 0x30);
    s.add(data, 4, "record type", Every);
    let end = at + len;
    match kind {
        0x10 => {
            let size = u64::from(s.get32(data + 12));
            s.add(data + 4, 8, "reserved", Never);
            s.add(data + 12, 4, "value size", NotAbove(size.next_multiple_of(2)));
            value(s, data + 16, end, size, known);
        }
        0x20 => {
            s.add(data + 4, 4, "reserved", Never);
            forks::fork(s, data + 8);
        }
        _ => {
            s.add(data + 4, 4, "reserved", Never);
            forks::extents(s, data + 8);
        }
    }
}

fn value(s: &mut Sink, at: u64, end: u64, size: u64, known: Option<usize>) {
    match known {
        Some(0) => {
            s.add(at, 4, "access list's mark", Every);
            s.add(at + 4, 32, "owner and group", Never);
            s.add(at + 36, 4, "entry count", Every);
            s.add(at + 40, end - at - 40, "entries", Never);
        }
        Some(1) => {
            // A number as text, and a zero byte.
            let digits = size.min(end - at).saturating_sub(1);
            s.add(at, digits, "first link", Every);
            s.add(at + digits, end - at - digits, "padding", Never);
        }
        _ => s.add(at, end - at, "value", Never),
    }
}
