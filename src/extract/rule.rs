//! Whether Time Machine's checksums are to be believed.

use super::Part;
use super::walk::Item;
use crate::fs::{NodeId, Stream};
use crate::losses::{Recorded, recorded};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Fewer comparisons than this say nothing about the rule (as in `verify`).
const ENOUGH: usize = 20;
/// More are not made.
const COMPARED: usize = 64;
/// Files that are drawn, since not all have a checksum.
const DRAWN: usize = 512;
/// Largest files that are drawn, in bytes.
const MAX_SIZE: u64 = 16 << 20;

/// Files drawn from all that are restored, the same whatever the order they come in.
#[derive(Debug, Default)]
pub struct Draw(BTreeSet<(u64, usize, u64)>);

impl Draw {
    /// One more file.
    pub fn see(&mut self, item: &Item<'_>) {
        if !item.meta.has_xattrs || item.meta.size == 0 || item.meta.size > MAX_SIZE {
            return;
        }
        let id = item.meta.id.0;
        let lot = (id ^ (id >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
        if self.0.len() == DRAWN && self.0.last().is_some_and(|last| last.0 < lot) {
            return;
        }
        self.0.insert((lot, item.number, id));
        if self.0.len() > DRAWN {
            self.0.pop_last();
        }
    }

    /// Those that were drawn: number of the address and object.
    pub fn files(&self) -> Vec<(usize, NodeId)> {
        self.0.iter().map(|(_, number, id)| (*number, NodeId(*id))).collect()
    }
}

/// Whether checksums are to be believed: if they were meant otherwise than we know, next to
/// none would agree. Where more agree, a mismatch is damage. Judged once, at the first
/// mismatch, by files drawn from all.
pub struct Rule<'a> {
    parts: &'a [Part<'a>],
    sample: &'a [(usize, NodeId)],
    believed: OnceLock<bool>,
    /// Files that were taken though their checksums disagree.
    taken: Mutex<HashSet<NodeId>>,
}

/// What becomes of a file after its checksum was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was recorded.
    Agrees,
    /// It is damaged.
    Damaged,
    /// It disagrees, but so does nearly every other: it is taken, and told.
    Doubtful,
}

impl<'a> Rule<'a> {
    /// Judged by a sample of the files of these parts.
    pub fn new(parts: &'a [Part<'a>], sample: &'a [(usize, NodeId)]) -> Self {
        Self { parts, sample, believed: OnceLock::new(), taken: Mutex::default() }
    }

    /// What becomes of a file's contents.
    pub fn judge(&self, node: NodeId, agrees: bool) -> Verdict {
        if agrees {
            return Verdict::Agrees;
        }
        if *self.believed.get_or_init(|| self.is_believed()) {
            return Verdict::Damaged;
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(node);
        Verdict::Doubtful
    }

    fn is_believed(&self) -> bool {
        let (mut compared, mut agree) = (0usize, 0usize);
        for (number, node) in self.sample {
            if compared == COMPARED {
                break;
            }
            let Some(from) = self.parts.get(*number).map(|part| &part.from) else { continue };
            let found = from
                .open(*node, &Stream::Data)
                .and_then(|opened| recorded(&*from.fs, *node, &*opened.source));
            match found {
                Ok(Recorded::Fits) => (compared, agree) = (compared + 1, agree + 1),
                Ok(Recorded::Differs) => compared += 1,
                // What cannot be read says nothing about it.
                Ok(Recorded::None) | Err(_) => {}
            }
        }
        compared < ENOUGH || agree.saturating_mul(10) >= compared
    }

    /// What is said of a further name of a file that was taken though its checksum disagrees.
    pub fn doubt(&self, node: NodeId) -> Option<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.contains(&node).then(|| super::damage::DISAGREES.to_owned())
    }

    /// Whether files were taken though their checksums disagree.
    pub fn gave_up(&self) -> bool {
        self.believed.get() == Some(&false)
    }
}
