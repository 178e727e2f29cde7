//! `tmbundle verify`.

use super::args::{FailOn, VerifyArgs};
use super::checked::Checked;
use super::clock;
use super::document::Document;
use super::metrics;
use super::output::{self, Exit};
use super::page::{self, Page};
use super::password::{Keyring, Prompt};
use super::progress::Bars;
use super::stop;
use super::targets::{self, Note, Target, Why};
use super::textfile;
use super::verdict::Printer;
use super::worker::{Ended, Failure, Task, examine};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tmbundle::Error;
use tmbundle::disk::BAD_MAP;
use tmbundle::io::{BadMap, Links, Meter};
use tmbundle::report::{Progress, Severity};
use tmbundle::verify::{Outcome, Verdict, manifest};

pub fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    textfile::divert(args.metrics.as_deref(), args.json.then_some(textfile::JSON_TOO))?;
    let targets = targets::find(args);
    if targets.all.len() > 1 && matches!(args.memory.manifest, Some(Some(_))) {
        let text = "--manifest=FILE is for one bundle; without FILE each has its own";
        return Err(Error::Invalid(text.into()).into());
    }
    check_bad_map(args, &targets)?;
    stop::listen();
    stop::enforce();
    if let Some(file) = args.metrics.as_ref().filter(|file| !textfile::is_stdout(file)) {
        textfile::refuse_inside(file, targets.all.iter().map(|t| t.path.as_path()))?;
        // Who watches can stop and try again; else the backups come first.
        if let Err(e) = textfile::check(file).map_err(|e| e.to_string())
            && output::is_terminal()
        {
            output::warn(&e);
        }
    }
    let names = targets.several.then(|| targets.all.iter().map(|t| t.name.as_str()));
    let meter = Arc::new(Meter::default());
    let mut run = Run {
        args,
        bars: Bars::new(args.quiet).with_meter(meter.clone()),
        meter,
        printer: Printer::new(args, names),
        document: args.json.then(|| document_of(&targets.notes)),
        held: Vec::new(),
        untold: Vec::new(),
        checked: Vec::new(),
        worst: not_looked_into(args, &targets.notes),
        notes: targets.notes,
        read_before: 0,
    };
    if !run.printer.waits() {
        run.tell_notes();
    }
    let done = run.all(targets.failed, targets.all);
    // What was found until then is told all the same.
    run.tell_all()?;
    done?;
    run.end()
}

/// A map of ddrescue is of one raw copy; it is looked at before anything is examined.
fn check_bad_map(args: &VerifyArgs, targets: &targets::Targets) -> Result<(), Error> {
    let Some(map) = &args.password.geometry.bad_map else { return Ok(()) };
    if targets.several || targets.all.iter().any(|t| t.path.is_dir()) {
        return Err(Error::Invalid(BAD_MAP.into()));
    }
    BadMap::open(map).map(|_| ())
}

fn document_of(notes: &[Note]) -> Document {
    let mut document = Document::default();
    for note in notes {
        document.note(&note.path, note.why.word(), &note.text);
    }
    document
}

/// Where that something was not checked is to be an error, a folder that was not looked into
/// is one.
fn not_looked_into(args: &VerifyArgs, notes: &[Note]) -> Exit {
    let cut = notes.iter().any(|note| note.why == Why::TooDeep);
    match args.fail_on {
        FailOn::Info | FailOn::Unchecked if cut => Exit::Findings,
        _ => Exit::Ok,
    }
}

/// What is told at the end, below the sum.
enum Held {
    Text(Page<Vec<u8>>),
    Failure(PathBuf, Failure),
}

/// One call of the command: source after source, the worst of all counts.
struct Run<'a> {
    args: &'a VerifyArgs,
    meter: Arc<Meter>,
    bars: Bars,
    printer: Printer,
    /// With `--json`.
    document: Option<Document>,
    held: Vec<Held>,
    /// Manifests that keep findings until they were told.
    untold: Vec<PathBuf>,
    checked: Vec<Checked>,
    /// What was seen beside the sources.
    notes: Vec<Note>,
    worst: Exit,
    /// What the meter said before the source at hand.
    read_before: u64,
}

impl Run<'_> {
    fn all(&mut self, failed: Vec<(PathBuf, Error)>, targets: Vec<Target>) -> anyhow::Result<()> {
        for (path, error) in failed {
            let name = output::last_part(&path);
            let failure = Failure::of(&error);
            self.result(
                Target { path, links: Links::Follow, name },
                Duration::ZERO,
                Ended::Failed(failure),
            )?;
        }
        let of = targets.len();
        for (n, target) in targets.into_iter().enumerate() {
            self.bars.source(&target.name, n + 1, of);
            self.source(target)?;
        }
        Ok(())
    }

    fn source(&mut self, target: Target) -> anyhow::Result<()> {
        self.bars.check()?;
        let started = Instant::now();
        let task = Task::new(&target.path, target.links, self.args);
        let keyring = Keyring::new(self.args.password.clone(), Prompt::Yes);
        let ask = |name: &str, wrong: u32, prompt| {
            self.bars.clear();
            keyring.answer(&target.path, name, wrong, prompt)
        };
        let ended = examine(&task, &ask, &self.meter, &self.bars);
        self.bars.clear();
        let ended = match ended {
            Err(e @ Error::Interrupted) => return Err(e.into()),
            Err(e) => Ended::Failed(Failure::of(&e)),
            Ok(ended) => ended,
        };
        self.result(target, started.elapsed(), ended)
    }

    /// Print and keep what came of a source. One that cannot be examined does not stop
    /// the others; an interruption does.
    fn result(&mut self, target: Target, took: Duration, ended: Ended) -> anyhow::Result<()> {
        let Target { path, name, .. } = target;
        let now = clock::now();
        let total = self.meter.bytes();
        let read = total - std::mem::replace(&mut self.read_before, total);
        let mut outcome = match ended {
            Ended::Outcome(outcome) => Some(*outcome),
            Ended::Died(why) => Some(Outcome::ended(&path, &why)),
            Ended::Failed(failure) => {
                self.failed(&path, failure);
                None
            }
        };
        let codes = outcome.as_ref().map(Outcome::by_code).unwrap_or_default();
        if let Some(outcome) = &mut outcome {
            self.worst = self.worst.max(exit(outcome, self.args.fail_on));
            self.print(&name, outcome, took)?;
            let untold = outcome.manifest.as_ref().filter(|m| m.untold);
            self.untold.extend(untold.map(|m| PathBuf::from(&m.file)));
            // What waits for the end is told then.
            if self.document.is_none() && !self.printer.waits() {
                self.told();
            }
            outcome.forget();
        }
        self.checked.push(Checked { path, name, ended: now, took, read, outcome, codes });
        Ok(())
    }

    fn failed(&mut self, path: &Path, failure: Failure) {
        self.worst = Exit::Failed;
        self.printer.failed();
        if let Some(document) = &mut self.document {
            document.failed(path, &failure.text);
        }
        match self.document.is_none() && self.printer.waits() {
            true => self.held.push(Held::Failure(path.to_owned(), failure)),
            false => output::fail_of(path, &failure.text, failure.hint.as_deref()),
        }
    }

    fn print(&mut self, name: &str, outcome: &Outcome, took: Duration) -> anyhow::Result<()> {
        self.printer.count(outcome);
        if let Some(document) = &mut self.document {
            document.source(outcome)?;
        } else if self.printer.waits() {
            let mut text = page::held();
            self.printer.outcome(&mut text, name, outcome, took)?;
            self.held.push(Held::Text(text));
        } else {
            let mut out = page::main();
            self.printer.outcome(&mut out, name, outcome, took)?;
            out.flush()?;
        }
        Ok(())
    }

    fn tell_notes(&mut self) {
        for note in self.notes.iter_mut().filter(|note| note.told) {
            output::note(&note.text);
            note.told = false;
        }
    }

    /// Print what waits for the end: the sum before the single bundles, as in a mail.
    fn tell_all(&mut self) -> anyhow::Result<()> {
        if self.document.is_some() || !self.printer.waits() {
            return Ok(());
        }
        let mut out = page::main();
        self.printer.total(&mut out, true)?;
        out.flush()?;
        drop(out);
        self.tell_notes();
        for held in std::mem::take(&mut self.held) {
            match held {
                Held::Failure(path, f) => output::fail_of(&path, &f.text, f.hint.as_deref()),
                Held::Text(text) => {
                    let mut out = page::main();
                    out.page(&text)?;
                    out.flush()?;
                }
            }
        }
        self.told();
        Ok(())
    }

    /// What was kept until it was told need not be told again.
    fn told(&mut self) {
        for file in std::mem::take(&mut self.untold) {
            if let Err(e) = manifest::told(&file) {
                output::note(&format!("warning: {e}"));
            }
        }
    }

    fn end(mut self) -> anyhow::Result<Exit> {
        // What was found is told before it is told what could not be written.
        let written = self.write_metrics();
        if let Some(document) = self.document.take() {
            document.print()?;
            self.told();
        } else {
            let mut out = page::main();
            self.printer.remedies(&mut out)?;
            self.printer.total(&mut out, false)?;
            out.flush()?;
        }
        self.tell_notes();
        written?;
        Ok(self.worst)
    }

    fn write_metrics(&self) -> anyhow::Result<()> {
        let Some(file) = &self.args.metrics else { return Ok(()) };
        let page = metrics::page(&self.checked, &self.notes, self.worst.code(), clock::now());
        textfile::put(file, &page)
    }
}

/// The exit code for one source.
fn exit(outcome: &Outcome, from: FailOn) -> Exit {
    // It could not be examined, or not with what was given.
    if outcome.died() || outcome.wrong_password {
        return Exit::Failed;
    }
    let worst = outcome.worst();
    let found = match from {
        FailOn::Info => worst >= Some(Severity::Info),
        FailOn::Warning => worst >= Some(Severity::Warning),
        FailOn::Damage => worst >= Some(Severity::Damage),
        FailOn::Unchecked => worst >= Some(Severity::Damage) || outcome.unchecked,
    };
    let kept = outcome.keeps_last() && outcome.verdict == Verdict::Damage;
    let told = found || kept || outcome.overdue() || outcome.unwritten();
    if told { Exit::Findings } else { Exit::Ok }
}
