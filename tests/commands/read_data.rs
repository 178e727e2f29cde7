//! `verify --read-data`: every stream is read once and in the order of the disk, what is
//! wrong with it is found and named, and a subset a day covers everything.

use crate::common;

use crate::common::contents::{
    ALL, How, Recorder, checksummed, firsts_read, memory, pass, try_pass,
};
use crate::common::tmbundle;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tmbundle::Result;
use tmbundle::io::{Faulty, Memory, Presence, PresenceVisitor, ReadAt, Source};
use tmbundle::report::{Code, Finding, Progress, Severity};
use tools::cksum::cksum;
use tools::damage::{Damage, broken};
use tools::decmpfs::DecmpfsType;
use tools::hfs::{Content, ForkKind, Meta, Volume, VolumeBuilder, VolumeOptions};
use tools::timemachine::CHECKSUM;

/// Code, severity and path of each finding.
fn told(findings: &[Finding]) -> Vec<(&str, Severity, String)> {
    let path = |f: &Finding| f.place.path.clone().unwrap_or_default();
    findings.iter().map(|f| (f.code.name(), f.severity, path(f))).collect()
}

/// Files that the sample says itself nobody here can decode.
const UNDECODED: [&str; 2] = ["type 5", "type 80000001"];

#[test]
fn a_sound_volume_has_nothing_but_what_cannot_be_decoded() {
    for (kind, _) in tools::samples::KINDS {
        let volume = tools::samples::sample(kind).unwrap().build();
        let (done, findings) = pass(memory(&volume.image), How { jobs: 3, ..ALL });
        let c = done.contents;
        assert!(done.whole, "{kind}");
        assert_eq!((c.files, c.bytes), (c.files_read, c.bytes_read), "{kind}");
        assert_eq!((c.disagree, c.agree), (0, c.with_checksum), "{kind}");
        for f in &findings {
            let path = f.place.path.as_deref().unwrap();
            assert_eq!((f.code, f.severity), (Code::FileUndecoded, Severity::Warning), "{path}");
            assert!(UNDECODED.iter().any(|end| path.ends_with(end)), "{kind}: {}", f.message);
        }
        assert_eq!(c.unreadable, findings.len() as u64, "{kind}");
    }
}

/// What the pass says of each damage to contents that the writer makes.
const DAMAGE: &[(&str, &str, Severity)] = {
    use Severity::{Damage, Info, Warning};
    &[
        ("decmpfs-magic", "FILE-DECMPFS", Damage),
        ("decmpfs-type", "FILE-UNDECODED", Warning),
        ("decmpfs-size", "FILE-DECMPFS", Damage),
        ("decmpfs-huge", "FILE-DECMPFS", Damage),
        ("decmpfs-inline-data", "FILE-DECMPFS", Damage),
        ("decmpfs-zlib-data", "FILE-DECMPFS", Damage),
        ("decmpfs-zlib-table", "FILE-DECMPFS", Damage),
        ("decmpfs-zlib-count", "FILE-DECMPFS", Damage),
        ("decmpfs-lzvn-table", "FILE-DECMPFS", Damage),
        ("decmpfs-lzvn-data", "FILE-DECMPFS", Damage),
        ("decmpfs-lzfse-data", "FILE-DECMPFS", Damage),
        ("decmpfs-flag", "FILE-DECMPFS", Damage),
        ("decmpfs-no-header", "FILE-DECMPFS", Info),
        ("checksum-data", "FILE-CHECKSUM", Damage),
        ("checksum-value", "FILE-CHECKSUM", Damage),
        ("checksum-length", "FILE-CHECKSUM-ODD", Warning),
        ("symlink-length", "HFS-SYMLINK", Info),
    ]
};

#[test]
fn every_damage_to_contents_is_found_and_named() {
    let volume = tools::samples::sample("everything").unwrap().build();
    let clean = pass(memory(&volume.image), ALL).1;
    let mut wrong = Vec::new();
    for (name, code, severity) in DAMAGE {
        let mut image = volume.image.clone();
        let damage = Damage::by_name(name).unwrap_or_else(|| panic!("no damage {name}"));
        damage.apply(&mut image, &volume.layout).unwrap();
        let mut found = pass(memory(&image), ALL).1;
        found.retain(|f| !clean.contains(f));
        let expected = found.len() == 1
            && (found[0].code.name(), found[0].severity) == (*code, *severity)
            && found[0].place.object.is_some()
            && found[0].place.path.as_deref().is_some_and(|p| found[0].message.starts_with(p));
        if !expected {
            wrong.push(format!("{name}: {:?}", told(&found)));
        }
    }
    let kinds = Damage::all();
    let contents = ["decmpfs-", "checksum-"];
    let made = kinds.iter().filter(|d| contents.iter().any(|c| d.name.starts_with(c)));
    for damage in made.filter(|d| !DAMAGE.iter().any(|(name, ..)| *name == d.name)) {
        wrong.push(format!("{}: not in the table of this test", damage.name));
    }
    common::assert_none(&wrong);
}

#[test]
fn a_file_that_was_only_in_the_cloud_is_told() {
    let fault = broken().iter().find(|b| b.name == "dataless").unwrap();
    let found = pass(memory(&fault.builder().build().image), ALL).1;
    assert_eq!(told(&found), [("FILE-UNDECODED", Severity::Warning, "cloud".to_string())]);
    assert!(found[0].message.contains("iCloud"), "{}", found[0].message);
}

#[test]
fn mismatches_are_damage_unless_next_to_none_agrees() {
    for (files, wrong, doubt) in [
        (3, 1, false),
        (12, 12, false),
        (100, 5, false),
        (100, 6, false),
        (130, 7, false),
        (100, 90, false),
        (100, 91, true),
        (30, 2, false),
        (40, 40, true),
    ] {
        let volume = checksummed(files, |i| i < wrong).build();
        let (done, found) = pass(memory(&volume.image), ALL);
        let c = done.contents;
        assert_eq!((c.agree, c.disagree), (files - wrong, wrong));
        let codes: Vec<_> = found.iter().map(|f| f.code).collect();
        if doubt {
            assert_eq!(codes, [Code::FileChecksumRule], "{wrong} of {files}");
            assert!(found[0].message.contains("docs/file 0000"), "{}", found[0].message);
        } else {
            let want = vec![Code::FileChecksum; wrong as usize];
            assert_eq!(codes, want, "{wrong} of {files}");
            assert_eq!(found[0].place.path.as_deref(), Some("docs/file 0000"));
        }
    }
}

#[test]
fn compressed_files_may_have_a_rule_of_their_own() {
    let mut v = checksummed(1000, |i| i == 7);
    let root = v.root();
    let dir = v.mkdir(root, "packed", Meta::dir());
    for i in 0..30 {
        let id = v.file(dir, &format!("{i}"), Content::text(i, 90_000), Meta::file());
        v.compress(id, DecmpfsType::Zlib4);
        v.set_xattr(id, CHECKSUM, 1u32.to_le_bytes().to_vec());
    }
    let found = pass(memory(&v.build().image), ALL).1;
    let codes: Vec<_> = found.iter().map(|f| (f.code, f.place.path.as_deref())).collect();
    let want = [(Code::FileChecksum, Some("docs/file 0007")), (Code::FileChecksumRule, None)];
    assert_eq!(codes, want);
    assert!(found[1].message.contains("30 of 30"), "{}", found[1].message);
}

/// Part of a disk that the server has lost: reads as zeros.
struct Lost {
    inner: Source,
    range: Range<u64>,
}

impl ReadAt for Lost {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.inner.read_at(buf, offset)?;
        for (at, byte) in (offset..).zip(buf) {
            *byte = if self.range.contains(&at) { 0 } else { *byte };
        }
        Ok(())
    }
    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        let lost = self.range.start < range.end && range.start < self.range.end;
        visit(range, if lost { Presence::Missing } else { Presence::Stored });
        Ok(())
    }
}

#[test]
fn mismatches_over_lost_bands_are_damage_however_many() {
    let volume = checksummed(60, |_| false).build();
    let files = volume.layout.forks().filter(|(id, ..)| *id >= 30);
    let starts = files.map(|(_, _, extents)| volume.layout.block(extents[0].start));
    let first = starts.min().unwrap();
    let lost = Lost { inner: memory(&volume.image), range: first..first + 10 * 4096 };
    let (done, found) = pass(Arc::new(lost), ALL);
    assert_eq!((done.contents.agree, done.contents.disagree), (50, 10));
    assert!(found.iter().all(|f| f.code == Code::FileChecksum), "{found:#?}");
    assert_eq!(found.len(), 10);
    assert!(found[0].message.contains("bands that are missing"), "{}", found[0].message);
}

#[test]
fn the_checksum_of_a_compressed_file_may_be_of_either_form() {
    let text = Content::text(5, 200_000);
    let mut v = VolumeBuilder::new(VolumeOptions::default());
    let root = v.root();
    let stored = tools::decmpfs::compress(&text.to_vec(), DecmpfsType::Lzvn8).1;
    for (name, sum) in [("logical", cksum(&text.to_vec())), ("stored", cksum(&stored)), ("bad", 9)]
    {
        let id = v.file(root, name, text.clone(), Meta::file());
        v.compress(id, DecmpfsType::Lzvn8);
        v.set_xattr(id, CHECKSUM, sum.to_le_bytes().to_vec());
    }
    let (done, found) = pass(memory(&v.build().image), ALL);
    assert_eq!(told(&found), [("FILE-CHECKSUM", Severity::Damage, "bad".to_string())]);
    assert_eq!((done.contents.agree, done.contents.disagree), (2, 1));
}

#[test]
fn a_file_with_many_names_is_read_once() {
    let mut v = VolumeBuilder::new(VolumeOptions::default());
    let root = v.root();
    let file = v.file(root, "original", Content::text(1, 5_000), Meta::file());
    for i in 0..9 {
        v.hard_link(file, root, &format!("name {i}"));
    }
    let dir = v.mkdir(root, "dir", Meta::dir());
    let inside = v.file(dir, "inside", Content::text(2, 5_000), Meta::file());
    v.set_resource_fork(inside, Content::text(3, 5_000));
    let other = v.mkdir(root, "other", Meta::dir());
    v.dir_link(dir, other, "dir again");
    v.orphan("deleted while open\n");
    let volume = v.build();
    let (done, found) = pass(memory(&volume.image), ALL);
    assert_eq!((done.contents.files, done.contents.bytes), (2, 15_000));
    assert_eq!(told(&found), []);
    let mut read = firsts_read(&volume, ALL);
    read.sort_unstable();
    let mut want: Vec<u64> = [
        volume.layout.fork(v.inode_of(file), ForkKind::Data),
        volume.layout.fork(inside, ForkKind::Data),
        volume.layout.fork(inside, ForkKind::Resource),
    ]
    .iter()
    .map(|extents| volume.layout.block(extents[0].start))
    .collect();
    want.sort_unstable();
    assert_eq!(read, want);
}

#[test]
fn a_link_to_an_unreadable_inode_is_named_by_its_path() {
    let mut v = VolumeBuilder::new(VolumeOptions::default());
    let root = v.root();
    let dir = v.mkdir(root, "dir", Meta::dir());
    let file = v.file(dir, "file", Content::text(1, 5_000), Meta::file());
    v.hard_link(file, root, "second name");
    let other = v.mkdir(root, "other", Meta::dir());
    v.dir_link(dir, other, "dir again");
    let volume = v.build();
    let extent = volume.layout.fork(v.inode_of(file), ForkKind::Data)[0];
    let at = volume.layout.block(extent.start);
    let (_, found) = pass(faulty(&volume, at..at + 1), ALL);
    let path = found[0].place.path.as_deref().unwrap();
    let fits = ["dir/file", "other/dir again/file", "second name"];
    assert!(fits.contains(&path), "{path}");
}

fn faulty(volume: &Volume, bad: Range<u64>) -> Source {
    Arc::new(Faulty::new(memory(&volume.image), vec![bad]))
}

#[test]
fn an_unreadable_stream_is_named_with_its_place() {
    let mut v = VolumeBuilder::new(VolumeOptions::default());
    let root = v.root();
    let big = v.file(root, "big", Content::Pattern { seed: 1, len: 3 << 20 }, Meta::file());
    let fork = v.file(root, "fork", "data\n", Meta::file());
    v.set_resource_fork(fork, Content::text(2, 20_000));
    let packed = v.file(root, "packed", Content::text(3, 90_000), Meta::file());
    v.compress(packed, DecmpfsType::Zlib4);
    let attr = v.file(root, "attr", "data\n", Meta::file());
    v.set_xattr_fork(attr, "com.example.large", Content::Pattern { seed: 9, len: 60_000 }, 1);
    let folder = v.mkdir(root, "folder", Meta::dir());
    v.set_xattr_fork(folder, "com.example.small", Content::Pattern { seed: 8, len: 9_000 }, 1);
    let link = v.symlink(root, "link", "big", Meta::with_mode(0o755));
    let volume = v.build();
    let first = |id, kind| volume.layout.block(volume.layout.fork(id, kind)[0].start);
    let find = |seed, len: usize| {
        let wanted = Content::Pattern { seed, len: len as u64 }.to_vec();
        let bytes = volume.image.to_vec();
        (0..bytes.len() / 4096).map(|b| b * 4096).find(|at| bytes[*at..].starts_with(&wanted))
    };
    let cases = [
        (first(big, ForkKind::Data) + (2 << 20), "big", "its contents"),
        (first(fork, ForkKind::Resource), "fork", "its resource fork"),
        (first(packed, ForkKind::Resource), "packed", "its contents"),
        (find(9, 60_000).unwrap() as u64, "attr", "its attribute 'com.example.large'"),
        (find(8, 9_000).unwrap() as u64, "folder", "its attribute 'com.example.small'"),
        (first(link, ForkKind::Data), "link", "its target"),
    ];
    for (at, name, what) in cases {
        let (done, found) = pass(faulty(&volume, at..at + 1), ALL);
        assert_eq!(told(&found), [("FILE-UNREADABLE", Severity::Damage, name.to_string())]);
        assert!(found[0].message.contains(what), "{}", found[0].message);
        assert_eq!(done.contents.unreadable, 1, "{name}");
    }
    let at = first(big, ForkKind::Data) + (2 << 20);
    let (_, found) = pass(faulty(&volume, at + 5..at + 6), ALL);
    assert_eq!((found[0].place.offset, found[0].place.object), (Some(at), Some(big.into())));
}

struct StopsAfter(Mutex<u64>);

impl Progress for StopsAfter {
    fn advance(&self, n: u64) {
        let mut left = self.0.lock().unwrap();
        *left = left.saturating_sub(n);
    }
    fn interrupted(&self) -> bool {
        *self.0.lock().unwrap() == 0
    }
}

#[test]
fn the_wish_to_stop_is_heard_within_a_file() {
    let mut v = VolumeBuilder::new(VolumeOptions::default());
    let root = v.root();
    v.file(root, "big", Content::Pattern { seed: 1, len: 20 << 20 }, Meta::file());
    let volume = v.build();
    let reads = Arc::new(Mutex::new(Vec::new()));
    let source = Arc::new(Recorder { inner: memory(&volume.image), reads: reads.clone() });
    let progress = StopsAfter(Mutex::new(4 << 20));
    let ended = try_pass(source, How { progress: &progress, jobs: 2, ..ALL });
    assert!(matches!(ended, Err(tmbundle::Error::Interrupted)));
    let last = *reads.lock().unwrap().last().unwrap();
    assert!(last < 8 << 20, "read on to {last}");
}

#[test]
fn a_broken_catalog_does_not_end_the_pass() {
    let volume = tools::samples::sample("everything").unwrap().build();
    let mut image = volume.image.clone();
    Damage::by_name("catalog-leaf-kind").unwrap().apply(&mut image, &volume.layout).unwrap();
    let all = pass(memory(&volume.image), ALL).0;
    let (done, _) = pass(memory(&image), ALL);
    assert!(!done.whole);
    assert!(done.contents.files_read > all.contents.files / 2, "{:?}", done.contents);
    assert!(done.contents.files_read < all.contents.files);
}

#[test]
fn sound_volumes_of_others_have_no_damage() {
    let Some(data) = common::shared_data("sound_volumes_of_others_have_no_damage") else { return };
    let mut wrong = Vec::new();
    for gz in common::files_ending(&data.join("hfs"), ".img.gz") {
        let name = gz.file_stem().unwrap().to_str().unwrap().to_owned();
        let disk = tmbundle::disk::Disk::open(&common::unpack(&gz)).unwrap().bytes().unwrap();
        let volume = common::manifest::volume_of(disk);
        let how = How { jobs: 2, ..ALL };
        let (done, found) = pass(volume.bytes().clone(), how);
        eprintln!("{name}: {}", done.contents.text());
        for f in found {
            eprintln!("    {} {} {}", f.severity.as_str(), f.code, f.message);
            if f.severity == Severity::Damage {
                wrong.push(format!("{name}: {} {}", f.code, f.message));
            }
        }
    }
    common::assert_none(&wrong);
}

#[test]
fn the_command_says_what_was_read_and_stays_quiet_when_all_is_well() {
    let demo = format!("{}/testdata/Demo.sparsebundle", env!("CARGO_MANIFEST_DIR"));
    let ran = tmbundle(&["verify", "--read-data", &demo]);
    ran.expect(0, &[]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    tmbundle(&["verify", "-v", "--read-data=all", &demo])
        .expect(0, &["contents    ok", "in 147 files read; 130 checksums agree"]);
    tmbundle(&["verify", "-v", "--read-data=25%", &demo]).expect(0, &["of data read this run"]);
    tmbundle(&["verify", "--read-data=8/7", &demo]).expect(2, &["is not a part"]);
    tmbundle(&["verify", "--read-data", "--quick", &demo]).expect(2, &["cannot be used with"]);
    let json = |args: &[&str]| -> serde_json::Value {
        let args = [&["verify", "--json"], args, &[demo.as_str()]].concat();
        serde_json::from_str(&tmbundle(&args).out).unwrap()
    };
    let contents = &json(&["--read-data"])["sources"][0]["contents"];
    for (field, want) in [
        ("files", 147),
        ("files_read", 147),
        ("with_checksum", 130),
        ("agree", 130),
        ("disagree", 0),
        ("unreadable", 0),
    ] {
        assert_eq!(contents[field], want, "{field} in {contents}");
    }
    assert_eq!(contents["bytes"], contents["bytes_read"]);
    assert!(json(&[])["sources"][0]["contents"].is_null(), "only if it was asked for");
}

#[test]
fn the_command_names_the_file_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("bad.img");
    let volume = checksummed(30, |i| i == 3).build();
    volume.image.write_to(&image).unwrap();
    let path = image.to_str().unwrap();
    tmbundle(&["verify", path]).expect(0, &[]);
    tmbundle(&["verify", "--read-data", path])
        .expect(1, &["contents    DAMAGE", "docs/file 0003: its contents", "FILE-CHECKSUM"]);
}

#[test]
fn flipped_bits_do_no_worse_than_findings() {
    let volume = tools::samples::sample("links").unwrap().build();
    let bytes = volume.image.to_vec();
    let used: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != 0).collect();
    let mut x = 0x5EED_u64;
    for _ in 0..300 {
        let mut broken = bytes.clone();
        for _ in 0..8 {
            x = tools::hfs::splitmix(x);
            broken[used[x as usize % used.len()]] ^= 1 << (x >> 60 & 7);
        }
        // A volume that does not open at all is for the structure's check.
        if let Ok((done, _)) = try_pass(Arc::new(Memory::new(broken)), How { jobs: 2, ..ALL }) {
            assert!(done.contents.files_read <= done.contents.files);
        }
    }
}
