//! What Time Machine itself says of its backups: verification, completion, age
//! (`formats/timemachine-hfs.md` section 5, `formats/sparsebundle.md` 5 and 6).

use super::{Backup, State};
use crate::bundle::TimeMachinePlists;
use crate::report::{Code, Finding, Reporter, Where};

/// What is known about a backup, from the bundle and from the volume.
#[derive(Default)]
pub struct Known<'a> {
    /// The bundle's property lists.
    pub plists: Option<&'a TimeMachinePlists>,
    /// What is on the volume, if it could be opened.
    pub backup: Option<&'a Backup>,
}

/// Report on a backup's state; `max_age` in seconds makes an old one a finding.
/// `now` in seconds since 1970.
pub fn check(known: &Known<'_>, max_age: Option<i64>, now: i64, reporter: &dyn Reporter) {
    let say = |code, place: &str, text: String| {
        reporter.report(Finding::new(code, Where::of(place), text));
    };
    if let Some(machine) = known.plists.and_then(|p| p.machine.as_ref()) {
        if machine.verification_state == Some(2) {
            let text = "the Mac verified this backup and found it bad (VerificationState 2)";
            say(Code::TmVerification, "MachineID.plist", text.into());
        }
        if machine.recovery_declined.is_some() {
            let text = "the user put off starting a new backup; until then none is made";
            say(Code::TmBlocked, "MachineID.plist", text.into());
        }
    }
    if let Some(backup) = known.backup {
        snapshots(known, backup, &say);
    }
    let Some(last) = last_completed(known) else {
        let is_backup = known.backup.is_some() || known.plists.is_some_and(|p| p.machine.is_some());
        if is_backup {
            say(Code::TmNeverCompleted, "snapshots", "no backup was ever completed".into());
        }
        return;
    };
    if let Some(max_age) = max_age
        && now.saturating_sub(last) > max_age
    {
        let text = format!(
            "the last backup completed {} days ago, more than {} days",
            (now - last) / 86400,
            max_age / 86400
        );
        say(Code::TmStale, "snapshots", text);
    }
}

/// Completion of the newest backup, in seconds since 1970, wherever it is recorded.
pub fn last_completed(known: &Known<'_>) -> Option<i64> {
    let history = known.plists.and_then(|p| p.history.as_ref()?.last()?.completed);
    let newest = known.backup.and_then(|b| b.latest());
    let on_volume = newest.and_then(|(_, s)| Some(s.age_key().0 / 1_000_000).filter(|t| *t > 0));
    history.max(on_volume)
}

fn snapshots(known: &Known<'_>, backup: &Backup, say: &dyn Fn(Code, &str, String)) {
    for problem in &backup.problems {
        say(Code::TmUnreadable, "Backups.backupdb", problem.clone());
    }
    for (_, s) in backup.snapshots() {
        match s.state {
            State::InProgress => {
                let text = format!("{} is in progress, or was interrupted", s.name);
                say(Code::TmUnfinished, "snapshots", text);
            }
            State::Unfinished => {
                say(Code::TmUnfinished, "snapshots", format!("{} was never completed", s.name));
            }
            State::Complete | State::Unmarked if s.volumes.is_empty() => {
                let text =
                    format!("{} holds no volume: its deletion may have been interrupted", s.name);
                say(Code::TmIncomplete, "snapshots", text);
            }
            State::Complete | State::Unmarked => {}
        }
    }
    for computer in &backup.computers {
        let newest = computer.snapshots.iter().rev().find(|s| s.state.is_whole());
        if let (Some(link), Some(newest)) = (&computer.latest_link, newest)
            && *link != newest.name
        {
            let text = format!(
                "'Latest' leads to '{}', the newest snapshot is {}",
                link.escape_debug(),
                newest.name
            );
            say(Code::TmLatest, "snapshots", text);
        }
    }
    let last = known.plists.and_then(|p| p.history.as_ref()?.last()?.name.as_deref());
    if let Some(last) = last
        && !backup.snapshots().any(|(_, s)| s.name == last)
    {
        let text =
            format!("the history names {last} as the last backup, which is not on the volume");
        say(Code::TmHistory, "SnapshotHistory.plist", text);
    }
}
