//! Large volumes for measurements: a hundred files to a directory, a hundred directories to a
//! shelf, contents of zeros.

use std::io;
use std::path::Path;

use super::bulk::Bulk;
use super::model::*;
use super::node::{EXTENTREF_TREE, FS_TREE, OMAP_TREE};
use super::records::{self, FsKey, field, flag, put_fields, record};
use super::refs::Refs;
use super::*;
use crate::bytes::Put;
use crate::hfs::{Content, splitmix};

const PER_DIR: u64 = 100;
const DIRS: u64 = 100;

fn len(dir: u64, i: u64) -> u64 {
    (dir * 31 + i * 97) % 6_000
}

fn options(files: u64, snapshots: u64) -> ContainerOptions {
    let changed = files * snapshots / 100;
    let size = ((files + 3 * changed) * 12_288 + (1 << 30)).next_multiple_of(1 << 20);
    ContainerOptions { size, ..ContainerOptions::default() }
}

/// Which files change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Any: nearly each one lies in a leaf of its own, which is stored anew.
    Scattered,
    /// Neighbours, as a person's folders and a program's files do.
    Together,
}

/// A volume of about `files` files and `snapshots` snapshots, each changing one file in a hundred,
/// in a sparse file. All objects are in memory while it is made.
pub fn history(path: &Path, files: u64, snapshots: u64, changes: Changes) -> io::Result<()> {
    let mut c = Container::create(path, options(files, snapshots))?;
    let v = c.add_volume(VolumeOptions { keep_views: false, ..VolumeOptions::default() });
    c.commit();
    let mut all = Vec::with_capacity(files as usize);
    let mut vol = c.volume(v);
    let mut shelf = ROOT;
    for dir in 0..files.div_ceil(PER_DIR) {
        if dir % DIRS == 0 {
            shelf = vol.mkdir(ROOT, &format!("shelf {}", dir / DIRS), Meta::dir());
        }
        let id = vol.mkdir(shelf, &format!("folder {dir}"), Meta::dir());
        for i in 0..PER_DIR.min(files - dir * PER_DIR) {
            let content = Content::Zeros(len(dir, i));
            all.push(vol.file(id, &format!("file {i}"), content, Meta::file()));
        }
    }
    let mut seed = 1;
    for round in 0..snapshots {
        let date = DEFAULT_NS + (round as i64 + 1) * 3_600_000_000_000;
        c.snapshot(v, &format!("snapshot {round}"), date);
        let mut vol = c.volume(v);
        let first = splitmix(round) % all.len() as u64;
        for i in 0..files / 100 {
            seed = splitmix(seed);
            let which = if changes == Changes::Together { first + i } else { seed };
            let id = all[(which % all.len() as u64) as usize];
            vol.truncate(id, 0);
            vol.write(id, 0, Content::Zeros(1 + seed / 7 % 6_000));
            vol.set_meta(id, |m| (m.modified, m.changed) = (date, date));
        }
    }
    c.finish();
    Ok(())
}

/// A volume with one file `large` of so many bytes of noise, and that alone.
pub fn large(path: &Path, bytes: u64, password: Option<&str>) -> io::Result<()> {
    let size = (bytes + (256 << 20)).next_multiple_of(1 << 20);
    let mut c = Container::create(path, ContainerOptions { size, ..ContainerOptions::default() })?;
    let encryption = password.map(VolumeEncryption::with_password);
    let v = c.add_volume(VolumeOptions { encryption, keep_views: false, ..Default::default() });
    c.commit();
    let content = Content::Pattern { seed: 1, len: bytes };
    c.volume(v).file(ROOT, "large", content, Meta::file());
    c.finish();
    Ok(())
}

/// A volume of `files` files without snapshots in a sparse file, written in one pass: memory holds
/// the index of its trees only.
pub fn flat(path: &Path, files: u64) -> io::Result<()> {
    let mut c = Container::create(path, options(files, 0))?;
    let v = c.add_volume(VolumeOptions { keep_views: false, ..VolumeOptions::default() });
    c.commit();
    Flat { c: &mut c, files, v, allocated: 0, dirs: 0 }.run();
    c.finish();
    Ok(())
}

struct Flat<'a> {
    c: &'a mut Container,
    files: u64,
    v: usize,
    allocated: u64,
    dirs: u64,
}

/// Where numbers of inodes follow from places: a shelf, its directories, each with its files.
fn shelf_id(shelf: u64) -> Ino {
    16 + shelf * (1 + DIRS * (1 + PER_DIR))
}

fn dir_id(dir: u64) -> Ino {
    shelf_id(dir / DIRS) + 1 + dir % DIRS * (1 + PER_DIR)
}

impl Flat<'_> {
    fn run(&mut self) {
        let mut tree = Bulk::new(&FS_TREE);
        let mut refs = Bulk::new(&EXTENTREF_TREE);
        let dirs = self.files.div_ceil(PER_DIR);
        let shelves = dirs.div_ceil(DIRS);
        self.fixed(&mut tree, shelves);
        for dir in 0..dirs {
            if dir % DIRS == 0 {
                let (shelf, last) = (dir / DIRS, (dir + DIRS).min(dirs));
                let children = (dir..last).map(|d| (format!("folder {d}"), dir_id(d)));
                self.dir(&mut tree, (shelf_id(shelf), ROOT), &format!("shelf {shelf}"), children);
            }
            let count = PER_DIR.min(self.files - dir * PER_DIR);
            let id = dir_id(dir);
            let children = (0..count).map(|i| (format!("file {i}"), id + 1 + i));
            let place = (id, shelf_id(dir / DIRS));
            self.dir(&mut tree, place, &format!("folder {dir}"), children);
            for i in 0..count {
                self.file(&mut tree, &mut refs, (id + 1 + i, id), i, len(dir, i));
            }
        }
        self.install(tree, refs, dirs);
    }

    fn fixed(&mut self, tree: &mut Bulk, shelves: u64) {
        let core = &mut self.c.core;
        let volume = &self.c.volumes[self.v];
        for (name, id) in sorted([("root".into(), ROOT), ("private-dir".into(), PRIVATE_DIR)]) {
            let key = volume.entry_key(ROOT_PARENT, &name);
            tree.push(core, &key, &records::entry(id, DEFAULT_NS, S_IFDIR, None));
        }
        let children = (0..shelves).map(|s| (format!("shelf {s}"), shelf_id(s)));
        self.dir(tree, (ROOT, ROOT_PARENT), "root", children);
        self.dir(tree, (PRIVATE_DIR, ROOT_PARENT), "private-dir", std::iter::empty());
        self.dirs = 0;
    }

    fn dir(
        &mut self,
        tree: &mut Bulk,
        (id, parent): (Ino, Ino),
        name: &str,
        children: impl Iterator<Item = (String, Ino)>,
    ) {
        let children = sorted(children);
        let value = inode((id, parent), name, (S_IFDIR | 0o755, children.len() as u32), None);
        let core = &mut self.c.core;
        let volume = &self.c.volumes[self.v];
        tree.push(core, &FsKey::plain(id, record::INODE), &value);
        let kind = if name.starts_with("folder") { S_IFREG } else { S_IFDIR };
        for (name, child) in children {
            let key = volume.entry_key(id, &name);
            tree.push(core, &key, &records::entry(child, DEFAULT_NS, kind, None));
        }
        self.dirs += 1;
    }

    fn file(
        &mut self,
        tree: &mut Bulk,
        refs: &mut Bulk,
        (id, parent): (Ino, Ino),
        i: u64,
        len: u64,
    ) {
        let core = &mut self.c.core;
        let blocks = len.div_ceil(core.block_size);
        let bytes = blocks * core.block_size;
        let stream = (len > 0).then_some((len, bytes));
        let value = inode((id, parent), &format!("file {i}"), (S_IFREG | 0o644, 1), stream);
        tree.push(core, &FsKey::plain(id, record::INODE), &value);
        if blocks == 0 {
            return;
        }
        let address = core.space.allocate(blocks);
        self.allocated += blocks;
        tree.push(core, &FsKey::plain(id, record::STREAM), &1u32.to_le_bytes());
        let key = FsKey::numbered(id, record::FILE_EXTENT, 0);
        tree.push(core, &key, &records::file_extent(bytes, 0, address, 0));
        let mut value = Vec::with_capacity(20);
        value.le64(1 << 60 | blocks);
        value.le64(id);
        value.le32(1);
        refs.push(core, &FsKey::plain(address, record::EXTENT), &value);
    }

    fn install(&mut self, tree: Bulk, refs: Bulk, dirs: u64) {
        let core = &mut self.c.core;
        let volume = &mut self.c.volumes[self.v];
        let root = volume.tree.root_oid();
        let (tree, mut mapped) = tree.finish(core, root);
        let (refs, _) = refs.finish(core, 0);
        mapped.sort_unstable();
        let mut omap = Bulk::new(&OMAP_TREE);
        for (oid, address) in mapped {
            let mut value = Vec::with_capacity(16);
            value.le32(0);
            value.le32(core.block_size as u32);
            value.le64(address);
            omap.push(core, &(oid, core.xid), &value);
        }
        let (omap, _) = omap.finish(core, 0);
        volume.replace(core, (tree, omap, Refs::written(refs, self.allocated)));
        volume.counts = [self.files, self.dirs, 0, 0];
        volume.next_id = shelf_id(dirs.div_ceil(DIRS));
    }
}

/// Entries in the order of their keys.
fn sorted(entries: impl IntoIterator<Item = (String, Ino)>) -> Vec<(String, Ino)> {
    let mut out: Vec<(u32, String, Ino)> =
        entries.into_iter().map(|(name, id)| (names::hash(&name, false), name, id)).collect();
    out.sort_unstable_by(|a, b| (a.0, a.1.len(), &a.1).cmp(&(b.0, b.1.len(), &b.1)));
    out.into_iter().map(|(_, name, id)| (name, id)).collect()
}

fn inode(
    (id, parent): (Ino, Ino),
    name: &str,
    (mode, links): (u16, u32),
    stream: Option<(u64, u64)>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(180);
    [parent, id].into_iter().for_each(|v| out.le64(v));
    (0..4).for_each(|_| out.le64(DEFAULT_NS as u64));
    out.le64(flag::NO_RESOURCE_FORK);
    [links, 0, 1, 0, 501, 20].into_iter().for_each(|v| out.le32(v));
    out.extend_from_slice(&mode.to_le_bytes());
    out.extend_from_slice(&[0; 10]);
    let mut fields = vec![(field::NAME, 2, [name.as_bytes(), b"\0"].concat())];
    if let Some((size, bytes)) = stream {
        fields.push((field::STREAM, 0x20, records::stream(size, bytes, 0)));
    }
    put_fields(&mut out, &fields);
    out
}
