//! What commands ask of the server, counted: look-ups by path, reads and bytes are the same on
//! every machine, as times are not. Counted by strace; skipped, and said so, where that is not.

use crate::common::{copy, demo, skipped};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tools::bundle::{BundleOptions, ZeroBands};

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    /// Files and folders in the bundle that were looked up by name: opened or asked about.
    lookups: u64,
    /// Reads at an offset of band files, and the bytes they gave.
    reads: u64,
    bytes: u64,
}

/// Whether strace can watch a process here; says so if not.
fn possible(test: &str) -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let there = tried.is_ok_and(|out| out.status.success());
    if !there {
        skipped(format_args!("{test}: strace is not installed, or may watch nothing"));
    }
    there
}

/// Every system call of a run that has to do with a bundle, each a line; a file of its own
/// for each thread, so that none is told in two.
fn calls(bundle: &Path, args: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new("strace")
        .args(["-ff", "-y", "-qq", "-s", "0", "-o"])
        .arg(dir.path().join("calls"))
        .args(["-e", "trace=open,openat,openat2,stat,lstat,newfstatat,statx,pread64"])
        .arg(env!("CARGO_BIN_EXE_tmbundle"))
        .args(args)
        .env("XDG_STATE_HOME", dir.path().join("state"))
        .env("TMBUNDLE_NOW", "2024-03-14T20:00:00Z")
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    let name = bundle.file_name().unwrap().to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(path).unwrap();
            found.extend(text.lines().filter(|l| l.contains(name)).map(str::to_owned));
        }
    }
    found
}

fn is_read(call: &str) -> bool {
    call.starts_with("pread64(")
}

/// The name that a call looks up: the first text in quotes.
fn looked_up(call: &str) -> Option<&str> {
    (!is_read(call)).then(|| call.split('"').nth(1)).flatten()
}

fn counted(calls: &[String]) -> Counts {
    let mut counts = Counts::default();
    for call in calls {
        if is_read(call) {
            let given = call.rsplit_once(" = ").unwrap().1;
            counts.reads += 1;
            counts.bytes += given.parse::<u64>().unwrap();
        } else {
            counts.lookups += 1;
        }
    }
    counts
}

/// Each command, and the most that it may cost: what was counted once and a quarter more.
#[test]
fn commands_ask_no_more_than_they_did() {
    if !possible("counts of system calls") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (hfs, apfs) = (dir.path().join("Mac.sparsebundle"), dir.path().join("New.backupbundle"));
    copy(&demo(), &hfs);
    copy(&demo().with_file_name("DemoAPFS.backupbundle"), &apfs);
    let hosts = "latest:/Macintosh HD/etc/hosts";
    let table: &[(&Path, &[&str], Counts)] = &[
        (&hfs, &["info"], Counts { lookups: 34, reads: 27, bytes: 118_981 }),
        (&hfs, &["verify"], Counts { lookups: 57, reads: 44, bytes: 628_649 }),
        (&hfs, &["ls"], Counts { lookups: 18, reads: 27, bytes: 118_981 }),
        (&hfs, &["cat", hosts], Counts { lookups: 27, reads: 31, bytes: 131_300 }),
        (&apfs, &["info"], Counts { lookups: 35, reads: 36, bytes: 164_014 }),
        (&apfs, &["verify"], Counts { lookups: 60, reads: 247, bytes: 1_028_270 }),
        (&apfs, &["ls"], Counts { lookups: 18, reads: 39, bytes: 176_302 }),
    ];
    let mut wrong = Vec::new();
    for (bundle, args, counted_once) in table {
        let mut words = args.to_vec();
        words.insert(1, bundle.to_str().unwrap());
        let found = counted(&calls(bundle, &words));
        let most = |n: u64| n + n / 4;
        let more = found.lookups > most(counted_once.lookups)
            || found.reads > most(counted_once.reads)
            || found.bytes > most(counted_once.bytes);
        assert!(found.reads > 0 && found.lookups > 0, "nothing was counted: {found:?}");
        if more {
            wrong.push(format!("{bundle:?} {args:?}: {found:?}, once {counted_once:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One open serves all that is asked of a band, and one look at the end tells whether a Mac
/// wrote meanwhile; some are sampled before anything is known of the bundle.
#[test]
fn a_band_is_looked_up_twice_in_a_verify() {
    const SAMPLED: usize = 64;
    if !possible("look-ups of bands") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Many.sparsebundle");
    let mut volume = tools::hfs::VolumeBuilder::new(tools::hfs::VolumeOptions::default());
    let root = volume.root();
    volume.file(root, "file", vec![1; 1 << 20], tools::hfs::Meta::file());
    let options = BundleOptions {
        band_size: 128 << 10,
        zero_bands: ZeroBands::Keep,
        trim: false,
        ..BundleOptions::default()
    };
    tools::bundle::write(&volume.build().image, &bundle, &options).unwrap();
    let bands = std::fs::read_dir(bundle.join("bands")).unwrap().count();
    assert!(bands > 2 * SAMPLED, "{bands}");
    let mut by_name = BTreeMap::new();
    for call in calls(&bundle, &["verify", bundle.to_str().unwrap()]) {
        if call.contains("/bands>")
            && let Some(name) = looked_up(&call).filter(|n| bundle.join("bands").join(n).is_file())
        {
            *by_name.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(by_name.len(), bands, "every band is looked at");
    let (two, more): (Vec<_>, Vec<_>) = by_name.iter().partition(|(_, n)| **n <= 2);
    assert!(more.len() <= SAMPLED + 8, "{} of {bands} bands more than twice: {more:?}", more.len());
    assert!(two.len() >= bands - SAMPLED - 8);
    assert!(by_name.values().all(|n| *n <= 3), "{more:?}");
}
