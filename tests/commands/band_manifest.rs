//! The manifest of bands: what it tells of each thing that can happen to a band between
//! two runs, and that nothing it has learnt is lost.

use crate::common;

use std::cell::Cell;
use std::fs::{self, File, FileTimes};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tmbundle::Error;
use tmbundle::disk::Disk;
use tmbundle::report::{Code, Collector, Finding, Ignore, NoProgress, Progress, Severity};
use tmbundle::verify::Subset;
use tmbundle::verify::manifest::{Bands, Entry, Found, Manifest, ManifestRun, Options, Stamp};
use tmbundle::volume::Layout;

const BAND: u64 = 1 << 20;
const SEVENTH: Subset = Subset::Part { n: 1, of: 7 };

/// A bundle of so many bands with different bytes, and its manifest.
struct Fixture {
    dir: tempfile::TempDir,
    /// Days since the bands were written.
    day: Cell<i64>,
}

impl Fixture {
    fn new(bands: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fixture = Self { dir, day: Cell::new(0) };
        common::empty_bundle(&fixture.bundle(), BAND, BAND * 1000);
        for index in 0..bands {
            fs::write(fixture.band(index), vec![index as u8 + 1; 3000]).unwrap();
        }
        fixture
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("A.sparsebundle")
    }

    fn band(&self, index: u64) -> PathBuf {
        self.bundle().join(format!("bands/{index:x}"))
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("manifest")
    }

    fn options(&self, read: Subset) -> Options {
        // Each run is a day after the one before; the bands were written long ago.
        self.day.set(self.day.get() + 1);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        let now = now + self.day.get() * 86400;
        Options { file: self.file(), ours: false, read, jobs: 2, now }
    }

    fn try_run(
        &self,
        read: Subset,
        progress: &dyn Progress,
    ) -> tmbundle::Result<(Bands, Vec<Finding>)> {
        let collector = Collector::default();
        let disk = Layout::from(Disk::open(&self.bundle()).unwrap());
        let listing = disk.disk().bundle().unwrap().bands().list().unwrap();
        let run = ManifestRun::new(&disk, &listing, &self.options(read), &collector, progress)?;
        let (counts, worst) = run.finish()?;
        let findings = collector.into_findings().0;
        assert_eq!(worst, findings.first().map(|f| f.severity));
        Ok((counts, findings))
    }

    #[track_caller]
    fn run(&self, read: Subset) -> (Bands, Vec<Finding>) {
        self.try_run(read, &NoProgress).unwrap()
    }

    /// A run that finds nothing wrong.
    #[track_caller]
    fn quiet(&self, read: Subset) -> Bands {
        let (bands, findings) = self.run(read);
        assert_eq!(findings, []);
        bands
    }

    fn manifest(&self) -> Manifest {
        match Manifest::read(&self.file()).unwrap() {
            Found::Manifest(manifest) => manifest,
            other => panic!("{other:?}"),
        }
    }

    /// Flip a byte, and set the modification time back.
    fn flip(&self, index: u64) {
        let path = self.band(index);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.seek(SeekFrom::Start(1234)).unwrap();
        file.read_exact(&mut byte).unwrap();
        file.seek(SeekFrom::Start(1234)).unwrap();
        file.write_all(&[byte[0] ^ 1]).unwrap();
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    }

    /// Flip a byte as a failing disk does: the times say that nobody wrote. Nobody can
    /// set a ctime, so the manifest is told that it was always so.
    fn rot(&self, index: u64) {
        self.flip(index);
        let mut manifest = self.manifest();
        manifest.entries.get_mut(&index).unwrap().stamp = stamp(&self.band(index));
        manifest.write(&self.file()).unwrap();
    }
}

fn stamp(path: &Path) -> Stamp {
    let m = fs::metadata(path).unwrap();
    Stamp {
        size: m.size(),
        mtime: m.mtime() * 1_000_000_000 + m.mtime_nsec(),
        ctime: m.ctime() * 1_000_000_000 + m.ctime_nsec(),
    }
}

fn codes(findings: &[Finding]) -> Vec<Code> {
    findings.iter().map(|f| f.code).collect()
}

#[test]
fn the_first_run_reads_all_and_keeps_blake3_of_each() {
    let f = Fixture::new(5);
    let first = f.quiet(SEVENTH);
    assert_eq!((first.bands, first.read, first.new, first.read_bytes), (5, 5, 5, 15_000));
    assert_eq!(
        first.text(),
        "5 bands, all read for the first time; the bundle is known by its path only"
    );
    let manifest = f.manifest();
    assert_eq!(manifest.header.band_size, BAND);
    assert_eq!(manifest.entries[&3].hash, *blake3::hash(&[4; 3000]).as_bytes());
    assert_eq!(manifest.entries[&3].stamp, stamp(&f.band(3)));
    let second = f.quiet(Subset::All);
    assert_eq!((second.read, second.new, second.changed, second.touched), (5, 0, 0, 0));
    assert!(second.oldest_read.unwrap() > first.oldest_read.unwrap());
}

#[test]
fn rot_is_found_and_told_again_until_somebody_writes() {
    let f = Fixture::new(14);
    f.quiet(SEVENTH);
    f.rot(9);
    let (bands, findings) = f.run(Subset::All);
    assert_eq!((bands.rotten, codes(&findings)), (1, vec![Code::BandRot]));
    let place = &findings[0].place;
    assert_eq!(findings[0].severity, Severity::Damage);
    assert_eq!(place.band.as_deref(), Some("9"));
    assert_eq!((place.offset, place.length), (Some(9 * BAND), Some(BAND)));
    // A share of a seventh is two bands; the rotten one is read all the same.
    let (bands, findings) = f.run(SEVENTH);
    assert_eq!((bands.read, codes(&findings)), (3, vec![Code::BandRot]));
    // A change of owner or mode does not hide it.
    let mode = fs::metadata(f.band(9)).unwrap().permissions();
    fs::set_permissions(f.band(9), mode).unwrap();
    assert_eq!(codes(&f.run(SEVENTH).1), [Code::BandRot]);
    // The byte is put right, with the old time, as from a copy.
    f.flip(9);
    assert_eq!(f.quiet(SEVENTH).healed, 1);
    assert_eq!(f.quiet(Subset::All).healed, 0);
    f.rot(9);
    assert_eq!(codes(&f.run(Subset::All).1), [Code::BandRot]);
    // A Mac writes the band: what it writes is good.
    fs::write(f.band(9), [7; 3000]).unwrap();
    assert_eq!(f.quiet(SEVENTH).changed, 1);
    f.quiet(Subset::All);
}

#[test]
fn rot_is_found_within_seven_runs_of_a_seventh() {
    let f = Fixture::new(35);
    f.quiet(SEVENTH);
    f.quiet(SEVENTH);
    f.rot(0);
    let found: Vec<usize> = (0..7).map(|_| f.run(SEVENTH).1.len()).collect();
    assert_eq!(found.iter().rposition(|n| *n == 0), Some(5), "{found:?}: it was read last");
}

#[test]
fn seven_runs_of_a_seventh_read_every_band() {
    let f = Fixture::new(30);
    f.quiet(SEVENTH);
    let began = f.manifest().header.run;
    for _ in 0..7 {
        assert_eq!(f.quiet(SEVENTH).read, 5);
    }
    assert!(f.manifest().entries.values().all(|e| e.run > began));
}

#[test]
fn other_bytes_with_another_ctime_are_a_warning_once() {
    let f = Fixture::new(3);
    f.quiet(SEVENTH);
    f.flip(1);
    let (bands, findings) = f.run(SEVENTH);
    assert_eq!((bands.rewritten, codes(&findings)), (1, vec![Code::BandRewritten]));
    assert_eq!(findings[0].severity, Severity::Warning);
    assert_eq!(findings[0].place.offset, Some(BAND));
    // Until somebody was told, whatever is read meanwhile.
    for read in [SEVENTH, Subset::All, SEVENTH] {
        let (bands, findings) = f.run(read);
        assert_eq!((bands.rewritten, codes(&findings)), (1, vec![Code::BandRewritten]));
        assert!(bands.untold);
    }
    tmbundle::verify::manifest::told(&f.file()).unwrap();
    assert!(!f.quiet(Subset::All).untold);
    // Only the inode changed.
    fs::set_permissions(f.band(2), fs::metadata(f.band(2)).unwrap().permissions()).unwrap();
    assert_eq!(f.quiet(SEVENTH).touched, 1);
}

#[test]
fn changed_new_and_gone_bands_are_counted() {
    let f = Fixture::new(20);
    f.quiet(SEVENTH);
    fs::write(f.band(3), [9; 5]).unwrap();
    fs::write(f.band(100), [9; 5]).unwrap();
    fs::remove_file(f.band(7)).unwrap();
    fs::remove_file(f.band(8)).unwrap();
    let bands = f.quiet(SEVENTH);
    assert_eq!((bands.changed, bands.new, bands.gone, bands.bands), (1, 1, 2, 19));
    // 3 of 19 are a seventh.
    assert_eq!(bands.read, 2 + 3);
    let given = |f: &Fixture| {
        let all = f.manifest().entries;
        all.values().filter(|e| e.is(Entry::GIVEN)).map(|e| e.index).collect::<Vec<_>>()
    };
    assert_eq!((f.manifest().entries.len(), given(&f)), (21, vec![7, 8]));
    // Counted once, and never told as if nobody had written. One comes back.
    let bands = f.quiet(SEVENTH);
    assert_eq!((bands.gone, bands.gone_bands), (0, vec![7, 8]));
    fs::write(f.band(7), [7; 9]).unwrap();
    assert_eq!((f.quiet(SEVENTH).new, given(&f)), (1, vec![8]));
    // However long ago it was read, it is evidence for a while from when it went.
    f.day.set(f.day.get() + 20);
    fs::write(f.band(3), [7; 6]).unwrap();
    fs::remove_file(f.band(9)).unwrap();
    f.quiet(SEVENTH);
    f.day.set(f.day.get() + 1);
    fs::write(f.band(3), [6; 6]).unwrap();
    assert_eq!((f.quiet(SEVENTH).gone_bands, given(&f)), (vec![9], vec![9]));
    // What is long ago is forgotten, once a Mac writes.
    f.day.set(f.day.get() + 30);
    fs::write(f.band(3), [8; 6]).unwrap();
    f.quiet(SEVENTH);
    assert_eq!((f.manifest().entries.len(), given(&f)), (19, vec![]));
}

#[test]
fn bands_that_vanish_from_a_bundle_at_rest_are_told_until_a_mac_writes() {
    let f = Fixture::new(5);
    f.quiet(SEVENTH);
    fs::remove_file(f.band(2)).unwrap();
    for _ in 0..2 {
        let (bands, findings) = f.run(SEVENTH);
        assert_eq!((bands.gone, codes(&findings)), (1, vec![Code::BandGone]));
        assert_eq!(findings[0].place.band.as_deref(), Some("2"));
        assert_eq!(findings[0].place.offset, Some(2 * BAND));
    }
    fs::write(f.band(0), [9; 5]).unwrap();
    assert_eq!(f.quiet(SEVENTH).gone, 1);
    assert_eq!(f.quiet(SEVENTH).gone, 0);
}

#[test]
fn a_band_that_is_no_file_any_more_keeps_what_it_was() {
    let f = Fixture::new(3);
    f.quiet(SEVENTH);
    fs::rename(f.band(1), f.dir.path().join("away")).unwrap();
    fs::create_dir(f.band(1)).unwrap();
    let bands = f.quiet(Subset::All);
    assert_eq!((bands.unreadable, bands.gone, bands.read), (1, 0, 2));
    fs::remove_dir(f.band(1)).unwrap();
    fs::rename(f.dir.path().join("away"), f.band(1)).unwrap();
    assert_eq!(f.quiet(SEVENTH).new, 0);
}

#[test]
fn a_torn_manifest_is_told_and_put_aside() {
    let f = Fixture::new(3);
    f.quiet(SEVENTH);
    let whole = fs::read(f.file()).unwrap();
    let torn = &whole[..whole.len() / 2];
    fs::write(f.file(), torn).unwrap();
    let (bands, findings) = f.run(SEVENTH);
    assert_eq!(codes(&findings), [Code::ManifestRestarted]);
    assert_eq!(bands.new, 3);
    assert_eq!(fs::read(f.dir.path().join("manifest.damaged")).unwrap(), torn);
    let (bands, findings) = f.run(SEVENTH);
    assert_eq!((codes(&findings), bands.untold), (vec![Code::ManifestRestarted], true));
    tmbundle::verify::manifest::told(&f.file()).unwrap();
    f.quiet(SEVENTH);
    // A byte flipped anywhere.
    let mut bad = fs::read(f.file()).unwrap();
    let at = bad.len() - 60;
    bad[at] ^= 1;
    fs::write(f.file(), bad).unwrap();
    assert_eq!(codes(&f.run(SEVENTH).1), [Code::ManifestRestarted]);
    assert!(f.dir.path().join("manifest.damaged-1").exists());
}

#[test]
fn a_file_that_is_no_manifest_is_left_alone() {
    let f = Fixture::new(3);
    fs::write(f.file(), "my letters").unwrap();
    let failed = f.try_run(SEVENTH, &NoProgress).unwrap_err();
    assert!(matches!(failed, Error::Invalid(_)), "{failed}");
    assert_eq!(fs::read(f.file()).unwrap(), b"my letters");
    fs::remove_file(f.file()).unwrap();
    // A link stays a link.
    std::os::unix::fs::symlink(f.dir.path().join("real"), f.file()).unwrap();
    fs::write(f.dir.path().join("real"), "").unwrap();
    f.run(SEVENTH);
    assert!(fs::symlink_metadata(f.file()).unwrap().is_symlink());
    assert_eq!(f.manifest().entries.len(), 3);
    // In the bundle there is no place for it.
    let options = Options { file: f.bundle().join("bands/x"), ..f.options(SEVENTH) };
    let disk = Layout::from(Disk::open(&f.bundle()).unwrap());
    let listing = disk.disk().bundle().unwrap().bands().list().unwrap();
    let collector = Collector::default();
    let run = ManifestRun::new(&disk, &listing, &options, &collector, &NoProgress);
    assert!(matches!(run, Err(Error::Invalid(_))));
}

/// Asks to stop once so many bytes were hashed.
struct StopAfter(AtomicU64);

impl Progress for StopAfter {
    fn advance(&self, n: u64) {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(n), Ordering::Relaxed);
    }
    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn an_interrupted_run_keeps_what_it_read() {
    let f = Fixture::new(40);
    let stopped = f.try_run(SEVENTH, &StopAfter(AtomicU64::new(30_000)));
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let read = f.manifest().entries.len() as u64;
    assert!((10..=12).contains(&read), "{read} bands");
    let rest = f.quiet(SEVENTH);
    // What was read first is a seventh of those that were known.
    assert_eq!((rest.new, rest.read), (40 - read, 40 - read + 6));
}

#[test]
fn the_wish_to_stop_is_heeded_within_a_band() {
    let f = Fixture::new(0);
    for name in ["Info.plist", "Info.bckup"] {
        fs::write(f.bundle().join(name), common::info_plist(64 << 20, 64 << 20)).unwrap();
    }
    fs::write(f.band(0), vec![1; 64 << 20]).unwrap();
    let stop = StopAfter(AtomicU64::new(1));
    assert!(matches!(f.try_run(SEVENTH, &stop), Err(Error::Interrupted)));
    assert!(f.manifest().entries.is_empty(), "half a band is not taken for a band");
    assert_eq!(f.quiet(SEVENTH).new, 1);
}

/// Writes to a band whenever a part of it was read, so many times.
struct Writer {
    band: PathBuf,
    times: AtomicU64,
}

impl Progress for Writer {
    fn advance(&self, _: u64) {
        let left = self.times.load(Ordering::Relaxed);
        if left > 0 {
            self.times.store(left - 1, Ordering::Relaxed);
            let mut file = File::options().append(true).open(&self.band).unwrap();
            file.write_all(b"more").unwrap();
        }
    }
}

#[test]
fn a_band_that_moves_while_it_is_read_is_read_again_and_not_reported() {
    let f = Fixture::new(1);
    f.quiet(SEVENTH);
    let write = |times| Writer { band: f.band(0), times: AtomicU64::new(times) };
    let (bands, findings) = f.try_run(Subset::All, &write(1)).unwrap();
    assert_eq!((bands.changed, bands.moving, findings), (1, 0, vec![]));
    let hash = blake3::hash(&fs::read(f.band(0)).unwrap());
    assert_eq!(f.manifest().entries[&0].hash, *hash.as_bytes());
    // It keeps moving: left out, and not lost.
    let before = f.manifest().entries[&0];
    let (bands, findings) = f.try_run(Subset::All, &write(u64::MAX)).unwrap();
    assert_eq!((bands.read, bands.moving, findings), (0, 1, vec![]));
    assert_eq!(f.manifest().entries[&0], before);
    assert_eq!(f.quiet(SEVENTH).changed, 1);
}

#[test]
fn a_band_written_again_within_the_clock_tick_is_no_rot() {
    let f = Fixture::new(1);
    let mut options = f.options(SEVENTH);
    options.now -= f.day.get() * 86400;
    let disk = Layout::from(Disk::open(&f.bundle()).unwrap());
    let listing = disk.disk().bundle().unwrap().bands().list().unwrap();
    let collector = Collector::default();
    ManifestRun::new(&disk, &listing, &options, &collector, &NoProgress).unwrap().finish().unwrap();
    assert!(f.manifest().entries[&0].is(Entry::YOUNG));
    f.rot(0);
    assert_eq!(f.quiet(Subset::All).changed, 1);
    f.rot(0);
    assert_eq!(codes(&f.run(Subset::All).1), [Code::BandRot]);
}

/// Its times cannot tell whether a band was written after it was hashed.
#[test]
fn bands_hashed_by_a_clock_that_lags_are_read_again() {
    let f = Fixture::new(14);
    let mut options = f.options(SEVENTH);
    // An hour before the bands were written, says the clock; and a day later it is right.
    options.now -= f.day.get() * 86400 + 3600;
    let disk = Layout::from(Disk::open(&f.bundle()).unwrap());
    let listing = disk.disk().bundle().unwrap().bands().list().unwrap();
    let collector = Collector::default();
    ManifestRun::new(&disk, &listing, &options, &collector, &NoProgress).unwrap().finish().unwrap();
    assert!(f.manifest().entries.values().all(|e| e.is(Entry::YOUNG)));
    assert_eq!(f.quiet(SEVENTH).read, 14, "all, not a seventh");
    assert_eq!(f.quiet(SEVENTH).read, 2);
    f.rot(3);
    assert_eq!(codes(&f.run(Subset::All).1), [Code::BandRot]);
}

#[test]
fn a_pass_in_disk_order_takes_the_bands_along() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("A.sparsebundle");
    let large = 1u64 << 30;
    common::empty_bundle(&bundle, large, large * 16);
    for index in [1u64, 2, 5, 9] {
        fs::write(bundle.join(format!("bands/{index:x}")), [index as u8; 100]).unwrap();
    }
    let file = dir.path().join("manifest");
    let disk = Layout::from(Disk::open(&bundle).unwrap());
    let listing = disk.disk().bundle().unwrap().bands().list().unwrap();
    let options =
        Options { file: file.clone(), ours: false, read: Subset::All, jobs: 0, now: 4_000_000_000 };
    let collector = Collector::default();
    let mut run = ManifestRun::new(&disk, &listing, &options, &collector, &NoProgress).unwrap();
    let mut known = |offset| {
        run.advance_to(offset).unwrap();
        run.keep().unwrap();
        let Found::Manifest(manifest) = Manifest::read(&file).unwrap() else { panic!() };
        manifest.entries.keys().copied().collect::<Vec<_>>()
    };
    assert!(known(large - 1).is_empty());
    assert_eq!(known(2 * large), [1, 2]);
    assert_eq!(known(0), [1, 2], "a second pass begins low again");
    assert_eq!(known(4 * large), [1, 2]);
    assert_eq!(known(5 * large + 7), [1, 2, 5]);
    let (counts, _) = run.finish().unwrap();
    assert_eq!((counts.read, counts.new), (4, 4));
}

#[test]
fn a_budget_of_time_or_bytes_reads_those_unread_for_longest() {
    let f = Fixture::new(10);
    f.quiet(SEVENTH);
    assert_eq!(f.quiet(Subset::Bytes(6000)).read, 2);
    assert_eq!(f.quiet(Subset::Bytes(1)).read, 1);
    let runs: Vec<u32> = f.manifest().entries.values().map(|e| e.run).collect();
    assert_eq!(runs, [2, 2, 3, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(f.quiet(Subset::Time(std::time::Duration::from_secs(3600))).read, 10);
    // No time at all: only what changed.
    fs::write(f.band(4), [9; 5]).unwrap();
    let bands = f.quiet(Subset::Time(std::time::Duration::ZERO));
    assert_eq!((bands.read, bands.changed), (1, 1));
}

#[test]
fn another_band_size_begins_anew_and_says_so() {
    let f = Fixture::new(3);
    f.quiet(SEVENTH);
    for name in ["Info.plist", "Info.bckup"] {
        fs::write(f.bundle().join(name), common::info_plist(BAND * 2, BAND * 1000)).unwrap();
    }
    let (bands, findings) = f.run(SEVENTH);
    assert_eq!((bands.new, codes(&findings)), (3, vec![Code::ManifestRestarted]));
    assert!(f.dir.path().join("manifest.damaged").exists());
}

#[test]
fn what_was_found_is_told_even_if_it_cannot_be_kept() {
    let f = Fixture::new(3);
    f.quiet(SEVENTH);
    f.rot(1);
    let folder = f.dir.path().join("state");
    fs::create_dir(&folder).unwrap();
    fs::rename(f.file(), folder.join("manifest")).unwrap();
    let disk = Layout::from(Disk::open(&f.bundle()).unwrap());
    let listing = disk.disk().bundle().unwrap().bands().list().unwrap();
    let options = Options { file: folder.join("manifest"), ..f.options(Subset::All) };
    let collector = Collector::default();
    let run = ManifestRun::new(&disk, &listing, &options, &collector, &NoProgress).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    run.finish().unwrap();
    let found = codes(&collector.into_findings().0);
    assert_eq!(found, [Code::BandRot, Code::ManifestUnwritten]);
    // A place that cannot be written is told before anything is read.
    let run = ManifestRun::new(&disk, &listing, &options, &Ignore, &NoProgress);
    assert!(matches!(run, Err(Error::Io { .. })));
}
