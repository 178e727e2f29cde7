//! Sources for tests: bytes in memory, and one that fails where it is told to.

use super::{ReadAt, Source, check_range};
use crate::error::{Error, Result};
use std::ops::Range;

/// Bytes in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(Vec<u8>);

impl Memory {
    /// Take the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        super::bytes::to_u64(self.0.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len(), offset, buf.len(), "memory")?;
        let start = super::bytes::to_usize(offset);
        if let Some(from) = self.0.get(start..start + buf.len()) {
            buf.copy_from_slice(from);
        }
        Ok(())
    }
}

/// A source that answers reads of some ranges with an I/O error.
pub struct Faulty {
    inner: Source,
    bad: Vec<Range<u64>>,
}

impl Faulty {
    /// Reads of `inner` that touch one of `bad` fail with `EIO`.
    pub fn new(inner: Source, bad: Vec<Range<u64>>) -> Self {
        Self { inner, bad }
    }
}

impl ReadAt for Faulty {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let end = offset + super::bytes::to_u64(buf.len());
        if self.bad.iter().any(|r| r.start < end && offset < r.end) {
            let source = std::io::Error::from_raw_os_error(5);
            return Err(Error::io(format!("cannot read {} bytes at {offset}", buf.len()), source));
        }
        self.inner.read_at(buf, offset)
    }
}
