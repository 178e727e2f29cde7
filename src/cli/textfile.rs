//! Where `--metrics` go: a file for node_exporter's textfile collector, or standard output.

use super::{output, page};
use std::io::{Read, Write};
use std::path::Path;
use tmbundle::state::{folder_of, write_atomically};
use tmbundle::{Error, Result};

/// `--metrics -`
pub fn is_stdout(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Where metrics go to standard output, a command's words go to standard error. `taken`: that
/// standard output is for something else, in words.
///
/// # Errors
/// [`Error::Invalid`] if it is for both.
pub fn divert(file: Option<&Path>, taken: Option<&str>) -> Result<()> {
    let diverted = file.is_some_and(is_stdout);
    if let Some(text) = taken.filter(|_| diverted) {
        return Err(Error::Invalid(text.to_owned()));
    }
    page::divert(diverted);
    Ok(())
}

/// Said by commands whose other output is `--json`.
pub const JSON_TOO: &str =
    "--metrics - and --json are both for standard output: give --metrics a file";

/// Check that the file can be written: that it gets its name by a rename in a folder, and takes
/// the place of no device and no pipe.
///
/// # Errors
/// [`Error::Io`] if not.
pub fn check(file: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("--metrics {}", file.display()), e);
    let other = |why: &str| failed(std::io::Error::other(why.to_owned()));
    let folder = std::fs::canonicalize(folder_of(file)).map_err(failed)?;
    let Some(name) = file.file_name().filter(|_| folder.is_dir() && !file.is_dir()) else {
        return Err(other("not a file in a folder"));
    };
    if std::fs::metadata(folder.join(name)).is_ok_and(|m| !m.is_file()) {
        return Err(other("not a regular file; --metrics - prints to standard output"));
    }
    Ok(())
}

/// How every file of ours begins.
const OURS: &[u8] = b"# HELP tmbundle";

/// Refuse to take the place of a file that is not empty and not ours: a slip must not cost
/// anybody a backup.
///
/// # Errors
/// [`Error::Invalid`].
pub fn refuse_foreign(file: &Path) -> Result<()> {
    let Some(mut found) = std::fs::metadata(file)
        .ok()
        .filter(std::fs::Metadata::is_file)
        .and_then(|_| std::fs::File::open(file).ok())
    else {
        return Ok(());
    };
    let (mut head, want) = (Vec::new(), u64::try_from(OURS.len()).unwrap_or(0));
    let read = Read::by_ref(&mut found).take(want).read_to_end(&mut head);
    if read.is_err() || head.is_empty() || head == OURS {
        return Ok(());
    }
    let why = "there is a file that is none of tmbundle's metrics: it would be replaced";
    Err(Error::Invalid(format!("--metrics {}: {why}", file.display())))
}

/// Refuse a file that would lie in one of the sources.
///
/// # Errors
/// [`Error::Invalid`].
pub fn refuse_inside<'a>(file: &Path, sources: impl Iterator<Item = &'a Path>) -> Result<()> {
    let folder = std::fs::canonicalize(folder_of(file));
    let Some(place) = folder.ok().zip(file.file_name()).map(|(dir, name)| dir.join(name)) else {
        return Ok(());
    };
    let inside = |source: &Path| std::fs::canonicalize(source).is_ok_and(|s| place.starts_with(s));
    match sources.into_iter().find(|source| inside(source)) {
        Some(source) => Err(Error::Invalid(format!(
            "--metrics {}: it would be written into {}",
            file.display(),
            source.display()
        ))),
        None => Ok(()),
    }
}

/// Print the page, or write the file, which is looked at once more.
///
/// # Errors
/// As for [`check`]; those of writing.
pub fn put(file: &Path, page: &str) -> anyhow::Result<()> {
    if !is_stdout(file) {
        check(file)?;
        return Ok(write_atomically(file, page.as_bytes(), 0o644)?);
    }
    let mut out = output::stdout();
    out.write_all(page.as_bytes())?;
    Ok(out.flush()?)
}
