//! Partition maps: GPT, Apple (APM), MBR, or none.
//!
//! Reading and checking are one pass: [`scan`] returns what can be used and
//! reports what is wrong. Source: UEFI specification chapter 5; `formats/partition.md`.

mod apm;
pub mod dump;
mod gpt;
mod mbr;
mod search;

pub use search::{USUAL_STARTS, alternate_fits, volume_len};

use crate::error::{Error, Result};
use crate::io::{Given, ReadAt, read_up_to};
use crate::report::{Code, Finding, Reporter, Structure, Where};
use std::collections::BTreeSet;

/// How the disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// GUID partition table.
    Gpt,
    /// Apple partition map.
    Apm,
    /// Master boot record.
    Mbr,
    /// No map: one volume from the first byte on.
    None,
}

impl Scheme {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt => "GPT",
            Self::Apm => "APM",
            Self::Mbr => "MBR",
            Self::None => "none",
        }
    }
}

/// What a partition is meant for, by its type in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Purpose {
    Hfs,
    Apfs,
    CoreStorage,
    Efi,
    AppleBoot,
    /// Free space, drivers, the map itself.
    Service,
    /// Something that may hold data tmbundle does not know by type.
    Other,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number, from 1, as macOS counts (`disk2s1`).
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// Type for people: `Apple_HFS`, a GUID, `0xAF`.
    pub type_name: String,
    /// Its name in the map; may be empty.
    pub name: String,
}

impl Partition {
    /// Whether no map names it: a volume that was found there by searching.
    pub fn is_searched(&self) -> bool {
        self.type_name == search::SEARCHED
    }
}

/// A partition map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMap {
    /// Which kind.
    pub scheme: Scheme,
    /// Bytes in a sector as the map counts.
    pub sector_size: u64,
    /// The partitions in the order of the map, those outside the disk cut or left out.
    pub partitions: Vec<Partition>,
    /// Whether the backup copy had to be used.
    pub from_backup: bool,
    /// The disk's own identity, as stored (GPT only).
    pub disk_guid: Option<[u8; 16]>,
}

/// Find the partition map of a disk; report what is wrong with it. A place that cannot be
/// read holds no map; where the map leads to no volume, one is searched for.
pub fn scan(disk: &dyn ReadAt, reporter: &dyn Reporter) -> Result<PartitionMap> {
    let mut map = match gpt::scan(disk, reporter)? {
        Some(map) => map,
        None => match apm::scan(disk, reporter)? {
            Some(map) => map,
            None => match mbr::scan(disk, reporter)? {
                Some(map) => map,
                None => whole(disk),
            },
        },
    };
    check_layout(disk, &mut map, reporter);
    search::complete(disk, &mut map, reporter);
    Ok(map)
}

/// The same with what is known of the disk from elsewhere: a volume's first byte instead of
/// any map; a partition, instead of all.
///
/// # Errors
/// [`Error::NotFound`] if there is no such partition, [`Error::Invalid`] for a byte behind the
/// end.
pub fn scan_given(
    disk: &dyn ReadAt,
    given: Given,
    reporter: &dyn Reporter,
) -> Result<PartitionMap> {
    if let Some(start) = given.volume_offset {
        if start >= disk.len() {
            let text = format!("byte {start} lies behind the disk's end at {}", disk.len());
            return Err(Error::Invalid(text));
        }
        let mut map = whole(disk);
        for p in &mut map.partitions {
            (p.start, p.len) = (start, disk.len() - start);
            p.type_name = "as given".into();
        }
        return Ok(map);
    }
    let mut map = scan(disk, reporter)?;
    if let Some(number) = given.partition {
        let numbers: Vec<String> = map.partitions.iter().map(|p| p.number.to_string()).collect();
        map.partitions.retain(|p| p.number == number);
        if map.partitions.is_empty() {
            let text = format!("no partition {number} (there are: {})", numbers.join(", "));
            return Err(Error::NotFound(text));
        }
    }
    Ok(map)
}

fn whole(disk: &dyn ReadAt) -> PartitionMap {
    let partition = Partition {
        number: 1,
        start: 0,
        len: disk.len(),
        purpose: Purpose::Other,
        type_name: "whole disk".into(),
        name: String::new(),
    };
    let partitions = vec![partition];
    PartitionMap {
        scheme: Scheme::None,
        sector_size: 512,
        partitions,
        from_backup: false,
        disk_guid: None,
    }
}

/// Most partitions that lie over others and are looked at.
const MAX_OVERLAPS: usize = 8;

/// What is said of a partition of which only the beginning is there.
pub(crate) const PAST_END: &str = "ends past the disk";

/// Report partitions that leave the disk or overlap; cut those that leave it.
fn check_layout(disk: &dyn ReadAt, map: &mut PartitionMap, reporter: &dyn Reporter) {
    let len = disk.len();
    for p in &mut map.partitions {
        if p.start.checked_add(p.len).is_none_or(|end| end > len) {
            let text = format!(
                "partition {} ({}) of {} bytes at {} {PAST_END} ({len} bytes)",
                p.number, p.type_name, p.len, p.start
            );
            let place = Where::of(Structure::PartitionMap)
                .at(disk.locate(p.start.min(len.saturating_sub(1))));
            reporter.report(Finding::new(Code::PartitionEntry, place, text));
            p.len = len.saturating_sub(p.start);
        }
    }
    map.partitions.retain(|p| p.len > 0);
    leave_out_overlaps(disk, map, reporter);
    let mut sorted: Vec<&Partition> = map.partitions.iter().collect();
    sorted.sort_by_key(|p| p.start);
    for (a, b) in sorted.iter().zip(sorted.iter().skip(1)) {
        if a.start + a.len > b.start {
            let text = format!("partitions {} and {} overlap", a.number, b.number);
            let place = Where::of(Structure::PartitionMap).at(disk.locate(b.start));
            reporter.report(Finding::new(Code::PartitionEntry, place, text));
        }
    }
}

/// Of many partitions that lie over others each would be opened, its journal read, its trees
/// walked: a few of them are. Those of a real disk do not overlap.
fn leave_out_overlaps(disk: &dyn ReadAt, map: &mut PartitionMap, reporter: &dyn Reporter) {
    let mut order: Vec<(u64, u64, u32)> =
        map.partitions.iter().map(|p| (p.start, p.start.saturating_add(p.len), p.number)).collect();
    order.sort_unstable();
    let (mut furthest, mut last, mut over) = (0, None, Vec::new());
    for (start, end, number) in order {
        // Those that begin alike are one volume, which is opened once.
        if start < furthest && last != Some(start) {
            over.push((number, start));
        }
        (furthest, last) = (furthest.max(end), Some(start));
    }
    let Some((_, first)) = over.get(MAX_OVERLAPS) else { return };
    let place = Where::of(Structure::PartitionMap).at(disk.locate(*first));
    let rest: BTreeSet<u32> = over.iter().skip(MAX_OVERLAPS).map(|(number, _)| *number).collect();
    let (all, out) = (over.len(), rest.len());
    let text = format!("{all} partitions lie over others; {out} of them are left out");
    reporter.report(Finding::new(Code::PartitionEntry, place, text));
    map.partitions.retain(|p| !rest.contains(&p.number));
}

/// The disk's first bytes, fewer if it is smaller; none if they cannot be read, which is
/// reported.
fn head(disk: &dyn ReadAt, len: usize, reporter: &dyn Reporter) -> Vec<u8> {
    read_up_to(disk, 0, len).unwrap_or_else(|e| {
        let place = Where::of(Structure::PartitionMap).at(disk.locate(0));
        let text = format!("{e}; taken to hold no partition map");
        reporter.report(Finding::new(Code::DiskUnreadable, place, text));
        Vec::new()
    })
}
