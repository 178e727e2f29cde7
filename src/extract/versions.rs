//! Other snapshots' versions of a file.

use super::options::Fallback;
use super::reading::Reading;
use crate::fs::{Metadata, resolve};
use crate::losses::{Evidence, Guard, Policy};
use crate::timemachine::{Archive, OpenVolume, Place, Snapshot};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Hears of a version: snapshot, where it is read from, object.
pub type Visit<'a> = &'a mut dyn FnMut(&str, &Reading, &Metadata) -> ControlFlow<()>;

/// Where other versions of what is restored can be found.
pub trait Versions: Sync {
    /// Visit the versions of what is at `below` the address, the nearest first.
    fn each(&self, below: &str, how: Fallback, visit: Visit<'_>);
}

/// The other snapshots of one Mac.
pub struct Snapshots<'a> {
    volume: &'a OpenVolume,
    /// Where the snapshot that is restored is read from.
    own: Reading,
    evidence: Arc<Evidence>,
    policy: Policy,
    /// Path of the address in each snapshot.
    base: String,
    /// Oldest first.
    all: Vec<&'a Snapshot>,
    /// The one that is restored.
    at: usize,
}

impl<'a> Snapshots<'a> {
    /// Those beside the one of an address, which is read from `own`; `None` for what is in
    /// no snapshot.
    pub fn beside(
        archive: &'a Archive,
        place: &Place<'a>,
        own: &Reading,
        evidence: &Arc<Evidence>,
        policy: Policy,
    ) -> Option<Self> {
        let snapshot = place.snapshot?;
        let (_, backup) = archive.backup()?;
        let is_own = |s: &Snapshot| std::ptr::eq(s, snapshot);
        let computer = backup.computers.iter().find(|c| c.snapshots.iter().any(is_own))?;
        let all: Vec<&Snapshot> = computer.snapshots.iter().collect();
        let at = all.iter().position(|s| is_own(s))?;
        Some(Self {
            volume: place.volume,
            own: own.clone(),
            evidence: evidence.clone(),
            policy,
            base: place.path.clone(),
            all,
            at,
        })
    }

    fn order(&self, how: Fallback) -> Vec<usize> {
        let older = (0..self.at).rev();
        let newer = self.at + 1..self.all.len();
        match how {
            Fallback::Previous => older.collect(),
            Fallback::Next => newer.collect(),
            Fallback::Nearest => {
                let mut all: Vec<usize> = older.chain(newer).collect();
                all.sort_by_key(|i| i.abs_diff(self.at));
                all
            }
        }
    }

    /// A version and where it is read from.
    fn version(&self, snapshot: &Snapshot, path: &str) -> Option<(Reading, Metadata)> {
        let (fs, top) = self.volume.enter(snapshot).ok()?;
        let meta = resolve(&*fs, top, path).ok()?;
        let same_view = self.all.get(self.at).is_some_and(|own| own.view == snapshot.view);
        let from = if same_view {
            self.own.clone()
        } else {
            let evidence = self.evidence.clone();
            let guard =
                Guard::of_view(self.volume, snapshot.view, fs.clone(), evidence, self.policy);
            Reading { fs, guard: Some(guard) }
        };
        Some((from, meta))
    }
}

impl Versions for Snapshots<'_> {
    fn each(&self, below: &str, how: Fallback, visit: Visit<'_>) {
        let path = format!("{}/{below}", self.base);
        for i in self.order(how) {
            let Some(snapshot) = self.all.get(i) else { continue };
            let Some((from, meta)) = self.version(snapshot, &path) else { continue };
            if visit(&snapshot.name, &from, &meta).is_break() {
                return;
            }
        }
    }
}
