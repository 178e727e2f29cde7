//! A node is lost: what is beside it is checked all the same, and nothing is said that only
//! follows from the loss.

use super::bent::{Bent, get, get16, get32, put32};
use super::{findings_told, told};
use std::collections::BTreeSet;
use tools::apfs::object::kind;
use tools::apfs::{Container, ContainerOptions, Meta, VolumeOptions, What};

const BLOCK: u64 = 4096;

/// A volume with so many snapshots that the list of them has several leaves.
fn many_snapshots() -> Bent {
    let mut container = Container::new(ContainerOptions::default());
    let number = container.add_volume(VolumeOptions::default());
    for n in 0..80 {
        let mut volume = container.volume(number);
        let root = volume.root();
        let text = format!("{n}\n").repeat(3000).into_bytes();
        volume.file(root, &format!("file {n}"), text, Meta::file());
        container.commit();
        container.snapshot(number, &format!("snapshot {n}"), 1_600_000_000_000_000_000 + n);
    }
    container.commit();
    let built = container.finish();
    Bent { image: built.image, layout: built.layout }
}

/// Bytes at which the nodes of a tree begin that are of a level.
fn nodes(c: &Bent, subtype: u32, level: u8) -> Vec<u64> {
    let all = c
        .layout
        .find(|w| matches!(w, What::Node { tree, volume: Some(_), .. } if tree.subtype == subtype));
    let all = all.map(|p| p.address * BLOCK);
    all.filter(|at| c.image.read(at + 0x22, 1)[0] == level).collect()
}

#[test]
fn a_lost_leaf_of_the_list_of_snapshots_is_all_that_is_told() {
    let sound = many_snapshots();
    let leaves = nodes(&sound, kind::SNAP_META, 0);
    assert!(leaves.len() > 2, "{leaves:?}");
    assert_eq!(told(&sound), BTreeSet::new());
    for at in leaves {
        let mut c = sound.clone();
        c.byte(at + 0x100, |b| b ^ 1);
        let lost = findings_told(&c);
        let about = lost.iter().filter(|f| f.contains("A040")).count();
        assert!(about == 1 && lost.iter().all(|f| f.contains("(A040)")), "{lost:#?}");
        // What is wrong elsewhere on the volume is told still.
        let live = nodes(&c, kind::FS_TREE, 0).pop().unwrap();
        c.edit(live, BLOCK as usize, |b| {
            let free = get32(b, 0x30);
            put32(b, 0x30, free + (4 << 16));
        });
        assert!(told(&c).contains("A058"), "{:#?}", findings_told(&c));
    }
}

/// Which objects a lost leaf held is told as far as the keys beside it tell, with their paths.
#[test]
fn what_is_lost_with_a_leaf_is_told() {
    let sound = Bent::of("deep");
    let leaves = nodes(&sound, kind::FS_TREE, 0);
    let mut named = 0;
    for at in leaves.iter().step_by(leaves.len() / 4) {
        let mut c = sound.clone();
        c.image.fill(*at, BLOCK, 0);
        let lost = findings_told(&c);
        let about: Vec<_> = lost.iter().filter(|f| f.contains("(A040)")).collect();
        assert_eq!(about.len(), 1, "{lost:#?}");
        // Numbers of the objects in the leaf are among those that are told.
        let b = sound.image.read(*at, BLOCK as usize);
        let first = get(&b, 0x38 + usize::from(get16(&b, 0x2A)) + usize::from(get16(&b, 0x38)));
        let first = first & (u64::MAX >> 4);
        let told = [format!("from {first} "), format!("object {first} ")];
        assert!(told.iter().any(|t| about[0].contains(t)), "{first}: {about:#?}");
        named += usize::from(about[0].contains(" ('/"));
    }
    assert!(named > 0, "no path is told");
}

/// A leaf of zeros is lost, and names the files whose records were in it.
#[test]
fn a_leaf_of_zeros_costs_the_files_in_it() {
    let mut c = Bent::of("deep");
    let leaves = nodes(&c, kind::FS_TREE, 0);
    c.image.fill(leaves[leaves.len() / 2], BLOCK, 0);
    let file = tempfile::NamedTempFile::new().unwrap();
    c.image.write_to(file.path()).unwrap();
    let ran = crate::common::tmbundle(&["verify", file.path().to_str().unwrap()]);
    ran.expect(1, &["hits ", "volume:/"]);
}

/// A list that has a chunk less than it must leaves open what else is marked in the pool.
#[test]
fn a_list_that_lacks_chunks_is_no_wrong_bitmap_of_the_pool() {
    let mut c = Bent::of("small");
    c.cib(|b| put32(b, 0x24, 0));
    let told = told(&c);
    assert!(told.contains("A289") && !told.contains("A307"), "{told:?}");
}
