//! Verify: bundle, bands, partition map, volumes; each layer's own checks, called
//! in order and summed up.

mod alternates;
mod bands;
mod circumstances;
pub mod contents;
mod costs;
mod cut;
mod destroyed;
mod lost_places;
pub mod manifest;
mod opened;
mod outcome;
mod room;
mod sets;
mod subset;
mod volumes;

pub use outcome::{Last, Layer, LayerState, NotChecked, Outcome, Verdict};
pub use sets::SnapshotSets;
pub use subset::{Subset, duration};

use crate::bundle::{BandListing, Bundle, Strays, busy, mapped};
use crate::disk::{Container, Disk};
use crate::error::{Error, Result};
use crate::io::Links;
use crate::io::bytes::to_u64;
use crate::report::words::count;
use crate::report::{
    Code, Collector, Finding, Progress, Reporter, STANDS_IN, Severity, Structure, Where,
};
use crate::timemachine::check::{Known, last_completed};
use crate::timemachine::{self, Archive, Backup, OpenVolume};
use crate::volume::Layout;
use bands::Written;
use circumstances::Circumstances;
use manifest::ManifestRun;
use outcome::Kinds;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only what needs no walk of the trees.
    pub quick: bool,
    /// Seconds after which the last completed backup is too old.
    pub max_age: Option<i64>,
    /// Threads for the passes that share their work; 0: as many as there are cores, up to 4.
    pub jobs: usize,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// How much of the files' contents to read; `None` for nothing.
    pub read_data: Option<Subset>,
    /// Keep a hash of each band of a bundle.
    pub manifest: Option<manifest::Options>,
    /// Where earlier runs kept one, for what it tells of bands that are gone.
    pub kept: Option<PathBuf>,
    /// What the caller found before, to be reported with the rest.
    pub before: Vec<Finding>,
    /// What the caller could not do that was asked for: what, and why not.
    pub not_checked: Vec<(String, String)>,
    /// The volume is not to be touched: what uses it.
    pub leave: Option<String>,
    /// The last verification, where this one looks at less: its verdict is kept.
    pub last: Option<Last>,
    /// Damage to contents that the last verification found and that was no half-written state.
    pub known_damage: BTreeSet<Code>,
    /// Whether the path may lead through links: as the source was opened.
    pub links: Links,
    /// A password was to be given, but it did not help: whether it was wrong or could not
    /// be had, and the words for it.
    pub bad_password: Option<(Code, String)>,
    /// Told of the bytes that the bands take, once that is known: the time and memory
    /// that the rest may need follow from it.
    pub weighed: Option<fn(u64)>,
}

/// What is said of bands that are not there, as long as none of them is known to be lost.
const REST: &str = ", the rest read as zeros";
/// A band that was written so many seconds ago is being written.
const FRESH: i64 = 300;

/// Verify a source.
///
/// # Errors
/// When it cannot be examined at all, or on interruption. A bundle that was
/// recognised but is destroyed is an outcome with findings, not an error.
pub fn verify(
    path: &Path,
    opened: Result<Layout>,
    options: Options,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let collector = Collector::default();
    let mut outcome = Outcome::new(path);
    let layout = match opened {
        Ok(layout) => layout,
        Err(Error::Corrupt(c)) => {
            destroyed::report(path, &c, &options, &collector, &mut outcome)?;
            options.before.into_iter().for_each(|f| collector.report(f));
            let (findings, more) = collector.into_findings();
            let how = Circumstances { aged: options.max_age.is_some(), ..Circumstances::default() };
            outcome.finish(findings, more, &how);
            return Ok(outcome);
        }
        Err(e) => return Err(e),
    };
    let disk = layout.disk();
    outcome.describe(disk);
    outcome.begin(&options, &collector);
    let before = disk.bundle().map(busy::stamp);
    let moment = disk.bundle().map(|bundle| (bundle, busy::Moment::now()));
    let seen = moment.as_ref().map(|(bundle, moment)| moment.signs_and_gaps(bundle));
    let (mut signs, gaps) = seen.unwrap_or_default();
    for why in gaps {
        outcome.skip("whether a Mac has it locked", &why);
    }
    let quick = options.quick || options.leave.is_some();
    let mut how = Circumstances {
        busy: false,
        aged: options.max_age.is_some(),
        known: options.known_damage.clone(),
    };
    let beside = &Beside(progress);
    let kept = options.kept.clone();
    let job = Job { reporter: &collector, progress, beside, options };
    let (mut listing, mut written) = (None, Written::default());
    if let Container::Bundle(bundle) = disk.container() {
        let bands = bundle.bands().list()?;
        written = job.bundle(bundle, &bands, &mut outcome)?;
        if let Some(why) = moment.as_ref().and_then(|(_, moment)| moment.blind()) {
            outcome.skip_as_asked("whether a file server has it open", why);
            // Then fresh writing is all that tells.
            if written.is_fresh(job.options.now, FRESH) {
                signs.push(format!("its bands were written just now, and {why}"));
            }
        }
        if job.reporter.any(|f| f.code == Code::BandDenied) {
            outcome.skip("some bands", "this user may not read them");
        }
        if let Some(weighed) = job.options.weighed {
            weighed(written.stored());
        }
        listing = Some(bands);
    }
    // Before the long work, so that a wrong file is told at once.
    let manifest = job.open_manifest(&layout, listing.as_ref(), &mut outcome)?;
    if job.options.leave.is_none() {
        job.volumes_of(&layout, &mut outcome)?;
    }
    let archive = if quick { None } else { Archive::open(&layout).ok() };
    job.time_machine(disk, archive.as_ref(), written, &mut outcome)?;
    let manifest = match &archive {
        Some(archive) => job.contents(archive, manifest, &mut outcome)?,
        None => manifest,
    };
    if let Some(run) = manifest {
        finish_manifest(run, &mut outcome)?;
    }
    crate::disk::check::check_chunks(disk, &collector);
    let rewritten = job.changes(disk, quick, !signs.is_empty(), &mut outcome)?;
    let (mut findings, more) = collector.into_findings();
    if let Some(archive) = &archive {
        let known = manifest::known_after(outcome.manifest.as_ref(), kept, &layout);
        let mut sets = SnapshotSets::default();
        let costs = opened::costs(disk, archive, known, &mut findings, &mut sets, progress)?;
        for why in costs.unknown {
            outcome.skip("which files are hit", &why);
        }
        outcome.take_off_lost(&costs.lost);
        outcome.snapshots = sets;
    }
    findings.extend(disk.bundle().zip(listing.as_ref()).and_then(|(b, l)| first_lost(disk, b, l)));
    note_reads(disk, &mut findings);
    lost_places::add(disk, &mut findings);
    alternates::name(disk, archive.as_ref(), &mut findings);
    // What failed while such files were looked for.
    note_reads(disk, &mut findings);
    cut::follow(&mut findings, disk.size());
    if changed(disk, before.as_ref(), &mut outcome) || rewritten {
        signs.push("it changed while it was checked".into());
    }
    // Of a bundle that was taken away nothing that was found missing means anything.
    if let Some(bundle) = disk.bundle() {
        bundle.bands().in_place()?;
    }
    still_here(disk)?;
    if !signs.is_empty() && !outcome.skipped {
        let text = format!("a Mac is using the bundle: {}", signs.join("; "));
        findings.push(Finding::new(Code::BundleBusy, Where::of(Structure::Bundle), text));
    }
    how.busy = !signs.is_empty();
    outcome.finish(findings, more, &how);
    Ok(outcome)
}

/// Whether the files that change with every backup did so since `before`; what could not be
/// looked at then or now is told as unchecked.
fn changed(disk: &Disk, before: Option<&busy::Stamp>, outcome: &mut Outcome) -> bool {
    let Some((before, now)) = before.zip(disk.bundle().map(busy::stamp)) else { return false };
    for why in before.gaps().chain(now.gaps()) {
        outcome.skip("whether it changed meanwhile", &why);
    }
    now.differs(before)
}

/// That the first band is missing, with which every disk begins, where nothing else can tell it:
/// nobody can look into the others.
fn first_lost(disk: &Disk, bundle: &Bundle, listing: &BandListing) -> Option<Finding> {
    let there = listing.contains(0) || listing.not_files.iter().any(|(index, _)| *index == 0);
    if disk.locked().is_none() || there || listing.present.is_empty() {
        return None;
    }
    let strays = Strays::find(bundle);
    let beside = strays.bands.get(&0).and_then(|found| found.first());
    let beside = beside.map_or_else(String::new, |a| format!(" ('{}' {STANDS_IN})", a.path));
    let text = format!("band 0 is missing, with which every disk begins{beside}");
    Some(Finding::new(Code::BandLost, bundle.bands().place(0), text))
}

/// What was found is told of what lies at the path: that must still be what was checked, and
/// a file as long and as full as it was.
fn still_here(disk: &Disk) -> Result<()> {
    let changed = || {
        let change = disk.change().filter(|change| change.is_loss())?;
        Some(format!("the file {}", change.words()))
    };
    match disk.moved().map(str::to_owned).or_else(changed) {
        None => Ok(()),
        Some(why) => {
            let what = format!("cannot check {} to its end", disk.path().display());
            Err(Error::io(what, std::io::Error::other(format!("{why} while it was checked"))))
        }
    }
}

/// Add the reads that failed and that nobody told of.
fn note_reads(disk: &Disk, findings: &mut Vec<Finding>) {
    let untold = Collector::default();
    let said = |text: &str| findings.iter().any(|f| f.message.contains(text));
    crate::disk::check::check_reads(disk, &said, &untold);
    findings.extend(untold.into_findings().0);
}

/// Compare the bands with what earlier runs read.
fn finish_manifest(run: ManifestRun<'_>, outcome: &mut Outcome) -> Result<()> {
    let (counts, worst) = run.finish()?;
    let (state, text) = (LayerState::of(worst), counts.text());
    outcome.layers.push(Layer::new("manifest", state, text));
    outcome.manifest = Some(counts);
    Ok(())
}

struct Job<'a> {
    reporter: &'a Collector,
    progress: &'a dyn Progress,
    beside: &'a dyn Progress,
    options: Options,
}

impl Job<'_> {
    /// Add a layer, of which it is noted what `check` reports; it all goes on to the
    /// collector.
    fn layer(
        &self,
        outcome: &mut Outcome,
        name: &'static str,
        check: impl FnOnce(&dyn Reporter) -> Result<String>,
    ) -> Result<()> {
        let watch = Watch::new(self.reporter);
        let text = check(&watch)?;
        let found = watch.into_found();
        // How it fared is worked out when all is known.
        let mut layer = Layer::new(name, LayerState::Ok, text);
        layer.found = found;
        outcome.layers.push(layer);
        Ok(())
    }

    fn bundle(
        &self,
        bundle: &Bundle,
        listing: &BandListing,
        outcome: &mut Outcome,
    ) -> Result<Written> {
        let mut written = Written::default();
        outcome.bands_present = Some(to_u64(listing.present.len()));
        self.layer(outcome, "bundle", |reporter| {
            crate::bundle::check(bundle, listing, reporter);
            written = bands::check(bundle, listing, reporter, self.progress)?;
            mapped::check(bundle, listing, reporter, self.progress)?;
            Ok(bands_text(bundle, listing))
        })?;
        Ok(written)
    }

    /// Report the bands that were taken away, cut or emptied while they were checked. Returns
    /// whether others were written to.
    fn changes(
        &self,
        disk: &Disk,
        quick: bool,
        in_use: bool,
        outcome: &mut Outcome,
    ) -> Result<bool> {
        let Some(bundle) = disk.bundle() else { return Ok(false) };
        let bands = bundle.bands();
        let changes = if quick { bands.vanished()? } else { bands.changes()? };
        for (index, change) in &changes.lost {
            let text = format!("band {index:x} {} while it was checked", change.words());
            let finding = Finding::new(Code::BandUnreadable, bands.place(*index), text);
            // A Mac at work gives bands back; no Mac gives back most of a backup.
            let given_back = in_use && changes.lost.len() * 2 < bands.count_there().max(3);
            let severity = if given_back { Severity::Warning } else { finding.severity };
            self.reporter.report(Finding { severity, ..finding });
        }
        if let Some(loss) = changes.loss() {
            outcome.skip("the bands as they are now", &loss);
        }
        Ok(changes.written > 0 || !changes.lost.is_empty())
    }

    /// Open the manifest of the bands, if one is to be kept, and choose what to read.
    fn open_manifest<'a>(
        &'a self,
        layout: &Layout,
        listing: Option<&BandListing>,
        outcome: &mut Outcome,
    ) -> Result<Option<ManifestRun<'a>>> {
        let Some(options) = &self.options.manifest else { return Ok(None) };
        let Some(listing) = listing else {
            outcome.skip_as_asked("manifest", "only a bundle has bands");
            return Ok(None);
        };
        // Beside the reading of the files it has no phase of its own.
        let progress = match self.options.read_data {
            Some(_) => self.beside,
            None => self.progress,
        };
        match ManifestRun::new(layout, listing, options, self.reporter, progress) {
            Ok(run) => Ok(Some(run)),
            Err(e @ Error::Interrupted) => Err(e),
            // That nothing can be kept is no reason to leave the bundle unchecked.
            Err(e) => {
                let place = Where::of(Structure::Manifest);
                let text = e.to_string();
                outcome.skip("manifest", &text);
                self.reporter.report(Finding::new(Code::ManifestUnwritten, place, text));
                Ok(None)
            }
        }
    }

    /// Encryption, partition map and volumes.
    fn volumes_of(&self, layout: &Layout, outcome: &mut Outcome) -> Result<()> {
        self.disk(layout, outcome)?;
        let disk = layout.disk();
        if disk.locked().is_some() {
            let layer = outcome.layers.iter_mut().find(|l| l.name == "encryption");
            layer.into_iter().for_each(|l| l.state = LayerState::Unchecked);
            if let Some((_, why)) = &self.options.bad_password {
                outcome.explain_skipped("contents", why);
            }
        }
        Ok(())
    }

    /// The state of the backups, from the bundle and, if it opens, from the volume.
    fn time_machine(
        &self,
        disk: &Disk,
        archive: Option<&Archive>,
        written: Written,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let plists = disk.bundle().map(Bundle::time_machine);
        let kept = archive.and_then(Archive::backup);
        let backup = kept.map(|(_, backup)| backup);
        let known = Known {
            plists: plists.as_ref(),
            backup,
            bands_written: written.span(),
            free: disk.bundle().and_then(Bundle::free_space),
            unread: !disk.failed_reads().is_empty(),
            broken: self
                .reporter
                .any(|f| f.severity == Severity::Damage && f.place.partition.is_some()),
        };
        let last = last_completed(&known, self.options.now);
        outcome.last_completed = last;
        let is_backup = backup.is_some() || plists.as_ref().is_some_and(|p| p.machine.is_some());
        if !is_backup && last.is_none() && self.options.max_age.is_none() {
            return Ok(());
        }
        self.layer(outcome, "snapshots", |reporter| {
            timemachine::check::check(&known, self.options.max_age, self.options.now, reporter);
            Ok(snapshots_text(backup, &known, self.options.now))
        })?;
        if let Some((volume, backup)) = kept {
            self.shut(volume, backup, outcome);
        }
        if self.reporter.any(|f| f.code == Code::TmAgeUnknown) {
            outcome.skip("age of the last backup", "nothing that can be read tells it");
        }
        Ok(())
    }
}

impl Job<'_> {
    /// Of snapshots that cannot be opened it was said why; the layer does not count them.
    fn shut(&self, volume: &OpenVolume, backup: &Backup, outcome: &mut Outcome) {
        let shut = to_u64(volume.shut(backup).len());
        let Some(layer) = outcome.layers.last_mut().filter(|_| shut > 0) else { return };
        let all = count(to_u64(backup.snapshots().count()));
        layer.text = format!("{} of {all} cannot be opened; {}", count(shut), layer.text);
        let code = Code::ApfsUnreadable;
        let places = self.reporter.places_of(code).into_iter();
        layer.found.extend(places.map(|place| (code, place.partition, place.volume)));
    }
}

/// Shows what is done in somebody else's phase.
struct Beside<'a>(&'a dyn Progress);

impl Progress for Beside<'_> {
    fn advance(&self, n: u64) {
        self.0.advance(n);
    }
    fn saving(&self, now: bool) {
        self.0.saving(now);
    }
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

/// Passes findings on and remembers of what kind they were.
struct Watch<'a> {
    inner: &'a Collector,
    found: Mutex<BTreeSet<Kinds>>,
}

impl<'a> Watch<'a> {
    fn new(inner: &'a Collector) -> Self {
        Self { inner, found: Mutex::default() }
    }

    fn into_found(self) -> BTreeSet<Kinds> {
        self.found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Watch<'_> {
    fn report(&self, finding: Finding) {
        let kind = outcome::kind(&finding);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
        self.inner.report(finding);
    }
}

fn snapshots_text(backup: Option<&Backup>, known: &Known<'_>, now: i64) -> String {
    let history = || known.plists.and_then(|p| p.history.as_ref());
    match (backup, history()) {
        (Some(b), _) => {
            let newest = b
                .latest_at(now)
                .map_or("none completed".into(), |(_, s)| format!("newest {}", s.name));
            format!("{}, {newest}", b.snapshots().count())
        }
        (None, Some(h)) => {
            let newest = h
                .last_at(now.saturating_add(86_400))
                .and_then(|e| e.name.as_deref())
                .unwrap_or("none");
            format!("{} in the bundle's history, last {newest}", h.entries.len())
        }
        (None, None) => "none seen".into(),
    }
}

fn bands_text(bundle: &Bundle, listing: &BandListing) -> String {
    let (present, possible) = (listing.present.len(), bundle.info().band_count());
    let rest = if to_u64(present) < possible { REST } else { "" };
    format!("{present} of {possible} bands present{rest}")
}
