//! `tmbundle doctor`.

use super::args::{DoctorArgs, FailOn};
use super::metrics;
use super::output::{self, Exit};
use super::page::{self, Page, Tone, hanging};
use super::{clock, text, textfile};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use tmbundle::Error;
use tmbundle::report::{Severity, present};
use tmbundle::server::gather::{Depth, Gathered, NotSeen, Wanted, gather};
use tmbundle::server::host::Held;
use tmbundle::server::text::Root;
use tmbundle::server::{Fix, ShareRow, Told, examine, patch, share_rows};

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    /// Configuration files that were read.
    read: &'a [String],
    /// Shares and volumes for Time Machine.
    shares: Vec<ShareRow>,
    /// Bundles that are in use at this moment.
    held: &'a [Held],
    counts: Counts,
    findings: &'a [Told],
    not_seen: &'a [NotSeen],
}

#[derive(Serialize, Clone, Copy, Default)]
pub struct Counts {
    pub damage: u64,
    pub warning: u64,
    pub info: u64,
}

pub fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let taken =
        "--metrics - is for standard output, and so is --json or --fix: give --metrics a file";
    textfile::divert(args.metrics.as_deref(), (args.json || args.fix).then_some(taken))?;
    if let Some(file) = args.metrics.as_ref().filter(|file| !textfile::is_stdout(file)) {
        textfile::check(file)?;
    }
    let root = Root::new(args.root.as_deref().unwrap_or(Path::new("/")));
    let files = configs(args)?;
    let machine = args.config.is_empty() || args.root.is_some();
    let depth = if machine { Depth::Machine } else { Depth::Files };
    let max_age = args.max_age.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let found = gather(&Wanted { root: &root, files: &files, depth, now: clock::now(), max_age });
    if found.setup.is_empty() {
        let mut why = "no configuration of Samba, Netatalk or Avahi was found".to_owned();
        for seen in found.not_seen.iter().filter(|n| files.contains(&n.what)) {
            why.push_str(&format!("; {}: {}", seen.what, seen.why));
        }
        let path =
            args.config.first().or(args.root.as_ref()).cloned().unwrap_or_else(|| "/".into());
        return Err(Error::NotASource { path, why }.into());
    }
    let mut told = examine(&found.setup, &found.host);
    if !args.shares.is_empty() {
        only(&args.shares, &found, &mut told)?;
    }
    let counts = count(&told);
    let exit = if fails(args.fail_on, counts, &found) { Exit::Findings } else { Exit::Ok };
    if args.json {
        let document = Document {
            read: &found.read,
            shares: rows(&found),
            held: &found.host.held,
            counts,
            findings: &told,
            not_seen: &found.not_seen,
        };
        output::json("tmbundle/doctor/1", &document)?;
    } else if args.fix {
        let mut out = output::stdout();
        out.write_all(patch::patch(&root, &told).as_bytes())?;
        out.flush()?;
    } else {
        let mut out = page::main();
        print(&mut out, args, &found, &told, counts)?;
        out.flush()?;
    }
    if let Some(file) = &args.metrics {
        let mut codes = BTreeMap::new();
        told.iter().for_each(|t| *codes.entry(t.finding.code.name()).or_insert(0u64) += 1);
        textfile::put(file, &metrics::doctor(counts, &codes, exit.code(), clock::now()))?;
    }
    Ok(exit)
}

/// The files of `--config`: with `--root` as the system there knows them, else as here.
fn configs(args: &DoctorArgs) -> tmbundle::Result<Vec<String>> {
    names(&args.config, args.root.is_some())
}

/// Names of configuration files: as they are if they are names `below` a root, else from here.
pub fn names(paths: &[PathBuf], below: bool) -> tmbundle::Result<Vec<String>> {
    let mut files = Vec::new();
    for path in paths {
        let text = path.to_str().ok_or_else(|| {
            Error::Invalid(format!("--config {}: the name is no UTF-8", path.display()))
        })?;
        if below || path.is_absolute() {
            files.push(text.to_owned());
            continue;
        }
        let here = std::env::current_dir().map_err(|e| Error::io("the current folder", e))?;
        files.push(here.join(path).to_string_lossy().into_owned());
    }
    Ok(files)
}

/// Leave findings about other shares out.
fn only(names: &[String], found: &Gathered, told: &mut Vec<Told>) -> anyhow::Result<()> {
    let rows = rows(found);
    let mut wanted = Vec::new();
    for name in names {
        let path = name.trim_end_matches('/');
        let hit = |r: &&ShareRow| {
            r.name.eq_ignore_ascii_case(name)
                || r.path.as_deref().is_some_and(|p| p.trim_end_matches('/') == path)
        };
        let Some(row) = rows.iter().find(hit) else {
            let known: Vec<&str> = rows.iter().map(|r| r.name.as_str()).collect();
            let text = format!("there is no share '{name}'; there are: {}", known.join(", "));
            return Err(Error::NotFound(text).into());
        };
        wanted.push(row.name.clone());
    }
    told.retain(|t| t.share.as_ref().is_none_or(|s| wanted.contains(s)));
    Ok(())
}

fn rows(found: &Gathered) -> Vec<ShareRow> {
    share_rows(&found.setup, &found.host)
}

fn count(told: &[Told]) -> Counts {
    let mut counts = Counts::default();
    for one in told {
        match one.finding.severity {
            Severity::Damage => counts.damage += 1,
            Severity::Warning => counts.warning += 1,
            Severity::Info => counts.info += 1,
        }
    }
    counts
}

fn fails(on: FailOn, counts: Counts, found: &Gathered) -> bool {
    match on {
        FailOn::Info => counts.damage + counts.warning + counts.info > 0,
        FailOn::Warning => counts.damage + counts.warning > 0,
        FailOn::Unchecked => counts.damage + counts.warning > 0 || !found.not_seen.is_empty(),
        FailOn::Damage => counts.damage > 0,
    }
}

/// Where the words of a finding begin.
const INDENT: usize = 10;

fn print(
    out: &mut Page<impl Write>,
    args: &DoctorArgs,
    found: &Gathered,
    told: &[Told],
    counts: Counts,
) -> std::io::Result<()> {
    let quiet = args.quiet || !(output::is_terminal() || args.verbose);
    if quiet && counts.damage + counts.warning + counts.info == 0 {
        return Ok(());
    }
    if !args.quiet {
        for row in rows(found).iter().filter(|r| r.time_machine) {
            let limit =
                row.limit.map_or("no limit".into(), |l| format!("up to {}", text::bytes(l)));
            let path = row.path.as_deref().unwrap_or("no path");
            let head = hanging(4).tone(Tone::Strong, &row.name);
            out.put(head.plain(format!("   {} · {path} · {limit}", row.server)))?;
        }
    }
    for held in found.host.held.iter().filter(|_| !args.quiet) {
        let who =
            if held.who.is_empty() { String::new() } else { format!(" ({})", held.who.join(", ")) };
        let text = format!("  in use: {}: {}{who}", held.path, held.signs.join("; "));
        out.put(hanging(4).plain(text))?;
    }
    for one in told {
        finding(out, one)?;
    }
    if !args.quiet {
        for seen in &found.not_seen {
            out.put(hanging(4).plain(format!("  not looked at: {} ({})", seen.what, seen.why)))?;
        }
    }
    summary(out, told, counts)
}

fn finding(out: &mut Page<impl Write>, one: &Told) -> std::io::Result<()> {
    let (word, tone) = match one.finding.severity {
        Severity::Damage => ("FAULT", Tone::Bad),
        Severity::Warning => ("warning", Tone::Warn),
        Severity::Info => ("advice", Tone::Plain),
    };
    let place = match one.line() {
        (Some(path), Some(line)) => format!("{path}:{line}: "),
        _ => String::new(),
    };
    let line = hanging(INDENT).plain("  ").tone(tone, format!("{word:8}")).solid(place);
    out.put(
        line.plain(&one.finding.message).plain("  ").tone(Tone::Strong, one.finding.code.name()),
    )?;
    let say = |out: &mut Page<_>, text: &str| {
        out.put(hanging(INDENT + 2).plain(format!("{:INDENT$}{text}", "")))
    };
    say(out, one.finding.code.info().meaning)?;
    match &one.fix {
        None => say(out, &format!("→ {}", one.finding.remedy)),
        Some(Fix::Command { text }) => {
            say(out, &format!("→ {}", one.finding.remedy))?;
            out.row(format!("{:INDENT$}  {text}", ""))
        }
        Some(Fix::Remove { line, .. }) => say(out, &format!("→ Remove line {line}.")),
        Some(Fix::Replace { line, text, .. }) => {
            say(out, &format!("→ Line {line} should be:"))?;
            lines(out, text)
        }
        Some(Fix::Insert { line, text, .. }) => {
            say(out, &format!("→ Add behind line {line}:"))?;
            lines(out, text)
        }
    }
}

/// Lines to copy, as they are.
fn lines(out: &mut Page<impl Write>, text: &str) -> std::io::Result<()> {
    text.split('\n').try_for_each(|line| out.row(format!("{:INDENT$}  {}", "", present(line))))
}

fn summary(out: &mut Page<impl Write>, told: &[Told], counts: Counts) -> std::io::Result<()> {
    let mut parts = Vec::new();
    for (n, one, more) in [
        (counts.damage, "fault", "faults"),
        (counts.warning, "warning", "warnings"),
        (counts.info, "advice", "pieces of advice"),
    ] {
        if n > 0 {
            parts.push(text::plural(n, one, more));
        }
    }
    let Some(first) = told.first() else {
        return out.put(hanging(2).tone(Tone::Good, "Nothing is wrong in what was looked at."));
    };
    let tone = if counts.damage > 0 { Tone::Bad } else { Tone::Warn };
    let exact = told.iter().any(|t| !matches!(t.fix, None | Some(Fix::Command { .. })));
    let fix = if exact { "--fix prints a patch; " } else { "" };
    let more = format!("  {fix}tmbundle explain {}", first.finding.code.name());
    out.put(hanging(2).tone(tone, format!("{}.", parts.join(", "))).plain(more))
}
