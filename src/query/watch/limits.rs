//! What servers tell Macs of the room that is left: the limit of a share, whatever the disk has.

use super::{Look, Mac};
use crate::io::bytes::to_u64;
use serde::Serialize;
use std::path::PathBuf;

/// A share for Time Machine, as its server is configured.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// `samba` or `netatalk`.
    pub server: &'static str,
    /// Its folder, without links.
    pub path: PathBuf,
    /// Bytes that Macs are told of at most, if there is such a limit.
    pub limit: Option<u64>,
}

/// A share, and what Macs are told of it now.
#[derive(Debug, Serialize)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// `samba` or `netatalk`.
    pub server: &'static str,
    /// Its folder.
    pub path: String,
    /// Bytes that Macs are told of at most; absent without a limit: they see the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Bytes that the server counts as used: bands by their full size.
    pub used: u64,
    /// Bytes that Macs are told are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<u64>,
    /// Macs that are told of more than the disk has, and that stop without a word when it is
    /// full. Others delete their old backups in time.
    pub unwarned: Vec<String>,
    /// Names of the bundles in it.
    #[serde(skip)]
    pub bundles: Vec<String>,
}

/// Whether a bundle lies in a share's folder.
fn lies_in(look: &Look, served: &Served) -> bool {
    // Samba and Netatalk count what lies directly in it.
    look.real.parent() == Some(served.path.as_path())
}

/// The shares that the bundles lie in.
pub(super) fn all(looks: &[Look], served: &[Served], macs: &[Mac]) -> Vec<Share> {
    let of = |served: &Served| {
        let own: Vec<&Look> = looks.iter().filter(|look| lies_in(look, served)).collect();
        if own.is_empty() {
            return None;
        }
        let used = own.iter().filter_map(|look| look.counted).fold(0, u64::saturating_add);
        let told = served.limit.map(|limit| limit.saturating_sub(used));
        let free = own.iter().filter_map(|look| look.free).min();
        let beyond = told.zip(free).is_some_and(|(told, free)| told > free);
        let here = |mac: &&Mac| {
            beyond && !mac.gone && own.iter().any(|look| super::disks::uses(mac, look))
        };
        Some(Share {
            name: served.name.clone(),
            server: served.server,
            path: served.path.display().to_string(),
            limit: served.limit,
            used,
            told,
            unwarned: macs.iter().filter(here).map(|mac| mac.name.clone()).collect(),
            bundles: own.iter().map(|look| look.name.clone()).collect(),
        })
    };
    served.iter().filter_map(of).collect()
}

/// Bytes that a share's limit leaves to one of its bundles, which grows by `will` of `all` bytes
/// a day: the Macs of a share come to its limit on one day.
pub(super) fn room(share: &Share, will: i64, all: i64) -> Option<u64> {
    let told = share.told?;
    if will <= 0 || all <= will {
        return Some(told);
    }
    let part = u128::from(told) * u128::from(will.unsigned_abs()) / u128::from(all.unsigned_abs());
    u64::try_from(part).ok()
}

/// Bytes that a server counts of a bundle, by the number of its bands.
pub(super) fn counted(name: &str, bands: usize, band_size: u64) -> Option<u64> {
    match name.ends_with("sparsebundle") {
        true => to_u64(bands).checked_mul(band_size),
        false => Some(0),
    }
}
