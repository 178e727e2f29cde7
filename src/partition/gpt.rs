//! GUID partition table, both copies (UEFI specification 5.3).

use super::{Partition, PartitionMap, Purpose, Scheme};
use crate::error::{Error, Result};
use crate::io::bytes::{array, le16, le32, le64, to_usize, usize32};
use crate::io::{ReadAt, gone, read_up_to};
use crate::report::{Code, Finding, Reporter, Structure, Where};

/// Entries that are read; macOS writes 128.
const MAX_ENTRIES: u32 = 1024;
/// Largest entry that is read, in bytes; macOS writes 128.
const MAX_ENTRY: u32 = 4096;

struct Table {
    sector: u64,
    my_lba: u64,
    alternate: u64,
    usable: (u64, u64),
    disk_guid: [u8; 16],
    entries: Vec<Partition>,
}

/// Read the table from its first copy, else from its second; `None` if there is
/// no trace of either.
pub(super) fn scan(disk: &dyn ReadAt, reporter: &dyn Reporter) -> Result<Option<PartitionMap>> {
    let mut primary_error = None;
    for sector in [512, 4096, 2048] {
        match read_table(disk, sector, 1)? {
            Copy::Good(primary) => {
                check_backup(disk, &primary, reporter)?;
                return Ok(Some(into_map(primary, false)));
            }
            Copy::Bad(why) => primary_error = Some((sector, why)),
            Copy::Absent => {}
        }
    }
    // The primary is broken or gone: look for the backup in the last sector.
    for sector in [512, 4096, 2048] {
        let last = (disk.len() / sector).saturating_sub(1);
        if last < 2 {
            continue;
        }
        if let Copy::Good(backup) = read_table(disk, sector, last)? {
            let lost = lost(disk, sector);
            let code = if lost.is_some() { Code::BandLost } else { Code::GptPrimary };
            let why = lost.or(primary_error.map(|(_, why)| why));
            let why = why.unwrap_or_else(|| "its signature is missing".into());
            let text = format!("primary GPT: {why}; the backup at the end of the disk was used");
            let place = Where::of(Structure::Gpt).at(disk.locate(sector));
            reporter.report(Finding::new(code, place, text));
            return Ok(Some(into_map(backup, true)));
        }
    }
    if let Some((sector, why)) = primary_error {
        let text = format!("primary GPT: {why}; no backup was found either");
        let place = Where::of(Structure::Gpt).at(disk.locate(sector));
        reporter.report(Finding::new(Code::GptPrimary, place, text));
    }
    Ok(None)
}

/// Why the header at `offset` is not stored, if it is not.
fn lost(disk: &dyn ReadAt, offset: u64) -> Option<String> {
    let head = read_up_to(disk, offset, 512).ok().filter(|head| !head.is_empty())?;
    Some(format!("it is lost: {}", gone(disk, offset, &head)?.why))
}

enum Copy {
    Absent,
    Bad(String),
    Good(Table),
}

fn check_backup(disk: &dyn ReadAt, primary: &Table, reporter: &dyn Reporter) -> Result<()> {
    let say = |code, lba: u64, text: String| {
        let offset = lba.saturating_mul(primary.sector).min(disk.len().saturating_sub(1));
        reporter.report(Finding::new(
            code,
            Where::of(Structure::Gpt).at(disk.locate(offset)),
            text,
        ));
    };
    let last = (disk.len() / primary.sector).saturating_sub(1);
    if primary.alternate != last {
        let text = format!(
            "the backup GPT is said to be in sector {} but the disk's last sector is {last}",
            primary.alternate
        );
        say(Code::GptBackup, primary.alternate, text);
    }
    match read_table(disk, primary.sector, primary.alternate)? {
        Copy::Absent => {
            let offset = primary.alternate.saturating_mul(primary.sector);
            let why = lost(disk, offset).map(|why| format!(": {why}")).unwrap_or_default();
            let text = format!("no backup GPT in sector {}{why}", primary.alternate);
            say(Code::GptBackup, primary.alternate, text);
        }
        Copy::Bad(why) => say(Code::GptBackup, primary.alternate, format!("backup GPT: {why}")),
        Copy::Good(backup) => {
            if backup.entries != primary.entries || backup.disk_guid != primary.disk_guid {
                let text = "the primary and the backup GPT list different partitions";
                say(Code::GptDiffers, backup.my_lba, text.into());
            }
        }
    }
    for p in &primary.entries {
        let first = p.start / primary.sector;
        let end = p.start.saturating_add(p.len) / primary.sector;
        if first < primary.usable.0 || end > primary.usable.1.saturating_add(1) {
            let text = format!("partition {} lies outside the usable sectors", p.number);
            say(Code::PartitionEntry, first, text);
        }
    }
    Ok(())
}

fn read_table(disk: &dyn ReadAt, sector: u64, lba: u64) -> Result<Copy> {
    let Some(offset) = lba.checked_mul(sector) else { return Ok(Copy::Absent) };
    let header = match read_up_to(disk, offset, to_usize(sector)) {
        Ok(header) => header,
        Err(e @ (Error::Io { .. } | Error::Corrupt(_))) => {
            return Ok(Copy::Bad(format!("it cannot be read: {e}")));
        }
        Err(e) => return Err(e),
    };
    if !header.starts_with(b"EFI PART") {
        return Ok(Copy::Absent);
    }
    Ok(parse_table(disk, &header, sector, lba).unwrap_or_else(|| Copy::Bad("it is cut off".into())))
}

fn parse_table(disk: &dyn ReadAt, header: &[u8], sector: u64, lba: u64) -> Option<Copy> {
    let bad = |text: String| Some(Copy::Bad(text));
    let size = usize32(le32(header, 12)?);
    if size < 92 || size > header.len() {
        return bad(format!("header size {size} is impossible"));
    }
    let mut summed = header.get(..size)?.to_vec();
    summed.get_mut(16..20)?.fill(0);
    let (stored, found) = (le32(header, 16)?, crc32fast::hash(&summed));
    if stored != found {
        return bad(format!("header checksum {found:08x}, stored {stored:08x}"));
    }
    let my_lba = le64(header, 24)?;
    if my_lba != lba {
        return bad(format!("header says it lies in sector {my_lba}, found in {lba}"));
    }
    let (count, entry_size) = (le32(header, 80)?, le32(header, 84)?);
    if count > MAX_ENTRIES || !(128..=MAX_ENTRY).contains(&entry_size) {
        return bad(format!("{count} entries of {entry_size} bytes are impossible"));
    }
    let len = usize32(count).checked_mul(usize32(entry_size))?;
    let array_at = le64(header, 72)?.checked_mul(sector)?;
    let bytes = match read_up_to(disk, array_at, len) {
        Ok(bytes) if bytes.len() == len => bytes,
        Ok(_) => return bad("its table lies past the end of the disk".into()),
        Err(e) => return bad(format!("its table cannot be read: {e}")),
    };
    let (stored, found) = (le32(header, 88)?, crc32fast::hash(&bytes));
    if stored != found {
        return bad(format!("table checksum {found:08x}, stored {stored:08x}"));
    }
    let entries = bytes
        .chunks_exact(usize32(entry_size))
        .zip(1..)
        .filter_map(|(entry, number)| parse_entry(entry, number, sector))
        .collect();
    Some(Copy::Good(Table {
        sector,
        my_lba,
        alternate: le64(header, 32)?,
        usable: (le64(header, 40)?, le64(header, 48)?),
        disk_guid: array(header, 56)?,
        entries,
    }))
}

fn parse_entry(entry: &[u8], number: u32, sector: u64) -> Option<Partition> {
    let guid: [u8; 16] = array(entry, 0)?;
    if guid == [0; 16] {
        return None;
    }
    let (first, last) = (le64(entry, 32)?, le64(entry, 40)?);
    let units: Vec<u16> =
        (0..36).map_while(|i| le16(entry, 56 + 2 * i)).take_while(|u| *u != 0).collect();
    let (purpose, type_name) = purpose(guid);
    let sectors = last.checked_sub(first).map_or(0, |n| n.saturating_add(1));
    Some(Partition {
        number,
        start: first.saturating_mul(sector),
        len: sectors.saturating_mul(sector),
        purpose,
        type_name,
        name: String::from_utf16_lossy(&units),
    })
}

/// Known types (`formats/partition.md` section 3).
fn purpose(guid: [u8; 16]) -> (Purpose, String) {
    let text = uuid::Uuid::from_bytes_le(guid).to_string().to_uppercase();
    let (purpose, name) = match text.as_str() {
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => (Purpose::Efi, "EFI"),
        "48465300-0000-11AA-AA11-00306543ECAC" => (Purpose::Hfs, "Apple_HFS"),
        "7C3457EF-0000-11AA-AA11-00306543ECAC" => (Purpose::Apfs, "Apple_APFS"),
        "53746F72-6167-11AA-AA11-00306543ECAC" => (Purpose::CoreStorage, "Apple_CoreStorage"),
        "426F6F74-0000-11AA-AA11-00306543ECAC" => (Purpose::AppleBoot, "Apple_Boot"),
        "4A6F7572-6E61-11AA-AA11-00306543ECAC" => (Purpose::Service, "Apple_Journal"),
        "55465300-0000-11AA-AA11-00306543ECAC" => (Purpose::Other, "Apple_UFS"),
        "52414944-0000-11AA-AA11-00306543ECAC" => (Purpose::Other, "Apple_RAID"),
        "4C616265-6C00-11AA-AA11-00306543ECAC" => (Purpose::Service, "Apple_Label"),
        "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" => (Purpose::Other, "Microsoft Basic Data"),
        _ => return (Purpose::Other, text),
    };
    (purpose, name.into())
}

fn into_map(table: Table, from_backup: bool) -> PartitionMap {
    PartitionMap {
        scheme: Scheme::Gpt,
        sector_size: table.sector,
        partitions: table.entries,
        from_backup,
        disk_guid: Some(table.disk_guid).filter(|g| *g != [0; 16]),
    }
}
