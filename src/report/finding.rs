//! A thing that is wrong, and who listens for it.

use super::{Code, Where};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to do.
    Info,
    /// Not damage yet, or damage that costs nothing.
    Warning,
    /// Something is lost or structurally wrong.
    Damage,
}

impl Severity {
    /// `info`, `warning` or `damage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Damage => "damage",
        }
    }
}

/// What a finding costs, in files and snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// How many files are hit.
    pub files: u64,
    /// How many folders, with all that is in them.
    pub folders: u64,
    /// In how many snapshots they appear.
    pub snapshots: u64,
    /// How many snapshots there are.
    pub of_snapshots: u64,
    /// The oldest and the newest of the snapshots that are hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_snapshot: Option<String>,
    /// See there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_snapshot: Option<String>,
    /// Of how many files another snapshot holds another version, as far as known
    /// an intact one. Absent where there is nothing to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intact_elsewhere: Option<u64>,
    /// The files and folders: a user's before Time Machine's own, those in the newest
    /// snapshot first.
    pub affected: Vec<Affected>,
    /// How many more there are that are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_listed: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A file or folder that a finding hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// Its address in the newest snapshot it appears in, if possible a completed one:
    /// `SNAPSHOT:/PATH`, or
    /// `volume:/PATH`.
    pub address: String,
    /// The snapshots it appears in: which of the outcome's sets they are. `None` where
    /// there are too many sets to tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<u32>,
    /// Whether it is a folder, which then takes all that is in it along.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub folder: bool,
    /// The address of another version that is not hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intact: Option<String>,
}

/// A thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing; stable from release to release.
    pub code: Code,
    /// How bad it is here (by default what the code says).
    pub severity: Severity,
    /// Where it is.
    #[serde(rename = "where")]
    pub place: Where,
    /// One sentence: what was found and what was expected.
    pub message: String,
    /// One sentence: what to do.
    pub remedy: &'static str,
    /// What it costs, where that was worked out.
    #[serde(skip_serializing_if = "Option::is_none", rename = "costs")]
    pub cost: Option<Cost>,
}

/// A finding as one process tells another: the remedy follows from the code.
#[derive(Deserialize)]
struct Told {
    code: Code,
    severity: Severity,
    #[serde(rename = "where")]
    place: Where,
    message: String,
    #[serde(rename = "costs", default)]
    cost: Option<Cost>,
}

impl<'de> Deserialize<'de> for Finding {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Told { code, severity, place, message, cost } = Told::deserialize(d)?;
        Ok(Self { severity, cost, ..Self::new(code, place, message) })
    }
}

impl Finding {
    /// A finding of the code's usual severity.
    pub fn new(code: Code, place: Where, message: impl Into<String>) -> Self {
        let info = code.info();
        let (severity, remedy) = (info.severity, info.remedy);
        Self { code, severity, place, message: message.into(), remedy, cost: None }
    }

    /// Put findings into the order in which they are told: worst first, then by code
    /// and place.
    pub fn sort(findings: &mut [Self]) {
        findings.sort_by_cached_key(|f| {
            (
                std::cmp::Reverse(f.severity),
                f.code,
                f.place.offset,
                f.place.object,
                f.message.clone(),
            )
        });
    }

    /// The same with another severity.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Listens for findings. Called from several threads.
pub trait Reporter: Sync {
    /// Take one finding.
    fn report(&self, finding: Finding);
}

/// Listens to nothing.
pub struct Ignore;

impl Reporter for Ignore {
    fn report(&self, _: Finding) {}
}

/// Passes findings on and remembers how bad the worst was.
pub struct Worst<'a> {
    inner: &'a dyn Reporter,
    worst: Mutex<Option<Severity>>,
}

impl<'a> Worst<'a> {
    /// Of what goes on to `inner`.
    pub fn of(inner: &'a dyn Reporter) -> Self {
        Self { inner, worst: Mutex::new(None) }
    }

    /// How bad the worst was so far.
    pub fn seen(&self) -> Option<Severity> {
        *self.worst.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Worst<'_> {
    fn report(&self, finding: Finding) {
        let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = (*worst).max(Some(finding.severity));
        drop(worst);
        self.inner.report(finding);
    }
}

/// Keeps findings, at most so many of one code; the rest are counted.
pub struct Collector {
    per_code: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    findings: Vec<Finding>,
    counts: HashMap<Code, u64>,
}

impl Collector {
    /// Findings of one code that are kept unless told otherwise; the rest are
    /// only counted, so that a ruined volume cannot fill the memory.
    pub const PER_CODE: usize = 1000;

    /// Keep at most `per_code` findings of each code.
    pub fn new(per_code: usize) -> Self {
        Self { per_code, kept: Mutex::default() }
    }

    /// What was collected: findings, worst first and else in the order of their
    /// code and place, and how many more of each code were left out.
    pub fn into_findings(self) -> (Vec<Finding>, Vec<(Code, u64)>) {
        let kept = self.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut findings = kept.findings;
        Finding::sort(&mut findings);
        let cap = u64::try_from(self.per_code).unwrap_or(u64::MAX);
        let mut more: Vec<_> = kept
            .counts
            .into_iter()
            .filter(|(_, n)| *n > cap)
            .map(|(code, n)| (code, n - cap))
            .collect();
        more.sort_unstable();
        (findings, more)
    }

    /// Whether something of that kind was reported and kept.
    pub fn any(&self, of: impl Fn(&Finding) -> bool) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).findings.iter().any(of)
    }

    /// The places of what was reported of a code and kept.
    pub fn places_of(&self, code: Code) -> Vec<Where> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.findings.iter().filter(|f| f.code == code).map(|f| f.place.clone()).collect()
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).findings.is_empty()
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self::new(Self::PER_CODE)
    }
}

impl Reporter for Collector {
    fn report(&self, finding: Finding) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let count = kept.counts.entry(finding.code).or_insert(0);
        *count += 1;
        if usize::try_from(*count).is_ok_and(|n| n <= self.per_code) {
            kept.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Structure;

    #[test]
    fn a_collector_keeps_the_worst_first_and_counts_the_rest() {
        let c = Collector::new(2);
        for i in 0..5 {
            c.report(Finding::new(Code::BandStray, Where::of(Structure::Bands), format!("{i}")));
        }
        c.report(Finding::new(Code::BandNotFile, Where::of(Structure::Bands), "x"));
        let (kept, more) = c.into_findings();
        assert_eq!(kept.len(), 3);
        assert_eq!(kept[0].code, Code::BandNotFile);
        assert_eq!(more, [(Code::BandStray, 3)]);
    }
}
