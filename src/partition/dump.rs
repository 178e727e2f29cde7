//! Partition maps as text (UEFI specification 5.2 and 5.3).

use crate::error::{Error, Result};
use crate::io::bytes::{all_zero, le32, le64, to_usize, usize32};
use crate::io::{ReadAt, gone, read_up_to};
use crate::report::dump::{Dump, Dumped, Field, Order, Show};
use Show::{Bytes, Guid, Hex, Number, Text, Utf16};

/// What [`dump`] knows.
pub const STRUCTURES: &[&str] = &["mbr", "gpt", "gpt-backup"];

const MBR_ENTRY: &[Field] = &[
    ("BootIndicator", 1, Hex),
    ("StartingCHS", 3, Bytes),
    ("OSType", 1, Hex),
    ("EndingCHS", 3, Bytes),
    ("StartingLBA", 4, Number),
    ("SizeInLBA", 4, Number),
];
const GPT_HEADER: &[Field] = &[
    ("Signature", 8, Text),
    ("Revision", 4, Hex),
    ("HeaderSize", 4, Number),
    ("HeaderCRC32", 4, Hex),
    ("Reserved", 4, Number),
    ("MyLBA", 8, Number),
    ("AlternateLBA", 8, Number),
    ("FirstUsableLBA", 8, Number),
    ("LastUsableLBA", 8, Number),
    ("DiskGUID", 16, Guid),
    ("PartitionEntryLBA", 8, Number),
    ("NumberOfPartitionEntries", 4, Number),
    ("SizeOfPartitionEntry", 4, Number),
    ("PartitionEntryArrayCRC32", 4, Hex),
];
const GPT_ENTRY: &[Field] = &[
    ("PartitionTypeGUID", 16, Guid),
    ("UniquePartitionGUID", 16, Guid),
    ("StartingLBA", 8, Number),
    ("EndingLBA", 8, Number),
    ("Attributes", 8, Hex),
    ("PartitionName", 72, Utf16),
];
/// Entries that are looked at.
const MAX_ENTRIES: usize = 1024;

/// A partition map's structure as text; one of [`STRUCTURES`].
///
/// # Errors
/// [`Error::NotFound`] for what is not there.
pub fn dump(disk: &dyn ReadAt, structure: &str) -> Result<Dumped> {
    let mut dump = Dump::default();
    match structure {
        "mbr" => mbr(disk, &mut dump)?,
        _ => gpt(disk, structure == "gpt-backup", &mut dump)?,
    }
    Ok(dump.finish())
}

fn mbr(disk: &dyn ReadAt, dump: &mut Dump) -> Result<()> {
    let sector = read_up_to(disk, 0, 512)?;
    dump.begin("Legacy MBR", Order::Little, disk.locate(0).as_ref(), 512);
    dump.lost(gone(disk, 0, &sector).map(|g| g.why));
    dump.fields(&sector, 440, "", &[("UniqueMBRDiskSignature", 4, Hex)]);
    for n in 0..4 {
        dump.fields(&sector, 446 + 16 * n, &format!("PartitionRecord[{n}]."), MBR_ENTRY);
    }
    dump.fields(&sector, 510, "", &[("Signature", 2, Hex)]);
    Ok(())
}

fn gpt(disk: &dyn ReadAt, backup: bool, dump: &mut Dump) -> Result<()> {
    let is_there = |at: u64| read_up_to(disk, at, 8).is_ok_and(|head| head == *b"EFI PART");
    let place = |sector: u64| match backup {
        true => (disk.len() / sector).saturating_sub(1).saturating_mul(sector),
        false => sector,
    };
    let sector = [512, 4096, 2048].into_iter().find(|sector| is_there(place(*sector)));
    let sector = sector.ok_or_else(|| Error::NotFound("there is no GPT header there".into()))?;
    let header = read_up_to(disk, place(sector), 92)?;
    let name = if backup { "backup GPT header" } else { "GPT header" };
    dump.begin(name, Order::Little, disk.locate(place(sector)).as_ref(), header.len());
    dump.lost(gone(disk, place(sector), &header).map(|g| g.why));
    dump.fields(&header, 0, "", GPT_HEADER);
    let (first, count, size) = (le64(&header, 72), le32(&header, 80), le32(&header, 84));
    let (Some(first), Some(count), Some(size)) = (first, count, size) else { return Ok(()) };
    let (at, size) = (first.saturating_mul(sector), usize32(size).clamp(128, 4096));
    let len = usize32(count).min(MAX_ENTRIES).saturating_mul(size);
    let entries = read_up_to(disk, at, len.min(to_usize(disk.len())))?;
    dump.begin("GPT partition entries", Order::Little, disk.locate(at).as_ref(), entries.len());
    for (n, entry) in entries.chunks(size).enumerate() {
        if !entry.get(..16).is_none_or(all_zero) {
            dump.line(&format!("entry {n} at {:#x}", n * size));
            dump.fields(entry, 0, "", GPT_ENTRY);
        }
    }
    Ok(())
}
