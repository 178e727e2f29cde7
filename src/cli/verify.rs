//! `tmbundle verify`.

use super::args::{FailOn, VerifyArgs};
use super::busy;
use super::output::{self, Exit, stdout};
use super::password::Prompt;
use super::progress::Bars;
use super::targets::{self, Target};
use super::verdict::Printer;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use tmbundle::Error;
use tmbundle::report::{Progress, Severity};
use tmbundle::verify::{Options, Outcome, skipped, verify};

#[derive(Serialize, Default)]
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
    let targets = targets::find(args);
    let names = targets.several.then(|| targets.all.iter().map(|t| t.name.as_str()));
    let mut run = Run {
        args,
        bars: Bars::new(args.quiet),
        printer: Printer::new(args, names),
        document: Document::default(),
        worst: Exit::Ok,
    };
    for (path, error) in targets.failed {
        run.failed(&path, error);
    }
    for target in &targets.all {
        run.source(target)?;
    }
    run.end()
}

/// One call of the command: bundle after bundle, the worst of all counts.
struct Run<'a> {
    args: &'a VerifyArgs,
    bars: Bars,
    printer: Printer,
    document: Document,
    worst: Exit,
}

impl Run<'_> {
    fn source(&mut self, target: &Target) -> anyhow::Result<()> {
        self.bars.check()?;
        let started = Instant::now();
        let checked = self.check(&target.path);
        self.bars.clear();
        match checked {
            Ok(outcome) => {
                if fails(&outcome, self.args.fail_on) {
                    self.worst = self.worst.max(Exit::Findings);
                }
                if !self.args.json {
                    let mut out = stdout();
                    self.printer.outcome(&mut out, &target.name, &outcome, started.elapsed())?;
                    out.flush()?;
                }
                self.document.sources.push(outcome);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted.into()),
            Err(e) => self.failed(&target.path, e),
        }
        Ok(())
    }

    fn check(&self, path: &Path) -> tmbundle::Result<Outcome> {
        let prompt = if self.args.quick { Prompt::No } else { Prompt::Yes };
        match busy::settle(path, self.args.if_busy, &self.bars) {
            Ok(()) => {
                let opened = self.args.password.open(path, prompt);
                verify(path, opened, options(self.args), &self.bars)
            }
            Err(e @ Error::Busy(_)) => Ok(skipped(path, &e.to_string())),
            Err(e) => Err(e),
        }
    }

    /// Note a source that cannot be examined; the others are all the same.
    fn failed(&mut self, path: &Path, error: Error) {
        self.worst = Exit::Failed;
        self.printer.failed();
        let source = path.display().to_string();
        self.document.errors.push(Failure { source, error: error.to_string() });
        output::fail_of(path, error);
    }

    fn end(self) -> anyhow::Result<Exit> {
        if self.args.json {
            output::json("tmbundle/verify/1", &self.document)?;
        } else {
            let mut out = stdout();
            self.printer.total(&mut out)?;
            out.flush()?;
        }
        Ok(self.worst)
    }
}

fn options(args: &VerifyArgs) -> Options {
    let max_age = args.max_age.and_then(|age| i64::try_from(age.as_secs()).ok());
    Options { quick: args.quick, max_age, now: jiff::Timestamp::now().as_second() }
}

fn fails(outcome: &Outcome, from: FailOn) -> bool {
    let from = match from {
        FailOn::Info => Severity::Info,
        FailOn::Warning => Severity::Warning,
        FailOn::Damage => Severity::Damage,
    };
    outcome.worst() >= Some(from)
}
