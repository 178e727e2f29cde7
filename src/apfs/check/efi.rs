//! The driver from which a Mac's firmware starts (section 2).

use super::say::Checker;
use super::used::{By, Used};
use crate::apfs::container::Container;
use crate::apfs::format::{PHYSICAL, kind};
use crate::error::Result;
use crate::io::bytes::{all_zero, to_u64, usize32};
use crate::report::{Rule, Structure};

/// Where the reserved bytes and the extents begin.
const RESERVED: usize = 0x30;
const EXTENTS: usize = 0xB0;

/// Check the driver, and claim its blocks.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn check(checker: &Checker<'_>, container: &Container, used: &mut Used) -> Result<()> {
    let block = container.superblock().efi_jumpstart;
    if block == 0 {
        return Ok(());
    }
    let blocks = container.store().blocks();
    let place = || checker.place(Structure::Container, block);
    used.claim(block..block.saturating_add(1), By::Efi, 0);
    let efi = match blocks.object("EFI driver", block, 1) {
        Ok(efi) => efi,
        Err(e) => {
            used.whole = false;
            return checker.unreadable(place(), "the driver for firmware", e);
        }
    };
    let h = &efi.header;
    let (version, count) = (efi.u32(0x24).unwrap_or(0), usize32(efi.u32(0x2C).unwrap_or(0)));
    let room = (efi.bytes().len() - EXTENTS) / 16;
    let head = efi.array(0x20) == Some(*b"JSDR") && version == 1 && count <= room;
    let own =
        h.oid == block && h.kind_and_flags == PHYSICAL | u32::from(kind::EFI) && h.subtype == 0;
    let reserved = efi.bytes().get(RESERVED..EXTENTS).is_some_and(all_zero);
    if !head || !own || !reserved {
        checker.broken(Rule::A340, place(), || {
            format!("the driver for firmware is object {} of type {:#x}, version {version}, with {count} extents", h.oid, h.kind_and_flags)
        });
    }
    let mut sum = 0u64;
    for i in 0..count.min(room) {
        let (start, len) =
            (efi.u64(EXTENTS + i * 16).unwrap_or(0), efi.u64(EXTENTS + 8 + i * 16).unwrap_or(0));
        let end = start.checked_add(len).filter(|end| *end <= blocks.count());
        match end {
            Some(end) if start > 0 && len > 0 => used.claim(start..end, By::Efi, 0),
            _ => checker.broken(Rule::A341, place(), || {
                format!("the driver for firmware has {len} blocks from {start} on")
            }),
        }
        sum = sum.saturating_add(len);
    }
    let bytes = u64::from(efi.u32(0x28).unwrap_or(0));
    if bytes == 0 || bytes.div_ceil(blocks.size()) != sum {
        checker.broken(Rule::A342, place(), || {
            format!(
                "the driver for firmware has {bytes} bytes in {sum} blocks of {}",
                to_u64(usize32(blocks.size32()))
            )
        });
    }
    Ok(())
}
