//! What the manifest of earlier runs knows, for who judges bytes that are not there now.

use super::Bands;
use super::file::{Found, Manifest};
use crate::losses::Known;
use crate::state::Identity;
use crate::volume::Layout;
use std::path::PathBuf;

/// A Mac that has backed up for so much longer than the last run looked may have given bands
/// back since, and taken their place for zeros that it never wrote.
pub(super) const OLD: i64 = 14 * 86_400;

/// The bands that were read by the runs whose manifest lies in `file`; none if that cannot be
/// read or is not of the bundle in `layout`: it is evidence, and who checks it is `verify`.
/// Read when it is asked for.
pub fn known(file: Option<PathBuf>, layout: &Layout) -> Known {
    let bundle = layout.disk().bundle();
    // Who it is costs reads: asked for only where there is something to compare it with.
    let found = file.zip(bundle).and_then(|found| Some((found, Identity::of(layout)?)));
    let Some(((file, bundle), identity)) = found else { return Box::new(Vec::new) };
    let (size, history) = (bundle.bands().band_size(), bundle.time_machine().history);
    let backup = history.and_then(|h| h.last_at(i64::MAX)?.completed);
    Box::new(move || {
        let looked = |m: &Manifest| m.entries.values().map(|e| e.read).max().unwrap_or_default();
        let fits = |m: &Manifest| {
            m.header.band_size == size
                && m.header.identity.matches(&identity) != Some(false)
                && backup.is_none_or(|backup| backup <= looked(m).saturating_add(OLD))
        };
        match Manifest::read(&file) {
            Ok(Found::Manifest(m)) if fits(&m) => m.entries.into_keys().collect(),
            _ => Vec::new(),
        }
    })
}

/// The same after a run of one's own, if there was one: it knows what is gone since.
pub(in crate::verify) fn known_after(
    run: Option<&Bands>,
    kept: Option<PathBuf>,
    layout: &Layout,
) -> Known {
    match run {
        Some(run) => {
            let gone = run.gone_bands.clone();
            Box::new(move || gone.clone())
        }
        None => known(kept, layout),
    }
}
