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
pub struct Fixture {
    pub dir: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn demo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        copy_demo(&path);
        path
    }

    pub fn encrypted(&self, name: &str) -> PathBuf {
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

    pub fn run(&self, variables: &[(&str, &str)], args: &[&str], source: &Path) -> Ran {
        let state = self.path("state");
        let variables = [&[("XDG_STATE_HOME", state.to_str().unwrap())], variables].concat();
        let mut args = [&["verify"], args].concat();
        args.push(source.to_str().unwrap());
        tmbundle_with(&variables, &args)
    }

    pub fn verify(&self, args: &[&str], source: &Path) -> Ran {
        self.run(&[], args, source)
    }

    pub fn json(&self, args: &[&str], source: &Path) -> Value {
        let ran = self.verify(&[&["--json"], args].concat(), source);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        json["sources"][0].clone()
    }

    /// The samples of one metric.
    pub fn metric(&self, args: &[&str], source: &Path, name: &str) -> Vec<String> {
        let file = self.path("tm.prom");
        self.verify(&[&["--metrics", file.to_str().unwrap()], args].concat(), source);
        let text = fs::read_to_string(&file).unwrap();
        let samples = text.lines().filter(|l| l.starts_with(&format!("{name}{{")));
        samples.map(|l| l.rsplit_once(' ').unwrap().1.to_owned()).collect()
    }
}

/// Hold a lock on a bundle's token, as a Mac does through a file server.
pub fn in_use(bundle: &Path) -> fs::File {
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
    // Lists and age, too.
    let history = "com.apple.TimeMachine.SnapshotHistory.plist";
    fs::copy(common::demo().join(history), bundle.join(history)).unwrap();
    fs::write(bundle.join("com.apple.TimeMachine.MachineID.plist"), "<plist").unwrap();
    let ran = f.run(&wrong, &["--max-age", "3d"], &bundle);
    ran.expect(3, &["PASSWORD-WRONG", "TM-STALE", "MachineID.plist"]);
    f.run(&wrong, &["--allow-unchecked"], &bundle).expect(3, &["PASSWORD-WRONG"]);
    // A command or file that gives none.
    let failing = [("TMBUNDLE_PASSWORD_COMMAND", "exit 5")];
    f.run(&failing, &["-v"], &bundle)
        .expect(3, &["PASSWORD-UNREAD", "the password command failed"]);
    let missing = ["--password-file", "/nonexistent/pw", "-v"];
    f.verify(&missing, &bundle).expect(3, &["PASSWORD-UNREAD", "cannot read the password file"]);
    // Where none is needed none is asked for.
    let plain = f.demo("Plain.sparsebundle");
    f.verify(&missing, &plain).expect(0, &["No damage."]);
}

#[test]
fn a_wrong_password_is_told_by_a_quick_look_and_of_a_bundle_in_use() {
    let f = Fixture::new();
    let bundle = f.encrypted("E.sparsebundle");
    let folder = f.path("passwords");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("E.sparsebundle"), "falsch\n").unwrap();
    let of_folder = ["--quick", "--password-dir", folder.to_str().unwrap()];
    let told = ["PASSWORD-WRONG", "does not open E.sparsebundle"];
    f.verify(&of_folder, &bundle).expect(3, &told);
    let wrong = [("TMBUNDLE_PASSWORD", "falsch")];
    f.run(&wrong, &["--quick"], &bundle).expect(3, &told);
    let missing = ["--quick", "--password-file", "/nonexistent/pw"];
    f.verify(&missing, &bundle).expect(3, &["PASSWORD-UNREAD"]);
    let held = in_use(&bundle);
    f.run(&wrong, &["--if-busy", "skip"], &bundle).expect(3, &[told[0], told[1], "BUNDLE-SKIPPED"]);
    drop(held);
    // The right one, and none at all, are nothing to tell.
    fs::write(folder.join("E.sparsebundle"), "geheim\n").unwrap();
    for args in [&of_folder[..], &["--quick"]] {
        let ran = f.verify(args, &bundle);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""), "{args:?}");
    }
}

#[test]
fn a_wrong_password_of_a_volume_in_an_open_container_is_told_too() {
    let f = Fixture::new();
    let image = f.path("apfs.img");
    tools::apfs::samples::sample("encrypted").unwrap().image.write_to(&image).unwrap();
    let missing = ["--password-file", "/nonexistent/pw"];
    for quick in [&["--quick"][..], &[]] {
        let wrong = [("TMBUNDLE_PASSWORD", "falsch")];
        f.run(&wrong, quick, &image).expect(3, &["PASSWORD-WRONG", "does not open"]);
        f.verify(&[quick, &missing].concat(), &image).expect(3, &["PASSWORD-UNREAD"]);
        f.run(&[("TMBUNDLE_PASSWORD", "password")], quick, &image).expect(0, &[]);
        f.verify(quick, &image).expect(0, &[]);
    }
    let path = image.to_str().unwrap();
    let info = |password| tmbundle_with(&[("TMBUNDLE_PASSWORD", password)], &["info", path]);
    info("falsch").expect(3, &["not the image, but volumes in it", "does not open"]);
    info("password").expect(0, &["not the image, but volumes in it"]);
    // A mount of the volumes that need none would look like a success.
    #[cfg(feature = "mount")]
    {
        tools::apfs::samples::sample("volumes").unwrap().image.write_to(&image).unwrap();
        let at = f.path("mnt");
        fs::create_dir(&at).unwrap();
        let wrong = [("TMBUNDLE_PASSWORD", "falsch")];
        let ran = tmbundle_with(&wrong, &["mount", path, at.to_str().unwrap()]);
        if ran.code == Some(0) {
            let _ = Command::new("umount").arg(&at).status();
        }
        ran.expect(3, &["does not open"]);
    }
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

/// The rules that are shipped, so that the sample alert on damage cannot fire for a
/// Mac that is merely stale.
#[test]
fn the_sample_alerts_tell_them_apart() {
    let page = fs::read_to_string("packaging/prometheus/tmbundle-alerts.yml").unwrap();
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

#[test]
fn a_quick_look_keeps_the_last_verdict_with_its_age() {
    let f = Fixture::new();
    let bundle = f.demo("D.sparsebundle");
    let json = f.json(&["--quick"], &bundle);
    assert_eq!((&json["verdict"], &json["last"]), (&"ok".into(), &Value::Null), "never verified");
    let band = bundle.join("bands/9");
    let kept = fs::read(&band).unwrap();
    fs::remove_file(&band).unwrap();
    f.verify(&[], &bundle).expect(1, &["BAND-LOST"]);
    // What only the volume tells is not seen by a quick look, and not forgotten.
    let json = f.json(&["--quick"], &bundle);
    assert_eq!((&json["verdict"], &json["counts"]["damage"]), (&"damage".into(), &0.into()));
    assert_eq!(json["last"]["verdict"], "damage");
    let verified = json["last"]["verified"].as_i64().unwrap();
    let name = "tmbundle_last_verification_timestamp_seconds";
    assert_eq!(f.metric(&["--quick"], &bundle, name), [verified.to_string()]);
    assert_eq!(f.metric(&["--quick"], &bundle, "tmbundle_verdict"), ["2"]);
    f.verify(&["--quick", "-v"], &bundle).expect(1, &["DAMAGE when last verified"]);
    // Until it is verified again.
    fs::write(&band, kept).unwrap();
    f.verify(&[], &bundle).expect(0, &[]);
    f.verify(&["--quick", "-v"], &bundle).expect(0, &["No damage"]);
}

/// Run as a user who sees no other processes' files.
fn as_nobody(args: &[&str], bundle: &Path) -> Ran {
    let args = [&["verify"], args].concat();
    as_nobody_by(Path::new(env!("CARGO_BIN_EXE_tmbundle")), &args, bundle)
}

pub fn as_nobody_by(program: &Path, args: &[&str], bundle: &Path) -> Ran {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.args(args).arg(bundle).uid(65534).gid(65534);
    command.env("XDG_STATE_HOME", "/nonexistent").env("HOME", "/nonexistent");
    let out = command.output().unwrap();
    Ran {
        code: out.status.code(),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

#[test]
fn a_fresh_copy_is_not_in_use_to_a_user_who_cannot_see() {
    let test = "a_fresh_copy_is_not_in_use_to_a_user_who_cannot_see";
    let f = Fixture::new();
    let bundle = f.demo("D.sparsebundle");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(f.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if !rustix::process::geteuid().is_root() || as_nobody(&["--quick"], &bundle).code != Some(0) {
        return common::skipped(format_args!("{test}: needs root, and a place that all may read"));
    }
    // One line says so, to who wants to hear what was not checked, and only to a user.
    let line = "whether a file server has it open not checked: only root sees";
    assert_eq!(as_nobody(&["-v"], &bundle).out.matches(line).count(), 1);
    assert!(!f.verify(&["-v"], &bundle).out.contains(line));
    let busy = || as_nobody(&["-v"], &bundle).out.contains("BUNDLE-BUSY");
    let bands = || fs::read_dir(bundle.join("bands")).unwrap().map(|e| e.unwrap().path());
    let date = |path: &Path, ago: u64| {
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(ago);
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    };
    // As `cp -r` leaves it: all is new.
    for band in bands() {
        let bytes = fs::read(&band).unwrap();
        fs::write(&band, bytes).unwrap();
    }
    assert!(!busy(), "a copy");
    // As a Mac leaves it at work: one band is new.
    bands().for_each(|band| date(&band, 86_400));
    assert!(!busy(), "at rest");
    let one = bundle.join("bands/0");
    let bytes = fs::read(&one).unwrap();
    fs::write(&one, bytes).unwrap();
    assert!(busy(), "being written");
    // As `cp -a` leaves that: the date was given to the copy.
    date(&one, 60);
    assert!(!busy(), "a copy with its dates");
}

#[test]
fn a_share_says_how_many_a_wrong_password_kept_shut() {
    let f = Fixture::new();
    let share = f.path("share");
    fs::create_dir(&share).unwrap();
    fs::rename(f.encrypted("E.sparsebundle"), share.join("E.sparsebundle")).unwrap();
    fs::rename(f.demo("D.sparsebundle"), share.join("D.sparsebundle")).unwrap();
    let ran = f.run(&[("TMBUNDLE_PASSWORD", "falsch")], &[], &share);
    ran.expect(3, &["2 sources:", "1 not opened with the password given (exit code 3)"]);
}

#[test]
fn a_file_server_in_a_mount_namespace_of_its_own_is_seen() {
    let test = "a_file_server_in_a_mount_namespace_of_its_own_is_seen";
    let f = Fixture::new();
    let bundle = f.demo("D.sparsebundle");
    let (elsewhere, server) = (f.path("elsewhere"), f.path("smbd"));
    fs::create_dir(&elsewhere).unwrap();
    let tail = ["/usr/bin/tail", "/bin/tail"].into_iter().find(|t| Path::new(t).exists());
    let Some(tail) = tail.filter(|_| rustix::process::geteuid().is_root()) else {
        return common::skipped(format_args!("{test}: needs root and tail(1)"));
    };
    fs::copy(tail, &server).unwrap();
    // It sees the bundle under another path than we do.
    let line = r#"mount --bind "$1" "$2" && exec "$3" -f "$2/bands/0""#;
    let started = Command::new("unshare")
        .args(["-m", "sh", "-c", line, "sh"])
        .args([&bundle, &elsewhere, &server])
        .stdout(std::process::Stdio::null())
        .spawn();
    let Ok(mut child) = started else {
        return common::skipped(format_args!("{test}: unshare(1) is not installed"));
    };
    let held = |child: &std::process::Child| {
        let fds = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten();
        fds.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.ends_with("bands/0")))
    };
    while !held(&child) {
        if child.try_wait().unwrap().is_some() {
            return common::skipped(format_args!("{test}: no mount namespace may be made here"));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ran = f.verify(&["-v"], &bundle);
    child.kill().unwrap();
    child.wait().unwrap();
    ran.expect(0, &["BUNDLE-BUSY", "smbd holds"]);
}

#[test]
fn root_in_another_pid_namespace_is_told_what_it_cannot_see() {
    let test = "root_in_another_pid_namespace_is_told_what_it_cannot_see";
    let f = Fixture::new();
    let bundle = f.demo("D.sparsebundle");
    let (program, file) = (env!("CARGO_BIN_EXE_tmbundle"), bundle.to_str().unwrap());
    let away = |args: &[&str]| {
        let ran = Command::new("unshare").args(["-p", "-f", "--mount-proc"]).args(args).output();
        ran.ok().filter(|ran| rustix::process::geteuid().is_root() && ran.status.code().is_some())
    };
    if away(&["true"]).is_none_or(|ran| !ran.status.success()) {
        return common::skipped(format_args!("{test}: no pid namespace may be made here"));
    }
    let text = |ran: std::process::Output| String::from_utf8(ran.stdout).unwrap();
    let told = text(away(&[program, "verify", "-v", file]).unwrap());
    assert!(told.contains("another pid namespace"), "{told}");
    // A file server beside us there is the one that matters.
    std::fs::copy("/bin/sleep", f.path("smbd")).unwrap();
    let line = "\"$1\" 60 < \"$3/bands/0\" & \"$2\" verify -v \"$3\"; kill $!";
    let server = f.path("smbd");
    let args = ["sh", "-c", line, "sh", server.to_str().unwrap(), program, file];
    let told = text(away(&args).unwrap());
    assert!(told.contains("smbd holds") && !told.contains("namespace"), "{told}");
}
