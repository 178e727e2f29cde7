//! What a volume holds, before it is laid out.

use sha2::{Digest, Sha256};

/// A catalog node ID (CNID).
pub type Cnid = u32;

/// The volume's root folder.
pub const ROOT: Cnid = 2;

/// Seconds between 1904-01-01 and 1970-01-01.
pub const HFS_EPOCH: i64 = 2_082_844_800;

/// The HFS+ date (seconds since 1904) of a Unix time in seconds.
pub fn hfs_date(unix: i64) -> u32 {
    u32::try_from(unix + HFS_EPOCH).expect("date outside 1904-2040")
}

/// The date nodes get unless told otherwise (Unix seconds).
pub const DEFAULT_UNIX: i64 = 1_571_000_000;

/// Which fork of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForkKind {
    /// The data fork, 0x00 in extent keys.
    Data,
    /// The resource fork, 0xFF in extent keys.
    Resource,
}

/// The bytes of a fork or attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Content {
    /// No bytes, no blocks.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many zero bytes; they take blocks but no room in the image.
    Zeros(u64),
    /// Reproducible, incompressible bytes.
    Pattern {
        /// Chooses the bytes.
        seed: u64,
        /// Length in bytes.
        len: u64,
    },
}

impl Content {
    /// Reproducible English-like text of `len` bytes.
    pub fn text(seed: u64, len: usize) -> Content {
        const WORDS: [&str; 16] = [
            "the", "backup", "of", "every", "letter", "and", "picture", "was", "kept", "in", "a",
            "quiet", "house", "by", "river", "summer",
        ];
        let mut out = Vec::with_capacity(len + 16);
        let mut i = 0;
        while out.len() < len {
            let word = splitmix(seed.wrapping_add(i));
            out.extend_from_slice(WORDS[(word % 16) as usize].as_bytes());
            out.push(if word & 0xF00 == 0 { b'\n' } else { b' ' });
            i += 1;
        }
        out.truncate(len);
        Content::Bytes(out)
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Empty => 0,
            Content::Bytes(b) => b.len() as u64,
            Content::Zeros(n) | Content::Pattern { len: n, .. } => *n,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with the bytes from `at` on, which must exist.
    pub fn read(&self, at: u64, buf: &mut [u8]) {
        match self {
            Content::Empty | Content::Zeros(_) => buf.fill(0),
            Content::Bytes(b) => buf.copy_from_slice(&b[at as usize..at as usize + buf.len()]),
            Content::Pattern { seed, .. } => {
                for (i, byte) in buf.iter_mut().enumerate() {
                    let pos = at + i as u64;
                    *byte = (splitmix(seed ^ (pos / 8)) >> (pos % 8 * 8)) as u8;
                }
            }
        }
    }

    /// All bytes at once.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.len() as usize];
        self.read(0, &mut out);
        out
    }

    /// Calls `f` with each piece of at most 1 MiB.
    pub fn pieces(&self, mut f: impl FnMut(&[u8])) {
        let mut buf = vec![0; self.len().min(1 << 20) as usize];
        let mut at = 0;
        while at < self.len() {
            let n = (self.len() - at).min(1 << 20) as usize;
            self.read(at, &mut buf[..n]);
            f(&buf[..n]);
            at += n as u64;
        }
    }

    /// SHA-256 in lower-case hex.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        self.pieces(|p| hash.update(p));
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Content::Empty } else { Content::Bytes(bytes) }
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

/// One step of the SplitMix64 generator: a well mixed function of `x`.
pub fn splitmix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What the catalog says of an object besides its place and forks. Dates are HFS+ dates.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// BSD mode; the type bits are added by the builder where they are missing.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Creation date.
    pub created: u32,
    /// Content modification date.
    pub modified: u32,
    /// Attribute modification date.
    pub changed: u32,
    /// Access date.
    pub accessed: u32,
    /// Backup date, 0 for never.
    pub backed_up: u32,
    /// Finder information, both halves.
    pub finder_info: [u8; 32],
    /// BSD flags: UF_* in the low half, SF_* in the high half.
    pub bsd_flags: u32,
    /// Text encoding hint.
    pub text_encoding: u32,
    /// Unix seconds at which the item came to its folder; sets record flag 0x80.
    pub date_added: Option<u32>,
}

impl Meta {
    /// A file's usual metadata: 0644, uid 501, gid 20.
    pub fn file() -> Self {
        Meta::with_mode(0o644)
    }

    /// A folder's usual metadata: 0755, uid 501, gid 20.
    pub fn dir() -> Self {
        Meta::with_mode(0o755)
    }

    /// The usual metadata with these permission bits.
    pub fn with_mode(mode: u16) -> Self {
        let date = hfs_date(DEFAULT_UNIX);
        Meta {
            mode,
            uid: 501,
            gid: 20,
            created: date,
            modified: date,
            changed: date,
            accessed: date,
            backed_up: 0,
            finder_info: [0; 32],
            bsd_flags: 0,
            text_encoding: 0,
            date_added: None,
        }
    }

    /// Sets creation, modification, attribute and access date to one Unix time.
    pub fn dated(mut self, unix: i64) -> Self {
        let date = hfs_date(unix);
        (self.created, self.modified, self.changed, self.accessed) = (date, date, date, date);
        self
    }

    /// Sets owner and group.
    pub fn owned(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Sets Finder type, creator and flags.
    pub fn finder(mut self, kind: &[u8; 4], creator: &[u8; 4], flags: u16) -> Self {
        self.finder_info[..4].copy_from_slice(kind);
        self.finder_info[4..8].copy_from_slice(creator);
        self.finder_info[8..10].copy_from_slice(&flags.to_be_bytes());
        self
    }
}

/// UF_IMMUTABLE.
pub const UF_IMMUTABLE: u32 = 0x02;
/// UF_COMPRESSED.
pub const UF_COMPRESSED: u32 = 0x20;

/// A fork and how it is to lie on the volume.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fork {
    pub content: Content,
    /// Number of extents wanted; 0 and 1 mean one.
    pub pieces: u32,
    /// Blocks beyond the logical size.
    pub spare_blocks: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    FileLink,
    DirLink,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub id: Cnid,
    pub parent: Cnid,
    pub name: Box<[u16]>,
    pub kind: Kind,
    pub meta: Meta,
    /// Record flags that the builder does not work out itself (0x0020).
    pub flags: u16,
    /// Link count, link reference or raw device, as the record's `special` field.
    pub special: u32,
    /// Newest link of an inode (files: `reserved1`; folders: the firstlink attribute).
    pub first_link: Cnid,
    pub data: Fork,
    pub resource: Option<Box<Fork>>,
}

impl Node {
    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    pub fn fork(&self, kind: ForkKind) -> Option<&Fork> {
        match kind {
            ForkKind::Data => Some(&self.data),
            ForkKind::Resource => self.resource.as_deref(),
        }
    }

    pub fn fork_mut(&mut self, kind: ForkKind) -> &mut Fork {
        match kind {
            ForkKind::Data => &mut self.data,
            ForkKind::Resource => self.resource.get_or_insert_default(),
        }
    }
}
