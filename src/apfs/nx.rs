//! The superblock of a container (section 2).

use crate::error::Locus;
use crate::io::bytes::{array, le32, le64};
use crate::report::Rule;

/// Number of volumes a superblock has room for.
const MAX_VOLUMES: usize = 100;
/// A container superblock (`nx_superblock_t`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NxSuperblock {
    /// Byte of the container at which it was found.
    pub at: u64,
    pub xid: u64,
    pub block_size: u32,
    pub blocks: u64,
    pub incompatible: u64,
    pub uuid: [u8; 16],
    pub next_oid: u64,
    pub next_xid: u64,
    /// Blocks of the ring of checkpoints; bit 31: it lies in pieces that a tree lists.
    pub descriptor_blocks: u32,
    pub data_blocks: u32,
    pub descriptor_base: u64,
    pub data_base: u64,
    pub descriptor_index: u32,
    pub descriptor_len: u32,
    pub data_index: u32,
    pub data_len: u32,
    pub spaceman_oid: u64,
    pub omap_oid: u64,
    pub reaper_oid: u64,
    pub volumes: Vec<u64>,
    pub flags: u64,
    pub efi_jumpstart: u64,
    /// Container keybag: block and blocks.
    pub keylocker: (u64, u64),
    pub newest_version: u64,
}

impl NxSuperblock {
    /// Decode; `None` if the bytes are no container superblock.
    pub fn parse(b: &[u8]) -> Option<Self> {
        if array(b, 0x20)? != *b"NXSB" {
            return None;
        }
        let volumes =
            (0..MAX_VOLUMES).map_while(|i| le64(b, 0xB8 + i * 8)).filter(|oid| *oid != 0).collect();
        Some(Self {
            at: 0,
            xid: le64(b, 0x10)?,
            block_size: le32(b, 0x24)?,
            blocks: le64(b, 0x28)?,
            incompatible: le64(b, 0x40)?,
            uuid: array(b, 0x48)?,
            next_oid: le64(b, 0x58)?,
            next_xid: le64(b, 0x60)?,
            descriptor_blocks: le32(b, 0x68)?,
            data_blocks: le32(b, 0x6C)?,
            descriptor_base: le64(b, 0x70)?,
            data_base: le64(b, 0x78)?,
            descriptor_index: le32(b, 0x88)?,
            descriptor_len: le32(b, 0x8C)?,
            data_index: le32(b, 0x90)?,
            data_len: le32(b, 0x94)?,
            spaceman_oid: le64(b, 0x98)?,
            omap_oid: le64(b, 0xA0)?,
            reaper_oid: le64(b, 0xA8)?,
            volumes,
            flags: le64(b, 0x4F0)?,
            efi_jumpstart: le64(b, 0x4F8)?,
            keylocker: (le64(b, 0x510)?, le64(b, 0x518)?),
            newest_version: le64(b, 0x568)?,
        })
    }

    /// Why no container can look like this: a sentence; `None` if it can.
    pub fn problem(&self) -> Option<String> {
        if !self.block_size.is_power_of_two() || !(4096..=65536).contains(&self.block_size) {
            return Some(format!("blocks of {} bytes are impossible", self.block_size));
        }
        if self.blocks == 0 || self.blocks.checked_mul(u64::from(self.block_size)).is_none() {
            return Some(format!("{} blocks are impossible", self.blocks));
        }
        None
    }
}

/// Something about a container that should be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether something is lost or damaged, or only unusual.
    pub damage: bool,
    /// The rule that is broken.
    pub rule: Rule,
    /// Byte of the container that it concerns.
    pub offset: u64,
    /// Where the trouble lies, if it is elsewhere.
    pub place: Option<Locus>,
    /// One sentence.
    pub text: String,
}

impl Note {
    /// That something is lost or damaged.
    pub(super) fn damage(rule: Rule, offset: u64, text: String) -> Self {
        Self { damage: true, rule, offset, place: None, text }
    }
}
