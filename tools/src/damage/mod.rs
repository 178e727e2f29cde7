//! Named damage to finished volumes, and volumes that are broken from the start.

mod attributes;
mod built;
mod catalog;
mod header;
mod links;
mod target;
mod trees;

pub use built::{Broken, broken};

use crate::hfs::{Layout, Tree};
use crate::image::Image;
use target::Target;

/// How a kind of damage is done; the result is the byte offset of its main change.
#[derive(Clone, Copy)]
enum Apply {
    Volume(fn(&mut Target) -> Option<u64>),
    Tree(Tree, fn(&mut Target, Tree) -> Option<u64>),
}

/// A kind of damage.
#[derive(Clone)]
pub struct Damage {
    /// Stable name in kebab case.
    pub name: String,
    /// What it does.
    pub what: &'static str,
    /// Numbers (without sign) of the fsck_hfs errors that fit best, any of them; empty where
    /// fsck_hfs says nothing or has no word for it.
    pub fsck: &'static [u16],
    apply: Apply,
}

/// What was done to an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Byte offset of the main change.
    pub offset: u64,
    /// What was changed there.
    pub what: String,
}

/// A row of the tables: name, what it does, fsck numbers, function.
type Row = (&'static str, &'static str, &'static [u16], fn(&mut Target) -> Option<u64>);
/// The same for damage that fits each of the three trees.
type TreeRow = (&'static str, &'static str, &'static [u16], fn(&mut Target, Tree) -> Option<u64>);

impl Damage {
    /// Every kind.
    pub fn all() -> Vec<Damage> {
        let mut out = Vec::new();
        for table in [header::TABLE, catalog::TABLE, links::TABLE, attributes::TABLE] {
            for &(name, what, fsck, apply) in table {
                out.push(Damage { name: name.into(), what, fsck, apply: Apply::Volume(apply) });
            }
        }
        for (tree, prefix) in [
            (Tree::Extents, "extents"),
            (Tree::Catalog, "catalog"),
            (Tree::Attributes, "attributes"),
        ] {
            for &(stem, what, fsck, apply) in trees::TABLE {
                let name = format!("{prefix}-{stem}");
                out.push(Damage { name, what, fsck, apply: Apply::Tree(tree, apply) });
            }
        }
        out
    }

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Damage> {
        Damage::all().into_iter().find(|d| d.name == name)
    }

    /// Does the damage; `None` if the volume has nothing that it could hit.
    pub fn apply(&self, image: &mut Image, layout: &Layout) -> Option<Done> {
        let mut target = Target { image, layout };
        let offset = match self.apply {
            Apply::Volume(f) => f(&mut target),
            Apply::Tree(tree, f) => f(&mut target, tree),
        }?;
        Some(Done { offset, what: format!("{} (byte {offset})", self.what) })
    }
}

impl std::fmt::Debug for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Damage({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let all = Damage::all();
        let names: BTreeSet<&str> = all.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn each_damage_hits_the_sample() {
        let volume = crate::samples::sample("everything").unwrap().build();
        for damage in Damage::all() {
            let mut image = volume.image.clone();
            let done = damage.apply(&mut image, &volume.layout);
            let done = done.unwrap_or_else(|| panic!("{} found nothing to hit", damage.name));
            assert_ne!(image, volume.image, "{} changed nothing", damage.name);
            assert!(done.offset < image.len());
        }
    }

    #[test]
    fn shifted_layouts_hit_the_same_place() {
        let volume = crate::samples::sample("links").unwrap().build();
        let mut disk = Image::new(volume.image.len() + 20_480);
        disk.paste(20_480, &volume.image);
        let damage = Damage::by_name("catalog-leaf-kind").unwrap();
        let mut plain = volume.image.clone();
        let at = damage.apply(&mut plain, &volume.layout).unwrap().offset;
        let on_disk = damage.apply(&mut disk, &volume.layout.shifted(20_480)).unwrap().offset;
        assert_eq!(at + 20_480, on_disk);
        assert_eq!(disk.slice(20_480, plain.len()), plain);
    }
}
