//! Checkpoints: the ring of superblocks, and which one is read (section 2).

use super::btree::{Children, Tree};
use super::container::{Note, NxSuperblock};
use super::format::{kind, tree};
use super::node::Shape;
use super::object::{Blocks, Object, blocks_of};
use super::omap::Omap;
use super::store::Store;
use crate::error::{Error, Result};
use crate::io::bytes::{array, le32, le64, to_u64, usize32};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Most blocks of a ring: several times as many as the largest containers have.
const MAX_RING: u64 = 1 << 18;
/// Most blocks of the ring of descriptors, all of which are read.
const MAX_DESCRIPTORS: u64 = 1 << 14;
/// Most blocks of what one checkpoint keeps of memory.
const MAX_EPHEMERAL: u64 = 1 << 13;
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
pub struct Ring(Vec<(u64, u64)>);

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
            return Ok(Self(vec![(base, blocks)]));
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
            at += len;
            pieces.push((start, len));
            Ok(if at < blocks { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(Self(pieces))
    }

    /// Number of blocks.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|p| p.1).sum()
    }

    /// Block of the container at a place of the ring.
    pub fn block(&self, index: u64) -> Option<u64> {
        let mut left = index;
        for (start, len) in &self.0 {
            if left < *len {
                return start.checked_add(left);
            }
            left -= len;
        }
        None
    }

    /// Place in the ring of a block of the container.
    fn index_of(&self, block: u64) -> Option<u64> {
        let mut before = 0;
        for (start, len) in &self.0 {
            if let Some(inside) = block.checked_sub(*start).filter(|n| n < len) {
                return Some(before + inside);
            }
            before += len;
        }
        None
    }

    /// Its blocks as ranges.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<u64>> + '_ {
        self.0.iter().map(|(start, len)| *start..start.saturating_add(*len))
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

/// The newest checkpoint that is sound, with the container's object map. That newer
/// ones are not, is told.
///
/// # Errors
/// That of the newest, if none is sound.
pub fn newest(
    store: &Arc<Store>,
    first: &NxSuperblock,
    notes: &mut Vec<Note>,
) -> Result<(Checkpoint, Omap)> {
    let blocks = store.blocks();
    let ring = Ring::open(store, first.descriptor_base, first.descriptor_blocks)?;
    if ring.len() > MAX_DESCRIPTORS {
        let text = format!("a ring of {} superblocks and maps is impossible", ring.len());
        return Err(Error::corrupt("checkpoint area", text));
    }
    let (mut found, unread) = superblocks(blocks, &ring);
    found.sort_by_key(|(_, nx)| std::cmp::Reverse(nx.xid));
    let newest = found.first().map_or(0, |(_, nx)| nx.xid);
    let mut trouble: Option<Error> = None;
    let at = |block: u64| block.saturating_mul(blocks.size());
    for (block, nx) in found.into_iter().take(MAX_TRIED) {
        store.set_max_xid(nx.xid);
        let xid = nx.xid;
        match examine(store, nx, block, &ring) {
            Ok(opened) => {
                if let Some(e) = trouble {
                    let text = format!(
                        "the newest checkpoint (transaction {newest}) is not sound ({e}); transaction {xid} is read, \
                         of which parts may have been overwritten since"
                    );
                    notes.push(Note { damage: true, offset: at(block), text });
                } else if first.xid > xid {
                    let how = match unread {
                        Some(e) => format!("a newer one may be where it cannot be read ({e})"),
                        None => "a newer one was lost".into(),
                    };
                    let text = format!(
                        "block 0 is of transaction {}, but the newest checkpoint that is left of transaction {xid}: \
                         {how}, and parts of what is read may have been overwritten since",
                        first.xid
                    );
                    notes.push(Note { damage: true, offset: 0, text });
                }
                return Ok(opened);
            }
            Err(e) => trouble = trouble.or(Some(e)),
        }
    }
    let none = || Error::corrupt("checkpoint area", "no superblock in it is sound");
    Err(trouble.unwrap_or_else(none))
}

/// The sound superblocks of the ring with their blocks, and why some could not be read.
fn superblocks(blocks: &Blocks, ring: &Ring) -> (Vec<(u64, NxSuperblock)>, Option<Error>) {
    let mut unread = None;
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
            return None;
        }
        let object = blocks.prove("checkpoint", block, bytes).ok()?;
        let nx = NxSuperblock::parse(object.bytes())?;
        let same = nx.block_size == blocks.size32() && nx.problem().is_none();
        (object.header.kind() == kind::NX_SUPERBLOCK && same).then_some((block, nx))
    });
    (found.collect(), unread)
}

/// Prove everything that a checkpoint consists of.
fn examine(
    store: &Arc<Store>,
    nx: NxSuperblock,
    block: u64,
    ring: &Ring,
) -> Result<(Checkpoint, Omap)> {
    let blocks = store.blocks();
    let bad = |text: String| blocks.corrupt("container superblock", block, text);
    let (len, index) = (u64::from(nx.descriptor_len), u64::from(nx.descriptor_index));
    if len < 2 || len > ring.len() || index >= ring.len() {
        return Err(bad(format!(
            "its checkpoint has {len} blocks from {index} of a ring of {}",
            ring.len()
        )));
    }
    let data = Ring::open(store, nx.data_base, nx.data_blocks)?;
    let mut ephemeral = Vec::new();
    for i in 0..len - 1 {
        let block = ring.block((index + i) % ring.len()).unwrap_or(u64::MAX);
        mappings(blocks, block, nx.xid, &mut ephemeral)?;
    }
    let size: u64 = ephemeral.iter().map(|e| u64::from(e.size) / blocks.size()).sum();
    if size > MAX_EPHEMERAL.min(data.len()) {
        return Err(bad(format!(
            "its checkpoint keeps {size} blocks of memory in a ring of {}",
            data.len()
        )));
    }
    for e in &ephemeral {
        read_ephemeral(blocks, &data, "object of the checkpoint", e, nx.xid)?;
    }
    let omap = Omap::open(store, nx.omap_oid)?;
    omap.tree().root()?;
    let rings = (ring.clone(), data);
    Ok((Checkpoint { superblock: nx, block, ephemeral, rings }, omap))
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
