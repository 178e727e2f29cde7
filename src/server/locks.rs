//! `/proc/locks`: what Netatalk holds of a bundle.

use std::collections::BTreeSet;

/// Netatalk locks bytes from here on for the deny modes of AFP (`sparsebundle.md` section 8).
const FIRST: u64 = (1 << 63) - 10;

/// The first line with a lock of afpd on one of these inodes, on a device `fe:00` if one is
/// given: a POSIX lock on the bytes that stand for deny modes.
pub fn afpd(text: &str, device: Option<&str>, inodes: &BTreeSet<u64>) -> Option<u32> {
    let hit = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, kind, _, _, _, file, from, _] = words.as_slice() else { return false };
        let Some((dev, inode)) = file.rsplit_once(':') else { return false };
        let known = inode.parse().is_ok_and(|i| inodes.contains(&i));
        let here = device.is_none_or(|d| d == dev);
        *kind == "POSIX" && known && here && from.parse().is_ok_and(|at: u64| at >= FIRST)
    };
    super::text::lines(text).find(|(_, line)| hit(line)).map(|(n, _)| n)
}
