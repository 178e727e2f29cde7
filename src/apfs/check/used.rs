//! Which blocks are in use, and by what: packed, sorted once, and held against each other.

use super::say::Checker;
use crate::report::words::{count, plural};
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

/// Blocks that something uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    start: u64,
    len: u64,
    by: By,
    /// Number of the volume, 0 for the container.
    volume: u16,
}

impl Claim {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
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
    pub fn claim(&mut self, blocks: Range<u64>, by: By, volume: u32) {
        let volume = u16::try_from(volume).unwrap_or(u16::MAX);
        let (start, len) = (blocks.start, blocks.end.saturating_sub(blocks.start));
        if len == 0 {
            return;
        }
        match self.claims.last_mut() {
            // Much of what is used by one lies in a row.
            Some(last) if last.end() == start && (last.by, last.volume) == (by, volume) => {
                last.len = last.len.saturating_add(len);
            }
            _ => self.claims.push(Claim { start, len, by, volume }),
        }
    }

    /// Put them in order, and tell of blocks that have two owners.
    pub fn settle(&mut self, checker: &Checker<'_>) {
        self.claims.sort_unstable();
        let (mut widest, mut both): (Option<Claim>, Option<Both>) = (None, None);
        for claim in &self.claims {
            if let Some(before) = widest.filter(|w| w.end() > claim.start) {
                // Contents that overlap are told by the trees that record them.
                let known = before.by == By::Contents && claim.by == By::Contents;
                if !(known && before.volume == claim.volume) {
                    match both.as_mut().filter(|both| both.a == before) {
                        Some(both) => both.add(claim),
                        None => {
                            let new = Both::of(before, *claim);
                            both.replace(new).inspect(|b| b.tell(checker));
                        }
                    }
                }
            }
            if widest.is_none_or(|w| claim.end() > w.end()) {
                widest = Some(*claim);
            }
        }
        both.inspect(|b| b.tell(checker));
        // From here on each block has one owner.
        let mut end = 0;
        for claim in &mut self.claims {
            let start = claim.start.max(end);
            claim.len = claim.end().saturating_sub(start);
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

/// What lies over a claim, too.
#[derive(Clone, Copy)]
struct Both {
    a: Claim,
    first: Claim,
    blocks: u64,
    more: u64,
}

impl Both {
    fn of(a: Claim, first: Claim) -> Self {
        Self { a, first, blocks: a.end().min(first.end()) - first.start, more: 0 }
    }

    fn add(&mut self, claim: &Claim) {
        self.more += 1;
        let blocks = self.a.end().min(claim.end()).saturating_sub(claim.start);
        self.blocks = self.blocks.saturating_add(blocks);
    }

    fn tell(&self, checker: &Checker<'_>) {
        let (b, place) = (&self.first, checker.place(Structure::SpaceManager, self.first.start));
        let whose = |c: &Claim| match c.volume {
            0 => format!("{} of the container", c.by),
            n => format!("{} of volume {n}", c.by),
        };
        checker.broken(Rule::A308, place, || {
            let more = match self.more {
                0 => String::new(),
                n => format!(", or to one of {} other owners", count(n)),
            };
            let blocks = plural(self.blocks, "block", "blocks");
            format!(
                "{blocks} from {} on belong to {} and to {}{more}",
                b.start,
                whose(&self.a),
                whose(b)
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_row_is_one_claim_however_long() {
        let mut used = Used::new();
        used.claim(5..1 << 50, By::Contents, 1);
        used.claim(1 << 50..1 << 51, By::Contents, 1);
        used.claim(7..7, By::Contents, 1);
        used.claim(1 << 51..1 << 52, By::Contents, 2);
        let claims: Vec<_> = used.claims.iter().map(|c| (c.start..c.end(), c.volume)).collect();
        assert_eq!(claims, [(5..1 << 51, 1), (1 << 51..1 << 52, 2)]);
    }
}
