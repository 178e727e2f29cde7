//! What a Mac at work means for the grade of a finding.

use crate::report::{Code, Finding, Quality, Severity};
use std::collections::BTreeSet;

/// How a source was found.
#[derive(Debug, Default)]
pub struct Circumstances {
    /// It changed or was in use, and damage to its contents may only be a half-written state.
    pub busy: bool,
    /// The caller set a limit to the age of the last backup.
    pub aged: bool,
    /// Damage to its contents that was there before the Mac was at work.
    pub known: BTreeSet<Code>,
}

impl Circumstances {
    /// Whether damage of this kind may only be a half-written state.
    fn half_written(&self, code: Code) -> bool {
        self.busy && code.is(Quality::Contents) && !self.known.contains(&code)
    }
}

/// How a finding of a code is graded when nothing more is known of it.
pub fn usual(code: Code, how: &Circumstances) -> Severity {
    match code.info().severity {
        Severity::Damage if how.half_written(code) => Severity::Warning,
        other => other,
    }
}

pub fn soften(f: &mut Finding, how: &Circumstances) {
    if f.severity != Severity::Damage || !f.code.is(Quality::Contents) {
        return;
    }
    if how.half_written(f.code) {
        f.severity = Severity::Warning;
        f.message.push_str(" (a Mac is at work: this may be a half-written state)");
    } else {
        f.message.push_str(" (a Mac is at work, but the like was found before, when none was)");
    }
}
