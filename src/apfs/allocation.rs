//! What is allocated: to files by the extent reference trees, of the container by its
//! space manager (section 8).

use super::container::Container;
use super::format::kind;
use super::references::scan;
use super::volume::Apfs;
use crate::error::Result;
use crate::io::Ranges;
use crate::io::bytes::le64;

/// The parts of `wanted` that hold contents of files of any view.
pub fn allocated(volume: &Apfs, wanted: &Ranges) -> Result<Ranges> {
    let store = volume.container.store();
    let size = store.blocks().size();
    let mut found = Vec::new();
    for (_, root) in volume.reference_trees() {
        for range in wanted.iter() {
            let blocks = range.start / size..range.end.div_ceil(size);
            scan(store, root, &blocks, &mut |r| {
                if r.owner.is_some() {
                    let (start, end) =
                        (r.blocks.start.saturating_mul(size), r.blocks.end.saturating_mul(size));
                    found.push(start.max(range.start)..end.min(range.end));
                }
                Ok(())
            })?;
        }
    }
    Ok(Ranges::new(found))
}

impl Container {
    /// Free blocks as the space manager counts them; `None` if it cannot be read.
    pub(super) fn free_blocks(&self) -> Option<u64> {
        let oid = self.superblock().spaceman_oid;
        let spaceman = self.ephemeral("space manager", oid, kind::SPACEMAN);
        // Of the main device: at 0x30 its blocks, chunks, CIBs and CABs, then what is free.
        spaceman.ok().and_then(|s| le64(s.bytes(), 0x30 + 24))
    }
}
