//! Lost bands and broken nodes: the files and snapshots they cost. What lies in a band
//! is known without our reader: every file is a mark that is repeated.

use crate::common;

use crate::common::{assert_none, marked, tmbundle};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Meta, Tree, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;
use tools::timemachine::{self, Backup, Dir, Machine};

const BAND: u64 = 1 << 20;
const START: i64 = 1_572_686_100;

/// A file and its version.
type Version = (String, u32);

struct Backups {
    dir: tempfile::TempDir,
    /// Name of each snapshot and what is in it: path below `Docs/` and version.
    snapshots: Vec<(String, BTreeMap<String, u32>)>,
    volume: tools::hfs::Volume,
    start: u64,
}

fn machine() -> Machine {
    Machine { checksums: true, ..Machine::default() }
}

impl Backups {
    /// Four backups: 02 changes twice, 05 goes and comes back changed, `big` stays.
    fn new(options: &BundleOptions) -> Self {
        let mut volume = VolumeBuilder::new(VolumeOptions {
            size: 48 << 20,
            created: START - 86_400,
            ..VolumeOptions::default()
        });
        let plan = [
            [("02", 1), ("05", 1)].as_slice(),
            &[("02", 2), ("05", 1)],
            &[("02", 2)],
            &[("02", 3), ("05", 2)],
        ];
        let mut backups = Vec::new();
        let mut contents = Vec::new();
        for (i, changing) in plan.iter().enumerate() {
            let mut files: BTreeMap<String, u32> =
                (0..10).map(|n| (format!("{n:02}"), 1)).collect();
            files.insert("big".into(), 1);
            files.remove("05");
            files.extend(changing.iter().map(|(name, version)| ((*name).to_owned(), *version)));
            let mut root = Dir::new(Meta::dir().dated(START));
            let docs = root.dir("Docs");
            for (name, version) in &files {
                let len = if name == "big" { 5 << 20 } else { 400_000 };
                docs.file(name, marked(name, *version, len), Meta::file().dated(START));
            }
            let start = START + 86_400 * i as i64;
            let number = i as u64 + 1;
            backups.push(Backup { number, start, completed: Some(start + 60), source: root });
            contents.push(files);
        }
        let written = timemachine::write(&mut volume, &machine(), &backups);
        let volume = volume.build();
        let (disk, start) = Gpt::default().wrap(&volume.image);
        let dir = tempfile::tempdir().unwrap();
        let options = BundleOptions { band_size: BAND, ..options.clone() };
        bundle::write(&disk, &dir.path().join("Mac.sparsebundle"), &options).unwrap();
        let snapshots = written.iter().map(|w| w.name.clone()).zip(contents).collect();
        Self { dir, snapshots, volume, start }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("Mac.sparsebundle")
    }

    fn band(&self, name: &str) -> PathBuf {
        self.path().join("bands").join(name)
    }

    /// Run with a copy of the band file kept aside and put back afterwards.
    fn with_band<T>(&self, name: &str, change: impl FnOnce(&Path), run: impl FnOnce() -> T) -> T {
        let band = self.band(name);
        let kept = std::fs::read(&band).unwrap();
        change(&band);
        let result = run();
        std::fs::write(&band, kept).unwrap();
        result
    }

    fn verify(&self) -> Value {
        let ran = tmbundle(&["verify", "--json", self.path().to_str().unwrap()]);
        let document: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"));
        expanded(document["sources"][0].clone())
    }

    /// The snapshots that hold a version of a file.
    fn snapshots_of(&self, (name, version): &Version) -> Vec<&str> {
        let holds = |files: &BTreeMap<String, u32>| files.get(name) == Some(version);
        self.snapshots.iter().filter(|(_, f)| holds(f)).map(|(s, _)| s.as_str()).collect()
    }

    /// Whether another snapshot has another version that is not among the lost.
    fn intact(&self, file: &Version, lost: &BTreeSet<Version>) -> bool {
        self.snapshots.iter().any(|(_, files)| {
            files
                .get(&file.0)
                .is_some_and(|v| *v != file.1 && !lost.contains(&(file.0.clone(), *v)))
        })
    }
}

/// The versions whose marks stand in some bytes, and whether there is anything else.
fn marks(bytes: &[u8]) -> (BTreeSet<Version>, bool) {
    let (mut found, mut other) = (BTreeSet::new(), false);
    for block in bytes.chunks(4096).filter(|b| b.iter().any(|x| *x != 0)) {
        let text = String::from_utf8_lossy(block);
        let whole = text.split("<<").skip(1).find_map(|t| {
            let (name, rest) = t.split_once('#')?;
            let (version, _) = rest.split_once(">>")?;
            Some((name.to_owned(), version.parse().ok()?))
        });
        match whole {
            Some(version) => drop(found.insert(version)),
            None => other = true,
        }
    }
    (found, other)
}

/// An outcome whose findings name their snapshots instead of a set of them.
fn expanded(mut outcome: Value) -> Value {
    let (names, sets) =
        (outcome["snapshots"]["names"].clone(), outcome["snapshots"]["sets"].clone());
    for finding in outcome["findings"].as_array_mut().unwrap() {
        let Some(affected) = finding["costs"]["affected"].as_array_mut() else { continue };
        for a in affected {
            let runs = sets[a["set"].as_u64().unwrap() as usize].as_array().unwrap();
            let run = |r: &Value| r[0].as_u64().unwrap() as usize..=r[1].as_u64().unwrap() as usize;
            let all: Vec<Value> = runs.iter().flat_map(run).map(|i| names[i].clone()).collect();
            a["snapshots"] = Value::Array(all);
        }
    }
    outcome
}

/// Findings of a code.
fn of_code<'a>(outcome: &'a Value, code: &str) -> Vec<&'a Value> {
    outcome["findings"].as_array().unwrap().iter().filter(|f| f["code"] == code).collect()
}

/// Files that findings name, with their snapshots and whether there is an intact version.
fn affected(findings: &[&Value]) -> Vec<(String, Vec<String>, bool)> {
    let mut all = Vec::new();
    for f in findings {
        let cost = &f["costs"];
        let list = cost["affected"].as_array().unwrap();
        assert_eq!(cost["files"].as_u64().unwrap(), list.len() as u64, "{cost}");
        for a in list {
            let strings = |v: &Value| {
                v.as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
            };
            let address = a["address"].as_str().unwrap().to_owned();
            all.push((address, strings(&a["snapshots"]), a["intact"].is_string()));
        }
    }
    all.sort();
    all
}

/// Compare what is said with what the marks say.
fn compare(b: &Backups, band: &str, lost: &BTreeSet<Version>, findings: &[&Value]) -> Vec<String> {
    let mut want: Vec<_> = lost
        .iter()
        .map(|file| {
            let snapshots: Vec<String> =
                b.snapshots_of(file).into_iter().map(str::to_owned).collect();
            let address = format!("{}:/HD/Docs/{}", snapshots.last().unwrap(), file.0);
            (address, snapshots, b.intact(file, lost))
        })
        .collect();
    want.sort();
    let got = affected(findings);
    if got == want { Vec::new() } else { vec![format!("band {band}: {got:?}, expected {want:?}")] }
}

#[test]
fn every_lost_band_names_the_files_it_held() {
    let b = Backups::new(&BundleOptions::default());
    assert_eq!(b.verify()["verdict"], "ok");
    let (mut tried, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(b.path().join("bands")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (lost, other) = marks(&std::fs::read(b.band(&name)).unwrap());
        if lost.is_empty() || other {
            continue;
        }
        tried += 1;
        b.with_band(
            &name,
            |band| std::fs::remove_file(band).unwrap(),
            || {
                let outcome = b.verify();
                let findings = of_code(&outcome, "BAND-LOST");
                wrong.extend(compare(&b, &name, &lost, &findings));
                // A stretch of one large file might be zeros that were never written, but
                // its recorded checksum tells.
                if !findings.iter().all(|f| f["severity"] == "damage" && f["where"]["band"] == name)
                {
                    wrong.push(format!("band {name}: {findings:?}"));
                }
                let others = outcome["findings"].as_array().unwrap().len() - findings.len();
                if others > 0 {
                    wrong.push(format!("band {name}: {others} other findings"));
                }
            },
        );
    }
    assert_none(&wrong);
    assert!(tried >= 8, "{tried} bands of file data only");
}

#[test]
fn a_short_band_costs_what_lay_past_its_end() {
    let b = Backups::new(&BundleOptions::default());
    let (name, bytes) = band_of_small_files(&b);
    let (lost, _) = marks(&bytes[bytes.len() / 2..]);
    let cut = |band: &Path| {
        std::fs::File::options().write(true).open(band).unwrap().set_len(BAND / 2).unwrap();
    };
    b.with_band(&name, cut, || {
        let outcome = b.verify();
        let findings = of_code(&outcome, "BAND-LOST");
        assert_none(&compare(&b, &name, &lost, &findings));
        assert!(findings[0]["message"].as_str().unwrap().contains("ends before"), "{findings:?}");
    });
}

/// A full band with parts of small files only.
fn band_of_small_files(b: &Backups) -> (String, Vec<u8>) {
    (0..48)
        .map(|i| format!("{i:x}"))
        .filter_map(|name| Some((name.clone(), std::fs::read(b.band(&name)).ok()?)))
        .find(|(_, bytes)| {
            let (found, other) = marks(bytes);
            bytes.len() as u64 == BAND && !other && found.len() > 1
        })
        .expect("a band of file data")
}

#[test]
fn a_hole_under_one_larger_file_is_decided_by_its_checksum() {
    let b = Backups::new(&BundleOptions::default());
    let only_big = |name: &String| {
        let (found, other) = marks(&std::fs::read(b.band(name)).unwrap_or_default());
        !other && found == BTreeSet::from([("big".into(), 1)])
    };
    let name = (0..48).map(|i| format!("{i:x}")).find(only_big).unwrap();
    let punch = |band: &Path| {
        let file = std::fs::File::options().write(true).open(band).unwrap();
        use rustix::fs::FallocateFlags as F;
        let _ = rustix::fs::fallocate(&file, F::PUNCH_HOLE | F::KEEP_SIZE, 65_536, 131_072);
    };
    b.with_band(&name, punch, || {
        let bytes = std::fs::read(b.band(&name)).unwrap();
        if bytes[65_536..196_608].iter().any(|x| *x != 0) {
            common::skipped(format_args!("the file system of the temporary folder has no holes"));
            return;
        }
        let outcome = b.verify();
        let [lost] = of_code(&outcome, "BAND-LOST")[..] else { panic!("{outcome:#}") };
        assert_eq!(lost["severity"], "damage", "{lost:#}");
        assert!(lost["message"].as_str().unwrap().contains("checksum"), "{lost:#}");
        assert_eq!(lost["where"]["length"], 131_072, "{lost:#}");
        assert!(lost["costs"]["files"].as_u64() >= Some(1), "{lost:#}");
    });
}

#[test]
fn the_record_of_written_blocks_is_evidence() {
    let options = BundleOptions { version: 2, mapped: true, ..BundleOptions::default() };
    let b = Backups::new(&options);
    assert_eq!(b.verify()["verdict"], "ok");
    let (name, bytes) = band_of_small_files(&b);
    let (lost, _) = marks(&bytes);
    b.with_band(
        &name,
        |band| std::fs::remove_file(band).unwrap(),
        || {
            let outcome = b.verify();
            let findings = of_code(&outcome, "BAND-MAPPED");
            assert_none(&compare(&b, &name, &lost, &findings));
            assert_eq!(findings[0]["severity"], "damage");
            assert!(of_code(&outcome, "BAND-LOST").is_empty(), "said twice");
            // It needs no look at the contents.
            let quick = tmbundle(&["verify", "--quick", b.path().to_str().unwrap()]);
            quick.expect(1, &["BAND-MAPPED", &format!("mapped/{name}")]);
        },
    );
}

#[test]
fn rot_names_the_files_in_the_band() {
    let b = Backups::new(&BundleOptions::default());
    let (name, bytes) = band_of_small_files(&b);
    let (hit, _) = marks(&bytes);
    let manifest = b.dir.path().join("manifest");
    let bundle = b.path();
    let keep = format!("--manifest={}", manifest.display());
    let run =
        || tmbundle(&["verify", "--json", &keep, "--manifest-read=all", bundle.to_str().unwrap()]);
    // Long enough ago for the clock of the file system to tell another write.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    let dated = |path: &Path| std::fs::File::open(path).unwrap().set_modified(old).unwrap();
    for band in std::fs::read_dir(b.path().join("bands")).unwrap() {
        dated(&band.unwrap().path());
    }
    run().expect(0, &[]);
    let flip = |band: &Path| {
        let mut bytes = std::fs::read(band).unwrap();
        bytes[70_000] ^= 1;
        std::fs::write(band, bytes).unwrap();
        dated(band);
    };
    b.with_band(&name, flip, || {
        let document: Value = serde_json::from_str(&run().out).unwrap();
        let outcome = &expanded(document["sources"][0].clone());
        let findings = of_code(outcome, "BAND-REWRITTEN");
        assert_eq!(findings.len(), 1, "{outcome:#}");
        assert_none(&compare(&b, &name, &hit, &findings));
    });
}

#[test]
fn locate_names_what_lies_in_a_band() {
    let b = Backups::new(&BundleOptions::default());
    let bundle = b.path();
    let locate = |args: &[&str]| {
        let all = [&["locate", "--json", bundle.to_str().unwrap()], args].concat();
        let ran = tmbundle(&all);
        ran.expect(0, &[]);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let (mut wrong, mut files) = (Vec::new(), 0);
    for i in 0..48 {
        let name = format!("{i:x}");
        let bytes = std::fs::read(b.band(&name)).unwrap_or_default();
        let (want, _) = marks(&bytes);
        let found = locate(&["--band", &name]);
        let pieces = found["pieces"].as_array().unwrap();
        let got: BTreeSet<String> = pieces
            .iter()
            .filter(|p| p["what"] == "file")
            .map(|p| p["objects"][0]["address"].as_str().unwrap().to_owned())
            .filter(|a| a.contains("/Docs/"))
            .collect();
        let want: BTreeSet<String> = want
            .iter()
            .map(|f| format!("{}:/HD/Docs/{}", b.snapshots_of(f).last().unwrap(), f.0))
            .collect();
        if got != want {
            wrong.push(format!("band {name}: {got:?}, expected {want:?}"));
        }
        files += want.len();
        // Every byte is told of once.
        let mut at = found["offset"].as_u64().unwrap();
        for p in pieces {
            if p["offset"].as_u64() != Some(at) {
                wrong.push(format!("band {name}: nothing is said of byte {at}"));
            }
            at = p["offset"].as_u64().unwrap() + p["length"].as_u64().unwrap();
        }
    }
    assert_none(&wrong);
    assert!(files > 10);
    let byte = locate(&["--offset", &(b.start + 1024).to_string()]);
    assert_eq!(byte["pieces"][0]["name"], "volume header");
    tmbundle(&["locate", bundle.to_str().unwrap(), "--band", "fff"]).expect(2, &["bands 0 to"]);
    tmbundle(&["locate", bundle.to_str().unwrap()]).expect(2, &["--band"]);
}

/// CNIDs of the folder and file records in a leaf, and of those whose thread it holds.
fn in_leaf(b: &Backups, leaf: u32) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (tree, image) = (&b.volume.layout.catalog, &b.volume.image);
    let be = |bytes: Vec<u8>| bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (mut records, mut threads) = (BTreeSet::new(), BTreeSet::new());
    for i in 0..tree.records(image, leaf) {
        let key = tree.record(image, leaf, i);
        let data = key + 2 + be(image.read(key, 2)).next_multiple_of(2);
        match be(image.read(data, 2)) {
            1 | 2 => records.insert(be(image.read(data + 8, 4))),
            _ => threads.insert(be(image.read(key + 2, 4))),
        };
    }
    (records, threads)
}

#[test]
fn a_lost_node_is_turned_into_what_it_described() {
    let b = Backups::new(&BundleOptions::default());
    let tree = b.volume.layout.tree(Tree::Catalog).unwrap();
    let size = tree.node_size as usize;
    assert!(tree.leaves.len() > 4);
    let mut wrong = Vec::new();
    for leaf in &tree.leaves {
        let at = b.start + tree.node(*leaf);
        let (band, within) = (format!("{:x}", at / BAND), (at % BAND) as usize);
        let zero = |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[within..within + size].fill(0);
            std::fs::write(path, bytes).unwrap();
        };
        let (records, threads) = in_leaf(&b, *leaf);
        b.with_band(&band, zero, || {
            let (offset, length) = (at.to_string(), size.to_string());
            let bundle = b.path();
            let args = ["locate", "--json", "--offset", &offset, "--length", &length];
            let ran = tmbundle(&[&args[..], &[bundle.to_str().unwrap()]].concat());
            let Ok(found) = serde_json::from_str::<Value>(&ran.out) else {
                // Without the root folder's record there is no volume to speak of.
                wrong.push(format!("leaf {leaf}: {ran:?}"));
                return;
            };
            let unread = found["unread"].as_array().is_some_and(|all| !all.is_empty());
            if ran.code != Some(1) || !unread {
                wrong.push(format!("leaf {leaf}: passed over in silence: {ran:?}"));
            }
            let got: BTreeSet<u64> = found["pieces"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|p| p["objects"].as_array().cloned().unwrap_or_default())
                .map(|o| o["id"].as_u64().unwrap())
                .collect();
            // Whose thread is gone, too, nobody can know of.
            let want: BTreeSet<u64> = records.difference(&threads).copied().collect();
            if got != want {
                wrong.push(format!("leaf {leaf}: {got:?}, expected {want:?}"));
            }
            let outcome = b.verify();
            let told = outcome["findings"].as_array().unwrap().iter().any(|f| {
                f["code"] == "HFS-BTREE-NODE"
                    && f["where"]["node"] == *leaf
                    && f["costs"]["files"].as_u64().unwrap()
                        + f["costs"]["folders"].as_u64().unwrap()
                        == want.len() as u64
            });
            if !told {
                wrong.push(format!("leaf {leaf}: {outcome:#}"));
            }
        });
    }
    assert_none(&wrong);
}

#[test]
fn very_many_bands_are_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Many.sparsebundle");
    common::empty_bundle(&bundle, 4096, 100_001 * 4096);
    let first = bundle.join("bands/0");
    std::fs::write(&first, b"").unwrap();
    // Names are what counts; some file systems allow only so many of one file.
    for i in 1..100_001 {
        let name = bundle.join(format!("bands/{i:x}"));
        if std::fs::hard_link(&first, &name).is_err() {
            std::fs::write(&name, b"").unwrap();
        }
    }
    let path = bundle.to_str().unwrap();
    tmbundle(&["verify", "--quick", "--all", path]).expect(1, &["BAND-MANY", "100001 bands"]);
    std::fs::remove_file(first).unwrap();
    let ran = tmbundle(&["verify", "--quick", "--all", path]);
    assert!(!ran.out.contains("BAND-MANY"), "{ran:#?}");
}
