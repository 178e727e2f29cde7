//! What a restore tells: while it runs, at its end, and in a file.

use crate::cli::output;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tmbundle::Error;
use tmbundle::extract::{Did, NotKept, Object, Witness};
use tmbundle::fs::Kind;
use tmbundle::report::present;

/// Failures that are kept for the end; the report has all.
const KEPT: usize = 10_000;

/// What is listed of an object.
#[derive(Debug, Serialize)]
pub struct Row {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_as: Option<String>,
    kind: Option<&'static str>,
    did: &'static str,
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_kept: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<[u64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<String>,
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "folder",
        Kind::File => "file",
        Kind::Symlink => "symlink",
        Kind::CharDevice | Kind::BlockDevice => "device",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}

impl Row {
    fn new(o: &Object<'_>) -> Self {
        Self {
            path: o.path.to_owned(),
            restored_as: o.restored_as.clone(),
            kind: o.kind.map(kind),
            did: o.did.word(),
            bytes: o.bytes,
            not_kept: o.not_kept.iter().map(|k| k.word()).collect(),
            reason: o.reason.clone(),
            snapshot: o.snapshot.clone(),
            missing: o.missing.iter().map(|r| [r.start, r.end - r.start]).collect(),
            doubt: o.doubt.clone(),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let path = present(&self.path);
        let reason = present(self.reason.as_deref().unwrap_or("")).into_owned();
        let snapshot = self.snapshot.as_deref().map(present);
        if let (Some(doubt), None) = (&self.doubt, &self.reason) {
            return format!("doubtful: {path}: {doubt}");
        }
        match (self.did, snapshot) {
            ("fallback", Some(s)) => {
                format!("another version: {path}: from {s}, since here: {reason}")
            }
            ("salvaged", s) => {
                let lost: u64 = self.missing.iter().map(|[_, len]| len).sum();
                let as_ = present(self.restored_as.as_deref().unwrap_or(""));
                let whole = s.map(|s| format!("; whole in {s}")).unwrap_or_default();
                format!("in part: {path}: {lost} bytes are missing in {as_}: {reason}{whole}")
            }
            (_, Some(s)) => format!(
                "not restored: {path}: {reason}; whole in {s} (--fallback nearest takes that)"
            ),
            (_, None) => format!("not restored: {path}: {reason}"),
        }
    }
}

/// Keeps what went wrong, and writes the report.
pub struct Teller {
    reports: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Vec<Row>,
    more: u64,
    renamed: Vec<(String, String)>,
    report: Option<Report>,
}

struct Report {
    out: BufWriter<tempfile::NamedTempFile>,
    first: bool,
    failed: Option<std::io::Error>,
}

impl Teller {
    /// With a report to `file`, if there is one.
    pub fn new(file: Option<&Path>, source: &str) -> Result<Self, Error> {
        let report = file.map(|path| Report::new(path, source)).transpose()?;
        let reports = report.is_some();
        Ok(Self { reports, state: Mutex::new(State { report, ..State::default() }) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was not restored as it is, and how many more there were.
    pub fn take(&self) -> (Vec<Row>, u64) {
        let mut state = self.lock();
        (std::mem::take(&mut state.kept), state.more)
    }

    /// Some of the names that were changed.
    pub fn renamed(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.lock().renamed)
    }

    /// End the report with a summary and give it its name.
    pub fn finish(&self, file: Option<&Path>, summary: &impl Serialize) -> Result<(), Error> {
        let (Some(report), Some(path)) = (self.lock().report.take(), file) else { return Ok(()) };
        report.finish(path, summary)
    }
}

impl Witness for Teller {
    fn object(&self, object: &Object<'_>) {
        let told = matches!(object.did, Did::Failed | Did::Fallback | Did::Salvaged)
            || object.doubt.is_some();
        let names = [NotKept::Name, NotKept::Beside];
        let renamed = object.not_kept.iter().any(|kind| names.contains(kind));
        // Nearly all: threads do not wait for one another to say nothing.
        if !self.reports && !told && !renamed {
            return;
        }
        let mut state = self.lock();
        if let Some(report) = &mut state.report {
            report.row(&Row::new(object));
        }
        if told && state.kept.len() < KEPT {
            state.kept.push(Row::new(object));
        } else if told {
            state.more += 1;
        }
        if renamed
            && state.renamed.len() < KEPT
            && let Some(name) = &object.restored_as
        {
            state.renamed.push((object.path.to_owned(), name.clone()));
        }
    }
}

fn failed(path: &Path, e: impl Into<std::io::Error>) -> Error {
    Error::io(format!("cannot write {}", path.display()), e.into())
}

impl Report {
    fn new(path: &Path, source: &str) -> Result<Self, Error> {
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(dir).map_err(|e| failed(path, e))?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        let source = serde_json::to_string(source).unwrap_or_default();
        write!(
            out,
            "{{\"schema\": \"tmbundle/extract-report/1\", \"source\": {source}, \"objects\": ["
        )
        .map_err(|e| failed(path, e))?;
        Ok(Self { out, first: true, failed: None })
    }

    fn row(&mut self, row: &Row) {
        let text = serde_json::to_string(row).unwrap_or_default();
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        if let Err(e) = write!(self.out, "{comma}\n{text}") {
            self.failed.get_or_insert(e);
        }
    }

    fn finish(mut self, path: &Path, summary: &impl Serialize) -> Result<(), Error> {
        if let Some(e) = self.failed {
            return Err(failed(path, e));
        }
        let summary = serde_json::to_string(summary).unwrap_or_default();
        write!(self.out, "\n], \"summary\": {summary}}}\n").map_err(|e| failed(path, e))?;
        let file = self.out.into_inner().map_err(|e| failed(path, e.into_error()))?;
        let _: File = file.persist(path).map_err(|e| failed(path, e.error))?;
        Ok(())
    }
}

/// Print the lines of what was not restored as it is.
pub fn print(rows: &[Row], more: u64) {
    for row in rows {
        output::note(&row.line());
    }
    if more > 0 {
        output::note(&format!("… and {more} more (--report FILE lists all)"));
    }
}
