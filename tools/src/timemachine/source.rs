//! The content of a Mac's volume at the time of a backup.

use std::collections::BTreeMap;

use crate::decmpfs::DecmpfsType;
use crate::hfs::{Content, Meta};

/// A folder of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Dir {
    /// Its metadata.
    pub meta: Meta,
    /// Its attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// What is in it.
    pub items: BTreeMap<String, Item>,
}

/// A file of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct FileItem {
    /// Its (logical) content.
    pub content: Content,
    /// Its metadata.
    pub meta: Meta,
    /// Its resource fork, unless it is compressed.
    pub resource: Content,
    /// Its attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// How it is compressed.
    pub compressed: Option<DecmpfsType>,
}

/// Something in a folder.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A folder.
    Dir(Dir),
    /// A file.
    File(FileItem),
    /// A symbolic link and its target.
    Symlink(String, Meta),
}

impl Dir {
    /// An empty folder.
    pub fn new(meta: Meta) -> Self {
        Dir { meta, xattrs: Vec::new(), items: BTreeMap::new() }
    }

    /// The folder at `path` below, made (with this folder's metadata) if need be.
    pub fn dir(&mut self, path: &str) -> &mut Dir {
        let mut at = self;
        for part in path.split('/').filter(|p| !p.is_empty()) {
            let meta = at.meta.clone();
            let item = at.items.entry(part.into()).or_insert_with(|| Item::Dir(Dir::new(meta)));
            let Item::Dir(dir) = item else { panic!("{part} is no folder") };
            at = dir;
        }
        at
    }

    /// Puts a file into the folder, in place of one of that name, and returns it.
    pub fn file(&mut self, name: &str, content: impl Into<Content>, meta: Meta) -> &mut FileItem {
        let file = FileItem {
            content: content.into(),
            meta,
            resource: Content::Empty,
            xattrs: Vec::new(),
            compressed: None,
        };
        self.items.insert(name.into(), Item::File(file));
        match self.items.get_mut(name) {
            Some(Item::File(file)) => file,
            _ => unreachable!(),
        }
    }

    /// Puts a symbolic link into the folder.
    pub fn symlink(&mut self, name: &str, target: &str, meta: Meta) {
        self.items.insert(name.into(), Item::Symlink(target.into(), meta));
    }

    /// Bytes of all files below.
    pub fn bytes(&self) -> u64 {
        self.items
            .values()
            .map(|item| match item {
                Item::Dir(dir) => dir.bytes(),
                Item::File(file) => file.content.len() + file.resource.len(),
                Item::Symlink(target, _) => target.len() as u64,
            })
            .sum()
    }
}
