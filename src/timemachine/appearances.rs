//! In which snapshots an object of one view appears, and under which paths.
//!
//! Unchanged files and folders are shared between snapshots by hard links, so one
//! object may appear in many. It is followed upwards from name to name.

use super::{Backup, Top, VOLUME};
use crate::fs::{FileSystem, Name, NodeId, ViewId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Longest way up that is followed; as deep as a walk goes down.
const MAX_DEPTH: usize = 1024;

/// Bytes of a path that is told whole (`PATH_MAX`); of a longer one the middle is left out.
const MAX_PATH: usize = 4096;
/// Names of an object that are looked through each time.
const FEW_NAMES: usize = 8;

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
    /// Its folder in the live view; `None` for one in a view of its own.
    node: Option<NodeId>,
    whole: bool,
}

/// Finds where objects of a volume appear. Remembers what it found of folders.
pub struct Appearances {
    fs: Arc<dyn FileSystem>,
    snapshots: Vec<Known>,
    by_node: HashMap<NodeId, usize>,
    names: HashMap<NodeId, Arc<[Name]>>,
    sets: HashMap<NodeId, Set>,
    set_names: HashMap<usize, Arc<[String]>>,
    /// Which of its names leads to a snapshot, for objects of many names.
    ways: HashMap<(NodeId, Option<usize>), Option<usize>>,
}

impl Appearances {
    /// On `fs`, which holds `backup`.
    pub fn new(fs: Arc<dyn FileSystem>, backup: Option<&Backup>) -> Self {
        let computers = backup.map(|b| b.computers.as_slice()).unwrap_or_default();
        let several = computers.len() > 1;
        let snapshots: Vec<Known> = computers
            .iter()
            .flat_map(|c| {
                c.snapshots.iter().map(move |s| {
                    let name =
                        if several { format!("{}/{}", c.name, s.name) } else { s.name.clone() };
                    let node = match s.top {
                        Top::Folder(node) if s.view == ViewId::LIVE => Some(node),
                        _ => None,
                    };
                    Known { name, node, whole: s.state.is_whole() }
                })
            })
            .collect();
        let by_node =
            snapshots.iter().enumerate().filter_map(|(i, s)| Some((s.node?, i))).collect();
        let (names, sets, set_names) = (HashMap::new(), HashMap::new(), HashMap::new());
        let ways = HashMap::new();
        Self { fs, snapshots, by_node, names, sets, set_names, ways }
    }

    /// How many snapshots there are.
    pub fn snapshot_count(&self) -> usize {
        self.snapshots.len()
    }

    /// The name of a snapshot, as an address begins.
    pub fn snapshot_name(&self, index: usize) -> &str {
        self.snapshots.get(index).map_or("", |s| &s.name)
    }

    /// Whether a backup was completed.
    pub(super) fn is_whole(&self, index: usize) -> bool {
        self.snapshots.get(index).is_some_and(|s| s.whole)
    }

    /// The view.
    pub(super) fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    /// The path of an object in the view; `None` if its number stands for nothing there.
    pub(super) fn path_in_view(&mut self, node: NodeId) -> Option<String> {
        let named = !self.names_of(node).is_empty() || node == self.fs.root();
        named.then(|| self.path(node, None))
    }

    /// The names of a set's snapshots, shared by all who ask for the same set.
    pub fn snapshot_names(&mut self, set: &Set) -> Arc<[String]> {
        if set.is_empty() {
            return Arc::new([]);
        }
        // By address: every set that is not empty is kept by who made it, and comparing them would take longer.
        let key = set.as_ptr().addr();
        if let Some(names) = self.set_names.get(&key) {
            return names.clone();
        }
        let names: Arc<[String]> = set.iter().map(|i| self.snapshot_name(*i).to_owned()).collect();
        self.set_names.insert(key, names.clone());
        names
    }

    /// Where an object appears.
    pub fn of(&mut self, node: NodeId) -> Appearance {
        let snapshots = self.set_of(node);
        let whole = |i: &&usize| self.is_whole(**i);
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
    pub(super) fn set_of(&mut self, node: NodeId) -> Set {
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
    pub(super) fn path(&mut self, node: NodeId, snapshot: Option<usize>) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut at = node;
        while parts.len() < MAX_DEPTH {
            if at == self.fs.root() || snapshot.is_some_and(|i| self.by_node.get(&at) == Some(&i)) {
                break;
            }
            let names = self.names_of(at);
            let way = self.way(at, &names, snapshot);
            let Some(name) = way.and_then(|i| names.get(i)) else {
                parts.push(format!("(object {}, whose name is lost)", at.0));
                break;
            };
            parts.push(name.name.clone());
            at = name.parent;
        }
        parts.reverse();
        shortened(&parts)
    }

    /// Which name of an object leads to a snapshot. A folder that thousands of snapshots
    /// share is asked about once for each file in it.
    fn way(&mut self, node: NodeId, names: &[Name], snapshot: Option<usize>) -> Option<usize> {
        let find = |sets: &HashMap<NodeId, Set>| {
            names.iter().position(|n| {
                snapshot.is_none_or(|i| {
                    sets.get(&n.parent).is_some_and(|s| s.binary_search(&i).is_ok())
                })
            })
        };
        if names.len() <= FEW_NAMES {
            return find(&self.sets);
        }
        *self.ways.entry((node, snapshot)).or_insert_with(|| find(&self.sets))
    }
}

/// The path of these names. Of one too long for any system the middle is left out: a
/// thousand nested folders would else take megabytes each to name.
fn shortened(parts: &[String]) -> String {
    let len = |part: &String| part.len() + 1;
    if parts.iter().map(len).sum::<usize>() <= MAX_PATH {
        return format!("/{}", parts.join("/"));
    }
    let fits = |left: &mut usize, part: &String| {
        *left = left.checked_sub(len(part))?;
        Some(())
    };
    let half = || MAX_PATH / 2;
    let front = parts.iter().scan(half(), fits).count();
    let back = parts.iter().rev().scan(half(), fits).count().max(1);
    let (front, back) = (
        parts.get(..front).unwrap_or_default(),
        parts.get(parts.len() - back..).unwrap_or_default(),
    );
    let left_out = parts.len() - front.len() - back.len();
    format!("/{}/…({left_out} folders)…/{}", front.join("/"), back.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_lose_their_middle() {
        let names = |n: usize| (0..n).map(|i| format!("{i:0200}")).collect::<Vec<_>>();
        assert_eq!(shortened(&names(20)).len(), 20 * 201);
        let long = shortened(&names(1000));
        assert!(long.len() < MAX_PATH + 100, "{}", long.len());
        assert!(
            long.starts_with(&format!("/{:0200}/", 0)) && long.ends_with(&format!("/{:0200}", 999))
        );
        assert!(long.contains("(980 folders)"), "{long}");
    }
}
