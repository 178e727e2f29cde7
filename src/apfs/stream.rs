//! A stream of bytes: its extents, holes, and decryption (section 6.4).

use super::object::Blocks;
use super::records::Extent;
use super::store::Store;
use crate::crypt::xts::{SECTOR, Xts};
use crate::error::{Error, Locus, Result};
use crate::io::bytes::{all_zero, to_u64, to_usize};
use crate::io::{Presence, PresenceVisitor, ReadAt, check_range};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a stream, read from its extents.
pub struct StreamReader {
    store: Arc<Store>,
    extents: Vec<Extent>,
    size: u64,
    key: Option<Arc<Xts>>,
    what: String,
}

/// What lies at a place of a stream.
struct Spot {
    /// Byte of the container; `None` in a hole.
    at: Option<u64>,
    /// Sector number that encryption is tweaked by.
    tweak: u64,
    /// Bytes from there on that belong together.
    left: u64,
}

impl StreamReader {
    /// The first `size` bytes of what these extents store.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they are not whole blocks in ascending order.
    pub fn new(
        store: Arc<Store>,
        extents: Vec<Extent>,
        size: u64,
        key: Option<Arc<Xts>>,
        what: String,
    ) -> Result<Self> {
        check(store.blocks(), &extents, &what)?;
        Ok(Self { store, extents, size, key, what })
    }

    fn spot(&self, offset: u64) -> Result<Spot> {
        let index = self.extents.partition_point(|e| e.offset <= offset);
        let extent = index.checked_sub(1).and_then(|i| self.extents.get(i));
        let extent = extent.filter(|e| offset - e.offset < e.len);
        let e = extent
            .ok_or_else(|| Error::corrupt(&*self.what, format!("no extent holds byte {offset}")))?;
        let into = offset - e.offset;
        let (size, count) = (self.store.blocks().size(), self.store.blocks().count());
        let outside =
            e.block.is_some_and(|b| b.checked_add(e.len / size).is_none_or(|end| end > count));
        if outside {
            let text =
                format!("its extent at {} ends past the container's {count} blocks", e.offset);
            return Err(Error::corrupt(&*self.what, text));
        }
        Ok(Spot {
            at: e.block.map(|b| b * size + into),
            tweak: e.crypto_id.wrapping_mul(size / SECTOR).wrapping_add(into / SECTOR),
            left: e.len - into,
        })
    }

    fn read_spot(&self, spot: &Spot, buf: &mut [u8]) -> Result<()> {
        let Some(at) = spot.at else {
            buf.fill(0);
            return Ok(());
        };
        let source = self.store.blocks().source();
        let within = |e: Error| e.within(&self.what);
        let Some(key) = &self.key else { return source.read_at(buf, at).map_err(within) };
        let skip = at % SECTOR;
        if skip == 0 && to_u64(buf.len()).is_multiple_of(SECTOR) {
            source.read_at(buf, at).map_err(within)?;
            decrypt_stored(key, spot.tweak, buf);
            return Ok(());
        }
        let len = (skip + to_u64(buf.len())).next_multiple_of(SECTOR);
        let mut sectors =
            crate::io::read_vec(&**source, at - skip, to_usize(len)).map_err(within)?;
        decrypt_stored(key, spot.tweak, &mut sectors);
        let from = to_usize(skip);
        if let Some(wanted) = sectors.get(from..from + buf.len()) {
            buf.copy_from_slice(wanted);
        }
        Ok(())
    }
}

/// Decrypt sectors, but those of zeros: no encryption makes such, they are not stored. Noise
/// in their place would look as if they were.
fn decrypt_stored(key: &Xts, tweak: u64, sectors: &mut [u8]) {
    let size = to_usize(SECTOR);
    let (mut tweak, mut rest) = (tweak, sectors);
    while !rest.is_empty() {
        let stored = rest.chunks(size).take_while(|s| !all_zero(s)).count();
        let (now, after) = rest.split_at_mut((stored * size).min(rest.len()));
        key.decrypt(tweak, now);
        let absent = after.chunks(size).take_while(|s| all_zero(s)).count();
        rest = after.get_mut(absent * size..).unwrap_or_default();
        tweak = tweak.wrapping_add(to_u64(stored + absent));
    }
}

/// Extents must be whole blocks and ascend. What is missing, or lies outside of the
/// container, is an error when it is read: the rest of the file can still be had.
fn check(blocks: &Blocks, extents: &[Extent], what: &str) -> Result<()> {
    let mut end = 0u64;
    for e in extents {
        let whole = e.len != 0 && e.len.is_multiple_of(blocks.size());
        let next = e.offset.checked_add(e.len).filter(|_| whole && e.offset >= end);
        let text = || {
            format!(
                "its extent of {} bytes at {} does not follow one that ends at {end}",
                e.len, e.offset
            )
        };
        end = next.ok_or_else(|| Error::corrupt(what, text()))?;
    }
    Ok(())
}

impl ReadAt for StreamReader {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), &self.what)?;
        let map = |at| self.spot(at).map(|s| (Spot { ..s }, s.left));
        crate::io::read_pieces(buf, offset, map, |spot, _, piece| self.read_spot(&spot, piece))
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        check_range(
            self.size,
            range.start,
            to_usize(range.end.saturating_sub(range.start)),
            &self.what,
        )?;
        let mut at = range.start;
        while at < range.end {
            let spot = self.spot(at)?;
            let len = spot.left.min(range.end - at);
            match spot.at {
                None => visit(at..at + len, Presence::Unwritten),
                Some(start) => {
                    let source = self.store.blocks().source();
                    source.presence(start..start + len, &mut |r, p| {
                        visit(r.start - start + at..r.end - start + at, p);
                    })?;
                }
            }
            at += len;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        let at = self.spot(offset).ok()?.at?;
        self.store.blocks().source().locate(at)
    }
}
