//! Every stored node of a volume's trees, of all its snapshots, read once: what cannot be
//! read is reported, and the rest is read on.

use super::check::files;
use super::check::say::Checker;
use super::omap::Mapping;
use super::references;
use super::volume::Apfs;
use crate::error::{Error, Result};
use crate::fs::ViewId;
use crate::report::{Code, Finding, Progress, Reporter, Structure, Unit, Where};
use std::collections::HashSet;

/// Read all nodes of a volume, and report what cannot be read.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn volume(
    checker: &Checker<'_>,
    (volume, number): (&Apfs, u32),
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<()> {
    progress.phase("checking the nodes of APFS", 0, Unit::Items);
    let told = HashSet::new();
    let mut pass = Pass { checker, volume, number, reporter, progress, told, seen: HashSet::new() };
    let mut seen = HashSet::new();
    let mut failed = |view, structure, e| {
        let what = match structure {
            Structure::VolumeSuperblock => "cannot be opened",
            _ => "cannot be read in whole",
        };
        pass.tell(view, structure, what, e)
    };
    files::check(checker, (volume, number), &mut seen, &mut failed, progress)?;
    pass.seen = seen;
    pass.sealed()?;
    pass.references()?;
    pass.mapped()
}

struct Pass<'a> {
    checker: &'a Checker<'a>,
    volume: &'a Apfs,
    number: u32,
    reporter: &'a dyn Reporter,
    progress: &'a dyn Progress,
    /// Texts that were reported where there is no place; the checker knows the places.
    told: HashSet<String>,
    /// Blocks of nodes that were read.
    seen: HashSet<u64>,
}

impl Pass<'_> {
    /// The extents of sealed views.
    fn sealed(&mut self) -> Result<()> {
        for view in self.volume.in_time() {
            let Ok(state) = self.volume.state(view) else { continue };
            if state.superblock.is_sealed() {
                let root = state.superblock.sealed_extents;
                let tree = super::sealed::extents(&state.store, root);
                self.tree(Some(view), Structure::FileSystemTree, &tree)?;
            }
        }
        Ok(())
    }

    fn references(&mut self) -> Result<()> {
        for (view, root) in self.volume.reference_trees().into_iter().filter(|(_, r)| *r != 0) {
            let tree = references::tree_at(self.volume.container.store(), root);
            self.tree(Some(view), Structure::ExtentReferences, &tree)?;
        }
        Ok(())
    }

    fn tree(
        &mut self,
        view: Option<ViewId>,
        structure: Structure,
        tree: &super::btree::Tree,
    ) -> Result<()> {
        let (mut seen, mut failed) = (std::mem::take(&mut self.seen), Vec::new());
        let progress = self.progress;
        let walked = tree.walk_telling(&mut seen, &mut |e| failed.push(e), &mut |_| {
            progress.advance(1);
            progress.check()
        });
        self.seen = seen;
        for e in failed {
            self.tell(view, structure, "cannot be read in whole", e)?;
        }
        walked
    }

    /// The nodes of the object map, and all that it says is stored: a node may have been
    /// rewritten between two snapshots without the one above it.
    fn mapped(&mut self) -> Result<()> {
        let (mut last, mut failed): (Option<(u64, Mapping)>, Vec<Error>) = (None, Vec::new());
        let omap = self.volume.omap.clone();
        omap.walk(&mut |e| failed.push(e), &mut |oid, m| {
            if let Some((before, mapping)) = last.replace((oid, m)) {
                let until = if before == oid { m.xid } else { u64::MAX };
                self.object(before, &mapping, until)?;
            }
            Ok(())
        })?;
        if let Some((oid, m)) = last {
            self.object(oid, &m, u64::MAX)?;
        }
        for e in failed {
            self.tell(None, Structure::ObjectMap, "cannot be read in whole", e)?;
        }
        Ok(())
    }

    fn object(&mut self, oid: u64, m: &Mapping, until: u64) -> Result<()> {
        self.progress.check()?;
        let views = self.volume.views_between(m.xid, until);
        let Some(view) = views.iter().next() else { return Ok(()) };
        if m.deleted() || !self.seen.insert(m.block) {
            return Ok(());
        }
        self.progress.advance(1);
        match self.prove(oid, m) {
            Ok(()) => Ok(()),
            Err(e) => {
                self.tell(Some(view), Structure::FileSystemTree, "cannot be read in whole", e)
            }
        }
    }

    fn prove(&self, oid: u64, m: &Mapping) -> Result<()> {
        let blocks = self.volume.container.store().blocks();
        let what = "object of the volume";
        let count = u64::from(m.size).div_ceil(blocks.size()).max(1);
        let mut bytes = blocks.read(what, m.block, count)?;
        // Nodes of sealed volumes have no sum of their own: the node above has it.
        if m.no_header() {
            return Ok(());
        }
        if m.encrypted() && !crate::io::bytes::all_zero(&bytes) {
            let Some(key) = &self.volume.key else { return Ok(()) };
            let sectors = blocks.size() / crate::crypt::xts::SECTOR;
            key.decrypt(m.block.wrapping_mul(sectors), &mut bytes);
        }
        let object = blocks.prove(what, m.block, bytes)?;
        if object.header.oid != oid {
            let text = format!("is object {}, expected {oid}", object.header.oid);
            return Err(blocks.corrupt(what, m.block, text));
        }
        if object.header.xid != m.xid {
            let (found, xid) = (object.header.xid, m.xid);
            let text = format!("is of transaction {found}, expected {xid}: another state of it");
            return Err(blocks.corrupt(what, m.block, text));
        }
        Ok(())
    }

    fn tell(
        &mut self,
        view: Option<ViewId>,
        structure: Structure,
        what: &str,
        e: Error,
    ) -> Result<()> {
        let locus = match &e {
            Error::Interrupted => return Err(e),
            // Given up, or locked: not wrong.
            Error::Unsupported(_) | Error::PasswordRequired(_) => return Ok(()),
            Error::Corrupt(c) => c.place.clone(),
            _ => None,
        };
        let is_new = match &locus {
            Some(locus) => self.checker.is_new(locus),
            None => self.told.insert(e.to_string()),
        };
        if !is_new {
            return Ok(());
        }
        let snapshot = view.and_then(|v| {
            let index = crate::io::bytes::usize32(v.0).checked_sub(1)?;
            self.volume.snapshots.get(index)
        });
        let name = &self.volume.superblock.name;
        let of = match snapshot {
            Some(s) => format!("snapshot '{}' of volume '{name}'", s.name),
            None => format!("volume '{name}'"),
        };
        let mut place = Where::of(structure).at(locus.clone());
        place.volume = Some(self.number);
        place.snapshot = snapshot.map(|s| s.xid);
        if locus.is_some() {
            place = place.length(self.volume.container.store().blocks().size());
        }
        let text = format!("{of} {what}: {e} ({})", super::check::say::rule_of(&e));
        self.reporter.report(Finding::new(Code::ApfsUnreadable, place, text));
        Ok(())
    }
}
