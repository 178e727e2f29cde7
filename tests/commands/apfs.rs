//! The commands on APFS: Time Machine's snapshots, other snapshots, encrypted volumes,
//! the mount.

use crate::common::{self, tmbundle};
use crate::mounting::{self, Mount};
use std::path::{Path, PathBuf};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/DemoAPFS.backupbundle")
}

fn image(test: &str, name: &str) -> Option<PathBuf> {
    let data = common::shared_data(test)?;
    Some(common::unpack(&data.join(format!("apfs/{name}.img.gz"))))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// As the maker of the bundle has it: four completed backups, one cancelled, one running.
#[test]
fn backups_are_listed_with_their_states_and_dates() {
    let ran = tmbundle(&["snapshots", demo().to_str().unwrap(), "--json"]);
    ran.expect(0, &[]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let rows: Vec<(&str, &str, Option<i64>)> = json["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            (
                s["name"].as_str().unwrap(),
                s["state"].as_str().unwrap(),
                s["completed"].as_i64().map(|us| us / 1_000_000),
            )
        })
        .collect();
    // 2024-03-02 09:15:00 GMT and so on, each 340 seconds later.
    let done = |days: i64, i: i64| Some(1_709_370_900 + days * 86_400 + 61 * i + 340);
    assert_eq!(
        rows,
        [
            ("2024-03-02-102040", "complete", done(0, 0)),
            ("2024-03-03-102141", "complete", done(1, 1)),
            ("2024-03-06-081702.interrupted", "never completed", None),
            ("2024-03-06-102242", "complete", done(4, 2)),
            ("2024-03-13-102343", "complete", done(11, 3)),
            ("2024-03-14-101500.inprogress", "in progress", None),
        ]
    );
    for s in json["snapshots"].as_array().unwrap() {
        assert_eq!(s["volumes"][0]["name"], "Macintosh HD");
        assert!(s["volumes"][0]["uuid"].is_string());
    }
}

#[test]
fn addresses_of_backups_and_of_any_snapshot() {
    let demo = demo();
    let ls = |address: &str| tmbundle(&["ls", demo.to_str().unwrap(), address]);
    for address in ["latest:", "2024-03-13", "latest~3:/", "2024-03-02-102040:/"] {
        assert_eq!(ls(address).expect(0, &[]).out, "Macintosh HD/\n", "{address}");
    }
    ls("latest:/Macintosh HD").expect(0, &["Users/"]);
    let name = "com.apple.TimeMachine.2024-03-03-102141.backup";
    for address in [
        format!("volume@{name}:"),
        "volume@2024-03-03-102141:/".into(),
        format!("volume=Backups of Anna’s MacBook@{name}"),
    ] {
        ls(&address).expect(0, &["2024-03-03-102141.backup/"]);
    }
    ls("volume@nothing:").expect(2, &["no snapshot 'nothing'"]);
    ls("volume@com.apple:").expect(2, &["fits 4 snapshots"]);
    ls("volume:").expect(0, &["2024-03-13-102343.previous/"]);
}

#[test]
fn every_line_of_a_password_file_is_tried() {
    let test = "every_line_of_a_password_file_is_tried";
    let Some(image) = image(test, "goapfs-encrypted") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    std::fs::write(&file, "of the bundle\nhunter2hunter2\n").unwrap();
    let (image, file) = (image.to_str().unwrap(), file.to_str().unwrap());
    tmbundle(&["ls", "--password-file", file, image, "volume:"]).expect(0, &["secret.txt"]);
    tmbundle(&["ls", image, "volume:"]).expect(3, &["'Enc'", "no password was given"]);
    std::fs::write(file, "wrong").unwrap();
    tmbundle(&["ls", "--password-file", file, image, "volume:"]).expect(3, &["does not open"]);
    let ran = tmbundle(&["verify", "--password-file", file, image]);
    ran.expect(3, &["PASSWORD-WRONG", "'Enc'"]);
}

#[test]
fn an_encrypted_bundle_with_an_apfs_volume() {
    let test = "an_encrypted_bundle_with_an_apfs_volume";
    let Some(data) = common::shared_data(test) else { return };
    let packed = data.join("bundles/threez-apfs-partial.sparsebundle.tar.gz");
    let bundle = common::unpack_bundle(&packed);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "test").unwrap();
    let (bundle, file) = (bundle.to_str().unwrap(), file.to_str().unwrap());
    // SHA-256 of the file in the catalogue begins 9f86d081: it is that of "test".
    let ran = tmbundle(&["cat", "--password-file", file, bundle, "volume:test.txt"]);
    assert!(common::sha256(ran.out.as_bytes()).starts_with("9f86d081"), "{ran:?}");
}

#[test]
fn the_mount_shows_backups_as_on_hfs() {
    if !mounting::possible("the_mount_shows_backups_as_on_hfs") {
        return;
    }
    let mount = Mount::new(&demo(), &[]);
    let latest = std::fs::read_link(mount.dir.path().join("latest")).unwrap();
    assert_eq!(latest, Path::new("snapshots/2024-03-13-102343"));
    let names = names(&mount.dir.path().join("snapshots"));
    assert_eq!(names.len(), 6, "{names:?}");
    // Each backup is as its manifest says of the snapshot's folder.
    let testdata = demo().parent().unwrap().to_owned();
    for stamp in ["2024-03-02-102040", "2024-03-13-102343"] {
        let manifest = format!("DemoAPFS.manifest@com.apple.TimeMachine.{stamp}.backup.jsonl");
        let text = std::fs::read_to_string(testdata.join(manifest)).unwrap();
        let mut checked = 0;
        for line in text.lines() {
            let want: serde_json::Value = serde_json::from_str(line).unwrap();
            let path = want["path"].as_str().unwrap();
            let Some(inside) = path.strip_prefix(&format!("{stamp}.backup/")) else { continue };
            let at = mount.dir.path().join("snapshots").join(stamp).join(inside);
            let meta = std::fs::symlink_metadata(&at).unwrap_or_else(|e| panic!("{at:?}: {e}"));
            if meta.is_file() {
                let sum = common::sha256(&std::fs::read(&at).unwrap());
                assert_eq!(Some(sum.as_str()), want["sha256"].as_str(), "{at:?}");
                checked += 1;
            }
        }
        assert!(checked > 20, "{checked} files");
    }
}

#[test]
fn the_mount_shows_other_snapshots() {
    let test = "the_mount_shows_other_snapshots";
    let Some(image) = image(test, "dissect-snapshot") else { return };
    if !mounting::possible(test) {
        return;
    }
    let mount = Mount::new(&image, &[]);
    let volume = mount.dir.path().join("volumes");
    let volume = volume.join(&names(&volume)[0]);
    assert!(names(&volume).contains(&".snapshots".to_owned()));
    let names = names(&volume.join(".snapshots"));
    assert_eq!(names.len(), 512);
    for name in names {
        let text = std::fs::read_to_string(volume.join(".snapshots").join(&name).join("file"));
        assert_eq!(text.unwrap(), format!("{name}\n"));
    }
}

/// A copy of the bundle that may be written.
fn writable() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("A.backupbundle");
    crate::common::copy(&demo(), &copy);
    let ran = std::process::Command::new("chmod").args(["-R", "u+w"]).arg(&copy).status();
    assert!(ran.unwrap().success());
    (dir, copy)
}

#[test]
fn a_lost_band_under_the_trees_of_a_volume_is_damage() {
    let (_dir, copy) = writable();
    std::fs::remove_file(copy.join("bands/5")).unwrap();
    let ran = tmbundle(&["verify", copy.to_str().unwrap(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let found = json["sources"][0]["findings"].as_array().unwrap();
    let unreadable = found.iter().filter(|f| f["code"] == "APFS-UNREADABLE");
    assert!(unreadable.clone().count() > 10, "{}", ran.out);
    assert!(unreadable.clone().all(|f| f["severity"] == "damage"), "{}", ran.out);
    assert!(unreadable.clone().any(|f| f["where"]["band"] == "5"), "{}", ran.out);
    tmbundle(&["verify", copy.to_str().unwrap()]).expect(1, &["2024-03-02-102040", "band 5"]);
    // Also where the trees that say what is in use lie in it.
    assert!(found.iter().any(|f| f["code"] == "BAND-LOST"), "{}", ran.out);
}

#[test]
fn a_hole_in_a_node_that_only_a_snapshot_has_is_damage() {
    use std::os::unix::fs::FileExt;
    let (_dir, copy) = writable();
    tmbundle(&["verify", "-v", copy.to_str().unwrap()]).expect(0, &["No damage"]);
    let band = std::fs::File::options().write(true).open(copy.join("bands/5")).unwrap();
    band.write_all_at(&[0; 4096], 0xE4000).unwrap();
    let ran = tmbundle(&["verify", copy.to_str().unwrap()]);
    ran.expect(1, &["snapshot 'com.apple.TimeMachine.2024-03-03-102141.backup'", "block 1503"]);
}

/// A bundle with a container of volumes, some with a password; each has one file named as
/// itself.
fn volumes(those: &[(&str, Option<&str>)]) -> (tempfile::TempDir, PathBuf) {
    use tools::apfs::{Container, ContainerOptions, Meta, VolumeEncryption, VolumeOptions};
    let mut container = Container::new(ContainerOptions::default());
    for (name, password) in those {
        let encryption = password.map(VolumeEncryption::with_password);
        let options = VolumeOptions { name: (*name).into(), encryption, ..<_>::default() };
        let number = container.add_volume(options);
        let mut volume = container.volume(number);
        let root = volume.root();
        for file in [*name, "banana", "Apple", "cherry", "_x"] {
            volume.file(root, file, b"x".as_slice(), Meta::file());
        }
        container.commit();
        container.snapshot(number, "before update", 1_709_370_900_000_000_000);
    }
    let built = container.finish();
    let gpt = tools::partition::Gpt { kind: tools::partition::GUID_APFS.into(), ..<_>::default() };
    let (disk, _) = gpt.wrap(&built.image);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Several.sparsebundle");
    tools::bundle::write(&disk, &path, &tools::bundle::BundleOptions::default()).unwrap();
    (dir, path)
}

#[test]
fn a_locked_volume_beside_another_is_named_with_the_reason() {
    let (_dir, path) = volumes(&[("Open", None), ("Shut", Some("secret"))]);
    let path = path.to_str().unwrap();
    let ls = |address: &str| tmbundle(&["ls", path, address]);
    ls("volume=Open:").expect(0, &["Open"]);
    ls("volume=Shut:").expect(3, &["'Shut'", "no password was given"]);
    ls("volume=Nothing:").expect(2, &["'Nothing'", "'Open'", "'Shut', which cannot be opened"]);
    let verified = tmbundle(&["verify", path]);
    assert!(verified.out.contains("volume 'Shut'"), "{}", verified.out);
}

#[test]
fn a_mount_tells_which_volumes_it_does_not_have() {
    let test = "a_mount_tells_which_volumes_it_does_not_have";
    if !mounting::possible(test) {
        return;
    }
    let run = |path: &Path, dir: &Path| {
        tmbundle(&["mount", path.to_str().unwrap(), dir.to_str().unwrap()])
    };
    let (_kept, path) = volumes(&[("Open", None), ("Shut", Some("secret"))]);
    let dir = tempfile::tempdir().unwrap();
    let ran = run(&path, dir.path());
    let unmounted = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["umount", dir.path().to_str().unwrap()])
        .status();
    assert!(unmounted.unwrap().success());
    ran.expect(0, &["Mounted ", "not in the mount: volume 'Shut'", "no password was given"]);
    // A mount of nothing is none.
    let (_kept, path) = volumes(&[("Shut", Some("secret"))]);
    run(&path, dir.path()).expect(3, &["'Shut'", "no password was given"]);
    // What `ls` says of the volumes is said here, too.
    use std::os::unix::fs::FileExt;
    let (_kept, copy) = writable();
    let band = std::fs::File::options().write(true).open(copy.join("bands/0")).unwrap();
    band.write_all_at(&[0; 4096], 0x9000).unwrap();
    let ran = run(&copy, dir.path());
    let unmounted = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["umount", dir.path().to_str().unwrap()])
        .status();
    assert!(unmounted.unwrap().success());
    ran.expect(0, &["warning: ", "transaction"]);
}

#[test]
fn listings_are_in_the_order_of_names() {
    let (_dir, path) = volumes(&[("Data", None)]);
    let path = path.to_str().unwrap();
    let listed = tmbundle(&["ls", path, "volume:"]);
    assert_eq!(listed.expect(0, &[]).out, "_x\nApple\nbanana\ncherry\nData\n");
    let listed = tmbundle(&["ls", "--recursive", path, "volume@before update:"]);
    assert_eq!(listed.expect(0, &[]).out, "_x\nApple\nbanana\ncherry\nData\n");
}

#[test]
fn snapshots_that_are_none_of_time_machines_are_pointed_to() {
    let (_dir, path) = volumes(&[("Data", None)]);
    let path = path.to_str().unwrap();
    tmbundle(&["snapshots", path]).expect(2, &["of Time Machine's", "'volume@before update:'"]);
    tmbundle(&["ls", path, "volume@before update:"]).expect(0, &["Data"]);
    let (_dir, path) = volumes(&[("A", None), ("B", None)]);
    let ran = tmbundle(&["snapshots", path.to_str().unwrap()]);
    ran.expect(2, &["'volume=A@before update:'", "'volume=B@before update:'"]);
}

#[test]
fn an_older_checkpoint_is_warned_of() {
    use std::os::unix::fs::FileExt;
    let (_dir, copy) = writable();
    let band = std::fs::File::options().write(true).open(copy.join("bands/0")).unwrap();
    // The newest superblock in the ring of checkpoints.
    band.write_all_at(&[0; 4096], 0x9000).unwrap();
    let copy = copy.to_str().unwrap();
    for ran in [tmbundle(&["ls", copy]), tmbundle(&["snapshots", copy])] {
        assert!(ran.err.contains("warning: "), "{ran:?}");
    }
    tmbundle(&["verify", copy]).expect(1, &["APFS-CHECKPOINT"]);
}

/// The writer tells which block holds a snapshot's superblock; only that is destroyed.
#[test]
fn snapshots_that_cannot_be_opened_are_neither_complete_nor_counted() {
    use std::os::unix::fs::FileExt;
    let (demo, _) = tools::apfs::demo::container(tools::apfs::timemachine::Carry::Rename);
    let mut image = demo.image.to_vec();
    let copies: Vec<_> =
        demo.layout.find(|what| matches!(what, tools::apfs::What::VolumeCopy(_))).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, &image).unwrap();
    let at = path.to_str().unwrap();
    let json = |ran: &common::Ran| serde_json::from_str::<serde_json::Value>(&ran.out).unwrap();
    let before = json(tmbundle(&["snapshots", "--json", at]).expect(0, &[]));
    let all = before["snapshots"].as_array().unwrap().len();
    assert!(all > 2 && before["snapshots"][0].get("unreadable").is_none());

    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for copy in copies.iter().take(2) {
        file.write_all_at(&[0; 4096], demo.layout.byte(copy.address)).unwrap();
    }
    image.clear();
    let ran = tmbundle(&["snapshots", at]);
    ran.expect(1, &["UNREADABLE", "cannot be read: superblock of snapshot "]);
    assert_eq!(ran.out.matches("UNREADABLE").count(), 2, "{ran:#?}");
    let after = json(tmbundle(&["snapshots", "--json", at]).expect(1, &[]));
    let rows = after["snapshots"].as_array().unwrap();
    let shut = rows.iter().filter(|row| row.get("unreadable").is_some());
    assert_eq!((rows.len(), shut.count()), (all, 2));
    assert_eq!(after["problems"].as_array().unwrap().len(), 2);
    let verified = json(tmbundle(&["verify", "--json", at]).expect(1, &[]));
    let layers = verified["sources"][0]["layers"].as_array().unwrap();
    let layer = layers.iter().find(|l| l["name"] == "snapshots").unwrap();
    assert_eq!(layer["state"], "damage");
    assert!(
        layer["text"].as_str().unwrap().starts_with(&format!("2 of {all} cannot be opened")),
        "{layer}"
    );
}
