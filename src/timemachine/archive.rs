//! A disk with everything on it opened: partitions, volumes, backups.

use super::{Backup, Snapshot, Top, apfs, backupdb};
use crate::error::{Error, Result};
use crate::fs::{Details, FileSystem, NodeId, ViewId, Views, Volume};
use crate::partition::{self, PartitionMap};
use crate::volume::{Attempt, Found, Kind, Layout, OpenOptions};
use std::sync::Arc;

/// Snapshots that are named as examples.
const SOME: usize = 5;

/// A volume that could be opened.
pub struct OpenVolume {
    /// The partition it lies in.
    pub found: Found,
    /// What all its views share.
    pub volume: Arc<dyn Volume>,
    /// Its live view.
    pub live: Arc<dyn FileSystem>,
    /// What Time Machine keeps on it.
    pub backup: Option<Backup>,
    /// Why it is not known whether Time Machine keeps anything on it.
    pub unread: Option<String>,
}

impl OpenVolume {
    fn new(found: &Found, volume: Arc<dyn Volume>) -> Result<Self> {
        let live = volume.clone().open(ViewId::LIVE)?;
        let (backup, unread) = match backupdb::read(&*live) {
            Ok(Some(backup)) => (Some(backup), None),
            Ok(None) => match apfs::read(&volume, &*live) {
                Ok(backup) => (backup, None),
                Err(e) => (None, Some(e.to_string())),
            },
            Err(e) => (None, Some(e.to_string())),
        };
        Ok(Self { found: found.clone(), volume, live, backup, unread })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.volume.about().name
    }

    /// All of its views.
    pub fn all_views(&self) -> Views {
        let last = self.volume.views().map_or(0, |v| v.len().saturating_sub(1));
        Views::run(ViewId::LIVE..=ViewId(crate::io::bytes::to_u32(last)))
    }

    /// A view of it.
    ///
    /// # Errors
    /// As for [`Volume::open`].
    pub fn view(&self, view: ViewId) -> Result<Arc<dyn FileSystem>> {
        match view {
            ViewId::LIVE => Ok(self.live.clone()),
            other => self.volume.clone().open(other),
        }
    }

    /// The view that a snapshot is in, and its folder there.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the folder is not there.
    pub fn enter(&self, snapshot: &Snapshot) -> Result<(Arc<dyn FileSystem>, NodeId)> {
        let fs = self.view(snapshot.view)?;
        let node = match &snapshot.top {
            Top::Folder(node) => *node,
            Top::Named(name) => {
                let missing = || {
                    let text = format!("snapshot {} holds no folder {name}", snapshot.name);
                    Error::NotFound(text)
                };
                fs.lookup(fs.root(), name)?.ok_or_else(missing)?.id
            }
        };
        Ok((fs, node))
    }

    /// The snapshots of a backup on it that cannot be opened, and why. Of each that is a view of
    /// its own one block is read.
    pub fn shut<'b>(&self, backup: &'b Backup) -> Vec<(&'b Snapshot, Error)> {
        let all = backup.snapshots().map(|(_, snapshot)| snapshot);
        all.filter_map(|s| Some((s, self.view(s.view).err()?))).collect()
    }

    /// Its live view.
    pub fn fs(&self) -> &dyn FileSystem {
        &*self.live
    }
}

/// A volume that could not be opened.
pub struct Unopened {
    /// The partition it lies in.
    pub found: Found,
    /// Its name, where that can be told.
    pub name: Option<String>,
    /// Why.
    pub error: Error,
}

impl Unopened {
    /// Which it is and why it cannot be opened, one sentence.
    pub fn text(&self) -> String {
        let number = self.found.partition.number;
        match &self.name {
            Some(name) => format!("volume '{name}' (partition {number}): {}", self.error),
            None => {
                let (what, error) = (format!("partition {number}"), self.error.to_string());
                if error.starts_with(&format!("{what} ")) {
                    error
                } else {
                    format!("{what}: {error}")
                }
            }
        }
    }

    /// How much it matters: one that is damaged or of a format that holds backups most, a
    /// helper partition not at all.
    pub fn weight(&self) -> u8 {
        use partition::Purpose;
        match (&self.found.kind, self.found.partition.purpose, &self.error) {
            (_, Purpose::Efi | Purpose::AppleBoot, _) => 0,
            (_, _, Error::Corrupt(_)) => 5,
            (_, _, e) if e.is_about_password() => 4,
            (Kind::CoreStorage | Kind::Apfs | Kind::Unreadable(_), ..) => 3,
            (Kind::Empty, ..) => 1,
            _ => 2,
        }
    }
}

/// A disk with its volumes.
pub struct Archive {
    /// Name of the source, for messages.
    pub name: String,
    /// The partition map.
    pub map: PartitionMap,
    /// Every volume that was recognised.
    pub volumes: Vec<Found>,
    /// Those that could be opened.
    pub open: Vec<OpenVolume>,
    /// Those that could not.
    pub failed: Vec<Unopened>,
    /// Whether what is left of a broken volume was looked for.
    salvaged: bool,
}

impl Archive {
    /// Open everything on a disk.
    ///
    /// # Errors
    /// When the disk's bytes cannot be had. A volume that cannot be opened is kept
    /// in [`Archive::failed`].
    pub fn open(layout: &Layout) -> Result<Self> {
        Self::open_with(layout, &OpenOptions::default())
    }

    /// The same with what the volumes keep for themselves shown, if `options` say so.
    ///
    /// # Errors
    /// As for [`Archive::open`].
    pub fn open_with(layout: &Layout, options: &OpenOptions) -> Result<Self> {
        let scan = layout.scan()?;
        let (mut open, mut failed) = (Vec::new(), Vec::new());
        for found in &scan.found {
            for Attempt { name, result } in layout.open(found, options) {
                match result.and_then(|volume| OpenVolume::new(found, volume)) {
                    Ok(volume) => open.push(volume),
                    Err(error) => failed.push(Unopened { found: found.clone(), name, error }),
                }
            }
        }
        let (map, volumes) = (scan.map.clone(), scan.found.clone());
        let (name, salvaged) = (layout.disk().name(), options.salvage);
        Ok(Self { name, map, volumes, open, failed, salvaged })
    }

    /// That what is read of volumes is, or may be, an older state of them than was written
    /// last, one sentence each.
    pub fn older(&self) -> impl Iterator<Item = &str> {
        let all = self.open.iter().filter_map(|v| v.volume.about().older.as_deref());
        // What concerns a container is said by each of its volumes.
        let mut told = std::collections::HashSet::new();
        all.filter(move |text| told.insert(*text))
    }

    /// The volume that holds backups, if any.
    pub fn backup(&self) -> Option<(&OpenVolume, &Backup)> {
        self.open
            .iter()
            .filter_map(|v| Some((v, v.backup.as_ref()?)))
            .max_by_key(|(_, b)| b.snapshots().count())
    }

    /// Why there is no [`Archive::backup`]: it cannot be read, it may be on a volume that could
    /// not be opened, or there is none.
    pub fn no_backup(&self) -> Error {
        if let Some(why) = self.open.iter().find_map(|v| v.unread.as_ref()) {
            let text = format!("cannot be read: {why}; what can be is at volume:PATH");
            return Error::corrupt(format!("{}: {}", self.name, backupdb::BACKUPDB), text);
        }
        let failed = self.failed.iter().filter(|f| f.weight() > 0).max_by_key(|f| f.weight());
        match failed.map(|f| &f.error) {
            Some(e) => Error::Unsupported(format!(
                "{}: {e}; the other volumes hold no Time Machine backup (their files are at \
                 volume:PATH, from volume:/ on)",
                self.name
            )),
            None => Error::NotFound(format!(
                "{} is not a Time Machine backup and has no snapshots{}; \
                 its files are at volume:PATH, from volume:/ on",
                self.name,
                self.others()
            )),
        }
    }

    /// Snapshots that are none of Time Machine's, and how to look into them.
    fn others(&self) -> String {
        let named = |v: &OpenVolume| {
            let views = v.volume.views().unwrap_or_default();
            let names: Vec<String> = views.into_iter().filter_map(|view| view.name).collect();
            (!names.is_empty()).then(|| (self.called(v), names))
        };
        let several = self.open.len() > 1;
        let each: Vec<String> = self
            .open
            .iter()
            .filter_map(named)
            .map(|(volume, names)| {
                let some: Vec<String> = names
                    .iter()
                    .take(SOME)
                    .map(|name| {
                        let of = if several { format!("={volume}") } else { String::new() };
                        super::guess::quoted(&format!("{}{of}@{name}:", super::VOLUME))
                    })
                    .collect();
                let more = if names.len() > SOME { ", …" } else { "" };
                format!(
                    "volume '{volume}' has {} of its own: {}{more}",
                    names.len(),
                    some.join(", ")
                )
            })
            .collect();
        if each.is_empty() {
            String::new()
        } else {
            format!(" of Time Machine's; {}", each.join("; "))
        }
    }

    /// An error if a password was given and opens no volume at all.
    ///
    /// # Errors
    /// [`Error::WrongPassword`].
    pub fn require_key(&self) -> Result<()> {
        let opened = |v: &OpenVolume| {
            matches!(v.volume.about().details, Details::Apfs { encrypted: true, .. })
        };
        let wrong = |f: &&Unopened| matches!(f.error, Error::WrongPassword(_));
        match self.failed.iter().find(wrong) {
            Some(f) if !self.open.iter().any(opened) => Err(f.error.again()),
            _ => Ok(()),
        }
    }

    /// An error unless at least one volume could be opened: the reason of the one
    /// that matters most.
    pub fn require_volume(&self) -> Result<()> {
        if !self.open.is_empty() {
            return Ok(());
        }
        let text = |f: &Unopened| format!("{}: {}", self.name, f.text());
        // A helper partition (EFI) is never the reason.
        let worst = self
            .failed
            .iter()
            .rev()
            .filter(|f| f.found.partition.purpose != partition::Purpose::Efi)
            .max_by_key(|f| f.weight())
            .or(self.failed.first());
        Err(match worst.map(|f| (f, &f.error)) {
            Some((f, Error::Corrupt(_))) => {
                let advice = if !self.salvaged { "; --salvage looks for what is left" } else { "" };
                let more = format!("cannot be opened{advice}");
                Error::corrupt(text(f), more)
            }
            Some((_, e)) if e.is_about_password() => e.again(),
            Some((_, e)) => Error::Unsupported(format!("{}: {e}", self.name)),
            None => Error::Unsupported(format!("{}: no volume on the disk", self.name)),
        })
    }
}
