//! The state behind a mount: the view of the source, open files, inode numbers.
//!
//! A *view* is the source as it was opened at one moment. When the source
//! changes a new view takes its place. Files that were looked up in an older one
//! keep their numbers and are read on only if their bytes still lie where they
//! lay; otherwise reading them fails, and looking them up again gives a new number
//! (and so an empty page cache).

use super::errors::Complaints;
use super::inodes::{Inodes, Resolved, next_generation};
use super::options::Options;
use super::probe::{Look, Probe};
use super::tree::{Object, Tree};
use crate::error::{Error, Result};
use crate::fs::{Extent, Stream};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{Anchor, ReadAt, Source};
use crate::losses::{Doubt, Evidence, Standing, Watched};
use crate::report::words::binary;
use crate::timemachine::Archive;
use quick_cache::sync::Cache;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Files that are kept open for reading.
const OPEN_FILES: usize = 1024;

/// A source that was opened.
pub struct Opened {
    /// The disk's bytes.
    pub bytes: Source,
    /// What is on it.
    pub archive: Archive,
    /// What its bundle tells of bytes that are not stored.
    pub evidence: Arc<Evidence>,
}

/// Opens the source that is held, again and again.
pub type Opener = Box<dyn Fn(&Anchor) -> Result<Opened> + Send + Sync>;

/// The source as it was at one moment.
pub struct View {
    /// What is shown.
    pub tree: Tree,
    /// Counts views.
    pub generation: u16,
    probe: Probe,
    look: Look,
}

impl View {
    fn open(
        anchor: &Arc<Anchor>,
        opener: &Opener,
        options: Options,
        generation: u16,
    ) -> Result<Self> {
        let mut opened = opener(anchor)?;
        let mut probe = Probe::new(anchor, &opened.archive)?;
        let mut look = probe.look();
        // Of a source that is being written to, two views that agree are wanted.
        for _ in 0..4 {
            if !probe.is_recent() {
                break;
            }
            opened = opener(anchor)?;
            probe = Probe::new(anchor, &opened.archive)?;
            let now = probe.look();
            let same = look == now;
            look = now;
            if same {
                break;
            }
        }
        Ok(Self { tree: Tree::new(opened, options), generation, probe, look })
    }

    /// Whether the source looks different now.
    pub fn is_outdated(&self) -> bool {
        self.probe.look() != self.look
    }
}

/// A file that is being read.
struct OpenFile {
    source: Source,
    /// The stream that is watched over, of a volume's file.
    guarded: Option<Arc<dyn Watched>>,
    doubted: AtomicBool,
    generation: u16,
    extents: Vec<Extent>,
}

/// Changes that were noticed.
#[derive(Default)]
struct Changes {
    count: u64,
    last: Option<jiff::Timestamp>,
    /// The kernel has not been told yet.
    untold: bool,
}

/// The state of a mount.
pub struct Core {
    path: PathBuf,
    anchor: Arc<Anchor>,
    opener: Opener,
    /// What was chosen.
    pub options: Options,
    /// Inode numbers.
    pub inodes: Inodes,
    /// What goes wrong, once each.
    pub complaints: Complaints,
    view: RwLock<Arc<View>>,
    files: Cache<u64, Arc<OpenFile>>,
    live: AtomicBool,
    changes: Mutex<Changes>,
}

impl Core {
    /// Open the source at `path`.
    pub fn open(path: &Path, opener: Opener, options: Options) -> Result<Self> {
        let anchor = Arc::new(Anchor::open(path, options.links)?);
        let view = View::open(&anchor, &opener, options, 0)?;
        let live = AtomicBool::new(view.probe.is_recent());
        Ok(Self {
            path: path.to_owned(),
            anchor,
            opener,
            options,
            inodes: Inodes::default(),
            complaints: Complaints::default(),
            view: RwLock::new(Arc::new(view)),
            files: Cache::new(OPEN_FILES),
            live,
            changes: Mutex::default(),
        })
    }

    /// The view of now.
    pub fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the source was written to a short while ago.
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// What is to be said about changes since the source was mounted.
    pub fn stale(&self) -> Option<String> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let last = changes.last?;
        Some(format!(
            "the source changed {} times since it was mounted, last at {last}",
            changes.count
        ))
    }

    /// Look whether the source changed; if so open it anew. True when the kernel
    /// has to be told.
    pub fn watch(&self) -> bool {
        if let Err(e) = self.refresh() {
            self.complaints.say(format!("the source changed and cannot be opened again: {e}"));
        }
        self.live.store(self.view().probe.is_recent(), Ordering::Relaxed);
        std::mem::take(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner).untold)
    }

    /// Open the source anew if it changed.
    fn refresh(&self) -> Result<()> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.view();
        self.in_place()?;
        // Another thread may have been faster.
        if !old.is_outdated() {
            return Ok(());
        }
        let generation = next_generation(old.generation);
        let new = View::open(&self.anchor, &self.opener, self.options, generation)?;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        self.live.store(true, Ordering::Relaxed);
        *changes =
            Changes { count: changes.count + 1, last: Some(jiff::Timestamp::now()), untold: true };
        tracing::warn!("{} changed while it is mounted; opened anew", self.path.display());
        Ok(())
    }

    /// An error unless the source still lies where it lay.
    fn in_place(&self) -> Result<()> {
        match self.anchor.replaced() {
            None => Ok(()),
            Some(what) => {
                let why = std::io::Error::other(format!("the source was replaced: {what}"));
                Err(Error::io(format!("cannot read {}", self.path.display()), why))
            }
        }
    }

    /// Read at most `size` bytes of a file into `buf`; gives how many.
    pub fn read(&self, number: u64, offset: u64, size: usize, buf: &mut Vec<u8>) -> Result<usize> {
        self.in_place()?;
        let resolved = self.resolve(number)?;
        let view = self.view();
        let file = self.file(number, resolved, &view)?;
        let left = to_usize(file.source.len().saturating_sub(offset));
        let n = size.min(left);
        if buf.len() < n {
            buf.resize(n, 0);
        }
        let to = buf.get_mut(..n).unwrap_or_default();
        file.source.read_at(to, offset).map_err(|e| located(e, &*file.source, offset))?;
        if let Some(doubt) = file.guarded.as_ref().and_then(|g| g.doubt())
            && !file.doubted.swap(true, Ordering::Relaxed)
        {
            let name = view.tree.describe(resolved.object);
            self.complaints.say(format!("{name}: {}", doubted(&doubt)));
        }
        // What was read is what was there only if nothing moved meanwhile.
        if self.is_live() && view.is_outdated() {
            self.refresh()?;
            self.file(number, resolved, &self.view())?;
        }
        Ok(n)
    }

    /// What a number stands for.
    pub fn resolve(&self, number: u64) -> Result<Resolved> {
        let found = self.inodes.resolve(number);
        found.ok_or_else(|| Error::NotFound(format!("there is no inode {number}")))
    }

    fn file(&self, number: u64, resolved: Resolved, view: &View) -> Result<Arc<OpenFile>> {
        let known = self.files.get(&number);
        if let Some(file) = &known
            && file.generation == view.generation
        {
            return Ok(file.clone());
        }
        let object = resolved.object;
        let moved = || {
            let why = std::io::Error::other("the source changed since the file was opened");
            Error::io(format!("cannot read {}", view.tree.describe(object)), why)
        };
        let (source, guarded) = view.tree.open(object)?;
        let extents = extents(&view.tree, object)?;
        match known {
            // The whole disk is whatever it is now.
            _ if object == Object::DiskImage => {}
            Some(old) if old.extents == extents && old.source.len() == source.len() => {}
            None if resolved.generation == view.generation => {}
            _ => {
                self.files.remove(&number);
                return Err(moved());
            }
        }
        let file = Arc::new(OpenFile {
            source,
            guarded,
            doubted: AtomicBool::new(false),
            generation: view.generation,
            extents,
        });
        self.files.insert(number, file.clone());
        Ok(file)
    }
}

fn extents(tree: &Tree, object: Object) -> Result<Vec<Extent>> {
    match object {
        Object::File { space, id } => tree.fs(space)?.extents(id, &Stream::Data),
        Object::Sidecar { space, id } => tree.fs(space)?.extents(id, &Stream::Resource),
        _ => Ok(Vec::new()),
    }
}

/// A doubt in words.
pub fn doubted(doubt: &Doubt) -> String {
    let bytes = binary(doubt.bytes);
    match doubt.standing {
        Standing::Lost => format!("{bytes} or more are lost and given as zeros: {}", doubt.why),
        _ => format!("{bytes} or more are given as zeros but may be lost: {}", doubt.why),
    }
}

/// Say where on the disk a read failed, if the error does not.
fn located(error: Error, source: &dyn ReadAt, offset: u64) -> Error {
    match (error, source.locate(offset)) {
        (Error::Io { what, source }, Some(place)) => {
            Error::Io { what: format!("{what}; reading from {place} on"), source }
        }
        (error, _) => error,
    }
}

/// Blocks and files of the volume an object is on, for `statfs`.
pub struct Usage {
    /// Bytes in a block.
    pub block_size: u32,
    /// Blocks of the volume.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Files and folders.
    pub objects: u64,
}

/// How full the volume is that holds an object; of what tmbundle makes, the one
/// that holds the backups.
pub fn usage(tree: &Tree, object: Object) -> Usage {
    let volume = match object {
        Object::Folder { space, .. }
        | Object::File { space, .. }
        | Object::Sidecar { space, .. }
        | Object::ViewRoot { space } => tree.volume(space.volume).ok(),
        Object::Views { volume } => tree.volume(volume).ok(),
        _ => tree.archive().backup().map(|b| b.0).or(tree.archive().open.first()),
    };
    match volume {
        Some(v) => {
            let about = v.volume.about();
            Usage {
                block_size: about.block_size,
                blocks: about.blocks,
                free: about.free.unwrap_or(0),
                objects: about.files.saturating_add(about.folders),
            }
        }
        None => {
            let size = tree.attributes(Object::DiskImage).map_or(0, |a| a.size);
            Usage { block_size: 512, blocks: size / 512, free: 0, objects: to_u64(0) }
        }
    }
}
