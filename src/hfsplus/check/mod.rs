//! Find what is wrong with a volume: one file a phase, nothing stops at the
//! first finding.
//!
//! The journal is replayed in memory first, as Apple's fsck does with `-n`. The
//! conditions are those of `formats/hfsplus.md`.

mod attributes;
mod bits;
mod blocks;
mod contents;
mod header;
mod hierarchy;
mod links;
mod objects;
mod ring;
mod straddle;
mod threads;
mod totals;
mod tree;
mod tree_map;
mod unused;

use super::HfsPlus;
use super::btree::BTree;
use super::format::VolumeHeader;
use super::journal::{Journal, JournalState};
use super::shared::{Seen, Shared};
use super::spec::TreeSpec;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::report::words::{count, plural};
use crate::report::{
    Code, Finding, Ignore, Progress, Reporter, Severity, Silently, Structure, Where,
};

pub use tree::TreeSummary;

/// What was looked at.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Whether a usable volume header was found.
    pub header: Option<VolumeHeader>,
    /// The journal's state, if it could be read.
    pub journal: Option<JournalState>,
    /// The trees that were walked.
    pub trees: Vec<TreeSummary>,
    /// What could not be checked, and why.
    pub not_checked: Vec<(String, String)>,
}

impl Checked {
    /// What was seen, in a line for people.
    pub fn text(&self) -> String {
        let Some(h) = &self.header else { return "unusable".into() };
        let journal = match self.journal {
            Some(JournalState::Replayed { transactions, .. }) => {
                format!("; journal replayed in memory ({transactions} transactions)")
            }
            _ => String::new(),
        };
        let trees: Vec<String> =
            self.trees.iter().map(|t| format!("{} {}", t.name, count(t.reached.into()))).collect();
        let files = plural(h.file_count.into(), "file", "files");
        let folders = plural(h.folder_count.into(), "folder", "folders");
        let nodes = match trees.as_slice() {
            [] => String::new(),
            trees => format!("; nodes: {}", trees.join(", ")),
        };
        format!("{files}, {folders}{nodes}{journal}")
    }
}

/// Check the volume in `source`.
///
/// # Errors
/// Only [`crate::Error::Interrupted`]; everything else becomes a finding.
pub fn check(source: &Source, reporter: &dyn Reporter, progress: &dyn Progress) -> Result<Checked> {
    check_shared(&Shared::of(source.clone()), reporter, progress)
}

/// Check a volume with what its reader has read of it, or will.
///
/// # Errors
/// As for [`check`].
pub fn check_shared(
    shared: &Shared,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<Checked> {
    let mut done = Checked::default();
    let (source, Seen { journal, volume, headers }) = (shared.source(), shared.seen());
    let (Some(first), Some(journal)) = (shared.stored().usable(), journal) else {
        header::check(shared.stored(), source, reporter);
        done.not_checked.push(("volume".into(), "neither volume header is usable".into()));
        return Ok(done);
    };
    check_journal(source, first, journal, reporter);
    let replayed = matches!(journal.state, JournalState::Replayed { .. });
    done.journal = Some(journal.state.clone());
    if replayed && headers.primary.header.is_ok() {
        header::check_before_replay(shared.stored(), source, reporter);
    }
    // Everything after this, the header included, is seen through the journal.
    let header = header::check(headers, volume, reporter);
    let Some((header, trees)) = header.zip(shared.trees()) else {
        done.not_checked.push(("volume".into(), "neither volume header is usable".into()));
        return Ok(done);
    };
    header::state(&header, replayed, reporter);
    header::hints(&header, reporter);
    contents::Contents::new(volume, &header, trees, reporter, progress).check(&mut done)?;
    done.header = Some(header);
    Ok(done)
}

/// Report on the journal.
fn check_journal(
    source: &Source,
    header: &VolumeHeader,
    journal: &Journal,
    reporter: &dyn Reporter,
) {
    let place =
        |at: Option<u64>| Where::of(Structure::Journal).at(at.and_then(|o| source.locate(o)));
    let start = journal.range.as_ref().map(|r| r.start);
    for problem in &journal.problems {
        let (code, at) = match problem.lost {
            Some(at) => (Code::BandLost, Some(at)),
            None => (Code::JournalBad, start),
        };
        let finding = Finding::new(code, place(at), format!("journal: {}", problem.text));
        // Without its place the journal is no use, but the volume is as it was.
        let bad = start.is_some() || journal.unreadable;
        let severity = if bad { Severity::Damage } else { Severity::Warning };
        reporter.report(finding.severity(severity));
    }
    match journal.state {
        JournalState::Replayed { transactions, blocks } => {
            let text = format!(
                "the journal holds {transactions} unfinished transactions ({blocks} blocks); \
                 replayed in memory"
            );
            reporter.report(Finding::new(Code::JournalDirty, place(start), text));
        }
        JournalState::External => {
            let text = "the journal lies on another device and was not replayed";
            reporter.report(Finding::new(Code::JournalExternal, place(None), text));
        }
        JournalState::None | JournalState::Empty | JournalState::NeedsInit => {}
    }
    ring::check(source, header, journal, reporter);
}

impl HfsPlus {
    /// The rules of this volume's catalog.
    pub(super) fn catalog_spec(&self) -> TreeSpec {
        TreeSpec::catalog(self.catalog().folds_case(), self.header().is_hfsx())
    }

    /// Visit every sound record of the catalog; see [`scan`].
    pub(super) fn scan_catalog(
        &self,
        progress: &dyn Progress,
        visit: tree::LeafVisitor<'_>,
    ) -> Result<bool> {
        scan(&self.catalog_spec(), self.catalog().tree(), progress, visit)
    }
}

/// Visit every sound leaf record of a tree in the order of the file: node, record
/// number, bytes. What is broken is passed over without a word; returns whether
/// nothing was.
///
/// # Errors
/// Only [`Error::Interrupted`].
pub(super) fn scan(
    spec: &TreeSpec,
    tree: &BTree,
    progress: &dyn Progress,
    visit: tree::LeafVisitor<'_>,
) -> Result<bool> {
    match tree::check(spec, &**tree.file(), &Ignore, &Silently(progress), visit) {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(_) => Ok(false),
        Ok(summary) => Ok(summary.whole),
    }
}
