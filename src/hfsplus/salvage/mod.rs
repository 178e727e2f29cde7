//! What is left of a broken volume: a catalog put together from the leaves that can be
//! found, where headers, the root or the index are lost.
//!
//! Leaves are looked for in the file of their tree, as far as the volume header and the
//! extents overflow file tell where that lies; else in all that is stored. From them the
//! trees are built again ([`tree`]), folders without a record are made ([`orphans`]), and
//! the volume is then read like any other.

mod covered;
mod find;
mod gaps;
mod geometry;
mod orphans;
mod place;
mod tree;

use super::HfsPlus;
use super::attributes::{self, Attributes};
use super::btree::{BTree, CompareKeys, NodeCache, node_cache, read_header};
use super::catalog;
use super::extents::{self, ForkType, Overflow, runs_of};
use super::fork::Runs;
use super::format::{ATTRIBUTES_FILE, CATALOG_FILE, EXTENTS_FILE, ForkData, VolumeHeader};
use super::journal::Journal;
use super::volume::{HeaderSource, NODE_CACHE, open_tree, read_volume_header, special_file};
use crate::error::{Error, Result};
use crate::io::bytes::to_u64;
use crate::io::{Budget, Ranges, ReadAt, Slice, Source, read_vec};
use crate::report::words::plural;
use crate::report::{Progress, Unit};
use covered::without_those_in_files;
use find::{Kind, Leaf};
use std::sync::Arc;
use tree::{Rebuilt, Shape};

/// Bytes in a node of a tree that is made of nothing.
const DEFAULT_NODE: u16 = 8192;
/// What is said where a budget ends.
const TOO_MUCH: &str = "there is more than can be put together at once; what lies further on in \
                        the volume is not shown";

/// A volume that is being put together.
struct Work<'a> {
    volume: Source,
    header: VolumeHeader,
    source: HeaderSource,
    journal: Journal,
    /// Leaves from all of the volume, where it had to be searched.
    anywhere: Option<Vec<(Kind, Leaf)>>,
    notes: Vec<String>,
    /// Whose attributes may be lost.
    lost_attributes: Ranges,
    /// What of the catalog is known to be lost.
    lacks: Option<String>,
    budget: Budget,
    progress: &'a dyn Progress,
}

/// A tree's leaves, and what they were found in.
struct Found {
    source: Source,
    leaves: Vec<Leaf>,
    node_size: u16,
    key_compare_type: Option<u8>,
    /// Records that the tree's own header counts and no leaf has.
    lost_records: u64,
}

/// Open what is left of the volume in `source`.
///
/// # Errors
/// [`Error::Corrupt`] when not a single leaf of a catalog is found.
pub fn open(source: Source, progress: &dyn Progress) -> Result<HfsPlus> {
    open_within(source, Budget::default(), progress)
}

fn open_within(source: Source, budget: Budget, progress: &dyn Progress) -> Result<HfsPlus> {
    let mut work = match read_volume_header(&*source) {
        Ok((header, from)) => Work::with_header(source, (header, from), budget, progress),
        Err(_) => match place::by_alternate(&*source) {
            Some(range) => Work::by_alternate(source, range, budget, progress)?,
            None => Work::without_header(source, budget, progress)?,
        },
    };
    let cache = Arc::new(node_cache(NODE_CACHE));
    let extents = work.extents(&cache)?.ok_or_else(|| "its tree is lost".to_owned());
    let catalog = work.catalog(&extents, &cache)?;
    let attributes = work.attributes(&extents, &cache)?.map(|tree| {
        let block_size = work.header.block_size;
        tree.map(|tree| Attributes::new(tree, work.volume.clone(), block_size))
    });
    if work.budget.is_spent() {
        work.notes.push(TOO_MUCH.into());
        work.lacks.get_or_insert_with(|| TOO_MUCH.into());
    }
    Ok(HfsPlus::from_parts(super::volume::Parts {
        volume: work.volume,
        header: work.header,
        header_source: work.source,
        journal: work.journal,
        extents,
        catalog,
        attributes,
        notes: work.notes,
        lacks: work.lacks,
        lost_attributes: work.lost_attributes,
    }))
}

impl<'a> Work<'a> {
    fn with_header(
        source: Source,
        (header, from): (VolumeHeader, HeaderSource),
        budget: Budget,
        progress: &'a dyn Progress,
    ) -> Self {
        let journal = Journal::read(&*source, &header);
        let volume = journal.overlay(source);
        let (header, from) = read_volume_header(&*volume).unwrap_or((header, from));
        let notes = Vec::new();
        Self {
            volume,
            header,
            source: from,
            journal,
            anywhere: None,
            notes,
            lacks: None,
            lost_attributes: Ranges::default(),
            budget,
            progress,
        }
    }

    /// The volume of which only the copy of its header tells where it lies.
    fn by_alternate(
        source: Source,
        range: std::ops::Range<u64>,
        budget: Budget,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let told = format!(
            "no map leads to the volume and its header is lost; by the header's copy it lies at \
             bytes {} to {}",
            range.start,
            range.end - 1
        );
        let len = range.end - range.start;
        let moved: Source = Arc::new(Slice::new(source, range.start, len));
        let header = read_volume_header(&*moved)?;
        let mut work = Self::with_header(moved, header, budget, progress);
        work.notes.push(told);
        Ok(work)
    }

    fn without_header(
        source: Source,
        mut budget: Budget,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let lost = || {
            let text = "no volume header, and no leaf of a catalog that tells of files";
            Error::corrupt("volume", text)
        };
        let found = search(&source, &mut budget, progress)?;
        let guess = geometry::guess(&source, &of_kind(&found, Kind::Catalog))?.ok_or_else(lost)?;
        let len = source.len() - guess.start;
        let moved: Source = Arc::new(Slice::new(source.clone(), guess.start, len));
        let journal = Journal::read(&*moved, &guess.header);
        let volume = journal.overlay(moved);
        // Seen through the journal, and from the volume's own beginning.
        let again = guess.start != 0 || journal.transactions() > 0;
        let found = if again {
            drop(found);
            budget = budget.again();
            search(&volume, &mut budget, progress)?
        } else {
            found
        };
        Ok(Self {
            volume,
            header: guess.header,
            source: HeaderSource::Made,
            journal,
            anywhere: Some(found),
            notes: vec![guess.told],
            lacks: None,
            lost_attributes: Ranges::default(),
            budget,
            progress,
        })
    }

    /// Leaves of a kind from all of the volume.
    fn anywhere(&mut self, kind: Kind) -> Result<Vec<Leaf>> {
        let found = match self.anywhere.take() {
            Some(found) => found,
            None => {
                self.notes.push("all of the volume was searched for leaves".into());
                search(&self.volume, &mut self.budget, self.progress)?
            }
        };
        let leaves = of_kind(&found, kind);
        self.anywhere = Some(found);
        Ok(leaves)
    }

    /// The leaves in the file of a tree. `None` if its header says nothing of it, or less
    /// than all.
    fn in_file(
        &mut self,
        kind: Kind,
        runs: Runs,
        fork: &ForkData,
        name: &str,
    ) -> Result<Option<Found>> {
        if runs.blocks() == 0 || runs.blocks() < u64::from(fork.total_blocks) {
            return Ok(None);
        }
        let file = special_file(&self.volume, &self.header, runs, fork.logical_size, name);
        let file: Source = Arc::new(file);
        let header = read_header(&*file, "tree").ok();
        let size = header.as_ref().map(|h| h.node_size);
        let Some(node_size) = size.or_else(|| find::node_size(&file, kind)) else {
            return Ok(None);
        };
        // The map in the header tells leaves in use from those of the past.
        let map_end = u64::from(node_size).saturating_sub(8);
        let map = header.as_ref().and_then(|_| {
            let len = usize::try_from(map_end.checked_sub(248)?).ok()?;
            read_vec(&*file, 248, len).ok()
        });
        let (map, budget) = (map.as_deref(), &mut self.budget);
        let leaves = find::in_file(&file, kind, node_size, map, budget, self.progress)?;
        let counted = header.as_ref().map_or(0, |h| u64::from(h.leaf_records));
        let key_compare_type = header.map(|h| h.key_compare_type);
        let lost_records =
            counted.saturating_sub(leaves.iter().map(|l| u64::from(l.records)).sum());
        let found = Found { source: file, leaves, node_size, key_compare_type, lost_records };
        Ok((!found.leaves.is_empty()).then_some(found))
    }

    /// The leaves of a tree, wherever they are.
    fn leaves(&mut self, kind: Kind, runs: Runs, fork: &ForkData, name: &str) -> Result<Found> {
        if self.anywhere.is_none()
            && let Some(found) = self.in_file(kind, runs, fork, name)?
        {
            return Ok(found);
        }
        let leaves = self.anywhere(kind)?;
        let sizes = leaves.iter().map(|l| l.size);
        let node_size = most_common(sizes).and_then(|n| u16::try_from(n).ok());
        Ok(Found {
            source: self.volume.clone(),
            leaves,
            node_size: node_size.unwrap_or(DEFAULT_NODE),
            key_compare_type: None,
            lost_records: 0,
        })
    }

    fn extents(&mut self, cache: &Arc<NodeCache>) -> Result<Option<BTree>> {
        let fork = self.header.extents_file;
        // A tree that opens and has nothing in it is the usual case.
        if self.anywhere.is_none()
            && let Ok(tree) = super::volume::open_extents(&self.volume, &self.header, cache)
            && tree.header().leaf_records == 0
        {
            return Ok(Some(tree));
        }
        let mut runs = Runs::default();
        runs.push_record(&fork.extents);
        let found = match self.in_file(Kind::Extents, runs, &fork, "extents file")? {
            Some(found) => found,
            None if self.anywhere.is_some() => {
                self.leaves(Kind::Extents, Runs::default(), &fork, "extents file")?
            }
            None => return Ok(None),
        };
        let tree =
            build(found, Kind::Extents, extents::compare_keys, 0, Vec::new(), &mut self.budget);
        let order = |_: &_| extents::compare_keys as CompareKeys;
        tree.map(|t| BTree::open(t, EXTENTS_FILE, "extents", order, cache.clone())).transpose()
    }

    fn catalog(&mut self, extents: &Overflow, cache: &Arc<NodeCache>) -> Result<BTree> {
        let fork = self.header.catalog_file;
        let runs = runs_of(extents, CATALOG_FILE, ForkType::Data, &fork).unwrap_or_default();
        let mut found = self.leaves(Kind::Catalog, runs, &fork, "catalog file")?;
        if self.anywhere.is_some() {
            found.leaves = without_those_in_files(
                &*found.source,
                found.leaves,
                &self.header,
                &mut self.budget,
            );
        }
        if found.leaves.is_empty() {
            return Err(Error::corrupt("catalog", "no leaf of it was found"));
        }
        let added = orphans::added(&*found.source, &found.leaves, &mut self.budget);
        self.notes.push(format!("{} leaves of the catalog were found", found.leaves.len()));
        if added.folders > 0 {
            self.notes.push(format!(
                "the records of {} folders are lost; {} of them are under lost+found",
                added.folders, added.lost
            ));
        }
        self.lacks = lacking(&self.header, &added);
        let folds = self.folds(found.key_compare_type);
        let kind = if folds { 0xCF } else { 0xBC };
        let made = added.records;
        let tree =
            build(found, Kind::Catalog, catalog::key_order(folds), kind, made, &mut self.budget);
        let tree = tree.ok_or_else(|| Error::corrupt("catalog", "no leaf of it was found"))?;
        let order = |_: &_| catalog::key_order(folds);
        BTree::open(tree, CATALOG_FILE, "catalog", order, cache.clone())
    }

    /// Whether names that differ only in case are the same.
    fn folds(&self, key_compare_type: Option<u8>) -> bool {
        !self.header.is_hfsx() || key_compare_type == Some(0xCF)
    }

    /// The attributes, or why they are not to be had. `None` if the volume has none.
    fn attributes(
        &mut self,
        extents: &Overflow,
        cache: &Arc<NodeCache>,
    ) -> Result<Option<std::result::Result<BTree, String>>> {
        let (header, fork) = (&self.header, self.header.attributes_file);
        if fork.total_blocks == 0 && self.anywhere.is_none() {
            return Ok(None);
        }
        let open = || {
            let name = "attributes";
            open_tree(&self.volume, header, extents, cache, ATTRIBUTES_FILE, name, &fork)
        };
        // A tree that opens and has nothing in it is no lost one.
        let trouble = match open() {
            Ok(tree) if tree.header().leaf_records == 0 && self.anywhere.is_none() => {
                return Ok(Some(Ok(tree)));
            }
            Ok(_) => "no leaf of it is left".to_owned(),
            Err(e) => e.to_string(),
        };
        let runs = runs_of(extents, ATTRIBUTES_FILE, ForkType::Data, &fork).unwrap_or_default();
        let found = match self.in_file(Kind::Attributes, runs, &fork, "attributes file")? {
            Some(found) => found,
            None if self.anywhere.is_some() => {
                self.leaves(Kind::Attributes, Runs::default(), &fork, "attributes file")?
            }
            None => return Ok(Some(Err(trouble))),
        };
        self.lost_attributes = gaps::gaps(&found.leaves);
        if found.lost_records > 0 {
            let lost = plural(found.lost_records, "attribute", "attributes");
            let text = format!("records of {lost} are lost: what is shown is not all there was");
            self.lacks.get_or_insert(text);
        }
        let order = attributes::compare_keys;
        let tree = build(found, Kind::Attributes, order, 0, Vec::new(), &mut self.budget);
        let order = |_: &_| order as CompareKeys;
        tree.map(|t| BTree::open(t, ATTRIBUTES_FILE, "attributes", order, cache.clone()))
            .transpose()
            .map(|tree| tree.map(Ok))
    }
}

/// What of the catalog is lost, as far as the volume's own count or its folders tell.
fn lacking(header: &VolumeHeader, added: &orphans::Added) -> Option<String> {
    let less = |counted: u32, found: usize| u64::from(counted).saturating_sub(to_u64(found));
    let files = less(header.file_count, added.found.0);
    let folders = less(header.folder_count, added.found.1).max(to_u64(added.folders));
    (files > 0 || folders > 0).then(|| {
        let (files, folders) =
            (plural(files, "file", "files"), plural(folders, "folder", "folders"));
        format!("records of {files} and {folders} are lost: what is shown is not all there was")
    })
}

fn search(
    source: &Source,
    budget: &mut Budget,
    progress: &dyn Progress,
) -> Result<Vec<(Kind, Leaf)>> {
    progress.phase("looking for leaves of the catalog", source.len(), Unit::Bytes);
    find::anywhere(source, budget, progress)
}

fn of_kind(found: &[(Kind, Leaf)], kind: Kind) -> Vec<Leaf> {
    found.iter().filter(|(k, _)| *k == kind).map(|(_, leaf)| leaf.clone()).collect()
}

fn most_common(sizes: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = std::collections::BTreeMap::new();
    sizes.for_each(|size| *counts.entry(size).or_insert(0u32) += 1);
    counts.into_iter().max_by_key(|c| c.1).map(|c| c.0)
}

/// A tree's file from its leaves and made records; `None` if there are none.
fn build(
    found: Found,
    kind: Kind,
    compare: CompareKeys,
    key_compare_type: u8,
    made: Vec<Vec<u8>>,
    budget: &mut Budget,
) -> Option<Arc<dyn ReadAt>> {
    let shape = Shape { kind, compare, node_size: found.node_size, key_compare_type };
    let mut leaves = found.leaves;
    leaves.extend(made.into_iter().filter_map(|r| tree::single(found.node_size.into(), r)));
    let file = Rebuilt::new(found.source, &shape, leaves, budget);
    (!file.is_empty()).then(|| Arc::new(file) as Arc<dyn ReadAt>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Volume;
    use crate::io::Memory;
    use crate::report::NoProgress;
    use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

    /// A volume of many leaves whose headers are lost.
    fn broken() -> Vec<u8> {
        let mut builder = VolumeBuilder::new(VolumeOptions::default());
        let root = builder.root();
        for n in 0..3000 {
            builder.file(root, &format!("file {n:04}"), "contents\n", Meta::file());
        }
        let volume = builder.build();
        let mut image = volume.image.clone();
        image.fill(volume.layout.header(), 512, 0);
        image.fill(volume.layout.alternate(), 512, 0);
        image.to_vec()
    }

    #[test]
    fn what_is_kept_has_a_bound_and_that_is_told() {
        let bytes = broken();
        let opened = |budget| {
            let source: Source = Arc::new(Memory::new(bytes.clone()));
            open_within(source, Budget::of(budget), &NoProgress)
        };
        let whole = opened(64 << 20).unwrap();
        assert!(!whole.about().notes.iter().any(|n| n == TOO_MUCH), "{:?}", whole.about().notes);
        let all = whole.catalog().tree().header().total_nodes;
        let mut before = 0;
        for budget in [20 << 10, 40 << 10, 60 << 10] {
            let part = opened(budget).unwrap();
            assert!(part.about().notes.iter().any(|n| n == TOO_MUCH), "{budget}");
            let kept = part.catalog().tree().header().total_nodes;
            assert!(before < kept && kept < all, "{budget}: {before}, {kept} of {all}");
            before = kept;
        }
        assert!(opened(0).is_err());
    }
}
