//! What verify remembers of a bundle from earlier runs, as the arguments say.

use super::args::VerifyArgs;
use super::clock::now;
use super::output;
use std::path::PathBuf;
use tmbundle::report::Finding;
use tmbundle::state::{Environment, Session, find_dir};
use tmbundle::verify::{Subset, Verdict, manifest};
use tmbundle::volume::Layout;
use tmbundle::{Error, Result};

/// Where the state lies, if it is known.
pub struct Memory<'a> {
    args: &'a VerifyArgs,
    dir: Result<PathBuf>,
}

/// What is remembered of one source.
pub struct Remembered<'a> {
    args: &'a VerifyArgs,
    session: Option<Session>,
}

fn environment() -> Environment {
    Environment {
        state_directory: std::env::var_os("STATE_DIRECTORY"),
        xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
        home: std::env::var_os("HOME"),
        user: rustix::process::geteuid().as_raw(),
    }
}

impl<'a> Memory<'a> {
    /// For a call that verifies so many sources.
    pub fn new(args: &'a VerifyArgs, sources: usize) -> Result<Self> {
        if sources > 1 && matches!(args.memory.manifest, Some(Some(_))) {
            let text = "--manifest=FILE is for one bundle; without FILE each has its own";
            return Err(Error::Invalid(text.into()));
        }
        // A home folder may lie anywhere, too.
        let dir = find_dir(args.memory.state_dir.as_deref(), &environment())
            .and_then(|dir| super::guard::refuse("state directory", &dir, &[]).map(|()| dir));
        Ok(Self { args, dir })
    }

    /// What is remembered of a source. Without a state directory a verification does
    /// without memory, unless the user asked for what needs it.
    pub fn of(&self, source: Option<&Layout>) -> Result<Remembered<'a>> {
        let args = &self.args.memory;
        let needed = args.state_dir.is_some() || matches!(args.manifest, Some(None));
        // What cannot be opened is told by the verification itself.
        let session = match (source, &self.dir) {
            (None, _) => Ok(None),
            (Some(layout), Ok(dir)) => Session::open(dir, layout, now()),
            (Some(_), Err(e)) => Err(Error::Invalid(e.to_string())),
        };
        match session {
            Ok(session) => Ok(Remembered { args: self.args, session }),
            Err(e) if needed => Err(e),
            Err(_) => Ok(Remembered { args: self.args, session: None }),
        }
    }
}

impl Remembered<'_> {
    /// Keep other runs away, if a manifest is kept: other runs disturb nobody.
    ///
    /// # Errors
    /// [`Error::Busy`] while another run verifies the bundle.
    pub fn lock(&mut self) -> Result<()> {
        match &mut self.session {
            Some(session) if self.args.memory.manifest.is_some() => session.lock(),
            _ => Ok(()),
        }
    }

    /// That the bundle was not verified for too long.
    pub fn unverified(&self) -> Option<Finding> {
        let limit = self.args.memory.max_unverified.as_secs();
        self.session.as_ref()?.unverified(now(), i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// What is wrong with what was remembered.
    pub fn problem(&self) -> Vec<Finding> {
        self.session.as_ref().and_then(Session::problem).into_iter().collect()
    }

    /// How to keep the manifest, if that was asked for.
    pub fn manifest(&self) -> Option<manifest::Options> {
        let named = self.args.memory.manifest.as_ref()?;
        let own = || self.session.as_ref().map(Session::manifest).unwrap_or_default();
        Some(manifest::Options {
            file: named.clone().unwrap_or_else(own),
            ours: named.is_none(),
            read: self.read(),
            jobs: self.args.access.jobs(),
            now: now(),
        })
    }

    /// How much to read of the bands that did not change. Who reads all data reads all
    /// bands, too.
    fn read(&self) -> Subset {
        match self.args.read_data {
            Some(Subset::All) => Subset::All,
            _ => self.args.memory.manifest_read,
        }
    }

    /// Note that the source was verified, but for a quick look.
    pub fn verified(&mut self, verdict: Verdict) {
        let Some(session) = &mut self.session else { return };
        if !self.args.quick
            && let Err(e) = session.verified(now(), verdict.as_str())
        {
            output::warn(&format!("that it was verified could not be noted: {e}"));
        }
    }
}
