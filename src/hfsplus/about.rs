//! The volume as a [`Volume`] with one view, itself.

use super::format::{EPOCH_OFFSET, VOL_INCONSISTENT, VOL_JOURNALED, VOL_UNMOUNTED, VolumeHeader};
use super::journal::{Journal, JournalState, Problem};
use super::{HeaderSource, HfsPlus, owners};
use crate::error::{Error, Result};
use crate::fs::{About, Details, FileSystem, Owned, Stored, Time, View, ViewId, Views, Volume};
use crate::io::{Ranges, Source};
use crate::report::Progress;
use std::ops::Range;
use std::sync::Arc;

const SECTOR: u64 = 512;
const VOLUME_HEADER: u64 = 1024;

/// What a volume says of itself by its header and journal; its name is in the catalog.
pub(super) fn about(
    header: &VolumeHeader,
    source: &HeaderSource,
    journal: &Journal,
    case_sensitive: bool,
) -> About {
    let [.., high, low] = header.finder_info;
    About {
        format: if header.is_hfsx() { "HFSX" } else { "HFS+" },
        name: String::new(),
        identity: vec![high.into(), low.into(), header.create_date.into()],
        case_sensitive,
        block_size: header.block_size,
        blocks: header.total_blocks.into(),
        free: Some(header.free_blocks.into()),
        files: header.file_count.into(),
        folders: header.folder_count.into(),
        modified: Some(Time {
            seconds: i64::from(header.modify_date) - EPOCH_OFFSET,
            nanoseconds: 0,
        }),
        notes: notes(source, journal),
        older: None,
        details: Details::HfsPlus {
            journaled: header.attributes & VOL_JOURNALED != 0,
            journal: in_words(journal),
            transactions: journal.transactions(),
            clean: header.attributes & VOL_UNMOUNTED != 0
                && header.attributes & VOL_INCONSISTENT == 0,
            alternate_header: matches!(source, HeaderSource::Alternate(_)),
        },
    }
}

fn notes(source: &HeaderSource, journal: &Journal) -> Vec<String> {
    let mut notes = Vec::new();
    if let HeaderSource::Alternate(why) = source {
        notes.push(format!("the volume header is damaged ({why}); its copy was used"));
    }
    let torn = |Problem { text, .. }: &Problem| {
        format!("the journal is damaged ({text}): what it holds from there on is not seen")
    };
    notes.extend(journal.problems.iter().map(torn));
    notes
}

fn in_words(journal: &Journal) -> String {
    let state = match &journal.state {
        JournalState::None => "none",
        JournalState::Empty => "empty",
        JournalState::NeedsInit => "never used",
        JournalState::External => "on another device",
        JournalState::Replayed { .. } => "needs replay (replayed in memory)",
    };
    let damaged = |text, problem: &Problem| format!("{text}; damaged: {}", problem.text);
    journal.problems.iter().fold(state.to_owned(), damaged)
}

impl Volume for HfsPlus {
    fn about(&self) -> &About {
        &self.about
    }

    fn bytes(&self) -> &Source {
        &self.volume
    }

    fn views(&self) -> Result<Vec<View>> {
        Ok(vec![View::LIVE])
    }

    fn open(self: Arc<Self>, view: ViewId) -> Result<Arc<dyn FileSystem>> {
        match view {
            ViewId::LIVE => Ok(self),
            other => Err(Error::NotFound(format!("an HFS+ volume has no view {}", other.0))),
        }
    }

    fn pulse(&self) -> Vec<Range<u64>> {
        let journal = self.journal().range.as_ref().map(|r| r.start);
        let [catalog, ..] = self.header.catalog_file.extents;
        let catalog = u64::from(catalog.start) * u64::from(self.header.block_size);
        let places = [Some(VOLUME_HEADER), journal, Some(catalog)].into_iter().flatten();
        places.map(|at| at..at.saturating_add(SECTOR)).collect()
    }

    fn owners(
        &self,
        wanted: &Ranges,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Owned),
    ) -> Result<()> {
        if !inside.contains(ViewId::LIVE) {
            return Ok(());
        }
        owners::visit(self, wanted, progress, visit)
    }

    fn allocated(&self, wanted: &Ranges) -> Result<Ranges> {
        owners::allocated(self, wanted)
    }

    fn objects(
        &self,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Stored),
    ) -> Result<bool> {
        if !inside.contains(ViewId::LIVE) {
            return Ok(true);
        }
        self.visit_objects(progress, visit)
    }
}
