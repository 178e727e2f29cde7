//! The systemd units, as systemd itself reads them.

use crate::common;

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn systemd_accepts_the_units() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let dir = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().contains('@') {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        let text = text.replace("/usr/local/bin/tmbundle", env!("CARGO_BIN_EXE_tmbundle"));
        let name = entry.file_name().into_string().unwrap();
        fs::write(dir.path().join(&name), text).unwrap();
        // An instance, for the share /srv/tm.
        let instance = dir.path().join(name.replace('@', "@srv-tm"));
        std::os::unix::fs::symlink(&name, &instance).unwrap();
        units.push(instance);
    }
    assert_eq!(units.len(), 3);
    let out = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&units)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()))
        .output();
    match out {
        Err(e) => common::skipped(format_args!("systemd_accepts_the_units: systemd-analyze: {e}")),
        Ok(out) => {
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success() && !said.contains("tmbundle"), "{said}");
        }
    }
}

/// The command in the unit, with its specifiers filled in, is one that the program takes.
#[test]
fn the_command_of_the_unit_runs() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/tmbundle-verify@.service");
    let text = fs::read_to_string(unit).unwrap();
    // The one in use, and the one that is given as a choice.
    let commands: Vec<&str> = text
        .lines()
        .map(|l| l.trim_start_matches('#'))
        .filter_map(|l| l.strip_prefix("ExecStart=/usr/local/bin/tmbundle "))
        .collect();
    assert_eq!(commands.len(), 2);
    let dir = tempfile::tempdir().unwrap();
    common::copy_demo(&dir.path().join("Demo.sparsebundle"));
    let folder = dir.path().to_str().unwrap();
    for command in commands {
        let command = command
            .replace("/var/lib/prometheus/node-exporter", folder)
            .replace("%i", "srv-tm")
            .replace("%f", folder);
        let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .env("XDG_STATE_HOME", common::state_home())
            .args(command.split(' '))
            .output()
            .unwrap();
        // The demo bundle is from 2019: its age is the one thing wrong with it.
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.code() == Some(1) && said.contains("STALE"), "{out:?}");
        assert!(said.contains("TM-STALE"), "{said}");
    }
    assert!(dir.path().join("tmbundle-srv-tm.prom").exists());
}

#[test]
fn the_unit_of_the_run_has_bounds_of_memory_and_time() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/tmbundle-verify@.service");
    let text = fs::read_to_string(unit).unwrap();
    for bound in ["MemoryMax=", "TimeoutStartSec=", "TasksMax=", "NoNewPrivileges=yes"] {
        assert!(text.lines().any(|l| l.starts_with(bound)), "{bound}");
    }
}

/// The line on the page on security, for another place of the program and of the share.
#[test]
fn the_line_for_bubblewrap_runs() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md"));
    let page = page.unwrap();
    let block = page.split("```").find(|b| b.trim_start().starts_with("bwrap ")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (share, state) = (dir.path().join("share"), dir.path().join("state"));
    fs::create_dir_all(&state).unwrap();
    fs::create_dir(&share).unwrap();
    common::copy_demo(&share.join("Demo.sparsebundle"));
    let line = block
        .replace("/usr/local/bin/tmbundle ", &format!("{} ", env!("CARGO_BIN_EXE_tmbundle")))
        .replace("--ro-bind /srv/tm ", &format!("--ro-bind {} ", share.display()))
        .replace("/var/lib/tmbundle ", &format!("{} ", state.display()));
    let able = Command::new("bwrap")
        .args(["--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "true"])
        .output();
    if !able.is_ok_and(|o| o.status.success()) {
        return common::skipped("the_line_for_bubblewrap_runs: bwrap cannot be used here");
    }
    let out = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(out.status.success(), "{line} {out:?}");
    assert!(fs::read_dir(&state).unwrap().count() > 0, "it kept its state where it was told");
}
