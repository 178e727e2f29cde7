//! Volumes without a map that leads to them: what begins a volume, and where to look for it.

use super::{Partition, PartitionMap, Purpose};
use crate::io::bytes::{array, be16, be32, le32, le64, to_u64, to_usize};
use crate::io::{Presence, ReadAt, read_up_to};
use crate::report::{Code, Finding, Reporter, Structure, Where};
use std::collections::BTreeSet;
use std::ops::Range;

/// How far from the beginning a volume is searched for, sector by sector and page by page.
const CLOSE: u64 = 2 << 20;
const FAR: u64 = 1 << 30;
/// Bytes read at a time.
const PIECE: u64 = 1 << 20;
/// Where macOS puts the first volume (`formats/partition.md` section 6): behind the map,
/// behind the EFI partition; of disks with sectors of 512 and of 4096 bytes.
pub const USUAL_STARTS: [u64; 6] =
    [40 * 512, 64 * 512, 409_640 * 512, 6 * 4096, 76_806 * 4096, 63 * 512];

/// What a volume that was found so has for the type of its partition.
pub(super) const SEARCHED: &str = "found by searching";
/// Most copies of a container's superblock that its ring is asked for.
const MAX_RING: u32 = 4096;
/// An HFS+ volume ends in its partition's last block, which need not be whole: most bytes of it
/// that are looked into.
const ROUNDED: u64 = 1 << 16;

/// A volume that was found.
struct Hit {
    start: u64,
    len: u64,
    purpose: Purpose,
    /// Whether more than its first block says so.
    sure: bool,
}

/// Bytes of an HFS+ volume by the header at a byte, if there is one.
fn hfs_len(bytes: &[u8], at: usize) -> Option<u64> {
    if !matches!(be32(bytes, at), Some(0x482B_0004 | 0x4858_0005)) {
        return None;
    }
    let block = u64::from(be32(bytes, at + 40)?);
    let blocks = u64::from(be32(bytes, at + 44)?);
    let sound = block.is_power_of_two() && block >= 512 && blocks > 0;
    sound.then(|| block.saturating_mul(blocks))
}

/// Whether the volume whose alternate header ends `len` bytes of the disk (1024 bytes before
/// their end) begins with them: less than a block of it is left over, and no header of a
/// volume says that it begins later.
pub fn alternate_fits(disk: &dyn ReadAt, start: u64, len: u64, header: &[u8]) -> bool {
    let Some(volume) = hfs_len(header, 0) else { return true };
    let (block, rest) = (u64::from(be32(header, 40).unwrap_or(0)), len.saturating_sub(volume));
    let header_at = |n: u64| {
        let at = start.saturating_add(n * 512 + 1024);
        read_up_to(disk, at, 512).is_ok_and(|head| hfs_len(&head, 0).is_some())
    };
    rest < block && !(1..=rest.min(ROUNDED) / 512).any(header_at)
}

/// Whether a volume that tmbundle knows begins at the first byte of `head`, and how long it
/// says it is.
pub fn volume_len(head: &[u8]) -> Option<u64> {
    let at = 1024;
    if matches!(be32(head, at), Some(0x482B_0004 | 0x4858_0005)) {
        return hfs_len(head, at);
    }
    // The wrapper of an HFS volume around an HFS+ one.
    if be16(head, at) == Some(0x4244) && be16(head, at + 124) == Some(0x482B) {
        let block = u64::from(be32(head, at + 20)?);
        return Some(block.saturating_mul(u64::from(be16(head, at + 18)?)));
    }
    if array(head, 32) == Some(*b"NXSB") {
        let block = u64::from(le32(head, 36)?);
        let sound = block.is_power_of_two() && (4096..=65_536).contains(&block);
        return sound.then(|| le64(head, 40).unwrap_or(0).saturating_mul(block));
    }
    None
}

/// Whether a volume begins at a byte of the disk.
pub(super) fn begins_at(disk: &dyn ReadAt, at: u64) -> bool {
    read_up_to(disk, at, 4096).is_ok_and(|head| volume_len(&head).is_some())
}

/// Whether a volume begins at a partition's start, or an HFS+ volume's alternate header lies
/// at its end.
fn holds_volume(disk: &dyn ReadAt, p: &Partition) -> bool {
    let ends = || {
        let Some(at) = p.start.checked_add(p.len).and_then(|end| end.checked_sub(1024)) else {
            return false;
        };
        read_up_to(disk, at, 512).is_ok_and(|b| {
            let signed = matches!(be32(&b, 0), Some(0x482B_0004 | 0x4858_0005));
            signed && alternate_fits(disk, p.start, p.len, &b)
        })
    };
    begins_at(disk, p.start) || ends()
}

/// Look for a volume where the map leads to none; add it to the map and report it.
pub(super) fn complete(disk: &dyn ReadAt, map: &mut PartitionMap, reporter: &dyn Reporter) {
    let other = |p: &Partition| {
        let known = [Purpose::CoreStorage, Purpose::AppleBoot, Purpose::Apfs];
        known.contains(&p.purpose)
    };
    if map.partitions.iter().any(|p| other(p) || holds_volume(disk, p)) {
        return;
    }
    let Some(Hit { start, len, purpose, .. }) = find(disk) else { return };
    let number = map.partitions.iter().map(|p| p.number).max().unwrap_or(0).saturating_add(1);
    let whole = map.scheme == super::Scheme::None;
    if let (true, 0, Some(p)) = (whole, start, map.partitions.first_mut()) {
        // It fills the disk, as was thought: only its first block is lost.
        p.purpose = purpose;
        return;
    }
    let text = format!(
        "{} leads to no volume; one of {len} bytes was found by searching, at byte {start}",
        if whole { "no partition map" } else { "the partition map" }
    );
    let place = Where::of(Structure::PartitionMap).at(disk.locate(start));
    reporter.report(Finding::new(Code::VolumeSearched, place, text));
    if whole {
        map.partitions.clear();
    }
    map.partitions.push(Partition {
        number: if whole { 1 } else { number },
        start,
        len: len.min(disk.len().saturating_sub(start)),
        purpose,
        type_name: SEARCHED.into(),
        name: String::new(),
    });
}

/// The first volume, at the usual places, then near the beginning, then further on, then by
/// the alternate header at the disk's end. One of which only a block is there, which may be a
/// copy, is taken where no other is found.
fn find(disk: &dyn ReadAt) -> Option<Hit> {
    let mut unsure = None;
    let mut look = |start: u64, head: &[u8]| -> Option<Hit> {
        let hit = hit(disk, start, head)?;
        if hit.sure {
            return Some(hit);
        }
        unsure.get_or_insert(hit);
        None
    };
    let usual = USUAL_STARTS.into_iter().find_map(|start| {
        let head = read_up_to(disk, start, 4096).ok()?;
        look(start, &head)
    });
    let found = usual
        .or_else(|| scan(disk, 0..CLOSE, 512, &mut look))
        .or_else(|| scan(disk, CLOSE..FAR, 4096, &mut look))
        .or_else(|| by_alternate(disk));
    found.or(unsure)
}

/// What begins, or has a copy of its beginning, at a byte.
fn hit(disk: &dyn ReadAt, at: u64, head: &[u8]) -> Option<Hit> {
    let len = volume_len(head)?;
    if array(head, 32) != Some(*b"NXSB") {
        // The last sectors of the disk need not be a whole block.
        let block = hfs_len(head, 1024).and_then(|_| be32(head, 1024 + 40)).map_or(0, u64::from);
        let rest = disk.len().saturating_sub(at.saturating_add(len));
        let len = if rest < block { len.saturating_add(rest) } else { len };
        return Some(Hit { start: at, len, purpose: Purpose::Other, sure: true });
    }
    let (start, sure) = container_start(disk, at, head)?;
    Some(Hit { start, len, purpose: Purpose::Apfs, sure })
}

/// The first byte of the container whose superblock, or a copy of it in the ring of
/// checkpoints, lies at a byte; and whether that is sure: the object map, a physical object,
/// then lies where it says itself that it lies (`formats/apfs.md` sections 1 and 2).
fn container_start(disk: &dyn ReadAt, at: u64, head: &[u8]) -> Option<(u64, bool)> {
    const OBJECT_MAP: u32 = 0xB;
    let block = u64::from(le32(head, 36)?);
    let (ring, base, map) = (le32(head, 0x68)?, le64(head, 0x70)?, le64(head, 0xA0)?);
    let has_map = |start: &u64| {
        let place = map.checked_mul(block).and_then(|n| n.checked_add(*start));
        place.and_then(|place| read_up_to(disk, place, 32).ok()).is_some_and(|object| {
            let kind = le32(&object, 24).map(|kind| kind & 0xFFFF);
            le64(&object, 8) == Some(map) && kind == Some(OBJECT_MAP)
        })
    };
    let before = |n: u32| at.checked_sub(base.checked_add(n.into())?.checked_mul(block)?);
    let pieces = ring >> 31 != 0;
    let copies = (0..if pieces { 0 } else { ring.min(MAX_RING) }).filter_map(before);
    let starts: Vec<u64> = std::iter::once(at).chain(copies).collect();
    if let Some(start) = starts.iter().find(|start| has_map(start)) {
        return Some((*start, true));
    }
    let same = |start: &&u64| {
        read_up_to(disk, **start, 0x58).is_ok_and(|first| {
            array(&first, 32) == Some(*b"NXSB") && first.get(0x48..) == head.get(0x48..0x58)
        })
    };
    starts.iter().filter(same).min().map(|start| (*start, false))
}

/// The HFS+ volume whose alternate header ends the disk.
fn by_alternate(disk: &dyn ReadAt) -> Option<Hit> {
    let header = read_up_to(disk, disk.len().checked_sub(1024)?, 512).ok()?;
    let len = hfs_len(&header, 0)?;
    let block = u64::from(be32(&header, 40)?);
    let catalog = u64::from(be32(&header, 272 + 16)?).checked_mul(block)?;
    // Of the partition's last block, only a part may be there.
    let starts =
        (0..block.min(ROUNDED) / 512).filter_map(|n| disk.len().checked_sub(len + n * 512));
    // A tree begins with a node of kind 1 on level 0.
    let has_tree = |start: &u64| {
        let node = read_up_to(disk, start.saturating_add(catalog), 14).unwrap_or_default();
        node.get(8..10) == Some(&[1, 0]) && be32(&node, 4) == Some(0)
    };
    let start = starts.clone().find(has_tree).or_else(|| starts.clone().next())?;
    Some(Hit { start, len: disk.len() - start, purpose: Purpose::Hfs, sure: true })
}

fn scan(
    disk: &dyn ReadAt,
    range: Range<u64>,
    step: u64,
    look: &mut dyn FnMut(u64, &[u8]) -> Option<Hit>,
) -> Option<Hit> {
    for from in stored_pieces(disk, range.start..range.end.min(disk.len())) {
        // What cannot be read, or is not stored, begins no volume.
        let piece = read_up_to(disk, from, to_usize(PIECE + 4096)).unwrap_or_default();
        if !crate::io::bytes::all_zero(&piece) {
            let starts = (0..PIECE).step_by(to_usize(step));
            let found = starts.map(to_usize).find_map(|n| {
                let head = piece.get(n..piece.len().min(n + 4096))?;
                look(from + to_u64(n), head)
            });
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// The first bytes of the pieces of a range in which something is stored, as far as that can
/// be told.
fn stored_pieces(disk: &dyn ReadAt, range: Range<u64>) -> BTreeSet<u64> {
    let pieces = |run: Range<u64>| {
        let first = run.start - (run.start - range.start) % PIECE;
        (first..run.end).step_by(to_usize(PIECE))
    };
    let mut all = BTreeSet::new();
    if range.is_empty() {
        return all;
    }
    let told = disk.presence(range.clone(), &mut |run, how| {
        if how == Presence::Stored && !run.is_empty() {
            all.extend(pieces(run));
        }
    });
    if told.is_err() {
        all.extend(pieces(range.clone()));
    }
    all
}

/// The unit of a map's addresses, by which most of its partitions begin with a volume: the
/// one that is expected, unless another fits and it does not.
pub(super) fn unit(disk: &dyn ReadAt, expected: u64, starts: &[u64]) -> u64 {
    let fits = |unit: u64| {
        starts.iter().any(|n| n.checked_mul(unit).is_some_and(|at| begins_at(disk, at)))
    };
    if fits(expected) {
        return expected;
    }
    [512, 1024, 2048, 4096].into_iter().find(|unit| fits(*unit)).unwrap_or(expected)
}
