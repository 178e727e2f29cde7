//! What a verification came to.

use super::SnapshotSets;
use super::circumstances::{Circumstances, soften, usual};
use super::contents::Contents;
use crate::disk::Disk;
use crate::report::words::{bytes, span};
use crate::report::{Code, DENIED, Finding, Quality, Reporter, Severity, Structure, Where};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The layer of the files' contents.
pub(super) const CONTENTS: &str = "contents";
/// That of a volume.
const VOLUME: &str = "volume";

/// The answer in one word, the better before the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was checked, and nothing above `info` was found.
    Ok,
    /// Warnings, no damage.
    Warning,
    /// No damage was found, but something that should have been checked was not; there may
    /// be warnings.
    Unchecked,
    /// The last backup is too old; no damage.
    Stale,
    /// Damage.
    Damage,
}

/// How one layer fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LayerState {
    Ok,
    /// It could not be looked into.
    Unchecked,
    Warning,
    Damage,
}

impl Verdict {
    /// `ok`, `unchecked`, `warning`, `stale` or `damage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unchecked => "unchecked",
            Self::Warning => "warning",
            Self::Stale => "stale",
            Self::Damage => "damage",
        }
    }

    /// The verdict of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Ok, Self::Unchecked, Self::Warning, Self::Stale, Self::Damage]
            .into_iter()
            .find(|v| v.as_str() == word)
    }
}

impl LayerState {
    /// From the worst finding of a layer.
    pub fn of(worst: Option<Severity>) -> Self {
        match worst {
            Some(Severity::Damage) => Self::Damage,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Info) | None => Self::Ok,
        }
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unchecked => "unchecked",
            Self::Warning => "warning",
            Self::Damage => "DAMAGE",
        }
    }
}

/// A layer that was checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Layer {
    /// `bundle`, `partitions`, `volume`.
    pub name: Cow<'static, str>,
    /// How it fared.
    pub state: LayerState,
    /// What was seen.
    pub text: String,
    /// What was found in it, by code and partition: its state follows from these.
    #[serde(skip)]
    pub(super) found: BTreeSet<Kinds>,
}

/// What kind of finding something is, and on which partition and volume.
pub(super) type Kinds = (Code, Option<u32>, Option<u32>);

/// The kind of a finding.
pub(super) fn kind(f: &Finding) -> Kinds {
    (f.code, f.place.partition, f.place.volume)
}

impl Layer {
    /// A layer of which only its state is known.
    pub(super) fn new(name: &'static str, state: LayerState, text: String) -> Self {
        Self { name: name.into(), state, text, found: BTreeSet::new() }
    }
}

/// What the last verification came to that was not skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When it ended, seconds since 1970.
    pub verified: i64,
    /// What it came to, but for the age of the backup.
    pub verdict: Verdict,
}

/// Something that was not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
    /// The caller asked for just that.
    pub asked: bool,
}

/// What a verification came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The path that was given.
    pub source: String,
    /// The answer: of a bundle that was skipped, had a quick look only, or was looked at less
    /// than when damage was found, the worse of what was found now and at its last verification.
    pub verdict: Verdict,
    /// Something that should have been checked was not.
    pub unchecked: bool,
    /// The last backup is older than the caller allows.
    pub stale: bool,
    /// It was in use, and nothing was checked that needs the volume.
    pub skipped: bool,
    /// A password was given, and it opens nothing, or it could not be had.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub wrong_password: bool,
    /// The last verification, of a bundle that was skipped, had a quick look only, or was looked
    /// at less than when damage was found.
    pub last: Option<Last>,
    /// Size of the virtual disk in bytes.
    pub size: u64,
    /// Bytes in a band, of a bundle.
    pub band_size: Option<u64>,
    /// Band files that are there, of a bundle.
    pub bands_present: Option<u64>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether a Mac was using it.
    pub busy: bool,
    /// When the last backup was completed, in seconds since 1970, if that is known.
    pub last_completed: Option<i64>,
    /// The layers in order.
    pub layers: Vec<Layer>,
    /// What was read of the files, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// What was left out.
    pub not_checked: Vec<NotChecked>,
    /// The bands beside what earlier runs read, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<super::manifest::Bands>,
    /// Findings of each severity, those left out of the list included.
    pub counts: Counts,
    /// The snapshots that findings name, each set of them once.
    #[serde(default, skip_serializing_if = "SnapshotSets::is_empty")]
    pub snapshots: SnapshotSets,
    /// The findings, worst first.
    pub findings: Vec<Finding>,
    /// More findings of a code than were kept.
    pub more: Vec<More>,
}

/// Findings of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub damage: u64,
    pub warning: u64,
    pub info: u64,
}

/// Findings of one code that were counted but not kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct More {
    /// The code.
    pub code: Code,
    /// How many more.
    pub count: u64,
}

impl Outcome {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            source: path.display().to_string(),
            verdict: Verdict::Ok,
            unchecked: false,
            stale: false,
            skipped: false,
            wrong_password: false,
            last: None,
            size: 0,
            band_size: None,
            bands_present: None,
            encrypted: false,
            busy: false,
            last_completed: None,
            layers: Vec::new(),
            contents: None,
            not_checked: Vec::new(),
            manifest: None,
            counts: Counts::default(),
            snapshots: SnapshotSets::default(),
            findings: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(super) fn describe(&mut self, disk: &Disk) {
        self.size = disk.size();
        self.band_size = disk.bundle().map(|b| b.info().band_size);
    }

    /// Note what was known before anything was looked at.
    pub(super) fn begin(&mut self, options: &super::Options, reporter: &dyn Reporter) {
        options.before.iter().for_each(|f| reporter.report(f.clone()));
        for (what, why) in &options.not_checked {
            self.skip(what, why);
        }
        if let Some((code, why)) = &options.bad_password {
            self.wrong_password = true;
            let place = Where::of(Structure::EncryptionHeader);
            reporter.report(Finding::new(*code, place, why.clone()));
        }
        self.last = options.last;
        let Some(why) = &options.leave else { return };
        (self.skipped, self.busy) = (true, true);
        let seen = match self.last {
            Some(last) => {
                let ago = span(options.now.saturating_sub(last.verified));
                format!("it was last verified {ago} ago: {}", last.verdict.as_str())
            }
            None => "it was never verified".into(),
        };
        let text = format!("{why}; its volume was not checked, {seen}");
        reporter.report(Finding::new(Code::BundleSkipped, Where::of(Structure::Bundle), text));
        self.skip("volume", why);
    }

    pub(super) fn skip(&mut self, what: &str, why: &str) {
        self.note_skipped(NotChecked { what: what.into(), why: why.into(), asked: false });
    }

    /// The outcome for a source whose examination ended before its time.
    pub fn ended(path: &Path, why: &str) -> Self {
        let mut outcome = Self::new(path);
        outcome.skip("everything", why);
        let place = Where::of(Structure::Examination);
        let finding = Finding::new(Code::ExaminationEnded, place, why);
        outcome.finish(vec![finding], Vec::new(), &Circumstances::default());
        outcome.verdict = Verdict::Unchecked;
        outcome
    }

    /// Whether its examination ended before its time.
    pub fn died(&self) -> bool {
        self.findings.iter().any(|f| f.code == Code::ExaminationEnded)
    }

    /// Drop the findings, which may take much memory; what was counted stays.
    pub fn forget(&mut self) {
        let brief = |f: &Finding| {
            let telling = [Code::ExaminationEnded, Code::BundleUnverified, Code::TmStale];
            telling.contains(&f.code)
        };
        self.findings.retain(brief);
        self.findings.shrink_to_fit();
        self.more = Vec::new();
        self.layers = Vec::new();
        self.snapshots = SnapshotSets::default();
    }

    /// One finding more, after all was summed up.
    pub fn add(&mut self, finding: Finding) {
        let n = match finding.severity {
            Severity::Damage => &mut self.counts.damage,
            Severity::Warning => &mut self.counts.warning,
            Severity::Info => &mut self.counts.info,
        };
        *n += 1;
        self.findings.push(finding);
        Finding::sort(&mut self.findings);
        self.verdict = self.verdict.max(self.found());
    }

    /// Why something could not be checked, where a better reason is known than who
    /// noted it had.
    pub(super) fn explain_skipped(&mut self, what: &str, why: &str) {
        for entry in self.not_checked.iter_mut().filter(|n| n.what == what) {
            why.clone_into(&mut entry.why);
        }
    }

    /// Zeros that stand for what is lost, or may be, were not read: so many bytes of each volume.
    pub(super) fn take_off_lost(&mut self, lost: &[u64]) {
        if let Some(contents) = self.contents.as_mut().filter(|c| c.bytes_read == c.bytes) {
            contents.bytes_read = contents.bytes_read.saturating_sub(lost.iter().sum());
        }
        // Of several volumes each layer has a part of these numbers.
        let text = self.contents.as_ref().filter(|_| lost.len() == 1).map(Contents::text);
        // A bundle has a layer that says so.
        let image = self.band_size.is_none() && lost.len() == self.count(VOLUME);
        for name in [VOLUME, CONTENTS].into_iter().filter(|name| image || *name == CONTENTS) {
            let layers = self.layers.iter_mut().filter(|l| l.name == name);
            for (layer, lost) in layers.zip(lost).filter(|(_, lost)| **lost > 0) {
                layer.found.insert((Code::BandLost, None, None));
                if name == CONTENTS {
                    layer.text = text.clone().unwrap_or_else(|| std::mem::take(&mut layer.text));
                    layer.text.push_str(&format!("; {} lost or in doubt", bytes(*lost)));
                }
            }
        }
    }

    /// How many layers of that name there are.
    fn count(&self, name: &str) -> usize {
        self.layers.iter().filter(|l| l.name == name).count()
    }

    /// Leave something out that the caller did not want.
    pub(super) fn skip_as_asked(&mut self, what: &str, why: &str) {
        self.note_skipped(NotChecked { what: what.into(), why: why.into(), asked: true });
    }

    fn note_skipped(&mut self, entry: NotChecked) {
        if !self.not_checked.contains(&entry) {
            self.not_checked.push(entry);
        }
    }

    /// Sum up.
    pub(super) fn finish(
        &mut self,
        mut findings: Vec<Finding>,
        more: Vec<(Code, u64)>,
        how: &Circumstances,
    ) {
        self.busy |= how.busy;
        for f in findings.iter_mut().filter(|f| f.message.contains(DENIED)) {
            if f.severity == Severity::Damage {
                f.severity = Severity::Warning;
                f.message.push_str(": not for this user to read, which is no damage");
            }
        }
        if how.busy {
            findings.iter_mut().for_each(|f| soften(f, how));
        }
        Finding::sort(&mut findings);
        self.grade_layers(&findings, &more, how);
        let mut counts = Counts::default();
        let mut add = |severity, n| match severity {
            Severity::Damage => counts.damage += n,
            Severity::Warning => counts.warning += n,
            Severity::Info => counts.info += n,
        };
        for f in &findings {
            add(f.severity, 1);
        }
        for (code, n) in &more {
            add(usual(*code, how), *n);
        }
        self.counts = counts;
        let mut more: BTreeMap<Code, u64> = more.into_iter().collect();
        for (code, n) in super::room::fit(&mut findings) {
            *more.entry(code).or_insert(0) += n;
        }
        self.more = more.into_iter().map(|(code, count)| More { code, count }).collect();
        self.stale = findings.iter().any(|f| is_stale(f.code, how.aged));
        self.unchecked = !self.is_complete();
        self.findings = findings;
        self.verdict = self.found();
        if self.stale {
            self.verdict = self.verdict.max(Verdict::Stale);
        }
        if self.keeps_last() {
            let last = self.last.map_or(Verdict::Unchecked, |last| last.verdict);
            self.verdict = self.verdict.max(last);
        }
    }

    /// Keep what the last verification came to, which saw more.
    pub fn keep(&mut self, last: Last) {
        self.last = Some(last);
        self.verdict = self.verdict.max(last.verdict);
    }

    /// Whether it looked at less than a verification does, and keeps the verdict of the last.
    pub fn keeps_last(&self) -> bool {
        self.skipped || self.last.is_some()
    }

    /// The verdict without the age of the last backup, which another run sees anew.
    pub fn found(&self) -> Verdict {
        let stale = self.findings.iter().filter(|f| f.code == Code::TmStale).count();
        let stale = crate::io::bytes::to_u64(stale);
        match self.counts {
            Counts { damage: 1.., .. } => Verdict::Damage,
            _ if self.unchecked && !self.skipped => Verdict::Unchecked,
            Counts { warning, .. } if warning > stale => Verdict::Warning,
            _ => Verdict::Ok,
        }
    }

    /// The codes of damage to contents that is no half-written state.
    pub fn damage(&self) -> BTreeSet<Code> {
        let listed = self.findings.iter().filter(|f| f.severity == Severity::Damage);
        let kept = |code: &Code| code.is(Quality::Contents) || code.is_of_data();
        listed.map(|f| f.code).filter(kept).collect()
    }

    /// The state of each layer follows from how its findings are graded in the end: what
    /// was lost under files, and that a Mac was at work, is known only then.
    fn grade_layers(&mut self, findings: &[Finding], more: &[(Code, u64)], how: &Circumstances) {
        for layer in &mut self.layers {
            let found = &mut layer.found;
            if layer.name == "bundle" {
                found.insert((Code::BandLost, None, None));
                let lost = findings.iter().filter(|f| f.code.is_missing_band());
                let words = match lost.map(|f| f.severity).max() {
                    Some(Severity::Damage) => ", some of the rest are lost",
                    Some(_) => ", some of the rest may be lost",
                    None => super::REST,
                };
                layer.text = layer.text.replace(super::REST, words);
            }
            if layer.name == "partitions" {
                found.insert((Code::DiskCut, None, None));
            }
            let kept = findings
                .iter()
                .filter(|f| {
                    let lost = f.code == Code::BandLost;
                    found.contains(&kind(f)) || lost && found.contains(&(f.code, None, None))
                })
                .map(|f| f.severity);
            let more = more
                .iter()
                .filter(|(code, _)| found.iter().any(|(c, ..)| c == code))
                .map(|(code, _)| usual(*code, how));
            let worst = LayerState::of(kept.chain(more).max());
            let unchecked = layer.state == LayerState::Unchecked && worst == LayerState::Ok;
            layer.state = if unchecked { layer.state } else { worst };
        }
    }

    /// Whether it was left alone because it was in use.
    pub fn skipped(&self) -> bool {
        self.skipped
    }

    /// Whether something is older than the caller allows: the backup, or of a bundle that
    /// is always in use its last verification.
    pub fn overdue(&self) -> bool {
        self.stale || self.findings.iter().any(|f| f.code == Code::BundleUnverified)
    }

    /// Whether something that was to be kept could not be.
    pub fn unwritten(&self) -> bool {
        self.findings.iter().any(|f| f.code == Code::ManifestUnwritten)
    }

    /// How many findings of each code there are, those left out of the list included.
    pub fn by_code(&self) -> BTreeMap<Code, u64> {
        let mut counts = BTreeMap::new();
        for f in &self.findings {
            *counts.entry(f.code).or_insert(0) += 1;
        }
        for more in &self.more {
            *counts.entry(more.code).or_insert(0) += more.count;
        }
        counts
    }

    /// Whether all was checked that the caller asked for.
    pub fn is_complete(&self) -> bool {
        self.not_checked.iter().all(|n| n.asked)
    }

    /// The worst severity found.
    pub fn worst(&self) -> Option<Severity> {
        match self.counts {
            Counts { damage: 1.., .. } => Some(Severity::Damage),
            Counts { warning: 1.., .. } => Some(Severity::Warning),
            Counts { info: 1.., .. } => Some(Severity::Info),
            _ => None,
        }
    }
}

/// Whether a finding says that the last backup is too old. `aged`: that there is a limit.
fn is_stale(code: Code, aged: bool) -> bool {
    code == Code::TmStale || aged && code == Code::TmNeverCompleted
}
