//! The names of an object: by its thread; of an inode, by the links that lead to it.

use super::HfsPlus;
use super::catalog::{Record, is_dir_link, is_file_link};
use super::check::inode_number;
use super::format::{CatalogFile, ROOT, decode, record_type};
use super::node::split;
use super::unicode::display;
use crate::error::Result;
use crate::fs::{Name, NodeId};
use crate::io::bytes::{be16, be32};
use crate::report::NoProgress;
use std::ops::ControlFlow;
use std::sync::OnceLock;

/// Links and parents of the whole volume, each collected in one pass when it is
/// first needed.
#[derive(Default)]
pub(super) struct NameTable {
    /// Sorted by inode.
    links: OnceLock<Vec<Link>>,
    /// CNID and parent of every folder and file, sorted; for those without a thread.
    parents: OnceLock<Vec<(u32, u32)>>,
}

/// A hard link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    directory: bool,
    /// Number in the inode's name.
    inode: u32,
    /// CNID of the link itself.
    cnid: u32,
    parent: u32,
}

/// The link that a catalog record is, if it is one.
fn link(record: &[u8]) -> Option<Link> {
    let parts = split(record)?;
    // Decoding every file would take longer than all the rest.
    let linked = matches!(parts.data.get(48..52), Some(b"hlnk" | b"fdrp"));
    if be16(parts.data, 0)? != record_type::FILE || !linked {
        return None;
    }
    let file: CatalogFile = decode(parts.data)?;
    let directory = is_dir_link(&file);
    let (inode, cnid) = (file.common.bsd.special, file.common.id);
    let parent = be32(parts.key, 0)?;
    (directory || is_file_link(&file)).then_some(Link { directory, inode, cnid, parent })
}

/// CNID and parent of the folder or file that a catalog record is.
fn parent(record: &[u8]) -> Option<(u32, u32)> {
    let parts = split(record)?;
    let kind = be16(parts.data, 0)?;
    let object = matches!(kind, record_type::FOLDER | record_type::FILE);
    if object { Some((be32(parts.data, 8)?, be32(parts.key, 0)?)) } else { None }
}

impl HfsPlus {
    /// What `take` finds in all records of the catalog, sorted.
    fn collect<T: Ord>(&self, take: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.scan_catalog(&NoProgress, &mut |_, _, r| found.extend(take(r)))?;
        found.sort_unstable();
        Ok(found)
    }

    /// The links to an inode.
    fn links_to(&self, directory: bool, inode: u32) -> Result<&[Link]> {
        let all = match self.name_table.links.get() {
            Some(all) => all,
            None => {
                let all = self.collect(link)?;
                self.name_table.links.get_or_init(|| all)
            }
        };
        let key = (directory, inode);
        let first = all.partition_point(|l| (l.directory, l.inode) < key);
        let past = all.partition_point(|l| (l.directory, l.inode) <= key);
        Ok(all.get(first..past).unwrap_or_default())
    }

    /// The folder that holds an object, whether it has a thread or not.
    fn parent_of(&self, cnid: u32) -> Result<Option<u32>> {
        let all = match self.name_table.parents.get() {
            Some(all) => all,
            None => {
                let all = self.collect(parent)?;
                self.name_table.parents.get_or_init(|| all)
            }
        };
        let at = all.partition_point(|(c, _)| *c < cnid);
        Ok(all.get(at).filter(|(c, _)| *c == cnid).map(|(_, parent)| *parent))
    }

    /// Parent and stored name of an object, by its thread, else by looking for its
    /// record in the folder that holds it.
    fn key_of(&self, cnid: u32) -> Result<Option<(u32, Vec<u8>)>> {
        if let Ok(Some(found)) = self.catalog().thread(cnid) {
            return Ok(Some(found));
        }
        let Some(parent) = self.parent_of(cnid)? else { return Ok(None) };
        Ok(self.name_in(parent, cnid).map(|name| (parent, name)))
    }

    /// The name under which an object stands in a folder.
    fn name_in(&self, parent: u32, cnid: u32) -> Option<Vec<u8>> {
        let mut found = None;
        let at = self.catalog().first_child(parent).ok()??;
        let look = &mut |_, name: &[u8], record: Record| {
            if record.common().is_some_and(|c| c.id == cnid) {
                found = Some(name.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        };
        // What was found before a broken node counts.
        let _ = self.catalog().children(parent, at, look);
        found
    }

    /// See [`crate::fs::FileSystem::names`].
    pub(super) fn names_of(&self, cnid: u32) -> Result<Vec<Name>> {
        if cnid == ROOT {
            return Ok(Vec::new());
        }
        let Some((parent, name)) = self.key_of(cnid)? else { return Ok(Vec::new()) };
        let directory = Some(parent) == self.dir_inodes;
        if (directory || Some(parent) == self.file_inodes)
            && let Some(inode) = inode_number(&name)
        {
            return self.link_names(directory, inode);
        }
        Ok(vec![shown(parent, &name)])
    }

    fn link_names(&self, directory: bool, inode: u32) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        for link in self.links_to(directory, inode)? {
            let thread = self.catalog().thread(link.cnid).ok().flatten();
            let name = thread.filter(|(parent, _)| *parent == link.parent).map(|(_, name)| name);
            if let Some(name) = name.or_else(|| self.name_in(link.parent, link.cnid)) {
                names.push(shown(link.parent, &name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn shown(parent: u32, name: &[u8]) -> Name {
    Name { parent: NodeId(u64::from(parent)), name: display(name) }
}
