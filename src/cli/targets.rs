//! What `verify` is to check: the sources that were named, and the bundles of a
//! share that was.

use super::args::VerifyArgs;
use super::output;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tmbundle::Error;
use tmbundle::bundle::{NEVER, Share, ago};
use tmbundle::io::Links;

/// One source and the name it goes by in what is printed.
pub struct Target {
    pub path: PathBuf,
    /// Whether the path may lead through links: not where a share named it.
    pub links: Links,
    pub name: String,
}

/// Something that a share holds and that was not verified as it is.
pub struct Note {
    pub path: PathBuf,
    pub why: Why,
    /// One line.
    pub text: String,
    /// Whether it is to be said.
    pub told: bool,
}

/// Why something in a share was not verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It looks like a bundle and is none.
    PassedOver,
    /// A Mac began it and it holds no backup.
    Unfinished,
    /// It has the name of such a one; it was verified.
    NamedUnfinished,
    /// A folder that lies too deep.
    TooDeep,
}

impl Why {
    /// Its word in JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::PassedOver => "passed-over",
            Self::Unfinished => "unfinished",
            Self::NamedUnfinished => "named-unfinished",
            Self::TooDeep => "too-deep",
        }
    }
}

/// The sources to check, and the errors of those that cannot be.
#[derive(Default)]
pub struct Targets {
    pub all: Vec<Target>,
    pub failed: Vec<(PathBuf, Error)>,
    /// What else was seen in a share.
    pub notes: Vec<Note>,
    /// Whether each gets a line of its own.
    pub several: bool,
}

/// Look up what was named. What in a share looks like a bundle and is none is said, unless
/// it is to be quiet; that a bundle is still being made only to those who watch.
pub fn find(args: &VerifyArgs) -> Targets {
    let sources = &args.sources;
    let watched = args.verbose || output::is_terminal();
    let mut found = Targets { several: sources.len() > 1, ..Targets::default() };
    let mut seen = HashSet::new();
    for source in sources {
        match Share::open(source) {
            Ok(None) => {
                let name = output::last_part(source);
                found.add(&mut seen, source, name, Links::Follow);
            }
            Ok(Some(share)) => {
                found.several = true;
                for bundle in &share.bundles {
                    let name = bundle.strip_prefix(source).unwrap_or(bundle).display();
                    found.add(&mut seen, bundle, name.to_string(), Links::Refuse);
                }
                found.note_all(&share, watched, args.quiet);
                found.failed.extend(share.failed.into_iter().map(|e| (source.clone(), e)));
            }
            Err(e) => found.failed.push((source.clone(), e)),
        }
    }
    found
}

/// What a share holds beside its bundles.
pub fn beside(share: &Share, quiet: bool) -> Vec<Note> {
    let mut found = Targets::default();
    found.note_all(share, true, quiet);
    found.notes.retain(|note| note.why != Why::NamedUnfinished);
    found.notes
}

impl Targets {
    /// Note what of a share is not verified, or is not what it is called.
    fn note_all(&mut self, share: &Share, watched: bool, quiet: bool) {
        let mut note = |path: &Path, why, text: String, told| {
            let text = format!("{} {text}", path.display());
            self.notes.push(Note { path: path.to_owned(), why, text, told });
        };
        for (path, why) in &share.passed {
            note(path, Why::PassedOver, format!("was passed over: it is {why}"), !quiet);
        }
        for (path, age) in &share.unfinished {
            // Old ones are told to everybody: that Mac has no backup.
            if *age >= NEVER {
                let ago = ago(*age);
                let text =
                    format!("was begun by a Mac {ago} ago and never finished; it holds no backup");
                note(path, Why::Unfinished, text, true);
            } else {
                let text = "is still being made by a Mac".to_owned();
                note(path, Why::Unfinished, text, watched && !quiet);
            }
        }
        for (path, age) in &share.named_unfinished {
            let ago = ago(*age);
            let text = format!(
                "has the name of a bundle that a Mac is only making, but holds bands, and was last \
                 changed {ago} ago: no Mac takes it for its backup; it was verified"
            );
            note(path, Why::NamedUnfinished, text, !quiet);
        }
        for (path, why) in &share.cut {
            note(path, Why::TooDeep, (*why).into(), !quiet);
        }
    }

    /// Add a source, unless it is there already (by a share and by its own name).
    fn add(&mut self, seen: &mut HashSet<PathBuf>, path: &Path, name: String, links: Links) {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if seen.insert(real) {
            self.all.push(Target { path: path.to_owned(), links, name });
        }
    }
}
