//! The outcome of a verification in text: one bundle in full, several on a line each.

use super::args::VerifyArgs;
use super::cost;
use super::output;
use super::page::{Page, Text, Tone, hanging};
use super::text;
use std::io::{self, Write};
use std::time::Duration;
use tmbundle::report::{Code, Finding, Severity};
use tmbundle::verify::{Outcome, Verdict};

/// Findings of one code that are shown without `--all`.
const SHOWN: usize = 3;
/// Where the words of a finding begin.
const INDENT: usize = 10;

/// How outcomes are printed.
pub struct Printer {
    /// Say nothing about what is well.
    silent: bool,
    /// That something was not checked is nothing to speak of.
    unchecked_is_well: bool,
    /// Print the layers.
    layers: bool,
    all: bool,
    /// Width of the names, when each source has a line of its own.
    line: Option<usize>,
    /// A mail begins with what all came to, a terminal shows each bundle when it is done.
    sum_first: bool,
    tally: Tally,
    /// What to do about the findings that were printed, each once.
    remedies: Vec<(Code, &'static str)>,
}

/// How many bundles fared how.
#[derive(Default)]
struct Tally {
    damage: u64,
    stale: u64,
    failed: u64,
    warning: u64,
    unchecked: u64,
    /// Of those, with warnings.
    unchecked_warned: u64,
    skipped: u64,
    ok: u64,
    /// Of the skipped ones, those that were damaged when they were last verified.
    damaged_before: u64,
    /// Those that the password given did not open.
    locked: u64,
    /// Of those with another word, the ones of which something was not checked.
    in_part: u64,
    /// Sources there is something to say about.
    spoken: u64,
}

impl Printer {
    /// As the arguments say; `names` if there are several sources.
    pub fn new<'a>(args: &VerifyArgs, names: Option<impl Iterator<Item = &'a str>>) -> Self {
        let terminal = output::is_terminal();
        let several = names.is_some();
        let width = |names: &mut dyn Iterator<Item = &'a str>| {
            names.map(|n| n.chars().count()).max().unwrap_or(0)
        };
        Self {
            // Cron hears of a healthy backup by silence.
            silent: args.quiet || !(terminal || args.verbose),
            unchecked_is_well: args.allow_unchecked || args.quick,
            layers: !args.quiet,
            all: args.all,
            line: names.filter(|_| !args.verbose).map(|mut names| width(&mut names)),
            sum_first: several && !terminal,
            tally: Tally::default(),
            remedies: Vec::new(),
        }
    }

    /// Whether outcomes are to be printed at the end, below the sum.
    pub fn waits(&self) -> bool {
        self.sum_first
    }

    /// Note an outcome for the sum.
    pub fn count(&mut self, o: &Outcome) {
        self.tally.count(o, self.shown(o));
        self.tally.spoken += u64::from(self.speaks_of(o));
    }

    /// Note a source that could not be examined.
    pub fn failed(&mut self) {
        self.tally.failed += 1;
        self.tally.spoken += 1;
    }

    /// The verdict that is told: who allows what is unchecked wants to hear of the rest.
    fn shown(&self, o: &Outcome) -> Verdict {
        match o.verdict {
            Verdict::Unchecked if self.unchecked_is_well && o.counts.warning > 0 => {
                Verdict::Warning
            }
            verdict => verdict,
        }
    }

    fn speaks_of(&self, o: &Outcome) -> bool {
        let well = match self.shown(o) {
            Verdict::Ok => o.is_complete() || self.unchecked_is_well,
            Verdict::Unchecked => self.unchecked_is_well && !o.died(),
            _ => false,
        };
        !(well && self.silent && !o.skipped())
    }

    /// Print one outcome.
    pub fn outcome(
        &mut self,
        out: &mut Page<impl Write>,
        name: &str,
        o: &Outcome,
        took: Duration,
    ) -> io::Result<()> {
        if !self.speaks_of(o) {
            return Ok(());
        }
        match self.line {
            Some(width) => self.line(out, name, width, o, took)?,
            None => self.head(out, name, o)?,
        }
        let quietly = self.silent && self.unchecked_is_well;
        // That a bundle was skipped is told as a finding, with more.
        let said = |what: &str| quietly || o.skipped() && what == "volume";
        for skipped in o.not_checked.iter().filter(|n| !said(&n.what)) {
            let text = format!("  {} not checked: {}", skipped.what, skipped.why);
            out.put(hanging(4).plain(text))?;
        }
        self.findings(out, o)?;
        match self.line {
            Some(_) => Ok(()),
            None => out.put(summary(o, self.shown(o)).plain(format!("   {}", text::took(took)))),
        }
    }

    /// What all came to, if there were several; `before` the outcomes or after them.
    pub fn total(&self, out: &mut Page<impl Write>, before: bool) -> io::Result<()> {
        let t = &self.tally;
        let several = self.line.is_some() || self.sum_first;
        let nothing = self.silent && (t.spoken == 0 || !self.sum_first);
        if !several || before != self.sum_first || nothing {
            return Ok(());
        }
        let sum = t.damage + t.stale + t.failed + t.warning + t.unchecked + t.skipped + t.ok;
        let skipped = match t.damaged_before {
            0 => "skipped".to_owned(),
            n => format!("skipped ({} known to be damaged)", text::count(n)),
        };
        let unchecked = match t.unchecked_warned {
            0 => "unchecked".to_owned(),
            n => format!("unchecked ({} with warnings)", text::count(n)),
        };
        let mut line = hanging(2).plain(format!("{}:", text::plural(sum, "source", "sources")));
        let mut comma = "";
        for (n, word, tone) in [
            (t.damage, "damaged", Tone::Bad),
            (t.stale, "stale", Tone::Warn),
            (t.failed, "could not be examined", Tone::Bad),
            (t.warning, "with warnings", Tone::Warn),
            (t.unchecked, &*unchecked, Tone::Warn),
            (t.skipped, &*skipped, Tone::Plain),
            (t.ok, "ok", Tone::Good),
        ] {
            if n > 0 {
                line =
                    line.plain(comma).plain(" ").tone(tone, format!("{} {word}", text::count(n)));
                comma = ",";
            }
        }
        if t.in_part > 0 && !self.unchecked_is_well {
            line = line.plain(format!("; {} of them unchecked in part", text::count(t.in_part)));
        }
        if t.locked > 0 {
            let n = text::count(t.locked);
            line = line.plain(format!("; {n} not opened with the password given (exit code 3)"));
        }
        out.put(line)
    }

    /// What is to be done about all that was found, each remedy once.
    pub fn remedies(&self, out: &mut Page<impl Write>) -> io::Result<()> {
        if self.line.is_none() || self.remedies.is_empty() {
            return Ok(());
        }
        out.row("What to do:")?;
        let width = self.remedies.iter().map(|(code, _)| code.name().len()).max().unwrap_or(0);
        for (code, remedy) in &self.remedies {
            let code = format!("  {:width$}  ", code.name());
            out.put(hanging(width + 4).plain(code).plain(remedy))?;
        }
        Ok(())
    }

    /// One source on one line.
    fn line(
        &self,
        out: &mut Page<impl Write>,
        name: &str,
        width: usize,
        o: &Outcome,
        took: Duration,
    ) -> io::Result<()> {
        let state = match self.shown(o) {
            _ if o.skipped() => "skipped",
            _ if o.died() => "FAILED",
            other => shout(other),
        };
        let mut parts = counts(o);
        if unchecked_besides(o) && !self.unchecked_is_well {
            parts.push("unchecked in part".into());
        }
        if let Some(last) = o.last {
            let (word, ago) = (shout(last.verdict), text::ago(last.verified));
            parts.push(format!("{word} when last verified, {ago}"));
        }
        if o.size > 0 {
            let encrypted = if o.encrypted { ", encrypted" } else { "" };
            parts.push(format!("{}{encrypted}", text::bytes(o.size)));
        }
        if let Some(last) = o.last_completed {
            parts.push(format!("last backup {}", text::ago(last)));
        }
        parts.push(text::took(took));
        let name = format!("{name:width$}  ");
        let line = hanging(4).plain(name).tone(tone(state), format!("{state:10}"));
        out.put(line.plain(parts.join(" · ")))
    }

    fn head(&self, out: &mut Page<impl Write>, name: &str, o: &Outcome) -> io::Result<()> {
        let bands =
            o.band_size.map(|b| format!(" in bands of {}", text::bytes(b))).unwrap_or_default();
        let encrypted = if o.encrypted { " · encrypted" } else { "" };
        let size = if o.size > 0 { text::bytes(o.size) } else { String::new() };
        let head = hanging(2).tone(Tone::Strong, name);
        out.put(head.plain(format!("   {size}{bands}{encrypted}")))?;
        for layer in o.layers.iter().filter(|_| self.layers) {
            let state = layer.state.as_str();
            let line = hanging(24).plain(format!("  {:12}", layer.name));
            out.put(line.tone(tone(state), format!("{state:10}")).plain(&layer.text))?;
        }
        Ok(())
    }

    fn findings(&mut self, out: &mut Page<impl Write>, o: &Outcome) -> io::Result<()> {
        // That a Mac is at work explains the rest.
        let all = self.all;
        let told = [Code::BundleBusy, Code::BundleSkipped];
        let visible = |f: &&Finding| all || f.severity > Severity::Info || told.contains(&f.code);
        let findings: Vec<&Finding> = o.findings.iter().filter(visible).collect();
        for group in findings.chunk_by(|a, b| a.code == b.code && a.severity == b.severity) {
            let shown = if all { group.len() } else { SHOWN.min(group.len()) };
            for f in &group[..shown] {
                finding(out, f)?;
                cost::print(out, f, all)?;
            }
            let code = group[0].code;
            let more = group.len() - shown + left_out(o, code);
            if more > 0 {
                let more = text::count(more as u64);
                out.row(format!("{:INDENT$}… and {more} more like this (--all)", ""))?;
            }
            self.remedy(out, group[0])?;
        }
        Ok(())
    }

    /// Print what to do; of several sources that comes at the end, and once.
    fn remedy(&mut self, out: &mut Page<impl Write>, f: &Finding) -> io::Result<()> {
        let known = self.remedies.iter().any(|(_, remedy)| *remedy == f.remedy);
        if !known {
            self.remedies.push((f.code, f.remedy));
        }
        if known || self.line.is_some() {
            return Ok(());
        }
        out.put(hanging(INDENT + 2).plain(format!("{:INDENT$}→ {}", "", f.remedy)))
    }
}

/// The line of a finding.
fn finding(out: &mut Page<impl Write>, f: &Finding) -> io::Result<()> {
    let word = match f.severity {
        Severity::Damage => "DAMAGE",
        _ if f.code == Code::TmStale => "STALE",
        other => other.as_str(),
    };
    let line = hanging(INDENT).plain("  ").tone(tone(word), format!("{word:8}"));
    let line = line.plain(&f.message).tone(Tone::Faint, place(f));
    out.put(line.plain("  ").tone(Tone::Strong, f.code.name()))
}

/// The tone of a word for how something fared.
fn tone(word: &str) -> Tone {
    match word {
        "ok" => Tone::Good,
        "DAMAGE" | "FAILED" => Tone::Bad,
        "info" | "skipped" => Tone::Plain,
        _ => Tone::Warn,
    }
}

impl Tally {
    fn count(&mut self, o: &Outcome, shown: Verdict) {
        let warned = shown == Verdict::Unchecked && o.counts.warning > 0;
        let count = match shown {
            _ if o.died() => &mut self.failed,
            _ if o.skipped() => {
                let before = o.last.is_some_and(|last| last.verdict == Verdict::Damage);
                self.damaged_before += u64::from(before);
                &mut self.skipped
            }
            Verdict::Ok => &mut self.ok,
            Verdict::Unchecked => {
                self.unchecked_warned += u64::from(warned);
                &mut self.unchecked
            }
            Verdict::Warning => &mut self.warning,
            Verdict::Stale => &mut self.stale,
            Verdict::Damage => &mut self.damage,
        };
        *count += 1;
        self.locked += u64::from(o.wrong_password);
        self.in_part += u64::from(unchecked_besides(o));
    }
}

/// Whether something was not checked of a source whose verdict does not say so.
fn unchecked_besides(o: &Outcome) -> bool {
    o.unchecked && o.verdict != Verdict::Unchecked && !o.skipped() && !o.died()
}

/// A verdict as it stands in a line.
fn shout(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Damage => "DAMAGE",
        Verdict::Stale => "STALE",
        other => other.as_str(),
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

fn summary(o: &Outcome, shown: Verdict) -> Text {
    let text = hanging(2);
    if let Some(last) = o.last.filter(|last| !o.skipped() && last.verdict > o.found()) {
        let (word, ago) = (shout(last.verdict), text::ago(last.verified));
        let before = format!("{word} when last verified, {ago}");
        let after = "; this run looked at less and cannot tell whether it still is.";
        return text.tone(tone(word), before).plain(after);
    }
    match shown {
        _ if o.skipped() && counts(o).is_empty() => text.plain("Skipped."),
        Verdict::Ok if o.not_checked.is_empty() => text.tone(Tone::Good, "No damage."),
        Verdict::Ok => text.plain("No damage in what was checked."),
        Verdict::Unchecked if counts(o).is_empty() => {
            text.tone(Tone::Warn, "Unchecked.").plain(" No damage in what was checked.")
        }
        _ => {
            let code = o.findings.first().map_or("CODE", |f| f.code.name());
            let worst = if o.counts.damage > 0 { Tone::Bad } else { Tone::Warn };
            let unchecked = (shown == Verdict::Unchecked).then(|| "unchecked".to_owned());
            let words: Vec<String> = unchecked.into_iter().chain(counts(o)).collect();
            let text = text.tone(worst, format!("{}.", words.join(", ")));
            text.plain(format!("  Details: --all, --json; tmbundle explain {code}"))
        }
    }
}
