//! The journal of a volume: where it is, its state, and the volume seen through it. The volume
//! is never written.

use super::format::{JournalInfoBlock, VOL_JOURNALED, VolumeHeader, decode};
use super::overlay::{Overlay, Segments};
use super::replay::Ring;
use crate::error::{Error, Result};
use crate::io::{Gone, ReadAt, Source, check_range, gone, read_vec};
use std::ops::Range;

const IN_VOLUME: u32 = 1;
const ON_OTHER_DEVICE: u32 = 2;
const NEEDS_INIT: u32 = 4;

/// State of a volume's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalState {
    /// The volume is not journaled.
    None,
    /// Nothing to replay.
    Empty,
    /// Made by newfs, never used.
    NeedsInit,
    /// On another device.
    External,
    /// Held unfinished work, which was replayed in memory.
    Replayed {
        /// Transactions.
        transactions: u32,
        /// Blocks that differ from the volume's own.
        blocks: u64,
    },
}

/// Something that is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One sentence.
    pub text: String,
    /// The volume's byte where something is not stored any more, if that is the reason.
    pub lost: Option<u64>,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, lost: None }
    }
}

impl Problem {
    pub(super) fn of_transaction(self, pos: u64) -> Self {
        Self { text: format!("transaction at {pos}: {}", self.text), ..self }
    }

    pub(super) fn lost(what: &str, gone: &Gone) -> Self {
        Self { text: format!("{what} is lost: {}", gone.why), lost: Some(gone.at) }
    }
}

/// The journal of a volume.
#[derive(Debug, Clone)]
pub struct Journal {
    /// Its state.
    pub state: JournalState,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Whether it could not be read, so that nobody knows what it holds.
    pub unreadable: bool,
    /// Its byte range in the volume.
    pub range: Option<Range<u64>>,
    /// The newer bytes that replay brings.
    pub(super) segments: Segments,
}

impl Journal {
    pub(super) fn without(state: JournalState) -> Self {
        Self {
            state,
            problems: Vec::new(),
            unreadable: false,
            range: None,
            segments: Segments::new(),
        }
    }

    pub(super) fn bad(problem: impl Into<Problem>, range: Option<Range<u64>>) -> Self {
        let mut journal = Self::without(JournalState::Empty);
        let problem = problem.into();
        journal.unreadable = problem.lost.is_some();
        journal.problems.push(problem);
        journal.range = range;
        journal
    }

    fn unreadable(e: &Error, range: Option<Range<u64>>) -> Self {
        Self { unreadable: true, ..Self::bad(format!("it cannot be read: {e}"), range) }
    }

    /// Read and check the journal of a volume.
    ///
    /// A journal that is wrong, or cannot be read, says so in [`Journal::problems`]: the
    /// volume is then seen as it is without it.
    pub fn read(volume: &dyn ReadAt, header: &VolumeHeader) -> Self {
        Self::try_read(volume, header).unwrap_or_else(|e| Self::unreadable(&e, None))
    }

    fn try_read(volume: &dyn ReadAt, header: &VolumeHeader) -> Result<Self> {
        if header.attributes & VOL_JOURNALED == 0 || header.journal_info_block == 0 {
            return Ok(Self::without(JournalState::None));
        }
        let at = u64::from(header.journal_info_block) * u64::from(header.block_size);
        if check_range(volume.len(), at, 180, "").is_err() {
            let text =
                format!("the journal info block {} is past the end", header.journal_info_block);
            return Ok(Self::bad(text, None));
        }
        let bytes = read_vec(volume, at, 180)?;
        if let Some(gone) = gone(volume, at, &bytes) {
            return Ok(Self::bad(Problem::lost("the journal info block", &gone), None));
        }
        let Some(info) = decode::<JournalInfoBlock>(&bytes) else {
            return Ok(Self::bad("the journal info block is cut off".to_owned(), None));
        };
        if info.flags & ON_OTHER_DEVICE != 0 && info.flags & IN_VOLUME == 0 {
            return Ok(Self::without(JournalState::External));
        }
        if info.flags & NEEDS_INIT != 0 {
            return Ok(Self::without(JournalState::NeedsInit));
        }
        let end = info.offset.saturating_add(info.size);
        if end > volume.len() || info.size < 1024 {
            let text = format!("{} bytes at {} do not fit the volume", info.size, info.offset);
            return Ok(Self::bad(text, None));
        }
        let ring = Ring { volume, range: info.offset..end };
        Ok(ring.replay().unwrap_or_else(|e| Self::unreadable(&e, Some(ring.range.clone()))))
    }

    /// Transactions that were replayed.
    pub fn transactions(&self) -> u32 {
        match self.state {
            JournalState::Replayed { transactions, .. } => transactions,
            _ => 0,
        }
    }

    /// The volume with the journal's newer bytes laid over it.
    pub fn overlay(&self, volume: Source) -> Source {
        if self.segments.is_empty() {
            return volume;
        }
        std::sync::Arc::new(Overlay { volume, segments: self.segments.clone() })
    }
}
