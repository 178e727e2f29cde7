//! Check what is in a partition, by the rules of its format.

use super::{Found, Kind};
use crate::disk::Asker;
use crate::error::Result;
use crate::hfsplus;
use crate::report::{Progress, Reporter, Scope, Severity, Worst};

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
            let ask = |name: &str, wrong| asker.map_or(Ok(Vec::new()), |ask| ask(name, wrong));
            let seen = crate::apfs::check::check(&found.source, &ask, &worst, progress)?;
            // A part that is not wrong would be called sound.
            if let Some(severity) = worst.seen() {
                let worst = Some(severity);
                checked.parts.push(Part { scope, name: "container", text: seen.text, worst });
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
