//! Bundles of which a part is lost, wrong or under another name: read in spite of it, and
//! nobody told to remove what may be the only copy.

use crate::common::{copy_demo, info_plist, tmbundle};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE: &str = "latest:/Macintosh HD/Users/anna/Documents";

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

    fn list(&self, more: &[&str]) -> String {
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
fn demo_size(demo: &Demo) -> u64 {
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

/// The demo's disk in one file.
fn image(demo: &Demo, to: &Path) -> Vec<u8> {
    let disk = tmbundle::disk::Disk::open(&demo.path).unwrap().bytes().unwrap();
    let bytes = tmbundle::io::read_vec(&*disk, 0, 16 << 20).unwrap();
    std::fs::write(to, &bytes).unwrap();
    std::fs::File::options().write(true).open(to).unwrap().set_len(disk.len()).unwrap();
    bytes
}

#[test]
fn a_volume_whose_map_is_lost_is_found() {
    let demo = Demo::new();
    let whole = demo.list(&[]);
    let path = demo.path.with_extension("img");
    let mut bytes = image(&demo, &path);
    // Both copies of the map: the second lies behind what was copied.
    bytes[..20480].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let size = demo_size(&demo);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
    let source = path.to_str().unwrap();
    for more in [&[][..], &["--volume-offset", "20480"], &["--offset", "20K"]] {
        let args = [&["ls", source, FILE], more].concat();
        let ran = tmbundle(&args);
        ran.expect(0, &[]);
        assert_eq!(ran.out, whole, "{more:?}");
    }
    tmbundle(&["verify", source]).expect(1, &["PART-SEARCHED", "byte 20480"]);
    tmbundle(&["ls", source, FILE, "--partition", "7"]).expect(2, &["no partition 7"]);
    // It may begin anywhere.
    let moved = [vec![0; 123 * 512], bytes[20480..].to_vec()].concat();
    std::fs::write(&path, moved).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(size + (1 << 20)).unwrap();
    let ran = tmbundle(&["ls", source, FILE]);
    assert_eq!(ran.expect(0, &[]).out, whole);
}

#[test]
fn of_a_copy_that_is_cut_the_rest_is_read() {
    let demo = Demo::new();
    let whole = demo.list(&[]);
    let path = demo.path.with_extension("img");
    image(&demo, &path);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(900 << 20).unwrap();
    let source = path.to_str().unwrap();
    let ran = tmbundle(&["ls", source, FILE]);
    assert_eq!(ran.expect(0, &[]).out, whole);
    tmbundle(&["verify", source]).expect(1, &["DISK-CUT", "before the volume"]);
    // Behind the end of one file's first half.
    file.set_len(9 << 20).unwrap();
    let ran = tmbundle(&["cat", source, &format!("{FILE}/Diary.txt")]);
    assert!(ran.out.is_empty(), "{ran:?}");
    ran.expect(3, &["the copy is shorter than the volume"]);
}

#[test]
fn records_in_larger_units_are_understood() {
    let demo = Demo::new();
    let whole = demo.list(&[]);
    let path = demo.path.with_extension("img");
    let bytes = image(&demo, &path);
    let volume = &bytes[20480..];
    for unit in [512usize, 2048, 4096] {
        // An MBR with one partition of type AF at block 8.
        let mut disk = vec![0; 8 * unit];
        disk[450] = 0xAF;
        disk[454..458].copy_from_slice(&8u32.to_le_bytes());
        let count = u32::try_from((1u64 << 31) / unit as u64).unwrap();
        disk[458..462].copy_from_slice(&count.to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk.extend(volume);
        std::fs::write(&path, &disk).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(demo_size(&demo) * 2).unwrap();
        let ran = tmbundle(&["ls", path.to_str().unwrap(), FILE]);
        assert_eq!(ran.expect(0, &[]).out, whole, "MBR of {unit}");
        // An Apple map of blocks of that size.
        let mut disk = vec![0; 8 * unit];
        for (n, (kind, start, count)) in
            [("Apple_partition_map", 1u32, 7u32), ("Apple_HFSX", 8, count)].iter().enumerate()
        {
            let entry = &mut disk[(n + 1) * unit..(n + 1) * unit + 512];
            entry[..2].copy_from_slice(b"PM");
            entry[4..8].copy_from_slice(&2u32.to_be_bytes());
            entry[8..12].copy_from_slice(&start.to_be_bytes());
            entry[12..16].copy_from_slice(&count.to_be_bytes());
            entry[48..48 + kind.len()].copy_from_slice(kind.as_bytes());
        }
        disk.extend(volume);
        std::fs::write(&path, &disk).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(demo_size(&demo) * 2).unwrap();
        let ran = tmbundle(&["ls", path.to_str().unwrap(), FILE]);
        assert_eq!(ran.expect(0, &[]).out, whole, "Apple map of {unit}");
    }
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

/// A small volume without Time Machine, as an image's bytes.
fn small_volume() -> tools::image::Image {
    tools::samples::sample("basic").unwrap().build().image
}

#[test]
fn a_gpt_in_units_of_2048_bytes_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let map = tools::partition::Gpt { sector: 2048, first: 10, ..Default::default() };
    let (disk, start) = map.wrap(&small_volume());
    assert_eq!(start, 20_480);
    let path = dir.path().join("disk.sparsebundle");
    tools::bundle::write(&disk, &path, &tools::bundle::BundleOptions::default()).unwrap();
    let ran = tmbundle(&["verify", "-v", path.to_str().unwrap()]);
    ran.expect(0, &["GPT", "No damage"]);
    tmbundle(&["ls", path.to_str().unwrap(), "volume:"]).expect(0, &[]);
}

#[test]
fn every_command_names_core_storage_beside_a_readable_helper() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    // An Apple map: what is encrypted, then the helper with a volume of its own.
    let helper = small_volume();
    let bytes = helper.to_vec();
    let blocks = u32::try_from(bytes.len() / 512).unwrap();
    let mut disk = vec![0; 1024 * 512];
    let parts = [
        ("Apple_partition_map", 1u32, 63u32),
        ("Apple_CoreStorage", 64, 960),
        ("Apple_Boot", 1024, blocks),
    ];
    for (n, (kind, start, count)) in parts.iter().enumerate() {
        let entry = &mut disk[(n + 1) * 512..(n + 2) * 512];
        entry[..2].copy_from_slice(b"PM");
        entry[4..8].copy_from_slice(&3u32.to_be_bytes());
        entry[8..12].copy_from_slice(&start.to_be_bytes());
        entry[12..16].copy_from_slice(&count.to_be_bytes());
        entry[48..48 + kind.len()].copy_from_slice(kind.as_bytes());
    }
    disk.extend(bytes);
    std::fs::write(&path, &disk).unwrap();
    let (source, to) = (path.to_str().unwrap(), dir.path().join("to"));
    let to = to.to_str().unwrap();
    for args in [
        &["info", source][..],
        &["verify", "-v", source],
        &["snapshots", source],
        &["ls", source],
        &["ls", source, "latest:/"],
        &["cat", source, "latest:/x"],
        &["extract", source, "latest:/", "--to", to],
    ] {
        let ran = tmbundle(args);
        assert!(
            ran.out.contains("CoreStorage") || ran.err.contains("CoreStorage"),
            "{args:?}: {ran:#?}"
        );
    }
}

#[test]
fn core_storage_in_an_mbr_is_named_by_either_of_its_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    let mut disk = vec![0; 4 << 20];
    let (start, sectors) = (64, (disk.len() / 512 - 64) as u32);
    disk[450] = 0xAF;
    disk[454..458].copy_from_slice(&64u32.to_le_bytes());
    disk[458..462].copy_from_slice(&sectors.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    for header in [start * 512, disk.len() - 512] {
        let mut disk = disk.clone();
        disk[header + 10] = 0x10;
        disk[header + 88..header + 90].copy_from_slice(b"CS");
        std::fs::write(&path, disk).unwrap();
        for (command, code) in [("info", 0), ("verify", 0), ("ls", 3)] {
            tmbundle(&[command, path.to_str().unwrap()]).expect(code, &["CoreStorage"]);
        }
    }
}

#[test]
fn where_both_volume_headers_are_gone_nobody_is_told_to_delete_anything() {
    let demo = Demo::new();
    crate::common::zero_volume_header(&demo.path);
    // The other one: 1024 bytes before the end of the partition, wherever that is.
    for entry in std::fs::read_dir(demo.at("bands")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let all = bytes.len();
        for at in (0..all.saturating_sub(512)).step_by(512) {
            if matches!(&bytes[at..at + 4], b"H+\0\x04" | b"HX\0\x05") {
                bytes[at..at + 512].fill(0);
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let ran = tmbundle(&["verify", "--all", demo.str()]);
    ran.expect(1, &["DAMAGE"]);
    demo.nothing_to_remove();
    for word in ["never formatted", "new backup", "delete"] {
        assert!(!ran.out.to_lowercase().contains(word), "'{word}' in {}", ran.out);
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
