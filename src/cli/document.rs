//! The JSON document of `verify`: sources are written as they come, so that no more than
//! one is held in memory, and nothing is printed before all is known.

use serde::Serialize;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use tempfile::SpooledTempFile;
use tmbundle::verify::Outcome;

/// What is held in memory; the rest goes to a file without a name.
const IN_MEMORY: usize = 4 << 20;
/// Name and version of the document.
const SCHEMA: &str = "tmbundle/verify/2";

/// A document in the making.
pub struct Document {
    sources: SpooledTempFile,
    any: bool,
    /// Sources that could not be examined.
    errors: Vec<Error>,
    /// What else a share holds.
    notes: Vec<Note>,
}

#[derive(Serialize)]
struct Note {
    path: String,
    why: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Error {
    source: String,
    error: String,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            sources: SpooledTempFile::new(IN_MEMORY),
            any: false,
            errors: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Document {
    /// Add a source that was examined.
    pub fn source(&mut self, outcome: &Outcome) -> io::Result<()> {
        if std::mem::replace(&mut self.any, true) {
            self.sources.write_all(b",\n")?;
        }
        let mut out = io::BufWriter::new(&mut self.sources);
        serde_json::to_writer_pretty(&mut out, outcome)?;
        out.flush()
    }

    /// Add a source that could not be examined.
    pub fn failed(&mut self, source: &Path, error: &str) {
        self.errors.push(Error { source: source.display().to_string(), error: error.to_owned() });
    }

    /// Add what else a share holds.
    pub fn note(&mut self, path: &Path, why: &'static str, text: &str) {
        let (path, text) = (path.display().to_string(), text.to_owned());
        self.notes.push(Note { path, why, text });
    }

    /// Print the whole.
    pub fn print(mut self) -> io::Result<()> {
        let out = &mut io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
        write!(out, "{{\n\"schema\": \"{SCHEMA}\",\n\"sources\": [\n")?;
        self.sources.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.sources, out)?;
        write!(out, "],\n\"errors\": ")?;
        serde_json::to_writer_pretty(&mut *out, &self.errors)?;
        write!(out, ",\n\"notes\": ")?;
        serde_json::to_writer_pretty(&mut *out, &self.notes)?;
        writeln!(out, "\n}}")?;
        out.flush()
    }
}
