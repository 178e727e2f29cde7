//! What Time Machine itself says of its backups: verification, completion, age, and
//! whether what it recorded agrees (`formats/timemachine-hfs.md` section 5, whose
//! invariants B1 to B10 are meant below; `formats/sparsebundle.md` 5 and 6).

use super::{Backup, Computer, Snapshot, State, has_come, stamp_micros};
use crate::bundle::TimeMachinePlists;
use crate::io::bytes::to_u64;
use crate::report::words::{bytes, plural, span};
use crate::report::{Code, Finding, Reporter, Structure, Where};
use std::collections::BTreeMap;

/// How long after the last completion bands may be written without remark.
const LONG: i64 = 3 * DAY;
const DAY: i64 = 86_400;
/// How the names of snapshots end that were broken off.
const INTERRUPTED: &str = ".interrupted";
const HOUR: i64 = 3600;
const MICROS: i64 = 1_000_000;
/// Impossible dates of the history that are told one by one.
const MAX_AHEAD: usize = 3;

/// What is known about a backup, from the bundle and from the volume.
#[derive(Default)]
pub struct Known<'a> {
    /// The bundle's property lists.
    pub plists: Option<&'a TimeMachinePlists>,
    /// What is on the volume, if it could be opened.
    pub backup: Option<&'a Backup>,
    /// When bands were written, first and last, in seconds since 1970.
    pub bands_written: Option<(i64, i64)>,
    /// Bytes that are free where the bundle lies.
    pub free: Option<u64>,
    /// Something is wrong with the volume, so that snapshots may be hidden or cut.
    pub broken: bool,
    /// Something of the source could not be read, and may be what seems to be missing.
    pub unread: bool,
}

struct Check<'a> {
    known: &'a Known<'a>,
    now: i64,
    reporter: &'a dyn Reporter,
}

/// Report on a backup's state; `max_age` in seconds makes an old one a finding.
/// `now` in seconds since 1970.
pub fn check(known: &Known<'_>, max_age: Option<i64>, now: i64, reporter: &dyn Reporter) {
    let c = Check { known, now, reporter };
    c.machine();
    if let Some(backup) = known.backup {
        for problem in &backup.problems {
            c.say(Code::TmUnreadable, Structure::BackupStore, problem.clone());
        }
        for (_, s) in backup.snapshots() {
            c.snapshot(s);
        }
        for computer in &backup.computers {
            c.computer(computer);
        }
        c.history(backup);
    }
    c.history_ahead();
    c.age(max_age);
}

/// Completion of the newest backup, in seconds since 1970, wherever it is recorded.
/// What has not come by `now` is no date of a backup.
pub fn last_completed(known: &Known<'_>, now: i64) -> Option<i64> {
    let history = known.plists.and_then(|p| p.history.as_ref());
    let noted = history.and_then(|h| h.last_at(now.saturating_add(DAY))?.completed);
    let newest = known.backup.and_then(|b| b.latest_at(now));
    let on_volume = newest.map(|(_, s)| s.age_key().0 / MICROS);
    noted.max(on_volume.filter(|t| *t > 0 && has_come(*t, now)))
}

/// Whether a name in the bundle's history is a snapshot's. On APFS it ends in `.backup`.
fn is_of(name: &str, s: &Snapshot) -> bool {
    s.name == name || name.strip_suffix(".backup") == Some(&s.name)
}

impl Check<'_> {
    fn say(&self, code: Code, place: Structure, text: String) {
        self.reporter.report(Finding::new(code, Where::of(place), text));
    }

    /// What the Mac noted in the bundle.
    fn machine(&self) {
        let Some(machine) = self.known.plists.and_then(|p| p.machine.as_ref()) else { return };
        if machine.verification_state == Some(2) {
            let text = "the Mac verified this backup and found it bad (VerificationState 2)";
            self.say(Code::TmVerification, Structure::MachineId, text.into());
        }
        if machine.recovery_declined.is_some() {
            let text = "the user put off starting a new backup; until then none is made";
            self.say(Code::TmBlocked, Structure::MachineId, text.into());
        }
        // B2.
        let computers = self.known.backup.map(|b| b.computers.as_slice()).unwrap_or_default();
        let on_volume: Vec<&str> =
            computers.iter().filter_map(|c| c.host_uuid.as_deref()).collect();
        if let Some(host) = &machine.host_uuid
            && !on_volume.is_empty()
            && !on_volume.iter().any(|u| u.eq_ignore_ascii_case(host))
        {
            let text = format!(
                "the bundle belongs to Mac {host}, the backups in it to {}",
                on_volume.join(", ")
            );
            self.say(Code::TmHost, Structure::MachineId, text);
        }
    }

    /// One snapshot by itself: B3, B7, B8, B10.
    fn snapshot(&self, s: &Snapshot) {
        let unfinished = match s.state {
            State::InProgress => Some("is in progress, or was interrupted"),
            // The attributes that would say otherwise may be what could not be read.
            State::Unfinished if !s.name.ends_with(INTERRUPTED) && !self.all_read() => None,
            State::Unfinished => Some("was never completed"),
            State::Complete | State::Unmarked => None,
        };
        if let Some(how) = unfinished {
            self.say(Code::TmUnfinished, Structure::Snapshots, format!("{} {how}", s.name));
            return;
        }
        if s.volumes.is_empty() && !self.known.broken && self.all_read() {
            let text =
                format!("{} holds no volume: its deletion may have been interrupted", s.name);
            self.say(Code::TmIncomplete, Structure::Snapshots, text);
        }
        let nameless = |s: &Snapshot| s.volumes.iter().any(|v| v.uuid.is_none());
        if s.state == State::Complete && nameless(s) && self.all_read() {
            let text = format!("{} holds a volume without the UUID of the Mac's volume", s.name);
            self.say(Code::TmStructure, Structure::Snapshots, text);
        }
        let Some(completed) = s.completed else { return };
        if s.started.is_some_and(|started| started > completed) {
            let text = format!("{} was completed before it was started", s.name);
            self.say(Code::TmDates, Structure::Snapshots, text);
        }
        if !has_come(completed / MICROS, self.now) {
            let text = format!("{} was completed in the future, says its date", s.name);
            self.say(Code::TmDates, Structure::Snapshots, text);
        }
        // Named in the Mac's local time, at some moment between start and completion.
        if let Some(named) = stamp_micros(&s.name) {
            let offset = |date: i64| (named - date) / MICROS;
            let started = s.started.filter(|d| *d <= completed).unwrap_or(completed);
            let far = offset(completed) < -15 * HOUR && offset(started) < -15 * HOUR
                || offset(completed) > 15 * HOUR && offset(started) > 15 * HOUR;
            if far {
                let text =
                    format!("the name of {} does not fit its dates in any time zone", s.name);
                self.say(Code::TmDates, Structure::Snapshots, text);
            }
        }
    }

    /// Whether nothing of the backups is unknown: what could not be read may be what seems
    /// to be missing.
    fn all_read(&self) -> bool {
        !self.known.unread && self.known.backup.is_none_or(|b| b.problems.is_empty())
    }

    /// The snapshots of one Mac together: B1, B4, B5, B6.
    fn computer(&self, c: &Computer) {
        if self.all_read() && c.host_uuid.is_none() && c.mac_address.is_none() {
            let text = format!("the folder of '{}' does not say which Mac it belongs to", c.name);
            self.say(Code::TmStructure, Structure::BackupStore, text);
        }
        let newest = c.snapshots.iter().rev().find(|s| s.state.is_whole());
        // A link whose text is lost is no word of Time Machine's.
        let sure = !self.known.broken && self.all_read();
        let link = c.latest_link.as_ref().filter(|l| !l.contains('\0') && sure);
        if let (Some(link), Some(newest)) = (link, newest)
            && *link != newest.name
        {
            let text = format!(
                "'Latest' leads to '{}', the newest snapshot is {}",
                link.escape_debug(),
                newest.name
            );
            self.say(Code::TmLatest, Structure::Snapshots, text);
        }
        let complete: Vec<&Snapshot> =
            c.snapshots.iter().filter(|s| s.state == State::Complete).collect();
        for pair in complete.windows(2) {
            let [a, b] = pair else { continue };
            if let (Some(before), Some(after)) = (a.number, b.number)
                && before >= after
            {
                let text = format!("{} has number {before}, the later {} {after}", a.name, b.name);
                self.say(Code::TmOrder, Structure::Snapshots, text);
            }
        }
        let mut states: BTreeMap<i64, u64> = BTreeMap::new();
        for state in complete.iter().filter_map(|s| s.raw_state) {
            *states.entry(state).or_default() += 1;
        }
        let usual = states.iter().max_by_key(|(_, n)| **n).map(|(state, _)| *state);
        for s in &complete {
            if let (Some(state), Some(usual)) = (s.raw_state, usual)
                && state != usual
            {
                let text = format!("{} has state {state}, the others {usual}", s.name);
                self.say(Code::TmState, Structure::Snapshots, text);
            }
        }
    }

    /// The bundle's history against the snapshots that are there: B9.
    fn history(&self, backup: &Backup) {
        let Some(history) = self.known.plists.and_then(|p| p.history.as_ref()) else { return };
        let names = history.entries.iter().filter_map(|e| e.name.as_deref());
        let gone: Vec<&str> =
            names.filter(|name| !backup.snapshots().any(|(_, s)| is_of(name, s))).collect();
        let last = history.last_at(self.now.saturating_add(DAY)).and_then(|e| e.name.as_deref());
        if self.known.broken || !self.all_read() {
            return;
        }
        if let Some(last) = last.filter(|last| gone.contains(last)) {
            let text =
                format!("the history names {last} as the last backup, which is not on the volume");
            self.say(Code::TmHistory, Structure::SnapshotHistory, text);
        } else if let Some(first) = gone.first() {
            let text = format!(
                "the history names {}, {first} among them",
                plural(
                    to_u64(gone.len()),
                    "snapshot that is not on the volume",
                    "snapshots that are not on the volume"
                )
            );
            self.say(Code::TmHistory, Structure::SnapshotHistory, text);
        }
    }

    /// Dates in the bundle's history that have not come: also without the volume.
    fn history_ahead(&self) {
        let machine = self.known.plists.and_then(|p| p.machine.as_ref());
        if machine.and_then(|m| m.verification_date).is_some_and(|t| !has_come(t, self.now)) {
            let text = "the Mac's own last verification of the backup lies in the future";
            self.say(Code::TmDates, Structure::MachineId, text.into());
        }
        let history = self.known.plists.and_then(|p| p.history.as_ref());
        let entries = history.map(|h| h.entries.as_slice()).unwrap_or_default();
        let ahead = entries.iter().filter(|e| {
            [e.completed, e.named()].into_iter().flatten().any(|t| !has_come(t, self.now))
        });
        let on_volume = |name: Option<&str>| {
            let mut all = self.known.backup.into_iter().flat_map(Backup::snapshots);
            name.is_some_and(|name| all.any(|(_, s)| s.name == name && s.is_ahead(self.now)))
        };
        // Those on the volume are told there.
        for e in ahead.filter(|e| !on_volume(e.name.as_deref())).take(MAX_AHEAD) {
            let name = e.name.as_deref().unwrap_or("a backup");
            let completed = e.completed.is_some_and(|t| !has_come(t, self.now));
            let what = if completed { "was completed" } else { "was begun" };
            let text = format!("{name} {what} in the future, says the bundle's history");
            self.say(Code::TmDates, Structure::SnapshotHistory, text);
        }
    }

    fn age(&self, max_age: Option<i64>) {
        let free = self.known.free.map_or_else(String::new, |free| {
            format!("; {} are free where the bundle lies", bytes(free))
        });
        let Some(last) = last_completed(self.known, self.now) else {
            // An empty history says so, and so does a volume that was read whole.
            let history = self.known.plists.and_then(|p| p.history.as_ref());
            let noted = history.is_some_and(|h| !h.entries.is_empty());
            let kept = |b: &Backup| b.latest_at(self.now).is_some();
            let none = history.is_some() && !noted
                || !noted
                    && !self.known.broken
                    && self.all_read()
                    && self.known.backup.is_some_and(|b| !kept(b));
            if none {
                let text = format!("no backup was ever completed{free}");
                self.say(Code::TmNeverCompleted, Structure::Snapshots, text);
            } else if max_age.is_some() {
                let text = "it is not known when the last backup was completed";
                self.say(Code::TmAgeUnknown, Structure::Snapshots, text.into());
            }
            return;
        };
        let age = self.now.saturating_sub(last);
        if let Some(max_age) = max_age
            && age > max_age
        {
            let text = format!(
                "the last backup completed {} ago, more than {}{free}",
                span(age),
                span(max_age)
            );
            self.say(Code::TmStale, Structure::Snapshots, text);
        }
        // If no band is older, the bundle was copied and its dates mean nothing.
        if let Some((oldest, newest)) = self.known.bands_written
            && oldest <= last.saturating_add(DAY)
            && newest.saturating_sub(last) > LONG
        {
            let text = format!(
                "the last backup completed {} ago, but bands were still written {} later{free}",
                span(age),
                span(newest - last)
            );
            self.say(Code::TmNeverCompletes, Structure::Snapshots, text);
        }
    }
}
