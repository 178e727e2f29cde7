//! Files whose contents are damaged: another snapshot's version, or what can be read.

use super::Part;
use super::account::{Did, NotKept, Object};
use super::failure::{Failure, Outcome};
use super::options::Fallback;
use super::reading::Reading;
use super::sink::dir::{Job, Task, Worker};
use super::sink::file::Version;
use crate::error::{Error, Result};
use crate::fs::{FileSystem, Metadata, Stream};
use crate::losses::Standing;
use crate::timemachine::checksum::{self, Cksum};
use std::ops::ControlFlow;

/// Versions of one file that are looked at.
const VERSIONS: usize = 64;

/// What is remembered with a file that was taken in spite of its checksum.
pub const DISAGREES: &str = "its checksum is not what Time Machine recorded";

/// What is said of a file whose checksum is not the recorded one.
pub fn wrong_checksum(recorded: u32, found: u32) -> String {
    format!("checksum {found}, but Time Machine recorded {recorded}")
}

/// What is said of a file of which something has zeros that may be lost bytes.
pub fn zeros(what: &str, doubt: &crate::losses::Doubt) -> String {
    match doubt.standing {
        Standing::Lost => format!("{what} has zeros in the place of lost bytes: {}", doubt.why),
        _ => format!("{what} has zeros that may be lost bytes: {}", doubt.why),
    }
}

impl Job<'_> {
    /// A file that could not be read as it is.
    pub fn damaged<'t>(
        &self,
        worker: &mut Worker,
        task: &'t Task,
        version: &Version<'_>,
        error: Error,
    ) -> Outcome<Object<'t>> {
        let mut object = self.told(task, Did::Failed, version.name);
        object.reason = Some(error.to_string());
        if let Some(how) = self.options.fallback
            && self.fall_back(worker, task, version, how, &mut object)?
        {
            return Ok(object);
        }
        object.snapshot = self.intact_in(worker, task, version.part)?;
        object.not_kept.clear();
        if self.options.salvage {
            self.salvage(worker, task, version, &mut object)?;
        }
        Ok(object)
    }

    fn fall_back(
        &self,
        worker: &mut Worker,
        task: &Task,
        version: &Version<'_>,
        how: Fallback,
        object: &mut Object<'_>,
    ) -> Outcome<bool> {
        let mut came = Ok(false);
        each_version(version.part, task, Some(how), &mut |label, from, meta| {
            let part = Part::of_version(from, meta, version.part.backup);
            let other = Version {
                part: &part,
                meta,
                name: version.name,
                replace: version.replace,
                salvage: false,
                instead: Some(label),
            };
            match self.write(worker, task, &other) {
                Ok(written) => {
                    object.did = Did::Fallback;
                    object.snapshot = Some(label.to_owned());
                    object.bytes = meta.size;
                    object.not_kept.extend(written.not_kept);
                    object.doubt = written.doubt;
                    came = Ok(true);
                    ControlFlow::Break(())
                }
                Err(Failure::Source(_)) => ControlFlow::Continue(()),
                Err(e) => {
                    came = Err(e);
                    ControlFlow::Break(())
                }
            }
        });
        came
    }

    /// The nearest snapshot whose version can be read to its end.
    fn intact_in(
        &self,
        worker: &mut Worker,
        task: &Task,
        part: &Part<'_>,
    ) -> Outcome<Option<String>> {
        let mut found = Ok(None);
        each_version(part, task, None, &mut |label, from, meta| {
            match self.reads_well(worker, from, meta) {
                Ok(true) => found = Ok(Some(label.to_owned())),
                Ok(false) | Err(Failure::Source(_)) => return ControlFlow::Continue(()),
                Err(e) => found = Err(e),
            }
            ControlFlow::Break(())
        });
        found
    }

    fn reads_well(&self, worker: &mut Worker, from: &Reading, meta: &Metadata) -> Outcome<bool> {
        let opened = from.open(meta.id, &Stream::Data)?;
        let recorded =
            if self.options.ignore_checksums { None } else { readable_checksum(&*from.fs, meta) };
        let mut sum = Cksum::default();
        worker.reader.copy(&*opened.source, &mut Nowhere(self), Some(&mut sum))?;
        let found = sum.finish();
        let agrees = recorded.is_none_or(|r| checksum::agrees(&*from.fs, meta, r, found));
        Ok(opened.doubt().is_none() && agrees)
    }

    fn salvage(
        &self,
        worker: &mut Worker,
        task: &Task,
        version: &Version<'_>,
        object: &mut Object<'_>,
    ) -> Outcome<()> {
        let name = damaged_name(version.name);
        let torn =
            Version { name: &name, salvage: true, replace: super::dest::Replace::Yes, ..*version };
        match self.write(worker, task, &torn) {
            Ok(written) => {
                object.did = Did::Salvaged;
                object.restored_as =
                    Some(task.folder.folder.path().join(&name).to_string_lossy().into_owned());
                object.bytes = task.meta.size;
                object.missing = written.missing;
                let unread = |kind: &NotKept| matches!(kind, NotKept::Unread | NotKept::ForkUnread);
                object.not_kept.extend(written.not_kept.into_iter().filter(unread));
                Ok(())
            }
            Err(e @ (Failure::Fatal(_) | Failure::Interrupted)) => Err(e),
            Err(_) => Ok(()),
        }
    }
}

/// Counts nothing and keeps nothing.
struct Nowhere<'a, 'j>(&'a Job<'j>);

impl super::source::Pieces for Nowhere<'_, '_> {
    fn put(&mut self, _: &[u8], _: u64) -> Outcome<()> {
        Ok(())
    }
    fn passed(&mut self, _: u64) -> Outcome<()> {
        self.0.check()
    }
}

/// A file's recorded checksum, if it has one.
///
/// # Errors
/// When its attributes cannot be read.
pub fn recorded(fs: &dyn FileSystem, meta: &Metadata) -> Result<Option<u32>> {
    if !meta.has_xattrs {
        return Ok(None);
    }
    let (names, trouble) = fs.readable_xattrs(meta.id)?;
    let name = names.into_iter().map(|x| x.name).find(|n| checksum::is_name(n));
    let Some(name) = name else { return trouble.map_or(Ok(None), Err) };
    Ok(fs.xattr(meta.id, &name)?.and_then(|value| checksum::parse(&value)))
}

/// The same where one that cannot be read is none: that costs no contents.
pub fn readable_checksum(fs: &dyn FileSystem, meta: &Metadata) -> Option<u32> {
    recorded(fs, meta).ok().flatten()
}

type Visit<'a> = super::versions::Visit<'a>;

/// Visit other versions of a task's file, each once, the nearest first.
fn each_version(part: &Part<'_>, task: &Task, how: Option<Fallback>, visit: Visit<'_>) {
    let Some(versions) = part.versions else { return };
    // Told apart by what they hold; where a format cannot say, by their numbers.
    let content = |from: &Reading, meta: &Metadata| {
        let known = from.fs.same(meta.id).ok().flatten();
        known.map_or((None, Some(meta.id)), |id| (Some(id), None))
    };
    let mut seen = vec![content(&part.from, &task.meta)];
    let mut left = VERSIONS;
    let below = part.below(&task.path);
    versions.each(below, how.unwrap_or(Fallback::Nearest), &mut |label, from, meta| {
        let own = content(from, meta);
        if seen.contains(&own) || meta.kind != task.meta.kind {
            return ControlFlow::Continue(());
        }
        seen.push(own);
        left -= 1;
        if left == 0 {
            return ControlFlow::Break(());
        }
        visit(label, from, meta)
    });
}

fn damaged_name(name: &str) -> String {
    let keep = 255 - ".damaged".len();
    let end = (0..=keep.min(name.len())).rev().find(|n| name.is_char_boundary(*n)).unwrap_or(0);
    format!("{}.damaged", name.get(..end).unwrap_or_default())
}
