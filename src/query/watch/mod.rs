//! A share in one look: whose bundles lie in it, how they grow, and when their disk is full.
//! Goes by what needs no password, and by what earlier runs remembered.

mod disks;
mod look;
mod macs;

pub use disks::Disk;
pub use look::{Look, look};
pub use macs::{Bundle, Leftover, Mac};

use serde::Serialize;

/// Everything `watch` tells of a share.
#[derive(Debug, Serialize)]
pub struct Watch {
    /// The Macs, by name.
    pub macs: Vec<Mac>,
    /// The disks that their bundles lie on.
    pub disks: Vec<Disk>,
}

impl Watch {
    /// What these looks come to at `now` (seconds since 1970).
    pub fn of(looks: &[Look], now: i64) -> Self {
        let macs = macs::group(looks, now);
        let disks = disks::all(looks, &macs, now);
        Self { macs, disks }
    }
}
