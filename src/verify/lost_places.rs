//! What is damaged because the band is gone that it lies in: then the band is lost, whatever
//! else says so.

use crate::bundle::Bands;
use crate::disk::Disk;
use crate::io::cut_off;
use crate::report::{Code, Finding, Severity};
use std::collections::BTreeSet;

/// Bytes of a structure whose length is not told.
const SECTOR: u64 = 512;

/// Add that bands are lost which nothing names as lost though something is damaged there.
pub(super) fn add(disk: &Disk, findings: &mut Vec<Finding>) {
    let (Some(bundle), Ok(bytes)) = (disk.bundle(), disk.bytes()) else { return };
    let bands = bundle.bands();
    let missing = findings.iter().filter(|f| f.code.is_missing_band());
    let mut told: BTreeSet<String> = missing.filter_map(|f| f.place.band.clone()).collect();
    let mut lost = Vec::new();
    for f in findings.iter().filter(|f| f.severity == Severity::Damage) {
        let Some((index, at)) = bands.placed(&f.place) else { continue };
        let band = Bands::name(index);
        if told.contains(&band) {
            continue;
        }
        let end = at.saturating_add(SECTOR).min(disk.size());
        if let Some(gone) = cut_off(&*bytes, at..end) {
            told.insert(band);
            let text = format!("{}, where the {} lies", gone.why, f.place.structure);
            lost.push(Finding::new(Code::BandLost, bands.place(index), text));
        }
    }
    findings.extend(lost);
}
