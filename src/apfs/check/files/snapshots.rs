//! The list of snapshots: records, names, and what each keeps (section 7).

use super::breaks::Breaks;
use super::fields::is_name;
use super::tables::Span;
use super::views::InTime;
use super::walk::Map;
use crate::apfs::check::headers;
use crate::apfs::format::record;
use crate::apfs::node::Entry;
use crate::apfs::object::Header;
use crate::apfs::omap::Mapping;
use crate::apfs::records::split;
use crate::apfs::volume::Apfs;
use crate::error::Result;
use crate::io::bytes::{le16, le32, le64};
use crate::report::Rule;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Bytes of a record before the name.
const FIXED: usize = 0x32;
/// Number under which names stand.
const NAMES: u64 = (1 << 60) - 1;
const PHYSICAL_TREE: u32 = 0x4000_0002;
/// Type of the additional record of a snapshot.
const EXTENDED: u16 = 0x1D;

/// Names of snapshots by transaction: as their records say, and as name records do.
#[derive(Default)]
struct Named {
    records: HashMap<u64, Vec<u8>>,
    names: HashMap<u64, Vec<u8>>,
}

/// Check the list of snapshots of a volume.
///
/// # Errors
/// When the tree cannot be read.
pub fn check(volume: &Apfs, views: &InTime, map: &Map, breaks: &mut Breaks) -> Result<()> {
    let (store, root) = (volume.container.store(), volume.superblock.snapshots_block);
    let mut named = Named::default();
    if root != 0 {
        let tree = crate::apfs::snapshots::tree_at(store, root);
        tree.scan(&[], &mut |entry| {
            one(&entry, views, &mut named, breaks);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let all = views.all();
    for (xid, name) in &named.records {
        if named.names.get(xid) != Some(name) {
            breaks.add(Rule::A261, 0, at(views, *xid), || {
                format!("snapshot '{}' is not found by its name", String::from_utf8_lossy(name))
            });
        }
    }
    for (xid, name) in named.names.iter().filter(|(xid, _)| !named.records.contains_key(xid)) {
        breaks.add(Rule::A261, 0, all, || {
            let name = String::from_utf8_lossy(name);
            format!(
                "the name '{name}' leads to a snapshot of transaction {xid}, which there is not"
            )
        });
    }
    for (a, b) in volume.snapshots.iter().zip(volume.snapshots.iter().skip(1)) {
        if b.created < a.created {
            breaks.add(Rule::A269, 0, at(views, b.xid), || {
                format!("snapshot '{}' is older than the one before it, '{}'", b.name, a.name)
            });
        }
    }
    extended(volume, views, map, breaks);
    Ok(())
}

/// The view of a snapshot.
fn at(views: &InTime, xid: u64) -> Span {
    views.between(xid, xid.saturating_add(1)).unwrap_or_else(|| views.all())
}

fn one(entry: &Entry<'_>, views: &InTime, named: &mut Named, breaks: &mut Breaks) {
    let (value, Some((id, kind))) = (entry.value.unwrap_or_default(), split(entry.key)) else {
        return;
    };
    match kind {
        record::SNAPSHOT => metadata(id, entry.key, value, views, named, breaks),
        record::SNAPSHOT_NAME => {
            let name = entry.key.get(10..).unwrap_or_default();
            let len = le16(entry.key, 8).map_or(0, usize::from);
            if id != NAMES || len != name.len() || !is_name(name) || value.len() != 8 {
                breaks.add(Rule::A260, 0, views.all(), || {
                    "a name record of a snapshot is not sound".into()
                });
                return;
            }
            let xid = le64(value, 0).unwrap_or(0);
            if named.names.insert(xid, name.to_vec()).is_some() {
                breaks.add(Rule::A261, 0, at(views, xid), || {
                    format!("the snapshot of transaction {xid} has two names")
                });
            }
        }
        _ => breaks.add(Rule::A079, 0, views.all(), || {
            format!("a record of type {kind} does not belong into the list of snapshots")
        }),
    }
}

fn metadata(
    xid: u64,
    key: &[u8],
    value: &[u8],
    views: &InTime,
    named: &mut Named,
    breaks: &mut Breaks,
) {
    let (span, name) = (at(views, xid), value.get(FIXED..).unwrap_or_default());
    let len = le16(value, 0x30).map_or(0, usize::from);
    if key.len() != 8 || len != name.len() || !is_name(name) {
        breaks.add(Rule::A260, 0, span, || {
            format!("the record of the snapshot of transaction {xid} is not sound")
        });
    }
    let kind = le32(value, 0x28);
    if kind != Some(PHYSICAL_TREE) {
        breaks.add(Rule::A266, 0, span, || {
            let kind = kind.unwrap_or(0);
            format!(
                "the snapshot of transaction {xid} names a tree of used blocks of type {kind:#x}"
            )
        });
    }
    let flags = le32(value, 0x2C).unwrap_or(0);
    if flags != 0 {
        breaks.add(Rule::A267, 0, span, || {
            let what =
                if flags & 3 == 0 { "which nobody knows" } else { "it is being merged or emptied" };
            format!("the snapshot of transaction {xid} has flags {flags:#x}: {what}")
        });
    }
    if le64(value, 0x20) == Some(0) {
        breaks.add(Rule::A272, 0, span, || {
            format!("the snapshot of transaction {xid} has no inode number")
        });
    }
    named.records.insert(xid, name.to_vec());
}

/// The additional record of each snapshot: one number, in a state for each.
fn extended(volume: &Apfs, views: &InTime, map: &Map, breaks: &mut Breaks) {
    let blocks = volume.container.store().blocks();
    let live = blocks.object("volume superblock", volume.block, 1).ok();
    let Some(oid) = live.and_then(|o| o.u64(0x3E8)).filter(|oid| *oid != 0) else { return };
    for snapshot in &volume.snapshots {
        let span = at(views, snapshot.xid);
        let wrong = match map.at(oid, snapshot.xid) {
            Some(m) => extended_one(volume, oid, &m, snapshot.xid),
            None => Some("is not there".to_owned()),
        };
        if let Some(text) = wrong {
            breaks.add(Rule::A270, 0, span, || {
                format!("the additional record of snapshot '{}' {text}", snapshot.name)
            });
        }
    }
}

fn extended_one(volume: &Apfs, oid: u64, m: &Mapping, xid: u64) -> Option<String> {
    let blocks = volume.container.store().blocks();
    let what = "snapshot record";
    let mut bytes = blocks.read(what, m.block, 1).ok()?;
    if m.encrypted() {
        let sectors = blocks.size() / crate::crypt::xts::SECTOR;
        volume.key.as_ref()?.decrypt(m.block.wrapping_mul(sectors), &mut bytes);
    }
    // One that cannot be read is told of where all that is mapped is read.
    let object = blocks.prove(what, m.block, bytes).ok()?;
    if object.header.kind() != EXTENDED || object.header.oid != oid || object.header.subtype != 0 {
        let Header { kind_and_flags, subtype, .. } = object.header;
        return Some(format!("is an object of type {kind_and_flags:#x} and subtype {subtype:#x}"));
    }
    if let Some((_, text)) = headers::problem(&object.header, m.encrypted()) {
        return Some(format!("is not sound: {text}"));
    }
    let (version, flags, says) = (object.u32(0x20)?, object.u32(0x24)?, object.u64(0x28)?);
    let sound = (version, flags, says) == (1, 0, xid);
    (!sound)
        .then(|| format!("has version {version}, flags {flags:#x} and names transaction {says}"))
}
