//! What lies where on the volume: fixed structures, special files down to the
//! node, and files by one pass over the records of the trees.

mod files;
mod nodes;
mod special;

use super::HfsPlus;
use super::check::scan;
use super::spec::TreeSpec;
use crate::error::Result;
use crate::fs::{NodeId, Owned, Owner, Views};
use crate::io::Ranges;
use crate::report::Progress;
use nodes::KeyRanges;
use std::ops::Range;

/// Called with what was found.
type Visit<'a> = &'a mut dyn FnMut(Owned);

/// A tree's nodes that lie in the wanted bytes, and what was found to be in them.
struct TreeNodes {
    name: &'static str,
    nodes: Vec<Node>,
    ranges: KeyRanges,
    /// Objects whose threads say that their records are in one of the nodes (by index).
    by_thread: Vec<(usize, u32)>,
    /// Objects whose records are in other nodes, whatever their threads say.
    elsewhere: Vec<u32>,
}

/// A node in the wanted bytes.
struct Node {
    number: u32,
    /// Pieces of it that are wanted.
    pieces: Vec<Range<u64>>,
    /// What it is.
    what: &'static str,
    /// Whether it is a part of the tree.
    in_use: bool,
    /// CNIDs of the objects it describes.
    describes: Vec<u32>,
}

impl TreeNodes {
    fn describe(&mut self, node: usize, cnid: u32) {
        if let Some(node) = self.nodes.get_mut(node)
            && node.describes.last() != Some(&cnid)
        {
            node.describes.push(cnid);
        }
    }

    /// The index of a node that is wanted.
    fn index(&self, number: u32) -> Option<usize> {
        self.nodes.binary_search_by_key(&number, |n| n.number).ok()
    }

    /// The records are the truth: a thread counts only where no record was seen.
    fn believe_threads(&mut self) {
        self.elsewhere.sort_unstable();
        for (node, cnid) in std::mem::take(&mut self.by_thread) {
            if self.elsewhere.binary_search(&cnid).is_err() {
                self.describe(node, cnid);
            }
        }
    }

    fn tell(mut self, visit: Visit<'_>) {
        self.believe_threads();
        for mut node in self.nodes {
            node.describes.sort_unstable();
            node.describes.dedup();
            let describes: Vec<_> = node.describes.iter().map(|c| NodeId(u64::from(*c))).collect();
            for range in node.pieces {
                let name = format!("{} node {} ({})", self.name, node.number, node.what);
                let owner =
                    Owner::Structure { name, describes: describes.clone(), in_use: node.in_use };
                visit(owned(range, owner));
            }
        }
    }
}

/// What belongs to something, in the one view there is.
fn owned(range: Range<u64>, owner: Owner) -> Owned {
    Owned { range, owner, views: Views::live() }
}

/// Visit what lies in the wanted bytes; see [`crate::fs::Volume::owners`].
pub(super) fn visit(
    fs: &HfsPlus,
    wanted: &Ranges,
    progress: &dyn Progress,
    visit: Visit<'_>,
) -> Result<()> {
    let plain = |range, name: &str| {
        let in_use = name.ends_with("volume header");
        let owner = Owner::Structure { name: name.into(), describes: Vec::new(), in_use };
        owned(range, owner)
    };
    for (range, name) in special::fixed(fs) {
        wanted.meet(range).for_each(|r| visit(plain(r, &name)));
    }
    special::bitmap(fs, wanted, visit);
    let mut extents = special::tree(fs, special::Tree::Extents, wanted)?;
    let mut catalog = special::tree(fs, special::Tree::Catalog, wanted)?;
    let mut attributes = special::tree(fs, special::Tree::Attributes, wanted)?;
    let mut files = files::Search::new(fs, wanted, visit);
    if let Ok(tree) = &fs.extents {
        scan(&TreeSpec::extents(), tree, progress, &mut |_, _, r| files.overflow(r))?;
    }
    fs.scan_catalog(progress, &mut |node, _, record| {
        files.catalog(record);
        files::describe(record, node, &mut catalog, &mut extents, &mut attributes);
    })?;
    files.rest();
    if let Some(a) = fs.attributes() {
        scan(&TreeSpec::attributes(), a.tree(), progress, &mut |_, _, r| files.attribute(r))?;
    }
    for tree in [extents, catalog, attributes] {
        tree.tell(visit);
    }
    Ok(())
}

/// The parts of `wanted` that the bitmap says are allocated, without structures.
pub(super) fn allocated(fs: &HfsPlus, wanted: &Ranges) -> Result<Ranges> {
    let used = special::used(fs, wanted)?;
    Ok(used.without(&special::structures(fs)))
}
