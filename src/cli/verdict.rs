//! The outcome of a verification in text: one bundle in full, several on a line each.

use super::args::VerifyArgs;
use super::cost;
use super::output;
use super::text;
use std::io::{self, Write};
use std::time::Duration;
use tmbundle::report::{Code, Finding, Severity};
use tmbundle::verify::{Outcome, Verdict};

/// Findings of one code that are shown without `--all`.
const SHOWN: usize = 3;

/// How outcomes are printed.
pub struct Printer {
    terminal: bool,
    /// Say nothing about what is well.
    silent: bool,
    /// Print the layers.
    layers: bool,
    all: bool,
    /// Width of the names, when each source has a line of its own.
    line: Option<usize>,
    tally: Tally,
}

/// How many bundles fared how.
#[derive(Default)]
struct Tally {
    ok: u64,
    warning: u64,
    damage: u64,
    skipped: u64,
    failed: u64,
}

impl Printer {
    /// As the arguments say; `names` if there are several sources.
    pub fn new<'a>(args: &VerifyArgs, names: Option<impl Iterator<Item = &'a str>>) -> Self {
        let terminal = output::is_terminal();
        let width = |names: &mut dyn Iterator<Item = &'a str>| {
            names.map(|n| text::name(n, terminal).chars().count()).max().unwrap_or(0)
        };
        Self {
            terminal,
            // Cron hears of a healthy backup by silence.
            silent: args.quiet || !(terminal || args.verbose),
            layers: !args.quiet,
            all: args.all,
            line: names.filter(|_| !args.verbose).map(|mut names| width(&mut names)),
            tally: Tally::default(),
        }
    }

    /// Print one outcome.
    pub fn outcome(
        &mut self,
        out: &mut impl Write,
        name: &str,
        o: &Outcome,
        took: Duration,
    ) -> io::Result<()> {
        self.tally.count(o);
        if o.verdict == Verdict::Ok && o.is_complete() && self.silent {
            return Ok(());
        }
        match self.line {
            Some(width) => self.line(out, name, width, o, took)?,
            None => self.head(out, name, o)?,
        }
        for skipped in &o.not_checked {
            writeln!(out, "  {} not checked: {}", skipped.what, skipped.why)?;
        }
        self.findings(out, o)?;
        match self.line {
            Some(_) => Ok(()),
            None => writeln!(out, "{}   {}", summary(o), elapsed(took)),
        }
    }

    /// Note a source that could not be examined.
    pub fn failed(&mut self) {
        self.tally.failed += 1;
    }

    /// What all came to, if there were several.
    pub fn total(&self, out: &mut impl Write) -> io::Result<()> {
        let t = &self.tally;
        if self.line.is_none() || self.silent {
            return Ok(());
        }
        let words = [
            (t.ok, "ok"),
            (t.warning, "with warnings"),
            (t.damage, "damaged"),
            (t.skipped, "skipped"),
            (t.failed, "could not be examined"),
        ];
        let parts: Vec<String> = words
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{} {word}", text::count(*n)))
            .collect();
        let sum = t.ok + t.warning + t.damage + t.skipped + t.failed;
        writeln!(out, "{}: {}", text::plural(sum, "source", "sources"), parts.join(", "))
    }

    /// One source on one line.
    fn line(
        &self,
        out: &mut impl Write,
        name: &str,
        width: usize,
        o: &Outcome,
        took: Duration,
    ) -> io::Result<()> {
        let state = match o.verdict {
            _ if o.skipped() => "skipped",
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Damage => "DAMAGE",
        };
        let mut parts = counts(o);
        if o.size > 0 {
            let encrypted = if o.encrypted { ", encrypted" } else { "" };
            parts.push(format!("{}{encrypted}", text::bytes(o.size)));
        }
        if let Some(last) = o.last_completed {
            let age = text::age(last);
            let ago = if matches!(age.as_str(), "now" | "in the future") { "" } else { " ago" };
            parts.push(format!("last backup {age}{ago}"));
        }
        parts.push(elapsed(took));
        let name = text::name(name, self.terminal);
        writeln!(out, "{name:width$}  {state:8} {}", parts.join(" · "))
    }

    fn head(&self, out: &mut impl Write, name: &str, o: &Outcome) -> io::Result<()> {
        let bands =
            o.band_size.map(|b| format!(" in bands of {}", text::binary(b))).unwrap_or_default();
        let encrypted = if o.encrypted { " · encrypted" } else { "" };
        let name = text::name(name, self.terminal);
        let size = if o.size > 0 { text::bytes(o.size) } else { String::new() };
        writeln!(out, "{name}   {size}{bands}{encrypted}")?;
        for layer in o.layers.iter().filter(|_| self.layers) {
            writeln!(out, "  {:12}{:8} {}", layer.name, layer.state.as_str(), layer.text)?;
        }
        Ok(())
    }

    fn findings(&self, out: &mut impl Write, o: &Outcome) -> io::Result<()> {
        // That a Mac is at work explains the rest.
        let visible =
            |f: &&Finding| self.all || f.severity > Severity::Info || f.code == Code::BundleBusy;
        let findings: Vec<&Finding> = o.findings.iter().filter(visible).collect();
        for group in findings.chunk_by(|a, b| a.code == b.code && a.severity == b.severity) {
            let shown = if self.all { group.len() } else { SHOWN.min(group.len()) };
            for f in &group[..shown] {
                let damage = f.severity == Severity::Damage;
                let word = if damage { "DAMAGE" } else { f.severity.as_str() };
                let message = text::name(&f.message, self.terminal);
                writeln!(out, "  {word:8}{message}{}  {}", place(f), f.code)?;
                cost::print(out, f, self.all, self.terminal)?;
            }
            let code = group[0].code;
            let more = group.len() - shown + left_out(o, code);
            if more > 0 {
                let more = text::count(more as u64);
                writeln!(out, "          … and {more} more like this (--all)")?;
            }
            writeln!(out, "          → {}", group[0].remedy)?;
        }
        Ok(())
    }
}

impl Tally {
    fn count(&mut self, o: &Outcome) {
        let count = match o.verdict {
            _ if o.skipped() => &mut self.skipped,
            Verdict::Ok => &mut self.ok,
            Verdict::Warning => &mut self.warning,
            Verdict::Damage => &mut self.damage,
        };
        *count += 1;
    }
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

/// `2 damage`, `1 warning`; what there is of them.
fn counts(o: &Outcome) -> Vec<String> {
    let c = o.counts;
    let damage = (c.damage > 0).then(|| format!("{} damage", text::count(c.damage)));
    let warning = (c.warning > 0).then(|| text::plural(c.warning, "warning", "warnings"));
    [damage, warning].into_iter().flatten().collect()
}

fn summary(o: &Outcome) -> String {
    match o.verdict {
        _ if o.skipped() && o.verdict == Verdict::Ok => "Skipped.".to_owned(),
        Verdict::Ok if o.not_checked.is_empty() => "No damage.".to_owned(),
        Verdict::Ok => "No damage in what was checked.".to_owned(),
        _ => {
            let code = o.findings.first().map_or("CODE", |f| f.code.name());
            let parts = counts(o).join(", ");
            format!("{parts}.  Details: --all, --json; tmbundle explain {code}")
        }
    }
}

fn elapsed(took: Duration) -> String {
    if took.as_secs() < 10 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        text::duration(i64::try_from(took.as_secs()).unwrap_or(i64::MAX))
    }
}
