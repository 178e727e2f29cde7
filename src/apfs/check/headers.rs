//! The flags in the headers of objects (section 1).

use crate::apfs::format::{EPHEMERAL, PHYSICAL};
use crate::apfs::object::Header;
use crate::report::Rule;

/// Set where an object is encrypted.
const ENCRYPTED: u32 = 0x1000_0000;
/// Bits of the type itself.
const KIND: u32 = 0xFFFF;

/// What is wrong with the flags of an object that has a header; `encrypted`: whether it must be.
pub fn problem(header: &Header, encrypted: bool) -> Option<(Rule, String)> {
    let (oid, flags) = (header.oid, header.kind_and_flags & !KIND);
    if flags & !(EPHEMERAL | PHYSICAL | ENCRYPTED) != 0 {
        return Some((
            Rule::A046,
            format!("object {oid} has flags {flags:#x}, some of which none has on a disk"),
        ));
    }
    ((flags & ENCRYPTED != 0) != encrypted).then(|| {
        let says = if encrypted { "does not say that it is" } else { "says that it is" };
        (Rule::A047, format!("object {oid} {says} encrypted"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_occur_and_others() {
        let of = |kind_and_flags, encrypted| {
            let header = Header { oid: 1, xid: 1, kind_and_flags, subtype: 0 };
            problem(&header, encrypted).map(|p| p.0)
        };
        assert_eq!([of(0x4000_0002, false), of(3, false), of(0x1000_0003, true)], [None; 3]);
        assert_eq!(of(0x4004_000B, false), Some(Rule::A046));
        assert_eq!(of(0x2000_0003, false), Some(Rule::A046));
        assert_eq!(of(0x1000_0003, false), Some(Rule::A047));
        assert_eq!(of(3, true), Some(Rule::A047));
    }
}
