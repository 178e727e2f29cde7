//! How the disk of a share and its bundles are used: quotas, speed, age.

use super::{Case, Target};
use crate::report::ServerCode as C;
use crate::report::words::span;
use crate::server::Told;
use std::collections::BTreeMap;

/// Bands from here on are large enough for a disk that turns.
const LARGE_BANDS: u64 = 64 << 20;

pub(super) fn rules(case: Case<'_>, target: &Target) -> Vec<Told> {
    let mut told: Vec<Told> = quota(case, target).into_iter().collect();
    told.extend(slow(case, target));
    told.extend(old(case, target));
    told
}

/// A quota that ends before the disk, and before the limit that Macs are told.
fn quota(case: Case<'_>, target: &Target) -> Option<Told> {
    let facts = case.host.path(&target.path);
    let ((left, whose), free) = (facts.allowed.as_ref()?, facts.free?);
    let told = target.limit.map(|limit| limit.saturating_sub(facts.used().unwrap_or(0)));
    if *left >= free || told.is_some_and(|told| told <= *left) {
        return None;
    }
    let message = format!(
        "the quota of {whose} leaves {} MiB, and {} MiB are shown as free",
        left >> 20,
        free >> 20
    );
    Some(Told::path(C::FsQuota, &target.path, message))
}

fn slow(case: Case<'_>, target: &Target) -> Option<Told> {
    let facts = case.host.path(&target.path);
    let small =
        facts.bundles.iter().flatten().filter_map(|b| b.band_size).find(|b| *b < LARGE_BANDS);
    let why = if facts.medium.usb2 {
        "it is connected by USB 2".to_owned()
    } else if facts.medium.zoned {
        "it writes in zones (SMR)".to_owned()
    } else {
        let bands = small.filter(|_| facts.medium.rotational)?;
        format!("it turns, and bands have {} MiB", bands >> 20)
    };
    let message = format!("the disk under {} is slow: {why}", target.path);
    Some(Told::path(C::DiskSlow, &target.path, message))
}

/// Macs whose last backup is too old; of several bundles of one the newest counts.
fn old(case: Case<'_>, target: &Target) -> Vec<Told> {
    let Some(most) = case.host.max_age else { return Vec::new() };
    let mut newest: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    for bundle in case.host.bundles(&target.path) {
        let Some(last) = bundle.last else { continue };
        let mac = bundle.mac.as_deref().unwrap_or(&bundle.path);
        let known = newest.entry(mac).or_insert((last, &bundle.path));
        *known = (*known).max((last, bundle.path.as_str()));
    }
    let old = newest.into_values().filter(|(last, _)| case.host.now.saturating_sub(*last) > most);
    old.map(|(last, path)| {
        let ago = span(case.host.now.saturating_sub(last));
        Told::path(C::BundleOld, path, format!("the last backup in {path} was completed {ago} ago"))
    })
    .collect()
}
