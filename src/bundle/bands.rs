//! The bands as one run of bytes.

use super::changes::Opened;
use super::kept::Kept;
use super::listing::band_index;
use super::memory_map::Maps;
use super::{BandListing, FileError, Info, open_seen};
use crate::error::{BandLocus, Error, Locus, Result};
use crate::io::bytes::{to_u64, to_usize};
use crate::io::{
    Access, FailedRead, Meter, Presence, PresenceVisitor, ReadAt, check_range, open_untrusted_dir,
    visit_holes,
};
use crate::report::{Structure, Where};
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Band files kept open, where the limit of descriptors allows.
const OPEN_BANDS: usize = 256;

/// What was seen of a band's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its length in bytes.
    pub len: u64,
    /// Whether so many bytes are allocated for it that it has no holes.
    pub whole: bool,
}

/// The bands of a bundle: band `n` holds bytes `n * band_size` and on.
///
/// A band is opened when it is first read; the most used ones stay open. A
/// missing band and what lies past the end of a short one read as zeros; a band
/// that is there but cannot be read is an error.
pub struct Bands {
    bundle: OwnedFd,
    dir: OwnedFd,
    /// The bands that were there when the bundle was opened, ascending.
    there: Vec<u64>,
    /// What a pass over all bands saw of each, so that none is looked up again for it.
    seen: OnceLock<HashMap<u64, Seen>>,
    path: String,
    band_size: u64,
    size: u64,
    open: Cache<u64, Option<Arc<File>>>,
    pub(super) opened: Opened,
    meter: Arc<Meter>,
    /// Read through maps instead of the open files.
    maps: Option<Maps>,
    kept: Kept,
}

/// Folders that may be the lost one, as an end of a sentence.
fn beside(bundle: &OwnedFd) -> String {
    let folders = super::strays::folders_of_bands(bundle);
    let names: Vec<String> = folders.iter().map(|name| format!("'{name}'")).collect();
    match names.len() {
        0 => String::new(),
        1 => format!("; {} holds files that are named as bands", names.concat()),
        _ => format!("; {} hold files that are named as bands", names.join(", ")),
    }
}

impl Bands {
    /// The folder of bands in a bundle's directory.
    pub(super) fn dir_of(bundle: &OwnedFd, path: &Path) -> Result<OwnedFd> {
        use rustix::io::Errno;
        let what = || format!("{}: bands", path.display());
        open_untrusted_dir(bundle, Path::new("bands")).map_err(|e| match e {
            Errno::NOENT => {
                Error::corrupt(what(), format!("the folder is missing{}", beside(bundle)))
            }
            Errno::LOOP | Errno::NOTDIR => {
                let text = "it is no folder, or a symbolic link, which is not followed";
                Error::corrupt(what(), format!("{text}{}", beside(bundle)))
            }
            e => Error::io(format!("cannot open {}/bands", path.display()), e),
        })
    }

    /// The bands in `dir`, of which these are `there`.
    pub(super) fn open(
        bundle: &OwnedFd,
        dir: OwnedFd,
        mut there: Vec<u64>,
        path: &Path,
        info: &Info,
        access: &Access,
    ) -> Result<Self> {
        let path = path.join("bands").display().to_string();
        let open = Cache::new(crate::io::descriptors().min(OPEN_BANDS));
        let (band_size, size) = (info.band_size, info.size);
        let maps = access.mapped.then(Maps::new);
        there.retain(|index| *index < size.div_ceil(band_size));
        let bundle = open_untrusted_dir(bundle, Path::new("."))
            .map_err(|e| Error::io(format!("cannot open {path}"), e))?;
        let meter = access.meter.clone();
        let seen = OnceLock::new();
        let (kept, opened) = (Kept::default(), Opened::default());
        Ok(Self {
            bundle,
            dir,
            there,
            seen,
            path,
            band_size,
            size,
            open,
            opened,
            meter,
            maps,
            kept,
        })
    }

    /// Bytes in a band.
    pub fn band_size(&self) -> u64 {
        self.band_size
    }

    /// The bytes of the disk that a band holds.
    pub fn range(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.band_size).min(self.size);
        start..start.saturating_add(self.band_size).min(self.size)
    }

    /// Keep what a pass over all bands saw. The first pass counts.
    pub fn remember(&self, seen: HashMap<u64, Seen>) {
        let _ = self.seen.set(seen);
    }

    /// What a pass over all bands saw of one, if there was one.
    pub fn seen(&self, index: u64) -> Option<Seen> {
        self.seen.get()?.get(&index).copied()
    }

    /// Where a whole band is, for findings.
    pub fn place(&self, index: u64) -> Where {
        let range = self.range(index);
        let place =
            Where::of(Structure::Band).band(Self::name(index)).length(range.end - range.start);
        Where { offset: Some(range.start), ..place }
    }

    /// The band that a place is in, and the byte of the disk it begins at; `None` for a place
    /// in no band, or in another one than it says.
    pub fn placed(&self, place: &Where) -> Option<(u64, u64)> {
        let index = band_index(place.band.as_ref()?.as_bytes())?;
        place.offset.filter(|at| self.range(index).contains(at)).map(|at| (index, at))
    }

    /// List the directory.
    pub fn list(&self) -> Result<BandListing> {
        BandListing::read(&self.dir, &self.path, self.size.div_ceil(self.band_size))
    }

    /// The bands' directory.
    pub fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Counts what is read from the bands. Who reads a band's file by other means takes
    /// from it, too.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Bytes that were read just now of whole bands.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Name of a band's file.
    pub fn name(index: u64) -> String {
        format!("{index:x}")
    }

    /// Open a band's file for one use, with its size; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] naming the band when it is no regular file or access fails.
    pub fn open_band(&self, index: u64) -> Result<Option<(File, u64)>> {
        match self.open_noted(index) {
            Ok(opened) => Ok(Some(opened)),
            Err(FileError::Missing) => self.absent(index).map(|()| None),
            // Ours to mend: let go of what is open and try again.
            Err(FileError::Other(e)) if crate::io::is_out_of_descriptors(&e) => {
                self.open.clear();
                match self.open_noted(index) {
                    Ok(opened) => Ok(Some(opened)),
                    Err(FileError::Missing) => self.absent(index).map(|()| None),
                    Err(FileError::Other(e)) => Err(self.failed(index, e)),
                }
            }
            Err(FileError::Other(e)) => Err(self.failed(index, e)),
        }
    }

    /// What the server says of a band's file, which is kept open for reading while there is
    /// room; `None` if there is none.
    ///
    /// # Errors
    /// As for [`Bands::open_band`].
    pub fn stat_band(&self, index: u64) -> Result<Option<rustix::fs::Stat>> {
        let room = u64::try_from(self.open.len()).is_ok_and(|n| n < self.open.capacity());
        let file = match room || self.open.peek(&index).is_some() {
            true => self.band(index)?,
            false => self.open_band(index)?.map(|(file, _)| Arc::new(file)),
        };
        let stat = file.map(rustix::fs::fstat).transpose();
        stat.map_err(|e| self.failed(index, e.into()))
    }

    fn open_noted(&self, index: u64) -> std::result::Result<(File, u64), FileError> {
        let (file, stat) = open_seen(&self.dir, Path::new(&Self::name(index)))?;
        self.opened.note(index, &stat);
        Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// How many bands were there when the bundle was opened.
    pub fn count_there(&self) -> usize {
        self.there.len()
    }

    /// The bands that were there when the bundle was opened, ascending.
    pub(super) fn there(&self) -> &[u64] {
        &self.there
    }

    /// There is no file of that band: is that a band that nobody wrote, or was it, or all of
    /// them, taken away while we look?
    fn absent(&self, index: u64) -> Result<()> {
        if !crate::io::still_below(&self.bundle, "bands", &self.dir) {
            let gone = std::io::Error::other("the folder was removed or replaced");
            return Err(Error::io(format!("cannot read band {index:x} ({})", self.path), gone));
        }
        if self.there.binary_search(&index).is_ok() {
            let gone = std::io::Error::other("it was there, and was removed meanwhile");
            return Err(self.failed(index, gone));
        }
        Ok(())
    }

    /// Whether the folder of bands still lies in its bundle.
    ///
    /// # Errors
    /// [`Error::Io`] if it was removed or replaced: what reads as missing is not known to be.
    pub fn in_place(&self) -> Result<()> {
        if crate::io::still_below(&self.bundle, "bands", &self.dir) {
            return Ok(());
        }
        let gone = std::io::Error::other("the folder was removed or replaced meanwhile");
        Err(Error::io(format!("cannot read on in {}", self.path), gone))
    }

    /// Whether everything that was there when the bundle was opened still is.
    ///
    /// # Errors
    /// [`Error::Io`] that says what is gone.
    pub fn still_there(&self) -> Result<()> {
        self.in_place()?;
        let now = self.list()?;
        match self.there.iter().find(|index| !now.contains(**index)) {
            None => Ok(()),
            Some(index) => {
                let gone = std::io::Error::other("it was there, and was removed meanwhile");
                Err(self.failed(*index, gone))
            }
        }
    }

    fn failed(&self, index: u64, source: std::io::Error) -> Error {
        Error::io(format!("cannot read band {index:x} ({}/{index:x})", self.path), source)
    }

    /// A band that is there could not be read at an offset in it.
    fn unread(&self, index: u64, offset: u64, source: std::io::Error) -> Error {
        let error = self.failed(index, source);
        self.note(index, offset, &error);
        error
    }

    /// The system did not tell of a band's file, which whoever asked did without.
    pub fn unseen(&self, index: u64, e: rustix::io::Errno) {
        if !matches!(e, rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) {
            let name = Self::name(index);
            let what = format!("cannot look at band {name} ({}/{name})", self.path);
            self.note(index, 0, &Error::io(what, e));
        }
    }

    /// A folder of the bundle could not be listed, or a file in it not be opened, which whoever
    /// asked did without.
    pub(super) fn unlisted(&self, what: &str, e: impl Into<std::io::Error>) {
        let e: std::io::Error = e.into();
        let quiet = [std::io::ErrorKind::NotFound, std::io::ErrorKind::PermissionDenied];
        if e.raw_os_error().is_none() || quiet.contains(&e.kind()) {
            return;
        }
        let text = format!("cannot look into {what} of the bundle: {e}");
        let place = Locus { offset: 0, band: None };
        self.meter.fail(FailedRead { cause: text.clone(), text, place });
    }

    /// Keep in mind that a read failed, whatever becomes of the error.
    fn note(&self, index: u64, offset: u64, error: &Error) {
        let band = BandLocus { name: Self::name(index), offset };
        let offset = self.range(index).start.saturating_add(offset);
        let (text, place) = (error.to_string(), Locus { offset, band: Some(band) });
        self.meter.fail(FailedRead { cause: text.clone(), text, place });
    }

    /// [`Bands::open_band`], where a refusal of the disk is kept in mind.
    fn open_told(&self, index: u64) -> Result<Option<(File, u64)>> {
        self.open_band(index).inspect_err(|e| {
            // What is no file has a finding of its own.
            let of_the_disk =
                matches!(e, Error::Io { source, .. } if source.raw_os_error().is_some());
            if of_the_disk && !e.is_out_of_descriptors() {
                self.note(index, 0, e);
            }
        })
    }

    fn band(&self, index: u64) -> Result<Option<Arc<File>>> {
        if let Some(cached) = self.open.get(&index) {
            return Ok(cached);
        }
        let opened = self.open_told(index)?;
        let opened = opened.map(|(file, _)| Arc::new(file));
        self.open.insert(index, opened.clone());
        Ok(opened)
    }

    /// Fill `buf` from one band, zeros past the end of its file; returns how many
    /// bytes the file had.
    pub fn read_stored(&self, index: u64, buf: &mut [u8], offset: u64) -> Result<usize> {
        let wanted = buf.len();
        if let Some(stored) = self.kept.read(index, buf, offset) {
            return Ok(stored);
        }
        if let Some(maps) = &self.maps {
            let stored = maps
                .copy(index, buf, offset, || self.open_band(index))
                .map_err(|e| e.within(&format!("band {index:x}")))?;
            buf.get_mut(stored..).unwrap_or_default().fill(0);
            self.meter.take(stored)?;
            return Ok(stored);
        }
        let Some(file) = self.band(index)? else {
            buf.fill(0);
            return Ok(0);
        };
        let mut rest = buf;
        let mut at = offset;
        while !rest.is_empty() {
            match file.read_at(rest, at) {
                Ok(0) => {
                    let stored = wanted - rest.len();
                    rest.fill(0);
                    self.meter.take(stored)?;
                    return Ok(stored);
                }
                Ok(n) => {
                    at += to_u64(n);
                    rest = rest.get_mut(n..).unwrap_or_default();
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.unread(index, at, e)),
            }
        }
        self.meter.take(wanted)?;
        Ok(wanted)
    }

    /// Show the first `len` bytes of an open band to `visit`, in pieces of the size of
    /// `buf`; returns how many there were, fewer if the file was shortened. Never
    /// through a map: what is read once is not faster that way.
    ///
    /// # Errors
    /// What `visit` returns, and [`Error::Io`].
    pub fn stream(
        &self,
        file: &File,
        len: u64,
        buf: &mut [u8],
        visit: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut at = 0;
        while at < len {
            let wanted = buf.len().min(to_usize(len - at));
            let piece = buf.get_mut(..wanted).unwrap_or_default();
            match file.read_at(piece, at) {
                Ok(0) => break,
                Ok(n) => {
                    at += to_u64(n);
                    self.meter.take(n)?;
                    visit(piece.get(..n).unwrap_or_default())?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("cannot read the band", e)),
            }
        }
        Ok(at)
    }

    /// Presence within one band that was there.
    fn presence_in(&self, part: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        let (index, within) = (part.start / self.band_size, part.start % self.band_size);
        let base = part.start - within;
        let whole = self.seen(index).filter(|s| s.whole);
        let opened = match whole {
            Some(_) => None,
            None => self.open_told(index)?,
        };
        let len = match (&whole, &opened) {
            (Some(seen), _) => seen.len,
            (None, Some((_, len))) => *len,
            (None, None) => 0,
        };
        let stored = len.clamp(within, within + (part.end - part.start));
        if stored > within {
            match opened {
                Some((file, _)) => visit_holes(&file, within..stored, &mut |r, p| {
                    visit(base + r.start..base + r.end, p);
                })?,
                None => visit(part.start..base + stored, Presence::Stored),
            }
        }
        if base + stored < part.end {
            visit(base + stored..part.end, Presence::Short);
        }
        Ok(())
    }

    /// Parts of `range`, each within one band: band, start in it, start and end
    /// on the disk.
    fn parts(&self, range: Range<u64>) -> impl Iterator<Item = (u64, u64, Range<u64>)> + use<> {
        let band_size = self.band_size;
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let (index, within) = (at / band_size, at % band_size);
            let end = range.end.min(at.saturating_add(band_size - within));
            let part = (index, within, at..end);
            at = end;
            Some(part)
        })
    }
}

impl ReadAt for Bands {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, mut buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), "disk image")?;
        for (index, within, part) in self.parts(offset..offset + to_u64(buf.len())) {
            let (now, rest) = buf.split_at_mut(to_usize(part.end - part.start).min(buf.len()));
            self.read_stored(index, now, within)?;
            buf = rest;
        }
        Ok(())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        check_range(self.size, range.start, to_usize(range.end - range.start), "disk image")?;
        let mut at = range.start;
        while at < range.end {
            let next = self.there.partition_point(|n| *n < at / self.band_size);
            let next = self.there.get(next).map_or(range.end, |n| n.saturating_mul(self.band_size));
            if next > at {
                // As many bands as there are in a row that nobody wrote.
                self.absent(at / self.band_size)?;
                let end = next.min(range.end);
                visit(at..end, Presence::Missing);
                at = end;
                continue;
            }
            let end = (at / self.band_size).saturating_add(1).saturating_mul(self.band_size);
            let end = end.min(range.end);
            self.presence_in(at..end, visit)?;
            at = end;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        let band = BandLocus {
            name: Self::name(offset / self.band_size),
            offset: offset % self.band_size,
        };
        Some(Locus { offset, band: Some(band) })
    }
}
