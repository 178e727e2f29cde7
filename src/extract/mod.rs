//! Copy files and folders out of a backup into a folder on the server.
//!
//! Safe by construction: everything is created relative to open folders, links
//! are never followed, nothing that exists is overwritten, and a file appears
//! under its name only when it is whole.

mod dest;
mod names;

pub use names::safe_name;

use crate::error::{Error, Result};
use crate::fs::{Cursor, DirEntry, FileSystem, Kind, Metadata, NodeId, Stream};
use crate::io::bytes::{all_zero, to_u64, to_usize};
use crate::report::{Progress, Unit};
use dest::{Folder, Root};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;
/// Deepest nesting that is restored; every level holds a file descriptor.
const MAX_DEPTH: usize = 512;

/// What to give restored objects besides contents.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Set owners (needs root).
    pub owners: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files restored, links among them counted.
    pub files: u64,
    /// Folders made.
    pub folders: u64,
    /// Symbolic links, devices, fifos, sockets.
    pub others: u64,
    /// Bytes of contents written.
    pub bytes: u64,
    /// Objects that could not be restored.
    pub failed: u64,
}

/// Hears what could not be restored: path and reason.
pub type Failed<'a> = &'a mut dyn FnMut(&str, &Error);

/// Restore `node` into the folder `to`, which is made if it is not there: under
/// `name`, or, for a folder without a name, its entries.
///
/// # Errors
/// When the destination cannot be used, or on interruption. What fails for one
/// object goes to `failed` and is counted.
pub fn extract(
    fs: &dyn FileSystem,
    node: &Metadata,
    name: Option<&str>,
    to: &Path,
    options: Options,
    progress: &dyn Progress,
    failed: Failed<'_>,
) -> Result<Summary> {
    let root = Root::open(to)?;
    progress.phase("restoring", 0, Unit::Bytes);
    let mut job = Job {
        fs,
        options,
        progress,
        failed,
        root: &root,
        seen: HashMap::new(),
        path: String::new(),
        summary: Summary::default(),
    };
    match name {
        Some(name) => job.tree(root.folder()?, name, node)?,
        None if node.kind == Kind::Directory => job.contents(root.folder()?, node)?,
        None => return Err(Error::Invalid("a file needs a name to be restored".into())),
    }
    Ok(job.summary)
}

struct Job<'a, 'f> {
    fs: &'a dyn FileSystem,
    options: Options,
    progress: &'a dyn Progress,
    failed: Failed<'f>,
    root: &'a Root,
    /// Where the first name of a file with several was put.
    seen: HashMap<NodeId, PathBuf>,
    path: String,
    summary: Summary,
}

/// A folder being filled.
struct Level {
    folder: Folder,
    entries: std::vec::IntoIter<DirEntry>,
    path_len: usize,
    /// The folder's own metadata, set when it is full; `None` if it was there.
    finish: Option<Metadata>,
    id: NodeId,
}

impl Job<'_, '_> {
    fn fail(&mut self, error: &Error) {
        self.summary.failed += 1;
        (self.failed)(&self.path, error);
    }

    fn tree(&mut self, folder: Folder, name: &str, node: &Metadata) -> Result<()> {
        self.path.push_str(name);
        if node.kind != Kind::Directory {
            return self.one(&folder, name, node);
        }
        match self.enter(&folder, name, node) {
            Ok(level) => self.fill(level),
            Err(e) => {
                self.fail(&e);
                Ok(())
            }
        }
    }

    fn contents(&mut self, folder: Folder, node: &Metadata) -> Result<()> {
        let entries = self.entries(node.id);
        self.fill(Level { folder, entries, path_len: 0, finish: None, id: node.id })
    }

    fn entries(&mut self, id: NodeId) -> std::vec::IntoIter<DirEntry> {
        let mut entries = Vec::new();
        let read = self.fs.read_dir(id, Cursor::default(), &mut |e| {
            entries.push(e);
            ControlFlow::Continue(())
        });
        if let Err(e) = read {
            self.fail(&e);
        }
        entries.into_iter()
    }

    /// Make a folder and list what goes into it.
    fn enter(&mut self, parent: &Folder, name: &str, node: &Metadata) -> Result<Level> {
        let (folder, made) = parent.make_folder(&safe_name(name))?;
        if made {
            self.summary.folders += 1;
        }
        let entries = self.entries(node.id);
        let finish = made.then(|| node.clone());
        Ok(Level { folder, entries, path_len: self.path.len(), finish, id: node.id })
    }

    fn fill(&mut self, first: Level) -> Result<()> {
        let mut stack = vec![first];
        while let Some(level) = stack.last_mut() {
            self.progress.check()?;
            self.path.truncate(level.path_len);
            let Some(entry) = level.entries.next() else {
                if let Some(done) = stack.pop() {
                    self.finish(done);
                }
                continue;
            };
            if !self.path.is_empty() {
                self.path.push('/');
            }
            self.path.push_str(&entry.name);
            let meta = match entry.node {
                Ok(meta) => meta,
                Err(dangling) => {
                    self.fail(&Error::corrupt("hard link", dangling.reason));
                    continue;
                }
            };
            if meta.kind != Kind::Directory {
                let level = stack.pop();
                if let Some(level) = level {
                    let result = self.one(&level.folder, &entry.name, &meta);
                    stack.push(level);
                    result?;
                }
                continue;
            }
            let inside_itself = stack.iter().any(|l| l.id == meta.id);
            if inside_itself || stack.len() >= MAX_DEPTH {
                let why =
                    if inside_itself { "it contains itself" } else { "it is nested too deeply" };
                self.fail(&Error::corrupt("folder", why));
                continue;
            }
            let entered = match stack.last() {
                Some(level) => {
                    let folder = level.folder.again()?;
                    self.enter(&folder, &entry.name, &meta)
                }
                None => break,
            };
            match entered {
                Ok(level) => stack.push(level),
                Err(e) => self.fail(&e),
            }
        }
        Ok(())
    }

    fn finish(&mut self, level: Level) {
        let Some(meta) = level.finish else { return };
        if let Err(e) = level.folder.set_own_metadata(&meta, self.options.owners) {
            self.fail(&e);
        }
    }

    fn one(&mut self, folder: &Folder, name: &str, meta: &Metadata) -> Result<()> {
        match self.object(folder, &safe_name(name), meta) {
            Ok(()) => Ok(()),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(e) => {
                self.fail(&e);
                Ok(())
            }
        }
    }

    fn object(&mut self, folder: &Folder, name: &str, meta: &Metadata) -> Result<()> {
        if meta.links > 1
            && let Some(first) = self.seen.get(&meta.id)
        {
            folder.link(self.root, first, name)?;
            self.summary.files += 1;
            return Ok(());
        }
        match meta.kind {
            Kind::File => {
                self.file(folder, name, meta)?;
                self.summary.files += 1;
            }
            Kind::Symlink => {
                folder.symlink(&self.fs.read_link(meta.id)?, name, meta, self.options.owners)?;
                self.summary.others += 1;
            }
            _ => {
                folder.special(name, meta, self.options.owners)?;
                self.summary.others += 1;
            }
        }
        if meta.links > 1 {
            self.seen.insert(meta.id, folder.path().join(name));
        }
        Ok(())
    }

    fn file(&mut self, folder: &Folder, name: &str, meta: &Metadata) -> Result<()> {
        let source = self.fs.open(meta.id, &Stream::Data)?;
        let partial = folder.create(name)?;
        let mut buf = vec![0; PIECE.min(to_usize(source.len()))];
        let mut at = 0;
        while at < source.len() {
            self.progress.check()?;
            let n = to_usize(source.len() - at).min(PIECE);
            let piece = buf.get_mut(..n).unwrap_or_default();
            source.read_at(piece, at)?;
            if !all_zero(piece) {
                partial.write(piece, at)?;
            }
            at += to_u64(n);
            self.summary.bytes += to_u64(n);
            self.progress.advance(to_u64(n));
        }
        partial.finish(source.len(), meta, self.options.owners)
    }
}
