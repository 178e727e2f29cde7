//! Bundles by the Macs they belong to, and those that no Mac uses any more.

use super::Look;
use crate::query::forecast::DAY;
use serde::Serialize;
use std::collections::BTreeMap;

/// Who made no backup for longer than this, and than six of its intervals, is gone.
const GONE: i64 = 14 * DAY;

/// A Mac, and what it keeps on the share.
#[derive(Debug, Serialize)]
pub struct Mac {
    /// Hardware UUID.
    pub host_uuid: Option<String>,
    /// Its name, as its bundle has it.
    pub name: String,
    /// Model.
    pub model: Option<String>,
    /// Whether it made no backup for so long that none is to be expected.
    pub gone: bool,
    /// The bundle it uses, then the others.
    pub bundles: Vec<Bundle>,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub struct Bundle {
    /// Path.
    pub path: String,
    /// Name in the share.
    pub name: String,
    /// Why no Mac is to be expected to go on with it; absent if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leftover: Option<Leftover>,
    /// `HFS+`, `HFSX`, `APFS`; absent where only the password tells.
    pub format: Option<&'static str>,
    /// Whether the image is encrypted.
    pub encrypted: bool,
    /// When its last backup was completed, seconds since 1970.
    pub last_completed: Option<i64>,
    /// Seconds between two backups, typically.
    pub interval: Option<i64>,
    /// When it was last verified, seconds since 1970.
    pub verified: Option<i64>,
    /// What that came to.
    pub verdict: Option<String>,
    /// Bytes it takes on the server's disk.
    pub stored: Option<u64>,
    /// Bytes it may hold: the size of its image.
    pub limit: u64,
    /// Bytes it grows by in a week, by the sizes that runs saw.
    pub growth_per_week: Option<i64>,
    /// Bytes that backups copied a week, by the bundle's history: it grows by no more.
    pub copied_per_week: Option<u64>,
}

/// Why a bundle is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leftover {
    /// The Mac goes on with another one.
    Older,
    /// `NAME 1.sparsebundle`, and the Mac goes on with another one.
    Numbered,
    /// `NAME_2021-03-04-101112.sparsebundle`: put aside when the Mac began anew.
    PutAside,
    /// `NAME.purgeable.sparsebundle`: given up by the Mac.
    Purgeable,
    /// It has the name of one in the making.
    Incomplete,
}

impl Leftover {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Older => "left over: this Mac goes on with another one",
            Self::Numbered => "left over: a second bundle; the Mac goes on with another one",
            Self::PutAside => "left over: put aside when the Mac began anew",
            Self::Purgeable => "left over: given up by the Mac",
            Self::Incomplete => "left over: never finished",
        }
    }
}

/// A bundle's file name without what is appended to it, and what that says.
pub(super) fn stem(name: &str) -> (&str, Option<Leftover>) {
    let name = name.rsplit('/').next().unwrap_or(name);
    let stem = [".sparsebundle", ".backupbundle"].iter().find_map(|end| cut(name, end));
    let stem = stem.unwrap_or(name);
    if let Some(stem) = cut(stem, ".purgeable") {
        return (stem, Some(Leftover::Purgeable));
    }
    if let Some(stem) = cut(stem, ".incomplete").or_else(|| cut(stem, ".tmp")) {
        let dated = stem.rsplit_once(' ').filter(|(_, date)| is_date(date));
        return (dated.map_or(stem, |(stem, _)| stem), Some(Leftover::Incomplete));
    }
    if let Some((stem, date)) = stem.rsplit_once('_') {
        if is_date(date) {
            return (stem, Some(Leftover::PutAside));
        }
        // The address of the network interface.
        if date.len() == 12 && date.bytes().all(|b| b.is_ascii_hexdigit()) {
            return (stem, None);
        }
    }
    match stem.rsplit_once(' ') {
        Some((stem, n)) if n.len() < 3 && n.parse::<u8>().is_ok_and(|n| n > 0) => {
            (stem, Some(Leftover::Numbered))
        }
        _ => (stem, None),
    }
}

fn cut<'a>(name: &'a str, end: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(end.len()).filter(|at| *at > 0)?;
    let (stem, tail) = name.split_at_checked(at)?;
    tail.eq_ignore_ascii_case(end).then_some(stem)
}

/// `2021-03-04` or `2021-03-04-101112`.
fn is_date(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = text.split('-');
    matches!(text.len(), 10 | 17) && parts.clone().count() >= 3 && parts.all(digits)
}

/// The Macs of a share, by name.
pub(super) fn group(looks: &[Look], now: i64) -> Vec<Mac> {
    let mut groups: BTreeMap<String, Vec<&Look>> = BTreeMap::new();
    for look in looks {
        let host = look.host_uuid.as_ref().map(|uuid| uuid.to_uppercase());
        // Without an identity the name must do; no name holds a NUL.
        let key = host.unwrap_or_else(|| format!("\0{}", named(look, &[])));
        groups.entry(key).or_default().push(look);
    }
    let mut macs: Vec<Mac> = groups.into_values().filter_map(|own| mac(own, now)).collect();
    macs.sort_by(|a, b| (&a.name, &a.host_uuid).cmp(&(&b.name, &b.host_uuid)));
    macs
}

/// The Mac's name by its bundle; a number belongs to it unless another one is called the same
/// without.
fn named<'a>(look: &'a Look, own: &[&Look]) -> &'a str {
    match stem(&look.name) {
        (name, Some(Leftover::Numbered)) if !own.iter().any(|o| stem(&o.name) == (name, None)) => {
            let file = look.name.rsplit('/').next().unwrap_or(&look.name);
            file.rsplit_once('.').map_or(file, |(name, _)| name)
        }
        (name, _) => name,
    }
}

fn mac(mut own: Vec<&Look>, now: i64) -> Option<Mac> {
    // A Mac goes on with the one that it wrote last.
    let given_up = |look: &Look| {
        matches!(stem(&look.name).1, Some(Leftover::Purgeable | Leftover::Incomplete))
    };
    own.sort_by(|a, b| {
        let newest =
            |look: &Look| (!given_up(look), look.last_completed, stem(&look.name).1.is_none());
        newest(b).cmp(&newest(a)).then_with(|| a.name.cmp(&b.name))
    });
    let used = *own.first()?;
    let name = named(used, &own).to_owned();
    let row = |(n, look): (usize, &&Look)| {
        let named = stem(&look.name).1;
        let left = if n > 0 { Some(named.unwrap_or(Leftover::Older)) } else { None };
        bundle(look, left.or(named.filter(|_| given_up(look))), now)
    };
    Some(Mac {
        host_uuid: used.host_uuid.clone(),
        name,
        model: own.iter().find_map(|look| look.model.clone()),
        gone: gone(used, now),
        bundles: own.iter().enumerate().map(row).collect(),
    })
}

fn gone(look: &Look, now: i64) -> bool {
    let wait = look.interval.unwrap_or(0).saturating_mul(6).max(GONE);
    look.last_completed.is_some_and(|last| now.saturating_sub(last) > wait)
}

fn bundle(look: &Look, leftover: Option<Leftover>, now: i64) -> Bundle {
    Bundle {
        path: look.path.display().to_string(),
        name: look.name.clone(),
        leftover,
        format: look.format,
        encrypted: look.encrypted,
        last_completed: look.last_completed,
        interval: look.interval,
        verified: look.verified,
        verdict: look.verdict.clone(),
        stored: look.stored,
        limit: look.limit,
        growth_per_week: look.growth(now).map(|day| day.saturating_mul(7)),
        copied_per_week: look.copied_per_week,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_servers_and_macs_give() {
        let cases = [
            ("Anna's Mac.sparsebundle", "Anna's Mac", None),
            ("b/Anna 1.SparseBundle", "Anna", Some(Leftover::Numbered)),
            ("iMac 27.backupbundle", "iMac", Some(Leftover::Numbered)),
            ("Anna_0011223344aF.sparsebundle", "Anna", None),
            ("Anna_2021-03-04-101112.sparsebundle", "Anna", Some(Leftover::PutAside)),
            ("Anna_2021-03-04.sparsebundle", "Anna", Some(Leftover::PutAside)),
            ("Anna.purgeable.sparsebundle", "Anna", Some(Leftover::Purgeable)),
            ("Anna 2024-01-01-101010.incomplete", "Anna", Some(Leftover::Incomplete)),
            ("Anna.tmp.sparsebundle", "Anna", Some(Leftover::Incomplete)),
            (".sparsebundle", ".sparsebundle", None),
            ("ä_2021-é.sparsebundle", "ä_2021-é", None),
        ];
        for (name, want, kind) in cases {
            assert_eq!(stem(name), (want, kind), "{name}");
        }
    }
}
