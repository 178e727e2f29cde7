//! What a verification came to.

use super::contents::Contents;
use crate::disk::Disk;
use crate::report::{Code, Finding, Quality, Severity};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What the system says where this user may not read.
const DENIED: &str = "Permission denied (os error 13)";

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing above `info`.
    Ok,
    /// Warnings, no damage.
    Warning,
    /// Damage.
    Damage,
}

/// How one layer fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LayerState {
    Ok,
    Warning,
    Damage,
}

impl Verdict {
    /// `ok`, `warning` or `damage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Damage => "damage",
        }
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
            Self::Warning => "warning",
            Self::Damage => "DAMAGE",
        }
    }
}

/// A layer that was checked.
#[derive(Debug, Clone, Serialize)]
pub struct Layer {
    /// `bundle`, `partitions`, `volume`.
    pub name: &'static str,
    /// How it fared.
    pub state: LayerState,
    /// What was seen.
    pub text: String,
}

/// Something that was not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
    /// The caller asked for just that.
    #[serde(skip)]
    pub asked: bool,
}

/// What a verification came to.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The path that was given.
    pub source: String,
    /// The answer.
    pub verdict: Verdict,
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
    /// The findings, worst first.
    pub findings: Vec<Finding>,
    /// More findings of a code than were kept.
    pub more: Vec<More>,
}

/// Findings of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub damage: u64,
    pub warning: u64,
    pub info: u64,
}

/// Findings of one code that were counted but not kept.
#[derive(Debug, Clone, Serialize)]
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
            findings: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(super) fn describe(&mut self, disk: &Disk) {
        self.size = disk.size();
        self.band_size = disk.bundle().map(|b| b.info().band_size);
    }

    pub(super) fn skip(&mut self, what: &str, why: &str) {
        self.note_skipped(NotChecked { what: what.into(), why: why.into(), asked: false });
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

    /// Sum up. `busy`: the source changed or was in use, and damage to its contents
    /// may only be a half-written state.
    pub(super) fn finish(
        &mut self,
        mut findings: Vec<Finding>,
        more: Vec<(Code, u64)>,
        busy: bool,
    ) {
        self.busy |= busy;
        for f in findings.iter_mut().filter(|f| f.message.contains(DENIED)) {
            if f.severity == Severity::Damage {
                f.severity = Severity::Warning;
                f.message.push_str(": not for this user to read, which is no damage");
            }
        }
        if busy {
            for f in &mut findings {
                if f.code.is(Quality::Contents) && f.severity == Severity::Damage {
                    f.severity = Severity::Warning;
                    f.message.push_str(" (a Mac is at work: this may be a half-written state)");
                }
            }
        }
        Finding::sort(&mut findings);
        // What was lost under files is known only after the layer was told.
        let lost = findings.iter().filter(|f| f.code == Code::BandLost).map(|f| f.severity).max();
        if let Some(layer) = self.layers.iter_mut().find(|l| l.name == "bundle") {
            layer.state = layer.state.max(LayerState::of(lost));
        }
        let mut add = |severity, n| match severity {
            Severity::Damage => self.counts.damage += n,
            Severity::Warning => self.counts.warning += n,
            Severity::Info => self.counts.info += n,
        };
        for f in &findings {
            add(f.severity, 1);
        }
        for (code, n) in &more {
            add(code.info().severity, *n);
        }
        self.more = more.into_iter().map(|(code, count)| More { code, count }).collect();
        self.findings = findings;
        self.verdict = match self.counts {
            Counts { damage: 1.., .. } => Verdict::Damage,
            Counts { warning: 1.., .. } => Verdict::Warning,
            _ => Verdict::Ok,
        };
    }

    /// Whether it was left alone because it was in use.
    pub fn skipped(&self) -> bool {
        self.findings.iter().any(|f| f.code == Code::BundleSkipped)
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
