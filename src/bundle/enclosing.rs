//! Whether a place lies in a bundle: nothing is ever written there.

use super::share::{PARTS, is_bundle_name};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links on the way to a place that are followed, as Linux does.
const LINKS: u32 = 40;

/// The bundle that `path` lies in, or is, by whatever name or link it is called. Neither
/// the path nor the folders above it need be there yet.
///
/// # Errors
/// When the working directory is gone, or links lead round and round.
pub fn enclosing(path: &Path) -> io::Result<Option<PathBuf>> {
    let real = destination(path)?;
    Ok(real.ancestors().find(|folder| is_bundle(folder)).map(Path::to_owned))
}

/// Where something written to `path` would come to lie: an absolute path without links.
///
/// # Errors
/// See [`enclosing`].
pub fn destination(path: &Path) -> io::Result<PathBuf> {
    let mut links = LINKS;
    follow(&std::path::absolute(path)?, &mut links)
}

/// As the kernel walks: name by name, each link replaced by what it says.
fn follow(path: &Path, links: &mut u32) -> io::Result<PathBuf> {
    let mut at = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                let next = at.join(name);
                let Ok(target) = std::fs::read_link(&next) else {
                    at = next;
                    continue;
                };
                *links =
                    links.checked_sub(1).ok_or_else(|| io::Error::from(rustix::io::Errno::LOOP))?;
                // An absolute target takes the place of what was walked.
                at = follow(&at.join(target), links)?;
            }
            Component::ParentDir => {
                at.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(at)
}

/// The folder on the way to `path` that is named like a bundle, whether it is there or not.
///
/// # Errors
/// See [`enclosing`].
pub fn named_like_bundle(path: &Path) -> io::Result<Option<PathBuf>> {
    let real = destination(path)?;
    Ok(real.ancestors().find(|folder| is_named(folder)).map(Path::to_owned))
}

fn is_named(folder: &Path) -> bool {
    folder.file_name().is_some_and(is_bundle_name)
}

/// By its name, or by what is in it: of a bundle that lost some of its files two are
/// telling enough, and any one of them alone may be a folder of somebody's.
fn is_bundle(folder: &Path) -> bool {
    let there = |part: &&&str| folder.join(part).symlink_metadata().is_ok();
    (is_named(folder) && folder.is_dir()) || PARTS.iter().filter(there).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_place_in_a_bundle_is_seen_through_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = std::fs::canonicalize(dir.path()).unwrap();
        let bundle = at.join("A.sparsebundle");
        // Told by what is in it, without the name.
        let plain = at.join("plain");
        for folder in [&bundle, &plain] {
            std::fs::create_dir_all(folder.join("bands")).unwrap();
        }
        std::fs::write(plain.join("Info.bckup"), b"").unwrap();
        symlink(bundle.join("bands"), at.join("link")).unwrap();
        symlink("link", at.join("again")).unwrap();
        symlink(bundle.join("not/there"), at.join("dangling")).unwrap();
        symlink("round", at.join("round")).unwrap();
        for inside in [
            "A.sparsebundle",
            "A.sparsebundle/x/y",
            "link",
            "again/z",
            "dangling",
            "dangling/q",
            "nothing/../A.sparsebundle/q",
            "link/../q",
        ] {
            assert_eq!(enclosing(&at.join(inside)).unwrap(), Some(bundle.clone()), "{inside}");
        }
        assert_eq!(enclosing(&plain.join("bands/0")).unwrap(), Some(plain));
        for outside in ["", "B", "A.sparsebundle2/x", "A.sparsebundle/../x", "B.sparsebundle"] {
            assert_eq!(enclosing(&at.join(outside)).unwrap(), None, "{outside}");
        }
        assert!(enclosing(&at.join("round/x")).is_err());
    }
}
