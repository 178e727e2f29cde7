//! Damage to hard links: inodes, links and the chains that join them.

use super::Row;
use super::target::{Found, Target};
use crate::bytes::be32;

pub(super) const TABLE: &[Row] = &[
    ("inode-link-count", "a file inode's link count is one too many", &[567, 598], |t| {
        let at = inode(t)?.at(44);
        t.add32(at, 1)
    }),
    ("inode-flag", "a file inode lacks the flag of link chains", &[595], |t| {
        let at = inode(t)?.at(3);
        t.flip(at, 0x20)
    }),
    ("inode-first-link", "a file inode's first link is wrong", &[600], |t| {
        let at = inode(t)?.at(4);
        t.poke32(at, 0x7FFF_0000)
    }),
    ("inode-name", "a file inode's name has another number", &[597, 603, 605], |t| {
        let inode = inode(t)?;
        let digit = inode.place.key + 8 + 2 * 5 + 1;
        t.flip(digit, 0x01)
    }),
    ("link-flag", "a file link lacks the flag of link chains", &[601], |t| {
        let at = link(t)?.at(3);
        t.flip(at, 0x20)
    }),
    ("link-prev", "a file link's previous link is wrong", &[593], |t| {
        let at = link(t)?.at(32);
        t.poke32(at, 0x7FFF_0000)
    }),
    ("link-next", "a file link's next link is wrong", &[594], |t| {
        let at = link(t)?.at(36);
        t.poke32(at, 0x7FFF_0000)
    }),
    ("link-loop", "a file link's next link is itself", &[594], |t| {
        let link = link(t)?;
        t.poke32(link.at(36), link.id())
    }),
    ("link-finder-type", "a chained file link has another Finder type", &[599], |t| {
        let at = link(t)?.at(48);
        t.poke(at, b"TEXT")
    }),
    ("link-date", "a file link's creation date is not the volume's", &[610], |t| {
        let at = link(t)?.at(12);
        t.add32(at, 86_400)
    }),
    ("link-orphan", "a file link's inode does not exist", &[603], |t| {
        let at = link(t)?.at(44);
        t.poke32(at, 0x7FFF_0000)
    }),
    ("link-has-data", "a file link has a data fork", &[613], |t| {
        let link = link(t)?;
        t.poke(link.at(88), &100u64.to_be_bytes());
        t.poke32(link.at(100), 1);
        t.poke32(link.at(104), t.layout.free_block);
        t.poke32(link.at(108), 1)
    }),
    ("dir-inode-link-count", "a folder inode's link count is one too many", &[586], |t| {
        let at = dir_inode(t)?.at(44);
        t.add32(at, 1)
    }),
    ("dir-inode-flag", "a folder inode lacks the flag of link chains", &[583], |t| {
        let at = dir_inode(t)?.at(3);
        t.flip(at, 0x20)
    }),
    ("dir-inode-name", "a folder inode's name has another number", &[585, 604, 606], |t| {
        let inode = dir_inode(t)?;
        let digit = inode.place.key + 8 + 2 * 4 + 1;
        t.flip(digit, 0x01)
    }),
    ("dir-inode-first-link", "a folder inode's first link is no number", &[600], |t| {
        let id = dir_inode(t)?.id();
        let place = t.layout.attribute(t.image, id, "com.apple.system.hfs.firstlink")?;
        t.poke(place.data + 16, b"x")
    }),
    ("dir-link-flag", "a folder link lacks the flag of link chains", &[602], |t| {
        let at = dir_link(t)?.at(3);
        t.flip(at, 0x20)
    }),
    ("dir-link-owner-flags", "a folder link is not immutable", &[587], |t| {
        let at = dir_link(t)?.at(41);
        t.poke(at, &[0])
    }),
    ("dir-link-finder-flags", "a folder link is no alias", &[588], |t| {
        let at = dir_link(t)?.at(56);
        t.poke16(at, 0)
    }),
    ("dir-link-creator", "a folder link has another creator", &[588], |t| {
        let at = dir_link(t)?.at(52);
        t.poke(at, b"ttxt")
    }),
    ("dir-link-prev", "a folder link's previous link is wrong", &[593], |t| {
        let at = dir_link(t)?.at(32);
        t.poke32(at, 0x7FFF_0000)
    }),
    ("dir-link-next", "a folder link's next link is wrong", &[594], |t| {
        let at = dir_link(t)?.at(36);
        t.poke32(at, 0x7FFF_0000)
    }),
    ("dir-link-orphan", "a folder link's inode does not exist", &[604], |t| {
        let at = dir_link(t)?.at(44);
        t.poke32(at, 0x7FFF_0000)
    }),
    ("dir-link-ancestor", "an ancestor of a folder link lacks its flag", &[589], |t| {
        let parent = t.find(|f| f.is_dir_link() && f.parent != 2)?.parent;
        let at = t.layout.record(t.image, parent)?.data + 3;
        t.flip(at, 0x40)
    }),
    (
        "dir-link-to-itself",
        "a folder link in a linked folder leads back to it",
        &[586, 590, 591],
        |t| {
            let (_, private) = t.layout.private;
            let inodes = t.records(|f| f.kind() == 1 && f.parent == private);
            let inside = |f: &Found| f.is_dir_link() && inodes.iter().any(|i| i.id() == f.parent);
            let link = t.find(inside)?;
            t.poke32(link.at(44), link.parent)
        },
    ),
    ("private-dir-mode", "the folder of folder inodes is not sticky", &[582], |t| {
        let at = t.layout.record(t.image, t.layout.private.1)?.data + 42;
        t.poke16(at, 0o040_755)
    }),
    ("private-dir-flags", "the folder of folder inodes is not immutable", &[582], |t| {
        let at = t.layout.record(t.image, t.layout.private.1)?.data + 41;
        t.poke(at, &[0])
    }),
];

/// The first file inode of a chain.
fn inode(t: &Target) -> Option<Found> {
    let private = t.layout.private.0;
    t.find(|f| f.parent == private && f.kind() == 2 && f.flags() & 0x20 != 0)
}

/// A file link in the middle of its chain if there is one, else any.
fn link(t: &Target) -> Option<Found> {
    let chained = |f: &Found| be32(&f.data, 32) != 0 && be32(&f.data, 36) != 0;
    t.find(|f| f.is_file_link() && chained(f)).or_else(|| t.find(Found::is_file_link))
}

fn dir_inode(t: &Target) -> Option<Found> {
    let private = t.layout.private.1;
    t.find(|f| f.parent == private && f.kind() == 1)
}

fn dir_link(t: &Target) -> Option<Found> {
    let chained = |f: &Found| be32(&f.data, 32) != 0 && be32(&f.data, 36) != 0;
    t.find(|f| f.is_dir_link() && chained(f)).or_else(|| t.find(Found::is_dir_link))
}
