//! What each byte of a container's metadata means, from the layout the writer chose.
//!
//! A field's rule says which changes a checker can see *once the object's checksum is made right
//! again* (`Object::reseal`); before that, any change of a checksummed object shows.

mod container;
mod nodes;
mod records;
mod volume;

use super::container::Built;
use super::layout::{Layout, Place, What};
use super::object::kind;
use crate::fields::{Field, Rule};
use crate::image::Image;

/// An object: a run of blocks with one checksum, or bare blocks.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Byte offset on the disk.
    pub at: u64,
    /// Length in bytes.
    pub len: u64,
    /// Whether it carries a checksum that can be made right again.
    pub sealed: bool,
    /// Whether it is encrypted as a whole, so that no field of it can be told.
    pub encrypted: bool,
    /// What it is.
    pub what: What,
}

impl Object {
    /// Whether a reader reads it. Older checkpoints are read where the newest is broken.
    pub fn is_used(&self) -> bool {
        !matches!(self.what, What::OldCheckpoint)
    }

    /// Makes the checksum right again.
    pub fn reseal(&self, image: &mut Image) {
        if self.sealed {
            image.edit(self.at, self.len as usize, super::object::reseal);
        }
    }
}

/// A row of a table of fields: offset in the structure, length, name, rule.
type Row = (u64, u32, &'static str, Rule);

/// The bits of a little-endian field of `len` bytes that matter; rules count from the first byte.
const fn bits(mask: u64, len: u32) -> Rule {
    Rule::Bits(mask.swap_bytes() >> (64 - 8 * len))
}

/// Stands for: a transaction that is newer than the newest checkpoint.
const XID: Rule = Rule::LittleOutside(0);

struct Sink<'a> {
    image: &'a Image,
    layout: &'a Layout,
    structure: &'static str,
    /// Transaction of the newest checkpoint.
    newest: u64,
    out: Vec<Field>,
}

impl Sink<'_> {
    fn add(&mut self, at: u64, len: u64, name: &'static str, rule: Rule) {
        if len > 0 {
            let structure = self.structure;
            let rule = if rule == XID { Rule::LittleOutside(self.newest) } else { rule };
            self.out.push(Field { at, len: len as u32, structure, name, rule });
        }
    }

    /// Adds fields of a structure at `base` that end at `end`; what no row tells of is unused.
    fn rows(&mut self, base: u64, end: u64, rows: &[Row]) {
        let mut next = base;
        for &(offset, len, name, rule) in rows {
            self.add(next, base + offset - next, "reserved", Rule::Never);
            self.add(base + offset, len.into(), name, rule);
            next = base + offset + u64::from(len);
        }
        self.add(next, end - next, "unused", Rule::Never);
    }

    /// The same for rows of an object at `at` that begin at offset `from`.
    fn rows_from(&mut self, at: u64, from: u64, end: u64, rows: &[Row]) {
        let shifted: Vec<Row> = rows.iter().map(|&(o, l, n, r)| (o - from, l, n, r)).collect();
        self.rows(at + from, end, &shifted);
    }

    fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.image.read(at, 2).try_into().unwrap())
    }

    fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.image.read(at, 4).try_into().unwrap())
    }

    fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.image.read(at, 8).try_into().unwrap())
    }

    /// The header of a physical, virtual or ephemeral object.
    fn header(&mut self, at: u64, xid: Rule) {
        // A checksum that is made right again is what it was.
        self.add(at, 8, "checksum", Rule::Never);
        self.add(at + 8, 8, "oid", Rule::Every);
        self.add(at + 16, 8, "xid", xid);
        self.add(at + 24, 4, "type", Rule::Every);
        self.add(at + 28, 4, "subtype", Rule::Every);
    }
}

/// All objects of a container, in the layout's order, without file data.
pub fn objects(layout: &Layout) -> Vec<Object> {
    let encrypted = |place: &Place| match place.what {
        What::ContainerKeybag | What::VolumeKeybag(_) => true,
        What::Node { volume: Some(v), tree, .. } => {
            tree.subtype == kind::FS_TREE && has_keys(layout, v)
        }
        What::SnapMetaExt(v) => has_keys(layout, v),
        _ => false,
    };
    let object = |place: &Place| {
        let encrypted = encrypted(place);
        let bare = matches!(place.what, What::Bitmap { .. } | What::PoolBitmap { .. });
        Object {
            at: layout.byte(place.address),
            len: place.count * layout.block_size,
            sealed: !bare && !encrypted,
            encrypted,
            what: place.what,
        }
    };
    layout.places.iter().filter(|p| !matches!(p.what, What::Data(_))).map(object).collect()
}

/// Whether a volume is encrypted.
fn has_keys(layout: &Layout, volume: u32) -> bool {
    layout.find(|w| matches!(w, What::VolumeKeybag(of) if *of == volume)).next().is_some()
}

/// Every field of the metadata.
pub fn of(built: &Built) -> Vec<Field> {
    let (image, layout) = (&built.image, &built.layout);
    let mut sink = Sink { image, layout, structure: "", newest: 0, out: Vec::new() };
    let newest = layout.find(|w| matches!(w, What::Superblock)).next();
    sink.newest = newest.map_or(0, |place| sink.u64(layout.byte(place.address) + 16));
    for object in objects(&built.layout) {
        one(&mut sink, &object);
    }
    sink.out
}

fn one(s: &mut Sink, object: &Object) {
    let (at, end) = (object.at, object.at + object.len);
    match object.what {
        _ if object.encrypted => container::whole(s, at, end, "encrypted object", Rule::Every),
        What::BlockZero if s.u64(at + 16) < s.newest => container::old_block_zero(s, at, end),
        What::BlockZero => container::superblock(s, at, end, "block 0"),
        What::Superblock if s.u64(s.layout.byte(0) + 16) < s.newest => {
            container::lone_superblock(s, at, end);
        }
        What::Superblock => container::superblock(s, at, end, "superblock"),
        What::CheckpointMap => container::checkpoint_map(s, at, end),
        What::OldCheckpoint => container::old_checkpoint(s, at, end),
        What::Spaceman => container::spaceman(s, at, end),
        What::Reaper => container::reaper(s, at, end),
        What::ReapList => container::reap_list(s, at, end),
        What::Omap(_) => volume::omap(s, at, end),
        What::Node { tree, .. } => nodes::node(s, at, end, tree),
        What::FreeQueueNode => nodes::node(s, at, end, &super::node::FREE_QUEUE_TREE),
        What::Volume(v) => volume::superblock(s, at, end, (true, has_keys(s.layout, v))),
        What::VolumeCopy(_) => volume::superblock(s, at, end, (false, false)),
        What::SnapMetaExt(_) => volume::snap_meta_ext(s, at, end),
        What::Cib => container::cib(s, at, end),
        What::Cab => container::cab(s, at, end),
        What::Bitmap { .. } => container::whole(s, at, end, "chunk bitmap", Rule::Every),
        What::PoolBitmap { part } => container::pool_bitmap(s, at, end, part),
        What::ContainerKeybag | What::VolumeKeybag(_) | What::Integrity(_) | What::Data(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apfs::samples;

    #[test]
    fn every_byte_of_metadata_has_one_meaning() {
        for kind in
            ["basic", "folded", "everything", "fragmented", "small", "tombstones", "volumes"]
        {
            let built = samples::sample(kind).unwrap();
            let mut fields = of(&built);
            fields.sort_by_key(|f| f.at);
            for pair in fields.windows(2) {
                assert!(pair[0].at + u64::from(pair[0].len) <= pair[1].at, "{kind}: {pair:#?}");
            }
            let told: u64 = fields.iter().map(|f| u64::from(f.len)).sum();
            let all: u64 = objects(&built.layout).iter().map(|o| o.len).sum();
            assert_eq!(told, all, "{kind}");
        }
    }

    #[test]
    fn resealing_gives_the_checksum_back() {
        for kind in ["everything", "volumes"] {
            let built = samples::sample(kind).unwrap();
            let mut image = built.image.clone();
            objects(&built.layout).iter().for_each(|o| o.reseal(&mut image));
            assert!(image == built.image, "{kind}");
        }
    }

    #[test]
    fn bits_of_little_endian_fields() {
        let field = |rule| Field { at: 0, len: 4, structure: "", name: "", rule };
        assert!(field(bits(0x20, 4)).matters(&[0, 0, 0, 0], &[0x20, 0, 0, 0]));
        assert!(!field(bits(0x20, 4)).matters(&[0, 0, 0, 0], &[0, 0x20, 0, 0]));
    }
}
