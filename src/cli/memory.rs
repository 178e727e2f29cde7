//! What verify remembers of a bundle from earlier runs, as the arguments say.

use super::clock::now;
use super::worker::Task;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tmbundle::losses::Evidence;
use tmbundle::report::{Code, Finding};
use tmbundle::state::{Environment, SERVICE, Session, Size, find_dir, kept_manifest, unwritten};
use tmbundle::verify::{Last, Outcome, Subset, Verdict, manifest};
use tmbundle::volume::Layout;
use tmbundle::{Error, Result};

/// Where the state lies, if it is known.
pub struct Memory<'a> {
    task: &'a Task,
    dir: Result<PathBuf>,
}

/// What is remembered of one source.
pub struct Remembered<'a> {
    task: &'a Task,
    session: Option<Session>,
    /// Why nothing can be remembered that was to be.
    lost: Option<Finding>,
}

/// Where the state lies: what the user said, or what the environment says.
///
/// # Errors
/// [`Error::Invalid`] where nothing says so, or it would lie in a bundle.
pub fn state_dir(said: Option<&Path>) -> Result<PathBuf> {
    // A home folder may lie anywhere, too.
    find_dir(said, &environment())
        .and_then(|dir| super::guard::refuse("state directory", &dir, &[]).map(|()| dir))
}

/// What a source and the manifest of earlier runs, where there is one, tell of bytes that are
/// not there.
pub fn evidence(layout: &Layout) -> Arc<Evidence> {
    let kept = state_dir(None).ok().and_then(|dir| kept_manifest(&dir, layout));
    Arc::new(Evidence::of(layout.disk(), manifest::known(kept, layout)))
}

fn environment() -> Environment {
    Environment {
        state_directory: std::env::var_os("STATE_DIRECTORY"),
        xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
        home: std::env::var_os("HOME"),
        user: rustix::process::geteuid().as_raw(),
        service: Some(SERVICE.into()),
    }
}

impl<'a> Memory<'a> {
    /// For one source.
    pub fn new(task: &'a Task) -> Self {
        Self { task, dir: state_dir(task.state_dir().as_deref()) }
    }

    /// What is remembered of a source. That nothing can be is no reason not to verify: it
    /// is a finding, if the user asked for what needs it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a state directory in the bundle.
    pub fn of(self, source: Option<&Layout>) -> Result<Remembered<'a>> {
        let task = self.task;
        let needed = task.state_dir().is_some() || matches!(task.manifest(), Some(None));
        // What cannot be opened is told by the verification itself.
        let session = match (source, self.dir) {
            (None, _) => Ok(None),
            (Some(layout), Ok(dir)) => Session::open(&dir, layout, now()),
            // Nothing is wrong with what was asked for: only no place is known.
            (Some(_), Err(e)) => Err(Error::Unsupported(e.to_string())),
        };
        match session {
            Ok(session) => Ok(Remembered { task, session, lost: None }),
            Err(e @ Error::Invalid(_)) if needed => Err(e),
            Err(e) => Ok(Remembered { task, session: None, lost: needed.then(|| unwritten(&e)) }),
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
            Some(session) if self.task.manifest().is_some() => session.lock(),
            _ => Ok(()),
        }
    }

    /// That the bundle was not verified for too long.
    pub fn unverified(&self) -> Option<Finding> {
        let limit = self.task.max_unverified.as_secs();
        self.session.as_ref()?.unverified(now(), i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// The last verification.
    pub fn last(&self) -> Option<Last> {
        let (verified, word) = self.session.as_ref()?.last()?;
        Some(Last { verified, verdict: Verdict::from_word(word)? })
    }

    /// What is wrong with what was remembered. Where nothing was asked for that is to be
    /// remembered, that it cannot be matters to nobody.
    pub fn problems(&self) -> Vec<Finding> {
        let asked = self.task.state_dir().is_some() || self.task.manifest().is_some();
        let problems = self.session.as_ref().map(Session::problems).unwrap_or_default();
        let matters = |f: &&Finding| match f.code {
            Code::ManifestUnwritten => asked,
            // What is remembered without a manifest can be found anew.
            Code::BundleTwice => self.task.manifest().is_some(),
            _ => true,
        };
        problems.iter().filter(matters).chain(&self.lost).cloned().collect()
    }

    /// What was asked for and cannot be done.
    pub fn not_checked(&self) -> Vec<(String, String)> {
        let lost = self.lost.iter().filter(|_| matches!(self.task.manifest(), Some(None)));
        lost.map(|f| ("manifest".to_owned(), f.message.clone())).collect()
    }

    /// How to keep the manifest, if that was asked for and can be done.
    pub fn manifest(&self) -> Option<manifest::Options> {
        let named = self.task.manifest()?;
        let own = || self.session.as_ref().map(Session::manifest);
        let ours = named.is_none();
        // What is no bundle has no session, and the verification says so.
        let file = named.or_else(own).or_else(|| self.lost.is_none().then(PathBuf::new))?;
        let (read, jobs) = (self.read(), self.task.access.jobs());
        Some(manifest::Options { file, ours, read, jobs, now: now() })
    }

    /// Where earlier runs kept a manifest, if they did.
    pub fn kept(&self) -> Option<PathBuf> {
        self.session.as_ref().map(Session::manifest)
    }

    /// How much to read of the bands that did not change. Who reads all data reads all
    /// bands, too.
    fn read(&self) -> Subset {
        match self.task.read_data {
            Some(Subset::All) => Subset::All,
            _ => self.task.manifest_read,
        }
    }

    /// The damage to contents that the last verification found.
    pub fn damage(&self) -> BTreeSet<Code> {
        self.session.as_ref().map(Session::damage).unwrap_or_default()
    }

    /// Note that the source was verified, but for a quick look; a finding if that is not
    /// possible and was asked for.
    pub fn verified(&mut self, outcome: &Outcome) -> Option<Finding> {
        if self.saw_less(outcome) {
            return None;
        }
        let mut damage = outcome.damage();
        if self.last().is_some_and(|last| last.verdict == Verdict::Damage) {
            damage.extend(self.unseen(outcome));
        }
        let asked = self.task.state_dir().is_some() || self.task.manifest().is_some();
        let session = self.session.as_mut().filter(|_| !self.task.quick)?;
        let noted = session.verified(now(), outcome.found().as_str(), &damage);
        let known = !session.problems().is_empty();
        noted.err().map(|e| unwritten(&e)).filter(|_| asked && !known)
    }

    /// Note how much room the bundle takes, for the forecast of `watch`. That it cannot be noted
    /// matters to nobody here.
    pub fn weighed(&mut self, stored: Option<u64>, free: Option<u64>) {
        if let Some((session, stored)) = self.session.as_mut().zip(stored) {
            let _ = session.weighed(Size { at: now(), stored, free });
        }
    }

    /// The last verification, if it found damage where this one did not look, whatever kept it
    /// from that.
    pub fn kept_of_more(&self, outcome: &Outcome) -> Option<Last> {
        self.last().filter(|_| self.saw_less(outcome) && !outcome.keeps_last())
    }

    /// Whether the last verification found worse where this one could not look.
    fn saw_less(&self, outcome: &Outcome) -> bool {
        let damaged = self.last().is_some_and(|last| last.verdict == Verdict::Damage);
        let worse = damaged && outcome.found() != Verdict::Damage;
        let blind = outcome.unchecked || outcome.wrong_password;
        worse && (blind || self.unseen(outcome).next().is_some())
    }

    /// The damage of the last verification that this one could not see.
    fn unseen(&self, outcome: &Outcome) -> impl Iterator<Item = Code> + use<> {
        let blind = outcome.unchecked || outcome.wrong_password;
        let unread = self.task.read_data != Some(Subset::All);
        let unseen = move |code: &Code| blind || unread && code.is_of_data();
        self.damage().into_iter().filter(unseen)
    }
}
