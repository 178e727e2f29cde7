//! The mount as a mount: a real `/dev/fuse`, real tools.
//!
//! Where there is no `/dev/fuse`, or no right to use it, every test says that it
//! was skipped. `TMBUNDLE_MOUNT_CYCLES=1000` mounts and unmounts that often.

use crate::common;
use crate::mounting;

use crate::common::assert_none;
use mounting::*;

use std::collections::BTreeSet;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn volumes_look_as_their_manifests_say() {
    let test = "volumes_look_as_their_manifests_say";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let mut wrong = Vec::new();
    for manifest in common::files_ending(&data.join("hfs"), ".jsonl.gz") {
        let name = manifest.file_name().unwrap().to_str().unwrap().trim_end_matches(".jsonl.gz");
        wrong.extend(compare_all(&image(&data, name), &text(&common::gunzip(&manifest))));
    }
    assert_none(&wrong);
}

#[test]
fn our_own_bundles_look_as_their_manifests_say() {
    if !possible("our_own_bundles_look_as_their_manifests_say") {
        return;
    }
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut wrong = Vec::new();
    for manifest in common::files_ending(&testdata, ".manifest.jsonl") {
        let name =
            manifest.file_name().unwrap().to_str().unwrap().trim_end_matches(".manifest.jsonl");
        let kinds = ["sparsebundle", "backupbundle"].map(|k| testdata.join(format!("{name}.{k}")));
        let bundle = kinds.into_iter().find(|b| b.exists()).unwrap();
        wrong.extend(compare_all(&bundle, &std::fs::read_to_string(&manifest).unwrap()));
    }
    assert_none(&wrong);
}

#[test]
fn copies_are_the_same() {
    let test = "copies_are_the_same";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    for name in ["jnode-hard-linked-directories", "goapfs-hfs-basic", "lab-jdirty-wrap"] {
        let mount = Mount::new(&image(&data, name), &[]);
        let copy = tempfile::tempdir().unwrap();
        // Attributes may be too large for the file system of the copy.
        let kept = "--preserve=mode,timestamps,links";
        let root = mount.volume();
        let output = run("cp", &[&"-dR", &kept, &root, &copy.path().join("copy")]);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        let output = run("diff", &[&"-r", &"--no-dereference", &root, &copy.path().join("copy")]);
        assert!(output.status.success(), "{name}: {}", text(&output.stdout));
    }
}

#[test]
fn snapshots_latest_and_disk() {
    let test = "snapshots_latest_and_disk";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let bundle = common::unpack_bundle(&data.join("bundles/lab-tm.sparsebundle.tar.gz"));
    let mount = Mount::new(&bundle, &[]);
    let root: Vec<String> = paths(mount.path()).into_iter().filter(|p| !p.contains('/')).collect();
    assert_eq!(root, ["disk.img", "latest", "snapshots", "volumes"]);
    let latest = std::fs::read_link(mount.path().join("latest")).unwrap();
    assert_eq!(latest, Path::new("snapshots/2024-01-03-101010"));
    let names: Vec<_> = std::fs::read_dir(mount.path().join("snapshots")).unwrap().collect();
    assert_eq!(names.len(), 3);
    assert!(mount.path().join("latest/Macintosh HD").is_dir());

    let disk = std::fs::read(mount.path().join("disk.img")).unwrap();
    let read = tmbundle::disk::Disk::open(&bundle).unwrap().bytes().unwrap();
    let want = tmbundle::io::read_vec(&*read, 0, read.len() as usize).unwrap();
    assert!(disk == want, "disk.img is not the disk");

    let df = rustix::fs::statvfs(mount.path()).unwrap();
    assert_eq!(df.f_blocks * df.f_frsize, 134_217_728);
    assert!(df.f_bfree > 0 && df.f_bfree < df.f_blocks);
    let write = std::fs::write(mount.path().join("new"), "x").unwrap_err();
    assert_eq!(write.raw_os_error(), Some(30), "read-only");
}

#[test]
fn hard_links() {
    let test = "hard_links";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let mount = Mount::new(&image(&data, "jnode-hard-linked-directories"), &[]);
    let root = mount.volume();
    // One folder, two paths: each stays where it is.
    let (a, b) = (root.join("dir1/clone"), root.join("dir2/clone"));
    assert_eq!(paths(&a), paths(&b));
    let numbers: Vec<u64> = [&a, &b].iter().map(|p| std::fs::metadata(p).unwrap().ino()).collect();
    assert_ne!(numbers[0], numbers[1]);
    let script = "cd \"$1\" && ls -l \"$2\" >/dev/null && stat \"$2\" >/dev/null && /bin/pwd";
    let output = run("sh", &[&"-c", &script, &"sh", &a, &b]);
    assert_eq!(text(&output.stdout).trim(), a.to_str().unwrap());

    let mount = Mount::new(&image(&data, "lab-feat-c"), &[]);
    let mut links = std::collections::HashMap::<u64, u64>::new();
    for path in paths(&mount.volume()) {
        let meta = std::fs::symlink_metadata(mount.volume().join(path)).unwrap();
        if !meta.is_dir() && meta.nlink() > 1 {
            *links.entry(meta.ino()).or_default() += 1;
            assert!(links[&meta.ino()] <= meta.nlink());
        }
    }
    assert!(links.values().any(|n| *n == 201), "201 names of one file share a number");
}

#[test]
fn a_folder_that_contains_itself_ends() {
    let test = "a_folder_that_contains_itself_ends";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let bytes = std::fs::read(image(&data, "lab-tm")).unwrap();
    // Directory links by type and creator, and in front of these, in the same
    // record, the number of the folder they lead to.
    let links: Vec<usize> = bytes
        .array_windows::<8>()
        .enumerate()
        .filter(|(_, w)| *w == b"fdrpMACS")
        .map(|(at, _)| at - 4)
        .collect();
    let targets: BTreeSet<[u8; 4]> =
        links.iter().map(|at| bytes[*at..*at + 4].try_into().unwrap()).collect();
    let temp = tempfile::tempdir().unwrap();
    let mut loops = 0;
    // One of these folders holds a link itself: lead all links to it.
    for target in targets {
        let mut bytes = bytes.clone();
        for at in &links {
            bytes[*at..*at + 4].copy_from_slice(&target);
        }
        let source = temp.path().join("loop.img");
        std::fs::write(&source, &bytes).unwrap();
        let mount = Mount::new(&source, &[]);
        let output = run("timeout", &[&"20", &"find", &mount.path()]);
        assert_ne!(output.status.code(), Some(124), "find did not end");
        loops += usize::from(text(&output.stderr).contains("Too many levels"));
    }
    assert!(loops > 0, "no loop was made");
}

#[test]
fn names_forks_and_attributes_as_asked() {
    let test = "names_forks_and_attributes_as_asked";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let source = image(&data, "keramics-hfsplus");
    let plain = paths(&Mount::new(&source, &[]).volume());
    let decomposed = paths(&Mount::new(&source, &["--names", "nfd"]).volume());
    assert_eq!(plain.len(), decomposed.len());
    assert_ne!(plain, decomposed);
    let mount = Mount::new(&source, &["--names", "nfd"]);
    for path in plain.iter().chain(&decomposed) {
        std::fs::symlink_metadata(mount.volume().join(path)).unwrap();
    }

    let source = image(&data, "dfvfs-hfsplus");
    let options = ["--xattrs", "samba", "--resource-forks", "appledouble", "-o", "uid=12,gid=34"];
    let mount = Mount::new(&source, &options);
    let root = mount.volume();
    let side = paths(&root).into_iter().find(|p| p.rsplit('/').next().unwrap().starts_with("._"));
    let side = side.expect("an AppleDouble file");
    let meta = std::fs::metadata(root.join(&side)).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (12, 34));
    let bytes = std::fs::read(root.join(&side)).unwrap();
    assert_eq!(bytes[..4], [0, 5, 0x16, 7]);
    assert_eq!(bytes.len() as u64, meta.len());
    if !has_tool(test, "getfattr") {
        return;
    }
    let output = run("getfattr", &[&"-R", &"-d", &"-m", &"-", &root]);
    let shown = text(&output.stdout);
    assert!(shown.contains("user.DosStream.AFP_Resource:$DATA"), "{shown}");

    let mount = Mount::new(&image(&data, "rusty-acl"), &[]);
    let output = run("getfattr", &[&"-R", &"-n", &"user.tmbundle.acl", &mount.volume()]);
    assert!(text(&output.stdout).contains("0: "), "{}", text(&output.stdout));
}

#[test]
fn eight_readers_at_once() {
    let test = "eight_readers_at_once";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let source = image(&data, "lab-feat-c");
    let mount = Mount::new(&source, &[]);
    let root = mount.volume();
    let files: Vec<PathBuf> = paths(&root)
        .into_iter()
        .map(|p| root.join(p))
        .filter(|p| p.is_file() && !p.is_symlink())
        .collect();
    let want: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    drop(mount);
    let mount = Mount::new(&source, &[]);
    let place = |f: &Path| mount.volume().join(f.strip_prefix(&root).unwrap());
    std::thread::scope(|scope| {
        for reader in 0..8usize {
            let (files, want, place) = (&files, &want, &place);
            scope.spawn(move || {
                let mut random = 88_172_645_463_325_252u64 + reader as u64;
                for _ in 0..1500 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let at = (random >> 20) as usize % files.len();
                    let offset = (random & 0xFFFFF) as usize % (want[at].len() + 1);
                    let mut buf = [0; 4096];
                    let file = std::fs::File::open(place(&files[at])).unwrap();
                    let n = file.read_at(&mut buf, offset as u64).unwrap();
                    let end = (offset + 4096).min(want[at].len());
                    assert!(buf[..n] == want[at][offset..end], "{}", files[at].display());
                }
            });
        }
    });
}

#[test]
fn a_killed_server_leaves_nothing_in_the_way() {
    let test = "a_killed_server_leaves_nothing_in_the_way";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let source = image(&data, "jnode-attributes");
    let dir = tempfile::tempdir().unwrap();
    let mut child = Mount::foreground(&source, dir.path(), &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    let dead = std::fs::read_dir(dir.path()).unwrap_err();
    assert_eq!(dead.raw_os_error(), Some(107), "{dead}");
    let mut child = Mount::foreground(&source, dir.path(), &[]);
    assert!(dir.path().join("disk.img").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        run(PROGRAM, &[&"umount", &dir.path()]).status.success(),
        "a dead mount can be unmounted"
    );
    assert!(!is_mounted(dir.path()));
}

#[test]
fn signals_unmount_even_while_in_use() {
    let test = "signals_unmount_even_while_in_use";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let source = image(&data, "jnode-attributes");
    for signal in ["TERM", "INT", "HUP"] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Mount::foreground(&source, dir.path(), &[]);
        let held = std::fs::File::open(dir.path().join("disk.img")).unwrap();
        let busy = run(PROGRAM, &[&"umount", &dir.path()]);
        assert_eq!(busy.status.code(), Some(3));
        assert!(text(&busy.stderr).contains("is in use"), "{}", text(&busy.stderr));
        assert!(run("kill", &[&format!("-{signal}"), &child.id().to_string()]).status.success());
        let start = Instant::now();
        assert!(child.wait().unwrap().success());
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(!is_mounted(dir.path()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the folder itself is back");
        drop(held);
    }
}

#[test]
fn an_unreadable_band_costs_its_files_only() {
    let test = "an_unreadable_band_costs_its_files_only";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let own = tempfile::tempdir().unwrap();
    let bundle = split_into_bands(&image(&data, "lab-jdirty-wrap"), own.path());
    let disk = tmbundle::disk::Disk::open(&bundle).unwrap();
    let disk = tmbundle::volume::Layout::from(disk);
    let archive = tmbundle::timemachine::Archive::open(&disk).unwrap();
    let volume = &archive.open[0];
    // The band of some file's contents, but not one that holds metadata.
    let fs = volume.fs();
    let root = fs.metadata(fs.root()).unwrap();
    let header = volume.found.source.locate(1024).unwrap().band.unwrap().name;
    let mut bands = std::collections::BTreeMap::<String, String>::new();
    let mut visit = |e: tmbundle::fs::Entry<'_>| {
        let Ok(meta) = &e.entry.node else { return Ok(tmbundle::fs::Step::Over) };
        if meta.kind == tmbundle::fs::Kind::File && meta.size > 0 {
            for extent in fs.extents(meta.id, &tmbundle::fs::Stream::Data)? {
                let place = volume.found.source.locate(extent.at.unwrap()).unwrap();
                bands.insert(place.band.unwrap().name, e.path.to_owned());
            }
        }
        Ok(tmbundle::fs::Step::Into)
    };
    tmbundle::fs::walk(fs, &root, &mut visit, &mut |_, e| Err(e)).unwrap();
    bands.remove(&header);
    bands.retain(|band, _| bundle.join("bands").join(band).exists());
    let (band, victim) = bands.into_iter().next_back().expect("a band of contents alone");
    drop((archive, disk));
    std::fs::remove_file(bundle.join("bands").join(&band)).unwrap();
    std::fs::create_dir(bundle.join("bands").join(&band)).unwrap();

    let log = own.path().join("log");
    let mount = Mount::new(&bundle, &["--log-file", log.to_str().unwrap()]);
    let root = mount.volume();
    let error = std::fs::read(root.join(&victim)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    let _ = std::fs::read(root.join(&victim));
    let all = paths(&root);
    let readable = all.iter().filter(|p| std::fs::read(root.join(p)).is_ok()).count();
    assert!(readable > 0, "nothing else can be read");
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains(&format!("band {band}")) && said.contains("offset 0x"), "{said}");
    let name = Path::new(&victim).file_name().unwrap().to_str().unwrap();
    let about: Vec<&str> = said.lines().filter(|l| l.contains(name)).collect();
    assert!(about.len() <= 1, "said once: {about:?}");
}

#[test]
fn a_change_of_the_source_is_noticed() {
    let test = "a_change_of_the_source_is_noticed";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    let own = own_bundle(&data);
    let bundle = own.path().join("tm.sparsebundle");
    let mount = Mount::new(&bundle, &[]);
    let stale =
        |buffer: &mut [u8]| rustix::fs::getxattr(mount.path(), "user.tmbundle.stale", buffer);
    let mut buffer = [0; 256];
    assert!(stale(&mut buffer).is_err());
    let before = paths(&mount.path().join("latest/"));
    let plist = bundle.join("Info.plist");
    let bytes = std::fs::read(&plist).unwrap();
    std::fs::write(&plist, bytes).unwrap();
    wait_until("the change is noticed", || stale(&mut buffer).is_ok());
    let n = stale(&mut buffer).unwrap();
    assert!(text(&buffer[..n]).contains("changed 1 times"), "{}", text(&buffer[..n]));
    assert_eq!(paths(&mount.path().join("latest/")), before);
}

#[test]
fn a_file_whose_extents_move_is_an_error_not_garbage() {
    let test = "a_file_whose_extents_move_is_an_error_not_garbage";
    let Some(data) = common::shared_data(test).filter(|_| possible(test)) else { return };
    const SIZE: u64 = 5_000_000;
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("own.img");
    let original = image(&data, "lab-feat-c");
    assert!(run("cp", &[&"--sparse=always", &original, &source]).status.success());
    let mount = Mount::new(&source, &[]);
    let path = mount.volume().join("frag/contig");
    let moved = std::fs::File::open(&path).unwrap();
    let other = std::fs::File::open(mount.path().join("disk.img")).unwrap();
    let mut buf = [0; 4096];
    moved.read_exact_at(&mut buf, 0).unwrap();
    moved.read_exact_at(&mut buf, 2_000_000).unwrap();

    // As a Mac would after moving it: the fork begins eight blocks later.
    let bytes = std::fs::read(&source).unwrap();
    let to = std::fs::OpenOptions::new().write(true).open(&source).unwrap();
    let mut patched = 0;
    for (at, _) in bytes.array_windows::<8>().enumerate().filter(|(_, w)| **w == SIZE.to_be_bytes())
    {
        let start = u32::from_be_bytes(bytes[at + 16..at + 20].try_into().unwrap());
        to.write_all_at(&(start + 8).to_be_bytes(), at as u64 + 16).unwrap();
        patched += 1;
    }
    assert!(patched > 0);
    let error = moved.read_exact_at(&mut buf, 4_500_000).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    other.read_exact_at(&mut buf, 0).unwrap();
    // Looked up again it is what it is now.
    let size = || std::fs::read(&path).map_or(0, |b| b.len() as u64);
    wait_until("the file can be read again", || size() == SIZE);
}

#[test]
fn refusals_are_sentences() {
    let test = "refusals_are_sentences";
    if !possible(test) {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("disk.img");
    std::fs::write(&source, vec![0; 1 << 20]).unwrap();
    let refused = |dir: &Path, words: &str| {
        let output = run(PROGRAM, &[&"mount", &source, &dir]);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{:?}", output.status);
        let said = text(&output.stderr);
        assert!(said.contains(words) && said.starts_with("error: "), "{said}");
    };
    refused(&temp.path().join("nowhere"), "does not exist");
    refused(temp.path(), "not empty");
    let file = temp.path().join("file");
    std::fs::write(&file, b"").unwrap();
    refused(&file, "not a folder");
    refused(&source, "the backup itself");
    let empty = tempfile::tempdir().unwrap();
    let output = run(PROGRAM, &[&"umount", &empty.path()]);
    assert!(text(&output.stderr).contains("nothing is mounted on"), "{}", text(&output.stderr));
    let output = run(PROGRAM, &[&"mount", &source, &empty.path(), &"-o", &"frobnicate"]);
    assert!(text(&output.stderr).contains("not an option"), "{}", text(&output.stderr));
    // A disk on which nothing is recognised is a success only for who asks for its bytes.
    refused(&empty.path().join(""), "not formatted");
    let mount = Mount::new(&source, &["--disk-image"]);
    assert_eq!(std::fs::metadata(mount.path().join("disk.img")).unwrap().len(), 1 << 20);
    refused(mount.path(), "already mounted");
}

#[test]
fn mount_helper() {
    let test = "mount_helper";
    if !possible(test) {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("disk.img");
    std::fs::write(&source, vec![0; 1 << 20]).unwrap();
    let dir = temp.path().join("mnt");
    std::fs::create_dir(&dir).unwrap();
    let helper = temp.path().join("mount.fuse.tmbundle");
    std::os::unix::fs::symlink(PROGRAM, &helper).unwrap();
    let lines: [&[&str]; 2] = [
        &["-o", "ro,nodev,x-systemd.automount,uid=7,disk_image", "-t", "fuse.tmbundle"],
        &["-o", "rw,dev,suid,uid=7,disk_image"],
    ];
    for (program, options) in [&helper, Path::new(PROGRAM)].into_iter().zip(lines) {
        let output = Command::new(program).arg(&source).arg(&dir).args(options).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(std::fs::metadata(&dir).unwrap().uid(), 7);
        assert_eq!(
            std::fs::metadata(dir.join("disk.img")).unwrap().permissions().mode() & 0o777,
            0o400
        );
        assert!(run(PROGRAM, &[&"umount", &dir]).status.success());
    }
}

#[test]
fn many_cycles_leave_nothing_behind() {
    let test = "many_cycles_leave_nothing_behind";
    if !possible(test) {
        return;
    }
    let cycles =
        std::env::var("TMBUNDLE_MOUNT_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("disk.img");
    std::fs::write(&source, vec![0; 1 << 20]).unwrap();
    let dir = temp.path().join("mnt");
    std::fs::create_dir(&dir).unwrap();
    for _ in 0..cycles {
        assert!(run(PROGRAM, &[&"mount", &"--disk-image", &source, &dir]).status.success());
        assert!(dir.join("disk.img").exists());
        assert!(run(PROGRAM, &[&"umount", &dir]).status.success());
        assert!(!is_mounted(&dir));
    }
    wait_until("the last server has ended", || servers(&dir).is_empty());
}
