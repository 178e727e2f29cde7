//! One object into a folder: what is there already, links, devices; its attributes.

use super::dir::{First, Job, Task, Worker, changed, note};
use crate::error::Error;
use crate::extract::account::{Did, Flaws, KEPT_THERE, NotKept, Object};
use crate::extract::dest::{Folder, Found, Made, Replace, is_unsupported};
use crate::extract::failure::{Failure, Outcome};
use crate::extract::options::OnConflict;
use crate::extract::xsym;
use crate::fs::{Kind, Metadata, Stream};
use std::sync::PoisonError;

/// How to go on where something may be there.
pub enum Way {
    /// Restore it under this name.
    Go(String, Replace),
    /// That is all.
    Done(Did),
    /// It is there already under this name, beside something else.
    Beside(String),
}

impl Job<'_> {
    /// Restore one object.
    pub fn object<'t>(&self, worker: &mut Worker, task: &'t Task) -> Outcome<Object<'t>> {
        if let Some(mut object) = self.other_name(task)? {
            if let Some(flaws) = task.names.as_ref().and_then(|names| names.1.get()) {
                object.share(flaws);
            }
            object.doubt = object.doubt.take().or_else(|| self.rule.doubt(task.meta.id));
            return Ok(object);
        }
        match task.meta.kind {
            Kind::File => self.file(worker, task),
            Kind::Symlink => self.symlink(task),
            Kind::Directory => Ok(Object::new(&task.path, Kind::Directory, Did::LeftOut)),
            _ => self.special(task),
        }
    }

    /// Link to a name that was restored before, if there is one.
    fn other_name<'t>(&self, task: &'t Task) -> Outcome<Option<Object<'t>>> {
        let Some(names) = &task.names else { return Ok(None) };
        let made = match &*names.0.lock().unwrap_or_else(PoisonError::into_inner) {
            First::Made(made, _) => made.clone(),
            _ => return Ok(None),
        };
        let folder = &task.folder.folder;
        let was_there = folder.may_hold(&task.name, &self.root.can)
            && folder.find(&task.name)?.is_some_and(|f| f.identity == made.identity);
        if was_there {
            return Ok(Some(self.told(task, Did::There, &task.name)));
        }
        match self.root.link(&made, folder, &task.name, &self.root.can) {
            Ok(true) => Ok(Some(self.told(task, Did::Restored, &task.name))),
            Ok(false) => Ok(None),
            // A name of what was replaced just now, as its bytes were not sure.
            Err(Failure::There(_)) if folder.is_doubtful(&task.name) => {
                folder.remove(&task.name)?;
                let linked = self.root.link(&made, folder, &task.name, &self.root.can)?;
                Ok(linked.then(|| self.told(task, Did::Restored, &task.name)))
            }
            // It may be a copy of an earlier run, or in the way: as with any file.
            Err(Failure::There(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// An object's account.
    pub fn told<'t>(&self, task: &'t Task, did: Did, name: &str) -> Object<'t> {
        let mut object = Object::new(&task.path, task.meta.kind, did);
        object.restored_as = changed(&task.path, &task.folder.folder.path().join(name));
        if did == Did::LeftOut {
            object.reason = Some(KEPT_THERE.into());
        }
        let own = task.path.rsplit('/').next().unwrap_or_default();
        if own != task.name {
            object.not_kept.push(NotKept::Name);
        } else if own != name {
            object.not_kept.push(NotKept::Beside);
        }
        object
    }

    /// Look what is at an object's name.
    pub fn way(&self, task: &Task, same: &mut dyn FnMut(&Found) -> Outcome<bool>) -> Outcome<Way> {
        let (folder, name) = (&task.folder.folder, &task.name);
        let go = |replace| Ok(Way::Go(name.clone(), replace));
        if !folder.may_hold(name, &self.root.can) {
            return go(Replace::No);
        }
        let Some(found) = folder.find(name)? else { return go(Replace::No) };
        // A link may have become a file.
        let may_be = found.kind == Some(task.meta.kind)
            || (task.meta.kind == Kind::Symlink && found.kind == Some(Kind::File));
        if may_be && same(&found)? {
            if found.kind == Some(Kind::File) && folder.is_doubtful(name) {
                // An earlier run was not sure of its bytes: perhaps they are right now.
                return go(Replace::Yes);
            }
            return Ok(Way::Done(Did::There));
        }
        let at = self.root.say(&folder.path().join(name));
        let there = |text: &str| {
            let text = format!("{at} {text}");
            Err(Failure::There(Error::Invalid(text)))
        };
        if found.kind == Some(Kind::Directory) {
            return there("is a folder and was not replaced");
        }
        match self.options.on_conflict {
            OnConflict::Identical => {
                there("differs, is already there and was not overwritten (--on-conflict)")
            }
            OnConflict::Skip => Ok(Way::Done(Did::LeftOut)),
            OnConflict::Overwrite => go(Replace::Yes),
            OnConflict::Newer => {
                let newer = task.meta.times.modified.unwrap_or_default() > found.modified;
                if newer { go(Replace::Yes) } else { Ok(Way::Done(Did::LeftOut)) }
            }
            OnConflict::Rename => self.free_name(task),
        }
    }

    /// A name beside what is there; the one of an earlier run, if it has this object.
    fn free_name(&self, task: &Task) -> Outcome<Way> {
        let folder = &task.folder.folder;
        for n in 1..10_000 {
            let name = beside(&task.name, n);
            match folder.find(&name)? {
                None => return Ok(Way::Go(name, Replace::No)),
                Some(found) if self.same_stat(&task.meta, &found) => {
                    return Ok(Way::Beside(name));
                }
                Some(_) => {}
            }
        }
        Err(Failure::There(Error::Invalid(format!("{}: no free name", task.name))))
    }

    /// Whether kind, size and time are the same.
    pub fn same_stat(&self, meta: &Metadata, found: &Found) -> bool {
        let modified = meta.times.modified.unwrap_or_default();
        found.kind == Some(meta.kind)
            && (meta.kind != Kind::File || !meta.size_unknown && found.size == meta.size)
            && self.root.can.same_time(modified, found.modified)
    }

    /// Whether a file that is there holds the same bytes.
    pub fn same_bytes(&self, worker: &mut Worker, task: &Task) -> Outcome<bool> {
        let Some(part) = self.part(task.part) else { return Ok(false) };
        let opened = part.from.open(task.meta.id, &Stream::Data)?;
        let file = task.folder.folder.open_file(&task.name)?;
        worker.reader.same(&*opened.source, &file, &mut |_| self.check(), None)
    }

    fn symlink<'t>(&self, task: &'t Task) -> Outcome<Object<'t>> {
        let Some(part) = self.part(task.part) else { return Err(Failure::Interrupted) };
        let target = part.from.read_link(&task.meta)?;
        let (folder, can) = (&task.folder.folder, &self.root.can);
        let wanted = self.wanted(&task.meta);
        let way = self.way(task, &mut |found| folder.is_link_to(&task.name, found, &target))?;
        let (name, replace) = match way {
            Way::Done(did) => {
                if did == Did::There {
                    // It may lack its owner and times.
                    let _ = folder.finish_symlink(&target, &task.name, &wanted, can);
                }
                return Ok(self.told(task, did, &task.name));
            }
            Way::Beside(name) => return Ok(self.told(task, Did::There, &name)),
            Way::Go(name, replace) => (name, replace),
        };
        if replace == Replace::Yes {
            folder.remove(&name)?;
        }
        let mut object = self.told(task, Did::Restored, &name);
        match folder.symlink(&target, &name, &wanted, can) {
            Ok(not) => note(&not, &mut object.not_kept),
            Err(e) if is_unsupported(&e) => {
                let Some(bytes) = xsym::file(&target) else { return Err(e) };
                let partial = folder.create(&name, &wanted)?;
                partial.write(&bytes, 0)?;
                note(&partial.finish(&wanted, can, replace)?, &mut object.not_kept);
                object.not_kept.push(NotKept::Symlink);
            }
            Err(e) => return Err(e),
        }
        Ok(object)
    }

    fn special<'t>(&self, task: &'t Task) -> Outcome<Object<'t>> {
        let (folder, can, meta) = (&task.folder.folder, &self.root.can, &task.meta);
        let device = matches!(meta.kind, Kind::CharDevice | Kind::BlockDevice);
        if device && !self.options.devices {
            let mut object = self.told(task, Did::LeftOut, &task.name);
            object.reason = Some("devices are made with --devices only".into());
            return Ok(object);
        }
        let wanted = self.wanted(meta);
        let number = meta.device.map_or((0, 0), |d| (d.major, d.minor));
        let same = &mut |found: &Found| Ok(!device || found.device == number);
        let (name, replace) = match self.way(task, same)? {
            Way::Done(did) => {
                let owned = |f: &Found| wanted.owner.is_none_or(|owner| owner == f.owner);
                let unfinished =
                    folder.find(&task.name)?.is_some_and(|f| f.mode != wanted.mode || !owned(&f));
                if did == Did::There && unfinished {
                    folder.finish_special(&task.name, meta.kind, number, &wanted, can)?;
                }
                return Ok(self.told(task, did, &task.name));
            }
            Way::Beside(name) => return Ok(self.told(task, Did::There, &name)),
            Way::Go(name, replace) => (name, replace),
        };
        if replace == Replace::Yes {
            folder.remove(&name)?;
        }
        let mut object = self.told(task, Did::Restored, &name);
        match folder.special(&name, meta.kind, number, &wanted, can) {
            Ok(not) => note(&not, &mut object.not_kept),
            Err(e) if is_unsupported(&e) && device => {
                let text = "devices can be made by root only, and not everywhere";
                return Err(Failure::Refused(Error::Invalid(text.into())));
            }
            Err(e) => return Err(e),
        }
        self.remember(task, folder, &name)?;
        Ok(object)
    }

    /// Where a file with several names was put.
    fn remember(&self, task: &Task, folder: &Folder, name: &str) -> Outcome<()> {
        if let (Some(_), Some(found)) = (&task.names, folder.find(name)?) {
            self.first_name(
                task,
                Made { path: folder.path().join(name), identity: found.identity },
                Flaws::default(),
            );
        }
        Ok(())
    }
}

/// `name` with a mark before its extension.
fn beside(name: &str, n: u32) -> String {
    let mark = if n == 1 { " (restored)".to_owned() } else { format!(" (restored {n})") };
    let dot = name.rfind('.').filter(|at| *at > 0 && name.len() - at <= 16);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let keep = 255usize.saturating_sub(mark.len() + extension.len()).min(stem.len());
    let end = (0..=keep).rev().find(|n| stem.is_char_boundary(*n)).unwrap_or(0);
    format!("{}{mark}{extension}", stem.get(..end).unwrap_or_default())
}
