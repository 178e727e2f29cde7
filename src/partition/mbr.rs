//! Master boot record: primary partitions only, as hdiutil writes them.

use super::{Partition, PartitionMap, Purpose, Scheme, head};
use crate::error::Result;
use crate::io::ReadAt;
use crate::io::bytes::le32;
use crate::report::Reporter;

/// Read the record; `None` if there is none or it only protects a GPT.
pub(super) fn scan(disk: &dyn ReadAt, reporter: &dyn Reporter) -> Result<Option<PartitionMap>> {
    let sector = head(disk, 512, reporter);
    if sector.get(510..512) != Some(&[0x55, 0xAA]) {
        return Ok(None);
    }
    let mut partitions = Vec::new();
    for (entry, number) in (446..510).step_by(16).filter_map(|at| sector.get(at..at + 16)).zip(1..)
    {
        let &[status, _, _, _, kind, ..] = entry else { continue };
        let (Some(first), Some(count)) = (le32(entry, 8), le32(entry, 12)) else { continue };
        if kind == 0 || count == 0 {
            continue;
        }
        // The boot sector of a FAT or exFAT volume has the same signature, but
        // text where the table would be.
        if status & 0x7F != 0 || u64::from(first) * 512 >= disk.len() {
            return Ok(None);
        }
        partitions.push(Partition {
            number,
            start: u64::from(first) * 512,
            len: u64::from(count) * 512,
            purpose: purpose(kind),
            type_name: format!("{kind:#04x}"),
            name: String::new(),
        });
    }
    // Nothing in the record tells its unit; the volumes do.
    let starts: Vec<u64> = partitions.iter().map(|p| p.start / 512).collect();
    let unit = super::search::unit(disk, 512, &starts);
    for p in &mut partitions {
        p.start = (p.start / 512).saturating_mul(unit);
        p.len = (p.len / 512).saturating_mul(unit);
    }
    let only_protective = partitions.iter().all(|p| p.type_name == "0xee");
    if partitions.is_empty() || only_protective {
        return Ok(None);
    }
    Ok(Some(PartitionMap {
        scheme: Scheme::Mbr,
        sector_size: unit,
        partitions,
        from_backup: false,
        disk_guid: None,
    }))
}

fn purpose(kind: u8) -> Purpose {
    match kind {
        0xAF => Purpose::Hfs,
        0xAB => Purpose::AppleBoot,
        0xEE => Purpose::Service,
        0xEF => Purpose::Efi,
        _ => Purpose::Other,
    }
}
