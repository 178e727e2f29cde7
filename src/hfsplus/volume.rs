//! Open a volume: header or alternate, journal, trees, private folders.

use super::about::about;
use super::attributes::Attributes;
use super::btree::{BTree, NodeCache, node_cache};
use super::catalog::{Catalog, Record};
use super::extents::{ForkType, runs_of};
use super::fork::{ForkReader, Runs};
use super::format::{
    ATTRIBUTES_FILE, CATALOG_FILE, DIR_INODES_DIR, EXTENTS_FILE, FILE_INODES_DIR, ForkData, ROOT,
    VolumeHeader, decode,
};
use super::journal::Journal;
use super::names::NameTable;
use super::unicode::{display, stored_verbatim};
use crate::error::{Error, Result};
use crate::fs::About;
use crate::io::{ReadAt, Source, read_vec};
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Bytes of B-tree nodes that are kept in memory for a volume.
const NODE_CACHE: u64 = 24 << 20;
/// Records that are kept, so that opening what was just listed needs no search.
const RECORD_CACHE: usize = 16_384;

/// Which of the two volume headers was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// The first, 1024 bytes into the volume.
    Primary,
    /// The alternate, 1024 bytes before the end, because of what is said here.
    Alternate(String),
}

/// An open HFS Plus or HFSX volume.
pub struct HfsPlus {
    pub(super) volume: Source,
    pub(super) header: VolumeHeader,
    journal: Journal,
    pub(super) extents: Option<BTree>,
    pub(super) catalog: Catalog,
    /// Why the attributes cannot be read, if the volume has any and they cannot.
    attributes: Option<std::result::Result<Attributes, String>>,
    pub(super) file_inodes: Option<u32>,
    pub(super) dir_inodes: Option<u32>,
    pub(super) root_created: u32,
    pub(super) inodes_created: u32,
    pub(super) about: About,
    pub(super) records: Cache<u32, Arc<Record>>,
    pub(super) show_private: bool,
    pub(super) name_table: NameTable,
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

/// Read the volume header, or the alternate if the first is not usable.
fn read_header(volume: &dyn ReadAt) -> Result<(VolumeHeader, HeaderSource)> {
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
        let (header, _) = read_header(&*source)?;
        let journal = Journal::read(&*source, &header)?;
        let volume = journal.overlay(source);
        // The replay may have brought a newer header.
        let (header, header_source) = read_header(&*volume)?;
        let cache = Arc::new(node_cache(NODE_CACHE));
        let extents = open_extents(&volume, &header, &cache).ok();
        let tree = |cnid, name, fork: &ForkData| {
            open_tree(&volume, &header, extents.as_ref(), &cache, cnid, name, fork)
        };
        let catalog = tree(CATALOG_FILE, "catalog", &header.catalog_file)?;
        let attributes = (header.attributes_file.total_blocks != 0).then(|| {
            let tree = tree(ATTRIBUTES_FILE, "attributes", &header.attributes_file);
            tree.map(|t| Attributes::new(t, volume.clone(), header.block_size))
                .map_err(|e| e.to_string())
        });
        let folds = !(header.is_hfsx() && catalog.header().key_compare_type == 0xBC);
        let about = about(&header, &header_source, &journal, !folds);
        let mut fs = Self {
            volume,
            header,
            journal,
            extents,
            catalog: Catalog::new(catalog, folds),
            attributes,
            file_inodes: None,
            dir_inodes: None,
            root_created: 0,
            inodes_created: 0,
            about,
            records: Cache::new(RECORD_CACHE),
            show_private: false,
            name_table: NameTable::default(),
        };
        fs.find_private_folders();
        Ok(fs)
    }

    /// Show the private folders and journal files in the root.
    pub fn with_private_folders(mut self) -> Self {
        self.show_private = true;
        self
    }

    fn find_private_folders(&mut self) {
        let folder = |name: &str| match self.catalog.find(ROOT, &stored_verbatim(name)) {
            Ok(Some(Record::Folder(f))) => Some((f.id, f.create_date)),
            _ => None,
        };
        let files = folder(FILE_INODES_DIR);
        let dirs = folder(DIR_INODES_DIR);
        self.file_inodes = files.map(|f| f.0);
        self.inodes_created = files.map_or(0, |f| f.1);
        self.dir_inodes = dirs.map(|d| d.0);
        if let Ok(Some(record)) = self.catalog.by_cnid(ROOT) {
            self.root_created = record.common().map_or(0, |c| c.create_date);
        }
        if let Ok(Some((_, name))) = self.catalog.thread(ROOT) {
            self.about.name = display(&name);
        }
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

    /// All extents of a file's fork.
    pub fn runs(&self, file: u32, fork: ForkType, data: &ForkData) -> Result<Runs> {
        runs_of(self.extents.as_ref(), file, fork, data)
    }

    /// A reader of a file's fork.
    pub fn fork(&self, file: u32, fork: ForkType, data: &ForkData) -> Result<ForkReader> {
        let runs = self.runs(file, fork, data)?;
        let what = format!("file {file}");
        let size = data.logical_size;
        Ok(ForkReader::new(self.volume.clone(), self.header.block_size, size, runs, &what))
    }
}

/// Open the extents overflow tree; its own fork has no overflow.
pub(super) fn open_extents(
    volume: &Source,
    header: &VolumeHeader,
    cache: &Arc<NodeCache>,
) -> Result<BTree> {
    let fork = &header.extents_file;
    let file = ForkReader::from_fork(volume.clone(), header.block_size, fork, "extents file");
    BTree::open(Arc::new(file), EXTENTS_FILE, "extents", cache.clone())
}

/// The extents overflow tree with a cache of its own; `None` if it is unusable.
pub(super) fn open_extents_plain(volume: &Source, header: &VolumeHeader) -> Option<BTree> {
    open_extents(volume, header, &Arc::new(node_cache(1 << 20))).ok()
}

/// One of the other trees with a small cache of its own.
pub(super) fn open_tree_plain(
    volume: &Source,
    header: &VolumeHeader,
    extents: Option<&BTree>,
    cnid: u32,
    name: &'static str,
    fork: &ForkData,
) -> Result<BTree> {
    open_tree(volume, header, extents, &Arc::new(node_cache(1 << 20)), cnid, name, fork)
}

/// Open one of the other trees.
pub(super) fn open_tree(
    volume: &Source,
    header: &VolumeHeader,
    extents: Option<&BTree>,
    cache: &Arc<NodeCache>,
    cnid: u32,
    name: &'static str,
    fork: &ForkData,
) -> Result<BTree> {
    let runs = runs_of(extents, cnid, ForkType::Data, fork)?;
    let size = fork.logical_size;
    let file = ForkReader::new(volume.clone(), header.block_size, size, runs, name);
    BTree::open(Arc::new(file), cnid, name, cache.clone())
}
