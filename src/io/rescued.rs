//! A copy of a failing disk: what ddrescue did not read is unreadable here, too.

use super::{
    BadMap, FailedRead, Meter, Presence, PresenceVisitor, ReadAt, Source, bytes, check_range,
};
use crate::error::{Error, Locus, Result};
use std::ops::Range;
use std::sync::Arc;

/// Longest disk that is believed in when only the map says how long it is.
const MAX_DISK: u64 = 1 << 56;

/// A source that lacks what a map says was not read. In the copy there are zeros or a hole in
/// such places, or what lay there before.
pub struct Rescued {
    inner: Source,
    map: Arc<BadMap>,
    name: String,
    len: u64,
    meter: Arc<Meter>,
}

impl Rescued {
    /// The copy `inner`, called `name`, and the map of how it was made. `meter` keeps in mind
    /// what could not be read.
    pub fn new(inner: Source, map: Arc<BadMap>, name: String, meter: Arc<Meter>) -> Self {
        // Of a disk whose end was not read, the copy is shorter. Where it lacks what was read,
        // it is cut, which is another matter.
        let whole = map.good_end() <= inner.len() && map.end() <= MAX_DISK;
        let len = if whole { inner.len().max(map.end()) } else { inner.len() };
        Self { inner, map, name, len, meter }
    }
}

impl ReadAt for Rescued {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.len, offset, buf.len(), &self.name)?;
        let end = offset.saturating_add(bytes::to_u64(buf.len()));
        let Some(bad) = self.map.first_bad(offset..end) else {
            return self.inner.read_at(buf, offset);
        };
        let cause = "ddrescue could not read bytes";
        let why = format!("{cause} {} to {} ({})", bad.start, bad.end - 1, self.map.name());
        let what = format!("cannot read {} bytes at {offset} of {}", buf.len(), self.name);
        let error = Error::io(what, std::io::Error::other(why));
        let place = Locus { offset: bad.start, band: None };
        self.meter.fail(FailedRead { text: error.to_string(), cause: cause.into(), place });
        Err(error)
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        check_range(self.len, range.start, bytes::to_usize(range.end - range.start), &self.name)?;
        for (part, good) in self.map.parts(range) {
            match good {
                true => self.inner.presence(part, visit)?,
                false => visit(part, Presence::Unreadable),
            }
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.inner.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Memory;

    fn rescued(len: usize, map: &str) -> Rescued {
        let map = BadMap::parse("the.map", map.as_bytes()).unwrap();
        let inner = Arc::new(Memory::new(vec![7; len]));
        Rescued::new(inner, Arc::new(map), "disk.img".into(), Arc::default())
    }

    #[test]
    fn a_read_that_touches_what_was_not_read_is_an_error_that_names_the_map() {
        let r = rescued(2048, "0 ? 1\n0 512 +\n512 512 -\n1024 1024 +\n");
        let mut buf = [0; 512];
        r.read_at(&mut buf, 0).unwrap();
        assert_eq!(buf, [7; 512]);
        r.read_at(&mut buf, 1024).unwrap();
        for at in [1, 512, 1023] {
            let said = r.read_at(&mut buf, at).unwrap_err().to_string();
            assert!(said.contains("ddrescue could not read bytes "), "{said}");
            assert!(said.contains("disk.img") && said.contains("the.map"), "{said}");
        }
        assert_eq!(r.meter.failed().len(), 1);
        let mut seen = Vec::new();
        r.presence(100..1100, &mut |r, p| seen.push((r, p))).unwrap();
        use Presence::{Stored, Unreadable};
        assert_eq!(seen, [(100..512, Stored), (512..1024, Unreadable), (1024..1100, Stored)]);
    }

    #[test]
    fn a_disk_is_as_long_as_the_map_says_unless_the_copy_is_cut() {
        let r = rescued(1024, "0 ? 1\n0 1024 +\n1024 1024 -\n");
        assert_eq!(r.len(), 2048);
        assert!(r.read_at(&mut [0], 2047).is_err());
        assert_eq!(rescued(512, "0 ? 1\n0 1024 +\n1024 1024 -\n").len(), 512);
        assert_eq!(rescued(512, "0 ? 1\n0 512 +\n512 0x7FFFFFFFFFFFF000 ?\n").len(), 512);
        // What the map does not tell of was not read.
        let r = rescued(4096, "0 ? 1\n0 1024 +\n");
        assert_eq!(r.len(), 4096);
        assert!(r.read_at(&mut [0], 1024).is_err());
    }
}
