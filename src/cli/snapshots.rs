//! `tmbundle snapshots`.

use super::args::SnapshotsArgs;
use super::output::{self, Exit, stdout};
use super::password::Prompt;
use super::text;
use serde::Serialize;
use std::io::Write;
use tmbundle::Error;
use tmbundle::timemachine::{Archive, Backup, Computer, Snapshot};

#[derive(Serialize)]
struct Document {
    source: String,
    snapshots: Vec<Row>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    computer: String,
    name: String,
    state: &'static str,
    snapshot_state: Option<i64>,
    number: Option<i64>,
    /// Microseconds since 1970.
    started: Option<i64>,
    /// Microseconds since 1970.
    completed: Option<i64>,
    bytes_copied: Option<u64>,
    volumes: Vec<Store>,
}

#[derive(Serialize)]
struct Store {
    name: String,
    uuid: Option<String>,
    bytes_used: Option<u64>,
}

pub fn run(args: &SnapshotsArgs) -> anyhow::Result<Exit> {
    let disk = args.password.open(&args.source, Prompt::Yes)?;
    let archive = Archive::open(&disk)?;
    archive.require_volume()?;
    let Some((_, backup)) = archive.backup() else {
        let text =
            format!("{} is not a Time Machine backup: no Backups.backupdb on it", archive.name);
        return Err(Error::NotFound(text).into());
    };
    if args.json {
        let snapshots = backup.snapshots().map(|(c, s)| row(c, s)).collect();
        let problems = backup.problems.clone();
        let source = args.source.display().to_string();
        output::json("tmbundle/snapshots/1", &Document { source, snapshots, problems })?;
    } else {
        table(backup)?;
    }
    for problem in &backup.problems {
        output::note(&format!("warning: {problem}"));
    }
    Ok(if backup.problems.is_empty() { Exit::Ok } else { Exit::Findings })
}

fn row(c: &Computer, s: &Snapshot) -> Row {
    let store = |v: &tmbundle::timemachine::VolumeStore| Store {
        name: v.name.clone(),
        uuid: v.uuid.clone(),
        bytes_used: v.bytes_used,
    };
    Row {
        computer: c.name.clone(),
        name: s.name.clone(),
        state: s.state.name(),
        snapshot_state: s.raw_state,
        number: s.number,
        started: s.started,
        completed: s.completed,
        bytes_copied: s.bytes_copied,
        volumes: s.volumes.iter().map(store).collect(),
    }
}

fn table(backup: &Backup) -> anyhow::Result<()> {
    let terminal = output::is_terminal();
    let mut out = stdout();
    let many = backup.computers.len() > 1;
    for computer in &backup.computers {
        if many {
            writeln!(out, "{}:", text::name(&computer.name, terminal))?;
        }
        let width = computer.snapshots.iter().map(|s| s.name.len()).max().unwrap_or(0).max(17);
        writeln!(
            out,
            "{:width$}  {:>8}  {:>9}  {:>9}  {:15}  VOLUMES",
            "SNAPSHOT", "AGE", "TOOK", "COPIED", "STATE"
        )?;
        for s in &computer.snapshots {
            let seconds = |us: i64| us / 1_000_000;
            let age = s.completed.or(s.started).map_or("–".into(), |d| text::age(seconds(d)));
            let took = s
                .started
                .zip(s.completed)
                .map_or("–".into(), |(a, b)| text::duration(seconds(b - a)));
            let copied = s.bytes_copied.map_or("–".into(), text::bytes);
            let volumes: Vec<_> = s.volumes.iter().map(|v| text::name(&v.name, terminal)).collect();
            let name = text::name(&s.name, terminal);
            let state = s.state.name();
            writeln!(
                out,
                "{name:width$}  {age:>8}  {took:>9}  {copied:>9}  {state:15}  {}",
                volumes.join(", ")
            )?;
        }
    }
    out.flush()?;
    Ok(())
}
