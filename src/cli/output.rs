//! Standard output, errors and exit codes.

use super::page::{self, Tone};
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use tmbundle::Error;
use tmbundle::losses::NO_ZEROS;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Ok,
    Findings,
    Failed,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Findings => 1,
            Self::Failed => 3,
            Self::Interrupted => 130,
        }
    }

    /// The code for an error: damage that was recognised is a finding, an address
    /// that does not exist is usage, the rest could not be examined.
    pub fn of(error: &Error) -> u8 {
        match error {
            Error::Corrupt(_) | Error::Lost(_) => 1,
            Error::NotFound(_) | Error::Invalid(_) => 2,
            Error::Interrupted => 130,
            _ => 3,
        }
    }
}

/// Buffered standard output.
pub fn stdout() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub fn is_terminal_stderr() -> bool {
    io::stderr().is_terminal()
}

/// Write one JSON document.
pub fn json(schema: &str, document: &impl Serialize) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Document<'a, T> {
        schema: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    let mut out = stdout();
    serde_json::to_writer_pretty(&mut out, &Document { schema, body: document })?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Whether the reader of our output went away: not our error.
pub fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let direct = cause.downcast_ref::<io::Error>();
        let json =
            cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        direct.map(io::Error::kind).or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

/// Print an error, with a hint where one helps; its exit code.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let Some(known) = error.downcast_ref::<Error>() else {
        self::error(&format!("{error:#}"), None);
        return 3.into();
    };
    self::error(&known.to_string(), hint(known));
    Exit::of(known).into()
}

/// Print the error of one source of several; say which, if the error does not.
pub fn fail_of(source: &Path, text: &str, hint: Option<&str>) {
    let path = source.display().to_string();
    match text.contains(&path) {
        true => error(text, hint),
        false => error(&format!("{path}: {text}"), hint),
    }
}

/// Print an error and what helps against it.
pub fn error(text: &str, hint: Option<&str>) {
    let mut err = page::stderr();
    let _ = err.put(page::hanging(2).tone(Tone::Bad, "error:").plain(" ").plain(text));
    if let Some(hint) = hint {
        let _ = err.put(page::hanging(4).tone(Tone::Strong, "  hint:").plain(" ").plain(hint));
    }
}

/// Last part of a path, for people; of `.` and the like the name of what it stands for.
pub fn last_part(path: &Path) -> String {
    let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let ends_in_name = !path.to_string_lossy().trim_end_matches('/').ends_with("/.");
    named(path)
        .filter(|_| ends_in_name)
        .or_else(|| named(&std::fs::canonicalize(path).ok()?))
        .unwrap_or_else(|| path.display().to_string())
}

/// How a look at all of a disk ends that goes on in spite of what cannot be read: only if
/// nothing of the kind happened, all is told.
pub fn whole(disk: &tmbundle::disk::Disk) -> Exit {
    match disk.failed_reads().first() {
        None => Exit::Ok,
        Some(read) => {
            warn(&format!("{}; what depends on that is missing here, or wrong", read.text));
            Exit::Findings
        }
    }
}

/// What may help against an error.
pub fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Corrupt(_) => Some("tmbundle verify shows what else is affected"),
        Error::Lost(e) if e.to_string().contains(NO_ZEROS) => {
            Some("tmbundle verify names all files that are hit, and snapshots that have them whole")
        }
        Error::Lost(_) => Some(
            "tmbundle verify names all files that are hit; --lost-as-zeros gives the rest of this one",
        ),
        Error::PasswordRequired(_) => Some(
            "--password-file FILE, --password-command CMD, TMBUNDLE_PASSWORD_FILE, \
             or run it on a terminal to be asked",
        ),
        e if e.is_out_of_descriptors() => {
            Some("more files may have to be open at once: raise the limit, as with ulimit -n 1024")
        }
        Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("run it as a user who may do that, or with sudo")
        }
        _ => None,
    }
}

/// Print a note to standard error: one paragraph.
pub fn note(text: &str) {
    let _ = page::stderr().put(page::hanging(2).plain(text));
}

/// Print a warning to standard error.
pub fn warn(text: &str) {
    let text = page::hanging(2).tone(Tone::Warn, "warning:").plain(" ").plain(text);
    let _ = page::stderr().put(text);
}
