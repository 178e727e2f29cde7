//! Time Machine on APFS: a snapshot of the volume for each completed backup, folders
//! in the live view for those that were not completed, and a manifest of all
//! (`formats/apfs.md` section 12).

use super::{Backup, Computer, Snapshot, State, Top, VolumeStore, is_stamp};
use crate::bundle::parse_plist;
use crate::error::Result;
use crate::fs::{Cursor, Details, FileSystem, Kind, Stream, Time, View, ViewId, Volume};
use crate::io::bytes::to_usize;
use crate::io::read_vec;
use plist::{Dictionary, Value};
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Name of the manifest in the root.
const MANIFEST: &str = "backup_manifest.plist";
/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 64 << 20;
/// What the names of Time Machine's snapshots begin and end with.
const PREFIX: &str = "com.apple.TimeMachine.";
const SUFFIX: &str = ".backup";
/// Role of a volume that Time Machine backs up to.
const ROLE: &str = "Backup";
/// How the names of such volumes begin where the Mac speaks English.
const NAMED: &str = "Backups of ";
/// Microseconds by which an entry of the manifest and its snapshot may differ.
const NEAR: i64 = 2 * MICROS;
const MICROS: i64 = 1_000_000;

/// The stamp of a backup in the name of its snapshot.
pub fn stamp_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX).filter(|s| is_stamp(s))
}

/// Read what Time Machine keeps on a volume; `None` if it keeps nothing there. Opens no
/// view but the live one if the manifest is sound.
///
/// # Errors
/// Only when the root or the list of views cannot be read; what else fails is told in
/// [`Backup::problems`].
pub fn read(volume: &Arc<dyn Volume>, live: &dyn FileSystem) -> Result<Option<Backup>> {
    let Details::Apfs { role, .. } = volume.about().details else { return Ok(None) };
    let views = volume.views()?;
    let heard = Heard::default();
    let manifest = manifest(live, &heard);
    let completed: Vec<&View> =
        views.iter().filter(|v| v.name.as_deref().is_some_and(|n| stamp_of(n).is_some())).collect();
    if role != Some(ROLE) && manifest.is_none() && completed.is_empty() {
        return Ok(None);
    }
    let entries = manifest.unwrap_or_default();
    let mut snapshots: Vec<Snapshot> =
        completed.iter().filter_map(|view| snapshot(volume, view, &entries, &heard)).collect();
    snapshots.extend(unfinished(live, &completed, &heard));
    snapshots.sort_by(|a, b| a.age_key().cmp(&b.age_key()));
    let computers = vec![computer(volume, live, snapshots, &heard)];
    Ok(Some(Backup { computers, problems: heard.0.into_inner(), ..Backup::default() }))
}

/// What could not be read: the rest is told without it, and it is told that it is missing.
#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl Heard {
    /// Enough to know what is wrong.
    const MOST: usize = 20;

    fn say(&self, problem: String) {
        let mut all = self.0.borrow_mut();
        if all.len() < Self::MOST && !all.contains(&problem) {
            all.push(problem);
        }
    }

    /// What was read, or nothing.
    fn of<T: Default>(&self, read: Result<T>) -> T {
        read.unwrap_or_else(|e| {
            self.say(e.to_string());
            T::default()
        })
    }
}

fn computer(
    volume: &Arc<dyn Volume>,
    live: &dyn FileSystem,
    snapshots: Vec<Snapshot>,
    heard: &Heard,
) -> Computer {
    let name = &volume.about().name;
    let host = heard.of(live.xattr(live.root(), "com.apple.backupd.HostUUID"));
    Computer {
        name: name.strip_prefix(NAMED).unwrap_or(name).to_owned(),
        node: live.root(),
        host_uuid: host.and_then(|v| text(&v)),
        model: None,
        mac_address: None,
        latest_link: None,
        snapshots,
    }
}

/// A completed backup: a view.
fn snapshot(
    volume: &Arc<dyn Volume>,
    view: &View,
    entries: &[Entry],
    heard: &Heard,
) -> Option<Snapshot> {
    let stamp = stamp_of(view.name.as_deref()?)?.to_owned();
    let made = view.made.map(micros);
    let near = |at: i64| made.is_some_and(|m| at.abs_diff(m) <= NEAR.unsigned_abs());
    let first = entries.partition_point(|e| made.is_some_and(|m| e.at < m.saturating_sub(NEAR)));
    let entry = entries.get(first).filter(|e| near(e.at));
    let folder = format!("{stamp}{SUFFIX}");
    let volumes = match entry {
        Some(entry) if !entry.volumes.is_empty() => entry.volumes.clone(),
        _ => heard.of(stores_of_view(volume, view.id, &folder, heard)),
    };
    Some(Snapshot {
        name: stamp,
        view: view.id,
        top: Top::Named(folder),
        state: State::Complete,
        raw_state: None,
        number: None,
        started: entry.and_then(|e| e.started),
        completed: made,
        bytes_copied: entry.and_then(|e| e.copied),
        volumes,
    })
}

/// The volumes in a snapshot that the manifest does not tell of.
fn stores_of_view(
    volume: &Arc<dyn Volume>,
    view: ViewId,
    folder: &str,
    heard: &Heard,
) -> Result<Vec<VolumeStore>> {
    let fs = volume.clone().open(view)?;
    let found = fs.lookup(fs.root(), folder)?;
    Ok(found.map_or_else(Vec::new, |meta| stores(&*fs, meta.id, heard)))
}

fn stores(fs: &dyn FileSystem, folder: crate::fs::NodeId, heard: &Heard) -> Vec<VolumeStore> {
    let mut found = Vec::new();
    let read = fs.read_dir(folder, Cursor::default(), &mut |e| {
        if e.name.starts_with('.') {
            return ControlFlow::Continue(());
        }
        match e.node {
            Ok(meta) if meta.kind == Kind::Directory => {
                let uuid = heard.of(fs.xattr(meta.id, "com.apple.backupd.SnapshotVolumeUUID"));
                let uuid = uuid.and_then(|v| text(&v));
                found.push(VolumeStore { name: e.name, uuid, bytes_used: None });
            }
            Ok(_) => {}
            Err(why) => heard.say(format!("{}: {}", e.name, why.reason)),
        }
        ControlFlow::Continue(())
    });
    heard.of(read);
    found
}

/// Backups that are no snapshot: under way, cancelled, or copied but not registered. The
/// working copy of the last completed one is none.
fn unfinished(live: &dyn FileSystem, completed: &[&View], heard: &Heard) -> Vec<Snapshot> {
    let mut found = Vec::new();
    let read = live.read_dir(live.root(), Cursor::default(), &mut |e| {
        let Some((stamp, end)) = e.name.split_once('.').filter(|(s, _)| is_stamp(s)) else {
            return ControlFlow::Continue(());
        };
        let registered =
            || completed.iter().any(|v| v.name.as_deref().and_then(stamp_of) == Some(stamp));
        let state = match end {
            "inprogress" => State::InProgress,
            "interrupted" => State::Unfinished,
            "backup" if !registered() => State::Unfinished,
            _ => return ControlFlow::Continue(()),
        };
        let meta = match e.node {
            Ok(meta) => meta,
            Err(why) => {
                heard.say(format!("{}: {}", e.name, why.reason));
                return ControlFlow::Continue(());
            }
        };
        if meta.kind == Kind::Directory {
            found.push(Snapshot {
                view: ViewId::LIVE,
                top: Top::Folder(meta.id),
                state,
                raw_state: None,
                number: None,
                started: meta.times.created.map(micros),
                completed: None,
                bytes_copied: None,
                volumes: stores(live, meta.id, heard),
                name: e.name,
            });
        }
        ControlFlow::Continue(())
    });
    heard.of(read);
    found
}

/// An entry of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    /// When its snapshot was made, microseconds since 1970.
    at: i64,
    started: Option<i64>,
    copied: Option<u64>,
    volumes: Vec<VolumeStore>,
}

/// The entries of the manifest in the live root; `None` if there is none.
fn manifest(live: &dyn FileSystem, heard: &Heard) -> Option<Vec<Entry>> {
    let found = heard.of(live.lookup(live.root(), MANIFEST))?;
    let read = || {
        let source = live.open(found.id, &Stream::Data)?;
        if source.len() > MAX_MANIFEST {
            let text = format!("has {} bytes, more than {MAX_MANIFEST}", source.len());
            return Err(crate::Error::corrupt(MANIFEST, text));
        }
        let bytes = read_vec(&*source, 0, to_usize(source.len()))?;
        parse_plist(&bytes).map_err(|e| crate::Error::corrupt(MANIFEST, e))
    };
    match read() {
        Ok(Value::Array(items)) => Some(entries(&items)),
        Ok(_) => {
            heard.say(format!("{MANIFEST} is no list"));
            None
        }
        Err(e) => {
            heard.say(format!("{MANIFEST}: {e}"));
            None
        }
    }
}

/// A date and a dictionary in turn.
fn entries(items: &[Value]) -> Vec<Entry> {
    let (pairs, _) = items.as_chunks::<2>();
    let pair = |[at, what]: &[Value; 2]| Some(entry(date(at)?, what.as_dictionary()?));
    let mut found: Vec<Entry> = pairs.iter().filter_map(pair).collect();
    found.sort_by_key(|e| e.at);
    found
}

fn entry(at: i64, what: &Dictionary) -> Entry {
    let changed = what.get("stats").and_then(Value::as_dictionary);
    let changed = changed.and_then(|s| s.get("changed")).and_then(Value::as_dictionary);
    let size = |key| changed.and_then(|c| c.get(key)).and_then(Value::as_unsigned_integer);
    let stores = what.get("volumeStoreInfo").and_then(Value::as_dictionary);
    let store = |(uuid, info): (&String, &Value)| {
        let name = info.as_dictionary()?.get("name")?.as_string()?.to_owned();
        Some(VolumeStore { name, uuid: Some(uuid.clone()), bytes_used: None })
    };
    Entry {
        at,
        started: what.get("startDate").and_then(date),
        copied: size("physicalSize").or_else(|| size("logicalSize")),
        volumes: stores.into_iter().flatten().filter_map(store).collect(),
    }
}

/// A date in microseconds since 1970.
fn date(value: &Value) -> Option<i64> {
    let time: std::time::SystemTime = value.as_date()?.into();
    let micros = |d: std::time::Duration| i64::try_from(d.as_micros()).ok();
    match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => micros(after),
        Err(before) => micros(before.duration()).map(|n| -n),
    }
}

fn micros(t: Time) -> i64 {
    t.seconds.saturating_mul(MICROS).saturating_add(i64::from(t.nanoseconds / 1000))
}

/// An attribute's text without the NUL that usually ends it.
fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    let text = String::from_utf8_lossy(value.get(..end)?).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_snapshots() {
        let name = "com.apple.TimeMachine.2024-03-02-102040.backup";
        assert_eq!(stamp_of(name), Some("2024-03-02-102040"));
        for other in [
            "com.apple.TimeMachine.2024-03-02-102040.local",
            "Snapshot 1",
            "2024-03-02-102040.backup",
        ] {
            assert_eq!(stamp_of(other), None);
        }
    }

    #[test]
    fn entries_of_the_manifest() {
        let text = "<plist version=\"1.0\"><array>\
            <date>2024-03-02T09:20:40Z</date><dict>\
            <key>startDate</key><date>2024-03-02T09:15:00Z</date>\
            <key>stats</key><dict><key>changed</key><dict><key>physicalSize</key><integer>4096</integer></dict></dict>\
            <key>volumeStoreInfo</key><dict><key>A-B</key><dict><key>name</key><string>Data</string></dict></dict>\
            </dict><date>2024-03-03T09:20:40Z</date></array></plist>";
        let Ok(Value::Array(items)) = parse_plist(text.as_bytes()) else { panic!() };
        let all = entries(&items);
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(one.at, 1_709_371_240 * MICROS);
        assert_eq!((one.started, one.copied), (Some(1_709_370_900 * MICROS), Some(4096)));
        assert_eq!(one.volumes[0].name, "Data");
    }
}
