//! A campaign of damage to the metadata of APFS containers (`campaign_runner`). In half of it the
//! checksums are made right again, so that only what contradicts itself can be seen.

use crate::apfs_campaign_volumes as volumes;
use crate::campaign_runner::{How, Plan, alone, run};

/// Bit flips in all, zeroed ranges and overwritten ones; of each, half with right sums.
const FLIPS: u64 = 40_000;
const ZEROED: u64 = 5_000;
const NOISE: u64 = 4_000;

const fn plan(name: &'static str, how: How, count: u64, mended: bool) -> Plan {
    Plan { name, how, count, mended }
}

const PLANS: &[Plan] = &[
    plan("sum wrong: ", How::Flip, FLIPS / 2, false),
    plan("sum right: ", How::Flip, FLIPS / 2, true),
    plan("sum wrong, zeroed sector", How::Zeros(512), ZEROED / 4, false),
    plan("sum right, zeroed sector", How::Zeros(512), ZEROED / 4, true),
    plan("sum wrong, zeroed 4 KiB", How::Zeros(4096), ZEROED / 4, false),
    plan("sum right, zeroed 4 KiB", How::Zeros(4096), ZEROED / 4, true),
    plan("sum wrong, noise: ", How::Noise(64), NOISE / 2, false),
    plan("sum right, noise: ", How::Noise(64), NOISE / 2, true),
];

/// Least share of the meaningful changes that must be found, in thousandths, by the beginning
/// of what they are called; docs/verify-campaign.md explains the rest.
const FLOORS: &[(&str, u64)] = &[("sum wrong", 995), ("sum right", 980), ("sum right, noise", 900)];

/// Changes that mean nothing by the map of bytes, which looks at one field at a time, and are
/// damage all the same: a name that breaks the order of keys, an older superblock that calls
/// itself the newest, a next number that was given out, a node older than what is in or below it,
/// and a number of blocks in an old block 0 that no container can have.
const EXCUSED: &[&str] = &[
    "(A061)",
    "(A062)",
    "(A073)",
    "(A087)",
    "old checkpoint",
    "next object",
    "old block 0, reserved",
];

#[test]
fn damage_to_apfs_metadata_is_found() {
    alone("apfs_campaign::damage_to_apfs_metadata_is_found", campaign);
}

fn campaign() {
    let outcome = run(&volumes::all(), PLANS);
    let total = &outcome.total;
    assert!(total.cases >= FLIPS + ZEROED && total.matter > FLIPS / 2, "the campaign is too small");
    let low = outcome.low(FLOORS);
    assert!(low.is_empty(), "too little was found: {low:?}");
    let excused = |alarm: &&String| EXCUSED.iter().any(|why| alarm.contains(why));
    let alarms: Vec<_> = outcome.alarms.iter().filter(|a| !excused(a)).collect();
    assert!(alarms.is_empty(), "what means nothing is called damage: {alarms:#?}");
}
