//! What a shell may offer while an address is typed: snapshots, and what lies in them.

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::path::Path;
use tmbundle::disk::Disk;
use tmbundle::fs::{Cursor, Kind};
use tmbundle::report::misleads;
use tmbundle::timemachine::{Archive, LastLink, VOLUME};

/// Most names that are offered.
const MOST: usize = 500;

/// Completes `SNAPSHOT[:PATH]` from the backup that was named before it. Nobody is asked for
/// a password: of an encrypted one there is nothing to offer.
pub fn addresses() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let words: Vec<OsString> = std::env::args_os().collect();
        let offered = current.to_str().and_then(|current| offers(&words, current));
        offered.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect::<Vec<_>>()
    })
}

fn offers(words: &[OsString], current: &str) -> Option<Vec<String>> {
    // The program, "--", the program again, the command; then the first thing that is there.
    let source = words.iter().skip(4).map(Path::new).find(|path| path.exists())?;
    let archive = Archive::open(&Disk::open(source).ok()?.into()).ok()?;
    let mut found = match current.split_once(':') {
        Some((head, path)) => entries(&archive, head, path)?,
        None => heads(&archive),
    };
    // What cannot be typed is not offered.
    found.retain(|word| word.starts_with(current) && !word.chars().any(misleads));
    found.truncate(MOST);
    Some(found)
}

fn heads(archive: &Archive) -> Vec<String> {
    let snapshots = archive.backup().into_iter().flat_map(|(_, backup)| backup.snapshots());
    let mut names: Vec<String> = snapshots.map(|(_, s)| format!("{}:/", s.name)).collect();
    if !names.is_empty() {
        names.insert(0, "latest:/".into());
    }
    names.push(format!("{VOLUME}:/"));
    names
}

fn entries(archive: &Archive, head: &str, path: &str) -> Option<Vec<String>> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let place = archive.find_to(&format!("{head}:{folder}/"), LastLink::Follow).ok()?;
    let before = format!("{head}:{}/", if folder.is_empty() { "" } else { folder });
    let mut found = Vec::new();
    let listed = place.volume.fs().read_dir(place.node.id, Cursor::default(), &mut |entry| {
        let folder = entry.node.as_ref().is_ok_and(|node| node.kind == Kind::Directory);
        found.push(format!("{before}{}{}", entry.name, if folder { "/" } else { "" }));
        if found.len() < 20 * MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    listed.ok()?;
    Some(found)
}
