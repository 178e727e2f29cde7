//! Structures of a volume as text, with the names of TN1150 and Apple's `hfs_format.h`.
//! What is broken is shown as far as it goes: these are bytes, not what is made of them.

use super::Shared;
use super::btree::BTree;
use super::node::{DESCRIPTOR, KeyedRecord, Node, kind, split};
use super::unicode::display;
use crate::error::{Error, Result};
use crate::io::bytes::{be16, be32, be64, to_usize};
use crate::io::{ReadAt, gone, read_up_to};
use crate::report::dump::{Dump, Dumped, Field, Order, Show, hex, quoted};
use Show::{Bytes, Extents, Hex, Number, Text};

/// What [`dump`] knows; `/N` is a node, `/N/R` a record of it.
pub const STRUCTURES: &[&str] = &[
    "header",
    "alternate-header",
    "journal",
    "catalog[/NODE[/RECORD]]",
    "extents[/NODE[/RECORD]]",
    "attributes[/NODE[/RECORD]]",
];

const HEADER: &[Field] = &[
    ("signature", 2, Text),
    ("version", 2, Number),
    ("attributes", 4, Hex),
    ("lastMountedVersion", 4, Text),
    ("journalInfoBlock", 4, Number),
    ("createDate", 4, Number),
    ("modifyDate", 4, Number),
    ("backupDate", 4, Number),
    ("checkedDate", 4, Number),
    ("fileCount", 4, Number),
    ("folderCount", 4, Number),
    ("blockSize", 4, Number),
    ("totalBlocks", 4, Number),
    ("freeBlocks", 4, Number),
    ("nextAllocation", 4, Number),
    ("rsrcClumpSize", 4, Number),
    ("dataClumpSize", 4, Number),
    ("nextCatalogID", 4, Number),
    ("writeCount", 4, Number),
    ("encodingsBitmap", 8, Hex),
    ("finderInfo", 32, Bytes),
];
const FORKS: [&str; 5] =
    ["allocationFile", "extentsFile", "catalogFile", "attributesFile", "startupFile"];
const FORK: &[Field] = &[
    ("logicalSize", 8, Number),
    ("clumpSize", 4, Number),
    ("totalBlocks", 4, Number),
    ("extents", 64, Extents),
];
const JOURNAL_INFO: &[Field] = &[
    ("flags", 4, Hex),
    ("device_signature", 32, Bytes),
    ("offset", 8, Number),
    ("size", 8, Number),
];
const JOURNAL_HEADER: &[Field] = &[
    ("magic", 4, Hex),
    ("endian", 4, Hex),
    ("start", 8, Number),
    ("end", 8, Number),
    ("size", 8, Number),
    ("blhdr_size", 4, Number),
    ("checksum", 4, Hex),
    ("jhdr_size", 4, Number),
    ("sequence_num", 4, Number),
];
/// `ENDIAN_MAGIC` as a little-endian machine writes it, read as big-endian.
const LITTLE: u32 = 0x7856_3412;
const NODE: &[Field] = &[
    ("fLink", 4, Number),
    ("bLink", 4, Number),
    ("kind", 1, Hex),
    ("height", 1, Number),
    ("numRecords", 2, Number),
    ("reserved", 2, Number),
];
const TREE: &[Field] = &[
    ("treeDepth", 2, Number),
    ("rootNode", 4, Number),
    ("leafRecords", 4, Number),
    ("firstLeafNode", 4, Number),
    ("lastLeafNode", 4, Number),
    ("nodeSize", 2, Number),
    ("maxKeyLength", 2, Number),
    ("totalNodes", 4, Number),
    ("freeNodes", 4, Number),
    ("reserved1", 2, Number),
    ("clumpSize", 4, Number),
    ("btreeType", 1, Number),
    ("keyCompareType", 1, Hex),
    ("attributes", 4, Hex),
];
const FOLDER: &[Field] = &[
    ("recordType", 2, Number),
    ("flags", 2, Hex),
    ("valence", 4, Number),
    ("folderID", 4, Number),
];
const FILE: &[Field] = &[
    ("recordType", 2, Number),
    ("flags", 2, Hex),
    ("reserved1", 4, Number),
    ("fileID", 4, Number),
];
const COMMON: &[Field] = &[
    ("createDate", 4, Number),
    ("contentModDate", 4, Number),
    ("attributeModDate", 4, Number),
    ("accessDate", 4, Number),
    ("backupDate", 4, Number),
    ("ownerID", 4, Number),
    ("groupID", 4, Number),
    ("adminFlags", 1, Hex),
    ("ownerFlags", 1, Hex),
    ("fileMode", 2, Hex),
    ("special", 4, Number),
    ("userInfo", 16, Bytes),
    ("finderInfo", 16, Bytes),
    ("textEncoding", 4, Number),
];
const THREAD: &[Field] =
    &[("recordType", 2, Number), ("reserved", 2, Number), ("parentID", 4, Number)];
const INLINE_ATTRIBUTE: &[Field] =
    &[("recordType", 4, Hex), ("reserved", 8, Bytes), ("attrSize", 4, Number)];
const ATTRIBUTE: &[Field] = &[("recordType", 4, Hex), ("reserved", 4, Number)];

/// A structure of a volume as text; see [`STRUCTURES`].
///
/// # Errors
/// [`Error::NotFound`] for what there is not; errors of reading.
pub fn dump(shared: &Shared, structure: &str) -> Result<Dumped> {
    let mut dump = Dump::default();
    let volume = shared.seen().volume.clone();
    let mut parts = structure.split('/');
    let tree = parts.next().unwrap_or_default();
    match tree {
        "header" => header(&*volume, "HFSPlusVolumeHeader", 1024, &mut dump)?,
        "alternate-header" => {
            let at = shared.stored().alternate.offset.unwrap_or(0);
            header(&*volume, "HFSPlusVolumeHeader (alternate)", at, &mut dump)?;
        }
        "journal" => journal(shared, &mut dump)?,
        _ => {
            let number = |part: Option<&str>| part.map(str::parse::<u32>).transpose();
            let invalid = |_| Error::Invalid(format!("{structure}: a node has a number"));
            let node = number(parts.next()).map_err(invalid)?.unwrap_or(0);
            let record = number(parts.next()).map_err(invalid)?;
            Tree { name: tree, tree: tree_of(shared, tree)? }.node(node, record, &mut dump)?;
        }
    }
    Ok(dump.finish())
}

fn tree_of<'s>(shared: &'s Shared, name: &str) -> Result<&'s BTree> {
    let none = || Error::NotFound(format!("the volume has no {name} that can be opened"));
    let trees = shared.trees().ok_or_else(none)?;
    match name {
        "catalog" => trees.catalog.as_ref().map_err(Error::again),
        "extents" => trees.extents.as_ref().map_err(|_| none()),
        _ => trees.attributes.as_ref().ok_or_else(none)?.as_ref().map_err(Error::again),
    }
}

fn header(volume: &dyn ReadAt, name: &str, at: u64, dump: &mut Dump) -> Result<()> {
    let bytes = read_up_to(volume, at, 512)?;
    dump.begin(name, Order::Big, volume.locate(at).as_ref(), bytes.len());
    dump.lost(gone(volume, at, &bytes).map(|g| g.why));
    let mut behind = dump.fields(&bytes, 0, "", HEADER);
    for fork in FORKS {
        behind = dump.fields(&bytes, behind, &format!("{fork}."), FORK);
    }
    Ok(())
}

fn journal(shared: &Shared, dump: &mut Dump) -> Result<()> {
    let (volume, header) = (shared.source(), shared.stored().usable());
    let header = header.ok_or_else(|| Error::NotFound("no volume header can be used".into()))?;
    if header.journal_info_block == 0 {
        return Err(Error::NotFound("the volume has no journal".into()));
    }
    let at = u64::from(header.journal_info_block).saturating_mul(header.block_size.into());
    let info = read_up_to(&**volume, at, 52)?;
    dump.begin("JournalInfoBlock", Order::Big, volume.locate(at).as_ref(), info.len());
    dump.lost(gone(&**volume, at, &info).map(|g| g.why));
    dump.fields(&info, 0, "", JOURNAL_INFO);
    let at = be64(&info, 36).unwrap_or(0);
    let head = read_up_to(&**volume, at, 48)?;
    let order = if be32(&head, 4) == Some(LITTLE) { Order::Little } else { Order::Big };
    dump.begin("journal_header", order, volume.locate(at).as_ref(), head.len());
    dump.lost(gone(&**volume, at, &head).map(|g| g.why));
    dump.fields(&head, 0, "", JOURNAL_HEADER);
    Ok(())
}

struct Tree<'t> {
    name: &'t str,
    tree: &'t BTree,
}

impl Tree<'_> {
    fn node(&self, number: u32, record: Option<u32>, dump: &mut Dump) -> Result<()> {
        let (file, size) = (self.tree.file(), self.tree.node_size());
        let at = u64::from(number).saturating_mul(u64::from(self.tree.header().node_size));
        let bytes = read_up_to(&**file, at, size)?;
        let none = || Error::NotFound(format!("the {} has no node {number}", self.name));
        let lost = gone(&**file, at, &bytes).map(|g| g.why);
        let node = Node::new(bytes).ok_or_else(none)?;
        let title = format!("{} node {number}", self.name);
        dump.begin(&title, Order::Big, file.locate(at).as_ref(), size);
        dump.lost(lost);
        if let Some(record) = record {
            let n = to_usize(record.into());
            let none = || Error::NotFound(format!("{title} has no record {record}"));
            let bytes = node.record(n).ok_or_else(none)?;
            self.record(&node, n, bytes, dump);
            self.fields(&node, n, bytes, dump);
            return Ok(());
        }
        dump.fields(node.bytes(), 0, "", NODE);
        if node.kind == kind::HEADER {
            dump.fields(node.bytes(), DESCRIPTOR, "", TREE);
        }
        if let Some(problem) = node.offsets_problem() {
            dump.line(&format!("  the table of records is not sound: {problem}"));
        }
        for n in 0..usize::from(node.records) {
            match node.record(n) {
                Some(bytes) => self.record(&node, n, bytes, dump),
                None => dump.line(&format!("record {n}: not within the node")),
            }
        }
        Ok(())
    }

    /// A record in a line.
    fn record(&self, node: &Node<Vec<u8>>, n: usize, bytes: &[u8], dump: &mut Dump) {
        let at = node.offset(n).unwrap_or(0);
        let what = match (node.kind, split(bytes)) {
            (kind::LEAF | kind::INDEX, Some(parts)) => {
                let key = self.key(&parts);
                match (node.kind, be32(parts.data, 0)) {
                    (kind::INDEX, Some(child)) => format!("{key} node {child}"),
                    _ => format!("{key} {}", self.type_of(&parts)),
                }
            }
            _ => format!("{} bytes", bytes.len()),
        };
        dump.line(&format!("record {n} at {at:#x}, {} bytes: {what}", bytes.len()));
    }

    fn key(&self, parts: &KeyedRecord<'_>) -> String {
        let k = parts.key;
        let n = |at| be32(k, at).unwrap_or(0);
        let name = |at: usize| {
            let units = usize::from(be16(k, at).unwrap_or(0));
            quoted(&display(k.get(at + 2..at + 2 + 2 * units).unwrap_or_default()))
        };
        match self.name {
            "catalog" => format!("parentID {} nodeName {}", n(0), name(4)),
            "extents" => {
                let fork = k.first().copied().unwrap_or(0);
                format!("forkType {fork:#04x} fileID {} startBlock {}", n(2), n(6))
            }
            _ => format!("fileID {} startBlock {} attrName {}", n(2), n(6), name(10)),
        }
    }

    fn type_of(&self, parts: &KeyedRecord<'_>) -> String {
        match (self.name, be16(parts.data, 0), be32(parts.data, 0)) {
            ("catalog", Some(kind), _) => match kind {
                1 => "kHFSPlusFolderRecord".into(),
                2 => "kHFSPlusFileRecord".into(),
                3 => "kHFSPlusFolderThreadRecord".into(),
                4 => "kHFSPlusFileThreadRecord".into(),
                other => format!("recordType {other:#06x}"),
            },
            ("attributes", _, Some(kind)) => match kind {
                0x10 => "kHFSPlusAttrInlineData".into(),
                0x20 => "kHFSPlusAttrForkData".into(),
                0x30 => "kHFSPlusAttrExtents".into(),
                other => format!("recordType {other:#010x}"),
            },
            _ => "HFSPlusExtentRecord".into(),
        }
    }

    /// The fields behind a leaf record's key.
    fn fields(&self, node: &Node<Vec<u8>>, n: usize, bytes: &[u8], dump: &mut Dump) {
        let (kind::LEAF, Some(parts)) = (node.kind, split(bytes)) else {
            return dump.line(&format!("  {}", hex(bytes)));
        };
        // Counted in the node, as is what lies where.
        let start = node.offset(n).unwrap_or(0) + bytes.len() - parts.data.len();
        let all = node.bytes().get(..start + parts.data.len()).unwrap_or_default();
        match (self.name, be16(parts.data, 0), be32(parts.data, 0)) {
            ("catalog", Some(1), _) => {
                let behind = dump.fields(all, start, "", FOLDER);
                let behind = dump.fields(all, behind, "", COMMON);
                dump.fields(all, behind, "", &[("folderCount", 4, Number)]);
            }
            ("catalog", Some(2), _) => {
                let behind = dump.fields(all, start, "", FILE);
                let behind = dump.fields(all, behind, "", COMMON);
                let behind = dump.fields(all, behind, "", &[("reserved2", 4, Number)]);
                let behind = dump.fields(all, behind, "dataFork.", FORK);
                dump.fields(all, behind, "resourceFork.", FORK);
            }
            ("catalog", Some(3 | 4), _) => {
                let behind = dump.fields(all, start, "", THREAD);
                let units = parts.data.get(10..).unwrap_or_default();
                let len = 2 * usize::from(be16(parts.data, 8).unwrap_or(0));
                let name = display(units.get(..len).unwrap_or(units));
                dump.field(behind, "nodeName", &quoted(&name));
            }
            ("attributes", _, Some(0x10)) => {
                let behind = dump.fields(all, start, "", INLINE_ATTRIBUTE);
                let value = all.get(behind..).unwrap_or_default();
                dump.field(behind, "attrData", &hex(value));
            }
            ("attributes", _, Some(0x20)) => {
                let behind = dump.fields(all, start, "", ATTRIBUTE);
                dump.fields(all, behind, "theFork.", FORK);
            }
            ("attributes", _, Some(0x30)) => {
                let behind = dump.fields(all, start, "", ATTRIBUTE);
                dump.fields(all, behind, "", &[("extents", 64, Extents)]);
            }
            ("extents", ..) => {
                dump.fields(all, start, "", &[("extents", 64, Extents)]);
            }
            _ => dump.line(&format!("  {}", hex(parts.data))),
        }
    }
}
