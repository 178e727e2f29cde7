//! A campaign of damage to the metadata of HFS+ volumes that have everything
//! (`campaign_runner`).

use crate::campaign_runner::{How, Plan, alone, run};
use crate::campaign_volumes as volumes;

/// Bit flips in all, and zeroed ranges of each size.
const FLIPS: u64 = 40_000;
const ZEROED: u64 = 1_500;

const PLANS: &[Plan] = &[
    Plan { name: "", how: How::Flip, count: FLIPS, mended: false },
    Plan { name: "zeroed sector", how: How::Zeros(512), count: ZEROED, mended: false },
    Plan { name: "zeroed 4 KiB", how: How::Zeros(4096), count: ZEROED, mended: false },
];

/// Least share of the meaningful flips that must be found, in thousandths, by the
/// beginning of the structure's name; docs/verify-campaign.md explains the rest.
const FLOORS: &[(&str, u64)] = &[("", 995), ("zeroed", 1000)];

#[test]
fn damage_to_metadata_is_found() {
    alone("campaign::damage_to_metadata_is_found", campaign);
}

fn campaign() {
    let outcome = run(&volumes::all(), PLANS);
    let total = &outcome.total;
    assert!(total.cases >= FLIPS && total.matter > FLIPS / 3, "the campaign is too small");
    let low = outcome.low(FLOORS);
    assert!(low.is_empty(), "too little was found: {low:?}");
}
