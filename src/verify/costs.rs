//! What findings cost: from places on the disk to files, and from files to the
//! snapshots they appear in.

use super::SnapshotSets;
use super::room::letters;
use super::sets::SetsOf;
use crate::bundle::Bands;
use crate::error::Result;
use crate::fs::{Kind, NodeId, Owned, Owner, ViewId, Views};
use crate::io::{Presence, RangeSums, Ranges, ReadAt};
use crate::losses::{self, Around, Evidence, Judged, Loss, Standing};
use crate::report::words;
use crate::report::{
    Affected, Code, Cost, Finding, Progress, Severity, Structure, Subject, Unit, Where,
};
use crate::timemachine::{Appearance, OpenVolume, Sightings};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

/// Files and folders that are listed in all findings together; more are counted.
const MAX_LISTED: usize = 1_000_000;
/// Bytes of their addresses as JSON, in all findings together.
const MAX_LETTERS: usize = 48 << 20;
/// Files for which other versions are looked for.
const MAX_COMPARED: usize = 20_000;
/// CNIDs below belong to the volume itself, not to a user's files.
const FIRST_USER_ID: u64 = 16;

/// What is hit of an object: bytes, and the views that see them.
#[derive(Debug, Clone, Default)]
struct Hit {
    bytes: u64,
    views: Views,
}

impl Hit {
    fn add(&mut self, bytes: u64, views: &Views) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.views != *views {
            self.views = self.views.union(views);
        }
    }
}

/// A finding on a volume and what it is about.
struct Probe {
    finding: Finding,
    ranges: Vec<Range<u64>>,
    nodes: BTreeMap<NodeId, Hit>,
    /// How bytes are absent and what is thought of it, of a finding that holds only if they
    /// belong to files.
    loss: Option<(Presence, Judged)>,
    /// The band, or the part of an image, in which that is.
    band: u64,
    /// The bytes belong to a structure of the volume.
    structure: bool,
}

impl Probe {
    /// Whether bytes of files are lost in it, or may be.
    fn is_loss(&self) -> bool {
        self.loss.as_ref().is_some_and(|l| l.1.standing > Standing::Free)
    }

    /// Bytes of files that are hit.
    fn bytes(&self) -> u64 {
        self.nodes.values().map(|h| h.bytes).sum()
    }
}

/// Work out what findings on a volume cost, and add what was lost under files.
/// `findings` are all there are; those of other volumes are left as they are. Returns how many
/// bytes of files are lost or may be.
pub(super) fn attach(
    volume: &OpenVolume,
    evidence: &Evidence,
    mut losses: Vec<Loss>,
    findings: &mut Vec<Finding>,
    sets: &mut SnapshotSets,
    progress: &dyn Progress,
) -> Result<u64> {
    let bytes = volume.found.range();
    let start = bytes.start;
    let (mut probes, mut others) = (Vec::new(), Vec::new());
    for finding in std::mem::take(findings) {
        let several = volume.all_views().count() > 1;
        match target(&finding, volume.found.partition.number, &bytes, several) {
            Some((ranges, node)) => probes.push(Probe {
                ranges: ranges.map(|r| r.start - start..r.end - start).into_iter().collect(),
                nodes: node.map(|n| (n, seen_in(volume, n, &finding))).into_iter().collect(),
                finding,
                loss: None,
                band: 0,
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
    let lost = probes.iter().filter(|p| p.is_loss()).map(Probe::bytes).sum();
    for mut probe in probes {
        if probe.loss.is_none() || !probe.nodes.is_empty() {
            describe(&mut probe);
            others.push(probe.finding);
        }
    }
    *findings = others;
    done.map(|()| lost)
}

/// The bytes or the object of a volume that a finding is about.
fn target(
    f: &Finding,
    partition: u32,
    volume: &Range<u64>,
    several_views: bool,
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
    // What views share was read as one file's: the place tells whose it is as well.
    let shared = f.place.offset.filter(|at| several_views && volume.contains(at));
    here.then_some((shared.map(|at| at..at + 1), Some(node)))
}

/// The views in which an object is as it was found.
fn seen_in(volume: &OpenVolume, node: NodeId, finding: &Finding) -> Hit {
    let all = volume.all_views();
    let only = |view| Hit { bytes: 0, views: Views::one(view) };
    if all.count() <= 1 {
        return only(ViewId::LIVE);
    }
    let at = view_of(volume, finding);
    let state =
        |view| {
            let fs = volume.view(view).ok()?;
            match fs.same(node).ok()? {
                Some(id) => Some(id.0),
                // Of folders and links it is enough when they were changed.
                None => fs.metadata(node).ok()?.times.changed.map(|t| {
                    u128::from(t.seconds.cast_unsigned()) << 32 | u128::from(t.nanoseconds)
                }),
            }
        };
    let Some(wanted) = state(at) else { return only(at) };
    Hit { bytes: 0, views: all.iter().filter(|v| state(*v) == Some(wanted)).collect() }
}

/// The view of a volume that a finding was made in.
pub(super) fn view_of(volume: &OpenVolume, finding: &Finding) -> ViewId {
    let views = volume.volume.views().unwrap_or_default();
    let found = |xid| views.iter().find(|v| v.id != ViewId::LIVE && v.number == xid);
    finding.place.snapshot.and_then(found).map_or(ViewId::LIVE, |v| v.id)
}

fn probe_of(loss: Loss, judged: Judged, start: u64, evidence: &Evidence) -> Probe {
    let first = loss.ranges.first().map_or(0, |r| r.start);
    let last = loss.ranges.last().map_or(0, |r| r.end);
    let harmless = loss.how == Presence::Hole && judged.standing == Standing::Free;
    let code = match loss.how {
        Presence::Unreadable => Code::DiskNotRescued,
        _ if harmless => Code::BandHole,
        _ => Code::BandLost,
    };
    let place = match (loss.how, evidence.bands()) {
        (Presence::Missing, Some(bands)) => bands.place(loss.band),
        (Presence::Unreadable, _) | (_, None) => Where {
            offset: Some(start + first),
            ..Where::of(Structure::DiskImage).length(last - first)
        },
        _ => {
            let place =
                Where::of(Structure::Band).band(Bands::name(loss.band)).length(last - first);
            Where { offset: Some(start + first), ..place }
        }
    };
    let finding = Finding::new(code, place, String::new());
    let (band, ranges, loss) = (loss.band, loss.ranges, Some((loss.how, judged)));
    Probe { finding, ranges, nodes: BTreeMap::new(), loss, band, structure: false }
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
    let view = |view| volume.view(view).ok();
    let zeros = volume.volume.zeros();
    let bytes = volume.volume.bytes();
    let mut around = Around::default();
    let (mut free, mut told): (Option<Probe>, Vec<Probe>) = (None, Vec::new());
    for loss in losses {
        progress.check()?;
        let first = loss.ranges.first().map_or(0, |r| r.start);
        let last = loss.ranges.last().map_or(0, |r| r.end);
        let mut facts = evidence.facts(&(start + first..start + last));
        facts.zeros = zeros;
        facts.own(&view, owned, &loss.ranges);
        let at = (&**bytes as &dyn ReadAt, start);
        around.look(&mut facts, &view, evidence, at, (&loss.ranges, loss.how));
        let judged = losses::decide(&view, &facts, loss.how, facts.judge(loss.how));
        let (how, band) = (loss.how, loss.band);
        // That an image has holes for zeros is nothing to speak of.
        let spoken = how == Presence::Hole && evidence.bands().is_some();
        if judged.standing == Standing::Free && !spoken {
            continue;
        }
        let same = |p: &&mut Probe| {
            p.band == band
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
                    probe.nodes.entry(*node).or_default().add(bytes, &o.views);
                }
                Owner::Structure { describes, .. } if probe.loss.is_none() => {
                    probe.structure = true;
                    for node in describes {
                        probe.nodes.entry(*node).or_default().add(0, &o.views);
                    }
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
    let mut at = Sightings::new(volume);
    let mut damaged: HashMap<NodeId, Hit> = HashMap::new();
    let lost = |p: &&Probe| p.loss.as_ref().is_none_or(|l| l.1.standing != Standing::Free);
    for (node, hit) in probes.iter().filter(lost).flat_map(|p| &p.nodes) {
        damaged.entry(*node).or_default().add(0, &hit.views);
    }
    let sets = SetsOf::new(sets, &at);
    let mut pricing = Pricing { damaged: &damaged, sets, listed: 0, letters: 0, compared: 0 };
    for probe in probes {
        let mut cost =
            Cost { of_snapshots: crate::io::bytes::to_u64(at.snapshot_count()), ..Cost::default() };
        let mut snapshots = BTreeSet::new();
        let (mut seen_sets, mut affected) = (HashSet::new(), Vec::new());
        for (node, hit) in &probe.nodes {
            progress.check()?;
            let seen = at.of(*node, &hit.views);
            // What appears alike shares its set: once is enough.
            if seen_sets.insert(seen.snapshots.as_ptr().addr()) {
                snapshots.extend(seen.snapshots.iter().copied());
            }
            pricing.add((*node, &hit.views), seen, &mut at, &mut cost, &mut affected);
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
    damaged: &'a HashMap<NodeId, Hit>,
    sets: SetsOf<'a>,
    listed: usize,
    /// Bytes of all addresses that are listed.
    letters: usize,
    compared: usize,
}

impl Pricing<'_> {
    fn add(
        &mut self,
        (node, views): (NodeId, &Views),
        seen: Appearance,
        at: &mut Sightings<'_>,
        cost: &mut Cost,
        affected: &mut Vec<(Telling, Affected)>,
    ) {
        let folder = at.metadata(node, views).is_some_and(|m| m.kind == Kind::Directory);
        *(if folder { &mut cost.folders } else { &mut cost.files }) += 1;
        let mut intact = None;
        if !folder && !seen.snapshots.is_empty() && self.compared < MAX_COMPARED && !at.is_tired() {
            self.compared += 1;
            let damaged = |view, n| self.damaged.get(&n).is_some_and(|h| h.views.contains(view));
            intact = at.other_version(node, &seen, &damaged);
            *cost.intact_elsewhere.get_or_insert(0) += u64::from(intact.is_some());
        }
        let wanted = letters(&seen.address) + intact.as_deref().map_or(0, letters);
        if self.listed >= MAX_LISTED || self.letters + wanted > MAX_LETTERS {
            cost.not_listed += 1;
            return;
        }
        self.listed += 1;
        self.letters += wanted;
        let set = self.sets.number(&seen.snapshots);
        let own = seen.address.contains(":/.");
        let newest = std::cmp::Reverse(seen.snapshots.last().copied());
        let telling = (own, newest, seen.address.clone());
        affected.push((telling, Affected { address: seen.address, set, folder, intact }));
    }
}

/// Text and severity of what was lost, now that it is known whose it is.
fn describe(probe: &mut Probe) {
    let bytes = words::bytes(probe.bytes());
    let band = probe.finding.place.band.as_ref();
    let band = band.map_or("the image".to_owned(), |band| format!("band {band}"));
    let of_image = probe.finding.place.band.is_none();
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
    if *how == Presence::Unreadable {
        probe.finding.message =
            format!("{bytes} of file data lie where ddrescue could not read the disk (--bad-map)");
        return;
    }
    let what = match how {
        Presence::Missing if of_image => {
            format!("the image stores nothing where the volume has {bytes} of file data")
        }
        Presence::Missing => {
            format!("{band} is missing, but the volume has {bytes} of file data there")
        }
        Presence::Hole => format!("{band} has holes under {bytes} of file data"),
        _ => format!("{band} ends before {bytes} of file data that the volume has there"),
    };
    probe.finding.message = format!("{what} ({})", judged.why);
    if judged.standing == Standing::Doubtful {
        probe.finding.severity = Severity::Warning;
    }
}
