//! A raw image file or a block device.

use super::{
    Anchor, FailedRead, Links, Meter, Presence, PresenceVisitor, ReadAt, bytes, check_range,
    open_below,
};
use crate::error::{Error, Locus, Result};
use rustix::fs::{FileType, OFlags, SeekFrom};
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A regular file or block device, opened for reading only.
pub struct RawFile {
    file: File,
    path: PathBuf,
    len: u64,
    sparse: bool,
    meter: Arc<Meter>,
}

/// Open `path` below `dir` for reading: never through a symbolic link, never
/// waiting on a fifo, without touching the access time where that is allowed.
pub fn open_untrusted(dir: impl AsFd, path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open_without_atime(dir.as_fd(), path, flags).map(File::from)
}

/// Open a directory below `dir` for listing, without touching its access time where that
/// is allowed, never through a symbolic link.
pub fn open_untrusted_dir(dir: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open_without_atime(dir.as_fd(), path, flags)
}

fn open_without_atime(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    // O_NOATIME is for the file's owner and root only; others get EPERM.
    match open_below(dir, path, flags | OFlags::NOATIME) {
        Err(rustix::io::Errno::PERM) => open_below(dir, path, flags),
        other => other,
    }
}

/// The data (not hole) runs of `file` within `range`, by `SEEK_DATA` and
/// `SEEK_HOLE`; a file system that cannot tell says that all is data.
pub fn visit_holes(file: &File, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
    let mut at = range.start;
    while at < range.end {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(pos) => pos.clamp(at, range.end),
            Err(rustix::io::Errno::NXIO) => range.end,
            Err(_) => at,
        };
        if data > at {
            visit(at..data, Presence::Hole);
        }
        if data >= range.end {
            break;
        }
        let hole = match rustix::fs::seek(file, SeekFrom::Hole(data)) {
            Ok(pos) if pos > data => pos.min(range.end),
            _ => range.end,
        };
        visit(data..hole, Presence::Stored);
        at = hole;
    }
    Ok(())
}

impl RawFile {
    /// Open an image file or block device; `meter` counts what is read from it.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::NotASource`] when it is
    /// neither a regular file nor a block device.
    pub fn open(path: &Path, meter: Arc<Meter>) -> Result<Self> {
        Self::open_held(&Anchor::open(path, Links::Follow)?, meter)
    }

    /// The same of what is held.
    ///
    /// # Errors
    /// As for [`RawFile::open`].
    pub fn open_held(anchor: &Anchor, meter: Arc<Meter>) -> Result<Self> {
        let path = anchor.path();
        let failed = |e: std::io::Error| Error::io(format!("cannot open {}", path.display()), e);
        let stat = anchor.stat()?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if anchor.is_dir() {
            let why = "neither a folder, a regular file nor a block device".to_string();
            return Err(Error::NotASource { path: path.to_owned(), why });
        }
        let file = anchor.file()?;
        let len = match kind {
            FileType::RegularFile => u64::try_from(stat.st_size).unwrap_or(0),
            FileType::BlockDevice => {
                rustix::fs::seek(&file, SeekFrom::End(0)).map_err(|e| failed(e.into()))?
            }
            _ => {
                let why = "neither a folder, a regular file nor a block device".to_string();
                return Err(Error::NotASource { path: path.to_owned(), why });
            }
        };
        let sparse = kind == FileType::RegularFile;
        Ok(Self { file, path: path.to_owned(), len, sparse, meter })
    }

    /// Bytes the file takes on its disk; `None` for a device.
    pub fn bytes_on_disk(&self) -> Option<u64> {
        let stat = rustix::fs::fstat(&self.file).ok()?;
        self.sparse.then(|| u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512))
    }
}

impl ReadAt for RawFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let name = self.path.to_string_lossy();
        check_range(self.len, offset, buf.len(), &name)?;
        self.file.read_exact_at(buf, offset).map_err(|e| {
            let cause = format!("of {name}: {e}");
            let error =
                Error::io(format!("cannot read {} bytes at {offset} of {name}", buf.len()), e);
            let place = Locus { offset, band: None };
            self.meter.fail(FailedRead { text: error.to_string(), cause, place });
            error
        })?;
        self.meter.take(buf.len())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        check_range(self.len, range.start, bytes::to_usize(range.end - range.start), "image")?;
        if self.sparse {
            visit_holes(&self.file, range, visit)
        } else {
            visit(range, Presence::Stored);
            Ok(())
        }
    }
}
