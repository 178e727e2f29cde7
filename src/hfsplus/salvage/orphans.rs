//! Folders whose records are lost: made again where a thread says they were, else under
//! `lost+found`, so that what lies in them has a path.

use super::find::{Kind, Leaf, good_records, read};
use crate::hfsplus::catalog::Key;
use crate::hfsplus::format::{
    DIR_INODES_DIR, FILE_INODES_DIR, FIRST_USER_CNID, ROOT, ROOT_PARENT, record_type,
};
use crate::hfsplus::node::split;
use crate::hfsplus::private::inode_number;
use crate::hfsplus::unicode::{raw_string, stored_verbatim};
use crate::io::Budget;
use crate::io::ReadAt;
use crate::io::bytes::{be16, be32};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Where folders without a place go.
const LOST_AND_FOUND: &str = "lost+found";
/// Bytes that an entry of a map takes, about: of two numbers, and of a name besides.
const SMALL: usize = 24;
const ENTRY: usize = 56;

/// What the catalog's leaves say of folders.
#[derive(Default)]
struct Seen {
    /// Files with a record.
    files: HashSet<u32>,
    /// Folders with a record, and their parents.
    folders: HashMap<u32, u32>,
    /// Folders that something lies in, and which of the private folders that would be.
    parents: BTreeMap<u32, Private>,
    /// Threads of folders: parent and name.
    threads: HashMap<u32, (u32, Box<[u8]>)>,
    /// Names in the root.
    in_root: BTreeMap<String, u32>,
    largest: u32,
}

/// Whether the first name that is seen in a folder is one out of a private folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Private {
    No,
    Files,
    Folders,
}

impl Private {
    fn of(name: &[u8]) -> Self {
        let text = raw_string(name);
        match inode_number(name) {
            Some(_) if text.starts_with("iNode") => Self::Files,
            Some(_) if text.starts_with("dir_") => Self::Folders,
            _ => Self::No,
        }
    }
}

/// Records to be added.
pub struct Added {
    pub records: Vec<Vec<u8>>,
    /// Folders that were made again.
    pub folders: usize,
    /// Those of them that are under `lost+found`.
    pub lost: usize,
    /// Files, and folders but for the root, that have a record.
    pub found: (usize, usize),
}

/// The records that lost folders need.
pub fn added(source: &dyn ReadAt, leaves: &[Leaf], budget: &mut Budget) -> Added {
    let mut seen = Seen::default();
    for leaf in leaves {
        let Ok(node) = read(source, leaf) else { continue };
        for record in good_records(Kind::Catalog, &node) {
            seen.record(record, budget);
        }
    }
    seen.make()
}

impl Seen {
    /// Take what a record says; `None` where it says nothing, or no more can be kept.
    fn record(&mut self, record: &[u8], budget: &mut Budget) -> Option<()> {
        let parts = split(record)?;
        let key = Key::parse(parts.key)?;
        let kind = be16(parts.data, 0)?;
        match kind {
            record_type::FOLDER | record_type::FILE => {
                let id = be32(parts.data, 8)?;
                self.largest = self.largest.max(id).max(key.parent);
                if kind == record_type::FOLDER && budget.take(SMALL) {
                    self.folders.insert(id, key.parent);
                }
                if kind == record_type::FILE && budget.take(SMALL) {
                    self.files.insert(id);
                }
                if key.parent == ROOT && budget.take(ENTRY + 2 * key.name.len()) {
                    self.in_root.insert(raw_string(key.name), id);
                }
                if !self.parents.contains_key(&key.parent) && budget.take(SMALL) {
                    self.parents.insert(key.parent, Private::of(key.name));
                }
            }
            record_type::FOLDER_THREAD => {
                let len = usize::from(be16(parts.data, 8)?);
                let name = parts.data.get(10..10 + 2 * len)?;
                if budget.take(ENTRY + name.len()) {
                    self.threads.insert(key.parent, (be32(parts.data, 4)?, name.into()));
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Folders that are needed for a path and have no record.
    fn missing(&self) -> BTreeSet<u32> {
        let known = |id: &u32| *id == ROOT || *id == ROOT_PARENT || self.folders.contains_key(id);
        let mut missing: BTreeSet<u32> =
            self.parents.keys().copied().filter(|id| !known(id)).collect();
        let mut open: Vec<u32> = missing.iter().copied().collect();
        while let Some(id) = open.pop() {
            if let Some((parent, _)) = self.threads.get(&id)
                && !known(parent)
                && missing.insert(*parent)
            {
                open.push(*parent);
            }
        }
        missing
    }

    /// Whether a folder's threads and parents lead to the root.
    fn reaches_root(&self, id: u32) -> bool {
        let mut at = id;
        for _ in 0..1024 {
            if at == ROOT {
                return true;
            }
            let up = self.folders.get(&at).or_else(|| self.threads.get(&at).map(|t| &t.0));
            match up {
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    }

    fn make(self) -> Added {
        let missing = self.missing();
        let mut records = Vec::new();
        let mut lost: Vec<u32> = Vec::new();
        for id in &missing {
            match self.threads.get(id) {
                Some((parent, name)) if *parent >= ROOT && self.reaches_root(*id) => {
                    records.push(folder(*parent, name, *id));
                }
                // Only a name among its entries tells what it was.
                None if self.parents.get(id) == Some(&Private::Files) => {
                    records.push(folder(ROOT, &stored_verbatim(FILE_INODES_DIR), *id));
                }
                None if self.parents.get(id) == Some(&Private::Folders) => {
                    records.push(folder(ROOT, &stored_verbatim(DIR_INODES_DIR), *id));
                }
                _ => lost.push(*id),
            }
        }
        let folders = missing.len();
        let root = usize::from(self.folders.contains_key(&ROOT));
        let found = (self.files.len(), self.folders.len() - root);
        if !lost.is_empty() {
            let place = self.lost_and_found(&mut records);
            for id in &lost {
                let name = match self.threads.get(id) {
                    Some((_, name)) => format!("{} ({id})", raw_string(name)),
                    None => format!("folder {id}"),
                };
                records.push(folder(place, &stored_verbatim(&name), *id));
            }
        }
        Added { records, folders, lost: lost.len(), found }
    }

    /// The folder of lost things: the volume's own, or one with a new number.
    fn lost_and_found(&self, records: &mut Vec<Vec<u8>>) -> u32 {
        let existing = self.in_root.get(LOST_AND_FOUND);
        if let Some(id) = existing.filter(|id| self.folders.contains_key(id)) {
            return *id;
        }
        let id = self.largest.max(FIRST_USER_CNID).saturating_add(1);
        let name = if existing.is_some() { "lost+found (tmbundle)" } else { LOST_AND_FOUND };
        records.push(folder(ROOT, &stored_verbatim(name), id));
        id
    }
}

/// A folder record with its key.
fn folder(parent: u32, name: &[u8], id: u32) -> Vec<u8> {
    let units = u16::try_from(name.len() / 2).unwrap_or(255).min(255);
    let name = name.get(..2 * usize::from(units)).unwrap_or_default();
    let mut record = (6 + 2 * units).to_be_bytes().to_vec();
    record.extend(parent.to_be_bytes());
    record.extend(units.to_be_bytes());
    record.extend_from_slice(name);
    let data = record.len();
    record.extend(record_type::FOLDER.to_be_bytes());
    record.resize(data + 8, 0);
    record.extend(id.to_be_bytes());
    record.resize(data + 42, 0);
    record.extend(0o040_755u16.to_be_bytes());
    record.resize(data + 88, 0);
    record
}
