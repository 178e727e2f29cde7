//! Where the record of an object lies, and its names: by its thread, if that leads to it,
//! else by a pass over the catalog; of an inode, by the links that lead to it.
//!
//! The catalog's keys are the truth: a thread only says where to look.

use super::HfsPlus;
use super::btree::Position;
use super::catalog::{Key, Record, is_dir_link, is_file_link};
use super::format::{CatalogFile, ROOT, decode, record_type};
use super::node::{KeyedRecord, split};
use super::private::inode_number;
use super::unicode::display;
use crate::error::Result;
use crate::fs::{Name, NodeId};
use crate::io::bytes::{be16, be32};
use crate::report::NoProgress;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

/// Links, and objects without a thread, of the whole volume; each collected in one pass
/// when it is first needed.
#[derive(Default)]
pub(super) struct NameTable {
    /// Sorted by inode.
    links: OnceLock<Vec<Link>>,
    /// Objects whose thread is missing or leads elsewhere.
    strays: OnceLock<HashMap<u32, At>>,
}

/// Place of a leaf record, packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    node: u32,
    record: u16,
}

impl At {
    fn new(node: u32, record: usize) -> Self {
        Self { node, record: u16::try_from(record).unwrap_or(u16::MAX) }
    }

    fn position(self) -> Position {
        Position { node: self.node, record: usize::from(self.record) }
    }
}

/// A hard link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    directory: bool,
    /// Number in the inode's name.
    inode: u32,
    at: At,
}

/// The link that a catalog record is, if it is one.
fn link(at: At, record: &[u8]) -> Option<Link> {
    let parts = split(record)?;
    // Decoding every file would take longer than all the rest.
    let linked = matches!(parts.data.get(48..52), Some(b"hlnk" | b"fdrp"));
    if be16(parts.data, 0)? != record_type::FILE || !linked {
        return None;
    }
    let file: CatalogFile = decode(parts.data)?;
    let directory = is_dir_link(&file);
    let inode = file.common.bsd.special;
    (directory || is_file_link(&file)).then_some(Link { directory, inode, at })
}

/// A hash of parent and name.
fn key_hash(parent: u32, name: &[u8]) -> u32 {
    let mut hasher = DefaultHasher::new();
    (parent, name).hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or(0)
}

/// Objects and threads by CNID, each with the hash of the object's key.
#[derive(Default)]
struct Pairs {
    objects: Vec<(u32, u32, At)>,
    threads: Vec<(u32, u32)>,
}

impl Pairs {
    fn add(&mut self, at: At, record: &[u8]) -> Option<()> {
        let KeyedRecord { key, data } = split(record)?;
        match be16(data, 0)? {
            record_type::FOLDER | record_type::FILE => {
                let key = Key::parse(key)?;
                self.objects.push((be32(data, 8)?, key_hash(key.parent, key.name), at));
            }
            record_type::FOLDER_THREAD | record_type::FILE_THREAD => {
                let name = data.get(10..10 + 2 * usize::from(be16(data, 8)?))?;
                self.threads.push((be32(key, 0)?, key_hash(be32(data, 4)?, name)));
            }
            _ => {}
        }
        Some(())
    }

    fn strays(mut self) -> HashMap<u32, At> {
        self.threads.sort_unstable();
        self.objects.sort_unstable();
        let lone =
            |(cnid, hash, _): &(u32, u32, At)| self.threads.binary_search(&(*cnid, *hash)).is_err();
        self.objects.into_iter().filter(lone).map(|(cnid, _, at)| (cnid, at)).collect()
    }
}

impl HfsPlus {
    /// The record of an object, wherever it is.
    pub(super) fn by_number(&self, cnid: u32) -> Result<Option<Record>> {
        if cnid == ROOT {
            return Ok(Some(Record::Folder(Box::new(self.root_folder()?.record))));
        }
        Ok(self.located(cnid)?.map(|(_, _, record)| record))
    }

    /// Parent, stored name and record of an object.
    fn located(&self, cnid: u32) -> Result<Option<(u32, Vec<u8>, Record)>> {
        let is_it = |r: &Record| r.common().is_some_and(|c| c.id == cnid);
        let thread = self.catalog.thread(cnid);
        if let Ok(Some((parent, name))) = &thread {
            if let Ok(Some(record)) = self.catalog.find(*parent, name)
                && is_it(&record)
            {
                return Ok(Some((*parent, name.clone(), record)));
            }
            // Its name may sort wrong, so that no search finds it.
            if let Ok(Some(record)) = self.find_listed(*parent, &display(name))
                && is_it(&record)
            {
                return Ok(Some((*parent, name.clone(), record)));
            }
        }
        match self.strays()?.get(&cnid) {
            Some(at) => self.catalog.at(at.position()).map(Some),
            // What the thread's own leaf has to say comes before "there is none".
            None => thread.map(|_| None),
        }
    }

    fn strays(&self) -> Result<&HashMap<u32, At>> {
        if let Some(strays) = self.name_table.strays.get() {
            return Ok(strays);
        }
        let mut pairs = Pairs::default();
        self.scan_catalog(&NoProgress, &mut |node, i, r| {
            pairs.add(At::new(node, i), r);
        })?;
        let strays = pairs.strays();
        Ok(self.name_table.strays.get_or_init(|| strays))
    }

    /// The links to an inode.
    fn links_to(&self, directory: bool, inode: u32) -> Result<&[Link]> {
        let all = match self.name_table.links.get() {
            Some(all) => all,
            None => {
                let mut all = Vec::new();
                self.scan_catalog(&NoProgress, &mut |node, i, r| {
                    all.extend(link(At::new(node, i), r));
                })?;
                all.sort_unstable();
                self.name_table.links.get_or_init(|| all)
            }
        };
        let key = (directory, inode);
        let first = all.partition_point(|l| (l.directory, l.inode) < key);
        let past = all.partition_point(|l| (l.directory, l.inode) <= key);
        Ok(all.get(first..past).unwrap_or_default())
    }

    /// Parent and stored name of an object; by its thread alone where its record is lost.
    pub(super) fn key_of(&self, cnid: u32) -> Result<Option<(u32, Vec<u8>)>> {
        match self.located(cnid) {
            Ok(Some((parent, name, _))) => Ok(Some((parent, name))),
            Err(crate::Error::Interrupted) => Err(crate::Error::Interrupted),
            _ => Ok(self.catalog.thread(cnid).ok().flatten()),
        }
    }

    /// See [`crate::fs::FileSystem::names`].
    pub(super) fn names_of(&self, cnid: u32) -> Result<Vec<Name>> {
        if cnid == ROOT {
            return Ok(Vec::new());
        }
        let Some((parent, name)) = self.key_of(cnid)? else { return Ok(Vec::new()) };
        let is = |folder: Result<Option<super::private::PrivateFolder>>| {
            folder.ok().flatten().is_some_and(|f| f.id == parent)
        };
        let directory = is(self.dir_inodes());
        if (directory || is(self.file_inodes()))
            && let Some(inode) = inode_number(&name)
        {
            return self.link_names(directory, inode);
        }
        Ok(vec![shown(parent, &name)])
    }

    fn link_names(&self, directory: bool, inode: u32) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        for link in self.links_to(directory, inode)? {
            let (parent, name, _) = self.catalog.at(link.at.position())?;
            names.push(shown(parent, &name));
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn shown(parent: u32, name: &[u8]) -> Name {
    Name { parent: NodeId(u64::from(parent)), name: display(name) }
}
