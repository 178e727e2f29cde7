//! Verify: bundle, bands, partition map, volumes; each layer's own checks, called
//! in order and summed up.

mod bands;
pub mod manifest;
mod outcome;
mod subset;

pub use outcome::{Layer, LayerState, NotChecked, Outcome, Verdict};
pub use subset::{Subset, duration};

use crate::bundle::{BandListing, Bundle, busy};
use crate::disk::{Container, Disk};
use crate::error::{Error, Result};
use crate::hfsplus::check::Checked;
use crate::hfsplus::journal::JournalState;
use crate::io::{Presence, Source};
use crate::partition::{self, PartitionMap, Purpose, Scheme};
use crate::report::{Code, Collector, Finding, Progress, Reporter, Severity, Where};
use crate::timemachine::check::{Known, last_completed};
use crate::timemachine::{self, Archive, Backup};
use crate::volume::{self, Kind, Volume};
use manifest::ManifestRun;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only what needs no walk of the trees.
    pub quick: bool,
    /// Seconds after which the last completed backup is too old.
    pub max_age: Option<i64>,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Keep a hash of each band of a bundle.
    pub manifest: Option<manifest::Options>,
    /// What the caller found before, to be reported with the rest.
    pub before: Vec<Finding>,
}

/// Verify a source.
///
/// # Errors
/// When it cannot be examined at all, or on interruption. A bundle that was
/// recognised but is destroyed is an outcome with findings, not an error.
pub fn verify(
    path: &std::path::Path,
    opened: Result<Disk>,
    options: Options,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let collector = Collector::default();
    let mut outcome = Outcome::new(path);
    let disk = match opened {
        Ok(disk) => disk,
        Err(Error::Corrupt(c)) => {
            let place = Where::of("Info.plist");
            collector.report(Finding::new(Code::InfoLost, place, c.to_string()));
            outcome.skip("everything else", "the band size is not known");
            outcome.finish(collector, false);
            return Ok(outcome);
        }
        Err(e) => return Err(e),
    };
    outcome.describe(&disk);
    for finding in &options.before {
        collector.report(finding.clone());
    }
    let before = disk.bundle().map(busy::stamp);
    let mut signs = disk.bundle().map(busy::signs).unwrap_or_default();
    let job = Job { reporter: &collector, progress, options };
    let listing = match disk.container() {
        Container::Bundle(bundle) => Some(job.bundle(bundle, &mut outcome)?),
        Container::Raw(_) => None,
    };
    // Before the long work, so that a wrong file is told at once.
    let manifest = job.open_manifest(&disk, listing.as_ref(), &mut outcome)?;
    job.disk(&disk, &mut outcome)?;
    job.time_machine(&disk, &mut outcome)?;
    if let Some(run) = manifest {
        finish_manifest(run, &mut outcome)?;
    }
    crate::disk::check::check_chunks(&disk, &collector);
    if disk.bundle().map(busy::stamp) != before {
        signs.push("it changed while it was checked".into());
    }
    if !signs.is_empty() {
        let text = format!("a Mac is using the bundle: {}", signs.join("; "));
        collector.report(Finding::new(Code::BundleBusy, Where::of("bundle"), text));
    }
    outcome.finish(collector, !signs.is_empty());
    Ok(outcome)
}

/// The outcome for a bundle that was left alone because it is in use. `unverified`: that
/// this goes on for too long.
pub fn skipped(path: &std::path::Path, why: &str, unverified: Option<Finding>) -> Outcome {
    let mut outcome = Outcome::new(path);
    let collector = Collector::default();
    let text = format!("{why}; it was not checked");
    collector.report(Finding::new(Code::BundleSkipped, Where::of("bundle"), text));
    if let Some(finding) = unverified {
        collector.report(finding);
    }
    outcome.skip("everything", why);
    outcome.finish(collector, false);
    outcome
}

/// Compare the bands with what earlier runs read.
fn finish_manifest(run: ManifestRun<'_>, outcome: &mut Outcome) -> Result<()> {
    let (counts, worst) = run.finish()?;
    let (state, text) = (LayerState::of(worst), counts.text());
    outcome.layers.push(Layer { name: "manifest", state, text });
    outcome.manifest = Some(counts);
    Ok(())
}

struct Job<'a> {
    reporter: &'a Collector,
    progress: &'a dyn Progress,
    options: Options,
}

impl Job<'_> {
    /// How bad the worst of what `check` reports is; it all goes on to the collector.
    fn layer(
        &self,
        outcome: &mut Outcome,
        name: &'static str,
        check: impl FnOnce(&dyn Reporter) -> Result<String>,
    ) -> Result<()> {
        let watch = Watch { inner: self.reporter, worst: std::sync::Mutex::new(None) };
        let text = check(&watch)?;
        let worst = watch.worst.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        outcome.layers.push(Layer { name, state: LayerState::of(worst), text });
        Ok(())
    }

    fn bundle(&self, bundle: &Bundle, outcome: &mut Outcome) -> Result<BandListing> {
        let listing = bundle.bands().list()?;
        self.layer(outcome, "bundle", |reporter| {
            crate::bundle::check(bundle, &listing, reporter);
            bands::check(bundle, &listing, reporter, self.progress)?;
            Ok(bands_text(bundle, &listing))
        })?;
        Ok(listing)
    }

    /// Open the manifest of the bands, if one is to be kept, and choose what to read.
    fn open_manifest(
        &self,
        disk: &Disk,
        listing: Option<&BandListing>,
        outcome: &mut Outcome,
    ) -> Result<Option<ManifestRun<'_>>> {
        let Some(options) = &self.options.manifest else { return Ok(None) };
        let Some(listing) = listing else {
            outcome.skip("manifest", "only a bundle has bands");
            return Ok(None);
        };
        ManifestRun::new(disk, listing, options, self.reporter, self.progress).map(Some)
    }

    fn disk(&self, disk: &Disk, outcome: &mut Outcome) -> Result<()> {
        if let Some(encryption) = disk.encryption() {
            outcome.encrypted = true;
            self.layer(outcome, "encryption", |reporter| {
                crate::disk::check::check(disk, reporter);
                Ok(encryption.cipher.clone())
            })?;
        } else {
            crate::disk::check::check(disk, self.reporter);
        }
        let bytes = match disk.bytes() {
            Ok(bytes) => bytes,
            Err(e) => {
                outcome.skip("contents", &e.to_string());
                return Ok(());
            }
        };
        let mut found = None;
        self.layer(outcome, "partitions", |reporter| {
            let scanned = partition::scan(&*bytes, reporter)
                .and_then(|map| Ok((volume::volumes(&bytes, &map)?, map)));
            match scanned {
                Ok((volumes, map)) => {
                    let text = map_text(&map);
                    found = Some((volumes, map));
                    Ok(text)
                }
                Err(e @ (Error::Io { .. } | Error::Corrupt(_))) => {
                    let place = Where::of("disk");
                    reporter.report(Finding::new(Code::DiskUnreadable, place, e.to_string()));
                    Ok("cannot be read".into())
                }
                Err(e) => Err(e),
            }
        })?;
        match found {
            Some((volumes, map)) => self.volumes(disk, &map, &volumes, outcome),
            None => {
                outcome.skip("contents", "the partition map cannot be read");
                Ok(())
            }
        }
    }

    /// The state of the backups, from the bundle and, if it opens, from the volume.
    fn time_machine(&self, disk: &Disk, outcome: &mut Outcome) -> Result<()> {
        let plists = disk.bundle().map(Bundle::time_machine);
        let archive = if self.options.quick { None } else { Archive::open(disk).ok() };
        let backup = archive.as_ref().and_then(|a| Some(a.backup()?.1));
        let known = Known { plists: plists.as_ref(), backup };
        let last = last_completed(&known);
        if backup.is_none() && last.is_none() && plists.as_ref().is_none_or(|p| p.machine.is_none())
        {
            return Ok(());
        }
        self.layer(outcome, "snapshots", |reporter| {
            timemachine::check::check(&known, self.options.max_age, self.options.now, reporter);
            Ok(snapshots_text(backup, &known))
        })
    }

    fn volumes(
        &self,
        disk: &Disk,
        map: &PartitionMap,
        volumes: &[Volume],
        outcome: &mut Outcome,
    ) -> Result<()> {
        let mut known = 0;
        for v in volumes {
            match v.kind {
                Kind::HfsPlus { .. } => {
                    known += 1;
                    self.hfs(v, outcome)?;
                }
                Kind::Empty | Kind::Unknown if v.partition.purpose == Purpose::Hfs => {
                    known += 1;
                    self.unrecognised(v, disk);
                    outcome.skip("contents", "no volume was recognised in the partition");
                }
                Kind::Empty | Kind::Unknown => {}
                // The EFI partition holds nothing of the backup.
                _ if v.partition.purpose == Purpose::Efi => {}
                ref kind => {
                    known += 1;
                    let why = format!(
                        "partition {} holds {}, which tmbundle cannot check yet",
                        v.partition.number,
                        kind.name()
                    );
                    outcome.skip("contents", &why);
                }
            }
        }
        if known == 0 {
            let recognised = map.scheme != Scheme::None || disk.is_container();
            if !recognised {
                let path = disk.path().to_owned();
                let why = "no partition map and no volume that tmbundle knows".into();
                return Err(Error::NotASource { path, why });
            }
            let text = "no volume was found on the disk";
            self.reporter.report(Finding::new(Code::VolumeNone, Where::of("disk"), text));
            outcome.skip("contents", text);
        }
        Ok(())
    }

    fn unrecognised(&self, v: &Volume, disk: &Disk) {
        let place = Where::of("volume").at(v.source.locate(0));
        let what = if v.kind == Kind::Empty { "only zeros" } else { "nothing recognisable" };
        let text = format!(
            "partition {} ({}) begins with {what}, expected a volume",
            v.partition.number, v.partition.type_name
        );
        let finding = Finding::new(Code::VolumeUnknown, place, text);
        // Zeros that are stored were written so: never formatted rather than lost,
        // unless Time Machine has been here.
        let used = disk.bundle().is_some_and(|b| b.time_machine().machine.is_some());
        let mut stored = !used;
        let told = v.source.presence(0..v.source.len().min(4096), &mut |_, p| {
            stored &= p == Presence::Data;
        });
        let unformatted = v.kind == Kind::Empty && told.is_ok() && stored;
        let severity = if unformatted { Severity::Warning } else { Severity::Damage };
        self.reporter.report(finding.severity(severity));
    }

    fn hfs(&self, v: &Volume, outcome: &mut Outcome) -> Result<()> {
        if self.options.quick {
            outcome.skip("volume", "--quick was asked for");
            return Ok(());
        }
        let source: Source = v.source.clone();
        let mut not_checked = Vec::new();
        self.layer(outcome, "volume", |reporter| {
            let checked = crate::hfsplus::check::check(&source, reporter, self.progress)?;
            not_checked.clone_from(&checked.not_checked);
            Ok(volume_text(v, &checked))
        })?;
        for (what, why) in not_checked {
            outcome.skip(&what, &why);
        }
        Ok(())
    }
}

/// Passes findings on and remembers how bad the worst was.
struct Watch<'a> {
    inner: &'a Collector,
    worst: std::sync::Mutex<Option<Severity>>,
}

impl Reporter for Watch<'_> {
    fn report(&self, finding: Finding) {
        let mut worst = self.worst.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *worst = (*worst).max(Some(finding.severity));
        self.inner.report(finding);
    }
}

fn snapshots_text(backup: Option<&Backup>, known: &Known<'_>) -> String {
    let history = || known.plists.and_then(|p| p.history.as_ref());
    match (backup, history()) {
        (Some(b), _) => {
            let newest =
                b.latest().map_or("none completed".into(), |(_, s)| format!("newest {}", s.name));
            format!("{}, {newest}", b.snapshots().count())
        }
        (None, Some(h)) => {
            let newest = h.last().and_then(|e| e.name.as_deref()).unwrap_or("none");
            format!("{} in the bundle's history, last {newest}", h.entries.len())
        }
        (None, None) => "none seen".into(),
    }
}

fn bands_text(bundle: &Bundle, listing: &BandListing) -> String {
    let (present, possible) = (listing.present.len(), bundle.info().band_count());
    format!("{present} of {possible} bands present, the rest read as zeros")
}

fn map_text(map: &PartitionMap) -> String {
    match map.scheme {
        Scheme::None => "no map: one volume fills the disk".into(),
        Scheme::Gpt if map.from_backup => "GPT, read from its backup".into(),
        Scheme::Gpt => format!("GPT, {} partitions", map.partitions.len()),
        other => format!("{}, {} partitions", other.name(), map.partitions.len()),
    }
}

fn volume_text(v: &Volume, checked: &Checked) -> String {
    let Some(h) = &checked.header else { return format!("{}: unusable", v.kind.name()) };
    let journal = match checked.journal {
        Some(JournalState::Replayed { transactions, .. }) => {
            format!("; journal replayed in memory ({transactions} transactions)")
        }
        _ => String::new(),
    };
    let trees: Vec<String> =
        checked.trees.iter().map(|t| format!("{} {} nodes", t.name, t.reached)).collect();
    format!(
        "{}: {} files, {} folders; {}{journal}",
        v.kind.name(),
        h.file_count,
        h.folder_count,
        trees.join(", ")
    )
}
