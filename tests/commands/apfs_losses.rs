//! Lost bytes on APFS, whichever snapshot has them. What lies where is known without our
//! reader: every file is a mark that is repeated, and the writer knows what a block is for.

use crate::common;
use crate::common::{marked, tmbundle};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tmbundle::apfs::{Apfs, Container as Opened};
use tmbundle::fs::{ViewId, Views, Volume};
use tmbundle::io::{Faulty, Memory, ReadAt, Source};
use tmbundle::report::{Collector, Finding, NoProgress};
use tmbundle::verify::Subset;
use tmbundle::verify::contents::{Done, Pass, read};
use tools::apfs::timemachine::{self, Backup, Carry, Outcome};
use tools::apfs::{Built, Container, ContainerOptions, Layout, Meta, VolumeOptions, What};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{self, Content};
use tools::partition::{GUID_APFS, Gpt};
use tools::timemachine::{Dir, Machine};

const BAND: u64 = 1 << 20;
const START: i64 = 1_709_370_900;
/// Small, so that bands hold nothing but files.
const CONTAINER: ContainerOptions = ContainerOptions {
    block_size: 4096,
    size: 64 << 20,
    seed: 5,
    versioned: true,
    scatter: false,
    ragged: false,
    desc_blocks: 8,
    data_blocks: 1200,
    unmounted: true,
    newest_mounted: 2_332_101_001_000_000,
};

/// A file and its version.
type Version = (String, u32);

/// The versions whose marks stand in some bytes.
fn marks(bytes: &[u8]) -> BTreeSet<Version> {
    let mut found = BTreeSet::new();
    for block in bytes.chunks(4096).filter(|b| b.iter().any(|x| *x != 0)) {
        let text = String::from_utf8_lossy(block);
        found.extend(text.split("<<").skip(1).find_map(|t| {
            let (name, rest) = t.split_once('#')?;
            let (version, _) = rest.split_once(">>")?;
            Some((name.to_owned(), version.parse().ok()?))
        }));
    }
    found
}

fn wrap(built: &Built, options: &BundleOptions) -> (tempfile::TempDir, PathBuf, Layout) {
    let gpt = Gpt { kind: GUID_APFS.into(), ..Gpt::default() };
    let (disk, start) = gpt.wrap(&built.image);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    bundle::write(&disk, &path, &BundleOptions { band_size: BAND, ..options.clone() }).unwrap();
    (dir, path, built.layout.shifted(start))
}

pub struct Backups {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
    layout: Layout,
    /// Each snapshot and what is in it: name below `Docs/` and version.
    pub snapshots: Vec<(String, BTreeMap<String, u32>)>,
}

impl Backups {
    /// Four backups: 02 changes twice, 05 goes and comes back changed, `big` stays.
    pub fn new(carry: Carry) -> Self {
        let plan = [
            [("02", 1), ("05", 1)].as_slice(),
            &[("02", 2), ("05", 1)],
            &[("02", 2)],
            &[("02", 3), ("05", 2)],
        ];
        let (mut backups, mut contents) = (Vec::new(), Vec::new());
        for (i, changing) in plan.iter().enumerate() {
            let mut files: BTreeMap<String, u32> =
                (0..10).map(|n| (format!("{n:02}"), 1)).collect();
            files.insert("big".into(), 1);
            files.remove("05");
            files.extend(changing.iter().map(|(name, version)| ((*name).to_owned(), *version)));
            let mut root = Dir::new(hfs::Meta::dir().dated(START));
            let docs = root.dir("Docs");
            for (name, version) in &files {
                let len = if name == "big" { 5 << 20 } else { 400_000 };
                let dated = hfs::Meta::file().dated(START + 86_400 * i64::from(*version));
                docs.file(name, marked(name, *version, len), dated);
            }
            let start = START + 86_400 * i as i64;
            backups.push(Backup { start, outcome: Outcome::Completed(start + 60), source: root });
            contents.push(files);
        }
        let mut container = Container::new(CONTAINER);
        let volume =
            container.add_volume(timemachine::volume_options(&Machine::default(), START - 86_400));
        container.commit();
        let written =
            timemachine::write(&mut container, volume, &Machine::default(), carry, &backups);
        let (_dir, path, layout) = wrap(&container.finish(), &BundleOptions::default());
        let snapshots = written.iter().map(|w| w.stamp.clone()).zip(contents).collect();
        Self { _dir, path, layout, snapshots }
    }

    fn band(&self, name: &str) -> PathBuf {
        self.path.join("bands").join(name)
    }

    /// Bands that hold contents of files and nothing else that is in use.
    fn bands_of_files(&self) -> Vec<(String, BTreeSet<Version>)> {
        let touches = |place: &tools::apfs::Place, band: u64| {
            let start = self.layout.byte(place.address);
            let end = start + place.count * self.layout.block_size;
            start < (band + 1) * BAND && end > band * BAND
        };
        let only_files = |band: &u64| {
            *band > 0
                && !self.layout.find(|w| !matches!(w, What::Data(_))).any(|p| touches(&p, *band))
        };
        let all = (0..64).filter(only_files).map(|band| format!("{band:x}"));
        all.filter_map(|name| Some((name.clone(), marks(&std::fs::read(self.band(&name)).ok()?))))
            .filter(|(_, found)| !found.is_empty())
            .collect()
    }

    /// Snapshot and path of every file that holds one of these.
    fn files(&self, versions: &BTreeSet<Version>) -> BTreeSet<(String, String)> {
        let mut all = BTreeSet::new();
        for (snapshot, files) in &self.snapshots {
            let held = versions.iter().filter(|(name, v)| files.get(name) == Some(v));
            all.extend(held.map(|(name, _)| (snapshot.clone(), format!("/HD/Docs/{name}"))));
        }
        all
    }

    fn verify(&self, more: &[&str]) -> Value {
        let mut args = vec!["verify", "--json", self.path.to_str().unwrap()];
        args.extend(more);
        let ran = tmbundle(&args);
        let document: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"));
        document["sources"][0].clone()
    }
}

/// Snapshot and path of every file that a finding names, and the addresses of intact versions.
fn named(outcome: &Value, finding: &Value) -> (BTreeSet<(String, String)>, Vec<String>) {
    let (names, sets) = (&outcome["snapshots"]["names"], &outcome["snapshots"]["sets"]);
    let (mut all, mut intact) = (BTreeSet::new(), Vec::new());
    for a in finding["costs"]["affected"].as_array().unwrap() {
        let (_, path) = a["address"].as_str().unwrap().split_once(':').unwrap();
        for run in sets[a["set"].as_u64().unwrap() as usize].as_array().unwrap() {
            for i in run[0].as_u64().unwrap()..=run[1].as_u64().unwrap() {
                let snapshot = names[i as usize].as_str().unwrap();
                all.insert((snapshot.to_owned(), path.to_owned()));
            }
        }
        intact.extend(a["intact"].as_str().map(str::to_owned));
    }
    (all, intact)
}

fn of_code<'a>(outcome: &'a Value, code: &str) -> Vec<&'a Value> {
    outcome["findings"].as_array().unwrap().iter().filter(|f| f["code"] == code).collect()
}

#[test]
fn every_lost_band_names_the_files_of_all_snapshots() {
    for carry in [Carry::Rename, Carry::Clone] {
        let b = Backups::new(carry);
        assert!(b.verify(&[])["findings"].as_array().unwrap().is_empty(), "{carry:?}");
        let bands = b.bands_of_files();
        assert!(bands.len() >= 8, "{} bands of file data only", bands.len());
        let mut wrong = Vec::new();
        for (name, lost) in bands {
            let kept = std::fs::read(b.band(&name)).unwrap();
            std::fs::remove_file(b.band(&name)).unwrap();
            let outcome = b.verify(&[]);
            let located =
                tmbundle(&["locate", b.path.to_str().unwrap(), "--band", &name, "--json"]);
            std::fs::write(b.band(&name), kept).unwrap();
            let want = b.files(&lost);
            let [finding] = of_code(&outcome, "BAND-LOST")[..] else {
                wrong.push(format!("band {name}: {:#}", outcome["findings"]));
                continue;
            };
            let (got, intact) = named(&outcome, finding);
            let snapshots: BTreeSet<_> = want.iter().map(|(s, _)| s.as_str()).collect();
            let costs = &finding["costs"];
            if got != want || costs["snapshots"] != snapshots.len() || costs["of_snapshots"] != 4 {
                wrong.push(format!("{carry:?}: band {name}: {costs}, expected {want:?}"));
            }
            // What is told to be intact is none of the lost.
            for address in &intact {
                let (snapshot, path) = address.split_once(':').unwrap();
                if want.contains(&(snapshot.to_owned(), path.to_owned())) {
                    wrong.push(format!("{carry:?}: band {name}: {address} is lost as well"));
                }
            }
            let other = |(name, version): &Version| {
                b.snapshots.iter().any(|(_, files)| {
                    let v = files.get(name);
                    v.is_some_and(|v| v != version && !lost.contains(&(name.clone(), *v)))
                })
            };
            if lost.iter().any(other) == intact.is_empty() {
                wrong.push(format!("{carry:?}: band {name}: intact {intact:?} of {lost:?}"));
            }
            let located: Value = serde_json::from_str(&located.out).unwrap();
            let mut found = BTreeSet::new();
            for object in located["pieces"].as_array().unwrap().iter().flat_map(|p| {
                p["objects"].as_array().into_iter().flatten().filter(|_| p["what"] == "file")
            }) {
                let (_, path) = object["address"].as_str().unwrap().split_once(':').unwrap();
                let snapshots = object["snapshots"].as_array().unwrap().iter();
                found.extend(snapshots.map(|s| (s.as_str().unwrap().to_owned(), path.to_owned())));
            }
            if found != want {
                wrong.push(format!("{carry:?}: locate {name}: {found:?}, expected {want:?}"));
            }
        }
        common::assert_none(&wrong);
    }
}

/// Writes zeros as a hole; whether the file system of the folder has such.
fn punch(path: &Path, offset: u64, len: u64) -> bool {
    use rustix::fs::FallocateFlags as F;
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let punched = rustix::fs::fallocate(&file, F::PUNCH_HOLE | F::KEEP_SIZE, offset, len);
    if punched.is_err() {
        common::skipped(format_args!("the file system of the temporary folder has no holes"));
    }
    punched.is_ok()
}

#[test]
fn a_hole_in_a_file_that_only_an_old_snapshot_has_is_told() {
    let b = Backups::new(Carry::Rename);
    let wanted = ("02".to_owned(), 1);
    let block = |bytes: &[u8]| {
        (0..bytes.len() / 4096).find(|n| marks(&bytes[n * 4096..][..4096]).contains(&wanted))
    };
    let (name, block) = (1..64)
        .map(|n| format!("{n:x}"))
        .find_map(|n| Some((n.clone(), block(&std::fs::read(b.band(&n)).ok()?)?)))
        .unwrap();
    if !punch(&b.band(&name), block as u64 * 4096, 4096) {
        return;
    }
    let oldest = &b.snapshots[0].0;
    let path = b.path.to_str().unwrap();
    let ran = tmbundle(&["cat", path, &format!("{oldest}:/HD/Docs/02")]);
    assert!(ran.code == Some(1) && ran.err.contains(&format!("band {name} ")), "{}", ran.err);
    let newer = format!("{}:/HD/Docs/02", b.snapshots[1].0);
    assert_eq!(tmbundle(&["cat", path, &newer]).expect(0, &[]).err, "");
    let to = tempfile::tempdir().unwrap();
    let address = format!("{oldest}:/HD/Docs");
    let out = to.path().join("out");
    let ran = tmbundle(&["extract", path, &address, "--to", out.to_str().unwrap()]);
    ran.expect(1, &[&format!("band {name} ")]);
    let outcome = b.verify(&[]);
    let [finding] = of_code(&outcome, "BAND-LOST")[..] else { panic!("{:#}", outcome["findings"]) };
    assert_eq!(finding["severity"], "warning", "{finding:#}");
    let hit = BTreeSet::from([(oldest.clone(), "/HD/Docs/02".to_owned())]);
    assert_eq!(named(&outcome, finding).0, hit);
}

/// What is lost of an encrypted volume would be decrypted to noise.
#[test]
fn lost_bytes_of_an_encrypted_volume_are_no_noise() {
    let encryption = Some(tools::apfs::VolumeEncryption::with_password("password"));
    let mut container = Container::new(CONTAINER);
    let volume =
        container.add_volume(VolumeOptions { encryption, name: "Enc".into(), ..<_>::default() });
    let mut v = container.volume(volume);
    let root = v.root();
    let data: Vec<u8> = (0..(5u32 << 20)).map(|n| (n % 251) as u8).collect();
    v.file(root, "big", Content::Bytes(data), Meta::file());
    container.commit();
    let (dir, path, layout) = wrap(&container.finish(), &BundleOptions::default());
    let place = layout.find(|w| matches!(w, What::Data(_))).max_by_key(|p| p.count).unwrap();
    let band = layout.byte(place.address + place.count / 2) / BAND;
    std::fs::remove_file(path.join(format!("bands/{band:x}"))).unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "password").unwrap();
    let (path, file) = (path.to_str().unwrap(), file.to_str().unwrap());
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["cat", "--password-file", file, path, "volume:/big"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("band {band:x} ")), "{said}");
    // Given or not: what is not there is no noise.
    let given = |(i, b): (usize, &u8)| *b == 0 || *b == (i % 251) as u8;
    assert!(ran.stdout.iter().enumerate().all(given));
}

/// Remembers which bytes were read.
struct Recorder {
    inner: Source,
    reads: Mutex<Vec<(u64, u64)>>,
}

impl ReadAt for Recorder {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> tmbundle::Result<()> {
        self.reads.lock().unwrap().push((offset, buf.len() as u64));
        self.inner.read_at(buf, offset)
    }
}

/// A volume with three snapshots of files that change in part, are cloned and go.
fn changing() -> Built {
    let mut container = Container::new(CONTAINER);
    let volume = container.add_volume(VolumeOptions::default());
    let day = |n: i64| (START + n * 86_400) * 1_000_000_000;
    let mut v = container.volume(volume);
    let root = v.root();
    let stays = v.file(root, "stays", marked("stays", 1, 3 << 20), Meta::file());
    let changes = v.file(root, "changes", marked("changes", 1, 3 << 20), Meta::file());
    v.file(root, "goes", marked("goes", 1, 300_000), Meta::file());
    v.set_stream_xattr(stays, "com.example.large", marked("attribute", 1, 60_000));
    container.commit();
    container.snapshot(volume, "one", day(1));
    let mut v = container.volume(volume);
    v.write(changes, 1 << 20, marked("changes", 2, 200_000));
    v.unlink(root, "goes");
    v.clone_file(stays, root, "clone", true);
    v.set_meta(stays, |meta| meta.mode = 0o100_600);
    container.commit();
    container.snapshot(volume, "two", day(2));
    let mut v = container.volume(volume);
    v.write(changes, 2 << 20, marked("changes", 3, 100_000));
    v.unlink(root, "clone");
    // Of this file nothing else is written again.
    v.set_stream_xattr(stays, "com.example.large", marked("attribute", 2, 60_000));
    container.commit();
    container.snapshot(volume, "three", day(3));
    let mut v = container.volume(volume);
    v.set_stream_xattr(stays, "com.example.large", marked("attribute", 3, 60_000));
    container.commit();
    container.finish()
}

fn pass(source: Source) -> (Done, Vec<Finding>) {
    let container = Arc::new(Opened::open(source).unwrap());
    let oid = container.superblock().volumes[0];
    let none = |_: &str, _: u32| Ok(Vec::new());
    let volume = Arc::new(Apfs::open(container, oid, &none).unwrap());
    let last = volume.views().unwrap().len() - 1;
    let pass = Pass {
        views: Views::run(ViewId::LIVE..=ViewId(last as u32)),
        view: &|view| volume.clone().open(view),
        volume: &*volume,
        name: &|view, node| Some(format!("{}@{}", node.0, view.0)),
        subset: Subset::All,
        day: 0,
        jobs: 1,
        along: None,
    };
    let collector = Collector::default();
    let done = read(&pass, &collector, &NoProgress).unwrap();
    (done, collector.into_findings().0)
}

#[test]
fn the_data_pass_reads_every_block_of_every_snapshot_once() {
    let built = changing();
    let inner: Source = Arc::new(Memory::new(built.image.to_vec()));
    let recorder = Arc::new(Recorder { inner, reads: Mutex::default() });
    let (done, findings) = pass(recorder.clone());
    assert!(findings.is_empty() && done.whole, "{findings:#?}");
    let data: BTreeSet<u64> = built
        .layout
        .find(|w| matches!(w, What::Data(_)))
        .flat_map(|p| p.address..p.address + p.count)
        .collect();
    let mut times: BTreeMap<u64, u32> = data.iter().map(|block| (*block, 0)).collect();
    for (offset, len) in recorder.reads.lock().unwrap().iter() {
        for block in offset / 4096..(offset + len).div_ceil(4096) {
            times.entry(block).and_modify(|n| *n += 1);
        }
    }
    assert!(times.len() > 1600, "{} blocks of data", times.len());
    let wrong: Vec<_> = times.iter().filter(|(_, n)| **n != 1).collect();
    assert!(wrong.is_empty(), "blocks not read once: {wrong:?}");
}

#[test]
fn what_cannot_be_read_of_an_old_snapshot_is_told() {
    let built = changing();
    let bytes = built.image.to_vec();
    for (name, version, snapshot) in [
        ("goes", 1, true),
        ("changes", 2, true),
        ("stays", 1, true),
        ("attribute", 1, true),
        ("attribute", 2, true),
        ("attribute", 3, false),
    ] {
        let wanted = (name.to_owned(), version);
        let block = (0..bytes.len() / 4096)
            .rev()
            .find(|n| marks(&bytes[n * 4096..][..4096]).contains(&wanted))
            .unwrap();
        let at = block as u64 * 4096;
        let memory: Source = Arc::new(Memory::new(bytes.clone()));
        let faulty: Source =
            Arc::new(Faulty::new(memory, std::iter::once(at + 100..at + 101).collect()));
        let (done, findings) = pass(faulty);
        assert_eq!(done.contents.unreadable, 1, "{name}: {findings:#?}");
        let [finding] = findings.as_slice() else { panic!("{name}: {findings:#?}") };
        assert_eq!(finding.code.name(), "FILE-UNREADABLE");
        assert_eq!(finding.place.snapshot.is_some(), snapshot, "{name}");
        match name {
            // An attribute is asked for as a whole.
            "attribute" => assert!(finding.message.contains("'com.example.large'"), "{finding:?}"),
            _ => assert_eq!(finding.place.offset, Some(at), "{name}"),
        }
    }
}

/// The space manager is read by nobody who shows files: only a Mac that goes on writing.
#[test]
fn what_is_lost_of_the_space_manager_is_found() {
    use std::os::unix::fs::FileExt;
    let b = Backups::new(Carry::Rename);
    let places: Vec<_> = b.layout.find(|w| matches!(w, What::Cib | What::Bitmap { .. })).collect();
    assert!(places.len() >= 2, "{places:?}");
    for place in places {
        let at = b.layout.byte(place.address);
        let name = format!("{:x}", at / BAND);
        let file = std::fs::File::options().read(true).write(true).open(b.band(&name)).unwrap();
        let mut kept = vec![0; 4096];
        file.read_exact_at(&mut kept, at % BAND).unwrap();
        // Lost, and one bit of it wrong.
        let mut flipped = kept.clone();
        flipped[100] ^= 1;
        for wrong in [vec![0; 4096], flipped] {
            file.write_all_at(&wrong, at % BAND).unwrap();
            let outcome = b.verify(&[]);
            // A bitmap has no sum: it is held against the count of its chunk.
            let bitmap = matches!(place.what, What::Bitmap { .. });
            let code = if bitmap { "APFS-SPACE" } else { "APFS-UNREADABLE" };
            let [finding] = of_code(&outcome, code)[..] else {
                panic!("{place:?}: {:#}", outcome["findings"])
            };
            let place = &finding["where"];
            assert_eq!(finding["severity"], "damage", "{finding:#}");
            assert_eq!(place["structure"], "space manager", "{finding:#}");
            assert!(place["band"] == *name && place["offset"] == at, "{finding:#}");
        }
        file.write_all_at(&kept, at % BAND).unwrap();
    }
    assert!(b.verify(&[])["findings"].as_array().unwrap().is_empty());
}
