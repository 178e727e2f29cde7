//! Files that may be what a finding lacks are named in the finding.

use super::costs::view_of;
use crate::bundle::Bands;
use crate::disk::Disk;
use crate::fs::{NodeId, Stream};
use crate::losses::Evidence;
use crate::report::{Finding, STANDS_IN, Severity};
use crate::timemachine::{Archive, OpenVolume};
use std::ops::Range;

/// Most files that are named in one finding, and most findings that are looked at.
const NAMED: usize = 3;
const FINDINGS: usize = 1000;
/// Most pieces of a file that are looked at, and most that lie in bands with other versions.
const PIECES: usize = 10_000;
const LOOKS: usize = 64;
/// Bytes of such a piece in which data is looked for: contents seldom begin with zeros.
const LOOKED_AT: u64 = 16 << 10;

/// Name the other versions of a band in what was found to be lost or wrong in it, and in what
/// was found of the contents of files that lie in it.
pub(super) fn name(disk: &Disk, archive: Option<&Archive>, findings: &mut [Finding]) {
    let Some(bundle) = disk.bundle() else { return };
    // To look for other versions is to list all bands.
    if findings.iter().all(|f| f.severity < Severity::Warning) {
        return;
    }
    let bands = bundle.bands();
    let evidence = Evidence::of(disk, Box::new(Vec::new));
    if !evidence.has_alternates() {
        return;
    }
    let telling = |f: &&mut Finding| f.severity >= Severity::Warning;
    for f in findings.iter_mut().filter(telling).take(FINDINGS) {
        let mut new: Vec<String> = Vec::new();
        for (band, within) in places(&evidence, &bands, archive, f) {
            let fits = evidence.alternates(band).iter().filter(|a| a.has_data(within.clone()));
            let paths = fits.map(|a| format!("'{}'", a.path));
            let unsaid = paths.filter(|p| !f.message.contains(p) && !new.contains(p));
            let unsaid: Vec<String> = unsaid.collect();
            new.extend(unsaid);
        }
        new.truncate(NAMED);
        if !new.is_empty() {
            f.message.push_str(&format!("; {} {STANDS_IN}", new.join(", ")));
        }
    }
}

/// The parts of bands that a finding is about.
fn places(
    evidence: &Evidence,
    bands: &Bands,
    archive: Option<&Archive>,
    f: &Finding,
) -> Vec<(u64, Range<u64>)> {
    if f.place.band.is_some() {
        let Some((index, offset)) = bands.placed(&f.place) else { return Vec::new() };
        let whole = bands.range(index);
        let end = offset.saturating_add(f.place.length.unwrap_or(512)).min(whole.end);
        return vec![(index, offset - whole.start..end - whole.start)];
    }
    let here = |v: &&OpenVolume| Some(v.found.partition.number) == f.place.partition;
    let volume = archive.and_then(|a| a.open.iter().find(here));
    let node = f.place.object.filter(|_| f.code.name().starts_with("FILE-")).map(NodeId);
    match volume.zip(node) {
        Some((volume, node)) => contents((evidence, bands), volume, f, node),
        None => Vec::new(),
    }
}

/// The parts of bands with other versions in which the contents of a file lie.
fn contents(
    (evidence, bands): (&Evidence, &Bands),
    volume: &OpenVolume,
    f: &Finding,
    node: NodeId,
) -> Vec<(u64, Range<u64>)> {
    let Ok(fs) = volume.view(view_of(volume, f)) else { return Vec::new() };
    let (start, size) = (volume.found.range().start, bands.band_size());
    let streams = [Stream::Data, Stream::Resource];
    let extents = streams.iter().filter_map(|s| fs.extents(node, s).ok()).flatten();
    let stored = extents.take(PIECES).filter_map(|e| {
        let at = start.saturating_add(e.at?);
        Some(at..at.saturating_add(e.length))
    });
    let pieces = stored.flat_map(|bytes| {
        evidence.with_alternates(bytes.start / size..bytes.end.div_ceil(size)).map(move |band| {
            let whole = bands.range(band);
            let from = bytes.start.max(whole.start) - whole.start;
            let until = bytes.end.min(whole.end).saturating_sub(whole.start);
            (band, from..until.min(from.saturating_add(LOOKED_AT)))
        })
    });
    pieces.take(LOOKS).collect()
}
