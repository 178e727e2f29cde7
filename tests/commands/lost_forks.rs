//! Lost bytes in resource forks: what is left out, what is told, and that neither costs anything
//! else. Where the forks lie is known from marks in them.

use crate::common::{Ran, marked, tmbundle};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tools::Image;
use tools::apfs::{self, Container, ContainerOptions};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};
use tools::partition::{GUID_APFS, Gpt};

const START: i64 = 1_572_686_100;
/// So small that a band holds nothing else.
const BAND: u64 = 1024;
const FORK: &str = "com.apple.ResourceFork";
/// Files, and bytes of their forks. That of `lost` loses a band, that of `zeros` has zeros which
/// are stored nowhere.
const FILES: [(&str, usize); 5] =
    [("first", 2900), ("lost", 2900), ("middle", 30_000), ("zeros", 2900), ("zlast", 2900)];

fn content(name: &str) -> Vec<u8> {
    marked(&format!("data {name}"), 1, 3000).to_vec()
}

fn fork(name: &str, len: usize) -> Vec<u8> {
    let mut bytes = marked(&format!("fork {name}"), 1, len).to_vec();
    if name == "zeros" {
        bytes[512..2560].fill(0);
    }
    bytes
}

fn hfs_plus() -> Image {
    let options = VolumeOptions { size: 16 << 20, created: START, ..VolumeOptions::default() };
    let mut volume = VolumeBuilder::new(options);
    let root = volume.root();
    for (name, len) in FILES {
        let file = volume.file(root, name, content(name), Meta::file().dated(START));
        volume.set_resource_fork(file, fork(name, len));
        volume.set_xattr(file, "com.example.note", name.as_bytes().to_vec());
    }
    Gpt::default().wrap(&volume.build().image).0
}

fn apfs() -> Image {
    let mut container =
        Container::new(ContainerOptions { size: 24 << 20, ..ContainerOptions::default() });
    let number = container.add_volume(apfs::VolumeOptions::default());
    let mut volume = container.volume(number);
    let root = volume.root();
    for (name, len) in FILES {
        let file = volume.file(root, name, content(name), apfs::Meta::file());
        volume.set_xattr(file, FORK, fork(name, len));
        volume.set_xattr(file, "com.example.note", name.as_bytes().to_vec());
    }
    container.commit();
    let gpt = Gpt { kind: GUID_APFS.into(), ..Gpt::default() };
    gpt.wrap(&container.finish().image).0
}

/// Bundles of both formats without a band of two forks.
struct Damaged {
    dir: tempfile::TempDir,
    path: PathBuf,
}

fn damaged() -> Vec<Damaged> {
    [hfs_plus(), apfs()].map(|disk| damage(disk, "<<fork lost#1>>")).into()
}

/// A bundle of a disk without the second of the bands that hold a mark.
fn damage(disk: Image, mark: &str) -> Damaged {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    let options = BundleOptions { band_size: BAND, ..BundleOptions::default() };
    bundle::write(&disk, &path, &options).unwrap();
    remove(&path, mark, 1);
    Damaged { dir, path }
}

/// Remove the `n`th of the bands that hold a mark.
fn remove(bundle: &Path, mark: &str, n: usize) {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(bundle.join("bands")).unwrap() {
        let path = entry.unwrap().path();
        if std::fs::read(&path).unwrap().windows(mark.len()).any(|w| w == mark.as_bytes()) {
            let number = path.file_name().unwrap().to_str().unwrap();
            found.push((u64::from_str_radix(number, 16).unwrap(), path));
        }
    }
    found.sort();
    std::fs::remove_file(&found[n].1).unwrap();
}

/// A fork as it comes out.
fn expected(name: &str, len: usize, as_zeros: bool) -> Option<Vec<u8>> {
    let mut bytes = fork(name, len);
    match name {
        "lost" if as_zeros => bytes[BAND as usize..2 * BAND as usize].fill(0),
        "lost" => return None,
        _ => {}
    }
    Some(bytes)
}

impl Damaged {
    fn extract(&self, to: &Path, options: &[&str]) -> (Value, Ran) {
        let to = to.to_str().unwrap();
        let args = ["extract", self.path.to_str().unwrap(), "volume:/", "--json", "--to", to];
        let ran = tmbundle(&[&args[..], options].concat());
        (serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}")), ran)
    }
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 65_536];
    let n = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(n);
    Some(value)
}

/// The fork of an AppleDouble file beside a restored one, by the table in its header.
fn sidecar(path: &Path) -> Option<Vec<u8>> {
    let name = format!("._{}", path.file_name().unwrap().to_str().unwrap());
    let bytes = std::fs::read(path.with_file_name(name)).ok()?;
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let count = usize::from(u16::from_be_bytes(bytes[24..26].try_into().unwrap()));
    let at = (0..count).map(|n| 26 + 12 * n).find(|at| number(*at) == 2)?;
    let (from, len) = (number(at + 4), number(at + 8));
    assert_eq!(bytes.len(), from + len, "{}", path.display());
    Some(bytes[from..].to_vec()).filter(|b| !b.is_empty())
}

fn check(to: &Path, read: &dyn Fn(&Path) -> Option<Vec<u8>>, as_zeros: bool) {
    for (name, len) in FILES {
        let path = to.join(name);
        assert_eq!(std::fs::read(&path).unwrap(), content(name), "{name}");
        let found = read(&path);
        // Not every file system takes a large attribute.
        let too_large = found.is_none() && len > 4096;
        let right = found == expected(name, len, as_zeros);
        assert!(right || too_large, "{name}: {:?}", found.map(|f| f.len()));
    }
}

#[test]
fn forks_that_are_lost_are_left_out_and_told_and_cost_no_contents() {
    type Read = dyn Fn(&Path) -> Option<Vec<u8>>;
    let attribute = |path: &Path| xattr(path, &format!("user.{FORK}"));
    let ways: [(&str, &Read); 2] = [("xattr", &attribute), ("appledouble", &sidecar)];
    for damaged in damaged() {
        for (n, (how, read)) in ways.into_iter().enumerate() {
            let to = damaged.dir.path().join(format!("to{n}"));
            // The second run tells again.
            for run in 0..2 {
                let (doc, ran) = damaged.extract(&to, &["--no-sync", "--mac-metadata", how]);
                assert_eq!(ran.code, Some(1), "{how} {run}: {doc:#}");
                check(&to, read, false);
                let unread = doc["not_kept"].as_array().unwrap().iter();
                let unread: Vec<_> =
                    unread.filter(|n| n["what"] == "resource-fork-unread").collect();
                assert_eq!(unread.len(), 1, "{how} {run}: {doc:#}");
                assert_eq!(
                    (&unread[0]["objects"], &unread[0]["example"]),
                    (&1.into(), &"lost".into())
                );
                assert!(unread[0]["reason"].as_str().unwrap().contains("missing"), "{doc:#}");
                assert_eq!(
                    (&doc["not_restored"], &doc["doubtful"]),
                    (&0.into(), &1.into()),
                    "{doc:#}"
                );
                assert_eq!(doc["failed"][0]["path"], "zeros", "{run}");
                let doubt = doc["failed"][0]["doubt"].as_str().unwrap();
                assert!(doubt.contains("its resource fork"), "{doubt}");
                assert_eq!(xattr(&to.join("lost"), "user.tmbundle.doubt"), None);
                assert!(xattr(&to.join("zeros"), "user.tmbundle.doubt").is_some());
            }
        }
    }
}

#[test]
fn lost_attributes_of_a_folder_as_zeros_are_told() {
    let mut container =
        Container::new(ContainerOptions { size: 24 << 20, ..ContainerOptions::default() });
    let number = container.add_volume(apfs::VolumeOptions::default());
    let mut volume = container.volume(number);
    let folder = volume.mkdir(volume.root(), "folder", apfs::Meta::dir());
    // In blocks of its own.
    let value = marked("value", 1, 3900).to_vec();
    volume.set_xattr(folder, "com.example.long", value.clone());
    container.commit();
    let gpt = Gpt { kind: GUID_APFS.into(), ..Gpt::default() };
    let damaged = damage(gpt.wrap(&container.finish().image).0, "<<value#1>>");
    let to = damaged.dir.path().join("to");
    let (doc, ran) = damaged.extract(&to, &["--no-sync", "--lost-as-zeros"]);
    let given = xattr(&to.join("folder"), "user.com.example.long").expect("an attribute");
    assert_ne!(given, value, "{doc:#}");
    assert_eq!((ran.code, &doc["doubtful"]), (Some(1), &1.into()), "{doc:#}");
}

#[test]
fn lost_forks_as_zeros_are_told() {
    for damaged in damaged() {
        let to = damaged.dir.path().join("to");
        let options = ["--no-sync", "--mac-metadata", "appledouble", "--lost-as-zeros"];
        let (doc, ran) = damaged.extract(&to, &options);
        assert_eq!((ran.code, &doc["doubtful"]), (Some(1), &2.into()), "{doc:#}");
        check(&to, &sidecar, true);
    }
}

#[test]
fn who_wants_no_forks_hears_nothing_of_them() {
    for damaged in damaged() {
        let to = damaged.dir.path().join("to");
        let (doc, ran) = damaged.extract(&to, &["--no-sync", "--mac-metadata", "none"]);
        assert_eq!(ran.code, Some(0), "{doc:#}");
        check_contents(&to);
    }
}

fn check_contents(to: &Path) {
    for (name, _) in FILES {
        assert_eq!(std::fs::read(to.join(name)).unwrap(), content(name), "{name}");
    }
}

#[test]
fn an_archive_goes_on_behind_a_lost_fork() {
    for damaged in damaged() {
        for how in ["auto", "xattr", "appledouble"] {
            let out = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
                .args(["extract", damaged.path.to_str().unwrap(), "volume:/", "--tar"])
                .args(["--mac-metadata", how])
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(1), "{how}: {told}");
            let unread = "Resource forks could not be read of 1 object: the backup is damaged";
            assert!(told.contains(unread), "{how}: {told}");
            assert!(told.contains("doubtful: zeros: its resource fork"), "{how}: {told}");
            let to = damaged.dir.path().join(format!("tar-{how}"));
            std::fs::create_dir(&to).unwrap();
            let archive = damaged.dir.path().join("archive.tar");
            std::fs::write(&archive, &out.stdout).unwrap();
            let unpacked = std::process::Command::new("tar")
                .args(["--xattrs", "--xattrs-include=user.*", "-xf"])
                .args([&archive, Path::new("-C"), &to])
                .output()
                .unwrap();
            assert!(unpacked.status.success(), "{how}: {unpacked:?}");
            match how {
                "appledouble" => check(&to, &sidecar, false),
                _ => check(&to, &|path| xattr(path, &format!("user.{FORK}")), false),
            }
        }
    }
}

#[test]
#[cfg(feature = "mount")]
fn a_mount_gives_no_zeros_for_a_lost_fork() {
    use crate::mounting::{Mount, possible};
    if !possible("a_mount_gives_no_zeros_for_a_lost_fork") {
        return;
    }
    let name = format!("user.{FORK}");
    for damaged in damaged() {
        let log = damaged.dir.path().join("log");
        let log_file = log.to_str().unwrap();
        let more = ["--resource-forks", "appledouble"];
        let mount = Mount::new(&damaged.path, &[&["--log-file", log_file], &more[..]].concat());
        for (file, len) in FILES {
            let path = mount.volume().join(file);
            assert_eq!(std::fs::read(&path).unwrap(), content(file), "{file}");
            let mut value = vec![0; 65_536];
            let got = rustix::fs::getxattr(&path, &*name, &mut value[..]);
            let beside = std::fs::read(mount.volume().join(format!("._{file}")));
            match expected(file, len, false) {
                None => {
                    assert_eq!(got, Err(rustix::io::Errno::IO), "{file}");
                    assert_eq!(beside.unwrap_err().raw_os_error(), Some(5), "{file}");
                }
                Some(bytes) => {
                    assert!(value[..got.expect(file)] == bytes, "{file}");
                    assert!(beside.expect(file)[82..] == bytes, "{file}");
                }
            }
            let doubt = xattr(&path, "user.tmbundle.doubtful");
            assert_eq!(doubt.is_some(), ["lost", "zeros"].contains(&file), "{file}");
        }
        drop(mount);
        let told = std::fs::read_to_string(&log).unwrap();
        let of = |file: &str| told.lines().any(|l| l.contains(file) && l.contains(FORK));
        assert!(of("zeros") && !of("middle"), "{told}");
    }
}
