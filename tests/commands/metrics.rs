//! `--metrics`: the file holds against the grammar of the Prometheus text format
//! (written here once more, strictly), against promtool where that is installed, and
//! against what `--json` says of the same bundles.

use crate::common;

use crate::common::{copy_demo, tmbundle};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A sample: metric, labels, value.
pub(super) type Sample = (String, BTreeMap<String, String>, f64);

/// Parse the text format 0.0.4, and no more of it than a good file needs: every family
/// has HELP, TYPE, then its samples; no series stands twice.
pub(super) fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'), "the last line must end");
    let mut samples: Vec<Sample> = Vec::new();
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut family = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
            assert!(families.insert(name.to_owned()), "{name} stands twice");
            assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
            family = name.to_owned();
            continue;
        }
        let end = line.find(['{', ' ']).expect("a name and a value");
        let (name, rest) = line.split_at(end);
        assert_eq!(name, family, "a sample outside its family: {line}");
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => parse_labels(rest),
            None => (BTreeMap::new(), rest),
        };
        let value = value.strip_prefix(' ').expect("a space before the value");
        let value: f64 = value.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(series.insert((name.to_owned(), labels.clone())), "twice: {line}");
        samples.push((name.to_owned(), labels, value));
    }
    samples
}

fn is_name(name: &str) -> bool {
    name.starts_with("tmbundle_")
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Labels up to the closing brace, and what follows it.
fn parse_labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (key, after) = rest.split_once("=\"").expect("key=\"");
        assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{key}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match chars.next().map(|c| c.1) {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => panic!("escape {other:?}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(key.to_owned(), value).is_none());
        rest = &after[end..];
        if let Some(rest) = rest.strip_prefix('}') {
            return (labels, rest);
        }
        rest = rest.strip_prefix(',').expect("a comma");
    }
}

/// What Prometheus itself says of a file.
fn promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        common::skipped(format_args!("promtool check metrics: it is not installed"));
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}\n{text}");
    assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}");
}

fn value(samples: &[Sample], name: &str, bundle: &str, label: Option<(&str, &str)>) -> Option<f64> {
    let mut found = samples.iter().filter(|(n, labels, _)| {
        n == name
            && labels.get("bundle").is_some_and(|b| b == bundle)
            && label.is_none_or(|(k, v)| labels.get(k).is_some_and(|l| l == v))
    });
    let value = found.next().map(|s| s.2);
    assert!(found.next().is_none(), "{name} of {bundle} is not one");
    value
}

fn read(file: &Path) -> Vec<Sample> {
    let text = fs::read_to_string(file).unwrap();
    promtool(&text);
    parse(&text)
}

#[test]
fn the_file_says_what_json_says_of_good_bad_and_unreadable_bundles() {
    let dir = tempfile::tempdir().unwrap();
    let share = dir.path().join("share");
    fs::create_dir(&share).unwrap();
    // Names that need every escape there is.
    let (good, bad, none) = ("A \"q\" \\n\nx.sparsebundle", "Bad.sparsebundle", "No.sparsebundle");
    copy_demo(&share.join(good));
    copy_demo(&share.join(bad));
    common::zero_volume_header(&share.join(bad));
    fs::create_dir(share.join(none)).unwrap();
    let file = dir.path().join("tm.prom");
    let args = ["verify", "--json", "--metrics", file.to_str().unwrap(), share.to_str().unwrap()];
    let ran = tmbundle(&args);
    ran.expect(3, &[]);
    let samples = read(&file);
    let get = |name, bundle| value(&samples, name, bundle, None);
    for (bundle, up, verdict) in [(good, 1.0, Some(0.0)), (bad, 1.0, Some(2.0)), (none, 0.0, None)]
    {
        assert_eq!(get("tmbundle_up", bundle), Some(up), "{bundle}");
        assert_eq!(get("tmbundle_verdict", bundle), verdict, "{bundle}");
    }
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    for source in json["sources"].as_array().unwrap() {
        let bundle = Path::new(source["source"].as_str().unwrap()).strip_prefix(&share).unwrap();
        let bundle = bundle.to_str().unwrap();
        for severity in ["damage", "warning", "info"] {
            let got = value(&samples, "tmbundle_findings", bundle, Some(("severity", severity)));
            assert_eq!(got, source["counts"][severity].as_f64(), "{bundle} {severity}");
        }
        for finding in source["findings"].as_array().unwrap() {
            let code = finding["code"].as_str().unwrap();
            let n = value(&samples, "tmbundle_findings_by_code", bundle, Some(("code", code)));
            assert!(n >= Some(1.0), "{bundle} {code}");
        }
        assert_eq!(get("tmbundle_size_bytes", bundle), source["size"].as_f64());
        // At least the 30 nodes of 4 KiB of the catalog, at most all four bands twice.
        let read = get("tmbundle_read_bytes", bundle).unwrap();
        assert!((30.0 * 4096.0..8.0 * 1048576.0).contains(&read), "{read}");
        // The demo's bands: testdata/Demo.sparsebundle/bands.
        assert_eq!(get("tmbundle_bands", bundle), Some(4.0));
    }
    // 2019-11-13 10:29:43 UTC, as the history in the bundle says.
    let history =
        fs::read_to_string(common::demo().join("com.apple.TimeMachine.SnapshotHistory.plist"))
            .unwrap();
    let last = get("tmbundle_last_backup_timestamp_seconds", good).unwrap();
    let date = jiff::Timestamp::from_second(last as i64).unwrap().to_string();
    assert!(history.contains(&date), "{date} is not in {history}");
    assert!(get("tmbundle_last_verification_timestamp_seconds", good).unwrap() > 1.7e9);
    assert_eq!(get("tmbundle_last_verification_timestamp_seconds", none), None);
    let whole = |name: &str| samples.iter().find(|s| s.0 == name).unwrap().2;
    assert_eq!(whole("tmbundle_run_exit_code"), 3.0);

    // All may read it, and nothing else is left in the folder.
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    // Every metric is on the page, and nothing else.
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring.md");
    let page = fs::read_to_string(page).unwrap();
    let mut names: BTreeSet<&str> = samples.iter().map(|s| s.0.as_str()).collect();
    // Only of a share.
    names.insert("tmbundle_run_not_verified");
    let on_page: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("tmbundle_"))
        .collect();
    assert_eq!(names, on_page, "docs/monitoring.md and --metrics");
}

#[test]
fn an_encrypted_or_skipped_bundle_is_told_apart_from_a_sound_one() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    let file = dir.path().join("tm.prom");
    // A lock on the token, as a file server holds while a Mac is attached.
    let token = fs::File::options().read(true).write(true).open(bundle.join("token")).unwrap();
    rustix::fs::fcntl_lock(&token, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let (file_arg, path) = (file.to_str().unwrap(), bundle.to_str().unwrap());
    tmbundle(&["verify", "--if-busy", "skip", "--metrics", file_arg, path])
        .expect(0, &["not checked"]);
    let samples = read(&file);
    let get = |samples: &[Sample], name: &str| value(samples, name, "Mac.sparsebundle", None);
    assert_eq!(get(&samples, "tmbundle_skipped"), Some(1.0));
    assert_eq!(get(&samples, "tmbundle_busy"), Some(1.0));
    assert_eq!(get(&samples, "tmbundle_last_verification_timestamp_seconds"), None);
    tmbundle(&["verify", "--metrics", file_arg, path]).expect(0, &[]);
    let samples = read(&file);
    assert_eq!(get(&samples, "tmbundle_skipped"), Some(0.0));
    assert_eq!(get(&samples, "tmbundle_busy"), Some(1.0));
    drop(token);
    tmbundle(&["verify", "--quick", "--metrics", file_arg, path]).expect(0, &[]);
    let samples = read(&file);
    assert_eq!(get(&samples, "tmbundle_busy"), Some(0.0));
    assert_eq!(get(&samples, "tmbundle_not_checked"), Some(1.0));
}

#[test]
fn nothing_is_written_into_a_source_or_where_there_is_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    let path = bundle.to_str().unwrap();
    for file in [format!("{path}/tm.prom"), format!("{path}/bands/tm.prom")] {
        tmbundle(&["verify", "--metrics", &file, path]).expect(2, &["--metrics"]);
    }
    for file in
        [format!("{}/nothing/tm.prom", dir.path().display()), dir.path().display().to_string()]
    {
        tmbundle(&["verify", "--metrics", &file, path]).expect(3, &["error: --metrics"]);
    }
    let image = dir.path().join("disk.img");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    let image = image.to_str().unwrap();
    tmbundle(&["verify", "--metrics", image, image]).expect(2, &["backup"]);
    assert_eq!(fs::metadata(image).unwrap().len(), 1 << 20);
    assert!(!bundle.join("tm.prom").exists());
}

#[test]
fn a_device_or_a_pipe_is_never_replaced_by_the_metrics() {
    use std::os::unix::fs::FileTypeExt;
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.prom");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let link = dir.path().join("link.prom");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/Demo.sparsebundle");
    for place in [&pipe, &link] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"));
        let out = command.args(["verify", demo, "--metrics"]).arg(place).output().unwrap();
        assert_eq!(out.status.code(), Some(3), "{out:?}");
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(said.contains("not a regular file"), "{said}");
    }
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn no_name_makes_a_terminal_obey_that_shows_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    // The third looks like the first once that is escaped.
    for name in ["a\x1b[2J", "b\u{202e}c", "a\\u{1b}[2J"] {
        copy_demo(&dir.path().join(format!("{name}.sparsebundle")));
    }
    let share = dir.path().to_str().unwrap();
    let ran = tmbundle(&["verify", "--metrics", "-", share]);
    ran.expect(0, &["a\\\\u{1b}[2J.sparsebundle", "b\\\\u{202e}c.sparsebundle"]);
    assert!(!ran.out.contains(['\x1b', '\u{202e}']), "{ran:?}");
    let up: Vec<&str> = ran.out.lines().filter(|l| l.starts_with("tmbundle_up{")).collect();
    let distinct: std::collections::HashSet<_> = up.iter().collect();
    assert_eq!((up.len(), distinct.len()), (3, 3), "{up:#?}");
}

#[test]
fn a_file_that_is_none_of_our_metrics_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    let image = dir.path().join("Backup.img");
    fs::write(&image, vec![7; 1 << 20]).unwrap();
    let (file, source) = (image.to_str().unwrap(), bundle.to_str().unwrap());
    for link in [None, Some("link.prom")] {
        let place = link.map(|link| dir.path().join(link));
        if let Some(place) = &place {
            std::os::unix::fs::symlink(&image, place).unwrap();
        }
        let place = place.as_deref().map_or(file, |p| p.to_str().unwrap());
        let ran = tmbundle(&["verify", "--metrics", place, source]);
        ran.expect(2, &["none of tmbundle's metrics"]);
        assert_eq!(fs::read(&image).unwrap(), vec![7; 1 << 20]);
    }
    // What is empty, or ours, is.
    let prom = dir.path().join("tmbundle.prom");
    fs::write(&prom, b"").unwrap();
    for _ in 0..2 {
        tmbundle(&["verify", "--metrics", prom.to_str().unwrap(), source]).expect(0, &[]);
        assert!(fs::read(&prom).unwrap().starts_with(b"# HELP tmbundle"));
    }
}
