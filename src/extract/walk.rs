//! The way through what is to be restored, the same for the plan, the restore and the
//! comparison afterwards.

use super::Part;
use super::chosen::{Choice, Chosen};
use super::dest::NameRules;
use super::names::Namer;
use crate::error::{Error, Result};
use crate::fs::{Cursor, DirEntry, Kind, Metadata, NodeId, Visits};
use std::ops::ControlFlow;

/// Deepest nesting that is restored; every level holds a file descriptor.
const MAX_DEPTH: usize = 512;

/// An object on the way.
pub struct Item<'a> {
    /// Which of the addresses it is below.
    pub part: &'a Part<'a>,
    /// Its number among the addresses.
    pub number: usize,
    /// Path from where the restore begins, in its own names.
    pub path: &'a str,
    /// Its name at the destination.
    pub name: &'a str,
    /// What it is.
    pub meta: &'a Metadata,
}

/// Is led through everything that was chosen.
pub trait Traveller {
    /// A folder begins. `Ok(false)`: do not go into it; it has been told why.
    fn enter(&mut self, item: &Item<'_>) -> Result<bool>;
    /// Anything but a folder.
    fn object(&mut self, item: &Item<'_>) -> Result<()>;
    /// The folder that was entered last ends.
    fn leave(&mut self) -> Result<()>;
    /// Something could not be reached.
    fn unreachable(&mut self, path: &str, kind: Option<Kind>, reason: &Error);
}

/// How names are given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Naming {
    /// What the destination does to names.
    pub rules: NameRules,
    /// Whether objects may get AppleDouble files beside them.
    pub sidecars: bool,
}

struct Level {
    entries: std::vec::IntoIter<(DirEntry, String)>,
    path_len: usize,
    id: NodeId,
    meta: Metadata,
    name: String,
    /// Whether the traveller is in it yet.
    entered: bool,
    /// Whether this folder or one above it was asked for.
    included: bool,
}

/// A walk over some parts.
pub struct Walk<'a, 't> {
    chosen: &'a Chosen,
    naming: Naming,
    traveller: &'t mut dyn Traveller,
    path: String,
    stack: Vec<Level>,
    visits: Visits,
}

/// Lead `traveller` through the parts.
///
/// # Errors
/// Those of the traveller; what cannot be read is told to it.
pub fn walk(
    parts: &[Part<'_>],
    chosen: &Chosen,
    naming: Naming,
    traveller: &mut dyn Traveller,
) -> Result<()> {
    for (number, part) in parts.iter().enumerate() {
        let mut walk = Walk {
            chosen,
            naming,
            traveller: &mut *traveller,
            path: String::new(),
            stack: Vec::new(),
            visits: Visits::default(),
        };
        walk.part(number, part)?;
    }
    Ok(())
}

impl Walk<'_, '_> {
    fn part(&mut self, number: usize, part: &Part<'_>) -> Result<()> {
        let mut outer = 0;
        for name in &part.under {
            self.push_name(name);
            let safe = super::names::safe_name(name).into_owned();
            let meta = part.folder_metadata();
            let item = Item { part, number, path: &self.path, name: &safe, meta: &meta };
            if !self.traveller.enter(&item)? {
                break;
            }
            outer += 1;
        }
        if outer == part.under.len() {
            self.start(number, part)?;
        }
        for _ in 0..outer {
            self.traveller.leave()?;
        }
        Ok(())
    }

    fn start(&mut self, number: usize, part: &Part<'_>) -> Result<()> {
        let Some(name) = &part.name else {
            let len = self.path.len();
            return self.below(number, part, &part.node, String::new(), len, true);
        };
        let base = self.path.len();
        self.push_name(name);
        let safe = Namer::default().name(name, self.naming.rules);
        let item = Item { part, number, path: &self.path, name: &safe, meta: &part.node };
        if part.node.kind != Kind::Directory {
            // What was addressed by its name was chosen by it.
            return self.traveller.object(&item);
        }
        let _ = base;
        let len = self.path.len();
        self.below(number, part, &part.node, safe, len, false)
    }

    fn push_name(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(name);
    }

    /// Everything in one folder. `entered`: it is the destination itself.
    fn below(
        &mut self,
        number: usize,
        part: &Part<'_>,
        meta: &Metadata,
        name: String,
        path_len: usize,
        entered: bool,
    ) -> Result<()> {
        let root = entered;
        self.push_level(part, meta, name, path_len, entered, false);
        if self.chosen.is_all() && !entered {
            // Restored even if it is empty.
            self.enter_all(number, part)?;
        }
        while let Some(level) = self.stack.last_mut() {
            self.path.truncate(level.path_len);
            match level.entries.next() {
                Some((entry, name)) => self.entry(number, part, &entry, &name)?,
                None => self.end(root)?,
            }
        }
        Ok(())
    }

    fn end(&mut self, root: bool) -> Result<()> {
        let Some(level) = self.stack.pop() else { return Ok(()) };
        // The destination itself was not entered and is not left.
        if level.entered && !(root && self.stack.is_empty()) {
            self.traveller.leave()?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        number: usize,
        part: &Part<'_>,
        entry: &DirEntry,
        name: &str,
    ) -> Result<()> {
        let included = self.stack.last().is_some_and(|l| l.included);
        self.push_name(&entry.name);
        let meta = match &entry.node {
            Ok(meta) => meta,
            Err(dangling) => {
                let error = Error::corrupt("cannot be reached", dangling.reason.clone());
                let kind = if dangling.directory { Kind::Directory } else { Kind::File };
                self.traveller.unreachable(&self.path, Some(kind), &error);
                return Ok(());
            }
        };
        let choice = self.chosen.choose(&self.path, meta, included);
        if choice == Choice::No {
            return Ok(());
        }
        if meta.kind != Kind::Directory {
            if !self.enter_all(number, part)? {
                return Ok(());
            }
            let item = Item { part, number, path: &self.path, name, meta };
            return self.traveller.object(&item);
        }
        if let Some(error) = self.trap(meta) {
            self.traveller.unreachable(&self.path, Some(Kind::Directory), &error);
            return Ok(());
        }
        let below = self.chosen.includes_below(&self.path, included);
        let len = self.path.len();
        self.push_level(part, meta, name.to_owned(), len, false, below);
        if choice == Choice::Yes {
            self.enter_all(number, part)?;
        }
        Ok(())
    }

    /// Why a folder is not entered.
    fn trap(&mut self, meta: &Metadata) -> Option<Error> {
        let visited = self.visits.enter(meta.id);
        let why = if self.stack.iter().any(|l| l.id == meta.id) {
            "it contains itself".to_owned()
        } else if self.stack.len() >= MAX_DEPTH {
            format!("it is nested more than {MAX_DEPTH} deep")
        } else {
            visited?
        };
        Some(Error::corrupt("folder", why))
    }

    /// Enter the folders on the stack that are not entered yet; those below one that is
    /// refused are dropped.
    fn enter_all(&mut self, number: usize, part: &Part<'_>) -> Result<bool> {
        let first = self.stack.iter().position(|l| !l.entered);
        let Some(first) = first else { return Ok(true) };
        for at in first..self.stack.len() {
            let Some(level) = self.stack.get_mut(at) else { break };
            let path = self.path.get(..level.path_len).unwrap_or_default();
            let item = Item { part, number, path, name: &level.name, meta: &level.meta };
            if !self.traveller.enter(&item)? {
                self.stack.truncate(at);
                return Ok(false);
            }
            level.entered = true;
        }
        Ok(true)
    }

    fn push_level(
        &mut self,
        part: &Part<'_>,
        meta: &Metadata,
        name: String,
        path_len: usize,
        entered: bool,
        included: bool,
    ) {
        let mut entries = Vec::new();
        let read = part.from.fs.read_dir(meta.id, Cursor::default(), &mut |e| {
            entries.push(e);
            ControlFlow::Continue(())
        });
        if let Err(e) = read {
            self.traveller.unreachable(&self.path, Some(Kind::Directory), &e);
        }
        self.visits.listed(self.stack.len(), entries.len());
        let Naming { rules, sidecars } = self.naming;
        let mut namer = Namer::new(entries.iter().map(|e| e.name.as_str()), sidecars, rules);
        let named: Vec<(DirEntry, String)> = entries
            .into_iter()
            .map(|e| {
                let name = namer.name(&e.name, rules);
                (e, name)
            })
            .collect();
        self.stack.push(Level {
            entries: named.into_iter(),
            path_len,
            id: meta.id,
            meta: meta.clone(),
            name,
            entered,
            included,
        });
    }
}
