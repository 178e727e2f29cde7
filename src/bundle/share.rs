//! A share: a folder on the server with the bundles of several Macs, side by side or
//! in a folder for each user.

use super::listing::band_index;
use super::plists::HISTORY;
use crate::error::{Error, Result};
use crate::report::words::span;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Endings of the names that macOS gives to bundles (`formats/sparsebundle.md`
/// section 7).
const ENDINGS: [&[u8]; 2] = [b".sparsebundle", b".backupbundle"];
/// What a bundle is called while a Mac makes it, before its first backup.
const UNFINISHED: [&[u8]; 3] = [b".incomplete", b".tmp.sparsebundle", b".tmp.backupbundle"];
/// A first backup that was not finished in this time never will be.
pub const NEVER: Duration = Duration::from_secs(2 * 86_400);
/// A disk that was just formatted has no more bands than this.
const NEW_BANDS: usize = 16;
/// How deep below a share bundles are looked for: a Time Capsule with accounts has
/// `Users/NAME/X.sparsebundle`.
const MAX_DEPTH: usize = 5;
/// What is said of folders further down, and of the first of those that are too many.
const TOO_DEEP: &str = "lies too deep and was not looked into";
const TOO_MANY: &str = "was not looked into, nor were those after it: there are too many folders";
/// Most folders that are listed: a share may hold other things than bundles.
const MAX_FOLDERS: usize = 10_000;
/// What a bundle holds, and a share does not.
pub(super) const PARTS: [&str; 4] = ["Info.plist", "Info.bckup", "token", "bands"];

/// The bundles of a share.
#[derive(Debug, Default)]
pub struct Share {
    /// Bundles, sorted by path.
    pub bundles: Vec<PathBuf>,
    /// What looks like a bundle but is none, and why it was passed over.
    pub passed: Vec<(PathBuf, &'static str)>,
    /// Bundles that a Mac began to make and that hold no backup yet, and how long ago they
    /// were last changed.
    pub unfinished: Vec<(PathBuf, Duration)>,
    /// Those of the bundles that have the name of one that a Mac is making, and hold bands; how
    /// long ago they were last changed.
    pub named_unfinished: Vec<(PathBuf, Duration)>,
    /// Folders that lie too deep, or are too many, to be looked into, and what is said of that.
    pub cut: Vec<(PathBuf, &'static str)>,
    /// Folders that could not be listed.
    pub failed: Vec<Error>,
}

impl Share {
    /// List a share: `path` and the folders in it, five levels deep. Symbolic links are
    /// not followed; folders whose names begin with `.`, `@` or `#` are left out (they
    /// hold a file server's own data, or snapshots of the share). `None` if `path` is
    /// no folder, or is a bundle itself.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be listed; [`Error::NotASource`] if no
    /// bundle is in it.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.is_dir() || is_bundle(path) {
            return Ok(None);
        }
        let mut share = Self::default();
        let mut folders: VecDeque<(PathBuf, usize)> =
            share.list(path)?.into_iter().map(|f| (f, 1)).collect();
        let mut listed = 0;
        while let Some((folder, depth)) = folders.pop_front() {
            if listed >= MAX_FOLDERS {
                share.cut.push((folder, TOO_MANY));
                break;
            }
            listed += 1;
            match share.list(&folder) {
                Ok(below) if depth < MAX_DEPTH => {
                    folders.extend(below.into_iter().map(|f| (f, depth + 1)));
                }
                Ok(below) => share.cut.extend(below.into_iter().map(|f| (f, TOO_DEEP))),
                Err(e) => share.failed.push(e),
            }
        }
        share.cut.sort();
        share.bundles.sort();
        share.passed.sort();
        share.unfinished.sort();
        share.named_unfinished.sort();
        if share.bundles.is_empty() && share.failed.is_empty() {
            return Err(share.empty(path));
        }
        Ok(Some(share))
    }

    /// Take the bundles of one folder; the other folders in it.
    fn list(&mut self, dir: &Path) -> Result<Vec<PathBuf>> {
        let failed = |e| Error::io(format!("cannot list {}", dir.display()), e);
        let mut folders = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (name, path) = (entry.file_name(), entry.path());
            let kind = entry.file_type().map_err(failed)?;
            let name = name.as_bytes();
            // A name such as `._Mac.sparsebundle` is a file server's, too.
            if matches!(name, [b'.' | b'@' | b'#', ..]) {
                continue;
            }
            if ends_with(name, &UNFINISHED) {
                let changed = entry.metadata().and_then(|m| m.modified());
                let age = changed.ok().and_then(|t| t.elapsed().ok()).unwrap_or_default();
                match kind.is_dir() && holds_backup(&path, age) {
                    true => {
                        self.named_unfinished.push((path.clone(), age));
                        self.bundles.push(path);
                    }
                    false => self.unfinished.push((path, age)),
                }
            } else if is_bundle_name(OsStr::from_bytes(name)) {
                match why_not(kind) {
                    None => self.bundles.push(path),
                    Some(why) => self.passed.push((path, why)),
                }
            } else if kind.is_dir() {
                folders.push(path);
            }
        }
        folders.sort();
        Ok(folders)
    }

    fn empty(&self, path: &Path) -> Error {
        let mut why = "it holds no Info.plist, and no *.sparsebundle or *.backupbundle lies in it \
                       or in the folders below"
            .to_owned();
        if !self.cut.is_empty() {
            why.push_str(" that were looked into");
        }
        for (passed, reason) in self.passed.iter().take(3) {
            why.push_str(&format!("; {} is {reason}", passed.display()));
        }
        if let Some((path, age)) = self.unfinished.first() {
            let path = path.display();
            why.push_str(&match *age >= NEVER {
                true => format!("; {path} was begun by a Mac {} ago, never finished", ago(*age)),
                false => format!("; {path} is only being made by a Mac"),
            });
        }
        for (path, reason) in self.cut.iter().take(3) {
            why.push_str(&format!("; {} {reason}", path.display()));
        }
        Error::NotASource { path: path.to_owned(), why }
    }
}

/// How long ago, in words.
pub fn ago(age: Duration) -> String {
    span(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
}

/// Whether a bundle that has the name of one in the making holds more than a Mac begins with:
/// a history of backups, more bands than a new disk has, or any that are old.
fn holds_backup(path: &Path, age: Duration) -> bool {
    let own = |name: &str| fs::symlink_metadata(path.join(name)).ok();
    let bands = own("bands").filter(fs::Metadata::is_dir);
    let bands = bands.and_then(|_| fs::read_dir(path.join("bands")).ok());
    let bands = bands.into_iter().flatten().flatten();
    let is_band = |entry: &fs::DirEntry| band_index(entry.file_name().as_bytes()).is_some();
    let bands = bands.filter(is_band).take(NEW_BANDS + 1).count();
    let history = || own(HISTORY).is_some_and(|m| m.is_file());
    bands > NEW_BANDS || bands > 0 && (age >= NEVER || history())
}

/// Whether a folder is a bundle, or what is left of one.
fn is_bundle(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let named = |p: &Path| p.file_name().is_some_and(is_bundle_name);
    named(path)
        || named(&real)
        || PARTS.iter().any(|part| fs::symlink_metadata(path.join(part)).is_ok())
}

/// Whether the name of a folder is one that bundles have.
pub fn is_bundle_name(name: impl AsRef<OsStr>) -> bool {
    ends_with(name.as_ref().as_bytes(), &ENDINGS)
}

fn ends_with(name: &[u8], endings: &[&[u8]]) -> bool {
    endings.iter().any(|ending| {
        let tail = name.len().checked_sub(ending.len()).and_then(|at| name.get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
    })
}

fn why_not(kind: FileType) -> Option<&'static str> {
    match kind {
        k if k.is_dir() => None,
        k if k.is_symlink() => Some("a symbolic link, which is not followed"),
        _ => Some("not a folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(share: &Share, at: &Path) -> Vec<String> {
        let name = |p: &PathBuf| p.strip_prefix(at).unwrap().display().to_string();
        share.bundles.iter().map(name).collect()
    }

    #[test]
    fn bundles_side_by_side_and_in_users_folders() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        for name in [
            "b/Mac.backupbundle",
            "b/Users/bob/Bob.sparsebundle",
            "b/2/3/4/5/6/No.sparsebundle",
            "Half.tmp.sparsebundle",
            "Z.sparsebundle/bands",
            "A.SparseBundle",
            "New 2024-01-01-101010.incomplete",
            ".snapshots/Old.sparsebundle",
            "@eaDir/Z.sparsebundle",
            "#recycle/Z.sparsebundle",
            "empty",
        ] {
            fs::create_dir_all(at.join(name)).unwrap();
        }
        fs::write(at.join("File.sparsebundle"), b"").unwrap();
        std::os::unix::fs::symlink("Z.sparsebundle", at.join("Link.sparsebundle")).unwrap();
        std::os::unix::fs::symlink("b", at.join("c")).unwrap();
        let share = Share::open(at).unwrap().unwrap();
        assert_eq!(
            names(&share, at),
            [
                "A.SparseBundle",
                "Z.sparsebundle",
                "b/Mac.backupbundle",
                "b/Users/bob/Bob.sparsebundle"
            ]
        );
        assert_eq!(share.cut, [(at.join("b/2/3/4/5/6"), TOO_DEEP)], "and that is told");
        assert_eq!(share.passed.len(), 2, "{:?}", share.passed);
        assert_eq!(share.unfinished.len(), 2);
        assert!(share.failed.is_empty());
    }

    #[test]
    fn a_bundle_is_no_share_and_an_empty_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let named = dir.path().join("X.sparsebundle");
        let parts = dir.path().join("X");
        for path in [&named, &parts] {
            fs::create_dir(path).unwrap();
        }
        fs::write(parts.join("Info.bckup"), b"").unwrap();
        assert!(Share::open(&named).unwrap().is_none());
        assert!(Share::open(&parts).unwrap().is_none());
        assert!(Share::open(&parts.join("Info.bckup")).unwrap().is_none());
        assert!(Share::open(&dir.path().join("nothing")).unwrap().is_none());
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Share::open(empty.path()), Err(Error::NotASource { .. })));
    }
}
