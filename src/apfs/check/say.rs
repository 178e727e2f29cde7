//! The one way in which a broken rule is told.

use crate::apfs::object::Blocks;
use crate::report::{Finding, Reporter, Rule, Severity, Structure, Where};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How often one rule is told in a container; the rest are counted.
const MOST: u64 = 200;

/// Tells of broken rules, each so often at most. Shared by threads.
pub struct Checker<'a> {
    blocks: &'a Blocks,
    reporter: &'a dyn Reporter,
    told: Mutex<BTreeMap<Rule, Told>>,
}

/// How often a rule was broken, and the first place beyond those that were told.
#[derive(Default)]
struct Told {
    count: u64,
    more: Option<(Severity, Where)>,
}

impl<'a> Checker<'a> {
    /// Of what lies in a container; findings go to `reporter`.
    pub fn new(blocks: &'a Blocks, reporter: &'a dyn Reporter) -> Self {
        Self { blocks, reporter, told: Mutex::default() }
    }

    /// The place of a block of the container.
    pub fn place(&self, structure: Structure, block: u64) -> Where {
        let size = self.blocks.size();
        let at = block.checked_mul(size).and_then(|offset| self.blocks.source().locate(offset));
        let place = Where::of(structure).block(block);
        if at.is_some() { place.at(at).length(size) } else { place }
    }

    /// A rule is broken at a place: what was found, in a sentence that is made only if it
    /// is told.
    pub fn broken(&self, rule: Rule, place: Where, text: impl FnOnce() -> String) {
        self.broken_as(rule, rule.severity(), place, text);
    }

    /// The same with another severity, where circumstances make it milder.
    pub fn broken_as(
        &self,
        rule: Rule,
        severity: Severity,
        place: Where,
        text: impl FnOnce() -> String,
    ) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(rule).or_default();
        told.count += 1;
        if told.count > MOST {
            let worst = told.more.take();
            let milder = |(before, _): &(Severity, Where)| *before >= severity;
            told.more = Some(worst.filter(milder).unwrap_or((severity, place)));
            return;
        }
        drop(all);
        self.tell(rule, severity, place, &text());
    }

    /// How often a rule was broken so far.
    pub fn count(&self, rule: Rule) -> u64 {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&rule).map_or(0, |told| told.count)
    }

    /// Tell how often rules were broken beyond what was told.
    pub fn finish(self) {
        let all = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for (rule, told) in all {
            if let Some((severity, place)) = told.more {
                let n = crate::report::words::count(told.count - MOST);
                self.tell(rule, severity, place, &format!("the same {n} times more"));
            }
        }
    }

    fn tell(&self, rule: Rule, severity: Severity, place: Where, text: &str) {
        let finding = Finding::new(rule.code(), place, format!("{text} ({rule})"));
        self.reporter.report(finding.severity(severity));
    }
}
