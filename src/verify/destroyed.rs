//! A bundle that was recognised and cannot be opened: what is lost of it, and what is left.

use super::{Options, Outcome};
use crate::bundle::TimeMachinePlists;
use crate::error::{Corrupt, Result};
use crate::io::Anchor;
use crate::report::{Code, Finding, Reporter, Structure, Where};
use crate::timemachine;
use crate::timemachine::check::{Known, last_completed};
use rustix::fs::{AtFlags, FileType, statat};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Report what is lost, and check what Time Machine noted beside the bands. The source is
/// looked at again by its path: no link that was put there meanwhile is followed.
pub(super) fn report(
    path: &Path,
    error: &Corrupt,
    options: &Options,
    reporter: &dyn Reporter,
    outcome: &mut Outcome,
) -> Result<()> {
    let anchor = Anchor::open(path, options.links)?;
    let dir = anchor.is_dir().then(|| anchor.dir()).transpose()?;
    lost(dir.as_ref(), error, reporter, outcome);
    if let Some(dir) = dir {
        lists(&dir, options, reporter, outcome);
    }
    Ok(())
}

fn lost(dir: Option<&OwnedFd>, error: &Corrupt, reporter: &dyn Reporter, outcome: &mut Outcome) {
    let bands = dir.and_then(|dir| statat(dir, "bands", AtFlags::SYMLINK_NOFOLLOW).ok());
    let there = bands.is_some_and(|s| FileType::from_raw_mode(s.st_mode).is_dir());
    let (code, structure, why) = match there {
        true => (Code::InfoLost, Structure::InfoPlist, "the band size is not known"),
        false => (Code::BandsLost, Structure::Bands, "the folder of the bands is lost"),
    };
    reporter.report(Finding::new(code, Where::of(structure), error.to_string()));
    outcome.skip("everything else", why);
}

fn lists(dir: &OwnedFd, options: &Options, reporter: &dyn Reporter, outcome: &mut Outcome) {
    let plists = TimeMachinePlists::read(dir);
    crate::bundle::check_lists(&plists, reporter);
    let known = Known { plists: Some(&plists), broken: true, ..Known::default() };
    outcome.last_completed = last_completed(&known, options.now);
    if plists.machine.is_some() || outcome.last_completed.is_some() || options.max_age.is_some() {
        timemachine::check::check(&known, options.max_age, options.now, reporter);
    }
}
