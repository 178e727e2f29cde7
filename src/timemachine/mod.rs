//! What the files mean: computers, snapshots, volumes.
//!
//! On HFS+ a snapshot is a date folder under `Backups.backupdb/<computer>/`, on APFS a
//! snapshot of the volume.
//! Above this room a snapshot is a snapshot, whatever holds it. Source:
//! `formats/timemachine-hfs.md`.

mod address;
mod apfs;
mod appearances;
mod archive;
mod backupdb;
pub mod check;
pub mod checksum;
mod guess;
mod links;
mod sightings;

pub use address::{LastLink, Place, VOLUME};
pub use apfs::stamp_of;
pub use appearances::{Appearance, Appearances, Set};
pub use archive::{Archive, OpenVolume, Unopened};
pub use backupdb::read;
pub use sightings::Sightings;

use crate::fs::{NodeId, ViewId};

/// How far a snapshot came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It has a completion date.
    Complete,
    /// A date folder that carries none of Time Machine's attributes.
    Unmarked,
    /// A date folder that was started but never completed.
    Unfinished,
    /// An `.inProgress` folder: running now, or left by an interruption.
    InProgress,
}

impl State {
    /// Its word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Unmarked => "unmarked",
            Self::Unfinished => "never completed",
            Self::InProgress => "in progress",
        }
    }

    /// Whether the snapshot may be taken for whole.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Complete | Self::Unmarked)
    }
}

/// Everything that Time Machine keeps on a volume.
#[derive(Debug, Clone, Default)]
pub struct Backup {
    /// The Macs, in the order of the folder.
    pub computers: Vec<Computer>,
    /// What could not be read, one sentence each.
    pub problems: Vec<String>,
    /// Why something of it may be missing here that is there, since reading failed.
    pub unread: Option<String>,
}

/// One Mac's backups.
#[derive(Debug, Clone)]
pub struct Computer {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub node: NodeId,
    /// Hardware UUID.
    pub host_uuid: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Address of its first network interface.
    pub mac_address: Option<String>,
    /// Target of the `Latest` link, if there is one.
    pub latest_link: Option<String>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// The folder of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Top {
    /// By its number in the view.
    Folder(NodeId),
    /// By its name in the view's root, which is looked up only when the snapshot is
    /// entered: there may be hundreds.
    Named(String),
}

/// What Time Machine made at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// `YYYY-MM-DD-HHMMSS`, local time of the Mac; unfinished ones may have more.
    pub name: String,
    /// The view of the volume that it is in.
    pub view: ViewId,
    /// Its folder there.
    pub top: Top,
    /// How far it came.
    pub state: State,
    /// `SnapshotState` as stored.
    pub raw_state: Option<i64>,
    /// `SnapshotNumber`.
    pub number: Option<i64>,
    /// Microseconds since 1970.
    pub started: Option<i64>,
    /// Microseconds since 1970.
    pub completed: Option<i64>,
    /// Bytes copied.
    pub bytes_copied: Option<u64>,
    /// The volumes in it.
    pub volumes: Vec<VolumeStore>,
}

/// The copy of one of the Mac's volumes in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeStore {
    /// Name of the volume.
    pub name: String,
    /// UUID of the Mac's volume.
    pub uuid: Option<String>,
    /// Bytes in use on the Mac's volume then.
    pub bytes_used: Option<u64>,
}

impl Computer {
    /// Its newest snapshot that is whole, for somebody whose clock says `now` (seconds since
    /// 1970). One whose date lies in the future is it only where there is no other.
    pub fn latest_at(&self, now: i64) -> Option<&Snapshot> {
        let whole = self.snapshots.iter().filter(|s| s.state.is_whole());
        whole.max_by(|a, b| a.order(now).cmp(&b.order(now)))
    }
}

impl Backup {
    /// The newest snapshot that is whole, of all computers, with its computer. One whose
    /// date lies in the future is it only where there is no other.
    pub fn latest(&self) -> Option<(&Computer, &Snapshot)> {
        self.latest_at(jiff::Timestamp::now().as_second())
    }

    /// The same for somebody whose clock says `now`, in seconds since 1970.
    pub fn latest_at(&self, now: i64) -> Option<(&Computer, &Snapshot)> {
        let newest = self.computers.iter().filter_map(|c| Some((c, c.latest_at(now)?)));
        newest.max_by(|a, b| a.1.order(now).cmp(&b.1.order(now)))
    }

    /// Every snapshot with its computer.
    pub fn snapshots(&self) -> impl Iterator<Item = (&Computer, &Snapshot)> {
        self.computers.iter().flat_map(|c| c.snapshots.iter().map(move |s| (c, s)))
    }
}

/// Seconds that a date may lie ahead of the clock: clocks differ, and the name of a
/// snapshot is in the Mac's local time.
const AHEAD: i64 = 86_400;

/// Whether a date, in seconds since 1970, is one that can have come by `now`.
pub fn has_come(date: i64, now: i64) -> bool {
    date <= come_by(now)
}

/// The last date, in seconds since 1970, that can have come by `now`.
pub fn come_by(now: i64) -> i64 {
    now.saturating_add(AHEAD)
}

impl Snapshot {
    /// Whether its date lies in the future of somebody whose clock says `now` (seconds
    /// since 1970): then it tells nothing about how old it is.
    pub fn is_ahead(&self, now: i64) -> bool {
        !has_come(self.age_key().0 / 1_000_000, now)
    }

    /// Orders snapshots in time, those before all others whose date is impossible.
    fn order(&self, now: i64) -> (bool, (i64, i64, &str)) {
        (!self.is_ahead(now), self.age_key())
    }

    /// Orders snapshots in time: by date where there is one, else by name.
    fn age_key(&self) -> (i64, i64, &str) {
        let date = self.completed.or(self.started).or_else(|| stamp_micros(&self.name));
        (date.unwrap_or(0), self.number.unwrap_or(0), &self.name)
    }
}

/// Whether a name is that of a completed snapshot: `YYYY-MM-DD-HHMMSS`.
pub fn is_stamp(name: &str) -> bool {
    name.len() == 17
        && name.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 | 10 => b == b'-',
            _ => b.is_ascii_digit(),
        })
}

/// Microseconds since 1970 of a name that begins with a stamp, taken as UTC: the
/// Mac's time zone is not recorded.
fn stamp_micros(name: &str) -> Option<i64> {
    let stamp = name.get(..17).filter(|s| is_stamp(s))?;
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d-%H%M%S", stamp).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str, completed: Option<i64>) -> Snapshot {
        Snapshot {
            name: name.into(),
            view: ViewId::LIVE,
            top: Top::Folder(NodeId(1)),
            state: State::Complete,
            raw_state: None,
            number: None,
            started: None,
            completed,
            bytes_copied: None,
            volumes: Vec::new(),
        }
    }

    #[test]
    fn a_date_that_has_not_come_is_never_the_newest() {
        let day = 86_400;
        let now = 1_600_000_000;
        let dated = |name: &str, at: i64| snapshot(name, Some(at * 1_000_000));
        let mut backup = Backup {
            computers: vec![Computer {
                name: "Mac".into(),
                node: NodeId(1),
                host_uuid: None,
                model: None,
                mac_address: None,
                latest_link: None,
                snapshots: vec![
                    dated("old", now - 9 * day),
                    dated("true", now - day),
                    dated("far", now + 400 * day),
                    snapshot("2099-01-01-000000", None),
                ],
            }],
            ..Backup::default()
        };
        let latest = |b: &Backup| b.latest_at(now).map(|(_, s)| s.name.clone());
        assert_eq!(latest(&backup).as_deref(), Some("true"));
        // A clock that is a little ahead, or another time zone.
        backup.computers[0].snapshots.push(dated("ahead", now + day - 1));
        assert_eq!(latest(&backup).as_deref(), Some("ahead"));
        // Where there is nothing else, as when the server's clock was reset.
        backup.computers[0].snapshots.retain(|s| s.is_ahead(now));
        assert_eq!(latest(&backup).as_deref(), Some("2099-01-01-000000"));
    }

    #[test]
    fn stamps() {
        assert!(is_stamp("2019-03-31-023000"));
        for bad in
            ["2019-03-31-02300", "2019-03-31-023000.inProgress", "Latest", "2019_03-31-023000"]
        {
            assert!(!is_stamp(bad), "{bad}");
        }
        assert_eq!(stamp_micros("1970-01-01-000001"), Some(1_000_000));
    }
}
