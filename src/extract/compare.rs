//! Reading back what was restored, and comparing it with the backup.

use super::account::{Account, Object};
use super::damage::{readable_checksum, wrong_checksum};
use super::dest::{Folder, Root};
use super::failure::{Failure, Outcome};
use super::options::Options;
use super::source::Reader;
use super::walk::{Item, Traveller};
use crate::error::{Error, Result};
use crate::fs::{Kind, Stream};
use crate::report::Progress;
use crate::timemachine::checksum::Cksum;
use std::collections::HashSet;
use std::sync::Mutex;

/// What reading back found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files whose bytes are those of the backup.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Of these, files whose bytes agree with Time Machine's checksum, too.
    pub with_checksum: u64,
    /// Of these, files whose bytes are not what Time Machine recorded.
    pub checksums_differ: u64,
    /// Objects that are not as they are in the backup.
    pub differ: u64,
}

/// Compares everything.
pub struct Comparer<'a> {
    stack: Vec<Option<Folder>>,
    root: &'a Root,
    account: &'a Account<'a>,
    options: &'a Options,
    progress: &'a dyn Progress,
    /// Paths that were told as not restored: nothing is expected there.
    missing: &'a Mutex<HashSet<String>>,
    reader: Reader,
    /// What was found.
    pub verified: Verified,
}

impl<'a> Comparer<'a> {
    /// For a restore into `root`. `missing`: paths of objects that were not restored.
    pub fn new(
        root: &'a Root,
        account: &'a Account<'a>,
        options: &'a Options,
        progress: &'a dyn Progress,
        missing: &'a Mutex<HashSet<String>>,
    ) -> Self {
        Self {
            stack: vec![root.folder_to_look()],
            root,
            account,
            options,
            progress,
            missing,
            reader: Reader::default(),
            verified: Verified::default(),
        }
    }

    fn expected(&self, path: &str) -> bool {
        let missing = self.missing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        !missing.contains(path)
    }

    /// What is wrong with an object; `None` if it is right.
    fn wrong(&mut self, item: &Item<'_>) -> Outcome<Option<String>> {
        let Some(Some(folder)) = self.stack.last() else {
            return Ok(Some("its folder is not there".into()));
        };
        let Some(found) = folder.find(item.name)? else { return Ok(Some("is not there".into())) };
        if found.kind != Some(item.meta.kind) && item.meta.kind != Kind::Symlink {
            return Ok(Some("is something else".into()));
        }
        match item.meta.kind {
            Kind::Symlink => {
                let target = item.part.from.read_link(item.meta)?;
                let same = folder.is_link_to(item.name, &found, &target)?;
                Ok((!same).then(|| "leads elsewhere".into()))
            }
            Kind::File if found.size != item.meta.size => {
                Ok(Some(format!("has {} bytes, not {}", found.size, item.meta.size)))
            }
            Kind::File => self.bytes(item),
            _ => Ok(None),
        }
    }

    fn bytes(&mut self, item: &Item<'_>) -> Outcome<Option<String>> {
        let Some(Some(folder)) = self.stack.last() else { return Ok(None) };
        let file = folder.open_file(item.name)?;
        // What the disk has, not what was kept of the writing.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        let opened = item.part.from.open(item.meta.id, &Stream::Data)?;
        let sum_wanted = match self.options.ignore_checksums {
            true => None,
            false => readable_checksum(&*item.part.from.fs, item.meta),
        };
        let mut sum = Cksum::default();
        let progress = self.progress;
        let mut passed = |n| {
            progress.advance(n);
            progress.check().map_err(Failure::from)
        };
        let same = self.reader.same(&*opened.source, &file, &mut passed, Some(&mut sum))?;
        if !same {
            return Ok(Some("reads back differently".into()));
        }
        self.verified.files += 1;
        self.verified.bytes += item.meta.size;
        let Some(recorded) = sum_wanted.filter(|_| !opened.has_lost()) else { return Ok(None) };
        let found = sum.finish();
        if !item.part.agrees(item.meta, recorded, found) {
            self.verified.checksums_differ += 1;
            let text = wrong_checksum(recorded, found);
            return Ok(Some(format!("as in the backup, but damaged there: {text}")));
        }
        self.verified.with_checksum += 1;
        Ok(None)
    }
}

impl Traveller for Comparer<'_> {
    fn enter(&mut self, item: &Item<'_>) -> Result<bool> {
        let folder = match self.stack.last() {
            Some(Some(folder)) => folder.enter(item.name).ok(),
            _ => None,
        };
        let there = folder.is_some();
        if !there && self.expected(item.path) {
            self.verified.differ += 1;
            let reason = "is not there".to_owned();
            self.account.tell(&Object::failed(item.path, Some(Kind::Directory), reason));
        }
        if there {
            self.stack.push(folder);
        }
        Ok(there)
    }

    fn object(&mut self, item: &Item<'_>) -> Result<()> {
        self.progress.check()?;
        if !self.expected(item.path) {
            return Ok(());
        }
        let mismatches = self.verified.checksums_differ;
        let reason = match self.wrong(item) {
            Ok(None) => return Ok(()),
            Ok(Some(reason)) => reason,
            Err(Failure::Interrupted) => return Err(Error::Interrupted),
            Err(
                Failure::Source(e) | Failure::There(e) | Failure::Refused(e) | Failure::Fatal(e),
            ) => e.to_string(),
        };
        if self.verified.checksums_differ == mismatches {
            self.verified.differ += 1;
        }
        let at = self.root.say(std::path::Path::new(item.path));
        let reason = format!("{at}: {reason}");
        self.account.tell(&Object::failed(item.path, Some(item.meta.kind), reason));
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        self.stack.pop();
        Ok(())
    }

    fn unreachable(&mut self, _: &str, _: Option<Kind>, _: &Error) {}
}
