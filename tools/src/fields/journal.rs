//! The journal: info block, header, and the block lists of a full one.

use super::Rule::*;
use super::Sink;
use crate::journal::JOURNAL_BLOCK;

pub(super) fn empty(s: &mut Sink) {
    let (Some(info), Some((at, _))) = (s.layout.journal_info, s.layout.journal) else { return };
    head(s, info, at, 1);
}

/// Flags of the info block that mean something: in this volume; and that a full journal is
/// there although the flag says it was never used.
fn head(s: &mut Sink, info: u64, at: u64, flags: u64) {
    s.structure = "journal info block";
    s.rows(
        info,
        &[
            (0, 4, "flags", Bits(flags)),
            (4, 32, "device", Never),
            (36, 8, "offset", Every),
            (44, 8, "size", Every),
            (52, 128, "identity of the Mac", Never),
            (180, s.layout.block_size - 180, "free", Never),
        ],
    );
    s.structure = "journal header";
    s.rows(
        at,
        &[
            (0, 44, "header", Every),
            (44, 4, "sequence of the last", Never),
            (48, 512 - 48, "free", Never),
        ],
    );
}

pub(super) fn full(s: &mut Sink) {
    let (Some(info), Some((at, _))) = (s.layout.journal_info, s.layout.journal) else { return };
    head(s, info, at, 1 | 4);
    let ring = s.image.read(at, JOURNAL_BLOCK as usize);
    let le64 = |b: &[u8], i: usize| u64::from_le_bytes(b[i..i + 8].try_into().unwrap());
    let le32 = |b: &[u8], i: usize| u32::from_le_bytes(b[i..i + 4].try_into().unwrap());
    let (start, end) = (le64(&ring, 8), le64(&ring, 16));
    let list_size = u64::from(le32(&ring, 32));
    assert!(start < end, "a little-endian journal that does not wrap");
    let mut pos = start;
    while pos < end {
        let list = s.image.read(at + pos, list_size as usize);
        let count = u64::from(u16::from_le_bytes([list[2], list[3]]));
        s.structure = "journal block list";
        s.add(at + pos, 32, "header", Every);
        for i in 1..count {
            let entry = 16 + 16 * i;
            // What a killed block holds is nobody's concern.
            let killed = le64(&list, entry as usize) == u64::MAX;
            s.add(at + pos + entry, 12, "block", Every);
            s.add(at + pos + entry + 12, 4, "checksum", if killed { Never } else { Every });
        }
        s.add(at + pos + 16 + 16 * count, list_size - 16 - 16 * count, "free", Never);
        s.structure = "journal blocks";
        let mut data = pos + list_size;
        for i in 1..count as usize {
            let killed = le64(&list, 16 + 16 * i) == u64::MAX;
            let len = u64::from(le32(&list, 16 + 16 * i + 8));
            s.add(at + data, len, "block", if killed { Never } else { Every });
            data += len;
        }
        pos = data;
    }
}
