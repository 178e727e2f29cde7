//! The shape of a volume whose headers are both lost, from what its catalog says of files.

use super::find::{Kind, Leaf, good_records, read};
use super::place::{self, Tail};
use crate::error::{Error, Result};
use crate::hfsplus::catalog::Key;
use crate::hfsplus::format::{CatalogFile, ROOT, VOL_JOURNALED, VolumeHeader, decode, record_type};
use crate::hfsplus::node::split;
use crate::hfsplus::unicode::{compare_binary, compare_folded, raw_string};
use crate::io::bytes::be16;
use crate::io::{ReadAt, Source};
use std::cmp::Ordering;

/// Files that are looked at for the block size.
const ENOUGH: usize = 20_000;
/// Why nothing is given where the beginning is not known.
const UNPLACED: &str = "both headers are lost, and nothing tells where it begins: its files do \
                        not lie where volumes usually do (--volume-offset says where it begins)";

/// What files say of the volume they are on.
#[derive(Default)]
struct Facts {
    /// Length and blocks of forks.
    forks: Vec<(u64, u64)>,
    /// First blocks of the journal's files.
    journal: Option<u32>,
    journal_info: Option<u32>,
    /// Files of one extent: its first block, and how many bytes they have.
    whole: Vec<(u32, u64)>,
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
        let alone = first.count == fork.total_blocks && fork.total_blocks > 0;
        if alone && fork.logical_size > 0 && self.whole.len() < ENOUGH {
            self.whole.push((first.start, fork.logical_size));
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

impl Facts {
    /// The last bytes of some files that do not fill their last page, from all over.
    fn tails(&self, block: u32) -> Vec<Tail> {
        let size = u64::from(block);
        let tail = |&(first, len): &(u32, u64)| {
            let bytes = (len - 1) % size + 1;
            let before = u32::try_from((len - 1) / size).ok()?;
            let block = first.checked_add(before)?;
            (bytes != size && !bytes.is_multiple_of(4096)).then_some(Tail { block, bytes })
        };
        let all: Vec<Tail> = self.whole.iter().filter_map(tail).collect();
        let step = all.len().div_ceil(place::ENOUGH).max(1);
        all.into_iter().step_by(step).collect()
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
///
/// # Errors
/// [`Error::Corrupt`] if the files that it names lie nowhere where it might begin.
pub fn guess(source: &Source, leaves: &[Leaf]) -> Result<Option<Guess>> {
    let facts = Facts::collect(&**source, leaves);
    let Some(block) = facts.block_size() else { return Ok(None) };
    let tails = facts.tails(block);
    let start = match place::start(&**source, facts.journal, block, &tails) {
        Some(start) => start,
        // Nothing speaks against the beginning.
        None if tails.is_empty() => 0,
        None => return Err(Error::corrupt("volume", UNPLACED)),
    };
    let Some(mut header) = decode::<VolumeHeader>(&[0; 512]) else { return Ok(None) };
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
    Ok(Some(Guess { header, start, told }))
}
