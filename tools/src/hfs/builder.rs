//! Filling a volume: folders, files, attributes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::acl::Acl;
use super::attributes::Xattr;
use super::model::*;
use super::names::{decompose, utf16};
use super::options::VolumeOptions;
use crate::decmpfs::{self, DecmpfsType};

pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;

pub(crate) const FILE_PRIVATE: &str = "\0\0\0\0HFS+ Private Data";
pub(crate) const DIR_PRIVATE: &str = ".HFS+ Private Directory Data\r";
/// The attribute that holds an access control list.
pub(crate) const SECURITY: &str = "com.apple.system.Security";

/// A volume in the making. Nodes are named by CNID; `build` lays them out.
#[derive(Clone, Debug)]
pub struct VolumeBuilder {
    pub(crate) options: VolumeOptions,
    pub(crate) nodes: Vec<Node>,
    pub(crate) index: HashMap<Cnid, u32>,
    pub(crate) xattrs: BTreeMap<(Cnid, Vec<u16>), Xattr>,
    pub(crate) file_private: Cnid,
    pub(crate) dir_private: Cnid,
    pub(crate) journal_ids: Option<(Cnid, Cnid)>,
    /// What compressed files hold once decoded.
    pub(crate) decoded: HashMap<Cnid, Content>,
    pub(crate) omitted_threads: HashSet<Cnid>,
    pub(crate) omitted_records: HashSet<Cnid>,
    next: Cnid,
}

impl VolumeBuilder {
    /// An empty volume: root, journal files and private directories.
    pub fn new(options: VolumeOptions) -> Self {
        options.check();
        let mut builder = VolumeBuilder {
            options,
            nodes: Vec::new(),
            index: HashMap::new(),
            xattrs: BTreeMap::new(),
            file_private: 0,
            dir_private: 0,
            journal_ids: None,
            decoded: HashMap::new(),
            omitted_threads: HashSet::new(),
            omitted_records: HashSet::new(),
            next: 16,
        };
        builder.add_root();
        if builder.options.journaled() {
            builder.add_journal_files();
        }
        if builder.options.private_directories {
            builder.file_private_directory();
            builder.dir_private_directory();
        }
        builder
    }

    fn meta_at_creation(&self, mode: u16) -> Meta {
        Meta::with_mode(mode).dated(self.options.created)
    }

    fn add_root(&mut self) {
        let name = self.units(&self.options.name);
        let meta = self.meta_at_creation(S_IFDIR | 0o755);
        self.insert(ROOT, 1, name, Kind::Folder, meta);
        self.node_mut(ROOT).special = 0;
    }

    fn add_journal_files(&mut self) {
        let mut meta = self.meta_at_creation(S_IFREG).owned(0, 0).finder(b"jrnl", b"hfs+", 0x5000);
        (meta.changed, meta.accessed) = (0, 0);
        let journal = self.add(ROOT, utf16(".journal"), Kind::File, meta.clone());
        let info = self.add(ROOT, utf16(".journal_info_block"), Kind::File, meta);
        self.node_mut(journal).data.content = Content::Zeros(self.options.journal_size);
        self.node_mut(info).data.content = Content::Zeros(self.options.block_size.into());
        self.journal_ids = Some((journal, info));
    }

    fn private_directory(&mut self, name: &str, mode: u16) -> Cnid {
        let mut meta = self.meta_at_creation(mode).owned(0, 0).finder(&[0; 4], &[0; 4], 0x5000);
        meta.finder_info[10..14].copy_from_slice(&[0x40, 0, 0x40, 0]);
        meta.bsd_flags = UF_IMMUTABLE;
        self.add(ROOT, utf16(name), Kind::Folder, meta)
    }

    /// The folder of file inodes, made if need be.
    pub fn file_private_directory(&mut self) -> Cnid {
        if self.file_private == 0 {
            self.file_private = self.private_directory(FILE_PRIVATE, S_IFDIR);
        }
        self.file_private
    }

    /// The folder of directory inodes, made if need be.
    pub fn dir_private_directory(&mut self) -> Cnid {
        if self.dir_private == 0 {
            self.dir_private = self.private_directory(DIR_PRIVATE, S_IFDIR | 0o1555);
        }
        self.dir_private
    }

    /// The root folder's CNID.
    pub fn root(&self) -> Cnid {
        ROOT
    }

    /// The options the volume was begun with.
    pub fn options(&self) -> &VolumeOptions {
        &self.options
    }

    /// The CNID that the next object gets.
    pub fn next_cnid(&self) -> Cnid {
        self.next
    }

    /// Leaves a gap: the next object gets this CNID.
    pub fn set_next_cnid(&mut self, next: Cnid) {
        assert!(next >= self.next, "CNIDs only grow");
        self.next = next;
    }

    pub(crate) fn units(&self, name: &str) -> Vec<u16> {
        if self.options.decompose { decompose(name) } else { utf16(name) }
    }

    fn insert(&mut self, id: Cnid, parent: Cnid, name: Vec<u16>, kind: Kind, meta: Meta) {
        assert!((1..=255).contains(&name.len()), "names have 1 to 255 units");
        let (name, resource) = (name.into_boxed_slice(), None);
        let node = Node {
            id,
            parent,
            name,
            kind,
            meta,
            flags: 0,
            special: 1,
            first_link: 0,
            data: Fork::default(),
            resource,
        };
        self.index.insert(id, self.nodes.len() as u32);
        self.nodes.push(node);
    }

    pub(crate) fn add(&mut self, parent: Cnid, name: Vec<u16>, kind: Kind, meta: Meta) -> Cnid {
        assert!(self.node(parent).is_folder(), "the parent is no folder");
        let id = self.next;
        self.next += 1;
        self.insert(id, parent, name, kind, meta);
        id
    }

    pub(crate) fn node(&self, id: Cnid) -> &Node {
        &self.nodes[self.index[&id] as usize]
    }

    pub(crate) fn node_mut(&mut self, id: Cnid) -> &mut Node {
        &mut self.nodes[self.index[&id] as usize]
    }

    /// The metadata of an object, to be changed at will.
    pub fn meta_mut(&mut self, id: Cnid) -> &mut Meta {
        &mut self.node_mut(id).meta
    }

    /// Sets the record's `special` field (link count, link reference or device).
    pub fn set_special(&mut self, id: Cnid, special: u32) {
        self.node_mut(id).special = special;
    }

    /// The object's folder.
    pub fn parent(&self, id: Cnid) -> Cnid {
        self.node(id).parent
    }

    /// Makes a folder.
    pub fn mkdir(&mut self, parent: Cnid, name: &str, meta: Meta) -> Cnid {
        let units = self.units(name);
        self.mkdir_units(parent, units, meta)
    }

    /// Makes a folder with a name in UTF-16, stored as given.
    pub fn mkdir_units(&mut self, parent: Cnid, name: Vec<u16>, mut meta: Meta) -> Cnid {
        meta.mode |= S_IFDIR;
        self.add(parent, name, Kind::Folder, meta)
    }

    /// Makes a file.
    pub fn file(
        &mut self,
        parent: Cnid,
        name: &str,
        content: impl Into<Content>,
        meta: Meta,
    ) -> Cnid {
        let units = self.units(name);
        self.file_units(parent, units, content, meta)
    }

    /// Makes a file with a name in UTF-16, stored as given.
    pub fn file_units(
        &mut self,
        parent: Cnid,
        name: Vec<u16>,
        content: impl Into<Content>,
        mut meta: Meta,
    ) -> Cnid {
        if meta.mode & S_IFMT == 0 {
            meta.mode |= S_IFREG;
        }
        let id = self.add(parent, name, Kind::File, meta);
        self.node_mut(id).data.content = content.into();
        id
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, parent: Cnid, name: &str, target: &str, meta: Meta) -> Cnid {
        let mut meta = meta.finder(b"slnk", b"rhap", 0);
        meta.mode |= S_IFLNK;
        self.file(parent, name, target, meta)
    }

    /// Makes a device, fifo or socket; `meta.mode` says which.
    pub fn special(&mut self, parent: Cnid, name: &str, rdev: u32, meta: Meta) -> Cnid {
        assert!(meta.mode & S_IFMT != 0, "say in the mode what it is");
        let id = self.file(parent, name, Content::Empty, meta);
        self.node_mut(id).special = rdev;
        id
    }

    /// Makes a file that was deleted while open (`temp<CNID>` in the private directory).
    pub fn orphan(&mut self, content: impl Into<Content>) -> Cnid {
        let dir = self.file_private_directory();
        let name = utf16(&format!("temp{}", self.next));
        let id = self.file_units(dir, name, content, Meta::file());
        self.node_mut(id).special = 0;
        id
    }

    /// Sets a file's resource fork.
    pub fn set_resource_fork(&mut self, id: Cnid, content: impl Into<Content>) {
        self.node_mut(id).fork_mut(ForkKind::Resource).content = content.into();
    }

    /// Makes a fork lie in `pieces` extents (as far as it has blocks).
    pub fn fragment(&mut self, id: Cnid, fork: ForkKind, pieces: u32) {
        self.node_mut(id).fork_mut(fork).pieces = pieces;
    }

    /// Gives a fork `blocks` blocks beyond its logical size.
    pub fn preallocate(&mut self, id: Cnid, fork: ForkKind, blocks: u32) {
        self.node_mut(id).fork_mut(fork).spare_blocks = blocks;
    }

    /// Sets an extended attribute; it goes inline if it fits, else into a fork of its own.
    pub fn set_xattr(&mut self, id: Cnid, name: &str, value: impl Into<Content>) {
        let value = value.into();
        let inline = value.len() <= super::attributes::max_inline(&self.options);
        self.xattrs.insert((id, utf16(name)), Xattr { value, inline, pieces: 1 });
    }

    /// Sets an extended attribute stored in `pieces` extents, however small.
    pub fn set_xattr_fork(&mut self, id: Cnid, name: &str, value: impl Into<Content>, pieces: u32) {
        let xattr = Xattr { value: value.into(), inline: false, pieces };
        self.xattrs.insert((id, utf16(name)), xattr);
    }

    /// Gives an object an access control list.
    pub fn set_acl(&mut self, id: Cnid, acl: &Acl) {
        self.set_xattr(id, SECURITY, acl.to_bytes());
    }

    /// Compresses a file: its data fork moves into `com.apple.decmpfs` or the resource fork.
    pub fn compress(&mut self, id: Cnid, how: DecmpfsType) {
        let content = std::mem::take(&mut self.node_mut(id).data.content);
        let (header, resource) = decmpfs::compress(&content.to_vec(), how);
        self.set_xattr(id, decmpfs::XATTR, header);
        if !resource.is_empty() {
            self.set_resource_fork(id, resource);
        }
        self.node_mut(id).meta.bsd_flags |= UF_COMPRESSED;
        self.decoded.insert(id, content);
    }

    /// Puts an object into another folder without looking whether that makes sense.
    pub fn reparent(&mut self, id: Cnid, parent: Cnid) {
        self.node_mut(id).parent = parent;
    }

    /// Sets flags of an object's record that the builder does not work out itself.
    pub fn set_record_flags(&mut self, id: Cnid, flags: u16) {
        self.node_mut(id).flags |= flags;
    }

    /// Leaves an object's thread record out of the catalog.
    pub fn omit_thread(&mut self, id: Cnid) {
        self.omitted_threads.insert(id);
    }

    /// Leaves an object's file or folder record out of the catalog.
    pub fn omit_record(&mut self, id: Cnid) {
        self.omitted_records.insert(id);
    }

    /// Finds an object by its path of names as given (`/` between them), following no link.
    pub fn lookup(&self, path: &str) -> Option<Cnid> {
        path.split('/').filter(|p| !p.is_empty()).try_fold(ROOT, |parent, part| {
            let units = self.units(part);
            self.nodes.iter().find(|n| n.parent == parent && *n.name == *units).map(|n| n.id)
        })
    }
}
