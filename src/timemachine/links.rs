//! Paths within a snapshot, with the symbolic links of the Mac on the way.

use crate::error::{Error, Result};
use crate::fs::{FileSystem, Kind, Metadata, NodeId, link_target};
use std::collections::VecDeque;

/// Links that are followed on the way to one object, as on a Mac (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 32;
/// Longest target of a link that is followed, as on a Mac (`MAXPATHLEN`).
const MAX_TARGET: usize = 1024;

/// Where a path is to be walked.
pub struct Walk<'a> {
    pub fs: &'a dyn FileSystem,
    /// The snapshot's folder, or the root of a volume.
    pub top: NodeId,
    /// The Mac's volumes in the snapshot, each of which was a `/`; none in a raw volume.
    pub stores: &'a [&'a str],
    /// Whether a link at the end is followed, too.
    pub follow: bool,
}

/// Where it led.
pub struct Walked {
    pub node: Metadata,
    pub path: String,
}

/// The object at `path` below the top. Nothing above the top is ever reached: in a
/// snapshot an absolute link begins at the volume it lies on, `/Volumes/NAME` at another
/// volume of the snapshot, and `..` ends there.
///
/// # Errors
/// [`Error::NotFound`] naming the first part that is not there, and the link that led to it.
pub fn walk_to(walk: &Walk<'_>, path: &str) -> Result<Walked> {
    let top = walk.fs.metadata(walk.top)?;
    let mut trail: Vec<(String, Metadata)> = Vec::new();
    let mut names: VecDeque<String> = split(path).map(str::to_owned).collect();
    if names.iter().any(|name| name == "..") {
        return Err(Error::Invalid(format!("{path}: '..' is not taken in paths")));
    }
    let floor = usize::from(!walk.stores.is_empty());
    let (mut links, mut through) = (0, None);
    while let Some(name) = names.pop_front() {
        if name == ".." {
            if trail.len() > floor {
                trail.pop();
            }
            continue;
        }
        let at = trail.last().map_or(&top, |(_, node)| node);
        let missing = |what: String| match &through {
            Some(link) => Error::NotFound(format!("{what} (the link {link} leads there)")),
            None => Error::NotFound(what),
        };
        if at.kind != Kind::Directory {
            return Err(missing(format!("{} is not a folder", shown(&trail))));
        }
        let found = walk.fs.lookup(at.id, &name)?;
        let here = format!("{}/{name}", joined(&trail, "/"));
        let node = found.ok_or_else(|| missing(format!("there is no {here}")))?;
        if node.kind != Kind::Symlink || (names.is_empty() && !walk.follow) {
            trail.push((name, node));
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Error::NotFound(format!("the link {here} leads round and round")));
        }
        let target = read_target(walk.fs, &node, &here)?;
        through = Some(format!("{here} -> {target}"));
        let mut onward: Vec<&str> = split(&target).collect();
        if target.starts_with('/') {
            trail.truncate(floor);
            if let ["Volumes", store, ..] = onward.as_slice()
                && walk.stores.contains(store)
            {
                trail.clear();
                onward.remove(0);
            }
        }
        for name in onward.iter().rev() {
            names.push_front((*name).to_owned());
        }
    }
    let path = joined(&trail, "").trim_start_matches('/').to_owned();
    Ok(Walked { node: trail.pop().map_or(top, |(_, node)| node), path })
}

fn read_target(fs: &dyn FileSystem, node: &Metadata, here: &str) -> Result<String> {
    let target = link_target(fs, node.id)?;
    if target.len() > MAX_TARGET {
        return Err(Error::NotFound(format!("the link {here} leads nowhere")));
    }
    Ok(String::from_utf8_lossy(&target).into_owned())
}

/// The names of a path; empty ones and `.` left out.
fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".")
}

fn joined(trail: &[(String, Metadata)], none: &str) -> String {
    if trail.is_empty() {
        return none.trim_end_matches('/').to_owned();
    }
    trail.iter().map(|(name, _)| format!("/{name}")).collect()
}

fn shown(trail: &[(String, Metadata)]) -> String {
    joined(trail, "/")
}
