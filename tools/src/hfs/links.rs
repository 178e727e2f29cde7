//! Hard links to files and folders, and the chains that join them.

use super::builder::{S_IFREG, VolumeBuilder};
use super::model::*;
use super::names::utf16;

/// The attribute in which a directory inode keeps its newest link's CNID.
pub(crate) const FIRST_LINK: &str = "com.apple.system.hfs.firstlink";

const IN_CHAIN: u16 = 0x20;

impl VolumeBuilder {
    /// Adds a hard link to a file and returns the link's CNID. The first call turns the file into
    /// an inode and leaves a link in its old place.
    pub fn hard_link(&mut self, target: Cnid, parent: Cnid, name: &str) -> Cnid {
        let units = self.units(name);
        let inode = self.inode_of(target);
        assert!(!self.node(inode).is_folder(), "use dir_link for folders");
        if self.node(inode).first_link == 0 {
            let private = self.file_private_directory();
            let name = format!("iNode{inode}");
            self.make_inode(inode, private, &name, Kind::FileLink);
        }
        self.add_link(inode, parent, units, Kind::FileLink)
    }

    /// Adds a hard link to a folder and returns the link's CNID.
    pub fn dir_link(&mut self, target: Cnid, parent: Cnid, name: &str) -> Cnid {
        let units = self.units(name);
        let inode = self.inode_of(target);
        assert!(self.node(inode).is_folder(), "use hard_link for files");
        if self.node(inode).first_link == 0 {
            let private = self.dir_private_directory();
            let name = format!("dir_{inode}");
            self.make_inode(inode, private, &name, Kind::DirLink);
        }
        self.add_link(inode, parent, units, Kind::DirLink)
    }

    /// Adds a hard link as Mac OS X wrote it before 10.5 (and Linux does): the inode is named by
    /// `reference`, and there is no chain. Returns the link's CNID.
    pub fn old_hard_link(
        &mut self,
        target: Cnid,
        parent: Cnid,
        name: &str,
        reference: u32,
    ) -> Cnid {
        let units = self.units(name);
        let private = self.file_private_directory();
        if self.node(target).parent != private {
            let old = (self.node(target).parent, self.node(target).name.to_vec());
            self.move_node(target, private, &format!("iNode{reference}"));
            self.node_mut(target).special = 0;
            self.add_old_link(reference, old.0, old.1);
            self.node_mut(target).special += 1;
        }
        self.node_mut(target).special += 1;
        self.add_old_link(reference, parent, units)
    }

    fn add_old_link(&mut self, reference: u32, parent: Cnid, name: Vec<u16>) -> Cnid {
        let mut meta = Meta::with_mode(0).owned(0, 0).dated(self.options.created);
        meta = meta.finder(b"hlnk", b"hfs+", 0x0100);
        let id = self.add(parent, name, Kind::FileLink, meta);
        self.node_mut(id).special = reference;
        id
    }

    /// The inode behind a link, or the object itself. Old links are not followed.
    pub fn inode_of(&self, id: Cnid) -> Cnid {
        let node = self.node(id);
        match node.kind {
            Kind::FileLink | Kind::DirLink => node.special,
            _ => id,
        }
    }

    /// The links of an inode, newest first.
    pub fn links_of(&self, inode: Cnid) -> Vec<Cnid> {
        let mut out = Vec::new();
        let mut at = self.node(inode).first_link;
        while at != 0 {
            out.push(at);
            at = self.node(at).meta.gid;
        }
        out
    }

    fn move_node(&mut self, id: Cnid, parent: Cnid, name: &str) {
        let node = self.node_mut(id);
        node.parent = parent;
        node.name = utf16(name).into_boxed_slice();
    }

    fn make_inode(&mut self, inode: Cnid, private: Cnid, name: &str, kind: Kind) {
        assert!(self.node(inode).parent != 1, "the root cannot be linked");
        let (parent, old_name) = (self.node(inode).parent, self.node(inode).name.to_vec());
        self.move_node(inode, private, name);
        let node = self.node_mut(inode);
        node.flags |= IN_CHAIN;
        node.special = 0;
        self.add_link(inode, parent, old_name, kind);
    }

    fn add_link(&mut self, inode: Cnid, parent: Cnid, name: Vec<u16>, kind: Kind) -> Cnid {
        let next = self.node(inode).first_link;
        let mut meta = Meta::with_mode(S_IFREG | 0o444).owned(0, next).dated(self.options.created);
        meta = match kind {
            Kind::DirLink => meta.finder(b"fdrp", b"MACS", 0x8000),
            _ => meta.finder(b"hlnk", b"hfs+", 0x0100),
        };
        meta.bsd_flags = UF_IMMUTABLE;
        let id = self.add(parent, name, kind, meta);
        let link = self.node_mut(id);
        link.flags |= IN_CHAIN;
        link.special = inode;
        if next != 0 {
            self.node_mut(next).meta.uid = id;
        }
        let node = self.node_mut(inode);
        node.first_link = id;
        node.special += 1;
        if kind == Kind::DirLink {
            let mut value = id.to_string().into_bytes();
            value.push(0);
            self.set_xattr(inode, FIRST_LINK, value);
        }
        id
    }
}
