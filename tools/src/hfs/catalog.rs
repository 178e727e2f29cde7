//! Catalog records: folders, files, links and threads.

use std::collections::HashMap;

use super::alloc::{Extent, Placements};
use super::attributes::put_eight;
use super::btree::Records;
use super::builder::{DIR_PRIVATE, SECURITY, VolumeBuilder};
use super::model::*;
use super::names::{NameOrder, compare, utf16};
use crate::bytes::Put;

/// What the records need that is counted over the whole tree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub valence: u32,
    pub folders: u32,
    pub flags: u16,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub parent: Cnid,
    pub node: u32,
    pub thread: bool,
}

/// The catalog in key order. The placements are only needed for its contents.
pub(crate) struct CatalogRecords<'a> {
    pub volume: &'a VolumeBuilder,
    pub entries: Vec<Entry>,
    pub counted: Vec<Counted>,
    pub placements: Placements,
}

impl<'a> CatalogRecords<'a> {
    pub fn new(volume: &'a VolumeBuilder) -> Self {
        let counted = count(volume);
        let entries = sorted(volume);
        CatalogRecords { volume, entries, counted, placements: Placements::default() }
    }

    /// Numbers of file and folder records, links among the files.
    pub fn files_and_folders(&self) -> (u32, u32) {
        let records = self.entries.iter().filter(|e| !e.thread);
        records.fold((0, 0), |(files, folders), e| {
            match self.volume.nodes[e.node as usize].is_folder() {
                true => (files, folders + 1),
                false => (files + 1, folders),
            }
        })
    }

    fn node(&self, i: usize) -> (&Entry, &Node) {
        let entry = &self.entries[i];
        (entry, &self.volume.nodes[entry.node as usize])
    }

    fn put_thread(&self, node: &Node, out: &mut Vec<u8>) {
        out.be16(if node.is_folder() { 3 } else { 4 });
        out.be16(0);
        out.be32(node.parent);
        out.be16(node.name.len() as u16);
        out.utf16be(&node.name);
    }

    fn put_record(&self, entry: &Entry, node: &Node, out: &mut Vec<u8>) {
        let counted = &self.counted[entry.node as usize];
        let meta = &node.meta;
        let folder = node.is_folder();
        let added = if meta.date_added.is_some() { 0x80 } else { 0 };
        let thread = if folder { 0 } else { 2 };
        out.be16(if folder { 1 } else { 2 });
        out.be16(node.flags | counted.flags | added | thread);
        out.be32(if folder { counted.valence } else { node.first_link });
        out.be32(node.id);
        let dates = [meta.created, meta.modified, meta.changed, meta.accessed, meta.backed_up];
        dates.iter().for_each(|&d| out.be32(d));
        out.be32(meta.uid);
        out.be32(meta.gid);
        out.u8((meta.bsd_flags >> 16) as u8);
        out.u8(meta.bsd_flags as u8);
        out.be16(meta.mode);
        out.be32(node.special);
        let mut finder = meta.finder_info;
        if let Some(added) = meta.date_added {
            finder[20..24].copy_from_slice(&added.to_be_bytes());
        }
        out.extend_from_slice(&finder);
        out.be32(meta.text_encoding);
        if folder {
            out.be32(counted.folders);
            return;
        }
        out.be32(0);
        for kind in [ForkKind::Data, ForkKind::Resource] {
            let len = node.fork(kind).map_or(0, |f| f.content.len());
            let extents = self.placements.get(node.id, kind);
            put_fork(len, self.volume.options.block_size, extents, out);
        }
    }
}

/// Appends an 80-byte fork: size, clump, blocks, eight extents. The clump size of files is 0.
pub(crate) fn put_fork(len: u64, _block_size: u32, extents: &[Extent], out: &mut Vec<u8>) {
    out.be64(len);
    out.be32(0);
    out.be32(extents.iter().map(|e| e.count).sum());
    put_eight(extents, 0, out);
}

impl Records for CatalogRecords<'_> {
    fn count(&self) -> usize {
        self.entries.len()
    }

    fn key_len(&self, i: usize) -> usize {
        let (entry, node) = self.node(i);
        if entry.thread { 8 } else { 8 + 2 * node.name.len() }
    }

    fn data_len(&self, i: usize) -> usize {
        let (entry, node) = self.node(i);
        match (entry.thread, node.is_folder()) {
            (true, _) => 10 + 2 * node.name.len(),
            (false, true) => 88,
            (false, false) => 248,
        }
    }

    fn put_key(&self, i: usize, out: &mut Vec<u8>) {
        let (entry, node) = self.node(i);
        let name: &[u16] = if entry.thread { &[] } else { &node.name };
        out.be16(6 + 2 * name.len() as u16);
        out.be32(entry.parent);
        out.be16(name.len() as u16);
        out.utf16be(name);
    }

    fn put_data(&self, i: usize, out: &mut Vec<u8>) {
        let (entry, node) = self.node(i);
        if entry.thread { self.put_thread(node, out) } else { self.put_record(entry, node, out) }
    }
}

fn sorted(volume: &VolumeBuilder) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(2 * volume.nodes.len());
    for (i, node) in volume.nodes.iter().enumerate() {
        if !volume.omitted_records.contains(&node.id) {
            entries.push(Entry { parent: node.parent, node: i as u32, thread: false });
        }
        if !volume.omitted_threads.contains(&node.id) {
            entries.push(Entry { parent: node.id, node: i as u32, thread: true });
        }
    }
    let order = volume.options.order();
    let name =
        |e: &Entry| -> &[u16] { if e.thread { &[] } else { &volume.nodes[e.node as usize].name } };
    entries.sort_unstable_by(|a, b| {
        a.parent.cmp(&b.parent).then_with(|| compare(order, name(a), name(b)))
    });
    for pair in entries.windows(2) {
        let twice = pair[0].parent == pair[1].parent
            && compare(order, name(&pair[0]), name(&pair[1])).is_eq();
        assert!(!twice, "two objects with one name in folder {}", pair[0].parent);
    }
    entries
}

fn count(volume: &VolumeBuilder) -> Vec<Counted> {
    let mut out = vec![Counted::default(); volume.nodes.len()];
    let at = |id: Cnid| volume.index.get(&id).map(|&i| i as usize);
    for node in volume.nodes.iter().filter(|n| n.parent != 1) {
        let Some(parent) = at(node.parent) else { continue };
        if !volume.omitted_records.contains(&node.id) {
            out[parent].valence += 1;
            out[parent].folders += u32::from(matches!(node.kind, Kind::Folder | Kind::DirLink));
        }
    }
    for node in volume.nodes.iter().filter(|n| n.kind == Kind::DirLink) {
        flag_ancestors(volume, node.parent, &mut out);
    }
    for (id, name) in volume.xattrs.keys() {
        let Some(i) = at(*id) else { continue };
        out[i].flags |= 0x04;
        if *name == utf16(SECURITY) {
            out[i].flags |= 0x08;
        }
    }
    for (node, counted) in volume.nodes.iter().zip(&mut out) {
        if !node.is_folder() {
            continue;
        }
        if volume.options.hfsx {
            counted.flags |= 0x10;
        } else {
            counted.folders = 0;
        }
    }
    out
}

/// Sets "has a directory hard link below" from `id` up to the root or private directory.
fn flag_ancestors(volume: &VolumeBuilder, mut id: Cnid, out: &mut [Counted]) {
    while id != ROOT && id != volume.dir_private {
        let Some(&i) = volume.index.get(&id) else { return };
        let counted = &mut out[i as usize];
        if counted.flags & 0x40 != 0 {
            return;
        }
        counted.flags |= 0x40;
        id = volume.nodes[i as usize].parent;
    }
}

/// The bits of the encodings bitmap that the nodes need.
pub(crate) fn encodings(volume: &VolumeBuilder) -> u64 {
    volume.nodes.iter().fold(1, |bits, node| {
        bits | match node.meta.text_encoding {
            152 => 1 << 48,
            140 => 1 << 49,
            n if n < 48 => 1 << n,
            _ => 1,
        }
    })
}

/// The path of each folder's name, for messages and manifests.
pub(crate) fn children(volume: &VolumeBuilder) -> HashMap<Cnid, Vec<u32>> {
    let mut out: HashMap<Cnid, Vec<u32>> = HashMap::new();
    let hidden = utf16(DIR_PRIVATE);
    for (i, node) in volume.nodes.iter().enumerate() {
        let private = node.id == volume.file_private || *node.name == *hidden;
        let journal = volume.journal_ids.is_some_and(|(a, b)| node.id == a || node.id == b);
        if !private && !journal && node.parent != 1 {
            out.entry(node.parent).or_default().push(i as u32);
        }
    }
    for list in out.values_mut() {
        let name = |i: &u32| &volume.nodes[*i as usize].name;
        list.sort_by(|a, b| compare(NameOrder::Binary, name(a), name(b)));
    }
    out
}
