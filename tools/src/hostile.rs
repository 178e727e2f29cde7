//! Whole volumes as an enemy would write them: sound in their form, with fields that
//! steer a reader set to what harms it most. Checksums are made right again, so that
//! nothing is refused before it is used. The same seed gives the same volume.

use crate::fields::{self, Field, Rule};
use crate::hfs::{Layout, VolumeBuilder};
use crate::image::Image;
use crate::journal::{self, Dirty};
use crate::partition::Gpt;
use crate::samples;
use std::sync::OnceLock;

/// A volume, or a disk, and what was done to it.
pub struct Hostile {
    /// Its bytes.
    pub image: Image,
    /// One line for each change: structure, field, value.
    pub what: Vec<String>,
}

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// A volume to spoil.
struct Base {
    image: Image,
    layout: Layout,
    /// Fields by structure, so that a rare structure is hit as often as a common one.
    structures: Vec<Vec<Field>>,
    /// Where the journal begins, if its checksums must be made right again.
    journal: Option<(u64, u64)>,
}

fn base(image: Image, layout: Layout, all: Vec<Field>, journal: Option<(u64, u64)>) -> Base {
    let mut structures: Vec<Vec<Field>> = Vec::new();
    for field in all.into_iter().filter(|f| f.rule != Rule::Never) {
        match structures.iter_mut().find(|s| s[0].structure == field.structure) {
            Some(of) => of.push(field),
            None => structures.push(vec![field]),
        }
    }
    Base { image, layout, structures, journal }
}

fn sound(builder: &VolumeBuilder) -> Base {
    let volume = builder.build();
    let all = fields::of(&volume);
    base(volume.image, volume.layout, all, None)
}

fn dirty() -> Base {
    let volume = samples::two_states().1.build();
    let torn = journal::without_leaves(&volume, &Dirty::default());
    let all = fields::of_journal(&torn.image, &volume.layout);
    let ring = volume.layout.journal;
    base(torn.image, volume.layout, all, ring)
}

/// The volumes that are spoiled; made once.
fn bases() -> &'static [Base] {
    static BASES: OnceLock<Vec<Base>> = OnceLock::new();
    BASES.get_or_init(|| {
        let kinds = ["basic", "links", "fragmented", "pieces-trees", "maps", "time-machine"];
        let mut all: Vec<Base> =
            kinds.iter().filter_map(|k| samples::sample(k)).map(|b| sound(&b)).collect();
        all.push(dirty());
        all
    })
}

/// What harms: ends of ranges, numbers that are just too large, the reader's own.
fn value(random: &mut Random, field: &Field, before: u64, total_blocks: u64) -> u64 {
    let ones = u64::MAX >> (64 - 8 * field.len.min(8));
    let pool = [
        0,
        1,
        2,
        before.wrapping_add(1),
        before.wrapping_sub(1),
        before.wrapping_mul(2),
        before << 8,
        before >> 1,
        ones,
        ones >> 1,
        ones - 1,
        1 << 31,
        1 << 44,
        total_blocks,
        total_blocks.wrapping_sub(1),
        random.next(),
    ];
    *random.of(&pool) & ones
}

/// One field to a value that harms; its new value on a line.
fn spoil(random: &mut Random, base: &Base, image: &mut Image) -> String {
    let structure = random.of(&base.structures);
    let field = random.of(structure);
    let len = field.len.min(8) as usize;
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let before = number(&image.read(field.at, len));
    // Now and then what stands in another field of the same length: links that lead back,
    // two extents of one place, two names of one number.
    let twins: Vec<&Field> = structure.iter().filter(|f| f.len == field.len).collect();
    let after = if random.below(3) == 0 {
        number(&image.read(random.of(&twins).at, len))
    } else {
        let blocks = base.image.len() / u64::from(base.layout.block_size);
        value(random, field, before, blocks)
    };
    image.write_at(field.at, &after.to_be_bytes()[8 - len..]);
    format!("{} {} at {}: {before:#x} -> {after:#x}", field.structure, field.name, field.at)
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// The checksums of a little-endian journal's header and block lists.
fn resum(image: &mut Image, (ring, len): (u64, u64)) {
    image.edit(ring, 44, |head| {
        head[36..40].fill(0);
        let sum = journal::checksum(head);
        head[36..40].copy_from_slice(&sum.to_le_bytes());
    });
    let head = image.read(ring, 44);
    let word = |at: usize| u64::from(le32(&head, at));
    let (list_size, end) = (word(32), word(16) | word(20) << 32);
    let mut at = word(8) | word(12) << 32;
    // A list follows the blocks of the one before it. Whatever the numbers say, few are followed.
    for _ in 0..64 {
        if at >= end || at + 32 > len {
            break;
        }
        image.edit(ring + at, 32, |list| {
            list[8..12].fill(0);
            let sum = journal::checksum(list);
            list[8..12].copy_from_slice(&sum.to_le_bytes());
        });
        let used = u64::from(le32(&image.read(ring + at, 8), 4));
        at += used.max(list_size).max(512);
    }
}

/// The volume of a seed; every third stands in a partition map.
pub fn volume(seed: u64) -> Hostile {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    random.next();
    let base = random.of(bases());
    let mut image = base.image.clone();
    let what = (0..1 + random.below(5)).map(|_| spoil(&mut random, base, &mut image)).collect();
    if let Some(ring) = base.journal {
        resum(&mut image, ring);
    }
    let image = if random.below(3) == 0 { Gpt::default().wrap(&image).0 } else { image };
    Hostile { image, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_volume_and_others_differ() {
        let (a, b, c) = (volume(7), volume(7), volume(8));
        assert_eq!(a.what, b.what);
        assert!(a.image.to_vec() == b.image.to_vec());
        assert!(!a.what.is_empty() && a.what != c.what);
    }

    #[test]
    fn sums_of_an_unspoiled_journal_are_what_they_were() {
        let base = dirty();
        let mut image = base.image.clone();
        resum(&mut image, base.journal.unwrap());
        assert!(image.to_vec() == base.image.to_vec());
    }

    #[test]
    fn every_structure_is_spoiled_sometime() {
        let seen: std::collections::BTreeSet<String> = (0..400)
            .flat_map(|seed| volume(seed).what)
            .map(|w| w.split(' ').next().unwrap().to_string())
            .collect();
        for word in ["volume", "catalog", "extents", "attributes", "journal"] {
            assert!(seen.iter().any(|s| s.starts_with(word)), "{word}: {seen:?}");
        }
    }
}
