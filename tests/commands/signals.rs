//! A wish to stop is heard in every phase: exit code 130, a line on standard error, no
//! half result that looks like a whole one. Each run here would take hours if it were
//! not stopped; how soon it stops is not measured, only that it does.

use crate::common;

use crate::common::copy_demo;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tools::bundle::{BundleOptions, Encryption};

fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(args)
        .env("XDG_STATE_HOME", common::state_home())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Stop the program once `busy` says that it is at work; what it printed. It must have
/// been running until then, and must end long before its work would.
fn stop(mut child: Child, signal: Signal, busy: impl Fn() -> bool) -> String {
    let started = Instant::now();
    while !busy() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.try_wait().unwrap().is_none(), "it ended before it was stopped");
    kill_process(Pid::from_child(&child), signal).unwrap();
    let stopped = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if stopped.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it does not stop");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    eprintln!("stopped after {:?}", stopped.elapsed());
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{out}{err}");
    assert_eq!(err, "error: interrupted\n");
    out
}

/// Long enough for a program to have begun with what it will be at for hours.
fn after(time: Duration) -> impl Fn() -> bool {
    let started = Instant::now();
    move || started.elapsed() > time
}

const SOON: Duration = Duration::from_millis(500);

fn demo(dir: &Path) -> PathBuf {
    let bundle = dir.join("Mac.sparsebundle");
    copy_demo(&bundle);
    bundle
}

/// As an earlier run left it.
const OLD: &str = "# HELP tmbundle_up old\n";

#[test]
fn while_a_structure_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = demo(dir.path());
    let metrics = dir.path().join("tm.prom");
    fs::write(&metrics, OLD).unwrap();
    for (signal, rate) in [(Signal::INT, "100"), (Signal::TERM, "8K"), (Signal::HUP, "1K")] {
        let args = ["verify", "--json", "--limit-rate", rate, "--metrics"];
        let mut args = args.to_vec();
        args.extend([metrics.to_str().unwrap(), bundle.to_str().unwrap()]);
        assert_eq!(stop(start(&args), signal, after(SOON)), "");
        assert_eq!(fs::read_to_string(&metrics).unwrap(), OLD);
    }
}

#[test]
fn while_it_waits_for_a_mac() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = demo(dir.path());
    let token = fs::File::options().read(true).write(true).open(bundle.join("token")).unwrap();
    rustix::fs::fcntl_lock(&token, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let args = ["verify", "-v", "--if-busy", "wait=9h", bundle.to_str().unwrap()];
    assert_eq!(stop(start(&args), Signal::INT, after(SOON)), "");
}

#[test]
fn while_a_password_command_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    let encryption = Some(Encryption::with_password("password"));
    let options = BundleOptions { encryption, ..BundleOptions::default() };
    let volume = tools::samples::sample("empty").unwrap().build();
    tools::bundle::write(&volume.image, &path, &options).unwrap();
    let begun = dir.path().join("begun");
    let command = format!("touch '{}'; exec sleep 9999 2>&-", begun.display());
    let args = ["verify", "-v", "--password-command", &command, path.to_str().unwrap()];
    assert_eq!(stop(start(&args), Signal::INT, || begun.exists()), "");
}

#[test]
fn between_and_within_the_bundles_of_a_share() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["A", "B", "C"] {
        copy_demo(&dir.path().join(format!("{name}.sparsebundle")));
    }
    // The second waits for a Mac; what was said of the first is whole and stays.
    let token = dir.path().join("B.sparsebundle/token");
    let token = fs::File::options().read(true).write(true).open(token).unwrap();
    rustix::fs::fcntl_lock(&token, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let share = dir.path().to_str().unwrap();
    let args = ["verify", "-v", "--if-busy", "wait=9h", share];
    let out = stop(start(&args), Signal::TERM, after(2 * SOON));
    assert!(out.contains("A.sparsebundle") && out.contains("No damage."), "{out}");
    assert!(!out.contains("B.sparsebundle") && !out.contains("C.sparsebundle"), "{out}");
    let args = ["verify", "--json", "--if-busy", "wait=9h", share];
    assert_eq!(stop(start(&args), Signal::TERM, after(2 * SOON)), "");
}
