//! On-disk structures of HFS Plus and HFSX: layouts and constants, nothing else.
//!
//! Big-endian except the journal. Sources: TN1150; Apple `hfs_format.h`;
//! `formats/hfsplus.md`, whose section numbers are given.

use binrw::{BinRead, BinResult};
use std::io::Cursor;

/// CNID of the root folder's parent.
pub const ROOT_PARENT: u32 = 1;
/// CNID of the root folder.
pub const ROOT: u32 = 2;
/// CNID of the extents overflow file.
pub const EXTENTS_FILE: u32 = 3;
/// CNID of the catalog file.
pub const CATALOG_FILE: u32 = 4;
/// CNID of the bad block file.
pub const BAD_BLOCK_FILE: u32 = 5;
/// CNID of the allocation file.
pub const ALLOCATION_FILE: u32 = 6;
/// CNID of the startup file.
pub const STARTUP_FILE: u32 = 7;
/// CNID of the attributes file.
pub const ATTRIBUTES_FILE: u32 = 8;
/// First CNID of a user's file or folder.
pub const FIRST_USER_CNID: u32 = 16;

/// Seconds from 1904-01-01 to 1970-01-01.
pub const EPOCH_OFFSET: i64 = 2_082_844_800;

/// Volume attribute: cleanly unmounted.
pub const VOL_UNMOUNTED: u32 = 1 << 8;
/// Volume attribute: CNIDs were reused.
pub const VOL_CNIDS_REUSED: u32 = 1 << 12;
/// Volume attribute: journaled.
pub const VOL_JOURNALED: u32 = 1 << 13;
/// Volume attribute: the system saw that the volume is inconsistent.
pub const VOL_INCONSISTENT: u32 = 1 << 14;
/// Volume attribute: dates may use the Unix epoch.
pub const VOL_EXPANDED_TIMES: u32 = 1 << 29;
/// Volume attribute: unused B-tree nodes are zero.
pub const VOL_UNUSED_NODES_ZERO: u32 = 1 << 31;

/// Record flag: a thread record exists (files).
pub const FLAG_THREAD_EXISTS: u16 = 0x0002;
/// Record flag: there are extended attributes.
pub const FLAG_HAS_ATTRIBUTES: u16 = 0x0004;
/// Record flag: there is an access control list.
pub const FLAG_HAS_SECURITY: u16 = 0x0008;
/// Record flags of which one at least is set where there are records in the attributes file.
pub const FLAGS_HAS_ANY: u16 = FLAG_HAS_ATTRIBUTES | FLAG_HAS_SECURITY;
/// Record flag: the folder count is valid (HFSX).
pub const FLAG_HAS_FOLDER_COUNT: u16 = 0x0010;
/// Record flag: part of a hard-link chain.
pub const FLAG_LINK_CHAIN: u16 = 0x0020;
/// Record flag: some descendant is a directory hard link.
pub const FLAG_CHILD_LINK: u16 = 0x0040;
/// Record flag: the date added is valid.
pub const FLAG_DATE_ADDED: u16 = 0x0080;
/// Record flag: dates count from 1970.
pub const FLAG_EXPANDED_TIMES: u16 = 0x1000;

/// Owner flag `UF_COMPRESSED`.
pub const UF_COMPRESSED: u8 = 0x20;

/// Finder type and creator of a file hard link: `hlnk`, `hfs+`.
pub const FILE_LINK: (u32, u32) = (0x686C_6E6B, 0x6866_732B);
/// Finder type and creator of a directory hard link: `fdrp`, `MACS`.
pub const DIR_LINK: (u32, u32) = (0x6664_7270, 0x4D41_4353);

/// Name of the folder that holds file inodes: four NULs, then text.
pub const FILE_INODES_DIR: &str = "\0\0\0\0HFS+ Private Data";
/// Name of the folder that holds directory inodes; the return is part of it.
pub const DIR_INODES_DIR: &str = ".HFS+ Private Directory Data\r";

/// Attribute that holds a directory inode's first link.
pub const FIRST_LINK_XATTR: &str = "com.apple.system.hfs.firstlink";
/// Attribute that holds an access control list.
pub const SECURITY_XATTR: &str = "com.apple.system.Security";

/// A run of allocation blocks (`HFSPlusExtentDescriptor`).
#[derive(BinRead, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[br(big)]
pub struct Extent {
    /// First allocation block.
    pub start: u32,
    /// Number of blocks.
    pub count: u32,
}

/// Eight extents (`HFSPlusExtentRecord`).
pub type ExtentRecord = [Extent; 8];

/// A fork (`HFSPlusForkData`, 80 bytes; section 3).
#[derive(BinRead, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[br(big)]
pub struct ForkData {
    /// Size in bytes.
    pub logical_size: u64,
    /// Clump size, or bytes read for hot-file tracking.
    pub clump_size: u32,
    /// Allocation blocks in all extents.
    pub total_blocks: u32,
    /// The first eight extents.
    pub extents: ExtentRecord,
}

/// Volume header (`HFSPlusVolumeHeader`, 512 bytes; section 1).
#[derive(BinRead, Debug, Clone, PartialEq, Eq)]
#[br(big)]
#[allow(missing_docs)]
pub struct VolumeHeader {
    pub signature: u16,
    pub version: u16,
    pub attributes: u32,
    pub last_mounted_version: [u8; 4],
    /// Allocation block of the journal info block.
    pub journal_info_block: u32,
    /// Local time, unlike the other dates.
    pub create_date: u32,
    pub modify_date: u32,
    pub backup_date: u32,
    pub checked_date: u32,
    pub file_count: u32,
    /// Without the root folder.
    pub folder_count: u32,
    /// Bytes in an allocation block.
    pub block_size: u32,
    pub total_blocks: u32,
    pub free_blocks: u32,
    pub next_allocation: u32,
    pub rsrc_clump_size: u32,
    pub data_clump_size: u32,
    pub next_catalog_id: u32,
    pub write_count: u32,
    pub encodings_bitmap: u64,
    pub finder_info: [u32; 8],
    pub allocation_file: ForkData,
    pub extents_file: ForkData,
    pub catalog_file: ForkData,
    pub attributes_file: ForkData,
    pub startup_file: ForkData,
}

impl VolumeHeader {
    /// Whether signature and version say HFSX.
    pub fn is_hfsx(&self) -> bool {
        self.signature == 0x4858
    }
}

/// B-tree header record (`BTHeaderRec`, 106 bytes; section 6.2).
#[derive(BinRead, Debug, Clone, PartialEq, Eq)]
#[br(big)]
#[allow(missing_docs)]
pub struct BTreeHeader {
    pub tree_depth: u16,
    pub root_node: u32,
    pub leaf_records: u32,
    pub first_leaf_node: u32,
    pub last_leaf_node: u32,
    pub node_size: u16,
    pub max_key_length: u16,
    pub total_nodes: u32,
    pub free_nodes: u32,
    pub reserved1: u16,
    pub clump_size: u32,
    pub btree_type: u8,
    /// 0xCF folds case, 0xBC compares as numbers (HFSX catalog only).
    pub key_compare_type: u8,
    pub attributes: u32,
}

/// Catalog record types (section 7).
pub mod record_type {
    #![allow(missing_docs)]
    pub const FOLDER: u16 = 1;
    pub const FILE: u16 = 2;
    pub const FOLDER_THREAD: u16 = 3;
    pub const FILE_THREAD: u16 = 4;
}

/// Owner, group and mode (`HFSPlusBSDInfo`).
#[derive(BinRead, Debug, Clone, Copy, PartialEq, Eq)]
#[br(big)]
pub struct BsdInfo {
    /// User; in a hard link the previous link's CNID.
    pub owner_id: u32,
    /// Group; in a hard link the next link's CNID.
    pub group_id: u32,
    /// `SF_*` flags shifted right by 16.
    pub admin_flags: u8,
    /// `UF_*` flags.
    pub owner_flags: u8,
    /// POSIX mode; 0 if never set.
    pub file_mode: u16,
    /// Inode number of a link, link count of an inode, or raw device.
    pub special: u32,
}

/// The first 88 bytes that folder and file records share (`HFSPlusCatalogFolder`
/// is no longer than that; `HFSPlusCatalogFile` goes on with two forks).
#[derive(BinRead, Debug, Clone, Copy, PartialEq, Eq)]
#[br(big)]
#[allow(missing_docs)]
pub struct CatalogCommon {
    pub record_type: u16,
    pub flags: u16,
    /// Folder: number of entries. File inode: CNID of the first link.
    pub valence: u32,
    /// CNID.
    pub id: u32,
    pub create_date: u32,
    pub content_mod_date: u32,
    pub attribute_mod_date: u32,
    pub access_date: u32,
    pub backup_date: u32,
    pub bsd: BsdInfo,
    /// Finder information, 32 bytes: user part, then extended part.
    pub finder_info: [u8; 32],
    pub text_encoding: u32,
    /// Number of folders in it (HFSX, with its flag).
    pub folder_count: u32,
}

/// A file record (248 bytes).
#[derive(BinRead, Debug, Clone, Copy, PartialEq, Eq)]
#[br(big)]
#[allow(missing_docs)]
pub struct CatalogFile {
    pub common: CatalogCommon,
    pub data_fork: ForkData,
    pub resource_fork: ForkData,
}

/// Journal info block (section 13), as far as it is used.
#[derive(BinRead, Debug, Clone, PartialEq, Eq)]
#[br(big)]
pub struct JournalInfoBlock {
    /// 1: in this volume; 2: on another device; 4: needs initialising.
    pub flags: u32,
    /// Signature of the other device.
    pub device_signature: [u32; 8],
    /// Byte offset in the volume.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

/// Journal header (section 13), in the byte order of the Mac that wrote it.
#[derive(BinRead, Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JournalHeader {
    pub magic: u32,
    pub endian: u32,
    pub start: u64,
    pub end: u64,
    pub size: u64,
    /// Bytes of a block-list header.
    pub blhdr_size: u32,
    pub checksum: u32,
    /// Bytes in a journal block.
    pub jhdr_size: u32,
    pub sequence: u32,
}

/// Block-list header of a transaction, without its block table (section 13).
#[derive(BinRead, Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct BlockListHeader {
    pub max_blocks: u16,
    pub num_blocks: u16,
    pub bytes_used: u32,
    pub checksum: u32,
    /// 1: block checksums are valid; 2: first header of a transaction.
    pub flags: u32,
}

/// An entry of a block list: where a block goes.
#[derive(BinRead, Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockInfo {
    /// Journal block number on the device; −1: skipped.
    pub bnum: i64,
    /// Bytes.
    pub bsize: u32,
    /// Checksum of the block; in entry 0 the sequence number.
    pub checksum: u32,
}

/// Decode a big-endian structure from the front of `bytes`; `None` if too short.
pub fn decode<T>(bytes: &[u8]) -> Option<T>
where
    T: for<'a> BinRead<Args<'a> = ()>,
{
    T::read_be(&mut Cursor::new(bytes)).ok()
}

/// The same in either byte order.
pub fn decode_endian<T>(bytes: &[u8], endian: binrw::Endian) -> Option<T>
where
    T: for<'a> BinRead<Args<'a> = ()>,
{
    let result: BinResult<T> = T::read_options(&mut Cursor::new(bytes), endian, ());
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len_of<T: for<'a> BinRead<Args<'a> = ()>>() -> u64 {
        let mut c = Cursor::new(vec![0; 4096]);
        T::read_be(&mut c).unwrap();
        c.position()
    }

    #[test]
    fn layouts_have_apples_sizes() {
        assert_eq!(len_of::<VolumeHeader>(), 512);
        assert_eq!(len_of::<ForkData>(), 80);
        assert_eq!(len_of::<CatalogCommon>(), 88);
        assert_eq!(len_of::<CatalogFile>(), 248);
        assert_eq!(len_of::<JournalHeader>(), 44 + 4);
        assert_eq!(len_of::<BlockListHeader>(), 16);
        assert_eq!(len_of::<BlockInfo>(), 16);
        // The header record has 64 reserved bytes behind these.
        assert_eq!(len_of::<BTreeHeader>(), 42);
    }
}
