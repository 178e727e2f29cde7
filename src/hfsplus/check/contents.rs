//! The trees in order, and what their records must agree on.

use super::attributes::AttributeFacts;
use super::blocks::{Blocks, Overflow, Owner};
use super::links::{self, Private};
use super::objects::Collected;
use super::tree::{self, LeafVisitor};
use super::{Checked, hierarchy, straddle, totals, unused};
use crate::error::{Error, Locus, Result};
use crate::hfsplus::btree::{BTree, read_header};
use crate::hfsplus::catalog::{Catalog, Record};
use crate::hfsplus::extents::{ForkType, Key, runs_of};
use crate::hfsplus::fork::ForkReader;
use crate::hfsplus::format::{
    ALLOCATION_FILE, ATTRIBUTES_FILE, CATALOG_FILE, DIR_INODES_DIR, EXTENTS_FILE, ExtentRecord,
    FILE_INODES_DIR, ForkData, ROOT, STARTUP_FILE, VOL_UNUSED_NODES_ZERO, VolumeHeader, decode,
};
use crate::hfsplus::node::split;
use crate::hfsplus::shared::Trees;
use crate::hfsplus::spec::TreeSpec;
use crate::hfsplus::unicode::stored_verbatim;
use crate::hfsplus::volume::{folds_case, special_file};
use crate::io::{ReadAt, Source};
use crate::report::{Code, Finding, Progress, Reporter, Structure, Where};

/// Volumes made since 2009-03-25 have had their unused nodes erased (section 16).
const NODES_ERASED_SINCE: u32 = 3_320_784_000;

/// The job of checking everything behind the volume header.
pub(super) struct Contents<'a> {
    volume: &'a Source,
    header: &'a VolumeHeader,
    reporter: &'a dyn Reporter,
    progress: &'a dyn Progress,
    /// As a reader opens them; the extents tree finds the special files' own overflow.
    trees: &'a Trees,
}

impl<'a> Contents<'a> {
    pub(super) fn new(
        volume: &'a Source,
        header: &'a VolumeHeader,
        trees: &'a Trees,
        reporter: &'a dyn Reporter,
        progress: &'a dyn Progress,
    ) -> Self {
        Self { volume, header, trees, reporter, progress }
    }

    pub(super) fn check(&self, done: &mut Checked) -> Result<()> {
        let h = self.header;
        let mut overflow = Overflow::default();
        let extents_whole = self.tree(
            &TreeSpec::extents(),
            EXTENTS_FILE,
            &h.extents_file,
            done,
            &mut |_, _, record| collect_overflow(record, &mut overflow),
        )?;
        overflow.sort();
        overflow.lacking = !extents_whole;
        let mut blocks = Blocks::new(h, &**self.volume, self.reporter);
        self.special_files(&mut blocks, &mut overflow);

        let locate = Self::node_places(self.trees.catalog.as_ref().ok());
        let mut c = Collected {
            objects: Vec::new(),
            threads: Vec::new(),
            children: Vec::new(),
            blocks,
            overflow,
            files: 0,
            folders: 0,
            largest: 0,
            encodings: Default::default(),
            last_encoding: u32::MAX,
            broken: false,
            reporter: self.reporter,
            locate: &locate,
        };
        let spec = TreeSpec::catalog(self.folds(), h.is_hfsx());
        let catalog_whole =
            self.tree(&spec, CATALOG_FILE, &h.catalog_file, done, &mut |n, i, r| {
                c.record(n, i, r);
            })?;

        let mut attributes = AttributeFacts::default();
        let attributes_whole = h.attributes_file.total_blocks == 0 || {
            let place =
                Self::node_places(self.trees.attributes.as_ref().and_then(|t| t.as_ref().ok()));
            self.tree(
                &TreeSpec::attributes(),
                ATTRIBUTES_FILE,
                &h.attributes_file,
                done,
                &mut |n, i, r| {
                    attributes.record(n, i, r, &place, self.reporter);
                },
            )?
        };
        attributes.finish(&mut c.blocks, self.reporter);
        attributes.broken |= !attributes_whole;
        self.join(c, attributes, Whole { extents: extents_whole, catalog: catalog_whole }, done)
    }

    /// What the trees must agree on. Of a tree with a broken branch records are
    /// missing, and nothing is said that would only follow from that.
    fn join(
        &self,
        mut c: Collected<'_>,
        mut attributes: AttributeFacts,
        whole: Whole,
        done: &mut Checked,
    ) -> Result<()> {
        if !whole.catalog || c.broken {
            let why = "part of the catalog cannot be read";
            done.not_checked.push(("hierarchy, links, bitmap and counts".into(), why.into()));
            return Ok(());
        }
        hierarchy::check(&mut c, self.header.is_hfsx());
        let known = !attributes.broken;
        if known {
            attributes.compare(&c.objects, self.reporter);
        }
        match self.private() {
            Ok(private) => links::check(&c, private, known.then_some(&attributes)),
            Err(e) => {
                let text = format!("the private folders cannot be read: {e}");
                let place = Where::of(Structure::Catalog);
                self.reporter.report(Finding::new(Code::BtreeUnreadable, place, text));
                done.not_checked.push(("links".into(), "the private folders are not known".into()));
            }
        }
        if whole.extents {
            c.overflow.report_unused(self.reporter);
        }
        let claims_known = whole.extents && !c.blocks.broken && !attributes.broken;
        let mut free = None;
        if claims_known {
            let file = self.file(ALLOCATION_FILE, &self.header.allocation_file);
            match file {
                Ok(file) => totals::bitmap(&file, &c, self.header, &**self.volume, self.progress)?,
                Err(e) => {
                    let text = format!("the allocation file cannot be read: {e}");
                    let place = Where::of(Structure::Bitmap);
                    self.reporter.report(Finding::new(Code::BitmapUnreadable, place, text));
                }
            }
            free = Some(u64::from(self.header.total_blocks).saturating_sub(c.blocks.used()));
        } else {
            let why = "blocks of some forks are not known";
            done.not_checked.push(("bitmap".into(), why.into()));
        }
        totals::header(&c, self.header, free);
        Ok(())
    }

    /// The order of names; asked again where the tree could not be read when it was opened.
    fn folds(&self) -> bool {
        if self.trees.catalog.is_ok() {
            return self.trees.folds_case(self.header);
        }
        let file = self.file(CATALOG_FILE, &self.header.catalog_file);
        let tree = file.and_then(|file| read_header(&file, "catalog"));
        tree.map_or(true, |tree| folds_case(self.header, &tree))
    }

    /// The private folders, found as a reader finds them.
    ///
    /// # Errors
    /// Only when bytes cannot be read: then nothing is known of any inode.
    fn private(&self) -> std::result::Result<Private, String> {
        let tree = match &self.trees.catalog {
            Ok(tree) => tree,
            Err(e @ Error::Io { .. }) => return Err(e.to_string()),
            Err(_) => return Ok(Private::default()),
        };
        let catalog = Catalog::new(tree.clone(), self.folds());
        let folder = |name: &str| match catalog.find(ROOT, &stored_verbatim(name)) {
            Ok(Some(Record::Folder(f))) => Ok(Some(f.id)),
            Ok(_) | Err(Error::Corrupt(_)) => Ok(None),
            Err(e) => Err(e.to_string()),
        };
        Ok(Private { files: folder(FILE_INODES_DIR)?, folders: folder(DIR_INODES_DIR)? })
    }

    /// Tells where the nodes of a tree lie on the disk.
    fn node_places(tree: Option<&BTree>) -> impl Fn(u32) -> Option<Locus> + use<> {
        let tree = tree.cloned();
        move |node| tree.as_ref()?.locate(node)
    }

    fn file(&self, cnid: u32, fork: &ForkData) -> Result<ForkReader> {
        let runs = runs_of(&self.trees.extents, cnid, ForkType::Data, fork)?;
        Ok(special_file(self.volume, self.header, runs, fork.logical_size, "special file"))
    }

    /// Check one tree; whether all of it could be followed.
    fn tree(
        &self,
        spec: &TreeSpec,
        cnid: u32,
        fork: &ForkData,
        done: &mut Checked,
        leaf: LeafVisitor<'_>,
    ) -> Result<bool> {
        let file = match self.file(cnid, fork) {
            Ok(file) => file,
            Err(e) => {
                let text = format!("the {} file cannot be read: {e}", spec.name);
                self.reporter.report(Finding::new(
                    Code::BtreeUnreadable,
                    Where::of(spec.name),
                    text,
                ));
                done.not_checked.push((format!("{} tree", spec.name), e.to_string()));
                return Ok(false);
            }
        };
        match tree::check(spec, &file, self.reporter, self.progress, leaf) {
            Ok(summary) => {
                let erased = self.header.attributes & VOL_UNUSED_NODES_ZERO != 0
                    || self.header.create_date >= NODES_ERASED_SINCE;
                unused::check(&summary, &file, erased, self.reporter, self.progress)?;
                self.straddle(spec.name, cnid, fork, summary.node_size);
                let whole = summary.whole;
                done.trees.push(summary);
                Ok(whole)
            }
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(e) => {
                done.not_checked.push((format!("{} tree", spec.name), e.to_string()));
                Ok(false)
            }
        }
    }

    /// Nodes must not straddle two extents.
    fn straddle(&self, name: Structure, cnid: u32, fork: &ForkData, node_size: u16) {
        let runs = runs_of(&self.trees.extents, cnid, ForkType::Data, fork).unwrap_or_default();
        if let Some(block) = straddle::first(self.header, fork, &runs, node_size) {
            let at = self.volume.locate(u64::from(block) * u64::from(self.header.block_size));
            let text = format!("{name} file: the extent at block {block} cuts a node in two");
            let place = Where::of(name).block(block).at(at);
            self.reporter.report(Finding::new(Code::BtreeSplit, place, text));
        }
    }

    /// Claim what the volume header lists, and the bad blocks.
    fn special_files(&self, blocks: &mut Blocks<'_>, overflow: &mut Overflow) {
        blocks.fixed();
        let h = self.header;
        let forks = [
            (ALLOCATION_FILE, &h.allocation_file),
            (EXTENTS_FILE, &h.extents_file),
            (CATALOG_FILE, &h.catalog_file),
            (ATTRIBUTES_FILE, &h.attributes_file),
            (STARTUP_FILE, &h.startup_file),
        ];
        for (cnid, fork) in forks {
            if cnid == STARTUP_FILE && fork.total_blocks == 0 {
                continue;
            }
            blocks.fork(cnid, ForkType::Data, fork, overflow);
        }
        for e in overflow.bad_blocks(self.reporter) {
            blocks.claim(Owner::Fixed(Structure::BadBlocks), e.start, e.count);
        }
    }
}

struct Whole {
    extents: bool,
    catalog: bool,
}

fn collect_overflow(record: &[u8], overflow: &mut Overflow) {
    let Some(parts) = split(record) else { return };
    if let (Some(key), Some(extents)) = (Key::parse(parts.key), decode::<ExtentRecord>(parts.data))
    {
        overflow.push(key, extents);
    }
}

#[cfg(test)]
mod tests {
    use crate::hfsplus::private::inode_number;

    #[test]
    fn numbers_in_inode_names() {
        let be = |s: &str| s.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        assert_eq!(inode_number(&be("iNode42")), Some(42));
        assert_eq!(inode_number(&be("dir_7")), Some(7));
        for other in ["iNode042", "iNode", "file1", "", "dir_-1", "dir_99999999999"] {
            assert_eq!(inode_number(&be(other)), None, "{other}");
        }
    }
}
