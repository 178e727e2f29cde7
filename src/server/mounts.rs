//! What is to be mounted (`fstab`) and what is (`mountinfo`).

use super::text::{At, lines};
use std::sync::Arc;

/// A line of fstab.
#[derive(Debug, Clone)]
pub struct FstabEntry {
    /// Where it stands.
    pub at: At,
    /// The folder.
    pub target: String,
    /// The file system's type.
    pub kind: String,
    /// Its options.
    pub options: Vec<String>,
}

/// A mount.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Where it stands.
    pub at: At,
    /// The folder.
    pub target: String,
    /// The file system's type.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Whether nothing can be written, by the mount's options or the file system's.
    pub read_only: bool,
    /// Whether users or groups have quotas there.
    pub quotas: bool,
}

/// Read an fstab.
pub fn fstab(path: &Arc<str>, text: &str) -> Vec<FstabEntry> {
    let mut entries = Vec::new();
    for (n, line) in lines(text) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [source, target, kind, options, ..] = words.as_slice()
            && !source.starts_with('#')
            && target.starts_with('/')
        {
            entries.push(FstabEntry {
                at: At::new(path, n),
                target: unescape(target),
                kind: (*kind).to_owned(),
                options: options.split(',').map(str::to_owned).collect(),
            });
        }
    }
    entries
}

/// Read a mountinfo. Source: proc_pid_mountinfo(5).
pub fn mountinfo(path: &Arc<str>, text: &str) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for (n, line) in lines(text) {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let before: Vec<&str> = before.split(' ').collect();
        let mut after = after.split(' ');
        let (Some(target), Some(options)) = (before.get(4), before.get(5)) else { continue };
        let (Some(kind), Some(source)) = (after.next(), after.next()) else { continue };
        let of_disk = after.next().unwrap_or("");
        let read_only = |options: &str| options.split(',').any(|o| o == "ro");
        mounts.push(Mount {
            at: At::new(path, n),
            target: unescape(target),
            kind: kind.to_owned(),
            source: unescape(source),
            read_only: read_only(options) || read_only(of_disk),
            quotas: of_disk.split(',').any(|o| o.contains("quota") && !o.starts_with("noquota")),
        });
    }
    mounts
}

/// The mount that a path lies in.
pub fn of<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    // Of two on one folder the later one is seen.
    mounts
        .iter()
        .filter(|m| within(path, &m.target))
        .max_by_key(|m| m.target.trim_end_matches('/').len())
}

/// Whether a path is a folder or lies in it.
pub fn within(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    match path.trim_end_matches('/').strip_prefix(folder) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// `\040` and the like.
fn unescape(word: &str) -> String {
    let mut out = Vec::new();
    let bytes = word.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 4).filter(|_| *byte == b'\\');
        let code = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        out.push(code.unwrap_or(*byte));
        at += if code.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_is_the_one() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv/big\\040disk rw - xfs /dev/b rw\n\
                    3 1 8:3 / /srv rw - ext4 /dev/c ro\nnonsense\n";
        let mounts = mountinfo(&"m".into(), text);
        assert_eq!(mounts.len(), 3);
        assert_eq!(of(&mounts, "/srv/big disk/tm").unwrap().kind, "xfs");
        assert!(of(&mounts, "/srv/tm").unwrap().read_only);
        assert_eq!(of(&mounts, "/srvx").unwrap().target, "/");
    }
}
