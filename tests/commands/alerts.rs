//! The alerts and the dashboard that are shipped, beside the metrics that are written.

use crate::common;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Names of metrics in a text.
fn metrics(text: &str) -> HashSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tmbundle_")).collect()
}

fn promtool(args: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus");
    match Command::new("promtool").args(args).current_dir(folder).output() {
        Err(e) => common::skipped(format_args!("promtool {}: {e}", args.join(" "))),
        Ok(out) => assert!(out.status.success(), "{out:?}"),
    }
}

#[test]
fn the_alerts_fire_when_they_should_and_not_otherwise() {
    promtool(&["check", "rules", "tmbundle-alerts.yml"]);
    promtool(&["test", "rules", "tmbundle-alerts.test.yml"]);
}

#[test]
fn every_alert_has_a_test_stands_on_the_page_and_leads_to_a_runbook_that_is_there() {
    let (rules, tests) = (
        read("packaging/prometheus/tmbundle-alerts.yml"),
        read("packaging/prometheus/tmbundle-alerts.test.yml"),
    );
    let page = read("docs/monitoring.md");
    let on_page: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `TimeMachine"))
        .filter_map(|line| line.split('`').next())
        .collect();
    let in_rules: Vec<&str> =
        rules.lines().filter_map(|l| l.trim().strip_prefix("- alert: TimeMachine")).collect();
    assert_eq!(in_rules, on_page);
    for alert in in_rules {
        let fires = format!("alertname: TimeMachine{alert}\n        exp_alerts:");
        assert!(tests.contains(&fires), "{alert} is never shown to fire");
        assert!(tests.contains(&format!("alertname: TimeMachine{alert}}}")), "nor to be silent");
    }
    for line in rules.lines().filter_map(|l| l.trim().strip_prefix("runbook: ")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(line).exists(), "{line}");
    }
    for metric in metrics(&rules) {
        assert!(
            page.contains(&format!("`{metric}`")) || page.contains(&format!("`{metric}{{")),
            "{metric}"
        );
    }
}

/// The classic model of Grafana's documentation, "Dashboard JSON model", as far as it is used.
#[test]
fn the_dashboard_has_the_structure_that_grafana_documents() {
    let dash: Value =
        serde_json::from_str(&read("packaging/prometheus/tmbundle-dashboard.json")).unwrap();
    let schema: Value =
        serde_json::from_str(&read("packaging/prometheus/dashboard.schema.json")).unwrap();
    let wrong = common::schema::validate(&schema, &dash);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let panels = dash["panels"].as_array().unwrap();
    let ids: HashSet<i64> = panels.iter().map(|p| p["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids of panels are unique");
    let mut cells = HashSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_i64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "panels overlap at {x}, {y}");
            }
        }
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_are_written_and_its_expressions_are_promql() {
    let text = read("packaging/prometheus/tmbundle-dashboard.json");
    let dash: Value = serde_json::from_str(&text).unwrap();
    let page = read("docs/monitoring.md");
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    let mut names = HashSet::new();
    let panels = dash["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for (n, target) in targets.enumerate() {
        let expr = target["expr"].as_str().unwrap();
        names.extend(metrics(expr).into_iter().map(str::to_owned));
        let expr = Value::from(expr.replace("$instance", ".*"));
        rules += &format!("      - {{record: \"panel:{n}\", expr: {expr}}}\n");
    }
    for name in &names {
        assert!(page.contains(&format!("`{name}")), "{name} is not documented");
    }
    // One row a Mac: age, verdict, growth, days until the share is full.
    for name in [
        "tmbundle_verdict",
        "tmbundle_last_backup_timestamp_seconds",
        "tmbundle_watch_growth_bytes_per_week",
        "tmbundle_watch_disk_full_timestamp_seconds",
    ] {
        assert!(names.contains(name), "{name}");
    }
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    fs::write(file.path(), rules).unwrap();
    promtool(&["check", "rules", file.path().to_str().unwrap()]);
}

/// The files as a run writes them go through Prometheus' own reader, too.
#[test]
fn promtool_reads_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    common::copy_demo(&dir.path().join("Demo.sparsebundle"));
    for command in ["verify", "watch"] {
        let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .args([command, "--metrics", "-"])
            .arg(dir.path())
            .env("XDG_STATE_HOME", dir.path().join("state"))
            .output()
            .unwrap();
        let text = tempfile::NamedTempFile::new().unwrap();
        fs::write(text.path(), &out.stdout).unwrap();
        let read = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(fs::File::open(text.path()).unwrap())
            .output();
        match read {
            Err(e) => common::skipped(format_args!("promtool check metrics: {e}")),
            // 3 is advice on names.
            Ok(read) => assert!(matches!(read.status.code(), Some(0 | 3)), "{read:?}"),
        }
    }
}
