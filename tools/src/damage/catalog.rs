//! Damage to catalog records, their forks and their overflow extents.

use super::Row;
use super::target::{Found, Target};
use crate::hfs::{ForkKind, Tree};

pub(super) const TABLE: &[Row] = &[
    ("record-type", "a record is of type 9", &[528], |t| {
        let at = t.file()?.at(0);
        t.poke16(at, 9)
    }),
    ("record-folder-as-file", "a folder record says it is a file", &[529, 531, 537], |t| {
        let at = t.folder()?.at(0);
        t.poke16(at, 2)
    }),
    ("record-low-id", "a file has CNID 9", &[560, 572], |t| {
        let at = t.file()?.at(8);
        t.poke32(at, 9)
    }),
    ("record-id-twice", "two files have one CNID", &[572, 505], |t| {
        let files = t.records(Found::is_plain_file);
        let (first, second) = (files.first()?, files.get(1)?);
        t.poke32(second.at(8), first.id())
    }),
    ("thread-type", "a file's thread says it belongs to a folder", &[534, 572], |t| {
        let at = thread(t)?;
        t.poke16(at, 3)
    }),
    ("thread-parent", "a thread names another parent", &[505, 533, 572], |t| {
        let at = thread(t)?;
        t.poke32(at + 4, 0x7FFF_0000)
    }),
    ("thread-name", "a thread has another name", &[505, 533, 572], |t| {
        let at = thread(t)?;
        t.flip(at + 11, 0x02)
    }),
    ("thread-name-long", "a thread's name is longer than its record", &[530, 536], |t| {
        let at = thread(t)?;
        t.poke16(at + 8, 300)
    }),
    ("root-thread", "the root's thread is of type 9", &[532, 528], |t| {
        let at = t.layout.thread(t.image, 2)?.data;
        t.poke16(at, 9)
    }),
    ("valence", "a folder's valence is one too many", &[502], |t| {
        let at = t.folder()?.at(4);
        t.add32(at, 1)
    }),
    ("root-valence", "the root's valence is one too few", &[502], |t| {
        let at = t.layout.record(t.image, 2)?.data + 4;
        t.add32(at, -1)
    }),
    ("folder-count", "a folder's count of folders is one too many", &[580], |t| {
        let at = t.folder()?.at(84);
        t.add32(at, 1)
    }),
    ("has-folder-count", "a folder lacks the flag for its folder count", &[581], |t| {
        let at = t.find(|f| f.kind() == 1 && f.flags() & 0x10 != 0 && f.id() > 30)?.at(3);
        t.flip(at, 0x10)
    }),
    ("folder-reserved-flags", "a folder has flag 0x0001", &[547], |t| {
        let at = t.folder()?.at(3);
        t.flip(at, 0x01)
    }),
    ("root-name-locked", "the name of the root folder is locked", &[551], |t| {
        let at = t.layout.record(t.image, 2)?.data + 56;
        t.flip(at, 0x10)
    }),
    ("file-thread-flag", "a file lacks the flag for its thread", &[546], |t| {
        let at = t.file()?.at(3);
        t.flip(at, 0x02)
    }),
    ("file-mode", "a file has the mode of a folder", &[569], |t| {
        let at = t.file()?.at(42);
        t.poke16(at, 0o040_755)
    }),
    ("folder-mode", "a folder has the mode of a file", &[569], |t| {
        let at = t.folder()?.at(42);
        t.poke16(at, 0o100_644)
    }),
    ("xattr-flag-missing", "a file with attributes lacks the flag", &[575], |t| {
        let at = t.find(|f| f.is_plain_file() && f.flags() & 0x0C == 0x04)?.at(3);
        t.flip(at, 0x04)
    }),
    ("xattr-flag-extra", "a file without attributes has the flag", &[575], |t| {
        let at = t.find(|f| f.is_plain_file() && f.flags() & 0x0C == 0)?.at(3);
        t.flip(at, 0x04)
    }),
    ("acl-flag-missing", "a file with an access list lacks the flag", &[576], |t| {
        let at = t.find(|f| f.kind() == 2 && f.flags() & 0x08 != 0)?.at(3);
        t.flip(at, 0x08)
    }),
    ("acl-flag-extra", "a file without an access list has the flag", &[576], |t| {
        let at = t.find(|f| f.is_plain_file() && f.flags() & 0x0C == 4)?.at(3);
        t.flip(at, 0x08)
    }),
    ("file-in-chain", "an ordinary file has the flag of link chains", &[612], |t| {
        let at = t.file()?.at(3);
        t.flip(at, 0x20)
    }),
    ("file-link-count", "an ordinary file has two links", &[614], |t| {
        let at = t.file()?.at(44);
        t.poke32(at, 2)
    }),
    ("file-size", "a file is longer than its blocks", &[501], |t| {
        let file = t.file()?;
        let size = u64::from(file.blocks() + 3) * u64::from(t.layout.block_size);
        t.poke(file.at(88), &size.to_be_bytes())
    }),
    ("file-blocks", "a file's block count is not the sum of its extents", &[500], |t| {
        let at = t.file()?.at(100);
        t.add32(at, 1)
    }),
    ("extent-past-end", "a file's extent is past the end", &[510], |t| {
        let at = t.file()?.at(104);
        t.poke32(at, t.layout.total_blocks + 9)
    }),
    ("extent-too-long", "a file's extent reaches past the end", &[510, 500], |t| {
        let file = t.file()?;
        t.poke32(file.at(108), t.layout.total_blocks)
    }),
    ("extent-at-zero", "a file's extent begins at block 0", &[510, 511, 607], |t| {
        let at = t.file()?.at(104);
        t.poke32(at, 0)
    }),
    ("extent-after-end", "an extent follows the end of the list", &[510], |t| {
        let file =
            t.find(|f| f.is_plain_file() && f.blocks() > 0 && f.data[112..160] == [0; 48])?;
        t.poke32(file.at(120), t.layout.free_block);
        t.poke32(file.at(124), 1)
    }),
    ("extent-overlap", "two files share blocks", &[511, 607], |t| {
        let files = t.records(|f| f.is_plain_file() && f.blocks() == 1);
        let (first, second) = (files.first()?, files.get(1)?);
        let start = crate::bytes::be32(&first.data, 104);
        t.poke32(second.at(104), start)
    }),
    ("extent-overlap-catalog", "a file lies on the catalog", &[511, 607], |t| {
        let at = t.file()?.at(104);
        t.poke32(at, t.layout.catalog.extents[0].start)
    }),
    ("symlink-type", "a symbolic link has another Finder type", &[616], |t| {
        let at = symlink(t)?.at(48);
        t.poke(at, b"TEXT")
    }),
    ("symlink-length", "a symbolic link is one byte too long", &[617], |t| {
        let link = symlink(t)?;
        t.poke(link.at(88), &(link.size() + 1).to_be_bytes())
    }),
    ("overflow-orphan", "an overflow extent belongs to no file", &[552], |t| {
        let at = last_overflow(t)?;
        t.poke32(at + 4, 0x7FFF_FFF0)
    }),
    (
        "overflow-start",
        "an overflow extent begins at the wrong block of its file",
        &[500, 510, 552],
        |t| {
            let at = last_overflow(t)?;
            t.add32(at + 8, 1)
        },
    ),
    ("overflow-past-end", "an overflow extent is past the end", &[510], |t| {
        let at = last_overflow(t)?;
        t.poke32(at + 12, t.layout.total_blocks + 11)
    }),
    ("overflow-count", "an overflow extent is one block too long", &[500, 511], |t| {
        let at = last_overflow(t)?;
        t.add32(at + 16, 1)
    }),
];

/// Byte offset of the thread record (after its key) of the first ordinary file.
fn thread(t: &Target) -> Option<u64> {
    let file = t.file()?;
    Some(t.layout.thread(t.image, file.id())?.data)
}

fn symlink(t: &Target) -> Option<Found> {
    t.find(|f| f.kind() == 2 && f.mode() & 0o170_000 == 0o120_000)
}

/// Byte offset of the extents tree's last record (its key).
fn last_overflow(t: &Target) -> Option<u64> {
    let tree = t.tree(Tree::Extents)?;
    let leaf = *tree.leaves.last()?;
    let count = tree.records(t.image, leaf);
    let (id, fork, _) = t.layout.forks().filter(|f| f.2.len() > 8).last()?;
    debug_assert!(id > 16 && (fork == ForkKind::Data || fork == ForkKind::Resource));
    Some(tree.record(t.image, leaf, count - 1))
}
