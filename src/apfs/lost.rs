//! What is in nodes that cannot be read, as far as the rest of the tree tells: their
//! parents know between which objects they lie, and folders name those.

use super::btree::Tree;
use super::format::record;
use super::node::Node;
use super::records::{Link, entry_name, split};
use super::view::State;
use crate::error::Result;
use crate::io::Ranges;
use crate::io::bytes::le64;
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

/// Most names that are kept of objects whose records are lost.
const MAX_NAMES: usize = 1 << 20;

/// A node that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostNode {
    /// Its number, or block.
    pub number: u64,
    /// The objects whose records it may hold.
    pub objects: RangeInclusive<u64>,
}

/// The nodes of a view that cannot be read.
#[derive(Debug, Default)]
pub struct Lost {
    /// The nodes.
    pub nodes: Vec<LostNode>,
    /// Names that folders give to objects whose records are lost: folder, stored name.
    pub names: HashMap<u64, Vec<(u64, Vec<u8>)>>,
}

impl State {
    /// What cannot be read; found by two passes over the tree, once.
    pub fn lost(&self) -> &Lost {
        self.lost.get_or_init(|| {
            let mut lost = Lost { nodes: self.tree.unreadable(), names: HashMap::new() };
            if !lost.nodes.is_empty() {
                self.name_lost(&mut lost);
            }
            lost
        })
    }

    fn name_lost(&self, lost: &mut Lost) {
        let Lost { nodes, names } = lost;
        let ranges = nodes.iter().map(|n| *n.objects.start()..n.objects.end().saturating_add(1));
        let objects = Ranges::new(ranges.collect());
        let mut left = MAX_NAMES;
        let _ = self.tree.walk(&mut HashSet::new(), &mut |node| {
            let entries = (0..node.count).filter_map(|i| node.entry(i)).filter(|_| node.level == 0);
            for entry in entries {
                let Some((folder, record::ENTRY)) = split(entry.key) else { continue };
                let link = entry.value.and_then(Link::parse);
                let name = entry_name(entry.key, self.rules.hashed);
                if let (Some(link), Some(name)) = (link, name)
                    && left > 0
                    && objects.meet(link.inode..link.inode.saturating_add(1)).next().is_some()
                {
                    left -= 1;
                    names.entry(link.inode).or_default().push((folder, name.to_vec()));
                }
            }
            Ok(())
        });
    }

    /// The objects whose records a node holds: those of its own, and those that its
    /// entries name.
    pub fn described_by(&self, node: &Node) -> Vec<u64> {
        let mut found = Vec::new();
        for entry in (0..node.count).filter_map(|i| node.entry(i)) {
            match split(entry.key) {
                Some((id, record::INODE | record::XATTR | record::SIBLING_LINK)) => found.push(id),
                Some((folder, record::ENTRY)) => {
                    found.push(folder);
                    found.extend(entry.value.and_then(Link::parse).map(|l| l.inode));
                }
                Some((stream, record::FILE_EXTENT)) if !found.contains(&stream) => {
                    // Streams of attributes and clones have numbers of their own.
                    found.extend(self.object(stream).ok().flatten().map(|o| o.id));
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Tree {
    /// The nodes that cannot be read, with the objects between which they lie.
    fn unreadable(&self) -> Vec<LostNode> {
        let mut found = Vec::new();
        let walked: Result<bool> = self.walk(&mut HashSet::new(), &mut |node| {
            for i in (0..node.count).filter(|_| node.level > 0) {
                let Some(entry) = node.entry(i) else { break };
                if self.child(node, &entry).is_ok() {
                    continue;
                }
                let first = split(entry.key).map_or(0, |k| k.0);
                let next = node.entry(i + 1).and_then(|e| split(e.key)).map(|k| k.0);
                let number = entry.value.and_then(|v| le64(v, 0)).unwrap_or(0);
                found.push(LostNode { number, objects: first..=next.unwrap_or(u64::MAX >> 4) });
            }
            Ok(())
        });
        if walked.is_err() || self.root().is_err() {
            found.push(LostNode { number: self.root_number(), objects: 0..=u64::MAX >> 4 });
        }
        found
    }
}
