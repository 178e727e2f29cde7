//! What to do when a Mac is using the bundle.

use super::output;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::{Duration, Instant};
use tmbundle::bundle::busy;
use tmbundle::disk::Disk;
use tmbundle::report::{Progress, Unit};
use tmbundle::verify::duration;
use tmbundle::{Error, Result};

/// `--if-busy`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IfBusy {
    /// Go on all the same, and say so.
    Check,
    /// Leave it for another time.
    Skip,
    /// Wait until it is at rest, at most so long; then go on.
    Wait(Duration),
}

impl FromStr for IfBusy {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=').map_or((text, None), |(a, b)| (a, Some(b))) {
            ("check", None) => Ok(Self::Check),
            ("skip", None) => Ok(Self::Skip),
            ("wait", None) => Ok(Self::Wait(Duration::from_secs(2 * 3600))),
            ("wait", Some(time)) => duration(time).map(Self::Wait),
            _ => Err("expected check, skip or wait[=DURATION]".into()),
        }
    }
}

/// Say that a Mac is using the source: what is read may be in the midst of a change.
pub fn tell(disk: &Disk) {
    let (signs, gaps) = disk.bundle().map(busy::signs_and_gaps).unwrap_or_default();
    unknown(&gaps);
    if !signs.is_empty() {
        let (name, signs) = (disk.name(), signs.join("; "));
        output::warn(&format!(
            "a Mac is using {name} ({signs}); what it changes meanwhile may be read half"
        ));
    }
}

/// Say why it is not known whether a Mac is using the source.
pub fn unknown(gaps: &[String]) {
    for why in gaps {
        output::warn(&format!("whether a Mac is using it is not known: {why}"));
    }
}

/// Say what became of the source while it was read that makes what was read doubtful; whether
/// there is such.
pub fn unsteady(disk: &Disk) -> bool {
    let doubts = disk.doubts();
    for doubt in &doubts {
        let hint = "what was read last may be zeros that nobody wrote, or of something else: do it \
                    again when the source is at rest (locate --band NAME tells which files are in a band)";
        output::error(doubt, Some(hint));
    }
    !doubts.is_empty()
}

/// Look whether the source is in use and do as told.
///
/// # Errors
/// [`Error::Busy`] if it is to be left alone.
pub fn settle(disk: &Disk, how: IfBusy, progress: &dyn Progress) -> Result<()> {
    if how == IfBusy::Check {
        return Ok(());
    }
    let Some(bundle) = disk.bundle() else { return Ok(()) };
    let (started, mut told) = (Instant::now(), false);
    loop {
        let signs = busy::signs(bundle);
        if signs.is_empty() {
            return Ok(());
        }
        match how {
            IfBusy::Wait(limit) if started.elapsed() >= limit => return Ok(()),
            IfBusy::Wait(limit) => {
                if !std::mem::replace(&mut told, true) {
                    let text = format!("waiting for a Mac to finish: {}", signs.join("; "));
                    progress.phase(&text, limit.as_secs(), Unit::Items);
                }
                progress.advance(1);
                // A look a second; a wish to stop is heard sooner.
                for _ in 0..10 {
                    progress.check()?;
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            _ => return Err(Error::Busy(format!("{} ({})", disk.name(), signs.join("; ")))),
        }
    }
}

/// Says on a terminal what is waited for, where no bars are shown.
#[cfg(feature = "mount")]
pub struct Words;

#[cfg(feature = "mount")]
impl Progress for Words {
    fn phase(&self, name: &str, _: u64, _: Unit) {
        if output::is_terminal() {
            output::note(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_durations() {
        assert_eq!("skip".parse(), Ok(IfBusy::Skip));
        assert_eq!("wait=30m".parse(), Ok(IfBusy::Wait(Duration::from_secs(1800))));
        assert!("wait=soon".parse::<IfBusy>().is_err() && "x".parse::<IfBusy>().is_err());
    }
}
