//! The container's superblock, block 0, and the ring of checkpoints (section 2).

use super::say::Checker;
use crate::apfs::checkpoint::Ephemeral;
use crate::apfs::container::Container;
use crate::apfs::format::{EPHEMERAL, NX_VERSION_2, PHYSICAL, kind};
use crate::apfs::object::{Header, Object};
use crate::io::bytes::{all_zero, le32, le64, usize32};
use crate::report::{Rule, Structure, Where};
use std::collections::{HashMap, HashSet};

/// Fields that may differ between block 0 and its original: counters, flags.
const MAY_DIFFER: [std::ops::Range<usize>; 3] = [0..8, 0x3D8..0x4D8, 0x4F0..0x4F8];
/// Flags of a container.
const FLAGS: u64 = 4;
/// Bytes for which a container may have one volume more.
const FOR_A_VOLUME: u64 = 512 << 20;
/// Above so many bytes a container keeps a fixed minimum of memory.
const LARGE: u64 = 128 << 20;
/// First number that is given out.
const FIRST: u64 = 1024;
/// Marks the last map of a checkpoint.
const LAST: u32 = 1;
/// Bytes of a mapping, and where they begin.
const MAPPING: usize = 40;
const MAPPINGS: usize = 0x28;

/// Check the superblock and the checkpoint that are read. `queue_limit`: nodes that the main
/// free queue may have.
pub fn check(checker: &Checker<'_>, container: &Container, queue_limit: Option<u16>) {
    let block = container.checkpoint().block;
    let blocks = container.store().blocks();
    let Ok(superblock) = blocks.object("container superblock", block, 1) else { return };
    let pass = Pass { checker, container, b: superblock.bytes(), header: superblock.header, block };
    pass.block_zero();
    pass.fields();
    pass.features();
    pass.memory_limits(queue_limit);
    pass.ring();
    pass.maps();
}

/// What the maps of the checkpoint mapped so far.
struct Mapped<'a> {
    /// Where in the ring the next object is due.
    at: u64,
    /// Numbers of objects.
    seen: HashSet<u64>,
    /// Objects that were not looked at yet, by number and block.
    kept: HashMap<(u64, u64), &'a Ephemeral>,
}

struct Pass<'a> {
    checker: &'a Checker<'a>,
    container: &'a Container,
    b: &'a [u8],
    header: Header,
    block: u64,
}

impl Pass<'_> {
    fn place(&self, structure: Structure) -> Where {
        self.checker.place(structure, self.block)
    }

    fn broken(&self, rule: Rule, text: impl FnOnce() -> String) {
        let place = self.place(Structure::Container);
        self.checker.broken(rule, place, || format!("the container superblock {}", text()));
    }

    fn u32(&self, at: usize) -> u32 {
        le32(self.b, at).unwrap_or(0)
    }

    fn u64(&self, at: usize) -> u64 {
        le64(self.b, at).unwrap_or(0)
    }

    /// Block 0 against the newest superblock.
    fn block_zero(&self) {
        let blocks = self.container.store().blocks();
        let Ok(zero) = blocks.object("container superblock", 0, 1) else { return };
        let (xid, newest) = (zero.header.xid, self.header.xid);
        let place = self.checker.place(Structure::Container, 0);
        if xid < newest {
            self.checker.broken(Rule::A009, place, || {
                format!(
                    "block 0 is of transaction {xid}, the newest checkpoint of {newest}: it was not \
                     unmounted, as after a lost connection"
                )
            });
            return;
        }
        let flags = zero.u64(0x4F0).unwrap_or(0);
        if flags & !FLAGS != 0 {
            self.checker.broken(Rule::A028, place.clone(), || {
                format!("block 0 has unknown flags ({flags:#x})")
            });
        }
        let same = |i: usize| MAY_DIFFER.iter().any(|range| range.contains(&i));
        let differs =
            zero.bytes().iter().zip(self.b).enumerate().find(|(i, (a, b))| a != b && !same(*i));
        if let Some((at, _)) = differs.filter(|_| xid == newest) {
            self.checker.broken(Rule::A008, place, || {
                format!(
                    "block 0 differs from the superblock of its transaction, first at byte {at}"
                )
            });
        }
    }

    fn fields(&self) {
        let (h, nx) = (&self.header, self.container.superblock());
        if h.oid != 1
            || h.kind_and_flags != EPHEMERAL | u32::from(kind::NX_SUPERBLOCK)
            || h.subtype != 0
        {
            self.broken(Rule::A039, || {
                format!(
                    "is object {} of type {:#x} and subtype {:#x}",
                    h.oid, h.kind_and_flags, h.subtype
                )
            });
        }
        if nx.next_xid != nx.xid.wrapping_add(1) {
            self.broken(Rule::A023, || {
                format!("is of transaction {}, and says that {} is next", nx.xid, nx.next_xid)
            });
        }
        if nx.next_oid < FIRST {
            self.broken(Rule::A024, || format!("says that object {} is next", nx.next_oid));
        }
        let size = nx.blocks.saturating_mul(nx.block_size.into());
        let (most, found) = (size.div_ceil(FOR_A_VOLUME).min(100), u64::from(self.u32(0xB4)));
        if most != found {
            self.broken(Rule::A025, || format!("admits {found} volumes, expected {most}"));
        }
        if self.u32(0xB0) != 0 || self.u64(0x540) != 0 {
            self.broken(Rule::A029, || "has fields for tests that are not zero".into());
        }
        if self.u64(0x4D8) != 0 || self.u64(0x4E0) != 0 {
            self.broken(Rule::A031, || {
                format!(
                    "blocks out {} blocks from {} on: it is being made smaller",
                    self.u64(0x4E0),
                    self.u64(0x4D8)
                )
            });
        }
    }

    fn features(&self) {
        let (features, read_only) = (self.u64(0x30), self.u64(0x38));
        if features & !3 != 0 || read_only != 0 {
            self.broken(Rule::A026, || {
                format!("has unknown features ({features:#x}, to be read only {read_only:#x})")
            });
        }
        if self.u64(0x40) & NX_VERSION_2 == 0 {
            self.broken(Rule::A027, || {
                format!("lacks the feature of its version (it has {:#x})", self.u64(0x40))
            });
        }
        if self.u64(0x4F0) & !FLAGS != 0 {
            self.broken(Rule::A028, || format!("has unknown flags ({:#x})", self.u64(0x4F0)));
        }
        let fusion = [0x500..0x510, 0x548..0x568];
        if !fusion.into_iter().all(|range| self.b.get(range).is_some_and(all_zero)) {
            self.broken(Rule::A030, || "has fields of a Fusion drive".into());
        }
    }

    fn memory_limits(&self, queue_limit: Option<u16>) {
        let nx = self.container.superblock();
        let size = nx.blocks.saturating_mul(nx.block_size.into());
        let least = if size > LARGE { Some(8) } else { queue_limit.map(u64::from) };
        let Some(least) = least else { return };
        let (wanted, found) = (least << 32 | 4 << 16 | 1, self.u64(0x520));
        if found != wanted || self.b.get(0x528..0x540).is_none_or(|rest| !all_zero(rest)) {
            self.broken(Rule::A032, || {
                format!("has {found:#x} for what is kept in memory, expected {wanted:#x} and zeros")
            });
        }
    }

    /// The place in the rings.
    fn ring(&self) {
        let (nx, rings) = (self.container.superblock(), &self.container.checkpoint().rings);
        let (index, len) = (u64::from(nx.descriptor_index), u64::from(nx.descriptor_len));
        let all = rings.0.len().max(1);
        let next = u64::from(self.u32(0x80));
        let own = rings.0.index_of(self.block);
        let last = (index + len).checked_sub(1).map(|i| i % all);
        if next != (index + len) % all || own.is_some() && own != last {
            self.broken(Rule::A010, || {
                format!(
                    "says that its checkpoint has {len} blocks from {index} of the ring on, and that \
                     {next} is next, of {all}; it is number {}",
                    own.map_or("none".into(), |n| n.to_string())
                )
            });
        }
        let (index, len) = (u64::from(nx.data_index), u64::from(nx.data_len));
        let (all, next) = (rings.1.len(), u64::from(self.u32(0x84)));
        if all > 0 && (index >= all || len > all || next != (index + len) % all) {
            self.broken(Rule::A011, || {
                format!("says that its data has {len} blocks from {index} of {all} on, and that {next} is next")
            });
        }
    }

    /// The maps of the checkpoint.
    fn maps(&self) {
        let (nx, rings) = (self.container.superblock(), &self.container.checkpoint().rings);
        let (index, len) = (u64::from(nx.descriptor_index), u64::from(nx.descriptor_len));
        // Each object is read once, whatever maps it.
        let kept = self.container.checkpoint().ephemeral.iter().map(|e| ((e.oid, e.block), e));
        let (seen, at) = (HashSet::new(), u64::from(nx.data_index));
        let (mut mapped, mut whole) = (Mapped { at, seen, kept: kept.collect() }, true);
        let maps = len.saturating_sub(1);
        for i in 0..maps.min(rings.0.len()) {
            let block = rings.0.block((index + i) % rings.0.len().max(1)).unwrap_or(u64::MAX);
            match self.container.store().blocks().object("checkpoint map", block, 1) {
                Ok(map) => self.map(&map, block, i + 1 == maps, &mut mapped),
                Err(_) => whole = false,
            }
        }
        let mapped = mapped.at - at;
        if whole && mapped != u64::from(nx.data_len) {
            self.checker.broken(Rule::A020, self.place(Structure::Checkpoint), || {
                format!("the checkpoint maps {mapped} blocks, its superblock says {}", nx.data_len)
            });
        }
    }

    fn map(&self, map: &Object, block: u64, last: bool, mapped: &mut Mapped<'_>) {
        let (h, nx) = (&map.header, self.container.superblock());
        let place = || self.checker.place(Structure::Checkpoint, block);
        let broken = |rule, text: &dyn Fn() -> String| {
            self.checker
                .broken(rule, place(), || format!("checkpoint map in block {block} {}", text()));
        };
        if h.kind_and_flags != PHYSICAL | u32::from(kind::CHECKPOINT_MAP)
            || h.subtype != 0
            || h.oid != block
        {
            broken(Rule::A012, &|| format!("is object {} of type {:#x}", h.oid, h.kind_and_flags));
        }
        if h.xid != nx.xid {
            broken(Rule::A013, &|| format!("is of transaction {}, expected {}", h.xid, nx.xid));
        }
        let flags = map.u32(0x20).unwrap_or(0);
        if flags != u32::from(last) * LAST {
            broken(Rule::A014, &|| format!("has flags {flags:#x}"));
        }
        let count = usize32(map.u32(0x24).unwrap_or(0));
        let room = (map.bytes().len() - MAPPINGS) / MAPPING;
        if count > room {
            broken(Rule::A015, &|| format!("has {count} mappings, and room for {room}"));
        }
        for i in 0..count.min(room) {
            let b = map.bytes().get(MAPPINGS + i * MAPPING..).unwrap_or_default();
            self.mapping(b, block, mapped);
        }
    }

    fn mapping(&self, b: &[u8], block: u64, mapped: &mut Mapped<'_>) {
        let (nx, data) = (self.container.superblock(), &self.container.checkpoint().rings.1);
        let size = self.container.store().blocks().size();
        let word = |at| le32(b, at).unwrap_or(0);
        let (bytes, oid) = (u64::from(word(8)), le64(b, 24).unwrap_or(0));
        let paddr = le64(b, 32).unwrap_or(0);
        let place = || self.checker.place(Structure::Checkpoint, block);
        if bytes == 0 || !bytes.is_multiple_of(size) || word(12) != 0 {
            self.checker.broken(Rule::A016, place(), || {
                format!("the checkpoint maps object {oid} with {bytes} bytes, or its unused field is set")
            });
        }
        let expected = data.block(mapped.at % data.len().max(1));
        if !mapped.seen.insert(oid) || data.len() > 0 && expected != Some(paddr) {
            self.checker.broken(Rule::A017, place(), || {
                format!("the checkpoint maps object {oid} at block {paddr}, which does not follow the one before, or is mapped twice")
            });
        }
        mapped.at += bytes.div_ceil(size);
        let kind = word(0);
        let storage_fits = kind & !0xFFFF == EPHEMERAL;
        if !(FIRST..nx.next_oid).contains(&oid) || !storage_fits {
            self.checker.broken(Rule::A019, place(), || {
                format!("the checkpoint maps object {oid} of type {kind:#x}, which cannot be")
            });
        }
        let Some(e) = mapped.kept.remove(&(oid, paddr)) else { return };
        if let Ok(object) = self.container.checkpoint().read_ephemeral(
            self.container.store().blocks(),
            "object of the checkpoint",
            e,
        ) && object.header.kind_and_flags != kind
        {
            let found = object.header.kind_and_flags;
            self.checker.broken(
                Rule::A019,
                self.checker.place(Structure::Checkpoint, paddr),
                || format!("object {oid} is of type {found:#x}, its mapping says {kind:#x}"),
            );
        }
    }
}

/// Everything that the checkpoint maps is used.
pub fn reached(checker: &Checker<'_>, container: &Container, seen: &HashSet<u64>) {
    for e in container.checkpoint().ephemeral.iter().filter(|e| !seen.contains(&e.oid)) {
        checker.broken(Rule::A033, checker.place(Structure::Checkpoint, e.block), || {
            format!(
                "nothing uses object {} of type {:#x}, which the checkpoint maps",
                e.oid, e.kind
            )
        });
    }
}
