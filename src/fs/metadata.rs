//! What is known of an object: number, kind, dates, rights.

/// Number of a file or folder within one view of a volume. All hard links to an object
/// share its number. On HFS+ the CNID; on APFS the inode number, which may differ for the
/// same file from view to view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// What kind of object a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Directory,
    File,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

impl Kind {
    /// The kind that the type bits of a POSIX mode name; `None` for none of them.
    pub fn of_mode(mode: u16) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o040_000 => Self::Directory,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            0o020_000 => Self::CharDevice,
            0o060_000 => Self::BlockDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The letter `ls -l` begins a line with.
    pub fn letter(self) -> char {
        match self {
            Self::Directory => 'd',
            Self::File => '-',
            Self::Symlink => 'l',
            Self::CharDevice => 'c',
            Self::BlockDevice => 'b',
            Self::Fifo => 'p',
            Self::Socket => 's',
        }
    }
}

/// A moment, in seconds and nanoseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// The dates of an object; `None` where none is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Birth.
    pub created: Option<Time>,
    /// Contents changed (mtime).
    pub modified: Option<Time>,
    /// Attributes changed (ctime).
    pub changed: Option<Time>,
    /// Last read (atime).
    pub accessed: Option<Time>,
    /// Backed up.
    pub backup: Option<Time>,
    /// Added to its folder (Finder).
    pub added: Option<Time>,
}

/// The number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The device among the driver's.
    pub minor: u32,
}

impl Device {
    /// From a number as the volume holds it. A Mac writes 8 bits major and 24 minor
    /// (`<sys/types.h>` of XNU); Linux, on the same file system, its own 12 and 20
    /// (`MKDEV`), which is recognised by what would be a minor that no Mac gives.
    pub fn of_stored(stored: u32) -> Self {
        match stored & 0x00F0_0000 {
            0 => Self { major: stored >> 24, minor: stored & 0x00FF_FFFF },
            _ => Self { major: stored >> 20, minor: stored & 0x000F_FFFF },
        }
    }
}

/// Metadata of an object: what every view of it needs. What only some ask for (Finder
/// information, the resource fork's size) is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its number.
    pub id: NodeId,
    /// What it is.
    pub kind: Kind,
    /// POSIX mode with type bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Logical size in bytes (of a compressed file: uncompressed; of a symlink:
    /// of its target; 0 for folders, and where it is not known).
    pub size: u64,
    /// Whether the size is not known: what tells it of compressed contents cannot be read.
    /// To open them is an error, which says why.
    pub size_unknown: bool,
    /// Bytes allocated on the volume for all forks.
    pub allocated: u64,
    /// Number of names the object has.
    pub links: u32,
    /// Number of entries of a folder, as recorded; 0 for others.
    pub entries: u32,
    /// Dates.
    pub times: Times,
    /// Its number, of a device.
    pub device: Option<Device>,
    /// BSD flags (`chflags`): `UF_*` in the low, `SF_*` in the high 16 bits.
    pub flags: u32,
    /// Whether the contents are stored compressed.
    pub compressed: bool,
    /// Whether there may be extended attributes, Finder information or a resource fork
    /// included; `false` is sure.
    pub has_xattrs: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_of_macs_and_of_linux() {
        // As XNU's makedev(14, 2) and Linux' MKDEV(8, 1) are defined.
        assert_eq!(Device::of_stored(14 << 24 | 2), Device { major: 14, minor: 2 });
        assert_eq!(Device::of_stored(8 << 20 | 1), Device { major: 8, minor: 1 });
    }
}
