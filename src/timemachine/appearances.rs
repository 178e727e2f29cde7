//! In which snapshots an object appears, under which paths, and where another
//! version of it is.
//!
//! Unchanged files and folders are shared between snapshots by hard links, so one
//! object may appear in many. It is followed upwards from name to name.

use super::{Backup, Top, VOLUME};
use crate::fs::{FileSystem, Kind, Name, NodeId, ViewId, resolve};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Longest way up that is followed; as deep as a walk goes down.
const MAX_DEPTH: usize = 1024;

/// Indices of snapshots, oldest first; shared between objects that appear alike.
pub type Set = Arc<[usize]>;

/// Where an object appears.
#[derive(Debug, Clone)]
pub struct Appearance {
    /// The snapshots it appears in.
    pub snapshots: Set,
    /// Its address in the newest of them, if possible a completed one, as the other
    /// commands take it.
    pub address: String,
    /// That snapshot and the path in it.
    pub newest: Option<(usize, String)>,
}

struct Known {
    name: String,
    computer: usize,
    /// Its folder in the live view; `None` for one in a view of its own.
    node: Option<NodeId>,
    whole: bool,
}

/// Finds where objects of a volume appear. Remembers what it found of folders.
pub struct Appearances<'a> {
    fs: &'a dyn FileSystem,
    snapshots: Vec<Known>,
    by_node: HashMap<NodeId, usize>,
    names: HashMap<NodeId, Arc<[Name]>>,
    sets: HashMap<NodeId, Set>,
    set_names: HashMap<Set, Arc<[String]>>,
}

impl<'a> Appearances<'a> {
    /// On `fs`, which holds `backup`.
    pub fn new(fs: &'a dyn FileSystem, backup: Option<&Backup>) -> Self {
        let computers = backup.map(|b| b.computers.as_slice()).unwrap_or_default();
        let several = computers.len() > 1;
        let snapshots: Vec<Known> = computers
            .iter()
            .enumerate()
            .flat_map(|(i, c)| {
                c.snapshots.iter().map(move |s| {
                    let name =
                        if several { format!("{}/{}", c.name, s.name) } else { s.name.clone() };
                    let node = match s.top {
                        Top::Folder(node) if s.view == ViewId::LIVE => Some(node),
                        _ => None,
                    };
                    Known { name, computer: i, node, whole: s.state.is_whole() }
                })
            })
            .collect();
        let by_node =
            snapshots.iter().enumerate().filter_map(|(i, s)| Some((s.node?, i))).collect();
        let (names, sets, set_names) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { fs, snapshots, by_node, names, sets, set_names }
    }

    /// How many snapshots there are.
    pub fn snapshot_count(&self) -> usize {
        self.snapshots.len()
    }

    /// The name of a snapshot, as an address begins.
    pub fn snapshot_name(&self, index: usize) -> &str {
        self.snapshots.get(index).map_or("", |s| &s.name)
    }

    /// The names of a set's snapshots, shared by all who ask for the same set.
    pub fn snapshot_names(&mut self, set: &Set) -> Arc<[String]> {
        if let Some(names) = self.set_names.get(set) {
            return names.clone();
        }
        let names: Arc<[String]> = set.iter().map(|i| self.snapshot_name(*i).to_owned()).collect();
        self.set_names.insert(set.clone(), names.clone());
        names
    }

    /// Where an object appears.
    pub fn of(&mut self, node: NodeId) -> Appearance {
        let snapshots = self.set_of(node);
        let whole = |i: &&usize| self.snapshots.get(**i).is_some_and(|s| s.whole);
        let newest = snapshots.iter().rev().find(whole).or(snapshots.last()).copied();
        let newest = newest.map(|i| (i, self.path(node, Some(i))));
        let address = match &newest {
            Some((i, path)) => format!("{}:{path}", self.snapshot_name(*i)),
            None => format!("{VOLUME}:{}", self.path(node, None)),
        };
        Appearance { snapshots, address, newest }
    }

    fn names_of(&mut self, node: NodeId) -> Arc<[Name]> {
        if let Some(names) = self.names.get(&node) {
            return names.clone();
        }
        let names: Arc<[Name]> = self.fs.names(node).unwrap_or_default().into();
        self.names.insert(node, names.clone());
        names
    }

    /// The snapshots above an object: those above all folders it stands in.
    fn set_of(&mut self, node: NodeId) -> Set {
        let mut stack = vec![node];
        let mut open = HashSet::from([node]);
        while let Some(top) = stack.last().copied() {
            if !self.sets.contains_key(&top) {
                if let Some(index) = self.by_node.get(&top) {
                    self.sets.insert(top, Arc::new([*index]));
                } else {
                    let names = self.names_of(top);
                    let missing: Vec<NodeId> = names
                        .iter()
                        .map(|n| n.parent)
                        .filter(|p| !self.sets.contains_key(p) && open.insert(*p))
                        .collect();
                    if !missing.is_empty() && stack.len() < MAX_DEPTH * 16 {
                        stack.extend(missing);
                        continue;
                    }
                    let set = self.join(&names);
                    self.sets.insert(top, set);
                }
            }
            stack.pop();
        }
        self.sets.get(&node).cloned().unwrap_or_else(|| Arc::new([]))
    }

    fn join(&self, names: &[Name]) -> Set {
        let sets: Vec<&Set> = names.iter().filter_map(|n| self.sets.get(&n.parent)).collect();
        if let [only] = sets.as_slice() {
            return Set::clone(only);
        }
        let mut all: Vec<usize> = sets.iter().flat_map(|s| s.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        // Linked from every snapshot is common: share what is equal.
        match sets.into_iter().find(|s| s.len() == all.len()) {
            Some(same) => same.clone(),
            None => all.into(),
        }
    }

    /// A path of an object in a snapshot, or on the volume.
    fn path(&mut self, node: NodeId, snapshot: Option<usize>) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut at = node;
        while parts.len() < MAX_DEPTH {
            if at == self.fs.root() || snapshot.is_some_and(|i| self.by_node.get(&at) == Some(&i)) {
                break;
            }
            let names = self.names_of(at);
            let within = |n: &&Name| {
                snapshot.is_none_or(|i| {
                    self.sets.get(&n.parent).is_some_and(|s| s.binary_search(&i).is_ok())
                })
            };
            let Some(name) = names.iter().find(within) else {
                parts.push(format!("(object {}, whose name is lost)", at.0));
                break;
            };
            parts.push(name.name.clone());
            at = name.parent;
        }
        parts.reverse();
        format!("/{}", parts.join("/"))
    }

    /// The address of another version of a file: the file of the same path in the
    /// nearest other snapshot that is another object and not among `damaged`.
    pub fn other_version(
        &self,
        node: NodeId,
        of: &Appearance,
        damaged: &dyn Fn(NodeId) -> bool,
    ) -> Option<String> {
        let (newest, path) = of.newest.as_ref()?;
        let computer = self.snapshots.get(*newest)?.computer;
        let mut others: Vec<usize> = (0..self.snapshots.len())
            .filter(|i| of.snapshots.binary_search(i).is_err())
            .filter(|i| self.snapshots.get(*i).is_some_and(|s| s.computer == computer))
            .collect();
        others.sort_by_key(|i| i.abs_diff(*newest));
        // An unfinished snapshot has its volumes below a folder named after a UUID.
        let path = match path.trim_start_matches('/').split_once('/') {
            Some((first, rest)) if uuid::Uuid::try_parse(first).is_ok() => format!("/{rest}"),
            _ => path.clone(),
        };
        others.into_iter().find_map(|i| {
            let snapshot = self.snapshots.get(i)?;
            let found = resolve(self.fs, snapshot.node?, &path).ok()?;
            let sound = found.id != node && found.kind != Kind::Directory && !damaged(found.id);
            sound.then(|| format!("{}:{path}", snapshot.name))
        })
    }
}
