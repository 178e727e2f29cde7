//! Walk a tree without recursion and without being caught in a loop.

use super::{Cursor, DirEntry, FileSystem, Kind, Metadata, NodeId};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Deepest nesting that is followed; Apple's fsck gives up earlier.
const MAX_DEPTH: usize = 1024;

/// An object met on a walk.
pub struct Entry<'a> {
    /// Path from the start, names joined by `/`; empty for the start itself.
    pub path: &'a str,
    /// The directory entry.
    pub entry: &'a DirEntry,
}

/// What to do after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Go on; into it, if it is a folder.
    Into,
    /// Go on, but not into it.
    Over,
}

/// Times that one folder is entered at most, each through another path: more snapshots
/// than this no backup has. Folder links within folder links could otherwise make so many
/// paths of a few kilobytes that no walk ever ends.
const MAX_VISITS: u16 = 4096;
/// Folders whose visits are counted.
const MAX_COUNTED: usize = 1 << 20;

/// Counts how often each folder is entered.
#[derive(Debug, Default)]
pub struct Visits(HashMap<NodeId, u16>);

impl Visits {
    /// Whether a folder may be entered once more.
    pub fn enter(&mut self, folder: NodeId) -> bool {
        if self.0.len() >= MAX_COUNTED && !self.0.contains_key(&folder) {
            return true;
        }
        let visits = self.0.entry(folder).or_insert(0);
        *visits = visits.saturating_add(1);
        *visits <= MAX_VISITS
    }
}

struct Level {
    entries: std::vec::IntoIter<DirEntry>,
    path_len: usize,
    id: NodeId,
}

/// Visit the entries of a folder in the order of their names, without regard to case.
///
/// # Errors
/// As for [`FileSystem::read_dir`]; what was read before is visited.
pub fn by_name(
    fs: &dyn FileSystem,
    dir: NodeId,
    visit: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
) -> Result<()> {
    if fs.is_sorted() {
        return fs.read_dir(dir, Cursor::default(), visit);
    }
    let mut entries = Vec::new();
    let read = fs.read_dir(dir, Cursor::default(), &mut |e| {
        entries.push(e);
        ControlFlow::Continue(())
    });
    entries.sort_by_cached_key(|e| (e.name.to_lowercase(), e.name.clone()));
    let _ = entries.into_iter().try_for_each(visit);
    read
}

/// Visit everything below `start`, folders before their contents, in the
/// order of their names. Folders that contain themselves through directory hard
/// links are visited but not entered again. Errors go to `failed` with the path,
/// and the walk goes on.
pub fn walk(
    fs: &dyn FileSystem,
    start: &Metadata,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<Step>,
    failed: &mut dyn FnMut(&str, Error) -> Result<()>,
) -> Result<()> {
    let mut path = String::new();
    let mut stack = Vec::new();
    let mut visits = Visits::default();
    open_level(fs, start.id, &path, &mut stack, failed)?;
    while let Some(level) = stack.last_mut() {
        path.truncate(level.path_len);
        let Some(entry) = level.entries.next() else {
            stack.pop();
            continue;
        };
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&entry.name);
        let step = visit(Entry { path: &path, entry: &entry })?;
        let Ok(meta) = &entry.node else { continue };
        if meta.kind != Kind::Directory || step == Step::Over {
            continue;
        }
        if stack.iter().any(|l| l.id == meta.id) || start.id == meta.id {
            failed(&path, Error::corrupt("folder", "it contains itself; not entered again"))?;
        } else if stack.len() >= MAX_DEPTH {
            failed(&path, Error::corrupt("folder", format!("nested deeper than {MAX_DEPTH}")))?;
        } else if !visits.enter(meta.id) {
            let text = format!("it is linked to in more than {MAX_VISITS} ways; not entered again");
            failed(&path, Error::corrupt("folder", text))?;
        } else {
            open_level(fs, meta.id, &path, &mut stack, failed)?;
        }
    }
    Ok(())
}

fn open_level(
    fs: &dyn FileSystem,
    id: NodeId,
    path: &str,
    stack: &mut Vec<Level>,
    failed: &mut dyn FnMut(&str, Error) -> Result<()>,
) -> Result<()> {
    let mut entries = Vec::new();
    let read = by_name(fs, id, &mut |e| {
        entries.push(e);
        ControlFlow::Continue(())
    });
    if let Err(e) = read {
        failed(path, e)?;
    }
    stack.push(Level { entries: entries.into_iter(), path_len: path.len(), id });
    Ok(())
}
