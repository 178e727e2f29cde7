//! Bytes that are not there are never given as if they were: one judgement for `verify`,
//! `cat` and the mount. What a file holds is known from what went in.

use super::holes::punch;
use crate::common;
use crate::common::tmbundle;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;
use tools::timemachine::CHECKSUM;

pub(super) const BAND: u64 = 1 << 20;
const START: i64 = 1_572_686_100;

/// Where a mark lies in the bands.
pub(super) fn bands_with(bundle: &Path, mark: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(bundle.join("bands")).unwrap() {
        let path = entry.unwrap().path();
        if std::fs::read(&path).unwrap().windows(mark.len()).any(|w| w == mark) {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort_by_key(|n| u64::from_str_radix(n, 16).unwrap());
    found
}

fn bytes(name: &str, len: usize) -> Vec<u8> {
    format!("<<{name}>>").into_bytes().into_iter().cycle().take(len).collect()
}

/// A bundle with small files, one large file, one that is zeros in its middle, and a link.
pub(super) struct Sample {
    _dir: tempfile::TempDir,
    pub(super) path: PathBuf,
}

const BIG: usize = 5 << 20;
const TARGET: &str = "where/the/link/leads/to";

impl Sample {
    pub(super) fn new(options: &BundleOptions) -> Self {
        let mut volume = VolumeBuilder::new(VolumeOptions {
            size: 24 << 20,
            created: START,
            ..VolumeOptions::default()
        });
        let root = volume.root();
        let meta = || Meta::file().dated(START);
        for n in 0..8 {
            let name = format!("small{n}");
            volume.file(root, &name, Content::Bytes(bytes(&name, 200_000)), meta());
        }
        volume.symlink(root, "link", TARGET, meta());
        volume.file(root, "big", Content::Bytes(bytes("big", BIG)), meta());
        let summed = bytes("summed", BIG);
        let sum = tools::cksum::cksum(&summed);
        let file = volume.file(root, "summed", Content::Bytes(summed), meta());
        volume.set_xattr(file, CHECKSUM, sum.to_le_bytes().to_vec());
        // Zeros in the middle that a bundle has no bands for; one with its checksum.
        for (name, sum) in [("sparse", false), ("sparse_summed", true)] {
            let mut sparse = bytes(name, BIG);
            sparse[1 << 20..4 << 20].fill(0);
            let found = tools::cksum::cksum(&sparse);
            let file = volume.file(root, name, Content::Bytes(sparse), meta());
            if sum {
                volume.set_xattr(file, CHECKSUM, found.to_le_bytes().to_vec());
            }
        }
        let volume = volume.build();
        let (disk, _) = Gpt::default().wrap(&volume.image);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Mac.sparsebundle");
        bundle::write(&disk, &path, &BundleOptions { band_size: BAND, ..options.clone() }).unwrap();
        Self { _dir: dir, path }
    }

    pub(super) fn cat(&self, name: &str, more: &[&str]) -> std::process::Output {
        let at = format!("volume:/{name}");
        let mut args = vec!["cat", self.path.to_str().unwrap(), &at];
        args.extend(more);
        self.run(&common::state_home(), &args)
    }

    /// Run with what is remembered in `state`.
    fn run(&self, state: &Path, args: &[&str]) -> std::process::Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"));
        command.args(args).env("XDG_STATE_HOME", state).output().unwrap()
    }

    /// The band that all blocks of a small file lie in, their first byte in it, their length.
    pub(super) fn place_of(&self, name: &str) -> (String, u64, u64) {
        let mark = format!("<<{name}>>");
        let bands = bands_with(&self.path, mark.as_bytes());
        let [band] = bands.as_slice() else { panic!("{name} lies in {bands:?}") };
        let bytes = std::fs::read(self.band(band)).unwrap();
        let at = bytes.windows(mark.len()).position(|w| w == mark.as_bytes()).unwrap() as u64;
        (band.clone(), at, 200_000u64.next_multiple_of(4096))
    }

    pub(super) fn band(&self, name: &str) -> PathBuf {
        self.path.join("bands").join(name)
    }

    pub(super) fn findings(&self, code: &str) -> Vec<Value> {
        let ran = tmbundle(&["verify", "--json", self.path.to_str().unwrap()]);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        let all = document["sources"][0]["findings"].as_array().unwrap().clone();
        all.into_iter().filter(|f| f["code"] == code).collect()
    }

    /// What is said of a band that is lost.
    pub(super) fn finding_of(&self, band: &str) -> Value {
        let mut found = self.findings("BAND-LOST");
        found.retain(|f| f["where"]["band"] == band);
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }
}

#[track_caller]
pub(super) fn lost(output: &std::process::Output, band: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("are lost") && said.contains(&format!("band {band} ")), "{said}");
}

#[test]
fn a_missing_band_under_small_files_is_an_error_that_names_it() {
    let s = Sample::new(&BundleOptions::default());
    let all: Vec<String> = (0..8).map(|n| format!("small{n}")).collect();
    let band = bands_with(&s.path, b"<<small3>>").pop().unwrap();
    let hit: Vec<&String> = all
        .iter()
        .filter(|n| bands_with(&s.path, format!("<<{n}>>").as_bytes()).contains(&band))
        .collect();
    assert!(hit.len() > 1, "{hit:?}");
    std::fs::remove_file(s.band(&band)).unwrap();
    for name in &all {
        let out = s.cat(name, &[]);
        if hit.contains(&name) {
            lost(&out, &band);
            // The rest of it can be had, and is told.
            let rest = s.cat(name, &["--lost-as-zeros"]);
            let said = String::from_utf8_lossy(&rest.stderr).into_owned();
            assert_eq!(rest.status.code(), Some(1), "{said}");
            assert!(said.contains("given as zeros"), "{said}");
            let whole = bytes(name, 200_000);
            assert_eq!(rest.stdout.len(), whole.len());
            let agree = rest.stdout.iter().zip(&whole).all(|(a, b)| a == b || *a == 0);
            assert!(agree, "{name}");
        } else {
            assert_eq!(out.status.code(), Some(0), "{name}: {out:?}");
            assert!(out.stdout == bytes(name, 200_000), "{name}");
        }
    }
    let found = s.finding_of(&band);
    assert_eq!(found["severity"], "damage");
    assert_eq!(found["costs"]["files"], hit.len());
}

#[test]
fn a_short_band_is_judged_like_a_missing_one() {
    let s = Sample::new(&BundleOptions::default());
    let band = bands_with(&s.path, b"<<small3>>").pop().unwrap();
    let file = std::fs::File::options().write(true).open(s.band(&band)).unwrap();
    file.set_len(4096).unwrap();
    lost(&s.cat("small3", &[]), &band);
}

#[test]
fn a_band_out_of_the_midst_of_a_files_data_is_lost() {
    let s = Sample::new(&BundleOptions::default());
    for name in ["big", "summed"] {
        let mark = format!("<<{name}>>");
        let bands = bands_with(&s.path, mark.as_bytes());
        // Two in a row as well: what is around both decides.
        for some in [&bands[2..3], &bands[2..4]] {
            let kept: Vec<_> = some.iter().map(|b| std::fs::read(s.band(b)).unwrap()).collect();
            some.iter().for_each(|b| std::fs::remove_file(s.band(b)).unwrap());
            let out = s.cat(name, &[]);
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            lost(&out, &some[0]);
            let why = if name == "big" { "data right up to both ends" } else { "checksum" };
            assert!(said.contains("data right up") || said.contains(why), "{said}");
            // All of the band, not the piece that was read first.
            let number = |n: &str| n.parse::<u64>().unwrap();
            let range = said.split("bytes ").nth(1).unwrap().split(" are lost").next().unwrap();
            let (first, last) = range.split_once(" to ").unwrap();
            assert_eq!(number(last) + 1 - number(first), BAND, "{said}");
            for band in some {
                assert_eq!(s.finding_of(band)["severity"], "damage");
            }
            let verify = tmbundle(&["verify", s.path.to_str().unwrap()]);
            verify.expect(1, &["BAND-LOST"]);
            some.iter().zip(kept).for_each(|(b, k)| std::fs::write(s.band(b), k).unwrap());
        }
    }
}

#[test]
fn a_band_cut_within_a_chunk_of_its_cipher_is_a_short_band() {
    let encryption = Some(tools::bundle::Encryption::with_password("pw"));
    let s = Sample::new(&BundleOptions { encryption, ..BundleOptions::default() });
    let run = |args: &[&str]| crate::common::tmbundle_with(&[("TMBUNDLE_PASSWORD", "pw")], args);
    let (path, file) = (s.path.to_str().unwrap(), "volume:/big");
    for n in 4..20u64 {
        let band = s.path.join(format!("bands/{n:x}"));
        let Ok(kept) = std::fs::read(&band) else { continue };
        std::fs::write(&band, &kept[..500_003]).unwrap();
        let verify = run(&["verify", path]);
        if verify.out.contains("/big") && !verify.out.contains("small") {
            verify.expect(1, &["BAND-LOST", "data right up to both ends"]);
            run(&["cat", path, file]).expect(1, &["are lost", &format!("band {n:x} ends after")]);
            let zeros = run(&["cat", path, file, "--lost-as-zeros"]);
            assert_eq!((zeros.code, zeros.out.len()), (Some(1), BIG), "{}", zeros.err);
            return;
        }
        std::fs::write(&band, kept).unwrap();
    }
    panic!("no band holds nothing but a part of the file");
}

#[test]
fn zeros_in_a_larger_file_are_doubtful_and_told_once() {
    let s = Sample::new(&BundleOptions::default());
    let out = s.cat("sparse", &[]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("may be lost"), "{said}");
    assert_eq!(said.lines().count(), 1, "told once: {said}");
    assert_eq!(out.stdout.len(), BIG);
    // verify says the same of it: it is told, and is no damage.
    let verify = tmbundle(&["verify", s.path.to_str().unwrap()]);
    verify.expect(0, &["BAND-LOST", "/sparse"]);
    tmbundle(&["verify", "--fail-on=warning", s.path.to_str().unwrap()]).expect(1, &[]);
}

#[test]
fn zeros_that_were_never_written_are_no_loss() {
    let s = Sample::new(&BundleOptions::default());
    // The writer makes no band for zeros, as a Mac does.
    let out = s.cat("sparse_summed", &[]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(&out.stdout[1 << 20..4 << 20], vec![0; 3 << 20]);
    let out = s.cat("sparse", &[]);
    assert_eq!(out.status.code(), Some(1), "nobody can tell");
    // Of the two, only the one without a checksum is doubtful for verify as well.
    for found in s.findings("BAND-LOST") {
        assert_eq!(found["severity"], "warning", "{found:#}");
        assert!(found.to_string().contains("/sparse\""), "{found:#}");
    }
}

#[test]
fn what_an_earlier_run_has_read_is_lost_for_every_command() {
    let s = Sample::new(&BundleOptions::default());
    // A band amidst those that are not there, with zeros up to both ends and a word between.
    let bands = bands_with(&s.path, b"<<sparse>>");
    let number = |n: &str| u64::from_str_radix(n, 16).unwrap();
    let (first, last) = (number(&bands[0]), number(bands.last().unwrap()));
    let absent: Vec<u64> = (first..last).filter(|n| !s.band(&format!("{n:x}")).exists()).collect();
    assert!(absent.len() >= 2, "{absent:?}");
    let band = format!("{:x}", absent[0]);
    let mut bytes = vec![0; BAND as usize];
    bytes[500_000..500_004].copy_from_slice(b"word");
    std::fs::write(s.band(&band), bytes).unwrap();
    let state = tempfile::tempdir().unwrap();
    let source = s.path.to_str().unwrap();
    let out = s.run(state.path(), &["verify", "--manifest", source]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    std::fs::remove_file(s.band(&band)).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Who remembers nothing can only doubt.
    assert!(text(&s.cat("sparse", &[]).stderr).contains("may be lost"));
    let why = "an earlier verify --manifest has read it";
    let out = s.run(state.path(), &["cat", source, "volume:/sparse"]);
    lost(&out, &band);
    assert!(text(&out.stderr).contains(why), "{out:?}");
    let to = tempfile::tempdir().unwrap();
    let to = to.path().to_str().unwrap();
    let out = s.run(state.path(), &["extract", source, "volume:/sparse", "--to", to]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(text(&out.stderr).contains(&format!("are lost: band {band} is missing")), "{out:?}");
    // Of a verification that keeps no manifest itself, too; what is kept is not touched.
    for _ in 0..2 {
        let out = s.run(state.path(), &["verify", source]);
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        assert!(text(&out.stdout).contains(why), "{out:?}");
    }
    // Nor does the damage go away by itself because a Mac wrote to another band meanwhile.
    let other = s.band(&bands_with(&s.path, b"<<big>>")[1]);
    std::fs::write(&other, std::fs::read(&other).unwrap()).unwrap();
    for _ in 0..3 {
        let out = s.run(state.path(), &["verify", "--manifest", source]);
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        assert!(text(&out.stdout).contains(why), "{out:?}");
        assert!(!text(&out.stdout).contains("BAND-GONE"), "{out:?}");
    }
    // A Mac that went on for long after that run may have given the band back.
    let history = s.path.join("com.apple.TimeMachine.SnapshotHistory.plist");
    for (day, old) in [("2019-11-13", false), ("2199-01-01", true)] {
        let plist = format!(
            "<plist><dict><key>Snapshots</key><array><dict>\
             <key>com.apple.backupd.SnapshotCompletionDate</key><date>{day}T10:00:00Z</date>\
             <key>com.apple.backupd.SnapshotName</key><string>{day}-090000</string>\
             </dict></array></dict></plist>"
        );
        std::fs::write(&history, plist).unwrap();
        let out = s.run(state.path(), &["cat", source, "volume:/sparse"]);
        assert_eq!(text(&out.stderr).contains("may be lost"), old, "{out:?}");
        assert_eq!(text(&out.stderr).contains(why), !old, "{out:?}");
    }
    std::fs::remove_file(history).unwrap();
    #[cfg(feature = "mount")]
    if crate::mounting::possible("what_an_earlier_run_has_read_is_lost_for_every_command") {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        let out = s.run(state.path(), &["mount", source, at]);
        let volume = std::fs::read_dir(dir.path().join("volumes")).unwrap().next();
        let read = volume.map(|v| std::fs::read(v.unwrap().path().join("sparse")));
        s.run(state.path(), &["umount", "--lazy", at]);
        let error = read.unwrap_or_else(|| panic!("{out:?}")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
    }
}

/// Zeros in place of a part would make other garbage of the rest, or none: nobody is told to ask
/// for them.
#[test]
fn of_a_compressed_file_no_zeros_are_given_nor_advised() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Demo.sparsebundle");
    common::copy_demo(&bundle);
    std::fs::remove_file(bundle.join("bands/9")).unwrap();
    let source = bundle.to_str().unwrap();
    let file = "latest:/Macintosh HD/usr/share/type 8 manual.txt";
    for more in [&[][..], &["--lost-as-zeros"]] {
        let ran = tmbundle(&[&["cat", source, file], more].concat());
        ran.expect(1, &["are lost: band 9 is missing", "of a compressed file zeros are no part"]);
        assert!(ran.out.is_empty() && !ran.err.contains("--lost-as-zeros"), "{ran:#?}");
        let to = dir.path().join(format!("out{}", more.len()));
        let args = ["extract", source, file, "--to", to.to_str().unwrap()];
        let ran = tmbundle(&[&args, more].concat());
        ran.expect(1, &["not restored", "of a compressed file zeros are no part"]);
        assert!(!to.join("type 8 manual.txt").exists());
    }
}

#[test]
fn a_link_whose_target_lies_in_a_hole_is_lost() {
    let s = Sample::new(&BundleOptions::default());
    let band = bands_with(&s.path, TARGET.as_bytes()).pop().unwrap();
    let bytes = std::fs::read(s.band(&band)).unwrap();
    let at = bytes.windows(TARGET.len()).position(|w| w == TARGET.as_bytes()).unwrap() as u64;
    if !punch(&s.band(&band), at / 4096 * 4096, 4096) {
        return;
    }
    let to = tempfile::tempdir().unwrap();
    let ran = tmbundle(&[
        "extract",
        s.path.to_str().unwrap(),
        "volume:/link",
        "--to",
        to.path().to_str().unwrap(),
    ]);
    ran.expect(1, &["link", "lost", &format!("band {band} ")]);
    assert!(std::fs::symlink_metadata(to.path().join("link")).is_err(), "made all the same");
    let ran = tmbundle(&["ls", "-l", s.path.to_str().unwrap(), "volume:/link"]);
    ran.expect(1, &["link -> ?", "its target"]);
    assert_eq!(s.finding_of(&band)["severity"], "damage");
}

/// No system can make such a link again: that is damage, as who restores it finds.
#[test]
fn a_link_whose_target_holds_zeros_is_damaged() {
    let s = Sample::new(&BundleOptions::default());
    let path = s.band(&bands_with(&s.path, TARGET.as_bytes())[0]);
    let whole = std::fs::read(&path).unwrap();
    let found = whole.windows(TARGET.len()).position(|w| w == TARGET.as_bytes());
    let at = found.unwrap();
    for zeros in [0..TARGET.len(), 5..7] {
        let mut bytes = whole.clone();
        bytes[at + zeros.start..at + zeros.end].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let source = s.path.to_str().unwrap();
        tmbundle(&["verify", "--read-data", source]).expect(1, &["DAMAGE", "HFS-SYMLINK", "/link"]);
        let out = s.path.with_extension("out");
        let args = ["extract", source, "volume:/link", "--to", out.to_str().unwrap()];
        tmbundle(&args).expect(1, &["link"]);
    }
}

#[test]
fn a_file_beside_the_bands_that_may_be_the_lost_one_is_named() {
    let s = Sample::new(&BundleOptions::default());
    let bands = bands_with(&s.path, b"<<big>>");
    let middle = &bands[bands.len() / 2];
    let stray = format!("{middle}.sync-conflict-20240101-101010");
    std::fs::rename(s.band(middle), s.band(&stray)).unwrap();
    let out = s.cat("big", &[]);
    lost(&out, middle);
    assert!(String::from_utf8_lossy(&out.stderr).contains(&stray));
}

/// Of many bands in a row that are not there, nothing is read: each is judged all the same.
#[test]
fn a_lost_band_amid_bands_that_were_never_written_is_found() {
    let mut volume =
        VolumeBuilder::new(VolumeOptions { size: 24 << 20, ..VolumeOptions::default() });
    let mut wide = bytes("wide", 12 << 20);
    wide[2 << 20..10 << 20].fill(0);
    volume.file(volume.root(), "wide", Content::Bytes(wide), Meta::file());
    let (disk, _) = Gpt::default().wrap(&volume.build().image);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
    bundle::write(&disk, &path, &options).unwrap();
    let s = Sample { _dir: dir, path };
    let number = |name: &String| u64::from_str_radix(name, 16).unwrap();
    let there: Vec<u64> = bands_with(&s.path, b"<<wide>>").iter().map(number).collect();
    let gap = there.windows(2).find(|w| w[1] > w[0] + 6).expect("bands of zeros are left out");
    let restored = |to: &str, code: i32, said: &[&str]| {
        let to = s.path.with_file_name(to);
        let source = s.path.to_str().unwrap();
        let args = ["extract", source, "volume:/wide", "--no-sync", "--to", to.to_str().unwrap()];
        tmbundle(&args).expect(code, said);
        to.join("wide").exists()
    };
    assert!(restored("doubtful", 1, &["may be lost"]));
    let middle = format!("{:x}", gap[0] + 3);
    let stray = format!("{middle}.sync-conflict-20240101-101010");
    std::fs::write(s.band(&stray), bytes("wide", BAND as usize)).unwrap();
    let band = format!("band {middle} is missing");
    assert!(!restored("stray", 1, &[&band, &stray, "are lost"]));
    std::fs::remove_file(s.band(&stray)).unwrap();
    // What the bundle's own record tells of one of them counts as well.
    std::fs::create_dir(s.path.join("mapped")).unwrap();
    std::fs::write(s.path.join("mapped").join(&middle), [0xFF; 32]).unwrap();
    assert!(!restored("mapped", 1, &[&band, "mapped/", "are lost"]));
}

/// The value of an attribute; `None` if there is none.
#[cfg(feature = "mount")]
fn attribute(path: &Path, name: &str) -> Option<String> {
    let mut value = vec![0; 4096];
    let n = rustix::fs::getxattr(path, name, &mut value[..]).ok()?;
    Some(String::from_utf8_lossy(&value[..n]).into_owned())
}

#[cfg(feature = "mount")]
#[test]
fn the_mount_marks_and_logs_a_doubtful_file() {
    let test = "the_mount_marks_and_logs_a_doubtful_file";
    if !crate::mounting::possible(test) {
        return;
    }
    let s = Sample::new(&BundleOptions::default());
    let log = s.path.with_file_name("log");
    let mount = crate::mounting::Mount::new(&s.path, &["--log-file", log.to_str().unwrap()]);
    let root = mount.volume();
    const MARK: &str = "user.tmbundle.doubtful";
    let told = attribute(&root.join("sparse"), MARK).expect("it is marked");
    assert!(told.contains("may be lost") && told.contains("band "), "{told}");
    let mut names = vec![0; 4096];
    let n = rustix::fs::listxattr(root.join("sparse"), &mut names[..]).unwrap();
    assert!(names[..n].split(|b| *b == 0).any(|name| name == MARK.as_bytes()));
    for sound in ["small0", "big", "sparse_summed"] {
        assert_eq!(attribute(&root.join(sound), MARK), None, "{sound}");
    }
    for _ in 0..2 {
        assert_eq!(std::fs::read(root.join("sparse")).unwrap().len(), BIG);
    }
    let said = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = said.lines().filter(|l| l.contains("may be lost")).collect();
    assert!(lines.len() == 1 && lines[0].contains("/sparse"), "{said}");
}
