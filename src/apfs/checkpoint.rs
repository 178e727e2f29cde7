//! Checkpoints: the ring of superblocks, and which one is read (section 2).

use super::btree::{Children, Tree};
use super::fletcher;
use super::format::{kind, tree};
use super::node::Shape;
use super::nx::{Note, NxSuperblock};
use super::object::{Blocks, Header, Object, Storage, blocks_of};
use super::omap::Omap;
use super::store::Store;
use crate::error::{Error, Locus, Result};
use crate::io::bytes::{array, le32, le64, to_u64, usize32};
use crate::io::cut_off;
use crate::report::Rule;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Most blocks of a ring: several times as many as the largest containers have.
const MAX_RING: u64 = 1 << 18;
/// Most blocks of the ring of descriptors, all of which are read.
const MAX_DESCRIPTORS: u64 = 1 << 14;
/// Most blocks of what one checkpoint keeps of memory.
const MAX_EPHEMERAL: u64 = 1 << 13;
/// Most pieces of a ring; macOS makes a handful where a container was made smaller.
const MAX_PIECES: usize = 1 << 10;
/// Most blocks of memory that are proved of all checkpoints together.
const MAX_PROVED: u64 = 4 * MAX_EPHEMERAL;
/// Most checkpoints that are tried, from the newest on.
const MAX_TRIED: usize = 32;
/// The bit of a ring's length that says that a tree lists its pieces.
const IN_PIECES: u32 = 0x8000_0000;

/// Pieces of a ring, by offset in it.
const PIECES: Shape = Shape {
    subtype: tree::EXTENT_LIST,
    fixed: Some((8, 16)),
    order: |a, b| le64(a, 0).cmp(&le64(b, 0)),
    tag: 4,
    name: "checkpoint area tree",
};

/// Where a checkpoint keeps an ephemeral object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ephemeral {
    /// Number.
    pub oid: u64,
    /// Type.
    pub kind: u16,
    /// Subtype.
    pub subtype: u32,
    /// Bytes.
    pub size: u32,
    /// First block.
    pub block: u64,
}

/// A checkpoint whose parts are all sound.
pub struct Checkpoint {
    /// Its superblock.
    pub superblock: NxSuperblock,
    /// Block that superblock lies in.
    pub block: u64,
    /// What was in memory.
    pub ephemeral: Vec<Ephemeral>,
    /// Blocks of the rings: descriptors, data.
    pub rings: (Ring, Ring),
}

/// The blocks of a ring, in its order.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    /// Place in the ring, first block and number of blocks of each piece, in the ring's order.
    pieces: Vec<(u64, u64, u64)>,
    /// The same pieces in the order of their blocks.
    by_block: Vec<(u64, u64, u64)>,
}

impl Ring {
    fn open(store: &Arc<Store>, base: u64, count: u32) -> Result<Self> {
        let blocks = u64::from(count & !IN_PIECES);
        if blocks > MAX_RING {
            return Err(Error::corrupt(
                "checkpoint area",
                format!("{blocks} blocks are impossible"),
            ));
        }
        if count & IN_PIECES == 0 {
            return Self::of(vec![(0, base, blocks)]);
        }
        let tree = Tree::new(store.clone(), PIECES, Children::Physical, base);
        let (mut pieces, mut at) = (Vec::new(), 0);
        tree.scan(&[0; 8], &mut |entry| {
            let value = entry.value.unwrap_or_default();
            let piece = (le64(entry.key, 0), le64(value, 0), le64(value, 8));
            let (Some(offset), Some(start), Some(len)) = piece else {
                return Ok(ControlFlow::Break(()));
            };
            if offset != at || len == 0 || len > MAX_RING {
                return Err(Error::corrupt(
                    "checkpoint area",
                    "its pieces do not follow each other",
                ));
            }
            if pieces.len() >= MAX_PIECES {
                let text = format!("it lies in more than {MAX_PIECES} pieces, which is impossible");
                return Err(Error::corrupt("checkpoint area", text));
            }
            pieces.push((at, start, len));
            at += len;
            Ok(if at < blocks { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Self::of(pieces)
    }

    fn of(pieces: Vec<(u64, u64, u64)>) -> Result<Self> {
        let mut by_block = pieces.clone();
        by_block.sort_unstable_by_key(|(_, start, _)| *start);
        let next = by_block.iter().skip(1);
        let overlap = |((_, a, len), (_, b, _)): (&(u64, u64, u64), &(u64, u64, u64))| {
            a.saturating_add(*len) > *b
        };
        if by_block.iter().zip(next).any(overlap) {
            return Err(Error::corrupt("checkpoint area", "its pieces overlap"));
        }
        Ok(Self { pieces, by_block })
    }

    /// Number of blocks.
    pub fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |(at, _, len)| at + len)
    }

    /// Block of the container at a place of the ring.
    pub fn block(&self, index: u64) -> Option<u64> {
        let behind = self.pieces.partition_point(|(at, ..)| *at <= index);
        let (at, start, len) = self.pieces.get(behind.checked_sub(1)?)?;
        let inside = index - at;
        if inside < *len { start.checked_add(inside) } else { None }
    }

    /// Place in the ring of a block of the container.
    pub(super) fn index_of(&self, block: u64) -> Option<u64> {
        let behind = self.by_block.partition_point(|(_, start, _)| *start <= block);
        let (at, start, len) = self.by_block.get(behind.checked_sub(1)?)?;
        let inside = block - start;
        (inside < *len).then(|| at + inside)
    }

    /// Its blocks as ranges.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<u64>> + '_ {
        self.pieces.iter().map(|(_, start, len)| *start..start.saturating_add(*len))
    }
}

impl Checkpoint {
    /// Read an ephemeral object; one may go on at the start of the ring.
    pub fn read_ephemeral(&self, blocks: &Blocks, what: &str, e: &Ephemeral) -> Result<Object> {
        read_ephemeral(blocks, &self.rings.1, what, e, self.superblock.xid)
    }
}

fn read_ephemeral(
    blocks: &Blocks,
    data: &Ring,
    what: &str,
    e: &Ephemeral,
    xid: u64,
) -> Result<Object> {
    let bad = |text: String| blocks.corrupt(what, e.block, text);
    let count = blocks_of(e.size, blocks.size32()).filter(|n| *n <= data.len());
    let count = count.ok_or_else(|| bad(format!("{} bytes are no size of an object", e.size)))?;
    let first = data
        .index_of(e.block)
        .ok_or_else(|| bad("does not lie in the checkpoint's area".into()))?;
    let mut bytes = Vec::new();
    for i in 0..count {
        let block = data.block((first + i) % data.len().max(1)).unwrap_or(u64::MAX);
        bytes.extend(blocks.read(what, block, 1)?);
    }
    let object = blocks.prove(what, e.block, bytes)?;
    let h = object.header;
    if h.oid != e.oid || h.kind() != e.kind || h.subtype != e.subtype || h.xid != xid {
        let text = format!(
            "is object {} of type {:#x} and transaction {}, expected {}, {:#x} and {xid}",
            h.oid, h.kind_and_flags, h.xid, e.oid, e.kind
        );
        return Err(bad(text));
    }
    Ok(object)
}

/// A checkpoint that can be read, and the container's object map.
pub struct Opened {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The map of the container's volumes.
    pub omap: Omap,
    /// Why this is not, or may not be, the newest state.
    pub older: Option<Older>,
}

/// That a container is read as it was before its newest state.
#[derive(Debug)]
pub struct Older {
    /// The newest transaction that is known of.
    pub newest: u64,
    /// Why that is not read.
    pub trouble: Error,
}

/// The newest checkpoint of which what names files can be read: its superblock, or the copy of
/// it in block 0, and the container's object map. Older ones only if they are sound in all
/// their parts: what they keep in the ring is overwritten first.
///
/// # Errors
/// That of the newest, if none can be read.
pub fn newest(store: &Arc<Store>, first: &NxSuperblock, notes: &mut Vec<Note>) -> Result<Opened> {
    let blocks = store.blocks();
    let ring = Ring::open(store, first.descriptor_base, first.descriptor_blocks)?;
    if ring.len() > MAX_DESCRIPTORS {
        let text = format!("a ring of {} superblocks and maps is impossible", ring.len());
        return Err(Error::corrupt("checkpoint area", text));
    }
    let Superblocks { mut found, unread, mut lost, begun } = superblocks(blocks, &ring);
    if found.iter().all(|(_, nx)| nx.xid < first.xid) {
        found.push((0, first.clone()));
    }
    found.sort_by_key(|(_, nx)| std::cmp::Reverse(nx.xid));
    let newest = found.first().map_or(0, |(_, nx)| nx.xid);
    let mut trouble: Option<Error> = None;
    let mut proved = MAX_PROVED;
    for (block, nx) in found.into_iter().take(MAX_TRIED) {
        store.set_max_xid(nx.xid);
        match examine(store, nx, block, &ring, &mut proved) {
            Ok(Examined { memory: Some(_), .. }) if trouble.is_some() => {}
            Ok(Examined { checkpoint, omap, memory }) => {
                let at = block.saturating_mul(blocks.size());
                tell(&checkpoint, memory, at, notes);
                let xid = checkpoint.superblock.xid;
                // No more than a few transactions fit into the ring: further on it is nonsense.
                let after = xid.saturating_add(1)..=xid.saturating_add(ring.len());
                lost.retain(|(claimed, _)| after.contains(claimed));
                let unseen = || {
                    let lost = lost.pop().map(|(_, e)| e);
                    lost.or_else(|| next_unseen(blocks, &checkpoint, first, unread))
                };
                let older = trouble.or_else(unseen).map(|trouble| Older { newest, trouble });
                if older.is_none() {
                    let later = begun.iter().filter(|(xid, _)| after.contains(xid)).max();
                    notes.extend(later.map(|m| unfinished(m.0, m.1.saturating_mul(blocks.size()))));
                }
                return Ok(Opened { checkpoint, omap, older });
            }
            Err(e) => trouble = trouble.or(Some(e)),
        }
    }
    let none = || Error::corrupt("checkpoint area", "no superblock in it is sound");
    Err(trouble.unwrap_or_else(none))
}

/// A checkpoint that has a map and no superblock: where a Mac stops at work, that is sound.
fn unfinished(xid: u64, at: u64) -> Note {
    let text = format!(
        "a checkpoint of transaction {xid} was begun after the newest that is there: it was not \
         finished, or its superblock is lost"
    );
    Note { damage: false, ..Note::damage(Rule::A007, at, text) }
}

/// Note what of the newest checkpoint is lost without costing its state.
fn tell(checkpoint: &Checkpoint, memory: Option<Error>, at: u64, notes: &mut Vec<Note>) {
    let xid = checkpoint.superblock.xid;
    if checkpoint.block == 0 {
        let text = format!(
            "the superblock of the newest checkpoint (transaction {xid}) is lost; its copy in block \
             0 was used"
        );
        notes.push(Note::damage(Rule::A035, at, text));
    }
    if let Some(e) = memory {
        let text = format!(
            "the newest checkpoint (transaction {xid}) is not whole, its files are read all the \
             same: {e}"
        );
        notes.push(Note { place: place_of(&e), ..Note::damage(Rule::A018, at, text) });
    }
}

/// Where the trouble of an error lies.
pub fn place_of(e: &Error) -> Option<Locus> {
    match e {
        Error::Corrupt(c) => c.place.clone(),
        _ => None,
    }
}

/// Why a checkpoint after the newest that is seen could be there without being seen: something
/// of the ring cannot be read, or the band is not there that the next one is written to. That
/// block 0, which may lag behind, agrees with the ring speaks against it.
fn next_unseen(
    blocks: &Blocks,
    newest: &Checkpoint,
    first: &NxSuperblock,
    unread: Option<Error>,
) -> Option<Error> {
    let (nx, ring) = (&newest.superblock, &newest.rings.0);
    if newest.block != 0 && first.at == 0 && first.xid == nx.xid {
        return None;
    }
    if unread.is_some() {
        return unread;
    }
    let after = u64::from(nx.descriptor_index).saturating_add(nx.descriptor_len.into());
    let next = (0..nx.descriptor_len.into())
        .filter_map(|n| ring.block(after.checked_add(n)? % ring.len()));
    next.take(MAX_TRIED).find_map(|block| not_there(blocks, block))
}

/// An error if the band is not there that a block of the ring lies in.
fn not_there(blocks: &Blocks, block: u64) -> Option<Error> {
    let start = block.saturating_mul(blocks.size());
    cut_off(&**blocks.source(), start..start.saturating_add(blocks.size())).map(|_| {
        blocks.corrupt("checkpoint", block, "is not stored, and a newer state may be in it")
    })
}

/// What there is of superblocks in the ring.
struct Superblocks {
    /// The sound ones with their blocks.
    found: Vec<(u64, NxSuperblock)>,
    /// Why some could not be read.
    unread: Option<Error>,
    /// Those that are not sound: the transaction that they name, and why.
    lost: Vec<(u64, Error)>,
    /// Transactions of sound maps, and their blocks.
    begun: Vec<(u64, u64)>,
}

fn superblocks(blocks: &Blocks, ring: &Ring) -> Superblocks {
    let (mut unread, mut lost, mut begun) = (None, Vec::new(), Vec::new());
    let all = (0..ring.len()).filter_map(|i| ring.block(i));
    let found = all.filter_map(|block| {
        let bytes = match blocks.read("checkpoint", block, 1) {
            Ok(bytes) => bytes,
            Err(e) => {
                if matches!(e, Error::Io { .. }) {
                    unread.get_or_insert(e);
                }
                return None;
            }
        };
        if array(&bytes, 0x20)? != *b"NXSB" {
            begun.extend(map_xid(&bytes).map(|xid| (xid, block)));
            return None;
        }
        let claimed = le64(&bytes, 0x10)?;
        let object = match blocks.prove("container superblock", block, bytes) {
            Ok(object) => object,
            Err(e) => {
                lost.push((claimed, e));
                return None;
            }
        };
        let nx = NxSuperblock::parse(object.bytes())?;
        let same = nx.block_size == blocks.size32() && nx.problem().is_none();
        (object.header.kind() == kind::NX_SUPERBLOCK && same).then_some((block, nx))
    });
    let found = found.collect();
    Superblocks { found, unread, lost, begun }
}

/// The transaction of a sound checkpoint map.
fn map_xid(bytes: &[u8]) -> Option<u64> {
    let header = Header::parse(bytes)?;
    let is_map = header.kind() == kind::CHECKPOINT_MAP && header.storage() == Storage::Physical;
    (is_map && fletcher::is_sound(bytes)).then_some(header.xid)
}

/// A checkpoint whose state can be read.
struct Examined {
    checkpoint: Checkpoint,
    omap: Omap,
    /// Why not all that was in memory (the space manager, the reaper) can be read.
    memory: Option<Error>,
}

/// Prove everything that a checkpoint consists of; `proved`: blocks of memory that may still be.
fn examine(
    store: &Arc<Store>,
    nx: NxSuperblock,
    block: u64,
    ring: &Ring,
    proved: &mut u64,
) -> Result<Examined> {
    let bad = |text: String| store.blocks().corrupt("container superblock", block, text);
    let (len, index) = (u64::from(nx.descriptor_len), u64::from(nx.descriptor_index));
    if len < 2 || len > ring.len() || index >= ring.len() {
        return Err(bad(format!(
            "its checkpoint has {len} blocks from {index} of a ring of {}",
            ring.len()
        )));
    }
    let omap = Omap::open(store, nx.omap_oid)?;
    omap.tree().root()?;
    let mut checkpoint = Checkpoint {
        superblock: nx,
        block,
        ephemeral: Vec::new(),
        rings: (ring.clone(), Ring::default()),
    };
    let memory = memory(store, &mut checkpoint, proved).err();
    Ok(Examined { checkpoint, omap, memory })
}

/// Read and prove what a checkpoint keeps of memory.
fn memory(store: &Arc<Store>, checkpoint: &mut Checkpoint, proved: &mut u64) -> Result<()> {
    let (blocks, nx) = (store.blocks(), &checkpoint.superblock);
    checkpoint.rings.1 = Ring::open(store, nx.data_base, nx.data_blocks)?;
    let (ring, data) = &checkpoint.rings;
    let (len, index) = (u64::from(nx.descriptor_len), u64::from(nx.descriptor_index));
    for i in 0..len - 1 {
        let block = ring.block((index + i) % ring.len()).unwrap_or(u64::MAX);
        mappings(blocks, block, nx.xid, &mut checkpoint.ephemeral)?;
        if to_u64(checkpoint.ephemeral.len()) > MAX_EPHEMERAL {
            break;
        }
    }
    // Each takes a block at least, so that they are no more than the blocks.
    let size_of = |e: &Ephemeral| u64::from(e.size).div_ceil(blocks.size()).max(1);
    let size: u64 = checkpoint.ephemeral.iter().map(size_of).sum();
    if size > MAX_EPHEMERAL.min(data.len()) {
        let text =
            format!("its checkpoint keeps {size} blocks of memory in a ring of {}", data.len());
        checkpoint.ephemeral.clear();
        return Err(blocks.corrupt("container superblock", checkpoint.block, text));
    }
    let Some(left) = proved.checked_sub(size) else {
        let text = "too much memory of other checkpoints was proved before it";
        checkpoint.ephemeral.clear();
        return Err(blocks.corrupt("container superblock", checkpoint.block, text));
    };
    *proved = left;
    for e in &checkpoint.ephemeral {
        read_ephemeral(blocks, data, "object of the checkpoint", e, nx.xid)?;
    }
    Ok(())
}

/// The mappings of one block of a checkpoint map.
fn mappings(blocks: &Blocks, block: u64, xid: u64, into: &mut Vec<Ephemeral>) -> Result<()> {
    let what = "checkpoint map";
    let map = blocks.object(what, block, 1)?;
    if map.header.kind() != kind::CHECKPOINT_MAP || map.header.xid != xid {
        let text = format!(
            "is of type {:#x} and transaction {}",
            map.header.kind_and_flags, map.header.xid
        );
        return Err(blocks.corrupt(what, block, text));
    }
    let count = usize32(map.u32(0x24).unwrap_or(0));
    if to_u64(count) > (blocks.size() - 0x28) / 40 {
        return Err(blocks.corrupt(what, block, format!("{count} mappings do not fit")));
    }
    for i in 0..count {
        let b = map.bytes().get(0x28 + i * 40..).unwrap_or_default();
        let entry = (|| {
            let [k0, k1, _, _] = array(b, 0)?;
            Some(Ephemeral {
                kind: u16::from_le_bytes([k0, k1]),
                subtype: le32(b, 4)?,
                size: le32(b, 8)?,
                oid: le64(b, 24)?,
                block: le64(b, 32)?,
            })
        })();
        into.push(entry.ok_or_else(|| blocks.corrupt(what, block, "is cut off"))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_blocks_of_a_ring_in_pieces() {
        let ring = Ring::of(vec![(0, 900, 3), (3, 100, 2), (5, 500, 1)]).unwrap();
        let blocks: Vec<u64> = ring.ranges().flatten().collect();
        assert_eq!((ring.len(), &*blocks), (6, &[900, 901, 902, 100, 101, 500][..]));
        for (place, block) in (0..).zip(blocks) {
            assert_eq!((ring.block(place), ring.index_of(block)), (Some(block), Some(place)));
        }
        assert_eq!(ring.block(6), None);
        for other in [0, 99, 102, 499, 501, 899, 903, u64::MAX] {
            assert_eq!(ring.index_of(other), None, "{other}");
        }
        assert!(Ring::of(vec![(0, 10, 3), (3, 12, 2)]).is_err(), "one block has one place");
        assert_eq!(Ring::default().len(), 0);
        assert_eq!(Ring::default().block(0), None);
    }
}
