//! From the model of a volume to its records.

use super::model::*;
use super::names::hash;
use super::options::Names;
use super::records::{self, FsKey, field, flag, put_fields, record};
use super::volume::Volume;
use crate::bytes::Put;

impl Volume {
    /// The key of a directory entry.
    pub(crate) fn entry_key(&self, parent: Ino, name: &str) -> FsKey {
        match self.options.names {
            Names::Plain => FsKey::named(parent, record::ENTRY, name),
            _ => FsKey::hashed(parent, hash(name, self.options.folds()), name),
        }
    }

    /// Stores a directory entry.
    pub(crate) fn put_entry(&mut self, parent: Ino, name: &str, id: Ino, sibling: Option<u64>) {
        let inode = &self.inodes[&id];
        let value = records::entry(id, inode.meta.changed, inode.meta.mode, sibling);
        let key = self.entry_key(parent, name);
        self.put_record(key, value);
    }

    /// Stores the inode's record anew.
    pub(crate) fn put_inode(&mut self, id: Ino) {
        let inode = &self.inodes[&id];
        let meta = &inode.meta;
        let stream = self.streams.get(&inode.private).filter(|_| inode.is_file());
        let holes = stream.map_or(0, |s| s.holes());
        let flags = inode.flags | if holes > 0 { flag::SPARSE } else { 0 };
        let links = if inode.is_dir() { inode.children.len() as u32 } else { inode.nlink() };
        let mut out = Vec::with_capacity(200);
        out.le64(inode.parent);
        out.le64(inode.private);
        for date in [meta.created, meta.modified, meta.changed, meta.accessed] {
            out.le64(date as u64);
        }
        out.le64(flags);
        for word in [links, inode.protection, 1, meta.bsd_flags, meta.uid, meta.gid] {
            out.le32(word);
        }
        out.extend_from_slice(&meta.mode.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.le64(inode.uncompressed);
        let mut fields = inode.extra_fields.clone();
        fields.push((field::NAME, 2, [inode.name.as_bytes(), b"\0"].concat()));
        if let Some(s) = stream {
            let value = records::stream(s.size, s.allocated(), self.default_crypto());
            fields.push((field::STREAM, 0x20, value));
        }
        if holes > 0 {
            fields.push((field::SPARSE, 0x28, holes.to_le_bytes().to_vec()));
        }
        if let Some(device) = inode.device {
            fields.push((field::DEVICE, 0x22, device.to_le_bytes().to_vec()));
        }
        fields.sort_by_key(|f| f.0);
        put_fields(&mut out, &fields);
        self.put_record(FsKey::plain(id, record::INODE), out);
    }

    /// Stores the record of a stream's users, where it has one.
    pub(crate) fn put_stream(&mut self, id: u64) {
        let stream = &self.streams[&id];
        if stream.attribute && !self.options.attribute_stream_records {
            return;
        }
        let users = stream.users;
        self.put_record(FsKey::plain(id, record::STREAM), users.to_le_bytes().to_vec());
    }

    /// Stores one of the stream's extents.
    pub(crate) fn put_run(&mut self, id: u64, at: u64) {
        let run = self.streams[&id].runs[&at];
        let tweak = u8::from(run.crypto != 0);
        let flags = tweak | if run.prealloc { 2 } else { 0 };
        let value = records::file_extent(run.len, flags, run.address, run.crypto);
        self.put_record(FsKey::numbered(id, record::FILE_EXTENT, at), value);
    }

    /// Stores an attribute's record.
    pub(crate) fn put_xattr(&mut self, id: Ino, name: &str) {
        let owned = if matches!(name, SYMLINK | "com.apple.fs.firmlink") { 4 } else { 0 };
        let value = match &self.inodes[&id].xattrs[name] {
            Xattr::Embedded(bytes) => records::embedded(owned, bytes),
            Xattr::Stream(stream) => {
                let s = &self.streams[stream];
                records::in_stream(owned, *stream, s.size, s.allocated(), self.default_crypto())
            }
        };
        self.put_record(FsKey::named(id, record::XATTR, name), value);
    }

    /// Counts or uncounts an inode.
    pub(crate) fn count(&mut self, id: Ino, delta: i64) {
        let which = match self.inodes[&id].meta.mode & S_IFMT {
            S_IFREG => 0,
            S_IFDIR => 1,
            S_IFLNK => 2,
            _ => 3,
        };
        self.counts[which] = self.counts[which].wrapping_add_signed(delta);
    }
}
