//! Watching over a volume: what to think of its absent bytes, found out once for each run.

mod stream;

use super::around::Around;
use super::evidence::{Evidence, Run};
use super::rule::{Facts, Judged};
use crate::error::{BandLocus, Error, Lost, Result};
use crate::fs::{FileSystem, Owned, ViewId, Views, Volume};
use crate::io::{Presence, Ranges, ReadAt, Source};
use crate::report::NoProgress;
use crate::timemachine::OpenVolume;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
pub use stream::{Doubt, Guarded, Watched};
pub(super) use stream::{add, zero_runs};

/// Runs that are kept in mind: a large disk may have very small bands.
const MAX_KNOWN: usize = 1 << 16;

/// What is given for lost bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// [`Error::Lost`].
    #[default]
    Fail,
    /// Zeros; the stream tells of it ([`Guarded::doubt`]).
    Zeros,
}

/// Watches over the streams of a volume.
pub struct Guard {
    evidence: Arc<Evidence>,
    policy: Policy,
    volume: Arc<dyn Volume>,
    view: ViewId,
    /// All of the volume's: what others have in a run tells of what it was.
    views: Views,
    fs: Arc<dyn FileSystem>,
    bytes: Source,
    /// The first byte of these on the disk.
    start: u64,
    surveyed: Mutex<Survey>,
}

/// What is said of the lost bytes of a file that is compressed: what they decompress to is lost
/// as well, whatever stands for them.
pub const NO_ZEROS: &str = "; of a compressed file zeros are no part";

/// What is known so far of runs of absent bytes, by their first byte.
#[derive(Default)]
struct Survey {
    judged: Known,
    /// The same of all that lies in a run, the volume's own records included.
    whole: Known,
    passes: u32,
    owned: Vec<Owned>,
    of: Ranges,
    around: Around,
}

type Known = BTreeMap<u64, (Run, Judged)>;

/// Called with absent bytes of the volume, the run they are in, and what is thought of it.
type RunVisitor<'a> = &'a mut dyn FnMut(Range<u64>, &Run, &Judged) -> Result<()>;

/// Keep what was found of a run in mind.
fn keep(known: &mut Known, run: &Run, judged: &Judged) {
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    known.insert(run.range.start, (run.clone(), judged.clone()));
}

impl Guard {
    /// Watch over a volume's live view, with what is known of its bundle.
    pub fn new(volume: &OpenVolume, evidence: Arc<Evidence>, policy: Policy) -> Arc<Self> {
        Self::of_view(volume, ViewId::LIVE, volume.live.clone(), evidence, policy)
    }

    /// Watch over another view of a volume.
    pub fn of_view(
        volume: &OpenVolume,
        view: ViewId,
        fs: Arc<dyn FileSystem>,
        evidence: Arc<Evidence>,
        policy: Policy,
    ) -> Arc<Self> {
        let bytes = volume.volume.bytes().clone();
        let start = bytes.locate(0).map_or(0, |p| p.offset);
        let (views, volume) = (volume.all_views(), volume.volume.clone());
        Arc::new(Self {
            evidence,
            policy,
            volume,
            view,
            views,
            fs,
            bytes,
            start,
            surveyed: Mutex::default(),
        })
    }

    /// What to think of the absent bytes of the volume around `offset`, whosever they are;
    /// `None` if they are stored.
    ///
    /// # Errors
    /// Of reading what is needed to tell.
    pub(super) fn standing_at(&self, offset: u64) -> Result<Option<(Run, Judged)>> {
        let mut survey = self.surveyed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = survey.whole.range(..=offset).next_back()
            && known.0.range.contains(&offset)
        {
            return Ok(Some(known.clone()));
        }
        let Some(run) = self.evidence.run(&*self.bytes, self.start, offset)? else {
            return Ok(None);
        };
        let mut wanted = Vec::new();
        if !survey.has(&run.range) {
            // Whoever reads a disk reads all of it.
            self.bytes.presence(0..self.bytes.len(), &mut |part, how| {
                if how.is_absent() {
                    wanted.push(part);
                }
            })?;
            self.own(&mut survey, Ranges::new(wanted))?;
        }
        let range = std::slice::from_ref(&run.range);
        let mut facts = self.evidence.facts(&self.on_disk(&run));
        facts.zeros = self.volume.zeros();
        facts.own(&|view| self.opened(view), &survey.owned, range);
        self.look_around(&mut survey, &mut facts, range, run.how);
        let judged = facts.judge_all(run.how);
        keep(&mut survey.whole, &run, &judged);
        Ok(Some((run, judged)))
    }

    fn on_disk(&self, run: &Run) -> Range<u64> {
        self.start + run.range.start..self.start + run.range.end
    }

    /// Find out who has bytes in these ranges, with one pass over the catalog.
    fn own(&self, survey: &mut Survey, wanted: Ranges) -> Result<()> {
        let mut owned = Vec::new();
        self.volume.owners(&wanted, &self.views, &NoProgress, &mut |o| owned.push(o))?;
        owned.sort_by_key(|o| o.range.start);
        (survey.owned, survey.of) = (owned, wanted);
        Ok(())
    }

    pub(super) fn describe(&self, run: &Run) -> String {
        self.evidence.describe(&self.on_disk(run), run.how)
    }

    fn lost(&self, volume_offset: u64, range: Range<u64>, why: String) -> Error {
        let band = self.band(volume_offset);
        Error::Lost(Box::new(Lost { what: String::new(), range, band, why }))
    }

    fn band(&self, volume_offset: u64) -> Option<BandLocus> {
        self.bytes.locate(volume_offset)?.band
    }

    /// The parts of the volume that files have and no band stores.
    fn absent(&self, wanted: &Ranges) -> Result<Ranges> {
        let mut absent = Vec::new();
        for range in self.volume.allocated(wanted)?.iter() {
            self.bytes.presence(range.clone(), &mut |part, how| {
                if how.is_absent() {
                    absent.push(part);
                }
            })?;
        }
        Ok(Ranges::new(absent))
    }

    /// What to think of the absent bytes around `offset`, which a stream of `node` has, whose
    /// extents these are.
    fn judge(&self, offset: u64, of: &Guarded) -> Result<Option<(Run, Judged)>> {
        let mut survey = self.surveyed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = survey.judged.range(..=offset).next_back()
            && known.0.range.contains(&offset)
        {
            return Ok(Some(known.clone()));
        }
        let Some(run) = self.evidence.run(&*self.bytes, self.start, offset)? else {
            return Ok(None);
        };
        let mut facts = self.evidence.facts(&self.on_disk(&run));
        facts.zeros = self.volume.zeros();
        let range = run.range.clone();
        if of.holds_all(&range) {
            // The common case, and no pass over the catalog.
            let view = Views::one(self.view);
            facts.stream(of.node, &of.stream, &view, range.end - range.start);
        } else {
            self.survey(&mut survey, &range)?;
            facts.own(&|view| self.opened(view), &survey.owned, std::slice::from_ref(&range));
        }
        self.look_around(&mut survey, &mut facts, &[range], run.how);
        let judged = facts.judge(run.how);
        keep(&mut survey.judged, &run, &judged);
        Ok(Some((run, judged)))
    }

    /// Judge absent bytes of the volume that a stream has in one piece: each run in them has
    /// its own facts.
    fn runs(&self, of: &Guarded, part: Range<u64>, visit: RunVisitor<'_>) -> Result<()> {
        let mut at = part.start;
        while at < part.end {
            let Some((run, judged)) = self.judge(at, of)? else { break };
            let end = self.reach(&run, &part).clamp(at + 1, part.end);
            visit(at..end, &run, &judged)?;
            at = end;
        }
        Ok(())
    }

    /// How far the facts of a run go for what follows it in a part that one stream has: behind
    /// a run that is the stream's alone, as long as nothing more is known of a band.
    fn reach(&self, run: &Run, part: &Range<u64>) -> u64 {
        let end = run.range.end;
        if run.range.start < part.start || end >= part.end {
            return end;
        }
        let disk = self.start + run.range.start..self.start + part.end;
        self.evidence.unknown_until(&disk).saturating_sub(self.start).max(end)
    }

    fn look_around(
        &self,
        survey: &mut Survey,
        facts: &mut Facts,
        range: &[Range<u64>],
        how: Presence,
    ) {
        let at = (&*self.bytes as &dyn ReadAt, self.start);
        survey.around.look(facts, &|view| self.opened(view), &self.evidence, at, (range, how));
    }

    fn opened(&self, view: ViewId) -> Option<Arc<dyn FileSystem>> {
        if view == self.view {
            return Some(self.fs.clone());
        }
        self.volume.clone().open(view).ok()
    }

    /// Find out who has bytes in a run. That takes a pass over the catalog, so from the
    /// second run on all that is absent on the volume is looked up at once.
    fn survey(&self, survey: &mut Survey, run: &Range<u64>) -> Result<()> {
        if survey.has(run) {
            return Ok(());
        }
        survey.passes += 1;
        let mut wanted = vec![run.clone()];
        if survey.passes == 2 {
            wanted.extend(self.absent(&Ranges::one(0..self.bytes.len()))?.iter().cloned());
        }
        self.own(survey, Ranges::new(wanted))
    }
}

impl Survey {
    /// Whether it is known who has bytes in a run.
    fn has(&self, run: &Range<u64>) -> bool {
        self.of.meet(run.clone()).map(|r| r.end - r.start).sum::<u64>() == run.end - run.start
    }
}
