//! Open a volume: header or alternate, journal, trees, private folders.

use super::about::about;
use super::attributes::{self, Attributes};
use super::btree::{BTree, CompareKeys, NodeCache, read_header};
use super::catalog::{self, Catalog, Record};
use super::entries::{Listings, listings};
use super::extents::{self, ForkType, Overflow, runs_of};
use super::fork::{ForkReader, Runs};
use super::format::{
    ATTRIBUTES_FILE, BTreeHeader, CatalogCommon, EXTENTS_FILE, FLAGS_HAS_ANY, ForkData,
    VolumeHeader, decode,
};
use super::journal::Journal;
use super::misplaced::Special;
use super::names::NameTable;
use super::private::Folders;
use super::salvage;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::fs::About;
use crate::io::{Ranges, ReadAt, Source, read_vec};
use crate::report::Progress;
use quick_cache::sync::Cache;
use std::sync::{Arc, OnceLock};

/// Bytes of B-tree nodes that are kept in memory for a volume.
pub(super) const NODE_CACHE: u64 = 24 << 20;
/// Records that are kept, so that opening what was just listed needs no search.
const RECORD_CACHE: usize = 16_384;

/// Which of the two volume headers was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// The first, 1024 bytes into the volume.
    Primary,
    /// The alternate, 1024 bytes before the end, because of what is said here.
    Alternate(String),
    /// None: it was worked out from the files.
    Made,
}

/// An open HFS Plus or HFSX volume.
pub struct HfsPlus {
    pub(super) volume: Source,
    pub(super) header: VolumeHeader,
    journal: Journal,
    pub(super) extents: Overflow,
    pub(super) catalog: Catalog,
    /// Why the attributes cannot be read, if the volume has any and they cannot.
    attributes: Option<std::result::Result<Attributes, String>>,
    pub(super) about: About,
    /// Objects of whom records may be lost of an attributes tree that was put together.
    pub(super) lost_attributes: Ranges,
    pub(super) folders: Folders,
    pub(super) records: Cache<u32, Arc<Record>>,
    pub(super) listings: Listings,
    pub(super) show_private: bool,
    pub(super) name_table: NameTable,
    /// What no file can lie over.
    pub(super) special: OnceLock<Special>,
}

/// What a volume is made of.
pub(super) struct Parts {
    pub volume: Source,
    pub header: VolumeHeader,
    pub header_source: HeaderSource,
    pub journal: Journal,
    pub extents: Overflow,
    pub catalog: BTree,
    pub attributes: Option<std::result::Result<Attributes, String>>,
    /// What to know before it is relied on.
    pub notes: Vec<String>,
    /// What is known to be missing.
    pub lacks: Option<String>,
    /// Objects of whom records of the attributes tree may be lost.
    pub lost_attributes: Ranges,
}

/// Decode a volume header and tell what makes it unusable, if anything.
pub fn parse_header(bytes: &[u8], volume_len: u64) -> std::result::Result<VolumeHeader, String> {
    let header: VolumeHeader = decode(bytes).ok_or("it is cut off")?;
    match (header.signature, header.version) {
        (0x482B, 4) | (0x4858, 5) => {}
        (0x482B | 0x4858, v) => return Err(format!("version {v} is not known")),
        (s, _) => return Err(format!("signature {s:#06x}, expected H+ or HX")),
    }
    if header.block_size < 512 || !header.block_size.is_multiple_of(512) {
        return Err(format!("block size {} is impossible", header.block_size));
    }
    let bytes = u64::from(header.block_size) * u64::from(header.total_blocks);
    if header.total_blocks == 0 || bytes > volume_len.saturating_add(u64::from(header.block_size)) {
        return Err(format!(
            "{} blocks of {} bytes do not fit into {volume_len} bytes",
            header.total_blocks, header.block_size
        ));
    }
    Ok(header)
}

/// Whether a volume header leads to the catalog, however little there is of the volume.
pub fn leads_to_catalog(volume: &Source) -> bool {
    let read = read_vec(&**volume, 1024, 512).ok();
    let Some(Ok(header)) = read.map(|bytes| parse_header(&bytes, u64::MAX)) else { return false };
    let (block, fork) = (header.block_size, &header.catalog_file);
    let file = ForkReader::from_fork(volume.clone(), block, fork, "catalog file");
    read_header(&file, "catalog").is_ok()
}

/// Read the volume header, or the alternate if the first is not usable.
pub(super) fn read_volume_header(volume: &dyn ReadAt) -> Result<(VolumeHeader, HeaderSource)> {
    let len = volume.len();
    let read = |at: Option<u64>| -> std::result::Result<VolumeHeader, String> {
        let at = at.ok_or("the volume is too small")?;
        let bytes = read_vec(volume, at, 512).map_err(|e| e.to_string())?;
        parse_header(&bytes, len)
    };
    let primary = match read(Some(1024)) {
        Ok(header) => return Ok((header, HeaderSource::Primary)),
        Err(why) => why,
    };
    match read(len.checked_sub(1024)) {
        Ok(header) => Ok((header, HeaderSource::Alternate(primary))),
        Err(alternate) => Err(Error::corrupt_at(
            "volume header",
            volume.locate(1024),
            format!("{primary}; the alternate header: {alternate}"),
        )),
    }
}

impl HfsPlus {
    /// Open the volume in `source`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when neither header, or no catalog, can be used.
    pub fn open(source: Source) -> Result<Self> {
        Self::of_shared(&Shared::of(source))
    }

    /// Open a volume with what its checker has read of it, or will.
    ///
    /// # Errors
    /// As for [`HfsPlus::open`].
    pub fn of_shared(shared: &Shared) -> Result<Self> {
        shared.stored().chosen(&**shared.source())?;
        let seen = shared.seen();
        let volume = seen.volume.clone();
        // The replay may have brought a newer header.
        let (header, header_source) = seen.headers.chosen(&*volume)?;
        let header = header.clone();
        let (Some(journal), Some(trees)) = (seen.journal.clone(), shared.trees()) else {
            return Err(Error::corrupt("volume header", "neither can be used"));
        };
        let extents = trees.extents.clone();
        let catalog = trees.catalog.as_ref().map_err(Error::again)?.clone();
        let attributes = trees.attributes.as_ref().map(|tree| match tree {
            Ok(tree) => Ok(Attributes::new(tree.clone(), volume.clone(), header.block_size)),
            Err(e) => Err(e.to_string()),
        });
        let notes = Vec::new();
        Ok(Self::from_parts(Parts {
            volume,
            header,
            header_source,
            journal,
            extents,
            catalog,
            attributes,
            notes,
            lacks: None,
            lost_attributes: Ranges::default(),
        }))
    }

    /// Open what is left of the volume in `source`: with a catalog put together from the
    /// leaves that can be found, where headers, the root or the index are lost.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when no leaf of a catalog is found.
    pub fn salvage(source: Source, progress: &dyn Progress) -> Result<Self> {
        salvage::open(source, progress)
    }

    pub(super) fn from_parts(parts: Parts) -> Self {
        let folds = folds_case(&parts.header, parts.catalog.header());
        let mut about = about(&parts.header, &parts.header_source, &parts.journal, !folds);
        about.notes.extend(parts.notes);
        about.older = parts.lacks;
        let mut fs = Self {
            volume: parts.volume,
            header: parts.header,
            journal: parts.journal,
            extents: parts.extents,
            catalog: Catalog::new(parts.catalog, folds),
            attributes: parts.attributes,
            about,
            lost_attributes: parts.lost_attributes,
            folders: Folders::default(),
            records: Cache::new(RECORD_CACHE),
            listings: listings(),
            show_private: false,
            name_table: NameTable::default(),
            special: OnceLock::new(),
        };
        fs.about.name = fs.root_folder().map_or(String::new(), |root| root.name.clone());
        fs
    }

    /// Show the private folders and journal files in the root.
    pub fn with_private_folders(mut self) -> Self {
        self.show_private = true;
        self
    }

    /// The volume header in use, after replay.
    pub fn header(&self) -> &VolumeHeader {
        &self.header
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The volume's bytes, journal replayed.
    pub fn volume(&self) -> &Source {
        &self.volume
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The attributes, if the volume has any and they can be read.
    pub fn attributes(&self) -> Option<&Attributes> {
        self.attributes.as_ref()?.as_ref().ok()
    }

    /// The attributes, if the volume has any; an error if they cannot be read.
    pub(super) fn readable_attributes(&self) -> Result<Option<&Attributes>> {
        match &self.attributes {
            None => Ok(None),
            Some(Ok(attributes)) => Ok(Some(attributes)),
            Some(Err(why)) => Err(Error::corrupt("attributes", why.clone())),
        }
    }

    /// An error if an object may have attributes that are lost.
    pub(super) fn not_lost(&self, object: &CatalogCommon) -> Result<()> {
        let id = u64::from(object.id);
        if object.flags & FLAGS_HAS_ANY == 0
            || self.lost_attributes.meet(id..id + 1).next().is_none()
        {
            return Ok(());
        }
        let text = "it may have attributes that are not among what is left of them";
        Err(Error::corrupt(format!("object {id}"), text))
    }

    /// All extents of a file's fork.
    pub fn runs(&self, file: u32, fork: ForkType, data: &ForkData) -> Result<Runs> {
        runs_of(&self.extents, file, fork, data)
    }

    /// A reader of a file's fork.
    pub fn fork(&self, file: u32, fork: ForkType, data: &ForkData) -> Result<ForkReader> {
        let runs = self.runs(file, fork, data)?;
        let what = format!("file {file}");
        let size = data.logical_size;
        Ok(ForkReader::new(self.volume.clone(), self.header.block_size, size, runs, &what))
    }
}

/// Whether names that differ only in case are the same: HFSX says so in its catalog.
pub(super) fn folds_case(header: &VolumeHeader, catalog: &BTreeHeader) -> bool {
    !(header.is_hfsx() && catalog.key_compare_type == 0xBC)
}

/// A special file in these runs: no longer than its blocks, whatever its size says.
pub(super) fn special_file(
    volume: &Source,
    header: &VolumeHeader,
    runs: Runs,
    size: u64,
    name: &str,
) -> ForkReader {
    let room = runs.blocks().saturating_mul(u64::from(header.block_size));
    ForkReader::new(volume.clone(), header.block_size, size.min(room), runs, name)
}

/// Open the extents overflow tree; its own fork has no overflow.
pub(super) fn open_extents(
    volume: &Source,
    header: &VolumeHeader,
    cache: &Arc<NodeCache>,
) -> Result<BTree> {
    let fork = &header.extents_file;
    let mut runs = Runs::default();
    runs.push_record(&fork.extents);
    let file = special_file(volume, header, runs, fork.logical_size, "extents file");
    let order = |_: &BTreeHeader| extents::compare_keys as CompareKeys;
    BTree::open(Arc::new(file), EXTENTS_FILE, "extents", order, cache.clone())
}

/// Open one of the other trees.
pub(super) fn open_tree(
    volume: &Source,
    header: &VolumeHeader,
    extents: &Overflow,
    cache: &Arc<NodeCache>,
    cnid: u32,
    name: &'static str,
    fork: &ForkData,
) -> Result<BTree> {
    let runs = runs_of(extents, cnid, ForkType::Data, fork)?;
    let file = special_file(volume, header, runs, fork.logical_size, name);
    let order = |tree: &BTreeHeader| match cnid {
        ATTRIBUTES_FILE => attributes::compare_keys as CompareKeys,
        _ => catalog::key_order(folds_case(header, tree)),
    };
    BTree::open(Arc::new(file), cnid, name, order, cache.clone())
}
