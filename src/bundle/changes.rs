//! What became of the bands while they were read.

use super::Bands;
use crate::error::Result;
use crate::io::bytes::to_u64;
use crate::io::{Change, FileState};
use crate::report::words::plural;
use rustix::fs::{AtFlags, Stat, statat};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How each band stood that was opened, when that was done first.
#[derive(Default)]
pub(super) struct Opened(Mutex<HashMap<u64, FileState>>);

impl Opened {
    pub(super) fn note(&self, index: u64, stat: &Stat) {
        let mut bands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bands.entry(index).or_insert_with(|| FileState::of(stat));
    }
}

/// What became of the bands of a bundle since they were first opened.
#[derive(Debug, Default, Clone)]
pub struct Changes {
    /// Those that lost bytes, ascending, and how: what was read of them may have been zeros
    /// that nobody wrote.
    pub lost: Vec<(u64, Change)>,
    /// How many were written to, or appeared.
    pub written: u64,
}

impl Changes {
    /// What was lost, as a sentence; `None` if nothing was.
    pub fn loss(&self) -> Option<String> {
        let (index, change) = self.lost.first()?;
        let name = Bands::name(*index);
        Some(match self.lost.len() {
            1 => format!("band {name} {} while it was read", change.words()),
            n => {
                let all = plural(to_u64(n), "band", "bands");
                format!("{all} changed while they were read; band {name} {}", change.words())
            }
        })
    }
}

impl Bands {
    /// What became of the bands that were opened, and of those that were there.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the folder of bands is gone or cannot be listed.
    pub fn changes(&self) -> Result<Changes> {
        let mut changes = self.vanished()?;
        let opened = self.opened.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, standing) in opened.iter() {
            let now = statat(self.dir(), Self::name(*index), AtFlags::SYMLINK_NOFOLLOW);
            match standing.change(now) {
                None | Some(Change::Touched) => {}
                Some(change) if change.is_loss() => changes.lost.push((*index, change)),
                Some(_) => changes.written += 1,
            }
        }
        changes.lost.sort_unstable();
        changes.lost.dedup_by_key(|(index, _)| *index);
        Ok(changes)
    }

    /// What the folder alone tells: the bands that are gone, and how many appeared.
    ///
    /// # Errors
    /// As for [`Bands::changes`].
    pub fn vanished(&self) -> Result<Changes> {
        self.in_place()?;
        let now = self.list()?;
        let gone = self.there().iter().filter(|index| !now.contains(**index));
        let lost: Vec<_> = gone.map(|index| (*index, Change::Gone)).collect();
        let appeared = (now.present.len() + lost.len()).saturating_sub(self.there().len());
        Ok(Changes { lost, written: to_u64(appeared) })
    }
}
