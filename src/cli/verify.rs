//! `tmbundle verify`.

use super::args::{FailOn, VerifyArgs};
use super::busy;
use super::memory::Memory;
use super::output::{self, Exit, stdout};
use super::password::Prompt;
use super::progress::Bars;
use super::text;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;
use tmbundle::Error;
use tmbundle::report::{Code, Finding, Severity};
use tmbundle::verify::{Options, Outcome, Verdict, skipped, verify};

/// Findings of one code that are shown without `--all`.
const SHOWN: usize = 3;

#[derive(Serialize)]
struct Document {
    sources: Vec<Outcome>,
    /// Sources that could not be examined.
    errors: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    source: String,
    error: String,
}

pub fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let memory = Memory::new(args)?;
    let bars = Bars::new(args.quiet);
    let mut document = Document { sources: Vec::new(), errors: Vec::new() };
    let mut worst = Exit::Ok;
    let mut out = stdout();
    for source in &args.sources {
        let started = Instant::now();
        match check(source, args, &memory, &bars) {
            Ok(outcome) => {
                bars.clear();
                if fails(&outcome, args.fail_on) {
                    worst = worst.max(Exit::Findings);
                }
                if !args.json {
                    print(&mut out, &outcome, args, started)?;
                }
                document.sources.push(outcome);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted.into()),
            Err(e) => {
                bars.clear();
                out.flush()?;
                worst = Exit::Failed;
                let failure =
                    Failure { source: source.display().to_string(), error: e.to_string() };
                document.errors.push(failure);
                output::fail(&e.into());
            }
        }
    }
    out.flush()?;
    drop(out);
    if args.json {
        output::json("tmbundle/verify/1", &document)?;
    }
    Ok(worst)
}

/// Check one source, unless it is in use.
fn check(
    source: &Path,
    args: &VerifyArgs,
    memory: &Memory<'_>,
    bars: &Bars,
) -> tmbundle::Result<Outcome> {
    let mut remembered = memory.of(source)?;
    let free = remembered.lock().and_then(|()| busy::settle(source, args.if_busy, bars));
    match free {
        Ok(()) => {}
        Err(e @ Error::Busy(_)) => {
            return Ok(skipped(source, &e.to_string(), remembered.unverified()));
        }
        Err(e) => return Err(e),
    }
    let prompt = if args.quick { Prompt::No } else { Prompt::Yes };
    let opened = args.password.open(source, prompt);
    let options =
        Options { manifest: remembered.manifest(), before: remembered.problem(), ..options(args) };
    let outcome = verify(source, opened, options, bars)?;
    remembered.verified(outcome.verdict);
    Ok(outcome)
}

fn options(args: &VerifyArgs) -> Options {
    let max_age = args.max_age.and_then(|age| i64::try_from(age.as_secs()).ok());
    let now = jiff::Timestamp::now().as_second();
    Options { quick: args.quick, max_age, now, ..Options::default() }
}

fn fails(outcome: &Outcome, from: FailOn) -> bool {
    let from = match from {
        FailOn::Info => Severity::Info,
        FailOn::Warning => Severity::Warning,
        FailOn::Damage => Severity::Damage,
    };
    outcome.worst() >= Some(from)
}

fn print(out: &mut impl Write, o: &Outcome, args: &VerifyArgs, started: Instant) -> io::Result<()> {
    let terminal = output::is_terminal();
    // Cron hears of a healthy backup by silence.
    let silent = args.quiet || !(terminal || args.verbose);
    if o.verdict == Verdict::Ok && o.not_checked.is_empty() && silent {
        return Ok(());
    }
    let name = o.source.trim_end_matches('/').rsplit('/').next().unwrap_or(&o.source);
    let bands =
        o.band_size.map(|b| format!(" in bands of {}", text::binary(b))).unwrap_or_default();
    let encrypted = if o.encrypted { " · encrypted" } else { "" };
    writeln!(out, "{}   {}{bands}{encrypted}", text::name(name, terminal), text::bytes(o.size))?;
    if !args.quiet {
        for layer in &o.layers {
            writeln!(out, "  {:12}{:8} {}", layer.name, layer.state.as_str(), layer.text)?;
        }
    }
    for skipped in &o.not_checked {
        writeln!(out, "  {} not checked: {}", skipped.what, skipped.why)?;
    }
    print_findings(out, o, args.all, terminal)?;
    summary(out, o, started)
}

fn print_findings(out: &mut impl Write, o: &Outcome, all: bool, terminal: bool) -> io::Result<()> {
    let visible = |f: &&Finding| all || f.severity > Severity::Info;
    let findings: Vec<&Finding> = o.findings.iter().filter(visible).collect();
    for group in findings.chunk_by(|a, b| a.code == b.code && a.severity == b.severity) {
        let shown = if all { group.len() } else { SHOWN.min(group.len()) };
        for f in &group[..shown] {
            let word = if f.severity == Severity::Damage { "DAMAGE" } else { f.severity.as_str() };
            writeln!(
                out,
                "  {word:8}{}{}  {}",
                text::name(&f.message, terminal),
                place(f),
                f.code
            )?;
        }
        let code = group[0].code;
        let more = group.len() - shown + left_out(o, code);
        if more > 0 {
            writeln!(out, "          … and {} more like this (--all)", text::count(more as u64))?;
        }
        writeln!(out, "          → {}", code.info().remedy)?;
    }
    Ok(())
}

fn left_out(o: &Outcome, code: Code) -> usize {
    let more = o.more.iter().find(|m| m.code == code);
    more.and_then(|m| usize::try_from(m.count).ok()).unwrap_or(0)
}

/// Where it is, for those who look with other tools.
fn place(f: &Finding) -> String {
    match (f.place.offset, &f.place.band) {
        (Some(offset), Some(band)) => format!(" (byte {}, band {band})", text::count(offset)),
        (Some(offset), None) => format!(" (byte {})", text::count(offset)),
        _ => String::new(),
    }
}

fn summary(out: &mut impl Write, o: &Outcome, started: Instant) -> io::Result<()> {
    let c = o.counts;
    let line = match o.verdict {
        Verdict::Ok if o.not_checked.is_empty() => "No damage.".to_owned(),
        Verdict::Ok => "No damage in what was checked.".to_owned(),
        _ => {
            let damage = (c.damage > 0).then(|| format!("{} damage", text::count(c.damage)));
            let warning = (c.warning > 0).then(|| text::plural(c.warning, "warning", "warnings"));
            let parts: Vec<String> = [damage, warning].into_iter().flatten().collect();
            let code = o.findings.first().map_or("CODE", |f| f.code.name());
            format!("{}.  Details: --all, --json; tmbundle explain {code}", parts.join(", "))
        }
    };
    writeln!(out, "{line}   {}", elapsed(started))
}

fn elapsed(started: Instant) -> String {
    let t = started.elapsed();
    if t.as_secs() < 10 {
        format!("{:.1} s", t.as_secs_f64())
    } else {
        text::duration(t.as_secs() as i64)
    }
}
