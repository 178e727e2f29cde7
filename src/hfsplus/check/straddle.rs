//! Nodes of a journaled volume's trees must not straddle two extents: the journal
//! could then hold half of one (section 6).

use crate::hfsplus::fork::Runs;
use crate::hfsplus::format::{ForkData, VOL_JOURNALED, VolumeHeader};

/// The start of the first extent of a tree's file that cuts a node in two.
pub fn first(h: &VolumeHeader, fork: &ForkData, runs: &Runs, node_size: u16) -> Option<u32> {
    let per_node = u32::from(node_size) / h.block_size.max(1);
    if h.attributes & VOL_JOURNALED == 0 || per_node < 2 {
        return None;
    }
    let cut = fork.extents.iter().find(|e| !e.count.is_multiple_of(per_node)).map(|e| e.start);
    // Beyond the first eight, where extents that touch count as one.
    let later = || runs.iter().find(|r| r.file_block % u64::from(per_node) != 0);
    cut.or_else(|| later().map(|r| r.start))
}
