//! What whoever looks at a volume needs, read once: headers, journal, trees. The reader and
//! the checker share one [`Shared`]; nothing is read before somebody asks for it.

use super::btree::{BTree, node_cache};
use super::extents::Overflow;
use super::format::{ATTRIBUTES_FILE, CATALOG_FILE, ForkData, VolumeHeader};
use super::headers::Headers;
use super::journal::{Journal, JournalState};
use super::volume::{NODE_CACHE, folds_case, open_extents, open_tree};
use crate::error::Result;
use crate::io::Source;
use std::sync::{Arc, OnceLock};

/// The parts of the volume in a source.
pub struct Shared {
    source: Source,
    stored: OnceLock<Headers>,
    seen: OnceLock<Seen>,
    trees: OnceLock<Option<Trees>>,
}

/// The volume seen through its journal.
pub(super) struct Seen {
    /// The journal; `None` without a header that leads to it.
    pub journal: Option<Journal>,
    /// The volume's bytes, replayed as far as that is possible.
    pub volume: Source,
    /// The headers in these bytes: a replay may bring newer ones.
    pub headers: Headers,
}

/// The trees of a volume whose header can be used.
pub(super) struct Trees {
    pub extents: Overflow,
    pub catalog: Result<BTree>,
    /// `None` if the volume has none.
    pub attributes: Option<Result<BTree>>,
}

impl Shared {
    /// Of the volume in `source`.
    pub fn of(source: Source) -> Self {
        let (stored, seen, trees) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { source, stored, seen, trees }
    }

    /// Unique id of the volume: the last two words of the header's Finder information
    /// (TN1150), from the header or its alternate. `None` where it has none.
    pub fn unique_id(&self) -> Option<u64> {
        let Headers { primary, alternate } = self.stored();
        [primary, alternate].into_iter().find_map(|copy| {
            let [.., high, low] = copy.header.as_ref().ok()?.finder_info;
            Some(u64::from(high) << 32 | u64::from(low)).filter(|id| *id != 0)
        })
    }

    /// The volume's bytes as stored.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The headers as stored.
    pub(super) fn stored(&self) -> &Headers {
        self.stored.get_or_init(|| Headers::read(&*self.source))
    }

    /// The volume through its journal.
    pub(super) fn seen(&self) -> &Seen {
        self.seen.get_or_init(|| {
            let stored = self.stored();
            let journal = stored.usable().map(|h| Journal::read(&*self.source, h));
            let (volume, replayed) = match &journal {
                Some(journal) => (
                    journal.overlay(self.source.clone()),
                    matches!(journal.state, JournalState::Replayed { .. }),
                ),
                None => (self.source.clone(), false),
            };
            let headers = if replayed { Headers::read(&*volume) } else { stored.clone() };
            Seen { journal, volume, headers }
        })
    }

    /// The trees; `None` without a usable header.
    pub(super) fn trees(&self) -> Option<&Trees> {
        let open = || {
            let seen = self.seen();
            Some(Trees::open(&seen.volume, seen.headers.usable()?))
        };
        self.trees.get_or_init(open).as_ref()
    }
}

impl Trees {
    fn open(volume: &Source, header: &VolumeHeader) -> Self {
        let cache = Arc::new(node_cache(NODE_CACHE));
        let extents = open_extents(volume, header, &cache).map_err(|e| e.to_string());
        let open = |cnid, name, fork: &ForkData| {
            open_tree(volume, header, &extents, &cache, cnid, name, fork)
        };
        let catalog = open(CATALOG_FILE, "catalog", &header.catalog_file);
        let attributes = (header.attributes_file.total_blocks != 0)
            .then(|| open(ATTRIBUTES_FILE, "attributes", &header.attributes_file));
        Self { extents, catalog, attributes }
    }

    /// Whether names of the catalog that differ in case are the same.
    pub fn folds_case(&self, header: &VolumeHeader) -> bool {
        !self.catalog.as_ref().is_ok_and(|tree| !folds_case(header, tree.header()))
    }
}
