//! The queues of blocks that are given back when no checkpoint needs them any more.

use super::{Seen, Space};
use crate::apfs::check::nodes;
use crate::apfs::check::used::{By, Used};
use crate::apfs::format::{kind, tree};
use crate::apfs::node::{Node, Shape};
use crate::error::Result;
use crate::io::bytes::{all_zero, le64, to_u64};
use crate::report::{Rule, Structure};
use std::collections::HashSet;

/// Where the queues begin, and bytes of one.
const QUEUES: usize = 0xC8;
const QUEUE: usize = 40;
/// Deepest queue, and most nodes of one: its limit is far below.
const MAX_DEPTH: u16 = 8;
const MAX_NODES: usize = 4096;

const SHAPE: Shape = Shape {
    subtype: tree::QUEUE,
    fixed: Some((16, 8)),
    order: |a, b| {
        let pair = |k: &[u8]| (le64(k, 0).unwrap_or(0), le64(k, 8).unwrap_or(0));
        pair(a).cmp(&pair(b))
    },
    tag: 10,
    name: "free queue",
};

/// What of a queue was seen.
#[derive(Default)]
struct Sum {
    blocks: u64,
    oldest: Option<u64>,
    keys: u64,
    nodes: HashSet<u64>,
    broken: bool,
}

/// The nodes that the queue of the pool may have, and that of the rest.
fn limits(chunks: u64, blocks: u64) -> [u64; 2] {
    let three = |n: u64| if n == 2 { 3 } else { n };
    let pool = (3 * (chunks + 751) / 1127).saturating_sub(1);
    let main = match blocks {
        b if b < 1 << 18 => 1 + b.saturating_sub(1) / 4544,
        b if b < 1 << 20 => 116 + b.saturating_sub(261_281) / 2272,
        _ => 512,
    };
    [three(pool), three(main)]
}

impl Space<'_> {
    pub(super) fn queues(&self, used: &mut Used) -> Result<Seen> {
        let mut objects = HashSet::from([self.container.superblock().spaceman_oid]);
        let wanted = limits(self.sizes.chunks, self.container.store().blocks().count());
        for (i, (name, limit)) in
            ["pool's free queue", "main free queue"].iter().zip(wanted).enumerate()
        {
            let at = QUEUES + i * QUEUE;
            self.number(
                Rule::A303,
                &format!("the nodes that the {name} may have"),
                self.u16(at + 24).into(),
                limit,
            );
            if !self.object.bytes().get(at + 26..at + QUEUE).is_some_and(all_zero) {
                self.broken(Rule::A297, || format!("has unused bytes of the {name} that are set"));
            }
            let sum = self.queue(name, i == 0, self.u64(at + 8), used)?;
            if !sum.broken {
                self.queue_head(name, at, &sum);
            } else if i == 0 {
                self.pool_queue.borrow_mut().whole = false;
            }
            used.whole &= !sum.broken;
            objects.extend(sum.nodes);
        }
        let tier2 = QUEUES + 2 * QUEUE;
        if self.u64(tier2) != 0 || self.u64(tier2 + 8) != 0 {
            self.broken(Rule::A296, || "has a queue of a second device".into());
        }
        Ok(Seen { queue_limit: self.u16(QUEUES + QUEUE + 24), objects })
    }

    fn queue_head(&self, name: &str, at: usize, sum: &Sum) {
        self.number(Rule::A300, &format!("the blocks of the {name}"), self.u64(at), sum.blocks);
        let oldest = sum.oldest.unwrap_or(0);
        self.number(
            Rule::A301,
            &format!("the oldest transaction of the {name}"),
            self.u64(at + 16),
            oldest,
        );
        let (nodes, limit) = (to_u64(sum.nodes.len()), u64::from(self.u16(at + 24)));
        if nodes > limit {
            self.broken(Rule::A302, || {
                format!("has {nodes} nodes of the {name}, which may have {limit}")
            });
        }
    }

    fn queue(&self, name: &str, pool: bool, root: u64, used: &mut Used) -> Result<Sum> {
        let mut sum = Sum::default();
        if root == 0 {
            return Ok(sum);
        }
        let mut footer = None;
        let mut stack = vec![(root, None::<(u16, Vec<u8>)>)];
        while let Some((oid, above)) = stack.pop() {
            self.progress.check()?;
            if sum.nodes.len() >= MAX_NODES {
                sum.broken = true;
                self.broken(Rule::A302, || {
                    format!("has more than {MAX_NODES} nodes of the {name}")
                });
                break;
            }
            if !self.is_new_node(name, oid, &mut sum) {
                continue;
            }
            let node = match self.queue_node(oid, above.is_none()) {
                Ok((node, _)) => node,
                Err(e) => {
                    sum.broken = true;
                    self.checker.unreadable(self.place(), &format!("the {name}"), e)?;
                    continue;
                }
            };
            nodes::inside(self.checker, Structure::SpaceManager, &node, &nodes::QUEUE);
            footer = footer.or_else(|| node.footer());
            if !self.fits(name, &node, above.as_ref()) {
                sum.broken = true;
                continue;
            }
            for i in (0..node.count).rev() {
                let Some(entry) = node.entry(i) else { break };
                if node.level == 0 {
                    self.queue_entry(pool, entry.key, entry.value, &mut sum, used);
                } else if let Some(child) = entry.value.and_then(|v| le64(v, 0)) {
                    stack.push((child, Some((node.level - 1, entry.key.to_vec()))));
                }
            }
        }
        if let Some(footer) = footer.filter(|_| !sum.broken) {
            let (keys, nodes) = (sum.keys, to_u64(sum.nodes.len()));
            self.number(Rule::A071, &format!("the keys of the {name}"), footer.keys, keys);
            self.number(Rule::A072, &format!("the nodes of the {name}"), footer.nodes, nodes);
        }
        Ok(sum)
    }

    /// Whether a node of a queue is one that was not met before.
    fn is_new_node(&self, name: &str, oid: u64, sum: &mut Sum) -> bool {
        let new = sum.nodes.insert(oid);
        if !new {
            self.broken(Rule::A308, || format!("has node {oid} of the {name} in two places of it"));
            sum.broken = true;
        }
        new
    }

    /// A node of a queue, and the block it lies in.
    fn queue_node(&self, oid: u64, root: bool) -> Result<(Node, u64)> {
        let what = "free queue";
        let wanted = if root { kind::BTREE_ROOT } else { kind::BTREE_NODE };
        let checkpoint = self.container.checkpoint();
        let block = checkpoint.ephemeral.iter().find(|e| e.oid == oid).map_or(0, |e| e.block);
        let bytes = self.container.ephemeral(what, oid, wanted)?.into_bytes();
        let corrupt = |text: String| self.container.store().blocks().corrupt(what, block, text);
        let node = Node::new(bytes, block, &SHAPE).map_err(corrupt)?;
        if node.header.subtype != tree::QUEUE || node.is_root() != root {
            return Err(corrupt("is a node of another tree".into()));
        }
        Ok((node, block))
    }

    fn fits(&self, name: &str, node: &Node, above: Option<&(u16, Vec<u8>)>) -> bool {
        let Some((level, key)) = above else { return node.level <= MAX_DEPTH };
        if node.level != *level {
            self.broken(Rule::A063, || {
                format!("has a node of the {name} of level {}, expected {level}", node.level)
            });
            return false;
        }
        if node.entry(0).is_none_or(|first| first.key != key) {
            self.broken(Rule::A062, || {
                format!("has a node of the {name} under a key that is not its first")
            });
        }
        true
    }

    fn queue_entry(
        &self,
        pool: bool,
        key: &[u8],
        value: Option<&[u8]>,
        sum: &mut Sum,
        used: &mut Used,
    ) {
        let (Some(xid), Some(start)) = (le64(key, 0), le64(key, 8)) else { return };
        let count = value.map_or(Some(1), |v| le64(v, 0)).unwrap_or(0);
        let max = self.container.superblock().xid;
        if xid == 0 || xid > max || value.is_some() && count < 2 {
            self.broken(Rule::A298, || {
                format!("has {count} blocks from {start} on in a queue, of transaction {xid}")
            });
        }
        let (area, blocks) = (self.pool(), start..start.saturating_add(count));
        let all = self.container.store().blocks().count();
        let inside = area.start <= blocks.start && blocks.end <= area.end;
        let apart = blocks.end <= area.start || area.end <= blocks.start;
        if if pool { !inside } else { !apart || blocks.end > all || start == 0 } {
            sum.broken = true;
            self.broken(Rule::A299, || {
                format!("has {count} blocks from {start} on in the wrong queue")
            });
        } else if pool {
            let inside = blocks.start - area.start..blocks.end - area.start;
            self.pool_queue.borrow_mut().blocks.push(inside);
        } else {
            used.claim(blocks, By::Queue, 0);
        }
        sum.blocks = sum.blocks.saturating_add(count);
        sum.keys += 1;
        sum.oldest = Some(sum.oldest.map_or(xid, |oldest| oldest.min(xid)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_queues() {
        assert_eq!(limits(1, 4096)[1], 1);
        assert_eq!(limits(1, 4096)[0], 1);
        assert_eq!(limits(8, 1 << 20)[1], 512);
    }
}
