//! AppleDouble: resource fork and Finder information as a file `._name`.

use crate::error::{Locus, Result};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{ReadAt, Source, check_range};

/// Bytes before the resource fork: header, two entries, Finder information.
pub const HEADER: u64 = 26 + 2 * 12 + 32;

const MAGIC: u32 = 0x0005_1607;
const VERSION: u32 = 0x0002_0000;
const FINDER_INFO: u32 = 9;
const RESOURCE_FORK: u32 = 2;

/// An AppleDouble file made of its parts as it is read.
pub struct Sidecar {
    header: Vec<u8>,
    fork: Source,
}

impl Sidecar {
    /// Finder information and resource fork of a file.
    pub fn new(finder_info: &[u8; 32], fork: Source) -> Self {
        let mut header = Vec::with_capacity(to_usize(HEADER));
        header.extend(MAGIC.to_be_bytes());
        header.extend(VERSION.to_be_bytes());
        header.extend(*b"Mac OS X        ");
        header.extend(2u16.to_be_bytes());
        let fork_len = u32::try_from(fork.len()).unwrap_or(u32::MAX);
        for (id, at, len) in [(FINDER_INFO, 50, 32), (RESOURCE_FORK, 82, fork_len)] {
            header.extend([id, at, len].into_iter().flat_map(u32::to_be_bytes));
        }
        header.extend(finder_info);
        Self { header, fork }
    }
}

impl ReadAt for Sidecar {
    fn len(&self) -> u64 {
        HEADER + self.fork.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len(), offset, buf.len(), "AppleDouble file")?;
        let head = self.header.get(to_usize(offset)..).unwrap_or_default();
        let (from_head, from_fork) = buf.split_at_mut(head.len().min(buf.len()));
        if let Some(head) = head.get(..from_head.len()) {
            from_head.copy_from_slice(head);
        }
        if from_fork.is_empty() {
            return Ok(());
        }
        let at = offset + to_u64(from_head.len()) - HEADER;
        self.fork.read_at(from_fork, at)
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.fork.locate(offset.checked_sub(HEADER)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Memory, read_vec};
    use std::sync::Arc;

    #[test]
    fn header_and_fork_in_one() {
        let fork: Vec<u8> = (0..100).collect();
        let s = Sidecar::new(&[7; 32], Arc::new(Memory::new(fork.clone())));
        let all = read_vec(&s, 0, 182).unwrap();
        assert_eq!(to_u64(s.header.len()), HEADER);
        assert_eq!(all[..8], [0, 5, 0x16, 7, 0, 2, 0, 0]);
        assert_eq!(all[50..82], [7; 32]);
        assert_eq!(all[82..], fork);
        assert_eq!(read_vec(&s, 80, 4).unwrap(), [7, 7, 0, 1]);
        assert_eq!(read_vec(&s, 90, 4).unwrap(), [8, 9, 10, 11]);
        assert!(read_vec(&s, 180, 4).is_err());
    }
}
