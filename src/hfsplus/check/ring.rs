//! Where the journal is said to be: volume header, info block and the journal's own
//! header must agree (section 13).

use crate::hfsplus::format::{
    JournalHeader, JournalInfoBlock, VOL_JOURNALED, VolumeHeader, decode, decode_endian,
};
use crate::hfsplus::journal::Journal;
use crate::io::bytes::be32;
use crate::io::{Source, read_vec};
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};
use binrw::Endian;

const IN_VOLUME: u32 = 1;
/// In this volume, on another device, never used.
const KNOWN_FLAGS: u32 = 7;

/// Report what leads to the journal but cannot be right, though it can be read.
pub fn check(volume: &Source, header: &VolumeHeader, journal: &Journal, reporter: &dyn Reporter) {
    if header.attributes & VOL_JOURNALED == 0 || !journal.problems.is_empty() {
        return;
    }
    let at = u64::from(header.journal_info_block) * u64::from(header.block_size);
    let say = |text: String| {
        let place = Where::of(Structure::Journal).at(volume.locate(at));
        let finding = Finding::new(Code::JournalBad, place, format!("journal info block: {text}"));
        reporter.report(finding.severity(Severity::Warning));
    };
    if header.journal_info_block == 0 {
        return say("the volume is journaled, but has none".into());
    }
    let info = read_vec(&**volume, at, 180).ok().and_then(|b| decode::<JournalInfoBlock>(&b));
    let Some(info) = info else { return };
    if info.flags & !KNOWN_FLAGS != 0 {
        say(format!("flags {:#x}", info.flags));
    }
    let Some(range) = &journal.range else { return };
    if info.flags & IN_VOLUME == 0 {
        say(format!("flags {:#x} do not say that the journal is on this volume", info.flags));
    }
    let head = read_vec(&**volume, range.start, 48).unwrap_or_default();
    let big = be32(&head, 4) == Some(0x1234_5678);
    let head: Option<JournalHeader> =
        decode_endian(&head, if big { Endian::Big } else { Endian::Little });
    if let Some(head) = head.filter(|h| h.size != info.size) {
        say(format!("{} bytes of journal, its own header says {}", info.size, head.size));
    }
}
