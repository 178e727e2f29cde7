//! Journals that must be replayed: transactions, torn volumes and damage to them.

use std::collections::BTreeMap;

use super::{JOURNAL_BLOCK, Order, block_list_size, checksum, header};
use crate::bytes::put;
use crate::hfs::{Layout, Tree, Volume};
use crate::image::Image;

/// Where the transactions lie in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// One after the other, not past the end of the ring.
    No,
    /// The data of a transaction goes round the end.
    Data,
    /// A block-list header goes round the end.
    Header,
}

/// What is wrong with the journal. All but the last two spoil the last transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalDamage {
    /// Its block-list header does not match its checksum.
    BlockListChecksum,
    /// A block does not match its checksum.
    BlockChecksum,
    /// Its sequence number is neither the last one nor the next.
    Sequence,
    /// `num_blocks` is greater than `max_blocks`.
    BlockCount,
    /// A block has a negative number other than -1.
    NegativeBlock,
    /// A block has no length.
    EmptyBlock,
    /// The journal header does not match its checksum.
    HeaderChecksum,
    /// The journal header has no magic number.
    HeaderMagic,
}

impl JournalDamage {
    /// Every kind of damage with its name.
    pub const ALL: [(&str, JournalDamage); 8] = [
        ("journal-block-list-checksum", JournalDamage::BlockListChecksum),
        ("journal-block-checksum", JournalDamage::BlockChecksum),
        ("journal-sequence", JournalDamage::Sequence),
        ("journal-block-count", JournalDamage::BlockCount),
        ("journal-negative-block", JournalDamage::NegativeBlock),
        ("journal-empty-block", JournalDamage::EmptyBlock),
        ("journal-header-checksum", JournalDamage::HeaderChecksum),
        ("journal-header-magic", JournalDamage::HeaderMagic),
    ];
}

/// How a dirty journal is written.
#[derive(Clone, Debug)]
pub struct Dirty {
    /// Byte order of a PowerPC Mac.
    pub big_endian: bool,
    /// Where in the ring.
    pub wrap: Wrap,
    /// Number of transactions.
    pub transactions: usize,
    /// Blocks in one block-list header; a transaction with more takes several headers.
    pub blocks_per_header: usize,
    /// Checksum every block.
    pub block_checksums: bool,
    /// Put a killed block (number -1) into the first transaction.
    pub killed_block: bool,
    /// Let the first transaction also write an old copy of a block that the last one writes.
    pub overwrite: bool,
    /// Let the journal header's end stop before the last transaction.
    pub past_end: bool,
    /// Sequence number of the first transaction.
    pub sequence: u32,
    /// What to break.
    pub damage: Option<JournalDamage>,
}

impl Default for Dirty {
    fn default() -> Self {
        Dirty {
            big_endian: false,
            wrap: Wrap::No,
            transactions: 3,
            blocks_per_header: 500,
            block_checksums: true,
            killed_block: true,
            overwrite: true,
            past_end: false,
            sequence: 1001,
            damage: None,
        }
    }
}

/// A volume with a dirty journal.
#[derive(Clone, Debug)]
pub struct Torn {
    /// What is on the disk: old metadata and a journal to be replayed.
    pub image: Image,
    /// What a reader must see after replaying what can be replayed; the journal as in `image`.
    pub replayed: Image,
    /// Number of transactions that must be replayed.
    pub good: usize,
}

/// One block to be written: device byte offset (`None` for a killed block) and bytes.
type Block = (Option<u64>, Vec<u8>);

/// A torn volume between two states of one volume, which must have the same layout of special
/// files: metadata of `old`, contents of `new`, and a journal that leads from one to the other.
pub fn between(old: &Volume, new: &Volume, how: &Dirty) -> Torn {
    assert_eq!(old.layout.journal, new.layout.journal, "the states differ in layout");
    let mut blocks = Vec::new();
    for (at, len) in metadata(&new.layout) {
        let bytes = new.image.read(at, len as usize);
        if old.image.read(at, len as usize) != bytes {
            blocks.push((at, bytes));
        }
    }
    let mut image = new.image.clone();
    for (at, bytes) in &blocks {
        image.write_at(*at, &old.image.read(*at, bytes.len()));
    }
    tear(image, &new.layout, blocks, how)
}

/// A torn volume whose leaves of catalog and attributes are zero on disk and whole in the journal.
pub fn without_leaves(volume: &Volume, how: &Dirty) -> Torn {
    let mut image = volume.image.clone();
    let mut blocks = Vec::new();
    for tree in [Tree::Catalog, Tree::Attributes] {
        let Some(tree) = volume.layout.tree(tree) else { continue };
        for &leaf in &tree.leaves {
            let at = tree.node(leaf);
            blocks.push((at, image.read(at, tree.node_size as usize)));
            image.fill(at, u64::from(tree.node_size), 0);
        }
    }
    tear(image, &volume.layout, blocks, how)
}

/// Ranges of metadata: header, bitmap, trees, in units that the journal would write.
fn metadata(layout: &Layout) -> Vec<(u64, u64)> {
    let block = u64::from(layout.block_size);
    let mut out = vec![(layout.header(), 512)];
    for extent in &layout.bitmap {
        out.extend((extent.start..extent.start + extent.count).map(|b| (layout.block(b), block)));
    }
    for tree in [Tree::Extents, Tree::Catalog, Tree::Attributes] {
        let Some(tree) = layout.tree(tree) else { continue };
        let size = u64::from(tree.node_size);
        out.extend((0..tree.total_nodes).map(|n| (tree.node(n), size)));
    }
    out.push((layout.alternate(), 512));
    out
}

fn tear(image: Image, layout: &Layout, blocks: Vec<(u64, Vec<u8>)>, how: &Dirty) -> Torn {
    let (at, len) = layout.journal.expect("a journaled volume");
    assert!(blocks.len() >= how.transactions, "fewer blocks than transactions");
    let transactions = split(&image, blocks, how);
    let writer = Writer {
        order: Order { big: how.big_endian },
        base: layout.base,
        at,
        len,
        list_size: block_list_size(len),
        how,
    };
    writer.write(image, &transactions)
}

fn split(image: &Image, blocks: Vec<(u64, Vec<u8>)>, how: &Dirty) -> Vec<Vec<Block>> {
    let per = blocks.len().div_ceil(how.transactions);
    let last = blocks.last().cloned();
    let mut out: Vec<Vec<Block>> = blocks
        .chunks(per)
        .map(|part| part.iter().map(|(at, b)| (Some(*at), b.clone())).collect())
        .collect();
    if let (true, Some((at, bytes))) = (how.overwrite && out.len() > 1, last) {
        let mut stale = image.read(at, bytes.len());
        stale.reverse();
        out[0].push((Some(at), stale));
    }
    if how.killed_block {
        out[0].insert(0, (None, vec![0xEE; 4096]));
    }
    out
}

struct Writer<'a> {
    order: Order,
    base: u64,
    at: u64,
    len: u64,
    list_size: u32,
    how: &'a Dirty,
}

impl Writer<'_> {
    fn write(&self, mut image: Image, transactions: &[Vec<Block>]) -> Torn {
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        for (i, blocks) in transactions.iter().enumerate() {
            let last = i + 1 == transactions.len();
            stream.extend(self.transaction(i as u32, blocks, last));
            ends.push(stream.len() as u64);
        }
        let room = self.len - JOURNAL_BLOCK;
        assert!(stream.len() as u64 <= room, "the journal is too small");
        let start = self.start(transactions);
        self.write_ring(&mut image, start, &stream);
        let shown = match (self.how.past_end, ends.len()) {
            (true, n) if n > 1 => ends[n - 2],
            (_, n) => ends[n - 1],
        };
        let end = JOURNAL_BLOCK + (start - JOURNAL_BLOCK + shown) % room;
        let mut head = header(self.order, start, end, self.len, self.how.sequence);
        match self.how.damage {
            Some(JournalDamage::HeaderChecksum) => head[36] ^= 1,
            Some(JournalDamage::HeaderMagic) => head[0] ^= 0xFF,
            _ => {}
        }
        image.write_at(self.at, &head);
        let good = match self.how.damage {
            None => transactions.len(),
            Some(JournalDamage::HeaderChecksum | JournalDamage::HeaderMagic) => 0,
            Some(_) => transactions.len() - 1,
        };
        let mut replayed = image.clone();
        for (at, bytes) in transactions[..good].iter().flatten() {
            if let Some(at) = at {
                replayed.write_at(*at, bytes);
            }
        }
        Torn { image, replayed, good }
    }

    /// Offset in the journal of the first transaction.
    fn start(&self, transactions: &[Vec<Block>]) -> u64 {
        let first: usize = transactions[0].iter().map(|b| b.1.len()).sum();
        match self.how.wrap {
            Wrap::No => JOURNAL_BLOCK,
            Wrap::Header => self.len - JOURNAL_BLOCK,
            Wrap::Data => {
                let half = (first as u64 / 2).next_multiple_of(JOURNAL_BLOCK);
                self.len - u64::from(self.list_size) - half
            }
        }
    }

    fn write_ring(&self, image: &mut Image, start: u64, stream: &[u8]) {
        let fits = (self.len - start).min(stream.len() as u64) as usize;
        image.write_at(self.at + start, &stream[..fits]);
        image.write_at(self.at + JOURNAL_BLOCK, &stream[fits..]);
    }

    fn transaction(&self, number: u32, blocks: &[Block], last: bool) -> Vec<u8> {
        let lists: Vec<&[Block]> = blocks.chunks(self.how.blocks_per_header).collect();
        let mut out = Vec::new();
        for (i, list) in lists.iter().enumerate() {
            let spoil = last && i + 1 == lists.len();
            out.extend(self.block_list(number, i == 0, list, spoil));
        }
        out
    }

    fn block_list(&self, number: u32, first: bool, blocks: &[Block], spoil: bool) -> Vec<u8> {
        let damage = self.how.damage.filter(|_| spoil);
        let order = self.order;
        let max = self.list_size / 16 - 1;
        assert!(blocks.len() < max as usize, "too many blocks for a header");
        let used = self.list_size as usize + blocks.iter().map(|b| b.1.len()).sum::<usize>();
        let mut out = vec![0x5A; self.list_size as usize];
        let shown = match damage {
            Some(JournalDamage::BlockCount) => max as u16 + 7,
            _ => blocks.len() as u16 + 1,
        };
        put(&mut out, 0, &order.u16(max as u16));
        put(&mut out, 2, &order.u16(shown));
        put(&mut out, 4, &order.u32(used as u32));
        put(&mut out, 8, &[0; 4]);
        let flags = u32::from(self.how.block_checksums) | if first { 2 } else { 0 };
        put(&mut out, 12, &order.u32(flags));
        let jump = if damage == Some(JournalDamage::Sequence) { 50 } else { 0 };
        put(&mut out, 16, &[0; 12]);
        put(&mut out, 28, &order.u32(self.how.sequence + number + jump));
        for (i, (at, bytes)) in blocks.iter().enumerate() {
            put(&mut out, 32 + 16 * i, &self.block_info(*at, bytes, damage, i));
        }
        let sum = checksum(&out[..32]);
        let bad = u32::from(damage == Some(JournalDamage::BlockListChecksum));
        put(&mut out, 8, &order.u32(sum ^ bad));
        blocks.iter().for_each(|b| out.extend_from_slice(&b.1));
        out
    }

    fn block_info(
        &self,
        at: Option<u64>,
        bytes: &[u8],
        damage: Option<JournalDamage>,
        i: usize,
    ) -> Vec<u8> {
        let damage = damage.filter(|_| i == 0);
        let mut number = at.map_or(u64::MAX, |at| (at - self.base) / JOURNAL_BLOCK);
        let mut size = bytes.len() as u32;
        let mut sum = if self.how.block_checksums { checksum(bytes) } else { 0 };
        match damage {
            Some(JournalDamage::NegativeBlock) => number = u64::MAX - 4,
            Some(JournalDamage::EmptyBlock) => size = 0,
            Some(JournalDamage::BlockChecksum) => sum ^= 1,
            _ => {}
        }
        let mut out = Vec::new();
        out.extend_from_slice(&self.order.u64(number));
        out.extend_from_slice(&self.order.u32(size));
        out.extend_from_slice(&self.order.u32(sum));
        out
    }
}

/// The ranges in which two images of one length differ, in 512-byte sectors: (offset, length).
pub fn differences(a: &Image, b: &Image) -> Vec<(u64, u64)> {
    assert_eq!(a.len(), b.len());
    let mut sectors = BTreeMap::new();
    for (start, len) in a.stored_ranges().chain(b.stored_ranges()) {
        for at in (start..start + len).step_by(512) {
            let n = (a.len() - at).min(512);
            if a.read(at, n as usize) != b.read(at, n as usize) {
                sectors.insert(at, n);
            }
        }
    }
    sectors.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};

    fn states() -> (Volume, Volume) {
        let options = VolumeOptions { catalog_nodes: 64, ..VolumeOptions::default() };
        let mut builder = VolumeBuilder::new(options);
        let root = builder.root();
        let dir = builder.mkdir(root, "dir", Meta::dir());
        for i in 0..40 {
            builder.file(dir, &format!("old {i}"), Content::text(i, 900), Meta::file());
        }
        let old = builder.build();
        for i in 0..40 {
            builder.file(dir, &format!("new {i}"), Content::text(i, 900), Meta::file());
        }
        (old, builder.build())
    }

    #[test]
    fn replaying_gives_the_new_state() {
        let (old, new) = states();
        for wrap in [Wrap::No, Wrap::Data, Wrap::Header] {
            for big_endian in [false, true] {
                let how = Dirty { wrap, big_endian, ..Dirty::default() };
                let torn = between(&old, &new, &how);
                assert_ne!(torn.image, torn.replayed);
                let (at, len) = new.layout.journal.unwrap();
                let outside = |(start, _): &(u64, u64)| *start < at || *start >= at + len;
                let left = differences(&torn.replayed, &new.image);
                assert_eq!(left.iter().filter(|d| outside(d)).count(), 0);
            }
        }
    }

    #[test]
    fn damage_spoils_the_last_transaction_only() {
        let (old, new) = states();
        for (_, damage) in JournalDamage::ALL {
            let how = Dirty { damage: Some(damage), ..Dirty::default() };
            let torn = between(&old, &new, &how);
            assert!(torn.good < 3);
        }
    }
}
