//! The superblock of a volume (section 5), and its copy in a snapshot.

use super::format::{CASE_INSENSITIVE, NORMALIZATION_INSENSITIVE, SEALED, UNENCRYPTED, kind};
use super::names::Rules;
use super::object::{Expected, Object, Storage};
use super::store::Store;
use crate::error::Result;
use crate::io::bytes::{array, le16, le32, le64};

/// Entries of the history of a volume.
const HISTORY: usize = 8;

/// A volume superblock (`apfs_superblock_t`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Superblock {
    pub oid: u64,
    pub xid: u64,
    pub index: u32,
    pub features: u64,
    pub read_only: u64,
    pub incompatible: u64,
    pub unmount_time: u64,
    pub reserve: u64,
    pub quota: u64,
    pub allocated: u64,
    pub omap_block: u64,
    pub root_oid: u64,
    pub extent_references: u64,
    pub snapshots_block: u64,
    pub revert_to: u64,
    pub revert_superblock: u64,
    pub next_object: u64,
    pub files: u64,
    pub folders: u64,
    pub symlinks: u64,
    pub others: u64,
    pub snapshots: u64,
    pub uuid: [u8; 16],
    pub modified: u64,
    pub flags: u64,
    /// What made it, and what changed it last.
    pub formatted_by: String,
    pub modified_by: Vec<String>,
    pub name: String,
    /// Next number of a document.
    pub next_document: u32,
    pub role: u16,
    /// Snapshot that the volume starts from.
    pub root_to: u64,
    pub encryption_state: u64,
    pub group: [u8; 16],
    pub integrity_meta: u64,
    pub sealed_extents: u64,
}

impl Superblock {
    /// Decode; `None` if the bytes are no volume superblock.
    pub fn parse(b: &[u8]) -> Option<Self> {
        if array(b, 0x20)? != *b"APSB" {
            return None;
        }
        let program = |at: usize| text(b.get(at..at + 32)?);
        Some(Self {
            oid: le64(b, 8)?,
            xid: le64(b, 0x10)?,
            index: le32(b, 0x24)?,
            features: le64(b, 0x28)?,
            read_only: le64(b, 0x30)?,
            incompatible: le64(b, 0x38)?,
            unmount_time: le64(b, 0x40)?,
            reserve: le64(b, 0x48)?,
            quota: le64(b, 0x50)?,
            allocated: le64(b, 0x58)?,
            omap_block: le64(b, 0x80)?,
            root_oid: le64(b, 0x88)?,
            extent_references: le64(b, 0x90)?,
            snapshots_block: le64(b, 0x98)?,
            revert_to: le64(b, 0xA0)?,
            revert_superblock: le64(b, 0xA8)?,
            next_object: le64(b, 0xB0)?,
            files: le64(b, 0xB8)?,
            folders: le64(b, 0xC0)?,
            symlinks: le64(b, 0xC8)?,
            others: le64(b, 0xD0)?,
            snapshots: le64(b, 0xD8)?,
            uuid: array(b, 0xF0)?,
            modified: le64(b, 0x100)?,
            flags: le64(b, 0x108)?,
            formatted_by: program(0x110)?,
            modified_by: (0..HISTORY)
                .filter_map(|i| program(0x140 + i * 48))
                .filter(|s| !s.is_empty())
                .collect(),
            name: text(b.get(0x2C0..0x3C0)?)?,
            next_document: le32(b, 0x3C0)?,
            role: le16(b, 0x3C4)?,
            root_to: le64(b, 0x3C8)?,
            encryption_state: le64(b, 0x3D0)?,
            group: array(b, 0x3F0)?,
            integrity_meta: le64(b, 0x400)?,
            sealed_extents: le64(b, 0x408)?,
        })
    }

    /// Decode an object that must be a volume superblock: of number and transaction
    /// `of`, or the copy that a snapshot keeps.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when it is something else.
    pub fn from_object(
        store: &Store,
        object: &Object,
        block: u64,
        of: Option<(u64, u64)>,
    ) -> Result<Self> {
        let what = "volume superblock";
        let expected = Expected {
            oid: of.map_or(block, |(oid, _)| oid),
            xid: of.map(|(_, xid)| xid),
            max_xid: store.max_xid(),
            kinds: &[kind::VOLUME],
            subtype: 0,
            storage: if of.is_some() { Storage::Virtual } else { Storage::Physical },
        };
        if let Some(problem) = expected.problem(&object.header) {
            return Err(store.blocks().corrupt(what, block, problem));
        }
        Self::parse(object.bytes())
            .ok_or_else(|| store.blocks().corrupt(what, block, "has no magic 'APSB'"))
    }

    /// How names are looked up.
    pub fn rules(&self) -> Rules {
        let folded = self.incompatible & CASE_INSENSITIVE != 0;
        Rules { hashed: folded || self.incompatible & NORMALIZATION_INSENSITIVE != 0, folded }
    }

    /// Whether records and contents are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.flags & UNENCRYPTED == 0
    }

    /// Whether it is a sealed system volume.
    pub fn is_sealed(&self) -> bool {
        self.incompatible & SEALED != 0
    }
}

/// The text before the first NUL.
fn text(b: &[u8]) -> Option<String> {
    let end = b.iter().position(|c| *c == 0).unwrap_or(b.len());
    Some(String::from_utf8_lossy(b.get(..end)?).into_owned())
}
