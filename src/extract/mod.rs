//! Restore: everything that was backed up, onto any disk, or a true account of what was
//! not.
//!
//! A restore goes through what was chosen three times at most, always by `walk`: for the
//! [`Plan`] (what there is, and whether it fits), to write it (`sink::dir` or
//! `sink::tar`), and to compare it afterwards. Metadata never cost the data: what the
//! destination does not take is counted in the `Account` and told.
//!
//! Safe by construction: everything is created relative to open folders, links are never
//! followed, what was made is changed through its own descriptor only, nothing that
//! exists is overwritten unasked, and a file appears under its name only when it is whole.

mod account;
mod chosen;
mod compare;
mod damage;
mod dest;
mod failure;
mod mac;
mod names;
mod options;
mod plan;
mod reading;
mod rule;
mod sink;
mod source;
mod versions;
mod walk;
mod xsym;

pub use account::{Did, NotKept, Object, Summary, Witness};
pub use chosen::Chosen;
pub use compare::Verified;
pub use damage::{recorded as recorded_checksum, wrong_checksum};
pub use dest::Room;
pub use names::safe_name;
pub use options::{Fallback, MacMetadata, OnConflict, Options, Owners, XattrNames};
use plan::Look;
pub use plan::Plan;
pub use reading::Reading;
pub use versions::{Snapshots, Versions};

use crate::error::{Error, Result};
use crate::fs::{Kind, Metadata};
use crate::report::{Progress, Unit};
use account::Account;
use dest::Root;
use failure::Failure;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use walk::Naming;

/// One address that is restored.
pub struct Part<'a> {
    /// Where it is read from.
    pub from: Reading,
    /// What is there.
    pub node: Metadata,
    /// The name it gets; `None`: what is in the folder goes straight to the destination.
    pub name: Option<String>,
    /// Folders that are made around it.
    pub under: Vec<String>,
    /// Whether it lies in a snapshot of Time Machine's.
    pub backup: bool,
    /// Where other versions of it are.
    pub versions: Option<&'a dyn Versions>,
}

impl Part<'_> {
    fn of_version(from: &Reading, meta: &Metadata, backup: bool) -> Self {
        let from = from.clone();
        Self { from, node: meta.clone(), name: None, under: Vec::new(), backup, versions: None }
    }

    /// Whether a file's contents, whose checksum is `found`, are what Time Machine recorded.
    fn agrees(&self, meta: &Metadata, recorded: u32, found: u32) -> bool {
        crate::timemachine::checksum::agrees(&*self.from.fs, meta, recorded, found)
    }

    /// Metadata for the folders around it: those of the top folder, or plain ones.
    fn folder_metadata(&self) -> Metadata {
        let mut meta = self.node.clone();
        if meta.kind != Kind::Directory {
            meta.kind = Kind::Directory;
            meta.mode = 0o040_755;
        }
        meta.has_xattrs = false;
        meta.flags = 0;
        meta.times.created = meta.times.modified;
        meta
    }

    /// The part of a path that is below the address.
    fn below<'p>(&self, path: &'p str) -> &'p str {
        let own = self.under.iter().chain(&self.name);
        let skip: usize = own.map(|n| n.len() + 1).sum();
        path.get(skip..).unwrap_or_default()
    }
}

/// What a restore is to do.
pub struct Request<'a> {
    /// What to restore.
    pub parts: Vec<Part<'a>>,
    /// How.
    pub options: Options,
}

/// What a restore came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was done.
    pub summary: Summary,
    /// What there was to do.
    pub plan: Plan,
    /// Whether anything was begun: not where the destination is too small.
    pub began: bool,
    /// What ended it before its end: the destination is full, or gone.
    pub ended: Option<String>,
    /// What reading back found, if it was asked for.
    pub verified: Option<Verified>,
    /// Next to no checksum agreed, and files were taken though theirs disagree.
    pub checksums_doubted: bool,
}

/// Notes what is missing, so that the comparison does not look for it.
struct Listening<'a> {
    witness: &'a dyn Witness,
    missing: Option<&'a Mutex<HashSet<String>>>,
}

impl Witness for Listening<'_> {
    fn object(&self, object: &Object<'_>) {
        let as_is = matches!(object.did, Did::Restored | Did::There);
        if let Some(missing) = self.missing
            && !(as_is && object.restored_as.is_none())
            && object.kind != Some(Kind::Directory)
            && !as_is
        {
            let mut missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
            missing.insert(object.path.to_owned());
        }
        self.witness.object(object);
    }
}

impl Request<'_> {
    /// What it comes to, without writing anything.
    ///
    /// # Errors
    /// On interruption; [`Error::NotFound`] if nothing fits the patterns.
    pub fn plan(&self, to: Option<&Path>, progress: &dyn Progress) -> Result<(Plan, Option<Room>)> {
        self.plan_looking(to, Look::ForDamage, progress)
    }

    fn plan_looking(
        &self,
        to: Option<&Path>,
        look: Look,
        progress: &dyn Progress,
    ) -> Result<(Plan, Option<Room>)> {
        let room = to.map(dest::room).transpose()?;
        let there = to.and_then(Root::look).filter(|root| !root.is_empty());
        let block = room.map_or(1, |r| r.block);
        let naming = Naming::default();
        let chosen = &self.options.chosen;
        let plan = plan::plan(&self.parts, chosen, naming, there.as_ref(), block, look, progress)?;
        Ok((plan, room))
    }

    /// Restore into the folder `to`, which is made if it is not there.
    ///
    /// # Errors
    /// When the destination cannot be used, or on interruption. What fails for one object is
    /// told to `witness` and counted; a destination that is too small, or fills up, ends the
    /// restore and stands in [`Report::ended`].
    pub fn restore(
        &self,
        to: &Path,
        progress: &dyn Progress,
        witness: &dyn Witness,
    ) -> Result<Report> {
        let (plan, room) = self.plan_looking(Some(to), Look::Plain, progress)?;
        if let Some(room) = &room
            && !self.options.force
            && let Err(e) = plan.require(room)
        {
            let remaining = plan.total();
            let summary = Summary { remaining, ..Summary::default() };
            return Ok(Report { plan, summary, ended: Some(e.to_string()), ..Report::default() });
        }
        let root = Root::open(to).map_err(into_error)?;
        let missing = Mutex::new(HashSet::new());
        let listening = Listening { witness, missing: self.options.verify.then_some(&missing) };
        let account = Account::new(&listening);
        let naming =
            Naming { rules: root.can.names, sidecars: mac::may_have_sidecars(self.options.mac) };
        progress.phase("restoring", plan.bytes, Unit::Bytes);
        let job = sink::dir::Job::new(&self.parts, &self.options, &root, &plan, &account, progress);
        let ran = job.run(|filler| walk::walk(&self.parts, &self.options.chosen, naming, filler));
        let checksums_doubted = job.rule.gave_up();
        let mut report = Report { began: true, checksums_doubted, ..Report::default() };
        let ran = ran.and_then(|()| self.save(&root, progress));
        match ran {
            Ok(()) if self.options.verify => {
                let comparer = self.compare(&root, &account, naming, &missing, progress, &plan)?;
                report.verified = Some(comparer);
            }
            Ok(()) => {}
            Err(Failure::Interrupted) => return Err(Error::Interrupted),
            Err(e) => report.ended = Some(into_error(e).to_string()),
        }
        report.summary = account.summary();
        if report.ended.is_some() {
            report.summary.remaining = plan.total().saturating_sub(account.done());
        }
        report.plan = plan;
        Ok(report)
    }

    /// Write a pax archive to `out`. The same restore gives the same bytes.
    ///
    /// # Errors
    /// When the archive cannot be written, on interruption, or when a file that could be
    /// read a moment ago no longer can: the archive is then not whole.
    pub fn archive(
        &self,
        out: impl std::io::Write,
        progress: &dyn Progress,
        witness: &dyn Witness,
    ) -> Result<Report> {
        let (plan, _) = self.plan_looking(None, Look::Plain, progress)?;
        let account = Account::new(witness);
        progress.phase("archiving", plan.bytes, Unit::Bytes);
        let mut archiver =
            sink::tar::Archiver::new(out, &self.parts, &self.options, &account, progress, &plan);
        let naming =
            Naming { sidecars: mac::may_have_sidecars(self.options.mac), ..Naming::default() };
        walk::walk(&self.parts, &self.options.chosen, naming, &mut archiver)?;
        archiver.finish()?;
        let summary = account.summary();
        let checksums_doubted = archiver.rule.gave_up();
        Ok(Report { began: true, summary, plan, checksums_doubted, ..Report::default() })
    }

    fn save(&self, root: &Root, progress: &dyn Progress) -> std::result::Result<(), Failure> {
        if self.options.no_sync {
            return Ok(());
        }
        progress.phase("saving", 0, Unit::Bytes);
        root.sync()
    }

    fn compare(
        &self,
        root: &Root,
        account: &Account<'_>,
        naming: Naming,
        missing: &Mutex<HashSet<String>>,
        progress: &dyn Progress,
        plan: &Plan,
    ) -> Result<Verified> {
        progress.phase("reading back", plan.bytes, Unit::Bytes);
        let mut comparer = compare::Comparer::new(root, account, &self.options, progress, missing);
        walk::walk(&self.parts, &self.options.chosen, naming, &mut comparer)?;
        Ok(comparer.verified)
    }
}

fn into_error(failure: Failure) -> Error {
    match failure {
        Failure::Interrupted => Error::Interrupted,
        Failure::Source(e) | Failure::There(e) | Failure::Refused(e) | Failure::Fatal(e) => e,
    }
}
