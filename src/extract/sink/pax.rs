//! The words of pax: records, moments, the map of a file with holes.

use crate::fs::Time;
use std::ops::Range;

/// The map of GNU's sparse format 1.0: numbers in decimal, a line each, to a whole block.
pub fn sparse_map(data: &[Range<u64>], len: u64) -> Vec<u8> {
    let mut ranges: Vec<Range<u64>> = data.to_vec();
    if ranges.last().is_none_or(|last| last.end < len) {
        // A file that ends in a hole has a last piece of nothing at its end.
        ranges.push(len..len);
    }
    let mut map = format!("{}\n", ranges.len());
    for r in &ranges {
        map.push_str(&format!("{}\n{}\n", r.start, r.end - r.start));
    }
    let mut map = map.into_bytes();
    map.resize(map.len().next_multiple_of(512), 0);
    map
}

/// A pax record: its length in decimal, which counts itself, then `name=value`.
pub fn record(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let rest = 1 + name.len() + 1 + value.len() + 1;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    out.extend(format!("{len} {name}=").into_bytes());
    out.extend(value);
    out.push(b'\n');
}

pub fn put_cut(field: &mut [u8], value: &[u8]) {
    let ascii = value.iter().map(|b| if b.is_ascii() { *b } else { b'_' });
    for (to, from) in field.iter_mut().zip(ascii) {
        *to = from;
    }
}

/// Seconds with as many decimals as it takes.
pub fn decimal(t: Time) -> String {
    if t.nanoseconds == 0 {
        return t.seconds.to_string();
    }
    let nanos = i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanoseconds);
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, part) = (nanos.abs() / 1_000_000_000, nanos.abs() % 1_000_000_000);
    format!("{sign}{whole}.{part:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        let mut out = Vec::new();
        record(&mut out, "a", b"b");
        assert_eq!(out, b"6 a=b\n");
        out.clear();
        record(&mut out, "path", &[b'x'; 91]);
        // With two digits it would be 100 bytes, which takes three.
        assert!(out.starts_with(b"101 path=") && out.len() == 101, "{}", out.len());
    }

    #[test]
    fn moments_before_1970_and_parts_of_seconds() {
        let t = |seconds, nanoseconds| decimal(Time { seconds, nanoseconds });
        assert_eq!(t(5, 0), "5");
        assert_eq!(t(5, 250_000_000), "5.25");
        assert_eq!(t(-2, 500_000_000), "-1.5");
    }

    #[test]
    fn a_map_ends_with_the_file() {
        let data = std::slice::from_ref(&(0..65_536));
        let map = sparse_map(data, 200_000);
        assert_eq!(map.len(), 512);
        assert!(map.starts_with(b"2\n0\n65536\n200000\n0\n"));
    }
}
