//! From blocks to the files that refer to them.

use super::format::record;
use super::node::Node;
use super::records::{Extent, Inode, XattrValue, split, xattr_name};
use super::references::Held;
use super::view::State;
use super::volume::Apfs;
use crate::error::Result;
use crate::fs::xattr::RESOURCE_FORK;
use crate::fs::{NodeId, Stream, ViewId, Views};
use crate::io::Ranges;
use crate::io::bytes::to_u64;
use crate::report::{Progress, Unit};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Most looks at single views for telling in which of them a file refers to a block.
const MAX_LOOKS: u64 = 1 << 20;

/// A stream that refers to some of the blocks.
#[derive(Debug, Clone)]
pub struct Found {
    /// The object that has it.
    pub node: NodeId,
    /// Which.
    pub stream: Stream,
    /// The parts.
    pub parts: Vec<Part>,
}

/// A part of a stream and where it lies.
#[derive(Debug, Clone)]
pub struct Part {
    /// Bytes of the container.
    pub bytes: Range<u64>,
    /// First of them in the stream.
    pub offset: u64,
    /// Past the end of the contents.
    pub slack: bool,
}

/// Whose a stream is.
#[derive(Debug, Clone)]
struct Whose {
    node: u64,
    stream: Stream,
    size: u64,
}

/// Finds streams; what needs a pass over the files is found in one pass for all.
pub struct Lookup<'a> {
    volume: &'a Apfs,
    inside: &'a Views,
    progress: &'a dyn Progress,
    looks: u64,
}

impl<'a> Lookup<'a> {
    /// Among the views `inside`.
    pub fn new(volume: &'a Apfs, inside: &'a Views, progress: &'a dyn Progress) -> Self {
        Self { volume, inside, progress, looks: MAX_LOOKS }
    }

    /// The file whose data stream the blocks were allocated for, if it has the number of
    /// the stream and refers to all of them: nearly always.
    pub fn directly(&self, view: ViewId, piece: &Held) -> Result<Option<Found>> {
        let state = self.volume.state(view)?;
        let Some(object) = state.object(piece.owner)? else { return Ok(None) };
        if object.inode.stream_id != piece.owner || state.is_shared(piece.owner)? {
            return Ok(None);
        }
        let size = object.inode.stream.map_or(0, |s| s.size);
        let extents = state.stream_extents(piece.owner)?;
        let parts = parts(&state, &extents, &piece.blocks, size);
        let found: u64 = parts.iter().map(|p| p.bytes.end - p.bytes.start).sum();
        let blocks = piece.blocks.end.saturating_sub(piece.blocks.start);
        let whole = found == blocks.saturating_mul(state.store.blocks().size());
        Ok(whole.then_some(Found { node: NodeId(object.id), stream: Stream::Data, parts }))
    }

    /// All streams that refer to the pieces, by one pass over the records.
    pub fn thoroughly(&mut self, pieces: &[Held]) -> Result<Vec<(Found, Views)>> {
        let blocks: Vec<Range<u64>> = pieces.iter().map(|h| h.blocks.clone()).collect();
        let index = self.index(&blocks)?;
        let mut found = Vec::new();
        for piece in pieces {
            found.extend(self.of_piece(&index, &piece.blocks, &piece.views)?);
        }
        Ok(found)
    }

    /// All streams that refer to the blocks in any of the views.
    pub fn everything(&mut self, blocks: Vec<Range<u64>>) -> Result<Vec<(Found, Views)>> {
        let index = self.index(&blocks)?;
        let inside = self.inside.clone();
        let mut found = Vec::new();
        for range in blocks {
            found.extend(self.of_piece(&index, &range, &inside)?);
        }
        Ok(found)
    }

    fn of_piece(
        &mut self,
        index: &Index,
        blocks: &Range<u64>,
        views: &Views,
    ) -> Result<Vec<(Found, Views)>> {
        let size = self.volume.container.store().blocks().size();
        let mut found = Vec::new();
        for stream in index.streams_in(blocks, size) {
            for whose in index.whose(stream) {
                let (parts, seen) = self.look(stream, &whose, blocks, views)?;
                if !seen.is_empty() {
                    found.push((
                        Found { node: NodeId(whose.node), stream: whose.stream, parts },
                        seen,
                    ));
                }
            }
        }
        Ok(found)
    }

    /// In which of the views a stream refers to the blocks, and its parts.
    fn look(
        &mut self,
        stream: u64,
        whose: &Whose,
        blocks: &Range<u64>,
        views: &Views,
    ) -> Result<(Vec<Part>, Views)> {
        let (mut all, mut seen) = (Vec::new(), Views::none());
        for view in views.iter() {
            self.progress.check()?;
            if self.looks == 0 {
                // Too many to look at one by one: better too many views than none.
                return Ok((all, views.clone()));
            }
            self.looks -= 1;
            let Ok(state) = self.volume.state(view) else { continue };
            let extents = state.stream_extents(stream).unwrap_or_default();
            self.looks = self.looks.saturating_sub(to_u64(extents.len()) / 16);
            let parts = parts(&state, &extents, blocks, whose.size);
            if !parts.is_empty() {
                seen.insert(view);
                if all.is_empty() {
                    all = parts;
                }
            }
        }
        Ok((all, seen))
    }

    /// One pass over the leaves of the views, each read once.
    fn index(&self, wanted: &[Range<u64>]) -> Result<Index> {
        let size = self.volume.container.store().blocks().size();
        let wanted = &Ranges::new(wanted.to_vec());
        let mut index = Index::default();
        let mut seen = HashSet::new();
        self.progress.phase("looking for files", 0, Unit::Items);
        for view in self.volume.in_time().filter(|v| self.inside.contains(*v)) {
            let Ok(state) = self.volume.state(view) else { continue };
            state.tree.walk(&mut seen, &mut |node| {
                self.progress.check()?;
                self.progress.advance(1);
                if node.level == 0 {
                    index.leaf(node, wanted, size);
                }
                Ok(())
            })?;
        }
        index.sort(size);
        Ok(index)
    }
}

/// What a pass over the records brings.
#[derive(Default)]
struct Index {
    /// Extents that meet the blocks, with their streams, by their first block.
    hits: Vec<(Extent, u64)>,
    /// Of each, the furthest end of those up to it.
    ends: Vec<u64>,
    /// Files whose stream has another number than themselves.
    cloned: HashMap<u64, Vec<Whose>>,
    /// Which of these are known: stream and file.
    known: HashSet<(u64, u64)>,
    /// Sizes of the streams that have the number of their file.
    own: HashMap<u64, u64>,
    attributes: HashMap<u64, Whose>,
}

impl Index {
    /// Put the extents into the order in which they are looked up.
    fn sort(&mut self, size: u64) {
        self.hits.sort_by_key(|(e, _)| e.block);
        let mut furthest = 0;
        let ends = self.hits.iter().map(|(e, _)| {
            furthest = furthest.max(blocks_of(e, size).end);
            furthest
        });
        self.ends = ends.collect();
    }

    /// The streams that have extents in these blocks, ascending.
    fn streams_in(&self, blocks: &Range<u64>, size: u64) -> Vec<u64> {
        let last = self.hits.partition_point(|(e, _)| blocks_of(e, size).start < blocks.end);
        let first = self.ends.partition_point(|end| *end <= blocks.start).min(last);
        let between = self.hits.get(first..last).unwrap_or_default();
        let met = between.iter().filter(|(e, _)| blocks_of(e, size).end > blocks.start);
        let mut streams: Vec<u64> = met.map(|(_, stream)| *stream).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    fn leaf(&mut self, node: &Node, wanted: &Ranges, size: u64) {
        for entry in (0..node.count).filter_map(|i| node.entry(i)) {
            let value = entry.value.unwrap_or_default();
            match split(entry.key) {
                Some((id, record::INODE)) => {
                    if let Some(inode) = Inode::parse(value) {
                        self.inode(id, &inode);
                    }
                }
                Some((id, record::XATTR)) => {
                    if let (Some(XattrValue::Stream { id: stream, info }), Some(name)) =
                        (XattrValue::parse(value), xattr_name(entry.key))
                    {
                        let name = String::from_utf8_lossy(name);
                        let which = if name == RESOURCE_FORK {
                            Stream::Resource
                        } else {
                            Stream::attribute(&name)
                        };
                        self.attributes
                            .insert(stream, Whose { node: id, stream: which, size: info.size });
                    }
                }
                Some((stream, record::FILE_EXTENT)) => {
                    if let Some(extent) = Extent::parse(entry.key, value)
                        && wanted.meet(blocks_of(&extent, size)).next().is_some()
                    {
                        self.hits.push((extent, stream));
                    }
                }
                _ => {}
            }
        }
    }

    fn inode(&mut self, id: u64, inode: &Inode) {
        let Some(stream) = inode.stream else { return };
        if inode.stream_id == id {
            self.own.insert(id, stream.size);
            return;
        }
        if self.known.insert((inode.stream_id, id)) {
            let owners = self.cloned.entry(inode.stream_id).or_default();
            owners.push(Whose { node: id, stream: Stream::Data, size: stream.size });
        }
    }

    fn whose(&self, stream: u64) -> Vec<Whose> {
        let own = self.own.get(&stream).map(|size| Whose {
            node: stream,
            stream: Stream::Data,
            size: *size,
        });
        let cloned = self.cloned.get(&stream).into_iter().flatten().cloned();
        own.into_iter().chain(cloned).chain(self.attributes.get(&stream).cloned()).collect()
    }
}

/// The blocks of an extent; none of a hole.
fn blocks_of(e: &Extent, size: u64) -> Range<u64> {
    let len = e.len / size.max(1);
    e.block.map_or(0..0, |first| first..first.saturating_add(len))
}

/// The parts of a stream that lie in some blocks; what lies past its end is slack.
fn parts(state: &State, extents: &[Extent], blocks: &Range<u64>, len: u64) -> Vec<Part> {
    let size = state.store.blocks().size();
    let wanted = blocks.start.saturating_mul(size)..blocks.end.saturating_mul(size);
    let mut found = Vec::new();
    for e in extents {
        let Some(at) = e.block.map(|b| b.saturating_mul(size)) else { continue };
        let start = at.max(wanted.start);
        let end = at.saturating_add(e.len).min(wanted.end);
        if start >= end {
            continue;
        }
        let offset = e.offset.saturating_add(start - at);
        let contents = len.saturating_sub(offset).min(end - start);
        if contents > 0 {
            found.push(Part { bytes: start..start + contents, offset, slack: false });
        }
        if contents < end - start {
            found.push(Part {
                bytes: start + contents..end,
                offset: offset + contents,
                slack: true,
            });
        }
    }
    found
}

impl State {
    /// Whether several inodes share a stream.
    fn is_shared(&self, stream: u64) -> Result<bool> {
        let value = self.tree.find(&super::records::key(stream, record::STREAM_ID))?;
        Ok(value.and_then(|v| crate::io::bytes::le32(&v, 0)).is_some_and(|n| n > 1))
    }
}
