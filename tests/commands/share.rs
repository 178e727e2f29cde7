//! A whole share in one call.

use crate::common;

use crate::common::{copy_demo, tmbundle};
use std::fs;
use std::path::Path;

/// A share with two sound bundles, one for each way to lay it out.
fn share(at: &Path) {
    copy_demo(&at.join("Zoe.sparsebundle"));
    fs::create_dir(at.join("anna")).unwrap();
    copy_demo(&at.join("anna/Mac.backupbundle"));
}

#[test]
fn each_bundle_has_a_line_and_the_worst_counts() {
    let dir = tempfile::tempdir().unwrap();
    share(dir.path());
    let path = dir.path().to_str().unwrap();
    let ran = tmbundle(&["verify", path]);
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.code), ("", "", Some(0)));
    let ran = tmbundle(&["verify", "-v", path]);
    ran.expect(0, &["Zoe.sparsebundle   ", "anna/Mac.backupbundle   "]);

    // One damaged, one that cannot be opened: each is told, the others go on.
    let bad = dir.path().join("Bad.sparsebundle");
    copy_demo(&bad);
    common::zero_volume_header(&bad);
    let ran = tmbundle(&["verify", path]);
    ran.expect(1, &["Bad.sparsebundle", "HFS-HEADER", "damage"]);
    assert!(!ran.out.contains("Zoe"), "{ran:#?}");
    // A mail begins with what all came to, and ends with what to do, each remedy once.
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "3 sources: 1 damaged, 2 ok", "{ran:#?}");
    let words: Vec<&str> = lines[1].split_whitespace().take(2).collect();
    assert_eq!(words, ["Bad.sparsebundle", "DAMAGE"], "{ran:#?}");
    copy_demo(&dir.path().join("Bed.sparsebundle"));
    common::zero_volume_header(&dir.path().join("Bed.sparsebundle"));
    let ran = tmbundle(&["verify", path]);
    assert_eq!(ran.out.matches("let a Mac repair the volume").count(), 1, "{ran:#?}");
    fs::remove_dir_all(dir.path().join("Bed.sparsebundle")).unwrap();
    fs::create_dir(dir.path().join("Empty.sparsebundle")).unwrap();
    let ran = tmbundle(&["verify", path]);
    ran.expect(3, &["Bad.sparsebundle", "Empty.sparsebundle is not a sparse bundle"]);
    assert_eq!(ran.err.lines().count(), 1, "{ran:#?}");

    let json: serde_json::Value =
        serde_json::from_str(&tmbundle(&["verify", "--json", path]).out).unwrap();
    let sources: Vec<&str> =
        json["sources"].as_array().unwrap().iter().map(|s| s["source"].as_str().unwrap()).collect();
    let expected = ["Bad.sparsebundle", "Zoe.sparsebundle", "anna/Mac.backupbundle"];
    assert_eq!(sources, expected.map(|n| format!("{path}/{n}")));
    assert_eq!(json["errors"].as_array().unwrap().len(), 1);
}

#[test]
fn a_bundle_that_is_named_twice_is_checked_once() {
    let dir = tempfile::tempdir().unwrap();
    share(dir.path());
    let path = dir.path().to_str().unwrap();
    let one = dir.path().join("Zoe.sparsebundle");
    let ran = tmbundle(&["verify", "--json", path, one.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["sources"].as_array().unwrap().len(), 2);
}

#[test]
fn a_share_without_bundles_is_an_error_that_says_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    tmbundle(&["verify", path])
        .expect(3, &["no *.sparsebundle or *.backupbundle lies in it or in the folders below"]);
    fs::create_dir(dir.path().join("Mac 2024-01-01-101010.incomplete")).unwrap();
    tmbundle(&["verify", path]).expect(3, &["is only being made by a Mac"]);
    // A link is not followed out of the share, and that is said.
    let elsewhere = tempfile::tempdir().unwrap();
    share(elsewhere.path());
    let target = elsewhere.path().join("Zoe.sparsebundle");
    std::os::unix::fs::symlink(&target, dir.path().join("Zoe.sparsebundle")).unwrap();
    tmbundle(&["verify", path]).expect(3, &["a symbolic link, which is not followed"]);
    copy_demo(&dir.path().join("Own.sparsebundle"));
    tmbundle(&["verify", path]).expect(0, &["was passed over", "symbolic link"]);
    let ran = tmbundle(&["verify", "-q", path]);
    assert_eq!((ran.err.as_str(), ran.code), ("", Some(0)));
    // The commands that want one bundle do not take a share.
    tmbundle(&["info", path]).expect(3, &["is not a sparse bundle"]);
}

#[test]
fn what_a_mac_never_finished_is_graded_by_its_age() {
    let dir = tempfile::tempdir().unwrap();
    copy_demo(&dir.path().join("Own.sparsebundle"));
    let names = ["Old 2019-01-01-101010.incomplete", "Half.tmp.sparsebundle"];
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(90 * 86_400);
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        let ran = tmbundle(&["verify", "-v", dir.path().to_str().unwrap()]);
        ran.expect(0, &[name, "being made"]);
        fs::File::open(&path).unwrap().set_modified(old).unwrap();
        let ran = tmbundle(&["verify", "-v", dir.path().to_str().unwrap()]);
        ran.expect(0, &[name, "2 months"]);
        fs::remove_dir(&path).unwrap();
    }
    // Where it is the only one in the share, too.
    fs::remove_dir_all(dir.path().join("Own.sparsebundle")).unwrap();
    let path = dir.path().join(names[1]);
    fs::create_dir(&path).unwrap();
    let years = std::time::Duration::from_secs(2_568 * 86_400);
    fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::now() - years).unwrap();
    let ran = tmbundle(&["verify", dir.path().to_str().unwrap()]);
    ran.expect(3, &[names[1], "7 years ago, never finished"]);
}

#[test]
fn a_backup_under_an_unfinished_bundles_name_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let (name, share) = ("Anna.tmp.sparsebundle", dir.path().to_str().unwrap());
    let bundle = dir.path().join(name);
    copy_demo(&bundle);
    tmbundle(&["verify", "-v", share]).expect(0, &[name, "it was verified"]);
    // Without Time Machine's own lists, too, but for one that is so new that a Mac may be at it.
    for entry in fs::read_dir(&bundle).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("com.apple") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    tmbundle(&["verify", "-v", share]).expect(3, &[name, "only being made"]);
    let age = std::time::Duration::from_secs(2_568 * 86_400);
    let dated = || {
        let folder = fs::File::open(&bundle).unwrap();
        folder.set_modified(std::time::SystemTime::now() - age).unwrap();
    };
    dated();
    tmbundle(&["verify", share]).expect(0, &[name, "7 years ago"]);
    common::zero_volume_header(&bundle);
    dated();
    let ran = tmbundle(&["verify", "--json", share]);
    ran.expect(1, &["HFS-HEADER"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["sources"].as_array().unwrap().len(), 1, "{json:#}");
}

#[test]
fn what_was_not_looked_into_is_in_json_and_metrics_too() {
    let dir = tempfile::tempdir().unwrap();
    copy_demo(&dir.path().join("Mac.sparsebundle"));
    let deep = dir.path().join("1/2/3/4/5/6/Deep.sparsebundle");
    fs::create_dir_all(deep.parent().unwrap()).unwrap();
    copy_demo(&deep);
    fs::create_dir(dir.path().join("New.incomplete")).unwrap();
    let path = dir.path().to_str().unwrap();
    let ran = tmbundle(&["verify", "--json", "--quiet", path]);
    let json: serde_json::Value = serde_json::from_str(&ran.expect(0, &[]).out).unwrap();
    let notes = json["notes"].as_array().unwrap();
    let noted = |why: &str| {
        let of = notes.iter().filter(|n| n["why"] == why);
        of.map(|n| n["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let [deep] = noted("too-deep").try_into().unwrap();
    assert!(deep.starts_with(&format!("{path}/1/2")), "{deep}");
    assert_eq!(noted("unfinished"), [format!("{path}/New.incomplete")]);
    let ran = tmbundle(&["verify", "--quiet", "--metrics", "-", path]);
    let line = format!("tmbundle_run_not_verified{{path=\"{deep}\",why=\"too-deep\"}} 1");
    ran.expect(0, &[&line, "why=\"unfinished\""]);
    // Who wants to hear of all that was not checked hears of it.
    tmbundle(&["verify", "--fail-on", "unchecked", path]).expect(1, &["lies too deep"]);
}

#[test]
fn a_share_whose_only_bundles_lie_too_deep_is_not_said_to_have_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let deep = dir.path().join("1/2/3/4/5/6");
    fs::create_dir_all(&deep).unwrap();
    copy_demo(&deep.join("Deep.sparsebundle"));
    let told = format!("{} lies too deep and was not looked into", deep.display());
    for command in ["verify", "watch"] {
        tmbundle(&[command, path])
            .expect(3, &["in the folders below that were looked into", &told]);
    }
    let ran = tmbundle(&["verify", "--json", path]);
    ran.expect(3, &["lies too deep"]);
    // One level less is a share like any other.
    let users = deep.with_file_name("Bob.sparsebundle");
    fs::rename(deep.join("Deep.sparsebundle"), users).unwrap();
    fs::remove_dir(&deep).unwrap();
    let ran = tmbundle(&["verify", "-v", path]);
    ran.expect(0, &["1/2/3/4/5/Bob.sparsebundle"]);
    assert!(!ran.err.contains("too deep"), "{ran:#?}");
}

#[test]
fn unchecked_is_said_beside_warnings() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let path = dir.path().join(format!("{name}.sparsebundle"));
        let image = tools::Image::from_bytes(&vec![7; 3 << 20]);
        let encryption = Some(tools::bundle::Encryption::with_password("pw"));
        let options = tools::bundle::BundleOptions { encryption, ..Default::default() };
        tools::bundle::write(&image, &path, &options).unwrap();
        fs::copy(path.join("bands/0"), path.join("bands/0 2")).unwrap();
    }
    let path = dir.path().to_str().unwrap();
    let ran = tmbundle(&["verify", path]);
    let sum = ran.out.lines().next().unwrap().to_owned();
    assert_eq!(sum, "2 sources: 2 unchecked (2 with warnings)", "{ran:#?}");
    assert_eq!(ran.out.matches("unchecked 1 warning · ").count(), 2, "{ran:#?}");
    let ran = tmbundle(&["verify", "--json", path]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let all = json["sources"].as_array().unwrap();
    assert!(
        all.iter().all(|s| s["verdict"] == "unchecked" && s["counts"]["warning"] == 1),
        "{json:#}"
    );
    let ran = tmbundle(&["verify", "--allow-unchecked", path]);
    assert!(ran.out.starts_with("2 sources: 2 with warnings\n"), "{ran:#?}");
}
