//! The extents overflow file: the ninth and later extents of a fork.

use super::btree::BTree;
use super::fork::Runs;
use super::format::{ExtentRecord, ForkData, decode};
use crate::error::Result;
use crate::io::bytes::be32;
use std::cmp::Ordering;

/// Which fork of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum ForkType {
    Data,
    Resource,
}

impl ForkType {
    /// As stored in a key.
    pub fn code(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Resource => 0xFF,
        }
    }
}

/// An extents overflow key: file, fork, first block of the fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// CNID of the file.
    pub file: u32,
    /// 0 data, 0xFF resource.
    pub fork: u8,
    /// Blocks covered by the extents before.
    pub start: u32,
}

impl Key {
    /// Decode a key without its length field.
    pub fn parse(key: &[u8]) -> Option<Self> {
        Some(Self { fork: *key.first()?, file: be32(key, 2)?, start: be32(key, 6)? })
    }
}

/// The order of keys in the extents overflow file.
pub fn compare_keys(a: &[u8], b: &[u8]) -> Option<Ordering> {
    Some(Key::parse(a)?.cmp(&Key::parse(b)?))
}

/// The extents overflow tree, or why it cannot be used.
pub type Overflow = std::result::Result<BTree, String>;

/// All extents of a fork, from its record and the overflow file. Where overflow
/// records are missing the runs end early; reading beyond them is an error then.
pub fn runs_of(tree: &Overflow, file: u32, fork: ForkType, data: &ForkData) -> Result<Runs> {
    let mut runs = Runs::default();
    let mut full = runs.push_record(&data.extents);
    let tree = match tree {
        Ok(tree) => tree,
        Err(why) => {
            runs.end_because(why);
            return Ok(runs);
        }
    };
    while full && runs.blocks() < u64::from(data.total_blocks) {
        let Ok(start) = u32::try_from(runs.blocks()) else { break };
        let target = Key { file, fork: fork.code(), start };
        let found = tree.find(|k| Key::parse(k).map_or(Ordering::Less, |k| k.cmp(&target)))?;
        let Some(record) = found.as_deref().and_then(decode::<ExtentRecord>) else { break };
        let before = runs.blocks();
        full = runs.push_record(&record);
        if runs.blocks() == before {
            break;
        }
    }
    Ok(runs)
}
