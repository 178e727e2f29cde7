//! Object maps: their heads, mappings and snapshots (section 4).

use super::say::Checker;
use super::trees::{self, Told};
use super::used::{By, Used};
use super::{headers, nodes};
use crate::apfs::Snapshot;
use crate::apfs::btree::{Children, Tree};
use crate::apfs::container::Container;
use crate::apfs::format::{kind, tree};
use crate::apfs::node::Shape;
use crate::apfs::object::Object;
use crate::apfs::omap::{Mapping, Omap, mapping};
use crate::error::Result;
use crate::io::bytes::{le32, le64, to_u64};
use crate::report::{Progress, Rule, Structure, Where};

/// Flags of a map: the container's own; the four that say that it is being encrypted.
const MANAGED: u32 = 1;
const IN_WORK: u32 = 0xE;
const KNOWN: u32 = 0x1F;
/// Type of a map's trees.
const PHYSICAL_TREE: u32 = 0x4000_0002;
/// Flags that a mapping may have.
const MAPPING: u32 = 0x1D;
/// First number that is given out.
const FIRST: u64 = 1024;

/// The tree of the snapshots that a map keeps mappings for.
const SNAPSHOTS: Shape = Shape {
    subtype: tree::OMAP_SNAPSHOTS,
    fixed: Some((8, 16)),
    order: |a, b| le64(a, 0).cmp(&le64(b, 0)),
    tag: 9,
    name: "object map's snapshot tree",
};

/// Who is told, and of which map.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    /// Who is told.
    pub checker: &'a Checker<'a>,
    /// Asked whether to go on.
    pub progress: &'a dyn Progress,
    /// The container.
    pub container: &'a Container,
    /// Number of the volume; none for the container's map.
    pub volume: Option<u32>,
}

impl<'a> Of<'a> {
    fn told(&self, kind: &'static nodes::Kind) -> Told<'a> {
        let Self { checker, progress, volume, .. } = *self;
        Told { checker, progress, structure: Structure::ObjectMap, volume, kind }
    }

    fn number(&self) -> u32 {
        self.volume.unwrap_or(0)
    }

    /// Check a map; `snapshots` are those of the volume, where its list of them could be read.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn check(
        &self,
        omap: &Omap,
        block: u64,
        snapshots: Option<&[Snapshot]>,
        used: &mut Used,
    ) -> Result<()> {
        let told = self.told(&nodes::OMAP);
        used.claim(block..block.saturating_add(1), By::ObjectMap, self.number());
        match self.container.store().blocks().object("object map", block, 1) {
            Ok(head) => {
                self.head(&head, block);
                self.snapshots(&head, block, snapshots, used)?;
            }
            Err(e) => {
                used.whole = false;
                let place = Where { volume: self.volume, ..Where::of(Structure::ObjectMap) };
                self.checker.unreadable(place, "the object map", e)?;
            }
        }
        let (mut last, mut first) = (None, None);
        let walked = trees::walk(omap.tree(), told, &mut |node| {
            used.claim(node.block..node.block + 1, By::ObjectMap, self.number());
            for entry in (0..node.count).filter_map(|i| node.entry(i)).filter(|_| node.level == 0) {
                if let Some((oid, m)) = mapping(entry.key, entry.value.unwrap_or_default()) {
                    self.mapping(oid, &m, (node.block, node.header.xid));
                    self.mapped(oid, &m, &mut last, node.block, used);
                    first = first.or(Some((oid, m.block)));
                }
            }
            Ok(())
        })?;
        used.whole &= walked.whole;
        if let Some((oid, block)) = first.filter(|_| self.volume.is_none()) {
            self.unlisted(oid, block);
        }
        Ok(())
    }

    /// A container's list of volumes that has none, where its map has one.
    fn unlisted(&self, oid: u64, block: u64) {
        if !self.container.superblock().volumes.is_empty() {
            return;
        }
        let blocks = self.container.store().blocks();
        let object = blocks.object("volume superblock", block, 1);
        if object.is_ok_and(|o| o.header.kind() == kind::VOLUME) {
            let place = self.checker.place(Structure::Container, self.container.checkpoint().block);
            self.checker.broken(Rule::A101, place, || {
                format!("the container lists no volume, and its object map has volume {oid}")
            });
        }
    }

    fn head(&self, head: &Object, block: u64) {
        let told = self.told(&nodes::OMAP);
        let (flags, word) = (head.u32(0x20).unwrap_or(0), |at| head.u32(at).unwrap_or(0));
        if let Some((rule, text)) = headers::problem(&head.header, false) {
            told.broken(rule, block, || text);
        }
        if flags & !KNOWN != 0 || self.volume.is_some() == (flags & MANAGED != 0) {
            told.broken(Rule::A080, block, || format!("it has impossible flags ({flags:#x})"));
        }
        if word(0x28) != PHYSICAL_TREE || word(0x2C) != PHYSICAL_TREE {
            told.broken(Rule::A081, block, || {
                format!("it names trees of type {:#x} and {:#x}", word(0x28), word(0x2C))
            });
        }
        if head.u64(0x48) != Some(0) || head.u64(0x50) != Some(0) {
            told.broken(Rule::A082, block, || "it is to be set back to a snapshot".into());
        }
        if flags & IN_WORK != 0 {
            told.broken(Rule::A083, block, || "it is being encrypted or decrypted".into());
        }
    }

    fn mapping(&self, oid: u64, m: &Mapping, (block, written): (u64, u64)) {
        let told = self.told(&nodes::OMAP);
        let (nx, blocks) = (self.container.superblock(), self.container.store().blocks());
        let what = || format!("the mapping of object {oid} at transaction {}", m.xid);
        // Superblocks of volumes have a header, and are never encrypted.
        let plain = self.volume.is_some() || !m.no_header() && !m.encrypted();
        if m.flags & !MAPPING != 0 || !plain {
            told.broken(Rule::A084, block, || format!("{} has flags {:#x}", what(), m.flags));
        }
        if m.size == 0 || !u64::from(m.size).is_multiple_of(blocks.size()) {
            told.broken(Rule::A085, block, || format!("{} has {} bytes", what(), m.size));
        } else if u64::from(m.size) != blocks.size() {
            told.broken(Rule::A089, block, || format!("{} has {} bytes", what(), m.size));
        }
        if m.xid == 0 || m.xid > nx.xid {
            told.broken(Rule::A086, block, || format!("{} is newer than the container", what()));
        } else if m.xid > written {
            told.broken(Rule::A087, block, || {
                format!("{} is newer than its node (transaction {written})", what())
            });
        }
        if oid < FIRST || oid >= nx.next_oid {
            told.broken(Rule::A048, block, || {
                format!("{}: numbers from {FIRST} to {} were given out", what(), nx.next_oid)
            });
        }
        let len = u64::from(m.size).div_ceil(blocks.size());
        let end = m.block.checked_add(len).filter(|end| *end <= blocks.count());
        if !m.deleted() && (end.is_none() || m.block == 0) {
            told.broken(Rule::A088, block, || {
                format!("{} leads to block {}, which is not one for it", what(), m.block)
            });
        }
    }

    /// What a mapping says of blocks in use; of the container's, that it is a volume's.
    fn mapped(&self, oid: u64, m: &Mapping, last: &mut Option<u64>, block: u64, used: &mut Used) {
        let blocks = self.container.store().blocks();
        let len = u64::from(m.size).div_ceil(blocks.size());
        let inside = m.block.checked_add(len).is_some_and(|end| end <= blocks.count());
        if !m.deleted() && inside {
            let by = if self.volume.is_some() { By::Mapped } else { By::Volume };
            used.claim(m.block..m.block + len, by, self.number());
        }
        let twice = last.replace(oid) == Some(oid);
        if self.volume.is_none() && (twice || !self.container.superblock().volumes.contains(&oid)) {
            let why = if twice { "is mapped twice" } else { "is no volume" };
            self.told(&nodes::OMAP).broken(Rule::A095, block, || format!("object {oid} {why}"));
        }
    }

    /// The snapshots that the map keeps mappings for.
    fn snapshots(
        &self,
        head: &Object,
        block: u64,
        listed: Option<&[Snapshot]>,
        used: &mut Used,
    ) -> Result<()> {
        let told = self.told(&nodes::OMAP_SNAPSHOTS);
        let count = u64::from(head.u32(0x24).unwrap_or(0));
        let (root, newest) = (head.u64(0x38).unwrap_or(0), head.u64(0x40).unwrap_or(0));
        let mut found = Vec::new();
        let mut whole = true;
        if root != 0 {
            let store = self.container.store();
            let tree = Tree::new(store.clone(), SNAPSHOTS, Children::Physical, root);
            whole = trees::walk(&tree, told, &mut |node| {
                used.claim(node.block..node.block + 1, By::ObjectMap, self.number());
                for entry in (0..node.count).filter_map(|i| node.entry(i)) {
                    if node.level == 0 {
                        let value = entry.value.unwrap_or_default();
                        found.extend(self.snapshot(entry.key, value, node.block));
                    }
                }
                Ok(())
            })?
            .whole;
            used.whole &= whole;
        }
        if !whole {
            return Ok(());
        }
        let last = found.last().copied().unwrap_or(0);
        if to_u64(found.len()) != count || last != newest {
            told.broken(Rule::A092, block, || {
                format!(
                    "the map tells of {count} snapshots, the newest of transaction {newest}; there \
                     are {}, the newest of {last}",
                    found.len()
                )
            });
        }
        if let Some(listed) = listed {
            self.same(&found, listed, block);
        }
        Ok(())
    }

    fn snapshot(&self, key: &[u8], value: &[u8], block: u64) -> Option<u64> {
        let told = self.told(&nodes::OMAP_SNAPSHOTS);
        let (xid, max) = (le64(key, 0)?, self.container.superblock().xid);
        let (flags, pad, oid) = (le32(value, 0)?, le32(value, 4)?, le64(value, 8)?);
        if xid == 0 || xid > max || pad != 0 || oid != 0 {
            told.broken(Rule::A090, block, || format!("the record of snapshot {xid} is not sound"));
        }
        if flags != 0 {
            told.broken(Rule::A091, block, || format!("snapshot {xid} has flags {flags:#x}"));
        }
        Some(xid)
    }

    /// The map and the volume's list have the same snapshots; both ascend.
    fn same(&self, here: &[u64], listed: &[Snapshot], block: u64) {
        let told = self.told(&nodes::OMAP_SNAPSHOTS);
        for s in listed.iter().filter(|s| here.binary_search(&s.xid).is_err()) {
            told.broken(Rule::A262, block, || {
                format!("snapshot '{}' (transaction {}) is not in the object map", s.name, s.xid)
            });
        }
        for xid in here {
            if listed.binary_search_by_key(xid, |s| s.xid).is_err() {
                told.broken(Rule::A268, block, || {
                    format!("the snapshot of transaction {xid} is in the object map only")
                });
            }
        }
    }
}
