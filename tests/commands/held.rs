//! A source is opened once and held: what is put in its place is never read.

use crate::common::{self, copy_demo, tmbundle};
use crate::mounting::{Mount, possible, wait_until};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn demo_in(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    copy_demo(&path);
    path
}

/// Some file of Anna's newest backup.
fn diary(mount: &Mount) -> PathBuf {
    let documents = mount.path().join("latest/Macintosh HD/Users/anna/Documents");
    let mut files: Vec<PathBuf> = std::fs::read_dir(documents)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| std::fs::symlink_metadata(p).unwrap().is_file())
        .collect();
    files.sort();
    files.remove(0)
}

#[test]
fn what_is_put_in_the_place_of_a_mounted_source_is_not_shown() {
    if !possible("what_is_put_in_the_place_of_a_mounted_source_is_not_shown") {
        return;
    }
    let own = tempfile::tempdir().unwrap();
    let source = demo_in(own.path(), "mallory.sparsebundle");
    let secret = own.path().join("shadow");
    std::fs::write(&secret, b"root:*:20228:0:99999:7:::\n".repeat(1000)).unwrap();
    let log = own.path().join("log");
    let mount = Mount::new(&source, &["--log-file", log.to_str().unwrap()]);
    let file = diary(&mount);
    let before = std::fs::read(&file).unwrap();
    assert!(!before.is_empty());
    let away = own.path().join("away");
    std::fs::rename(&source, &away).unwrap();
    for target in [secret.clone(), demo_in(own.path(), "bob.sparsebundle"), mount.path().into()] {
        symlink(&target, &source).unwrap();
        // More than one look of the watcher.
        std::thread::sleep(Duration::from_millis(2500));
        let started = Instant::now();
        for path in [file.clone(), mount.path().join("disk.img")] {
            // What the kernel has kept may still be given; what is read anew may not.
            if let Ok(bytes) = read_direct(&path) {
                assert!(!bytes.windows(7).any(|w| w == b"root:*:"), "{target:?}");
                panic!("{path:?} was read through {target:?}");
            }
        }
        assert!(started.elapsed() < Duration::from_secs(2), "it hangs");
        std::fs::remove_file(&source).unwrap();
    }
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("replaced"), "{said}");
    // Put back, it goes on.
    std::fs::rename(&away, &source).unwrap();
    wait_until("it is read again", || read_direct(&file).is_ok_and(|b| b == before));
}

/// Read past the kernel's cache.
fn read_direct(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(0o40000).open(path)?;
    let mut bytes = vec![0; 64 << 10];
    let n = std::io::Read::read(&mut file, &mut bytes)?;
    bytes.truncate(n);
    Ok(bytes)
}

#[test]
fn a_link_is_not_mounted_unless_that_is_said() {
    if !possible("a_link_is_not_mounted_unless_that_is_said") {
        return;
    }
    let own = tempfile::tempdir().unwrap();
    let source = demo_in(own.path(), "bob.sparsebundle");
    let link = own.path().join("mallory.sparsebundle");
    symlink(&source, &link).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ran = tmbundle(&["mount", link.to_str().unwrap(), dir.path().to_str().unwrap()]);
    ran.expect(2, &["symbolic link", "not followed"]);
    drop(Mount::new(&link, &["--follow-links"]));
    // A person who asks about a link is answered.
    tmbundle(&["info", link.to_str().unwrap()]).expect(0, &["GPT"]);
}

#[test]
fn the_whole_disk_belongs_to_who_mounts_it() {
    if !possible("the_whole_disk_belongs_to_who_mounts_it") {
        return;
    }
    let own = tempfile::tempdir().unwrap();
    let source = demo_in(own.path(), "Mac.sparsebundle");
    let mount = Mount::new(&source, &["--uid", "12345", "--gid", "12345"]);
    let disk = std::fs::metadata(mount.path().join("disk.img")).unwrap();
    assert_eq!(disk.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(disk.mode() & 0o7777, 0o400);
    assert_eq!(std::fs::metadata(diary(&mount)).unwrap().uid(), 12345);
}

#[test]
fn a_lost_band_costs_its_files_in_a_mount() {
    if !possible("a_lost_band_costs_its_files_in_a_mount") {
        return;
    }
    let own = tempfile::tempdir().unwrap();
    let source = demo_in(own.path(), "Mac.sparsebundle");
    let whole = Mount::new(&source, &[]);
    let documents = "latest/Macintosh HD/Users/anna/Documents";
    let all: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(whole.path().join(documents))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| std::fs::symlink_metadata(p).unwrap().is_file())
        .map(|p| (p.strip_prefix(whole.path()).unwrap().to_owned(), std::fs::read(&p).unwrap()))
        .collect();
    drop(whole);
    std::fs::rename(source.join("bands/9"), source.join("bands/9.3fa9c1d2.partial")).unwrap();
    let log = own.path().join("log");
    let mount = Mount::new(&source, &["--log-file", log.to_str().unwrap()]);
    let (mut good, mut lost) = (0, Vec::new());
    for (path, bytes) in &all {
        match std::fs::read(mount.path().join(path)) {
            Ok(found) => {
                assert!(found == *bytes, "{path:?} is given wrong");
                good += 1;
            }
            Err(e) => {
                assert_eq!(e.raw_os_error(), Some(5), "{path:?}: {e}");
                lost.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert!(good > 0 && lost.iter().any(|n| n == "Diary.txt"), "{lost:?}");
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("band 9 is missing"), "{said}");
    for name in lost {
        assert_eq!(said.lines().filter(|l| l.contains(&name)).count(), 1, "{name}: {said}");
    }
    drop(mount);
    let zeros = Mount::new(&source, &["--lost-as-zeros"]);
    for (path, bytes) in &all {
        let found = std::fs::read(zeros.path().join(path)).unwrap();
        assert!(found.iter().zip(bytes).all(|(a, b)| a == b || *a == 0), "{path:?}");
    }
}

#[test]
fn a_share_does_not_lead_through_links() {
    let own = tempfile::tempdir().unwrap();
    let share = own.path().join("share");
    std::fs::create_dir(&share).unwrap();
    demo_in(&share, "A.sparsebundle");
    let other = demo_in(own.path(), "victim.sparsebundle");
    symlink(other, share.join("Z.sparsebundle")).unwrap();
    let ran = tmbundle(&["verify", "--verbose", share.to_str().unwrap()]);
    ran.expect(0, &["A.sparsebundle", "symbolic link, which is not followed"]);
    assert!(!common::state_home().join("victim").exists());
}

/// Bands that are gone with their bundle are no holes: whoever is reading hears of it.
#[test]
fn a_bundle_that_is_taken_away_in_the_midst_is_an_error_everywhere() {
    let own = tempfile::tempdir().unwrap();
    if possible("a_bundle_that_is_taken_away_in_the_midst_is_an_error_everywhere") {
        let source = demo_in(own.path(), "mounted.sparsebundle");
        let mount = Mount::new(&source, &[]);
        let file = diary(&mount);
        assert!(read_direct(&file).is_ok());
        std::fs::remove_dir_all(&source).unwrap();
        assert!(read_direct(&mount.path().join("disk.img")).is_err());
        wait_until("it is an error", || read_direct(&file).is_err());
    }
    for args in [&["verify", "--read-data", "--jobs", "1"][..], &["verify", "--manifest"]] {
        let source = demo_in(own.path(), "verified.sparsebundle");
        let state = tempfile::tempdir().unwrap();
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .args(args)
            .args(["--limit-rate", "400K"])
            .arg(&source)
            .env("XDG_STATE_HOME", state.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(700));
        std::fs::remove_dir_all(&source).unwrap();
        let out = child.wait_with_output().unwrap();
        let told = format!("{out:?}");
        assert!(!out.status.success(), "{args:?}: {told}");
        assert!(told.contains("removed") || told.contains("replaced"), "{args:?}: {told}");
    }
}
