//! The program as a user meets it, on the bundle that comes with the repository.

use crate::common;

use crate::common::tmbundle;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn demo() -> String {
    common::demo().to_str().unwrap().to_owned()
}

#[test]
fn a_healthy_bundle_is_silent_off_a_terminal() {
    let ran = tmbundle(&["verify", &demo()]);
    ran.expect(0, &[]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    tmbundle(&["verify", "-v", &demo()]).expect(0, &["volume", "ok", "No damage."]);
    // What was not wanted is no reason to speak.
    assert_eq!(tmbundle(&["verify", "--quick", &demo()]).out, "");
    let words = ["not checked: --quick was asked for"];
    tmbundle(&["verify", "--quick", "-v", &demo()]).expect(0, &words);
}

#[test]
fn info_and_snapshots() {
    tmbundle(&["info", &demo()]).expect(
        0,
        &[
            "GPT",
            "Apple_HFS",
            "HFSX",
            "case-sensitive",
            "MacBookPro14,1",
            "the Mac found it good",
            "4 completed backups",
        ],
    );
    let ran = tmbundle(&["snapshots", &demo()]);
    ran.expect(0, &["2019-11-02-102040", "complete", "Macintosh HD", "in progress"]);
    assert_eq!(ran.out.lines().count(), 6);
}

#[test]
fn addresses() {
    let ls = |address: &str| tmbundle(&["ls", &demo(), address]);
    ls("latest").expect(0, &["Macintosh HD/"]);
    ls("2019-11-02:/Macintosh HD").expect(0, &["Users/"]);
    ls("2019-11-14-101500.inProgress").expect(0, &[]);
    ls("volume:").expect(0, &["Backups.backupdb/"]);
    ls("volume=Time Machine Backups:/Backups.backupdb").expect(0, &["Anna’s MacBook/"]);
    ls("Anna’s MacBook/latest").expect(0, &["Macintosh HD/"]);
    ls("2019-11-0").expect(2, &["fits 3 snapshots"]);
    ls("2031").expect(2, &["there is no snapshot '2031'"]);
    ls("latest:/Macintosh HD/nope").expect(2, &["there is no /Macintosh HD/nope"]);
    ls("Bob/latest").expect(2, &["there is no computer 'Bob'"]);
    ls("volume=X:").expect(2, &["there is no volume 'X'"]);
    ls("latest:/../..").expect(2, &["'..' is not taken"]);
}

#[test]
fn every_json_document_parses_and_names_its_schema() {
    for (args, schema) in [
        (&["info"][..], "tmbundle/info/1"),
        (&["snapshots"], "tmbundle/snapshots/1"),
        (&["verify"], "tmbundle/verify/2"),
        (&["ls", "-R"], "tmbundle/ls/1"),
    ] {
        let mut args: Vec<&str> = args.to_vec();
        let demo = demo();
        args.extend(["--json", &demo]);
        if args[0] == "ls" {
            args.push("latest");
        }
        let ran = tmbundle(&args);
        ran.expect(0, &[]);
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(json["schema"], schema);
    }
}

/// The manifest's lines below a path, by the rest of the path.
fn manifest(below: &str) -> HashMap<String, serde_json::Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/Demo.manifest.jsonl");
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let rest = value["path"].as_str()?.strip_prefix(below)?.strip_prefix('/')?.to_string();
            Some((rest, value))
        })
        .collect()
}

#[test]
fn cat_gives_the_bytes_of_every_file() {
    let base = "Backups.backupdb/Anna’s MacBook/2019-11-13-102343";
    let mut seen = 0;
    for (path, want) in manifest(base) {
        let (Some(sha), true) = (want["sha256"].as_str(), seen < 40) else { continue };
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .env("XDG_STATE_HOME", common::state_home())
            .args(["cat", &demo(), &format!("latest:/{path}")])
            .output()
            .unwrap();
        assert!(out.status.success(), "{path}: {out:?}");
        assert_eq!(common::sha256(&out.stdout), sha, "{path}");
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} files");
    tmbundle(&["cat", &demo(), "latest:/Macintosh HD"]).expect(2, &["is not a file"]);
}

#[test]
fn extract_restores_contents_modes_times_and_links() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out");
    tmbundle(&["extract", &demo(), "latest", "--to", to.to_str().unwrap()])
        .expect(0, &["Restored"]);
    let wanted = manifest("Backups.backupdb/Anna’s MacBook/2019-11-13-102343");
    assert!(wanted.len() > 50);
    for (path, want) in &wanted {
        let file = to.join(path);
        let meta = fs::symlink_metadata(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
        // Linux gives every symbolic link the mode 0777.
        if want["target"].is_null() {
            assert_eq!(
                format!("{:06o}", meta.mode() & 0o177777),
                want["mode"].as_str().unwrap(),
                "{path}"
            );
        }
        assert_eq!(meta.mtime(), want["mtime"].as_i64().unwrap(), "{path}");
        if rustix::process::geteuid().is_root() {
            assert_eq!(u64::from(meta.uid()), want["uid"].as_u64().unwrap(), "{path}");
        }
        if let Some(target) = want["target"].as_str() {
            assert_eq!(fs::read_link(&file).unwrap().to_str().unwrap(), target, "{path}");
        } else if let Some(sha) = want["sha256"].as_str() {
            assert_eq!(common::sha256(&fs::read(&file).unwrap()), sha, "{path}");
        }
    }
    // A second run finds everything there, and a file that differs is not overwritten.
    let again = tmbundle(&["extract", &demo(), "latest", "--to", to.to_str().unwrap()]);
    again.expect(0, &["Restored 0 files", "were there already"]);
    fs::write(to.join(".Backup.log"), "mine").unwrap();
    let again = tmbundle(&["extract", &demo(), "latest", "--to", to.to_str().unwrap()]);
    again.expect(1, &["not restored: .Backup.log", "was not overwritten"]);
    assert_eq!(fs::read(to.join(".Backup.log")).unwrap(), b"mine");
    assert!(
        !fs::read_dir(&to).unwrap().any(|e| e
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .contains("partial"))
    );
}

#[test]
fn extract_of_one_folder_and_of_a_volume() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_str().unwrap();
    tmbundle(&["extract", &demo(), "latest:/Macintosh HD/Users", "--to", to]).expect(0, &[]);
    assert!(dir.path().join("Users").is_dir());
    let other = dir.path().join("volume");
    tmbundle(&["extract", &demo(), "volume:/", "--to", other.to_str().unwrap()]).expect(0, &[]);
    assert!(other.join("Backups.backupdb").is_dir());
}

#[test]
fn extract_does_not_leave_its_folder_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (to, outside) = (dir.path().join("to"), dir.path().join("outside"));
    fs::create_dir_all(&to).unwrap();
    fs::create_dir_all(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, to.join("Users")).unwrap();
    let ran =
        tmbundle(&["extract", &demo(), "latest:/Macintosh HD/Users", "--to", to.to_str().unwrap()]);
    ran.expect(1, &["not restored"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn explain_completions_and_man() {
    tmbundle(&["explain", "band-not-file"]).expect(0, &["BAND-NOT-FILE (damage)", "→"]);
    tmbundle(&["explain", "560"]).expect(0, &["E_InvalidID", "HFS-CATALOG-ID"]);
    tmbundle(&["explain", "e_badvalence"]).expect(2, &["there is no code"]);
    tmbundle(&["explain", "E_DiskFull"]).expect(0, &["562", "No finding stands for it"]);
    tmbundle(&["explain", "nope"]).expect(2, &["there is no code 'nope'"]);
    tmbundle(&["completions", "bash"]).expect(0, &["_tmbundle"]);
    let dir = tempfile::tempdir().unwrap();
    tmbundle(&["man", dir.path().to_str().unwrap()]).expect(0, &[]);
    assert!(dir.path().join("tmbundle-verify.1").exists());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .env("XDG_STATE_HOME", common::state_home())
        .args(["ls", "-R", &demo(), "volume:"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn damage_exits_with_one_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Bad.sparsebundle");
    common::copy_demo(&bundle);
    common::zero_volume_header(&bundle);
    let path = bundle.to_str().unwrap();
    tmbundle(&["verify", path])
        .expect(1, &["HFS-HEADER", "the alternate was used", "byte 21,504, band 0"]);
    tmbundle(&["ls", path, "latest"]).expect(0, &["Macintosh HD/"]);
    // Without its last band the alternate is gone, too.
    fs::remove_file(bundle.join("bands/400")).unwrap();
    tmbundle(&["verify", path]).expect(1, &["DAMAGE"]);
    tmbundle(&["ls", path, "latest"]).expect(3, &["error"]);
}

#[test]
fn a_stale_or_blocked_backup_is_a_finding() {
    tmbundle(&["verify", "--max-age", "3d", &demo()])
        .expect(1, &["TM-STALE", "the last backup completed"]);
    tmbundle(&["verify", "--quick", "--max-age", "3d", &demo()]).expect(1, &["TM-STALE"]);
    tmbundle(&["verify", "--max-age", "90000d", &demo()]).expect(0, &[]);
    tmbundle(&["verify", "--max-age", "soon", &demo()]).expect(2, &["not a duration"]);
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Bad.sparsebundle");
    common::copy_demo(&bundle);
    let plist = bundle.join("com.apple.TimeMachine.MachineID.plist");
    let text = fs::read_to_string(&plist).unwrap();
    let text = text.replace("<integer>1</integer>", "<integer>2</integer>");
    let text = text.replace(
        "<key>VerificationState",
        "<key>RecoveryBackupDeclinedDate</key><date>2019-11-14T00:00:00Z</date><key>VerificationState",
    );
    fs::write(&plist, text).unwrap();
    tmbundle(&["verify", bundle.to_str().unwrap()])
        .expect(1, &["TM-VERIFICATION-FAILED", "TM-BLOCKED"]);
    let history = bundle.join("com.apple.TimeMachine.SnapshotHistory.plist");
    let text =
        fs::read_to_string(&history).unwrap().replace("2019-11-13-102343", "2019-11-20-000000");
    fs::write(&history, text).unwrap();
    tmbundle(&["verify", bundle.to_str().unwrap()]).expect(1, &["TM-HISTORY"]);
}

#[test]
fn a_lost_band_under_the_catalog_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Lost.sparsebundle");
    common::copy_demo(&bundle);
    let path = bundle.to_str().unwrap();
    let mut named = 0;
    for band in ["8", "9"] {
        let (here, away) = (bundle.join("bands").join(band), dir.path().join("away"));
        fs::rename(&here, &away).unwrap();
        let ran = tmbundle(&["verify", path]);
        assert!(ran.code == Some(0) || ran.code == Some(1), "{ran:#?}");
        named +=
            u32::from(ran.out.contains("BAND-LOST") && ran.out.contains(&format!("band {band})")));
        fs::rename(&away, &here).unwrap();
    }
    assert!(named >= 1, "no loss of a band was seen");
    tmbundle(&["verify", path]).expect(0, &[]);
}

/// A device number is decoded in one place: `ls`, the mount and `extract` (as root, who may make
/// devices) say the same of it.
#[test]
fn device_numbers_are_the_same_wherever_they_are_shown() {
    use std::os::unix::fs::FileTypeExt;
    let own = tempfile::tempdir().unwrap();
    let image = own.path().join("devices.img");
    let mut volume = tools::hfs::VolumeBuilder::new(tools::hfs::VolumeOptions::default());
    let root = volume.root();
    // As XNU's makedev and as Linux' MKDEV put them into 32 bits.
    for (name, stored) in [("mac", 14 << 24 | 2), ("linux", 8 << 20 | 1)] {
        volume.special(root, name, stored, tools::hfs::Meta::with_mode(0o020_600));
    }
    fs::write(&image, volume.build().image.to_vec()).unwrap();
    let image = image.to_str().unwrap();
    let ran = tmbundle(&["ls", "--json", image, "volume:"]);
    let listed: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    for (name, major, minor) in [("mac", 14, 2), ("linux", 8, 1)] {
        let entries = listed["entries"].as_array().unwrap();
        let entry = entries.iter().find(|e| e["path"] == name).unwrap();
        assert_eq!(entry["device"], serde_json::json!({"major": major, "minor": minor}), "{entry}");
    }
    tmbundle(&["ls", "-l", image, "volume:"]).expect(0, &["14,    2", "8,    1"]);
    #[cfg(feature = "mount")]
    if crate::mounting::possible("device_numbers_are_the_same_wherever_they_are_shown") {
        let mount = crate::mounting::Mount::new(Path::new(image), &[]);
        for (name, major, minor) in [("mac", 14, 2), ("linux", 8, 1)] {
            let shown = fs::symlink_metadata(mount.volume().join(name)).unwrap();
            assert_eq!(shown.rdev(), rustix::fs::makedev(major, minor), "{name} in the mount");
        }
    }
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED devices: only root can make them");
    }
    let to = own.path().join("out");
    let ran = tmbundle(&["extract", image, "volume:", "--devices", "--to", to.to_str().unwrap()]);
    ran.expect(0, &[]);
    for (name, major, minor) in [("mac", 14, 2), ("linux", 8, 1)] {
        let made = fs::symlink_metadata(to.join(name)).unwrap();
        assert!(made.file_type().is_char_device());
        assert_eq!(made.rdev(), rustix::fs::makedev(major, minor), "{name}");
    }
}
