//! `tmbundle verify`.

use super::args::{FailOn, VerifyArgs};
use super::busy;
use super::clock;
use super::memory::Memory;
use super::metrics;
use super::output::{self, Exit};
use super::page;
use super::password::Prompt;
use super::progress::Bars;
use super::stop;
use super::targets::{self, Target};
use super::verdict::Printer;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tmbundle::Error;
use tmbundle::disk::Disk;
use tmbundle::io::{Access, Links};
use tmbundle::report::{KeptIn, Progress, Severity};
use tmbundle::verify::{Options, Outcome, skipped, verify};
use tmbundle::volume::Layout;

#[derive(Serialize)]
struct Document<'a> {
    sources: Vec<&'a Outcome>,
    /// Sources that could not be examined.
    errors: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    source: String,
    error: String,
}

/// A source and what came of it.
pub struct Checked {
    pub path: PathBuf,
    pub name: String,
    /// In seconds since 1970.
    pub ended: i64,
    pub took: Duration,
    /// Bytes read from bands or image.
    pub read: u64,
    /// `None` if it could not be examined.
    pub outcome: Option<Outcome>,
    /// Why it could not be examined.
    error: Option<Error>,
}

pub fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let metrics_out = args.metrics.as_deref().is_some_and(is_stdout);
    if metrics_out && args.json {
        let text = "--metrics - and --json are both for standard output: give --metrics a file";
        return Err(Error::Invalid(text.into()).into());
    }
    page::divert(metrics_out);
    let targets = targets::find(args);
    let memory = Memory::new(args, targets.all.len())?;
    stop::listen();
    stop::enforce();
    if let Some(file) = args.metrics.as_ref().filter(|file| !is_stdout(file)) {
        metrics::check(file, targets.all.iter().map(|t| t.path.as_path()))?;
    }
    let names = targets.several.then(|| targets.all.iter().map(|t| t.name.as_str()));
    let access = args.access.access();
    let mut run = Run {
        args,
        memory,
        bars: Bars::new(args.quiet).with_meter(access.meter.clone()),
        access,
        printer: Printer::new(args, names),
        checked: Vec::new(),
        notes: targets.notes,
        worst: Exit::Ok,
        read_before: 0,
    };
    if !run.printer.waits() {
        run.tell_notes();
    }
    for (path, error) in targets.failed {
        let name = output::last_part(&path);
        run.result(Target { path, links: Links::Follow, name }, Duration::ZERO, Err(error))?;
    }
    let of = targets.all.len();
    for (n, target) in targets.all.into_iter().enumerate() {
        run.bars.source(&target.name, n + 1, of);
        if let Err(e) = run.source(target) {
            // What was found until then is told all the same.
            run.tell_all()?;
            return Err(e);
        }
    }
    run.end()
}

/// One call of the command: bundle after bundle, the worst of all counts.
struct Run<'a> {
    args: &'a VerifyArgs,
    memory: Memory<'a>,
    access: Access,
    bars: Bars,
    printer: Printer,
    checked: Vec<Checked>,
    /// What was seen beside the sources.
    notes: Vec<String>,
    worst: Exit,
    /// What the meter said before the source at hand.
    read_before: u64,
}

impl Run<'_> {
    fn source(&mut self, target: Target) -> anyhow::Result<()> {
        self.bars.check()?;
        let started = Instant::now();
        let outcome = self.check(&target.path, target.links);
        self.bars.clear();
        // A reader that was stopped may have been taken for an unreadable part.
        self.bars.check()?;
        self.result(target, started.elapsed(), outcome)
    }

    /// Check one source, unless it is in use.
    fn check(&self, path: &Path, links: Links) -> tmbundle::Result<Outcome> {
        // Opened once; a password is asked for only when it is to be read. What a share named
        // leads there without links.
        let access = self.args.password.geometry.access(&self.access);
        let access = Access { links, ..access };
        let mut opened = Disk::open_how(path, &|_| Ok(Vec::new()), &access).map(Layout::from);
        let mut remembered = self.memory.of(opened.as_ref().ok())?;
        let free = remembered.lock().and_then(|()| match &opened {
            Ok(layout) => busy::settle(layout.disk(), self.args.if_busy, &self.bars),
            Err(_) => Ok(()),
        });
        match free {
            Ok(()) => {}
            Err(e @ Error::Busy(_)) => {
                return Ok(skipped(path, &e.to_string(), remembered.unverified()));
            }
            Err(e) => return Err(e),
        }
        let prompt = if self.args.quick { Prompt::No } else { Prompt::Yes };
        opened = opened.and_then(|mut layout| {
            self.args.password.unlock(path, prompt, &mut layout).map(|()| layout)
        });
        let options = Options {
            manifest: remembered.manifest(),
            before: remembered.problem(),
            ..options(self.args)
        };
        let bundle = !matches!(&opened, Ok(layout) if layout.disk().bundle().is_none());
        let mut outcome = verify(path, opened, options, &self.bars)?;
        let kept = if bundle { KeptIn::Bundle } else { KeptIn::One };
        outcome.findings.iter_mut().for_each(|finding| finding.fit(kept));
        // What was cut short by a signal is not a verification.
        self.bars.check()?;
        remembered.verified(outcome.verdict);
        Ok(outcome)
    }

    /// Print and keep what came of a source. One that cannot be examined does not stop
    /// the others; an interruption does.
    fn result(
        &mut self,
        Target { path, name, .. }: Target,
        took: Duration,
        outcome: tmbundle::Result<Outcome>,
    ) -> anyhow::Result<()> {
        let ended = clock::now();
        let total = self.access.meter.bytes();
        let read = total - std::mem::replace(&mut self.read_before, total);
        let mut checked = Checked { path, name, ended, took, read, outcome: None, error: None };
        match outcome {
            Ok(outcome) => {
                if fails(&outcome, self.args.fail_on) {
                    self.worst = self.worst.max(Exit::Findings);
                }
                self.printer.count(&outcome);
                checked.outcome = Some(outcome);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted.into()),
            Err(error) => {
                self.worst = Exit::Failed;
                self.printer.failed();
                checked.error = Some(error);
            }
        }
        if self.args.json || !self.printer.waits() {
            tell(&mut self.printer, self.args.json, &checked)?;
        }
        self.checked.push(checked);
        Ok(())
    }

    fn tell_notes(&mut self) {
        for note in std::mem::take(&mut self.notes) {
            output::note(&note);
        }
    }

    /// Print what waits for the end: the sum before the single bundles, as in a mail.
    fn tell_all(&mut self) -> anyhow::Result<()> {
        if self.args.json || !self.printer.waits() {
            return Ok(());
        }
        let mut out = page::main();
        self.printer.total(&mut out, true)?;
        out.flush()?;
        drop(out);
        self.tell_notes();
        for checked in &self.checked {
            tell(&mut self.printer, false, checked)?;
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Exit> {
        if let Some(file) = &self.args.metrics {
            let (all, now) = (&self.checked, clock::now());
            if is_stdout(file) {
                let mut out = output::stdout();
                out.write_all(metrics::page(all, self.worst.code(), now).as_bytes())?;
                out.flush()?;
            } else {
                metrics::write(file, all, self.worst.code(), now)?;
            }
        }
        if self.args.json {
            output::json("tmbundle/verify/1", &document(&self.checked))?;
        } else {
            self.tell_all()?;
            let mut out = page::main();
            self.printer.remedies(&mut out)?;
            self.printer.total(&mut out, false)?;
            out.flush()?;
        }
        self.tell_notes();
        Ok(self.worst)
    }
}

/// `--metrics -`
fn is_stdout(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Print what came of one source.
fn tell(printer: &mut Printer, json: bool, checked: &Checked) -> anyhow::Result<()> {
    if let Some(error) = &checked.error {
        output::fail_of(&checked.path, error);
    }
    if let Some(outcome) = checked.outcome.as_ref().filter(|_| !json) {
        let mut out = page::main();
        printer.outcome(&mut out, &checked.name, outcome, checked.took)?;
        out.flush()?;
    }
    Ok(())
}

fn document(checked: &[Checked]) -> Document<'_> {
    let failed = checked.iter().filter(|c| c.outcome.is_none());
    Document {
        sources: checked.iter().filter_map(|c| c.outcome.as_ref()).collect(),
        errors: failed
            .map(|c| Failure {
                source: c.path.display().to_string(),
                error: c.error.as_ref().map(Error::to_string).unwrap_or_default(),
            })
            .collect(),
    }
}

fn options(args: &VerifyArgs) -> Options {
    let max_age = args.max_age.and_then(|age| i64::try_from(age.as_secs()).ok());
    Options {
        quick: args.quick,
        max_age,
        jobs: args.access.jobs(),
        now: clock::now(),
        read_data: args.read_data,
        ..Options::default()
    }
}

fn fails(outcome: &Outcome, from: FailOn) -> bool {
    let from = match from {
        FailOn::Info => Severity::Info,
        FailOn::Warning => Severity::Warning,
        FailOn::Damage => Severity::Damage,
    };
    outcome.worst() >= Some(from)
}
