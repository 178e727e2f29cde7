//! What was found is told and remembered, whatever else fails, and whoever looks next.

use super::lost_bytes::{Sample, bands_with};
use super::verdicts::{Fixture, as_nobody_by, in_use};
use crate::common;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use tools::bundle::BundleOptions;

#[test]
fn damage_found_while_no_mac_was_at_work_stays_damage() {
    let f = Fixture::new();
    let bundle = f.demo("D.sparsebundle");
    let (band, away) = (bundle.join("bands/9"), f.path("9"));
    let last = || f.json(&["--quick"], &bundle)["last"]["verdict"].clone();
    fs::rename(&band, &away).unwrap();
    f.verify(&[], &bundle).expect(1, &["DAMAGE", "BAND-LOST"]);
    let held = in_use(&bundle);
    f.verify(&[], &bundle).expect(1, &["DAMAGE", "BAND-LOST", "the like was found before"]);
    assert_eq!(last(), "damage");
    // Of another kind it may be a half-written state.
    fs::rename(&away, &band).unwrap();
    common::zero_volume_header(&bundle);
    f.verify(&[], &bundle).expect(0, &["warning", "HFS-HEADER", "half-written"]);
    assert_eq!(last(), "warning");
    drop(held);
}

#[test]
fn a_run_that_saw_less_does_not_clear_damage() {
    let f = Fixture::new();
    let bundle = f.encrypted("E.sparsebundle");
    let right = [("TMBUNDLE_PASSWORD", "geheim")];
    let last = || f.json(&["--quick"], &bundle)["last"]["verdict"].clone();
    let band = fs::File::options().write(true).open(bundle.join("bands/0")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&band, &[7; 4096], 0).unwrap();
    f.run(&right, &[], &bundle).expect(1, &["HFS-HEADER"]);
    for more in [&[][..], &["--allow-unchecked"]] {
        let ran = f.verify(more, &bundle);
        ran.expect(1, &["DAMAGE when last verified", "looked at less"]);
        assert_eq!(f.json(more, &bundle)["verdict"], "damage");
    }
    assert_eq!(last(), "damage");
    f.run(&[("TMBUNDLE_PASSWORD", "falsch")], &[], &bundle).expect(3, &["PASSWORD-WRONG"]);
    assert_eq!(last(), "damage");
}

#[test]
fn damage_of_contents_is_told_until_they_are_read_again() {
    let (f, s) = (Fixture::new(), Sample::new(&BundleOptions::default()));
    let band = s.band(&bands_with(&s.path, b"<<summed>>")[2]);
    let whole = fs::read(&band).unwrap();
    let mut bytes = whole.clone();
    bytes[300_000..300_100].fill(0x5A);
    fs::write(&band, bytes).unwrap();
    f.verify(&["--read-data"], &s.path).expect(1, &["FILE-CHECKSUM"]);
    // Night after night; as the quick look says it, and the metrics.
    for args in [&[][..], &[], &["-q"], &["--quick"], &["--read-data=1/1000"]] {
        f.verify(args, &s.path).expect(1, &["DAMAGE when last verified", "cannot tell"]);
    }
    let source = f.json(&[], &s.path);
    assert_eq!(source["verdict"], "damage", "{source:#}");
    assert_eq!(source["last"]["verdict"], "damage", "{source:#}");
    assert_eq!(source["counts"]["damage"], 0, "{source:#}");
    assert_eq!(f.metric(&[], &s.path, "tmbundle_verdict"), ["2"]);
    // Damage of another kind that comes and goes does not clear it.
    let small = s.band(&s.place_of("small0").0);
    let away = small.with_extension("away");
    fs::rename(&small, &away).unwrap();
    f.verify(&[], &s.path).expect(1, &["BAND-"]);
    fs::rename(&away, &small).unwrap();
    f.verify(&[], &s.path).expect(1, &["DAMAGE when last verified"]);
    fs::write(&band, whole).unwrap();
    // What is left are zeros that nobody wrote, of which nobody can tell.
    f.verify(&["--read-data"], &s.path).expect(0, &["2 checksums agree", "3 warnings"]);
    let after = f.verify(&[], &s.path);
    after.expect(0, &["3 warnings"]);
    assert!(!after.out.contains("when last verified"), "{after:#?}");
}

#[test]
fn no_output_that_fails_hides_the_damage() {
    let f = Fixture::new();
    let bundle = f.demo("Bad.sparsebundle");
    common::zero_volume_header(&bundle);
    let foreign = f.path("notes");
    fs::write(&foreign, "no manifest").unwrap();
    let manifest = format!("--manifest={}", foreign.display());
    let metrics = format!("--metrics={}", f.path("nowhere/tm.prom").display());
    let folder = format!("--metrics={}", f.dir.path().display());
    for (code, option, word) in [
        (1, &manifest, "is not a manifest"),
        (3, &metrics, "error: --metrics"),
        (3, &folder, "error: --metrics"),
    ] {
        f.verify(&[option], &bundle).expect(code, &["HFS-HEADER", word]);
        let ran = f.verify(&["--json", option], &bundle);
        ran.expect(code, &[word]);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        let found = json["sources"][0]["findings"].as_array().unwrap();
        assert!(found.iter().any(|f| f["code"] == "HFS-HEADER"), "{json:#}");
    }
    assert_eq!(fs::read(&foreign).unwrap(), b"no manifest");
    // Where all is well it is no success either.
    let good = f.demo("Good.sparsebundle");
    for (code, option) in [(1, &manifest), (3, &metrics)] {
        f.verify(&[option], &good).expect(code, &[]);
    }
}

#[test]
fn what_this_user_may_not_read_costs_only_what_needs_it() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return common::skipped("what this user may not read: not running as root");
    }
    let f = Fixture::new();
    let bundle = f.demo("D.sparsebundle");
    let program = f.path("tmbundle");
    fs::copy(env!("CARGO_BIN_EXE_tmbundle"), &program).unwrap();
    fs::set_permissions(f.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let lists = ["Info.plist", "Info.bckup"];
    let history = "com.apple.TimeMachine.SnapshotHistory.plist";
    let run = |command: &str, more: &[&str], denied: &[&str]| {
        let mode = |name: &&str, mode| {
            fs::set_permissions(bundle.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        denied.iter().for_each(|name| mode(name, 0));
        let ran = as_nobody_by(&program, &[&[command], more].concat(), &bundle);
        denied.iter().for_each(|name| mode(name, 0o644));
        ran
    };
    for denied in [&lists[..1], &lists[1..], &lists, &[history], &["token"]] {
        let ran = run("verify", &["--all"], denied);
        ran.expect(0, &["BUNDLE-DENIED", denied[0], "or with sudo"]);
        for word in ["Copy Info.bckup", "writes it again", "rewrites both", "INFO-LOST", "DAMAGE"] {
            assert!(!ran.out.contains(word), "{denied:?}: '{word}' in {ran:#?}");
        }
    }
    // What lies in the bands was read all the same, but for what needs the token.
    run("verify", &["-v"], &lists).expect(0, &["HFSX: 295 files"]);
    run("verify", &["-v"], &["token"]).expect(0, &["bands present", "contents not checked"]);
    // A band: whatever lies in it is unread, and nothing is damaged.
    for more in [&["--all"][..], &["--all", "--read-data"], &["--quick", "--all"]] {
        let ran = run("verify", more, &["bands/9"]);
        ran.expect(0, &["BAND-DENIED", "Permission denied", "or with sudo"]);
        assert!(!ran.out.contains("DAMAGE") && !ran.out.contains("lost"), "{ran:#?}");
    }
    run("info", &[], &["token"]).expect(0, &["encrypted     unknown", "contents"]);
    run("ls", &[], &["token"]).expect(3, &["token", "Permission denied", "hint"]);
}

#[test]
fn a_state_directory_that_fails_costs_no_finding_of_the_bundle() {
    let f = Fixture::new();
    let bundle = f.demo("Bad.sparsebundle");
    f.verify(&["--manifest"], &bundle).expect(0, &[]);
    common::zero_volume_header(&bundle);
    // A file in the place of the folder: nothing can be made or read there.
    fs::remove_dir_all(f.path("state")).unwrap();
    fs::write(f.path("state"), "").unwrap();
    for args in [&["--manifest"][..], &["--manifest", "--read-data"]] {
        f.verify(args, &bundle).expect(1, &["HFS-HEADER", "MANIFEST-UNWRITTEN"]);
    }
    let dir = f.path("state/x");
    let args = ["--state-dir", dir.to_str().unwrap()];
    f.verify(&args, &bundle).expect(1, &["HFS-HEADER", "MANIFEST-UNWRITTEN"]);
    // A full disk.
    let full = f.path("full");
    fs::create_dir(&full).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k,nr_inodes=64", "tmpfs"])
        .arg(&full)
        .status();
    if !mounted.is_ok_and(|s| s.success()) {
        common::skipped("a full state disk: no tmpfs can be mounted here");
        return;
    }
    // One that can only be read, which is told as that.
    let read_only = |options| {
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", options]).arg(&full).status().unwrap().success());
    };
    let args = ["--manifest", "--state-dir", full.to_str().unwrap()];
    read_only("remount,ro");
    let ran = f.verify(&args, &bundle);
    read_only("remount,rw");
    ran.expect(1, &["HFS-HEADER", "MANIFEST-UNWRITTEN", "Read-only file system"]);
    let _ = fs::write(full.join("filler"), vec![1; 16 << 10]);
    let args = ["--manifest", "--state-dir", full.to_str().unwrap()];
    let ran = f.verify(&args, &bundle);
    Command::new("umount").arg(&full).status().unwrap();
    ran.expect(1, &["HFS-HEADER", "MANIFEST-UNWRITTEN", "No space left"]);
}

#[test]
fn what_could_not_be_printed_is_told_by_the_next_run() {
    let f = Fixture::new();
    let bundle = f.demo("D.sparsebundle");
    let band = bundle.join("bands/9");
    // Long enough ago for the clock of the file system to tell another write.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    let dated = |path: &Path| fs::File::open(path).unwrap().set_modified(old).unwrap();
    fs::read_dir(bundle.join("bands")).unwrap().for_each(|e| dated(&e.unwrap().path()));
    f.verify(&["--manifest"], &bundle).expect(0, &[]);
    let mut bytes = fs::read(&band).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&band, bytes).unwrap();
    dated(&band);
    // Neither in JSON nor where all is printed at the end; a device that takes nothing.
    for args in [&["--json"][..], &["-v"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tmbundle"));
        command.args(["verify", "--manifest", "--manifest-read=all"]).args(args).arg(&bundle);
        if args == ["-v"] {
            command.arg(f.path("nothing.sparsebundle"));
        }
        command.env("XDG_STATE_HOME", f.path("state")).stdout(full);
        let out = command.output().unwrap();
        assert!(!out.status.success(), "{out:?}");
    }
    // Told until it could be, whatever is read meanwhile.
    let again = f.verify(&["--manifest", "-v", "--all"], &bundle);
    assert!(again.out.contains("BAND-REWRITTEN"), "{again:#?}");
    let last = f.verify(&["--manifest", "-v", "--all"], &bundle);
    assert!(!last.out.contains("BAND-REWRITTEN"), "{last:#?}");
}
