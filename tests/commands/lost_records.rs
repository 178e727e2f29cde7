//! A band that holds the volume's own records is lost: what is said of it names the band, and
//! what lies elsewhere can be had. Where the records lie is read from the volume as written.

use crate::common::{Ran, tmbundle};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::image::Image;
use tools::partition::Gpt;

const BAND: u64 = 64 << 10;
const START: i64 = 1_572_686_100;
const FILES: usize = 40;

fn bytes(n: usize) -> Vec<u8> {
    format!("<<file {n}>>").into_bytes().into_iter().cycle().take(30_000).collect()
}

/// A journaled volume with files that have attributes, in a bundle of small bands.
struct Sample {
    _dir: tempfile::TempDir,
    path: PathBuf,
    volume: Image,
    /// First byte of the volume on the disk.
    start: u64,
    len: u64,
}

fn be32(bytes: &[u8], at: usize) -> u64 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()).into()
}

impl Sample {
    fn new() -> Self {
        let options = VolumeOptions {
            size: 24 << 20,
            created: START,
            journal_size: 1 << 20,
            ..VolumeOptions::default()
        };
        let mut volume = VolumeBuilder::new(options);
        let root = volume.root();
        for n in 0..FILES {
            let content = Content::Bytes(bytes(n));
            let file = volume.file(root, &format!("file{n}"), content, Meta::file().dated(START));
            volume.set_xattr(file, "com.example.note", format!("note {n}").into_bytes());
        }
        let volume = volume.build().image;
        let (disk, start) = Gpt::default().wrap(&volume);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Mac.sparsebundle");
        let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
        bundle::write(&disk, &path, &options).unwrap();
        let len = volume.len();
        Self { _dir: dir, path, volume, start, len }
    }

    /// Name of the band that holds a byte of the volume.
    fn band(&self, at: u64) -> String {
        format!("{:x}", (self.start + at) / BAND)
    }

    /// First byte of a special file, whose fork stands at this place of the header.
    fn special(&self, fork: usize) -> u64 {
        let header = self.volume.read(1024, 512);
        be32(&header, fork + 16) * be32(&header, 40)
    }

    fn info_block(&self) -> u64 {
        let header = self.volume.read(1024, 512);
        be32(&header, 12) * be32(&header, 40)
    }

    /// First byte of the journal.
    fn journal(&self) -> u64 {
        let info = self.volume.read(self.info_block(), 64);
        u64::from_be_bytes(info[36..44].try_into().unwrap())
    }

    fn move_away(&self, band: &str) {
        let old = self.path.join("bands/old");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::rename(self.path.join("bands").join(band), old.join(band)).unwrap();
    }

    fn run(&self, command: &[&str], rest: &[&str]) -> Ran {
        let args = [command, &[self.path.to_str().unwrap()], rest].concat();
        tmbundle(&args)
    }

    fn findings(&self) -> Vec<Value> {
        let ran = self.run(&["verify", "--json"], &[]);
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        document["sources"][0]["findings"].as_array().unwrap().clone()
    }
}

/// Numbers and kinds that come of taking zeros for records.
const NONSENSE: &[&str] = &["kind 0", "0 bytes at 0", "signature 0x0000", "only zeros", "magic"];

#[test]
fn a_lost_structure_names_its_band_and_what_may_be_it() {
    let s = Sample::new();
    let places = [
        ("extents header", s.special(192)),
        ("catalog header", s.special(272)),
        ("attributes header", s.special(352)),
        ("journal info block", s.info_block()),
        ("journal", s.journal()),
        ("alternate volume header", s.len - 1024),
        ("volume header", 1024),
    ];
    for (what, at) in places {
        let band = s.band(at);
        s.move_away(&band);
        let findings = s.findings();
        let all = format!("{what}, band {band}: {findings:#?}");
        let own = findings.iter().find(|f| {
            f["code"] == "BAND-LOST"
                && f["where"]["band"] == band.as_str()
                && f["message"].as_str().unwrap().contains(what)
        });
        let message = own.unwrap_or_else(|| panic!("{all}"))["message"].as_str().unwrap();
        assert!(message.contains(&format!("band {band} is missing")), "{message}");
        assert!(message.contains(&format!("'bands/old/{band}'")), "{message}");
        for f in &findings {
            let (message, remedy) = (f["message"].as_str().unwrap(), f["remedy"].as_str().unwrap());
            assert!(!NONSENSE.iter().any(|n| message.contains(n)), "{what}: {message}");
            let mends = remedy.contains("repair") && !remedy.starts_with("Look for the missing");
            assert!(!mends, "{what}: {message}: {remedy}");
        }
        let (from, to) = (s.path.join("bands/old").join(&band), s.path.join("bands").join(&band));
        std::fs::rename(from, to).unwrap();
    }
    assert_eq!(s.run(&["verify"], &[]).code, Some(0));
}

#[test]
fn a_lost_catalog_is_said_to_be_lost_with_its_band() {
    let s = Sample::new();
    let band = s.band(s.special(272));
    s.move_away(&band);
    for command in ["ls", "snapshots"] {
        let ran = s.run(&[command], &[]);
        assert!(ran.err.contains(&format!("band {band} is missing")), "{ran:#?}");
        assert!(!NONSENSE.iter().any(|n| ran.err.contains(n)), "{ran:#?}");
    }
}

#[test]
fn without_the_attributes_tree_files_are_restored() {
    let s = Sample::new();
    let band = s.band(s.special(352));
    s.move_away(&band);
    let to = s.path.with_file_name("to");
    for (n, options) in [&[][..], &["--tar"]].iter().enumerate() {
        let to = to.to_str().unwrap();
        let into: &[&str] = if options.is_empty() { &["--to", to, "--no-sync"] } else { options };
        let rest = [&["volume:/"], into].concat();
        let ran = s.run(&["extract"], &rest);
        assert_eq!(ran.code, Some(1), "{n}: {ran:#?}");
        let told = format!("band {band} is missing");
        assert!(ran.err.contains("attributes") && ran.err.contains(&told), "{n}: {ran:#?}");
    }
    for n in 0..FILES {
        let found = std::fs::read(to.join(format!("file{n}"))).unwrap();
        assert_eq!(found, bytes(n), "file{n}");
    }
    let args = ["--to", to.to_str().unwrap(), "--json", "--no-sync"];
    let again = s.run(&["extract"], &[&["volume:/"][..], &args].concat());
    let document: Value = serde_json::from_str(&again.out).unwrap();
    let unread = document["not_kept"].as_array().unwrap().iter();
    let unread: Vec<&Value> = unread.filter(|n| n["what"] == "attribute-unread").collect();
    assert_eq!(unread.len(), 1, "{document:#}");
    assert_eq!(unread[0]["objects"], FILES, "{document:#}");
}

/// A raw image of the volume, cut after so many bytes.
fn cut(volume: &Image, path: &Path, len: u64) {
    volume.slice(0, len).write_to(path).unwrap();
    std::fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn of_a_copy_that_lost_nearly_all_the_rest_is_read() {
    let options = VolumeOptions { size: 1 << 30, created: START, ..VolumeOptions::default() };
    let mut volume = VolumeBuilder::new(options);
    let root = volume.root();
    volume.file(root, "first", Content::Bytes(bytes(1)), Meta::file().dated(START));
    let volume = volume.build().image;
    let header = volume.read(1024, 512);
    let block = be32(&header, 40);
    let end = (be32(&header, 272 + 16) + be32(&header, 272 + 20)) * block;
    // A hundredth of it, with the whole catalog.
    let len = (10 << 20).max(end);
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = Gpt::default().wrap(&volume);
    for (name, image) in
        [("plain.img", &volume), ("mapped.img", &disk), ("cut.sparsebundle", &disk)]
    {
        let path = dir.path().join(name);
        match name.ends_with(".img") {
            true => cut(image, &path, len),
            false => bundle::write(&image.slice(0, len), &path, &BundleOptions::default()).unwrap(),
        }
        let source = path.to_str().unwrap();
        let ran = tmbundle(&["verify", source]);
        ran.expect(1, &["DISK-CUT", "1 damage.  "]);
        for word in ["Info.bckup", "a Mac repair", "Disk Utility", "warning"] {
            assert!(!ran.out.contains(word), "{name}: {word}: {ran:#?}");
        }
        assert!(name.ends_with("bundle") || !ran.out.contains("band"), "{ran:#?}");
        for more in [&[][..], &["--salvage"]] {
            let ran = tmbundle(&[&["ls", source, "volume:/"], more].concat());
            assert!(ran.out.contains("first"), "{name}: {ran:#?}");
            assert!(!ran.err.contains("header"), "{name}: {ran:#?}");
        }
    }
}

#[test]
#[cfg(feature = "mount")]
fn the_disk_of_a_mount_never_gives_lost_bands_as_zeros() {
    use crate::mounting::{Mount, possible};
    use std::os::unix::fs::FileExt;
    if !possible("the_disk_of_a_mount_never_gives_lost_bands_as_zeros") {
        return;
    }
    let s = Sample::new();
    let mark = b"<<file 7>>";
    let holds = |name: &std::ffi::OsStr| {
        let band = std::fs::read(s.path.join("bands").join(name)).unwrap();
        band.windows(mark.len()).any(|w| w == mark)
    };
    let names = || std::fs::read_dir(s.path.join("bands")).unwrap().map(|e| e.unwrap().file_name());
    let band = names().find(|name| holds(name)).unwrap().into_string().unwrap();
    let index = u64::from_str_radix(&band, 16).unwrap();
    let empty = (0..s.len / BAND).find(|n| !s.path.join(format!("bands/{n:x}")).exists()).unwrap();
    let attributes = s.band(s.special(352));
    let log = s.path.with_file_name("log");
    std::fs::remove_file(s.path.join("bands").join(&band)).unwrap();
    std::fs::remove_file(s.path.join("bands").join(&attributes)).unwrap();
    let mount = Mount::new(&s.path, &["--log-file", log.to_str().unwrap()]);
    let disk = std::fs::File::open(mount.path().join("disk.img")).unwrap();
    let mut buf = vec![1; 4096];
    for (lost, at) in
        [(true, index * BAND), (true, s.start + s.special(352)), (false, empty * BAND)]
    {
        buf.fill(1);
        let read = disk.read_exact_at(&mut buf, at);
        match lost {
            true => assert_eq!(read.unwrap_err().raw_os_error(), Some(5), "byte {at}"),
            false => {
                read.unwrap();
                assert!(buf.iter().all(|b| *b == 0), "never written");
            }
        }
    }
    // The rest of the disk is what it was.
    let (before, _) = Gpt::default().wrap(&s.volume);
    disk.read_exact_at(&mut buf, s.start + s.special(272)).unwrap();
    assert_eq!(buf, before.read(s.start + s.special(272), 4096));
    drop(disk);
    drop(mount);
    let told = std::fs::read_to_string(&log).unwrap();
    let of = |band: &str| told.matches(&format!("band {band} is missing")).count();
    assert_eq!((of(&band), of(&attributes) > 0), (1, true), "{told}");
}
