//! The one way in which a broken rule is told.

use crate::apfs::object::Blocks;
use crate::error::{Error, Locus, Result};
use crate::report::{Code, Finding, Reporter, Rule, Severity, Structure, Where};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// How often one rule is told in a container; the rest are counted.
const MOST: u64 = 200;

/// Tells of broken rules, each so often at most. Shared by threads.
pub struct Checker<'a> {
    blocks: &'a Blocks,
    reporter: &'a dyn Reporter,
    /// By rule and grade: a note never hides what is worse.
    told: Mutex<BTreeMap<(Rule, Severity), Told>>,
    /// Bytes at which something was told to be unreadable.
    unreadable: Mutex<HashSet<u64>>,
    /// Blocks of nodes of all trees that name their children by block.
    nodes: Mutex<HashSet<u64>>,
}

/// How often a rule was broken, and the first place beyond those that were told.
#[derive(Default)]
struct Told {
    count: u64,
    more: Option<Where>,
}

impl<'a> Checker<'a> {
    /// Of what lies in a container; findings go to `reporter`.
    pub fn new(blocks: &'a Blocks, reporter: &'a dyn Reporter) -> Self {
        let (told, unreadable, nodes) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { blocks, reporter, told, unreadable, nodes }
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
        let told = all.entry((rule, severity)).or_default();
        told.count += 1;
        if told.count > MOST {
            told.more.get_or_insert(place);
            return;
        }
        drop(all);
        self.tell(rule, severity, place, &text());
    }

    /// A rule was broken so many times more than was told.
    pub fn more(&self, rule: Rule, severity: Severity, place: Where, n: u64) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry((rule, severity)).or_default();
        told.count = told.count.saturating_add(n);
        told.more.get_or_insert(place);
    }

    /// Something cannot be read, for an error: told once of a place. `what` begins the sentence.
    ///
    /// # Errors
    /// [`Error::Interrupted`], which is no finding.
    pub fn unreadable(&self, place: Where, what: &str, e: Error) -> Result<()> {
        let locus = match &e {
            Error::Interrupted => return Err(e),
            // Given up, or locked: not wrong.
            Error::Unsupported(_) | Error::PasswordRequired(_) => return Ok(()),
            Error::Corrupt(c) => c.place.clone(),
            _ => None,
        };
        if locus.as_ref().is_some_and(|locus| !self.is_new(locus)) {
            return Ok(());
        }
        let place = match locus {
            None => place,
            locus => place.at(locus).length(self.blocks.size()),
        };
        let text = format!("{what} cannot be read in whole: {e} ({})", rule_of(&e));
        self.reporter.report(Finding::new(Code::ApfsUnreadable, place, text));
        Ok(())
    }

    /// Whether nothing was told to be unreadable at a place before. Afterwards it was.
    pub fn is_new(&self, locus: &Locus) -> bool {
        let mut told = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(locus.offset)
    }

    /// Whether a node was in no tree before that names its children by block. Such a node is in
    /// one tree only, so that all of them together are read once.
    pub fn enters(&self, block: u64) -> bool {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).insert(block)
    }

    /// Tell how often rules were broken beyond what was told.
    pub fn finish(self) {
        let all = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for ((rule, severity), told) in all {
            if let Some(place) = told.more {
                let n = crate::report::words::count(told.count.saturating_sub(MOST));
                self.tell(rule, severity, place, &format!("the same {n} times more"));
            }
        }
    }

    fn tell(&self, rule: Rule, severity: Severity, place: Where, text: &str) {
        let finding = Finding::new(rule.code(), place, format!("{text} ({rule})"));
        self.reporter.report(finding.severity(severity));
    }
}

/// Between what is wrong with a node and what is lost with it.
pub const WITH_IT: &str = "; with it records of ";

/// What readers say of what they refuse, and the rule that is broken then.
const REFUSED: &[(&str, Rule)] = &[
    ("its checksum is", Rule::A040),
    ("is all zeros", Rule::A040),
    ("another state of it", Rule::A094),
    ("newer than the container", Rule::A042),
    ("the checkpoint has no object", Rule::A021),
    ("is a node of another tree", Rule::A065),
    ("is stored in another way", Rule::A044),
    ("is an object of type", Rule::A043),
    ("is object ", Rule::A041),
    ("do not lie in the container", Rule::A045),
    ("past the end of what there is", Rule::A045),
    ("object map has no object", Rule::A093),
    ("contradict each other", Rule::A063),
    ("has no entries, but level", Rule::A063),
    ("is deeper than any tree is", Rule::A063),
    ("below a node of level", Rule::A063),
    ("disagree on whether it is a root", Rule::A064),
    ("its hash is not", Rule::A074),
    ("do not fit into a table", Rule::A053),
    ("has no entries", Rule::A054),
    ("does not lie in the node", Rule::A055),
    ("is not in order", Rule::A061),
    ("of fixed size in a tree", Rule::A066),
    ("says that nodes have", Rule::A068),
    ("has no child", Rule::A077),
    ("that must be known, its copy", Rule::A027),
    ("no superblock in it is sound", Rule::A006),
    ("checkpoint area", Rule::A005),
];

/// The rule that what cannot be read breaks.
pub fn rule_of(e: &Error) -> Rule {
    // Names of files say nothing of it.
    let text = e.to_string();
    let text = text.split(WITH_IT).next().unwrap_or_default();
    REFUSED.iter().find(|(words, _)| text.contains(words)).map_or(Rule::A079, |(_, rule)| *rule)
}
