//! Arguments that several commands share.

use super::output::Exit;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use tmbundle::timemachine::Archive;
use tmbundle::volume::{Layout, OpenOptions};

/// What an address is, in a word.
pub const ADDRESS: &str = "SNAPSHOT[:PATH]: 'latest', a stamp or the beginning of one; \
                       or volume:PATH, volume=NAME:PATH";

/// How volumes are opened.
#[derive(Args, Clone, Copy, Default)]
pub struct SalvageArgs {
    /// Show what is left of a volume whose headers or catalog are broken
    ///
    /// Looks for the records of files wherever they lie; folders whose own record is lost
    /// are under lost+found. May read all of the volume. With mount, also an older state of an
    /// APFS volume whose newest cannot be read.
    #[arg(long)]
    pub salvage: bool,
}

impl SalvageArgs {
    /// Open everything on a disk so, and say what to know of it.
    pub fn open(self, layout: &Layout) -> tmbundle::Result<Archive> {
        let options = OpenOptions { salvage: self.salvage, ..OpenOptions::default() };
        let archive = Archive::open_with(layout, &options)?;
        // What was to be opened with the password may be what is wanted.
        archive.require_key()?;
        tell_notes(&archive);
        Ok(archive)
    }
}

/// How a command ends that did what was asked with what could be opened: that an older state
/// of it was read is no success.
pub fn exit_of(archive: &Archive) -> Exit {
    // What is lost of a snapshot is known once it is opened.
    archive.older().for_each(tell_older);
    if archive.older().next().is_some() { Exit::Findings } else { Exit::Ok }
}

/// Warn of an older or incomplete state, once in a run.
fn tell_older(text: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(text.to_owned()) {
        super::output::warn(text);
    }
}

/// Say what is to be known of the volumes of an archive before they are relied on.
pub fn tell_notes(archive: &Archive) {
    archive.older().for_each(tell_older);
    let notes = archive.open.iter().flat_map(|v| &v.volume.about().notes);
    // What concerns a container is said by each of its volumes.
    let mut told = std::collections::HashSet::new();
    for note in notes.filter(|note| told.insert(*note)) {
        super::output::warn(note);
    }
}

/// How sources are read.
#[derive(Debug, Args, Clone, Copy, Default, Serialize, Deserialize)]
pub struct AccessArgs {
    /// Threads that read, decrypt and hash [default: cores, at most 4]
    ///
    /// One is best for a single rotating disk.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
    /// Read at most so many bytes a second, such as 50M
    ///
    /// From the bands or images, over all threads. K, M and G count in steps of 1024.
    #[arg(long, value_name = "RATE", value_parser = super::quantity::rate)]
    pub limit_rate: Option<NonZeroU64>,
    /// Read bands through memory maps
    ///
    /// Seldom faster: measure. Only for bundles at rest on local disks: if a band is shortened meanwhile, or its
    /// disk fails, the system ends the program. Refused while a Mac uses the bundle and
    /// on network and user-space file systems.
    #[arg(long)]
    pub mmap: bool,
}

/// What to give for bytes that are lost.
#[derive(Args, Clone, Copy, Default)]
pub struct LostArgs {
    /// Give zeros for bytes that are lost, instead of failing
    ///
    /// Where a band is missing, cut or has a hole under a file's data, reading it is an
    /// error that names the band. With this the rest of the file can be had; each such file
    /// is told, and the exit code is 1.
    #[arg(long)]
    pub lost_as_zeros: bool,
}

impl LostArgs {
    /// The policy of who reads.
    pub fn policy(self) -> tmbundle::losses::Policy {
        if self.lost_as_zeros {
            tmbundle::losses::Policy::Zeros
        } else {
            tmbundle::losses::Policy::Fail
        }
    }
}
