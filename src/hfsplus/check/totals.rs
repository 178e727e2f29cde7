//! The allocation bitmap against the blocks in use, and the volume header's counts
//! against the volume (sections 1 and 5).

use super::bits::CHUNK_BYTES;
use super::objects::Collected;
use crate::hfsplus::format::{VOL_CNIDS_REUSED, VolumeHeader};
use crate::io::bytes::{to_u64, to_usize, usize32};
use crate::io::{ReadAt, absent, read_vec};
use crate::report::{Code, Finding, Progress, Reporter, Structure, Unit, Where};

/// Runs of blocks that are reported one by one.
const MAX_RUNS: u32 = 100;

/// A run of blocks that are marked wrongly.
#[derive(Default)]
struct Run {
    start: u32,
    count: u32,
}

/// Where wrong blocks go: joined into runs and reported.
struct Wrong<'a> {
    code: Code,
    what: &'static str,
    open: Run,
    runs: u32,
    place: &'a dyn Fn(u32) -> Option<crate::error::Locus>,
    /// The bitmap.
    file: &'a dyn ReadAt,
    reporter: &'a dyn Reporter,
}

impl Wrong<'_> {
    /// So many blocks from `block` on are wrong.
    fn add(&mut self, block: u32, count: u32) {
        if self.open.count > 0 && self.open.start.checked_add(self.open.count) == Some(block) {
            self.open.count = self.open.count.saturating_add(count);
            return;
        }
        self.flush();
        self.open = Run { start: block, count };
    }

    fn flush(&mut self) {
        let run = std::mem::take(&mut self.open);
        if run.count == 0 {
            return;
        }
        self.runs += 1;
        if self.runs > MAX_RUNS {
            return;
        }
        let first = u64::from(run.start / 8);
        if self.code == Code::BitmapUnder
            && let Some(gone) = absent(self.file, first..first + 1)
        {
            let text = format!(
                "the bitmap of {} blocks from {} on is lost: {}",
                run.count, run.start, gone.why
            );
            let at = self.file.locate(u64::from(run.start / 8));
            let place = Where::of(Structure::Bitmap).block(run.start).at(at).length(1);
            self.reporter.report(Finding::new(Code::BandLost, place, text));
        } else {
            let text = format!("{} blocks from {} on are {}", run.count, run.start, self.what);
            let place = Where::of(Structure::Bitmap).block(run.start).at((self.place)(run.start));
            self.reporter.report(Finding::new(self.code, place, text));
        }
    }
}

/// Compare the allocation file with the blocks that were claimed.
pub fn bitmap(
    file: &dyn ReadAt,
    c: &Collected<'_>,
    header: &VolumeHeader,
    volume: &dyn ReadAt,
    progress: &dyn Progress,
) -> crate::Result<()> {
    progress.phase("checking the bitmap", header.total_blocks.into(), Unit::Items);
    let place = |block: u32| volume.locate(u64::from(block) * u64::from(header.block_size));
    let wrong = |code, what| Wrong {
        code,
        what,
        open: Run::default(),
        runs: 0,
        place: &place,
        file,
        reporter: c.reporter,
    };
    let mut under = wrong(Code::BitmapUnder, "in use but marked free");
    let mut over = wrong(Code::BitmapOver, "marked used but belong to nothing");
    let claimed = c.blocks.map();
    let total = claimed.len().div_ceil(8);
    for (i, at) in (0..).zip((0..total).step_by(to_usize(CHUNK_BYTES))) {
        progress.check()?;
        let n = CHUNK_BYTES.min(total - at);
        let stored = match read_vec(file, at, to_usize(n)) {
            Ok(bytes) => bytes,
            Err(e) => {
                let text = format!("the allocation file cannot be read at {at}: {e}");
                let place = Where::of(Structure::Bitmap).at(file.locate(at));
                c.reporter.report(Finding::new(Code::BitmapUnreadable, place, text));
                return Ok(());
            }
        };
        let computed = claimed.piece(i);
        if !computed.equals(&stored) {
            for (i, disk) in stored.iter().enumerate() {
                let first = u32::try_from((to_usize(at) + i) * 8).unwrap_or(u32::MAX);
                let used = computed.byte(i);
                byte(first, *disk, used, header.total_blocks, &mut under, &mut over);
            }
        }
        progress.advance(n * 8);
    }
    under.flush();
    over.flush();
    tail(file, header, &mut over);
    Ok(())
}

fn byte(first: u32, disk: u8, used: u8, total: u32, under: &mut Wrong<'_>, over: &mut Wrong<'_>) {
    let wrong = disk ^ used;
    if wrong == 0 {
        return;
    }
    if wrong == 0xFF && (disk == 0 || used == 0) && first.checked_add(8).is_some_and(|e| e <= total)
    {
        if disk == 0 {
            under.add(first, 8)
        } else {
            over.add(first, 8)
        }
        return;
    }
    for bit in 0..8 {
        let (mask, block) = (0x80u8 >> bit, first.saturating_add(bit));
        if block >= total {
            continue;
        }
        match (disk & mask != 0, used & mask != 0) {
            (false, true) => under.add(block, 1),
            (true, false) => over.add(block, 1),
            _ => {}
        }
    }
}

/// Bits past the last block count up to the end of fsck's segment of 1024 bits.
fn tail(file: &dyn ReadAt, header: &VolumeHeader, over: &mut Wrong<'_>) {
    let total = header.total_blocks;
    let end = total.div_ceil(1024).saturating_mul(1024);
    let first_byte = usize32(total) / 8;
    let len = (usize32(end) / 8).min(to_usize(file.len())).saturating_sub(first_byte);
    let Ok(bytes) = read_vec(file, to_u64(first_byte), len) else { return };
    let set = (total..end).any(|block| {
        let index = usize32(block) / 8 - first_byte;
        bytes.get(index).is_some_and(|b| b & (0x80 >> (block % 8)) != 0)
    });
    if set {
        let text = "bits past the last block are set";
        over.reporter.report(Finding::new(Code::BitmapOver, Where::of(Structure::Bitmap), text));
    }
}

/// The counts of the volume header.
pub fn header(c: &Collected<'_>, h: &VolumeHeader, free: Option<u64>) {
    let say = |text: String| {
        let place = Where::of(Structure::VolumeHeader);
        c.reporter.report(Finding::new(
            Code::VolumeCounts,
            place,
            format!("volume header: {text}"),
        ));
    };
    let compare = |what: &str, says: u64, has: u64| {
        if says != has {
            say(format!("{says} {what}, counted {has}"));
        }
    };
    // Either of the bits an encoding may stand for will do.
    if c.encodings.iter().any(|bits| *bits & h.encodings_bitmap == 0) {
        say("a text encoding in use is missing in its list of encodings".into());
    }
    compare("files", h.file_count.into(), c.files);
    compare("folders", h.folder_count.into(), c.folders.saturating_sub(1));
    if let Some(free) = free {
        compare("free blocks", h.free_blocks.into(), free);
    }
    if h.attributes & VOL_CNIDS_REUSED == 0 && h.next_catalog_id <= c.largest {
        say(format!("next catalog id {}, but {} is in use", h.next_catalog_id, c.largest));
    }
}
