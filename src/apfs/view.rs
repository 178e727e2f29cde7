//! One state of a volume: the live one, or that of a snapshot. Its records, found
//! by number.

use super::btree::{Children, Tree, Way};
use super::format::{self, PER_FILE_KEYS, SYMLINK, UF_COMPRESSED, record};
use super::lost::Lost;
use super::names::{Rules, display};
use super::omap::Omap;
use super::records::{
    self, Extent, Inode, Link, XattrValue, entry_name, key, key_with, split, xattr_name,
};
use super::sealed;
use super::space::Space;
use super::store::Store;
use super::stream::StreamReader;
use super::superblock::Superblock;
use crate::crypt::xts::Xts;
use crate::decmpfs;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::io::bytes::to_u64;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, OnceLock};

/// One state of a volume.
pub struct State {
    pub(super) store: Arc<Store>,
    pub(super) superblock: Superblock,
    pub(super) rules: Rules,
    pub(super) tree: Tree,
    /// Extents of a sealed volume.
    extents: Option<Tree>,
    key: Option<Arc<Xts>>,
    pub(super) lost: OnceLock<Lost>,
    /// Whether the tree was put together from what is left of it, so that what is not in it
    /// may be lost.
    pub(super) mended: bool,
    /// What of it is lost, in a sentence, where it was mended.
    pub(super) lacks: Option<String>,
    /// Hashes of where long streams lie, which many files may share.
    pub(super) long_streams: Mutex<HashMap<u64, u128>>,
}

/// An inode with what its attributes say about it.
pub struct Object {
    /// Number.
    pub id: u64,
    /// Its record.
    pub inode: Inode,
    /// Header of compressed contents; an error where there is one that cannot be read.
    pub compression: Result<Option<decmpfs::Header>>,
    /// Resource fork: length, and bytes allocated.
    pub resource: Option<(u64, u64)>,
    /// Finder information.
    pub finder_info: Option<[u8; 32]>,
    /// Length of a link's target.
    pub target: Option<u64>,
    /// Whether there are other attributes.
    pub others: bool,
}

/// An attribute of an object.
pub struct Xattr {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Value,
}

/// Told of an entry: block of its leaf and index in it, key, stored name, link.
pub type VisitEntry<'a> = &'a mut dyn FnMut((u64, usize), &[u8], &[u8], Link) -> ControlFlow<()>;

/// The value of an attribute.
pub enum Value {
    /// Kept in the record.
    Bytes(Vec<u8>),
    /// In a stream of its own.
    Stream {
        /// Number of the stream.
        id: u64,
        /// Length in bytes.
        size: u64,
    },
}

impl Value {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(b) => to_u64(b.len()),
            Self::Stream { size, .. } => *size,
        }
    }
}

impl State {
    /// The state of a volume at transaction `xid`, by the superblock of that time.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a sealed volume's seal cannot be read.
    pub fn new(
        store: Arc<Store>,
        superblock: Superblock,
        omap: &Arc<Omap>,
        xid: u64,
        key: Option<Arc<Xts>>,
    ) -> Result<Self> {
        let space = Arc::new(Space::new(omap.clone(), xid, key.clone()));
        let rules = superblock.rules();
        let (mut hash, mut extents) = (None, None);
        if superblock.is_sealed() {
            let seal = sealed::seal(&store, &space, superblock.integrity_meta)?;
            hash = (!seal.broken).then_some(seal.root);
            extents = Some(sealed::extents(&store, superblock.sealed_extents));
        }
        let shape = records::shape(rules.hashed);
        let tree = Tree::new(store.clone(), shape, Children::Virtual(space), superblock.root_oid);
        let tree = tree.sealed_by(hash);
        let (lost, long_streams) = (OnceLock::new(), Mutex::default());
        let (mended, lacks) = (false, None);
        Ok(Self { store, superblock, rules, tree, extents, key, lost, mended, lacks, long_streams })
    }

    /// An error about object `id`.
    pub fn corrupt(&self, id: u64, problem: impl Into<String>) -> Error {
        Error::corrupt(format!("object {id}"), problem)
    }

    /// The inode record of an object, and the way to the records that follow it.
    pub(super) fn inode_record(&self, id: u64) -> Result<Option<(Inode, Way<'_>)>> {
        let wanted = key(id, record::INODE);
        let way = self.tree.seek(&wanted)?;
        let Some(entry) = way.record().filter(|e| split(e.key) == Some((id, record::INODE))) else {
            return Ok(None);
        };
        let inode = Inode::parse(entry.value.unwrap_or_default());
        let inode = inode.ok_or_else(|| self.corrupt(id, "its inode record is cut off"))?;
        Ok(Some((inode, way)))
    }

    /// An object; `None` if there is none of that number.
    pub fn object(&self, id: u64) -> Result<Option<Object>> {
        let Some((inode, mut way)) = self.inode_record(id)? else { return Ok(None) };
        let finder_info = inode.finder_info;
        let mut object = Object {
            id,
            inode,
            compression: Ok(None),
            resource: None,
            finder_info,
            target: None,
            others: false,
        };
        way.advance()?;
        while let Some(entry) = way.record().filter(|e| split(e.key) == Some((id, record::XATTR))) {
            let name = xattr_name(entry.key)
                .ok_or_else(|| self.corrupt(id, "an attribute's name is cut off"))?;
            object.note(name, entry.value.unwrap_or_default(), self)?;
            way.advance()?;
        }
        self.look_for_header(&mut object);
        Ok(Some(object))
    }

    /// An object that must be there.
    pub fn require(&self, id: u64) -> Result<Object> {
        self.object(id)?.ok_or_else(|| Error::NotFound(format!("no object {id} on the volume")))
    }

    /// The extents of a stream, in order.
    pub fn stream_extents(&self, stream: u64) -> Result<Vec<Extent>> {
        let mut found = Vec::new();
        self.extents_from(&key_with(stream, record::FILE_EXTENT, 0), stream, &mut |extent| {
            found.push(extent);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Visit the extents of a stream from a key on.
    pub fn extents_from(
        &self,
        from: &[u8],
        stream: u64,
        visit: &mut dyn FnMut(Extent) -> ControlFlow<()>,
    ) -> Result<()> {
        let bad = || self.corrupt(stream, "an extent is cut off");
        if let Some(tree) = &self.extents {
            return tree.scan(&u128::from(stream).to_le_bytes(), &mut |entry| {
                if crate::io::bytes::le64(entry.key, 0) != Some(stream) {
                    return Ok(ControlFlow::Break(()));
                }
                let value = entry.value.unwrap_or_default();
                Ok(visit(Extent::parse_sealed(entry.key, value).ok_or_else(bad)?))
            });
        }
        self.tree.scan(from, &mut |entry| {
            if split(entry.key) != Some((stream, record::FILE_EXTENT)) {
                return Ok(ControlFlow::Break(()));
            }
            let value = entry.value.unwrap_or_default();
            Ok(visit(Extent::parse(entry.key, value).ok_or_else(bad)?))
        })
    }

    /// A stream for reading.
    pub fn stream(&self, stream: u64, size: u64, what: String) -> Result<Source> {
        if size == 0 {
            return Ok(Arc::new(crate::io::Memory::default()));
        }
        if self.superblock.incompatible & PER_FILE_KEYS != 0 {
            return Err(Error::Unsupported(format!(
                "{what}: each file of the volume has a key of its own"
            )));
        }
        if self.superblock.is_encrypted() && self.superblock.encryption_state != 0 {
            let text =
                "the volume was being encrypted or decrypted, and it is not known which parts were";
            return Err(Error::Unsupported(format!("{what}: {text}")));
        }
        let extents = self.stream_extents(stream)?;
        let reader = StreamReader::new(self.store.clone(), extents, size, self.key.clone(), what)?;
        Ok(Arc::new(reader))
    }

    /// The contents, decompressed.
    pub fn contents(&self, object: &Object) -> Result<Source> {
        let id = object.id;
        let header = object.header()?;
        if object.inode.flags & format::SF_DATALESS != 0 && header.is_none() {
            return Err(decmpfs::dataless());
        }
        if object.inode.flags & UF_COMPRESSED != 0
            && let Some(attribute) = self.small_attribute(id, decmpfs::XATTR)?
        {
            return decmpfs::open(&attribute, || self.resource_fork(id));
        }
        let size = object.inode.stream.map_or(0, |s| s.size);
        self.stream(object.inode.stream_id, size, format!("object {id}"))
    }

    /// The target of a symbolic link.
    pub fn target(&self, id: u64) -> Result<Vec<u8>> {
        let target = self.small_attribute(id, SYMLINK)?;
        let mut target =
            target.ok_or_else(|| self.corrupt(id, "a symbolic link without a target"))?;
        if target.last() == Some(&0) {
            target.pop();
        }
        Ok(target)
    }

    /// An entry of a folder by its name.
    pub fn entry(&self, folder: u64, name: &str) -> Result<Option<Link>> {
        let mut found = None;
        if self.rules.hashed {
            let from = records::hash_key(folder, self.rules.hash(name));
            let hash = self.rules.hash(name);
            self.entries_from(&from, folder, &mut |_, k, stored, link| {
                let same_hash = crate::io::bytes::le32(k, 8)
                    .is_some_and(|n| n >> super::names::LENGTH_BITS == hash);
                if !same_hash {
                    return ControlFlow::Break(());
                }
                let text = std::str::from_utf8(stored.strip_suffix(&[0]).unwrap_or(stored));
                if text.is_ok_and(|t| self.rules.same(t, name)) {
                    found = Some(link);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
        } else {
            found = self.plain_entry(folder, name)?;
        }
        if found.is_none() && (!name.is_ascii() || name.contains(':')) {
            self.entries_from(&key(folder, record::ENTRY), folder, &mut |_, _, stored, link| {
                if display(stored) == name {
                    found = Some(link);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(found)
    }

    /// An entry by exactly its name, on volumes whose keys hold no hash.
    fn plain_entry(&self, folder: u64, name: &str) -> Result<Option<Link>> {
        let mut wanted = key(folder, record::ENTRY).to_vec();
        wanted.extend(u16::try_from(name.len() + 1).unwrap_or(u16::MAX).to_le_bytes());
        wanted.extend(name.as_bytes());
        wanted.push(0);
        let Some(value) = self.tree.find(&wanted)? else { return Ok(None) };
        let link = Link::parse(&value);
        link.map(Some).ok_or_else(|| self.corrupt(folder, "an entry of the folder is cut off"))
    }

    /// Visit the entries of a folder from a key on: key, stored name, link.
    pub fn entries_from(&self, from: &[u8], folder: u64, visit: VisitEntry<'_>) -> Result<()> {
        let mut way = self.tree.seek(from)?;
        while let Some(entry) = way.record() {
            if split(entry.key) != Some((folder, record::ENTRY)) {
                break;
            }
            let bad = || self.corrupt(folder, "an entry of the folder is cut off");
            let name = entry_name(entry.key, self.rules.hashed).ok_or_else(bad)?;
            let link = Link::parse(entry.value.unwrap_or_default()).ok_or_else(bad)?;
            let place = way.place().unwrap_or_default();
            if visit(place, entry.key, name, link).is_break() {
                break;
            }
            way.advance()?;
        }
        Ok(())
    }

    /// Every name of an object: folder and stored name. Of one whose record is lost,
    /// what folders call it.
    pub fn names_of(&self, id: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        match self.recorded_names(id) {
            Ok(names) if !names.is_empty() || id == format::ROOT => Ok(names),
            other => match self.lost().names.get(&id) {
                Some(names) => Ok(names.clone()),
                None => other,
            },
        }
    }

    /// The names that the object's own records tell.
    pub(super) fn recorded_names(&self, id: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut found = Vec::new();
        self.tree.scan(&key(id, record::SIBLING_LINK), &mut |entry| {
            if split(entry.key) != Some((id, record::SIBLING_LINK)) {
                return Ok(ControlFlow::Break(()));
            }
            let sibling = records::sibling(entry.value.unwrap_or_default());
            let (parent, name) =
                sibling.ok_or_else(|| self.corrupt(id, "a name of it is cut off"))?;
            found.push((parent, name.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        if found.is_empty()
            && let Some(value) = self.tree.find(&key(id, record::INODE))?
            && let (Some(inode), Some(name)) = (Inode::parse(&value), records::primary_name(&value))
            && inode.parent != format::ROOT_PARENT
        {
            found.push((inode.parent, name));
        }
        Ok(found)
    }
}

impl Value {
    pub(super) fn of(value: &XattrValue<'_>) -> Self {
        match value {
            XattrValue::Embedded(bytes) => Self::Bytes(bytes.to_vec()),
            XattrValue::Stream { id, info } => Self::Stream { id: *id, size: info.size },
        }
    }
}

impl Object {
    /// Header of compressed contents.
    ///
    /// # Errors
    /// When there is, or was, one that cannot be read.
    pub fn header(&self) -> Result<Option<decmpfs::Header>> {
        self.compression.as_ref().copied().map_err(Error::again)
    }

    /// Whether the contents are compressed, or it cannot be told how they are.
    pub fn is_compressed(&self) -> bool {
        !matches!(self.compression, Ok(None))
    }

    /// Take note of an attribute.
    fn note(&mut self, name: &[u8], value: &[u8], view: &State) -> Result<()> {
        let cut = |view: &State| view.corrupt(self.id, "an attribute is cut off");
        let value = XattrValue::parse(value).ok_or_else(|| cut(view))?;
        match name {
            b"com.apple.decmpfs" if self.inode.flags & UF_COMPRESSED != 0 => {
                let header = match value {
                    XattrValue::Embedded(bytes) => decmpfs::Header::parse(bytes).map(Some),
                    XattrValue::Stream { .. } => view
                        .small_attribute(self.id, decmpfs::XATTR)
                        .and_then(|bytes| bytes.map(|b| decmpfs::Header::parse(&b)).transpose()),
                };
                self.compression = header.map_err(|e| e.within(&format!("object {}", self.id)));
            }
            b"com.apple.ResourceFork" => {
                self.resource = Some(match value {
                    XattrValue::Embedded(bytes) => (to_u64(bytes.len()), 0),
                    XattrValue::Stream { info, .. } => (info.size, info.allocated),
                });
            }
            b"com.apple.FinderInfo" => {
                if let XattrValue::Embedded(bytes) = value {
                    self.finder_info = crate::io::bytes::array(bytes, 0);
                }
            }
            b"com.apple.fs.symlink" => self.target = Some(value.size()),
            _ => self.others = true,
        }
        Ok(())
    }
}
