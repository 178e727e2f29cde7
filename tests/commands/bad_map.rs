//! A copy of a failing disk that ddrescue made, with its map. In the copy, what could not be
//! read is zeros or a hole; which blocks of which files these are is known from what they hold.

use crate::apfs_losses::Backups;
use crate::common::{self, Ran, tmbundle};
use serde_json::Value;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tools::apfs::timemachine::Carry;
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;

const BIG: usize = 3 << 20;
const SMALL: usize = 20_000;

fn bytes(name: &str, len: usize) -> Vec<u8> {
    format!("<<{name}>>").into_bytes().into_iter().cycle().take(len).collect()
}

/// The blocks of an image in which a mark stands, joined. All blocks of a file are full of
/// its mark.
fn blocks_with(image: &[u8], mark: &str) -> Vec<Range<u64>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    for (n, block) in (0u64..).zip(image.chunks(4096)) {
        if block.windows(mark.len()).any(|w| w == mark.as_bytes()) {
            match found.last_mut() {
                Some(last) if last.end == n * 4096 => last.end += 4096,
                _ => found.push(n * 4096..(n + 1) * 4096),
            }
        }
    }
    found
}

/// As ddrescue writes a map of which these ranges are bad.
fn map_of(bad: &[Range<u64>], len: u64) -> String {
    let mut text = "# Mapfile. Created by GNU ddrescue version 1.27\n0x0 + 3\n".to_owned();
    let mut at = 0;
    for r in bad {
        text += &format!("0x{at:08X}  0x{:08X}  +\n", r.start - at);
        text += &format!("0x{:08X}  0x{:08X}  -\n", r.start, r.end - r.start);
        at = r.end;
    }
    text + &format!("0x{at:08X}  0x{:08X}  +\n", len - at)
}

/// An image, in which ddrescue left zeros for what is bad, and its map.
struct Copy {
    dir: tempfile::TempDir,
    image: PathBuf,
    map: PathBuf,
}

impl Copy {
    fn new(image: &[u8], bad: &[Range<u64>]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (path, map) = (dir.path().join("disk.img"), dir.path().join("disk.map"));
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(image.len() as u64).unwrap();
        for (n, block) in (0u64..).zip(image.chunks(4096)) {
            let is_bad = bad.iter().any(|r| r.contains(&(n * 4096)));
            if !is_bad && block.iter().any(|b| *b != 0) {
                file.write_all_at(block, n * 4096).unwrap();
            }
        }
        std::fs::write(&map, map_of(bad, image.len() as u64)).unwrap();
        Self { dir, image: path, map }
    }

    /// Run a command on the copy with its map.
    fn run(&self, command: &str, more: &[&str]) -> Ran {
        let mut args = vec![command, self.image.to_str().unwrap()];
        args.extend(more);
        args.extend(["--bad-map", self.map.to_str().unwrap()]);
        tmbundle(&args)
    }

    fn findings(&self, more: &[&str]) -> Vec<Value> {
        let ran = self.run("verify", &[&["--json"], more].concat());
        let document: Value = serde_json::from_str(&ran.out).expect(&ran.err);
        document["sources"][0]["findings"].as_array().unwrap().clone()
    }

    /// Addresses of the files that are told as hit.
    fn hit(&self, more: &[&str]) -> Vec<String> {
        let mut found = self.findings(more);
        found.retain(|f| f["code"] == "DISK-NOT-RESCUED");
        let affected = found.iter().flat_map(|f| f["costs"]["affected"].as_array().unwrap());
        let mut names: Vec<String> =
            affected.map(|a| a["address"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

/// A disk with one HFS+ volume: small files, a large one, one that is zeros in its midst.
fn disk() -> Vec<u8> {
    let mut volume =
        VolumeBuilder::new(VolumeOptions { size: 16 << 20, ..VolumeOptions::default() });
    let root = volume.root();
    for n in 0..6 {
        let name = format!("small{n}");
        volume.file(root, &name, Content::Bytes(bytes(&name, SMALL)), Meta::file());
    }
    volume.file(root, "big", Content::Bytes(bytes("big", BIG)), Meta::file());
    let mut sparse = bytes("sparse", BIG);
    sparse[1 << 20..2 << 20].fill(0);
    volume.file(root, "sparse", Content::Bytes(sparse), Meta::file());
    Gpt::default().wrap(&volume.build().image).0.to_vec()
}

#[test]
fn files_that_ddrescue_could_not_read_are_lost_not_zeros() {
    let disk = disk();
    let big = blocks_with(&disk, "<<big>>").remove(0);
    // The last block of a file and one in the midst of another.
    let bad = [
        blocks_with(&disk, "<<small3>>").remove(0),
        big.start + (1 << 20)..big.start + (1 << 20) + 8192,
    ];
    let mut bad = bad.to_vec();
    bad.sort_by_key(|r| r.start);
    let copy = Copy::new(&disk, &bad);
    // Without the map they are zeros in holes, of which nobody can tell.
    let blind = tmbundle(&["cat", copy.image.to_str().unwrap(), "volume:/big"]);
    assert_eq!(blind.out.len(), BIG, "{}", blind.err);
    assert_eq!(copy.hit(&[]), ["volume:/big", "volume:/small3"]);
    copy.run("verify", &[]).expect(1, &["DISK-NOT-RESCUED", "/small3", "/big"]);
    for (name, len) in [("small3", SMALL), ("big", BIG)] {
        let said = ["ddrescue could not read bytes", "disk.map"];
        copy.run("cat", &[&format!("volume:/{name}")]).expect(3, &said);
        let zeros = copy.run("cat", &[&format!("volume:/{name}"), "--lost-as-zeros"]);
        assert_ne!((zeros.code, zeros.out.len()), (Some(0), len), "given as if it were whole");
    }
    for (name, len) in [("small2", SMALL), ("small4", SMALL)] {
        let ran = copy.run("cat", &[&format!("volume:/{name}")]);
        assert_eq!((ran.code, ran.out.as_bytes()), (Some(0), &*bytes(name, len)), "{}", ran.err);
    }
    // What is stored as zeros and was read is zeros.
    let sparse = copy.run("cat", &["volume:/sparse"]);
    assert_eq!(sparse.out.len(), BIG, "{}", sparse.err);
    let place = copy.run("locate", &["--offset", &bad[0].start.to_string()]);
    place.expect(0, &["that ddrescue could not read", "/small3"]);
    // With all contents read nothing else is found.
    assert_eq!(copy.hit(&["--read-data"]), ["volume:/big", "volume:/small3"]);
}

/// What is zeros anyhow may be a hole, and is not read; what ddrescue could not read within is
/// not known to be zeros.
#[test]
fn what_could_not_be_read_amid_zeros_is_never_given() {
    let mut volume =
        VolumeBuilder::new(VolumeOptions { size: 16 << 20, ..VolumeOptions::default() });
    let root = volume.root();
    let mut sparse = bytes("sparse", 5 << 20);
    sparse[1 << 20..4 << 20].fill(0);
    volume.file(root, "sparse", Content::Bytes(sparse.clone()), Meta::file());
    let disk = Gpt::default().wrap(&volume.build().image).0.to_vec();
    let first = blocks_with(&disk, "<<sparse>>").remove(0).start;
    let gap = 2u64 << 20..(2 << 20) + 8192;
    let copy = Copy::new(&disk, std::slice::from_ref(&(first + gap.start..first + gap.end)));
    let said = ["ddrescue could not read"];
    copy.run("cat", &["volume:/sparse"]).expect(3, &said);
    copy.run("cat", &["volume:/sparse", "--lost-as-zeros"]).expect(3, &said);
    let to = copy.dir.path().join("to");
    let args = ["volume:/", "--no-sync", "--json", "--to", to.to_str().unwrap()];
    let missing = serde_json::json!([[gap.start, gap.end - gap.start]]);
    for more in [&["--salvage"][..], &["--salvage", "--lost-as-zeros"]] {
        let ran = copy.run("extract", &[&args[..], more].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(document["failed"][0]["missing"], missing, "{more:?}");
        assert!(std::fs::read(to.join("sparse.damaged")).unwrap() == sparse);
        std::fs::remove_dir_all(&to).unwrap();
    }
}

#[test]
fn extract_leaves_them_out_or_tells_what_is_missing() {
    let disk = disk();
    let big = blocks_with(&disk, "<<big>>").remove(0);
    let gap = 1u64 << 20..(1 << 20) + 8192;
    let bad = big.start + gap.start..big.start + gap.end;
    let copy = Copy::new(&disk, &[bad]);
    let to = copy.dir.path().join("to");
    let ran = copy.run("extract", &["volume:/", "--no-sync", "--to", to.to_str().unwrap()]);
    ran.expect(1, &["big", "ddrescue could not read"]);
    assert!(!to.join("big").exists());
    for n in 0..6 {
        let name = format!("small{n}");
        assert_eq!(std::fs::read(to.join(&name)).unwrap(), bytes(&name, SMALL));
    }
    let (to, report) = (copy.dir.path().join("salvaged"), copy.dir.path().join("report.json"));
    let report_text = report.to_str().unwrap();
    let args = ["volume:/big", "--no-sync", "--salvage", "--json", "--to", to.to_str().unwrap()];
    let ran = copy.run("extract", &[&args[..], &["--report", report_text]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let missing = serde_json::json!([[gap.start, gap.end - gap.start]]);
    assert_eq!(document["failed"][0]["missing"], missing);
    let mut expected = bytes("big", BIG);
    expected[gap.start as usize..gap.end as usize].fill(0);
    assert!(std::fs::read(to.join("big.damaged")).unwrap() == expected);
}

#[test]
fn records_of_the_volume_there_are_errors_and_no_zeros() {
    let disk = disk();
    // Catalog keys are UTF-16: the leaf with the files' records.
    let name: Vec<u8> = "small3".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let at = disk.windows(name.len()).position(|w| w == name).unwrap() as u64 / 4096 * 4096;
    let copy = Copy::new(&disk, std::slice::from_ref(&(at..at + 4096)));
    let ran = copy.run("verify", &[]);
    ran.expect(1, &["ddrescue could not read bytes", "disk.map"]);
    let ran = copy.run("ls", &["volume:/"]);
    assert_ne!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("ddrescue could not read"), "{}", ran.err);
}

#[test]
fn the_snapshots_that_a_block_costs_are_told() {
    let backups = Backups::new(Carry::Clone);
    let disk = tmbundle::disk::Disk::open(&backups.path).unwrap().bytes().unwrap();
    let image = tmbundle::io::read_vec(&*disk, 0, disk.len() as usize).unwrap();
    let bad = blocks_with(&image, "<<02#2>>");
    assert!(!bad.is_empty());
    let copy = Copy::new(&image, &bad);
    let has = |wanted: u32| {
        let all = backups.snapshots.iter().filter(move |s| s.1.get("02") == Some(&wanted));
        all.map(|s| s.0.clone()).collect::<Vec<_>>()
    };
    let found = copy.findings(&[]);
    let told: Vec<&Value> = found.iter().filter(|f| f["code"] == "DISK-NOT-RESCUED").collect();
    let [finding] = &told[..] else { panic!("{found:#?}") };
    assert_eq!(finding["costs"]["snapshots"], has(2).len());
    assert_eq!(finding["costs"]["files"], 1, "{finding:#}");
    let address = finding["costs"]["affected"][0]["address"].as_str().unwrap().to_owned();
    assert!(address.ends_with("Docs/02"), "{address}");
    copy.run("cat", &[&address]).expect(3, &["ddrescue could not read bytes"]);
    let path = address.split_once(':').unwrap().1;
    for stamp in has(1).iter().chain(&has(3)) {
        let ran = copy.run("cat", &[&format!("{stamp}:{path}")]);
        assert_eq!(ran.code, Some(0), "{stamp}: {}", ran.err);
    }
}

#[cfg(feature = "mount")]
#[test]
fn a_mount_gives_errors_there() {
    use crate::mounting::{Mount, possible};
    if !possible("a_mount_gives_errors_there") {
        return;
    }
    let disk = disk();
    let bad = blocks_with(&disk, "<<small3>>");
    let copy = Copy::new(&disk, &bad);
    let mount = Mount::new(&copy.image, &["--bad-map", copy.map.to_str().unwrap()]);
    let mut found = Vec::new();
    let mut left = vec![mount.dir.path().to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => left.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    let read = |end: &str| {
        let path = found.iter().find(|p| p.ends_with(end)).expect(end);
        std::fs::read(path).map_err(|e| e.raw_os_error())
    };
    assert_eq!(read("small3"), Err(Some(5)));
    assert_eq!(read("small2").unwrap(), bytes("small2", SMALL));
    assert_eq!(read("disk.img"), Err(Some(5)));
}

#[test]
fn what_a_map_cannot_be_of_is_refused_with_words_that_help() {
    let copy = Copy::new(&disk(), &[]);
    let map = copy.map.to_str().unwrap();
    let bundle = common::demo();
    let bundle = bundle.to_str().unwrap();
    for args in [
        &["verify", bundle][..],
        &["ls", bundle],
        &["verify", copy.image.to_str().unwrap(), copy.image.to_str().unwrap()],
    ] {
        tmbundle(&[args, &["--bad-map", map][..]].concat()).expect(2, &["--bad-map", "mount"]);
    }
    std::fs::write(&copy.map, "0 + 1\n0 512 %\n").unwrap();
    copy.run("ls", &["volume:/"]).expect(2, &["disk.map, line 2"]);
    copy.run("verify", &[]).expect(2, &["disk.map, line 2"]);
}

/// What ddrescue itself writes, of a disk of which it was told to read only some.
#[test]
fn a_map_that_ddrescue_wrote_is_understood() {
    let test = "a_map_that_ddrescue_wrote_is_understood";
    let has = std::process::Command::new("ddrescue").arg("--version").output().is_ok();
    if !has {
        return common::skipped(format_args!("{test}: ddrescue is not installed"));
    }
    let disk = disk();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("disk"), &disk).unwrap();
    // Two runs leave out what lies between them.
    let bad = blocks_with(&disk, "<<small3>>").remove(0);
    for (from, size) in [(0, bad.start), (bad.end, disk.len() as u64 - bad.end)] {
        let ran = std::process::Command::new("ddrescue")
            .args(["-q", "-i", &from.to_string(), "-s", &size.to_string()])
            .args([path("disk"), path("disk.img"), path("disk.map")])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let copy = Copy { image: path("disk.img"), map: path("disk.map"), dir };
    assert_eq!(copy.hit(&[]), ["volume:/small3"]);
    let other = |image: &Path| std::fs::read(image).unwrap().len();
    assert_eq!(other(&copy.image), disk.len());
}
