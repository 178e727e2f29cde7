//! Restores: everything that was backed up, or a true account of what was not.

mod archive;
mod damage;
mod faults;
pub(crate) mod foreign;
mod metadata;
mod round_trips;
mod samba;
mod selection;

use crate::common::{Ran, tmbundle};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tools::hfs::{VolumeBuilder, VolumeOptions};

/// 2019-11-02 09:15:00 UTC.
pub const START: i64 = 1_572_686_100;

/// An image of one HFS+ volume, and a folder to restore into.
pub struct Sample {
    pub dir: tempfile::TempDir,
}

impl Sample {
    /// An image with what `fill` puts there.
    pub fn new(fill: impl FnOnce(&mut VolumeBuilder)) -> Self {
        Self::with(VolumeOptions { size: 24 << 20, ..VolumeOptions::default() }, fill)
    }

    pub fn with(options: VolumeOptions, fill: impl FnOnce(&mut VolumeBuilder)) -> Self {
        let mut volume = VolumeBuilder::new(VolumeOptions { created: START, ..options });
        fill(&mut volume);
        let dir = tempfile::tempdir().unwrap();
        volume.build().image.write_to(&dir.path().join("disk.img")).unwrap();
        Self { dir }
    }

    pub fn image(&self) -> String {
        self.dir.path().join("disk.img").to_str().unwrap().to_owned()
    }

    pub fn to(&self) -> PathBuf {
        self.dir.path().join("to")
    }

    /// Restore the whole volume with these options.
    pub fn restore(&self, options: &[&str]) -> Ran {
        self.restore_to(&self.to(), options)
    }

    pub fn restore_to(&self, to: &Path, options: &[&str]) -> Ran {
        let (image, to) = (self.image(), to.to_str().unwrap());
        let mut args = vec!["extract", &image, "volume:/", "--to", to, "--no-sync"];
        args.extend(options);
        tmbundle(&args)
    }
}

/// The JSON document of a run.
#[track_caller]
pub fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"))
}

/// Whether a program is there; says so if not.
pub fn has(program: &str, test: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        crate::common::skipped(format_args!("{test}: {program} is not here"));
    }
    found
}

/// Bytes that are not zeros and differ from place to place.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2).wrapping_add(1);
    (0..len)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 56) as u8 | 1
        })
        .collect()
}
