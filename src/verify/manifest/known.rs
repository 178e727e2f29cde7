//! What the manifest of earlier runs knows, for who judges bytes that are not there now.

use super::Bands;
use super::file::{Found, Manifest};
use crate::losses::Known;
use crate::state::Identity;
use crate::volume::Layout;
use std::path::{Path, PathBuf};

/// The bands that were read by the runs whose manifest lies in `file`; none if that cannot be
/// read or is not of the bundle in `layout`: it is evidence, and who checks it is `verify`.
/// Read when it is asked for.
pub fn known(file: Option<PathBuf>, layout: &Layout) -> Known {
    let bundle = layout.disk().bundle();
    let Some(((file, bundle), identity)) = file.zip(bundle).zip(Identity::of(layout)) else {
        return Box::new(Vec::new);
    };
    let size = bundle.bands().band_size();
    Box::new(move || bands(&file, &identity, size))
}

fn bands(file: &Path, identity: &Identity, size: u64) -> Vec<u64> {
    match Manifest::read(file) {
        Ok(Found::Manifest(m))
            if m.header.band_size == size && m.header.identity.matches(identity) != Some(false) =>
        {
            m.entries.into_keys().collect()
        }
        _ => Vec::new(),
    }
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
