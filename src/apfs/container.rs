//! A container: its superblock, the checkpoint that is read, its volumes (section 2).

use super::checkpoint::{self, Checkpoint, Older, Opened};
use super::format::{NX_FUSION, NX_VERSION_1, NX_VERSION_2, kind};
use super::nx::{Note, NxSuperblock};
use super::object::{Blocks, Object};
use super::omap::Omap;
use super::records;
use super::store::Store;
use super::superblock::Superblock;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::report::Rule;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Where a superblock is looked for if block 0 is lost: the ring follows it.
const SEARCHED: u64 = 4 << 20;

/// A container, opened at one checkpoint.
pub struct Container {
    store: Arc<Store>,
    checkpoint: Checkpoint,
    omap: Omap,
    notes: Vec<Note>,
    older: Option<Note>,
    outdated: bool,
    rounds: AtomicU64,
}

impl Container {
    /// Open the container in `source`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for Fusion and the format of the 10.12 beta;
    /// [`Error::Corrupt`] when no checkpoint can be used.
    pub fn open(source: Source) -> Result<Self> {
        let mut notes = Vec::new();
        let first = find_superblock(&source, &mut notes)?;
        let len = first.blocks.saturating_mul(u64::from(first.block_size));
        if len > source.len() {
            let (have, offset) = (source.len(), source.len());
            let text = format!(
                "the container says it has {len} bytes, there are {have}: what lies beyond cannot be read"
            );
            // A conversion from HFS+ rounds up: less than a block is nobody's loss.
            let damage = len - have >= u64::from(first.block_size);
            let rule = if damage { Rule::A022 } else { Rule::A034 };
            notes.push(Note { damage, ..Note::damage(rule, offset, text) });
        }
        let blocks = Blocks::new(source, first.block_size, first.blocks);
        let store = Arc::new(Store::new(blocks));
        let opened = checkpoint::newest(&store, &first, &mut notes);
        // Of what is of another kind than this reads, little can be expected to be found.
        let opened = opened.map_err(|e| refuse_unsupported(&first).err().unwrap_or(e))?;
        let Opened { checkpoint, omap, older } = opened;
        refuse(&first, &checkpoint, &store)?;
        let rounds = AtomicU64::new(super::unlock::MAX_IN_ALL);
        let outdated = older.as_ref().is_some_and(|o| o.newest > checkpoint.superblock.xid);
        let mut container = Self { store, checkpoint, omap, notes, older: None, outdated, rounds };
        container.older = older.map(|older| container.say_older(&older));
        Ok(container)
    }

    /// A container of which only this superblock, and a map of its volumes, is known.
    pub(super) fn of_parts(store: Arc<Store>, superblock: NxSuperblock, omap: Omap) -> Self {
        let checkpoint = Checkpoint {
            superblock,
            block: 0,
            ephemeral: Vec::new(),
            rings: <(checkpoint::Ring, checkpoint::Ring)>::default(),
        };
        let rounds = AtomicU64::new(super::unlock::MAX_IN_ALL);
        Self { store, checkpoint, omap, notes: Vec::new(), older: None, outdated: false, rounds }
    }

    /// Rounds of the password function that may still be done for its volumes.
    pub(super) fn rounds(&self) -> &AtomicU64 {
        &self.rounds
    }

    /// The superblock of the checkpoint that is read.
    pub fn superblock(&self) -> &NxSuperblock {
        &self.checkpoint.superblock
    }

    /// The checkpoint that is read.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Its nodes and blocks.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What should be told about it.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Whether a newer state is known of that cannot be read.
    pub(super) fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// That it is, or may be, seen as it was before its newest state.
    pub fn older(&self) -> Option<&Note> {
        self.older.as_ref()
    }

    fn say_older(&self, older: &Older) -> Note {
        let Older { newest, trouble } = older;
        let xid = self.superblock().xid;
        let volumes = self.superblock().volumes.iter();
        let written = volumes.filter_map(|oid| self.volume(*oid).ok()).map(|v| v.1.modified);
        let seconds = written.max().map(|t| records::time(t).seconds);
        let date = seconds.map_or_else(String::new, |t| format!(", of {}", day(t)));
        let text = if *newest > xid {
            format!(
                "the newest state of the volume (transaction {newest}) cannot be read ({trouble}); \
                 what is shown is an older state (transaction {xid}{date}): what came later is not \
                 in it, and of what is, parts may have been overwritten since"
            )
        } else {
            format!(
                "what is shown (transaction {xid}{date}) may not be the newest state of the volume: \
                 {trouble}"
            )
        };
        let offset = self.checkpoint.block.saturating_mul(self.store.blocks().size());
        Note { place: checkpoint::place_of(trouble), ..Note::damage(Rule::A007, offset, text) }
    }

    /// The map of its volumes.
    pub fn omap(&self) -> &Omap {
        &self.omap
    }

    /// The superblock of the volume with this number, and its block.
    pub fn volume(&self, oid: u64) -> Result<(u64, Superblock)> {
        let found = self.omap.find(oid, self.checkpoint.superblock.xid)?;
        let what = "volume superblock";
        let found = found.ok_or_else(|| {
            Error::corrupt(what, format!("the container's object map has no object {oid}"))
        })?;
        let object = self.store.blocks().object(what, found.block, 1)?;
        Superblock::from_object(&self.store, &object, found.block, Some((oid, found.xid)))
            .map(|s| (found.block, s))
    }

    /// The name of a volume, where it can be told whether or not the volume can be opened.
    pub fn volume_name(&self, oid: u64) -> Option<String> {
        self.volume(oid).ok().map(|(_, superblock)| superblock.name)
    }

    /// An ephemeral object, whole.
    pub fn ephemeral(&self, what: &str, oid: u64, wanted: u16) -> Result<Object> {
        let found = self.checkpoint.ephemeral.iter().find(|m| m.oid == oid && m.kind == wanted);
        let found = found.ok_or_else(|| {
            Error::corrupt(what, format!("the checkpoint has no object {oid} of that type"))
        })?;
        self.checkpoint.read_ephemeral(self.store.blocks(), what, found)
    }
}

/// A date of the Mac's, to the minute.
fn day(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

/// Refuse a checkpoint that cannot be read; block 0, of the same transaction, tells whether that
/// is so or its features were changed.
fn refuse(first: &NxSuperblock, checkpoint: &Checkpoint, store: &Store) -> Result<()> {
    let Err(e) = refuse_unsupported(&checkpoint.superblock) else { return Ok(()) };
    if first.at != 0 || first.xid != checkpoint.superblock.xid || refuse_unsupported(first).is_err()
    {
        return Err(e);
    }
    let (here, there) = (checkpoint.superblock.incompatible, first.incompatible);
    let text =
        format!("has features {here:#x} that must be known, its copy in block 0 has {there:#x}");
    Err(store.blocks().corrupt("container superblock", checkpoint.block, text))
}

fn refuse_unsupported(nx: &NxSuperblock) -> Result<()> {
    let no = |text: &str| Err(Error::Unsupported(format!("the APFS container {text}")));
    if nx.incompatible & NX_FUSION != 0 {
        return no("spans the two disks of a Fusion drive, which tmbundle cannot put together");
    }
    if nx.incompatible & NX_VERSION_1 != 0 {
        return no("has the format of the beta in macOS 10.12, which no later macOS reads either");
    }
    let unknown = nx.incompatible & !NX_VERSION_2;
    if unknown != 0 {
        return no(&format!(
            "uses features that are not known (incompatible features {unknown:#x})"
        ));
    }
    Ok(())
}

/// The superblock in block 0; if that is lost, any of the ring that follows it.
fn find_superblock(source: &Source, notes: &mut Vec<Note>) -> Result<NxSuperblock> {
    let trouble = match superblock_at(source, 0) {
        Ok(nx) => return Ok(nx),
        Err(e) => e,
    };
    let end = SEARCHED.min(source.len());
    let mut at = 4096;
    while at < end {
        if let Ok(nx) = superblock_at(source, at)
            && at.is_multiple_of(u64::from(nx.block_size))
        {
            let text = format!(
                "the superblock in block 0 is lost ({trouble}); the one at byte {at} was used"
            );
            let rule = why_lost(source);
            notes.push(Note {
                place: checkpoint::place_of(&trouble),
                ..Note::damage(rule, 0, text)
            });
            return Ok(nx);
        }
        at += 4096;
    }
    Err(trouble)
}

/// The rule that block 0 breaks, which is no sound superblock.
fn why_lost(source: &Source) -> Rule {
    let head = crate::io::read_up_to(&**source, 0, 4096).unwrap_or_default();
    match NxSuperblock::parse(&head) {
        None => Rule::A001,
        Some(nx) if nx.problem().is_some() => Rule::A002,
        Some(_) if !super::fletcher::is_sound(&head) => Rule::A003,
        Some(_) => Rule::A004,
    }
}

/// Whether a container begins with a superblock that is sound, and may be believed.
pub fn begins(source: &Source) -> bool {
    superblock_at(source, 0).is_ok()
}

/// A sound superblock at a byte.
pub(super) fn superblock_at(source: &Source, at: u64) -> Result<NxSuperblock> {
    let what = "container superblock";
    let head = crate::io::read_up_to(&**source, at, 4096)?;
    let bad = |text: String| Error::corrupt_at(what, source.locate(at), text);
    let nx = NxSuperblock::parse(&head).ok_or_else(|| bad("is not there".into()))?;
    if let Some(problem) = nx.problem() {
        return Err(bad(problem));
    }
    let size = u64::from(nx.block_size);
    let blocks = Blocks::new(source.clone(), nx.block_size, nx.blocks.max(at / size + 1));
    let object = blocks.object(what, at / size, 1)?;
    if object.header.kind() != kind::NX_SUPERBLOCK || object.header.oid != 1 {
        return Err(bad(format!("is an object of type {:#x}", object.header.kind_and_flags)));
    }
    let nx = NxSuperblock::parse(object.bytes()).ok_or_else(|| bad("is cut off".into()))?;
    Ok(NxSuperblock { at, ..nx })
}
