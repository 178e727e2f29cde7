//! A volume: its trees, counters, snapshots and superblock.

use std::collections::{BTreeMap, HashMap};

use super::btree::{Key, Tree, Written};
use super::core::Core;
use super::crypto::Xts;
use super::layout::{Layout, What};
use super::model::*;
use super::node::{EXTENTREF_TREE, FS_TREE, SNAP_META_TREE};
use super::object::{self, ENCRYPTED, PHYSICAL, kind};
use super::omap::Omap;
use super::options::VolumeOptions;
use super::records::{FsKey, record};
use super::refs::Refs;
use crate::bytes::{Put, put};

/// A snapshot.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub xid: u64,
    pub name: String,
    pub created: i64,
    pub copy: u64,
    pub refs: Refs,
}

/// Files, directories, symbolic links, others.
pub(crate) type Counts = [u64; 4];

/// A volume in the making.
#[derive(Debug)]
pub struct Volume {
    pub(crate) options: VolumeOptions,
    pub(crate) index: u32,
    pub(crate) oid: u64,
    pub(crate) uuid: [u8; 16],
    pub(crate) omap: Omap,
    pub(crate) tree: Tree<FsKey>,
    pub(crate) refs: Refs,
    snap_meta: Tree<FsKey>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) inodes: HashMap<Ino, Inode>,
    pub(crate) streams: HashMap<u64, Stream>,
    pub(crate) next_id: u64,
    pub(crate) next_document: u32,
    pub(crate) counts: Counts,
    pub(crate) dirty: bool,
    pub(crate) now: i64,
    /// Manifest lines by view: snapshots in order.
    pub(crate) views: BTreeMap<u64, Vec<String>>,
    /// References to blocks by snapshot, for `audit`.
    pub(crate) counted: BTreeMap<u64, HashMap<u64, i32>>,
    pub(crate) block_size: u64,
    /// The volume key and its cipher.
    pub(crate) key: Option<Xts>,
    pub(crate) keybag: u64,
    pub(crate) vek: [u8; 32],
    snap_meta_ext: (u64, Option<Written>),
    superblock: Option<Written>,
    ever: (u64, u64),
}

impl Volume {
    /// An empty volume with root and private directory.
    pub(crate) fn new(core: &mut Core, index: u32, options: VolumeOptions) -> Self {
        let bs = core.block_size as usize;
        let oid = core.oid();
        let root = core.oid();
        let uuid = core.uuid();
        let mut omap = Omap::new(core.block_size, 0);
        omap.tombstones = options.tombstones;
        let mut volume = Volume {
            index,
            oid,
            uuid,
            omap,
            tree: Tree::new(&FS_TREE, bs, root),
            refs: Refs::new(core.block_size),
            snap_meta: Tree::new(&SNAP_META_TREE, bs, 0),
            snapshots: Vec::new(),
            inodes: HashMap::new(),
            streams: HashMap::new(),
            next_id: options.first_id,
            next_document: 3,
            counts: [0; 4],
            dirty: true,
            now: options.created,
            views: BTreeMap::new(),
            counted: BTreeMap::new(),
            block_size: core.block_size,
            key: None,
            keybag: 0,
            vek: [0; 32],
            snap_meta_ext: (0, None),
            superblock: None,
            ever: (0, 0),
            options,
        };
        if volume.options.encryption.is_some() {
            volume.encrypt(core);
        }
        volume.add_fixed();
        volume
    }

    fn encrypt(&mut self, core: &mut Core) {
        self.vek[..16].copy_from_slice(&core.uuid());
        self.vek[16..].copy_from_slice(&core.uuid());
        self.key = Some(Xts::new(&self.vek[..16], &self.vek[16..]));
        let mut state = Vec::new();
        state.le32(1);
        state.zeros(20);
        self.tree.insert(FsKey::plain(4, record::CRYPTO), Some(state.into()));
    }

    fn add_fixed(&mut self) {
        for (id, name, mode) in
            [(ROOT, "root", S_IFDIR | 0o755), (PRIVATE_DIR, "private-dir", S_IFDIR | 0o700)]
        {
            let meta = Meta::with_mode(mode).owned(0, 0).dated(self.options.created);
            let mut inode = Inode::new(ROOT_PARENT, name, id, meta);
            inode.protection = self.protection();
            self.inodes.insert(id, inode);
            self.put_entry(ROOT_PARENT, name, id, None);
            self.put_inode(id);
        }
    }

    pub(crate) fn protection(&self) -> u32 {
        if self.key.is_some() { 3 } else { 0 }
    }

    /// The crypto id that streams name by default.
    pub(crate) fn default_crypto(&self) -> u64 {
        if self.key.is_some() { 4 } else { 0 }
    }

    /// Name of the newest snapshot's transaction, 0 if there is none.
    pub fn newest_snapshot(&self) -> u64 {
        self.snapshots.last().map_or(0, |s| s.xid)
    }

    /// Names of the snapshots, oldest first.
    pub fn snapshot_names(&self) -> Vec<String> {
        self.snapshots.iter().map(|s| s.name.clone()).collect()
    }

    /// Transactions of the snapshots, oldest first.
    pub fn snapshot_xids(&self) -> Vec<u64> {
        self.snapshots.iter().map(|s| s.xid).collect()
    }

    /// Makes the state of this transaction a snapshot.
    fn take_snapshot(&mut self, core: &mut Core, name: &str, created: i64) {
        let previous = self.mapped_meta_ext();
        let copy = core.space.allocate(1);
        let superblock = self.copy(core, copy, previous);
        core.device.write(copy, &superblock);
        self.put_snap_meta_ext(core);
        let bs = core.block_size;
        let mut fresh = Refs::new(bs);
        let style = core.style();
        fresh.tree.flush(core, style);
        let refs = std::mem::replace(&mut self.refs, fresh);
        let inum = self.next_id;
        self.next_id += 1;
        let snapshot = Snapshot { xid: core.xid, name: name.into(), created, copy, refs };
        self.put_snapshot(&snapshot, inum);
        self.snapshots.push(snapshot);
        self.omap.add_snapshot(core);
        if self.options.keep_views {
            let lines = self.manifest_lines();
            self.views.insert(core.xid, lines);
            self.counted.insert(core.xid, self.references());
        }
    }

    fn put_snapshot(&mut self, snapshot: &Snapshot, inum: u64) {
        let name = snapshot.name.as_bytes();
        let mut value = Vec::with_capacity(51 + name.len());
        value.le64(snapshot.refs.tree.root_oid());
        value.le64(snapshot.copy);
        value.le64(snapshot.created as u64);
        value.le64(snapshot.created as u64);
        value.le64(inum);
        value.le32(kind::BTREE | PHYSICAL);
        value.le32(0);
        value.extend_from_slice(&(name.len() as u16 + 1).to_le_bytes());
        value.extend_from_slice(name);
        value.push(0);
        let key = FsKey::plain(snapshot.xid, record::SNAP_META);
        self.snap_meta.insert(key, Some(value.into()));
        let key = FsKey::named((1 << 60) - 1, record::SNAP_NAME, &snapshot.name);
        self.snap_meta.insert(key, Some(Box::new(snapshot.xid.to_le_bytes())));
    }

    /// Identifier of the newest snapshot's extended metadata, 0 if there is none.
    fn mapped_meta_ext(&self) -> u64 {
        self.snap_meta_ext.1.map_or(0, |_| self.snap_meta_ext.0)
    }

    fn put_snap_meta_ext(&mut self, core: &mut Core) {
        if self.snap_meta_ext.0 == 0 {
            self.snap_meta_ext.0 = core.oid();
        }
        let mut out = vec![0u8; core.block_size as usize];
        put(&mut out, 0x20, &1u32.to_le_bytes());
        put(&mut out, 0x28, &core.xid.to_le_bytes());
        put(&mut out, 0x30, &core.uuid());
        let (oid, old) = self.snap_meta_ext;
        core.key = self.key.clone();
        let flags = if core.key.is_some() { ENCRYPTED } else { 0 };
        object::seal(&mut out, oid, core.xid, kind::SNAP_META_EXT | flags, 0);
        let address = core.space.allocate(1);
        core.write_sealed(address, address, out);
        self.omap.map(core, oid, address, old);
        core.key = None;
        self.snap_meta_ext.1 = Some(Written { address, xid: core.xid });
    }

    /// Forgets a snapshot: what only it needs is freed.
    pub(crate) fn delete_snapshot(&mut self, core: &mut Core, name: &str) {
        let at = self.snapshots.iter().position(|s| s.name == name).expect("a snapshot");
        let snapshot = self.snapshots.remove(at);
        self.snap_meta.remove(&FsKey::plain(snapshot.xid, record::SNAP_META));
        self.snap_meta.remove(&FsKey::named((1 << 60) - 1, record::SNAP_NAME, &snapshot.name));
        let next = self.snapshots.get_mut(at).map_or(&mut self.refs, |s| &mut s.refs);
        for (start, len) in next.merge(&snapshot.refs) {
            core.free(start, len);
        }
        for address in snapshot.refs.tree.addresses() {
            core.free(address, 1);
        }
        core.free(snapshot.copy, 1);
        if let (oid, Some(written)) = self.snap_meta_ext
            && written.xid == snapshot.xid
        {
            self.snap_meta_ext.1 = self.omap.step_back(core, oid, written);
        }
        self.omap.remove_snapshot(core, snapshot.xid);
        self.views.remove(&snapshot.xid);
        // A merged tree moves, so the record of its snapshot has to say where it is now.
        if let Some(next) = self.snapshots.get_mut(at) {
            let style = core.style();
            let changes = next.refs.tree.flush(core, style);
            core.free_dropped(&changes);
            let key = FsKey::plain(next.xid, record::SNAP_META);
            let mut value = self.snap_meta.get(&key).cloned().flatten().expect("a snapshot");
            put(&mut value, 0, &next.refs.tree.root_oid().to_le_bytes());
            self.snap_meta.insert(key, Some(value));
        }
        self.dirty = true;
    }

    /// Writes what changed in this transaction; `snapshot` (name, date) makes its end a snapshot.
    pub(crate) fn commit(
        &mut self,
        core: &mut Core,
        snapshot: Option<(&str, i64)>,
    ) -> Option<Written> {
        if !self.dirty && snapshot.is_none() {
            return None;
        }
        core.key = self.key.clone();
        let style = core.style();
        let changes = self.tree.flush(core, style);
        self.omap.apply(core, &changes, false);
        core.key = None;
        let style = core.style();
        let changes = self.refs.tree.flush(core, style);
        core.free_dropped(&changes);
        if let Some((name, created)) = snapshot {
            self.take_snapshot(core, name, created);
        }
        let changes = self.snap_meta.flush(core, style);
        core.free_dropped(&changes);
        self.omap.write(core);
        let address = core.space.allocate(1);
        let block = self.superblock(core);
        core.device.write(address, &block);
        self.dirty = false;
        let old = self.superblock.replace(Written { address, xid: core.xid });
        old.or(Some(Written { address: 0, xid: 0 }))
    }

    /// Where the newest superblock lies.
    pub(crate) fn superblock_address(&self) -> u64 {
        self.superblock.map_or(0, |w| w.address)
    }

    /// Blocks that the volume uses.
    pub fn allocated(&self) -> u64 {
        let snapshots: u64 =
            self.snapshots.iter().map(|s| s.refs.tree.node_count() + s.refs.allocated()).sum();
        self.omap.blocks()
            + self.omap.mapped()
            + self.snap_meta.node_count()
            + self.refs.tree.node_count()
            + self.refs.allocated()
            + snapshots
    }

    fn superblock(&mut self, core: &Core) -> Vec<u8> {
        let allocated = self.allocated();
        let before = self.ever.0 - self.ever.1;
        // Every change of the volume moves blocks: count at least those that are there now.
        self.ever.0 += allocated.saturating_sub(before) + 4;
        self.ever.1 += before.saturating_sub(allocated) + 4;
        let mut out = self.common(core);
        put(&mut out, 0x40, &(self.now as u64).to_le_bytes());
        put(&mut out, 0x80, &self.omap.address.to_le_bytes());
        put(&mut out, 0x90, &self.refs.tree.root_oid().to_le_bytes());
        put(&mut out, 0x98, &self.snap_meta.root_oid().to_le_bytes());
        put(&mut out, 0x3E8, &self.mapped_meta_ext().to_le_bytes());
        object::seal(&mut out, self.oid, core.xid, kind::FS, 0);
        out
    }

    fn copy(&self, core: &Core, address: u64, snap_meta_ext: u64) -> Vec<u8> {
        let mut out = self.common(core);
        put(&mut out, 0x3E8, &snap_meta_ext.to_le_bytes());
        object::seal(&mut out, address, core.xid, kind::FS | PHYSICAL, 0);
        out
    }

    /// What superblock and copies have in common.
    fn common(&self, core: &Core) -> Vec<u8> {
        let mut out = vec![0u8; core.block_size as usize];
        let o = &self.options;
        put(&mut out, 0x20, b"APSB");
        put(&mut out, 0xF0, &self.uuid);
        put(&mut out, 0x110, o.formatted_by.as_bytes());
        put(&mut out, 0x2C0, o.name.as_bytes());
        put(&mut out, 0x3C4, &o.role.to_le_bytes());
        if let Some(group) = &o.group {
            put(&mut out, 0x3F0, group);
        }
        let mut u32s = |at, v: u32| put(&mut out, at, &v.to_le_bytes());
        u32s(0x24, self.index);
        // Meta crypto: version 5, class, OS version, revision 1.
        u32s(0x60, 5);
        u32s(0x68, 6);
        u32s(0x6C, 0x1941_016A);
        u32s(0x70, 1);
        u32s(0x74, kind::BTREE);
        u32s(0x78, kind::BTREE | PHYSICAL);
        u32s(0x7C, kind::BTREE | PHYSICAL);
        u32s(0x3C0, self.next_document);
        u32s(0x410, kind::BTREE | PHYSICAL);
        u32s(0x414, kind::BTREE | PHYSICAL);
        if o.recent_fields {
            u32s(0x428, 0x10);
            u32s(0x42C, kind::BTREE);
            u32s(0x450, kind::BTREE);
        }
        let mut u64s = |at, v: u64| put(&mut out, at, &v.to_le_bytes());
        u64s(0x28, if o.group.is_some() { 0x12 } else { 2 });
        u64s(0x38, o.incompatible());
        u64s(0x58, self.allocated());
        u64s(0x88, self.tree.root_oid());
        u64s(0xB0, self.next_id);
        self.counts.into_iter().enumerate().for_each(|(i, n)| u64s(0xB8 + 8 * i, n));
        u64s(0xD8, self.snapshots.len() as u64);
        u64s(0xE0, self.ever.0);
        u64s(0xE8, self.ever.1);
        u64s(0x100, self.now as u64);
        u64s(0x108, if self.key.is_some() { 8 } else { 1 });
        u64s(0x130, o.created as u64);
        u64s(0x138, 1);
        u64s(0x3D8, 16);
        u64s(0x3E0, core.xid);
        if o.recent_fields {
            u64s(0x420, core.xid);
        }
        if core.xid > 1 {
            put(&mut out, 0x140, o.modified_by.as_bytes());
            put(&mut out, 0x160, &(self.now as u64).to_le_bytes());
            put(&mut out, 0x168, &core.xid.to_le_bytes());
        }
        out
    }

    /// Notes where everything lies.
    pub(crate) fn describe(&self, layout: &mut Layout) {
        let v = self.index;
        layout.add(self.superblock_address(), 1, What::Volume(v));
        self.omap.describe(Some(v), layout);
        for (oid, address, live) in self.omap.places() {
            let what = if oid == self.snap_meta_ext.0 {
                What::SnapMetaExt(v)
            } else {
                What::Node { volume: Some(v), tree: &FS_TREE, live }
            };
            layout.add(address, 1, what);
        }
        let mut nodes = |tree, live, addresses: Vec<u64>| {
            for address in addresses {
                layout.add(address, 1, What::Node { volume: Some(v), tree, live });
            }
        };
        nodes(&SNAP_META_TREE, true, self.snap_meta.addresses());
        nodes(&EXTENTREF_TREE, true, self.refs.tree.addresses());
        for snapshot in &self.snapshots {
            nodes(&EXTENTREF_TREE, false, snapshot.refs.tree.addresses());
        }
        for snapshot in &self.snapshots {
            layout.add(snapshot.copy, 1, What::VolumeCopy(v));
        }
        let all = self.snapshots.iter().map(|s| &s.refs).chain([&self.refs]);
        for (start, record) in all.flat_map(Refs::records).filter(|(_, r)| r.owner.is_some()) {
            layout.add(start, record.len, What::Data(v));
        }
    }

    /// Takes trees that were written elsewhere in place of its own.
    pub(crate) fn replace(
        &mut self,
        core: &mut Core,
        (tree, omap, refs): (Tree<FsKey>, Tree<(u64, u64)>, Refs),
    ) {
        let old = self.omap.live_blocks();
        let nodes = self.refs.tree.addresses();
        old.into_iter().chain(nodes).for_each(|a| core.free(a, 1));
        (self.tree, self.refs) = (tree, refs);
        self.omap.set_tree(omap);
        self.dirty = true;
    }

    pub(crate) fn put_record(&mut self, key: FsKey, value: Vec<u8>) {
        debug_assert!(key.stored_len() < 1100);
        self.tree.insert(key, Some(value.into()));
        self.dirty = true;
    }

    pub(crate) fn remove_record(&mut self, key: &FsKey) {
        self.tree.remove(key).expect("a record");
        self.dirty = true;
    }
}
