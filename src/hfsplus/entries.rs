//! Names in a folder: by the order of the catalog, else by a list of what the folder shows.
//!
//! The list serves names that were stored in another form than Apple's, and names that
//! sort wrong, which no search finds. It is made in one pass over the folder at the first
//! miss and kept, so that many misses in one large folder cost no pass each.

use super::HfsPlus;
use super::btree::Position;
use super::catalog::{Child, Record};
use super::format::ROOT;
use super::unicode::{display, stored, stored_verbatim};
use crate::error::{Error, Result};
use crate::io::bytes::to_u64;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of lists that are kept for a volume.
const KEPT: u64 = 32 << 20;
/// Folders whose lists are expected.
const FOLDERS: usize = 1024;

/// What a folder shows: hashes of its names, sorted, with the places of the records.
pub(super) struct Listing {
    names: Vec<(u32, u32, u16)>,
    /// Why the list is not complete, if it is not.
    lacking: Option<String>,
}

/// Weighs lists by their bytes.
#[derive(Clone)]
pub(super) struct ListingWeight;

impl Weighter<u32, Arc<Listing>> for ListingWeight {
    fn weight(&self, _: &u32, listing: &Arc<Listing>) -> u64 {
        to_u64(listing.names.len()) * 12 + 128
    }
}

/// Lists by folder.
pub(super) type Listings = Cache<u32, Arc<Listing>, ListingWeight>;

/// A store of lists.
pub(super) fn listings() -> Listings {
    Cache::with_weighter(FOLDERS, KEPT, ListingWeight)
}

fn hash(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or(0)
}

impl HfsPlus {
    /// Find a name in a folder: as Apple stores it, as it is, then among all that the
    /// folder shows.
    ///
    /// # Errors
    /// Also when the name was not found but part of the folder cannot be read.
    pub(super) fn find_entry(&self, folder: u32, name: &str) -> Result<Option<Record>> {
        if let Some(record) = self.catalog.find(folder, &stored(name))? {
            return Ok(Some(record));
        }
        if !name.is_ascii()
            && let Some(record) = self.catalog.find(folder, &stored_verbatim(name))?
        {
            return Ok(Some(record));
        }
        self.find_listed(folder, name)
    }

    /// Find a name among all that a folder shows.
    pub(super) fn find_listed(&self, folder: u32, name: &str) -> Result<Option<Record>> {
        let listing = self.listing(folder)?;
        let wanted = hash(name);
        let first = listing.names.partition_point(|n| n.0 < wanted);
        for (found, node, record) in listing.names.iter().skip(first) {
            if *found != wanted {
                break;
            }
            let place = Position { node: *node, record: usize::from(*record) };
            let (_, stored_name, record) = self.catalog.at(place)?;
            if display(&stored_name) == name {
                return Ok(Some(record));
            }
        }
        match &listing.lacking {
            None => Ok(None),
            Some(why) => {
                let text = format!("'{name}' is not in the part that can be read: {why}");
                Err(Error::corrupt(format!("folder {folder}"), text))
            }
        }
    }

    fn listing(&self, folder: u32) -> Result<Arc<Listing>> {
        if let Some(listing) = self.listings.get(&folder) {
            return Ok(listing);
        }
        let mut names = Vec::new();
        let read = self.catalog.children(folder, None, &mut |Child { at, name, .. }| {
            let record = u16::try_from(at.record).unwrap_or(u16::MAX);
            names.push((hash(&display(name)), at.node, record));
            Ok(ControlFlow::Continue(()))
        });
        names.sort_unstable();
        let read = read.and_then(|()| self.not_fewer(folder, to_u64(names.len())));
        let lacking = match read {
            Ok(()) => None,
            Err(e @ Error::Corrupt(_)) => Some(e.to_string()),
            Err(e) => return Err(e),
        };
        let listing = Arc::new(Listing { names, lacking });
        self.listings.insert(folder, listing.clone());
        Ok(listing)
    }

    /// An error if a folder's record counts more entries than there are.
    pub(super) fn not_fewer(&self, folder: u32, entries: u64) -> Result<()> {
        let Some(said) = self.entries_said(folder) else { return Ok(()) };
        if entries >= said {
            return Ok(());
        }
        let text = format!("it says it has {said} entries, {entries} were found");
        Err(Error::corrupt(format!("folder {folder}"), text))
    }

    /// How many entries a folder's record says it has; `None` where no record is at hand.
    fn entries_said(&self, folder: u32) -> Option<u64> {
        let said = |record: &Record| match record {
            Record::Folder(common) => Some(u64::from(common.valence)),
            _ => None,
        };
        if folder == ROOT {
            return Some(u64::from(self.root_folder().ok()?.record.valence));
        }
        match self.records.get(&folder) {
            Some(record) => said(&record),
            // By no list of names: that asks here.
            None => said(&self.catalog.by_cnid(folder).ok()??),
        }
    }
}
