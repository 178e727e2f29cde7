//! A volume with some bytes replaced, in memory.

use tmbundle::Result;
use tmbundle::io::{ReadAt, Source};

/// A volume with some bytes replaced.
pub struct Patched {
    pub base: Source,
    /// Byte offsets and what lies there instead.
    pub patches: Vec<(u64, Vec<u8>)>,
}

impl ReadAt for Patched {
    fn len(&self) -> u64 {
        self.base.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.base.read_at(buf, offset)?;
        let end = offset + buf.len() as u64;
        for (at, bytes) in &self.patches {
            let (from, to) = (offset.max(*at), end.min(at + bytes.len() as u64));
            if from < to {
                let source = &bytes[(from - at) as usize..(to - at) as usize];
                buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
            }
        }
        Ok(())
    }
}
