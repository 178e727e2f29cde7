//! Names that would make lines of their own, or speak to the terminal.

use crate::common::{self, Ran, tmbundle};
use std::path::Path;
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;
use tools::timemachine::{self, Backup, Dir, Machine};

/// What a name is made of: text, and everything that must not come through.
const BITS: &[&str] = &[
    "a",
    " ",
    "\x1b[2J\x1b]0;owned\x07",
    "\nNo damage.\nFAKE.sparsebundle  ok",
    "\r",
    "\t",
    "\u{7f}",
    "\u{9b}31m",
    "\u{85}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{2028}",
    "\u{1}",
    "ä",
    "漢",
];

/// A name of the `seed`: the same at every run.
fn hostile(seed: u64) -> String {
    let mut state = seed;
    let mut name = format!("n{seed}");
    for _ in 0..6 {
        state = tools::hfs::splitmix(state);
        name.push_str(BITS[state as usize % BITS.len()]);
    }
    name
}

fn machine(seed: u64) -> Machine {
    Machine {
        name: hostile(seed),
        host_uuid: hostile(seed + 1),
        model: hostile(seed + 2),
        address: hostile(seed + 3),
        volume: hostile(seed + 4),
        volume_uuid: "8E6B1F57-2C0D-3A94-B7E5-91D04C6A3F10".into(),
        utc_offset: 0,
        checksums: true,
        acls: false,
        snapshot_dates: false,
    }
}

/// A backup in which everything that can have a name has a bad one.
fn write(path: &Path, seed: u64) {
    let mut volume =
        VolumeBuilder::new(VolumeOptions { name: hostile(seed + 5), ..VolumeOptions::default() });
    let mut root = Dir::new(Meta::dir());
    let folder = hostile(seed + 6);
    for i in 0..4 {
        root.dir(&folder).file(&hostile(seed + 10 + i), vec![7u8; 70_000], Meta::file());
    }
    root.dir(&folder).symlink(&hostile(seed + 7), &hostile(seed + 8), Meta::with_mode(0o755));
    let backup =
        Backup { number: 1, start: 1_572_686_100, completed: Some(1_572_686_400), source: root };
    let machine = machine(seed);
    let written = timemachine::write(&mut volume, &machine, &[backup]);
    let (disk, _) = Gpt::default().wrap(&volume.build().image);
    let mut history = timemachine::history(&written);
    for (_, name, _) in &mut history.backups {
        *name = hostile(seed + 9);
    }
    let options = BundleOptions {
        band_size: 64 << 10,
        machine_id: Some(timemachine::machine_id(&machine, Some(1_572_686_100))),
        history: Some(history),
        ..BundleOptions::default()
    };
    bundle::write(&disk, path, &options).unwrap();
}

/// Only text and our newlines, and no line that a name made.
#[track_caller]
fn assert_clean(ran: &Ran, what: &str) {
    for text in [&ran.out, &ran.err] {
        let bad = text.chars().find(|c| *c != '\n' && tmbundle::report::misleads(*c));
        assert_eq!(bad, None, "{what}: {text}");
        let forged = text.lines().any(|line| {
            line.starts_with("FAKE") || (line == "No damage." && !text.ends_with("No damage.\n"))
        });
        assert!(!forged, "{what}: {text}");
    }
    assert!(!ran.err.contains("panicked"), "{what}: {}", ran.err);
}

#[test]
fn no_name_reaches_the_reader_as_a_command_or_a_line() {
    for seed in [100, 200, 300] {
        let dir = tempfile::tempdir().unwrap();
        let name = hostile(seed + 20).replace('/', "_");
        let bundle = dir.path().join(format!("{name}.sparsebundle"));
        write(&bundle, seed);
        let path = bundle.to_str().unwrap();
        let share = dir.path().to_str().unwrap();
        let to = dir.path().join(hostile(seed + 21));
        let to = to.to_str().unwrap();
        let bad = hostile(seed + 22);
        let check = |args: &[&str]| {
            let ran = tmbundle(args);
            assert_clean(&ran, &format!("{args:?}"));
            ran
        };
        let all = || {
            check(&["info", path]);
            check(&["verify", "-v", "--all", path]);
            check(&["verify", "-v", share]);
            check(&["verify", "--quick", "-v", path]);
            check(&["snapshots", path]);
            check(&["ls", "-lR", path, "volume:"]);
            check(&["ls", path, "latest"]);
            check(&["locate", "--all", path, "--band", "0"]);
            check(&["locate", "--all", path, "--offset", "0", "--length", "100000000"]);
        };
        let shown = check(&["ls", "-R", path, "volume:"]);
        assert_eq!(shown.code, Some(0), "{shown:#?}");
        assert!(shown.out.contains("\\u{"), "no bad name was there: {shown:#?}");
        all();
        check(&["extract", path, "latest", "--to", to]);
        check(&["extract", path, "latest", "--to", to]);
        // Errors quote what was typed, and paths.
        check(&["ls", path, &bad]);
        check(&["ls", path, &format!("latest:/{bad}")]);
        check(&["cat", path, &format!("{bad}:/{bad}")]);
        check(&["info", &format!("/nowhere/{bad}")]);
        check(&["verify", &format!("/nowhere/{bad}"), path]);
        check(&[&bad]);
        check(&["verify", &format!("--{bad}")]);
        check(&["verify", "--max-age", &bad, path]);
        check(&["explain", &bad]);
        check(&["ls", path, "latest", &bad]);
        check(&["man", &format!("/proc/{bad}")]);
        check(&["verify", "--metrics", &format!("/nowhere/{bad}"), path]);
        check(&["verify", "--password-file", &format!("/nowhere/{bad}"), path]);
        // Damage names the files it hits: two bands in the middle, then the plists.
        let mut bands: Vec<_> = std::fs::read_dir(bundle.join("bands"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        bands.sort();
        for band in bands.iter().skip(2).take(bands.len().saturating_sub(3)) {
            std::fs::remove_file(band).unwrap();
        }
        std::fs::write(bundle.join("bands").join(&name), b"x").unwrap();
        std::fs::write(bundle.join(&name), b"x").unwrap();
        all();
        let bad = bad.replace(|c: char| c == '&' || c == '<' || c < ' ', "");
        let plist = common::info_plist(64 << 10, 1 << 30)
            .replace("com.apple.diskimage.sparsebundle", &format!("{bad}&#27;[2J&#10;No damage."));
        for file in ["Info.plist", "Info.bckup"] {
            std::fs::write(bundle.join(file), &plist).unwrap();
        }
        all();
    }
}
