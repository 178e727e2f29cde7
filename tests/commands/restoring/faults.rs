//! Kills, full disks, hostile names, a destination that changes under the restore.

use super::{START, Sample, has, json, noise};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tools::hfs::{Content, Meta, VolumeOptions};

/// Kind, mode, owner, size, time and bytes of everything below a folder.
fn snapshot(dir: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let m = fs::symlink_metadata(&path).unwrap();
            let sum = if m.is_file() {
                crate::common::sha256(&fs::read(&path).unwrap())
            } else {
                String::new()
            };
            let size = if m.is_dir() { 0 } else { m.len() };
            let what = format!("{:o} {} {} {size} {} {sum}", m.mode(), m.uid(), m.gid(), m.mtime());
            all.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), what);
            if m.is_dir() {
                todo.push(path);
            }
        }
    }
    all
}

fn many(folders: usize, files: usize) -> Sample {
    Sample::with(VolumeOptions { size: 64 << 20, ..VolumeOptions::default() }, |v| {
        let root = v.root();
        for f in 0..folders {
            let dir = v.mkdir(root, &format!("dir{f}"), Meta::dir().dated(START + f as i64));
            for n in 0..files {
                let meta = Meta::file().dated(START + n as i64);
                let content = noise((f * files + n) as u64, 3000 + n);
                v.file(dir, &format!("file{n}"), Content::Bytes(content), meta);
            }
        }
    })
}

/// Fifty kills, then the same command: the end is as if there had been none.
#[test]
fn killed_fifty_times_it_goes_on_to_the_same_end() {
    let sample = many(40, 50);
    let whole = sample.dir.path().join("whole");
    sample.restore_to(&whole, &[]).expect(0, &[]);
    let wanted = snapshot(&whole);
    assert_eq!(wanted.len(), 40 * 51);
    let to = sample.dir.path().join("killed");
    // The shortest of three: what else runs must not let all of it be over before it is killed.
    let timed = |n| {
        let started = std::time::Instant::now();
        sample.restore_to(&sample.dir.path().join(format!("timed {n}")), &[]).expect(0, &[]);
        started.elapsed()
    };
    let usual = timed(1).min(timed(2)).min(timed(3));
    let mut interrupted = 0;
    for n in 0..50u32 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .args(["extract", &sample.image(), "volume:/", "--no-sync", "--to"])
            .arg(&to)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Later each time, so that every part of the work is hit.
        std::thread::sleep(usual * (n % 25 + 1) / 40);
        child.kill().unwrap();
        interrupted += u32::from(child.wait().unwrap().code().is_none());
        if n % 10 == 9 {
            let _ = fs::remove_dir_all(&to);
        }
    }
    assert!(interrupted > 5, "only {interrupted} were hit");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["extract", &sample.image(), "volume:/", "--no-sync", "--to"])
        .arg(&to)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(usual / 2);
    child.kill().unwrap();
    child.wait().unwrap();
    sample.restore_to(&to, &[]).expect(0, &[]);
    let found = snapshot(&to);
    let differ: Vec<_> =
        wanted.iter().filter(|(path, what)| found.get(*path) != Some(what)).take(5).collect();
    assert!(differ.is_empty() && found.len() == wanted.len(), "{differ:?}");
}

fn mounted(what: &str, options: &[&str], test: &str) -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    let ok = Command::new("mount")
        .args(["-t", what])
        .args(options)
        .arg("none")
        .arg(dir.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !ok {
        crate::common::skipped(format_args!("{test}: {what} cannot be mounted here"));
        return None;
    }
    Some(dir)
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_destination_ends_it_at_once_with_one_sentence() {
    let Some(small) = mounted("tmpfs", &["-o", "size=2m"], "a_full_destination") else { return };
    let _unmount = Unmount(small.path());
    let sample = many(40, 50);
    let to = small.path().join("out");
    // The plan knows.
    sample.restore_to(&to, &[]).expect(1, &["is too small", "nothing was written"]);
    assert!(!to.exists());
    let ran = sample.restore_to(&to, &["--force"]);
    ran.expect(1, &["objects are left", "No space left"]);
    assert!(ran.err.lines().count() <= 3, "{}", ran.err);
    let partial = snapshot(&to).keys().filter(|k| k.contains(".partial")).count();
    assert_eq!(partial, 0);
    // With room it goes on.
    let status = Command::new("mount").args(["-o", "remount,size=60m"]).arg(small.path()).status();
    assert!(status.unwrap().success());
    sample.restore_to(&to, &[]).expect(0, &["were there already"]);
    assert_eq!(snapshot(&to).len(), 40 * 51);
}

#[test]
fn hostile_names_stay_inside_and_readable() {
    let sample = Sample::new(|v| {
        let root = v.root();
        let units = |s: &str| s.encode_utf16().collect::<Vec<u16>>();
        v.file_units(root, units(".."), "dots", Meta::file());
        v.file_units(root, units("a/b"), "slash", Meta::file());
        v.file_units(root, units("nul\0nul"), "nul", Meta::file());
        v.file_units(root, vec![0x78, 0xD800], "lone 1", Meta::file());
        v.file_units(root, vec![0x78, 0xD801], "lone 2", Meta::file());
        v.file_units(root, units("line\nFAKE \u{1b}[31m"), "escape", Meta::file());
        let long = "漢".repeat(100);
        v.file(root, &format!("{long}1.txt"), "long 1", Meta::file());
        v.file(root, &format!("{long}2.txt"), "long 2", Meta::file());
        v.symlink(root, "out", "/etc", Meta::file());
    });
    let ran = sample.restore(&["--json"]);
    let doc = json(&ran);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let mut contents: Vec<String> = fs::read_dir(sample.to())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.symlink_metadata().unwrap().is_file())
        .map(|p| fs::read_to_string(p).unwrap())
        .collect();
    contents.sort();
    assert_eq!(
        contents,
        ["dots", "escape", "lone 1", "lone 2", "long 1", "long 2", "nul", "slash"],
        "{doc}"
    );
    assert!(fs::read_dir(sample.dir.path()).unwrap().count() == 2, "something is outside");
    // What is told on a run for people holds no control characters.
    let to = sample.dir.path().join("again");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("line\nFAKE \u{1b}[31m"), "in the way").unwrap();
    let ran = sample.restore_to(&to, &[]);
    ran.expect(1, &["not restored"]);
    assert!(!ran.err.contains('\u{1b}') && !ran.err.contains("\nFAKE"), "{}", ran.err);
}

/// As root into a folder of somebody who swaps what was made for links to a file
/// outside. Twenty runs; that file must keep its mode, owner and times.
#[test]
fn a_racing_owner_of_the_destination_reaches_nothing_outside() {
    if !rustix::process::geteuid().is_root() {
        return crate::common::skipped("a_racing_owner: not root");
    }
    let sample = Sample::new(|v| {
        let root = v.root();
        let dir = v.mkdir(root, "d", Meta::dir());
        for n in 0..400 {
            let mut meta = Meta::file().dated(START);
            meta.mode = 0o010_777 | 0o4000;
            v.special(dir, &format!("fifo{n}"), 0, meta);
            v.symlink(dir, &format!("link{n}"), "x", Meta::file().dated(START));
            v.file(dir, &format!("file{n}"), "contents", Meta::file().dated(START));
        }
    });
    let outside = sample.dir.path().join("victim");
    fs::write(&outside, "secret").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&outside).unwrap();
    for run in 0..20 {
        let to = sample.dir.path().join(format!("to{run}"));
        fs::create_dir_all(to.join("d")).unwrap();
        let stop = AtomicBool::new(false);
        let swaps = std::thread::scope(|scope| {
            let racer = scope.spawn(|| {
                let mut swaps = 0;
                while !stop.load(Ordering::Relaxed) {
                    for n in 0..400 {
                        for kind in ["fifo", "link", "file"] {
                            let name = to.join("d").join(format!("{kind}{n}"));
                            let made = fs::symlink_metadata(&name)
                                .is_ok_and(|m| !m.is_symlink() || kind == "link");
                            let spare = to.join("d").join("spare");
                            let _ = std::os::unix::fs::symlink(&outside, &spare);
                            if made && fs::rename(&spare, &name).is_ok() {
                                swaps += 1;
                            }
                        }
                    }
                }
                swaps
            });
            let options = ["--setid", "--devices", "--on-conflict", "overwrite"];
            let _ = sample.restore_to(&to, &options);
            stop.store(true, Ordering::Relaxed);
            racer.join().unwrap()
        });
        assert!(swaps > 0, "run {run} raced with nothing");
        let after = fs::metadata(&outside).unwrap();
        assert_eq!(
            (after.mode(), after.uid(), after.gid(), after.mtime(), after.len()),
            (before.mode(), before.uid(), before.gid(), before.mtime(), before.len()),
            "run {run}"
        );
        assert_eq!(fs::read(&outside).unwrap(), b"secret");
    }
}

/// Calls that older kernels and other file systems lack, taken away by strace.
#[test]
fn without_calls_that_may_be_missing_everything_is_restored() {
    if !has("strace", "without_calls_that_may_be_missing") {
        return;
    }
    let sample = Sample::new(|v| {
        let root = v.root();
        let dir = v.mkdir(root, "dir", Meta::dir().dated(START));
        let file = v.file(dir, "one", "contents", Meta::file().dated(START));
        v.set_xattr(file, "com.example.note", "hello");
        v.hard_link(file, root, "two");
        v.symlink(root, "link", "two", Meta::file().dated(START));
        let mut program = Meta::file().dated(START);
        program.mode = 0o711;
        v.file(dir, "program", noise(1, 9000), program);
    });
    let run = |name: &str, faults: &[&str]| {
        let to = sample.dir.path().join(name);
        let mut command = Command::new("strace");
        // What is not traced is not taken away.
        let calls: Vec<&str> = faults.iter().map(|f| f.split(':').next().unwrap()).collect();
        let calls = if calls.is_empty() { "none".into() } else { calls.join(",") };
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
        for fault in faults {
            command.args(["-e", &format!("inject={fault}")]);
        }
        let out = command
            .arg(env!("CARGO_BIN_EXE_tmbundle"))
            .args(["extract", &sample.image(), "volume:/", "--no-sync", "--to"])
            .arg(&to)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        (out.status.code(), err, snapshot(&to))
    };
    let (code, err, wanted) = run("plain", &[]);
    if code != Some(0) {
        return crate::common::skipped(format_args!("strace does not work here: {err}"));
    }
    let contents = |all: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let last = |what: &String| what.rsplit(' ').next().unwrap().to_owned();
        all.iter().map(|(path, what)| (path.clone(), last(what))).collect()
    };
    for (name, faults, told) in [
        ("openat2", &["openat2:error=ENOSYS"][..], ""),
        ("sandbox", &["openat2:error=EPERM"], ""),
        ("link", &["linkat:error=EPERM"], "became copies"),
        ("rename", &["renameat2:error=EINVAL"], ""),
        ("both", &["renameat2:error=EINVAL", "linkat:error=EPERM"], "became copies"),
        ("chown", &["fchown:error=EPERM", "fchownat:error=EPERM"], "--no-owners"),
        ("chmod", &["fchmod:error=EPERM"], "Permissions"),
        ("utime", &["utimensat:error=EPERM"], "times"),
        ("xattr", &["fsetxattr:error=EOPNOTSUPP"], ""),
    ] {
        let (code, err, found) = run(name, faults);
        assert_eq!(code, Some(0), "{name}: {err}");
        assert!(err.contains(told), "{name}: {err}");
        let mut found = contents(&found);
        found.retain(|path, _| !path.rsplit('/').next().unwrap().starts_with("._"));
        assert!(contents(&wanted) == found, "{name}");
    }
}

#[test]
fn a_second_restore_into_the_same_folder_waits_for_nobody() {
    let sample = many(2, 2);
    fs::create_dir(sample.to()).unwrap();
    let dir = fs::File::open(sample.to()).unwrap();
    rustix::fs::flock(&dir, rustix::fs::FlockOperation::LockExclusive).unwrap();
    sample.restore(&[]).expect(2, &["another restore into it is running"]);
    drop(dir);
    std::thread::sleep(Duration::from_millis(1));
    sample.restore(&[]).expect(0, &[]);
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let sample = many(2, 2);
    sample.restore(&[]).expect(0, &[]);
    for place in [".tmbundle-1-7.partial", "dir0/.tmbundle-99-3.partial"] {
        fs::write(sample.to().join(place), "half").unwrap();
    }
    sample.restore(&[]).expect(0, &[]);
    assert!(snapshot(&sample.to()).keys().all(|k| !k.contains("partial")));
}
