//! Check what is in a partition, by the rules of its format.

use super::{Found, Kind, OpenOptions, open};
use crate::crypt::Secret;
use crate::disk::Asker;
use crate::error::{Error, Result};
use crate::hfsplus;
use crate::report::{Code, Finding, Progress, Reporter, Scope, Severity, Structure, Where, Worst};
use std::sync::{Arc, Mutex, PoisonError};

/// What was checked in a partition.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// What was looked at by itself: of HFS+ the volume; of APFS the container and each of
    /// its volumes.
    pub parts: Vec<Part>,
    /// What could not be checked, and why.
    pub not_checked: Vec<(String, String)>,
}

/// A part of a partition that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which one; its findings carry the same.
    pub scope: Scope,
    /// `volume`, `container`.
    pub name: &'static str,
    /// What was seen, in a line for people.
    pub text: String,
    /// How bad the worst finding was.
    pub worst: Option<Severity>,
}

/// Check a partition whose format is supported; of others nothing is checked. `asker` is
/// asked for the passwords of encrypted volumes.
///
/// # Errors
/// Only [`crate::Error::Interrupted`]; everything else becomes a finding.
pub fn check(
    found: &Found,
    asker: Option<&Asker>,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<Checked> {
    let mut checked = Checked::default();
    match (&found.kind, &found.hfs) {
        (_, Some(shared)) => {
            let scope = Scope::partition(found.partition.number);
            let stamp = scope.stamp(reporter);
            let worst = Worst::of(&stamp);
            let done = hfsplus::check::check_shared(shared, &worst, progress)?;
            let text = format!("{}: {}", found.kind.name(), done.text());
            checked.parts.push(Part { scope, name: "volume", text, worst: worst.seen() });
            checked.not_checked = done.not_checked;
        }
        (Kind::Apfs, _) => {
            let scope = Scope::partition(found.partition.number);
            let stamp = scope.stamp(reporter);
            let worst = Worst::of(&stamp);
            let asking = Asking::of(asker);
            let ask = |name: &str, wrong| asking.ask(name, wrong);
            let seen = crate::apfs::check::check(&found.source, &ask, &worst, progress)?;
            asking.tell(&worst);
            let (text, worst) = (seen.text, worst.seen());
            // What was checked in part and is not wrong would be called sound.
            if worst.is_some() || seen.not_checked.is_empty() {
                checked.parts.push(Part { scope, name: "container", text, worst });
            }
            checked.not_checked = seen.not_checked;
        }
        _ => {
            let text = format!("{} cannot be checked yet", found.kind.name());
            checked.not_checked.push(("contents".into(), text));
        }
    }
    Ok(checked)
}

/// Try the passwords of a partition's volumes, where any are given, and report those that open
/// nothing; nothing else is said of the volumes.
pub fn try_passwords(found: &Found, asker: Option<&Asker>, reporter: &dyn Reporter) {
    if found.kind != Kind::Apfs || asker.is_none() {
        return;
    }
    let stamp = Scope::partition(found.partition.number);
    let stamp = stamp.stamp(reporter);
    let asking = Arc::new(Asking::of(asker));
    let ask = asking.clone();
    let ask: Asker = Arc::new(move |name: &str, wrong| ask.ask(name, wrong));
    for attempt in open(found, &OpenOptions { asker: Some(ask), ..OpenOptions::default() }) {
        if let Err(e @ Error::WrongPassword(_)) = attempt.result {
            let place = Where::of(Structure::Keybag);
            stamp.report(Finding::new(Code::PasswordWrong, place, e.to_string()));
        }
    }
    asking.tell(&stamp);
}

/// Asks for passwords, and keeps why they could not be had.
struct Asking {
    asker: Option<Asker>,
    failed: Mutex<Option<String>>,
}

impl Asking {
    fn of(asker: Option<&Asker>) -> Self {
        Self { asker: asker.cloned(), failed: Mutex::default() }
    }

    fn ask(&self, name: &str, wrong: u32) -> Result<Vec<Secret>> {
        let answer = self.asker.as_ref().map_or(Ok(Vec::new()), |ask| ask(name, wrong));
        if let Err(e) = &answer
            && !matches!(e, Error::Interrupted)
        {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
        }
        answer
    }

    /// Report why the passwords could not be had, if so.
    fn tell(&self, reporter: &dyn Reporter) {
        if let Some(why) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            reporter.report(Finding::new(Code::PasswordUnread, Where::of(Structure::Keybag), why));
        }
    }
}
