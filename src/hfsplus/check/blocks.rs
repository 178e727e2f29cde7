//! Which blocks are in use, by everything that claims them; forks whose extents
//! go on in the extents file (sections 3 and 10).

use super::bits::Bits;
use crate::hfsplus::extents::{ForkType, Key};
use crate::hfsplus::format::{
    BAD_BLOCK_FILE, Extent, ExtentRecord, FIRST_USER_CNID, ForkData, VolumeHeader,
};
use crate::io::ReadAt;
use crate::io::bytes::{to_u32, to_usize};
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};

/// Who claims blocks.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// A fork of a file or special file.
    Fork(u32, ForkType),
    /// An extended attribute.
    Attribute(u32, &'a str),
    /// A fixed part of the volume.
    Fixed(Structure),
}

impl std::fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fork(id, ForkType::Data) => write!(f, "file {id}"),
            Self::Fork(id, ForkType::Resource) => write!(f, "resource fork of file {id}"),
            Self::Attribute(id, name) => write!(f, "attribute '{name}' of object {id}"),
            Self::Fixed(what) => what.fmt(f),
        }
    }
}

impl Owner<'_> {
    fn place(&self) -> Where {
        match self {
            Self::Fork(id, _) => Where::of(Structure::File).object(*id),
            Self::Attribute(id, _) => Where::of(Structure::Attribute).object(*id),
            Self::Fixed(what) => Where::of(*what),
        }
    }
}

/// The overflow extents, in key order, and which of them somebody needs.
#[derive(Default)]
pub struct Overflow {
    records: Vec<(Key, ExtentRecord, bool)>,
    /// Whether part of the extents file is missing, so that a fork's may be.
    pub lacking: bool,
}

impl Overflow {
    /// Add a record of the extents file.
    pub fn push(&mut self, key: Key, record: ExtentRecord) {
        self.records.push((key, record, false));
    }

    /// Put the records into key order once all are there.
    pub fn sort(&mut self) {
        self.records.sort_by_key(|r| r.0);
    }

    fn take(&mut self, key: Key) -> Option<ExtentRecord> {
        let at = self.records.binary_search_by_key(&key, |r| r.0).ok()?;
        let record = self.records.get_mut(at)?;
        record.2 = true;
        Some(record.1)
    }

    /// Report the records that no fork needs.
    pub fn report_unused(&self, reporter: &dyn Reporter) {
        for (key, _, used) in self.records.iter().filter(|r| !r.2) {
            debug_assert!(!used);
            let text = format!(
                "the extents file has extents of file {} from block {} on that it does not need",
                key.file, key.start
            );
            let place = Where::of(Structure::Extents).object(key.file);
            reporter.report(Finding::new(Code::OverflowOrphan, place, text));
        }
    }

    /// The extents of the bad block file, which has no other record. Reports records that
    /// do not follow each other.
    pub fn bad_blocks(&mut self, reporter: &dyn Reporter) -> Vec<Extent> {
        let mut all = Vec::new();
        let mut next = 0u32;
        for (key, record, used) in self.records.iter_mut().filter(|r| r.0.file == BAD_BLOCK_FILE) {
            *used = true;
            if (key.fork, key.start) != (ForkType::Data.code(), next) {
                let text = format!("bad blocks from block {} on, expected {next}", key.start);
                let place = Where::of(Structure::Extents).object(BAD_BLOCK_FILE);
                reporter.report(Finding::new(Code::OverflowOrphan, place, text));
            }
            let extents = record.iter().filter(|e| e.count > 0);
            next = extents.clone().fold(key.start, |n, e| n.saturating_add(e.count));
            all.extend(extents);
        }
        all
    }
}

/// The blocks in use.
pub struct Blocks<'a> {
    used: Bits,
    total: u32,
    block_size: u32,
    volume: &'a dyn ReadAt,
    reporter: &'a dyn Reporter,
    /// Whether some claim was broken, so that the map cannot be complete.
    pub broken: bool,
}

impl<'a> Blocks<'a> {
    /// All blocks free.
    pub fn new(header: &VolumeHeader, volume: &'a dyn ReadAt, reporter: &'a dyn Reporter) -> Self {
        Self {
            used: Bits::new(header.total_blocks.into()),
            total: header.total_blocks,
            block_size: header.block_size,
            volume,
            reporter,
            broken: false,
        }
    }

    /// The bitmap.
    pub fn map(&self) -> &Bits {
        &self.used
    }

    /// Number of blocks in use.
    pub fn used(&self) -> u64 {
        self.used.count()
    }

    fn report(&mut self, code: Code, owner: Owner<'_>, block: u32, text: String) {
        let at = u64::from(block) * u64::from(self.block_size);
        let place = if block < self.total { self.volume.locate(at) } else { None };
        let place = owner.place().block(block).at(place);
        self.reporter.report(Finding::new(code, place, format!("{owner}: {text}")));
        self.broken = true;
    }

    /// Something follows the last extent: nobody reads it, but nobody wrote it either.
    fn behind_the_end(&mut self, owner: Owner<'_>, block: u32) {
        let special = matches!(owner, Owner::Fork(id, _) if id < FIRST_USER_CNID);
        let severity = if special { Severity::Info } else { Severity::Warning };
        let text = format!("{owner}: block {block} is named behind the last extent");
        let finding = Finding::new(Code::ForkExtent, owner.place().block(block), text);
        self.reporter.report(finding.severity(severity));
    }

    /// Claim a run of blocks that lies in the volume; report those already taken.
    pub fn claim(&mut self, owner: Owner<'_>, start: u32, count: u32) {
        let taken = self.used.set(start.into(), count.into());
        if let Some(first) = taken.map(|n| to_u32(to_usize(n))) {
            let text = format!("block {first} belongs to something else, too");
            self.report(Code::ForkOverlap, owner, first, text);
        }
    }

    /// Claim the extents of a record up to its first empty one. Returns the blocks
    /// they hold, and whether the record was full; `None` if they are garbled.
    pub fn record(&mut self, owner: Owner<'_>, record: &ExtentRecord) -> Option<(u64, bool)> {
        let mut sum = 0;
        let mut ended = false;
        for e in record {
            let garbled = if e.count == 0 || ended {
                if !ended && e.start != 0 || ended && (e.start, e.count) != (0, 0) {
                    self.behind_the_end(owner, e.start);
                }
                ended = true;
                continue;
            } else if e.start == 0 && !matches!(owner, Owner::Fixed(_)) {
                Some("an extent begins at block 0".into())
            } else if e.start >= self.total || e.count >= self.total - e.start {
                // The last block is never a file's: the alternate header is there.
                let last = e.start.saturating_add(e.count - 1);
                Some(format!("blocks {} to {last} of {}", e.start, self.total))
            } else {
                None
            };
            if let Some(text) = garbled {
                self.report(Code::ForkExtent, owner, e.start, text);
                return None;
            }
            self.claim(owner, e.start, e.count);
            sum += u64::from(e.count);
        }
        Some((sum, !ended))
    }

    /// Check a fork and claim its blocks, those in the extents file included.
    pub fn fork(&mut self, id: u32, kind: ForkType, fork: &ForkData, overflow: &mut Overflow) {
        let owner = Owner::Fork(id, kind);
        let Some((mut sum, mut full)) = self.record(owner, &fork.extents) else { return };
        while full && sum < u64::from(fork.total_blocks) {
            let Ok(start) = u32::try_from(sum) else { break };
            let key = Key { file: id, fork: kind.code(), start };
            let Some(record) = overflow.take(key) else { break };
            let Some((more, was_full)) = self.record(owner, &record) else { return };
            if more == 0 {
                break;
            }
            sum += more;
            full = was_full;
        }
        if overflow.lacking && full && sum < u64::from(fork.total_blocks) {
            // The rest is in the part that is missing: told there.
            self.broken = true;
            return;
        }
        self.sums(owner, fork, sum);
    }

    /// The block count and size of a fork against its extents.
    pub fn sums(&mut self, owner: Owner<'_>, fork: &ForkData, sum: u64) {
        let (blocks_code, size_code) = match owner {
            Owner::Attribute(..) => (Code::AttributeFork, Code::AttributeFork),
            _ => (Code::ForkBlocks, Code::ForkSize),
        };
        let first = fork.extents.first().map_or(0, |e| e.start);
        if sum != u64::from(fork.total_blocks) {
            let text = format!("{} blocks, but its extents hold {sum}", fork.total_blocks);
            self.report(blocks_code, owner, first, text);
        }
        let room = u64::from(fork.total_blocks) * u64::from(self.block_size);
        if fork.logical_size <= room {
            return;
        }
        let text = format!("{} bytes in {room}", fork.logical_size);
        if matches!(owner, Owner::Fork(id, _) if id < FIRST_USER_CNID) {
            // Nobody reads behind the nodes that its tree has, or the bits of its blocks.
            let place = owner.place().block(first);
            let finding = Finding::new(size_code, place, format!("{owner}: {text}"));
            self.reporter.report(finding.severity(Severity::Warning));
        } else {
            self.report(size_code, owner, first, text);
        }
    }

    /// Claim what every volume has: the first sectors and the last (section 0).
    pub fn fixed(&mut self) {
        let front = 1536u32.div_ceil(self.block_size);
        self.claim(Owner::Fixed(Structure::VolumeHeader), 0, front);
        let back = 1024u32.div_ceil(self.block_size).min(self.total);
        self.claim(Owner::Fixed(Structure::AlternateVolumeHeader), self.total - back, back);
    }
}
