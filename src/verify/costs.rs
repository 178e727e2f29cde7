//! What findings cost: from places on the disk to files, and from files to the
//! snapshots they appear in.

use super::SnapshotSets;
use super::sets::SetsOf;
use crate::bundle::Bands;
use crate::error::Result;
use crate::fs::{FileSystem, Kind, NodeId, Owned, Owner};
use crate::io::{Presence, RangeSums, Ranges};
use crate::losses::{self, Evidence, Judged, Loss, Standing};
use crate::report::words;
use crate::report::{
    Affected, Code, Cost, Finding, Progress, Severity, Structure, Subject, Unit, Where,
};
use crate::timemachine::{Appearance, Appearances, OpenVolume};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

/// Files and folders that are listed in all findings together; more are counted.
const MAX_LISTED: usize = 1_000_000;
/// Bytes of their addresses, in all findings together.
const MAX_LETTERS: usize = 64 << 20;
/// Files for which other versions are looked for.
const MAX_COMPARED: usize = 20_000;
/// CNIDs below belong to the volume itself, not to a user's files.
const FIRST_USER_ID: u64 = 16;

/// A finding on a volume and what it is about.
struct Probe {
    finding: Finding,
    ranges: Vec<Range<u64>>,
    nodes: BTreeMap<NodeId, u64>,
    /// How bytes are absent and what is thought of it, of a finding that holds only if they
    /// belong to files.
    loss: Option<(Presence, Judged)>,
    /// The bytes belong to a structure of the volume.
    structure: bool,
}

/// Work out what findings on a volume cost, and add what was lost under files.
/// `findings` are all there are; those of other volumes are left as they are.
pub(super) fn attach(
    volume: &OpenVolume,
    evidence: &Evidence,
    mut losses: Vec<Loss>,
    findings: &mut Vec<Finding>,
    sets: &mut SnapshotSets,
    progress: &dyn Progress,
) -> Result<()> {
    let bytes = volume.found.range();
    let start = bytes.start;
    let (mut probes, mut others) = (Vec::new(), Vec::new());
    for finding in std::mem::take(findings) {
        match target(&finding, volume.found.partition.number, &bytes) {
            Some((ranges, node)) => probes.push(Probe {
                finding,
                ranges: ranges.map(|r| r.start - start..r.end - start).into_iter().collect(),
                nodes: node.map(|n| (n, 0)).into_iter().collect(),
                loss: None,
                structure: false,
            }),
            None => others.push(finding),
        }
    }
    let told: HashSet<String> = probes
        .iter()
        .filter(|p| p.finding.code == Code::BandMapped)
        .filter_map(|p| p.finding.place.band.clone())
        .collect();
    losses.retain(|l| l.how == Presence::Hole || !told.contains(&Bands::name(l.band)));
    let done = work_out(volume, evidence, losses, &mut probes, sets, progress);
    for mut probe in probes {
        if probe.loss.is_none() || !probe.nodes.is_empty() {
            describe(&mut probe);
            others.push(probe.finding);
        }
    }
    *findings = others;
    done
}

/// The bytes or the object of a volume that a finding is about.
fn target(
    f: &Finding,
    partition: u32,
    volume: &Range<u64>,
) -> Option<(Option<Range<u64>>, Option<NodeId>)> {
    if f.severity == Severity::Info || f.cost.is_some() {
        return None;
    }
    if f.code.info().about == Subject::Place {
        let first = f.place.offset?;
        let range = first..first.saturating_add(f.place.length.unwrap_or(1));
        let range = range.start.max(volume.start)..range.end.min(volume.end);
        return (range.start < range.end).then_some((Some(range), None));
    }
    let object = f.place.object.filter(|_| f.code.info().about == Subject::Object);
    let node = NodeId(object?);
    let here = f.place.partition == Some(partition) && node.0 >= FIRST_USER_ID;
    here.then_some((None, Some(node)))
}

fn probe_of(loss: Loss, judged: Judged, start: u64, evidence: &Evidence) -> Probe {
    let first = loss.ranges.first().map_or(0, |r| r.start);
    let last = loss.ranges.last().map_or(0, |r| r.end);
    let harmless = loss.how == Presence::Hole && judged.standing == Standing::Free;
    let code = if harmless { Code::BandHole } else { Code::BandLost };
    let place = match (loss.how, evidence.bands()) {
        (Presence::Missing, Some(bands)) => bands.place(loss.band),
        _ => {
            let place =
                Where::of(Structure::Band).band(Bands::name(loss.band)).length(last - first);
            Where { offset: Some(start + first), ..place }
        }
    };
    let finding = Finding::new(code, place, String::new());
    let (ranges, loss) = (loss.ranges, Some((loss.how, judged)));
    Probe { finding, ranges, nodes: BTreeMap::new(), loss, structure: false }
}

fn work_out(
    volume: &OpenVolume,
    evidence: &Evidence,
    losses: Vec<Loss>,
    probes: &mut Vec<Probe>,
    sets: &mut SnapshotSets,
    progress: &dyn Progress,
) -> Result<()> {
    let of_findings = probes.iter().flat_map(|p| p.ranges.iter().cloned());
    let of_losses = losses.iter().flat_map(|l| l.ranges.iter().cloned());
    let wanted = Ranges::new(of_findings.chain(of_losses).collect());
    if !wanted.is_empty() {
        progress.phase("finding the files that are hit", 0, Unit::Items);
        let mut owned = Vec::new();
        volume.volume.owners(&wanted, &volume.all_views(), progress, &mut |o| owned.push(o))?;
        owned.sort_by_key(|o| o.range.start);
        probes.extend(judge(losses, volume, evidence, &owned, progress)?);
        give(&owned, probes);
    }
    price(volume, probes, sets, progress)
}

/// What was lost, judged now that it is known whose it is. What is free of meaning is left
/// out, but that holes are told of, together.
fn judge(
    losses: Vec<Loss>,
    volume: &OpenVolume,
    evidence: &Evidence,
    owned: &[Owned],
    progress: &dyn Progress,
) -> Result<Vec<Probe>> {
    let start = volume.found.range().start;
    let fs = volume.fs();
    let (mut free, mut told): (Option<Probe>, Vec<Probe>) = (None, Vec::new());
    for loss in losses {
        progress.check()?;
        let first = loss.ranges.first().map_or(0, |r| r.start);
        let last = loss.ranges.last().map_or(0, |r| r.end);
        let mut facts = evidence.facts(&(start + first..start + last));
        facts.own(fs, owned, &loss.ranges);
        let judged = losses::decide(fs, &facts, facts.judge(loss.how));
        let (how, band) = (loss.how, Bands::name(loss.band));
        if judged.standing == Standing::Free && how != Presence::Hole {
            continue;
        }
        let same = |p: &&mut Probe| {
            let of_band = p.finding.place.band.as_ref() == Some(&band);
            of_band
                && p.loss.as_ref().is_some_and(|l| l.0 == how && l.1.standing == judged.standing)
        };
        let into = if judged.standing == Standing::Free {
            free.as_mut()
        } else {
            told.last_mut().filter(same)
        };
        match into {
            Some(probe) => probe.ranges.extend(loss.ranges),
            None if judged.standing == Standing::Free => {
                free = Some(probe_of(loss, judged, start, evidence));
            }
            None => told.push(probe_of(loss, judged, start, evidence)),
        }
    }
    told.extend(free);
    Ok(told)
}

/// Give every owner to the probes whose bytes it holds.
fn give(owned: &[Owned], probes: &mut [Probe]) {
    let longest = owned.iter().map(|o| o.range.end - o.range.start).max().unwrap_or(0);
    for probe in probes {
        let sums = RangeSums::new(&probe.ranges);
        let (Some(first), Some(last)) = (sums.first(), sums.last()) else { continue };
        let from = owned.partition_point(|o| o.range.start < first.saturating_sub(longest));
        for o in owned.get(from..).unwrap_or_default() {
            if o.range.start >= last {
                break;
            }
            let bytes = sums.below(o.range.end) - sums.below(o.range.start);
            if bytes == 0 {
                continue;
            }
            match &o.owner {
                Owner::Stream { node, .. } => {
                    *probe.nodes.entry(*node).or_insert(0) += bytes;
                }
                Owner::Structure { describes, .. } if probe.loss.is_none() => {
                    probe.structure = true;
                    probe.nodes.extend(describes.iter().map(|n| (*n, 0)));
                }
                Owner::Structure { .. } | Owner::Slack(_) => {}
            }
        }
    }
}

/// Snapshots and other versions of all files that are hit.
fn price(
    volume: &OpenVolume,
    probes: &mut [Probe],
    sets: &mut SnapshotSets,
    progress: &dyn Progress,
) -> Result<()> {
    let fs = volume.fs();
    let mut at = Appearances::new(fs, volume.backup.as_ref());
    let damaged: HashSet<NodeId> = probes
        .iter()
        .filter(|p| p.loss.as_ref().is_none_or(|l| l.1.standing != Standing::Free))
        .flat_map(|p| p.nodes.keys().copied())
        .collect();
    let sets = SetsOf::new(sets, &at);
    let mut pricing = Pricing { fs, damaged: &damaged, sets, listed: 0, letters: 0, compared: 0 };
    for probe in probes {
        let mut cost =
            Cost { of_snapshots: crate::io::bytes::to_u64(at.snapshot_count()), ..Cost::default() };
        let mut snapshots = BTreeSet::new();
        let (mut seen_sets, mut affected) = (HashSet::new(), Vec::new());
        for node in probe.nodes.keys() {
            progress.check()?;
            let seen = at.of(*node);
            // What appears alike shares its set: once is enough.
            if seen_sets.insert(seen.snapshots.as_ptr().addr()) {
                snapshots.extend(seen.snapshots.iter().copied());
            }
            pricing.add(*node, seen, &mut at, &mut cost, &mut affected);
        }
        cost.snapshots = crate::io::bytes::to_u64(snapshots.len());
        let name = |i: Option<&usize>| i.map(|i| at.snapshot_name(*i).to_owned());
        cost.first_snapshot = name(snapshots.first());
        cost.last_snapshot = name(snapshots.last());
        affected.sort_by(|a, b| a.0.cmp(&b.0));
        cost.affected = affected.into_iter().map(|(_, a)| a).collect();
        probe.finding.cost = Some(cost);
    }
    Ok(())
}

/// Orders what is hit for people: a user's files before Time Machine's own (`/.…`),
/// those in the newest snapshot first.
type Telling = (bool, std::cmp::Reverse<Option<usize>>, String);

struct Pricing<'a> {
    fs: &'a dyn FileSystem,
    damaged: &'a HashSet<NodeId>,
    sets: SetsOf<'a>,
    listed: usize,
    /// Bytes of all addresses that are listed.
    letters: usize,
    compared: usize,
}

impl Pricing<'_> {
    fn add(
        &mut self,
        node: NodeId,
        seen: Appearance,
        at: &mut Appearances<'_>,
        cost: &mut Cost,
        affected: &mut Vec<(Telling, Affected)>,
    ) {
        let folder = self.fs.metadata(node).is_ok_and(|m| m.kind == Kind::Directory);
        *(if folder { &mut cost.folders } else { &mut cost.files }) += 1;
        let mut intact = None;
        if !folder && !seen.snapshots.is_empty() && self.compared < MAX_COMPARED && !at.is_tired() {
            self.compared += 1;
            intact = at.other_version(node, &seen, &|n| self.damaged.contains(&n));
            *cost.intact_elsewhere.get_or_insert(0) += u64::from(intact.is_some());
        }
        let letters = seen.address.len() + intact.as_ref().map_or(0, String::len);
        if self.listed >= MAX_LISTED || self.letters + letters > MAX_LETTERS {
            cost.not_listed += 1;
            return;
        }
        self.listed += 1;
        self.letters += letters;
        let set = self.sets.number(&seen.snapshots);
        let own = seen.address.contains(":/.");
        let newest = std::cmp::Reverse(seen.snapshots.last().copied());
        let telling = (own, newest, seen.address.clone());
        affected.push((telling, Affected { address: seen.address, set, folder, intact }));
    }
}

/// Text and severity of what was lost, now that it is known whose it is.
fn describe(probe: &mut Probe) {
    let bytes = words::bytes(probe.nodes.values().sum());
    let band = probe.finding.place.band.clone().unwrap_or_default();
    let (how, judged) = match &probe.loss {
        None => {
            if probe.finding.code == Code::BandMapped && probe.nodes.is_empty() && !probe.structure
            {
                probe.finding.severity = Severity::Warning;
                probe.finding.message.push_str("; nothing in use lies there");
            }
            return;
        }
        Some((how, judged)) => (how, judged),
    };
    if probe.finding.code == Code::BandHole {
        probe.finding.message =
            format!("holes in bands lie under {bytes} of file data, which read as zeros");
        return;
    }
    let what = match how {
        Presence::Missing => {
            format!("band {band} is missing, but the volume has {bytes} of file data there")
        }
        Presence::Hole => format!("band {band} has holes under {bytes} of file data"),
        _ => format!("band {band} ends before {bytes} of file data that the volume has there"),
    };
    probe.finding.message = format!("{what} ({})", judged.why);
    if judged.standing == Standing::Doubtful {
        probe.finding.severity = Severity::Warning;
    }
}
