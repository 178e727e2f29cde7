//! Into a folder: one thread walks, several write.
//!
//! The walk makes folders and collects what goes into them in a window, which is handed
//! out sorted by where the contents lie on the disk. A folder gets its own metadata when
//! the last of what goes into it is done, whoever did that.

use super::queue::{BATCH, Queue};
use crate::error::{Error, Result};
use crate::extract::Part;
use crate::extract::account::{Account, Did, Flaws, NotKept, Object};
use crate::extract::dest::{Finish, Folder, Made, NotGiven, Root, Wanted, give_folder, give_times};
use crate::extract::failure::{Failure, Outcome};
use crate::extract::options::Options;
use crate::extract::plan::Plan;
use crate::extract::rule::Rule;
use crate::extract::source::Reader;
use crate::extract::walk::{Item, Traveller};
use crate::fs::{Kind, Metadata, NodeId, Stream};
use crate::report::Progress;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Objects that are sorted together.
const WINDOW: usize = 1024;
/// Folders held open for objects that wait, besides those on the way.
const OPEN: usize = 256;

/// What all threads of a restore share.
pub struct Job<'a> {
    pub parts: &'a [Part<'a>],
    pub options: &'a Options,
    pub root: &'a Root,
    pub plan: &'a Plan,
    pub account: &'a Account<'a>,
    pub progress: &'a dyn Progress,
    pub queue: Queue<Task>,
    pub rule: Rule<'a>,
    pub clones: Mutex<HashMap<[u8; 32], Made>>,
    stop: AtomicBool,
    fatal: Mutex<Option<Failure>>,
    open: AtomicUsize,
}

/// A folder that is being filled.
pub struct Open {
    pub folder: Folder,
    parent: Option<Arc<Open>>,
    path: String,
    name: String,
    wanted: Wanted,
    /// Its number among the addresses and its metadata; `None` for the destination.
    of: Option<(usize, Metadata)>,
}

/// An object that waits.
pub struct Task {
    pub folder: Arc<Open>,
    pub name: String,
    pub path: String,
    pub meta: Metadata,
    pub part: usize,
    /// All names of a file with several.
    pub names: Option<Arc<Names>>,
    place: u64,
}

/// The names of one file: where the first is, and what the file lacks.
#[derive(Default)]
pub struct Names(pub Mutex<First>, pub OnceLock<Flaws>);

/// How far the first of several names is.
#[derive(Default)]
pub enum First {
    /// Nobody has begun.
    #[default]
    Unknown,
    /// It is being written; these wait for it.
    Writing(Vec<Task>),
    /// It is there; these still wait.
    Made(Made, Vec<Task>),
}

impl First {
    /// It is there now, unless one was before.
    pub fn settle(&mut self, made: Made) {
        *self = match std::mem::take(self) {
            Self::Unknown => Self::Made(made, Vec::new()),
            Self::Writing(waiting) => Self::Made(made, waiting),
            settled @ Self::Made(..) => settled,
        };
    }

    /// Where it is.
    pub fn path(&self) -> Option<std::path::PathBuf> {
        match self {
            Self::Made(made, _) => Some(made.path.clone()),
            _ => None,
        }
    }
}

/// What a thread keeps from one object to the next.
#[derive(Default)]
pub struct Worker {
    pub reader: Reader,
}

impl<'a> Job<'a> {
    /// A fresh one.
    pub fn new(
        parts: &'a [Part<'a>],
        options: &'a Options,
        root: &'a Root,
        plan: &'a Plan,
        account: &'a Account<'a>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            parts,
            options,
            root,
            plan,
            account,
            progress,
            queue: Queue::default(),
            rule: Rule::new(parts, &plan.sample),
            clones: Mutex::default(),
            stop: AtomicBool::new(false),
            fatal: Mutex::new(None),
            open: AtomicUsize::new(0),
        }
    }

    /// Restore everything.
    ///
    /// # Errors
    /// What ended it before its end.
    pub fn run(&self, walk: impl FnOnce(&mut Filler<'_, '_>) -> Result<()>) -> Outcome<()> {
        let threads = crate::io::threads(self.options.jobs);
        let root = Arc::new(self.root_folder()?);
        let walked = std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.work());
            }
            let mut filler =
                Filler { job: self, stack: vec![root], window: Vec::new(), names: HashMap::new() };
            let walked = walk(&mut filler);
            filler.finish();
            self.queue.close();
            walked
        });
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (fatal, walked) {
            (Some(failure), _) => Err(failure),
            (None, Err(e)) => Err(e.into()),
            (None, Ok(())) => Ok(()),
        }
    }

    fn root_folder(&self) -> Outcome<Open> {
        self.open.fetch_add(1, Ordering::Relaxed);
        let time = crate::fs::Time::default();
        Ok(Open {
            folder: self.root.folder()?,
            parent: None,
            path: String::new(),
            name: String::new(),
            wanted: Wanted { owner: None, mode: 0, modified: time, accessed: time },
            of: None,
        })
    }

    /// The part of an object.
    pub fn part(&self, number: usize) -> Option<&'a Part<'a>> {
        self.parts.get(number)
    }

    /// What an object shall have.
    pub fn wanted(&self, meta: &Metadata) -> Wanted {
        let owners = &self.options.owners;
        let owner = owners.set.then(|| owners.of(meta.uid, meta.gid));
        Wanted::new(meta, owner, self.options.setid)
    }

    /// An error if it is time to stop.
    pub fn check(&self) -> Outcome<()> {
        if self.progress.interrupted() {
            return Err(Failure::Interrupted);
        }
        if self.stop.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
    }

    fn work(&self) {
        let mut worker = Worker::default();
        while let Some(batch) = self.queue.pop() {
            for task in batch {
                self.task(&mut worker, task);
            }
            self.queue.done();
        }
    }

    /// Do one task, and those that waited for it.
    fn task(&self, worker: &mut Worker, task: Task) {
        let mut todo = vec![task];
        while let Some(task) = todo.pop() {
            if self.check().is_err() {
                // What is not begun is not told either: it remains.
                self.end(Failure::Interrupted);
                continue;
            }
            if let Some(task) = self.wait_for_first(task) {
                self.one(worker, &task);
                todo.extend(self.waiting(&task));
                self.release(task.folder);
            }
        }
    }

    /// The task, unless it has to wait for another name of its file.
    fn wait_for_first(&self, task: Task) -> Option<Task> {
        let Some(names) = task.names.clone() else { return Some(task) };
        let mut first = names.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *first {
            First::Writing(waiting) => {
                waiting.push(task);
                return None;
            }
            unknown @ First::Unknown => *unknown = First::Writing(Vec::new()),
            First::Made(..) => {}
        }
        Some(task)
    }

    /// Those that waited. If their file could not be made, the next of them tries.
    fn waiting(&self, task: &Task) -> Vec<Task> {
        let Some(names) = &task.names else { return Vec::new() };
        let mut first = names.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *first) {
            First::Writing(waiting) => waiting,
            First::Made(made, waiting) => {
                *first = First::Made(made, Vec::new());
                waiting
            }
            First::Unknown => Vec::new(),
        }
    }

    fn one(&self, worker: &mut Worker, task: &Task) {
        self.progress.beside(1);
        self.progress.at(&task.path);
        match self.object(worker, task) {
            Ok(object) => self.account.tell(&object),
            Err(failure @ (Failure::Interrupted | Failure::Fatal(_))) => self.end(failure),
            Err(Failure::Source(e) | Failure::There(e) | Failure::Refused(e)) => {
                let reason = e.to_string();
                self.account.tell(&Object::failed(&task.path, Some(task.meta.kind), reason));
            }
        }
    }

    /// Nothing more is begun.
    pub fn end(&self, failure: Failure) {
        self.stop.store(true, Ordering::Relaxed);
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*fatal, &failure) {
            (None, _) | (Some(Failure::Interrupted), Failure::Fatal(_)) => *fatal = Some(failure),
            _ => {}
        }
    }

    /// A folder is needed no more by somebody; the last one finishes it.
    fn release(&self, folder: Arc<Open>) {
        let mut next = Some(folder);
        while let Some(open) = next.take().and_then(Arc::into_inner) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            if !self.stop.load(Ordering::Relaxed) {
                self.finish(&open);
            }
            next = open.parent;
        }
    }

    fn finish(&self, open: &Open) {
        let Some((part, meta)) = &open.of else { return };
        let (mut not_kept, mut doubt) = (Vec::new(), None);
        let can = &self.root.can;
        match open.folder.finish {
            Finish::All | Finish::Again => {
                if let Some(parent) = &open.parent {
                    doubt = self.folder_attributes(open, parent, (*part, meta), &mut not_kept);
                }
                note(&give_folder(open.folder.fd(), &open.wanted, can), &mut not_kept);
            }
            Finish::Times => {
                if !give_times(open.folder.fd(), &open.wanted) {
                    not_kept.push(NotKept::Times);
                }
            }
            Finish::Nothing => {}
        }
        let did = if open.folder.finish == Finish::All { Did::Restored } else { Did::There };
        let mut object = Object::new(&open.path, Kind::Directory, did);
        (object.not_kept, object.doubt) = (not_kept, doubt);
        object.restored_as = changed(&open.path, open.folder.path());
        if object.restored_as.is_some() && !open.path.ends_with(&open.name) {
            object.not_kept.push(NotKept::Name);
        }
        self.account.tell(&object);
    }

    /// Give a folder its attributes; gives why some of their bytes may be lost.
    fn folder_attributes(
        &self,
        open: &Open,
        parent: &Open,
        (part, meta): (usize, &Metadata),
        not_kept: &mut Vec<NotKept>,
    ) -> Option<String> {
        let part = self.part(part)?;
        let set = |name: &str, value: &[u8]| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::fsetxattr(open.folder.fd(), name, value, flags).is_ok()
        };
        match self.attributes(part, meta, &parent.folder, &open.name, &set, not_kept) {
            Ok(doubt) => return doubt,
            Err(e @ (Failure::Fatal(_) | Failure::Interrupted)) => self.end(e),
            Err(_) => not_kept.push(NotKept::Attribute),
        }
        None
    }
}

/// The path at the destination, where it is not the one in the backup.
pub fn changed(path: &str, at: &std::path::Path) -> Option<String> {
    let at = at.to_string_lossy();
    (at != path).then(|| at.into_owned())
}

/// Turn what the destination did not take into what is told.
pub fn note(not: &NotGiven, to: &mut Vec<NotKept>) {
    let kinds = [
        (not.owner, NotKept::Owner),
        (not.mode, NotKept::Mode),
        (not.setid, NotKept::SetId),
        (not.times, NotKept::Times),
    ];
    to.extend(kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind));
}

/// Walks, makes folders, and hands out the rest.
pub struct Filler<'j, 'a> {
    job: &'j Job<'a>,
    stack: Vec<Arc<Open>>,
    window: Vec<Task>,
    /// Files of which more than one name is wanted.
    names: HashMap<(usize, NodeId), Arc<Names>>,
}

impl Filler<'_, '_> {
    fn flush(&mut self) {
        self.window.sort_by_key(|t| t.place);
        let mut tasks = std::mem::take(&mut self.window).into_iter();
        loop {
            let batch: Vec<Task> = tasks.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            self.job.queue.push(batch);
        }
    }

    /// Hand out what is left, wait for it, and finish the folders on the way.
    fn finish(&mut self) {
        self.flush();
        while let Some(open) = self.stack.pop() {
            self.job.release(open);
        }
    }

    fn check(&self) -> Result<()> {
        self.job.check().map_err(|_| Error::Interrupted)
    }

    /// Let no more folders stay open than there are descriptors for.
    fn bound_open(&mut self) {
        if self.job.open.load(Ordering::Relaxed) > OPEN + self.stack.len() {
            self.flush();
            self.job.queue.drain();
        }
    }
}

impl Traveller for Filler<'_, '_> {
    fn enter(&mut self, item: &Item<'_>) -> Result<bool> {
        self.check()?;
        self.bound_open();
        let Some(parent) = self.stack.last().cloned() else { return Ok(false) };
        let wanted = self.job.wanted(item.meta);
        let folder = match parent.folder.make_folder(item.name, &wanted, &self.job.root.can) {
            Ok(folder) => folder,
            Err(failure @ (Failure::Fatal(_) | Failure::Interrupted)) => {
                self.job.end(failure);
                return Err(Error::Interrupted);
            }
            Err(Failure::Source(e) | Failure::There(e) | Failure::Refused(e)) => {
                self.unreachable(item.path, Some(Kind::Directory), &e);
                return Ok(false);
            }
        };
        self.job.open.fetch_add(1, Ordering::Relaxed);
        self.stack.push(Arc::new(Open {
            folder,
            parent: Some(parent),
            path: item.path.to_owned(),
            name: item.name.to_owned(),
            wanted,
            of: Some((item.number, item.meta.clone())),
        }));
        Ok(true)
    }

    fn object(&mut self, item: &Item<'_>) -> Result<()> {
        self.check()?;
        let Some(folder) = self.stack.last().cloned() else { return Ok(()) };
        let meta = item.meta;
        let place = match meta.kind {
            Kind::File if meta.size > 0 => item
                .part
                .from
                .fs
                .extents(meta.id, &Stream::Data)
                .ok()
                .and_then(|e| e.iter().find_map(|e| e.at)),
            _ => None,
        };
        let key = (item.number, meta.id);
        let plan = self.job.plan;
        let fresh = || {
            // A name of an earlier run serves as the first.
            let first = plan.made.get(&key).cloned();
            let first = first.map_or(First::Unknown, |made| First::Made(made, Vec::new()));
            Arc::new(Names(Mutex::new(first), OnceLock::new()))
        };
        let names = (meta.links > 1 && plan.linked.contains(&key))
            .then(|| self.names.entry(key).or_insert_with(fresh).clone());
        self.window.push(Task {
            folder,
            name: item.name.to_owned(),
            path: item.path.to_owned(),
            meta: meta.clone(),
            part: item.number,
            names,
            place: place.unwrap_or(0),
        });
        if self.window.len() >= WINDOW {
            self.flush();
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        if let Some(open) = self.stack.pop() {
            self.job.release(open);
        }
        Ok(())
    }

    fn unreachable(&mut self, path: &str, kind: Option<Kind>, reason: &Error) {
        self.job.account.tell(&Object::failed(path, kind, reason.to_string()));
    }
}
