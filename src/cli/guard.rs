//! Nothing is written into a backup: every place a command was told to write to is looked
//! at before anything else is done.

use super::args::Command;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tmbundle::bundle::{destination, enclosing, named_like_bundle};
use tmbundle::{Error, Result};

/// An error if what a command is to write lies in a bundle, or is a source.
///
/// # Errors
/// [`Error::Invalid`], naming the option and the bundle.
pub fn check(command: &Command) -> Result<()> {
    let mut places: Vec<(&str, &Path)> = Vec::new();
    let mut sources: Vec<&Path> = Vec::new();
    match command {
        Command::Verify(args) => {
            sources.extend(args.sources.iter().map(PathBuf::as_path));
            let memory = &args.memory;
            places.extend(metrics(&args.metrics));
            places.extend(memory.state_dir.iter().map(|path| ("--state-dir", path.as_path())));
            let manifest = memory.manifest.iter().flatten();
            places.extend(manifest.map(|path| ("--manifest", path.as_path())));
        }
        Command::Extract(args) => {
            sources.push(&args.source);
            places.extend(args.target.to.iter().map(|path| ("--to", path.as_path())));
            places.extend(args.report.iter().map(|path| ("--report", path.as_path())));
        }
        Command::Doctor(args) => places.extend(metrics(&args.metrics)),
        Command::Watch(args) => {
            places.extend(metrics(&args.metrics));
            places.extend(args.state_dir.iter().map(|path| ("--state-dir", path.as_path())));
        }
        Command::Man(args) => places.push(("DIR", &args.dir)),
        Command::Setup(args) if args.install => {
            places.extend([("--prefix", args.prefix.as_path()), ("--root", &args.root)]);
        }
        #[cfg(feature = "mount")]
        Command::Mount(args) => {
            sources.push(&args.source);
            places.push(("DIR", &args.dir));
            places.extend(args.log_file.iter().map(|path| ("--log-file", path.as_path())));
        }
        _ => {}
    }
    for (what, place) in places {
        refuse(what, place, &sources)?;
        if what == "--metrics" {
            super::textfile::refuse_foreign(place)?;
        }
        if what == "--to" {
            refuse_name(place)?;
        }
    }
    redirected()
}

/// The file of `--metrics`, if it is one.
fn metrics(file: &Option<PathBuf>) -> Option<(&'static str, &Path)> {
    let file = file.as_deref().filter(|file| !super::textfile::is_stdout(file))?;
    Some(("--metrics", file))
}

/// An error if `place`, given by `what`, lies in a bundle, or is one of the sources.
///
/// # Errors
/// [`Error::Invalid`].
pub fn refuse(what: &str, place: &Path, sources: &[&Path]) -> Result<()> {
    let invalid = |why: String| Error::Invalid(format!("{what} {}: {why}", place.display()));
    if let Some(bundle) = enclosing(place).map_err(|e| invalid(e.to_string()))? {
        return Err(invalid(format!(
            "it lies in the bundle {}, and nothing is ever written into a backup",
            bundle.display()
        )));
    }
    let Ok(place) = destination(place).and_then(std::fs::metadata) else { return Ok(()) };
    let same = |source: &&&Path| {
        let found = std::fs::metadata(source);
        found.is_ok_and(|m| !m.is_dir() && (m.dev(), m.ino()) == (place.dev(), place.ino()))
    };
    match sources.iter().find(same) {
        Some(_) => Err(invalid("it is the backup itself, which is only ever read".into())),
        None => Ok(()),
    }
}

/// A folder that would be named like a bundle: the same command again would find a backup in
/// its way.
fn refuse_name(to: &Path) -> Result<()> {
    let invalid = |why: String| Error::Invalid(format!("--to {}: {why}", to.display()));
    match named_like_bundle(to).map_err(|e| invalid(e.to_string()))? {
        Some(folder) => Err(invalid(format!(
            "{} would be taken for a backup: choose another name",
            folder.display()
        ))),
        None => Ok(()),
    }
}

/// What the shell was told to do with our output counts, too.
fn redirected() -> Result<()> {
    let outputs = [
        (1, std::io::stdout().as_fd().try_clone_to_owned()),
        (2, std::io::stderr().as_fd().try_clone_to_owned()),
    ];
    for (number, fd) in outputs {
        let file = fd.is_ok_and(|fd| std::fs::File::from(fd).metadata().is_ok_and(|m| m.is_file()));
        let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        if file && path.is_absolute() {
            refuse("output to", &path, &[])?;
        }
    }
    Ok(())
}
