//! Finding the place to hit.

use crate::bytes::{be16, be32, be64};
use crate::hfs::{Cnid, Layout, RecordPlace, Tree, TreeLayout};
use crate::image::Image;

pub(super) struct Target<'a> {
    pub image: &'a mut Image,
    pub layout: &'a Layout,
}

/// A catalog record: place, key and the bytes after it.
pub(super) struct Found {
    pub place: RecordPlace,
    pub data: Vec<u8>,
    pub parent: Cnid,
}

impl Found {
    pub fn kind(&self) -> u16 {
        be16(&self.data, 0)
    }
    pub fn flags(&self) -> u16 {
        be16(&self.data, 2)
    }
    pub fn id(&self) -> Cnid {
        be32(&self.data, 8)
    }
    pub fn mode(&self) -> u16 {
        be16(&self.data, 42)
    }
    pub fn finder_type(&self) -> &[u8] {
        &self.data[48..52]
    }
    /// Blocks of the data fork.
    pub fn blocks(&self) -> u32 {
        be32(&self.data, 100)
    }
    pub fn size(&self) -> u64 {
        be64(&self.data, 88)
    }
    /// Byte offset of the record's field at `at`.
    pub fn at(&self, at: u64) -> u64 {
        self.place.data + at
    }
}

impl Target<'_> {
    /// Writes bytes and returns where.
    pub fn poke(&mut self, at: u64, bytes: &[u8]) -> Option<u64> {
        self.image.write_at(at, bytes);
        Some(at)
    }

    pub fn poke16(&mut self, at: u64, value: u16) -> Option<u64> {
        self.poke(at, &value.to_be_bytes())
    }

    pub fn poke32(&mut self, at: u64, value: u32) -> Option<u64> {
        self.poke(at, &value.to_be_bytes())
    }

    pub fn get16(&self, at: u64) -> u16 {
        be16(&self.image.read(at, 2), 0)
    }

    pub fn get32(&self, at: u64) -> u32 {
        be32(&self.image.read(at, 4), 0)
    }

    pub fn flip(&mut self, at: u64, mask: u8) -> Option<u64> {
        self.image.edit(at, 1, |b| b[0] ^= mask);
        Some(at)
    }

    pub fn add32(&mut self, at: u64, more: i32) -> Option<u64> {
        let value = self.get32(at).wrapping_add_signed(more);
        self.poke32(at, value)
    }

    pub fn tree(&self, tree: Tree) -> Option<&TreeLayout> {
        self.layout.tree(tree)
    }

    /// The first record of the catalog, in key order, that `wanted` takes.
    pub fn find(&self, wanted: impl Fn(&Found) -> bool) -> Option<Found> {
        self.records(wanted).into_iter().next()
    }

    /// All file and folder records that `wanted` takes. Threads are left out.
    pub fn records(&self, wanted: impl Fn(&Found) -> bool) -> Vec<Found> {
        let tree = &self.layout.catalog;
        let mut out = Vec::new();
        for &leaf in &tree.leaves {
            for index in 0..tree.records(self.image, leaf) {
                let key = tree.record(self.image, leaf, index);
                let head = self.image.read(key, 6);
                let data = key + 2 + u64::from(be16(&head, 0).next_multiple_of(2));
                let len = match self.get16(data) {
                    1 => 88,
                    2 => 248,
                    _ => continue,
                };
                let place = RecordPlace { node: leaf, index, key, data, order: 0 };
                let data = self.image.read(data, len);
                let found = Found { place, data, parent: be32(&head, 2) };
                if wanted(&found) {
                    out.push(found);
                }
            }
        }
        out
    }

    /// The first ordinary file with a data fork of its own.
    pub fn file(&self) -> Option<Found> {
        self.find(|f| f.is_plain_file() && f.blocks() > 0)
    }

    /// The first ordinary folder with something in it.
    pub fn folder(&self) -> Option<Found> {
        let (files, folders) = self.layout.private;
        self.find(|f| {
            let own = ![2, files, folders].contains(&f.id());
            f.kind() == 1 && own && f.flags() & 0x20 == 0 && be32(&f.data, 4) > 0
        })
    }
}

impl Found {
    /// A regular file that is neither link, inode nor part of the journal.
    pub fn is_plain_file(&self) -> bool {
        let special: [&[u8]; 3] = [b"hlnk", b"fdrp", b"jrnl"];
        self.kind() == 2
            && self.mode() & 0o170_000 == 0o100_000
            && self.flags() & 0x20 == 0
            && !special.contains(&self.finder_type())
    }

    pub fn is_file_link(&self) -> bool {
        self.finder_type() == b"hlnk"
    }

    pub fn is_dir_link(&self) -> bool {
        self.finder_type() == b"fdrp"
    }
}
