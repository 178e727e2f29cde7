//! Files that are no part of a bundle by their names, and may be the part that is missing.
//!
//! Copy and sync tools, editors and people leave `9.partial`, `.9.Xk3vTq`, `9 (1)`,
//! `9.sync-conflict-…`, whole folders `bands 2`, `token.bkp`. Where the real part is lost
//! or damaged, such a file may be the only copy, so it is recognised by what is in it, and
//! by the band's name in its own.

use super::listing::{band_index, loose_index};
use super::{Bundle, Info, open_file};
use crate::io::bytes::to_u64;
use crate::io::open_untrusted_dir;
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Most folders that are looked into, and most names in each.
const MAX_FOLDERS: usize = 64;
const MAX_NAMES: usize = 1 << 20;
/// Bytes of a file in which data is looked for; behind so many zeros there is little.
const LOOKED_AT: u64 = 64 << 20;
/// Words that tools put before or after the name of the file they copy.
const DECORATION: &[&str] = &[
    "backup",
    "bak",
    "conflict",
    "conflicted",
    "copy",
    "copie",
    "de",
    "fuse",
    "kopie",
    "of",
    "old",
    "orig",
    "partial",
    "smbdelete",
    "sync",
    "syncthing",
    "temp",
    "tmp",
    "von",
];

/// The band whose name a stray name has in it: `9.partial`, `.9.Xk3vTq`, `Copy of 9`,
/// `9~`, `00A`. `None` for other names, and for the band's own.
pub fn stands_for(name: &[u8]) -> Option<u64> {
    if band_index(name).is_some() || name.starts_with(b"._") {
        return None;
    }
    if let Some(index) = loose_index(name) {
        return Some(index);
    }
    let word = |w: &&[u8]| {
        let lower = w.to_ascii_lowercase();
        !w.is_empty() && !DECORATION.iter().any(|d| d.as_bytes() == lower)
    };
    let first = name.split(|c| !c.is_ascii_alphanumeric()).find(word)?;
    band_index(first)
}

/// A file that may be a band, beside the band of that name or instead of it.
#[derive(Clone)]
pub struct Alternate {
    /// Its path in the bundle: `bands/9.partial`, `bands 2/9`.
    pub path: String,
    /// Its size in bytes.
    pub len: u64,
    folder: Arc<OwnedFd>,
    name: OsString,
}

impl Alternate {
    /// Whether it has bytes other than zeros in this range of the band.
    pub fn has_data(&self, range: std::ops::Range<u64>) -> bool {
        let Ok((file, len)) = open_file(&self.folder, Path::new(&self.name)) else { return false };
        let end = range.end.min(len);
        let mut at = range.start;
        let mut buf = vec![0; 64 << 10];
        while at < end.min(range.start.saturating_add(LOOKED_AT)) {
            let Ok(n @ 1..) = file.read_at(&mut buf, at) else { return false };
            let n = n.min(crate::io::bytes::to_usize(end - at));
            if !crate::io::bytes::all_zero(buf.get(..n).unwrap_or_default()) {
                return true;
            }
            at += to_u64(n);
        }
        false
    }
}

/// All that may be a part of the bundle though its name says otherwise.
#[derive(Default)]
pub struct Strays {
    /// Files that may be bands, by the band they stand for.
    pub bands: BTreeMap<u64, Vec<Alternate>>,
    /// Files that hold an encryption header: paths in the bundle.
    pub tokens: Vec<String>,
    /// Files that hold the geometry of a bundle: paths, and what they say.
    pub infos: Vec<(String, Info)>,
    /// Other strays: path, and what software leaves such files, if known.
    pub others: Vec<(String, Option<&'static str>)>,
}

impl Strays {
    /// Look for them: beside the bundle's own files, among the bands, and one folder below
    /// either.
    pub fn find(bundle: &Bundle) -> Self {
        let (count, band_size) = (bundle.info().band_count(), bundle.info().band_size);
        let mut found = Self::default();
        let mut look =
            Look { count, band_size, folders: 0, unlisted: Vec::new(), found: &mut found };
        look.folder(bundle.dir(), "", Depth::Top);
        look.folder(bundle.bands().dir(), "bands/", Depth::Bands);
        for (folder, e) in std::mem::take(&mut look.unlisted) {
            bundle.bands().unlisted(&folder, e);
        }
        found
    }

    /// The geometries in files beside the lost ones.
    pub(super) fn find_infos(dir: &OwnedFd) -> Vec<(String, Info)> {
        let mut found = Self::default();
        let mut look =
            Look { count: 0, band_size: 0, folders: 0, unlisted: Vec::new(), found: &mut found };
        look.folder(dir, "", Depth::Top);
        found.infos
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The bundle itself.
    Top,
    /// `bands/`.
    Bands,
    /// A folder in one of these that does not belong there.
    Below,
}

struct Look<'a> {
    count: u64,
    band_size: u64,
    folders: usize,
    /// Folders that could not be listed to their end, and why.
    unlisted: Vec<(String, rustix::io::Errno)>,
    found: &'a mut Strays,
}

impl Look<'_> {
    fn folder(&mut self, dir: &OwnedFd, prefix: &str, depth: Depth) {
        let what = if prefix.is_empty() { "the folder" } else { prefix.trim_end_matches('/') };
        let entries = match super::list_dir(dir) {
            Ok(entries) => entries,
            Err(e) => return self.unlisted.push((what.to_owned(), e)),
        };
        let Ok(shared) = dir.try_clone().map(Arc::new) else { return };
        let mut below = Vec::new();
        for entry in entries.take(MAX_NAMES) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    self.unlisted.push((what.to_owned(), e));
                    break;
                }
            };
            let name = entry.file_name().to_bytes();
            let own = match depth {
                Depth::Top => std::str::from_utf8(name).is_ok_and(super::check::is_own),
                Depth::Bands => band_index(name).is_some(),
                Depth::Below => false,
            };
            if own || matches!(name, b"." | b"..") {
                continue;
            }
            let name = OsString::from_vec(name.to_vec());
            match entry.file_type() {
                FileType::Directory => below.push(name),
                FileType::RegularFile | FileType::Unknown => {
                    self.file(&shared, prefix, &name, depth);
                }
                _ => self.other(prefix, &name),
            }
        }
        below.sort();
        for name in below {
            if depth == Depth::Below {
                continue;
            }
            self.other(prefix, &name);
            if self.folders < MAX_FOLDERS
                && let Ok(folder) = open_untrusted_dir(dir, Path::new(&name))
            {
                self.folders += 1;
                let prefix = format!("{prefix}{}/", name.to_string_lossy());
                self.folder(&folder, &prefix, Depth::Below);
            }
        }
    }

    fn other(&mut self, prefix: &str, name: &OsStr) {
        let text = name.to_string_lossy();
        let known = super::listing::known_stray(&text);
        self.found.others.push((format!("{prefix}{text}"), known));
    }

    fn file(&mut self, dir: &Arc<OwnedFd>, prefix: &str, name: &OsStr, depth: Depth) {
        let path = format!("{prefix}{}", name.to_string_lossy());
        let Ok((file, len)) = open_file(dir, Path::new(name)) else { return };
        let index = if depth == Depth::Top { None } else { self.index(name.as_bytes(), depth) };
        let plausible = len > 0 && len <= self.band_size && !is_apple_double(&file);
        if let Some(index) = index.filter(|_| plausible) {
            let alternate = Alternate { path, len, folder: dir.clone(), name: name.to_owned() };
            self.found.bands.entry(index).or_default().push(alternate);
        } else if holds_keys(&file, len) {
            self.found.tokens.push(path);
        } else if let Some(info) = geometry(&file, len) {
            self.found.infos.push((path, info));
        } else if depth != Depth::Below {
            self.other(prefix, name);
        }
    }

    fn index(&self, name: &[u8], depth: Depth) -> Option<u64> {
        let own = if depth == Depth::Below { band_index(name) } else { None };
        own.or_else(|| stands_for(name)).filter(|i| *i < self.count)
    }
}

/// Folders of a bundle that hold files named as bands, where `bands` itself is lost.
pub(super) fn folders_of_bands(bundle: &OwnedFd) -> Vec<String> {
    let holds_bands = |name: &OsStr| {
        let folder = open_untrusted_dir(bundle, Path::new(name)).ok()?;
        let mut names = super::list_dir(&folder).ok()?.filter_map(std::result::Result::ok);
        names.find(|entry| band_index(entry.file_name().to_bytes()).is_some())
    };
    let Ok(entries) = super::list_dir(bundle) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec()))
        .filter(|name| name != "." && name != "..")
        .take(MAX_FOLDERS)
        .filter(|name| holds_bands(name).is_some())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

fn head(file: &File, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    let n = file.read_at(&mut buf, 0).unwrap_or(0);
    buf.truncate(n);
    buf
}

/// AppleDouble files hold the attributes of the file they are named after.
fn is_apple_double(file: &File) -> bool {
    head(file, 4) == [0, 5, 0x16, 7]
}

fn holds_keys(file: &File, len: u64) -> bool {
    let mut tail = [0; 8];
    head(file, 8) == b"encrcdsa"
        || len
            .checked_sub(8)
            .is_some_and(|at| file.read_exact_at(&mut tail, at).is_ok() && &tail == b"cdsaencr")
}

fn geometry(file: &File, len: u64) -> Option<Info> {
    if len > super::info::MAX_INFO {
        return None;
    }
    Info::parse(&head(file, crate::io::bytes::to_usize(len))).ok()
}

#[cfg(test)]
mod tests {
    use super::stands_for;

    #[test]
    fn names_that_have_a_bands_name_in_them() {
        for name in [
            "9.partial",
            "9.3fa9c1d2.partial",
            ".9.Xk3vTq",
            "9 (1)",
            "9 2",
            "9~",
            "9.bak",
            "9_conflict-20240101",
            "9 (Anna's conflicted copy 2024-01-01)",
            "9.filepart",
            "9.sync-conflict-20240101-101010-ABCDEFG",
            ".syncthing.9.tmp",
            "~syncthing~9.tmp",
            "9.nextcloud",
            "09",
            "Copy of 9",
            "9 copy",
            "#9#",
            "Kopie von 9",
            ".9.swp",
        ] {
            assert_eq!(stands_for(name.as_bytes()), Some(9), "{name}");
        }
        assert_eq!(stands_for(b"1F3"), Some(0x1f3));
        assert_eq!(stands_for(b"1f3.old"), Some(0x1f3));
        for name in ["9", "1f3", "._9", ".DS_Store", "@eaDir", "Thumbs.db", ".nfs0000000001", ""] {
            assert_eq!(stands_for(name.as_bytes()), None, "{name}");
        }
    }
}
