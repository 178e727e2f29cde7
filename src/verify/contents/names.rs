//! Paths of what findings are about.

use crate::fs::{NodeId, View, ViewId};
use crate::io::bytes::to_u64;
use crate::report::{Collector, Structure, Where};
use std::sync::atomic::{AtomicU64, Ordering};

/// Finds a path.
type FindName<'a> = &'a (dyn Fn(ViewId, NodeId) -> Option<String> + Sync);

/// Finds paths for findings, for as many as anybody will see: each may cost reads.
pub(super) struct Names<'a> {
    find: FindName<'a>,
    views: Vec<View>,
    left: AtomicU64,
}

impl<'a> Names<'a> {
    /// Of objects of these views.
    pub fn new(find: FindName<'a>, views: Vec<View>) -> Self {
        Self { find, views, left: AtomicU64::new(4 * to_u64(Collector::PER_CODE)) }
    }

    /// The place of an object's contents, for a finding.
    pub fn place(&self, view: ViewId, node: NodeId) -> Where {
        let mut place = Where::of(Structure::File);
        place.object = Some(node.0);
        place.path = self.of(view, node);
        let snapshot = self.views.iter().find(|v| v.id == view && view != ViewId::LIVE);
        place.snapshot = snapshot.map(|v| v.number);
        place
    }

    pub fn of(&self, view: ViewId, node: NodeId) -> Option<String> {
        let took = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took).ok()?;
        (self.find)(view, node)
    }
}
