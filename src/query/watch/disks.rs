//! The disks of a share, and the day each is full.

use super::{Look, Mac, Share, limits};
use crate::io::bytes::to_u64;
use crate::query::forecast::{self, DAY, FEWEST, Grower, SHORTEST, Sample};
use serde::Serialize;
use std::collections::BTreeMap;

/// A file system that bundles of the share lie on.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// Names of the bundles on it.
    pub bundles: Vec<String>,
    /// Its bytes.
    pub total: Option<u64>,
    /// Bytes that are free for who may write now.
    pub free: Option<u64>,
    /// Bytes that its use grows by in a week, by what runs saw.
    pub growth_per_week: Option<i64>,
    /// When it is full, in seconds since 1970.
    pub full_at: Option<i64>,
    /// Why no such day is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_day: Option<String>,
    /// Macs whose backups stop then.
    pub stops: Vec<String>,
    /// Those of them that are told of room until then and later: they stop without a word.
    pub unwarned: Vec<String>,
}

/// The disks of what was looked at.
pub(super) fn all(looks: &[Look], macs: &[Mac], shares: &[Share], now: i64) -> Vec<Disk> {
    let mut devices: BTreeMap<u64, Vec<&Look>> = BTreeMap::new();
    for look in looks {
        devices.entry(look.device).or_default().push(look);
    }
    devices.into_values().map(|on| disk(&on, macs, shares, now)).collect()
}

fn disk(on: &[&Look], macs: &[Mac], shares: &[Share], now: i64) -> Disk {
    let free = on.iter().filter_map(|look| look.free).min();
    let seen = forecast::together(on.iter().map(|look| free_in_order(look, now)));
    // What is used grows by what is free no more.
    let growth = forecast::growth(&seen).map(i64::saturating_neg);
    let growers = growers(on, macs, shares, now);
    let day = match (free, growth) {
        (Some(0), _) => Ok(0),
        (Some(free), Some(growth)) => {
            forecast::full_in(free, growth, &growers).ok_or_else(|| never(growth))
        }
        (None, _) => Err("the file system does not tell what is free".to_owned()),
        (_, None) => Err(too_little(&seen)),
    };
    let day = day.and_then(|day| i64::try_from(day).map_err(|e| e.to_string()));
    let full_at = day.as_ref().ok().map(|day| now.saturating_add(day.saturating_mul(DAY)));
    let stops = if full_at.is_some() { stops(on, macs) } else { Vec::new() };
    let silent = |name: &&String| shares.iter().any(|share| share.unwarned.contains(name));
    Disk {
        bundles: on.iter().map(|look| look.name.clone()).collect(),
        total: on.iter().filter_map(|look| look.total).max(),
        free,
        growth_per_week: growth.map(|day| day.saturating_mul(7)),
        full_at,
        unwarned: stops.iter().filter(silent).cloned().collect(),
        stops,
        no_day: day.err(),
    }
}

fn free_in_order(look: &Look, now: i64) -> Vec<Sample> {
    let noted = look.sizes.iter().filter_map(|s| Some(Sample { at: s.at, bytes: s.free? }));
    forecast::in_order(&noted.collect::<Vec<_>>(), now)
}

/// The bundles of a disk, each with the room that its image and its share's limit leave it.
fn growers(on: &[&Look], macs: &[Mac], shares: &[Share], now: i64) -> Vec<Grower> {
    let mut growers: Vec<Grower> = on.iter().map(|look| grower(look, macs, now)).collect();
    for share in shares {
        let own = |look: &Look| share.bundles.contains(&look.name);
        let all = on.iter().zip(&growers).filter(|(look, g)| own(look) && g.will > 0);
        let all = all.fold(0i64, |all, (_, g)| all.saturating_add(g.will));
        for (_, grower) in on.iter().zip(&mut growers).filter(|(look, _)| own(look)) {
            let room = limits::room(share, grower.will, all);
            grower.room = grower.room.min(room.unwrap_or(u64::MAX));
        }
    }
    growers
}

fn grower(look: &Look, macs: &[Mac], now: i64) -> Grower {
    let was = look.growth(now).unwrap_or(0);
    let used = macs.iter().any(|mac| !mac.gone && uses(mac, look));
    let room = look.limit.saturating_sub(look.stored.unwrap_or(0));
    Grower { was, will: if used { was } else { 0 }, room }
}

/// Whether this is the bundle that the Mac goes on with.
pub(super) fn uses(mac: &Mac, look: &Look) -> bool {
    mac.bundles.iter().any(|b| b.leftover.is_none() && b.name == look.name)
}

/// Macs that still make backups onto this disk.
fn stops(on: &[&Look], macs: &[Mac]) -> Vec<String> {
    let here = |mac: &&Mac| !mac.gone && on.iter().any(|look| uses(mac, look));
    macs.iter().filter(here).map(|mac| mac.name.clone()).collect()
}

fn never(growth: i64) -> String {
    match growth {
        ..=0 => "it does not grow".into(),
        _ => format!("not within {} years", forecast::HORIZON / 365),
    }
}

fn too_little(seen: &[Sample]) -> String {
    let time = seen.first().zip(seen.last()).map_or(0, |(a, b)| b.at.saturating_sub(a.at));
    format!(
        "too little to go by: {} seen over {} so far, and it takes {FEWEST} over {}",
        crate::report::words::plural(to_u64(seen.len()), "size was", "sizes were"),
        crate::report::words::plural(time.unsigned_abs() / DAY.unsigned_abs(), "day", "days"),
        crate::report::words::plural(SHORTEST.unsigned_abs() / DAY.unsigned_abs(), "day", "days"),
    )
}
