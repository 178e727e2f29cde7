//! Addresses of things in a backup: `SNAPSHOT[:PATH]`, `volume:PATH`.

use super::guess::{guess, quoted};
use super::links::{Walk, walk_to};
use super::{Archive, Backup, Computer, OpenVolume, Snapshot};
use crate::error::{Error, Result};
use crate::fs::{FileSystem, Kind, Metadata, ViewId};
use std::sync::Arc;

/// The word that addresses a raw volume instead of a snapshot.
pub const VOLUME: &str = "volume";

/// An address that was found.
pub struct Place<'a> {
    /// The volume it is on.
    pub volume: &'a OpenVolume,
    /// The view of it.
    pub view: ViewId,
    /// That view, opened.
    pub fs: Arc<dyn FileSystem>,
    /// The snapshot, unless a raw volume was addressed.
    pub snapshot: Option<&'a Snapshot>,
    /// Path below the snapshot or the volume's root, without a leading `/`; where links
    /// were followed, the one they led to.
    pub path: String,
    /// What is there.
    pub node: Metadata,
}

/// Whether a symbolic link at the end of a path is followed. Links on the way always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastLink {
    /// The link itself is meant, unless a `/` stands behind it.
    Keep,
    /// What it leads to is meant.
    Follow,
}

impl Archive {
    /// Find `latest`, a stamp, an unambiguous prefix of one, or `volume` or
    /// `volume=NAME`, each with `:PATH` behind it and, before that, `@SNAPSHOT` for any
    /// snapshot of an APFS volume; `COMPUTER/` may stand before a
    /// snapshot where there are several, and `~N` behind one: the N-th before it.
    ///
    /// Symbolic links on the way are followed as the Mac would, within the snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`] with what there is instead; [`Error::Unsupported`] when
    /// no volume could be opened.
    pub fn find(&self, address: &str) -> Result<Place<'_>> {
        self.find_to(address, LastLink::Keep)
    }

    /// The same; `last` says what a link at the end stands for.
    ///
    /// # Errors
    /// As for [`Archive::find`].
    pub fn find_to(&self, address: &str, last: LastLink) -> Result<Place<'_>> {
        self.find_as_of(address, last, None)
    }

    /// The same as it was at a moment, in microseconds since 1970: snapshots that were
    /// completed later do not count.
    ///
    /// # Errors
    /// As for [`Archive::find`].
    pub fn find_as_of(
        &self,
        address: &str,
        last: LastLink,
        moment: Option<i64>,
    ) -> Result<Place<'_>> {
        self.look_up(address, last, moment).map_err(|e| match (e, self.older().next()) {
            // That it is not in an older state does not say that it is not there.
            (Error::NotFound(text), Some(older)) => {
                Error::corrupt(self.name.clone(), format!("{text}; {older}"))
            }
            (e, _) => e,
        })
    }

    fn look_up(&self, address: &str, last: LastLink, moment: Option<i64>) -> Result<Place<'_>> {
        self.require_volume()?;
        let (head, path) = address.split_once(':').unwrap_or((address, ""));
        let follow = last == LastLink::Follow || path.ends_with('/');
        if let Some((volume, view, head, path)) = self.raw(address)? {
            let fs = volume.view(view)?;
            let top = fs.root();
            let walk = Walk { fs: &*fs, top, stores: &[], follow };
            let found = walk_to(&walk, path)
                .map_err(|e| hinted(e, None, head, || guess(&*fs, top, &[], path)))?;
            return Ok(Place {
                volume,
                view,
                snapshot: None,
                path: found.path,
                node: found.node,
                fs,
            });
        }
        let Some((volume, backup)) = self.backup() else {
            return Err(self.no_backup());
        };
        let snapshot = find_snapshot(backup, head, moment)
            .map_err(|e| misspelt(e, address, volume, backup))?;
        let stores: Vec<&str> = snapshot.volumes.iter().map(|v| v.name.as_str()).collect();
        let (fs, top) = volume.enter(snapshot)?;
        let walk = Walk { fs: &*fs, top, stores: &stores, follow };
        let found = walk_to(&walk, path).map_err(|e| {
            let better = || guess(&*fs, top, &stores, path);
            hinted(e, Some(&snapshot.name), head, better)
        })?;
        let (view, path) = (snapshot.view, found.path);
        Ok(Place { volume, view, snapshot: Some(snapshot), path, node: found.node, fs })
    }

    /// What an address of a raw volume stands for: volume, view, the part before the path,
    /// path. `None` for an address of another kind.
    fn raw<'a>(&self, address: &'a str) -> Result<Option<(&OpenVolume, ViewId, &'a str, &'a str)>> {
        let Some(rest) = address.strip_prefix(VOLUME) else { return Ok(None) };
        if !rest.is_empty() && !rest.starts_with([':', '=', '@']) {
            return Ok(None);
        }
        let (head, path) = address.split_once(':').unwrap_or((address, ""));
        let name = head.strip_prefix("volume=");
        let is_volume = name.is_some_and(|n| self.open.iter().any(|v| v.name() == n));
        if is_volume || !rest.contains('@') {
            return Ok(Some((self.find_volume(name)?, ViewId::LIVE, head, path)));
        }
        // Names of volumes and of snapshots may have `@` and `:` in them.
        for (at, _) in address.match_indices('@') {
            let (before, after) = (address.get(..at), address.get(at + 1..));
            let (Some(before), Some(after)) = (before, after) else { continue };
            let Ok(volume) = self.find_volume(before.strip_prefix("volume=")) else { continue };
            let (view, word) = snapshot_of(volume, after)?;
            let head = address.get(..at + 1 + word).unwrap_or(address);
            let path = address.get(head.len()..).unwrap_or("").trim_start_matches(':');
            return Ok(Some((volume, view, head, path)));
        }
        self.find_volume(name).map(|volume| Some((volume, ViewId::LIVE, head, path)))
    }

    /// What `volume` or `volume=NAME` stands for. Of volumes of one name `NAME#2` is the
    /// second.
    fn find_volume(&self, name: Option<&str>) -> Result<&OpenVolume> {
        let all = self.open.as_slice();
        let each = || all.iter().map(|v| format!("'{}'", self.called(v)));
        let names = || each().collect::<Vec<_>>().join(", ");
        let Some(name) = name else {
            let [only] = all else {
                let text = format!(
                    "there are several volumes ({}{}): say volume=NAME:PATH",
                    names(),
                    self.shut()
                );
                return Err(Error::NotFound(text));
            };
            return Ok(only);
        };
        let called = |name: &str| all.iter().filter(|v| v.name() == name).collect::<Vec<_>>();
        let locked = self.failed.iter().find(|f| f.name.as_deref() == Some(name));
        match (called(name).as_slice(), locked) {
            ([only], _) => return Ok(only),
            ([], Some(unopened)) => return Err(unopened.error.again()),
            ([], None) => {}
            (several, _) => return Err(same_name(name, several)),
        }
        let numbered = name.rsplit_once('#').and_then(|(name, n)| {
            let n = n.parse::<usize>().ok()?.checked_sub(1)?;
            called(name).get(n).copied()
        });
        let folded: Vec<_> =
            all.iter().filter(|v| v.name().to_lowercase() == name.to_lowercase()).collect();
        numbered.ok_or_else(|| {
            let better = match folded.as_slice() {
                [one] => format!("; did you mean {}?", quoted(&format!("volume={}:", one.name()))),
                _ => String::new(),
            };
            let names = names();
            let shut = self.shut();
            Error::NotFound(format!("there is no volume '{name}'; there is {names}{shut}{better}"))
        })
    }
}

impl Archive {
    /// What a volume is called in an address: its name, and where several have it which of
    /// them it is (`NAME#2`).
    pub(super) fn called(&self, volume: &OpenVolume) -> String {
        let name = volume.name();
        let same: Vec<_> = self.open.iter().filter(|v| v.name() == name).collect();
        let here = same.iter().position(|v| std::ptr::eq(*v, volume));
        match here {
            Some(n) if same.len() > 1 => format!("{name}#{}", n + 1),
            _ => name.to_owned(),
        }
    }

    /// The volumes that cannot be opened and why, to go on a list of names.
    fn shut(&self) -> String {
        let named = self.failed.iter().filter_map(|f| Some((f.name.as_ref()?, &f.error)));
        named.map(|(name, e)| format!(", and '{name}', which cannot be opened ({e})")).collect()
    }
}

/// The snapshot of a volume that a text begins with, and how much of it is its name: the
/// whole name, or the unambiguous beginning of one.
fn snapshot_of(volume: &OpenVolume, text: &str) -> Result<(ViewId, usize)> {
    let views = volume.volume.views()?;
    let named = || views.iter().filter_map(|v| Some((v.id, v.name.as_deref()?)));
    let ends = |name: &str| {
        let rest = text.strip_prefix(name);
        rest.is_some_and(|r| r.is_empty() || r.starts_with(':'))
    };
    if let Some((id, name)) = named().filter(|(_, n)| ends(n)).max_by_key(|(_, n)| n.len()) {
        return Ok((id, name.len()));
    }
    let word = text.split(':').next().unwrap_or("");
    let fits = |(_, name): &(ViewId, &str)| {
        !word.is_empty() && (name.starts_with(word) || super::apfs::stamp_of(name) == Some(word))
    };
    let found: Vec<_> = named().filter(fits).collect();
    match found.as_slice() {
        [(id, _)] => Ok((*id, word.len())),
        [] => {
            let text = format!("volume '{}' has no snapshot '{word}'", volume.name());
            let some: Vec<&str> = named().map(|(_, n)| n).take(5).collect();
            let there = match some.as_slice() {
                [] => "; it has none".to_owned(),
                some => format!("; it has {} ({} …)", named().count(), some.join(", ")),
            };
            Err(Error::NotFound(format!("{text}{there}")))
        }
        several => {
            let text =
                format!("'{word}' fits {} snapshots of volume '{}'", several.len(), volume.name());
            Err(Error::NotFound(text))
        }
    }
}

/// Two volumes of one name: nobody can know which is meant.
fn same_name(name: &str, several: &[&OpenVolume]) -> Error {
    let each: Vec<String> = several
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let address = quoted(&format!("volume={name}#{}:", i + 1));
            format!("{address} (partition {})", v.found.partition.number)
        })
        .collect();
    let text = format!("{} volumes are called '{name}': say {}", several.len(), each.join(" or "));
    Error::NotFound(text)
}

/// An error of a path, with the snapshot it was looked for in and a better address.
fn hinted(
    e: Error,
    snapshot: Option<&str>,
    head: &str,
    better: impl FnOnce() -> Option<String>,
) -> Error {
    let Error::NotFound(text) = e else { return e };
    let within = snapshot.map(|name| format!("in snapshot {name}: ")).unwrap_or_default();
    let better = better()
        .map(|path| format!("; did you mean {}?", quoted(&format!("{head}:/{path}"))))
        .unwrap_or_default();
    Error::NotFound(format!("{within}{text}{better}"))
}

/// What was meant by an address whose snapshot is none: a path without a snapshot
/// (`/Users/anna`), or a `/` for the `:` (`latest/Users`).
fn misspelt(e: Error, address: &str, volume: &OpenVolume, backup: &Backup) -> Error {
    let Error::NotFound(text) = e else { return e };
    let (head, path) = address.split_at(address.find(':').unwrap_or(address.len()));
    if let Some(right) = other_case(backup, head) {
        let better = quoted(&format!("{right}{path}"));
        return Error::NotFound(format!("there is no snapshot '{head}'; did you mean {better}?"));
    }
    let (first, rest) = match address.trim_start_matches('/').split_once(['/', ':']) {
        Some((first, rest)) if !address.starts_with('/') => (first, rest),
        _ => ("", address),
    };
    let first = other_case(backup, first).unwrap_or_else(|| first.to_owned());
    let named = (!first.is_empty()).then(|| find_snapshot(backup, &first, None).ok()).flatten();
    let (head, path, snapshot) = match named {
        Some(snapshot) => (&*first, rest, snapshot),
        None => match find_snapshot(backup, "latest", None) {
            Ok(snapshot) => ("latest", address, snapshot),
            Err(_) => return Error::NotFound(text),
        },
    };
    let stores: Vec<&str> = snapshot.volumes.iter().map(|v| v.name.as_str()).collect();
    let entered = volume.enter(snapshot).ok();
    let Some(found) = entered.and_then(|(fs, top)| guess(&*fs, top, &stores, path)) else {
        let rule = "; an address is SNAPSHOT:/PATH, such as 'latest:/'";
        let rule = if address.contains('/') { rule } else { "" };
        return Error::NotFound(format!("{text}{rule}"));
    };
    let better = quoted(&format!("{head}:/{found}"));
    let text = match address.starts_with('/') {
        true => format!("'{address}' names no snapshot"),
        false => format!("there is no snapshot '{address}'"),
    };
    Error::NotFound(format!("{text}; did you mean {better}?"))
}

/// The word for a snapshot that one differs from in case only: `Latest`, or the name of the
/// computer before it.
fn other_case(backup: &Backup, word: &str) -> Option<String> {
    let (computer, last) = match word.rsplit_once('/') {
        Some((computer, last)) => (Some(computer), last),
        None => (None, word),
    };
    let same = |name: &&str| computer.is_some_and(|c| c.to_lowercase() == name.to_lowercase());
    let called = backup.computers.iter().map(|c| c.name.as_str()).find(same);
    let last = last.to_lowercase();
    let right = match (computer, called) {
        (None, _) => last,
        (Some(_), Some(name)) => format!("{name}/{last}"),
        (Some(_), None) => return None,
    };
    (right != word && find_snapshot(backup, &right, None).is_ok()).then_some(right)
}

/// The snapshot a word stands for.
fn find_snapshot<'a>(backup: &'a Backup, word: &str, moment: Option<i64>) -> Result<&'a Snapshot> {
    let (computer, word) = match word.rsplit_once('/') {
        Some((computer, word)) => (Some(computer), word),
        None => (None, word),
    };
    let candidates: Vec<(&Computer, &Snapshot)> =
        backup.snapshots().filter(|(c, _)| computer.is_none_or(|name| c.name == name)).collect();
    if let Some(why) = &backup.unread
        && (candidates.is_empty() || word == "latest" || word.starts_with("latest~"))
    {
        let text = "cannot tell which backups there are, or which is the newest";
        return Err(Error::io(text, std::io::Error::other(why.clone())));
    }
    if candidates.is_empty() {
        return Err(no_candidates(backup, computer));
    }
    let early = |s: &Snapshot| moment.is_none_or(|m| s.age_key().0 <= m);
    let candidates: Vec<_> = candidates.into_iter().filter(|(_, s)| early(s)).collect();
    if candidates.is_empty() {
        return Err(Error::NotFound("no snapshot was made by then".into()));
    }
    match word.rsplit_once('~').and_then(|(of, n)| Some((of, n.parse::<usize>().ok()?))) {
        Some((of, n)) => {
            let (computer, snapshot) = one_of(&candidates, of)?;
            before(computer, snapshot, n)
        }
        None => one_of(&candidates, word).map(|(_, snapshot)| snapshot),
    }
}

fn no_candidates(backup: &Backup, computer: Option<&str>) -> Error {
    let Some(name) = computer else {
        return match backup.problems.first() {
            Some(why) => Error::corrupt("snapshots", why.clone()),
            None => Error::NotFound("the backup holds no snapshots yet".into()),
        };
    };
    let known: Vec<&str> = backup.computers.iter().map(|c| c.name.as_str()).collect();
    Error::NotFound(format!("there is no computer '{name}'; there is {}", known.join(", ")))
}

/// The N-th completed snapshot of the same computer before this one.
fn before<'a>(computer: &'a Computer, snapshot: &Snapshot, n: usize) -> Result<&'a Snapshot> {
    let mut older: Vec<&Snapshot> = computer
        .snapshots
        .iter()
        .filter(|s| s.name == snapshot.name || s.state.is_whole())
        .filter(|s| s.age_key() <= snapshot.age_key())
        .collect();
    older.sort_by(|a, b| b.age_key().cmp(&a.age_key()));
    older.get(n).copied().ok_or_else(|| {
        let there = older.len().saturating_sub(1);
        let name = &snapshot.name;
        Error::NotFound(format!("there is no ~{n} of {name}: only {there} are older"))
    })
}

fn one_of<'a>(
    candidates: &[(&'a Computer, &'a Snapshot)],
    word: &str,
) -> Result<(&'a Computer, &'a Snapshot)> {
    let whole = || candidates.iter().copied().filter(|(_, s)| s.state.is_whole());
    if word == "latest" {
        let now = jiff::Timestamp::now().as_second();
        return whole()
            .max_by(|(_, a), (_, b)| a.order(now).cmp(&b.order(now)))
            .ok_or_else(|| Error::NotFound("no snapshot was ever completed".into()));
    }
    let exact: Vec<_> = candidates.iter().copied().filter(|(_, s)| s.name == word).collect();
    let matching = if exact.is_empty() {
        let begins = |s: &Snapshot| !word.is_empty() && s.name.starts_with(word);
        let found: Vec<_> = whole().filter(|(_, s)| begins(s)).collect();
        // An unfinished one is meant only where no other can be.
        match found.is_empty() {
            true => candidates.iter().copied().filter(|(_, s)| begins(s)).collect(),
            false => found,
        }
    } else {
        exact
    };
    match matching.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::NotFound(format!(
            "there is no snapshot '{word}'; `tmbundle snapshots` lists what there is"
        ))),
        several => {
            let names: Vec<&str> = several.iter().take(5).map(|(_, s)| s.name.as_str()).collect();
            let more = if several.len() > 5 { ", …" } else { "" };
            Err(Error::NotFound(format!(
                "'{word}' fits {} snapshots ({}{more}); give more of the name, or COMPUTER/NAME",
                several.len(),
                names.join(", ")
            )))
        }
    }
}

impl Place<'_> {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.node.kind == Kind::Directory
    }
}
