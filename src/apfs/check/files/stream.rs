//! Streams: extents, the record of who shares them, crypto states (section 6.4).

use super::inode::{Inode, flag};
use super::object::Object;
use super::sweep::Sweep;
use super::tables::{ExtentRow, Span, StreamRow, UserRow};
use crate::apfs::node::Entry;
use crate::io::bytes::{le16, le32, le64};
use crate::report::Rule;

/// The crypto id stands for the place.
const CRYPTO_TWEAK: u64 = 1;
const PREALLOCATED: u64 = 2;
const FLAGS: u64 = CRYPTO_TWEAK | PREALLOCATED;
const LENGTH_BITS: u32 = 56;
/// Incompatible feature: extents may be marked as preallocated.
const PREALLOC_FEATURE: u64 = 0x80;
/// Smallest crypto state: its count, and the fixed part.
const MIN_CRYPTO: usize = 24;

/// The extents of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extents {
    /// Whether there is one.
    pub any: bool,
    /// Past the last.
    pub end: u64,
    /// Bytes of holes.
    pub holes: u64,
    /// Inodes that share it, as its record says.
    pub shared_by: Option<u32>,
}

impl Sweep<'_> {
    /// A file extent.
    pub(super) fn extent(&mut self, object: &mut Object, entry: &Entry<'_>, span: Span) {
        let (id, value) = (object.id, entry.value.unwrap_or_default());
        let numbers = (le64(entry.key, 8), le64(value, 0), le64(value, 8), le64(value, 16));
        let (Some(offset), Some(length), Some(block), Some(crypto)) = numbers else { return };
        let (len, flags) = (length & ((1 << LENGTH_BITS) - 1), length >> LENGTH_BITS);
        self.extent_form(object, (offset, len, flags), span);
        let size = self.facts.block_size;
        let count = len / size;
        if block != 0 && block.checked_add(count).is_none_or(|end| end > self.facts.blocks) {
            self.breaks.add(Rule::A225, id, span, || {
                format!("an extent of stream {id} lies in blocks {block} and so on, outside the container")
            });
        }
        self.crypto_id(id, crypto, span);
        if block != 0 {
            let count = count.min(self.facts.blocks);
            if count > 0 {
                self.tables.extents.push(ExtentRow { block, count, stream: id, span });
            }
        } else {
            object.extents.holes = object.extents.holes.saturating_add(len);
        }
        let e = &mut object.extents;
        (e.any, e.end) = (true, offset.saturating_add(len));
    }

    fn extent_form(&mut self, object: &Object, (offset, len, flags): (u64, u64, u64), span: Span) {
        let (id, size) = (object.id, self.facts.block_size);
        if !offset.is_multiple_of(size) {
            self.breaks.add(Rule::A134, id, span, || {
                format!("an extent of stream {id} begins at byte {offset}, in a block")
            });
        }
        if len == 0 || !len.is_multiple_of(size) || flags & !FLAGS != 0 {
            self.breaks.add(Rule::A220, id, span, || {
                format!("an extent of stream {id} has {len} bytes and flags {flags:#x}")
            });
        }
        if offset != object.extents.end {
            let end = object.extents.end;
            self.breaks.add(Rule::A221, id, span, || {
                format!("an extent of stream {id} begins at byte {offset}, where {end} is due")
            });
        }
        let feature = self.facts.incompatible & PREALLOC_FEATURE != 0;
        if flags & PREALLOCATED != 0 && !feature {
            self.breaks.add(Rule::A227, id, span, || {
                format!("an extent of stream {id} is marked as preallocated, which the volume does not do")
            });
        }
        if flags & CRYPTO_TWEAK != 0 && !self.facts.encrypted {
            self.breaks.add(Rule::A232, id, span, || {
                format!("an extent of stream {id} is marked as encrypted on a plain volume")
            });
        }
        let sizes = object.inode.as_ref().filter(|i| i.stream == id).and_then(|i| i.sizes);
        if let Some((end, _)) = sizes
            && flags & PREALLOCATED != 0
            && offset < end
        {
            self.breaks.add(Rule::A235, id, span, || {
                format!("an extent of stream {id} at byte {offset} is marked as preallocated, before the end of the file")
            });
        }
    }

    /// On a plain volume nothing names a crypto state.
    pub(super) fn crypto_id(&mut self, id: u64, crypto: u64, span: Span) {
        if crypto != 0 && !self.facts.encrypted {
            self.breaks.add(Rule::A230, id, span, || {
                format!("a stream of object {id} names crypto state {crypto} on a plain volume")
            });
        }
    }

    /// The record of who shares a stream.
    pub(super) fn shared_by(&mut self, object: &mut Object, value: &[u8]) {
        object.extents.shared_by = le32(value, 0);
    }

    /// The record of a crypto state.
    pub(super) fn crypto_state(&mut self, id: u64, value: &[u8], span: Span) {
        let (count, major, minor) = (le32(value, 0), le16(value, 4), le16(value, 6));
        let known = matches!(major, Some(0 | 5)) && minor == Some(0);
        if value.len() < MIN_CRYPTO || count.is_none_or(|n| n == 0) || !known {
            self.breaks.add(Rule::A231, id, span, || {
                format!("the record of crypto state {id} is not well-formed")
            });
        }
    }

    /// The stream of an object's number: settled here if only the inode of that number uses
    /// it, else left for later.
    pub(super) fn finish_stream(&mut self, object: &Object, span: Span) {
        let (id, e) = (object.id, object.extents);
        let own = object.inode.as_ref().filter(|i| i.stream == id);
        // An empty file that was cloned has a number of another's stream, and uses none.
        if let Some(inode) = &object.inode
            && inode.stream != id
            && inode.sizes.is_some()
        {
            self.tables.users.push(user(id, inode, span));
        }
        let stored = e.any || e.shared_by.is_some();
        // Extents of sealed volumes lie in a tree of their own.
        if self.facts.sealed {
            return;
        }
        match own {
            Some(inode) if !inode.flagged(flag::CLONED) && e.shared_by.unwrap_or(1) == 1 => {
                let sizes = inode.sizes.or(stored.then_some((0, 0)));
                if let Some(sizes) = sizes {
                    self.settle((id, id), sizes, inode.sparse, &e, span);
                }
                if e.shared_by.is_none() && e.any {
                    self.breaks.add(Rule::A224, id, span, || {
                        format!("stream {id} has extents, but no record of who shares it")
                    });
                }
            }
            _ if stored => {
                if let Some(inode) = own.filter(|i| i.sizes.is_some() || e.any) {
                    self.tables.users.push(user(id, inode, span));
                }
                let (shared_by, end, holes) = (e.shared_by, e.end, e.holes);
                self.tables.streams.push(StreamRow { stream: id, shared_by, end, holes, span });
            }
            _ => {}
        }
    }

    /// The extents of a stream against the sizes that an inode or attribute has for it.
    pub(super) fn settle(
        &mut self,
        (stream, inode): (u64, u64),
        (size, allocated): (u64, u64),
        sparse: u64,
        e: &Extents,
        span: Span,
    ) {
        super::streams::settle(
            self.breaks,
            (stream, inode),
            (size, allocated),
            Some(sparse),
            (e.end, e.holes),
            span,
        );
    }
}

fn user(inode: u64, of: &Inode, span: Span) -> UserRow {
    let (size, allocated) = of.sizes.unwrap_or_default();
    UserRow {
        stream: of.stream,
        inode,
        size,
        allocated,
        sparse: of.sparse,
        attribute: false,
        cloned: of.flagged(flag::CLONED),
        span,
    }
}
