//! Nodes of a tree that are not in use (section 16).

use super::tree::{BATCH, TreeSummary};
use crate::error::Result;
use crate::io::bytes::{bit, to_u32, to_usize, usize32};
use crate::io::{Presence, ReadAt, read_vec};
use crate::report::{Code, Finding, Progress, Reporter, Severity, Where};
use std::ops::Range;

/// Look for unused nodes that are not zero. `promised`: the volume says they are;
/// on older ones something else is expected.
pub fn check(
    tree: &TreeSummary,
    file: &dyn ReadAt,
    promised: bool,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<()> {
    let size = u64::from(tree.node_size);
    let mut stored = Vec::new();
    let visit = &mut |range: Range<u64>, presence| {
        // What is not stored reads as zeros.
        if presence == Presence::Stored {
            stored.push(range);
        }
    };
    let end = u64::from(tree.nodes) * size;
    if size == 0 || file.presence(0..end.min(file.len()), visit).is_err() {
        return Ok(());
    }
    let mut next = 1;
    for range in stored {
        let last = to_u32(to_usize(range.end.div_ceil(size))).min(tree.nodes);
        let first = to_u32(to_usize(range.start / size)).max(next);
        nodes(tree, file, first..last, promised, reporter, progress)?;
        next = last.max(next);
    }
    Ok(())
}

/// The same for some of the nodes.
fn nodes(
    tree: &TreeSummary,
    file: &dyn ReadAt,
    wanted: Range<u32>,
    promised: bool,
    reporter: &dyn Reporter,
    progress: &dyn Progress,
) -> Result<()> {
    let size = u64::from(tree.node_size);
    let per_batch = u32::try_from(BATCH / size.max(1)).unwrap_or(1).max(1);
    let unused = |n: u32| bit(&tree.map, usize32(n)) == Some(false);
    let mut n = wanted.start;
    while n < wanted.end {
        if !unused(n) {
            n += 1;
            continue;
        }
        progress.check()?;
        let end = wanted.end.min(n.saturating_add(per_batch));
        let count = (n..end).take_while(|n| unused(*n)).count();
        let read = read_vec(file, u64::from(n) * size, to_usize(size) * count);
        for (node, bytes) in (n..).zip(read.iter().flat_map(|b| b.chunks_exact(to_usize(size)))) {
            if !crate::io::bytes::all_zero(bytes) {
                let place = Where::of(tree.name).node(node).at(file.locate(u64::from(node) * size));
                let text = format!("{} node {node} is unused but not zero", tree.name);
                let severity = if promised { Severity::Warning } else { Severity::Info };
                reporter.report(Finding::new(Code::BtreeUnused, place, text).severity(severity));
            }
        }
        n += u32::try_from(count).unwrap_or(1).max(1);
    }
    Ok(())
}
