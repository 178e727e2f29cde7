//! What each byte of a volume's metadata means, from the layout the writer chose: which
//! fields a reader lives by, and which nobody can check. Shares nothing with the checker, so
//! that a campaign of damage can tell what the checker should have seen.

mod attributes;
mod catalog;
mod forks;
mod header;
mod journal;
mod trees;

use crate::hfs::{Layout, Tree, Volume};
use crate::image::Image;

/// When a change of a field's value means something to a reader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Always: it steers the reader, or stands twice and must agree.
    Every,
    /// Never: free space, reserved, or a value that may be anything (dates, owners, colours).
    Never,
    /// A change of these bits of the value.
    Bits(u64),
    /// A value above this.
    NotAbove(u64),
    /// A value below this.
    NotBelow(u64),
    /// A little-endian value that is zero or above this.
    LittleOutside(u64),
}

/// A field, or a run of bytes of one meaning.
#[derive(Clone, Debug)]
pub struct Field {
    /// Byte offset on the volume.
    pub at: u64,
    /// Length in bytes.
    pub len: u32,
    /// The structure it is in, `catalog leaf: thread`.
    pub structure: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Which changes mean something.
    pub rule: Rule,
}

impl Field {
    /// Whether the change from `before` to `after` (the field's bytes) means something.
    pub fn matters(&self, before: &[u8], after: &[u8]) -> bool {
        let value = |b: &[u8]| b.iter().take(8).fold(0u64, |n, b| n << 8 | u64::from(*b));
        before != after
            && match self.rule {
                Rule::Every => true,
                Rule::Never => false,
                Rule::Bits(mask) => (value(before) ^ value(after)) & mask != 0,
                Rule::NotAbove(most) => value(after) > most,
                Rule::NotBelow(least) => value(after) < least,
                Rule::LittleOutside(most) => {
                    let len = after.len().min(8);
                    !(1..=most).contains(&(value(after).swap_bytes() >> (64 - 8 * len)))
                }
            }
    }
}

/// A row of a table of fields: offset in the structure, length, name, rule.
type Row = (u64, u32, &'static str, Rule);

/// Collects fields of one structure after the other.
struct Sink<'a> {
    image: &'a Image,
    layout: &'a Layout,
    structure: &'static str,
    out: Vec<Field>,
}

impl Sink<'_> {
    fn add(&mut self, at: u64, len: u64, name: &'static str, rule: Rule) {
        if len > 0 {
            let structure = self.structure;
            self.out.push(Field { at, len: len as u32, structure, name, rule });
        }
    }

    fn rows(&mut self, base: u64, rows: &[Row]) {
        for &(offset, len, name, rule) in rows {
            self.add(base + offset, len.into(), name, rule);
        }
    }

    fn get16(&self, at: u64) -> u16 {
        crate::bytes::be16(&self.image.read(at, 2), 0)
    }

    fn get32(&self, at: u64) -> u32 {
        crate::bytes::be32(&self.image.read(at, 4), 0)
    }

    /// The bits of a map that stand for one of `count` things, from thing `first` on.
    fn map(&mut self, at: u64, bytes: u64, first: u64, count: u64, name: &'static str) {
        let real = count.saturating_sub(first).min(bytes * 8);
        self.add(at, real / 8, name, Rule::Every);
        if !real.is_multiple_of(8) {
            self.add(at + real / 8, 1, name, Rule::Bits(0xFF00 >> (real % 8) & 0xFF));
        }
        let used = real.div_ceil(8);
        self.add(at + used, bytes - used, "past the last", Rule::Never);
    }
}

/// Every field of the metadata of a volume whose journal is empty.
pub fn of(volume: &Volume) -> Vec<Field> {
    let mut sink = sink(&volume.image, &volume.layout);
    header::volume(&mut sink);
    header::bitmap(&mut sink);
    journal::empty(&mut sink);
    for tree in [Tree::Extents, Tree::Catalog, Tree::Attributes] {
        trees::tree(&mut sink, tree);
    }
    sink.out
}

/// The fields of the journal of a torn volume, whose journal is full.
pub fn of_journal(image: &Image, layout: &Layout) -> Vec<Field> {
    let mut sink = sink(image, layout);
    journal::full(&mut sink);
    sink.out
}

fn sink<'a>(image: &'a Image, layout: &'a Layout) -> Sink<'a> {
    Sink { image, layout, structure: "", out: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_has_two_meanings_and_no_node_has_gaps() {
        for kind in ["everything", "block-1k", "no-journal", "pieces-trees"] {
            let volume = crate::samples::sample(kind).unwrap().build();
            let mut fields = of(&volume);
            fields.sort_by_key(|f| f.at);
            for pair in fields.windows(2) {
                assert!(pair[0].at + u64::from(pair[0].len) <= pair[1].at, "{kind}: {pair:#?}");
            }
            let bytes = |word: &str| -> u64 {
                fields
                    .iter()
                    .filter(|f| f.structure.starts_with(word))
                    .map(|f| u64::from(f.len))
                    .sum()
            };
            for (tree, word) in [
                (Tree::Extents, "extents"),
                (Tree::Catalog, "catalog"),
                (Tree::Attributes, "attributes"),
            ] {
                let tree = volume.layout.tree(tree).unwrap();
                let size = u64::from(tree.total_nodes) * u64::from(tree.node_size);
                assert_eq!(bytes(word), size, "{kind} {word}");
            }
        }
    }

    #[test]
    fn rules() {
        let field = |rule| Field { at: 0, len: 2, structure: "", name: "", rule };
        assert!(field(Rule::Every).matters(&[0, 1], &[0, 2]));
        assert!(!field(Rule::Every).matters(&[0, 1], &[0, 1]));
        assert!(!field(Rule::Bits(0x10)).matters(&[0, 1], &[0, 2]));
        assert!(field(Rule::Bits(0x10)).matters(&[0, 1], &[0, 0x11]));
        assert!(field(Rule::NotAbove(256)).matters(&[0, 1], &[1, 1]));
        assert!(!field(Rule::NotBelow(256)).matters(&[2, 1], &[1, 1]));
        assert!(field(Rule::LittleOutside(256)).matters(&[0, 1], &[1, 1]));
        assert!(!field(Rule::LittleOutside(256)).matters(&[1, 1], &[2, 0]));
        assert!(field(Rule::LittleOutside(256)).matters(&[1, 1], &[0, 0]));
    }
}
