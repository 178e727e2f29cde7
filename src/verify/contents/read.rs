//! Read one stream and say what is wrong with it.

use super::claims::Claims;
use super::names::Names;
use super::plan::{Item, What};
use super::queue::Queue;
use super::tally::{Compared, Tally, mismatch};
use super::{Counters, OpenView};
use crate::decmpfs;
use crate::error::{Error, Locus, Result};
use crate::fs::{FileSystem, Stream, ViewId};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{ReadAt, cut_off};
use crate::report::{Code, Finding, Progress, Reporter, Severity};
use crate::timemachine::checksum::{self, Cksum};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;
/// In files of this size it is looked whether they are stored at all, so much at a time:
/// a hostile or odd one may claim more than any disk has.
const LARGE: u64 = 1 << 30;
const WINDOW: u64 = 64 << 20;
/// How exactly the place is told from which on a file of several views cannot be read.
const SECTOR: u64 = 4096;

/// One of the threads that read.
pub(super) struct Reader<'a> {
    pub view: OpenView<'a>,
    /// The view that was read last.
    pub fs: Option<(ViewId, Arc<dyn FileSystem>)>,
    /// What was read, where several views may have the same.
    pub claims: Option<&'a Claims>,
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
        if let Err(e) = self.enter(item.view) {
            return self.unreadable(item, "its snapshot", e.into());
        }
        let (recorded, mut sound) = match item.has_xattrs {
            true => self.attributes(item)?,
            false => (Recorded::default(), true),
        };
        sound &= match item.what {
            What::Contents => self.contents(item, &recorded)?,
            What::Resource => self.resource(item, false)?,
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

    fn enter(&mut self, view: ViewId) -> Result<()> {
        if self.fs.as_ref().is_none_or(|(at, _)| *at != view) {
            self.fs = Some((view, (self.view)(view)?));
        }
        Ok(())
    }

    fn fs(&self) -> Result<Arc<dyn FileSystem>> {
        let none = || Error::NotFound("no view is open".into());
        self.fs.as_ref().map(|(_, fs)| fs.clone()).ok_or_else(none)
    }

    /// The parts of a stream that are to be read: those that no other stream shares that was
    /// read before. Of one that only makes sense as a whole, all or nothing.
    fn parts(&self, item: &Item, stream: &Stream, len: u64, at_once: bool) -> Vec<Range<u64>> {
        let all = whole(len);
        let (Some(claims), Ok(fs)) = (self.claims, self.fs()) else { return all };
        let Ok(extents) = fs.extents(item.node(), stream) else { return all };
        if !extents.iter().any(|e| e.at.is_some()) {
            return all;
        }
        let mut parts: Vec<Range<u64>> = Vec::new();
        for e in &extents {
            let Some(at) = e.at else { continue };
            for part in claims.take(at..at.saturating_add(e.length)) {
                let offset = |byte: u64| e.offset.saturating_add(byte - at).min(len);
                let part = offset(part.start)..offset(part.end);
                match parts.last_mut() {
                    Some(last) if last.end == part.start => last.end = part.end,
                    _ if part.is_empty() && !at_once => {}
                    _ => parts.push(part),
                }
            }
        }
        if at_once && !parts.is_empty() { all } else { parts }
    }

    /// Read the attributes that have blocks of their own, and what they record.
    fn attributes(&mut self, item: &Item) -> Result<(Recorded, bool)> {
        let (mut recorded, mut sound) = (Recorded::default(), true);
        let fs = self.fs()?;
        let list = match fs.xattrs(item.node()) {
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
            let stream = Stream::attribute(&x.name);
            if !checksum && (!x.own_blocks || self.parts(item, &stream, x.size, true).is_empty()) {
                continue;
            }
            match fs.xattr(item.node(), &x.name) {
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
        let source = match self.fs()?.open(item.node(), &Stream::Data) {
            Ok(source) => source,
            Err(e) => return self.bad_contents(item, e.into()),
        };
        let at_once = item.compressed || sum.is_some();
        let parts = self.parts(item, &Stream::Data, source.len(), at_once);
        // All of it was read, and compared, as another file or state of this one.
        sum = sum.filter(|_| !parts.is_empty());
        if let Some(failure) = self.through(&*source, &parts, item, sum.as_mut())? {
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
            self.tally.add(item, compared);
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
        let fork = self.fs()?.open(item.node(), &Stream::Resource).ok();
        let fork = fork.filter(|_| item.compressed).filter(|fork| !fork.is_empty());
        if let Some(fork) = &fork {
            let mut sum = Cksum::default();
            let failed = self.through(&**fork, &whole(fork.len()), item, Some(&mut sum))?;
            if failed.is_none() && sum.finish() == recorded {
                return Ok(Compared::Agrees);
            }
        }
        let stored = fork.as_deref().unwrap_or(source);
        let lost = cut_off(stored, 0..stored.len()).is_some();
        if lost {
            let more = "; part of it lies in bands that are missing or cut off";
            let place = self.names.place(item.view, item.node());
            self.reporter.report(mismatch(place, recorded, found, more));
        }
        Ok(Compared::Differs { recorded, found, lost })
    }

    /// A file that is marked as compressed and was read as it is stored, because it has
    /// no compression header.
    fn marked_only(&mut self, item: &Item, len: u64) -> Result<bool> {
        match self.fs()?.metadata(item.node()) {
            Ok(meta) if !meta.compressed => {}
            _ => return Ok(true),
        }
        let text = "it is marked as compressed but has no compression header";
        // With contents of its own it reads fine, here and on a Mac.
        let severity = if len == 0 { Severity::Damage } else { Severity::Info };
        self.report_as(severity, Code::FileDecmpfs, item, None, text);
        let sound = self.resource(item, true)?;
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

    /// Read the resource fork; `all` of it, also what was read as another's or as contents.
    fn resource(&mut self, item: &Item, all: bool) -> Result<bool> {
        let failure = match self.fs()?.open(item.node(), &Stream::Resource) {
            Ok(source) => {
                let parts = match all {
                    true => whole(source.len()),
                    false => self.parts(item, &Stream::Resource, source.len(), false),
                };
                self.through(&*source, &parts, item, None)?
            }
            Err(e) => Some(e.into()),
        };
        match failure {
            None => Ok(true),
            Some(failure) => self.unreadable(item, "its resource fork", failure),
        }
    }

    fn link(&mut self, item: &Item) -> Result<bool> {
        let target = match self.fs()?.read_link(item.node()) {
            Ok(target) => target,
            Err(e) => return self.unreadable(item, "its target", e.into()),
        };
        self.progress.advance(item.bytes);
        // No system can make a link to such a one.
        let damage = Severity::Damage;
        let (severity, wrong) = if target.is_empty() {
            (damage, "is empty")
        } else if target.contains(&0) {
            (damage, "holds a zero byte")
        } else if std::str::from_utf8(&target).is_err() {
            (Severity::Warning, "is not UTF-8")
        } else if to_u64(target.len()) < item.bytes {
            let text = "the length of the link's target counts a final zero byte";
            self.report_as(Severity::Info, Code::SymlinkBad, item, None, text);
            return Ok(true);
        } else {
            return Ok(true);
        };
        let text = format!("the target of the link {wrong}");
        self.report_as(severity, Code::SymlinkBad, item, None, &text);
        Ok(false)
    }

    /// Read these parts of a stream, or until it cannot be read.
    fn through(
        &mut self,
        source: &dyn ReadAt,
        parts: &[Range<u64>],
        item: &Item,
        mut sum: Option<&mut Cksum>,
    ) -> Result<Option<Failure>> {
        let len = source.len();
        if len > self.volume_len && !item.compressed {
            let text = format!("its {len} bytes are more than the volume has");
            return Ok(Some(Error::corrupt("stream", text).into()));
        }
        let mut buf = std::mem::take(&mut self.buf);
        let (mut told, mut failure) = (0, None);
        for part in parts {
            failure = self.part(source, part, item, (&mut buf, &mut told), sum.as_deref_mut())?;
            if failure.is_some() || self.cut {
                break;
            }
        }
        if failure.is_none() && !self.cut {
            // What was read before as another's.
            self.progress.advance(item.bytes.saturating_sub(told));
        }
        self.buf = buf;
        Ok(failure)
    }

    /// Read one part. `told`: what of the item's bytes was told of as progress.
    fn part(
        &mut self,
        source: &dyn ReadAt,
        part: &Range<u64>,
        item: &Item,
        (buf, told): (&mut Vec<u8>, &mut u64),
        mut sum: Option<&mut Cksum>,
    ) -> Result<Option<Failure>> {
        let (len, mut at) = (source.len(), part.start);
        let end = part.end.min(len);
        while at < end {
            self.progress.check()?;
            if self.queue.is_late() {
                self.cut = true;
                return Ok(None);
            }
            if at.is_multiple_of(WINDOW) && end - at >= WINDOW && len >= LARGE {
                let absent = absent(source, at..at + WINDOW);
                if absent > 0 {
                    sum.iter_mut().for_each(|sum| sum.zeros(absent));
                    at += absent;
                    continue;
                }
            }
            let n = (end - at).min(PIECE);
            // The queue knows where the first piece is.
            if at > 0 && item.first != u64::MAX {
                let position = item.first.saturating_add(scale(item.bytes, at, len));
                self.queue.at(self.thread, position)?;
            }
            buf.resize(to_usize(n), 0);
            if let Err(error) = source.read_at(buf, at) {
                let exactly = self.claims.is_some() && !item.compressed;
                let at = if exactly { first_bad(source, at..at + n) } else { at };
                let place = (!item.compressed).then(|| source.locate(at)).flatten();
                return Ok(Some(Failure { error, place }));
            }
            if let Some(sum) = sum.as_deref_mut() {
                sum.update(buf);
            }
            at += n;
            let now = scale(item.bytes, at, len);
            self.progress.advance(now.saturating_sub(*told));
            *told = now.max(*told);
        }
        Ok(None)
    }

    /// Say why the contents cannot be had; of compressed ones the stored bytes are read
    /// all the same, which tells bad compression from a bad disk.
    fn bad_contents(&mut self, item: &Item, failure: Failure) -> Result<bool> {
        let decoding = matches!(failure.error, Error::Corrupt(_) | Error::Unsupported(_));
        if !item.compressed || !decoding {
            return self.unreadable(item, "its contents", failure);
        }
        if !self.resource(item, true)? {
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
        let place = self.names.place(item.view, item.node()).at(at);
        let name = place.path.clone().unwrap_or_else(|| format!("object {}", item.id));
        let finding = Finding::new(code, place, format!("{name}: {text}"));
        self.reporter.report(finding.severity(severity));
    }
}

/// How many bytes of a stream from the start of `range` on are zeros as nothing is stored: all
/// of the range or none. That they should be is found by the look for lost bands.
fn absent(source: &dyn ReadAt, range: Range<u64>) -> u64 {
    let mut stored = false;
    let told = source.presence(range.clone(), &mut |_, how| stored |= !how.is_zeros());
    if stored || told.is_err() { 0 } else { range.end - range.start }
}

/// All of a stream, as its parts.
fn whole(len: u64) -> Vec<Range<u64>> {
    std::iter::once(0..len).collect()
}

/// The first place in a range that cannot be read.
fn first_bad(source: &dyn ReadAt, range: Range<u64>) -> u64 {
    let mut buf = [0; 4096];
    let mut at = range.start;
    while at < range.end {
        let n = SECTOR.min(range.end - at);
        let piece = buf.get_mut(..to_usize(n)).unwrap_or_default();
        if source.read_at(piece, at).is_err() {
            return at;
        }
        at += n;
    }
    range.start
}

/// `part` of `of`, as a share of `bytes`.
fn scale(bytes: u64, part: u64, of: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(bytes).min(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Presence, PresenceVisitor};

    struct As(Presence);

    impl ReadAt for As {
        fn len(&self) -> u64 {
            WINDOW
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> Result<()> {
            unreachable!()
        }
        fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
            visit(range.start..range.start + 512, Presence::Hole);
            visit(range.start + 512..range.end, self.0);
            Ok(())
        }
    }

    /// A checksum is worked out over what is taken for zeros.
    #[test]
    fn what_is_unreadable_is_not_taken_for_zeros() {
        assert_eq!(absent(&As(Presence::Missing), 0..WINDOW), WINDOW);
        assert_eq!(absent(&As(Presence::Unwritten), 0..WINDOW), WINDOW);
        assert_eq!(absent(&As(Presence::Stored), 0..WINDOW), 0);
        assert_eq!(absent(&As(Presence::Unreadable), 0..WINDOW), 0);
    }
}
