//! A dying disk that fails what is asked about files and folders, not what is read of them: a
//! look at a band, a list of a folder. What went on without the answer says so.
//!
//! `strace` makes the n-th such call fail, in every process, for every n.

use crate::common::{copy_demo, skipped};
use std::path::Path;
use std::process::{Command, Output};

/// Calls that tell of files and folders; `statx` is only asked of processes and of the path as
/// the user gave it.
const CALLS: [&str; 3] = ["newfstatat", "fstat", "getdents64"];
/// More calls no command makes on the sample.
const MOST: usize = 400;

/// A run in which the n-th call of a kind fails, and the lines of the calls that did.
fn run(dir: &Path, args: &[&str], call: &str, n: usize) -> (Output, Vec<String>) {
    let log = dir.join("calls");
    let out = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "0", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:error=EIO:when={n}")])
        .arg(env!("CARGO_BIN_EXE_tmbundle"))
        .args(args)
        .env("XDG_STATE_HOME", dir.join("state"))
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    (out, lines.lines().filter(|l| l.contains("INJECTED")).map(str::to_owned).collect())
}

#[test]
fn what_the_system_does_not_tell_is_never_as_if_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    let source = bundle.to_str().unwrap();
    let (tried, _) = run(dir.path(), &["--version"], "fstat", MOST);
    if !tried.status.success() {
        return skipped("what the system does not tell: strace may not watch here");
    }
    for args in [&["verify", "-v", "--all", source][..], &["info", source]] {
        let mut failed = 0;
        for call in CALLS {
            for n in 1..MOST {
                let (out, injected) = run(dir.path(), args, call, n);
                let Some(first) = injected.first() else { break };
                let said = [&out.stdout[..], &out.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                assert!(!said.contains("panicked"), "{first}: {said}");
                if !injected.iter().any(|line| line.contains(source)) {
                    continue;
                }
                failed += 1;
                let told = said.contains("Input/output error") || out.status.code() != Some(0);
                assert!(told, "{args:?}, {first}: nothing tells of it\n{said}");
            }
        }
        assert!(failed > 10, "only {failed} calls of {args:?} failed");
    }
}
