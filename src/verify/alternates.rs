//! Files that may be what a finding lacks are named in the finding.

use crate::disk::Disk;
use crate::losses::Evidence;
use crate::report::{Finding, STANDS_IN, Severity};

/// Most files that are named in one finding, and most findings that are looked at.
const NAMED: usize = 3;
const FINDINGS: usize = 1000;

/// Name the other versions of a band in what was found to be lost or wrong in it.
pub(super) fn name(disk: &Disk, findings: &mut [Finding]) {
    let Some(bundle) = disk.bundle() else { return };
    let bands = bundle.bands();
    let evidence = Evidence::of(disk, Vec::new());
    let telling = |f: &&mut Finding| f.severity >= Severity::Warning && f.place.band.is_some();
    for f in findings.iter_mut().filter(telling).take(FINDINGS) {
        let Some((index, offset)) = bands.placed(&f.place) else { continue };
        let whole = bands.range(index);
        let end = offset.saturating_add(f.place.length.unwrap_or(512)).min(whole.end);
        let within = offset - whole.start..end - whole.start;
        let fits = evidence.alternates(index).iter().filter(|a| a.has_data(within.clone()));
        let paths = fits.map(|a| format!("'{}'", a.path));
        let new: Vec<String> = paths.filter(|path| !f.message.contains(path)).take(NAMED).collect();
        if !new.is_empty() {
            f.message.push_str(&format!("; {} {STANDS_IN}", new.join(", ")));
        }
    }
}
