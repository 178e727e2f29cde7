//! Bands read through memory maps, for those who ask for it.
//!
//! The one place with `unsafe`. A map of a file is sound as long as nobody writes to the
//! file or shortens it; another process can do both, and nothing can prevent that. What
//! it may cost here:
//!
//! - A file that is shortened, or whose disk fails, ends the process with SIGBUS at the
//!   next access. Hence maps are never the default, and are refused for a bundle that a
//!   Mac is using and on file systems that other machines or programs may change
//!   behind our back.
//! - Bytes that change while they are copied may come out half old, half new. So they
//!   may with `pread`. No reference into a map leaves this module, nothing is parsed
//!   in place: bytes are copied out, once.
//!
//! A map ends where the file ended when it was mapped; what lies beyond reads as zeros,
//! as with `pread`.

use super::{Bundle, busy};
use crate::error::{Error, Result};
use crate::io::bytes::to_usize;
use memmap2::{Advice, Mmap};
use quick_cache::sync::Cache;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Maps kept at a time, far below the kernel's limit of 65,530.
const MAPS: usize = 256;

/// Reads from this size on have their pages mapped at once.
const POPULATE: usize = 32 << 10;

/// File systems whose files may change or vanish without this kernel's doing, by the
/// number `statfs` gives (`linux/magic.h` and the file systems' own sources).
const REMOTE: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x786f_4256, "VirtualBox shared folder"),
];

/// The maps of a bundle's bands.
pub(super) struct Maps {
    open: Cache<u64, Option<Arc<Mmap>>>,
}

impl Maps {
    pub(super) fn new() -> Self {
        Self { open: Cache::new(MAPS) }
    }

    /// Copy what the band holds from `offset` on into `buf`; how many bytes there were.
    /// `file` opens the band: its file and size.
    pub(super) fn copy(
        &self,
        index: u64,
        buf: &mut [u8],
        offset: u64,
        file: impl FnOnce() -> Result<Option<(File, u64)>>,
    ) -> Result<usize> {
        let map = match self.open.get(&index) {
            Some(map) => map,
            None => {
                let map = match file()? {
                    Some((file, len)) => map(&file, len)?.map(Arc::new),
                    None => None,
                };
                self.open.insert(index, map.clone());
                map
            }
        };
        let stored = map.as_ref().and_then(|map| map.get(to_usize(offset)..)).unwrap_or_default();
        let n = stored.len().min(buf.len());
        if n >= POPULATE
            && let Some(map) = &map
        {
            // One call instead of a fault for every few pages; a kernel that does not
            // know it (before 5.14) takes the faults.
            let _ = map.advise_range(Advice::PopulateRead, to_usize(offset), n);
        }
        if let (Some(to), Some(from)) = (buf.get_mut(..n), stored.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

/// Map a file, up to the size it has now; `None` for an empty one.
#[allow(unsafe_code)]
fn map(file: &File, len: u64) -> Result<Option<Mmap>> {
    let too_long = || Error::Unsupported(format!("a band of {len} bytes is too long to be mapped"));
    let len = usize::try_from(len).ok().filter(|n| isize::try_from(*n).is_ok());
    let len = len.ok_or_else(too_long)?;
    if len == 0 {
        return Ok(None);
    }
    // SAFETY: the file is a regular file opened for reading, and the map is private to
    // this module. That no other process shortens the file is the caller's word, given
    // by asking for maps; see the head of this file for what happens if it is broken.
    let map = unsafe { memmap2::MmapOptions::new().len(len).map(file) };
    map.map(Some).map_err(|e| Error::io("cannot map a band into memory", e))
}

/// Why the bands of a bundle are not to be mapped, if so.
pub(super) fn refusal(bundle: &Bundle) -> Option<String> {
    let signs = busy::signs(bundle);
    if !signs.is_empty() {
        return Some(format!("a Mac is using the bundle ({})", signs.join("; ")));
    }
    remote(bundle.bands().dir())
}

fn remote(dir: impl AsFd) -> Option<String> {
    let magic = match rustix::fs::fstatfs(dir) {
        // The type's width differs from one architecture to the next; the low 32 bits
        // are the number everywhere.
        Ok(stat) => u32::try_from(i128::from(stat.f_type) & 0xffff_ffff).ok(),
        Err(e) => return Some(format!("its file system cannot be asked ({e})")),
    };
    known_remote(magic?)
}

fn known_remote(magic: u32) -> Option<String> {
    let (_, name) = REMOTE.iter().find(|(m, _)| *m == magic)?;
    Some(format!("it lies on a network or user-space file system ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_told_apart_by_their_numbers() {
        // As `stat -f -c %t` prints them: NFS, FUSE, CIFS; ext4, XFS, btrfs, tmpfs.
        for (magic, refused) in [
            (0x6969, true),
            (0x6573_5546, true),
            (0xff53_4d42, true),
            (0xef53, false),
            (0x5846_5342, false),
            (0x9123_683e, false),
            (0x0102_1994, false),
        ] {
            assert_eq!(known_remote(magic).is_some(), refused, "{magic:x}");
        }
    }

    #[test]
    fn a_map_ends_where_the_file_ends_and_an_empty_one_is_none() {
        let file = tempfile::tempfile().unwrap();
        let open = || Ok(Some((file.try_clone().unwrap(), file.metadata().unwrap().len())));
        assert_eq!(Maps::new().copy(0, &mut [0; 4], 0, open).unwrap(), 0);
        std::io::Write::write_all(&mut &file, b"abcdef").unwrap();
        let maps = Maps::new();
        let mut buf = [0; 4];
        assert_eq!(maps.copy(0, &mut buf, 4, open).unwrap(), 2);
        assert_eq!(&buf, b"ef\0\0");
        assert_eq!(maps.copy(0, &mut buf, 6, open).unwrap(), 0);
        assert_eq!(maps.copy(0, &mut buf, u64::MAX, open).unwrap(), 0);
        assert_eq!(maps.copy(1, &mut buf, 0, || Ok(None)).unwrap(), 0);
        assert!(matches!(map(&file, u64::MAX), Err(Error::Unsupported(_))));
    }
}
