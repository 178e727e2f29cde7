//! One place of the server's disk that can never be read. Only what needs those bytes fails:
//! what is merely looked at on the way (another partition, one of two maps, a clean journal)
//! is told, and the rest goes on.

use crate::nth_read::shim;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tools::Image;
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;

const BAND: u64 = 64 << 10;
const FILES: usize = 40;

struct Bad {
    dir: tempfile::TempDir,
    shim: PathBuf,
    disk: Image,
    journal: u64,
    journal_info: u64,
    header: u64,
}

impl Bad {
    fn new(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let shim = shim(test, dir.path())?;
        let mut builder =
            VolumeBuilder::new(VolumeOptions { size: 8 << 20, ..VolumeOptions::default() });
        let root = builder.root();
        for n in 0..FILES {
            let text = Content::text(n as u64, 3000 + n);
            builder.file(root, &format!("file {n}"), text, Meta::file());
        }
        let volume = builder.build();
        let (disk, start) = Gpt { efi_sectors: 400, ..Gpt::default() }.wrap(&volume.image);
        let layout = volume.layout.shifted(start);
        let (journal, _) = layout.journal.unwrap();
        let (journal_info, header) = (layout.journal_info.unwrap(), layout.header());
        Some(Self { dir, shim, disk, journal, journal_info, header })
    }

    fn bundle(&self) -> PathBuf {
        let path = self.dir.path().join("Mac.sparsebundle");
        if !path.exists() {
            let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
            bundle::write(&self.disk, &path, &options).unwrap();
        }
        path
    }

    fn image(&self) -> PathBuf {
        let path = self.dir.path().join("disk.img");
        if !path.exists() {
            self.disk.write_to(&path).unwrap();
        }
        path
    }

    /// What a command prints and how it ends while bytes of a file cannot be read.
    fn run(&self, file: &Path, bad: &Range<u64>, args: &[&str]) -> (Option<i32>, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .args(args)
            .env("LD_PRELOAD", &self.shim)
            .env("EIO_FILE", file)
            .env("EIO_FROM", bad.start.to_string())
            .env("EIO_TO", bad.end.to_string())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// All files are restored and listed, and `verify` tells of the place.
    fn costs_nothing(&self, what: &str, source: &Path, file: &Path, bad: Range<u64>) {
        let to = self.dir.path().join("to");
        let _ = std::fs::remove_dir_all(&to);
        let (source, to_text) = (source.to_str().unwrap(), to.to_str().unwrap());
        let args = ["extract", source, "volume:/", "--no-sync", "--to", to_text];
        let (code, told) = self.run(file, &bad, &args);
        assert!(matches!(code, Some(0 | 1)), "{what}: {code:?} {told}");
        for n in 0..FILES {
            let bytes = std::fs::read(to.join(format!("file {n}")));
            let wanted = Content::text(n as u64, 3000 + n).to_vec();
            assert!(bytes.is_ok_and(|b| b == wanted), "{what}: file {n}: {told}");
        }
        let (code, told) = self.run(file, &bad, &["ls", source, "volume:/"]);
        assert_eq!(code, Some(0), "{what}: {told}");
        assert!(told.contains("file 39"), "{what}: {told}");
        let (code, told) = self.run(file, &bad, &["info", source]);
        // It says so where something may be missing in what it tells.
        assert!(matches!(code, Some(0 | 1)), "{what}: {code:?} {told}");
        assert!(code == Some(0) || told.contains("warning: cannot read"), "{what}: {told}");
        let (code, told) = self.run(file, &bad, &["verify", source]);
        assert!(matches!(code, Some(0 | 1)), "{what}: {told}");
        assert!(told.contains("annot be read") || told.contains("annot read"), "{what}: {told}");
    }
}

#[test]
fn what_is_only_looked_at_may_be_unreadable_in_a_bundle() {
    let Some(bad) = Bad::new("what_is_only_looked_at_may_be_unreadable_in_a_bundle") else {
        return;
    };
    let source = bad.bundle();
    let end = bad.disk.len();
    for (what, disk) in [
        ("the EFI partition", 40 * 512..40 * 512 + 4096),
        ("the primary GPT", 0..17_408),
        ("its header", 512..1024),
        ("the backup GPT", end - 512..end),
        ("its table", end - 16_896..end - 512),
        ("the journal info block", bad.journal_info..bad.journal_info + 512),
        ("the journal's header", bad.journal..bad.journal + 512),
        ("the primary volume header", bad.header..bad.header + 512),
    ] {
        let band = disk.start / BAND;
        let file = source.join(format!("bands/{band:x}"));
        assert!(file.exists(), "{what} is in no band");
        bad.costs_nothing(what, &source, &file, disk.start % BAND..disk.end - band * BAND);
    }
}

#[test]
fn what_is_only_looked_at_may_be_unreadable_in_an_image() {
    let Some(bad) = Bad::new("what_is_only_looked_at_may_be_unreadable_in_an_image") else {
        return;
    };
    let image = bad.image();
    let end = bad.disk.len();
    for (what, at) in [
        ("the first sector", 0..512),
        ("the GPT", 512..17_408),
        ("the EFI partition", 40 * 512..40 * 512 + 4096),
        ("a sector in the midst of it", 100 * 512..101 * 512),
        ("the last sector", end - 512..end),
        ("the place of an old encryption header", end - 1276..end),
        ("the journal's header", bad.journal..bad.journal + 512),
    ] {
        if what == "a sector in the midst of it" {
            // Nobody looks there, so nobody can tell.
            let (code, told) = bad.run(&image, &at, &["ls", image.to_str().unwrap(), "volume:/"]);
            assert_eq!(code, Some(0), "{told}");
            continue;
        }
        bad.costs_nothing(what, &image, &image, at);
    }
}

#[test]
fn a_place_in_a_file_costs_that_file() {
    let Some(bad) = Bad::new("a_place_in_a_file_costs_that_file") else { return };
    let text = Content::text(7, 3007).to_vec();
    let image = bad.disk.to_vec();
    let at = image.windows(text.len()).position(|w| w == text).unwrap() as u64;
    let (file, to) = (bad.image(), bad.dir.path().join("to"));
    let source = file.to_str().unwrap();
    let args = ["extract", source, "volume:/", "--no-sync", "--to", to.to_str().unwrap()];
    let (code, told) = bad.run(&file, &(at..at + 512), &args);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("file 7") && !to.join("file 7").exists(), "{told}");
    let (code, told) = bad.run(&file, &(at..at + 512), &["cat", source, "volume:/file 7"]);
    assert!(code != Some(0) && told.contains("cannot read"), "{told}");
    let names = std::fs::read_dir(&to).unwrap().count();
    assert_eq!(names, FILES - 1);
}

/// What was hashed is a whole band; what is lost is the file that the bad bytes lie in.
#[test]
fn a_band_that_cannot_be_hashed_costs_what_the_bad_bytes_hit() {
    let test = "a_band_that_cannot_be_hashed_costs_what_the_bad_bytes_hit";
    let Some(bad) = Bad::new(test) else { return };
    let text = Content::text(7, 3007).to_vec();
    let image = bad.disk.to_vec();
    let at = image.windows(text.len()).position(|w| w == text).unwrap() as u64;
    let source = bad.bundle();
    let band = format!("{:x}", at / BAND);
    let (file, from) = (source.join("bands").join(&band), at % BAND);
    // Others lie in the same band.
    let bytes = std::fs::read(&file).unwrap();
    let others = (0..FILES).map(|n| Content::text(n as u64, 3000 + n).to_vec());
    assert!(others.filter(|o| bytes.windows(64).any(|w| *w == o[..64])).count() > 3);
    let source = source.to_str().unwrap();
    for more in [&["--manifest"][..], &["--manifest", "--read-data"], &["--read-data"]] {
        let args = [&["verify", "--json"], more, &[source]].concat();
        let (code, told) = bad.run(&file, &(from..from + 512), &args);
        assert_eq!(code, Some(1), "{told}");
        let json: serde_json::Value = serde_json::from_str(&told).unwrap();
        let findings = json["sources"][0]["findings"].as_array().unwrap();
        let hit: std::collections::BTreeSet<&str> = findings
            .iter()
            .flat_map(|f| f["costs"]["affected"].as_array().into_iter().flatten())
            .map(|a| a["address"].as_str().unwrap())
            .collect();
        assert_eq!(hit.into_iter().collect::<Vec<_>>(), ["volume:/file 7"], "{more:?} {told}");
    }
}
