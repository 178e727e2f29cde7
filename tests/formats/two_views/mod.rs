//! Jobs over a volume with several views know the traits of `fs` alone: a double that makes
//! two views of one HFS+ volume is listed, mounted, judged and read like any other.

mod double;

use crate::common::contents::Recorder;
use crate::common::{marked, skipped};
use double::{SNAPSHOT, TwoViews};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tmbundle::disk::Disk;
use tmbundle::fs::{Cursor, FileSystem, NodeId, Owner, Step, Stream, ViewId, Views, Volume, walk};
use tmbundle::io::{Presence, Ranges, Source, read_vec};
use tmbundle::losses::{self, Evidence, Guard, Policy};
use tmbundle::mount::{Mounted, Opened, Options, Tree, unmount};
use tmbundle::report::{Collector, NoProgress};
use tmbundle::timemachine::{Archive, Backup, Computer, Sightings, Snapshot, State, Top, VOLUME};
use tmbundle::verify::Subset;
use tmbundle::verify::contents::{Pass, read};
use tmbundle::volume::Layout;
use tmbundle::{Error, Result};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

const BAND: u64 = 1 << 20;
/// Larger than what the mount's inode numbers have room for.
const FAR: u64 = 1 << 45;
const NAME: &str = "before the tidying";

/// What the writer put there: paths and contents.
struct Sample {
    dir: tempfile::TempDir,
    files: BTreeMap<&'static str, Vec<u8>>,
    ids: BTreeMap<&'static str, NodeId>,
    /// First byte and length of each file on the disk.
    places: BTreeMap<&'static str, (u64, u64)>,
}

impl Sample {
    fn new() -> Self {
        let mut volume = VolumeBuilder::new(VolumeOptions::default());
        let root = volume.root();
        let docs = volume.mkdir(root, "Docs", Meta::dir());
        let (mut files, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for (path, len) in [("kept", 300_000), ("deleted", 3 << 20), ("made", 200_000)] {
            let content = marked(path, 1, len);
            files.insert(path, content.to_vec());
            let id = volume.file(docs, path, content, Meta::file());
            ids.insert(path, NodeId(id.into()));
        }
        let volume = volume.build();
        let places = ids.iter().map(|(path, id)| {
            let mut forks = volume.layout.forks();
            let (_, _, extents) = forks.find(|f| u64::from(f.0) == id.0).unwrap();
            let len = files[path].len() as u64;
            (*path, (volume.layout.block(extents[0].start), len))
        });
        let places = places.collect();
        let dir = tempfile::tempdir().unwrap();
        let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
        bundle::write(&volume.image, &dir.path().join("Mac.sparsebundle"), &options).unwrap();
        Self { dir, files, ids, places }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("Mac.sparsebundle")
    }

    /// The bundle, its volume replaced by the double.
    fn open(&self, shift: u64, name: &'static str) -> Result<(Layout, Archive)> {
        open(self.path(), self.ids["deleted"], self.ids["made"], shift, name)
    }
}

fn open(
    path: PathBuf,
    deleted: NodeId,
    made: NodeId,
    shift: u64,
    name: &'static str,
) -> Result<(Layout, Archive)> {
    let layout = Layout::from(Disk::open(&path)?);
    let mut archive = Archive::open(&layout)?;
    let volume = &mut archive.open[0];
    let double = Arc::new(TwoViews { inner: volume.volume.clone(), deleted, made, shift, name });
    volume.live = double.clone().open(ViewId::LIVE)?;
    volume.volume = double;
    Ok((layout, archive))
}

/// A backup of Time Machine's in the snapshot's folder `Docs`.
fn backup() -> Backup {
    let snapshot = Snapshot {
        name: "2019-11-01-092000".into(),
        view: SNAPSHOT,
        top: Top::Named("Docs".into()),
        state: State::Complete,
        raw_state: None,
        number: None,
        started: None,
        completed: Some(1_572_600_000_000_000),
        bytes_copied: None,
        volumes: Vec::new(),
    };
    let computer = Computer {
        name: "Mac".into(),
        node: NodeId(2),
        host_uuid: None,
        model: None,
        mac_address: None,
        latest_link: None,
        snapshots: vec![snapshot],
    };
    Backup { computers: vec![computer], ..Backup::default() }
}

fn names(fs: &dyn FileSystem, dir: NodeId) -> Vec<String> {
    let mut found = Vec::new();
    fs.read_dir(dir, Cursor::default(), &mut |entry| {
        found.push(entry.name);
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

const LIVE: [&str; 2] = ["kept", "made"];
const THEN: [&str; 2] = ["deleted", "kept"];

#[test]
fn each_view_is_listed_and_walked_by_its_address() {
    let sample = Sample::new();
    for shift in [0, FAR] {
        let (_, archive) = sample.open(shift, NAME).unwrap();
        let snapshot = format!("{VOLUME}@{NAME}:/Docs");
        for (address, expected) in [("volume:/Docs", LIVE), (snapshot.as_str(), THEN)] {
            let place = archive.find(address).unwrap();
            assert_eq!(names(&*place.fs, place.node.id), expected, "{address}");
            let mut walked = BTreeMap::new();
            walk(
                &*place.fs,
                &place.node,
                &mut |entry| {
                    let id = entry.entry.node.as_ref().unwrap().id;
                    let source = place.fs.open(id, &Stream::Data)?;
                    let bytes = read_vec(&*source, 0, source.len() as usize)?;
                    walked.insert(entry.path.to_owned(), bytes);
                    Ok(Step::Into)
                },
                &mut |_, e| Err(e),
            )
            .unwrap();
            let written = expected.map(|name| (name.to_owned(), sample.files[name].clone()));
            assert_eq!(walked, BTreeMap::from(written), "{address}");
        }
        let gone = archive.find("volume:/Docs/deleted").map(|p| p.path);
        assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    }
}

#[test]
fn the_snapshot_of_a_backup_is_entered_in_its_view() {
    let sample = Sample::new();
    let (_, mut archive) =
        sample.open(FAR, "com.apple.TimeMachine.2019-11-01-092000.backup").unwrap();
    archive.open[0].backup = Some(backup());
    for address in ["latest:/", "2019-11-01-092000:/"] {
        let place = archive.find(address).unwrap();
        assert_eq!(names(&*place.fs, place.node.id), THEN, "{address}");
        assert_eq!(place.view, SNAPSHOT);
    }
}

#[test]
fn lost_bytes_cost_the_views_that_have_them() {
    let sample = Sample::new();
    // A band in the midst of the file that only the snapshot has.
    let (first, len) = sample.places["deleted"];
    let band = first.div_ceil(BAND);
    assert!((band + 1) * BAND < first + len);
    std::fs::remove_file(sample.path().join(format!("bands/{band:x}"))).unwrap();
    for shift in [0, FAR] {
        let (layout, archive) = sample.open(shift, NAME).unwrap();
        let open = &archive.open[0];
        let bands = layout.disk().bundle().unwrap().bands();
        let found = losses::find(open, &bands, true, &NoProgress).unwrap();
        let lost: Vec<_> = found.iter().map(|l| (l.band, l.how, l.ranges.clone())).collect();
        let range = band * BAND..(band + 1) * BAND;
        assert_eq!(lost, [(band, Presence::Missing, vec![range.clone()])]);

        let mut owned = Vec::new();
        let visit = &mut |o| owned.push(o);
        let wanted = Ranges::one(range);
        open.volume.owners(&wanted, &open.all_views(), &NoProgress, visit).unwrap();
        let mut at = Sightings::new(open);
        let hit: Vec<_> = owned
            .iter()
            .map(|o| {
                let Owner::Stream { node, .. } = &o.owner else { panic!("{o:?}") };
                (o.views.clone(), at.of(*node, &o.views).address)
            })
            .collect();
        let address = format!("{VOLUME}@{NAME}:/Docs/deleted");
        assert_eq!(hit, [(Views::one(SNAPSHOT), address)]);

        let evidence = Arc::new(Evidence::of(layout.disk(), Box::new(Vec::new)));
        let read = |view, name: &str| {
            let fs = open.view(view).unwrap();
            let docs = fs.lookup(fs.root(), "Docs").unwrap().unwrap().id;
            let node = fs.lookup(docs, name).unwrap().unwrap().id;
            let guard = Guard::of_view(open, view, fs, evidence.clone(), Policy::Fail);
            let stream = guard.open(node, &Stream::Data).unwrap();
            read_vec(&*stream, 0, sample.files[name].len())
        };
        for (view, names) in [(ViewId::LIVE, LIVE), (SNAPSHOT, THEN)] {
            for name in names.into_iter().filter(|n| *n != "deleted") {
                assert!(read(view, name).unwrap() == sample.files[name], "{view:?} {name}");
            }
        }
        let lost = read(SNAPSHOT, "deleted").map(|b| b.len());
        assert!(matches!(&lost, Err(Error::Lost(_))), "{lost:?}");
    }
}

#[test]
fn contents_of_all_views_are_read_once() {
    let sample = Sample::new();
    let (_, archive) = sample.open(0, NAME).unwrap();
    let reads = Arc::new(Mutex::new(Vec::new()));
    let bytes: Source = archive.open[0].volume.bytes().clone();
    let recorder = Arc::new(Recorder { inner: bytes, reads: reads.clone() });
    let inner: Arc<dyn Volume> = Arc::new(tmbundle::hfsplus::HfsPlus::open(recorder).unwrap());
    for (shift, views, expected) in [
        (0, Views::run(ViewId::LIVE..=SNAPSHOT), vec!["deleted", "kept", "made"]),
        (FAR, Views::run(ViewId::LIVE..=SNAPSHOT), vec!["deleted", "kept", "made"]),
        (FAR, Views::live(), LIVE.to_vec()),
        (0, Views::one(SNAPSHOT), THEN.to_vec()),
    ] {
        let (deleted, made) = (sample.ids["deleted"], sample.ids["made"]);
        let inner = inner.clone();
        let volume = Arc::new(TwoViews { inner, deleted, made, shift, name: NAME });
        reads.lock().unwrap().clear();
        let pass = Pass {
            volume: &*volume,
            views: views.clone(),
            view: &|view| volume.clone().open(view),
            name: &|_, _| None,
            subset: Subset::All,
            day: 0,
            jobs: 1,
            along: None,
        };
        let collector = Collector::default();
        let done = read(&pass, &collector, &NoProgress).unwrap();
        assert_eq!(collector.into_findings().0, []);
        let firsts: BTreeSet<u64> = expected.iter().map(|name| sample.places[name].0).collect();
        let all: BTreeSet<u64> = sample.places.values().map(|p| p.0).collect();
        let mut seen: Vec<u64> = reads.lock().unwrap().clone();
        seen.retain(|at| all.contains(at));
        assert_eq!(seen, firsts.into_iter().collect::<Vec<_>>(), "{shift} {views}: each once");
        let bytes: usize = expected.iter().map(|name| sample.files[name].len()).sum();
        let told = (done.contents.files_read, done.contents.bytes_read);
        // The journal's two files are not shown to a user, and not among them.
        assert_eq!(told, (expected.len() as u64, bytes as u64), "{shift} {views}");
    }
}

/// Opens what is mounted: the double.
fn opener(sample: &Sample, with_backup: bool) -> tmbundle::mount::Opener {
    let (path, ids) = (sample.path(), sample.ids.clone());
    Box::new(move |_| {
        let name =
            if with_backup { "com.apple.TimeMachine.2019-11-01-092000.backup" } else { NAME };
        let (layout, mut archive) = open(path.clone(), ids["deleted"], ids["made"], FAR, name)?;
        if with_backup {
            archive.open[0].backup = Some(backup());
        }
        let evidence = Arc::new(Evidence::of(layout.disk(), Box::new(Vec::new)));
        Ok(Opened { bytes: layout.disk().bytes()?, archive, evidence })
    })
}

#[test]
fn the_mounts_tree_shows_each_view() {
    let sample = Sample::new();
    let anchor = tmbundle::io::Anchor::open(&sample.path(), Default::default()).unwrap();
    let tree = Tree::new(opener(&sample, false)(&anchor).unwrap(), Options::default());
    let enter = |path: &[&str]| {
        path.iter().fold(tmbundle::mount::Object::Root, |at, name| {
            tree.lookup(at, name).unwrap().unwrap_or_else(|| panic!("no {name}")).0
        })
    };
    let volume = archive_name(&tree);
    for (path, expected) in [
        (vec!["volumes", &volume, "Docs"], LIVE),
        (vec!["volumes", &volume, ".snapshots", NAME, "Docs"], THEN),
    ] {
        let mut found = Vec::new();
        let folder = enter(&path);
        tree.list(folder, 0, &mut |name, listed, _| {
            let (object, attributes) = listed.unwrap();
            assert_eq!(tree.attributes(object).unwrap(), attributes);
            let source = tree.open(object).unwrap().0;
            let bytes = read_vec(&*source, 0, source.len() as usize).unwrap();
            assert!(bytes == sample.files[name], "{path:?} {name}");
            found.push(name.to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(found, expected, "{path:?}");
    }
}

fn archive_name(tree: &Tree) -> String {
    tree.archive().open[0].name().to_owned()
}

#[test]
fn the_kernel_reads_each_view_by_numbers_of_its_own() {
    let fuse = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    if fuse.is_err() || !rustix::process::geteuid().is_root() {
        skipped("two views mounted: no /dev/fuse, or not root");
        return;
    }
    let sample = Sample::new();
    for with_backup in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let opener = opener(&sample, with_backup);
        let mounted = Mounted::new(&sample.path(), opener, dir.path(), Options::default()).unwrap();
        let volume = dir.path().join("volumes").join(mounted.with_tree(archive_name));
        let then = match with_backup {
            true => dir.path().join("latest"),
            false => volume.join(".snapshots").join(NAME).join("Docs"),
        };
        let mut numbers = BTreeSet::new();
        for (folder, expected) in [(volume.join("Docs"), LIVE), (then, THEN)] {
            let mut found = BTreeMap::new();
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let meta = entry.metadata().unwrap();
                numbers.insert(std::os::unix::fs::MetadataExt::ino(&meta));
                let name = entry.file_name().into_string().unwrap();
                found.insert(name, std::fs::read(entry.path()).unwrap());
            }
            let written = expected.map(|name| (name.to_owned(), sample.files[name].clone()));
            assert!(found == BTreeMap::from(written), "{:?}", found.keys());
        }
        assert_eq!(numbers.len(), 4, "a file of two views has two numbers");
        unmount(dir.path(), true).unwrap();
    }
}
