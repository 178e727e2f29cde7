//! All objects of some views, each once.

use super::btree::Tree;
use super::format::{FIRST_USER, PRIVATE_DIR, ROOT, UF_COMPRESSED, record};
use super::node::Node;
use super::records::{Inode, key_with, split};
use super::store::SharedNode;
use super::view::{Object, State, Value};
use super::volume::Apfs;
use crate::error::Result;
use crate::fs::xattr::RESOURCE_FORK;
use crate::fs::{Body, Kind, NodeId, Stored, ViewId, Views};
use crate::report::{Progress, Unit};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

/// Extents that are looked at for the first that lies somewhere.
const HOLES: usize = 16;

/// Visit every object once: nodes that views share are read once, and an inode that is
/// stored in several states of a node is told once, unless the extents beside it may be others.
pub fn visit(
    volume: &Apfs,
    inside: &Views,
    progress: &dyn Progress,
    visit: &mut dyn FnMut(Stored),
) -> Result<bool> {
    let total = volume.superblock.files.saturating_add(volume.superblock.folders);
    progress.phase("listing the files", total, Unit::Items);
    let (mut whole, mut nodes) = (true, HashSet::new());
    let (mut known, mut clones) = (HashSet::new(), HashMap::new());
    let several = inside.count() > 1;
    for view in volume.in_time().filter(|v| inside.contains(*v)) {
        progress.check()?;
        let Ok(state) = volume.state(view) else {
            whole = false;
            continue;
        };
        let mut pass = Pass::new(&state, view, several, (&mut known, &mut clones), progress);
        let walked = state.tree.walk(&mut nodes, &mut |node| {
            if node.level == 0 {
                pass.leaf(node, visit)?;
            }
            Ok(())
        })?;
        whole &= walked && pass.whole;
    }
    Ok(whole)
}

struct Pass<'a> {
    state: &'a State,
    view: ViewId,
    several: bool,
    known: &'a mut HashSet<u64>,
    /// Files whose stream has another number than themselves, by that number.
    clones: &'a mut HashMap<u64, Vec<u64>>,
    /// The objects that were told in this view.
    told: HashSet<u64>,
    progress: &'a dyn Progress,
    whole: bool,
}

/// What passes over the views leave to the next.
type Left<'a> = (&'a mut HashSet<u64>, &'a mut HashMap<u64, Vec<u64>>);

impl<'a> Pass<'a> {
    fn new(
        state: &'a State,
        view: ViewId,
        several: bool,
        (known, clones): Left<'a>,
        progress: &'a dyn Progress,
    ) -> Self {
        let told = HashSet::new();
        Self { state, view, several, known, clones, told, progress, whole: true }
    }

    fn leaf(&mut self, node: &Node, visit: &mut dyn FnMut(Stored)) -> Result<()> {
        self.progress.check()?;
        for i in 0..node.count {
            let Some(entry) = node.entry(i) else { break };
            let id = match split(entry.key) {
                Some((id, record::INODE)) => id,
                Some((stream, record::FILE_EXTENT)) if self.several => {
                    self.rewritten(stream, visit)?;
                    continue;
                }
                _ => continue,
            };
            self.note_clone(id, entry.value);
            if id < FIRST_USER && id != ROOT || id == PRIVATE_DIR || !self.is_new(id, entry.value) {
                continue;
            }
            self.tell(id, visit)?;
            self.progress.advance(1);
        }
        Ok(())
    }

    fn tell(&mut self, id: u64, visit: &mut dyn FnMut(Stored)) -> Result<()> {
        if self.several && !self.told.insert(id) {
            return Ok(());
        }
        match self.stored(id) {
            Ok(Some(stored)) => visit(stored),
            Ok(None) => {}
            Err(crate::Error::Interrupted) => return Err(crate::Error::Interrupted),
            Err(_) => self.whole = false,
        }
        Ok(())
    }

    /// The extents of a stream stand in a node that was written since the view before: they
    /// may lie elsewhere now although nothing else of the file was changed.
    fn rewritten(&mut self, stream: u64, visit: &mut dyn FnMut(Stored)) -> Result<()> {
        let owners = self.clones.get(&stream).cloned().unwrap_or_default();
        for id in std::iter::once(stream).chain(owners) {
            if self.told.contains(&id) || id < FIRST_USER {
                continue;
            }
            // Of a number that is no object's, nothing is told.
            if matches!(self.state.object(id), Ok(Some(o)) if o.inode.stream_id == stream) {
                self.tell(id, visit)?;
            }
        }
        Ok(())
    }

    fn note_clone(&mut self, id: u64, value: Option<&[u8]>) {
        if let Some(inode) = value.filter(|_| self.several).and_then(Inode::parse)
            && inode.stream.is_some()
            && inode.stream_id != id
        {
            let owners = self.clones.entry(inode.stream_id).or_default();
            if !owners.contains(&id) {
                owners.push(id);
            }
        }
    }

    fn is_new(&mut self, id: u64, value: Option<&[u8]>) -> bool {
        if !self.several {
            return true;
        }
        let mut hash = DefaultHasher::new();
        (id, value).hash(&mut hash);
        self.known.insert(hash.finish())
    }

    fn stored(&self, id: u64) -> Result<Option<Stored>> {
        let Some(object) = self.state.object(id)? else { return Ok(None) };
        // What was unlinked while open waits in the private folder.
        if object.inode.parent == PRIVATE_DIR {
            return Ok(None);
        }
        let kind = Kind::of_mode(object.inode.mode).unwrap_or(Kind::File);
        Ok(Some(Stored {
            view: self.view,
            id: NodeId(id),
            kind,
            created: object.inode.created,
            data: self.data(&object, kind)?,
            resource: self.resource(&object)?,
            compressed: object.inode.flags & UF_COMPRESSED != 0,
            has_xattrs: object.others,
        }))
    }

    fn data(&self, object: &Object, kind: Kind) -> Result<Body> {
        match (kind, object.inode.stream) {
            // The stored target ends with a NUL.
            (Kind::Symlink, _) => {
                Ok(Body { len: object.target.unwrap_or(0).saturating_sub(1), first: None })
            }
            (Kind::File, Some(stream)) => {
                Ok(Body { len: stream.size, first: self.first(object.inode.stream_id)? })
            }
            _ => Ok(Body::default()),
        }
    }

    fn resource(&self, object: &Object) -> Result<Body> {
        let Some((len, _)) = object.resource else { return Ok(Body::default()) };
        let first = match self.state.attribute(object.id, RESOURCE_FORK)? {
            Some(Value::Stream { id, .. }) => self.first(id)?,
            _ => None,
        };
        Ok(Body { len, first })
    }

    /// The first byte of a stream that lies somewhere.
    fn first(&self, stream: u64) -> Result<Option<u64>> {
        let size = self.state.store.blocks().size();
        let block = self.state.first_block(stream, HOLES)?;
        Ok(block.map(|b| b.saturating_mul(size)))
    }
}

impl State {
    /// The first block of a stream, holes passed over.
    fn first_block(&self, stream: u64, most: usize) -> Result<Option<u64>> {
        let (mut left, mut found) = (most, None);
        self.extents_from(&key_with(stream, record::FILE_EXTENT, 0), stream, &mut |extent| {
            found = extent.block;
            left = left.saturating_sub(1);
            if found.is_some() || left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(found)
    }
}

impl Tree {
    /// Visit all nodes that are not in `seen` yet, parents first, in order; a node that
    /// is, is passed over with everything below it. What cannot be read is passed over,
    /// too; returns whether nothing was.
    pub fn walk(
        &self,
        seen: &mut HashSet<u64>,
        visit: &mut dyn FnMut(&SharedNode) -> Result<()>,
    ) -> Result<bool> {
        let mut whole = true;
        self.walk_telling(seen, &mut |_| whole = false, visit)?;
        Ok(whole)
    }

    /// The same; every error of reading a node is told to `failed`.
    pub fn walk_telling(
        &self,
        seen: &mut HashSet<u64>,
        failed: &mut dyn FnMut(crate::Error),
        visit: &mut dyn FnMut(&SharedNode) -> Result<()>,
    ) -> Result<()> {
        let mut stack = Vec::new();
        match self.root() {
            Ok(root) => self.enter(root, seen, &mut stack, visit)?,
            Err(e) => failed(e),
        }
        while let Some((node, at)) = stack.last_mut() {
            let (node, i) = (node.clone(), *at);
            *at += 1;
            let Some(entry) = node.entry(i) else {
                stack.pop();
                continue;
            };
            match self.child(&node, &entry) {
                Ok(child) => self.enter(child, seen, &mut stack, visit)?,
                Err(e) => failed(e),
            }
        }
        Ok(())
    }

    fn enter(
        &self,
        node: SharedNode,
        seen: &mut HashSet<u64>,
        stack: &mut Vec<(SharedNode, usize)>,
        visit: &mut dyn FnMut(&SharedNode) -> Result<()>,
    ) -> Result<()> {
        if !seen.insert(node.block) {
            return Ok(());
        }
        visit(&node)?;
        if node.level > 0 {
            stack.push((node, 0));
        }
        Ok(())
    }
}
