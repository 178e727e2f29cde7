//! What is wrong with a container and its volumes: what opening them shows, every node that
//! cannot be read, and what does not fit together, by the rules of docs/apfsck.md.

mod container;
mod efi;
pub(in crate::apfs) mod files;
mod headers;
mod keybags;
mod nodes;
mod omaps;
mod reaper;
pub mod say;
mod space;
mod trees;
mod used;
mod whole;

use self::say::Checker;

use crate::apfs::Container;
use crate::apfs::nx::Note;
use crate::apfs::volume::Apfs;
use crate::crypt::AskAgain;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::report::words::plural;
use crate::report::{Code, Finding, Progress, Reporter, Severity, Structure, Where};
use std::sync::Arc;

/// What was looked at.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What was seen, in a line for people.
    pub text: String,
    /// What was not checked, and why.
    pub not_checked: Vec<(String, String)>,
}

/// Open the container and each of its volumes, read all nodes of all snapshots, and report
/// what is wrong with that.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn check(
    source: &Source,
    ask: AskAgain<'_>,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let container = match Container::open(source.clone()) {
        Ok(container) => Arc::new(container),
        Err(e) => {
            say_unreadable(source, "the container", e, reporter, &mut seen)?;
            seen.text = "APFS, which cannot be opened".into();
            return Ok(seen);
        }
    };
    for note in container.older().into_iter().chain(container.notes()) {
        say_note(source, note, reporter);
    }
    let checker = Checker::new(container.store().blocks(), reporter);
    whole::check(&checker, &container, progress)?;
    let (mut volumes, mut snapshots) = (0u32, 0);
    for oid in &container.superblock().volumes {
        volumes += 1;
        // Told where the structures are checked, which read it, too.
        let mut failed = |e| match e {
            Error::Interrupted => Err(e),
            _ => Ok(()),
        };
        match Apfs::open_telling(container.clone(), *oid, ask, &mut failed) {
            Ok(volume) => {
                snapshots += crate::io::bytes::to_u64(volume.snapshots().len());
                for note in volume.notes() {
                    let name = &volume.superblock().name;
                    let text = format!("volume '{name}': {note}");
                    let place = Where::of(Structure::Volume).at(source.locate(0));
                    reporter.report(Finding::new(Code::ApfsState, place, text));
                }
                crate::apfs::walk::volume(&checker, (&volume, volumes), reporter, progress)?;
            }
            Err(e) => {
                let name = container.volume_name(*oid);
                let what = name.map_or(format!("volume {oid}"), |n| format!("volume '{n}'"));
                say_unreadable(source, &what, e, reporter, &mut seen)?;
            }
        }
    }
    checker.finish();
    let volumes = plural(volumes.into(), "volume", "volumes");
    let snapshots = plural(snapshots, "snapshot", "snapshots");
    let xid = container.superblock().xid;
    seen.text = format!("APFS: {volumes}, {snapshots}, read at transaction {xid}");
    Ok(seen)
}

fn say_note(source: &Source, note: &Note, reporter: &dyn Reporter) {
    let at = note.place.clone().or_else(|| source.locate(note.offset));
    let place = Where::of(Structure::Checkpoint).at(at);
    let severity = if note.damage { Severity::Damage } else { Severity::Info };
    let text = format!("{} ({})", note.text, note.rule);
    reporter.report(Finding::new(Code::ApfsCheckpoint, place, text).severity(severity));
}

/// Damage is a finding; what cannot be opened for another reason is not checked.
fn say_unreadable(
    source: &Source,
    what: &str,
    e: Error,
    reporter: &dyn Reporter,
    seen: &mut Seen,
) -> Result<()> {
    match e {
        Error::Interrupted => return Err(e),
        Error::Corrupt(_) | Error::Io { .. } => {
            let at = match &e {
                Error::Corrupt(c) => c.place.clone().or_else(|| source.locate(0)),
                _ => source.locate(0),
            };
            let place = Where::of(Structure::Container).at(at);
            let text = format!("{what} cannot be opened: {e} ({})", say::rule_of(&e));
            reporter.report(Finding::new(Code::ApfsUnreadable, place, text));
        }
        Error::WrongPassword(_) => {
            let text = e.to_string();
            let finding = Finding::new(Code::PasswordWrong, Where::of(Structure::Keybag), &*text);
            reporter.report(finding);
            seen.not_checked.push((what.into(), text));
        }
        other => seen.not_checked.push((what.into(), other.to_string())),
    }
    Ok(())
}
