//! Find what is wrong with a volume: one file a phase, nothing stops at the
//! first finding.
//!
//! The journal is replayed in memory first, as Apple's fsck does with `-n`. The
//! conditions are those of `formats/hfsplus.md`.

mod header;
mod spec;
mod tree;

use super::btree::read_header;
use super::extents::{ForkType, runs_of};
use super::fork::ForkReader;
use super::format::{
    ATTRIBUTES_FILE, CATALOG_FILE, EXTENTS_FILE, ForkData, VolumeHeader,
};
use super::journal::{Journal, JournalState};
use crate::error::{Error, Result};
use crate::io::Source;
use crate::report::{Code, Finding, Progress, Reporter, Where};
use spec::TreeSpec;
use std::sync::Arc;

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

/// Check the volume in `source`.
///
/// # Errors
/// Only [`Error::Interrupted`]; everything else becomes a finding.
pub fn check(source: &Source, reporter: &dyn Reporter, progress: &dyn Progress) -> Result<Checked> {
    let mut done = Checked::default();
    let Some(first) = header::usable(source) else {
        header::check(source, reporter);
        done.not_checked.push(("volume".into(), "neither volume header is usable".into()));
        return Ok(done);
    };
    let volume = check_journal(source, &first, reporter, &mut done);
    // Everything after this, the header included, is seen through the journal.
    let Some(header) = header::check(&volume, reporter) else {
        done.not_checked.push(("volume".into(), "neither volume header is usable".into()));
        return Ok(done);
    };
    let trees = Trees { volume: &volume, header: &header, reporter, progress };
    let extents_file = trees.file(&header.extents_file, EXTENTS_FILE, None);
    trees.check(TreeSpec::extents(), extents_file, &mut done)?;
    // The catalog may need the extents file to be found at all.
    let extents = super::volume::open_extents_plain(&volume, &header);
    let catalog = trees.file(&header.catalog_file, CATALOG_FILE, extents.as_ref());
    let folds = catalog
        .as_ref()
        .ok()
        .and_then(|f| read_header(&**f, "catalog").ok())
        .is_none_or(|h| !(header.is_hfsx() && h.key_compare_type == 0xBC));
    trees.check(TreeSpec::catalog(folds), catalog, &mut done)?;
    if header.attributes_file.total_blocks > 0 {
        let attributes = trees.file(&header.attributes_file, ATTRIBUTES_FILE, extents.as_ref());
        trees.check(TreeSpec::attributes(), attributes, &mut done)?;
    }
    done.header = Some(header);
    Ok(done)
}

/// Read the journal, report on it, and lay it over the volume.
fn check_journal(
    source: &Source,
    header: &VolumeHeader,
    reporter: &dyn Reporter,
    done: &mut Checked,
) -> Source {
    let journal = match Journal::read(&**source, header) {
        Ok(journal) => journal,
        Err(e) => {
            let text = format!("the journal cannot be read: {e}");
            reporter.report(Finding::new(Code::JournalBad, Where::of("journal"), text));
            return source.clone();
        }
    };
    let place = |at: Option<u64>| Where::of("journal").at(at.and_then(|o| source.locate(o)));
    let start = journal.range.as_ref().map(|r| r.start);
    for problem in &journal.problems {
        reporter.report(Finding::new(Code::JournalBad, place(start), format!("journal: {problem}")));
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
    let volume = journal.overlay(source.clone());
    done.journal = Some(journal.state);
    volume
}

struct Trees<'a> {
    volume: &'a Source,
    header: &'a VolumeHeader,
    reporter: &'a dyn Reporter,
    progress: &'a dyn Progress,
}

impl Trees<'_> {
    fn file(
        &self,
        fork: &ForkData,
        cnid: u32,
        extents: Option<&super::btree::BTree>,
    ) -> Result<Arc<ForkReader>> {
        let runs = runs_of(extents, cnid, ForkType::Data, fork)?;
        let size = fork.logical_size;
        let (volume, block) = (self.volume.clone(), self.header.block_size);
        Ok(Arc::new(ForkReader::new(volume, block, size, runs, "B-tree file")))
    }

    fn check(
        &self,
        spec: TreeSpec,
        file: Result<Arc<ForkReader>>,
        done: &mut Checked,
    ) -> Result<()> {
        let name = spec.name;
        let file = match file {
            Ok(file) => file,
            Err(e) => {
                let text = format!("the {name} file cannot be read: {e}");
                self.reporter.report(Finding::new(Code::BtreeUnreadable, Where::of(name), text));
                done.not_checked.push((name.into(), e.to_string()));
                return Ok(());
            }
        };
        match tree::check(&spec, &*file, self.reporter, self.progress, &mut |_, _, _| {}) {
            Ok(summary) => done.trees.push(summary),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => done.not_checked.push((name.into(), e.to_string())),
        }
        Ok(())
    }
}

