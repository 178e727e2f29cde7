//! "ok" is said only where something was checked and is well: unchecked, stale, skipped
//! and damaged bundles are told apart in text, JSON, metrics and exit code.

use crate::common;
use crate::common::{Ran, copy_demo, tmbundle_with};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tools::bundle::{BundleOptions, Encryption};

/// A folder with a state directory of its own.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn demo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        copy_demo(&path);
        path
    }

    fn encrypted(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let options = BundleOptions {
            band_size: 1 << 20,
            encryption: Some(Encryption::with_password("geheim")),
            ..BundleOptions::default()
        };
        let image = tools::samples::sample("basic").unwrap().build().image;
        tools::bundle::write(&image, &path, &options).unwrap();
        path
    }

    fn run(&self, variables: &[(&str, &str)], args: &[&str], source: &Path) -> Ran {
        let state = self.path("state");
        let variables = [&[("XDG_STATE_HOME", state.to_str().unwrap())], variables].concat();
        let mut args = [&["verify"], args].concat();
        args.push(source.to_str().unwrap());
        tmbundle_with(&variables, &args)
    }

    fn verify(&self, args: &[&str], source: &Path) -> Ran {
        self.run(&[], args, source)
    }

    fn json(&self, args: &[&str], source: &Path) -> Value {
        let ran = self.verify(&[&["--json"], args].concat(), source);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        json["sources"][0].clone()
    }

    /// The samples of one metric.
    fn metric(&self, args: &[&str], source: &Path, name: &str) -> Vec<String> {
        let file = self.path("tm.prom");
        self.verify(&[&["--metrics", file.to_str().unwrap()], args].concat(), source);
        let text = fs::read_to_string(&file).unwrap();
        let samples = text.lines().filter(|l| l.starts_with(&format!("{name}{{")));
        samples.map(|l| l.rsplit_once(' ').unwrap().1.to_owned()).collect()
    }
}

/// Hold a lock on a bundle's token, as a Mac does through a file server.
fn in_use(bundle: &Path) -> fs::File {
    let token = fs::File::options().read(true).write(true).open(bundle.join("token")).unwrap();
    rustix::fs::fcntl_lock(&token, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    token
}

#[test]
fn an_encrypted_bundle_without_its_password_is_unchecked_and_not_ok() {
    let f = Fixture::new();
    let bundle = f.encrypted("E.sparsebundle");
    let words = ["unchecked", "contents not checked", "Unchecked."];
    let ran = f.verify(&["-v"], &bundle);
    ran.expect(0, &words);
    assert!(!ran.out.contains("encryption  ok"), "{ran:?}");
    f.verify(&["--fail-on", "unchecked"], &bundle).expect(1, &words[1..]);
    // Cron hears of it, unless it was told not to.
    f.verify(&[], &bundle).expect(0, &["contents not checked"]);
    for silent in ["--allow-unchecked", "--quick"] {
        let ran = f.verify(&[silent], &bundle);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""), "{silent}");
    }
    let json = f.json(&[], &bundle);
    assert_eq!((&json["verdict"], &json["unchecked"]), (&"unchecked".into(), &true.into()));
    assert_eq!(f.metric(&[], &bundle, "tmbundle_verdict"), ["4"]);
    assert_eq!(f.metric(&[], &bundle, "tmbundle_unchecked"), ["1"]);
    // In a share the table and the sum say so.
    f.demo("Good.sparsebundle");
    let ran = f.verify(&[], f.dir.path());
    ran.expect(0, &["2 sources: 1 unchecked, 1 ok", "E.sparsebundle     unchecked "]);
    // With the password all is well.
    let ran = f.run(&[("TMBUNDLE_PASSWORD", "geheim")], &["-v"], &bundle);
    ran.expect(0, &["encryption  ok", "No damage."]);
    // A format that cannot be read.
    let dmg = f.path("apfs.img");
    let mut image = vec![0; 4 << 20];
    image[32..36].copy_from_slice(b"CSXX");
    image[88..90].copy_from_slice(b"CS");
    fs::write(&dmg, image).unwrap();
    let json = f.json(&[], &dmg);
    assert_ne!(json["verdict"], "ok", "{json}");
}

#[test]
fn a_wrong_password_costs_only_what_needs_one_and_is_never_exit_code_0() {
    let f = Fixture::new();
    let bundle = f.encrypted("E.sparsebundle");
    // Something that can be found without any password.
    fs::write(bundle.join("bands/9 2"), "x").unwrap();
    let wrong = [("TMBUNDLE_PASSWORD", "falsch")];
    let words = [
        "PASSWORD-WRONG",
        "bands present",
        "BAND-NAME",
        "contents not checked: the password does not open",
    ];
    let ran = f.run(&wrong, &["-v", "--all"], &bundle);
    ran.expect(3, &words);
    f.run(&wrong, &["--allow-unchecked"], &bundle).expect(3, &["PASSWORD-WRONG"]);
    // A command or file that gives none.
    let failing = [("TMBUNDLE_PASSWORD_COMMAND", "exit 5")];
    f.run(&failing, &["-v"], &bundle).expect(3, &["PASSWORD-WRONG", "the password command failed"]);
    let missing = ["--password-file", "/nonexistent/pw", "-v"];
    f.verify(&missing, &bundle).expect(3, &["PASSWORD-WRONG", "cannot read the password file"]);
    // Where none is needed none is asked for.
    let plain = f.demo("Plain.sparsebundle");
    f.verify(&missing, &plain).expect(0, &["No damage."]);
}

#[test]
fn stale_is_not_damaged() {
    let f = Fixture::new();
    let bundle = f.demo("Old.sparsebundle");
    let ran = f.verify(&["--max-age", "3d"], &bundle);
    ran.expect(1, &["STALE", "TM-STALE"]);
    assert!(!ran.out.contains("DAMAGE"), "{ran:?}");
    let json = f.json(&["--max-age", "3d"], &bundle);
    assert_eq!((&json["verdict"], &json["stale"]), (&"stale".into(), &true.into()));
    assert_eq!(json["counts"]["damage"], 0);
    assert_eq!(f.metric(&["--max-age", "3d"], &bundle, "tmbundle_verdict"), ["3"]);
    assert_eq!(f.metric(&["--max-age", "3d"], &bundle, "tmbundle_stale"), ["1"]);
    assert_eq!(f.metric(&[], &bundle, "tmbundle_stale"), ["0"]);
    // Both at once: damage is worse, and both are told.
    common::zero_volume_header(&bundle);
    let json = f.json(&["--max-age", "3d"], &bundle);
    assert_eq!((&json["verdict"], &json["stale"]), (&"damage".into(), &true.into()));
}

/// The rules of docs/monitoring.md, so that the sample alert on damage cannot fire for a
/// Mac that is merely stale.
#[test]
fn the_sample_alerts_tell_them_apart() {
    let page = fs::read_to_string("docs/monitoring.md").unwrap();
    assert!(page.contains("expr: tmbundle_verdict == 2 or tmbundle_up == 0"), "damage");
    for metric in ["tmbundle_unchecked", "tmbundle_stale"] {
        assert!(page.contains(&format!("{metric} == 1")), "{metric}");
    }
}

#[test]
fn a_skipped_bundle_keeps_its_last_verdict_and_what_needs_no_volume_is_checked() {
    let f = Fixture::new();
    let bundle = f.demo("Busy.sparsebundle");
    let skip = ["--if-busy", "skip"];
    // Never verified: nobody knows how it is.
    let held = in_use(&bundle);
    let json = f.json(&skip, &bundle);
    assert_eq!((&json["verdict"], &json["last"]), (&"unchecked".into(), &Value::Null));
    drop(held);
    common::zero_volume_header(&bundle);
    f.verify(&[], &bundle).expect(1, &["HFS-HEADER"]);
    let held = in_use(&bundle);
    let ran = f.verify(&skip, &bundle);
    ran.expect(1, &["BUNDLE-SKIPPED", "volume was not checked"]);
    let json = f.json(&skip, &bundle);
    assert_eq!((&json["verdict"], &json["last"]["verdict"]), (&"damage".into(), &"damage".into()));
    let age = jiff::Timestamp::now().as_second() - json["last"]["verified"].as_i64().unwrap();
    assert!((0..60).contains(&age), "{json}");
    // The metrics do not clear an alert, and tell how old the verdict is.
    assert_eq!(f.metric(&skip, &bundle, "tmbundle_verdict"), ["2"]);
    assert_eq!(f.metric(&skip, &bundle, "tmbundle_skipped"), ["1"]);
    let verified = f.metric(&skip, &bundle, "tmbundle_last_verification_timestamp_seconds");
    assert_eq!(verified, [json["last"]["verified"].to_string()]);
    let last = f.metric(&skip, &bundle, "tmbundle_last_backup_timestamp_seconds");
    assert_eq!(last.len(), 1, "{last:?}");
    // Lists, bands and age.
    let args = ["--if-busy", "skip", "--max-age", "3d"];
    f.verify(&args, &bundle).expect(1, &["TM-STALE", "BUNDLE-SKIPPED"]);
    fs::create_dir(bundle.join("bands/1f")).unwrap();
    f.verify(&skip, &bundle).expect(1, &["BAND-NOT-FILE"]);
    drop(held);
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
    let _ = fs::write(full.join("filler"), vec![1; 16 << 10]);
    let args = ["--manifest", "--state-dir", full.to_str().unwrap()];
    let ran = f.verify(&args, &bundle);
    Command::new("umount").arg(&full).status().unwrap();
    ran.expect(1, &["HFS-HEADER", "MANIFEST-UNWRITTEN", "No space left"]);
}

#[test]
fn layers_and_findings_of_a_busy_bundle_carry_one_grade() {
    let f = Fixture::new();
    let bundle = f.demo("Busy.sparsebundle");
    common::zero_volume_header(&bundle);
    let held = in_use(&bundle);
    let json = f.json(&[], &bundle);
    assert_eq!((&json["busy"], &json["verdict"]), (&true.into(), &"warning".into()), "{json:#}");
    for layer in json["layers"].as_array().unwrap() {
        assert_ne!(layer["state"], "damage", "{layer}");
    }
    drop(held);
}
