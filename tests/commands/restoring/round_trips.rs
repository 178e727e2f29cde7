//! Every volume that others wrote, restored and compared with its manifest in all that a
//! Linux file system can keep.

use crate::common::{self, assert_none, files_ending, gunzip, tmbundle, unpack};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tmbundle::disk::Disk;
use tmbundle::timemachine::Archive;
use tmbundle::volume::Layout;

/// Attributes that the reader behind a manifest could not show; see `manifests`.
fn is_storage(name: &str) -> bool {
    name == "com.apple.decmpfs" || name == "com.apple.system.hfs.firstlink"
}

/// The attributes and the fork in an AppleDouble file, by a few lines of our own.
fn sidecar(path: &Path) -> HashMap<String, Vec<u8>> {
    let mut found = HashMap::new();
    let beside = path.with_file_name(format!("._{}", path.file_name().unwrap().to_str().unwrap()));
    let Ok(b) = fs::read(beside) else { return found };
    let be = |at: usize, n: usize| {
        b[at..at + n].iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    assert_eq!((be(0, 4), be(24, 2)), (0x51607, 2));
    let (fork, len) = (be(42, 4), be(46, 4));
    found.insert("com.apple.ResourceFork".into(), b[fork..fork + len].to_vec());
    found.insert("com.apple.FinderInfo".into(), b[50..82].to_vec());
    if fork > 120 && &b[84..88] == b"ATTR" {
        let mut at = 120;
        for _ in 0..be(118, 2) {
            let (offset, size, name) = (be(at, 4), be(at + 4, 4), usize::from(b[at + 10]));
            let text = String::from_utf8_lossy(&b[at + 11..at + 10 + name]).into_owned();
            found.insert(text, b[offset..offset + size].to_vec());
            at += (11 + name + 3) & !3;
        }
    }
    found
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1 << 16];
    let n = rustix::fs::lgetxattr(path, format!("user.{name}"), &mut value[..]).ok()?;
    value.truncate(n);
    Some(value)
}

fn compare(at: &Path, path: &str, want: &Value, root: bool, wrong: &mut Vec<String>) {
    let Ok(meta) = fs::symlink_metadata(at) else {
        return wrong.push(format!("{path}: missing"));
    };
    let mut same = |what: &str, found: String, wanted: &Value| {
        let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
        if wanted != "null" && wanted != found {
            wrong.push(format!("{path}: {what} is {found}, expected {wanted}"));
        }
    };
    let link = meta.is_symlink();
    if !link {
        same("mode", format!("{:06o}", meta.mode()), &want["mode"]);
    }
    if root {
        same("uid", meta.uid().to_string(), &want["uid"]);
        same("gid", meta.gid().to_string(), &want["gid"]);
    }
    same("mtime", meta.mtime().to_string(), &want["mtime"]);
    if meta.is_file() {
        same("nlink", meta.nlink().to_string(), &want["nlink"]);
        same("size", meta.len().to_string(), &want["size"]);
        same("sha256", common::sha256(&fs::read(at).unwrap()), &want["sha256"]);
    }
    if link {
        let target = fs::read_link(at).unwrap();
        same("target", target.to_string_lossy().into_owned(), &want["target"]);
        return;
    }
    let beside = sidecar(at);
    for (name, value) in want["xattrs"].as_object().into_iter().flatten() {
        let compressed = !want["xattrs"]["com.apple.decmpfs"].is_null();
        if is_storage(name) || (compressed && name == "com.apple.ResourceFork") {
            continue;
        }
        if name == "com.apple.system.Security" {
            continue;
        }
        let found = xattr(at, name).or_else(|| beside.get(name).cloned());
        let found = found.map_or_else(|| "missing".into(), |v| common::sha256(&v));
        same(name, found, &value["sha256"]);
    }
}

/// Restore the live view of an image and compare it with its manifest.
fn round_trip(image: &Path, manifest: &[u8], to: &Path) -> Vec<String> {
    round_trip_of(image, ("volume:/", &[]), manifest, to)
}

/// Restore what an address names, with the options for a password, and compare it.
fn round_trip_of(
    image: &Path,
    (address, password): (&str, &[&str]),
    manifest: &[u8],
    to: &Path,
) -> Vec<String> {
    let root = rustix::process::geteuid().is_root();
    let report = to.with_extension("report");
    let (image, to_text) = (image.to_str().unwrap(), to.to_str().unwrap());
    let mut args = vec!["extract", image, address, "--to", to_text, "--no-sync", "--setid"];
    args.extend(["--report", report.to_str().unwrap()]);
    args.extend(password);
    if root {
        args.push("--devices");
    }
    let ran = tmbundle(&args);
    if ran.code != Some(0) {
        return vec![format!("{image}: {ran:#?}")];
    }
    let doc: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let names: HashMap<&str, &str> = doc["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|o| Some((o["path"].as_str()?, o["restored_as"].as_str()?)))
        .collect();
    let mut wrong = Vec::new();
    for line in std::str::from_utf8(manifest).unwrap().lines() {
        let want: Value = serde_json::from_str(line).unwrap();
        let path = want["path"].as_str().unwrap();
        let device =
            want["mode"].as_str().is_some_and(|m| m.starts_with("02") || m.starts_with("06"));
        if device && !root {
            continue;
        }
        let at: PathBuf = to.join(names.get(path).copied().unwrap_or(path));
        compare(&at, path, &want, root, &mut wrong);
    }
    wrong
}

#[test]
fn every_hfs_volume_comes_back_as_its_manifest_says() {
    let Some(data) = common::shared_data("every_hfs_volume_comes_back") else { return };
    let dir = tempfile::tempdir().unwrap();
    if rustix::fs::setxattr(dir.path(), "user.t", b"x", rustix::fs::XattrFlags::empty()).is_err() {
        return common::skipped("every_hfs_volume_comes_back: no user attributes here");
    }
    let mut checked = 0;
    let mut wrong = Vec::new();
    for manifest in files_ending(&data.join("hfs"), ".jsonl.gz") {
        let name = manifest.file_name().unwrap().to_str().unwrap().trim_end_matches(".jsonl.gz");
        let gz = data.join("hfs").join(format!("{name}.img.gz"));
        let to = dir.path().join(name);
        let mut image = unpack(&gz);
        if name == "hfsinspect-hfsj" {
            // Its 1,700 files are all zeros, and unpacking made holes of them: lost bytes,
            // as far as anybody can tell.
            image = dir.path().join("whole.img");
            fs::write(&image, gunzip(&gz)).unwrap();
        }
        let found = round_trip(&image, &gunzip(&manifest), &to);
        wrong.extend(found.into_iter().map(|w| format!("{name}: {w}")));
        checked += 1;
        let _ = fs::remove_dir_all(&to);
    }
    assert!(checked >= 15, "only {checked} volumes");
    assert_none(&wrong);
}

/// The image that a manifest tells of, unpacked, and the snapshot that it names.
fn image_of(manifest: &Path) -> (PathBuf, Option<String>) {
    let dir = manifest.parent().unwrap();
    let name = manifest.file_name().unwrap().to_str().unwrap().trim_end_matches(".jsonl.gz");
    let (image, snapshot) = match name.split_once('@') {
        Some((image, snapshot)) => (image, Some(snapshot.to_owned())),
        None => (name, None),
    };
    let packed = ["img.gz", "dmg.gz"].map(|end| dir.join(format!("{image}.{end}")));
    let gz = packed.iter().find(|p| p.exists());
    (gz.map_or_else(|| dir.join(format!("{image}.dmg")), |gz| common::unpack(gz)), snapshot)
}

/// The address of a snapshot that a manifest names without what cannot stand in a file's name.
fn address_of(image: &Path, snapshot: &str) -> String {
    let layout = Layout::from(Disk::open(image).unwrap());
    let archive = Archive::open(&layout).unwrap();
    let views = archive.open.iter().flat_map(|v| v.volume.views().unwrap());
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let same = |name: &str| name.chars().map(plain).collect::<String>().starts_with(snapshot);
    let name = views.filter_map(|v| v.name).find(|name| same(name)).expect(snapshot);
    format!("volume@{name}:/")
}

/// Driven by data: each image with a manifest beside it in the shared folders of APFS containers
/// and of disk images; `NAME@SNAPSHOT.jsonl.gz` tells of a snapshot.
#[test]
fn every_apfs_volume_comes_back_as_its_manifest_says() {
    let Some(data) = common::shared_data("every_apfs_volume_comes_back") else { return };
    let dir = tempfile::tempdir().unwrap();
    let passwords = dir.path().join("passwords");
    let (mut wrong, mut checked, mut snapshots) = (Vec::new(), 0, 0);
    for folder in ["apfs", "images"] {
        for manifest in files_ending(&data.join(folder), ".jsonl.gz") {
            let (image, snapshot) = image_of(&manifest);
            let name = manifest.file_name().unwrap().to_str().unwrap().to_owned();
            let password = password_of(&image, &passwords);
            let password: Vec<&str> = password.iter().map(String::as_str).collect();
            let address = snapshot.as_deref().map(|s| address_of(&image, s));
            snapshots += usize::from(snapshot.is_some());
            let to = dir.path().join(&name);
            let address = address.as_deref().unwrap_or("volume:/");
            let found = round_trip_of(&image, (address, &password), &gunzip(&manifest), &to);
            wrong.extend(found.into_iter().map(|w| format!("{name}: {w}")));
            checked += 1;
            let _ = fs::remove_dir_all(&to);
        }
    }
    assert!(checked >= 14 && snapshots >= 2, "only {checked} volumes, {snapshots} snapshots");
    assert_none(&wrong);
}

/// How the password of an image is given, out of those in the catalogue; nothing if it needs none.
fn password_of(image: &Path, file: &Path) -> Vec<String> {
    let path = image.to_str().unwrap();
    if tmbundle(&["ls", path, "volume:/"]).code == Some(0) {
        return Vec::new();
    }
    for password in ["password", "hunter2hunter2", "test", "test123"] {
        fs::write(file, password).unwrap();
        let args = ["--password-file".to_owned(), file.to_str().unwrap().to_owned()];
        if tmbundle(&["ls", path, "volume:/", &args[0], &args[1]]).code == Some(0) {
            return args.to_vec();
        }
    }
    Vec::new()
}
