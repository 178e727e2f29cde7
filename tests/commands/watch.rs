//! `watch`: whose bundles lie in a share, and the day its disk is full.

use super::metrics::parse;
use crate::common::schema::validate;
use crate::common::{Ran, copy, copy_demo, demo, tmbundle_with, zero_volume_header};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tools::bundle::{BundleOptions, Encryption};

const HOST: &str = "3B2A9C1E-7D44-5E0B-9F1A-0C8D5A6E4F21";
const OTHER: &str = "00000000-1111-2222-3333-444444444444";
/// The evening after the last backup of the HFS+ demonstration.
const NOW: &str = "2019-11-14T20:00:00Z";

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("share/b")).unwrap();
        Self { dir }
    }

    fn share(&self) -> PathBuf {
        self.dir.path().join("share")
    }

    fn demo(&self, name: &str) -> PathBuf {
        let path = self.share().join(name);
        copy_demo(&path);
        path
    }

    /// A bundle of another Mac.
    fn other(&self, name: &str) {
        let plist = self.demo(name).join("com.apple.TimeMachine.MachineID.plist");
        let text = fs::read_to_string(&plist).unwrap();
        fs::write(&plist, text.replace(HOST, OTHER)).unwrap();
    }

    fn run(&self, now: &str, command: &str, more: &[&str]) -> Ran {
        let state = self.dir.path().join("state");
        let share = self.share();
        let args = [&[command], more, &[share.to_str().unwrap()]].concat();
        let state = state.to_str().unwrap();
        tmbundle_with(&[("XDG_STATE_HOME", state), ("TMBUNDLE_NOW", now)], &args)
    }

    fn watch(&self, more: &[&str]) -> Ran {
        self.run(NOW, "watch", more)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.watch(&["--json"]).out).unwrap()
    }

    /// Change every record.
    fn records(&self, change: impl Fn(&mut Value)) {
        let mut changed = 0;
        for entry in fs::read_dir(self.dir.path().join("state/tmbundle")).unwrap() {
            let file = entry.unwrap().path().join("record.json");
            let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            change(&mut record);
            fs::write(&file, record.to_string()).unwrap();
            changed += 1;
        }
        assert!(changed > 0, "nothing is remembered");
    }

    /// As if a run each day for so many days had seen less room, `rate` bytes a day.
    fn remember(&self, days: i64, rate: impl Fn(i64) -> i64) {
        let ran = self.json();
        let free = ran["disks"][0]["free"].as_i64().unwrap();
        self.records(|record| {
            let (at, stored) = (now(), record["sizes"][0]["stored"].clone());
            let size = |day: i64| {
                json!({"at": at - day * 86_400, "stored": stored, "free": free + rate(day)})
            };
            record["sizes"] = (1..=days).rev().map(size).collect();
        });
    }
}

fn now() -> i64 {
    NOW.parse::<jiff::Timestamp>().unwrap().as_second()
}

fn of<'a>(json: &'a Value, name: &str) -> &'a Value {
    let all =
        json["macs"].as_array().unwrap().iter().flat_map(|m| m["bundles"].as_array().unwrap());
    all.into_iter().find(|b| b["name"] == name).unwrap()
}

#[test]
fn each_mac_has_its_bundles_and_what_is_left_over() {
    let f = Fixture::new();
    f.demo("Anna.sparsebundle");
    f.demo("Anna 1.sparsebundle");
    f.demo("Anna_2018-01-02-030405.sparsebundle");
    f.demo("Anna.purgeable.sparsebundle");
    f.other("b/Bert.sparsebundle");
    fs::create_dir(f.share().join("Cleo 2019-11-14-101010.incomplete")).unwrap();
    let path = f.share().join("Dora.sparsebundle");
    let encryption = Some(Encryption::with_password("geheim"));
    let image = tools::samples::sample("basic").unwrap().build().image;
    tools::bundle::write(&image, &path, &BundleOptions { encryption, ..Default::default() })
        .unwrap();
    let words = [
        "Anna   MacBookPro14,1 · 3B2A9C1E",
        "Bert   MacBookPro14,1 · 00000000",
        "left over: a second bundle",
        "left over: put aside",
        "left over: given up",
        "Cleo 2019-11-14-101010.incomplete is still being made",
        "no forecast (too little to go by: 1 size was seen over 0 days",
    ];
    f.watch(&["--warn-full", "1000d"]).expect(0, &words);
    let json = f.json();
    let names: Vec<&str> =
        json["macs"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Anna", "Bert", "Dora"]);
    let anna = of(&json, "Anna.sparsebundle");
    assert_eq!((&anna["leftover"], &anna["format"]), (&Value::Null, &json!("HFSX")));
    // 2019-11-02, -03, -06, -13: a day, three and seven.
    assert_eq!(anna["interval"], 3 * 86_400 + 61);
    assert_eq!(anna["last_completed"], 1_573_637_023);
    assert_eq!(anna["limit"], 1_073_782_784);
    assert_eq!(of(&json, "Anna 1.sparsebundle")["leftover"], "numbered");
    let dora = of(&json, "Dora.sparsebundle");
    assert_eq!((&dora["format"], &dora["encrypted"]), (&Value::Null, &json!(true)));
    assert_eq!(json["disks"].as_array().unwrap().len(), 1);
    // A number stays where nothing else is called so.
    let g = Fixture::new();
    g.demo("iMac 27.sparsebundle");
    assert_eq!(g.json()["macs"][0]["name"], "iMac 27");
    assert_eq!(g.json()["macs"][0]["bundles"][0]["leftover"], Value::Null);
}

#[test]
fn the_day_the_disk_is_full_and_who_stops_then() {
    let f = Fixture::new();
    f.demo("Anna.sparsebundle");
    f.other("Bert.sparsebundle");
    let free = f.json()["disks"][0]["free"].as_i64().unwrap();
    // What other tests write meanwhile is little beside it.
    let rate = free / 40;
    f.remember(20, |day| day * rate);
    let json = f.json();
    let disk = &json["disks"][0];
    let days = (disk["full_at"].as_i64().unwrap() - now()) / 86_400;
    println!("forecast {days} days, true 40");
    assert!((36..=44).contains(&days), "{json:#}");
    assert_eq!(disk["stops"], json!(["Anna", "Bert"]));
    assert!(disk["no_day"].is_null());
    assert_eq!(of(&json, "Anna.sparsebundle")["growth_per_week"], 0);
    f.watch(&["--warn-full", "60d"]).expect(1, &["full about 2019-12-2", "stop of Anna, Bert"]);
    f.watch(&["--warn-full", "20d"]).expect(0, &["full about"]);
    f.watch(&[]).expect(0, &["full about"]);
    let quiet = f.watch(&["-q", "--warn-full", "60d"]);
    assert_eq!(quiet.expect(1, &["full about"]).out.lines().count(), 1);
    assert_eq!(f.watch(&["-q", "--warn-full", "20d"]).expect(0, &[]).out, "");
    // Half a year later both Macs are gone, and nobody would stop; what is known is too old.
    let later = f.run("2020-05-14T20:00:00Z", "watch", &[]);
    later.expect(0, &["makes no backups any more", "too little to go by"]);
}

/// As everywhere 3 counts more than 1, and what is known is said all the same.
#[test]
fn a_disk_that_is_full_soon_is_told_beside_a_bundle_that_cannot_be_looked_at() {
    let f = Fixture::new();
    f.demo("Anna.sparsebundle");
    let free = f.json()["disks"][0]["free"].as_i64().unwrap();
    f.remember(20, |day| day * (free / 40));
    let soon = ["-q", "--warn-full", "60d"];
    f.watch(&soon).expect(1, &["full about"]);
    let lost = f.demo("Lost.sparsebundle");
    fs::remove_dir_all(lost.join("bands")).unwrap();
    let ran = f.watch(&soon);
    ran.expect(3, &["full about", "Lost.sparsebundle"]);
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
}

/// What the server tells Macs is what they go by, whatever the disk has.
#[test]
fn limits_of_the_server_and_the_macs_that_stop_without_a_word() {
    let f = Fixture::new();
    f.demo("Anna.sparsebundle");
    f.other("Bert.sparsebundle");
    let conf = f.dir.path().join("smb.conf");
    let limit = |limit: &str| {
        let text = format!(
            "[global]\nvfs objects = catia fruit streams_xattr\n[tm]\npath = {}\nread only = no\n\
             fruit:time machine = yes\n{limit}\n[other]\npath = /nonexistent\nfruit:time machine = yes\n",
            f.share().display()
        );
        fs::write(&conf, text).unwrap();
    };
    let config = ["--config", conf.to_str().unwrap()];
    let json = |f: &Fixture| -> Value {
        serde_json::from_str(&f.watch(&[&config[..], &["--json"]].concat()).out).unwrap()
    };
    limit("fruit:time machine max size = 900T");
    let first = json(&f);
    let share = &first["shares"][0];
    assert_eq!(first["shares"].as_array().unwrap().len(), 1);
    // As Samba counts: four bands of 1 MiB each, whatever they take on the disk.
    let bands = fs::read_dir(demo().join("bands")).unwrap().count() as u64;
    let plist = fs::read_to_string(demo().join("Info.plist")).unwrap();
    let band_size: u64 = plist
        .split("<key>band-size</key>")
        .nth(1)
        .unwrap()
        .split("integer>")
        .nth(1)
        .unwrap()
        .trim_end_matches("</")
        .parse()
        .unwrap();
    assert_eq!(share["used"], 2 * bands * band_size);
    assert_eq!(share["told"], (900u64 << 40) - 2 * bands * band_size);
    assert_eq!(share["unwarned"], json!(["Anna", "Bert"]));
    // Without a day nothing stops; with one both do, and are not warned.
    assert_eq!(first["disks"][0]["unwarned"], json!([]));
    let free = first["disks"][0]["free"].as_i64().unwrap();
    f.remember(20, |day| day * (free / 40));
    assert_eq!(json(&f)["disks"][0]["unwarned"], json!(["Anna", "Bert"]));
    let with = |more: &[&str]| f.watch(&[&config[..], more].concat());
    with(&["--warn-full", "60d"]).expect(
        1,
        &[
            "share tm (samba): limit 900 TiB",
            "and the disk has less",
            "stop of Anna, Bert, without a word",
        ],
    );
    // A limit that ends before the disk warns them.
    limit("fruit:time machine max size = 1G");
    let told = json(&f);
    assert_eq!(told["shares"][0]["unwarned"], json!([]));
    assert_eq!(told["disks"][0]["unwarned"], json!([]));
    // A size that Samba cannot read is none.
    limit("fruit:time machine max size = 900TB");
    with(&[]).expect(0, &["share tm (samba): no limit; Macs see what the disk has"]);
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/watch-1.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
    assert_eq!(validate(&schema, &first), [""; 0], "{first:#}");
    let metrics = with(&["--metrics", "-"]);
    assert!(parse(&metrics.out).iter().any(|s| s.0 == "tmbundle_watch_share_used_bytes"));
    // A share of Netatalk may have the name of one of Samba.
    let afp = f.dir.path().join("afp.conf");
    let text = format!("[tm]\npath = {}\ntime machine = yes\n", f.share().display());
    fs::write(&afp, text).unwrap();
    let both = with(&["--config", afp.to_str().unwrap(), "--metrics", "-"]);
    let used = parse(&both.out).into_iter().filter(|s| s.0 == "tmbundle_watch_share_used_bytes");
    let labels: Vec<_> = used.map(|s| (s.1["server"].clone(), s.1["share"].clone())).collect();
    let tm = |server: &str| (server.to_owned(), "tm".to_owned());
    assert_eq!(labels, [tm("samba"), tm("netatalk")]);
    let none = ["--config", "/nonexistent/smb.conf"];
    f.watch(&none).expect(3, &["there is no such file"]);
}

#[test]
fn shares_that_only_samba_knows_are_said_to_be_unseen() {
    let f = Fixture::new();
    f.demo("Anna.sparsebundle");
    let conf = f.dir.path().join("smb.conf");
    fs::write(&conf, "[global]\ninclude = registry\n").unwrap();
    let share = f.share();
    // Where there is no net(8) that could be asked.
    let watch = |more: &[&str]| {
        let args = ["watch", "--config", conf.to_str().unwrap(), share.to_str().unwrap()];
        let state = f.dir.path().join("state");
        let env = [("PATH", "/nonexistent"), ("XDG_STATE_HOME", state.to_str().unwrap())];
        tmbundle_with(&env, &[&args[..], more].concat())
    };
    watch(&[]).expect(0, &["shares in Samba's registry are not seen"]);
    assert_eq!(watch(&["-q"]).err, "");
}

/// Where a share ends at its limit before the disk is full, it is no day of the disk's.
#[test]
fn a_share_that_ends_at_its_limit_does_not_fill_the_disk() {
    use tmbundle::query::watch::{Look, Served, Watch};
    use tmbundle::state::Size;
    const GIB: u64 = 1 << 30;
    let day = 86_400;
    let look = |name: &str, uuid: &str| Look {
        path: format!("/srv/tm/{name}").into(),
        real: format!("/srv/tm/{name}").into(),
        counted: Some(100 * GIB),
        name: name.into(),
        host_uuid: Some(uuid.into()),
        model: None,
        format: None,
        encrypted: false,
        last_completed: Some(100 * day),
        interval: Some(3600),
        copied_per_week: None,
        stored: Some(100 * GIB),
        limit: 4000 * GIB,
        device: 1,
        total: Some(2000 * GIB),
        free: Some(400 * GIB),
        verified: None,
        verdict: None,
        sizes: (0..20)
            .map(|n| Size {
                at: (80 + n) * day,
                stored: 100 * GIB - (20 - n as u64) * 5 * GIB,
                free: Some(400 * GIB + (20 - n as u64) * 10 * GIB),
            })
            .collect(),
    };
    let looks = [look("A.sparsebundle", "a"), look("B.sparsebundle", "b")];
    let served = |limit: Option<u64>| {
        let path = "/srv/tm".into();
        [Served { name: "tm".into(), server: "samba", path, limit }]
    };
    let full = |limit| {
        let watch = Watch::of(&looks, &served(limit), 100 * day);
        (watch.disks[0].full_at.map(|at| at / day - 100), watch.disks[0].unwarned.clone())
    };
    // 400 GiB are free, and 10 GiB a day come.
    assert_eq!(full(None), (Some(40), vec![]));
    // Of 500 GiB both have 200: after 30 days they delete what is old.
    assert_eq!(full(Some(500 * GIB)), (None, vec![]));
    assert_eq!(full(Some(1000 * GIB)), (Some(40), vec!["A".to_owned(), "B".to_owned()]));
}

#[test]
fn a_disk_that_does_not_grow_has_no_day() {
    let f = Fixture::new();
    f.demo("Anna.sparsebundle");
    f.remember(20, |day| -day * (1 << 26));
    f.watch(&["--warn-full", "1000d"]).expect(0, &["no forecast (it does not grow)"]);
    f.remember(3, |day| day << 30);
    f.watch(&["--warn-full", "1000d"]).expect(0, &["no forecast (too little to go by"]);
}

#[test]
fn verify_remembers_sizes_and_older_records_are_read() {
    let f = Fixture::new();
    f.demo("Anna.sparsebundle");
    f.run(NOW, "verify", &[]).expect(0, &[]);
    f.records(|record| {
        let size = &record["sizes"][0];
        assert_eq!(size["at"], now());
        assert!(size["stored"].as_u64().unwrap() > 0 && size["free"].is_u64(), "{record:#}");
        record.as_object_mut().unwrap().remove("sizes");
    });
    f.watch(&[]).expect(0, &["ok, now"]);
    f.records(|record| {
        assert_eq!(record["verdict"], "ok");
        assert_eq!(record["sizes"].as_array().unwrap().len(), 1);
        // Nonsense of a clock or a hand is no forecast and no end.
        record["sizes"] = json!([
            {"at": i64::MIN, "stored": u64::MAX, "free": u64::MAX},
            {"at": i64::MAX, "stored": 0, "free": null},
            {"at": now() - 9, "stored": 1, "free": 1},
        ]);
    });
    f.watch(&["--warn-full", "1d"]).expect(0, &["too little to go by"]);
}

#[test]
fn json_is_as_its_schema_says_and_metrics_as_their_format() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/watch-1.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema).unwrap()).unwrap();
    let f = Fixture::new();
    let evil = "E\u{1b}[31m\"vil\n\u{202e}.sparsebundle";
    f.demo(evil);
    f.demo("Anna 1.sparsebundle");
    copy(&demo().with_file_name("DemoAPFS.backupbundle"), &f.share().join("New.backupbundle"));
    fs::create_dir(f.share().join("Empty.sparsebundle")).unwrap();
    f.remember(20, |day| day << 30);
    let ran = f.watch(&["--json"]);
    ran.expect(3, &[]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(validate(&schema, &json), [""; 0], "{json:#}");
    assert_eq!(json["errors"].as_array().unwrap().len(), 1);
    let mut bad = json.clone();
    bad["disks"][0]["more"] = json!(1);
    assert!(!validate(&schema, &bad).is_empty());
    let file = f.dir.path().join("watch.prom");
    let shown = f.watch(&["--metrics", file.to_str().unwrap()]);
    for c in (shown.out.clone() + &shown.err).chars() {
        assert!(c == '\n' || !c.is_control() && c != '\u{202e}', "{shown:#?}");
    }
    assert!(!shown.out.lines().any(|line| line.starts_with('\u{fffd}')), "{shown:#?}");
    let samples = parse(&fs::read_to_string(&file).unwrap());
    let value = |name: &str| samples.iter().find(|s| s.0 == name).unwrap().2;
    assert!(value("tmbundle_watch_run_exit_code") > 2.9);
    assert!(value("tmbundle_watch_disk_full_timestamp_seconds") > 1.5e9);
    assert_eq!(samples.iter().filter(|s| s.0 == "tmbundle_watch_stored_bytes").count(), 3);
}

#[test]
fn what_cannot_be_looked_at_or_written() {
    let f = Fixture::new();
    f.watch(&[]).expect(3, &["no *.sparsebundle or *.backupbundle"]);
    let anna = f.demo("Anna.sparsebundle");
    // Damage is for verify to tell.
    zero_volume_header(&f.demo("Bad.sparsebundle"));
    f.watch(&[]).expect(0, &["Bad.sparsebundle"]);
    let inside = anna.join("state");
    f.watch(&["--state-dir", inside.to_str().unwrap()]).expect(2, &["lies in the bundle"]);
    f.watch(&["--metrics", anna.join("m.prom").to_str().unwrap()]).expect(2, &["lies in the"]);
    f.watch(&["--json", "--metrics", "-"]).expect(2, &["both for standard output"]);
    f.watch(&["--warn-full", "soon"]).expect(2, &["not a duration"]);
    assert!(!inside.exists());
    let ran = f.watch(&["--metrics", "-"]);
    assert!(!parse(&ran.out).is_empty() && ran.err.contains("Anna.sparsebundle"));
    let none = f.dir.path().join("none");
    tmbundle_with(&[], &["watch", none.to_str().unwrap()]).expect(3, &["none"]);
    // A single bundle is a share of one, and a file is none.
    tmbundle_with(&[], &["watch", anna.to_str().unwrap()]).expect(0, &["Anna.sparsebundle"]);
    let file = anna.join("Info.plist");
    let ran = tmbundle_with(&[], &["watch", file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(3), "{ran:#?}");
}
