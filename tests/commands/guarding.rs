//! Nothing is written into a backup, whatever it is called and whoever's it is.

use crate::common;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything in a folder with its kind, its bytes and when it was changed.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(path.clone(), (bytes, meta.modified().unwrap()));
        if meta.is_dir() {
            found.extend(everything(&path));
        }
    }
    found
}

/// Run in a folder; the exit code and what was said.
fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let state = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .current_dir(dir)
        .env("XDG_STATE_HOME", state.path())
        .args(args)
        .output()
        .unwrap();
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn no_command_writes_into_any_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    // One is in hand; the other is somebody else's, and has lost its name.
    let (mine, other) = (at.join("Mine.sparsebundle"), at.join("other"));
    for bundle in [&mine, &other] {
        common::copy_demo(bundle);
    }
    symlink(other.join("bands"), at.join("link")).unwrap();
    symlink(other.join("new/file"), at.join("dangling")).unwrap();
    let before = everything(at);
    let places = [
        "Mine.sparsebundle/x",
        "Mine.sparsebundle/bands/0",
        "other/x",
        "link/x",
        "dangling",
        "nothing/../other/y",
    ];
    let mut places: Vec<(PathBuf, PathBuf)> =
        places.iter().map(|place| (at.to_owned(), PathBuf::from(place))).collect();
    for place in ["x", ".", "bands/new", "../other/x", "./bands"] {
        places.push((mine.clone(), place.into()));
    }
    for (cwd, place) in &places {
        let place = place.to_str().unwrap();
        let source = mine.to_str().unwrap();
        let manifest = format!("--manifest={place}");
        for args in [
            &["extract", source, "latest:/Macintosh HD/etc", "--to", place][..],
            &["extract", source, "latest:/", "--to", "/nowhere", "--report", place],
            &["verify", source, "--metrics", place],
            &["verify", source, "--state-dir", place],
            &["verify", source, &manifest],
            &["verify", source, "--manifest", "--state-dir", place],
            &["watch", source, "--state-dir", place],
            &["watch", source, "--metrics", place],
            &["doctor", "--metrics", place],
            &["man", place],
            &["setup", "--install", "--prefix", place],
            &["setup", "--install", "--root", place],
            #[cfg(feature = "mount")]
            &["mount", source, "/mnt", "--log-file", place],
            #[cfg(feature = "mount")]
            &["mount", source, "/mnt", "-o", &format!("log_file={place}")],
            #[cfg(feature = "mount")]
            &["mount", source, place],
        ] {
            let (code, said) = run(cwd, args);
            assert_eq!(code, Some(2), "{args:?} in {cwd:?}: {said}");
            assert!(said.contains("nothing is ever written into a backup"), "{args:?}: {said}");
        }
    }
    assert!(everything(at) == before, "something was changed");
}

/// Otherwise the same command could not go on: its own folder would be in its way.
#[test]
fn a_restore_makes_no_folder_that_is_named_like_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let demo = common::demo();
    for to in ["x.sparsebundle", "x.Demo.sparsebundle/y", "x.backupbundle"] {
        let args = ["extract", demo.to_str().unwrap(), "latest:/Macintosh HD/etc", "--to", to];
        for _ in 0..2 {
            let (code, said) = run(dir.path(), &args);
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("choose another name"), "{said}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_backup_in_one_file_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk.img");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    symlink("disk.img", dir.path().join("link")).unwrap();
    for place in ["disk.img", "link"] {
        let manifest = format!("--manifest={place}");
        for args in [
            ["verify", "disk.img", "--metrics", place].as_slice(),
            &["verify", "disk.img", &manifest],
        ] {
            let (code, said) = run(dir.path(), args);
            assert_eq!(code, Some(2), "{args:?}: {said}");
            assert!(said.contains("it is the backup itself"), "{said}");
        }
    }
    assert_eq!(fs::read(&image).unwrap(), vec![0; 1 << 20]);
}

#[test]
fn what_the_shell_opened_in_a_bundle_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("A.sparsebundle");
    common::copy_demo(&bundle);
    let file = bundle.join("completions");
    let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["completions", "bash"])
        .stdout(fs::File::create(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
}
