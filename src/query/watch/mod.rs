//! A share in one look: whose bundles lie in it, how they grow, and when their disk is full.
//! Goes by what needs no password, and by what earlier runs remembered.

mod disks;
mod limits;
mod look;
mod macs;

pub use disks::Disk;
pub use limits::{Served, Share};
pub use look::{Look, look};
pub use macs::{Bundle, Leftover, Mac};

use serde::Serialize;

/// Everything `watch` tells of a share.
#[derive(Debug, Serialize)]
pub struct Watch {
    /// The Macs, by name.
    pub macs: Vec<Mac>,
    /// The shares they lie in, by the servers' configuration, where that is known.
    pub shares: Vec<Share>,
    /// The disks that their bundles lie on.
    pub disks: Vec<Disk>,
}

impl Watch {
    /// What these looks come to at `now` (seconds since 1970), where shares are so served.
    pub fn of(looks: &[Look], served: &[Served], now: i64) -> Self {
        let macs = macs::group(looks, now);
        let shares = limits::all(looks, served, &macs);
        let disks = disks::all(looks, &macs, &shares, now);
        Self { macs, shares, disks }
    }
}
