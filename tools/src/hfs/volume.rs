//! Laying a volume out: blocks, trees, bitmap, headers.

use super::alloc::{Allocator, Extent, Placements};
use super::attributes::{self, AttributeRecords, Xattr};
use super::btree::Plan;
use super::builder::VolumeBuilder;
use super::catalog::{self, CatalogRecords};
use super::extents::{self, BAD_BLOCKS, ExtentRecords};
use super::layout::{Layout, TreeLayout};
use super::model::*;
use crate::bytes::Put;
use crate::image::Image;
use crate::journal;

/// A finished volume and the places of its parts.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The volume's bytes.
    pub image: Image,
    /// Where things are.
    pub layout: Layout,
}

const CATALOG: Cnid = 4;
const ATTRIBUTES: Cnid = 8;

struct Special {
    bitmap: Extent,
    info: Option<Extent>,
    journal: Option<Extent>,
    extents: Vec<Extent>,
    attributes: Vec<Extent>,
    catalog: Vec<Extent>,
}

impl VolumeBuilder {
    /// Lays the volume out and writes it.
    pub fn build(&self) -> Volume {
        let options = &self.options;
        let mut catalog = CatalogRecords::new(self);
        let mut attributes = AttributeRecords::new(&self.xattrs, options.block_size, |x| {
            pieces(self.blocks(x.value.len()), x.pieces, 1)
        });
        let catalog_plan = self.plan_catalog(&catalog);
        let attributes_plan = options.with_attributes.then(|| self.plan_attributes(&attributes));
        assert!(options.with_attributes || self.xattrs.is_empty(), "no attributes tree");
        let mut extents = ExtentRecords::new(
            self.fork_pieces(&catalog_plan, attributes_plan.as_ref()).into_iter(),
        );
        let extents_plan = self.plan_extents(&extents);

        let mut alloc = Allocator::new(options.total_blocks());
        let special =
            self.place_special(&mut alloc, &catalog_plan, attributes_plan.as_ref(), &extents_plan);
        let placements = self.place_files(&mut alloc, &special, &mut attributes);
        catalog.placements = placements.clone();
        extents.placements = placements.clone();

        let mut image = Image::new(options.size);
        self.write_contents(&mut image, &placements, &attributes);
        let layout_of =
            |plan: &Plan, at: &[Extent]| TreeLayout::new(plan, at.to_vec(), options.block_size);
        let layout = Layout {
            base: 0,
            len: options.size,
            block_size: options.block_size,
            total_blocks: options.total_blocks(),
            bitmap: vec![special.bitmap],
            journal_info: special.info.map(|e| self.byte(e)),
            journal: special.journal.map(|e| (self.byte(e), options.journal_size)),
            extents: layout_of(&extents_plan, &special.extents),
            catalog: layout_of(&catalog_plan, &special.catalog),
            attributes: attributes_plan.as_ref().map(|p| layout_of(p, &special.attributes)),
            private: (self.file_private, self.dir_private),
            free_block: alloc.cursor(),
            hfsx: options.hfsx,
            folds: options.order() == super::names::NameOrder::Folded,
            encodings: catalog::encodings(self),
            placements,
            entries: self.entries_of(&catalog),
            catalog_plan,
            attribute_keys: attributes.keys(),
            attribute_plan: attributes_plan,
        };
        let catalog_kind = catalog_kind(options);
        write_tree(&mut image, &layout.catalog, &layout.catalog_plan, catalog_kind, &catalog);
        write_tree(&mut image, &layout.extents, &extents_plan, extents::KIND, &extents);
        if let (Some(tree), Some(plan)) = (&layout.attributes, &layout.attribute_plan) {
            write_tree(&mut image, tree, plan, attributes::KIND, &attributes);
        }
        image.write_at(self.byte(special.bitmap), alloc.bytes());
        self.write_journal(&mut image, &layout);
        let header = self.header(&catalog, &alloc, &layout);
        image.write_at(layout.header(), &header);
        image.write_at(layout.alternate(), &header);
        Volume { image, layout }
    }

    fn entries_of(&self, catalog: &CatalogRecords<'_>) -> Vec<(Cnid, bool)> {
        catalog.entries.iter().map(|e| (self.nodes[e.node as usize].id, e.thread)).collect()
    }

    fn blocks(&self, len: u64) -> u32 {
        len.div_ceil(u64::from(self.options.block_size)) as u32
    }

    fn byte(&self, extent: Extent) -> u64 {
        u64::from(extent.start) * u64::from(self.options.block_size)
    }

    fn plan_catalog(&self, records: &CatalogRecords) -> Plan {
        let o = &self.options;
        let mut plan = Plan::new(records, o.catalog_node_size as usize, o.reverse_leaves);
        self.round(&mut plan, o.catalog_nodes);
        plan
    }

    fn plan_attributes(&self, records: &AttributeRecords) -> Plan {
        let o = &self.options;
        let mut plan = Plan::new(records, o.attributes_node_size as usize, o.reverse_leaves);
        self.round(&mut plan, o.attributes_nodes);
        plan
    }

    fn plan_extents(&self, records: &ExtentRecords) -> Plan {
        let o = &self.options;
        let mut plan = Plan::new(records, o.extents_node_size as usize, o.reverse_leaves);
        self.round(&mut plan, o.extents_nodes);
        plan
    }

    /// Gives a tree spare nodes and a length in whole blocks.
    fn round(&self, plan: &mut Plan, at_least: u32) {
        let per_block = (self.options.block_size / plan.node_size as u32).max(1);
        let wanted = if at_least > 0 { at_least } else { plan.used() + plan.used() / 4 + 6 };
        plan.set_total(wanted);
        let rounded = plan.total_nodes.next_multiple_of(per_block);
        plan.set_total(rounded);
        assert!(plan.total_nodes.is_multiple_of(per_block));
    }

    /// Blocks that must stay together so that no node straddles two extents.
    fn grain(&self, plan: &Plan) -> u32 {
        if self.options.split_nodes {
            return 1;
        }
        (plan.node_size as u32 / self.options.block_size).max(1)
    }

    fn tree_blocks(&self, plan: &Plan) -> u32 {
        self.blocks(u64::from(plan.total_nodes) * plan.node_size as u64)
    }

    /// Blocks and wanted pieces of a node's fork.
    fn fork_blocks(&self, fork: &Fork) -> (u32, u32) {
        (self.blocks(fork.content.len()) + fork.spare_blocks, fork.pieces)
    }

    /// How many extents each fork is going to have, in key order.
    fn fork_pieces(&self, cat: &Plan, attr: Option<&Plan>) -> Vec<(Cnid, ForkKind, u32)> {
        let o = &self.options;
        let mut out = vec![(BAD_BLOCKS, ForkKind::Data, o.bad_blocks)];
        let tree = |id, plan: &Plan, wanted| {
            (id, ForkKind::Data, pieces(self.tree_blocks(plan), wanted, self.grain(plan)))
        };
        out.push(tree(CATALOG, cat, o.catalog_pieces));
        out.extend(attr.map(|plan| tree(ATTRIBUTES, plan, o.attributes_pieces)));
        for node in &self.nodes {
            for kind in [ForkKind::Data, ForkKind::Resource] {
                if let Some(fork) = node.fork(kind).filter(|f| f.pieces > 8) {
                    let (blocks, wanted) = self.fork_blocks(fork);
                    out.push((node.id, kind, pieces(blocks, wanted, 1)));
                }
            }
        }
        out.sort_unstable();
        out
    }

    fn place_special(
        &self,
        alloc: &mut Allocator,
        cat: &Plan,
        attr: Option<&Plan>,
        ext: &Plan,
    ) -> Special {
        let o = &self.options;
        let head = 1536u32.div_ceil(o.block_size);
        let tail = 1024u32.div_ceil(o.block_size);
        alloc.mark(Extent { start: o.total_blocks() - tail, count: tail });
        alloc.take(head);
        let bitmap = alloc.take(self.blocks(u64::from(o.total_blocks()).div_ceil(8)));
        let journal = o.journaled().then(|| {
            let info = alloc.take(1);
            (info, alloc.take(self.blocks(o.journal_size)))
        });
        let grain = |plan| self.grain(plan);
        Special {
            bitmap,
            info: journal.map(|j| j.0),
            journal: journal.map(|j| j.1),
            extents: alloc.scatter(self.tree_blocks(ext), 1, grain(ext)),
            attributes: attr.map_or(Vec::new(), |plan| {
                alloc.scatter(self.tree_blocks(plan), o.attributes_pieces, grain(plan))
            }),
            catalog: alloc.scatter(self.tree_blocks(cat), o.catalog_pieces, grain(cat)),
        }
    }

    fn place_files<'a>(
        &'a self,
        alloc: &mut Allocator,
        special: &Special,
        attributes: &mut AttributeRecords<'a>,
    ) -> Placements {
        let mut out = Placements::default();
        out.add(CATALOG, ForkKind::Data, &special.catalog);
        out.add(ATTRIBUTES, ForkKind::Data, &special.attributes);
        let bad: Vec<Extent> = (0..self.options.bad_blocks)
            .map(|_| {
                alloc.skip(1);
                alloc.take(1)
            })
            .collect();
        out.add(BAD_BLOCKS, ForkKind::Data, &bad);
        if let (Some((journal, info)), Some(at), Some(at_info)) =
            (self.journal_ids, special.journal, special.info)
        {
            out.add(journal, ForkKind::Data, &[at]);
            out.add(info, ForkKind::Data, &[at_info]);
        }
        for node in &self.nodes {
            for kind in [ForkKind::Data, ForkKind::Resource] {
                let Some(fork) = node.fork(kind) else { continue };
                let (blocks, wanted) = self.fork_blocks(fork);
                let journal = self.journal_ids.is_some_and(|(a, b)| [a, b].contains(&node.id));
                if blocks > 0 && !journal {
                    out.add(node.id, kind, &alloc.scatter(blocks, wanted, 1));
                    alloc.skip(self.options.gap_blocks);
                }
            }
            self.place_attributes(alloc, node.id, attributes);
        }
        out.sort();
        out
    }

    fn place_attributes<'a>(
        &'a self,
        alloc: &mut Allocator,
        id: Cnid,
        attributes: &mut AttributeRecords<'a>,
    ) {
        let range = (id, Vec::new())..(id + 1, Vec::new());
        for (key, Xattr { value, inline, pieces }) in self.xattrs.range(range) {
            if !inline && !value.is_empty() {
                let extents = alloc.scatter(self.blocks(value.len()), *pieces, 1);
                attributes.extents.insert(key, extents);
            }
        }
    }

    fn write_contents(&self, image: &mut Image, placed: &Placements, attrs: &AttributeRecords) {
        for node in &self.nodes {
            for kind in [ForkKind::Data, ForkKind::Resource] {
                if let Some(fork) = node.fork(kind) {
                    self.write_content(image, &fork.content, placed.get(node.id, kind));
                }
            }
        }
        for (key, extents) in &attrs.extents {
            self.write_content(image, &self.xattrs[*key].value, extents);
        }
    }

    fn write_content(&self, image: &mut Image, content: &Content, extents: &[Extent]) {
        if matches!(content, Content::Empty | Content::Zeros(_)) {
            return;
        }
        let mut done = 0;
        for &extent in extents {
            let len = u64::from(extent.count) * u64::from(self.options.block_size);
            let part = len.min(content.len() - done);
            let mut at = 0;
            while at < part {
                let mut buf = vec![0; (part - at).min(1 << 20) as usize];
                content.read(done + at, &mut buf);
                image.write_at(self.byte(extent) + at, &buf);
                at += buf.len() as u64;
            }
            done += part;
        }
    }

    fn write_journal(&self, image: &mut Image, layout: &Layout) {
        let (Some(info), Some((at, len))) = (layout.journal_info, layout.journal) else { return };
        let needs_init = self.options.journal_needs_init;
        image.write_at(info, &journal::info_block(if needs_init { 5 } else { 1 }, at, len));
        if !needs_init {
            image.write_at(at, &journal::empty_header(len, self.options.seed as u32 | 1));
        }
    }

    fn header(&self, catalog: &CatalogRecords, alloc: &Allocator, layout: &Layout) -> Vec<u8> {
        let o = &self.options;
        let (files, folders) = catalog.files_and_folders();
        let newest = self.nodes.iter().map(|n| n.meta.modified).max().unwrap_or(o.date());
        let journaled = o.journaled();
        let mut out = Vec::new();
        out.extend_from_slice(if o.hfsx { b"HX" } else { b"H+" });
        out.be16(if o.hfsx { 5 } else { 4 });
        let spared = if o.bad_blocks > 0 { 0x200 } else { 0 };
        out.be32(0x8000_0100 | spared | if journaled { 0x2000 } else { 0 });
        out.extend_from_slice(if journaled && !o.journal_needs_init { b"HFSJ" } else { b"10.0" });
        out.be32(layout.journal_info.map_or(0, |at| (at / u64::from(o.block_size)) as u32));
        out.be32(o.date().wrapping_add_signed(o.utc_offset));
        out.be32(newest);
        out.be32(0);
        out.be32(o.date());
        out.be32(files);
        out.be32(folders - 1);
        out.be32(o.block_size);
        out.be32(o.total_blocks());
        out.be32(alloc.free());
        out.be32(alloc.cursor());
        out.be32(65_536);
        out.be32(65_536);
        out.be32(self.next_cnid());
        out.be32(self.nodes.len() as u32);
        out.be64(catalog::encodings(self));
        out.zeros(24);
        out.be64(splitmix(o.seed));
        put_special_fork(&mut out, &layout.bitmap, o);
        put_special_fork(&mut out, &layout.extents.extents, o);
        put_special_fork(&mut out, &layout.catalog.extents, o);
        let attributes = layout.attributes.as_ref().map_or(&[][..], |t| &t.extents);
        put_special_fork(&mut out, attributes, o);
        out.zeros(80);
        out
    }
}

/// How many extents `Allocator::scatter` makes.
fn pieces(blocks: u32, wanted: u32, grain: u32) -> u32 {
    if blocks == 0 { 0 } else { wanted.clamp(1, (blocks / grain).max(1)) }
}

fn catalog_kind(options: &super::options::VolumeOptions) -> super::btree::TreeKind {
    let compare = if options.hfsx && options.case_sensitive { 0xBC } else { 0xCF };
    super::btree::TreeKind { max_key: 516, compare, attributes: 6 }
}

/// The clump is the file's length, but as Apple wants it at most a quarter of the volume.
fn put_special_fork(
    out: &mut Vec<u8>,
    extents: &[Extent],
    options: &super::options::VolumeOptions,
) {
    let blocks: u32 = extents.iter().map(|e| e.count).sum();
    let clump = blocks.min(options.total_blocks() / 4);
    out.be64(u64::from(blocks) * u64::from(options.block_size));
    out.be32((u64::from(clump) * u64::from(options.block_size)) as u32);
    out.be32(blocks);
    super::attributes::put_eight(extents, 0, out);
}

fn write_tree(
    image: &mut Image,
    tree: &TreeLayout,
    plan: &Plan,
    kind: super::btree::TreeKind,
    records: &dyn super::btree::Records,
) {
    plan.emit(kind, records, &mut |number, node| image.write_at(tree.node(number), node));
}
