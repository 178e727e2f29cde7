//! Volumes without a map that leads to them: what begins a volume, and where to look for it.

use super::{Partition, PartitionMap, Purpose};
use crate::io::bytes::{array, be16, be32, le32, le64, to_u64, to_usize};
use crate::io::{ReadAt, read_up_to};
use crate::report::{Code, Finding, Reporter, Structure, Where};

/// How far from the beginning a volume is searched for, sector by sector and page by page.
const CLOSE: u64 = 2 << 20;
const FAR: u64 = 1 << 30;
/// Bytes read at a time.
const PIECE: u64 = 1 << 20;
/// Where macOS puts the first volume (`formats/partition.md` section 6): behind the map,
/// behind the EFI partition; of disks with sectors of 512 and of 4096 bytes.
pub const USUAL_STARTS: [u64; 6] =
    [40 * 512, 64 * 512, 409_640 * 512, 6 * 4096, 76_806 * 4096, 63 * 512];

/// Whether a volume that tmbundle knows begins at the first byte of `head`, and how long it
/// says it is.
pub fn volume_len(head: &[u8]) -> Option<u64> {
    let at = 1024;
    if matches!(be32(head, at), Some(0x482B_0004 | 0x4858_0005)) {
        let block = u64::from(be32(head, at + 40)?);
        let blocks = u64::from(be32(head, at + 44)?);
        let sound = block.is_power_of_two() && block >= 512 && blocks > 0;
        return sound.then(|| block.saturating_mul(blocks));
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
        read_up_to(disk, at, 4)
            .is_ok_and(|b| matches!(be32(&b, 0), Some(0x482B_0004 | 0x4858_0005)))
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
    let Some((start, len)) = find(disk) else { return };
    let number = map.partitions.iter().map(|p| p.number).max().unwrap_or(0).saturating_add(1);
    let whole = map.scheme == super::Scheme::None;
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
        purpose: Purpose::Other,
        type_name: "found by searching".into(),
        name: String::new(),
    });
}

/// The first volume, at the usual places, then near the beginning, then further on.
fn find(disk: &dyn ReadAt) -> Option<(u64, u64)> {
    let at = |start: u64| {
        let head = read_up_to(disk, start, 4096).ok()?;
        volume_len(&head).map(|len| (start, len))
    };
    USUAL_STARTS
        .into_iter()
        .find_map(at)
        .or_else(|| scan(disk, 0..CLOSE, 512))
        .or_else(|| scan(disk, CLOSE..FAR, 4096))
}

fn scan(disk: &dyn ReadAt, range: std::ops::Range<u64>, step: u64) -> Option<(u64, u64)> {
    let mut from = range.start;
    while from < range.end.min(disk.len()) {
        // What cannot be read, or is not stored, begins no volume.
        let piece = read_up_to(disk, from, to_usize(PIECE + 4096)).unwrap_or_default();
        if !crate::io::bytes::all_zero(&piece) {
            let starts = (0..PIECE).step_by(to_usize(step));
            let found = starts.map(to_usize).find_map(|n| {
                let head = piece.get(n..piece.len().min(n + 4096))?;
                volume_len(head).map(|len| (from + to_u64(n), len))
            });
            if found.is_some() {
                return found;
            }
        }
        from += PIECE;
    }
    None
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
