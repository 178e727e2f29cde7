//! Apple partition map.

use super::{Partition, PartitionMap, Purpose, Scheme, head};
use crate::error::Result;
use crate::io::bytes::{be16, be32};
use crate::io::{ReadAt, read_up_to};
use crate::report::{Code, Finding, Reporter, Structure, Where};

/// `PM`.
const SIGNATURE: u16 = 0x504D;
/// Entries that are read.
const MAX_ENTRIES: u32 = 256;

/// Read the map; `None` if there is none.
pub(super) fn scan(disk: &dyn ReadAt, reporter: &dyn Reporter) -> Result<Option<PartitionMap>> {
    let Some(block) = block_size(&head(disk, 8192, reporter)) else { return Ok(None) };
    let mut partitions = Vec::new();
    let mut count = 1;
    let mut number = 1;
    while number <= count {
        let offset = u64::from(number) * block;
        let entry = read_up_to(disk, offset, 512);
        let report = |text: String| {
            let place = Where::of(Structure::ApplePartitionMap).at(disk.locate(offset));
            reporter.report(Finding::new(Code::ApmEntry, place, text));
        };
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                report(format!("entry {number} of {count} cannot be read: {e}"));
                number += 1;
                continue;
            }
        };
        if be16(&entry, 0) != Some(SIGNATURE) {
            report(format!("entry {number} of {count} has no signature"));
            break;
        }
        let listed = be32(&entry, 4).unwrap_or(0);
        if number == 1 {
            count = listed.clamp(1, MAX_ENTRIES);
            if listed == 0 || listed > MAX_ENTRIES {
                report(format!("{listed} entries are impossible"));
            }
        } else if listed != count {
            report(format!("entry {number} says there are {listed} entries, the first {count}"));
        }
        partitions.extend(parse_entry(&entry, number, block));
        number += 1;
    }
    // Where the entries lie tells the unit, unless another leads to the volumes.
    let starts: Vec<u64> = partitions
        .iter()
        .filter(|p: &&Partition| p.purpose != Purpose::Service)
        .map(|p| p.start / block)
        .collect();
    let unit = super::search::unit(disk, block, &starts);
    for p in &mut partitions {
        p.start = (p.start / block).saturating_mul(unit);
        p.len = (p.len / block).saturating_mul(unit);
    }
    Ok(Some(PartitionMap {
        scheme: Scheme::Apm,
        sector_size: unit,
        partitions,
        from_backup: false,
        disk_guid: None,
    }))
}

/// The block size: from the driver descriptor if it is there, else by trying.
fn block_size(head: &[u8]) -> Option<u64> {
    let declared = (be16(head, 0) == Some(0x4552)).then(|| be16(head, 2)).flatten();
    [declared.unwrap_or(512), 512, 2048, 4096]
        .into_iter()
        .find(|n| *n >= 512 && be16(head, usize::from(*n)) == Some(SIGNATURE))
        .map(u64::from)
}

fn parse_entry(entry: &[u8], number: u32, block: u64) -> Option<Partition> {
    let type_name = text(entry, 48)?;
    let purpose = match type_name.as_str() {
        "Apple_HFS" | "Apple_HFSX" => Purpose::Hfs,
        "Apple_APFS" => Purpose::Apfs,
        "Apple_CoreStorage" => Purpose::CoreStorage,
        "Apple_Boot" | "Apple_Boot_RAID" => Purpose::AppleBoot,
        "Apple_partition_map" | "Apple_Free" | "Apple_Void" | "Apple_Scratch" => Purpose::Service,
        t if t.starts_with("Apple_Driver") || t.starts_with("Apple_Patches") => Purpose::Service,
        _ => Purpose::Other,
    };
    Some(Partition {
        number,
        start: u64::from(be32(entry, 8)?) * block,
        len: u64::from(be32(entry, 12)?) * block,
        purpose,
        type_name,
        name: text(entry, 16)?,
    })
}

/// 32 bytes of text, padded with NUL.
fn text(entry: &[u8], at: usize) -> Option<String> {
    let bytes = entry.get(at..at + 32)?;
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
}
