//! AppleDouble files (`._NAME`) to Apple's layout: Finder information with extended
//! attributes behind it, then the resource fork.
//!
//! Source: RFC 1740 for the header; the attributes as Apple's kernel and `copyfile` lay
//! them out in xnu's `vfs_xattr.c` (`attr_header`, `attr_entry`).

use crate::io::bytes::{to_u32, to_usize};

const MAGIC: u32 = 0x0005_1607;
const VERSION: u32 = 0x0002_0000;
const FINDER_INFO: u32 = 9;
const RESOURCE_FORK: u32 = 2;
/// Where Finder information begins: header and two entries before it.
const FINDER_AT: u32 = 26 + 2 * 12;
const ATTR_MAGIC: u32 = 0x4154_5452;
/// Bytes of an attribute's entry before its name.
const ENTRY: usize = 11;
/// Where the entries of attributes begin.
const ENTRIES_AT: usize = 120;
/// Names must lie in so many bytes from the start, or Apple's readers refuse the file.
const HEADER_MAX: usize = 65_536;

/// What goes before the resource fork. `None` if it cannot be said in this format.
///
/// `fork_len` is the length of the fork that follows; `id` the file's number.
pub fn header(
    finder_info: Option<&[u8; 32]>,
    attributes: &[(String, Vec<u8>)],
    fork_len: u64,
    id: u64,
) -> Option<Vec<u8>> {
    let fork_len = u32::try_from(fork_len).ok()?;
    let tail = if attributes.is_empty() { Vec::new() } else { attribute_part(attributes, id)? };
    let fork_at = FINDER_AT.checked_add(32)?.checked_add(to_u32(tail.len()))?;
    let mut out = Vec::with_capacity(to_usize(fork_at.into()));
    out.extend(MAGIC.to_be_bytes());
    out.extend(VERSION.to_be_bytes());
    out.extend(b"Mac OS X        ");
    out.extend(2u16.to_be_bytes());
    let entries =
        [(FINDER_INFO, FINDER_AT, fork_at - FINDER_AT), (RESOURCE_FORK, fork_at, fork_len)];
    for (kind, at, len) in entries {
        out.extend([kind, at, len].into_iter().flat_map(u32::to_be_bytes));
    }
    out.extend(finder_info.unwrap_or(&[0; 32]));
    out.extend(tail);
    Some(out)
}

/// From the two bytes of padding behind the Finder information on.
fn attribute_part(attributes: &[(String, Vec<u8>)], id: u64) -> Option<Vec<u8>> {
    let entry_len = |name: &str| (ENTRY + name.len() + 1).next_multiple_of(4);
    let names_end = ENTRIES_AT + attributes.iter().map(|(n, _)| entry_len(n)).sum::<usize>();
    if names_end > HEADER_MAX || attributes.iter().any(|(n, _)| n.len() > 127) {
        return None;
    }
    let values: usize = attributes.iter().map(|(_, v)| v.len()).sum();
    let total = u32::try_from(names_end.checked_add(values)?).ok()?;
    let mut out = vec![0; 2];
    out.extend(ATTR_MAGIC.to_be_bytes());
    out.extend(u32::try_from(id & 0xFFFF_FFFF).unwrap_or(0).to_be_bytes());
    out.extend(total.to_be_bytes());
    out.extend(to_u32(names_end).to_be_bytes());
    out.extend(to_u32(values).to_be_bytes());
    out.extend([0; 12]);
    out.extend(0u16.to_be_bytes());
    out.extend(u16::try_from(attributes.len()).ok()?.to_be_bytes());
    let mut at = to_u32(names_end);
    for (name, value) in attributes {
        out.extend(at.to_be_bytes());
        out.extend(to_u32(value.len()).to_be_bytes());
        out.extend(0u16.to_be_bytes());
        out.push(u8::try_from(name.len() + 1).ok()?);
        out.extend(name.as_bytes());
        let end = entry_len(name) - ENTRY - name.len();
        out.resize(out.len() + end, 0);
        at = at.checked_add(to_u32(value.len()))?;
    }
    for (_, value) in attributes {
        out.extend(value);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::bytes::{be16, be32};

    #[test]
    fn without_attributes_it_is_the_plain_form() {
        let h = header(Some(&[7; 32]), &[], 100, 1).unwrap();
        assert_eq!(h.len(), 82);
        assert_eq!(h[..8], [0, 5, 0x16, 7, 0, 2, 0, 0]);
        assert_eq!((be32(&h, 38), be32(&h, 42), be32(&h, 46)), (Some(2), Some(82), Some(100)));
        assert_eq!(h[50..], [7; 32]);
        assert!(header(None, &[], 1 << 32, 1).is_none());
    }

    #[test]
    fn attributes_lie_where_xnu_looks_for_them() {
        let attributes = [("ab".to_owned(), vec![1, 2, 3]), ("com.x".to_owned(), vec![9; 5])];
        let h = header(None, &attributes, 0, 77).unwrap();
        assert_eq!(&h[84..88], b"ATTR");
        assert_eq!(be32(&h, 88), Some(77));
        assert_eq!(be16(&h, 118), Some(2));
        // 11 + 3 and 11 + 6, each to a multiple of four.
        let values = 120 + 16 + 20;
        assert_eq!(be32(&h, 96), Some(values));
        assert_eq!(be32(&h, 100), Some(8));
        assert_eq!(be32(&h, 120), Some(values));
        assert_eq!((h[130], &h[131..134]), (3, &b"ab\0"[..]));
        assert_eq!(be32(&h, 136), Some(values + 3));
        assert_eq!(h[156..], [1, 2, 3, 9, 9, 9, 9, 9]);
        assert_eq!(be32(&h, 92), Some(164));
        assert_eq!(be32(&h, 34), Some(164 - 50), "the Finder entry reaches to the fork");
    }
}
