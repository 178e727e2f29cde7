//! Paths within a file system.

use super::{FileSystem, Kind, Metadata, NodeId};
use crate::error::{Error, Result};

/// Target of a symbolic link that can be one: what is lost reads as zeros.
///
/// # Errors
/// [`Error::Corrupt`] if it is empty or has a zero byte in it; as for [`FileSystem::read_link`].
pub fn link_target(fs: &dyn FileSystem, node: NodeId) -> Result<Vec<u8>> {
    let target = fs.read_link(node)?;
    if target.is_empty() || target.contains(&0) {
        let text = "its target is empty or has a zero byte in it, which no path has";
        return Err(Error::corrupt(format!("symbolic link {}", node.0), text));
    }
    Ok(target)
}

/// The names of a path: separated by `/`, empty ones and `.` left out.
pub fn split(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|n| !n.is_empty() && *n != ".")
}

/// The object at `path` below `base`. Symbolic links are not followed; `..` is
/// not taken.
///
/// # Errors
/// [`Error::NotFound`] naming the first part that is not there.
pub fn resolve(fs: &dyn FileSystem, base: NodeId, path: &str) -> Result<Metadata> {
    let mut at = fs.metadata(base)?;
    let mut so_far = String::new();
    for name in split(path) {
        if name == ".." {
            return Err(Error::Invalid(format!("{path}: '..' is not taken in paths")));
        }
        if at.kind != Kind::Directory {
            return Err(Error::NotFound(format!("{so_far} is not a folder")));
        }
        let found = fs.lookup(at.id, name)?;
        so_far.push('/');
        so_far.push_str(name);
        at = found.ok_or_else(|| Error::NotFound(format!("there is no {so_far}")))?;
    }
    Ok(at)
}
