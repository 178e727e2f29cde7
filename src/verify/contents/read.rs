//! Read one stream and say what is wrong with it.

use super::Counters;
use super::plan::{Item, What};
use super::queue::Queue;
use super::tally::{Compared, Tally, mismatch};
use crate::decmpfs;
use crate::error::{Error, Locus, Result};
use crate::fs::{FileSystem, NodeId, Stream};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{Presence, ReadAt};
use crate::report::{Code, Collector, Finding, Progress, Reporter, Severity, Structure, Where};
use crate::timemachine::checksum::{self, Cksum};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;
/// In files of this size it is looked whether they are stored at all, so much at a time:
/// a hostile or odd one may claim more than any disk has.
const LARGE: u64 = 1 << 30;
const WINDOW: u64 = 64 << 20;

/// Finds paths for findings, for as many as anybody will see: each may cost reads.
pub(super) struct Names<'a> {
    find: &'a (dyn Fn(NodeId) -> Option<String> + Sync),
    left: AtomicU64,
}

impl<'a> Names<'a> {
    pub fn new(find: &'a (dyn Fn(NodeId) -> Option<String> + Sync)) -> Self {
        Self { find, left: AtomicU64::new(4 * to_u64(Collector::PER_CODE)) }
    }

    pub fn of(&self, node: NodeId) -> Option<String> {
        let took = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took).ok()?;
        (self.find)(node)
    }
}

/// One of the threads that read.
pub(super) struct Reader<'a> {
    pub fs: &'a dyn FileSystem,
    pub volume_len: u64,
    pub queue: &'a Queue<'a>,
    pub thread: usize,
    pub tally: &'a Tally,
    pub counters: &'a Counters,
    pub names: &'a Names<'a>,
    pub reporter: &'a dyn Reporter,
    pub progress: &'a dyn Progress,
    pub buf: Vec<u8>,
    /// The time was up before the stream at hand was read whole.
    pub cut: bool,
}

/// Why a stream could not be read to its end.
struct Failure {
    error: Error,
    /// Where on the disk, if that is known.
    place: Option<Locus>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, place: None }
    }
}

/// What an object's extended attributes say about its contents.
#[derive(Default)]
struct Recorded {
    checksum: Option<Vec<u8>>,
    /// It has a compression header that macOS does not use.
    idle_header: bool,
}

impl Reader<'_> {
    /// Read streams until none is left; an error ends the whole pass.
    pub fn run(mut self) {
        let read = self.all();
        self.queue.done(self.thread);
        if let Err(e) = read {
            self.queue.fail(e);
        }
    }

    fn all(&mut self) -> Result<()> {
        while let Some(item) = self.queue.take(self.thread)? {
            if !self.item(item)? {
                self.counters.unreadable.fetch_add(1, Ordering::Relaxed);
            }
            self.queue.done(self.thread);
        }
        Ok(())
    }

    /// Read one stream; whether nothing was wrong with it.
    fn item(&mut self, item: &Item) -> Result<bool> {
        self.cut = false;
        let (recorded, mut sound) = match item.has_xattrs {
            true => self.attributes(item)?,
            false => (Recorded::default(), true),
        };
        sound &= match item.what {
            What::Contents => self.contents(item, &recorded)?,
            What::Resource => self.resource(item)?,
            What::Link => self.link(item)?,
            What::Attributes => true,
        };
        if self.cut {
            return Ok(sound);
        }
        let files = u64::from(item.what == What::Contents);
        self.counters.files.fetch_add(files, Ordering::Relaxed);
        self.counters.bytes.fetch_add(item.bytes, Ordering::Relaxed);
        Ok(sound)
    }

    /// Read the attributes that have blocks of their own, and what they record.
    fn attributes(&mut self, item: &Item) -> Result<(Recorded, bool)> {
        let (mut recorded, mut sound) = (Recorded::default(), true);
        let list = match self.fs.xattrs(item.node()) {
            Ok(list) => list,
            Err(e) => {
                self.unreadable(item, "its extended attributes", e.into())?;
                return Ok((recorded, false));
            }
        };
        for x in list {
            self.progress.check()?;
            let checksum = item.what == What::Contents && checksum::is_name(&x.name);
            recorded.idle_header |= x.name == decmpfs::XATTR;
            if !checksum && !x.own_blocks {
                continue;
            }
            match self.fs.xattr(item.node(), &x.name) {
                Ok(value) if checksum => recorded.checksum = value,
                Ok(_) => {}
                Err(e) => {
                    let what = format!("its attribute '{}'", x.name);
                    self.unreadable(item, &what, e.into())?;
                    sound = false;
                }
            }
        }
        Ok((recorded, sound))
    }

    /// Read a file's contents and compare them with the checksum.
    fn contents(&mut self, item: &Item, recorded: &Recorded) -> Result<bool> {
        let mut sum = recorded.checksum.as_ref().map(|_| Cksum::default());
        let source = match self.fs.open(item.node(), &Stream::Data) {
            Ok(source) => source,
            Err(e) => return self.bad_contents(item, e.into()),
        };
        if let Some(failure) = self.through(&*source, item, sum.as_mut())? {
            return self.bad_contents(item, failure);
        }
        if self.cut {
            return Ok(true);
        }
        let stored = if item.compressed { self.marked_only(item, source.len())? } else { true };
        let shown = self.header_unused(item, recorded, source.len());
        if let (Some(value), Some(sum)) = (&recorded.checksum, sum) {
            let compared = match checksum::parse(value) {
                None => {
                    let text = format!("the checksum that it carries has {} bytes", value.len());
                    self.report(Code::FileChecksumOdd, item, None, &text);
                    Compared::Odd
                }
                Some(recorded) => self.compare(item, &*source, recorded, sum.finish())?,
            };
            if self.cut {
                return Ok(true);
            }
            self.tally.add(item.node(), item.compressed, compared);
        }
        Ok(stored && shown)
    }

    fn compare(
        &mut self,
        item: &Item,
        source: &dyn ReadAt,
        recorded: u32,
        found: u32,
    ) -> Result<Compared> {
        if found == recorded {
            return Ok(Compared::Agrees);
        }
        // It is not known whether a compressed file's checksum is of its contents or of
        // what is stored.
        let fork = item.compressed.then(|| self.fs.open(item.node(), &Stream::Resource).ok());
        let fork = fork.flatten().filter(|fork| !fork.is_empty());
        if let Some(fork) = &fork {
            let mut sum = Cksum::default();
            let failed = self.through(&**fork, item, Some(&mut sum))?;
            if failed.is_none() && sum.finish() == recorded {
                return Ok(Compared::Agrees);
            }
        }
        let lost = is_lost(fork.as_deref().unwrap_or(source));
        if lost {
            let more = "; part of it lies in bands that are missing or cut off";
            let name = self.names.of(item.node());
            self.reporter.report(mismatch(item.node(), name, recorded, found, more));
        }
        Ok(Compared::Differs { recorded, found, lost })
    }

    /// A file that is marked as compressed and was read as it is stored, because it has
    /// no compression header.
    fn marked_only(&mut self, item: &Item, len: u64) -> Result<bool> {
        match self.fs.metadata(item.node()) {
            Ok(meta) if !meta.compressed => {}
            _ => return Ok(true),
        }
        let text = "it is marked as compressed but has no compression header";
        // With contents of its own it reads fine, here and on a Mac.
        let severity = if len == 0 { Severity::Damage } else { Severity::Info };
        self.report_as(severity, Code::FileDecmpfs, item, None, text);
        let sound = self.resource(item)?;
        Ok(sound && len > 0)
    }

    /// A file with a compression header that is not marked as compressed.
    fn header_unused(&self, item: &Item, recorded: &Recorded, len: u64) -> bool {
        if !recorded.idle_header {
            return true;
        }
        let text = "it has a compression header but is not marked as compressed";
        // With contents of its own, the header is a leftover.
        let severity = if len == 0 { Severity::Damage } else { Severity::Warning };
        self.report_as(severity, Code::FileDecmpfs, item, None, text);
        false
    }

    fn resource(&mut self, item: &Item) -> Result<bool> {
        let failure = match self.fs.open(item.node(), &Stream::Resource) {
            Ok(source) => self.through(&*source, item, None)?,
            Err(e) => Some(e.into()),
        };
        match failure {
            None => Ok(true),
            Some(failure) => self.unreadable(item, "its resource fork", failure),
        }
    }

    fn link(&mut self, item: &Item) -> Result<bool> {
        let target = match self.fs.read_link(item.node()) {
            Ok(target) => target,
            Err(e) => return self.unreadable(item, "its target", e.into()),
        };
        self.progress.advance(item.bytes);
        let wrong = if target.is_empty() {
            "is empty"
        } else if target.contains(&0) {
            "holds a zero byte"
        } else if std::str::from_utf8(&target).is_err() {
            "is not UTF-8"
        } else if to_u64(target.len()) < item.bytes {
            let text = "the length of the link's target counts a final zero byte";
            self.report_as(Severity::Info, Code::SymlinkBad, item, None, text);
            return Ok(true);
        } else {
            return Ok(true);
        };
        self.report(Code::SymlinkBad, item, None, &format!("the target of the link {wrong}"));
        Ok(false)
    }

    /// Read a stream to its end, or until it cannot be read.
    fn through(
        &mut self,
        source: &dyn ReadAt,
        item: &Item,
        mut sum: Option<&mut Cksum>,
    ) -> Result<Option<Failure>> {
        let len = source.len();
        if len > self.volume_len && !item.compressed {
            let text = format!("its {len} bytes are more than the volume has");
            return Ok(Some(Error::corrupt("stream", text).into()));
        }
        let mut buf = std::mem::take(&mut self.buf);
        let (mut at, mut told, mut failure) = (0, 0, None);
        while at < len {
            self.progress.check()?;
            if self.queue.is_late() {
                self.cut = true;
                break;
            }
            if at.is_multiple_of(WINDOW) && len - at >= WINDOW && len >= LARGE {
                let absent = absent(source, at..at + WINDOW);
                if absent > 0 {
                    sum.iter_mut().for_each(|sum| sum.zeros(absent));
                    at += absent;
                    continue;
                }
            }
            let n = (len - at).min(PIECE);
            // The queue knows where the first piece is.
            if at > 0 && item.first != u64::MAX {
                let position = item.first.saturating_add(scale(item.bytes, at, len));
                self.queue.at(self.thread, position)?;
            }
            buf.resize(to_usize(n), 0);
            if let Err(error) = source.read_at(&mut buf, at) {
                let place = (!item.compressed).then(|| source.locate(at)).flatten();
                failure = Some(Failure { error, place });
                break;
            }
            if let Some(sum) = sum.as_deref_mut() {
                sum.update(&buf);
            }
            at += n;
            let now = scale(item.bytes, at, len);
            self.progress.advance(now.saturating_sub(told));
            told = now;
        }
        self.buf = buf;
        Ok(failure)
    }

    /// Say why the contents cannot be had; of compressed ones the stored bytes are read
    /// all the same, which tells bad compression from a bad disk.
    fn bad_contents(&mut self, item: &Item, failure: Failure) -> Result<bool> {
        let decoding = matches!(failure.error, Error::Corrupt(_) | Error::Unsupported(_));
        if !item.compressed || !decoding {
            return self.unreadable(item, "its contents", failure);
        }
        if !self.resource(item)? {
            return Ok(false);
        }
        let code = match failure.error {
            Error::Unsupported(_) => Code::FileUndecoded,
            _ => Code::FileDecmpfs,
        };
        self.report(code, item, failure.place, &failure.error.to_string());
        Ok(false)
    }

    fn unreadable(&self, item: &Item, what: &str, failure: Failure) -> Result<bool> {
        if matches!(failure.error, Error::Interrupted) {
            return Err(failure.error);
        }
        let text = format!("{what} cannot be read: {}", failure.error);
        self.report(Code::FileUnreadable, item, failure.place, &text);
        Ok(false)
    }

    fn report(&self, code: Code, item: &Item, place: Option<Locus>, text: &str) {
        self.report_as(code.info().severity, code, item, place, text);
    }

    fn report_as(
        &self,
        severity: Severity,
        code: Code,
        item: &Item,
        at: Option<Locus>,
        text: &str,
    ) {
        let path = self.names.of(item.node());
        let name = path.clone().unwrap_or_else(|| format!("object {}", item.id));
        let mut place = Where::of(Structure::File).at(at);
        place.object = Some(item.id);
        place.path = path;
        let finding = Finding::new(code, place, format!("{name}: {text}"));
        self.reporter.report(finding.severity(severity));
    }
}

/// How many bytes of a stream from the start of `range` on are not stored: all of the
/// range or none. That they should be is found by the look for lost bands.
fn absent(source: &dyn ReadAt, range: Range<u64>) -> u64 {
    let mut stored = false;
    let told = source.presence(range.clone(), &mut |_, how| stored |= how == Presence::Stored);
    if stored || told.is_err() { 0 } else { range.end - range.start }
}

/// `part` of `of`, as a share of `bytes`.
fn scale(bytes: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(bytes).min(bytes)
}

/// Whether some of it lies in bands that are missing or cut off.
fn is_lost(source: &dyn ReadAt) -> bool {
    let mut lost = false;
    let told = source.presence(0..source.len(), &mut |_, presence| {
        lost |= matches!(presence, Presence::Missing | Presence::Short);
    });
    told.is_ok() && lost
}
