//! The names of an object: by its thread; of an inode, by the links that lead to it.

use super::HfsPlus;
use super::catalog::{Record, is_dir_link, is_file_link};
use super::check::{TreeSpec, inode_number, scan};
use super::format::{CatalogFile, ROOT, decode, record_type};
use super::node::split;
use super::unicode::display;
use crate::error::Result;
use crate::fs::{Name, NodeId};
use crate::io::bytes::{be16, be32};
use crate::report::NoProgress;
use std::ops::ControlFlow;

/// Links and parents of the whole volume, collected in one pass.
#[derive(Default)]
pub(super) struct NameTable {
    /// Sorted by inode.
    links: Vec<Link>,
    /// CNID and parent of every folder and file, sorted; for those without a thread.
    parents: Vec<(u32, u32)>,
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

impl NameTable {
    fn build(fs: &HfsPlus) -> Result<Self> {
        let mut table = Self::default();
        let spec = TreeSpec::catalog(fs.catalog().folds_case());
        scan(&spec, fs.catalog().tree(), &NoProgress, &mut |_, _, record| table.take(record))?;
        table.links.sort_unstable();
        table.parents.sort_unstable();
        Ok(table)
    }

    fn take(&mut self, record: &[u8]) {
        let Some(parts) = split(record) else { return };
        let kind = be16(parts.data, 0);
        if !matches!(kind, Some(record_type::FOLDER | record_type::FILE)) {
            return;
        }
        let (Some(parent), Some(cnid)) = (be32(parts.key, 0), be32(parts.data, 8)) else { return };
        self.parents.push((cnid, parent));
        // Decoding every file would take longer than all the rest.
        let linked = matches!(parts.data.get(48..52), Some(b"hlnk" | b"fdrp"));
        if kind == Some(record_type::FILE)
            && linked
            && let Some(file) = decode::<CatalogFile>(parts.data)
        {
            let directory = is_dir_link(&file);
            if directory || is_file_link(&file) {
                let inode = file.common.bsd.special;
                self.links.push(Link { directory, inode, cnid, parent });
            }
        }
    }

    fn links(&self, directory: bool, inode: u32) -> &[Link] {
        let key = (directory, inode);
        let first = self.links.partition_point(|l| (l.directory, l.inode) < key);
        let past = self.links.partition_point(|l| (l.directory, l.inode) <= key);
        self.links.get(first..past).unwrap_or_default()
    }

    fn parent(&self, cnid: u32) -> Option<u32> {
        let at = self.parents.partition_point(|(c, _)| *c < cnid);
        self.parents.get(at).filter(|(c, _)| *c == cnid).map(|(_, parent)| *parent)
    }
}

impl HfsPlus {
    fn name_table(&self) -> Result<&NameTable> {
        if let Some(table) = self.name_table.get() {
            return Ok(table);
        }
        let table = NameTable::build(self)?;
        Ok(self.name_table.get_or_init(|| table))
    }

    /// Parent and stored name of an object, by its thread, else by looking for its
    /// record in the folder that holds it.
    fn key_of(&self, cnid: u32) -> Result<Option<(u32, Vec<u8>)>> {
        if let Ok(Some(found)) = self.catalog().thread(cnid) {
            return Ok(Some(found));
        }
        let Some(parent) = self.name_table()?.parent(cnid) else { return Ok(None) };
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
        for link in self.name_table()?.links(directory, inode) {
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
