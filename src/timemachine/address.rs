//! Addresses of things in a backup: `SNAPSHOT[:PATH]`, `volume:PATH`.

use super::{Archive, Backup, OpenVolume, Snapshot};
use crate::error::{Error, Result};
use crate::fs::{Metadata, resolve};

/// The word that addresses a raw volume instead of a snapshot.
pub const VOLUME: &str = "volume";

/// An address that was found.
pub struct Place<'a> {
    /// The volume it is on.
    pub volume: &'a OpenVolume,
    /// The snapshot, unless a raw volume was addressed.
    pub snapshot: Option<&'a Snapshot>,
    /// Path below the snapshot or the volume's root, without a leading `/`.
    pub path: String,
    /// What is there.
    pub node: Metadata,
}

impl Archive {
    /// Find `latest`, a stamp, an unambiguous prefix of one, or `volume` or
    /// `volume=NAME`, each with `:PATH` behind it; `COMPUTER/` may stand before a
    /// snapshot where there are several.
    ///
    /// # Errors
    /// [`Error::NotFound`] with what there is instead; [`Error::Unsupported`] when
    /// no volume could be opened.
    pub fn find(&self, address: &str) -> Result<Place<'_>> {
        self.require_volume()?;
        let (head, path) = address.split_once(':').unwrap_or((address, ""));
        let path = path.trim_matches('/').to_owned();
        if head == VOLUME || head.starts_with("volume=") {
            let volume = self.find_volume(head.strip_prefix("volume="))?;
            let node = resolve(volume.fs(), volume.fs().root(), &path)?;
            return Ok(Place { volume, snapshot: None, path, node });
        }
        let Some((volume, backup)) = self.backup() else {
            return Err(Error::NotFound(format!(
                "{} is not a Time Machine backup and has no snapshots; \
                 its files are at volume:PATH, from volume:/ on",
                self.name
            )));
        };
        let snapshot = find_snapshot(backup, head)?;
        let node = resolve(volume.fs(), snapshot.node, &path)
            .map_err(|e| missing_in(e, &snapshot.name))?;
        Ok(Place { volume, snapshot: Some(snapshot), path, node })
    }

    fn find_volume(&self, name: Option<&str>) -> Result<&OpenVolume> {
        let names =
            || self.open.iter().map(|v| format!("'{}'", v.name())).collect::<Vec<_>>().join(", ");
        match (name, self.open.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => {
                let text = format!("there are several volumes ({}): say volume=NAME:PATH", names());
                Err(Error::NotFound(text))
            }
            (Some(name), all) => all.iter().find(|v| v.name() == name).ok_or_else(|| {
                Error::NotFound(format!("there is no volume '{name}'; there is {}", names()))
            }),
        }
    }
}

fn missing_in(e: Error, snapshot: &str) -> Error {
    match e {
        Error::NotFound(text) => Error::NotFound(format!("in snapshot {snapshot}: {text}")),
        other => other,
    }
}

/// The snapshot a word stands for.
fn find_snapshot<'a>(backup: &'a Backup, word: &str) -> Result<&'a Snapshot> {
    let (computer, word) = match word.rsplit_once('/') {
        Some((computer, word)) => (Some(computer), word),
        None => (None, word),
    };
    let mut candidates =
        backup.snapshots().filter(|(c, _)| computer.is_none_or(|name| c.name == name)).peekable();
    if candidates.peek().is_none() {
        return Err(Error::NotFound(match computer {
            Some(name) => {
                let known: Vec<&str> = backup.computers.iter().map(|c| c.name.as_str()).collect();
                format!("there is no computer '{name}'; there is {}", known.join(", "))
            }
            None => "the backup holds no snapshots yet".into(),
        }));
    }
    let candidates: Vec<&Snapshot> = candidates.map(|(_, s)| s).collect();
    if word == "latest" {
        return candidates
            .iter()
            .copied()
            .filter(|s| s.state.is_whole())
            .max_by(|a, b| a.age_key().cmp(&b.age_key()))
            .ok_or_else(|| Error::NotFound("no snapshot was ever completed".into()));
    }
    let exact: Vec<&Snapshot> = candidates.iter().copied().filter(|s| s.name == word).collect();
    let matching = if exact.is_empty() {
        let begins =
            |s: &&Snapshot| s.state.is_whole() && !word.is_empty() && s.name.starts_with(word);
        candidates.into_iter().filter(begins).collect()
    } else {
        exact
    };
    match matching.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::NotFound(format!(
            "there is no snapshot '{word}'; `tmbundle snapshots` lists what there is"
        ))),
        several => {
            let names: Vec<&str> = several.iter().take(5).map(|s| s.name.as_str()).collect();
            let more = if several.len() > 5 { ", …" } else { "" };
            Err(Error::NotFound(format!(
                "'{word}' fits {} snapshots ({}{more}); give more of the name, or COMPUTER/NAME",
                several.len(),
                names.join(", ")
            )))
        }
    }
}
