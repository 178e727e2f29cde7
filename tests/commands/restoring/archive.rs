//! `--tar`: read by GNU tar and bsdtar, the same bytes each time.

use super::{START, Sample, has, noise};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tools::hfs::{Content, Meta};

fn sample() -> Sample {
    Sample::new(|v| {
        let root = v.root();
        let dir = v.mkdir(root, "dir é", Meta::dir().dated(START));
        let file = v.file(dir, "file", "contents", Meta::file().dated(START));
        v.set_xattr(file, "com.example.note", vec![0, 10, 61, 255]);
        v.symlink(dir, "link", "file", Meta::file().dated(START));
        v.file(dir, &"long".repeat(50), "long", Meta::file().dated(START - 2_000_000_000));
        let mut holes = noise(5, 1 << 20);
        holes[131_072..917_504].fill(0);
        v.file(root, "holes", Content::Bytes(holes), Meta::file().dated(START));
        v.file(root, "zeros", Content::Bytes(vec![0; 1 << 20]), Meta::file().dated(START));
        v.file(root, "empty", "", Meta::file().dated(START));
    })
}

fn archive(sample: &Sample, options: &[&str]) -> Vec<u8> {
    let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["extract", &sample.image(), "volume:/", "--tar"])
        .args(options)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

fn unpack(program: &str, archive: &Path, to: &Path, options: &[&str]) {
    fs::create_dir_all(to).unwrap();
    let out = Command::new(program)
        .args(options)
        .arg("-xpf")
        .arg(archive)
        .arg("-C")
        .arg(to)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    // GNU tar remarks on dates before 1970 and restores them all the same.
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let said: Vec<&str> = said.lines().filter(|l| !l.contains("implausibly old")).collect();
    assert_eq!(said, [""; 0], "{program} has something to say");
}

fn check(to: &Path) {
    let dir = to.join("dir é");
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"contents");
    assert_eq!(fs::metadata(dir.join("file")).unwrap().mtime(), START);
    assert_eq!(fs::read(dir.join("long".repeat(50))).unwrap(), b"long");
    assert_eq!(fs::metadata(dir.join("long".repeat(50))).unwrap().mtime(), START - 2_000_000_000);
    assert_eq!(fs::read_link(dir.join("link")).unwrap(), Path::new("file"));
    let mut wanted = noise(5, 1 << 20);
    wanted[131_072..917_504].fill(0);
    assert!(fs::read(to.join("holes")).unwrap() == wanted);
    assert!(fs::read(to.join("zeros")).unwrap() == vec![0; 1 << 20]);
    assert_eq!(fs::metadata(to.join("empty")).unwrap().len(), 0);
    assert!(fs::metadata(to.join("zeros")).unwrap().blocks() < 16);
}

#[test]
fn gnu_tar_and_bsdtar_read_it() {
    let sample = sample();
    let bytes = archive(&sample, &[]);
    assert_eq!(bytes, archive(&sample, &[]), "not the same twice");
    assert!(bytes.len() < 700_000, "holes are stored: {}", bytes.len());
    let file = sample.dir.path().join("a.tar");
    fs::write(&file, &bytes).unwrap();
    for program in ["tar", "bsdtar"] {
        if !has(program, "gnu_tar_and_bsdtar_read_it") {
            continue;
        }
        let to = sample.dir.path().join(program);
        let options: &[&str] =
            if program == "tar" { &["--xattrs", "--xattrs-include=user.*"] } else { &[] };
        unpack(program, &file, &to, options);
        check(&to);
        let mut value = [0; 16];
        let path = to.join("dir é/file");
        if let Ok(n) = rustix::fs::getxattr(&path, "user.com.example.note", &mut value[..]) {
            assert_eq!(value[..n], [0, 10, 61, 255]);
        } else {
            crate::common::skipped(format_args!("attributes from {program}: not kept here"));
        }
    }
}

#[test]
fn several_names_are_links_and_apple_double_entries_come_first() {
    let demo = crate::common::demo();
    let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["extract", demo.to_str().unwrap(), "volume:/", "--tar"])
        .args(["--mac-metadata", "appledouble"])
        .output()
        .unwrap();
    assert!(out.status.success());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tar");
    fs::write(&file, out.stdout).unwrap();
    let list = Command::new("tar").arg("-tvf").arg(&file).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.lines().any(|l| l.starts_with('h') && l.contains(" link to ")), "{list}");
    let names: Vec<&str> = list.lines().filter(|l| l.contains("Chess.app")).collect();
    assert!(!names.is_empty());
}

/// An archive whose reader went away is no archive.
#[test]
fn a_reader_that_goes_away_is_an_error() {
    let sample = Sample::new(|v| {
        let root = v.root();
        v.file(root, "large", Content::Bytes(noise(1, 4 << 20)), Meta::file().dated(START));
    });
    let mut ran = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["extract", &sample.image(), "volume:/", "--tar"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(ran.stdout.take());
    let out = ran.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(said.contains("not whole"), "{said}");
}

#[test]
fn what_an_archive_leaves_out_is_counted() {
    let sample = Sample::new(|v| {
        let root = v.root();
        for (name, mode) in [("null", 0o020_666), ("disk", 0o060_660), ("socket", 0o140_777)] {
            let mut meta = Meta::file().dated(START);
            meta.mode = mode;
            v.special(root, name, 1 << 24 | 3, meta);
        }
    });
    let tar = |options: &[&str]| {
        let image = sample.image();
        crate::common::tmbundle(&[&["extract", &image, "volume:/", "--tar"], options].concat())
    };
    tar(&[]).expect(0, &["3 objects were left out", "--devices", "archives hold no sockets"]);
    tar(&["--devices"]).expect(0, &["1 object was left out"]);
}

#[test]
fn an_archive_does_not_go_with_a_folder() {
    let sample = sample();
    let both = ["extract", &sample.image(), "volume:/", "--tar", "--to", "x"];
    crate::common::tmbundle(&both).expect(2, &["cannot be used with"]);
    crate::common::tmbundle(&["extract", &sample.image(), "volume:/"]).expect(2, &["--to"]);
}
