//! A state of a volume as a [`FileSystem`]: compression undone, storage hidden.

use super::format::{ROOT, SYMLINK, record};
use super::names::display;
use super::records::{Link, key, time};
use super::view::{Object, State, Value};
use crate::decmpfs;
use crate::error::{Error, Result};
use crate::fs::xattr::{FINDER_INFO, RESOURCE_FORK};
use crate::fs::{
    ContentId, Cursor, Dangling, Device, DirEntry, Extent, FileSystem, Kind, Metadata, Name,
    NodeId, Stream, Times, XattrInfo,
};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{Memory, Source};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

/// Bits of a cursor that hold the index in a leaf; a leaf of 64 KiB has fewer entries.
const INDEX_BITS: u32 = 13;
/// A stream of more extents is long; of so many the hashes are kept.
const LONG_STREAM: usize = 32;
const MAX_LONG_STREAMS: usize = 1 << 16;

impl State {
    /// Metadata of an object for people.
    pub(super) fn describe(&self, object: &Object) -> Metadata {
        let inode = &object.inode;
        let kind = Kind::of_mode(inode.mode).unwrap_or(Kind::File);
        let stream = inode.stream.unwrap_or_default();
        let compressed = object.is_compressed();
        let size_unknown = kind == Kind::File && object.compression.is_err();
        let size = match kind {
            Kind::Directory => 0,
            // The stored target ends with a NUL.
            Kind::Symlink => object.target.unwrap_or(0).saturating_sub(1),
            _ if size_unknown => 0,
            _ => object.header().ok().flatten().map_or(stream.size, |h| h.size),
        };
        let resource_allocated = object.resource.map_or(0, |r| r.1);
        let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        Metadata {
            id: NodeId(object.id),
            kind,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            size,
            size_unknown,
            allocated: stream
                .allocated
                .saturating_sub(inode.sparse)
                .saturating_add(resource_allocated),
            links: if kind == Kind::Directory { 1 } else { inode.links },
            entries: if kind == Kind::Directory { inode.links } else { 0 },
            times: Times {
                created: Some(time(inode.created)),
                modified: Some(time(inode.modified)),
                changed: Some(time(inode.changed)),
                accessed: Some(time(inode.accessed)),
                backup: None,
                added: None,
            },
            device: device.then(|| Device::of_stored(inode.device)),
            flags: inode.flags,
            compressed,
            // Where the tree was mended there may be some that are lost.
            has_xattrs: self.mended
                || object.others
                || object.finder_info.is_some()
                || (object.resource.is_some() && !compressed),
        }
    }

    fn follow(&self, link: &Link) -> std::result::Result<Metadata, Dangling> {
        let nowhere =
            |reason: String| Dangling { id: link.inode, reason, directory: link.flags & 0xF == 4 };
        match self.object(link.inode) {
            Ok(Some(object)) => {
                let mut meta = self.describe(&object);
                meta.times.added = Some(time(link.added));
                Ok(meta)
            }
            Ok(None) => Err(nowhere(format!("object {} does not exist", link.inode))),
            Err(e) => Err(nowhere(e.to_string())),
        }
    }

    /// The stream of an attribute that is seen.
    fn open_attribute(&self, object: &Object, name: &str) -> Result<Source> {
        let none = || Error::NotFound(format!("object {} has no attribute {name}", object.id));
        if is_storage(name, object) {
            return Err(none());
        }
        if let Some(value) = self.attribute(object.id, name)? {
            return self.attribute_source(object.id, name, value);
        }
        let field = object.inode.finder_info.filter(|_| name == FINDER_INFO);
        let field = field.ok_or_else(none)?;
        Ok(Arc::new(Memory::new(field.to_vec())))
    }

    /// The number of the stream in which something is stored; `None` if it is stored in a
    /// record, or there is none.
    fn stream_number(&self, object: &Object, stream: &Stream) -> Result<Option<u64>> {
        let name: &str = match stream {
            Stream::Data if object.header()?.is_none() => {
                return Ok(Some(object.inode.stream_id));
            }
            Stream::Attribute(name) => name,
            Stream::Data if object.header()?.is_some_and(|h| h.is_in_attribute()) => decmpfs::XATTR,
            Stream::Data | Stream::Resource => RESOURCE_FORK,
        };
        Ok(match self.attribute(object.id, name)? {
            Some(Value::Stream { id, .. }) => Some(id),
            _ => None,
        })
    }

    /// The hash of where contents lie, and of what is in records; `None` for what has no
    /// contents.
    fn content_id(&self, object: &Object) -> Result<Option<ContentId>> {
        let mut hash = blake3::Hasher::new();
        let header = match object.header() {
            Ok(header) => header,
            // Another view's may be there.
            Err(e) => {
                hash.update(e.to_string().as_bytes());
                return Ok(Some(ContentId(half(&hash))));
            }
        };
        if let Some(header) = header {
            hash.update(&header.kind.to_le_bytes()).update(&header.size.to_le_bytes());
            hash.update(&self.small_attribute(object.id, decmpfs::XATTR)?.unwrap_or_default());
        }
        let size = object.inode.stream.map_or(0, |s| s.size);
        hash.update(&size.to_le_bytes());
        if let Some(id) = self.stream_number(object, &Stream::Data)? {
            hash.update(&self.where_it_lies(id)?.to_le_bytes());
        } else if let Some(Value::Bytes(fork)) = self.attribute(object.id, RESOURCE_FORK)? {
            hash.update(&fork);
        }
        Ok(Some(ContentId(half(&hash))))
    }

    /// The hash of a stream's extents. Of long ones it is kept: files by the thousand may share
    /// one of thousands of extents.
    fn where_it_lies(&self, stream: u64) -> Result<u128> {
        let kept = || self.long_streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().get(&stream) {
            return Ok(*known);
        }
        let extents = self.stream_extents(stream)?;
        let mut hash = blake3::Hasher::new();
        for e in &extents {
            for n in [e.offset, e.len, e.block.unwrap_or(0)] {
                hash.update(&n.to_le_bytes());
            }
        }
        let sum = half(&hash);
        if extents.len() > LONG_STREAM && kept().len() < MAX_LONG_STREAMS {
            kept().insert(stream, sum);
        }
        Ok(sum)
    }

    /// The key of the record before which `cursor` stands; `None` at the start.
    fn cursor_key(&self, cursor: Cursor) -> Result<Option<Vec<u8>>> {
        if cursor == Cursor::default() {
            return Ok(None);
        }
        let (block, index) = (cursor.0 >> INDEX_BITS, to_usize(cursor.0 & ((1 << INDEX_BITS) - 1)));
        let bad = || Error::Invalid(format!("no place in a folder is numbered {}", cursor.0));
        let node = self.tree.node_again(block)?.filter(|n| n.level == 0).ok_or_else(bad)?;
        // The cursor names the entry that was visited last.
        let entry = node.entry(index).ok_or_else(bad)?;
        Ok(Some(entry.key.to_vec()))
    }
}

/// The first half of a hash.
fn half(hash: &blake3::Hasher) -> u128 {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *hash.finalize().as_bytes();
    u128::from_le_bytes(id)
}

/// Whether macOS does not show an attribute: it is storage.
fn is_storage(name: &str, object: &Object) -> bool {
    let compressed = object.is_compressed();
    match name {
        SYMLINK => true,
        decmpfs::XATTR | RESOURCE_FORK => compressed,
        FINDER_INFO => object.finder_info.is_none_or(|f| f == [0; 32]),
        _ => false,
    }
}

impl FileSystem for State {
    fn root(&self) -> NodeId {
        NodeId(ROOT)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.require(node.0).map(|o| self.describe(&o))
    }

    fn lookup(&self, dir: NodeId, name: &str) -> Result<Option<Metadata>> {
        let Some(link) = self.entry(dir.0, name)? else { return Ok(None) };
        match self.follow(&link) {
            Ok(meta) => Ok(Some(meta)),
            Err(dangling) => Err(Error::corrupt(format!("entry '{name}'"), dangling.reason)),
        }
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: Cursor,
        visit: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        let last = self.cursor_key(from)?;
        let start = last.clone().unwrap_or_else(|| key(dir.0, record::ENTRY).to_vec());
        self.entries_from(&start, dir.0, &mut |place, k, name, link| {
            if last.as_deref() == Some(k) {
                return ControlFlow::Continue(());
            }
            let next = Cursor(place.0 << INDEX_BITS | to_u64(place.1));
            visit(DirEntry { name: display(name), node: self.follow(&link), next })
        })
    }

    /// Not where keys begin with a hash of the name.
    fn is_sorted(&self) -> bool {
        !self.rules.hashed
    }

    fn open(&self, node: NodeId, stream: &Stream) -> Result<Source> {
        let object = self.require(node.0)?;
        match stream {
            Stream::Data => match Kind::of_mode(object.inode.mode) {
                Some(Kind::Directory) => {
                    Err(Error::Invalid(format!("object {} is a folder", node.0)))
                }
                _ => self.contents(&object),
            },
            Stream::Resource => self.resource_fork(node.0),
            Stream::Attribute(name) => self.open_attribute(&object, name),
        }
    }

    fn extents(&self, node: NodeId, stream: &Stream) -> Result<Vec<Extent>> {
        let object = self.require(node.0)?;
        let Some(id) = self.stream_number(&object, stream)? else { return Ok(Vec::new()) };
        let size = self.store.blocks().size();
        let extent = |e: super::records::Extent| Extent {
            offset: e.offset,
            at: e.block.map(|b| b.saturating_mul(size)),
            length: e.len,
        };
        Ok(self.stream_extents(id)?.into_iter().map(extent).collect())
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let object = self.require(node.0)?;
        if Kind::of_mode(object.inode.mode) != Some(Kind::Symlink) {
            return Err(Error::Invalid(format!("object {} is no symbolic link", node.0)));
        }
        self.target(node.0)
    }

    fn readable_xattrs(&self, node: NodeId) -> Result<(Vec<XattrInfo>, Option<Error>)> {
        let object = self.require(node.0)?;
        let mut list = Vec::new();
        let listed = self.attributes(node.0, &mut |x| {
            if !is_storage(&x.name, &object) {
                let own_blocks = matches!(x.value, Value::Stream { .. }) && x.name != RESOURCE_FORK;
                list.push(XattrInfo { size: x.value.size(), name: x.name, own_blocks });
            }
        });
        if object.inode.finder_info.is_some_and(|f| f != [0; 32])
            && !list.iter().any(|x| x.name == FINDER_INFO)
        {
            list.push(XattrInfo { name: FINDER_INFO.into(), size: 32, own_blocks: false });
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((list, listed.err()))
    }

    fn names(&self, node: NodeId) -> Result<Vec<Name>> {
        let names = self.names_of(node.0)?.into_iter();
        Ok(names
            .map(|(parent, name)| Name { parent: NodeId(parent), name: display(&name) })
            .collect())
    }

    fn same(&self, node: NodeId) -> Result<Option<ContentId>> {
        let object = self.require(node.0)?;
        if Kind::of_mode(object.inode.mode) != Some(Kind::File) {
            return Ok(None);
        }
        self.content_id(&object)
    }
}
