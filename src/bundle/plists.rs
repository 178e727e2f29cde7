//! Time Machine's own property lists in the bundle, readable without a password.

use super::property_list::parse_plist;
use super::{FileError, read_file};
use plist::{Dictionary, Value};
use std::os::fd::OwnedFd;

/// Largest of these files that is read.
const MAX_PLIST: u64 = 1 << 20;

/// `com.apple.TimeMachine.MachineID.plist`: whose backup this is, and what
/// macOS thinks of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineId {
    /// Hardware UUID of the Mac.
    pub host_uuid: Option<String>,
    /// Model, `MacBookPro8,1`.
    pub model: Option<String>,
    /// Address of its first network interface (older systems).
    pub mac_address: Option<String>,
    /// Last verification, seconds since 1970.
    pub verification_date: Option<i64>,
    /// 0 or absent: none; 1: good; 2: failed, the Mac insists on a new backup.
    pub verification_state: Option<u64>,
    /// Present when the user declined to start a new backup, seconds since 1970.
    pub recovery_declined: Option<i64>,
}

/// One completed backup as `com.apple.TimeMachine.SnapshotHistory.plist` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// `YYYY-MM-DD-HHMMSS`, on APFS with `.backup`; local time of the Mac.
    pub name: Option<String>,
    /// Completion, seconds since 1970.
    pub completed: Option<i64>,
    /// Bytes copied.
    pub bytes_copied: Option<u64>,
}

/// The history of completed backups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// In the order of the file.
    pub entries: Vec<HistoryEntry>,
}

impl HistoryEntry {
    /// When it began by its name, in seconds since 1970, taken as UTC: the Mac's time zone is
    /// not recorded.
    pub fn named(&self) -> Option<i64> {
        let stamp = self.name.as_deref()?.get(..17)?;
        let time = jiff::civil::DateTime::strptime("%Y-%m-%d-%H%M%S", stamp).ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
    }
}

impl History {
    /// The backup that completed last, of those that did by `limit` (seconds since 1970) and
    /// whose names do not say that they began later.
    pub fn last_at(&self, limit: i64) -> Option<&HistoryEntry> {
        let come = |e: &&HistoryEntry| {
            e.completed.is_none_or(|t| t <= limit) && e.named().is_none_or(|t| t <= limit)
        };
        self.entries.iter().filter(come).max_by_key(|e| e.completed)
    }
}

/// All of Time Machine's property lists in a bundle.
#[derive(Debug, Clone, Default)]
pub struct TimeMachinePlists {
    /// Owner and verification state.
    pub machine: Option<MachineId>,
    /// Completed backups.
    pub history: Option<History>,
    /// Last result: its keys with plain values.
    pub results: Option<Vec<(String, String)>>,
    /// Files that are there but cannot be read: name and reason.
    pub broken: Vec<(&'static str, String)>,
    /// Files that this user may not read.
    pub denied: Vec<&'static str>,
}

const MACHINE: &str = "com.apple.TimeMachine.MachineID.plist";
const MACHINE_COPY: &str = "com.apple.TimeMachine.MachineID.bckup";
/// The file that lists completed backups.
pub const HISTORY: &str = "com.apple.TimeMachine.SnapshotHistory.plist";
const RESULTS: &str = "com.apple.TimeMachine.Results.plist";

impl TimeMachinePlists {
    /// Those in the folder of a bundle.
    pub fn read(dir: &OwnedFd) -> Self {
        let mut all = Self::default();
        let machine = all.load(dir, MACHINE);
        let copy = all.load(dir, MACHINE_COPY);
        all.machine = machine.or(copy).as_ref().map(MachineId::from_dict);
        all.history = all.load(dir, HISTORY).as_ref().map(History::from_dict);
        all.results = all.load(dir, RESULTS).as_ref().map(plain_values);
        all
    }

    fn load(&mut self, dir: &OwnedFd, name: &'static str) -> Option<Dictionary> {
        let why = match read_file(dir, name, MAX_PLIST) {
            Err(FileError::Missing) => return None,
            Err(e) if e.is_denied() => {
                self.denied.push(name);
                return None;
            }
            Err(e) => e.to_string(),
            Ok(bytes) => match parse_plist(&bytes) {
                Ok(Value::Dictionary(dict)) => return Some(dict),
                Ok(_) => "its property list is not a dictionary".into(),
                Err(why) => why,
            },
        };
        self.broken.push((name, why));
        None
    }
}

fn string(dict: &Dictionary, key: &str) -> Option<String> {
    dict.get(key).and_then(Value::as_string).map(str::to_owned)
}

/// A date in seconds since 1970.
fn date(dict: &Dictionary, key: &str) -> Option<i64> {
    let time = std::time::SystemTime::from(dict.get(key)?.as_date()?);
    match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok(),
        Err(before) => i64::try_from(before.duration().as_secs()).ok().map(|s| -s),
    }
}

impl MachineId {
    fn from_dict(dict: &Dictionary) -> Self {
        Self {
            host_uuid: string(dict, "com.apple.backupd.HostUUID"),
            model: string(dict, "com.apple.backupd.ModelID"),
            mac_address: string(dict, "com.apple.backupd.BackupMachineAddress"),
            verification_date: date(dict, "VerificationDate"),
            verification_state: dict.get("VerificationState").and_then(Value::as_unsigned_integer),
            recovery_declined: date(dict, "RecoveryBackupDeclinedDate"),
        }
    }
}

impl History {
    fn from_dict(dict: &Dictionary) -> Self {
        let entries = dict.get("Snapshots").and_then(Value::as_array).into_iter().flatten();
        let entry = |e: &Value| {
            let e = e.as_dictionary()?;
            Some(HistoryEntry {
                name: string(e, "com.apple.backupd.SnapshotName"),
                completed: date(e, "com.apple.backupd.SnapshotCompletionDate"),
                bytes_copied: e
                    .get("com.apple.backupd.SnapshotTotalBytesCopied")
                    .and_then(Value::as_unsigned_integer),
            })
        };
        Self { entries: entries.filter_map(entry).collect() }
    }
}

fn plain_values(dict: &Dictionary) -> Vec<(String, String)> {
    dict.iter()
        .filter_map(|(key, value)| {
            let text = match value {
                Value::String(s) => s.clone(),
                Value::Integer(n) => n.to_string(),
                Value::Boolean(b) => b.to_string(),
                Value::Date(d) => d.to_xml_format(),
                Value::Real(r) => r.to_string(),
                _ => return None,
            };
            Some((key.clone(), text))
        })
        .collect()
}
