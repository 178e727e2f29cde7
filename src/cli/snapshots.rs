//! `tmbundle snapshots`.

use super::args::SnapshotsArgs;
use super::flags::exit_of;
use super::output::{self, Exit};
use super::page::{self, Page, Tone, hanging};
use super::password::Prompt;
use super::text;
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write;
use tmbundle::fs::ViewId;
use tmbundle::report::present;
use tmbundle::timemachine::{Backup, Computer, Snapshot};

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
    /// Why it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

#[derive(Serialize)]
struct Store {
    name: String,
    uuid: Option<String>,
    bytes_used: Option<u64>,
}

pub fn run(args: &SnapshotsArgs) -> anyhow::Result<Exit> {
    let layout = args.password.open(&args.source, Prompt::Yes)?;
    let archive = args.salvage.open(&layout)?;
    archive.require_volume()?;
    let Some((volume, backup)) = archive.backup() else {
        return Err(archive.no_backup().into());
    };
    let shut: Shut =
        volume.shut(backup).into_iter().map(|(s, e)| (s.view, e.to_string())).collect();
    let named = |(c, s): (&Computer, &Snapshot)| {
        let why = shut.get(&s.view)?;
        Some(format!("snapshot {} of {} cannot be read: {why}", s.name, c.name))
    };
    let unreadable = backup.snapshots().filter_map(named);
    let problems: Vec<String> = unreadable.chain(backup.problems.iter().cloned()).collect();
    if args.json {
        let snapshots = backup.snapshots().map(|(c, s)| row(c, s, &shut)).collect();
        let problems = archive.older().map(str::to_owned).chain(problems.iter().cloned()).collect();
        let source = args.source.display().to_string();
        output::json("tmbundle/snapshots/1", &Document { source, snapshots, problems })?;
    } else {
        table(backup, &shut)?;
    }
    for problem in &problems {
        output::warn(problem);
    }
    // Nothing could be listed because nothing could be read: that is no list.
    let none = backup.unread.is_some() && backup.snapshots().next().is_none();
    Ok(match problems.is_empty() {
        _ if none => Exit::Failed,
        true => exit_of(&archive),
        false => Exit::Findings,
    })
}

/// Why the views of snapshots cannot be opened.
type Shut = HashMap<ViewId, String>;

fn row(c: &Computer, s: &Snapshot, shut: &Shut) -> Row {
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
        unreadable: shut.get(&s.view).cloned(),
    }
}

fn table(backup: &Backup, shut: &Shut) -> anyhow::Result<()> {
    let mut out = page::stdout();
    let many = backup.computers.len() > 1;
    for computer in &backup.computers {
        if many {
            out.put(hanging(2).tone(Tone::Strong, format!("{}:", computer.name)))?;
        }
        let header = ["SNAPSHOT", "AGE", "TOOK", "COPIED", "STATE", "VOLUMES"];
        let rows = computer.snapshots.iter().map(|s| cells(s, shut));
        let rows: Vec<_> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
        print_rows(&mut out, &rows)?;
    }
    out.flush()?;
    Ok(())
}

fn cells(s: &Snapshot, shut: &Shut) -> [String; 6] {
    let seconds = |us: i64| us.div_euclid(1_000_000);
    let none = || "–".to_owned();
    let age = s.completed.or(s.started).map_or_else(none, |d| text::age(seconds(d)));
    let took = s.started.zip(s.completed);
    let took = took.map_or_else(none, |(a, b)| text::duration(seconds(b.saturating_sub(a))));
    let copied = s.bytes_copied.map_or_else(none, text::bytes);
    let volumes: Vec<_> = s.volumes.iter().map(|v| v.name.as_str()).collect();
    let state = if shut.contains_key(&s.view) { "UNREADABLE" } else { s.state.name() };
    [s.name.clone(), age, took, copied, state.to_owned(), volumes.join(", ")]
}

/// Length of the name of a completed snapshot.
const STAMP: usize = 17;
/// Room that the names of volumes need at least.
const ROOM: usize = 14;

/// Columns as wide as what is in them; the last one wraps. Where a terminal is too narrow,
/// the long name of an unfinished snapshot has a line of its own.
fn print_rows(out: &mut Page<impl Write>, rows: &[[String; 6]]) -> std::io::Result<()> {
    let width = |column: usize| {
        rows.iter().map(|row| present(&row[column]).chars().count()).max().unwrap_or(0)
    };
    let mut widths: [usize; 5] = std::array::from_fn(width);
    let columns = |widths: &[usize; 5]| widths.iter().sum::<usize>() + 2 * widths.len();
    if out.width().is_some_and(|width| columns(&widths) + ROOM > width) {
        widths[0] = widths[0].min(STAMP);
    }
    let [w0, w1, w2, w3, w4] = widths;
    for (n, [name, age, took, copied, state, volumes]) in rows.iter().enumerate() {
        let mut name = present(name).into_owned();
        if name.chars().count() > w0 {
            out.row(&name)?;
            name.clear();
        }
        let row = format!("{name:w0$}  {age:>w1$}  {took:>w2$}  {copied:>w3$}  {state:w4$}");
        let tone = if n == 0 { Tone::Strong } else { Tone::Plain };
        let mut row = hanging(columns(&widths)).tone(tone, row.trim_end());
        let blanks = w4.saturating_sub(state.chars().count()) + 2;
        for (n, volume) in volumes.split_inclusive(", ").enumerate() {
            let blanks = if n == 0 { " ".repeat(blanks) } else { " ".into() };
            row = row.plain(blanks).solid(volume.trim_end());
        }
        out.put(row)?;
    }
    Ok(())
}
