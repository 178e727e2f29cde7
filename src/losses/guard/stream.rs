//! Streams of files that never give zeros in the place of lost bytes.

use super::{Guard, NO_ZEROS, Policy};
use crate::error::{Locus, Result};
use crate::fs::xattr::RESOURCE_FORK;
use crate::fs::{Extent, NodeId, Stream, link_target};
use crate::io::bytes::{all_zero, to_u64};
use crate::io::{PresenceVisitor, ReadAt, Source};
use crate::losses::checksum::{Recorded, recorded};
use crate::losses::evidence::Run;
use crate::losses::rule::{Judged, Standing};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Zeros are looked for in pieces of this size: no server's file system has smaller holes.
const SECTOR: usize = 512;
/// Largest files whose contents are read to compare them with their recorded checksum: where
/// zeros are plausible, and where they are not.
const MAX_PLAUSIBLE: u64 = 256 << 20;
const MAX_DOUBTED: u64 = 16 << 30;
/// What decided against zeros.
const DIFFERS: &str = "the file's recorded checksum does not fit zeros there";

/// What a stream gave as zeros though they may be, or are, lost bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// [`Standing::Doubtful`] or, under [`Policy::Zeros`], [`Standing::Lost`].
    pub standing: Standing,
    /// How many of the bytes that were read so far.
    pub bytes: u64,
    /// Where the first of them lie and why they are doubted, one sentence.
    pub why: String,
    /// The band, of a bundle.
    pub band: Option<String>,
}

/// Bytes that are watched over while they are read.
pub trait Watched: ReadAt {
    /// What was given so far though it is doubtful.
    fn doubt(&self) -> Option<Doubt>;
}

/// Called with an absent part of a stream: its first byte on the volume, its bytes in the
/// stream, the run they are in, and what is thought of it.
type AbsentVisitor<'a> = &'a mut dyn FnMut(u64, Range<u64>, &Run, &Judged) -> Result<()>;

/// A stream under guard.
pub struct Guarded {
    guard: Arc<Guard>,
    pub(super) node: NodeId,
    pub(super) stream: Stream,
    inner: Source,
    compressed: bool,
    extents: Vec<Extent>,
    /// Bytes of the extents that belong to the stream.
    stored: u64,
    doubt: Mutex<Option<Doubt>>,
    /// What the file's recorded checksum says of it with zeros.
    recorded: OnceLock<Recorded>,
}

impl Guard {
    /// Open a stream. Reading lost bytes is [`Error::Lost`](crate::Error::Lost) (see [`Policy`]);
    /// doubtful ones
    /// are given as zeros, and [`Guarded::doubt`] tells of them.
    ///
    /// # Errors
    /// As for [`FileSystem::open`](crate::fs::FileSystem::open);
    /// [`Error::Lost`](crate::Error::Lost) where that failed because of lost bytes,
    /// and for a compressed file of which anything is lost.
    pub fn open(self: &Arc<Self>, node: NodeId, stream: &Stream) -> Result<Arc<Guarded>> {
        let meta = self.fs.metadata(node)?;
        // Packed bytes are never zeros, and one that is missing spoils more.
        let compressed = meta.compressed && !matches!(stream, Stream::Attribute(_));
        let extents = self.fs.extents(node, stream)?;
        let guarded = |inner: Source, stored| Guarded {
            guard: self.clone(),
            node,
            stream: stream.clone(),
            inner,
            compressed,
            extents,
            stored,
            doubt: Mutex::default(),
            recorded: OnceLock::new(),
        };
        match self.fs.open(node, stream) {
            Ok(inner) => {
                let stored = if compressed { u64::MAX } else { inner.len() };
                let stream = guarded(inner, stored);
                if compressed {
                    stream.check_stored()?;
                }
                Ok(Arc::new(stream))
            }
            Err(e) => {
                // Perhaps because of lost bytes: only what is stored is asked.
                guarded(Arc::new(crate::io::Memory::default()), u64::MAX).check_stored()?;
                Err(e)
            }
        }
    }

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// [`Error::Lost`](crate::Error::Lost) if it is not stored, whatever the policy: a target is
    /// never zeros;
    /// [`Error::Corrupt`](crate::Error::Corrupt) if zeros are stored. As for
    /// [`FileSystem::read_link`](crate::fs::FileSystem::read_link).
    pub fn read_link(self: &Arc<Self>, node: NodeId) -> Result<Vec<u8>> {
        let target = self.open(node, &Stream::Data)?;
        target.check_dense()?;
        link_target(&*self.fs, node)
    }

    /// Value of an extended attribute, and what of it was given though it is doubtful; `None` if
    /// there is none of that name.
    ///
    /// # Errors
    /// [`Error::Lost`](crate::Error::Lost) if it has blocks of its own that are not stored (see
    /// [`Policy`]); as for
    /// [`FileSystem::xattr`](crate::fs::FileSystem::xattr).
    pub fn xattr(
        self: &Arc<Self>,
        node: NodeId,
        name: &str,
    ) -> Result<Option<(Vec<u8>, Option<Doubt>)>> {
        let Some(mut value) = self.fs.xattr(node, name)? else { return Ok(None) };
        if !value.chunks(SECTOR).any(all_zero) {
            return Ok(Some((value, None)));
        }
        // A fork may have zeros where other attributes have none.
        let stream = match name {
            RESOURCE_FORK => Stream::Resource,
            _ => Stream::attribute(name),
        };
        let stream = self.open(node, &stream)?;
        stream.read_at(&mut value, 0)?;
        Ok(Some((value, stream.doubt())))
    }
}

impl Watched for Guarded {
    fn doubt(&self) -> Option<Doubt> {
        Self::doubt(self)
    }
}

impl Guarded {
    /// What was given so far though it is doubtful.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What can be said of a range of the stream, the worst of its parts.
    ///
    /// # Errors
    /// Of reading what is needed to tell.
    pub fn standing(&self, range: Range<u64>) -> Result<Standing> {
        let mut worst = Standing::Stored;
        self.absent_parts(range, &mut |_, _, _, judged| {
            worst = worst.max(judged.standing);
            Ok(())
        })?;
        Ok(worst)
    }

    /// Whether a range of the volume belongs to this stream alone and is not all of it.
    pub(super) fn holds_all(&self, range: &Range<u64>) -> bool {
        let len = range.end - range.start;
        let inside = |e: &Extent| {
            let Some(at) = e.at else { return false };
            let end = at.saturating_add(e.length.min(self.stored.saturating_sub(e.offset)));
            at <= range.start && range.end <= end
        };
        !self.compressed
            && self.stored != u64::MAX
            && len < self.stored
            && self.extents.iter().any(inside)
    }

    /// An error if anything of what is stored for the stream is absent and not free.
    fn check_stored(&self) -> Result<()> {
        self.check_as(self.compressed)
    }

    /// The same of what is never zeros.
    fn check_dense(&self) -> Result<()> {
        self.check_as(true)
    }

    fn check_as(&self, dense: bool) -> Result<()> {
        self.absent_parts(0..self.stored, &mut |offset, part, run, judged| {
            let doubtful = judged.standing == Standing::Doubtful && dense;
            if judged.standing < Standing::Lost && !doubtful {
                return Ok(());
            }
            let packed = if self.compressed { NO_ZEROS } else { "" };
            let why = format!("{} ({}{packed})", self.guard.describe(run), judged.why);
            Err(self.guard.lost(offset, part, why))
        })
    }

    /// Visit the absent parts of a range of the stream: first byte on the volume, bytes of
    /// the stream, the run they are in, and what is thought of it.
    fn absent_parts(&self, range: Range<u64>, visit: AbsentVisitor<'_>) -> Result<()> {
        for extent in &self.extents {
            let end = extent.offset.saturating_add(extent.length).min(range.end).min(self.stored);
            let from = extent.offset.max(range.start);
            if from >= end {
                continue;
            }
            let Some(at) = extent.at.and_then(|at| at.checked_add(from - extent.offset)) else {
                continue;
            };
            let mut absent = Vec::new();
            self.guard.bytes.presence(at..at + (end - from), &mut |part, how| {
                if how.is_absent() {
                    absent.push(part);
                }
            })?;
            for part in absent {
                self.guard.runs(self, part, &mut |piece, run, judged| {
                    let within = from + (piece.start - at)..from + (piece.end - at);
                    visit(piece.start, within, run, judged)
                })?;
            }
        }
        Ok(())
    }

    /// Look at what was read as zeros.
    fn judge_zeros(&self, range: Range<u64>) -> Result<()> {
        self.absent_parts(range, &mut |offset, part, run, judged| {
            let Some(doubt) = self.doubt_about(offset, &part, run, judged) else { return Ok(()) };
            if doubt.standing == Standing::Lost && self.guard.policy == Policy::Fail {
                let all = self.all_of(&part, run);
                return Err(self.guard.lost(offset, all, doubt.why));
            }
            add(&mut self.doubt.lock().unwrap_or_else(PoisonError::into_inner), doubt);
            Ok(())
        })
    }

    /// All of the stream in one piece that lies in a run, where `part` of it does.
    fn all_of(&self, part: &Range<u64>, run: &Run) -> Range<u64> {
        let all = |e: &Extent| {
            let at = e.at?;
            let end = at.checked_add(e.length)?.min(run.range.end);
            let start = at.max(run.range.start);
            let range = e.offset + start.checked_sub(at)?..e.offset + end.checked_sub(at)?;
            range.contains(&part.start).then(|| range.start..range.end.min(self.stored))
        };
        self.extents.iter().find_map(all).unwrap_or_else(|| part.clone())
    }

    /// What there will be to say of the stream when all of it is read; its recorded checksum
    /// is asked only where zeros are doubted.
    ///
    /// # Errors
    /// Of reading what is needed to tell.
    pub fn outlook(&self) -> Result<Option<Doubt>> {
        let mut all = None;
        self.absent_parts(0..self.stored, &mut |offset, part, run, judged| {
            if judged.standing > Standing::Free
                && let Some(doubt) = self.doubt_about(offset, &part, run, judged)
            {
                add(&mut all, doubt);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// What is to be said of zeros in the place of an absent part; `None` if nothing.
    fn doubt_about(
        &self,
        offset: u64,
        part: &Range<u64>,
        run: &Run,
        judged: &Judged,
    ) -> Option<Doubt> {
        let standing = self.decided(judged.standing);
        if standing <= Standing::Free {
            return None;
        }
        let decided = standing == Standing::Lost && judged.standing != Standing::Lost;
        let reason = if decided { DIFFERS } else { &judged.why };
        let why = format!("{} ({reason})", self.guard.describe(run));
        let band = self.guard.band(offset).map(|b| b.name);
        Some(Doubt { standing, bytes: part.end - part.start, why, band })
    }

    /// A standing after the file's recorded checksum was asked, if that does not cost too much.
    fn decided(&self, standing: Standing) -> Standing {
        let most = match standing {
            Standing::Stored => 0,
            Standing::Free => MAX_PLAUSIBLE,
            Standing::Doubtful | Standing::Lost => MAX_DOUBTED,
        };
        if self.stream != Stream::Data || self.compressed || self.len() > most {
            return standing;
        }
        let known = *self.recorded.get_or_init(|| {
            recorded(&*self.guard.fs, self.node, &*self.inner).unwrap_or(Recorded::None)
        });
        match known {
            Recorded::Fits => Standing::Free,
            Recorded::Differs => Standing::Lost,
            Recorded::None => standing,
        }
    }
}

impl ReadAt for Guarded {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, offset)?;
        if self.compressed {
            return Ok(());
        }
        // Only zeros can be absent, and most of what is read has none.
        for zeros in zero_runs(buf, offset) {
            self.judge_zeros(zeros)?;
        }
        Ok(())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        self.inner.presence(range, visit)
    }

    fn skip(&self, range: Range<u64>) -> Result<()> {
        if self.compressed { Ok(()) } else { self.judge_zeros(range) }
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.inner.locate(offset)
    }
}

/// Add a doubt to those before: the first one's words stay.
pub(in crate::losses) fn add(all: &mut Option<Doubt>, doubt: Doubt) {
    match all {
        None => *all = Some(doubt),
        Some(told) => {
            told.standing = told.standing.max(doubt.standing);
            told.bytes += doubt.bytes;
        }
    }
}

/// The runs of zeros in what was read from `offset` on, in whole sectors as far as it goes.
pub(in crate::losses) fn zero_runs(buf: &[u8], offset: u64) -> Vec<Range<u64>> {
    let ahead = (SECTOR - crate::io::bytes::to_usize(offset % to_u64(SECTOR))).min(buf.len());
    let (head, rest) = buf.split_at(ahead);
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut at = offset;
    for piece in std::iter::once(head).chain(rest.chunks(SECTOR)) {
        let end = at + to_u64(piece.len());
        if !piece.is_empty() && all_zero(piece) {
            match runs.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => runs.push(at..end),
            }
        }
        at = end;
    }
    runs
}
