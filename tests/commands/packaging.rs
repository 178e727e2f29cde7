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

/// Containers get the rights that docs/security.md gives the unit, and no more; what is named is this version.
#[test]
fn containers_have_least_rights_and_this_version() {
    let read =
        |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let unit = read("packaging/tmbundle-verify@.service");
    let set = unit.lines().find_map(|l| l.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let rights = set.replace("CAP_", "").replace(' ', ", ");
    let (compose, job) =
        (read("packaging/image/compose.yaml"), read("packaging/image/cronjob.yaml"));
    for line in [
        "cap_drop: [ALL]",
        "read_only: true",
        "network_mode: none",
        "pid: host",
        "no-new-privileges:true",
        "source: /srv/tm, target: /srv/tm, read_only: true",
        &format!("cap_add: [{rights}]"),
    ] {
        assert!(compose.contains(line), "compose.yaml: {line}");
    }
    for line in [
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "automountServiceAccountToken: false",
        "hostPID: true",
        "name: share, mountPath: /srv/tm, readOnly: true",
        &format!("drop: [ALL], add: [{rights}]"),
    ] {
        assert!(job.contains(line), "cronjob.yaml: {line}");
    }
    let version = env!("CARGO_PKG_VERSION");
    for text in [&compose, &job, &read("docs/recipes.md")] {
        assert!(text.contains(&format!("image: tmbundle:{version}\n")), "{text}");
    }
    for name in ["tmbundle_VERSION_amd64.deb", "tmbundle-VERSION-1.x86_64.rpm"] {
        assert!(read("README.md").contains(&name.replace("VERSION", version)), "README: {name}");
    }
    assert!(read("CHANGELOG.md").contains(&format!("\n## {version}\n")));
}

/// The commands that the containers run, with their folders in another place.
#[test]
fn the_commands_of_the_containers_run() {
    let compose = include_str!("../../packaging/image/compose.yaml");
    let job = include_str!("../../packaging/image/cronjob.yaml");
    let lists = compose.lines().chain(job.lines()).filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("command: [").or_else(|| line.strip_prefix("args: ["))
    });
    let dir = tempfile::tempdir().unwrap();
    let share = dir.path().join("share");
    fs::create_dir(&share).unwrap();
    common::copy_demo(&share.join("Demo.sparsebundle"));
    let mut ran = 0;
    for list in lists {
        let args = list.trim_end_matches(']').split(", ").map(|arg| {
            arg.replace("/metrics", dir.path().to_str().unwrap())
                .replace("/srv/tm", share.to_str().unwrap())
        });
        let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .env("STATE_DIRECTORY", dir.path().join("state"))
            .env("TMBUNDLE_NOW", "2019-11-14T20:00:00Z")
            .args(args)
            .output()
            .unwrap();
        assert!(out.status.success(), "{list}: {out:?}");
        ran += 1;
    }
    assert_eq!(ran, 3);
    assert!(dir.path().join("tmbundle.prom").exists());
    assert!(dir.path().join("tmbundle-watch.prom").exists());
}
