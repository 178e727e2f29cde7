//! The shape of containers and volumes to be made.

use super::model::DEFAULT_NS;

/// What a container is to look like.
#[derive(Clone, Debug)]
pub struct ContainerOptions {
    /// Bytes in a block, a power of two from 4096 to 65,536.
    pub block_size: u64,
    /// Length in bytes; a rest of a block stays unused.
    pub size: u64,
    /// Chooses UUIDs, keys and salts.
    pub seed: u64,
    /// Space manager with allocation zones (10.13 and later).
    pub versioned: bool,
    /// Put metadata blocks here and there instead of one after the other.
    pub scatter: bool,
    /// Leave unused pieces in tree nodes, as deleted records do.
    pub ragged: bool,
    /// Length of the ring of checkpoint maps and superblocks.
    pub desc_blocks: u64,
    /// Length of the ring of ephemeral objects; 0 chooses by size as newfs_apfs does.
    pub data_blocks: u64,
    /// Copy the newest superblock to block 0 at the end, as unmounting does.
    pub unmounted: bool,
    /// Version of the newest APFS that mounted it, fixed point.
    pub newest_mounted: u64,
}

impl Default for ContainerOptions {
    fn default() -> Self {
        ContainerOptions {
            block_size: 4096,
            size: 160 << 20,
            seed: 1,
            versioned: true,
            scatter: false,
            ragged: false,
            desc_blocks: 8,
            // So that the pool begins behind block 1023: apfsck of 2023 takes the address of a
            // physical object below that for a reserved name.
            data_blocks: 1200,
            unmounted: true,
            newest_mounted: 2_332_101_001_000_000,
        }
    }
}

impl ContainerOptions {
    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.size / self.block_size
    }

    /// Blocks of the data ring.
    pub fn ring_blocks(&self) -> u64 {
        match self.size >> 20 {
            _ if self.data_blocks > 0 => self.data_blocks,
            0..=16 => 52,
            17..=50 => 124,
            51..=127 => 232,
            128..=512 => 304,
            _ => 1024,
        }
    }
}

/// How names are stored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Hashed, case ignored (incompatible feature 1).
    Folded,
    /// Hashed, case kept apart (incompatible feature 8): what Time Machine uses.
    Normal,
    /// Not hashed (10.12 only).
    Plain,
}

/// How a volume is encrypted.
#[derive(Clone, Debug)]
pub struct VolumeEncryption {
    /// The passwords that open it, of users.
    pub passwords: Vec<String>,
    /// The personal recovery key.
    pub recovery_key: Option<String>,
    /// A hint beside the first password.
    pub hint: Option<String>,
    /// PBKDF2 rounds.
    pub rounds: u32,
    /// Rounds that the keys ask for, where these are others than were done.
    pub asked: Option<u32>,
}

impl VolumeEncryption {
    /// Encryption with one password; few rounds, so that tests are quick.
    pub fn with_password(password: &str) -> Self {
        VolumeEncryption {
            passwords: vec![password.into()],
            recovery_key: None,
            hint: None,
            rounds: 1000,
            asked: None,
        }
    }
}

/// Role of a Time Machine volume.
pub const ROLE_BACKUP: u16 = 0x180;

/// What a volume is to look like.
#[derive(Clone, Debug)]
pub struct VolumeOptions {
    /// Its name.
    pub name: String,
    /// How names are stored.
    pub names: Names,
    /// Its role.
    pub role: u16,
    /// When it was made, nanoseconds since 1970.
    pub created: i64,
    /// The program that made it.
    pub formatted_by: String,
    /// The program that changes it.
    pub modified_by: String,
    /// Its encryption.
    pub encryption: Option<VolumeEncryption>,
    /// Mark objects that only snapshots need as deleted in the object map.
    pub tombstones: bool,
    /// Mark preallocated extents (incompatible feature 0x80).
    pub prealloc_feature: bool,
    /// Give streams of attributes a record of their own too.
    pub attribute_stream_records: bool,
    /// Fields that macOS 12 and later write (document-id index, secondary root).
    pub recent_fields: bool,
    /// Remember what each snapshot holds, for `manifest`.
    pub keep_views: bool,
    /// Volume group (feature 0x10).
    pub group: Option<[u8; 16]>,
    /// Number of the first object that is made; of 60 bits at most.
    pub first_id: u64,
}

impl Default for VolumeOptions {
    fn default() -> Self {
        VolumeOptions {
            name: "Untitled".into(),
            names: Names::Normal,
            role: 0,
            created: DEFAULT_NS,
            formatted_by: "newfs_apfs (2332.101.1)".into(),
            modified_by: "apfs_kext (2332.101.1)".into(),
            encryption: None,
            tombstones: false,
            prealloc_feature: false,
            attribute_stream_records: false,
            recent_fields: false,
            keep_views: true,
            group: None,
            first_id: 16,
        }
    }
}

impl VolumeOptions {
    /// Incompatible features.
    pub fn incompatible(&self) -> u64 {
        let names = match self.names {
            Names::Folded => 1,
            Names::Normal => 8,
            Names::Plain => 0,
        };
        names | if self.prealloc_feature { 0x80 } else { 0 }
    }

    /// Whether case is ignored.
    pub fn folds(&self) -> bool {
        self.names == Names::Folded
    }
}
