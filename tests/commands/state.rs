//! What verify keeps between runs, as a user meets it: where it lies, whose it is, and
//! that two runs do not collide.

use crate::common::{Ran, tmbundle_with};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tmbundle::disk::{Disk, Secret};
use tmbundle::state::{Identity, Session};
use tmbundle::volume::Layout;
use tools::bundle::{BundleOptions, Encryption, MachineId};
use tools::image::Image;

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// A copy of the bundle that comes with the repository, and a state directory.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/Demo.sparsebundle");
        copy(&demo, &dir.path().join("A.sparsebundle"));
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        self.path("A.sparsebundle")
    }

    fn verify(&self, args: &[&str], bundle: &Path) -> Ran {
        let state = self.path("state");
        let mut all = vec!["verify"];
        all.extend(args);
        all.push(bundle.to_str().unwrap());
        tmbundle_with(&[("XDG_STATE_HOME", state.to_str().unwrap())], &all)
    }

    /// The folders of the bundles that are known.
    fn folders(&self) -> Vec<PathBuf> {
        let list = fs::read_dir(self.path("state/tmbundle")).unwrap();
        list.map(|e| e.unwrap().path()).collect()
    }

    fn session(&self, now: i64) -> Session {
        let disk = Layout::from(Disk::open(&self.bundle()).unwrap());
        Session::open(&self.path("state/tmbundle"), &disk, now).unwrap().unwrap()
    }
}

fn now() -> i64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64
}

/// Every path below `dir` with its size and times.
fn listing(dir: &Path) -> Vec<(PathBuf, u64, i64, i64, i64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let m = fs::symlink_metadata(&path).unwrap();
        if m.is_dir() {
            found.extend(listing(&path));
        }
        found.push((path, m.size(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()));
    }
    found.sort();
    found
}

fn identity(path: &Path) -> Identity {
    Identity::of(&Layout::from(Disk::open(path).unwrap())).unwrap()
}

#[test]
fn a_run_with_a_manifest_keeps_all_outside_the_bundle_and_for_its_owner_only() {
    let f = Fixture::new();
    let before = listing(&f.bundle());
    f.verify(&["--manifest", "-v"], &f.bundle()).expect(
        0,
        &["  manifest    ok        4 bands, all read for the first time\n", "No damage."],
    );
    // What was hashed right after it was written is read again.
    f.verify(&["--manifest", "-v"], &f.bundle()).expect(0, &["4 bands: 4 read\n"]);
    f.verify(&["--manifest", "--manifest-read=all", "-v"], &f.bundle())
        .expect(0, &["4 bands: 4 read\n"]);
    assert_eq!(listing(&f.bundle()), before);
    let [folder] = &f.folders()[..] else { panic!("{:?}", f.folders()) };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    assert_eq!(mode(&f.path("state/tmbundle")), 0o700);
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["bands", "lock", "record.json"]);
    for name in names {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
    }
    // Nothing of it in the bundle.
    let inside = f.bundle().join("state");
    f.verify(&["--state-dir", inside.to_str().unwrap()], &f.bundle())
        .expect(2, &["lies in the bundle"]);
    let inside = format!("--manifest={}", f.bundle().join("bands/m").display());
    f.verify(&[&inside], &f.bundle()).expect(2, &["lies in the bundle"]);
    assert_eq!(listing(&f.bundle()), before);
}

#[test]
fn rot_gives_exit_code_one_and_json_has_the_counts() {
    let f = Fixture::new();
    f.verify(&["--manifest"], &f.bundle()).expect(0, &[]);
    let band = f.bundle().join("bands/0");
    fs::set_permissions(&band, fs::Permissions::from_mode(0o644)).unwrap();
    let modified = fs::metadata(&band).unwrap().modified().unwrap();
    let mut bytes = fs::read(&band).unwrap();
    bytes[512 * 20 + 7] ^= 1;
    fs::write(&band, bytes).unwrap();
    let file = fs::File::options().write(true).open(&band).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
    // The times are made to say that nobody wrote: see tests/commands/band_manifest.rs.
    let path = f.folders()[0].join("bands");
    use tmbundle::verify::manifest::{Found, Manifest};
    let Found::Manifest(mut manifest) = Manifest::read(&path).unwrap() else { panic!() };
    let entry = manifest.entries.get_mut(&0).unwrap();
    let m = fs::metadata(&band).unwrap();
    entry.stamp.ctime = m.ctime() * 1_000_000_000 + m.ctime_nsec();
    entry.flags = 0;
    manifest.write(&path).unwrap();
    let ran = f.verify(&["--manifest", "--manifest-read=all"], &f.bundle());
    ran.expect(1, &["BAND-ROT", "DAMAGE", "band 0: its bytes differ"]);
    let json: serde_json::Value =
        serde_json::from_str(&f.verify(&["--manifest", "--json"], &f.bundle()).out).unwrap();
    let source = &json["sources"][0];
    assert_eq!(source["verdict"], "damage");
    assert_eq!(source["manifest"]["rotten"], 1);
    assert_eq!(source["manifest"]["bands"], 4);
    let findings = source["findings"].as_array().unwrap();
    let rot = findings.iter().find(|f| f["code"] == "BAND-ROT").unwrap();
    assert_eq!((&rot["where"]["band"], &rot["where"]["offset"]), (&"0".into(), &0.into()));
    assert_eq!(rot["where"]["length"], 1 << 20);
}

#[test]
fn a_bundle_is_known_whatever_its_path() {
    let f = Fixture::new();
    f.verify(&["--manifest"], &f.bundle()).expect(0, &[]);
    let id = identity(&f.bundle());
    assert!(!id.is_path_only());
    // Moved, as on a snapshot of the file system, and through a link.
    fs::create_dir(f.path("snapshot")).unwrap();
    let moved = f.path("snapshot/B.sparsebundle");
    fs::rename(f.bundle(), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, f.path("link")).unwrap();
    for path in [&moved, &f.path("link")] {
        assert_eq!(identity(path).id(), id.id());
        let ran = f.verify(&["--manifest", "-v"], path);
        assert!(ran.out.contains("4 bands: ") && !ran.out.contains("first time"), "{ran:?}");
    }
    assert_eq!(f.folders().len(), 1);
    // A copy has the same identity and a manifest of its own; both are told of.
    copy(&moved, &f.path("copy"));
    assert_eq!(identity(&f.path("copy")).id(), id.id());
    let first = "4 bands, all read for the first time";
    f.verify(&["--manifest", "-v"], &f.path("copy")).expect(0, &[first, "BUNDLE-TWICE"]);
    assert_eq!(f.folders().len(), 2);
    // Both ways round, and neither takes the other's place.
    for path in [&moved, &f.path("copy")] {
        let ran = f.verify(&["--manifest", "-v"], path);
        ran.expect(0, &["4 bands: ", "BUNDLE-TWICE", "has the same identity"]);
        assert!(!ran.out.contains("changed"), "{ran:?}");
    }
    // What is no longer there is no twin; its successor at the same path continues it.
    fs::remove_dir_all(f.path("copy")).unwrap();
    assert_eq!(f.verify(&["--manifest"], &moved).out, "");
    copy(&moved, &f.path("copy"));
    f.verify(&["--manifest", "-v"], &f.path("copy")).expect(0, &["4 bands: 4 read"]);
    assert_eq!(f.folders().len(), 2);
}

/// A hostile user gives his bundle the identity of somebody else's: her rot is found all
/// the same.
#[test]
fn a_borrowed_identity_hides_nothing() {
    let f = Fixture::new();
    f.verify(&["--manifest"], &f.bundle()).expect(0, &[]);
    copy(&f.bundle(), &f.path("Mallory.sparsebundle"));
    let other = f.path("Mallory.sparsebundle");
    fs::write(other.join("bands/8"), vec![7; 1 << 20]).unwrap();
    let ran = f.verify(&["--manifest"], &other);
    assert!(ran.out.contains("BUNDLE-TWICE"), "{ran:?}");
    let band = f.bundle().join("bands/8");
    fs::set_permissions(&band, fs::Permissions::from_mode(0o644)).unwrap();
    let modified = fs::metadata(&band).unwrap().modified().unwrap();
    let mut bytes = fs::read(&band).unwrap();
    bytes[100] ^= 1;
    fs::write(&band, bytes).unwrap();
    let file = fs::File::options().write(true).open(&band).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(modified)).unwrap();
    let ran = f.verify(&["--manifest"], &f.bundle());
    assert!(ran.out.contains("BAND-REWRITTEN") && ran.out.contains("BUNDLE-TWICE"), "{ran:?}");
}

#[test]
fn a_damaged_part_of_the_bundle_does_not_make_it_another() {
    let f = Fixture::new();
    f.verify(&["--manifest"], &f.bundle()).expect(0, &[]);
    // Both copies of the partition table, and the volume header: no mark but the Mac's.
    fs::remove_file(f.bundle().join("bands/0")).unwrap();
    fs::remove_file(f.bundle().join("bands/400")).unwrap();
    let ran = f.verify(&["--manifest", "-v"], &f.bundle());
    ran.expect(1, &["2 gone", "BAND-GONE"]);
    assert_eq!(f.folders().len(), 1, "{ran:?}");
}

#[test]
fn a_password_does_not_change_who_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::from_bytes(&vec![5; 1 << 20]);
    let write = |name: &str, encryption, uuid: Option<&str>, host: Option<&str>| {
        let path = dir.path().join(name);
        let machine_id =
            host.map(|host| MachineId { host_uuid: host.into(), ..MachineId::default() });
        let uuid = uuid.map(str::to_owned);
        let options = BundleOptions { encryption, uuid, machine_id, ..BundleOptions::default() };
        tools::bundle::write(&image, &path, &options).unwrap();
        path
    };
    let locked = write("E", Some(Encryption::with_password("pw")), None, None);
    let open = Disk::open_with(&locked, &|_| Ok(vec![Secret::new("pw".into())])).unwrap();
    assert!(open.bytes().is_ok());
    assert_eq!(Identity::of(&Layout::from(open)).unwrap(), identity(&locked));
    assert!(!identity(&locked).is_path_only(), "the token has a uuid");
    // The image's uuid is stronger than the Mac and the name.
    let a = identity(&write("A", None, Some("11111111-2222-3333-4444-555555555555"), Some("H")));
    let b = identity(&write("B", None, Some("11111111-2222-3333-4444-555555555555"), Some("I")));
    let c = identity(&write("C", None, Some("99999999-2222-3333-4444-555555555555"), Some("H")));
    assert_eq!((a.id() == b.id(), a.matches(&b)), (true, Some(true)));
    assert_eq!((a.id() == c.id(), a.matches(&c)), (false, Some(false)));
    // Two bundles of one Mac that carry nothing else are told apart by name.
    let (d, e) = (write("D", None, None, Some("H")), write("F", None, None, Some("H")));
    assert_ne!(identity(&d).id(), identity(&e).id());
    // Nothing at all: the path.
    let bare = identity(&write("G", None, None, None));
    assert!(bare.is_path_only());
}

#[test]
fn two_runs_on_one_bundle_do_not_collide() {
    let f = Fixture::new();
    let mut other = f.session(now());
    other.lock().unwrap();
    let words = ["another tmbundle verifies it", "volume was not checked"];
    f.verify(&["--manifest"], &f.bundle()).expect(0, &words);
    // Under another name it is the same bundle; who keeps no manifest disturbs nobody.
    std::os::unix::fs::symlink(f.bundle(), f.path("B")).unwrap();
    f.verify(&["--manifest"], &f.path("B")).expect(0, &words);
    f.verify(&["-v"], &f.bundle()).expect(0, &["No damage."]);
    f.verify(&["--quick", "-v"], &f.bundle()).expect(0, &["--quick was asked for"]);
    let json = f.verify(&["--json", "--manifest"], &f.bundle());
    assert!(json.out.contains("BUNDLE-SKIPPED"), "{json:?}");
    drop(other);
    let ran = f.verify(&["--manifest"], &f.bundle());
    ran.expect(0, &[]);
    assert_eq!(ran.out, "");
}

#[test]
fn a_bundle_that_is_always_skipped_becomes_a_finding() {
    let f = Fixture::new();
    let day = 86400;
    let skipped = |args: &[&str], since: i64, verified: bool| {
        let _ = fs::remove_dir_all(f.path("state"));
        let mut session = f.session(now() - since * day);
        if verified {
            session.verified(now() - since * day, "ok", &[].into()).unwrap();
        }
        session.lock().unwrap();
        f.verify(&[args, &["--manifest"]].concat(), &f.bundle())
    };
    skipped(&[], 13, false).expect(0, &["not checked"]);
    skipped(&[], 15, false)
        .expect(1, &["first seen 15 days ago, more than 14 days, and never", "BUNDLE-UNVERIFIED"]);
    skipped(&[], 15, true).expect(1, &["last verified 15 days ago, more than 14 days"]);
    skipped(&["--max-unverified=30d"], 15, true).expect(0, &["not checked"]);
    skipped(&["--max-unverified=12h"], 1, true).expect(1, &["24 hours ago, more than 12 hours"]);
    // A verification starts the clock anew; a quick look does not.
    let verified = |args: &[&str]| {
        drop(skipped(&[], 15, false));
        f.verify(args, &f.bundle()).expect(0, &[]);
        f.session(now()).record().clone()
    };
    assert_eq!(verified(&["--quick"]).verified, None);
    let record = verified(&[]);
    assert!(now() - record.verified.unwrap() < 1000, "{record:?}");
    assert_eq!(record.verdict.as_deref(), Some("ok"));
    assert!(now() - record.first_seen > 14 * day);
}

#[test]
fn a_damaged_record_is_told_and_begun_anew() {
    let f = Fixture::new();
    f.verify(&[], &f.bundle()).expect(0, &[]);
    fs::write(f.folders()[0].join("record.json"), "{\"identity\":").unwrap();
    f.verify(&[], &f.bundle()).expect(0, &["MANIFEST-RESTARTED", "1 warning"]);
    f.verify(&["-v"], &f.bundle()).expect(0, &["No damage."]);
}

#[test]
fn the_state_directory_is_found_without_home() {
    let f = Fixture::new();
    let service = f.path("service");
    let program = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"));
        command.env_clear().args(["verify", "--manifest"]).arg(f.bundle());
        command
    };
    let two = format!("{}:/nowhere", service.display());
    assert!(program().env("STATE_DIRECTORY", two).status().unwrap().success());
    assert!(service.is_dir());
    let home = f.path("home");
    fs::create_dir(&home).unwrap();
    if Path::new(tmbundle::state::SERVICE).is_dir() {
        crate::common::skipped("state in root's home: the unit's folder is there");
    } else {
        assert!(program().env("HOME", &home).status().unwrap().success());
        assert!(home.join(".local/state/tmbundle").is_dir());
    }
    let named = f.path("named");
    assert!(program().arg("--state-dir").arg(&named).status().unwrap().success());
    assert!(named.is_dir());
}

#[test]
fn without_a_usable_state_directory_the_rest_is_checked() {
    let f = Fixture::new();
    fs::write(f.path("file"), "").unwrap();
    let state = f.path("file");
    let state = [("XDG_STATE_HOME", state.to_str().unwrap())];
    let bundle = f.bundle();
    let bundle = bundle.to_str().unwrap();
    let ran = tmbundle_with(&state, &["verify", bundle]);
    ran.expect(0, &[]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    // The bundle is verified, and that nothing can be kept is one finding more.
    let words = ["cannot make the folder", "MANIFEST-UNWRITTEN", "manifest not checked"];
    let ran = tmbundle_with(&state, &["verify", "--manifest", "-v", bundle]);
    ran.expect(1, &words).expect(1, &["HFSX: 295 files"]);
    let args = ["verify", "--manifest", "--fail-on", "unchecked", bundle];
    tmbundle_with(&state, &args).expect(1, &words);
    let named = format!("--manifest={}", f.path("bands").display());
    tmbundle_with(&state, &["verify", &named, bundle]).expect(0, &[]);
    assert!(f.path("bands").is_file());
}

#[test]
fn arguments_that_do_not_fit() {
    let f = Fixture::new();
    f.verify(&["--manifest", "--quick"], &f.bundle()).expect(2, &["cannot be used with"]);
    f.verify(&["--manifest-read=all"], &f.bundle()).expect(2, &["--manifest"]);
    f.verify(&["--manifest", "--manifest-read=x"], &f.bundle()).expect(2, &["'x' is none of all"]);
    f.verify(&["--manifest=m", "other"], &f.bundle()).expect(2, &["is for one bundle"]);
    fs::write(f.path("raw"), vec![0; 1 << 20]).unwrap();
    let band = f.bundle().join("bands/0");
    f.verify(&["--manifest"], &band).expect(1, &["manifest not checked: only a bundle has bands"]);
}

#[test]
fn a_named_manifest_of_another_bundle_is_left_alone_and_the_bundle_verified() {
    let f = Fixture::new();
    let file = format!("--manifest={}", f.path("bands").display());
    f.verify(&[&file], &f.bundle()).expect(0, &[]);
    let other = f.path("other");
    let options = BundleOptions {
        machine_id: Some(MachineId { host_uuid: "H".into(), ..MachineId::default() }),
        ..BundleOptions::default()
    };
    tools::bundle::write(&tools::samples::sample("basic").unwrap().build().image, &other, &options)
        .unwrap();
    let kept = fs::read(f.path("bands")).unwrap();
    let words = ["is the manifest of another bundle", "MANIFEST-UNWRITTEN"];
    f.verify(&[&file], &other).expect(1, &words);
    assert_eq!(fs::read(f.path("bands")).unwrap(), kept);
}
