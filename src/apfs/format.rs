//! Constants of the format and the few structures that all of it shares.
//!
//! Source: Apple File System Reference (2020-06-22); `formats/apfs.md`, whose
//! sections are cited beside what rests on them. Everything is little-endian.

#![allow(missing_docs)]

use crate::fs::xattr;

/// Types of objects: the low 16 bits of `o_type` (section 1).
#[allow(dead_code)]
pub mod kind {
    pub const NX_SUPERBLOCK: u16 = 1;
    pub const BTREE_ROOT: u16 = 2;
    pub const BTREE_NODE: u16 = 3;
    pub const SPACEMAN: u16 = 5;
    pub const CAB: u16 = 6;
    pub const CIB: u16 = 7;
    pub const OMAP: u16 = 0xB;
    pub const CHECKPOINT_MAP: u16 = 0xC;
    pub const VOLUME: u16 = 0xD;
    pub const REAPER: u16 = 0x11;
    pub const REAP_LIST: u16 = 0x12;
    pub const EFI: u16 = 0x14;
    pub const INTEGRITY_META: u16 = 0x1E;
}

/// Subtypes of trees (section 1).
pub mod tree {
    pub const QUEUE: u32 = 9;
    pub const EXTENT_LIST: u32 = 0xA;
    pub const OMAP: u32 = 0xB;
    pub const FS: u32 = 0xE;
    pub const EXTENT_REFERENCES: u32 = 0xF;
    pub const SNAPSHOTS: u32 = 0x10;
    pub const OMAP_SNAPSHOTS: u32 = 0x13;
    pub const FEXT: u32 = 0x1F;
}

/// Types of records in the trees of a volume: the top 4 bits of the key (section 6).
pub mod record {
    pub const SNAPSHOT: u8 = 1;
    pub const PHYSICAL_EXTENT: u8 = 2;
    pub const INODE: u8 = 3;
    pub const XATTR: u8 = 4;
    pub const SIBLING_LINK: u8 = 5;
    pub const STREAM_ID: u8 = 6;
    pub const FILE_EXTENT: u8 = 8;
    pub const ENTRY: u8 = 9;
    pub const SNAPSHOT_NAME: u8 = 11;
}

/// Bytes of an object's header.
pub const HEADER: usize = 32;
/// Bytes of a tree's footer at the end of its root.
pub const FOOTER: usize = 40;

/// Storage bits of `o_type`.
pub const EPHEMERAL: u32 = 0x8000_0000;
pub const PHYSICAL: u32 = 0x4000_0000;
pub const NO_HEADER: u32 = 0x2000_0000;

/// Number of the root folder, and of the folder that holds what was unlinked
/// while open.
pub const ROOT: u64 = 2;
pub const PRIVATE_DIR: u64 = 3;
/// Number under which the root folder stands.
pub const ROOT_PARENT: u64 = 1;
/// First number of a user's object.
pub const FIRST_USER: u64 = 16;

/// Incompatible features of a container (section 2).
pub const NX_VERSION_1: u64 = 1;
pub const NX_VERSION_2: u64 = 2;
pub const NX_FUSION: u64 = 0x100;

/// Incompatible features of a volume (section 5).
pub const CASE_INSENSITIVE: u64 = 1;
pub const NORMALIZATION_INSENSITIVE: u64 = 8;
pub const INCOMPLETE_RESTORE: u64 = 0x10;
pub const SEALED: u64 = 0x20;
pub const PER_FILE_KEYS: u64 = 0x40;
/// What this reader knows of the incompatible features of volumes.
pub const KNOWN_INCOMPATIBLE: u64 = 0x1FF;
/// Volume flags.
pub const UNENCRYPTED: u64 = 1;
pub const PER_FILE_KEY_FLAG: u64 = 0x100;

/// Flags of mappings in an object map (section 4).
pub const MAP_DELETED: u32 = 1;
pub const MAP_ENCRYPTED: u32 = 4;
pub const MAP_NO_HEADER: u32 = 8;

/// BSD flags.
pub const UF_COMPRESSED: u32 = 0x20;
pub const SF_DATALESS: u32 = 0x4000_0000;

/// Flags of attributes (section 6.3).
pub const XATTR_STREAM: u16 = 1;
pub const XATTR_EMBEDDED: u16 = 2;

/// Flags of inodes (section 6.1) that tell of an attribute, and its name.
pub const TOLD_ATTRIBUTES: [(u64, &str); 3] =
    [(0x40, xattr::SECURITY), (0x100, xattr::FINDER_INFO), (0x4000, xattr::RESOURCE_FORK)];

/// Name of the attribute that holds a symbolic link's target.
pub const SYMLINK: &str = "com.apple.fs.symlink";

/// Deepest tree that is read (section 3).
pub const MAX_DEPTH: u16 = 16;

/// The role of a volume as Apple names it (section 5).
pub fn role_name(role: u16) -> &'static str {
    match role {
        0 => "none",
        1 => "system",
        2 => "user",
        4 => "recovery",
        8 => "VM",
        0x10 => "preboot",
        0x20 => "installer",
        0x40 => "data",
        0x80 => "baseband",
        0xC0 => "update",
        0x100 => "xART",
        0x140 => "hardware",
        ROLE_BACKUP => "backup",
        0x1C0 => "sidecar",
        0x240 => "enterprise",
        0x2C0 => "prelogin",
        _ => "unknown",
    }
}

/// The role of a volume that Time Machine backs up to.
pub const ROLE_BACKUP: u16 = 0x180;
