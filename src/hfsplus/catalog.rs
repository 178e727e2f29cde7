//! The catalog: keys, records, and lookups by name and by CNID.

use super::btree::{BTree, CompareKeys, Position};
use super::format::{
    CatalogCommon, CatalogFile, FILE_LINK, ROOT, ROOT_PARENT, decode, record_type,
};
use super::format::{DIR_LINK, FIRST_USER_CNID, FLAG_LINK_CHAIN};
use super::node::KeyedRecord;
use super::scan::Found;
use super::unicode::{compare_binary, compare_folded};
use crate::error::{Error, Result};
use crate::io::bytes::{be16, be32};
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// A catalog key: parent and name (big-endian UTF-16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// CNID of the parent; of a thread, the object's own.
    pub parent: u32,
    /// Name; empty in a thread's key.
    pub name: &'a [u8],
}

impl<'a> Key<'a> {
    /// Decode a key without its length field; `None` if its name does not fit.
    pub fn parse(key: &'a [u8]) -> Option<Self> {
        let parent = be32(key, 0)?;
        let len = usize::from(be16(key, 4)?);
        Some(Self { parent, name: key.get(6..6 + 2 * len)? })
    }
}

/// A record of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A folder.
    Folder(Box<CatalogCommon>),
    /// A file, or a link in the shape of one.
    File(Box<CatalogFile>),
    /// A thread: parent and name of the object whose CNID is in the key.
    Thread {
        /// Whether it is a folder's.
        folder: bool,
        /// CNID of the parent.
        parent: u32,
        /// Name, big-endian UTF-16.
        name: Vec<u8>,
    },
}

impl Record {
    /// Decode a record's data; `None` if the type is unknown or it is cut off.
    pub fn parse(data: &[u8]) -> Option<Self> {
        match be16(data, 0)? {
            record_type::FOLDER => Some(Self::Folder(Box::new(decode(data)?))),
            record_type::FILE => Some(Self::File(Box::new(decode(data)?))),
            kind @ (record_type::FOLDER_THREAD | record_type::FILE_THREAD) => {
                let len = usize::from(be16(data, 8)?);
                let name = data.get(10..10 + 2 * len)?.to_vec();
                let folder = kind == record_type::FOLDER_THREAD;
                Some(Self::Thread { folder, parent: be32(data, 4)?, name })
            }
            _ => None,
        }
    }

    /// What folder and file records share.
    pub fn common(&self) -> Option<&CatalogCommon> {
        match self {
            Self::Folder(common) => Some(common),
            Self::File(file) => Some(&file.common),
            Self::Thread { .. } => None,
        }
    }
}

/// Finder type and creator of a record.
pub fn type_and_creator(common: &CatalogCommon) -> (u32, u32) {
    let f = &common.finder_info;
    (be32(f, 0).unwrap_or(0), be32(f, 4).unwrap_or(0))
}

/// Whether a file record is shaped like a directory hard link.
pub fn is_dir_link(file: &CatalogFile) -> bool {
    type_and_creator(&file.common) == DIR_LINK && file.common.flags & FLAG_LINK_CHAIN != 0
}

/// Whether a file record is shaped like a file hard link. The caller still has
/// to see whether the inode exists: the type alone may be an accident.
pub fn is_file_link(file: &CatalogFile) -> bool {
    type_and_creator(&file.common) == FILE_LINK && file.data_fork.logical_size == 0
}

/// Whether a file record outside of the folders of inodes is a hard link whose mark is damaged:
/// it has no contents of its own, and what says that it is a link says so in part.
pub fn is_damaged_link(file: &CatalogFile) -> bool {
    let (kind, creator) = type_and_creator(&file.common);
    let special = file.common.bsd.special;
    let is_device = matches!(file.common.bsd.file_mode & 0o170_000, 0o020_000 | 0o060_000);
    if is_dir_link(file) || is_file_link(file) || file.data_fork.logical_size != 0 || is_device {
        return false;
    }
    let nothing = file.resource_fork.logical_size == 0;
    // An ordinary file has one link, and no inode's number. An alias of the Finder to a folder
    // has the type of a link, and a resource fork.
    let one_half = kind == FILE_LINK.0 || creator == FILE_LINK.1 || kind == DIR_LINK.0;
    file.common.flags & FLAG_LINK_CHAIN != 0
        || ((kind, creator) == DIR_LINK && special >= FIRST_USER_CNID)
        || (nothing && one_half && special > 1)
}

/// An entry of a folder.
pub struct Child<'a> {
    /// Its place.
    pub at: Position,
    /// Its name as stored.
    pub name: &'a [u8],
    /// Its record.
    pub record: Record,
    /// Whether something of the folder before it could not be read.
    pub lacking: bool,
}

/// Called with the entries of a folder.
pub type ChildVisitor<'a> = &'a mut dyn FnMut(Child<'_>) -> Result<ControlFlow<()>>;

/// The order of keys on volumes that ignore case, or on the others.
pub fn key_order(folds: bool) -> CompareKeys {
    if folds { compare_keys_folded } else { compare_keys_binary }
}

fn compare_keys_folded(a: &[u8], b: &[u8]) -> Option<Ordering> {
    let (a, b) = (Key::parse(a)?, Key::parse(b)?);
    Some(a.parent.cmp(&b.parent).then_with(|| compare_folded(a.name, b.name)))
}

fn compare_keys_binary(a: &[u8], b: &[u8]) -> Option<Ordering> {
    let (a, b) = (Key::parse(a)?, Key::parse(b)?);
    Some(a.parent.cmp(&b.parent).then_with(|| compare_binary(a.name, b.name)))
}

/// The catalog tree.
pub struct Catalog {
    tree: BTree,
    folds: bool,
}

impl Catalog {
    /// `folds`: names that differ only in case are the same.
    pub fn new(tree: BTree, folds: bool) -> Self {
        Self { tree, folds }
    }

    /// The tree itself.
    pub fn tree(&self) -> &BTree {
        &self.tree
    }

    /// Whether names that differ only in case are the same.
    pub fn folds_case(&self) -> bool {
        self.folds
    }

    /// Order of two names on this volume.
    pub fn compare_names(&self, a: &[u8], b: &[u8]) -> Ordering {
        if self.folds { compare_folded(a, b) } else { compare_binary(a, b) }
    }

    /// Order of a record's key against a target. A key that cannot be decoded
    /// counts as smallest, so that a search goes on past it.
    fn order(&self, key: &[u8], target: Key<'_>) -> Ordering {
        match Key::parse(key) {
            Some(k) => {
                k.parent.cmp(&target.parent).then_with(|| self.compare_names(k.name, target.name))
            }
            None => Ordering::Less,
        }
    }

    fn parse(&self, data: &[u8], what: impl Fn() -> String) -> Result<Record> {
        Record::parse(data).ok_or_else(|| Error::corrupt(what(), "its catalog record is not valid"))
    }

    /// The record of that exact key.
    pub fn find(&self, parent: u32, name: &[u8]) -> Result<Option<Record>> {
        let target = Key { parent, name };
        let data = self.tree.find(|k| self.order(k, target))?;
        data.map(|d| self.parse(&d, || format!("entry of folder {parent}"))).transpose()
    }

    /// Parent and name of an object, by its thread; `None` if it has none.
    pub fn thread(&self, cnid: u32) -> Result<Option<(u32, Vec<u8>)>> {
        match self.find(cnid, &[])? {
            Some(Record::Thread { parent, name, .. }) => Ok(Some((parent, name))),
            _ => Ok(None),
        }
    }

    /// The record of an object, through its thread.
    pub fn by_cnid(&self, cnid: u32) -> Result<Option<Record>> {
        let Some((parent, name)) = self.thread(cnid)? else { return Ok(None) };
        let record = self.find(parent, &name)?;
        Ok(record.filter(|r| r.common().is_some_and(|c| c.id == cnid)))
    }

    /// Name and record of the root folder, by its key: its parent is no folder. On a
    /// sound volume its thread says the same, but nothing needs that thread.
    pub fn root(&self) -> Result<Option<(Vec<u8>, CatalogCommon)>> {
        let mut found = None;
        let read = self.children(ROOT_PARENT, None, &mut |child| match child.record {
            Record::Folder(folder) if folder.id == ROOT => {
                found = Some((child.name.to_vec(), *folder));
                Ok(ControlFlow::Break(()))
            }
            _ => Ok(ControlFlow::Continue(())),
        });
        if found.is_none() { read.map(|()| None) } else { Ok(found) }
    }

    /// Visit the entries of a folder in order. With `from`, from
    /// that record on.
    ///
    /// # Errors
    /// The first thing that was broken; what could be read was visited.
    pub fn children(
        &self,
        folder: u32,
        from: Option<Position>,
        visit: ChildVisitor<'_>,
    ) -> Result<()> {
        let range = |key: &[u8]| be32(key, 0).map_or(Ordering::Less, |p| p.cmp(&folder));
        self.tree.scan(&range, from, &mut |Found {
                                               at,
                                               record: KeyedRecord { key, data },
                                               lacking,
                                           }| {
            let Some(key) = Key::parse(key) else {
                return Err(self.tree.corrupt(at.node, "a key is not valid"));
            };
            if key.name.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            match Record::parse(data) {
                Some(Record::Thread { .. }) => Ok(ControlFlow::Continue(())),
                Some(record) => visit(Child { at, name: key.name, record, lacking }),
                None => {
                    let text = format!("record {} is not a catalog record", at.record);
                    Err(self.tree.corrupt(at.node, text))
                }
            }
        })
    }

    /// The number of entries of a folder.
    ///
    /// # Errors
    /// When part of them cannot be read.
    pub fn entries(&self, folder: u32) -> Result<u64> {
        let mut entries = 0;
        self.children(folder, None, &mut |_| {
            entries += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }

    /// Key and record at a place that a pass over the leaves gave.
    pub(super) fn at(&self, position: Position) -> Result<(u32, Vec<u8>, Record)> {
        let node = self.tree.node(position.node)?;
        let parts = self.tree.record(position.node, &node, position.record)?;
        let key = Key::parse(parts.key).zip(Record::parse(parts.data));
        let (key, record) =
            key.ok_or_else(|| self.tree.corrupt(position.node, "a record is not valid"))?;
        Ok((key.parent, key.name.to_vec(), record))
    }
}
