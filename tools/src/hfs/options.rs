//! The shape of a volume to be made.

use super::model::{DEFAULT_UNIX, HFS_EPOCH};
use super::names::NameOrder;

/// What a volume is to look like. `Default` is a 32 MiB journaled, case-sensitive HFSX volume as
/// Time Machine makes it.
#[derive(Clone, Debug)]
pub struct VolumeOptions {
    /// HFSX (signature `HX`) instead of HFS+ (`H+`).
    pub hfsx: bool,
    /// Binary name order; only HFSX volumes obey it.
    pub case_sensitive: bool,
    /// Length of the volume in bytes; need not be a multiple of the block size.
    pub size: u64,
    /// Allocation block size in bytes, a power of two from 512 to 65,536.
    pub block_size: u32,
    /// Node size of the extents tree in bytes.
    pub extents_node_size: u32,
    /// Node size of the catalog in bytes.
    pub catalog_node_size: u32,
    /// Node size of the attributes tree in bytes.
    pub attributes_node_size: u32,
    /// Whether the volume has an attributes tree at all.
    pub with_attributes: bool,
    /// Length of the journal in bytes; 0 for a volume without one.
    pub journal_size: u64,
    /// Leave the journal to be initialised by the first mount, as newfs_hfs does.
    pub journal_needs_init: bool,
    /// Volume name.
    pub name: String,
    /// Creation date, Unix seconds.
    pub created: i64,
    /// Seconds east of Greenwich, added to the volume header's creation date.
    pub utc_offset: i32,
    /// Chooses the volume's unique identifier.
    pub seed: u64,
    /// Store names canonically decomposed, as macOS does.
    pub decompose: bool,
    /// Make both private directories although nothing is linked, as the first mount does.
    pub private_directories: bool,
    /// Number of extents of the catalog file.
    pub catalog_pieces: u32,
    /// Number of extents of the attributes file.
    pub attributes_pieces: u32,
    /// Let the pieces of those files end within a node, which the writers of macOS avoid.
    pub split_nodes: bool,
    /// Make the catalog at least this many nodes long.
    pub catalog_nodes: u32,
    /// Make the extents tree at least this many nodes long.
    pub extents_nodes: u32,
    /// Make the attributes tree at least this many nodes long.
    pub attributes_nodes: u32,
    /// Number the leaves of all trees backwards.
    pub reverse_leaves: bool,
    /// Leave this many blocks free between one file and the next.
    pub gap_blocks: u32,
    /// Blocks listed as bad (owned by CNID 5 in the extents tree).
    pub bad_blocks: u32,
}

impl Default for VolumeOptions {
    fn default() -> Self {
        VolumeOptions {
            hfsx: true,
            case_sensitive: true,
            size: 32 << 20,
            block_size: 4096,
            extents_node_size: 4096,
            catalog_node_size: 4096,
            attributes_node_size: 8192,
            with_attributes: true,
            journal_size: 512 << 10,
            journal_needs_init: false,
            name: "Time Machine Backups".into(),
            created: DEFAULT_UNIX,
            utc_offset: 0,
            seed: 1,
            decompose: true,
            private_directories: true,
            catalog_pieces: 1,
            attributes_pieces: 1,
            split_nodes: false,
            catalog_nodes: 0,
            extents_nodes: 0,
            attributes_nodes: 0,
            reverse_leaves: false,
            gap_blocks: 0,
            bad_blocks: 0,
        }
    }
}

impl VolumeOptions {
    /// A journaled HFS+ volume that ignores case.
    pub fn hfs_plus() -> Self {
        VolumeOptions { hfsx: false, case_sensitive: false, ..VolumeOptions::default() }
    }

    /// The order of catalog keys.
    pub fn order(&self) -> NameOrder {
        if self.hfsx && self.case_sensitive { NameOrder::Binary } else { NameOrder::Folded }
    }

    /// Whether there is a journal.
    pub fn journaled(&self) -> bool {
        self.journal_size > 0
    }

    /// Number of allocation blocks.
    pub fn total_blocks(&self) -> u32 {
        u32::try_from(self.size / u64::from(self.block_size)).expect("too many blocks")
    }

    /// The creation date as an HFS+ date in GMT.
    pub(crate) fn date(&self) -> u32 {
        (self.created + HFS_EPOCH) as u32
    }

    pub(crate) fn check(&self) {
        let power = |n: u32, from: u32, to: u32| n.is_power_of_two() && n >= from && n <= to;
        assert!(power(self.block_size, 512, 65_536), "block size");
        assert!(power(self.extents_node_size, 512, 32_768), "extents node size");
        assert!(power(self.catalog_node_size, 4096, 32_768), "catalog node size");
        assert!(power(self.attributes_node_size, 4096, 32_768), "attributes node size");
        assert!(self.hfsx || !self.case_sensitive, "only HFSX can be case-sensitive");
    }
}
