//! The two volume headers (sections 1 and 16).

use crate::hfsplus::format::{ForkData, VOL_INCONSISTENT, VOL_UNMOUNTED, VolumeHeader};
use crate::hfsplus::headers::{HeaderCopy, Headers};
use crate::io::{ReadAt, Source};
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};

/// Report a volume header that only the journal made good again.
pub(super) fn check_before_replay(headers: &Headers, source: &Source, reporter: &dyn Reporter) {
    let Headers { primary, alternate } = headers;
    if let (Err(why), Ok(_)) = (&primary.header, &alternate.header) {
        let place = Where::of(primary.name).at(primary.offset.and_then(|o| source.locate(o)));
        let text = format!("volume header: {why}, before the journal was replayed");
        let finding = Finding::new(Code::HeaderPrimary, place, text);
        reporter.report(finding.severity(Severity::Warning));
    }
}

/// Check both headers; the one to go on with.
pub(super) fn check(
    headers: &Headers,
    volume: &Source,
    reporter: &dyn Reporter,
) -> Option<VolumeHeader> {
    let Headers { primary, alternate } = headers;
    let say = |copy: &HeaderCopy, code, text: String| {
        let place = Where::of(copy.name).at(copy.offset.and_then(|o| volume.locate(o)));
        reporter.report(Finding::new(code, place, text));
    };
    match (&primary.header, &alternate.header) {
        (Err(a), Err(b)) => {
            let text = format!("volume header: {a}; alternate: {b}");
            say(primary, Code::HeaderLost, text);
            None
        }
        (Err(why), Ok(header)) => {
            let text = format!("volume header: {why}; the alternate was used");
            say(primary, code_of(primary, Code::HeaderPrimary), text);
            Some(header.clone())
        }
        (Ok(header), Err(why)) => {
            let text = format!("alternate volume header: {why}");
            say(alternate, code_of(alternate, Code::HeaderAlternate), text);
            fields(primary, header, &**volume, &say);
            Some(header.clone())
        }
        (Ok(header), Ok(other)) => {
            compare(alternate, header, other, &|copy, text| {
                let place = Where::of(copy.name).at(copy.offset.and_then(|o| volume.locate(o)));
                let finding = Finding::new(Code::HeaderAlternate, place, text);
                reporter.report(finding.severity(Severity::Warning));
            });
            fields(primary, header, &**volume, &say);
            Some(header.clone())
        }
    }
}

/// The code for a copy that cannot be used: that its band is lost comes before all else.
fn code_of(copy: &HeaderCopy, code: Code) -> Code {
    if copy.lost { Code::BandLost } else { code }
}

/// What the two copies must share: the rest of the alternate is stale by design.
fn compare(
    copy: &HeaderCopy,
    a: &VolumeHeader,
    b: &VolumeHeader,
    say: &dyn Fn(&HeaderCopy, String),
) {
    let differ = |what: &str, a: String, b: String| {
        if a != b {
            let text = format!("alternate volume header: {what} is {b}, the first has {a}");
            say(copy, text);
        }
    };
    differ("creation date", a.create_date.to_string(), b.create_date.to_string());
    differ("signature", format!("{:#06x}", a.signature), format!("{:#06x}", b.signature));
    differ("block size", a.block_size.to_string(), b.block_size.to_string());
    differ("block count", a.total_blocks.to_string(), b.total_blocks.to_string());
    // The alternate is written whenever the layout of a special file changes.
    let forks = [
        ("allocation file", &a.allocation_file, &b.allocation_file),
        ("extents file", &a.extents_file, &b.extents_file),
        ("catalog file", &a.catalog_file, &b.catalog_file),
        ("attributes file", &a.attributes_file, &b.attributes_file),
        ("startup file", &a.startup_file, &b.startup_file),
    ];
    for (name, a, b) in forks {
        let layout = |f: &ForkData| (f.logical_size, f.total_blocks, f.extents);
        if layout(a) != layout(b) {
            let text = format!("alternate volume header: it has another layout of the {name}");
            say(copy, text);
        }
    }
}

/// Marks that say something happened to the volume.
pub(super) fn state(h: &VolumeHeader, journaled_work: bool, reporter: &dyn Reporter) {
    let say = |severity, text: &str| {
        let place = Where::of(Structure::VolumeHeader);
        let text = format!("volume header: {text}");
        reporter.report(Finding::new(Code::VolumeState, place, text).severity(severity));
    };
    if h.attributes & VOL_INCONSISTENT != 0 {
        say(Severity::Warning, "a Mac has marked the volume as inconsistent");
    }
    if h.last_mounted_version == *b"FSK!" {
        say(Severity::Warning, "a Mac failed to replay the journal");
    }
    if h.attributes & VOL_UNMOUNTED == 0 && !journaled_work {
        say(Severity::Info, "the volume was not unmounted cleanly");
    }
}

/// Hints of the header that its writer keeps within bounds (Apple's `VInfoChk`): nothing
/// is lost by a wrong one.
pub(super) fn hints(h: &VolumeHeader, reporter: &dyn Reporter) {
    let say = |text: String| {
        let place = Where::of(Structure::VolumeHeader);
        let finding = Finding::new(Code::HeaderField, place, format!("volume header: {text}"));
        reporter.report(finding.severity(Severity::Warning));
    };
    let block = h.block_size;
    let quarter = u64::from(h.total_blocks / 4) * u64::from(block);
    let files = [
        ("allocation file", &h.allocation_file),
        ("extents file", &h.extents_file),
        ("catalog file", &h.catalog_file),
        ("attributes file", &h.attributes_file),
    ];
    for (name, fork) in files {
        let clump = fork.clump_size;
        if !clump.is_multiple_of(block) {
            say(format!("the {name}'s clump of {clump} bytes is no multiple of a block"));
        } else if u64::from(clump) > quarter {
            say(format!(
                "the {name}'s clump of {clump} bytes is more than a quarter of the volume"
            ));
        }
    }
    for (name, clump) in [("data", h.data_clump_size), ("resource", h.rsrc_clump_size)] {
        if clump == 0 || !clump.is_multiple_of(block) {
            say(format!("a clump of {clump} bytes for {name} forks, expected whole blocks"));
        }
    }
    if h.next_allocation >= h.total_blocks {
        let (next, total) = (h.next_allocation, h.total_blocks);
        say(format!("the next allocation is looked for at block {next} of {total}"));
    }
}

fn fields(
    copy: &HeaderCopy,
    h: &VolumeHeader,
    volume: &dyn ReadAt,
    say: &dyn Fn(&HeaderCopy, Code, String),
) {
    let wrong = |text: String| say(copy, Code::HeaderField, format!("volume header: {text}"));
    if !h.block_size.is_power_of_two() {
        wrong(format!("block size {} is not a power of two", h.block_size));
    }
    let bytes = u64::from(h.total_blocks) * u64::from(h.block_size);
    if bytes > volume.len() {
        wrong(format!("{} blocks do not fit into {} bytes", h.total_blocks, volume.len()));
    }
    if h.free_blocks > h.total_blocks {
        wrong(format!("{} free of {} blocks", h.free_blocks, h.total_blocks));
    }
    if h.next_catalog_id < 16 {
        wrong(format!("next catalog id is {}, below 16", h.next_catalog_id));
    }
    let forks = [
        ("extents file", &h.extents_file),
        ("catalog file", &h.catalog_file),
        ("allocation file", &h.allocation_file),
        ("attributes file", &h.attributes_file),
    ];
    for (name, fork) in forks {
        for e in fork.extents.iter().filter(|e| e.count > 0) {
            if e.start.checked_add(e.count).is_none_or(|end| end > h.total_blocks) {
                wrong(format!("the {name} has an extent of {} blocks at {}", e.count, e.start));
            }
        }
    }
}
