//! Two views over one HFS+ volume: what the traits promise of volumes with several views,
//! without the format that has them.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use tmbundle::fs::{
    About, ContentId, Cursor, DirEntry, Extent, FileSystem, Metadata, Name, NodeId, Owned, Owner,
    Stored, Stream, Time, View, ViewId, Views, Volume, XattrInfo,
};
use tmbundle::io::{Ranges, Source};
use tmbundle::report::Progress;
use tmbundle::{Error, Result};

/// The view besides the live one.
pub const SNAPSHOT: ViewId = ViewId(1);

/// An HFS+ volume as if a snapshot had been made of it, since when one file was deleted and
/// another made.
#[derive(Clone)]
pub struct TwoViews {
    pub inner: Arc<dyn Volume>,
    /// In the snapshot alone.
    pub deleted: NodeId,
    /// In the live view alone.
    pub made: NodeId,
    /// The snapshot's numbers are this much larger. 0: an object has one number.
    pub shift: u64,
    pub name: &'static str,
}

impl TwoViews {
    fn shift_in(&self, view: ViewId) -> u64 {
        if view == SNAPSHOT { self.shift } else { 0 }
    }

    /// The views of `inside` in which an object is.
    fn views_of(&self, node: NodeId, inside: &Views) -> Views {
        let hidden = match node {
            node if node == self.deleted => Views::live(),
            node if node == self.made => Views::one(SNAPSHOT),
            _ => Views::none(),
        };
        Views::run(ViewId::LIVE..=SNAPSHOT).without(&hidden).meet(inside)
    }

    /// Those sets in which an object has one number.
    fn with_one_number(&self, views: &Views) -> Vec<Views> {
        match self.shift {
            0 if views.is_empty() => Vec::new(),
            0 => vec![views.clone()],
            _ => views.iter().map(Views::one).collect(),
        }
    }
}

impl Volume for TwoViews {
    fn about(&self) -> &About {
        self.inner.about()
    }
    fn bytes(&self) -> &Source {
        self.inner.bytes()
    }
    fn views(&self) -> Result<Vec<View>> {
        let made = Some(Time { seconds: 1_572_600_000, nanoseconds: 0 });
        let snapshot = View { id: SNAPSHOT, name: Some(self.name.into()), made, number: 77 };
        Ok(vec![View::LIVE, snapshot])
    }
    fn open(self: Arc<Self>, view: ViewId) -> Result<Arc<dyn FileSystem>> {
        let hidden = match view {
            ViewId::LIVE => self.deleted,
            SNAPSHOT => self.made,
            other => return Err(Error::NotFound(format!("no view {}", other.0))),
        };
        let inner = self.inner.clone().open(ViewId::LIVE)?;
        Ok(Arc::new(OneView { inner, hidden, shift: self.shift_in(view) }))
    }
    fn pulse(&self) -> Vec<Range<u64>> {
        self.inner.pulse()
    }
    fn owners(
        &self,
        wanted: &Ranges,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Owned),
    ) -> Result<()> {
        self.inner.owners(wanted, &Views::live(), progress, &mut |owned| {
            let in_views = match &owned.owner {
                Owner::Stream { node, .. } | Owner::Slack(node) => self.views_of(*node, inside),
                Owner::Structure { .. } => inside.clone(),
            };
            for views in self.with_one_number(&in_views) {
                let shift = views.iter().next().map_or(0, |v| self.shift_in(v));
                let of = |node: NodeId| NodeId(node.0 + shift);
                let owner = match owned.owner.clone() {
                    Owner::Stream { node, stream, offset } => {
                        Owner::Stream { node: of(node), stream, offset }
                    }
                    Owner::Slack(node) => Owner::Slack(of(node)),
                    Owner::Structure { name, describes, in_use } => {
                        let seen = |n: &NodeId| !self.views_of(*n, &views).is_empty();
                        let describes = describes.into_iter().filter(seen).map(of).collect();
                        Owner::Structure { name, describes, in_use }
                    }
                };
                visit(Owned { range: owned.range.clone(), owner, views });
            }
        })
    }
    fn allocated(&self, wanted: &Ranges) -> Result<Ranges> {
        self.inner.allocated(wanted)
    }
    fn objects(
        &self,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Stored),
    ) -> Result<bool> {
        self.inner.objects(&Views::live(), progress, &mut |stored| {
            for views in self.with_one_number(&self.views_of(stored.id, inside)) {
                let view = views.iter().next().unwrap();
                visit(Stored { view, id: NodeId(stored.id.0 + self.shift_in(view)), ..stored });
            }
        })
    }
}

/// One of them: the tree below, without the file that is not in this view.
struct OneView {
    inner: Arc<dyn FileSystem>,
    hidden: NodeId,
    shift: u64,
}

impl OneView {
    fn below(&self, node: NodeId) -> Result<NodeId> {
        let below = node.0.checked_sub(self.shift).map(NodeId).filter(|n| *n != self.hidden);
        below.ok_or_else(|| Error::NotFound(format!("no object {} in this view", node.0)))
    }

    fn shown(&self, meta: Metadata) -> Metadata {
        Metadata { id: NodeId(meta.id.0 + self.shift), ..meta }
    }
}

impl FileSystem for OneView {
    fn root(&self) -> NodeId {
        NodeId(self.inner.root().0 + self.shift)
    }
    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        Ok(self.shown(self.inner.metadata(self.below(node)?)?))
    }
    fn lookup(&self, dir: NodeId, name: &str) -> Result<Option<Metadata>> {
        let found = self.inner.lookup(self.below(dir)?, name)?;
        Ok(found.filter(|meta| meta.id != self.hidden).map(|meta| self.shown(meta)))
    }
    fn read_dir(
        &self,
        dir: NodeId,
        from: Cursor,
        visit: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        self.inner.read_dir(self.below(dir)?, from, &mut |entry| match entry.node {
            Ok(meta) if meta.id == self.hidden => ControlFlow::Continue(()),
            node => visit(DirEntry { node: node.map(|meta| self.shown(meta)), ..entry }),
        })
    }
    fn open(&self, node: NodeId, stream: &Stream) -> Result<Source> {
        self.inner.open(self.below(node)?, stream)
    }
    fn extents(&self, node: NodeId, stream: &Stream) -> Result<Vec<Extent>> {
        self.inner.extents(self.below(node)?, stream)
    }
    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.inner.read_link(self.below(node)?)
    }
    fn readable_xattrs(&self, node: NodeId) -> Result<(Vec<XattrInfo>, Option<Error>)> {
        self.inner.readable_xattrs(self.below(node)?)
    }
    fn names(&self, node: NodeId) -> Result<Vec<Name>> {
        let names = self.inner.names(self.below(node)?)?;
        let shown = |name: Name| Name { parent: NodeId(name.parent.0 + self.shift), ..name };
        Ok(names.into_iter().map(shown).collect())
    }
    fn same(&self, node: NodeId) -> Result<Option<ContentId>> {
        self.inner.same(self.below(node)?)
    }
}
