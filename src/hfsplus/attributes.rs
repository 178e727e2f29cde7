//! The attributes file: extended attributes, inline or in forks of their own.

use super::btree::BTree;
use super::fork::{ForkReader, Runs};
use super::format::{ExtentRecord, ForkData, decode};
use super::scan::Found;
use super::unicode::compare_binary;
use crate::error::{Error, Result};
use crate::io::bytes::{be16, be32, to_usize, usize32};
use crate::io::{Source, read_vec};
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// Record types (section 11).
pub mod record_type {
    #![allow(missing_docs)]
    pub const INLINE: u32 = 0x10;
    pub const FORK: u32 = 0x20;
    pub const EXTENTS: u32 = 0x30;
}

/// Largest value that is returned whole, in bytes; no Mac sets larger ones.
const MAX_VALUE: u64 = 64 << 20;

/// An attributes key: file, name, first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// CNID of the file or folder.
    pub file: u32,
    /// Blocks of the attribute's fork covered before; 0 in its first record.
    pub start: u32,
    /// Name, big-endian UTF-16.
    pub name: &'a [u8],
}

impl<'a> Key<'a> {
    /// Decode a key without its length field.
    pub fn parse(key: &'a [u8]) -> Option<Self> {
        let len = usize::from(be16(key, 10)?);
        Some(Self { file: be32(key, 2)?, start: be32(key, 6)?, name: key.get(12..12 + 2 * len)? })
    }

    /// Apple's order: file, name by code unit, start.
    pub fn order(&self, other: &Key<'_>) -> Ordering {
        self.file
            .cmp(&other.file)
            .then_with(|| compare_binary(self.name, other.name))
            .then(self.start.cmp(&other.start))
    }
}

/// The order of keys in the attributes file.
pub fn compare_keys(a: &[u8], b: &[u8]) -> Option<Ordering> {
    Some(Key::parse(a)?.order(&Key::parse(b)?))
}

/// An attribute's first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The value itself.
    Inline(Vec<u8>),
    /// A fork that holds it.
    Fork(ForkData),
}

impl Value {
    /// Decode a record's data; `None` for other types or if it is cut off.
    pub fn parse(data: &[u8]) -> Option<Self> {
        match be32(data, 0)? {
            record_type::INLINE => {
                let size = usize32(be32(data, 12)?);
                Some(Self::Inline(data.get(16..16usize.checked_add(size)?)?.to_vec()))
            }
            record_type::FORK => Some(Self::Fork(decode(data.get(8..)?)?)),
            _ => None,
        }
    }

    /// Size of the value in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(v) => crate::io::bytes::to_u64(v.len()),
            Self::Fork(f) => f.logical_size,
        }
    }
}

/// The attributes tree.
pub struct Attributes {
    tree: BTree,
    volume: Source,
    block_size: u32,
}

impl Attributes {
    /// Attributes whose forks lie on `volume`.
    pub fn new(tree: BTree, volume: Source, block_size: u32) -> Self {
        Self { tree, volume, block_size }
    }

    /// The tree itself.
    pub fn tree(&self) -> &BTree {
        &self.tree
    }

    /// Visit the attributes of an object: name (big-endian UTF-16) and first record.
    pub fn list(&self, file: u32, visit: &mut dyn FnMut(&[u8], Value)) -> Result<()> {
        let range = |key: &[u8]| be32(key, 2).map_or(Ordering::Less, |f| f.cmp(&file));
        self.tree.scan(&range, None, &mut |Found { record, .. }| {
            if let Some(key) = Key::parse(record.key).filter(|k| k.start == 0)
                && let Some(value) = Value::parse(record.data)
            {
                visit(key.name, value);
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The first record of one attribute.
    pub fn find(&self, file: u32, name: &[u8]) -> Result<Option<Value>> {
        let Some(data) = self.find_record(file, name, 0)? else { return Ok(None) };
        let value = Value::parse(&data).ok_or_else(|| {
            Error::corrupt(format!("attribute of object {file}"), "its record is not valid")
        })?;
        Ok(Some(value))
    }

    fn find_record(&self, file: u32, name: &[u8], start: u32) -> Result<Option<Vec<u8>>> {
        let target = Key { file, start, name };
        self.tree.find(|k| Key::parse(k).map_or(Ordering::Less, |k| k.order(&target)))
    }

    /// All extents of an attribute's fork, those in later records included.
    pub fn runs(&self, file: u32, name: &[u8], fork: &ForkData) -> Result<Runs> {
        let mut runs = Runs::default();
        runs.push_record(&fork.extents);
        while runs.blocks() < u64::from(fork.total_blocks) {
            let Ok(start) = u32::try_from(runs.blocks()) else { break };
            let Some(data) = self.find_record(file, name, start)? else { break };
            if be32(&data, 0) != Some(record_type::EXTENTS) {
                break;
            }
            let Some(record) = data.get(8..).and_then(decode::<ExtentRecord>) else { break };
            let before = runs.blocks();
            runs.push_record(&record);
            if runs.blocks() == before {
                break;
            }
        }
        Ok(runs)
    }

    /// The whole value of an attribute.
    pub fn value(&self, file: u32, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let fork = match self.find(file, name)? {
            None => return Ok(None),
            Some(Value::Inline(bytes)) => return Ok(Some(bytes)),
            Some(Value::Fork(fork)) => fork,
        };
        if fork.logical_size > MAX_VALUE {
            let text = format!("an attribute of {} bytes is too large to read", fork.logical_size);
            return Err(Error::Unsupported(text));
        }
        let reader = self.reader(file, name, &fork)?;
        Ok(Some(read_vec(&reader, 0, to_usize(fork.logical_size))?))
    }

    /// A reader of an attribute's fork.
    pub fn reader(&self, file: u32, name: &[u8], fork: &ForkData) -> Result<ForkReader> {
        let runs = self.runs(file, name, fork)?;
        let what = format!("attribute of object {file}");
        if fork.logical_size > runs.blocks().saturating_mul(u64::from(self.block_size)) {
            let text = format!("{} bytes in {} blocks", fork.logical_size, runs.blocks());
            return Err(Error::corrupt(what, text));
        }
        let size = fork.logical_size;
        Ok(ForkReader::new(self.volume.clone(), self.block_size, size, runs, &what))
    }
}
