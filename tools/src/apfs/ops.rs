//! Changing a volume: creating, linking, cloning, writing, moving, deleting.

use super::core::Core;
use super::data::Placement;
use super::model::*;
use super::records::{self, FsKey, flag, record};
use super::volume::Volume;
use crate::decmpfs::{self, DecmpfsType};
use crate::hfs::{Acl, Content};

/// Longest value that is embedded.
const EMBEDDED_MAX: usize = 3804;

/// A volume of a container, open for changes.
pub struct Vol<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) volume: &'a mut Volume,
}

impl Vol<'_> {
    /// The root directory.
    pub fn root(&self) -> Ino {
        ROOT
    }

    /// The date that changes of the volume carry, nanoseconds since 1970.
    pub fn set_time(&mut self, ns: i64) {
        self.volume.now = ns;
    }

    /// The inode of a path below the root.
    pub fn lookup(&self, path: &str) -> Option<Ino> {
        path.split('/')
            .filter(|p| !p.is_empty())
            .try_fold(ROOT, |at, part| self.volume.inodes[&at].children.get(part).copied())
    }

    /// Names and inodes in a directory.
    pub fn children(&self, dir: Ino) -> Vec<(String, Ino)> {
        self.volume.inodes[&dir].children.iter().map(|(n, &i)| (n.clone(), i)).collect()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self, id: Ino) -> bool {
        self.volume.inodes[&id].is_dir()
    }

    /// Size of a file's data.
    pub fn size(&self, id: Ino) -> u64 {
        let inode = &self.volume.inodes[&id];
        self.volume.streams.get(&inode.private).map_or(0, |s| s.size)
    }

    fn take_id(&mut self) -> u64 {
        self.volume.next_id += 1;
        self.volume.next_id - 1
    }

    fn node(&mut self, id: Ino) -> &mut Inode {
        self.volume.inodes.get_mut(&id).expect("an inode")
    }

    fn insert_child(&mut self, parent: Ino, name: &str, id: Ino) {
        assert!(self.volume.inodes[&parent].is_dir(), "the parent is no directory");
        assert!((1..1022).contains(&name.len()) && !name.contains('/'), "no name for an entry");
        let old = self.node(parent).children.insert(name.into(), id);
        assert!(old.is_none(), "{name} is there already");
        self.volume.put_inode(parent);
    }

    /// Makes an object of any type; the mode must say which.
    pub fn special(&mut self, parent: Ino, name: &str, device: Option<u32>, meta: Meta) -> Ino {
        let id = self.take_id();
        let mut inode = Inode::new(parent, name, id, meta);
        inode.device = device;
        inode.protection = self.volume.protection();
        self.volume.inodes.insert(id, inode);
        self.volume.count(id, 1);
        self.volume.put_inode(id);
        self.volume.put_entry(parent, name, id, None);
        self.insert_child(parent, name, id);
        id
    }

    /// Makes a directory.
    pub fn mkdir(&mut self, parent: Ino, name: &str, mut meta: Meta) -> Ino {
        meta.mode |= S_IFDIR;
        self.special(parent, name, None, meta)
    }

    /// Makes a file.
    pub fn file(
        &mut self,
        parent: Ino,
        name: &str,
        content: impl Into<Content>,
        mut meta: Meta,
    ) -> Ino {
        meta.mode |= S_IFREG;
        let id = self.special(parent, name, None, meta);
        self.write(id, 0, content);
        id
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, parent: Ino, name: &str, target: &str, mut meta: Meta) -> Ino {
        meta.mode |= S_IFLNK;
        let id = self.special(parent, name, None, meta);
        let value = [target.as_bytes(), b"\0"].concat();
        self.node(id).xattrs.insert(SYMLINK.into(), Xattr::Embedded(value));
        self.volume.put_xattr(id, SYMLINK);
        id
    }

    /// Makes a file that is deleted but still open.
    pub fn orphan(&mut self, content: impl Into<Content>) -> Ino {
        let name = format!("0x{:x}-dead", self.volume.next_id);
        let id = self.file(PRIVATE_DIR, &name, content, Meta::file());
        self.volume.count(id, -1);
        // The inode still names the directory it was deleted from.
        let inode = self.node(id);
        (inode.orphan, inode.parent, inode.name) = (true, ROOT, "deleted".into());
        self.volume.put_inode(id);
        id
    }

    /// The stream of a file that is about to change: its own, and there.
    fn own_stream(&mut self, id: Ino) -> u64 {
        let private = self.volume.inodes[&id].private;
        match self.volume.streams.get(&private) {
            None => {
                self.volume.new_stream(private, false);
                private
            }
            Some(stream) if stream.users > 1 => {
                // The first write to a clone gives it a stream of its own.
                let fresh = self.take_id();
                self.volume.share_stream(self.core, private, fresh);
                self.volume.release_stream(self.core, private);
                self.node(id).private = fresh;
                fresh
            }
            Some(_) => private,
        }
    }

    /// Writes bytes into a file; what they replace goes to new blocks.
    pub fn write(&mut self, id: Ino, at: u64, content: impl Into<Content>) {
        self.write_pieces(id, at, content, 1);
    }

    /// The same, in so many extents.
    pub fn write_pieces(&mut self, id: Ino, at: u64, content: impl Into<Content>, pieces: u64) {
        let content = content.into();
        if content.is_empty() {
            return;
        }
        let stream = self.own_stream(id);
        self.volume.write_stream(self.core, stream, (at, content), Placement { pieces });
        self.volume.put_inode(id);
    }

    /// Cuts or grows a file; growing leaves a hole.
    pub fn truncate(&mut self, id: Ino, size: u64) {
        let stream = self.own_stream(id);
        self.volume.resize_stream(self.core, stream, size);
        self.volume.put_inode(id);
    }

    /// Adds blocks behind the file's end that hold no data.
    pub fn preallocate(&mut self, id: Ino, blocks: u64) {
        let stream = self.own_stream(id);
        self.volume.preallocate_stream(self.core, stream, blocks);
        self.volume.put_inode(id);
    }

    /// Changes the metadata of an object.
    pub fn set_meta(&mut self, id: Ino, change: impl FnOnce(&mut Meta)) {
        change(&mut self.node(id).meta);
        self.volume.put_inode(id);
    }

    /// Sets an attribute: embedded where it fits, else in a stream.
    pub fn set_xattr(&mut self, id: Ino, name: &str, value: impl Into<Content>) {
        let value = value.into();
        let stream = value.len() as usize > EMBEDDED_MAX || name == decmpfs::RESOURCE_FORK;
        self.put_attribute(id, name, value, stream);
    }

    /// Sets an attribute in a stream, however short.
    pub fn set_stream_xattr(&mut self, id: Ino, name: &str, value: impl Into<Content>) {
        self.put_attribute(id, name, value.into(), true);
    }

    /// Sets an attribute in the record itself.
    pub fn set_embedded_xattr(&mut self, id: Ino, name: &str, value: impl Into<Content>) {
        self.put_attribute(id, name, value.into(), false);
    }

    fn put_attribute(&mut self, id: Ino, name: &str, value: Content, stream: bool) {
        self.remove_xattr(id, name);
        let stored = if stream {
            let fresh = self.take_id();
            self.volume.new_stream(fresh, true);
            let how = Placement::default();
            self.volume.write_stream(self.core, fresh, (0, value), how);
            Xattr::Stream(fresh)
        } else {
            Xattr::Embedded(value.to_vec())
        };
        self.node(id).xattrs.insert(name.into(), stored);
        self.volume.put_xattr(id, name);
        self.flag_attributes(id);
    }

    /// Removes an attribute, if it is there.
    pub fn remove_xattr(&mut self, id: Ino, name: &str) {
        let Some(old) = self.node(id).xattrs.remove(name) else { return };
        self.volume.remove_record(&FsKey::named(id, record::XATTR, name));
        if let Xattr::Stream(stream) = old {
            self.volume.release_stream(self.core, stream);
        }
        self.flag_attributes(id);
    }

    /// Makes the inode's flags tell of its attributes.
    fn flag_attributes(&mut self, id: Ino) {
        let inode = self.node(id);
        let mut flags = inode.flags
            & !(flag::RESOURCE_FORK | flag::NO_RESOURCE_FORK | flag::SECURITY | flag::FINDER_INFO);
        let has = |name: &str| inode.xattrs.contains_key(name);
        flags |=
            if has(decmpfs::RESOURCE_FORK) { flag::RESOURCE_FORK } else { flag::NO_RESOURCE_FORK };
        flags |= if has(SECURITY) { flag::SECURITY } else { 0 };
        flags |= if has(FINDER_INFO) { flag::FINDER_INFO } else { 0 };
        if flags != inode.flags {
            inode.flags = flags;
            self.volume.put_inode(id);
        }
    }

    /// Sets the access control list.
    pub fn set_acl(&mut self, id: Ino, acl: &Acl) {
        self.set_xattr(id, SECURITY, acl.to_bytes());
    }

    /// Compresses a file's content.
    pub fn compress(&mut self, id: Ino, how: DecmpfsType) {
        let stream = self.own_stream(id);
        let size = self.volume.streams[&stream].size;
        let mut data = vec![0; size as usize];
        self.volume.streams[&stream].read(0, &mut data);
        let (header, fork) = decmpfs::compress(&data, how);
        self.volume.resize_stream(self.core, stream, 0);
        let inode = self.node(id);
        inode.decoded = Some(data.into());
        inode.uncompressed = size;
        inode.flags |= flag::UNCOMPRESSED_SIZE;
        inode.meta.bsd_flags |= 0x20;
        self.set_embedded_xattr(id, decmpfs::XATTR, header);
        if !fork.is_empty() {
            self.set_xattr(id, decmpfs::RESOURCE_FORK, fork);
        }
        self.volume.put_inode(id);
    }

    /// A further name of a file.
    pub fn hard_link(&mut self, id: Ino, parent: Ino, name: &str) {
        if self.volume.inodes[&id].links.is_empty() {
            let (old_parent, old_name) =
                (self.volume.inodes[&id].parent, self.volume.inodes[&id].name.clone());
            self.add_link(id, old_parent, &old_name);
        }
        self.add_link(id, parent, name);
        self.insert_child(parent, name, id);
        self.volume.put_inode(id);
    }

    fn add_link(&mut self, id: Ino, parent: Ino, name: &str) {
        let sibling = self.take_id();
        self.node(id).links.push(Link { sibling, parent, name: name.into() });
        let key = FsKey::numbered(id, record::SIBLING, sibling);
        self.volume.put_record(key, records::sibling(parent, name));
        let key = FsKey::plain(sibling, record::SIBLING_MAP);
        self.volume.put_record(key, id.to_le_bytes().to_vec());
        self.volume.put_entry(parent, name, id, Some(sibling));
    }

    fn drop_link(&mut self, id: Ino, parent: Ino, name: &str) {
        let inode = self.node(id);
        let at = inode.links.iter().position(|l| l.parent == parent && l.name == name);
        let Some(at) = at else { return };
        let link = inode.links.remove(at);
        // The oldest link is the primary one.
        if let Some(first) = inode.links.first() {
            (inode.parent, inode.name) = (first.parent, first.name.clone());
        }
        self.volume.remove_record(&FsKey::numbered(id, record::SIBLING, link.sibling));
        self.volume.remove_record(&FsKey::plain(link.sibling, record::SIBLING_MAP));
    }

    /// A clone: a new file that shares the data until either is written to. With `copied` it has a
    /// stream of its own over the same blocks, else they share the stream too.
    pub fn clone_file(&mut self, source: Ino, parent: Ino, name: &str, copied: bool) -> Ino {
        let id = self.take_id();
        let mut inode = self.volume.inodes[&source].clone();
        (inode.parent, inode.name) = (parent, name.into());
        inode.links.clear();
        inode.flags = inode.flags | flag::WAS_CLONED | flag::EVER_CLONED;
        let old = inode.private;
        let xattrs = std::mem::take(&mut inode.xattrs);
        if !self.volume.streams.contains_key(&old) {
            inode.private = id;
        } else if copied {
            inode.private = self.take_id();
            self.volume.share_stream(self.core, old, inode.private);
        } else {
            self.volume.streams.get_mut(&old).expect("a stream").users += 1;
            self.volume.put_stream(old);
        }
        self.volume.inodes.insert(id, inode);
        for (name, xattr) in xattrs {
            self.clone_xattr(id, &name, xattr);
        }
        self.volume.count(id, 1);
        self.volume.put_inode(id);
        self.volume.put_entry(parent, name, id, None);
        self.insert_child(parent, name, id);
        self.node(source).flags |= flag::EVER_CLONED;
        self.volume.put_inode(source);
        id
    }

    fn clone_xattr(&mut self, id: Ino, name: &str, xattr: Xattr) {
        let stored = match xattr {
            Xattr::Stream(old) => {
                let fresh = self.take_id();
                self.volume.share_stream(self.core, old, fresh);
                Xattr::Stream(fresh)
            }
            embedded => embedded,
        };
        self.node(id).xattrs.insert(name.into(), stored);
        self.volume.put_xattr(id, name);
    }

    /// Takes a name away; the last one takes the object, which must be empty if it is a directory.
    pub fn unlink(&mut self, parent: Ino, name: &str) {
        let id = self.node(parent).children.remove(name).expect("an entry");
        self.volume.put_inode(parent);
        let key = self.volume.entry_key(parent, name);
        self.volume.remove_record(&key);
        self.drop_link(id, parent, name);
        let inode = &self.volume.inodes[&id];
        assert!(inode.children.is_empty(), "{name} is not empty");
        if inode.links.is_empty() {
            self.remove_inode(id);
        } else {
            self.volume.put_inode(id);
        }
    }

    fn remove_inode(&mut self, id: Ino) {
        let names: Vec<String> = self.node(id).xattrs.keys().cloned().collect();
        for name in names {
            self.remove_xattr(id, &name);
        }
        self.volume.count(id, -1);
        let inode = self.volume.inodes.remove(&id).expect("an inode");
        if inode.meta.mode & S_IFMT == S_IFREG {
            self.volume.release_stream(self.core, inode.private);
        }
        self.volume.remove_record(&FsKey::plain(id, record::INODE));
    }

    /// Deletes an entry and everything below it.
    pub fn remove_tree(&mut self, parent: Ino, name: &str) {
        let id = self.volume.inodes[&parent].children[name];
        for (child, _) in self.children(id) {
            self.remove_tree(id, &child);
        }
        self.unlink(parent, name);
    }

    /// Gives an object another place.
    pub fn rename(&mut self, parent: Ino, name: &str, to: Ino, new_name: &str) {
        let id = self.node(parent).children.remove(name).expect("an entry");
        self.volume.put_inode(parent);
        let key = self.volume.entry_key(parent, name);
        self.volume.remove_record(&key);
        let inode = self.node(id);
        if inode.parent == parent && inode.name == name {
            (inode.parent, inode.name) = (to, new_name.into());
        }
        let link = inode.links.iter_mut().find(|l| l.parent == parent && l.name == name);
        let sibling = link.map(|link| {
            (link.parent, link.name) = (to, new_name.into());
            link.sibling
        });
        if let Some(sibling) = sibling {
            let key = FsKey::numbered(id, record::SIBLING, sibling);
            self.volume.put_record(key, records::sibling(to, new_name));
        }
        self.volume.put_entry(to, new_name, id, sibling);
        self.insert_child(to, new_name, id);
        self.volume.put_inode(id);
    }

    /// Sets an extended field of an inode (document id, purgeable flags), and inode flags with it.
    pub fn set_field(&mut self, id: Ino, field: (u8, u8, Vec<u8>), flags: u64) {
        let inode = self.node(id);
        inode.extra_fields.retain(|f| f.0 != field.0);
        inode.extra_fields.push(field);
        inode.flags |= flags;
        self.volume.put_inode(id);
    }
}
