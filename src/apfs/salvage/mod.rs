//! What is left of a broken container: superblocks of volumes and nodes of their trees are
//! found by their checksums ([`scan`]), the maps that lead to them are made ([`made`]), and
//! the leaves of a tree whose index is lost get another ([`mend`]). Folders without a record
//! are made ([`orphans`]). The result is read like any other volume.
//!
//! What is there is used: all that is stored is searched only if the way to a volume, or its
//! object map, is broken.

mod made;
mod mend;
mod orphans;
mod overlap;
mod scan;

pub use made::Maker;

use super::container::Container;
use super::format::KNOWN_INCOMPATIBLE;
use super::nx::NxSuperblock;
use super::object::Blocks;
use super::omap::{Mapping, Omap};
use super::references;
use super::snapshots::{self, Snapshot};
use super::store::Store;
use super::superblock::Superblock;
use super::view::State;
use super::volume::{Apfs, key_of};
use crate::crypt::AskAgain;
use crate::crypt::xts::Xts;
use crate::error::{Error, Result};
use crate::fs::ViewId;
use crate::io::bytes::to_u64;
use crate::io::{Budget, ReadAt, Slice, Source};
use crate::report::Progress;
use crate::report::words::plural;
use scan::{Found, Place, Search};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

/// Bytes of a block where nothing says how many they are: macOS makes no other.
const USUAL_BLOCK: u32 = 4096;
/// What is said where a budget ends.
const TOO_MUCH: &str = "there is more than can be put together at once; what lies further on in \
                        the container is not shown";

/// A volume by its name, if that is known, and what came of opening it.
pub type Opened = (Option<String>, Result<Apfs>);

/// Open what is left of the volumes of a container.
///
/// # Errors
/// [`Error::Interrupted`]; [`Error::Corrupt`] when no superblock of a volume is found.
pub fn open(source: &Source, ask: AskAgain<'_>, progress: &dyn Progress) -> Result<Vec<Opened>> {
    let mut work = match Container::open(source.clone()) {
        // Nothing may be lost of the newest state but the way to it.
        Ok(container) if container.is_outdated() => match Work::by_search(source, progress) {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(_) => Work::of(Arc::new(container), progress),
            Ok(work) => work,
        },
        Ok(container) => Work::of(Arc::new(container), progress),
        Err(e @ (Error::Unsupported(_) | Error::Interrupted)) => return Err(e),
        Err(_) => Work::by_search(source, progress)?,
    };
    let numbers = work.container.superblock().volumes.clone();
    numbers.into_iter().map(|oid| work.volume(oid, ask)).collect()
}

/// A container that is being put together.
struct Work<'a> {
    container: Arc<Container>,
    /// What a search of all of it found.
    found: Option<Found>,
    notes: Vec<String>,
    /// What of the volume in hand is known to be lost, or old.
    lacks: Option<String>,
    /// Whether the volumes are those that a search found: then there may have been newer ones.
    searched: bool,
    budget: Budget,
    progress: &'a dyn Progress,
}

impl<'a> Work<'a> {
    fn of(container: Arc<Container>, progress: &'a dyn Progress) -> Self {
        let budget = Budget::default();
        Self {
            container,
            found: None,
            notes: Vec::new(),
            lacks: None,
            searched: false,
            budget,
            progress,
        }
    }

    /// The container without its superblock, or without a map of its volumes.
    fn by_search(source: &Source, progress: &'a dyn Progress) -> Result<Self> {
        let mut budget = Budget::default();
        let search = |source: &Source, size: u32, budget: &mut Budget| {
            Search { source, size: size.into(), key: None, progress }.run(budget)
        };
        let mut found = search(source, USUAL_BLOCK, &mut budget)?;
        let mut notes = Vec::new();
        let start = found.start().unwrap_or(0);
        let len = source.len().saturating_sub(start);
        let moved: Source = Arc::new(Slice::new(source.clone(), start, len));
        let nx = newest(&found, start / u64::from(USUAL_BLOCK));
        let size = nx.as_ref().map_or(USUAL_BLOCK, |nx| nx.block_size);
        if start != 0 || size != USUAL_BLOCK {
            budget = budget.again();
            found = search(&moved, size, &mut budget)?;
        }
        if start != 0 {
            notes.push(format!("the container was found at byte {start} of what was searched"));
        }
        let nx = nx.unwrap_or_else(|| {
            notes.push("no superblock of the container was found; it was guessed".into());
            guessed(&moved)
        });
        let blocks = nx.blocks.max(moved.len() / u64::from(size));
        let store = Arc::new(Store::new(Blocks::new(moved, size, blocks)));
        let nx = with_volumes(nx, &found);
        if nx.volumes.is_empty() {
            let text = "no superblock of a volume was found in it";
            return Err(Error::corrupt("container", text));
        }
        notes.push(format!(
            "the way to the volumes is lost: what is shown was found by searching all of the \
             container (transaction {}); what was deleted or moved lately may be shown as it was \
             before",
            nx.xid
        ));
        let omap = Omap::made(&store, mappings(found.volumes.clone(), store.blocks().size32()));
        let omap = omap.ok_or_else(|| Error::corrupt("container", "its map cannot be made"))?;
        let container = Arc::new(Container::of_parts(store, nx, omap));
        let found = Some(found);
        Ok(Self { container, found, notes, lacks: None, searched: true, budget, progress })
    }

    /// What a search of all of the container finds; done once.
    fn found(&mut self) -> Result<&Found> {
        if self.found.is_none() {
            let blocks = self.container.store().blocks();
            let (source, size) = (blocks.source(), blocks.size());
            let search = Search { source, size, key: None, progress: self.progress };
            self.found = Some(search.run(&mut self.budget)?);
        }
        Ok(self.found.get_or_insert_default())
    }

    /// A volume. What is to be said of it alone is said of no other.
    fn volume(&mut self, oid: u64, ask: AskAgain<'_>) -> Result<Opened> {
        let before = self.notes.len();
        self.lacks = None;
        let opened = self.one_volume(oid, ask);
        self.notes.truncate(before);
        opened
    }

    fn one_volume(&mut self, oid: u64, ask: AskAgain<'_>) -> Result<Opened> {
        let superblock = match self.superblock(oid) {
            Ok(found) => found,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => return Ok((None, Err(e))),
        };
        let name = superblock.1.name.clone();
        match self.open_volume(superblock, ask) {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            other => Ok((Some(name), other)),
        }
    }

    /// The superblock of a volume: by the map, else the newest that is found.
    fn superblock(&mut self, oid: u64) -> Result<(u64, Superblock)> {
        let (container, xid) = (self.container.clone(), self.container.superblock().xid);
        let trouble = match container.volume(oid) {
            Ok(found) => {
                if self.searched && found.1.xid < xid {
                    self.lacks = Some(format!(
                        "the newest superblock of the volume that was found is of transaction {}, the \
                         container's of {xid}: what was written between them may be lost",
                        found.1.xid
                    ));
                }
                return Ok(found);
            }
            Err(e) => e,
        };
        let store = container.store();
        let places = self.found()?.volumes.iter().filter(|p| p.oid == oid && p.xid <= xid);
        let Some(place) = places.max_by_key(|p| p.xid).copied() else { return Err(trouble) };
        let object = store.blocks().object("volume superblock", place.block, 1)?;
        let of = Some((oid, place.xid));
        let superblock = Superblock::from_object(store, &object, place.block, of)?;
        let text = format!(
            "the newest superblock of the volume cannot be read ({trouble}): the one of \
             transaction {} was used",
            place.xid
        );
        self.notes.push(text.clone());
        self.lacks = Some(text);
        Ok((place.block, superblock))
    }

    fn open_volume(
        &mut self,
        (block, superblock): (u64, Superblock),
        ask: AskAgain<'_>,
    ) -> Result<Apfs> {
        if superblock.incompatible & !KNOWN_INCOMPATIBLE != 0 {
            let text = format!("the volume '{}' uses features that are not known", superblock.name);
            return Err(Error::Unsupported(text));
        }
        let container = self.container.clone();
        let store = container.store();
        let key = key_of(&container, &superblock, ask)?;
        let snapshots = match snapshots::read(store, superblock.snapshots_block) {
            Ok(snapshots) => snapshots,
            Err(e) => self.snapshots(&superblock, &e)?,
        };
        let whole = Omap::open(store, superblock.omap_block).ok().filter(is_whole);
        let put_together = |omap: Arc<Omap>, searched: bool| {
            let (parts, key) = ((block, superblock.clone()), key.clone());
            let salvage = Some(Salvage::new(searched));
            let volume =
                Apfs::of_parts(container.clone(), parts, omap, key, snapshots.clone(), salvage);
            // Its live view says what was lost.
            let mended = volume.state(ViewId::LIVE).is_ok_and(|state| state.mended);
            (volume, mended)
        };
        let search = |work: &mut Self, why: &str| {
            work.omap(&superblock, &snapshots, key.as_deref(), why).map(Arc::new)
        };
        let mut volume = match whole.map(Arc::new) {
            None => put_together(search(self, "cannot be read")?, true).0,
            Some(omap) => match put_together(omap.clone(), false) {
                (_, true) if leads_astray(store, &omap, key.as_deref()) => {
                    put_together(search(self, "leads to other objects than it says")?, true).0
                }
                (volume, _) => volume,
            },
        };
        let lacking = volume.lacking.take().and_then(|about| about.older);
        let mut notes: Vec<String> = self.notes.clone();
        notes.extend(volume.salvage.iter().flat_map(Salvage::notes));
        if self.budget.is_spent() {
            notes.push(TOO_MUCH.into());
            self.lacks.get_or_insert_with(|| TOO_MUCH.into());
        }
        volume.about.older = volume.about.older.take().or(self.lacks.take()).or(lacking);
        // What is said of that is not said twice.
        notes.retain(|note| volume.about.older.as_ref() != Some(note));
        volume.about.notes.extend(notes);
        Ok(volume)
    }

    /// Snapshots of which records, and the superblocks they keep, are found.
    fn snapshots(&mut self, superblock: &Superblock, trouble: &Error) -> Result<Vec<Snapshot>> {
        let (container, uuid) = (self.container.clone(), superblock.uuid);
        let store = container.store();
        let blocks: Vec<u64> = self.found()?.snapshots.iter().map(|p| p.block).collect();
        let mut found = snapshots::in_nodes(store, blocks.into_iter());
        found.retain(|s| {
            let object = store.blocks().object("superblock of a snapshot", s.superblock, 1);
            let copy = object.ok().and_then(|o| Superblock::parse(o.bytes()));
            copy.is_some_and(|copy| copy.uuid == uuid)
        });
        let (says, has) = (superblock.snapshots, to_u64(found.len()));
        if has < says {
            let all = plural(says, "snapshot", "snapshots");
            let text = format!("of {all} of volume '{}', {has} were found", superblock.name);
            self.lacks.get_or_insert(text);
        }
        self.notes.push(format!(
            "the list of the snapshots of volume '{}' cannot be read ({trouble}): {} were found by \
             searching",
            superblock.name,
            found.len()
        ));
        Ok(found)
    }

    /// The map of a volume, of all nodes that are found.
    fn omap(
        &mut self,
        superblock: &Superblock,
        snapshots: &[Snapshot],
        key: Option<&Xts>,
        why: &str,
    ) -> Result<Omap> {
        let container = self.container.clone();
        let store = container.store();
        let mut nodes = match key {
            Some(_) => {
                let (source, size) = (store.blocks().source(), store.blocks().size());
                let search = Search { source, size, key, progress: self.progress };
                search.run(&mut self.budget)?.nodes.into_iter().filter(|n| n.encrypted).collect()
            }
            None => self.found()?.nodes.clone(),
        };
        let others = mapped_by_others(&container, superblock.oid);
        nodes.retain(|n| !others.contains(&n.block));
        let roots = snapshots.iter().map(|s| s.extent_references);
        for root in roots.chain(std::iter::once(superblock.extent_references)) {
            without_contents(store, root, &mut nodes);
        }
        self.notes.push(format!(
            "the object map of volume '{}' {why}: {} nodes of its trees were found by \
             searching; what was deleted or moved lately may be shown as it was before",
            superblock.name,
            nodes.len()
        ));
        let map = Omap::made(store, mappings(nodes, store.blocks().size32()));
        map.ok_or_else(|| Error::corrupt("object map", "it cannot be made"))
    }
}

/// The newest superblock of a container that begins at block `start`, and lies where such do.
fn newest(found: &Found, start: u64) -> Option<NxSuperblock> {
    const PIECES: u32 = 1 << 31;
    let fits = |block: &u64, nx: &NxSuperblock| {
        let Some(at) = block.checked_sub(start) else { return false };
        let at = at * u64::from(USUAL_BLOCK) / u64::from(nx.block_size);
        let end = nx.descriptor_base.saturating_add(u64::from(nx.descriptor_blocks & !PIECES));
        at == 0 || nx.descriptor_blocks & PIECES != 0 || (nx.descriptor_base..end).contains(&at)
    };
    let all = found.containers.iter().filter(|(block, nx)| fits(block, nx));
    all.max_by_key(|(_, nx)| nx.xid).map(|(_, nx)| nx.clone())
}

/// A superblock of what is usual.
fn guessed(source: &Source) -> NxSuperblock {
    NxSuperblock {
        at: 0,
        xid: 0,
        block_size: USUAL_BLOCK,
        blocks: source.len() / u64::from(USUAL_BLOCK),
        incompatible: 0,
        uuid: [0; 16],
        next_oid: 0,
        next_xid: 0,
        descriptor_blocks: 0,
        data_blocks: 0,
        descriptor_base: 0,
        data_base: 0,
        descriptor_index: 0,
        descriptor_len: 0,
        data_index: 0,
        data_len: 0,
        spaceman_oid: 0,
        omap_oid: 0,
        reaper_oid: 0,
        volumes: Vec::new(),
        flags: 0,
        efi_jumpstart: 0,
        keylocker: (0, 0),
        newest_version: 0,
    }
}

/// The superblock with the volumes that are found, and their newest transaction.
fn with_volumes(mut nx: NxSuperblock, found: &Found) -> NxSuperblock {
    let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
    for place in &found.volumes {
        let xid = newest.entry(place.oid).or_default();
        *xid = place.xid.max(*xid);
    }
    if !nx.volumes.iter().any(|oid| newest.contains_key(oid)) {
        nx.volumes = newest.keys().copied().collect();
    }
    let of_volumes = nx.volumes.iter().filter_map(|oid| newest.get(oid));
    nx.xid = of_volumes.copied().chain([nx.xid]).max().unwrap_or(0);
    nx
}

/// Mappings of what was found, in order.
fn mappings(mut found: Vec<Place>, size: u32) -> impl Iterator<Item = (u64, Mapping)> {
    found.sort_unstable_by_key(|p| (p.oid, p.xid, p.block));
    found.dedup_by_key(|p| (p.oid, p.xid));
    found.into_iter().map(move |p| (p.oid, Mapping::found(p.xid, p.block, p.encrypted, size)))
}

/// Whether all of a map can be read.
fn is_whole(map: &Omap) -> bool {
    let mut whole = true;
    let walked = map.walk(&mut |_| whole = false, &mut |_, _| Ok(()));
    walked.is_ok() && whole
}

/// Whether a map leads to a sound object of another number than it says: its own sum does not
/// prove where things lie.
fn leads_astray(store: &Store, map: &Omap, key: Option<&Xts>) -> bool {
    let mut astray = false;
    let what = "an object of the map";
    let _ = map.walk(&mut |_| {}, &mut |oid, m| {
        // What ends the walk is no error to anyone.
        if astray {
            return Err(Error::Interrupted);
        }
        if m.deleted() || m.no_header() {
            return Ok(());
        }
        let plain = store.blocks().object(what, m.block, 1).map(|o| o.header.oid);
        let found = plain.ok().or_else(|| {
            let mut bytes = store.blocks().read(what, m.block, 1).ok()?;
            key?.decrypt(store.blocks().sector(m.block), &mut bytes);
            Some(store.blocks().prove(what, m.block, bytes).ok()?.header.oid)
        });
        astray = found.is_some_and(|found| found != oid);
        Ok(())
    });
    astray
}

/// Blocks that the maps of other volumes lead to, as far as they can be read.
fn mapped_by_others(container: &Container, oid: u64) -> HashSet<u64> {
    let mut blocks = HashSet::new();
    for other in container.superblock().volumes.iter().filter(|o| **o != oid) {
        let Ok((_, superblock)) = container.volume(*other) else { continue };
        if let Ok(map) = Omap::open(container.store(), superblock.omap_block) {
            let _ = map.walk(&mut |_| {}, &mut |_, m| {
                blocks.insert(m.block);
                Ok(())
            });
        }
    }
    blocks
}

/// Leave out what lies in the contents of files, as a tree of extent references has them: those
/// nodes are of other volumes, of disk images among the files.
fn without_contents(store: &Arc<Store>, root: u64, nodes: &mut Vec<Place>) {
    nodes.sort_unstable_by_key(|n| n.block);
    let mut inside = HashSet::new();
    let _ = references::scan(store, root, &(0..u64::MAX >> 4), &mut |r| {
        if r.owner.is_some() {
            let from = nodes.partition_point(|n| n.block < r.blocks.start);
            let held = nodes.iter().skip(from).take_while(|n| n.block < r.blocks.end);
            inside.extend(held.map(|n| n.block));
        }
        Ok(())
    });
    nodes.retain(|n| !inside.contains(&n.block));
}

/// What is known of the trees of a volume that is put together.
pub struct Salvage {
    /// Whether its map is of all that was found, older states and what is free among it.
    searched: bool,
    notes: Mutex<Vec<String>>,
}

impl Salvage {
    fn new(searched: bool) -> Self {
        Self { searched, notes: Mutex::default() }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().map(|notes| notes.clone()).unwrap_or_default()
    }

    /// The state with a tree that leads to all leaves that can be read.
    pub(super) fn mend(&self, mut state: State, omap: &Arc<Omap>, xid: u64) -> Result<State> {
        // The nodes of a sealed volume prove each other; there is no other index to be made.
        if state.superblock.is_sealed() {
            return Ok(state);
        }
        let mut budget = Budget::default();
        if let Some(mended) = mend::mend(&state, omap, xid, self.searched, &mut budget)? {
            (state.tree, state.mended) = (mended.tree, true);
            state.lacks = mended.lacks;
            let mut told = mended.notes;
            if budget.is_spent() {
                told.push(TOO_MUCH.into());
                state.lacks.get_or_insert_with(|| TOO_MUCH.into());
            }
            if let Ok(mut notes) = self.notes.lock() {
                notes.extend(told);
            }
        }
        Ok(state)
    }
}
