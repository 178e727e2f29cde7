//! The space manager (section 8): what says which blocks of the container are in use.
//! All of it is read and proved: nobody reads it to show files, but a Mac that goes on
//! writing relies on it.

use super::container::Container;
use super::format::{HEADER, kind};
use super::object::{Expected, Object, Storage};
use crate::error::{Error, Result};
use crate::io::bytes::{le32, le64, to_u64, to_usize, usize32};
use crate::report::Progress;

/// Offsets in the space manager, for the main device: numbers of chunk-info blocks and of
/// blocks with their addresses, and where the addresses of the one or the other begin.
const CIBS: usize = 0x40;
const CABS: usize = 0x44;
const ADDRESSES: usize = 0x50;
/// Where the lists in chunk-info and address blocks begin, and their number of entries.
const LIST: usize = HEADER + 8;
const COUNT: usize = HEADER + 4;
/// Bytes of what is said of one chunk.
const CHUNK: usize = 32;
/// The bits of a count of blocks that are one.
const BLOCKS: u32 = (1 << 20) - 1;

/// Read everything of the space manager; what is lost or wrong is told to `failed`.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn check(
    container: &Container,
    progress: &dyn Progress,
    failed: &mut dyn FnMut(Error),
) -> Result<()> {
    let pass = Pass { container, progress };
    let oid = container.superblock().spaceman_oid;
    let spaceman = match container.ephemeral("space manager", oid, kind::SPACEMAN) {
        Ok(spaceman) => spaceman,
        Err(e) => return tell(e, failed),
    };
    let (cibs, cabs) = (spaceman.u32(CIBS).unwrap_or(0), spaceman.u32(CABS).unwrap_or(0));
    let first = usize32(spaceman.u32(ADDRESSES).unwrap_or(0));
    let listed = |count: u32| {
        let most = spaceman.bytes().len() / 8;
        (0..usize32(count).min(most)).map_while(|n| spaceman.u64(first.checked_add(n * 8)?))
    };
    if cabs == 0 {
        for block in listed(cibs) {
            pass.chunks(block, failed)?;
        }
        return Ok(());
    }
    for block in listed(cabs) {
        progress.check()?;
        let cab =
            match pass.object("space manager's list of chunk-info blocks", block, &[kind::CAB]) {
                Ok(cab) => cab,
                Err(e) => {
                    tell(e, failed)?;
                    continue;
                }
            };
        let (count, most) = (usize32(cab.u32(COUNT).unwrap_or(0)), cab.bytes().len() / 8);
        for cib in (0..count.min(most)).map_while(|n| cab.u64(LIST + n * 8)) {
            pass.chunks(cib, failed)?;
        }
    }
    Ok(())
}

fn tell(e: Error, failed: &mut dyn FnMut(Error)) -> Result<()> {
    match e {
        Error::Interrupted => return Err(e),
        e => failed(e),
    }
    Ok(())
}

struct Pass<'a> {
    container: &'a Container,
    progress: &'a dyn Progress,
}

impl Pass<'_> {
    /// A block of the pool that must be of that type.
    fn object(&self, what: &str, block: u64, kinds: &'static [u16]) -> Result<Object> {
        let store = self.container.store();
        let object = store.blocks().object(what, block, 1)?;
        let (max_xid, storage) = (store.max_xid(), Storage::Physical);
        let expected = Expected { oid: block, xid: None, max_xid, kinds, subtype: 0, storage };
        match expected.problem(&object.header) {
            Some(problem) => Err(store.blocks().corrupt(what, block, problem)),
            None => Ok(object),
        }
    }

    /// A chunk-info block, and the bitmaps of its chunks.
    fn chunks(&self, block: u64, failed: &mut dyn FnMut(Error)) -> Result<()> {
        self.progress.check()?;
        let cib = match self.object("space manager's chunk-info block", block, &[kind::CIB]) {
            Ok(cib) => cib,
            Err(e) => return tell(e, failed),
        };
        for i in 0..usize32(cib.u32(COUNT).unwrap_or(0)) {
            let Some(chunk) = cib.bytes().get(LIST + i * CHUNK..).filter(|b| b.len() >= CHUNK)
            else {
                break;
            };
            let blocks = |at| le32(chunk, at).map_or(0, |n| n & BLOCKS);
            let (count, free) = (blocks(16), blocks(20));
            if let Some(bitmap) = le64(chunk, 24).filter(|b| *b != 0)
                && let Err(e) = self.bitmap(bitmap, le64(chunk, 8).unwrap_or(0), count, free)
            {
                tell(e, failed)?;
            }
            self.progress.advance(1);
        }
        Ok(())
    }

    /// The bitmap of a chunk has no sum: it is held against the count of free blocks.
    fn bitmap(&self, block: u64, first: u64, count: u32, free: u32) -> Result<()> {
        self.progress.check()?;
        let (what, blocks) = ("space manager bitmap", self.container.store().blocks());
        let bytes = blocks.read(what, block, 1)?;
        let whole = to_usize(u64::from(count) / 8);
        let mut used: u64 = bytes.iter().take(whole).map(|b| u64::from(b.count_ones())).sum();
        let rest = bytes.get(whole).map_or(0, |b| b & !(u8::MAX << (count % 8)));
        used += u64::from(rest.count_ones());
        let wanted = u64::from(count).saturating_sub(free.into());
        if used != wanted || to_u64(bytes.len()) * 8 < count.into() {
            let text = format!(
                "of the {count} blocks from {first} on it has {used} in use, where {wanted} are"
            );
            return Err(blocks.corrupt(what, block, text));
        }
        Ok(())
    }
}
