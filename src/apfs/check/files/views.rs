//! The views of a volume in the order of time, and what is known of each.

use super::tables::Span;
use crate::apfs::Superblock;
use crate::apfs::view::State;
use crate::apfs::volume::Apfs;
use crate::error::{Error, Result};
use crate::fs::ViewId;
use crate::io::bytes::{to_u32, usize32};
use std::sync::Arc;

/// A view.
pub struct One {
    /// Its number for readers.
    pub id: ViewId,
    /// Transaction it is seen at.
    pub xid: u64,
    /// Its state, if its superblock could be read.
    pub state: Option<Arc<State>>,
    /// Whether all of its records could be read.
    pub whole: bool,
}

/// All views.
pub struct InTime {
    list: Vec<One>,
}

impl InTime {
    /// Of a volume. What cannot be opened is told to `failed`.
    ///
    /// # Errors
    /// What `failed` gives.
    pub fn of(volume: &Apfs, failed: &mut dyn FnMut(ViewId, Error) -> Result<()>) -> Result<Self> {
        let live = volume.container.superblock().xid;
        let mut list = Vec::with_capacity(volume.snapshots.len() + 1);
        for id in volume.in_time() {
            let snapshot = usize32(id.0).checked_sub(1).and_then(|i| volume.snapshots.get(i));
            let state = match volume.state(id) {
                Ok(state) => Some(state),
                Err(e) => {
                    failed(id, e)?;
                    None
                }
            };
            let whole = state.is_some();
            list.push(One { id, xid: snapshot.map_or(live, |s| s.xid), state, whole });
        }
        Ok(Self { list })
    }

    /// All of them.
    pub fn all(&self) -> Span {
        Span { from: 0, until: to_u32(self.list.len()) }
    }

    /// One of them.
    pub fn get(&self, view: u32) -> Option<&One> {
        self.list.get(usize32(view))
    }

    /// The superblock of a view.
    pub fn superblock(&self, view: u32) -> Option<&Superblock> {
        self.get(view)?.state.as_ref().map(|s| &s.superblock)
    }

    /// Each with its place in time.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &One)> {
        (0..to_u32(self.list.len())).zip(&self.list)
    }

    /// Something in these views could not be read: nothing may be missed in them.
    pub fn torn(&mut self, span: Span) {
        let range = usize32(span.from)..usize32(span.until).min(self.list.len());
        for view in self.list.get_mut(range).unwrap_or_default() {
            view.whole = false;
        }
    }

    /// The part of a run that begins with the first view of it that is whole.
    pub fn whole_in(&self, span: Span) -> Option<Span> {
        let range = usize32(span.from)..usize32(span.until).min(self.list.len());
        let skipped = self.list.get(range)?.iter().position(|v| v.whole)?;
        Some(Span { from: span.from.saturating_add(to_u32(skipped)), until: span.until })
    }

    /// The views that see what is valid from one transaction up to another.
    pub fn between(&self, from: u64, until: u64) -> Option<Span> {
        let first = to_u32(self.list.partition_point(|v| v.xid < from));
        let past = to_u32(self.list.partition_point(|v| v.xid < until));
        (first < past).then_some(Span { from: first, until: past })
    }
}
