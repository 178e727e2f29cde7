//! The volume as a [`FileSystem`]: links followed, compression undone, storage
//! hidden.

use super::HfsPlus;
use super::attributes::Value;
use super::btree::Position;
use super::catalog::{Child, Record, is_damaged_link, is_dir_link, is_file_link};
use super::extents::ForkType;
use super::fork::{Run, Runs};
use super::format::{
    CatalogCommon, CatalogFile, DIR_INODES_DIR, FILE_INODES_DIR, FIRST_LINK_XATTR,
    FLAG_HAS_ATTRIBUTES, FLAG_LINK_CHAIN, ForkData, ROOT, UF_COMPRESSED,
};
use super::metadata::{has_them, shown_finder_info};
use super::private::PrivateFolder;
use super::unicode::{display, stored_verbatim, units};
use crate::decmpfs;
use crate::error::{Error, Result};
use crate::fs::xattr::{FINDER_INFO, RESOURCE_FORK};
use crate::fs::{
    ContentId, Cursor, Dangling, DirEntry, Extent, FileSystem, Kind, Metadata, Name, NodeId,
    Stream, XattrInfo,
};
use crate::io::bytes::to_usize;
use crate::io::{Memory, ReadAt, Source, read_vec};
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

/// Longest target of a symbolic link that is read, in bytes (`MAXPATHLEN`).
const MAX_LINK: u64 = 4096;

/// Largest resource fork that is given as an attribute's value; a stream gives any.
const MAX_RESOURCE: u64 = 256 << 20;

/// Set in a cursor where something of the folder before it could not be read.
const LACKING: u64 = 1 << 48;

/// How the private folders of inodes would show.
static PRIVATE_NAMES: LazyLock<[String; 2]> =
    LazyLock::new(|| [FILE_INODES_DIR, DIR_INODES_DIR].map(|n| display(&stored_verbatim(n))));

/// Whether a folder in the root of that name holds inodes.
pub(super) fn is_private_folder(name: &str) -> bool {
    PRIVATE_NAMES.iter().any(|n| n == name)
}

/// What a directory entry leads to.
enum Target {
    Record(Arc<Record>),
    Nowhere(Dangling),
}

impl HfsPlus {
    fn cnid(node: NodeId) -> Result<u32> {
        u32::try_from(node.0).map_err(|_| Error::NotFound(format!("no object {}", node.0)))
    }

    /// The record of an object: from the cache, else where it lies.
    fn record(&self, node: NodeId) -> Result<Arc<Record>> {
        let cnid = Self::cnid(node)?;
        if let Some(record) = self.records.get(&cnid) {
            return Ok(record);
        }
        let record = self
            .by_number(cnid)?
            .ok_or_else(|| Error::NotFound(format!("no object with CNID {cnid} in the catalog")))?;
        Ok(self.remember(record))
    }

    fn remember(&self, record: Record) -> Arc<Record> {
        let record = Arc::new(record);
        if let Some(common) = record.common() {
            self.records.insert(common.id, record.clone());
        }
        record
    }

    fn file(&self, node: NodeId) -> Result<CatalogFile> {
        match &*self.record(node)? {
            Record::File(file) => Ok(**file),
            _ => Err(Error::Invalid(format!("object {} is a folder", node.0))),
        }
    }

    fn common(&self, node: NodeId) -> Result<CatalogCommon> {
        let record = self.record(node)?;
        record.common().copied().ok_or_else(|| Error::NotFound(format!("no object {}", node.0)))
    }

    /// Follow a link record of a folder to its inode; other records lead to themselves.
    fn follow(&self, folder: u32, record: Record) -> Result<Target> {
        let Record::File(file) = &record else {
            return Ok(Target::Record(self.remember(record)));
        };
        // What is in the inode must not be taken for an empty file. An inode itself may be empty.
        if is_damaged_link(file) && self.file_inodes()?.is_none_or(|p| p.id != folder) {
            let reason = "it is a hard link whose mark is damaged: what it leads to is not known";
            let id = u64::from(file.common.id);
            return Ok(Target::Nowhere(Dangling { id, reason: reason.into(), directory: false }));
        }
        let number = file.common.bsd.special;
        if is_dir_link(file) {
            let inode = format!("dir_{number}");
            return self.follow_to(self.dir_inodes(), inode, &file.common, true);
        }
        if is_file_link(file) {
            let private = self.file_inodes();
            let created = private.as_ref().ok().map(|p| p.map_or(0, |p| p.created));
            // What a date cannot tell now counts as a link: an empty file is worse.
            let dated = |date: Option<u32>| date.is_none_or(|d| d == file.common.create_date);
            let certain = file.common.flags & FLAG_LINK_CHAIN != 0
                || dated(self.root_created())
                || dated(created);
            let inode = format!("iNode{number}");
            let target = self.follow_to(private, inode, &file.common, false)?;
            // An ordinary file may carry that type by accident.
            if certain || matches!(target, Target::Record(_)) {
                return Ok(target);
            }
        }
        Ok(Target::Record(self.remember(record)))
    }

    fn follow_to(
        &self,
        private: Result<Option<PrivateFolder>>,
        inode: String,
        link: &CatalogCommon,
        directory: bool,
    ) -> Result<Target> {
        let nowhere = |reason: String| {
            let reason = format!("the hard link leads nowhere: {reason}");
            Target::Nowhere(Dangling { id: u64::from(link.id), reason, directory })
        };
        // An inode of today is named after its CNID and most likely remembered.
        let cached = self.records.get(&link.bsd.special);
        if let Some(record) = cached
            && let Some(common) = record.common()
            && matches!(&*record, Record::Folder(_)) == directory
            && common.flags & FLAG_LINK_CHAIN != 0
            && !matches!(&*record, Record::File(f) if is_dir_link(f) || is_file_link(f))
        {
            return Ok(Target::Record(record));
        }
        let private = match private {
            Ok(Some(private)) => private.id,
            Ok(None) => return Ok(nowhere(format!("the folder of {inode} is missing"))),
            Err(e) => {
                return Ok(nowhere(format!("the folder of {inode} cannot be read: {e}")));
            }
        };
        match self.catalog.find(private, &stored_verbatim(&inode))? {
            Some(record @ Record::Folder(_)) if directory => {
                Ok(Target::Record(self.remember(record)))
            }
            Some(record @ Record::File(_)) if !directory => {
                Ok(Target::Record(self.remember(record)))
            }
            Some(_) => Ok(nowhere(format!("{inode} is of the wrong kind"))),
            None => Ok(nowhere(format!("{inode} does not exist"))),
        }
    }

    fn target_metadata(&self, target: Target) -> std::result::Result<Metadata, Dangling> {
        match target {
            Target::Nowhere(dangling) => Err(dangling),
            Target::Record(record) => self.describe(&record).ok_or_else(|| Dangling {
                id: 0,
                reason: "its record is a thread".into(),
                directory: false,
            }),
        }
    }

    /// Whether a name in the root is storage that macOS does not show.
    pub(super) fn is_private(&self, folder: u32, record: &Record, name: &str) -> bool {
        if folder != ROOT || self.show_private {
            return false;
        }
        match record {
            Record::Folder(_) => is_private_folder(name),
            _ => matches!(name, ".journal" | ".journal_info_block"),
        }
    }

    fn cursor(at: Position, lacking: bool) -> Cursor {
        let record = u64::try_from(at.record + 1).unwrap_or(0xFFFF) & 0xFFFF;
        let lacking = if lacking { LACKING } else { 0 };
        Cursor(lacking | u64::from(at.node) << 16 | record)
    }

    fn position(cursor: Cursor) -> Option<Position> {
        if cursor == Cursor::default() {
            return None;
        }
        let node = u32::try_from((cursor.0 & !LACKING) >> 16).ok()?;
        Some(Position { node, record: to_usize(cursor.0 & 0xFFFF) })
    }

    fn resource_fork(&self, file: &CatalogFile) -> Result<Source> {
        Ok(Arc::new(self.file_fork(file.common.id, ForkType::Resource, &file.resource_fork)?))
    }

    /// An attribute's value as a stream: one that has blocks of its own is not read whole.
    fn open_attribute(&self, node: NodeId, name: &str) -> Result<Source> {
        let none = || Error::NotFound(format!("object {} has no attribute {name}", node.0));
        if name == RESOURCE_FORK && self.resource_size(node)? > 0 {
            return FileSystem::open(self, node, &Stream::Resource);
        }
        if let Some((file, stored, fork)) = self.attribute_fork(node, name)? {
            let attributes = self.readable_attributes()?.ok_or_else(none)?;
            return Ok(Arc::new(attributes.reader(file, &stored, &fork)?));
        }
        let value = self.xattr(node, name)?.ok_or_else(none)?;
        Ok(Arc::new(Memory::new(value)))
    }

    /// CNID, stored name and fork of an attribute that is seen and has blocks of its own.
    fn attribute_fork(&self, node: NodeId, name: &str) -> Result<Option<(u32, Vec<u8>, ForkData)>> {
        if name == FINDER_INFO || is_storage(name, self.metadata(node)?.flags) {
            return Ok(None);
        }
        let Some(attributes) = self.readable_attributes()? else { return Ok(None) };
        let (file, stored) = (self.common(node)?.id, attribute_stored(name));
        Ok(match attributes.find(file, &stored)? {
            Some(Value::Fork(fork)) => Some((file, stored, fork)),
            _ => None,
        })
    }

    fn attribute_extents(&self, node: NodeId, name: &str) -> Result<Vec<Extent>> {
        if name == RESOURCE_FORK {
            return self.extents(node, &Stream::Resource);
        }
        let Some((file, stored, fork)) = self.attribute_fork(node, name)? else {
            return Ok(Vec::new());
        };
        match self.readable_attributes()? {
            Some(attributes) => Ok(self.extents_of(&attributes.runs(file, &stored, &fork)?)),
            None => Ok(Vec::new()),
        }
    }

    fn list_attributes(&self, cnid: u32, visit: &mut dyn FnMut(&[u8], Value)) -> Result<()> {
        match self.readable_attributes()? {
            Some(attributes) => attributes.list(cnid, visit),
            None => Ok(()),
        }
    }

    /// Where a compression header lies, with what is compressed; none of one in a record.
    fn extents_of_header(&self, file: u32) -> Result<Vec<Extent>> {
        let name = stored_verbatim(decmpfs::XATTR);
        let Some(attributes) = self.readable_attributes()? else { return Ok(Vec::new()) };
        match attributes.find(file, &name)? {
            Some(Value::Fork(fork)) => Ok(self.extents_of(&attributes.runs(file, &name, &fork)?)),
            _ => Ok(Vec::new()),
        }
    }

    fn extents_of(&self, runs: &Runs) -> Vec<Extent> {
        let block = u64::from(self.header.block_size);
        let extent = |run: &Run| Extent {
            offset: run.file_block * block,
            at: Some(u64::from(run.start) * block),
            length: u64::from(run.count) * block,
        };
        runs.iter().map(extent).collect()
    }
}

/// Finder information where macOS shows it: on files and folders, if not all zero.
fn finder_info(record: &Record) -> Option<[u8; 32]> {
    let common = record.common()?;
    let kind = match record {
        Record::Folder(_) => Kind::Directory,
        _ => Kind::of_mode(common.bsd.file_mode).unwrap_or(Kind::File),
    };
    let info = shown_finder_info(common);
    (matches!(kind, Kind::File | Kind::Directory) && info != [0; 32]).then_some(info)
}

/// Whether an attribute is only storage. As on a Mac, a compression header shows on
/// a file that is not marked as compressed (`flags` of its metadata).
fn is_storage(name: &str, flags: u32) -> bool {
    let compressed = flags & u32::from(UF_COMPRESSED) != 0;
    name == FIRST_LINK_XATTR || (name == decmpfs::XATTR && compressed)
}

/// Name of an attribute for people (attribute names are not decomposed).
fn attribute_name(stored: &[u8]) -> String {
    char::decode_utf16(units(stored)).map(|r| r.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn attribute_stored(name: &str) -> Vec<u8> {
    name.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

impl FileSystem for HfsPlus {
    fn root(&self) -> NodeId {
        NodeId(u64::from(ROOT))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let record = self.record(node)?;
        self.describe(&record).ok_or_else(|| Error::NotFound(format!("no object {}", node.0)))
    }

    fn lookup(&self, dir: NodeId, name: &str) -> Result<Option<Metadata>> {
        let folder = Self::cnid(dir)?;
        let Some(record) = self.find_entry(folder, name)? else { return Ok(None) };
        if self.is_private(folder, &record, name) {
            return Ok(None);
        }
        match self.target_metadata(self.follow(folder, record)?) {
            Ok(meta) => Ok(Some(meta)),
            Err(dangling) => Err(Error::corrupt(format!("hard link '{name}'"), dangling.reason)),
        }
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: Cursor,
        visit: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<()> {
        let folder = Self::cnid(dir)?;
        let mut lacking = from.0 & LACKING != 0;
        let mut stopped = false;
        let mut entries = 0;
        let read = self.catalog.children(folder, Self::position(from), &mut |child| {
            let Child { at, record, .. } = child;
            lacking |= child.lacking;
            entries += 1;
            let name = display(child.name);
            if self.is_private(folder, &record, &name) {
                return Ok(ControlFlow::Continue(()));
            }
            let id = record.common().map_or(0, |c| c.id);
            let node = match self.follow(folder, record) {
                Ok(target) => self.target_metadata(target),
                Err(e) => Err(Dangling { id: id.into(), reason: e.to_string(), directory: false }),
            };
            let told = visit(DirEntry { name, node, next: Self::cursor(at, lacking) });
            stopped = told.is_break();
            Ok(told)
        });
        match read {
            Ok(()) if lacking && !stopped => {
                let text = "part of it could not be read";
                Err(Error::corrupt(format!("folder {folder}"), text))
            }
            Ok(()) if !stopped => match Self::position(from) {
                None => self.not_fewer(folder, entries),
                Some(_) => self.not_fewer(folder, self.catalog.entries(folder)?),
            },
            read => read,
        }
    }

    fn open(&self, node: NodeId, stream: &Stream) -> Result<Source> {
        if let Stream::Attribute(name) = stream {
            return self.open_attribute(node, name);
        }
        let file = self.file(node)?;
        match stream {
            Stream::Resource | Stream::Attribute(_) => self.resource_fork(&file),
            Stream::Data => match self.compressed_attribute(&file)? {
                Some(attribute) => decmpfs::open(&attribute, || self.resource_fork(&file)),
                None => {
                    Ok(Arc::new(self.file_fork(file.common.id, ForkType::Data, &file.data_fork)?))
                }
            },
        }
    }

    fn extents(&self, node: NodeId, stream: &Stream) -> Result<Vec<Extent>> {
        if let Stream::Attribute(name) = stream {
            return self.attribute_extents(node, name);
        }
        let file = self.file(node)?;
        let header = match stream {
            Stream::Data => self.compressed_attribute(&file)?.map(|a| decmpfs::Header::parse(&a)),
            _ => None,
        };
        match &header {
            Some(Ok(header)) if !header.is_in_attribute() => {}
            Some(_) => {
                let packed = self.extents_of_header(file.common.id)?;
                if !packed.is_empty() {
                    return Ok(packed);
                }
            }
            None => {}
        }
        let (kind, fork) = match stream {
            Stream::Data if header.is_none() => (ForkType::Data, &file.data_fork),
            _ => (ForkType::Resource, &file.resource_fork),
        };
        Ok(self.extents_of(&self.runs(file.common.id, kind, fork)?))
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let file = self.file(node)?;
        if Kind::of_mode(file.common.bsd.file_mode) != Some(Kind::Symlink) {
            return Err(Error::Invalid(format!("object {} is no symbolic link", node.0)));
        }
        let size = file.data_fork.logical_size;
        if size > MAX_LINK {
            let text = format!("its target has {size} bytes, more than {MAX_LINK}");
            return Err(Error::corrupt(format!("symbolic link {}", node.0), text));
        }
        let reader = self.file_fork(file.common.id, ForkType::Data, &file.data_fork)?;
        let mut target = read_vec(&reader, 0, to_usize(size))?;
        // Some writers count a final NUL.
        if target.last() == Some(&0) {
            target.pop();
        }
        Ok(target)
    }

    fn readable_xattrs(&self, node: NodeId) -> Result<(Vec<XattrInfo>, Option<Error>)> {
        let record = self.record(node)?;
        let flags = self.metadata(node)?.flags;
        let (mut list, mut found) = (Vec::new(), false);
        let listed = self.list_attributes(Self::cnid(node)?, &mut |name, value: Value| {
            found = true;
            let name = attribute_name(name);
            if !is_storage(&name, flags) {
                let own_blocks = matches!(value, Value::Fork(_));
                list.push(XattrInfo { name, size: value.size(), own_blocks });
            }
        });
        let told = |c: &CatalogCommon| self.not_lost(c).and_then(|()| has_them(c, found));
        let listed = listed.and_then(|()| record.common().map_or(Ok(()), told));
        if finder_info(&record).is_some() {
            list.push(XattrInfo { name: FINDER_INFO.into(), size: 32, own_blocks: false });
        }
        // Where the compression header is broken it is taken for a part of the contents.
        let size = self.resource_size(node).unwrap_or(0);
        if size > 0 {
            let name = RESOURCE_FORK.into();
            list.push(XattrInfo { name, size, own_blocks: false });
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((list, listed.err()))
    }

    fn xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        match name {
            FINDER_INFO => Ok(finder_info(&*self.record(node)?).map(|info| info.to_vec())),
            RESOURCE_FORK => {
                match self.resource_size(node)? {
                    0 => return Ok(None),
                    1..=MAX_RESOURCE => {}
                    size => {
                        let text = format!("{size} bytes are too many to be had at once");
                        return Err(Error::Unsupported(format!("{RESOURCE_FORK}: {text}")));
                    }
                }
                let fork = FileSystem::open(self, node, &Stream::Resource)?;
                Ok(Some(read_vec(&*fork, 0, to_usize(fork.len()))?))
            }
            _ if is_storage(name, self.metadata(node)?.flags) => Ok(None),
            _ => {
                let object = self.common(node)?;
                let value = match self.readable_attributes()? {
                    Some(attributes) => attributes.value(object.id, &attribute_stored(name))?,
                    None => None,
                };
                if value.is_none() {
                    self.not_lost(&object)?;
                    // Only who should have some is asked for all.
                    if object.flags & FLAG_HAS_ATTRIBUTES != 0 {
                        let mut found = false;
                        self.list_attributes(object.id, &mut |_, _| found = true)?;
                        has_them(&object, found)?;
                    }
                }
                Ok(value)
            }
        }
    }

    fn resource_size(&self, node: NodeId) -> Result<u64> {
        match &*self.record(node)? {
            Record::File(file) if self.compression(file)?.is_none() => {
                Ok(file.resource_fork.logical_size)
            }
            _ => Ok(0),
        }
    }

    fn names(&self, node: NodeId) -> Result<Vec<Name>> {
        self.names_of(Self::cnid(node)?)
    }

    fn same(&self, node: NodeId) -> Result<Option<ContentId>> {
        Ok(Some(ContentId(node.0.into())))
    }
}
