//! What lies in `bands/`: one `readdir`, no stat of any band.

use crate::error::{Error, Result};
use rustix::fs::FileType;
use std::os::fd::OwnedFd;

/// The names in `bands/`.
#[derive(Debug, Default, Clone)]
pub struct BandListing {
    /// Indices of the bands that exist and can hold bytes of the disk, ascending.
    pub present: Vec<u64>,
    /// Every other name, as far as kept, and what it looks like.
    pub strays: Vec<Stray>,
    /// How many strays there are in all.
    pub stray_count: u64,
    /// Bands that are not regular files, by index (as the directory says; a file
    /// system may not tell).
    pub not_files: Vec<(u64, &'static str)>,
}

/// A name in `bands/` that is not a band's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The name; other than UTF-8 replaced.
    pub name: String,
    /// What it looks like.
    pub kind: StrayKind,
}

/// What a stray name looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrayKind {
    /// A band of this index in wrong form: upper case or leading zeros.
    Misnamed(u64),
    /// A band past the end of the disk.
    OutOfRange(u64),
    /// Left by a known kind of software.
    Known(&'static str),
    /// Anything else.
    Unknown,
}

/// Strays that are kept by name.
const MAX_STRAYS: usize = 1000;

/// The index a canonical band name stands for: lower-case hexadecimal without
/// leading zeros.
pub fn band_index(name: &[u8]) -> Option<u64> {
    let canonical = match name {
        b"0" => true,
        [b'0', ..] | [] => false,
        _ => name.len() <= 16 && name.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')),
    };
    if !canonical {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(name).ok()?, 16).ok()
}

pub(super) fn loose_index(name: &[u8]) -> Option<u64> {
    let hex = !name.is_empty() && name.iter().all(u8::is_ascii_hexdigit);
    if !hex {
        return None;
    }
    let text = std::str::from_utf8(name).ok()?.trim_start_matches('0');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 16).ok() }
}

/// Software that leaves files among the bands, by the name it leaves.
pub(super) fn known_stray(name: &str) -> Option<&'static str> {
    const STARTS: &[(&str, &str)] = &[
        ("._", "AppleDouble file of a Mac or a file server"),
        (".smbdelete", "Samba: file deleted while open"),
        (".nfs", "NFS: file deleted while open"),
        (".afpDeleted", "Netatalk: file deleted while open"),
        (".fuse_hidden", "FUSE: file deleted while open"),
        (".~tmp~", "rsync: unfinished copy"),
        ("@", "NAS software (Synology, QNAP)"),
        (".@", "NAS software (QNAP)"),
        (":2e", "Netatalk: escaped dot file"),
    ];
    const WHOLE: &[(&str, &str)] = &[
        (".DS_Store", "Finder"),
        (".AppleDouble", "Netatalk metadata"),
        (".AppleDB", "Netatalk database"),
        (".AppleDesktop", "Netatalk desktop database"),
        ("Network Trash Folder", "AFP server"),
        ("Thumbs.db", "Windows"),
        ("desktop.ini", "Windows"),
        ("lost+found", "the server's file system check"),
    ];
    const PARTS: &[(&str, &str)] = &[
        ("conflict", "sync software: conflicting copy"),
        (".tmp", "interrupted write"),
        (".incomplete", "interrupted write"),
        (".part", "interrupted copy"),
    ];
    WHOLE
        .iter()
        .find(|(n, _)| *n == name)
        .or_else(|| STARTS.iter().find(|(n, _)| name.starts_with(n)))
        .or_else(|| PARTS.iter().find(|(n, _)| name.contains(n)))
        .map(|(_, what)| *what)
}

fn type_name(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile | FileType::Unknown => None,
        FileType::Directory => Some("a folder"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a fifo"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
    }
}

impl BandListing {
    /// List `bands`, a directory of `count` possible bands.
    pub(super) fn read(bands: &OwnedFd, path: &str, count: u64) -> Result<Self> {
        let failed = |e: rustix::io::Errno| Error::io(format!("cannot list {path}"), e);
        let mut listing = Self::default();
        for entry in super::list_dir(bands).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            match band_index(name) {
                Some(index) if index < count => {
                    listing.present.push(index);
                    if let Some(what) = type_name(entry.file_type()) {
                        listing.not_files.push((index, what));
                    }
                }
                Some(index) => listing.stray(name, StrayKind::OutOfRange(index)),
                None => {
                    let kind = loose_index(name).map_or_else(
                        || {
                            known_stray(&String::from_utf8_lossy(name))
                                .map_or(StrayKind::Unknown, StrayKind::Known)
                        },
                        StrayKind::Misnamed,
                    );
                    listing.stray(name, kind);
                }
            }
        }
        listing.present.sort_unstable();
        listing.not_files.sort_unstable();
        listing.strays.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listing)
    }

    fn stray(&mut self, name: &[u8], kind: StrayKind) {
        self.stray_count += 1;
        if self.strays.len() < MAX_STRAYS {
            self.strays.push(Stray { name: String::from_utf8_lossy(name).into_owned(), kind });
        }
    }

    /// Whether the band of that index exists.
    pub fn contains(&self, index: u64) -> bool {
        self.present.binary_search(&index).is_ok()
    }
}

/// How many entries a directory has, in words.
pub(super) fn count_entries(dir: &OwnedFd) -> String {
    let count = super::list_dir(dir).map_or(0, |d| {
        d.filter_map(std::result::Result::ok)
            .filter(|e| !matches!(e.file_name().to_bytes(), b"." | b".."))
            .count()
    });
    match count {
        0 => "nothing".into(),
        1 => "1 entry".into(),
        n => format!("{n} entries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_names_are_bands() {
        assert_eq!(band_index(b"0"), Some(0));
        assert_eq!(band_index(b"1f3"), Some(0x1f3));
        for bad in ["", "00", "01", "A", "1F3", "g", "0x1", "1 ", "11111111111111111"] {
            assert_eq!(band_index(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(loose_index(b"00A"), Some(10));
        assert_eq!(loose_index(b"000"), Some(0));
        assert_eq!(loose_index(b"x"), None);
    }
}
