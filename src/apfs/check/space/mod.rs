//! The space manager (section 8): its head, its chunks and bitmaps, its pool, its queues.
//! Nobody reads it to show files, but a Mac that goes on writing relies on it.

mod chunks;
mod pool;
mod queues;
mod zones;

use super::say::Checker;
use super::used::{By, Used};
use crate::apfs::container::Container;
use crate::apfs::format::kind;
use crate::apfs::object::Object;
use crate::apfs::superblock::Superblock;
use crate::error::Result;
use crate::io::bytes::{to_u64, to_usize};
use crate::report::{Progress, Rule, Structure, Where};
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;

/// Bytes of the head of a versioned space manager, and of one without zones.
const HEAD: usize = 0x9D8;
const SHORT_HEAD: usize = 0x150;
/// Copies of the pool, and of its bitmap.
const COPIES: u64 = 3;
const BITMAP_COPIES: u64 = 16;

/// What all parts of the check of the space manager share.
pub struct Space<'a> {
    checker: &'a Checker<'a>,
    progress: &'a dyn Progress,
    container: &'a Container,
    object: Object,
    /// First block of it.
    block: u64,
    /// What it must be.
    sizes: Sizes,
    pool_queue: RefCell<PoolQueue>,
}

/// What of the pool waits to be given back.
struct PoolQueue {
    /// Blocks, counted from the pool's first.
    blocks: Vec<Range<u64>>,
    /// Whether all of it is known.
    whole: bool,
}

/// Numbers that follow from the size of the container.
struct Sizes {
    /// Blocks of a chunk: as many as a bitmap of one block has bits.
    chunk: u64,
    /// Chunks of a chunk-info block, and such blocks of an address block.
    per_cib: u64,
    per_cab: u64,
    chunks: u64,
    cibs: u64,
    cabs: u64,
    /// Blocks of the pool.
    pool: u64,
    /// Blocks of the pool's bitmap.
    pool_bitmap: u64,
}

impl Sizes {
    fn of(block: u64, blocks: u64) -> Self {
        let (chunk, per_cib, per_cab) = (8 * block, (block - 40) / 32, (block - 40) / 8);
        let chunks = blocks.div_ceil(chunk);
        let cibs = chunks.div_ceil(per_cib);
        let cabs = if cibs > per_cab { cibs.div_ceil(per_cab) } else { 0 };
        let pool = COPIES * (chunks + cibs + cabs);
        Self {
            chunk,
            per_cib,
            per_cab,
            chunks,
            cibs,
            cabs,
            pool,
            pool_bitmap: pool.div_ceil(chunk),
        }
    }
}

/// What the check of the container's superblock wants to know of it.
pub struct Seen {
    /// Nodes that the main free queue may have.
    pub queue_limit: u16,
    /// Numbers of the ephemeral objects that were used.
    pub objects: HashSet<u64>,
}

/// Check the space manager itself and its queues, whose blocks are claimed. What is in use is
/// compared by [`Space::bitmaps`], when all of it is known.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn check<'a>(
    checker: &'a Checker<'a>,
    container: &'a Container,
    progress: &'a dyn Progress,
    used: &mut Used,
) -> Result<Option<(Space<'a>, Seen)>> {
    let oid = container.superblock().spaceman_oid;
    let object = match container.ephemeral("space manager", oid, kind::SPACEMAN) {
        Ok(object) => object,
        Err(e) => {
            used.whole = false;
            let place = Where::of(Structure::SpaceManager);
            checker.unreadable(place, "the space manager", e)?;
            return Ok(None);
        }
    };
    let found = container.checkpoint().ephemeral.iter().find(|e| e.oid == oid);
    let block = found.map_or(0, |e| e.block);
    let blocks = container.store().blocks();
    let sizes = Sizes::of(blocks.size(), blocks.count());
    let space = Space {
        checker,
        progress,
        container,
        object,
        block,
        sizes,
        pool_queue: RefCell::new(PoolQueue { blocks: Vec::new(), whole: true }),
    };
    space.head();
    space.offsets();
    space.zones();
    space.claim(used);
    let seen = space.queues(used)?;
    Ok(Some((space, seen)))
}

impl Space<'_> {
    fn u32(&self, at: usize) -> u32 {
        self.object.u32(at).unwrap_or(0)
    }

    fn u64(&self, at: usize) -> u64 {
        self.object.u64(at).unwrap_or(0)
    }

    fn u16(&self, at: usize) -> u16 {
        self.object.array(at).map_or(0, u16::from_le_bytes)
    }

    fn place(&self) -> Where {
        self.checker.place(Structure::SpaceManager, self.block)
    }

    fn broken(&self, rule: Rule, text: impl FnOnce() -> String) {
        self.checker.broken(rule, self.place(), || format!("the space manager {}", text()));
    }

    /// A rule about a number that must be another.
    fn number(&self, rule: Rule, what: &str, found: u64, expected: u64) {
        if found != expected {
            self.broken(rule, || format!("says {found} for {what}, expected {expected}"));
        }
    }

    fn is_versioned(&self) -> bool {
        self.u32(0x90) & 1 != 0
    }

    fn head_size(&self) -> usize {
        if self.is_versioned() { HEAD } else { SHORT_HEAD }
    }

    /// The blocks of the pool, no more than it can have.
    fn pool(&self) -> Range<u64> {
        let len = self.u64(0x98).min(self.sizes.pool);
        self.u64(0xB0)..self.u64(0xB0).saturating_add(len)
    }

    fn head(&self) {
        let (blocks, s) = (self.container.store().blocks(), &self.sizes);
        self.number(Rule::A280, "the bytes of a block", self.u32(0x20).into(), blocks.size());
        self.number(Rule::A280, "the blocks of a chunk", self.u32(0x24).into(), s.chunk);
        self.number(Rule::A280, "the chunks of a list", self.u32(0x28).into(), s.per_cib);
        self.number(Rule::A280, "the lists of a list of lists", self.u32(0x2C).into(), s.per_cab);
        if self.u32(0x90) & !1 != 0 {
            self.broken(Rule::A281, || format!("has unknown flags ({:#x})", self.u32(0x90)));
        }
        if self.is_versioned() {
            self.number(Rule::A282, "its version", self.u32(0x150).into(), 1);
            self.number(Rule::A282, "its own size", self.u32(0x154).into(), to_u64(HEAD));
        } else if self.u32(0x150) == 1 && u64::from(self.u32(0x154)) == to_u64(HEAD) {
            self.broken(Rule::A282, || "has a version, and does not say so".into());
        }
        self.number(Rule::A283, "the blocks of the container", self.u64(0x30), blocks.count());
        for at in [0x60, 0x68, 0x70, 0x78] {
            self.number(Rule::A283, "a second device", self.u64(at), 0);
        }
        for (at, len) in [(0x54, 12), (0x84, 12)] {
            let zero = self.object.bytes().get(at..at + len);
            if zero.is_none_or(|b| !crate::io::bytes::all_zero(b)) {
                self.broken(Rule::A284, || format!("has unused bytes at {at} that are set"));
            }
        }
        self.number(Rule::A285, "the number of chunks", self.u64(0x38), s.chunks);
        self.number(Rule::A285, "the number of chunk lists", self.u32(0x40).into(), s.cibs);
        self.number(Rule::A285, "the number of lists of lists", self.u32(0x44).into(), s.cabs);
        self.number(
            Rule::A286,
            "the copies of the pool's bitmap",
            self.u32(0x94).into(),
            BITMAP_COPIES,
        );
        self.number(Rule::A286, "the blocks of the pool", self.u64(0x98), s.pool);
        self.number(
            Rule::A286,
            "the blocks of the pool's bitmap",
            self.u32(0xA0).into(),
            s.pool_bitmap,
        );
        let all = s.pool_bitmap * BITMAP_COPIES;
        self.number(Rule::A286, "the blocks of all its copies", self.u32(0xA4).into(), all);
    }

    /// The tables lie behind the head.
    fn offsets(&self) {
        let s = &self.sizes;
        let tables = [
            ("transactions of the pool's bitmaps", 0x144, 8, s.pool_bitmap * 8),
            ("places of the pool's bitmaps", 0x148, 2, s.pool_bitmap * 2),
            ("free bitmaps of the pool", 0x14C, 2, s.pool_bitmap * BITMAP_COPIES * 2),
            ("addresses", 0x50, 8, if s.cabs > 0 { s.cabs } else { s.cibs } * 8),
        ];
        for (name, at, align, len) in tables {
            let (start, all) = (u64::from(self.u32(at)), to_u64(self.object.bytes().len()));
            let inside = start >= to_u64(self.head_size()) && start.saturating_add(len) <= all;
            if !inside || !start.is_multiple_of(align) {
                self.broken(Rule::A278, || format!("has its {name} ({len} bytes) at {start}"));
            }
        }
    }

    fn claim(&self, used: &mut Used) {
        // No more than it can have: what says more is told, and claims nobody else's blocks.
        let ring = u64::from(self.u32(0xA4)).min(self.sizes.pool_bitmap * BITMAP_COPIES);
        let ring = self.u64(0xA8)..self.u64(0xA8).saturating_add(ring);
        let end = self.container.store().blocks().count();
        for (range, by) in [(ring, By::PoolBitmaps), (self.pool(), By::Pool)] {
            used.claim(range.start..range.end.min(end), by, 0);
        }
    }

    /// What is reserved for volumes.
    pub fn reserves(&self, volumes: &[(u32, Superblock)]) {
        if volumes.len() != self.container.superblock().volumes.len() {
            return;
        }
        let sum = |of: &dyn Fn(&Superblock) -> u64| {
            volumes.iter().fold(0u64, |sum, (_, sb)| sum.saturating_add(of(sb)))
        };
        let (all, taken) = (sum(&|sb| sb.reserve), sum(&|sb| sb.reserve.min(sb.allocated)));
        self.number(Rule::A319, "the blocks that volumes reserve", self.u64(0xB8), all);
        self.number(Rule::A319, "the reserved blocks that they use", self.u64(0xC0), taken);
    }

    /// The addresses of its lists, or of the lists of lists.
    fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        let (cibs, cabs) = (self.u32(0x40), self.u32(0x44));
        let count = u64::from(if cabs > 0 { cabs } else { cibs });
        let first = u64::from(self.u32(0x50));
        let most = to_u64(self.object.bytes().len()) / 8;
        (0..count.min(most)).map_while(move |i| self.object.u64(to_usize(first + i * 8)))
    }
}
