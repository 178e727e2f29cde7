//! One run over the bands.

use super::file::{Entry, Found, Header, Manifest, Stamp, put_aside};
use super::hash::{Clock, Hasher, PIECE, Read, stamp};
use super::judge::{Change, Reading, judge};
use super::known::OLD;
use super::plan::Plan;
use super::{Bands as Counts, Options};
use crate::bundle::{BandListing, Bands};
use crate::error::{Error, Result};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::threads;
use crate::report::words::plural;
use crate::report::{Code, Finding, Progress, Reporter, Severity, Structure, Unit, Where};
use crate::state::{Identity, refuse_inside};
use crate::verify::Subset;
use crate::volume::Layout;
use rustix::fs::{AtFlags, FileType, statat};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What was read is kept at least this often.
const KEEP: Duration = Duration::from_secs(30);
/// Bytes of bands that are read together, so that several threads have work, when
/// somebody else's reading sets the pace; and between two looks at the clock.
const TOGETHER: u64 = 128 << 20;
/// As far behind the bands somebody may read who goes along.
const BEHIND: u64 = 64 << 20;
/// Larger bands than this are not kept whole for him.
const MOST_KEPT: u64 = 256 << 20;
/// How often a band is read that changes meanwhile.
const ATTEMPTS: u32 = 3;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// A run over the bands of a bundle: [`ManifestRun::new`] chooses what to read,
/// [`ManifestRun::advance_to`] reads it up to a place on the disk, so that another pass
/// that reads in disk order finds in the server's cache what was read here, and
/// [`ManifestRun::finish`] reads the rest and keeps the result. Whatever ends it, what
/// was read by then is kept.
pub struct ManifestRun<'a> {
    hasher: Hasher<'a>,
    reporter: &'a dyn Reporter,
    path: PathBuf,
    header: Header,
    entries: BTreeMap<u64, Entry>,
    /// The bands that are there.
    present: BTreeMap<u64, Stamp>,
    /// Bands that are something else than files, or that the system tells nothing of.
    odd: Vec<u64>,
    plan: Plan,
    /// How many of the plan's due bands were read.
    done: usize,
    /// Bands that changed while they were read.
    moved: Vec<u64>,
    /// How long to read what did not change, and from when on.
    time: Option<Duration>,
    reading_since: Option<Instant>,
    kept: Instant,
    counts: Counts,
    worst: Option<Severity>,
    /// Somebody who reads files goes along.
    along: bool,
}

impl<'a> ManifestRun<'a> {
    /// Read the manifest, look at all bands, and choose those to read.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a file that lies in the bundle, is no manifest, or is
    /// another bundle's; [`Error::Io`], [`Error::Unsupported`], [`Error::Interrupted`].
    pub fn new(
        layout: &Layout,
        listing: &BandListing,
        options: &Options,
        reporter: &'a dyn Reporter,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let disk = layout.disk();
        let (Some(bundle), Some(identity)) = (disk.bundle(), Identity::of(layout)) else {
            return Err(Error::Invalid(format!("{}: only a bundle has bands", disk.name())));
        };
        // A link that the user named shall lead there still afterwards.
        let path = std::fs::canonicalize(&options.file).unwrap_or_else(|_| options.file.clone());
        refuse_inside(&path, bundle.path())?;
        let bands = bundle.bands();
        let path_only = identity.is_path_only();
        let head = Header { identity, band_size: bands.band_size(), ..Header::default() };
        let (mut manifest, opened) = open(&path, options.ours, head)?;
        manifest.header.run = manifest.header.run.saturating_add(1);
        let (present, odd) = look(&bands, listing, progress)?;
        let plan = Plan::new(&present, &manifest.entries, options.read);
        let started = Instant::now();
        let time = match options.read {
            Subset::Time(time) => Some(time),
            _ => None,
        };
        let clock = Clock { began: options.now, started };
        let counts = Counts {
            file: path.display().to_string(),
            path_only,
            bands: to_u64(listing.present.len()),
            unreadable: to_u64(odd.len()),
            ..Counts::default()
        };
        let mut run = Self {
            hasher: Hasher { bands, jobs: threads(options.jobs), clock, progress },
            reporter,
            path,
            header: manifest.header,
            entries: manifest.entries,
            present,
            odd,
            plan,
            done: 0,
            moved: Vec::new(),
            time,
            reading_since: None,
            kept: started,
            counts,
            worst: None,
            along: false,
        };
        if matches!(opened, Opened::New) {
            // Better now than after hours that it cannot be written.
            run.keep()?;
        }
        if let Some(why) = run.header.restarted.clone() {
            run.report(Code::ManifestRestarted, Where::of(Structure::Manifest), why);
        }
        run.tell_again();
        Ok(run)
    }

    /// Report once more what an earlier run found and was ended before it told.
    fn tell_again(&mut self) {
        let untold = |e: &&Entry| e.is(Entry::UNTOLD) && self.present.contains_key(&e.index);
        let untold: Vec<u64> = self.entries.values().filter(untold).map(|e| e.index).collect();
        for index in untold {
            self.rewritten(index);
        }
    }

    /// Read the bands that are due up to the one that holds the byte at `offset` of the
    /// disk, and a little further. Costs nothing when there are none.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; what was read by then is kept.
    pub fn advance_to(&mut self, offset: u64) -> Result<()> {
        if !std::mem::replace(&mut self.along, true) {
            // Who goes along reads at most so far behind.
            let whole = self.hasher.bands.band_size().min(MOST_KEPT);
            let most = TOGETHER.max(whole).saturating_add(BEHIND);
            self.hasher.bands.kept().begin(to_usize(most), PIECE);
        }
        let size = self.hasher.bands.band_size();
        let left = self.plan.due.get(self.done..).unwrap_or_default();
        let Some(first) = left.first().filter(|first| **first <= offset / size) else {
            return Ok(());
        };
        let last = (offset / size).max(first.saturating_add(TOGETHER / size));
        let batch: Vec<u64> = left.iter().copied().take_while(|i| *i <= last).collect();
        self.done += batch.len();
        self.read(&batch)
    }

    /// From now on nobody goes along: what is left has its own progress.
    pub fn alone(&mut self, progress: &'a dyn Progress) {
        self.hasher.bands.kept().begin(0, PIECE);
        (self.hasher.progress, self.reading_since) = (progress, None);
    }

    /// Bytes that are to be read.
    pub fn due(&self) -> u64 {
        let left = self.plan.due.get(self.done..).unwrap_or_default();
        let sizes = left.iter().filter_map(|i| self.present.get(i)).map(|stamp| stamp.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Read what is left, judge what is gone, and keep the result. Given with it is how
    /// bad the worst is that was reported.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; what was read by then is kept.
    pub fn finish(mut self) -> Result<(Counts, Option<Severity>)> {
        let left = self.plan.due.get(self.done..).unwrap_or_default().to_vec();
        self.read(&left)?;
        self.spare()?;
        self.again()?;
        self.gone();
        if let Err(e) = self.keep() {
            self.report(Code::ManifestUnwritten, Where::of(Structure::Manifest), e.to_string());
        }
        let untold = self.entries.values().any(|e| e.is(Entry::UNTOLD));
        self.counts.untold = untold || self.header.restarted.is_some();
        let known = self.present.keys().map(|i| self.entries.get(i).map(|e| e.read));
        self.counts.oldest_read = known.min().flatten();
        Ok((self.counts, self.worst))
    }

    /// Write the manifest as it stands: for a caller that gives up without finishing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep(&mut self) -> Result<()> {
        self.kept = Instant::now();
        let entries = std::mem::take(&mut self.entries);
        let manifest = Manifest { header: self.header.clone(), entries };
        self.hasher.progress.saving(true);
        let written = manifest.write(&self.path);
        self.hasher.progress.saving(false);
        self.entries = manifest.entries;
        written
    }

    fn read(&mut self, batch: &[u64]) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.reading_since.is_none() {
            self.reading_since = Some(Instant::now());
            let batch = batch.iter().filter_map(|i| self.present.get(i));
            let bytes = batch.map(|stamp| stamp.size).fold(self.due(), u64::saturating_add);
            self.hasher.progress.phase("hashing the bands", bytes, Unit::Bytes);
        }
        let hasher = self.hasher.clone();
        let result = hasher.run(batch, |index, read| self.take(index, read));
        if result.is_err() {
            self.keep_or_warn();
        }
        result
    }

    /// Keep what was read by now. The end of the run tells if that is not possible.
    fn keep_or_warn(&mut self) {
        if let Err(e) = self.keep() {
            tracing::warn!("{e}");
        }
    }

    /// While there is time, read those unread for longest.
    fn spare(&mut self) -> Result<()> {
        let since = self.reading_since.unwrap_or_else(Instant::now);
        let Some(deadline) = self.time.and_then(|time| since.checked_add(time)) else {
            return Ok(());
        };
        let spare = std::mem::take(&mut self.plan.spare);
        if !spare.is_empty() && Instant::now() < deadline {
            self.hasher.progress.phase("hashing the bands", 0, Unit::Bytes);
        }
        let together = TOGETHER / self.hasher.bands.band_size();
        let round = crate::io::bytes::to_usize(together).max(self.hasher.jobs);
        for part in spare.chunks(round) {
            if Instant::now() >= deadline {
                break;
            }
            let mut part = part.to_vec();
            part.sort_unstable();
            self.read(&part)?;
        }
        Ok(())
    }

    /// Read those again that changed while they were read.
    fn again(&mut self) -> Result<()> {
        for _ in 1..ATTEMPTS {
            let mut moved = std::mem::take(&mut self.moved);
            if moved.is_empty() {
                return Ok(());
            }
            let until = Instant::now() + PAUSE;
            while Instant::now() < until {
                std::thread::sleep(PAUSE / 20);
                if let Err(stopped) = self.hasher.progress.check() {
                    self.keep_or_warn();
                    return Err(stopped);
                }
            }
            moved.sort_unstable();
            self.read(&moved)?;
        }
        self.counts.moving = to_u64(self.moved.len());
        Ok(())
    }

    fn take(&mut self, index: u64, read: Read) {
        match read {
            Read::Done { stamp, hash, began, bytes } => {
                let reading = Reading { index, stamp, hash, began, run: self.header.run };
                let (change, entry) =
                    judge(self.entries.get(&index).filter(|e| !e.is(Entry::GIVEN)), reading);
                self.count(index, change, bytes);
                self.entries.insert(index, entry);
            }
            Read::Moved => self.moved.push(index),
            // The check of the bundle opens every band, too, and reports it.
            Read::Unopened => self.counts.unreadable += 1,
            Read::Failed(e, bad) => {
                self.counts.unreadable += 1;
                self.unreadable(index, &e, &bad);
            }
        }
        if self.kept.elapsed() >= KEEP {
            self.keep_or_warn();
        }
    }

    fn count(&mut self, index: u64, change: Change, bytes: u64) {
        let counts = &mut self.counts;
        counts.read += 1;
        counts.read_bytes += bytes;
        match change {
            Change::Same => {}
            Change::New => counts.new += 1,
            Change::Touched => counts.touched += 1,
            Change::Changed => counts.changed += 1,
            Change::Healed => counts.healed += 1,
            Change::Rewritten => self.rewritten(index),
            Change::Rotten => {
                counts.rotten += 1;
                let text = "its bytes differ from those read before, though nobody wrote to it: \
                            size and times are the same";
                self.report_band(Code::BandRot, index, format!("band {index:x}: {text}"));
            }
        }
    }

    /// Tell which bytes cannot be read: what they cost is less than what the band costs.
    fn unreadable(&mut self, index: u64, e: &Error, bad: &[Range<u64>]) {
        if bad.is_empty() {
            let denied = e.is_denied();
            let code = if denied { Code::BandDenied } else { Code::BandUnreadable };
            self.report_band(code, index, e.to_string());
        }
        let band = self.hasher.bands.range(index);
        for part in bad {
            let (start, len) = (band.start.saturating_add(part.start), part.end - part.start);
            let place = Where::of(Structure::Band).band(Bands::name(index)).length(len);
            let text = format!("{} from byte {} on: {e}", plural(len, "byte", "bytes"), part.start);
            self.report(Code::BandSector, Where { offset: Some(start), ..place }, text);
        }
    }

    fn rewritten(&mut self, index: u64) {
        self.counts.rewritten += 1;
        let text = "other bytes under the same size and modification time, but its time of change \
                    differs: it was rewritten";
        self.report_band(Code::BandRewritten, index, format!("band {index:x}: {text}"));
    }

    /// Tell of the bands that are no longer there, if nothing else changed: a Mac that drops
    /// bands writes to others. Those that it may have dropped are not told of; that they were
    /// there speaks against zeros in their place for a while, and then is forgotten.
    fn gone(&mut self) {
        let quiet = !self.plan.written && self.moved.is_empty();
        let (mut gone, mut absent) = (Vec::new(), Vec::new());
        let (present, odd, now) = (&self.present, &self.odd, self.hasher.clock.began);
        self.entries.retain(|index, entry| {
            if present.contains_key(index) || odd.binary_search(index).is_ok() {
                return true;
            }
            absent.push(*index);
            if !entry.is(Entry::GIVEN) {
                gone.push(*index);
                if !quiet {
                    // From now on it is evidence for a while, however long ago it was read.
                    (entry.flags, entry.read) = (entry.flags | Entry::GIVEN, now);
                }
            }
            quiet || now.saturating_sub(entry.read) <= OLD
        });
        self.counts.gone = to_u64(gone.len());
        self.counts.gone_bands = absent;
        if quiet {
            for index in gone {
                let text = "it was there at an earlier run and is gone, though nothing else in the \
                            bundle changed";
                self.report_band(Code::BandGone, index, format!("band {index:x}: {text}"));
            }
        }
    }

    /// Report something about a whole band.
    fn report_band(&mut self, code: Code, index: u64, text: String) {
        let place = self.hasher.bands.place(index);
        self.report(code, place, text);
    }

    fn report(&mut self, code: Code, place: Where, text: String) {
        let finding = Finding::new(code, place, text);
        self.worst = self.worst.max(Some(finding.severity));
        self.reporter.report(finding);
    }
}

/// How a manifest was found.
enum Opened {
    Known,
    New,
}

/// Size and times of every band that is a regular file; and the others, which are the
/// business of the bundle's own check.
fn look(
    bands: &Bands,
    listing: &BandListing,
    progress: &dyn Progress,
) -> Result<(BTreeMap<u64, Stamp>, Vec<u64>)> {
    let (mut present, mut odd) = (BTreeMap::new(), Vec::new());
    for (n, index) in listing.present.iter().enumerate() {
        if n.is_multiple_of(1024) {
            progress.check()?;
        }
        let stat = statat(bands.dir(), Bands::name(*index), AtFlags::SYMLINK_NOFOLLOW);
        if let Ok(stat) = stat
            && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        {
            present.insert(*index, stamp(&stat));
        } else {
            odd.push(*index);
        }
    }
    Ok((present, odd))
}

/// Read the manifest, or begin one with `head`. One that cannot be used is put aside.
/// `ours`: the user did not name the file.
fn open(path: &Path, ours: bool, head: Header) -> Result<(Manifest, Opened)> {
    let shown = path.display();
    let why = match Manifest::read(path)? {
        Found::Nothing => None,
        Found::Damaged(why) => Some(why),
        Found::Foreign if ours => Some("it is not a manifest".into()),
        Found::Foreign => {
            let text = format!("{shown} is not a manifest of bands; it was left as it is");
            return Err(Error::Invalid(text));
        }
        Found::Manifest(m) if m.header.identity.matches(&head.identity) == Some(false) => {
            return Err(Error::Invalid(format!("{shown} is the manifest of another bundle")));
        }
        Found::Manifest(mut m) if m.header.band_size == head.band_size => {
            m.header.identity = head.identity.with(&m.header.identity);
            return Ok((m, Opened::Known));
        }
        Found::Manifest(m) => {
            let (had, has) = (m.header.band_size, head.band_size);
            Some(format!("it is of bands of {had} bytes, and the bundle now has {has}"))
        }
    };
    let mut header = head;
    if let Some(why) = why {
        let aside = put_aside(path)?;
        let aside = aside.display();
        let text = format!("{shown}: {why}; it was put aside as {aside} and begun anew");
        header.restarted = Some(text);
    }
    Ok((Manifest { header, entries: BTreeMap::new() }, Opened::New))
}
