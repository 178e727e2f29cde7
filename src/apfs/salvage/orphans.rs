//! Folders whose records are lost, and objects without a name in their folder: what they need
//! to be reached is made, under `lost+found` where nothing tells of a better place.

use super::made::{Child, Record};
use crate::apfs::format::{FIRST_USER, PRIVATE_DIR, ROOT, ROOT_PARENT, record};
use crate::apfs::names::LENGTH_BITS;
use crate::apfs::node::Node;
use crate::apfs::records::{Inode, Link, entry_name, key, primary_name, split};
use crate::apfs::superblock::Superblock;
use crate::apfs::view::State;
use crate::fs::Kind;
use crate::io::Budget;
use crate::io::bytes::to_u32;
use crate::report::words::plural;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Where objects without a place go.
const LOST_AND_FOUND: &str = "lost+found";
/// Its number: no volume counts so far.
const LOST: u64 = (1 << 59) + 1;
/// Most names it is tried under.
const NAMES: u32 = 1000;
/// Bytes that an entry of a set or map takes, about.
const SMALL: usize = 24;
/// What is made for an object, about.
const MADE: usize = 400;
/// The kind of a folder in an entry.
const FOLDER: u16 = 4;
const FOLDER_MODE: u16 = 0o040_755;

/// What is to be added.
#[derive(Default)]
pub struct Added {
    pub records: Vec<Record>,
    folders: usize,
    objects: usize,
    lost: usize,
    /// Files and folders that have a record.
    found: (u64, u64),
}

impl Added {
    /// What is said of it.
    pub fn told(&self) -> Option<String> {
        (self.folders + self.objects > 0).then(|| {
            format!(
                "the records of {} folders are lost, and the names of {} objects; {} of them are \
                 under lost+found",
                self.folders, self.objects, self.lost
            )
        })
    }

    /// What of files and folders, by what the superblock counts, has no record.
    pub fn lacking(&self, says: &Superblock) -> Option<String> {
        let counted = says.files.saturating_add(says.symlinks).saturating_add(says.others);
        let files = counted.saturating_sub(self.found.0);
        // Folders that were made may be those of leaves that are out of date.
        let folders = says.folders.saturating_sub(self.found.1);
        (files > 0 || folders > 0).then(|| {
            let (files, folders) =
                (plural(files, "file", "files"), plural(folders, "folder", "folders"));
            format!("records of {files} and {folders} are lost: what is shown is not all there was")
        })
    }
}

/// What the leaves say of objects and folders.
#[derive(Default)]
struct Seen {
    /// Objects with a record; whether they are folders.
    inodes: HashMap<u64, bool>,
    /// How many of them the superblock counts: files, folders.
    found: (u64, u64),
    /// Objects that a folder names.
    named: HashSet<u64>,
    /// Folders that have entries.
    folders: BTreeSet<u64>,
    /// Names in the root that could be in the way.
    in_root: HashSet<String>,
}

/// The records that are needed so that all objects in these leaves can be reached.
pub fn added(state: &State, leaves: &[Child], budget: &mut Budget) -> Added {
    let mut seen = Seen::default();
    each(state, leaves, &mut |node| seen.node(state, node, budget));
    let added = Added { found: seen.found, ..Added::default() };
    let mut make = Make { state, added, budget };
    // Objects that no folder names get the name that their record has.
    let mut parents = BTreeSet::new();
    let is_nowhere = |id: &u64| *id >= FIRST_USER && !seen.named.contains(id);
    // The leaves are read again only where there is one.
    let again = if seen.inodes.keys().any(is_nowhere) { leaves } else { &[] };
    each(state, again, &mut |node| {
        for (id, value) in inodes(node) {
            let Some(inode) = Inode::parse(value) else { continue };
            if is_nowhere(&id) && inode.parent != PRIVATE_DIR {
                parents.insert(inode.parent);
                make.object(id, &inode, value);
            }
        }
    });
    let is_lost = |id: &u64| *id != ROOT_PARENT && !seen.inodes.contains_key(id);
    let missing: BTreeSet<u64> = seen.folders.union(&parents).copied().filter(is_lost).collect();
    for id in &missing {
        make.folder(*id, seen.named.contains(id));
    }
    if !seen.inodes.contains_key(&ROOT) && !missing.contains(&ROOT) {
        make.inode(ROOT, ROOT_PARENT);
    }
    if make.added.lost > 0 {
        let name = (1..NAMES).map(|n| match n {
            1 => LOST_AND_FOUND.to_owned(),
            n => format!("{LOST_AND_FOUND} {n}"),
        });
        let name = name.into_iter().find(|n| !seen.in_root.contains(n));
        make.inode(LOST, ROOT);
        make.entry(ROOT, &name.unwrap_or_default(), LOST, FOLDER);
    }
    make.added
}

fn each(state: &State, leaves: &[Child], visit: &mut dyn FnMut(&Node)) {
    for (_, number) in leaves {
        if let Some(node) = state.tree.loose(*number) {
            visit(&node);
        }
    }
}

fn inodes(node: &Node) -> impl Iterator<Item = (u64, &[u8])> {
    (0..node.count).filter_map(|i| node.entry(i)).filter_map(|e| match split(e.key) {
        Some((id, record::INODE)) => Some((id, e.value?)),
        _ => None,
    })
}

impl Seen {
    fn node(&mut self, state: &State, node: &Node, budget: &mut Budget) {
        for (id, value) in inodes(node).filter(|_| budget.take(SMALL)) {
            let inode = Inode::parse(value);
            let mode = inode.as_ref().and_then(|i| Kind::of_mode(i.mode));
            let folder = mode == Some(Kind::Directory);
            let new = self.inodes.insert(id, folder).is_none();
            // What was unlinked while it was open is not counted.
            let waits = inode.is_some_and(|i| i.parent == PRIVATE_DIR);
            if new && id >= FIRST_USER && !waits {
                let (files, folders) = &mut self.found;
                *(if folder { folders } else { files }) += 1;
            }
        }
        for entry in (0..node.count).filter_map(|i| node.entry(i)) {
            let Some((folder, record::ENTRY)) = split(entry.key) else { continue };
            let Some(link) = entry.value.and_then(Link::parse) else { continue };
            if !budget.take(2 * SMALL) {
                return;
            }
            self.named.insert(link.inode);
            self.folders.insert(folder);
            let name = entry_name(entry.key, state.rules.hashed).map(String::from_utf8_lossy);
            let name = name.map(|n| n.trim_end_matches('\0').to_lowercase());
            if let Some(name) = name.filter(|n| folder == ROOT && n.starts_with(LOST_AND_FOUND)) {
                self.in_root.insert(name);
            }
        }
    }
}

/// Makes records.
struct Make<'a> {
    state: &'a State,
    added: Added,
    budget: &'a mut Budget,
}

impl Make<'_> {
    /// An object that no folder names; in `lost+found`, if it does not say where it belongs.
    fn object(&mut self, id: u64, inode: &Inode, value: &[u8]) {
        if !self.budget.take(MADE) {
            return;
        }
        let name = primary_name(value).unwrap_or_default();
        let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(&name)).into_owned();
        let kind = inode.mode >> 12;
        self.added.objects += 1;
        if name.is_empty() || inode.parent == ROOT_PARENT {
            self.added.lost += 1;
            self.entry(LOST, &format!("object {id}"), id, kind);
        } else {
            self.entry(inode.parent, &name, id, kind);
        }
    }

    /// A folder without a record.
    fn folder(&mut self, id: u64, named: bool) {
        if !self.budget.take(MADE) {
            return;
        }
        self.added.folders += 1;
        if id == ROOT {
            return self.inode(ROOT, ROOT_PARENT);
        }
        self.inode(id, LOST);
        if !named {
            self.added.lost += 1;
            self.entry(LOST, &format!("folder {id}"), id, FOLDER);
        }
    }

    fn inode(&mut self, id: u64, parent: u64) {
        let date = self.state.superblock.modified.to_le_bytes();
        let mut value = Vec::new();
        value.extend(parent.to_le_bytes());
        value.extend(id.to_le_bytes());
        (0..4).for_each(|_| value.extend(date));
        value.resize(0x50, 0);
        value.extend(FOLDER_MODE.to_le_bytes());
        value.resize(0x5C, 0);
        self.added.records.push((key(id, record::INODE).into(), value.into()));
    }

    fn entry(&mut self, folder: u64, name: &str, id: u64, kind: u16) {
        let rules = self.state.rules;
        let len = name.len() + 1;
        let mut k = key(folder, record::ENTRY).to_vec();
        if rules.hashed {
            k.extend((rules.hash(name) << LENGTH_BITS | to_u32(len)).to_le_bytes());
        } else {
            k.extend(u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
        }
        k.extend(name.as_bytes());
        k.push(0);
        let mut value = id.to_le_bytes().to_vec();
        value.extend(self.state.superblock.modified.to_le_bytes());
        value.extend(kind.to_le_bytes());
        self.added.records.push((k.into(), value.into()));
    }
}
