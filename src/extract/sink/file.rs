//! One file into a folder.

use super::dir::{Job, Task, Worker, note};
use super::object::Way;
use crate::error::Error;
use crate::extract::Part;
use crate::extract::account::{Did, Flaws, NotKept, Object};
use crate::extract::damage;
use crate::extract::dest::{DOUBT, Made, Partial, Replace};
use crate::extract::failure::{Failure, Outcome};
use crate::extract::mac::{self, MacData};
use crate::extract::options::MacMetadata;
use crate::extract::reading::Opened;
use crate::extract::rule::Verdict;
use crate::extract::source::Pieces;
use crate::fs::{Metadata, Stream, Time};
use crate::timemachine::checksum::{self, Cksum};
use std::ops::Range;
use std::sync::PoisonError;

/// Smaller files are not worth a clone.
const CLONE_FROM: u64 = 128 << 10;
/// Files that are remembered as possible originals of clones.
const CLONES: usize = 1 << 16;

/// Pieces on their way into a file.
pub struct Into<'a, 'j> {
    job: &'a Job<'j>,
    partial: &'a Partial<'a>,
    at: u64,
}

impl<'a, 'j> Into<'a, 'j> {
    /// Into a file from `at` on.
    pub fn new(job: &'a Job<'j>, partial: &'a Partial<'a>, at: u64) -> Self {
        Self { job, partial, at }
    }
}

impl Pieces for Into<'_, '_> {
    fn put(&mut self, bytes: &[u8], offset: u64) -> Outcome<()> {
        self.partial.write(bytes, self.at + offset)
    }
    fn passed(&mut self, n: u64) -> Outcome<()> {
        self.job.progress.advance(n);
        self.job.check()
    }
}

/// A version of a file that is to be written.
pub struct Version<'a> {
    /// Whose it is.
    pub part: &'a Part<'a>,
    /// What it is.
    pub meta: &'a Metadata,
    /// Under which name, and in whose place.
    pub name: &'a str,
    /// Whether something goes for it.
    pub replace: Replace,
    /// Whether what cannot be read is left out of it instead of failing.
    pub salvage: bool,
    /// The snapshot of it, if it is written instead of the one that was asked for.
    pub instead: Option<&'a str>,
}

impl Job<'_> {
    /// Restore a file.
    pub fn file<'t>(&self, worker: &mut Worker, task: &'t Task) -> Outcome<Object<'t>> {
        let Some(part) = self.part(task.part) else { return Err(Failure::Interrupted) };
        let way = self.way(task, &mut |found| {
            if task.meta.size_unknown || found.size != task.meta.size {
                return Ok(false);
            }
            if self.options.checksum {
                return self.same_bytes(worker, task);
            }
            Ok(self.same_stat(&task.meta, found))
        })?;
        let (name, replace) = match way {
            Way::Done(did) => {
                self.progress.advance(task.meta.size);
                let mut object = self.told(task, did, &task.name);
                if did == Did::There {
                    let own = object.not_kept.len();
                    self.again(part, task, &mut object)?;
                    self.remember_there(task, object.flaws(own))?;
                }
                return Ok(object);
            }
            Way::Beside(name) => return Ok(self.told(task, Did::There, &name)),
            Way::Go(name, replace) => (name, replace),
        };
        let version =
            Version { part, meta: &task.meta, name: &name, replace, salvage: false, instead: None };
        match self.write(worker, task, &version) {
            Ok(written) => {
                let mut object = self.told(task, Did::Restored, &name);
                object.bytes = task.meta.size;
                object.not_kept.extend(written.not_kept);
                object.doubt = written.doubt;
                if task.names.is_some() {
                    self.note_copy(task, &mut object);
                }
                Ok(object)
            }
            Err(Failure::Source(e)) => self.damaged(worker, task, &version, e),
            Err(e) => Err(e),
        }
    }

    /// A further name that could not be linked is a copy.
    fn note_copy(&self, task: &Task, object: &mut Object<'_>) {
        let own = object.restored_as.as_deref().unwrap_or(&task.path);
        if let Some(first) = self.first_path(task)
            && first != std::path::Path::new(own)
        {
            object.not_kept.push(NotKept::HardLink);
        }
    }

    fn remember_there(&self, task: &Task, flaws: Flaws) -> Outcome<()> {
        let folder = &task.folder.folder;
        if task.names.is_some()
            && let Some(found) = folder.find(&task.name)?
        {
            let made = Made { path: folder.path().join(&task.name), identity: found.identity };
            self.first_name(task, made, flaws);
        }
        Ok(())
    }

    /// Note where the first of several names is, unless one is known, and what the file lacks.
    pub fn first_name(&self, task: &Task, made: Made, flaws: Flaws) {
        let Some(names) = &task.names else { return };
        let mut first = names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.path().is_none() {
            let _ = names.1.set(flaws);
        }
        first.settle(made);
    }

    fn first_path(&self, task: &Task) -> Option<std::path::PathBuf> {
        let names = task.names.as_ref()?;
        names.0.lock().unwrap_or_else(PoisonError::into_inner).path()
    }

    /// Write one version of a file and give it its name.
    pub fn write(
        &self,
        worker: &mut Worker,
        task: &Task,
        version: &Version<'_>,
    ) -> Outcome<Written> {
        let Version { part, meta, name, .. } = *version;
        let mut written = Written::default();
        let opened = part.from.open(meta.id, &Stream::Data)?;
        let data = self.mac_data(part, meta, &mut written.not_kept)?;
        let folder = &task.folder.folder;
        let wanted = self.wanted(meta);
        let partial = folder.create(name, &wanted)?;
        let checksum = if self.options.ignore_checksums { None } else { recorded(data.as_ref()) };
        let key = self.clone_key(part, meta, checksum);
        if version.salvage || !self.clone(&partial, key.as_ref(), meta.size) {
            self.contents(worker, (&opened, version), data.as_ref(), &partial, &mut written)?;
        }
        if let Some(doubt) = opened.doubt() {
            written.doubt = Some(damage::zeros("it", &doubt));
        }
        // Before attributes take the room.
        let mut marked = self.mark(&partial, version, &written);
        if let Some(data) = data
            && self.options.mac != MacMetadata::None
        {
            let set = |name: &str, value: &[u8]| partial.set_xattr(name, value).is_ok();
            let doubt =
                self.give_attributes(data, folder, (name, meta), &set, &mut written.not_kept)?;
            if written.doubt.is_none() && doubt.is_some() {
                written.doubt = doubt;
                marked = self.mark(&partial, version, &written);
            }
        }
        let wants_identity = task.names.is_some() || key.is_some();
        let identity = if wants_identity { partial.identity() } else { None };
        let mut wanted = wanted;
        if !marked {
            // Where it cannot be marked, its time says that it is not what was backed up.
            wanted.modified = now();
            written.not_kept.push(NotKept::Times);
        }
        let not = partial.finish(&wanted, &self.root.can, version.replace)?;
        note(&not, &mut written.not_kept);
        if u32::from(meta.mode) & 0o6000 != 0 && wanted.mode & 0o6000 == 0 {
            written.not_kept.push(NotKept::SetId);
        }
        if let Some(identity) = identity {
            let made = Made { path: folder.path().join(name), identity };
            if !version.salvage {
                // What is not known to be right is no original for others.
                if written.doubt.is_none() && !written.unproved {
                    self.remember_clone(key, &made);
                }
                self.first_name(task, made, written.flaws(version.instead));
            }
        }
        Ok(written)
    }

    /// Mark a file whose bytes may not be right, so that no later run takes it for restored.
    /// `false` where the destination keeps no mark.
    fn mark(&self, partial: &Partial<'_>, version: &Version<'_>, written: &Written) -> bool {
        if version.salvage {
            return true;
        }
        let why = match (version.instead, &written.doubt) {
            (_, Some(doubt)) => doubt.clone(),
            (Some(snapshot), None) => format!("from {snapshot}"),
            (None, None) if written.unproved => damage::DISAGREES.to_owned(),
            (None, None) => return true,
        };
        partial.set_xattr(DOUBT, why.as_bytes()).is_ok()
    }

    fn mac_data(
        &self,
        part: &Part<'_>,
        meta: &Metadata,
        not_kept: &mut Vec<NotKept>,
    ) -> Outcome<Option<MacData>> {
        let wanted = self.options.mac != MacMetadata::None || !self.options.ignore_checksums;
        if !wanted || !mac::may_have(meta) {
            return Ok(None);
        }
        let mut data = MacData::read(&part.from, meta, part.backup, not_kept)?;
        if self.options.mac == MacMetadata::None {
            // Nothing is to be kept but what was recorded of the contents.
            (data.fork, data.fork_unread) = (None, None);
            self.account.unreadable(&data, not_kept);
        }
        Ok(Some(data))
    }

    fn contents(
        &self,
        worker: &mut Worker,
        (opened, version): (&Opened, &Version<'_>),
        data: Option<&MacData>,
        partial: &Partial<'_>,
        written: &mut Written,
    ) -> Outcome<()> {
        let mut into = Into::new(self, partial, 0);
        let source = &*opened.source;
        if version.salvage {
            let (end, missing) = worker.reader.salvage(source, &mut into)?;
            written.missing = missing;
            return if end < source.len() { partial.set_len(source.len()) } else { Ok(()) };
        }
        let (from, meta) = (&version.part.from, version.meta);
        let recorded = recorded(data).or_else(|| damage::readable_checksum(&*from.fs, meta));
        let mut sum = recorded.map(|_| Cksum::default());
        let end = worker.reader.copy(source, &mut into, sum.as_mut())?;
        if let (Some(recorded), Some(sum)) = (recorded, sum)
            && !opened.has_lost()
        {
            let found = sum.finish();
            let text = || damage::wrong_checksum(recorded, found);
            if self.options.ignore_checksums {
                // It is taken; a run that does not ignore them shall look again.
                written.unproved = !version.part.agrees(meta, recorded, found);
                return match end < source.len() {
                    true => partial.set_len(source.len()),
                    false => Ok(()),
                };
            }
            match self
                .rule
                .judge(version.meta.id, version.part.agrees(version.meta, recorded, found))
            {
                Verdict::Agrees => {}
                Verdict::Damaged => {
                    return Err(Failure::Source(Error::corrupt("contents", text())));
                }
                Verdict::Doubtful => written.doubt = Some(text()),
            }
        }
        // Only where the end is a hole: XFS writes a file out that is cut.
        if end < source.len() { partial.set_len(source.len()) } else { Ok(()) }
    }

    /// What a file shares with its clones: where its bytes lie, and what was recorded of
    /// them, so that a clone needs no comparison.
    fn clone_key(
        &self,
        part: &Part<'_>,
        meta: &Metadata,
        checksum: Option<u32>,
    ) -> Option<[u8; 32]> {
        if meta.size < CLONE_FROM || !crate::extract::dest::has(&self.root.can.clones) {
            return None;
        }
        let extents = part.from.fs.extents(meta.id, &Stream::Data).ok()?;
        let mut hash = blake3::Hasher::new();
        hash.update(&meta.size.to_le_bytes());
        hash.update(&checksum.map_or(u64::MAX, u64::from).to_le_bytes());
        for e in &extents {
            for n in [e.offset, e.at.unwrap_or(u64::MAX), e.length] {
                hash.update(&n.to_le_bytes());
            }
        }
        (!extents.is_empty()).then(|| *hash.finalize().as_bytes())
    }

    fn clone(&self, partial: &Partial<'_>, key: Option<&[u8; 32]>, size: u64) -> bool {
        let Some(key) = key else { return false };
        let made = {
            let clones = self.clones.lock().unwrap_or_else(PoisonError::into_inner);
            clones.get(key).cloned()
        };
        let Some(made) = made else { return false };
        let Some(original) = self.root.read_made(&made) else { return false };
        let cloned = partial.clone_from(&original, &self.root.can);
        if cloned {
            self.progress.advance(size);
        }
        cloned
    }

    fn remember_clone(&self, key: Option<[u8; 32]>, made: &Made) {
        let Some(key) = key else { return };
        let mut clones = self.clones.lock().unwrap_or_else(PoisonError::into_inner);
        if clones.len() < CLONES {
            clones.entry(key).or_insert_with(|| made.clone());
        }
    }
}

/// What a file that was written lacks.
#[derive(Debug, Default)]
pub struct Written {
    /// What the destination did not take.
    pub not_kept: Vec<NotKept>,
    /// Bytes that could not be read.
    pub missing: Vec<Range<u64>>,
    /// Why its bytes may not be right.
    pub doubt: Option<String>,
    /// Its bytes are not what Time Machine recorded, which was to be ignored.
    pub unproved: bool,
}

impl Written {
    /// What its other names lack as well; `instead`: the snapshot that it is from.
    fn flaws(&self, instead: Option<&str>) -> Flaws {
        let (doubt, not_kept) = (self.doubt.clone(), self.not_kept.clone());
        Flaws { doubt, not_kept, snapshot: instead.map(str::to_owned) }
    }
}

pub fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    Time { seconds: i64::try_from(since.as_secs()).unwrap_or(0), nanoseconds: since.subsec_nanos() }
}

fn recorded(data: Option<&MacData>) -> Option<u32> {
    let attributes = &data?.attributes;
    let (_, value) = attributes.iter().find(|(name, _)| checksum::is_name(name))?;
    checksum::parse(value)
}
