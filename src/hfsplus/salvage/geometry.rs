//! The shape of a volume whose headers are both lost, from what its catalog says of files.

use super::find::{Kind, Leaf, good_records, read};
use crate::hfsplus::catalog::Key;
use crate::hfsplus::format::{CatalogFile, ROOT, VOL_JOURNALED, VolumeHeader, decode, record_type};
use crate::hfsplus::node::split;
use crate::hfsplus::unicode::{compare_binary, compare_folded, raw_string};
use crate::io::bytes::be16;
use crate::io::{ReadAt, Source, read_vec};
use std::cmp::Ordering;

/// Files that are looked at for the block size.
const ENOUGH: usize = 20_000;
/// `JNLx` in the byte order of today's Macs, and the other.
const JOURNAL: [[u8; 4]; 2] = [*b"xLNJ", *b"JNLx"];

/// What files say of the volume they are on.
#[derive(Default)]
struct Facts {
    /// Length and blocks of forks.
    forks: Vec<(u64, u64)>,
    /// First blocks of the journal's files.
    journal: Option<u32>,
    journal_info: Option<u32>,
    /// Neighbours out of order if case counts, and if it does not.
    binary_wrong: u32,
    folded_wrong: u32,
}

impl Facts {
    fn collect(source: &dyn ReadAt, leaves: &[Leaf]) -> Self {
        let mut facts = Self::default();
        for leaf in leaves {
            let Ok(node) = read(source, leaf) else { continue };
            let mut previous: Option<Key<'_>> = None;
            for record in good_records(Kind::Catalog, &node) {
                let Some(parts) = split(record) else { continue };
                let Some(key) = Key::parse(parts.key) else { continue };
                if let Some(before) = previous.filter(|b| b.parent == key.parent) {
                    let wrong = |order: Ordering| u32::from(order != Ordering::Less);
                    facts.binary_wrong += wrong(compare_binary(before.name, key.name));
                    facts.folded_wrong += wrong(compare_folded(before.name, key.name));
                }
                previous = Some(key);
                if be16(parts.data, 0) == Some(record_type::FILE)
                    && let Some(file) = decode::<CatalogFile>(parts.data)
                {
                    facts.file(key, &file);
                }
            }
        }
        facts
    }

    fn file(&mut self, key: Key<'_>, file: &CatalogFile) {
        let fork = &file.data_fork;
        let [first, ..] = fork.extents;
        if key.parent == ROOT {
            match &*raw_string(key.name) {
                ".journal" => self.journal = Some(first.start),
                ".journal_info_block" => self.journal_info = Some(first.start),
                _ => {}
            }
        }
        for fork in [&file.data_fork, &file.resource_fork] {
            if fork.total_blocks > 0 && self.forks.len() < ENOUGH {
                self.forks.push((fork.logical_size, fork.total_blocks.into()));
            }
        }
    }

    /// The block size with which most forks have just the blocks that they need.
    fn block_size(&self) -> Option<u32> {
        let fits = |shift: &u32| {
            let size = 1u64 << shift;
            self.forks.iter().filter(|(len, blocks)| len.div_ceil(size) == *blocks).count()
        };
        let best = (9..=16).max_by_key(|shift| (fits(shift), *shift == 12))?;
        (fits(&best) > 0).then_some(1 << best)
    }
}

/// A volume whose header was worked out.
pub struct Guess {
    pub header: VolumeHeader,
    /// Where the volume begins in what was searched.
    pub start: u64,
    /// What was found out, for people.
    pub told: String,
}

/// Work out the header of a volume from its catalog's leaves; `None` if no file tells the
/// size of a block.
pub fn guess(source: &Source, leaves: &[Leaf]) -> Option<Guess> {
    let facts = Facts::collect(&**source, leaves);
    let block = facts.block_size()?;
    let start = facts.journal.and_then(|b| start_by_journal(&**source, b, block)).unwrap_or(0);
    let mut header: VolumeHeader = decode(&[0; 512])?;
    let binary = facts.binary_wrong <= facts.folded_wrong;
    (header.signature, header.version) = if binary { (0x4858, 5) } else { (0x482B, 4) };
    header.block_size = block;
    let blocks = (source.len() - start) / u64::from(block);
    header.total_blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
    if let Some(info) = facts.journal_info {
        header.attributes |= VOL_JOURNALED;
        header.journal_info_block = info;
    }
    let told = format!(
        "both volume headers are lost; by its files the volume begins at byte {start}, with \
         blocks of {block} bytes"
    );
    Some(Guess { header, start, told })
}

/// Where the volume must begin for the journal's first block to be where a journal is:
/// at the beginning, or where partitions begin.
fn start_by_journal(source: &dyn ReadAt, first: u32, block: u32) -> Option<u64> {
    let within = u64::from(first) * u64::from(block);
    let is_journal = |start: &u64| {
        let head = read_vec(source, start.checked_add(within)?, 4).ok();
        head.filter(|h| JOURNAL.iter().any(|j| j == h.as_slice()))
    };
    // Sector by sector through the first megabytes, which hold maps and helpers.
    (0..source.len().min(1 << 30)).step_by(512).find(|start| is_journal(start).is_some())
}
