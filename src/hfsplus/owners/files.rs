//! Extents of files and attributes that lie in the wanted bytes, and which objects
//! the records in a node describe.

use super::{TreeNodes, Visit, owned};
use crate::fs::{NodeId, Owner, Stream};
use crate::hfsplus::HfsPlus;
use crate::hfsplus::attributes::{self, record_type as attribute_type};
use crate::hfsplus::catalog::Key as CatalogKey;
use crate::hfsplus::extents::{ForkType, Key as ExtentKey};
use crate::hfsplus::format::{
    CatalogFile, ExtentRecord, FIRST_USER_CNID, FLAG_HAS_ATTRIBUTES, FLAG_HAS_SECURITY, ForkData,
    ROOT, decode, record_type,
};
use crate::hfsplus::node::split;
use crate::hfsplus::unicode::raw_string;
use crate::io::Ranges;
use crate::io::bytes::{be16, be32};
use std::collections::HashMap;

/// A run of an overflow record that is wanted: first byte in the fork, extent.
type Pending = (u64, std::ops::Range<u64>);

pub(super) struct Search<'a> {
    block: u64,
    wanted: &'a Ranges,
    visit: Visit<'a>,
    /// By file and fork; they wait for the fork's size.
    overflow: HashMap<(u32, bool), Vec<Pending>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(fs: &HfsPlus, wanted: &'a Ranges, visit: Visit<'a>) -> Self {
        Self { block: u64::from(fs.header().block_size), wanted, visit, overflow: HashMap::new() }
    }

    /// The extents that follow `blocks` blocks of their fork, each from its first wanted
    /// byte to the last: one piece an extent, however many ranges are wanted.
    fn parts(&self, mut blocks: u64, record: &ExtentRecord) -> Vec<Pending> {
        let mut found = Vec::new();
        for e in record {
            if e.count == 0 {
                break;
            }
            let start = u64::from(e.start) * self.block;
            let end = start + u64::from(e.count) * self.block;
            if let Some(part) = self.wanted.span(&(start..end)) {
                found.push((blocks * self.block + part.start - start, part));
            }
            blocks += u64::from(e.count);
        }
        found
    }

    /// A record of the extents overflow tree.
    pub(super) fn overflow(&mut self, record: &[u8]) {
        let Some(parts) = split(record) else { return };
        let Some(key) = ExtentKey::parse(parts.key) else { return };
        let Some(extents) = decode::<ExtentRecord>(parts.data) else { return };
        if key.file < FIRST_USER_CNID {
            return;
        }
        let found = self.parts(u64::from(key.start), &extents);
        if !found.is_empty() {
            let resource = key.fork == ForkType::Resource.code();
            self.overflow.entry((key.file, resource)).or_default().extend(found);
        }
    }

    /// Whether a key is that of one of the journal's files, which are no user's.
    fn is_journal(key: &[u8]) -> bool {
        be32(key, 0) == Some(ROOT)
            && CatalogKey::parse(key)
                .is_some_and(|k| matches!(&*raw_string(k.name), ".journal" | ".journal_info_block"))
    }

    /// A record of the catalog.
    pub(super) fn catalog(&mut self, record: &[u8]) {
        let Some(parts) = split(record) else { return };
        if be16(parts.data, 0) != Some(record_type::FILE) {
            return;
        }
        let Some(file) = decode::<CatalogFile>(parts.data) else { return };
        let cnid = file.common.id;
        if Self::is_journal(parts.key) {
            for (_, range) in self.parts(0, &file.data_fork.extents) {
                let name = "journal".into();
                let owner = Owner::Structure { name, describes: Vec::new(), in_use: false };
                (self.visit)(owned(range, owner));
            }
            return;
        }
        for (resource, fork) in [(false, &file.data_fork), (true, &file.resource_fork)] {
            if fork.total_blocks == 0 {
                continue;
            }
            let mut found = self.parts(0, &fork.extents);
            found.extend(self.overflow.remove(&(cnid, resource)).unwrap_or_default());
            for piece in found {
                self.stream(cnid, resource, fork.logical_size, piece);
            }
        }
    }

    fn stream(&mut self, cnid: u32, resource: bool, size: u64, (offset, range): Pending) {
        let node = NodeId(u64::from(cnid));
        let within = size.saturating_sub(offset).min(range.end - range.start);
        let end = range.start + within;
        if within > 0 {
            let stream = if resource { Stream::Resource } else { Stream::Data };
            let owner = Owner::Stream { node, stream, offset };
            (self.visit)(owned(range.start..end, owner));
        }
        if end < range.end {
            (self.visit)(owned(end..range.end, Owner::Slack(node)));
        }
    }

    /// Overflow extents of files whose record was not seen.
    pub(super) fn rest(&mut self) {
        let mut rest: Vec<_> = std::mem::take(&mut self.overflow).into_iter().collect();
        rest.sort_unstable_by_key(|(key, _)| *key);
        for ((cnid, resource), pieces) in rest {
            for piece in pieces {
                self.stream(cnid, resource, u64::MAX, piece);
            }
        }
    }

    /// A record of the attributes tree.
    pub(super) fn attribute(&mut self, record: &[u8]) {
        let Some(parts) = split(record) else { return };
        let Some(key) = attributes::Key::parse(parts.key) else { return };
        let data = parts.data.get(8..).unwrap_or_default();
        let extents = match be32(parts.data, 0) {
            Some(attribute_type::FORK) => decode::<ForkData>(data).map(|f| f.extents),
            Some(attribute_type::EXTENTS) => decode::<ExtentRecord>(data),
            _ => None,
        };
        let Some(extents) = extents else { return };
        for (offset, range) in self.parts(u64::from(key.start), &extents) {
            let node = NodeId(u64::from(key.file));
            let stream = Stream::Attribute(raw_string(key.name).into());
            let owner = Owner::Stream { node, stream, offset };
            (self.visit)(owned(range, owner));
        }
    }
}

/// Note for the wanted nodes which objects a catalog record in them, or about what
/// was in them, tells of. `from`: the node that holds the record.
pub(super) fn describe(
    record: &[u8],
    from: u32,
    catalog: &mut TreeNodes,
    extents: &mut TreeNodes,
    attributes: &mut TreeNodes,
) {
    if catalog.nodes.is_empty() && extents.nodes.is_empty() && attributes.nodes.is_empty() {
        return;
    }
    let Some(parts) = split(record) else { return };
    match be16(parts.data, 0) {
        Some(record_type::FOLDER_THREAD | record_type::FILE_THREAD) => {
            // A thread's data ends in the key of the object's record.
            let len = be16(parts.data, 8).map_or(0, usize::from);
            let Some(key) = parts.data.get(4..10 + 2 * len) else { return };
            let Some(cnid) = be32(parts.key, 0) else { return };
            let nodes: Vec<u32> = catalog.ranges.holding(key).collect();
            for node in nodes {
                if let Some(i) = catalog.index(node) {
                    catalog.by_thread.push((i, cnid));
                }
            }
        }
        Some(kind @ (record_type::FOLDER | record_type::FILE)) => {
            let Some(cnid) = be32(parts.data, 8) else { return };
            match catalog.index(from) {
                Some(i) => catalog.describe(i, cnid),
                None if !catalog.nodes.is_empty() => catalog.elsewhere.push(cnid),
                None => {}
            }
            let flags = be16(parts.data, 2).unwrap_or(0);
            if flags & (FLAG_HAS_ATTRIBUTES | FLAG_HAS_SECURITY) != 0 {
                by_number(attributes, cnid);
            }
            if kind == record_type::FILE && !extents.nodes.is_empty() && overflows(parts.data) {
                by_number(extents, cnid);
            }
        }
        _ => {}
    }
}

/// Whether a file has more extents than its record holds.
fn overflows(data: &[u8]) -> bool {
    let Some(file) = decode::<CatalogFile>(data) else { return false };
    [&file.data_fork, &file.resource_fork].iter().any(|fork| {
        let held: u64 = fork.extents.iter().map(|e| u64::from(e.count)).sum();
        u64::from(fork.total_blocks) > held
    })
}

fn by_number(tree: &mut TreeNodes, cnid: u32) {
    let nodes: Vec<u32> = tree.ranges.of_file(cnid).collect();
    for node in nodes {
        if let Some(i) = tree.index(node) {
            tree.describe(i, cnid);
        }
    }
}
