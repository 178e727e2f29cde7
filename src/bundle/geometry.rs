//! Geometry from the bands themselves, where the property lists are lost or wrong.

use super::listing::band_index;
use super::{Info, open_file};
use crate::io::bytes::{be16, be32, le64, to_u64, to_usize};
use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What told the size.
const TABLE: &str = "the partition table";
/// Bands that are looked at to find out how large a band is.
const LOOKED_AT: usize = 64;

/// The bands that are there, and how long some of them are.
pub(super) struct Sample<'a> {
    dir: &'a OwnedFd,
    /// Indices of all bands, ascending; also of those that lie past the end of the disk.
    pub indices: Vec<u64>,
    lengths: Vec<u64>,
    /// Length of the last band.
    last: u64,
    /// Bands that the system does not tell of, and why.
    pub unseen: Vec<(u64, Errno)>,
}

impl<'a> Sample<'a> {
    /// Look into `bands/`.
    pub fn take(dir: &'a OwnedFd) -> rustix::io::Result<Self> {
        let mut indices = Vec::new();
        for entry in super::list_dir(dir)? {
            indices.extend(band_index(entry?.file_name().to_bytes()));
        }
        indices.sort_unstable();
        let step = indices.len().div_ceil(LOOKED_AT).max(1);
        let mut unseen = Vec::new();
        let mut length = |index: &u64| {
            let stat = statat(dir, format!("{index:x}"), AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.inspect_err(|e| unseen.push((*index, *e))).ok()?;
            let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            file.then_some(u64::try_from(stat.st_size).ok()?)
        };
        let lengths = indices.iter().step_by(step).filter_map(&mut length).collect();
        let last = indices.last().and_then(&mut length).unwrap_or(0);
        Ok(Self { dir, indices, lengths, last, unseen })
    }

    /// Whether the bands can be those of such a bundle: none is too long, none lies behind
    /// the end.
    pub fn fits(&self, band_size: u64, size: u64) -> bool {
        let last = self.indices.last().copied();
        let inside = last.is_none_or(|n| n < size.div_ceil(band_size.max(1)));
        inside && self.lengths.iter().all(|len| *len <= band_size)
    }

    /// The length that speaks for being that of a band: the largest, if more than one has it, if
    /// it is round, or if the last band is then the one that the partition table ends in.
    pub fn band_size(&self) -> Option<u64> {
        let largest = self.lengths.iter().copied().max().filter(|n| *n > 0 && n % 512 == 0)?;
        let times = self.lengths.iter().filter(|n| **n == largest).count();
        let ends_there = || {
            let (size, by) = self.size(largest);
            by == TABLE && self.indices.last() == Some(&(size.saturating_sub(1) / largest))
        };
        let round = largest >= 1 << 20 && largest.is_power_of_two();
        (times > 1 || round || ends_there()).then_some(largest)
    }

    /// The size of the disk: as the partition table in band 0 says, else the volume that
    /// begins there, else as far as the bands go.
    pub fn size(&self, band_size: u64) -> (u64, &'static str) {
        let head = self.head();
        let table = [512u64, 4096].into_iter().find_map(|sector| {
            let at = to_usize(sector);
            let header = head.get(at..)?.starts_with(b"EFI PART").then_some(&head)?;
            le64(header, at + 32)?.checked_add(1)?.checked_mul(sector)
        });
        let volume = || {
            let signed = matches!(be16(&head, 1024), Some(0x482B | 0x4858));
            let blocks = u64::from(be32(&head, 1024 + 44)?);
            let size = blocks.checked_mul(be32(&head, 1024 + 40)?.into())?;
            (signed && size > 0).then_some(size)
        };
        let (bands, before) = self.indices.last().map_or((0, 0), |n| (n.saturating_add(1), *n));
        // The last sectors of a disk are no whole block of the volume, but a Mac writes them.
        let reach = before.saturating_mul(band_size).saturating_add(self.last);
        let plausible = |size: &u64| *size <= i64::MAX.unsigned_abs();
        match (table.filter(plausible), volume().filter(plausible)) {
            (Some(size), _) => (size, TABLE),
            (None, Some(size)) if reach > size => (reach, "the last band"),
            (None, Some(size)) => (size, "the volume header"),
            _ => (bands.saturating_mul(band_size), "the last band"),
        }
    }

    fn head(&self) -> Vec<u8> {
        let mut head = vec![0; 8192];
        let stored = match open_file(self.dir, Path::new("0")) {
            Ok((file, _)) => file.read_at(&mut head, 0).unwrap_or(0),
            Err(_) => 0,
        };
        head.truncate(stored);
        head
    }

    /// What the bands say, where nothing else does.
    pub fn guess(&self) -> Option<(u64, u64, String)> {
        let band_size = self.band_size()?;
        let (size, by) = self.size(band_size);
        let text = format!(
            "bands of {band_size} bytes by the largest of {}, {size} bytes in all by {by}",
            to_u64(self.indices.len())
        );
        (size > 0).then_some((band_size, size, text))
    }

    /// A better geometry than that of the property lists, where the bands contradict it.
    pub fn correct(&self, info: &Info) -> Option<(u64, u64, String)> {
        if self.fits(info.band_size, info.size) {
            return None;
        }
        if let Some(band_size) = self.band_size().filter(|n| *n != info.band_size)
            && self.fits(band_size, info.size)
        {
            let text = format!(
                "band-size is {}, but the bands have {band_size} bytes; these were used",
                info.band_size
            );
            return Some((band_size, info.size, text));
        }
        let (size, by) = self.size(info.band_size);
        if by == TABLE && size > info.size && self.fits(info.band_size, size) {
            let text = format!(
                "size is {}, but {by} says {size}, and there are bands up to there; these were used",
                info.size
            );
            return Some((info.band_size, size, text));
        }
        None
    }
}
