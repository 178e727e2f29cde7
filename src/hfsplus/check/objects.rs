//! The catalog's records in packed tables, and what they must agree on
//! (sections 7 and 16).

use super::blocks::{Blocks, Overflow};
use crate::hfsplus::catalog::{Key, is_damaged_link, type_and_creator};
use crate::hfsplus::extents::ForkType;
use crate::hfsplus::format::{
    CatalogCommon, CatalogFile, DIR_LINK, FILE_LINK, FIRST_USER_CNID, FLAG_LINK_CHAIN,
    FLAG_THREAD_EXISTS, ROOT, ROOT_PARENT, decode, record_type,
};
use crate::hfsplus::node::split;
use crate::hfsplus::private::inode_number;
use crate::io::bytes::{be16, be32};
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};
use std::hash::{Hash, Hasher};

/// Finder type and creator of a symbolic link: `slnk`, `rhap`.
const SYMLINK: (u32, u32) = (0x736C_6E6B, 0x7268_6170);
/// Bytes of a thread record with a name of 255 units.
const LONGEST_THREAD: usize = 520;
/// Finder flag: the name is locked.
const NAME_LOCKED: u16 = 0x1000;

/// What an object is, as far as the joins care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Folder,
    File,
    FileLink,
    DirLink,
}

/// A folder or file record, packed.
#[derive(Debug, Clone, Copy)]
pub struct Object {
    pub cnid: u32,
    pub parent: u32,
    /// Hash of parent and name: a thread must have the same.
    pub key: u32,
    pub shape: Shape,
    /// Whether it reads without compression: something is in its data fork, or nothing in
    /// either fork.
    pub has_data: bool,
    /// Whether it is a link whose mark is damaged, if it is no inode.
    pub damaged_link: bool,
    pub owner_flags: u8,
    pub flags: u16,
    pub mode: u16,
    /// Folder: entries. File: first link.
    pub valence: u32,
    pub folder_count: u32,
    /// Links: inode number. Inodes: link count.
    pub special: u32,
    /// Links: the chain.
    pub previous: u32,
    pub next: u32,
    pub created: u32,
    /// The number in a name `iNode<N>`, `dir_<N>`, `temp<N>`; 0 in others.
    pub number: u32,
}

/// A thread record, packed.
#[derive(Debug, Clone, Copy)]
pub struct Thread {
    pub cnid: u32,
    pub key: u32,
    pub parent: u32,
    pub folder: bool,
}

/// Entries of a folder, counted run by run.
#[derive(Debug, Clone, Copy)]
pub struct Children {
    pub parent: u32,
    pub entries: u32,
    pub folders: u32,
}

/// Everything that is collected from the catalog's leaves.
pub struct Collected<'a> {
    pub objects: Vec<Object>,
    pub threads: Vec<Thread>,
    pub children: Vec<Children>,
    pub blocks: Blocks<'a>,
    pub overflow: Overflow,
    pub files: u64,
    pub folders: u64,
    pub largest: u32,
    /// For each encoding in use, the bits it may stand for.
    pub encodings: std::collections::BTreeSet<u64>,
    pub last_encoding: u32,
    /// Whether some record could not be taken in.
    pub broken: bool,
    pub reporter: &'a dyn Reporter,
    pub locate: &'a dyn Fn(u32) -> Option<crate::error::Locus>,
}

/// A hash of parent and name; 32 bits tell a wrong thread from a right one.
fn key_hash(parent: u32, name: &[u8]) -> u32 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    parent.hash(&mut hasher);
    name.hash(&mut hasher);
    (hasher.finish() >> 32).try_into().unwrap_or(0)
}

/// The bit of the encodings bitmap that a text encoding may stand for (section 0).
fn encoding_bits(encoding: u32) -> u64 {
    match encoding {
        152 => 1 << 48 | 1 << 24,
        140 => 1 << 49 | 1 << 12,
        e => 1 << if (e & 0x7F) < 48 { e & 0x7F } else { 0 },
    }
}

impl Collected<'_> {
    fn report(&mut self, code: Code, node: u32, index: usize, cnid: Option<u32>, text: String) {
        let mut place =
            Where::of(Structure::Catalog).node(node).record(index).at((self.locate)(node));
        place.object = cnid.map(u64::from);
        let text = format!("catalog node {node} record {index}: {text}");
        self.reporter.report(Finding::new(code, place, text));
    }

    /// Take in one leaf record.
    pub fn record(&mut self, node: u32, index: usize, record: &[u8]) {
        let Some(parts) = split(record) else { return };
        let Some(key) = Key::parse(parts.key) else { return };
        let data = parts.data;
        match be16(data, 0) {
            Some(record_type::FOLDER) if data.len() == 88 => self.folder(node, index, key, data),
            Some(record_type::FILE) if data.len() == 248 => self.file(node, index, key, data),
            Some(kind @ (record_type::FOLDER_THREAD | record_type::FILE_THREAD))
                if (8..=LONGEST_THREAD).contains(&data.len()) =>
            {
                self.thread(node, index, key, data, kind == record_type::FOLDER_THREAD);
            }
            Some(kind @ 1..=4) => {
                let text = format!("{} bytes for a record of type {kind}", data.len());
                self.report(Code::CatalogRecord, node, index, None, text);
                self.broken = true;
            }
            kind => {
                let text = format!("record type {}", kind.unwrap_or(0));
                self.report(Code::CatalogRecord, node, index, None, text);
                self.broken = true;
            }
        }
    }

    fn thread(&mut self, node: u32, index: usize, key: Key<'_>, data: &[u8], folder: bool) {
        let cnid = Some(key.parent);
        if !key.name.is_empty() {
            self.report(Code::CatalogThread, node, index, cnid, "a thread's key has a name".into());
            return;
        }
        let parent = be32(data, 4).unwrap_or(0);
        let len = usize::from(be16(data, 8).unwrap_or(0));
        let name = data.get(10..10 + 2 * len).filter(|_| (1..=255).contains(&len));
        let Some(name) = name else {
            let text = format!("a thread has a name of {len} units");
            self.report(Code::CatalogName, node, index, cnid, text);
            return;
        };
        // Old systems left threads as long as the longest; else they end with the name.
        let exact = 10 + name.len();
        if data.len() != exact && data.len() != LONGEST_THREAD {
            let text = format!("{} bytes for a thread of {exact}", data.len());
            let place = Where::of(Structure::Catalog).node(node).record(index).object(key.parent);
            let text = format!("catalog node {node} record {index}: {text}");
            let finding = Finding::new(Code::CatalogRecord, place.at((self.locate)(node)), text);
            self.reporter.report(finding.severity(Severity::Info));
        }
        let key_of = key_hash(parent, name);
        self.threads.push(Thread { cnid: key.parent, key: key_of, parent, folder });
    }

    /// What folder and file records have in common; `None` if it is unusable.
    fn common(&mut self, node: u32, index: usize, key: Key<'_>, c: &CatalogCommon) -> Object {
        let root = c.id == ROOT && key.parent == ROOT_PARENT;
        if (c.id < FIRST_USER_CNID && !root)
            || (key.parent < FIRST_USER_CNID && key.parent != ROOT && !root)
        {
            let text = format!("object {} in folder {}", c.id, key.parent);
            self.report(Code::CatalogId, node, index, Some(c.id), text);
        }
        if key.name.is_empty() {
            self.report(Code::CatalogName, node, index, Some(c.id), "an object has no name".into());
        }
        let dots = matches!(key.name, [0, b'.'] | [0, b'.', 0, b'.']);
        if dots {
            let text = "an object is called '.' or '..'".into();
            self.report(Code::CatalogName, node, index, Some(c.id), text);
        }
        self.largest = self.largest.max(c.id);
        if self.last_encoding != c.text_encoding {
            self.last_encoding = c.text_encoding;
            self.encodings.insert(encoding_bits(c.text_encoding));
        }
        Object {
            cnid: c.id,
            parent: key.parent,
            key: key_hash(key.parent, key.name),
            shape: Shape::File,
            has_data: false,
            damaged_link: false,
            owner_flags: c.bsd.owner_flags,
            flags: c.flags,
            mode: c.bsd.file_mode,
            valence: c.valence,
            folder_count: c.folder_count,
            special: c.bsd.special,
            previous: c.bsd.owner_id,
            next: c.bsd.group_id,
            created: c.create_date,
            number: inode_number(key.name).unwrap_or(0),
        }
    }

    fn count_child(&mut self, parent: u32, folder: bool) {
        match self.children.last_mut() {
            Some(last) if last.parent == parent => {
                last.entries += 1;
                last.folders += u32::from(folder);
            }
            _ => self.children.push(Children { parent, entries: 1, folders: u32::from(folder) }),
        }
    }

    fn folder(&mut self, node: u32, index: usize, key: Key<'_>, data: &[u8]) {
        let Some(c) = decode::<CatalogCommon>(data) else { return };
        let mut object = self.common(node, index, key, &c);
        object.shape = Shape::Folder;
        if c.flags & 0x0003 != 0 {
            let text = format!("folder {} has flags {:#06x}", c.id, c.flags);
            self.report(Code::CatalogFlags, node, index, Some(c.id), text);
        }
        let locked = be16(&c.finder_info, 8).unwrap_or(0) & NAME_LOCKED != 0;
        if object.cnid == ROOT && locked {
            let text = "the name of the root folder is locked".into();
            self.report(Code::CatalogFlags, node, index, Some(c.id), text);
        }
        let kind = c.bsd.file_mode & 0o170_000;
        if c.bsd.file_mode != 0 && kind != 0o040_000 {
            let text = format!("folder {} has mode {:06o}", c.id, c.bsd.file_mode);
            self.report(Code::CatalogMode, node, index, Some(c.id), text);
        }
        self.count_child(key.parent, true);
        self.folders += 1;
        self.objects.push(object);
    }

    /// What a link's own record must be like.
    fn link(&mut self, node: u32, index: usize, shape: Shape, f: &CatalogFile) {
        let id = f.common.id;
        let mut say = |text: String| {
            self.report(Code::LinkFlags, node, index, Some(id), text);
        };
        if matches!(shape, Shape::DirLink | Shape::FileLink) && f.data_fork.total_blocks != 0 {
            say(format!("link {id} has contents of its own"));
        }
        if shape != Shape::DirLink {
            return;
        }
        if f.common.flags & FLAG_LINK_CHAIN == 0 {
            say(format!("directory link {id} is not marked as part of a chain"));
        }
        let alias = be16(&f.common.finder_info, 8).unwrap_or(0) & 0x8000 != 0;
        if !alias {
            say(format!("directory link {id} is not marked as an alias"));
        }
    }

    fn file(&mut self, node: u32, index: usize, key: Key<'_>, data: &[u8]) {
        let Some(f) = decode::<CatalogFile>(data) else { return };
        let c = &f.common;
        let mut object = self.common(node, index, key, c);
        object.has_data = f.data_fork.logical_size > 0 || f.resource_fork.logical_size == 0;
        object.damaged_link = is_damaged_link(&f);
        let kind = type_and_creator(c);
        let chained = c.flags & FLAG_LINK_CHAIN != 0;
        object.shape = if kind == FILE_LINK {
            Shape::FileLink
        } else if kind == DIR_LINK && (chained || c.bsd.special >= FIRST_USER_CNID) {
            // A Finder alias of a folder looks the same, but names no inode.
            Shape::DirLink
        } else {
            Shape::File
        };
        if c.flags & FLAG_THREAD_EXISTS == 0 {
            let text = format!("file {} is not marked as having a thread", c.id);
            let place = Where::of(Structure::Catalog).node(node).record(index).object(c.id);
            let finding = Finding::new(Code::CatalogFlags, place, text);
            self.reporter.report(finding.severity(Severity::Info));
        }
        let mode_kind = c.bsd.file_mode & 0o170_000;
        let known = [0o100_000, 0o120_000, 0o020_000, 0o060_000, 0o010_000, 0o140_000];
        let is_known = known.contains(&mode_kind);
        if c.bsd.file_mode != 0 && !is_known {
            let text = format!("file {} has mode {:06o}", c.id, c.bsd.file_mode);
            self.report(Code::CatalogMode, node, index, Some(c.id), text);
        }
        let keeps_data = mode_kind == 0o100_000 || mode_kind == 0o120_000;
        if c.bsd.file_mode != 0 && is_known && !keeps_data && f.data_fork.total_blocks > 0 {
            let text = format!("file {} has contents and mode {:06o}", c.id, c.bsd.file_mode);
            self.report(Code::CatalogMode, node, index, Some(c.id), text);
        }
        if mode_kind == 0o120_000 && kind != SYMLINK {
            // The mode decides; Apple's fsck looks at the rest only when debugging.
            let text = format!("symbolic link {} has another file's Finder type", c.id);
            let place = Where::of(Structure::Catalog).node(node).record(index).object(c.id);
            let finding = Finding::new(Code::SymlinkBad, place, text);
            self.reporter.report(finding.severity(Severity::Info));
        }
        if mode_kind == 0o120_000
            && (f.data_fork.logical_size == 0 || f.data_fork.logical_size > 1024)
        {
            let text = format!("symbolic link {} has {} bytes", c.id, f.data_fork.logical_size);
            self.report(Code::SymlinkBad, node, index, Some(c.id), text);
        }
        if chained || object.shape == Shape::DirLink {
            self.link(node, index, object.shape, &f);
        }
        self.blocks.fork(c.id, ForkType::Data, &f.data_fork, &mut self.overflow);
        self.blocks.fork(c.id, ForkType::Resource, &f.resource_fork, &mut self.overflow);
        self.count_child(key.parent, object.shape == Shape::DirLink);
        self.files += 1;
        self.objects.push(object);
    }
}
