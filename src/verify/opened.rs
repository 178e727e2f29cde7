//! What is asked of the volumes once they are open: the files' contents, what was lost
//! under them, and what all findings cost.

use super::contents::ReadAlong;
use super::manifest::ManifestRun;
use super::outcome::CONTENTS;
use super::{Job, Outcome, SnapshotSets, Subset, contents, costs as pricing};
use crate::bundle::Bundle;
use crate::disk::{Disk, PACKED};
use crate::error::{Error, Result};
use crate::losses::{self, Evidence, Known, Loss};
use crate::report::{Finding, Progress, Quality, Scope, Structure, Subject};
use crate::timemachine::{Archive, OpenVolume, Sightings};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Hashes the bands ahead of who reads the files.
struct Along<'m>(Mutex<ManifestRun<'m>>, AtomicU64);

impl ReadAlong for Along<'_> {
    fn bytes(&self) -> u64 {
        // Of several volumes the first is told.
        self.1.swap(0, Ordering::Relaxed)
    }

    fn before(&self, offset: u64) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).advance_to(offset)
    }
}

impl Job<'_> {
    /// Read the files of all volumes, if that was asked for; the run over the bands goes
    /// along, so that what both need is read from the disk once.
    pub(super) fn contents<'m>(
        &'m self,
        archive: &Archive,
        manifest: Option<ManifestRun<'m>>,
        outcome: &mut Outcome,
    ) -> Result<Option<ManifestRun<'m>>> {
        let Some(subset) = self.options.read_data else { return Ok(manifest) };
        let bands = manifest.as_ref().map_or(0, ManifestRun::due);
        let along = manifest.map(|run| Along(Mutex::new(run), AtomicU64::new(bands)));
        for volume in &archive.open {
            self.contents_of(volume, subset, along.as_ref(), outcome)?;
        }
        let mut run = along.map(|a| a.0.into_inner().unwrap_or_else(PoisonError::into_inner));
        if let Some(run) = &mut run {
            run.alone(self.progress);
        }
        Ok(run)
    }

    fn contents_of(
        &self,
        volume: &OpenVolume,
        subset: Subset,
        along: Option<&Along<'_>>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let at = Mutex::new(Sightings::new(volume));
        let name = |view, node| {
            let mut at = at.lock().unwrap_or_else(PoisonError::into_inner);
            Some(at.of(node, &crate::fs::Views::one(view)).address)
        };
        let view = |view| volume.view(view);
        let pass = contents::Pass {
            views: volume.all_views(),
            view: &view,
            volume: &*volume.volume,
            name: &name,
            subset,
            day: u64::try_from(self.options.now / 86400).unwrap_or(0),
            jobs: self.options.jobs,
            along: along.map(|a| a as &dyn ReadAlong),
        };
        let number = volume.found.partition.number;
        let mut done = contents::Done::default();
        self.layer(outcome, CONTENTS, |inner| {
            let reporter = &Scope::partition(number).stamp(inner);
            done = contents::read(&pass, reporter, self.progress)?;
            Ok(done.contents.text())
        })?;
        outcome.contents.get_or_insert_default().add(&done.contents);
        if !done.whole {
            outcome.skip("contents of some files", "part of the catalog cannot be read");
        }
        Ok(())
    }
}

/// What is known of the costs.
#[derive(Default)]
pub(super) struct Costs {
    /// Why that is not known of some volumes.
    pub unknown: Vec<String>,
    /// Of each volume, how many bytes of its files are lost or may be.
    pub lost: Vec<u64>,
}

/// Look for data that was lost under files, and work out what every finding costs.
pub(super) fn costs(
    disk: &Disk,
    archive: &Archive,
    known: Known,
    findings: &mut Vec<Finding>,
    sets: &mut SnapshotSets,
    progress: &dyn Progress,
) -> Result<Costs> {
    let (bands, mut costs) = (disk.bundle().map(Bundle::bands), Costs::default());
    let evidence = Evidence::of(disk, known);
    for volume in &archive.open {
        let trust = trusts_bitmap(findings, volume.found.partition.number);
        let losses = match &bands {
            Some(bands) => losses::find(volume, bands, trust, progress),
            None => of_image(disk, volume, trust, progress),
        };
        let losses = match losses {
            Ok(losses) => losses,
            Err(e) => {
                costs.unknown.push(not_worked_out(volume, e)?);
                Vec::new()
            }
        };
        let attached = pricing::attach(volume, &evidence, losses, findings, sets, progress);
        costs.lost.push(match attached {
            Ok(lost) => lost,
            Err(e) => {
                costs.unknown.push(not_worked_out(volume, e)?);
                0
            }
        });
    }
    Ok(costs)
}

/// What is absent of a volume in a disk image in one file.
fn of_image(
    disk: &Disk,
    volume: &OpenVolume,
    trust: bool,
    progress: &dyn Progress,
) -> Result<Vec<Loss>> {
    let mut losses = match disk.kind() {
        // What is no data in it was zeros when it was made.
        PACKED => Vec::new(),
        _ => losses::find_in_image(volume, trust, progress)?,
    };
    if disk.is_rescued() {
        losses.extend(losses::find_unreadable(volume, trust, progress)?);
    }
    Ok(losses)
}

/// Why it is not known, or not all, what was lost on a volume and what findings cost.
fn not_worked_out(volume: &OpenVolume, e: Error) -> Result<String> {
    match e {
        Error::Interrupted => Err(e),
        e => Ok(format!("volume '{}': {e}", volume.name())),
    }
}

/// Whether nothing that was found speaks against a volume's bitmap.
fn trusts_bitmap(findings: &[Finding], partition: u32) -> bool {
    !findings.iter().any(|f| {
        f.place.partition == Some(partition)
            && (f.code.is(Quality::Bitmap)
                || f.code.info().about == Subject::Place && f.place.structure == Structure::Bitmap)
    })
}
