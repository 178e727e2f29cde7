//! Whatever is given, the answer is a clear message and the right exit code.

use crate::common;

use crate::common::{empty_bundle, info_plist, tmbundle};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

struct Scratch {
    _dir: tempfile::TempDir,
    bundle: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("Mac.sparsebundle");
        Self { _dir: dir, bundle }
    }

    fn with_bundle(size: u64) -> Self {
        let s = Self::new();
        empty_bundle(&s.bundle, 1 << 20, size);
        s
    }

    fn path(&self) -> &str {
        self.bundle.to_str().unwrap()
    }

    fn band(&self, name: &str) -> PathBuf {
        self.bundle.join("bands").join(name)
    }
}

#[test]
fn not_a_bundle() {
    let s = Scratch::new();
    fs::create_dir(&s.bundle).unwrap();
    fs::write(s.bundle.join("x"), b"x").unwrap();
    tmbundle(&["info", s.path()])
        .expect(3, &["is not a sparse bundle", "no Info.plist", "found: 1 entry"]);
    tmbundle(&["verify", "/nonexistent/x"]).expect(3, &["cannot open /nonexistent/x"]);
    tmbundle(&["verify", "/dev/null"])
        .expect(3, &["neither a folder, a regular file nor a block device"]);
    tmbundle(&["verify"]).expect(2, &["Usage"]);
}

#[test]
fn zero_byte_plists() {
    let s = Scratch::with_bundle(4 << 20);
    fs::write(s.bundle.join("Info.plist"), b"").unwrap();
    tmbundle(&["info", s.path()])
        .expect(0, &["geometry from Info.bckup", "it is empty", "BUNDLE-INFO-FALLBACK"]);
    fs::write(s.bundle.join("Info.bckup"), [0; 400]).unwrap();
    tmbundle(&["info", s.path()]).expect(1, &["it is empty", "only zeros"]);
    tmbundle(&["verify", s.path()]).expect(1, &["BUNDLE-INFO-LOST", "not checked"]);
}

#[test]
fn no_permission() {
    let s = Scratch::with_bundle(4 << 20);
    for name in ["Info.plist", "Info.bckup"] {
        fs::set_permissions(s.bundle.join(name), fs::Permissions::from_mode(0o0)).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        // Root may read it all the same.
        tmbundle(&["info", s.path()]).expect(0, &["geometry from Info.plist"]);
        common::skipped(format_args!("the refusal itself: running as root"));
    } else {
        tmbundle(&["info", s.path()]).expect(3, &["Permission denied", "hint"]);
    }
}

#[test]
fn bands_that_are_no_files() {
    let s = Scratch::with_bundle(16 << 20);
    fs::create_dir(s.band("0")).unwrap();
    symlink("/etc/passwd", s.band("1")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        s.band("2"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let ran = tmbundle(&["verify", "--all", s.path()]);
    ran.expect(1, &["band 0 is a folder", "DISK-UNREADABLE", "not checked"]);
    tmbundle(&["ls", s.path(), "volume:/"])
        .expect(3, &["cannot read band 0", "not a regular file"]);
    let info = tmbundle(&["info", "--json", s.path()]);
    assert!(!info.err.contains("panicked"));
}

#[test]
fn bad_bands_away_from_the_map_are_findings() {
    let s = Scratch::with_bundle(16 << 20);
    for (name, what) in [("5", 0), ("6", 1)] {
        match what {
            0 => fs::create_dir(s.band(name)).unwrap(),
            _ => symlink("/etc/passwd", s.band(name)).unwrap(),
        }
    }
    fs::write(s.band("7"), vec![1; (1 << 20) + 1]).unwrap();
    fs::write(s.band("0A"), b"x").unwrap();
    fs::write(s.band(".DS_Store"), b"x").unwrap();
    fs::write(s.band("1000"), b"x").unwrap();
    tmbundle(&["verify", "--all", s.path()]).expect(
        1,
        &[
            "band 5 is a folder",
            "band 6 is a symbolic link",
            "BAND-TOO-LONG",
            "BAND-NAME",
            "BAND-OUT-OF-RANGE",
            "Finder",
            "VOLUME-NONE",
        ],
    );
}

#[test]
fn odd_sizes() {
    let s = Scratch::with_bundle(0);
    tmbundle(&["info", s.path()]).expect(0, &["BUNDLE-INFO-ODD"]);
    tmbundle(&["verify", s.path()]).expect(1, &["VOLUME-NONE"]);
    let s = Scratch::with_bundle(1 << 60);
    tmbundle(&["info", s.path()]).expect(0, &["1 EiB"]);
    tmbundle(&["verify", s.path()]).expect(1, &["VOLUME-NONE"]);
    for (band, size) in [(0, 5), (1, 5), (u64::MAX, 5), (1 << 20, u64::MAX)] {
        let s = Scratch::new();
        empty_bundle(&s.bundle, band, size);
        tmbundle(&["verify", s.path()]).expect(1, &["impossible"]);
    }
}

#[test]
fn a_bundle_is_known_by_its_plist_not_by_its_name() {
    let s = Scratch::with_bundle(4 << 20);
    let renamed = s.bundle.with_file_name("whatever");
    fs::rename(&s.bundle, &renamed).unwrap();
    tmbundle(&["info", renamed.to_str().unwrap()]).expect(0, &["sparse bundle"]);
}

#[test]
fn a_partition_past_the_end_and_a_raw_file_of_nothing() {
    let s = Scratch::new();
    let image = s.bundle.with_extension("img");
    let mut mbr = vec![0u8; 4096];
    mbr[510..512].copy_from_slice(&[0x55, 0xAA]);
    mbr[450] = 0xAF;
    mbr[454..458].copy_from_slice(&1u32.to_le_bytes());
    mbr[458..462].copy_from_slice(&1_000_000u32.to_le_bytes());
    fs::write(&image, &mbr).unwrap();
    tmbundle(&["verify", image.to_str().unwrap()]).expect(1, &["PART-ENTRY", "ends past the disk"]);
    fs::write(&image, vec![7; 5000]).unwrap();
    tmbundle(&["verify", image.to_str().unwrap()]).expect(3, &["no partition map and no volume"]);
    tmbundle(&["ls", image.to_str().unwrap(), "volume:"])
        .expect(3, &["nothing that tmbundle recognises"]);
    fs::write(&image, b"").unwrap();
    tmbundle(&["verify", image.to_str().unwrap()])
        .expect(3, &["is not a sparse bundle or disk image"]);
}

fn make_many_bands(bundle: &Path, count: u64) {
    empty_bundle(bundle, 8 << 20, count * (8 << 20));
    for n in 0..count {
        File::create(bundle.join("bands").join(format!("{n:x}"))).unwrap();
    }
}

#[test]
fn two_hundred_thousand_bands_are_listed_not_asked_one_by_one() {
    // In memory where possible: this is about us, not about the disk under /tmp.
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let s = Scratch { bundle: dir.path().join("Mac.sparsebundle"), _dir: dir };
    make_many_bands(&s.bundle, 200_000);
    let started = std::time::Instant::now();
    tmbundle(&["info", s.path()]).expect(0, &["200,000 of 200,000 present", "about"]);
    eprintln!("info on 200,000 bands took {:?}", started.elapsed());
}

#[test]
fn nothing_in_the_bundle_is_touched() {
    let s = Scratch::with_bundle(8 << 20);
    fs::write(s.band("0"), vec![3; 1000]).unwrap();
    let state = |dir: &Path| {
        let mut all: Vec<String> = Vec::new();
        for dir in [dir.to_owned(), dir.join("bands")] {
            for e in fs::read_dir(&dir).unwrap() {
                let e = e.unwrap();
                let m = e.metadata().unwrap();
                use std::os::unix::fs::MetadataExt;
                all.push(format!(
                    "{:?} {} {} {} {}",
                    e.path(),
                    m.len(),
                    m.mtime_nsec(),
                    m.ctime_nsec(),
                    m.atime_nsec()
                ));
            }
        }
        all.sort();
        all
    };
    // Listing sets the folders' own access time once; the second look changes nothing.
    state(&s.bundle);
    let before = state(&s.bundle);
    for args in [&["info"][..], &["verify"], &["snapshots"]] {
        tmbundle(&[args, &[s.path()]].concat());
    }
    assert_eq!(before, state(&s.bundle));
}

#[test]
fn a_broken_plist_is_not_taken_for_a_geometry() {
    let s = Scratch::with_bundle(4 << 20);
    let good = info_plist(1 << 20, 4 << 20);
    fs::write(s.bundle.join("Info.plist"), &good[..good.len() / 2]).unwrap();
    tmbundle(&["info", s.path()]).expect(0, &["Info.bckup"]);
    fs::write(s.bundle.join("Info.plist"), info_plist(1 << 20, 8 << 20)).unwrap();
    tmbundle(&["verify", s.path()])
        .expect(1, &["BUNDLE-INFO-DIFFERS", "size is 8388608 in Info.plist but 4194304"]);
    fs::write(s.bundle.join("Info.plist"), info_plist((1 << 20) + 1, 4 << 20)).unwrap();
    tmbundle(&["verify", s.path()]).expect(
        1,
        &["BUNDLE-INFO-FALLBACK", "band-size of 1048577 bytes is odd", "bands of 1 MiB"],
    );
}

#[test]
fn a_bundle_in_use_is_told_and_can_be_left_alone() {
    let s = Scratch::with_bundle(4 << 20);
    let file = File::options().read(true).write(true).open(s.bundle.join("token")).unwrap();
    // afpd shows that a Mac is attached by locks at the end of the range of offsets.
    let locked =
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    locked.unwrap();
    tmbundle(&["verify", "--all", s.path()]).expect(1, &["BUNDLE-BUSY", "token is locked"]);
    tmbundle(&["verify", "--if-busy", "skip", "--all", s.path()])
        .expect(0, &["BUNDLE-SKIPPED", "not checked"]);
    tmbundle(&["verify", "--if-busy", "wait=1s", s.path()]).expect(1, &["VOLUME-NONE"]);
    tmbundle(&["verify", "--if-busy", "never", s.path()]).expect(2, &["check, skip or wait"]);
    drop(file);
    tmbundle(&["verify", "--if-busy", "skip", s.path()]).expect(1, &["VOLUME-NONE"]);
}

#[test]
fn a_band_that_is_written_meanwhile_shows_a_mac_at_work() {
    use tmbundle::report::{Code, NoProgress, Progress, Unit};
    use tmbundle::verify::{Options, verify};

    /// Writes to a band while the trees are checked, as a Mac would.
    struct Mac(PathBuf);
    impl Progress for Mac {
        fn phase(&self, name: &str, _: u64, _: Unit) {
            if name.contains("catalog") {
                let band = File::options().append(true).open(&self.0).unwrap();
                // The clock of the file system may stand still for some milliseconds.
                let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
                band.set_modified(later).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    common::copy_demo(&bundle);
    common::zero_volume_header(&bundle);
    let run = |progress: &dyn Progress| {
        let disk = tmbundle::disk::Disk::open(&bundle);
        verify(&bundle, disk.map(tmbundle::volume::Layout::from), Options::default(), progress)
            .unwrap()
    };
    let outcome = run(&NoProgress);
    assert!(!outcome.busy && outcome.counts.damage > 0, "{outcome:#?}");
    let outcome = run(&Mac(bundle.join("bands/8")));
    assert!(outcome.busy && outcome.counts.damage == 0, "{outcome:#?}");
    assert!(outcome.findings.iter().any(|f| f.code == Code::BundleBusy));
}
