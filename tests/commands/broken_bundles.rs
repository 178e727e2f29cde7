//! Bundles of which a part is lost, wrong or under another name: read in spite of it, and
//! nobody told to remove what may be the only copy.

use crate::common::{copy_demo, info_plist, tmbundle};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const FILE: &str = "latest:/Macintosh HD/Users/anna/Documents";

pub(super) struct Demo {
    _dir: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl Demo {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Demo.sparsebundle");
        copy_demo(&path);
        Self { _dir: dir, path }
    }

    pub(super) fn str(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn list(&self, more: &[&str]) -> String {
        let mut args = vec!["ls", self.str(), FILE];
        args.extend(more);
        let ran = tmbundle(&args);
        ran.expect(0, &[]);
        ran.out
    }

    pub(super) fn findings(&self) -> Vec<Value> {
        let ran = tmbundle(&["verify", "--json", self.str()]);
        let document: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"));
        document["sources"][0]["findings"].as_array().unwrap().clone()
    }

    #[track_caller]
    pub(super) fn one(&self, code: &str) -> Value {
        let all = self.findings();
        let found = all.iter().find(|f| f["code"] == code);
        found.unwrap_or_else(|| panic!("no {code} in {all:#?}")).clone()
    }

    /// No text tells to remove anything.
    pub(super) fn nothing_to_remove(&self) {
        let ran = tmbundle(&["verify", "--all", self.str()]);
        let said = ran.out.to_lowercase();
        for word in ["harmless; remove", "remove it", "delete it"] {
            assert!(!said.contains(word), "'{word}' in {}", ran.out);
        }
    }
}

#[test]
fn nobody_is_told_to_repair_what_lies_in_a_lost_band() {
    // The last band has the backup of the partition map, and nothing else.
    let demo = Demo::new();
    std::fs::remove_file(demo.at("bands/400")).unwrap();
    let found = demo.one("PART-GPT-BACKUP");
    let (message, remedy) = (found["message"].as_str().unwrap(), found["remedy"].as_str().unwrap());
    assert!(message.contains("band 400 is missing"), "{found:#}");
    assert!(remedy.starts_with("Look for the missing bands first"), "{found:#}");
    // The first one has the beginning of everything.
    for band in ["0", "8", "9"] {
        std::fs::remove_file(demo.at(&format!("bands/{band}"))).unwrap();
    }
    tmbundle(&["ls", demo.str(), FILE]).expect(3, &["its beginning is lost: band 0 is missing"]);
}

#[test]
fn too_few_descriptors_to_begin_are_told_with_what_helps() {
    let line = "ulimit -n 10; exec \"$0\" verify \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_tmbundle"), Demo::new().str()]);
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(said.contains("Too many open files") && said.contains("ulimit -n"), "{said}");
}

#[test]
fn a_lost_folder_of_bands_is_told_as_that() {
    let demo = Demo::new();
    let told = |words: &[&str]| {
        let ran = tmbundle(&["verify", "--all", demo.str()]);
        ran.expect(1, &[&["BUNDLE-BANDS-LOST", "everything else not checked"], words].concat());
        assert!(!ran.out.contains("band size"), "{ran:#?}");
        tmbundle(&["ls", demo.str()]).expect(1, words);
    };
    std::fs::rename(demo.at("bands"), demo.at("bands 2")).unwrap();
    told(&["the folder is missing", "'bands 2'"]);
    std::os::unix::fs::symlink("bands 2", demo.at("bands")).unwrap();
    told(&["a symbolic link, which is not followed", "'bands 2'"]);
    std::fs::remove_file(demo.at("bands")).unwrap();
    std::fs::write(demo.at("bands"), "").unwrap();
    std::fs::remove_dir_all(demo.at("bands 2")).unwrap();
    told(&["it is no folder"]);
}

#[test]
fn geometry_comes_from_the_bands_where_both_lists_are_lost() {
    let demo = Demo::new();
    let (whole, size) = (demo.list(&[]), demo_size(&demo).to_string());
    for name in ["Info.plist", "Info.bckup"] {
        std::fs::write(demo.at(name), b"").unwrap();
    }
    assert_eq!(demo.list(&[]), whole);
    let lost = demo.one("BUNDLE-INFO-LOST");
    assert!(lost["message"].as_str().unwrap().contains("1048576"), "{lost:#}");
    // Numbers of one's own count before the guess, the wrong ones as well.
    assert_eq!(demo.list(&["--band-size", "1M", "--size", &size]), whole);
    let wrong = tmbundle(&["ls", demo.str(), FILE, "--band-size", "2M"]);
    assert_ne!((wrong.code, &wrong.out), (Some(0), &whole), "{wrong:#?}");
    tmbundle(&["ls", demo.str(), FILE, "--size", "5M"]).expect(1, &[]);
    // Another name.
    std::fs::write(demo.at("Info (1).plist"), info_plist(1 << 20, 1 << 30)).unwrap();
    assert_eq!(demo.list(&[]), whole);
    assert!(demo.one("BUNDLE-INFO-LOST")["message"].as_str().unwrap().contains("Info (1).plist"));
}

/// The size that the demo's own list has.
pub(super) fn demo_size(demo: &Demo) -> u64 {
    let text = std::fs::read_to_string(demo.at("Info.plist")).unwrap();
    let after = text.split("<key>size</key>").nth(1).unwrap();
    let number = after.split("<integer>").nth(1).unwrap().split('<').next().unwrap();
    number.parse().unwrap()
}

#[test]
fn numbers_that_the_bands_contradict_are_not_believed() {
    let demo = Demo::new();
    let (whole, size) = (demo.list(&[]), demo_size(&demo));
    for (band_size, size) in [(8 << 20, size), (512 << 10, size), (1 << 20, 5 << 20)] {
        for name in ["Info.plist", "Info.bckup"] {
            std::fs::write(demo.at(name), info_plist(band_size, size)).unwrap();
        }
        assert_eq!(demo.list(&[]), whole, "{band_size} {size}");
        assert_eq!(demo.one("BUNDLE-INFO-WRONG")["severity"], "damage");
    }
}

#[test]
fn utf_16_lists_are_lists() {
    let demo = Demo::new();
    let whole = demo.list(&[]);
    let text = std::fs::read_to_string(demo.at("Info.plist")).unwrap();
    let units = text.replace("UTF-8", "UTF-16");
    let bytes: Vec<u8> =
        [0xFEFF].into_iter().chain(units.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    std::fs::write(demo.at("Info.plist"), &bytes).unwrap();
    std::fs::write(demo.at("Info.bckup"), &bytes).unwrap();
    assert_eq!(demo.list(&[]), whole);
    let all = demo.findings();
    assert!(
        !all.iter().any(|f| f["code"].as_str().unwrap().starts_with("BUNDLE-INFO")),
        "{all:#?}"
    );
}

#[test]
fn few_descriptors_are_no_damage() {
    let demo = Demo::new();
    let run = |limit: &str| {
        let state = tempfile::tempdir().unwrap();
        let line = format!(
            "ulimit -n {limit}; exec {} verify --state-dir {} --read-data --verbose {}",
            env!("CARGO_BIN_EXE_tmbundle"),
            state.path().display(),
            demo.str()
        );
        Command::new("sh").arg("-c").arg(line).output().unwrap()
    };
    // Small bands: far more of them than descriptors.
    let small = demo.path.with_extension("small.sparsebundle");
    let disk = tmbundle::disk::Disk::open(&demo.path).unwrap().bytes().unwrap();
    std::fs::create_dir_all(small.join("bands")).unwrap();
    std::fs::write(small.join("token"), b"").unwrap();
    std::fs::write(small.join("Info.plist"), info_plist(8192, disk.len())).unwrap();
    std::fs::write(small.join("Info.bckup"), info_plist(8192, disk.len())).unwrap();
    for n in 0..disk.len() / 8192 {
        let bytes = tmbundle::io::read_vec(&*disk, n * 8192, 8192).unwrap();
        if bytes.iter().any(|b| *b != 0) {
            std::fs::write(small.join(format!("bands/{n:x}")), bytes).unwrap();
        }
    }
    std::fs::remove_dir_all(&demo.path).unwrap();
    std::fs::rename(small, &demo.path).unwrap();
    assert!(std::fs::read_dir(demo.at("bands")).unwrap().count() > 100);
    for limit in ["24", "64", "200"] {
        let out = run(limit);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(0), "{limit}: {said} {out:?}");
    }
}

#[test]
fn a_bundle_that_goes_away_is_an_error_not_zeros() {
    use tmbundle::io::ReadAt;
    let demo = Demo::new();
    let disk = tmbundle::disk::Disk::open(&demo.path).unwrap();
    let bytes = disk.bytes().unwrap();
    let mut buf = vec![0; 4096];
    let missing = 5 << 20;
    bytes.read_at(&mut buf, missing).unwrap();
    // One band that was there.
    std::fs::remove_file(demo.at("bands/9")).unwrap();
    assert!(bytes.read_at(&mut buf, 9 << 20).is_err());
    assert!(disk.bundle().unwrap().bands().still_there().is_err());
    // All of it: also what was never there is no longer known to be zeros.
    std::fs::remove_dir_all(&demo.path).unwrap();
    assert!(bytes.read_at(&mut buf, 6 << 20).is_err());
    std::fs::create_dir_all(demo.at("bands")).unwrap();
    assert!(bytes.read_at(&mut buf, 7 << 20).is_err());
}

/// A library that answers the n-th read with an I/O error.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
static long count;
static ssize_t (*next)(int, void *, size_t, off_t);
static ssize_t take(int fd, void *b, size_t n, off_t o, const char *name) {
    next = (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, name);
    const char *nth = getenv("EIO_NTH");
    if (nth && __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) == atol(nth)) { errno = EIO; return -1; }
    return next(fd, b, n, o);
}
ssize_t pread(int fd, void *b, size_t n, off_t o) { return take(fd, b, n, o, "pread"); }
ssize_t pread64(int fd, void *b, size_t n, off_t o) { return take(fd, b, n, o, "pread64"); }
"#;

fn run_with(shim: &Path, n: usize, args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(args)
        .env("LD_PRELOAD", shim)
        .env("EIO_NTH", n.to_string())
        .output()
        .unwrap()
}

#[test]
fn the_nth_read_may_fail_and_nothing_wrong_is_given() {
    let demo = Demo::new();
    let code = demo.path.with_extension("c");
    let shim = demo.path.with_extension("so");
    std::fs::write(&code, SHIM).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&shim, &code]).status();
    if !built.is_ok_and(|s| s.success()) {
        crate::common::skipped("the_nth_read_may_fail: no C compiler");
        return;
    }
    // Where a band is read to be hashed, the finding is that band's.
    let state = demo.path.with_extension("state");
    let args =
        ["verify", "--quiet", "--manifest", "--state-dir", state.to_str().unwrap(), demo.str()];
    let told = (1..250).any(|n| {
        let out = run_with(&shim, n, &args);
        let _ = std::fs::remove_dir_all(&state);
        String::from_utf8_lossy(&out.stdout).contains("BAND-UNREADABLE")
    });
    assert!(told, "no read of a band for its hash was met");
    let run = |n: usize, args: &[&str]| run_with(&shim, n, args);
    let file = format!("{FILE}/Diary.txt");
    for args in [
        &["ls", "-R", demo.str(), FILE][..],
        &["cat", demo.str(), &file],
        &["snapshots", demo.str()],
    ] {
        let whole = run(0, args);
        assert_eq!(whole.status.code(), Some(0), "{whole:?}");
        let (mut failed, mut right, mut n) = (0, 0, 1);
        // Until runs need fewer reads than that.
        while right < 20 && n < 200 {
            let out = run(n, args);
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            match out.status.code() {
                Some(0) => {
                    assert!(out.stdout == whole.stdout, "read {n} of {args:?}: {out:?}");
                    right += 1;
                }
                Some(1 | 3) => {
                    assert!(!said.is_empty(), "read {n} of {args:?}");
                    assert!(!said.contains("not a Time Machine"), "read {n}: {said}");
                    assert!(whole.stdout.starts_with(&out.stdout) || args[0] != "cat", "{n}");
                    (failed, right) = (failed + 1, 0);
                }
                code => panic!("read {n} of {args:?}: {code:?} {said}"),
            }
            n += 1;
        }
        assert!(failed > 0 && right >= 20, "{args:?}: {failed} failed, {right} right");
    }
}

#[test]
fn lists_and_age_are_checked_where_the_bands_are_lost() {
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/Demo.sparsebundle");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Demo.sparsebundle");
    std::fs::create_dir(&path).unwrap();
    for entry in std::fs::read_dir(demo).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
        }
    }
    let ran = tmbundle(&["verify", "--json", "--max-age", "1d", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let source = &serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["sources"][0];
    let codes: Vec<&str> = source["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["code"].as_str().unwrap())
        .collect();
    assert!(codes.contains(&"BUNDLE-BANDS-LOST") && codes.contains(&"TM-STALE"), "{codes:?}");
    assert!(source["last_completed"].is_number(), "{source:#}");
    std::fs::write(path.join("com.apple.TimeMachine.SnapshotHistory.plist"), "<plist").unwrap();
    tmbundle(&["verify", path.to_str().unwrap()]).expect(1, &["SnapshotHistory.plist"]);
}
