//! What Time Machine recorded of its backups, told true: each contradiction by itself.

use crate::common::tmbundle;
use serde_json::Value;
use std::path::Path;
use tools::bundle::{self, BundleOptions, History, MachineId};
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};
use tools::timemachine::{self, Backup, Dir, Machine, Written};

const START: i64 = 1_572_686_100;
const DAY: i64 = 86_400;
const HOST: &str = "3B2A9C1E-7D44-5E0B-9F1A-0C8D5A6E4F21";

struct Made {
    volume: VolumeBuilder,
    written: Vec<Written>,
    machine_id: MachineId,
    history: History,
    /// Days after the last completion of the first and the last band's date.
    bands: (i64, i64),
}

fn machine() -> Machine {
    Machine {
        name: "Mac".into(),
        host_uuid: HOST.into(),
        model: "MacBookPro14,1".into(),
        address: "a4:5e:60:c1:22:09".into(),
        volume: "HD".into(),
        volume_uuid: "8E6B1F57-2C0D-3A94-B7E5-91D04C6A3F10".into(),
        utc_offset: 7200,
        checksums: true,
        acls: true,
        snapshot_dates: false,
    }
}

/// Three backups, a day apart.
fn healthy() -> Made {
    let mut volume =
        VolumeBuilder::new(VolumeOptions { created: START - DAY, ..VolumeOptions::default() });
    let mut root = Dir::new(Meta::dir().dated(START));
    root.dir("Docs").file("letter", "Dear Anna\n", Meta::file().dated(START));
    let backups: Vec<Backup> = (0..3)
        .map(|i| Backup {
            number: i + 1,
            start: START + DAY * i as i64,
            completed: Some(START + DAY * i as i64 + 600),
            source: root.clone(),
        })
        .collect();
    let written = timemachine::write(&mut volume, &machine(), &backups);
    let machine_id = timemachine::machine_id(&machine(), None);
    let history = timemachine::history(&written);
    Made { volume, written, machine_id, history, bands: (-2, 0) }
}

impl Made {
    fn set(&mut self, snapshot: usize, name: &str, value: &str) {
        let folder = self.written[snapshot].folder;
        self.volume.set_xattr(folder, name, value.as_bytes());
    }

    fn write(&self, path: &Path) {
        let options = BundleOptions {
            band_size: 64 << 10,
            machine_id: Some(self.machine_id.clone()),
            history: Some(self.history.clone()),
            ..BundleOptions::default()
        };
        bundle::write(&self.volume.build().image, path, &options).unwrap();
        let last = self.written.iter().filter_map(|w| w.completed).max().unwrap();
        let mut bands: Vec<_> =
            std::fs::read_dir(path.join("bands")).unwrap().map(|e| e.unwrap().path()).collect();
        bands.sort();
        for (i, band) in bands.iter().enumerate() {
            let days = if i == 0 { self.bands.1 } else { self.bands.0 };
            let date = std::time::UNIX_EPOCH
                + std::time::Duration::from_secs(u64::try_from(last + days * DAY).unwrap());
            std::fs::File::open(band).unwrap().set_modified(date).unwrap();
        }
    }

    /// The codes that `verify` gives, sorted, with their messages.
    fn findings(&self) -> Vec<(String, String, String)> {
        self.findings_with(&[])
    }

    fn findings_with(&self, args: &[&str]) -> Vec<(String, String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Mac.sparsebundle");
        self.write(&path);
        let ran = tmbundle(&[&["verify", "--json", path.to_str().unwrap()], args].concat());
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        let text = |f: &Value, key: &str| f[key].as_str().unwrap().to_owned();
        document["sources"][0]["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| (text(f, "code"), text(f, "severity"), text(f, "message")))
            .collect()
    }

    /// Assert that this is the one finding.
    #[track_caller]
    fn gives(&self, code: &str, severity: &str, words: &str) {
        let found = self.findings();
        let [(c, s, message)] = &found[..] else { panic!("{found:#?}") };
        assert!(c == code && s == severity && message.contains(words), "{found:#?}");
    }
}

#[test]
fn healthy_backups_give_no_finding() {
    assert_eq!(healthy().findings(), []);
}

#[test]
fn a_mac_that_tries_and_never_finishes() {
    let mut made = healthy();
    made.bands = (-2, 19);
    made.gives("TM-NEVER-COMPLETES", "warning", "19 days later");
    // A copy has fresh dates on all bands.
    made.bands = (30, 31);
    assert_eq!(made.findings(), []);
    made.bands = (-2, 1);
    assert_eq!(made.findings(), []);
}

#[test]
fn another_mac_in_the_bundle() {
    let mut made = healthy();
    made.machine_id.host_uuid = "00000000-1111-2222-3333-444444444444".into();
    made.gives("TM-HOST", "warning", HOST);
    made.machine_id.host_uuid = HOST.to_lowercase();
    assert_eq!(made.findings(), []);
}

#[test]
fn dates_that_contradict_each_other() {
    const STARTED: &str = "com.apple.backupd.SnapshotStartDate";
    const COMPLETED: &str = "com.apple.backupd.SnapshotCompletionDate";
    let micros = |seconds: i64| (seconds * 1_000_000).to_string();
    let mut made = healthy();
    made.set(1, STARTED, &micros(START + DAY + 700));
    made.gives("TM-DATES", "warning", "before it was started");
    let mut made = healthy();
    made.set(1, STARTED, &micros(START + 2 * DAY));
    made.set(1, COMPLETED, &micros(START + 2 * DAY + 60));
    made.gives("TM-DATES", "warning", "in any time zone");
    let mut made = healthy();
    made.set(2, COMPLETED, &micros(START + 40_000 * DAY));
    made.gives("TM-DATES", "warning", "in the future");
}

#[test]
fn numbers_and_states() {
    let mut made = healthy();
    made.set(1, "com.apple.backup.SnapshotNumber", "1");
    made.gives("TM-ORDER", "warning", "has number 1");
    let mut made = healthy();
    made.set(0, "com.apple.backupd.SnapshotState", "7");
    made.gives("TM-STATE", "info", "state 7");
}

#[test]
fn a_history_of_snapshots_that_are_gone() {
    let mut made = healthy();
    let old = ("2019-01-01T00:00:00Z".into(), "2019-01-01-010000".into(), None);
    made.history.backups.insert(0, old);
    made.gives("TM-HISTORY", "warning", "2019-01-01-010000");
    let mut made = healthy();
    let newer = ("2019-12-24T18:00:00Z".into(), "2019-12-24-190000".into(), None);
    made.history.backups.push(newer);
    made.gives("TM-HISTORY", "warning", "as the last backup");
}

#[test]
fn a_computer_that_nobody_knows() {
    let mut made = healthy();
    let computer = made.volume.lookup("Backups.backupdb/Mac").unwrap();
    for name in ["HostUUID", "BackupMachineAddress"] {
        made.volume.set_xattr(computer, &format!("com.apple.backupd.{name}"), Vec::new());
    }
    made.gives("TM-STRUCTURE", "info", "which Mac");
}

#[test]
fn an_age_that_nothing_tells_is_said() {
    let quick = ["--quick", "--max-age", "20000d"];
    let mut made = healthy();
    assert_eq!(made.findings_with(&quick), []);
    made.history.backups.clear();
    let codes = |found: Vec<(String, String, String)>| -> Vec<String> {
        found.into_iter().map(|f| f.0).collect()
    };
    assert_eq!(codes(made.findings_with(&quick)), ["TM-NEVER-COMPLETED"]);
    // Without a history only the volume knows.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    healthy().write(&path);
    std::fs::remove_file(path.join("com.apple.TimeMachine.SnapshotHistory.plist")).unwrap();
    let path = path.to_str().unwrap();
    tmbundle(&["verify", "--max-age", "3d", path]).expect(1, &["TM-STALE"]);
    let ran = tmbundle(&["verify", "--quick", "--max-age", "3d", path]);
    ran.expect(0, &["TM-AGE-UNKNOWN"]);
    assert!(!ran.out.contains("TM-NEVER"), "{ran:#?}");
    assert_eq!(tmbundle(&["verify", "--quick", path]).out, "");
}

/// A Mac whose clock was wrong once must not silence `--max-age` for years.
#[test]
fn a_date_in_the_future_is_no_date_of_a_backup() {
    let mut made = healthy();
    let (path, dir) = ("Mac.sparsebundle", tempfile::tempdir().unwrap());
    let path = dir.path().join(path);
    // On the volume, and in the bundle's history.
    made.set(2, "com.apple.backupd.SnapshotCompletionDate", "4102444800000000");
    made.history.backups.push(("2099-12-31T00:00:00Z".into(), "2099-12-31-010000".into(), None));
    made.write(&path);
    let path = path.to_str().unwrap();
    let second = START + DAY + 600;
    for more in [&[][..], &["--quick"]] {
        let file = dir.path().join("tm.prom");
        let args = ["verify", "--max-age", "3d", "--metrics", file.to_str().unwrap(), path];
        tmbundle(&[&args, more].concat()).expect(1, &["TM-STALE", "TM-DATES", "in the future"]);
        let metrics = std::fs::read_to_string(&file).unwrap();
        let sample = metrics.lines().find(|l| l.starts_with("tmbundle_last_backup_timestamp"));
        let seconds: i64 = sample.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
        // With --quick by the history alone, which has the third backup right.
        let right = if more.is_empty() { [second, second + DAY] } else { [second + DAY; 2] };
        assert!(right.contains(&seconds), "{seconds}, not {right:?}");
    }
    // `latest` is the second: the third was completed at a date that has not come.
    tmbundle(&["ls", path, "latest:/"]).expect(0, &[]);
    let newest = &made.written[1].name;
    tmbundle(&["ls", path, "latest:/nope"]).expect(2, &[&format!("in snapshot {newest}")]);
    let words = tmbundle(&["verify", "-v", path]);
    assert!(words.out.contains("newest 2019-11-0"), "{words:?}");
}

/// A name says when a backup began: one that has not come is no last backup, whatever date of
/// completion stands beside it.
#[test]
fn a_name_in_the_future_is_no_last_backup() {
    let mut made = healthy();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Mac.sparsebundle");
    made.history.backups.push(("2019-12-31T00:00:00Z".into(), "2031-01-01-010000".into(), None));
    let right = made.history.backups[made.history.backups.len() - 2].1.clone();
    made.write(&path);
    let path = path.to_str().unwrap();
    let info = tmbundle(&["info", path]);
    info.expect(0, &[&format!("last {right}")]);
    assert!(!info.out.contains("last 2031"), "{info:#?}");
    let quick = tmbundle(&["verify", "--quick", "-v", path]);
    quick.expect(0, &["TM-DATES", "2031-01-01-010000 was begun in the future"]);
    assert!(!quick.out.contains("last 2031"), "{quick:#?}");
}
