//! Which objects, where to, and what to do with what is there.

use super::{START, Sample, json};
use crate::common::{self, tmbundle};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tools::hfs::Meta;

fn found(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path.clone());
            }
            names.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
        }
    }
    names
}

fn tree() -> Sample {
    Sample::new(|v| {
        let root = v.root();
        let a = v.mkdir(root, "a", Meta::dir());
        let b = v.mkdir(a, "b", Meta::dir());
        v.mkdir(a, "empty", Meta::dir());
        v.file(a, "one.jpg", "1", Meta::file().dated(START));
        v.file(b, "two.jpg", "2", Meta::file().dated(START + 1000));
        v.file(b, "three.txt", "3", Meta::file().dated(START + 2000));
    })
}

#[test]
fn patterns_choose() {
    let sample = tree();
    let with = |n: &str, options: &[&str]| {
        let to = sample.dir.path().join(n);
        sample.restore_to(&to, options).expect(0, &[]);
        found(&to).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(with("1", &["--include", "*.jpg"]), ["a", "a/b", "a/b/two.jpg", "a/one.jpg"]);
    assert_eq!(with("2", &["--include", "a/b"]), ["a", "a/b", "a/b/three.txt", "a/b/two.jpg"]);
    assert_eq!(with("3", &["--exclude", "b", "--exclude", "emp*"]), ["a", "a/one.jpg"]);
    assert_eq!(with("4", &["--include", "b", "--exclude", "*.txt"]), ["a", "a/b", "a/b/two.jpg"]);
    assert_eq!(with("5", &["--newer-than", "2019-11-02T09:40Z"]), ["a", "a/b", "a/b/three.txt"]);
    for how in [&[][..], &["--dry-run"]] {
        let options = [&["--include", "*.jpeg", "--include", "c/**"], how].concat();
        sample.restore(&options).expect(2, &["nothing fits --include"]);
    }
    assert!(!sample.to().exists());
    let tar = ["extract", &sample.image(), "volume:/", "--tar", "--include", "*.jpeg"];
    tmbundle(&tar).expect(2, &["nothing fits --include"]);
    // That nothing is new is no mistake.
    sample.restore(&["--include", "*.jpg", "--newer-than", "2024-01-01"]).expect(0, &["0 files"]);
    let bad = sample.restore(&["--include", "[a"]);
    bad.expect(2, &["'[a'"]);
}

#[test]
fn snapshots_by_date_and_by_steps() {
    let demo = common::demo().to_str().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let log = |address: &str, at: &[&str]| {
        let to = dir.path().join(format!("{address}{at:?}").replace(['/', ':'], "_"));
        let mut args = vec!["extract", &demo, address, "--to", to.to_str().unwrap()];
        args.extend(at);
        tmbundle(&args).expect(0, &[]);
        fs::read_to_string(to.join(".Backup.log")).unwrap()
    };
    let by_stamp = log("2019-11-06-102242", &[]);
    assert_eq!(log("latest~1", &[]), by_stamp);
    assert_eq!(log("latest", &["--at", "2019-11-12"]), by_stamp);
    assert_ne!(log("latest", &["--at", "2019-11-13"]), by_stamp);
    let to = dir.path().to_str().unwrap();
    tmbundle(&["extract", &demo, "latest", "--at", "2001-01-01", "--to", to])
        .expect(2, &["no snapshot was made by then"]);
}

#[test]
fn addresses_that_meet_go_below_their_snapshots() {
    let demo = common::demo().to_str().unwrap().to_owned();
    let to = tempfile::tempdir().unwrap();
    let users = "Macintosh HD/Users";
    let (a, b) = (format!("latest:/{users}"), format!("latest~1:/{users}"));
    let args = ["extract", &demo, &a, &b, "--to", to.path().to_str().unwrap()];
    tmbundle(&args).expect(0, &[]);
    for stamp in ["2019-11-13-102343", "2019-11-06-102242"] {
        assert!(to.path().join(stamp).join("Users/anna").is_dir());
    }
    let same = ["extract", &demo, &a, &a, "--to", to.path().to_str().unwrap()];
    tmbundle(&same).expect(2, &["two addresses would both be restored as 'Users'"]);
}

#[test]
fn what_is_there_is_kept_or_replaced_as_asked() {
    let sample = tree();
    sample.restore(&[]).expect(0, &[]);
    let one = sample.to().join("a/one.jpg");
    let mine = || {
        fs::write(&one, "mine!").unwrap();
        fs::read(&one).unwrap()
    };
    mine();
    sample.restore(&[]).expect(1, &["not restored: a/one.jpg", "--on-conflict"]);
    sample.restore(&["--on-conflict", "skip"]).expect(0, &["1 object was left out"]);
    let newer = sample.restore(&["--on-conflict", "newer"]);
    newer.expect(0, &["1 object was left out since something else is there (--on-conflict)"]);
    assert!(!newer.err.contains("devices"), "{newer:#?}");
    assert_eq!(fs::read(&one).unwrap(), b"mine!");
    let renamed = sample.restore(&["--on-conflict", "rename"]);
    renamed.expect(0, &["Restored 1 file", "1 object was restored under another name"]);
    assert!(!renamed.err.contains("does not take"), "{renamed:#?}");
    assert_eq!(fs::read(sample.to().join("a/one (restored).jpg")).unwrap(), b"1");
    // Once more: it is beside already.
    sample.restore(&["--on-conflict", "rename"]).expect(0, &["Restored 0 files"]);
    sample.restore(&["--on-conflict", "overwrite"]).expect(0, &["Restored 1 file"]);
    assert_eq!(fs::read(&one).unwrap(), b"1");
    // Of the same size and time, but not the same: only the bytes tell.
    fs::write(&one, "x").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(START as u64);
    fs::File::options().write(true).open(&one).unwrap().set_modified(time).unwrap();
    sample.restore(&[]).expect(0, &["Restored 0 files"]);
    sample.restore(&["--checksum"]).expect(1, &["not restored: a/one.jpg"]);
    sample.restore(&["--verify"]).expect(1, &["reads back differently", "1 differ"]);
    sample.restore(&["--checksum", "--on-conflict", "overwrite"]).expect(0, &["Restored 1 file"]);
    // A folder is never replaced by a file.
    fs::remove_file(&one).unwrap();
    fs::create_dir(&one).unwrap();
    sample.restore(&["--on-conflict", "overwrite"]).expect(1, &["is a folder"]);
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let sample = tree();
    let ran = sample.restore(&["--dry-run", "--json"]);
    let plan = &json(&ran)["plan"];
    assert_eq!(
        (&plan["files"], &plan["folders"], &plan["bytes"]),
        (&3.into(), &3.into(), &3.into())
    );
    assert!(!sample.to().exists());
    sample.restore(&[]).expect(0, &[]);
    let plan = json(&sample.restore(&["--dry-run", "--json"]))["plan"].clone();
    assert_eq!((&plan["there"], &plan["space"]), (&3.into(), &0.into()));
}

#[test]
fn a_dry_run_after_a_restore_has_nothing_left() {
    let sample = Sample::new(|v| {
        let root = v.root();
        let dir = v.mkdir(root, "dir", Meta::dir().dated(START));
        v.file(dir, "file", "1", Meta::file().dated(START));
        v.symlink(dir, "link", "file", Meta::file().dated(START));
    });
    sample.restore(&["--dry-run"]).expect(0, &["Would restore 1 file, 1 folder and 1 other"]);
    sample.restore(&[]).expect(0, &[]);
    let ran = sample.restore(&["--dry-run"]);
    ran.expect(0, &["Would restore 0 files, 0 folders and 0 others", "needs 0 bytes and 0 inodes"]);
}

/// A second run with other wishes: what is there gets what is asked for now.
#[test]
fn metadata_are_set_again_where_they_differ() {
    let sample = Sample::new(|v| {
        let root = v.root();
        let dir = v.mkdir(root, "dir", Meta::dir().dated(START));
        let file = v.file(dir, "file", "1", Meta::file().dated(START));
        v.set_xattr(file, "com.example.note", "hello");
        v.set_xattr(dir, "com.example.note", "dir");
    });
    let to = sample.to();
    let (dir, file) = (to.join("dir"), to.join("dir/file"));
    sample.restore(&["--mac-metadata", "none"]).expect(0, &[]);
    let mode = fs::metadata(&file).unwrap().mode();
    for path in [&dir, &file] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
    }
    sample.restore(&[]).expect(0, &["Restored 0 files, 0 folders"]);
    assert_eq!(fs::metadata(&file).unwrap().mode(), mode);
    assert_ne!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o711);
    assert_eq!(fs::metadata(&dir).unwrap().mtime(), START);
    let mut value = [0; 16];
    match rustix::fs::getxattr(&file, "user.com.example.note", &mut value[..]) {
        Ok(n) => assert_eq!(&value[..n], b"hello"),
        Err(_) => common::skipped("metadata_are_set_again_where_they_differ: no attributes here"),
    }
    sample.restore(&["--mac-metadata", "appledouble"]).expect(0, &["Restored 0 files"]);
    assert!(fs::read(to.join("dir/._file")).unwrap().windows(5).any(|w| w == b"hello"));
    if rustix::process::geteuid().is_root() {
        for owner in ["1234:1235", "4321"] {
            sample.restore(&["--owner", owner]).expect(0, &["Restored 0 files"]);
            let user: u32 = owner.split(':').next().unwrap().parse().unwrap();
            assert_eq!(fs::metadata(&file).unwrap().uid(), user);
            assert_eq!(fs::metadata(&dir).unwrap().uid(), user);
        }
    }
    // Another name of a file may be anybody's.
    fs::hard_link(&file, sample.dir.path().join("mine")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    sample.restore(&["--no-owners"]).expect(0, &[]);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_report_lists_every_object_once() {
    let sample = tree();
    let report = sample.dir.path().join("report.json");
    sample.restore(&["--report", report.to_str().unwrap()]).expect(0, &[]);
    let doc: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let paths: Vec<&str> =
        doc["objects"].as_array().unwrap().iter().map(|o| o["path"].as_str().unwrap()).collect();
    let unique: BTreeSet<String> = paths.iter().map(|p| (*p).to_owned()).collect();
    assert_eq!((paths.len(), unique), (6, found(&sample.to())));
    assert_eq!(doc["summary"]["files"], 3);
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/extract-report-1.json");
    let schema = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    assert_eq!(common::schema::validate(&schema, &doc), [""; 0]);
}
