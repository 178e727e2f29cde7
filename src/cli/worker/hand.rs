//! The child: examines one source and tells how.

use super::task::Task;
use super::{Answer, Failure, Message, limits};
use crate::cli::memory::Memory;
use crate::cli::{busy, clock, output, stop};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tmbundle::crypt::Secret;
use tmbundle::disk::Disk;
use tmbundle::io::{Access, Meter};
use tmbundle::report::{Code, Progress, UNTRIED, Unit};
use tmbundle::verify::{Options, Outcome, verify};
use tmbundle::volume::Layout;
use tmbundle::{Error, Result};

/// How often a wrong password may be followed by another one.
const TRIES: u32 = 3;
/// Longest answer and longest task, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Between two words about progress.
const PACE: Duration = Duration::from_millis(100);

/// Examine what the parent says.
pub fn run() -> ExitCode {
    // Without a parent nobody listens.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    stop::listen();
    stop::enforce();
    let task: Option<Task> = line().and_then(|line| serde_json::from_str(&line).ok());
    let Some(task) = task else {
        output::note("error: this is a part of tmbundle verify and does nothing by itself");
        return 2.into();
    };
    limits::begin(&task);
    // What a share named leads there without links.
    let access = task.access.access();
    let teller = Arc::new(Teller::new(access.meter.clone()));
    teller.tell(&Message::Begun);
    die(task.die.as_deref());
    let access = task.geometry().access(&Access { links: task.links, ..access });
    let done = access.and_then(|access| Hand { task, access, teller: teller.clone() }.examine());
    let message = match done {
        Ok((outcome, bundle)) => Message::Outcome(Box::new(outcome), bundle),
        Err(e) => Message::Failed(Failure::of(&e)),
    };
    teller.flush();
    teller.tell(&message);
    0.into()
}

struct Hand {
    task: Task,
    access: Access,
    teller: Arc<Teller>,
}

impl Hand {
    fn examine(&self) -> Result<(Outcome, bool)> {
        let (task, path) = (&self.task, &*self.task.path());
        // Opened once; a password is asked for only when it is to be read.
        let mut opened = Disk::open_how(path, &|_| Ok(Vec::new()), &self.access).map(Layout::from);
        let mut remembered = Memory::new(task).of(opened.as_ref().ok())?;
        self.teller.tell(&Message::Waiting);
        let free = remembered.lock().and_then(|()| match &opened {
            Ok(layout) => busy::settle(layout.disk(), task.if_busy, &*self.teller),
            Err(_) => Ok(()),
        });
        let leave = match free {
            Ok(()) => None,
            Err(Error::Busy(why)) => Some(format!("{why} is in use")),
            Err(e) => return Err(e),
        };
        self.teller.tell(&Message::Begun);
        let skipped = leave.is_some();
        let free = opened.as_ref().ok().and_then(|o| o.disk().bundle()?.free_space());
        // One that was given is tried also where nothing is to be read; nobody is asked to
        // type it for that.
        let bad_password = match &mut opened {
            Ok(layout) => self.unlock(layout, !skipped && !task.quick)?,
            Err(_) => None,
        };
        let mut before = remembered.problems();
        before.extend(remembered.unverified().filter(|_| skipped));
        let options = Options {
            quick: task.quick,
            max_age: task.max_age.and_then(|age| i64::try_from(age.as_secs()).ok()),
            jobs: task.access.jobs(),
            now: clock::now(),
            read_data: task.read_data.filter(|_| !skipped),
            manifest: remembered.manifest().filter(|_| !skipped),
            kept: remembered.kept(),
            before,
            not_checked: remembered.not_checked(),
            leave,
            last: remembered.last().filter(|_| skipped || task.quick),
            known_damage: remembered.damage(),
            links: self.access.links,
            bad_password,
            weighed: Some(limits::weighed),
        };
        let bundle = !matches!(&opened, Ok(layout) if layout.disk().bundle().is_none());
        let mut outcome = verify(path, opened, options, &*self.teller)?;
        // What was cut short by a signal is not a verification.
        self.teller.check()?;
        remembered.weighed(limits::stored(), free);
        if let Some(last) = remembered.kept_of_more(&outcome) {
            outcome.keep(last);
        }
        if !outcome.skipped()
            && let Some(problem) = remembered.verified(&outcome)
        {
            outcome.add(problem);
        }
        Ok((outcome, bundle))
    }

    /// Unlock a source; why the password does not help that was given, if so. The source
    /// stays locked then, and what needs no password can be checked.
    /// `typing`: somebody may be asked for it.
    fn unlock(&self, layout: &mut Layout, typing: bool) -> Result<Option<(Code, String)>> {
        for wrong in 0..TRIES {
            let asked = Arc::new(Mutex::new(Asked::default()));
            let (teller, note) = (self.teller.clone(), asked.clone());
            let ask = move |name: &str, wrong_here: u32| {
                let mut asked = Asked::default();
                let found = teller.ask(name, wrong.max(wrong_here), typing, &mut asked);
                let again = asked.again;
                *note.lock().unwrap_or_else(PoisonError::into_inner) = asked;
                // The same once more would not do.
                if wrong_here > 0 && !again { Ok(Vec::new()) } else { found }
            };
            let unlocked = layout.unlock(Arc::new(ask));
            let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
            match unlocked {
                Ok(()) => return self.untried(layout.disk()),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(Error::WrongPassword(_)) if asked.again && wrong + 1 < TRIES => {}
                Err(e @ Error::WrongPassword(_)) => {
                    return Ok(Some((Code::PasswordWrong, e.to_string())));
                }
                Err(e) => match asked.failed {
                    Some(why) => return Ok(Some((Code::PasswordUnread, why))),
                    None => return Err(e),
                },
            }
        }
        Ok(None)
    }
}

impl Hand {
    /// What is said of a password that was given for an image whose keys are wrapped in a way
    /// that is not known: it opens nothing, which is no success.
    fn untried(&self, disk: &Disk) -> Result<Option<(Code, String)>> {
        let Some(why) = disk.untried() else { return Ok(None) };
        let mut asked = Asked::default();
        let given = self.teller.ask(&disk.name(), 0, false, &mut asked);
        match (given, asked.failed) {
            (Err(Error::Interrupted), _) => Err(Error::Interrupted),
            (_, Some(failed)) => Ok(Some((Code::PasswordUnread, failed))),
            (Ok(given), None) if !given.is_empty() => {
                let text = format!("{UNTRIED}: {why}");
                Ok(Some((Code::PasswordWrong, text)))
            }
            _ => Ok(None),
        }
    }
}

/// What came of asking.
#[derive(Default)]
struct Asked {
    again: bool,
    failed: Option<String>,
}

/// A line of standard input, read byte by byte: what follows it may be a secret, which
/// is to lie in no buffer.
fn line() -> Option<String> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE {
        let mut byte = [0];
        match rustix::io::read(rustix::stdio::stdin(), &mut byte) {
            Ok(1) if byte == *b"\n" => return String::from_utf8(line).ok(),
            Ok(1) => line.extend(byte),
            Err(rustix::io::Errno::INTR) => {}
            _ => return None,
        }
    }
    None
}

/// Tells the parent how far it is.
struct Teller {
    meter: Arc<Meter>,
    started: Instant,
    /// Milliseconds from the start to the last word about progress.
    told: AtomicU64,
    done: AtomicU64,
    beside: AtomicU64,
    read: Mutex<u64>,
    /// One question at a time.
    asking: Mutex<()>,
}

impl Teller {
    fn new(meter: Arc<Meter>) -> Self {
        let zero = AtomicU64::default;
        let started = Instant::now();
        let (told, done, beside) = (zero(), zero(), zero());
        let (read, asking) = (Mutex::default(), Mutex::default());
        Self { meter, started, told, done, beside, read, asking }
    }

    /// Where nobody listens any more, the signal that comes with that ends the work.
    fn tell(&self, message: &Message) {
        let mut out = std::io::stdout().lock();
        let _ = serde_json::to_writer(&mut out, message).map_err(std::io::Error::from);
        let _ = out.write_all(b"\n").and_then(|()| out.flush());
    }

    fn flush(&self) {
        let mut before = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.meter.bytes();
        let more = read.saturating_sub(std::mem::replace(&mut *before, read));
        let done = self.done.swap(0, Ordering::Relaxed);
        let beside = self.beside.swap(0, Ordering::Relaxed);
        if (done, beside, more) != (0, 0, 0) {
            self.tell(&Message::Done(done, beside, more));
        }
    }

    /// Tell of progress, if that was not done just now.
    fn pace(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = self.told.load(Ordering::Relaxed);
        let due = now.saturating_sub(told) >= u64::try_from(PACE.as_millis()).unwrap_or(0);
        let mine = self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed);
        if due && mine.is_ok() {
            self.flush();
        }
    }
}

impl Teller {
    /// Ask the parent for the passwords of an image or volume.
    fn ask(&self, name: &str, wrong: u32, typing: bool, asked: &mut Asked) -> Result<Vec<Secret>> {
        self.flush();
        let _one = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell(&Message::Ask(name.to_owned(), wrong, typing));
        let answer: Option<Answer> = line().and_then(|line| serde_json::from_str(&line).ok());
        let Some(answer) = answer else { return Err(Error::Interrupted) };
        crate::cli::password::no_core_dumps();
        asked.again = answer.again;
        if let Some(error) = answer.error {
            asked.failed = Some(error.clone());
            return Err(Error::Invalid(error));
        }
        answer.lengths.into_iter().map(secret).collect()
    }
}

/// A password of so many bytes from standard input.
fn secret(length: usize) -> Result<Secret> {
    let mut bytes = vec![0; length.min(MAX_LINE)];
    let mut got = 0;
    while let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(rustix::stdio::stdin(), rest) {
            Ok(0) => return Err(Error::Interrupted),
            Ok(n) => got += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::io("cannot read the password", e)),
        }
    }
    Ok(Secret::new(bytes))
}

impl Progress for Teller {
    fn phase(&self, name: &str, total: u64, unit: Unit) {
        self.flush();
        self.tell(&Message::Phase(name.to_owned(), total, unit == Unit::Bytes));
    }

    fn advance(&self, n: u64) {
        self.done.fetch_add(n, Ordering::Relaxed);
        self.pace();
    }

    fn beside(&self, n: u64) {
        self.beside.fetch_add(n, Ordering::Relaxed);
    }

    fn saving(&self, now: bool) {
        stop::saving(now);
        self.tell(&Message::Saving(now));
    }

    fn interrupted(&self) -> bool {
        stop::asked()
    }
}

/// Die as a test wishes.
#[cfg(debug_assertions)]
#[allow(clippy::panic)]
fn die(how: Option<&str>) {
    match how {
        Some("abort") => std::process::abort(),
        Some("kill") => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
        }
        Some("panic") => panic!("a test wished it"),
        Some("exit") => std::process::exit(7),
        Some("memory") => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(vec![1; 1 << 20]);
            }
        }
        Some("cpu") => loop {
            std::hint::black_box(0);
        },
        Some("hang") => std::thread::sleep(Duration::from_secs(3600)),
        _ => {}
    }
}

#[cfg(not(debug_assertions))]
fn die(_: Option<&str>) {}
