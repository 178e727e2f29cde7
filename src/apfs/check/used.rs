//! Which blocks are in use, and by what: packed, sorted once, and held against each other.

use super::say::Checker;
use crate::report::{Rule, Structure};
use std::fmt;
use std::ops::Range;

/// What uses blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Block 0.
    BlockZero,
    /// The ring of checkpoint descriptors, or of what they keep of memory.
    Ring,
    /// The ring of the pool's bitmaps.
    PoolBitmaps,
    /// The space manager's pool.
    Pool,
    /// An object map and its trees.
    ObjectMap,
    /// A volume's superblock.
    Volume,
    /// The driver for firmware.
    Efi,
    /// A keybag.
    Keybag,
    /// What an object map maps.
    Mapped,
    /// The tree of snapshots.
    Snapshots,
    /// A tree of extent references.
    References,
    /// The superblock that a snapshot keeps.
    SnapshotSuperblock,
    /// Contents of files.
    Contents,
    /// Blocks that wait to be given back.
    Queue,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlockZero => "the container superblock",
            Self::Ring => "the checkpoint area",
            Self::PoolBitmaps => "the bitmaps of the space manager's pool",
            Self::Pool => "the space manager's pool",
            Self::ObjectMap => "an object map",
            Self::Volume => "a volume superblock",
            Self::Efi => "the driver for firmware",
            Self::Keybag => "a keybag",
            Self::Mapped => "an object of a volume",
            Self::Snapshots => "the tree of snapshots",
            Self::References => "a tree of extent references",
            Self::SnapshotSuperblock => "the superblock of a snapshot",
            Self::Contents => "contents of files",
            Self::Queue => "the queue of blocks to be given back",
        })
    }
}

/// Blocks that something uses: 16 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    start: u64,
    len: u32,
    by: By,
    /// Number of the volume, 0 for the container.
    volume: u16,
}

impl Claim {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.len.into())
    }
}

/// All blocks that are in use.
#[derive(Default)]
pub struct Used {
    claims: Vec<Claim>,
    /// Whether everything was seen that uses blocks.
    pub whole: bool,
}

impl Used {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { claims: Vec::new(), whole: true }
    }

    /// Something of a volume, or of the container (0), uses blocks.
    pub fn claim(&mut self, mut blocks: Range<u64>, by: By, volume: u32) {
        let volume = u16::try_from(volume).unwrap_or(u16::MAX);
        while blocks.start < blocks.end {
            let len = u32::try_from(blocks.end - blocks.start).unwrap_or(u32::MAX);
            self.claims.push(Claim { start: blocks.start, len, by, volume });
            blocks.start += u64::from(len);
        }
    }

    /// Put them in order, and tell of blocks that have two owners.
    pub fn settle(&mut self, checker: &Checker<'_>) {
        self.claims.sort_unstable();
        let mut widest: Option<Claim> = None;
        for claim in &self.claims {
            if let Some(before) = widest.filter(|w| w.end() > claim.start) {
                // Contents that overlap are told by the trees that record them.
                let known = before.by == By::Contents && claim.by == By::Contents;
                if !(known && before.volume == claim.volume) {
                    two(checker, &before, claim);
                }
            }
            if widest.is_none_or(|w| claim.end() > w.end()) {
                widest = Some(*claim);
            }
        }
        // From here on each block has one owner.
        let mut end = 0;
        for claim in &mut self.claims {
            let start = claim.start.max(end);
            claim.len = u32::try_from(claim.end().saturating_sub(start)).unwrap_or(0);
            claim.start = start;
            end = end.max(claim.end());
        }
        self.claims.retain(|c| c.len > 0);
    }

    /// The parts of some blocks that are in use, in order, and by what; after
    /// [`Self::settle`].
    pub fn within(&self, blocks: Range<u64>) -> impl Iterator<Item = (Range<u64>, By)> + '_ {
        let first = self.claims.partition_point(|c| c.end() <= blocks.start);
        let claims = self.claims.get(first..).unwrap_or_default();
        claims
            .iter()
            .take_while(move |c| c.start < blocks.end)
            .map(move |c| (c.start.max(blocks.start)..c.end().min(blocks.end), c.by))
    }
}

fn two(checker: &Checker<'_>, a: &Claim, b: &Claim) {
    let place = checker.place(Structure::SpaceManager, b.start);
    let whose = |c: &Claim| match c.volume {
        0 => format!("{} of the container", c.by),
        n => format!("{} of volume {n}", c.by),
    };
    checker.broken(Rule::A308, place, || {
        let blocks = a.end().min(b.end()) - b.start;
        format!("{blocks} blocks from {} on belong to {} and to {}", b.start, whose(a), whose(b))
    });
}
