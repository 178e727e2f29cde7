//! The parent's side: starts a child, listens to it, and says how it ended.

use super::task::Task;
use super::{Answer, Failure, Message, WORD};
use crate::cli::password::Prompt;
use crate::cli::stop;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tmbundle::crypt::Secret;
use tmbundle::io::Meter;
use tmbundle::report::words::binary;
use tmbundle::report::{Finding, KeptIn, Progress, Unit};
use tmbundle::verify::Outcome;
use tmbundle::{Error, Result};

/// Between two looks at the clock and at the wish to stop.
const LOOK: Duration = Duration::from_millis(50);
/// Time for a child to end when it was asked to.
const GRACE: Duration = Duration::from_secs(3);
/// Longest line that a child may tell: its outcome. More is a fault, or malice.
const MAX_LINE: u64 = 256 << 20;
/// As much of what a child writes to standard error is kept.
const MAX_WORDS: u64 = 64 << 10;

/// How an examination ended.
pub enum Ended {
    /// With an outcome.
    Outcome(Box<Outcome>),
    /// The source could not be examined.
    Failed(Failure),
    /// Before its time; why.
    Died(String),
}

/// Asked for the passwords of an image or volume by its name, how often one was wrong already, and
/// whether somebody may be asked to type it; says whether to ask again if this one is wrong, too.
pub type Asker<'a> = &'a dyn Fn(&str, u32, Prompt) -> (Result<Vec<Secret>>, bool);

/// Have a child examine a source. What it reads is counted by `meter`, too.
///
/// # Errors
/// [`Error::Interrupted`], or [`Error::Io`] if no child can be started.
pub fn examine(
    task: &Task,
    ask: Asker<'_>,
    meter: &Meter,
    progress: &dyn Progress,
) -> Result<Ended> {
    let mut boss = Boss::start(task)?;
    stop::saving(true);
    let told = boss.listen(task, ask, meter, progress);
    let (status, words) = boss.end();
    // After an interruption nobody else is to end the program: we do.
    if !matches!(told, Err(Error::Interrupted)) {
        stop::saving(false);
    }
    Ok(match told? {
        Told::Outcome(outcome) => Ended::Outcome(outcome),
        Told::Failed(failure) if failure.interrupted => {
            stop::saving(true);
            return Err(Error::Interrupted);
        }
        Told::Failed(failure) => Ended::Failed(failure),
        Told::Late(limit) => {
            let limit = limit.as_secs();
            Ended::Died(format!("it took longer than --max-time allows ({limit} s)"))
        }
        Told::TooMuch => Ended::Died("it had more to tell than can be taken".into()),
        Told::Nothing(phase) => {
            let during = phase.map_or_else(String::new, |p| format!(" while {p}"));
            Ended::Died(format!("{}{during}", cause(status, &words)))
        }
    })
}

/// What a child told in the end.
enum Told {
    Outcome(Box<Outcome>),
    Failed(Failure),
    /// Nothing within the time that the user set.
    Late(Duration),
    TooMuch,
    /// It ended without a word, in this phase.
    Nothing(Option<String>),
}

/// A line from a child, or that it was too long.
enum Line {
    Text(Vec<u8>),
    TooLong,
}

struct Boss {
    child: Child,
    to: Option<ChildStdin>,
    lines: Receiver<Line>,
    words: std::thread::JoinHandle<String>,
}

impl Boss {
    fn start(task: &Task) -> Result<Self> {
        let failed = |e| Error::io("cannot start the examination", e);
        // This very program, even if its file was replaced meanwhile.
        let command = |program: &std::path::Path| {
            Command::new(program)
                .arg0("tmbundle")
                .arg(WORD)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                // A signal from the keyboard reaches it through us, once.
                .process_group(0)
                .spawn()
        };
        let mut child = match command("/proc/self/exe".as_ref()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                command(&std::env::current_exe().map_err(failed)?)
            }
            other => other,
        }
        .map_err(failed)?;
        let mut to = child.stdin.take();
        let (sender, lines) = channel();
        if let Some(from) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut from = BufReader::with_capacity(1 << 16, from);
                while let Some(line) = next_line(&mut from) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let from = child.stderr.take();
        let words = std::thread::spawn(move || from.map(all_words).unwrap_or_default());
        let text = serde_json::to_string(task).map_err(|e| failed(e.into()))?;
        // A child that is gone already is noticed by its silence.
        let _ = to.as_mut().map(|to| writeln!(to, "{text}"));
        Ok(Self { child, to, lines, words })
    }

    fn listen(
        &mut self,
        task: &Task,
        ask: Asker<'_>,
        meter: &Meter,
        progress: &dyn Progress,
    ) -> Result<Told> {
        let (mut begun, mut phase, mut asked) = (None::<Instant>, None, None::<Instant>);
        loop {
            if progress.interrupted() && asked.is_none() {
                asked = Some(Instant::now());
                self.signal(Signal::TERM);
            }
            if asked.is_some_and(|asked| asked.elapsed() > GRACE) {
                return Err(Error::Interrupted);
            }
            if let Some((begun, limit)) = begun.zip(task.max_time)
                && begun.elapsed() > limit
                && asked.is_none()
            {
                return Ok(Told::Late(limit));
            }
            let line = match self.lines.recv_timeout(LOOK) {
                Ok(Line::Text(line)) => line,
                Ok(Line::TooLong) => return Ok(Told::TooMuch),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) if asked.is_some() => {
                    return Err(Error::Interrupted);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(Told::Nothing(phase)),
            };
            match serde_json::from_slice(&line) {
                Ok(Message::Phase(name, total, bytes)) => {
                    let unit = if bytes { Unit::Bytes } else { Unit::Items };
                    progress.phase(&name, total, unit);
                    phase = Some(name);
                }
                Ok(Message::Done(done, beside, read)) => {
                    progress.advance(done);
                    progress.beside(beside);
                    meter.take(usize::try_from(read).unwrap_or(usize::MAX))?;
                }
                Ok(Message::Saving(_)) => {}
                Ok(Message::Waiting) => begun = None,
                Ok(Message::Begun) => begun = Some(Instant::now()),
                Ok(Message::Ask(name, wrong, typing)) => {
                    let waiting = Instant::now();
                    let prompt = if typing { Prompt::Yes } else { Prompt::No };
                    self.answer(ask(&name, wrong, prompt))?;
                    // Who types takes none of the child's time.
                    begun = begun.and_then(|begun| begun.checked_add(waiting.elapsed()));
                }
                Ok(Message::Outcome(..)) if asked.is_some() => return Err(Error::Interrupted),
                Ok(Message::Outcome(mut outcome, bundle)) => {
                    // What to do depends on what it is; that is not told by the child.
                    let kept = if bundle { KeptIn::Bundle } else { KeptIn::One };
                    Finding::fit_all(&mut outcome.findings, kept);
                    return Ok(Told::Outcome(outcome));
                }
                Ok(Message::Failed(failure)) => return Ok(Told::Failed(failure)),
                Err(_) => return Ok(Told::Nothing(phase)),
            }
        }
    }

    fn answer(&mut self, (found, again): (Result<Vec<Secret>>, bool)) -> Result<()> {
        let (secrets, error) = match found {
            Ok(secrets) => (secrets, None),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => (Vec::new(), Some(e.to_string())),
        };
        let lengths = secrets.iter().map(|s| s.bytes().len()).collect();
        let answer = serde_json::to_string(&Answer { lengths, error, again })
            .map_err(|e| Error::io("cannot pass on the password", e))?;
        if let Some(to) = &mut self.to {
            let mut written = writeln!(to, "{answer}");
            for secret in &secrets {
                written = written.and_then(|()| to.write_all(secret.bytes()));
            }
            // A child that is gone is noticed by its silence.
            let _ = written;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Wait for the child, which has nothing more to tell: how it ended, and what it wrote
    /// to standard error.
    fn end(mut self) -> (Option<ExitStatus>, String) {
        drop(self.to.take());
        let status = self.wait(Duration::from_millis(500)).or_else(|| {
            // It may have something to save.
            self.signal(Signal::TERM);
            self.wait(GRACE)
        });
        if status.is_none() {
            let _ = self.child.kill();
        }
        let status = status.or_else(|| self.wait(GRACE));
        // One that does not die (a disk that does not answer) is left behind.
        let words =
            if status.is_some() { self.words.join().unwrap_or_default() } else { String::new() };
        (status, words)
    }

    fn wait(&mut self, time: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + time;
        let mut nap = Duration::from_micros(100);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(LOOK);
        }
    }
}

fn next_line(from: &mut impl BufRead) -> Option<Line> {
    let mut line = Vec::new();
    match from.take(MAX_LINE).read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) if line.last() == Some(&b'\n') => Some(Line::Text(line)),
        Ok(n) if u64::try_from(n).is_ok_and(|n| n >= MAX_LINE) => Some(Line::TooLong),
        // It died in mid-sentence.
        Ok(_) => None,
    }
}

/// The beginning of what a child writes; the rest is read, so that it need not wait.
fn all_words(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let _ = from.by_ref().take(MAX_WORDS).read_to_end(&mut kept);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// Why a child ended without a word.
fn cause(status: Option<ExitStatus>, words: &str) -> String {
    let Some(status) = status else { return "it does not answer and cannot be ended".into() };
    let last = words.lines().rfind(|l| !l.trim().is_empty() && !l.starts_with("note: "));
    let said = last.map_or_else(String::new, |line| format!(" ({})", line.trim()));
    let memory = words.contains("memory allocation of");
    match status.signal() {
        _ if memory => {
            let asked = words.split_whitespace().find_map(|w| w.parse().ok());
            let asked =
                asked.map_or_else(String::new, |n: u64| format!(" ({} at once)", binary(n)));
            format!("it needed more memory than it may have{asked}; see --max-memory")
        }
        Some(24) => "it used more processor time than it may; see --max-time".into(),
        Some(9) => "it was killed, perhaps because the system ran out of memory".into(),
        Some(n) => format!("it crashed by signal {n}{said}"),
        None => format!("it ended with exit code {}{said}", status.code().unwrap_or(-1)),
    }
}
