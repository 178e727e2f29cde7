//! Structures of a container as text, with the names of the Apple File System Reference.
//! What is broken is shown as far as it goes: these are bytes, not what is made of them.

use super::Container;
use super::fletcher;
use super::format::{FOOTER, HEADER, kind, tree};
use super::nx::NxSuperblock;
use super::object::Header;
use crate::error::{Error, Result};
use crate::io::bytes::{le16, le32, le64, usize32};
use crate::io::{Source, gone, read_up_to};
use crate::report::dump::{Dump, Dumped, Field, Order, Show, hex};
use Show::{Bytes, Hex, Number, Text, Uuid};

/// What [`dump`] knows: `N` counts volumes from 1, `BLOCK` is an address.
pub const STRUCTURES: &[&str] =
    &["container", "checkpoint", "omap", "volume/N", "volume-omap/N", "object/BLOCK"];

const OBJECT: &[Field] = &[
    ("o_cksum", 8, Hex),
    ("o_oid", 8, Number),
    ("o_xid", 8, Number),
    ("o_type", 4, Hex),
    ("o_subtype", 4, Hex),
];
const CONTAINER: &[Field] = &[
    ("nx_magic", 4, Text),
    ("nx_block_size", 4, Number),
    ("nx_block_count", 8, Number),
    ("nx_features", 8, Hex),
    ("nx_readonly_compatible_features", 8, Hex),
    ("nx_incompatible_features", 8, Hex),
    ("nx_uuid", 16, Uuid),
    ("nx_next_oid", 8, Number),
    ("nx_next_xid", 8, Number),
    ("nx_xp_desc_blocks", 4, Number),
    ("nx_xp_data_blocks", 4, Number),
    ("nx_xp_desc_base", 8, Number),
    ("nx_xp_data_base", 8, Number),
    ("nx_xp_desc_next", 4, Number),
    ("nx_xp_data_next", 4, Number),
    ("nx_xp_desc_index", 4, Number),
    ("nx_xp_desc_len", 4, Number),
    ("nx_xp_data_index", 4, Number),
    ("nx_xp_data_len", 4, Number),
    ("nx_spaceman_oid", 8, Number),
    ("nx_omap_oid", 8, Number),
    ("nx_reaper_oid", 8, Number),
    ("nx_test_type", 4, Number),
    ("nx_max_file_systems", 4, Number),
];
/// Most entries of `nx_fs_oid`.
const MAX_VOLUMES: usize = 100;
/// Where what follows `nx_fs_oid` and the counters begins.
const BEHIND_COUNTERS: usize = 0x4D8;
const CONTAINER_END: &[Field] = &[
    ("nx_blocked_out_prange", 16, Bytes),
    ("nx_evict_mapping_tree_oid", 8, Number),
    ("nx_flags", 8, Hex),
    ("nx_efi_jumpstart", 8, Number),
    ("nx_fusion_uuid", 16, Uuid),
    ("nx_keylocker.pr_start_paddr", 8, Number),
    ("nx_keylocker.pr_block_count", 8, Number),
    ("nx_ephemeral_info", 32, Bytes),
    ("nx_test_oid", 8, Number),
    ("nx_fusion_mt_oid", 8, Number),
    ("nx_fusion_wbc_oid", 8, Number),
    ("nx_fusion_wbc", 16, Bytes),
    ("nx_newest_mounted_version", 8, Hex),
    ("nx_mkb_locker.pr_start_paddr", 8, Number),
    ("nx_mkb_locker.pr_block_count", 8, Number),
];
const MAP: &[Field] = &[
    ("om_flags", 4, Hex),
    ("om_snap_count", 4, Number),
    ("om_tree_type", 4, Hex),
    ("om_snapshot_tree_type", 4, Hex),
    ("om_tree_oid", 8, Number),
    ("om_snapshot_tree_oid", 8, Number),
    ("om_most_recent_snap", 8, Number),
    ("om_pending_revert_min", 8, Number),
    ("om_pending_revert_max", 8, Number),
];
const CHECKPOINT_MAP: &[Field] = &[("cpm_flags", 4, Hex), ("cpm_count", 4, Number)];
const MAPPING: &[Field] = &[
    ("cpm_type", 4, Hex),
    ("cpm_subtype", 4, Hex),
    ("cpm_size", 4, Number),
    ("cpm_pad", 4, Number),
    ("cpm_fs_oid", 8, Number),
    ("cpm_oid", 8, Number),
    ("cpm_paddr", 8, Number),
];
const VOLUME: &[Field] = &[
    ("apfs_magic", 4, Text),
    ("apfs_fs_index", 4, Number),
    ("apfs_features", 8, Hex),
    ("apfs_readonly_compatible_features", 8, Hex),
    ("apfs_incompatible_features", 8, Hex),
    ("apfs_unmount_time", 8, Number),
    ("apfs_fs_reserve_block_count", 8, Number),
    ("apfs_fs_quota_block_count", 8, Number),
    ("apfs_fs_alloc_count", 8, Number),
    ("apfs_meta_crypto", 20, Bytes),
    ("apfs_root_tree_type", 4, Hex),
    ("apfs_extentref_tree_type", 4, Hex),
    ("apfs_snap_meta_tree_type", 4, Hex),
    ("apfs_omap_oid", 8, Number),
    ("apfs_root_tree_oid", 8, Number),
    ("apfs_extentref_tree_oid", 8, Number),
    ("apfs_snap_meta_tree_oid", 8, Number),
    ("apfs_revert_to_xid", 8, Number),
    ("apfs_revert_to_sblock_oid", 8, Number),
    ("apfs_next_obj_id", 8, Number),
    ("apfs_num_files", 8, Number),
    ("apfs_num_directories", 8, Number),
    ("apfs_num_symlinks", 8, Number),
    ("apfs_num_other_fsobjects", 8, Number),
    ("apfs_num_snapshots", 8, Number),
    ("apfs_total_blocks_alloced", 8, Number),
    ("apfs_total_blocks_freed", 8, Number),
    ("apfs_vol_uuid", 16, Uuid),
    ("apfs_last_mod_time", 8, Number),
    ("apfs_fs_flags", 8, Hex),
    ("apfs_formatted_by.id", 32, Text),
    ("apfs_formatted_by.timestamp", 8, Number),
    ("apfs_formatted_by.last_xid", 8, Number),
];
/// Entries of `apfs_modified_by`.
const HISTORY: usize = 8;
const MODIFIED: &[Field] = &[("id", 32, Text), ("timestamp", 8, Number), ("last_xid", 8, Number)];
const VOLUME_END: &[Field] = &[
    ("apfs_volname", 256, Text),
    ("apfs_next_doc_id", 4, Number),
    ("apfs_role", 2, Hex),
    ("reserved", 2, Number),
    ("apfs_root_to_xid", 8, Number),
    ("apfs_er_state_oid", 8, Number),
    ("apfs_cloneinfo_id_epoch", 8, Number),
    ("apfs_cloneinfo_xid", 8, Number),
    ("apfs_snap_meta_ext_oid", 8, Number),
    ("apfs_volume_group_id", 16, Uuid),
    ("apfs_integrity_meta_oid", 8, Number),
    ("apfs_fext_tree_oid", 8, Number),
    ("apfs_fext_tree_type", 4, Hex),
];
const NODE: &[Field] = &[
    ("btn_flags", 2, Hex),
    ("btn_level", 2, Number),
    ("btn_nkeys", 4, Number),
    ("btn_table_space.off", 2, Number),
    ("btn_table_space.len", 2, Number),
    ("btn_free_space.off", 2, Number),
    ("btn_free_space.len", 2, Number),
    ("btn_key_free_list.off", 2, Number),
    ("btn_key_free_list.len", 2, Number),
    ("btn_val_free_list.off", 2, Number),
    ("btn_val_free_list.len", 2, Number),
];
const TREE: &[Field] = &[
    ("bt_fixed.bt_flags", 4, Hex),
    ("bt_fixed.bt_node_size", 4, Number),
    ("bt_fixed.bt_key_size", 4, Number),
    ("bt_fixed.bt_val_size", 4, Number),
    ("bt_longest_key", 4, Number),
    ("bt_longest_val", 4, Number),
    ("bt_key_count", 8, Number),
    ("bt_node_count", 8, Number),
];
const ROOT: u16 = 1;
const LEAF: u16 = 2;
const FIXED: u16 = 4;

/// A structure of a container as text; see [`STRUCTURES`].
///
/// # Errors
/// [`Error::NotFound`] for what there is not; errors of reading.
pub fn dump(source: &Source, structure: &str) -> Result<Dumped> {
    let (name, number) = structure.split_once('/').unwrap_or((structure, ""));
    let number = match number {
        "" => None,
        n => Some(n.parse::<u64>().map_err(|_| Error::Invalid(format!("{n} is no number")))?),
    };
    let head = read_up_to(&**source, 0, 4096)?;
    let size = NxSuperblock::parse(&head).filter(|nx| nx.problem().is_none());
    let mut job =
        Job { source, block: size.map_or(4096, |nx| nx.block_size), dump: Dump::default() };
    if name == "container" || name == "object" {
        job.object(number.unwrap_or(0))?;
        return Ok(job.dump.finish());
    }
    let container = Container::open(source.clone())?;
    job.block = container.superblock().block_size;
    let volume = || {
        let index = number.and_then(|n| usize::try_from(n).ok()?.checked_sub(1)).unwrap_or(0);
        let none = || Error::NotFound(format!("the container has no volume {}", index + 1));
        container.volume(*container.superblock().volumes.get(index).ok_or_else(none)?)
    };
    match name {
        "checkpoint" => {
            let (nx, ring) = (container.superblock(), &container.checkpoint().rings.0);
            let (first, len) = (u64::from(nx.descriptor_index), u64::from(nx.descriptor_len));
            let places = first..first.saturating_add(len);
            for block in places.filter_map(|i| ring.block(i.checked_rem(ring.len())?)) {
                job.object(block)?;
            }
        }
        "omap" => job.object(container.superblock().omap_oid)?,
        "volume" => job.object(volume()?.0)?,
        _ => job.object(volume()?.1.omap_block)?,
    }
    Ok(job.dump.finish())
}

struct Job<'a> {
    source: &'a Source,
    block: u32,
    dump: Dump,
}

impl Job<'_> {
    /// An object by its address, with what its type has.
    fn object(&mut self, address: u64) -> Result<()> {
        let at = address.saturating_mul(self.block.into());
        let bytes = read_up_to(&**self.source, at, usize32(self.block))?;
        let none = || Error::NotFound(format!("the container has no block {address}"));
        let header = Header::parse(&bytes).ok_or_else(none)?;
        let what = match header.kind() {
            kind::NX_SUPERBLOCK => "nx_superblock_t",
            kind::BTREE_ROOT | kind::BTREE_NODE => "btree_node_phys_t",
            kind::OMAP => "omap_phys_t",
            kind::CHECKPOINT_MAP => "checkpoint_map_phys_t",
            kind::VOLUME => "apfs_superblock_t",
            _ => "obj_phys_t",
        };
        let title = format!("block {address}: {what}");
        let place = self.source.locate(at);
        self.dump.begin(&title, Order::Little, place.as_ref(), bytes.len());
        self.dump.lost(gone(&**self.source, at, &bytes).map(|g| g.why));
        self.dump.fields(&bytes, 0, "", OBJECT);
        if !fletcher::is_sound(&bytes) {
            let sum = fletcher::checksum(&bytes).unwrap_or(0);
            self.dump
                .line(&format!("  its bytes give the checksum {sum:#018x}: not this object's"));
        }
        match header.kind() {
            kind::NX_SUPERBLOCK => self.container(&bytes),
            kind::BTREE_ROOT | kind::BTREE_NODE => self.node(&bytes, header.subtype),
            kind::OMAP => {
                self.dump.fields(&bytes, HEADER, "", MAP);
            }
            kind::CHECKPOINT_MAP => {
                let mut at = self.dump.fields(&bytes, HEADER, "", CHECKPOINT_MAP);
                let room = bytes.len().saturating_sub(at) / 40;
                for n in 0..le32(&bytes, HEADER + 4).map_or(0, usize32).min(room) {
                    at = self.dump.fields(&bytes, at, &format!("cpm_map[{n}]."), MAPPING);
                }
            }
            kind::VOLUME => self.volume(&bytes),
            _ => {}
        }
        Ok(())
    }

    fn container(&mut self, bytes: &[u8]) {
        let at = self.dump.fields(bytes, HEADER, "", CONTAINER);
        for n in 0..MAX_VOLUMES {
            let at = at + 8 * n;
            if le64(bytes, at).is_some_and(|oid| oid != 0) {
                self.dump.fields(bytes, at, "", &[("nx_fs_oid", 8, Number)]);
            }
        }
        self.dump.fields(bytes, BEHIND_COUNTERS, "", CONTAINER_END);
    }

    fn volume(&mut self, bytes: &[u8]) {
        let mut at = self.dump.fields(bytes, HEADER, "", VOLUME);
        for n in 0..HISTORY {
            if bytes.get(at).is_some_and(|b| *b != 0) {
                self.dump.fields(bytes, at, &format!("apfs_modified_by[{n}]."), MODIFIED);
            }
            at += 48;
        }
        self.dump.fields(bytes, at, "", VOLUME_END);
    }

    fn node(&mut self, bytes: &[u8], subtype: u32) {
        let areas = self.dump.fields(bytes, HEADER, "", NODE);
        let half = |at: usize| le16(bytes, at).map_or(0, usize::from);
        let flags = le16(bytes, HEADER).unwrap_or(0);
        let (table, keys) = (areas + half(0x28), areas + half(0x28) + half(0x2A));
        let footer = if flags & ROOT != 0 { FOOTER } else { 0 };
        let values = bytes.len().saturating_sub(footer);
        let step = if flags & FIXED != 0 { 4 } else { 8 };
        let count = le32(bytes, HEADER + 4).map_or(0, usize32).min(half(0x2A) / step);
        // Sizes that the table leaves out: those of object maps, which alone have such nodes here.
        let value = if flags & LEAF != 0 { 16 } else { 8 };
        for n in 0..count {
            let at = table + step * n;
            let (k, key_len, v, value_len) = match step {
                4 => (half(at), 16, half(at + 2), value),
                _ => (half(at), half(at + 2), half(at + 4), half(at + 6)),
            };
            let key = bytes.get(keys + k..keys + k + key_len).unwrap_or_default();
            let from = values.checked_sub(v);
            let found = from.and_then(|from| bytes.get(from..from + value_len));
            let found = found.unwrap_or_default();
            let text = entry(subtype, flags & LEAF != 0, key, found);
            self.dump.line(&format!("entry {n} at {:#x}: {text}", keys + k));
        }
        if footer > 0 {
            self.dump.fields(bytes, values, "", TREE);
        }
    }
}

/// An entry of a node in a line.
fn entry(subtype: u32, leaf: bool, key: &[u8], value: &[u8]) -> String {
    let number = |bytes: &[u8], at| le64(bytes, at).unwrap_or(0);
    let child = || format!("child {}", number(value, 0));
    match subtype {
        tree::OMAP => {
            let key = format!("ok_oid {} ok_xid {}", number(key, 0), number(key, 8));
            let flags = le32(value, 0).unwrap_or(0);
            let size = le32(value, 4).unwrap_or(0);
            match leaf {
                true => format!(
                    "{key} ov_flags {flags:#x} ov_size {size} ov_paddr {}",
                    number(value, 8)
                ),
                false => format!("{key} {}", child()),
            }
        }
        tree::FS | tree::EXTENT_REFERENCES | tree::SNAPSHOTS => {
            let id = number(key, 0);
            let rest = key.get(8..).filter(|r| !r.is_empty()).map_or("-".into(), hex);
            let value = if leaf { format!("value {}", hex(value)) } else { child() };
            format!("obj_id {} obj_type {} key {rest} {value}", id & ((1 << 60) - 1), id >> 60)
        }
        _ => format!("key {} value {}", hex(key), hex(value)),
    }
}
