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
const MAX_VISITS: usize = 4096;
/// Times that any folder may be entered.
const FEW_VISITS: usize = 4;
/// Folders whose visits are counted.
const MAX_COUNTED: usize = 1 << 20;
/// Levels below the start on which snapshots lie: `Backups.backupdb`, computer, snapshot.
const SNAPSHOT_LEVEL: usize = 2;

/// Counts how often each folder is entered. In a backup that is once in each snapshot, so no
/// more often than some folder near the start has entries.
#[derive(Debug, Default)]
pub struct Visits {
    by_folder: HashMap<NodeId, u16>,
    widest: usize,
}

impl Visits {
    /// That a folder so many levels below the start has so many entries.
    pub fn listed(&mut self, level: usize, entries: usize) {
        if level <= SNAPSHOT_LEVEL {
            self.widest = self.widest.max(entries);
        }
    }

    /// Count a visit of a folder; why it is one too many, if so.
    pub fn enter(&mut self, folder: NodeId) -> Option<String> {
        if self.by_folder.len() >= MAX_COUNTED && !self.by_folder.contains_key(&folder) {
            return None;
        }
        let visits = self.by_folder.entry(folder).or_insert(0);
        *visits = visits.saturating_add(1);
        let most = self.widest.clamp(FEW_VISITS, MAX_VISITS);
        (usize::from(*visits) > most).then(|| {
            format!("it is linked to in more than {most} ways, as in no backup; not entered again")
        })
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
    visits.listed(0, stack.last().map_or(0, |l| l.entries.len()));
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
        } else if let Some(text) = visits.enter(meta.id) {
            failed(&path, Error::corrupt("folder", text))?;
        } else {
            open_level(fs, meta.id, &path, &mut stack, failed)?;
            visits.listed(stack.len() - 1, stack.last().map_or(0, |l| l.entries.len()));
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
