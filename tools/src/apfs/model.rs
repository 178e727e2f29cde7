//! What a volume holds, before it is put into records.

use std::collections::BTreeMap;

use crate::hfs::Content;

/// An inode number.
pub type Ino = u64;

/// The root directory.
pub const ROOT: Ino = 2;
/// The directory of files that are deleted but open.
pub const PRIVATE_DIR: Ino = 3;
/// Parent of both.
pub const ROOT_PARENT: Ino = 1;

/// The date objects get unless told otherwise: nanoseconds since 1970.
pub const DEFAULT_NS: i64 = 1_700_000_000_123_456_789;

pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;

/// The attribute with a symbolic link's target.
pub const SYMLINK: &str = "com.apple.fs.symlink";
/// The attribute with the access control list.
pub const SECURITY: &str = "com.apple.system.Security";
/// The attribute with the Finder's information.
pub const FINDER_INFO: &str = "com.apple.FinderInfo";

/// What an inode says besides its place and streams. Dates are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// BSD mode; the type bits are added by the builder where they are missing.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Creation date.
    pub created: i64,
    /// Content modification date.
    pub modified: i64,
    /// Attribute modification date.
    pub changed: i64,
    /// Access date.
    pub accessed: i64,
    /// BSD flags.
    pub bsd_flags: u32,
}

impl Meta {
    /// The usual metadata with these permission bits: uid 501, gid 20.
    pub fn with_mode(mode: u16) -> Self {
        let d = DEFAULT_NS;
        let (created, modified, changed, accessed) = (d, d, d, d);
        Meta { mode, uid: 501, gid: 20, created, modified, changed, accessed, bsd_flags: 0 }
    }

    /// A file's usual metadata, 0644.
    pub fn file() -> Self {
        Meta::with_mode(0o644)
    }

    /// A directory's usual metadata, 0755.
    pub fn dir() -> Self {
        Meta::with_mode(0o755)
    }

    /// Sets all dates, in nanoseconds.
    pub fn dated(mut self, ns: i64) -> Self {
        (self.created, self.modified, self.changed, self.accessed) = (ns, ns, ns, ns);
        self
    }

    /// Sets owner and group.
    pub fn owned(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Sets the BSD flags.
    pub fn flagged(mut self, bsd_flags: u32) -> Self {
        self.bsd_flags = bsd_flags;
        self
    }
}

/// A name of a hard-linked file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    pub sibling: u64,
    pub parent: Ino,
    pub name: String,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Xattr {
    Embedded(Vec<u8>),
    Stream(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub parent: Ino,
    pub name: String,
    pub meta: Meta,
    pub private: u64,
    pub flags: u64,
    /// Sibling links; empty for files that never had a second name.
    pub links: Vec<Link>,
    pub device: Option<u32>,
    pub xattrs: BTreeMap<String, Xattr>,
    pub uncompressed: u64,
    /// What a compressed file holds once decoded.
    pub decoded: Option<Content>,
    pub children: BTreeMap<String, Ino>,
    pub protection: u32,
    /// Deleted but open: its only entry is in the private directory.
    pub orphan: bool,
    /// Extended fields beside name, stream, sparse bytes and device.
    pub extra_fields: Vec<(u8, u8, Vec<u8>)>,
}

impl Inode {
    pub fn new(parent: Ino, name: &str, private: u64, meta: Meta) -> Self {
        Inode {
            parent,
            name: name.into(),
            meta,
            private,
            flags: super::records::flag::NO_RESOURCE_FORK,
            links: Vec::new(),
            device: None,
            xattrs: BTreeMap::new(),
            uncompressed: 0,
            decoded: None,
            children: BTreeMap::new(),
            protection: 0,
            orphan: false,
            extra_fields: Vec::new(),
        }
    }

    pub fn is_dir(&self) -> bool {
        self.meta.mode & S_IFMT == S_IFDIR
    }

    pub fn is_file(&self) -> bool {
        self.meta.mode & S_IFMT == S_IFREG
    }

    /// Number of names.
    pub fn nlink(&self) -> u32 {
        if self.orphan { 0 } else { (self.links.len() as u32).max(1) }
    }
}

/// A run of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// Length in bytes, whole blocks.
    pub len: u64,
    /// First block; 0 for a hole.
    pub address: u64,
    /// Tweak of its first block; 0 where there is no encryption.
    pub crypto: u64,
    /// Preallocated, marked as such.
    pub prealloc: bool,
}

/// A data stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub size: u64,
    /// Runs by logical byte.
    pub runs: BTreeMap<u64, Run>,
    /// Inodes that share it.
    pub users: u32,
    /// What was written, later over earlier.
    pub data: Vec<(u64, Content)>,
    /// Belongs to an attribute.
    pub attribute: bool,
}

impl Stream {
    /// Bytes that the runs cover.
    pub fn allocated(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(at, run)| at + run.len)
    }

    /// Bytes of holes.
    pub fn holes(&self) -> u64 {
        self.runs.values().filter(|r| r.address == 0).map(|r| r.len).sum()
    }

    /// Fills `buf` with the content from `at` on; zeros where nothing was written.
    pub fn read(&self, at: u64, buf: &mut [u8]) {
        buf.fill(0);
        let end = at + buf.len() as u64;
        for (start, content) in &self.data {
            let (from, to) = (at.max(*start), end.min(start + content.len()));
            if from < to {
                content.read(from - start, &mut buf[(from - at) as usize..(to - at) as usize]);
            }
        }
    }

    /// SHA-256 of the content in lower-case hex.
    pub fn sha256(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        let mut buf = vec![0; 1 << 16];
        let mut at = 0;
        while at < self.size {
            let n = (self.size - at).min(buf.len() as u64) as usize;
            self.read(at, &mut buf[..n]);
            hash.update(&buf[..n]);
            at += n as u64;
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Forgets what lies past the end, so that growing shows zeros.
    pub fn cut_data(&mut self, size: u64) {
        for (start, content) in &mut self.data {
            let keep = size.saturating_sub(*start);
            if keep < content.len() {
                let mut bytes = vec![0; keep as usize];
                content.read(0, &mut bytes);
                *content = bytes.into();
            }
        }
        self.data.retain(|(_, c)| !c.is_empty());
    }
}
