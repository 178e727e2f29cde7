//! Disks: a volume wrapped in a GPT, an Apple partition map, an MBR or nothing.

use crate::bytes::{Put, put};
use crate::hfs::{splitmix, utf16};
use crate::image::Image;

/// What is wrong with the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapDamage {
    /// The primary header's checksum is wrong.
    PrimaryHeader,
    /// The backup header's checksum is wrong.
    BackupHeader,
    /// Both headers' checksums are wrong.
    BothHeaders,
    /// The primary array does not match its checksum.
    PrimaryArray,
    /// The backup array does not match its checksum.
    BackupArray,
    /// A second partition overlaps the volume.
    Overlap,
    /// The volume's partition ends past the end of the disk.
    PastEnd,
    /// There is no backup at the end, as after an interrupted resize.
    NoBackup,
}

impl MapDamage {
    /// Every kind of damage with its name.
    pub const ALL: [(&str, MapDamage); 8] = [
        ("gpt-primary-header", MapDamage::PrimaryHeader),
        ("gpt-backup-header", MapDamage::BackupHeader),
        ("gpt-both-headers", MapDamage::BothHeaders),
        ("gpt-primary-array", MapDamage::PrimaryArray),
        ("gpt-backup-array", MapDamage::BackupArray),
        ("gpt-overlap", MapDamage::Overlap),
        ("gpt-past-end", MapDamage::PastEnd),
        ("gpt-no-backup", MapDamage::NoBackup),
    ];
}

/// Type GUID of HFS+ and HFSX partitions, as text.
pub const GUID_HFS: &str = "48465300-0000-11AA-AA11-00306543ECAC";
/// Type GUID of the EFI system partition.
pub const GUID_EFI: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// Type GUID of APFS containers.
pub const GUID_APFS: &str = "7C3457EF-0000-11AA-AA11-00306543ECAC";
/// Type GUID of CoreStorage volumes.
pub const GUID_CORE_STORAGE: &str = "53746F72-6167-11AA-AA11-00306543ECAC";

/// A GUID partition table to be made.
#[derive(Clone, Debug)]
pub struct Gpt {
    /// Bytes in a sector: 512 or 4096.
    pub sector: u64,
    /// Length of an EFI partition before the volume, in sectors; 0 for none.
    pub efi_sectors: u64,
    /// First sector of the first partition.
    pub first: u64,
    /// Type GUID of the volume's partition.
    pub kind: String,
    /// Name of the volume's partition.
    pub name: String,
    /// Sectors left free after the volume.
    pub slack: u64,
    /// What to break.
    pub damage: Option<MapDamage>,
}

impl Default for Gpt {
    fn default() -> Self {
        Gpt {
            sector: 512,
            efi_sectors: 0,
            first: 40,
            kind: GUID_HFS.into(),
            name: "disk image".into(),
            slack: 7,
            damage: None,
        }
    }
}

const ENTRIES: u64 = 128;
const ENTRY: usize = 128;

struct Entry {
    kind: String,
    first: u64,
    last: u64,
    name: String,
}

impl Gpt {
    /// The disk and the byte offset of the volume on it.
    pub fn wrap(&self, volume: &Image) -> (Image, u64) {
        let array = (ENTRIES * ENTRY as u64).div_ceil(self.sector);
        let start = self.first + self.efi_sectors;
        let count = volume.len().div_ceil(self.sector);
        let sectors = start + count + self.slack + array + 1;
        let mut disk = Image::new(sectors * self.sector);
        disk.paste(start * self.sector, volume);
        let entries = self.entry_array(start, count, sectors);
        put_protective_mbr(&mut disk, sectors);
        let backup_array = sectors - 1 - array;
        let primary = self.header(1, sectors - 1, 2, sectors, array, &entries);
        let backup = self.header(sectors - 1, 1, backup_array, sectors, array, &entries);
        disk.write_at(2 * self.sector, &entries);
        disk.write_at(self.sector, &primary);
        if self.damage != Some(MapDamage::NoBackup) {
            disk.write_at(backup_array * self.sector, &entries);
            disk.write_at((sectors - 1) * self.sector, &backup);
        }
        self.break_map(&mut disk, sectors, backup_array);
        (disk, start * self.sector)
    }

    fn entry_array(&self, start: u64, count: u64, sectors: u64) -> Vec<u8> {
        let mut list = Vec::new();
        if self.efi_sectors > 0 {
            let (first, last) = (self.first, start - 1);
            list.push(Entry {
                kind: GUID_EFI.into(),
                first,
                last,
                name: "EFI System Partition".into(),
            });
        }
        let last = match self.damage {
            Some(MapDamage::PastEnd) => sectors + 999,
            _ => start + count - 1,
        };
        let name = self.name.clone();
        list.push(Entry { kind: self.kind.clone(), first: start, last, name });
        if self.damage == Some(MapDamage::Overlap) {
            let (first, last) = (start + 8, start + 15);
            list.push(Entry { kind: GUID_HFS.into(), first, last, name: "overlap".into() });
        }
        let mut out = Vec::new();
        for (i, entry) in list.iter().enumerate() {
            out.extend_from_slice(&guid(&entry.kind));
            out.extend_from_slice(&random_guid(i as u64));
            out.le64(entry.first);
            out.le64(entry.last);
            out.le64(0);
            utf16(&entry.name).iter().for_each(|u| out.extend_from_slice(&u.to_le_bytes()));
            out.resize((i + 1) * ENTRY, 0);
        }
        out.resize(ENTRIES as usize * ENTRY, 0);
        out
    }

    fn header(
        &self,
        own: u64,
        other: u64,
        array_at: u64,
        sectors: u64,
        array: u64,
        entries: &[u8],
    ) -> Vec<u8> {
        let mut out = b"EFI PART".to_vec();
        out.le32(0x0001_0000);
        out.le32(92);
        out.le32(0);
        out.le32(0);
        for value in [own, other, 2 + array, sectors - array - 2] {
            out.le64(value);
        }
        out.extend_from_slice(&random_guid(99));
        out.le64(array_at);
        out.le32(ENTRIES as u32);
        out.le32(ENTRY as u32);
        out.le32(crc32fast::hash(entries));
        let crc = crc32fast::hash(&out);
        put(&mut out, 16, &crc.to_le_bytes());
        out
    }

    fn break_map(&self, disk: &mut Image, sectors: u64, backup_array: u64) {
        let mut flip = |at: u64| disk.edit(at, 1, |b| b[0] ^= 0x5A);
        let primary = self.sector + 56;
        let backup = (sectors - 1) * self.sector + 56;
        match self.damage {
            Some(MapDamage::PrimaryHeader) => flip(primary),
            Some(MapDamage::BackupHeader) => flip(backup),
            Some(MapDamage::BothHeaders) => {
                flip(primary);
                flip(backup);
            }
            Some(MapDamage::PrimaryArray) => flip(2 * self.sector + 56),
            Some(MapDamage::BackupArray) => flip(backup_array * self.sector + 56),
            _ => {}
        }
    }
}

fn put_protective_mbr(disk: &mut Image, sectors: u64) {
    let count = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    put_mbr(disk, 0xEE, 1, count);
}

fn put_mbr(disk: &mut Image, kind: u8, first: u32, count: u32) {
    let mut entry = vec![0, 0xFE, 0xFF, 0xFF, kind, 0xFE, 0xFF, 0xFF];
    entry.le32(first);
    entry.le32(count);
    disk.write_at(446, &entry);
    disk.write_at(510, &[0x55, 0xAA]);
}

/// The volume in the first partition (type 0xAF) of an MBR, at sector 63; the disk and the
/// volume's byte offset.
pub fn mbr(volume: &Image) -> (Image, u64) {
    let start = 63 * 512;
    let mut disk = Image::new(start + volume.len().next_multiple_of(512));
    disk.paste(start, volume);
    put_mbr(&mut disk, 0xAF, 63, volume.len().div_ceil(512) as u32);
    (disk, start)
}

/// The volume in an Apple partition map, at block 64, with blocks of 512 bytes; `kind` is
/// `Apple_HFS`, `Apple_HFSX` or another type. The disk and the volume's byte offset.
pub fn apm(volume: &Image, kind: &str) -> (Image, u64) {
    let start = 64;
    let blocks = volume.len().div_ceil(512);
    let total = start + blocks + 8;
    let mut disk = Image::new(total * 512);
    disk.paste(start * 512, volume);
    let mut driver = vec![0x45, 0x52, 2, 0];
    driver.be32(total as u32);
    disk.write_at(0, &driver);
    let entries = [
        ("Apple", "Apple_partition_map", 1, 63, 3),
        ("disk image", kind, start, blocks, 0x4000_0033),
        ("", "Apple_Free", start + blocks, 8, 0),
    ];
    for (i, (name, kind, first, count, flags)) in entries.iter().enumerate() {
        let mut out = vec![0x50, 0x4D, 0, 0];
        out.be32(entries.len() as u32);
        out.be32(*first as u32);
        out.be32(*count as u32);
        for text in [name, kind] {
            let mut field = text.as_bytes().to_vec();
            field.resize(32, 0);
            out.extend_from_slice(&field);
        }
        out.be32(0);
        out.be32(*count as u32);
        out.be32(*flags);
        disk.write_at((i as u64 + 1) * 512, &out);
    }
    (disk, start * 512)
}

/// A GUID's bytes on disk from its text.
pub fn guid(text: &str) -> [u8; 16] {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let mut out: [u8; 16] = std::array::from_fn(|i| {
        u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("a GUID in hex")
    });
    out[..4].reverse();
    out[4..6].reverse();
    out[6..8].reverse();
    out
}

fn random_guid(n: u64) -> [u8; 16] {
    let mut out = [0; 16];
    put(&mut out, 0, &splitmix(n).to_be_bytes());
    put(&mut out, 8, &splitmix(n + 1000).to_be_bytes());
    out[7] = out[7] & 0x0F | 0x40;
    out[8] = out[8] & 0x3F | 0x80;
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_vector() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn guid_is_mixed_endian() {
        assert_eq!(&guid(GUID_HFS)[..8], &[0, 0x53, 0x46, 0x48, 0, 0, 0xAA, 0x11]);
    }

    #[test]
    fn volume_sits_where_the_map_says() {
        let volume = Image::from_bytes(&[7; 4096]);
        for gpt in [Gpt::default(), Gpt { sector: 4096, first: 6, ..Gpt::default() }] {
            let (disk, at) = gpt.wrap(&volume);
            assert_eq!(disk.slice(at, 4096), volume);
            let entry = disk.read(2 * gpt.sector, 48);
            let first = u64::from_le_bytes(entry[32..40].try_into().unwrap());
            assert_eq!(first * gpt.sector, at);
            assert_eq!(disk.read(disk.len() - gpt.sector, 8), b"EFI PART");
        }
        let (disk, at) = apm(&volume, "Apple_HFSX");
        assert_eq!(disk.slice(at, 4096), volume);
    }
}
