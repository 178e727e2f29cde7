//! From catalog records to [`Metadata`].

use super::HfsPlus;
use super::attributes::Value;
use super::catalog::Record;
use super::format::{
    CatalogCommon, CatalogFile, EPOCH_OFFSET, FLAG_DATE_ADDED, FLAG_EXPANDED_TIMES,
    FLAG_HAS_ATTRIBUTES, FLAG_LINK_CHAIN, FLAGS_HAS_ANY, UF_COMPRESSED, VOL_EXPANDED_TIMES,
};
use super::unicode::stored_verbatim;
use crate::decmpfs;
use crate::error::{Error, Result};
use crate::fs::{Device, Kind, Metadata, NodeId, Time, Times};
use crate::io::bytes::be32;

/// Bytes of a compression header with contents; macOS keeps to 3802.
const MAX_HEADER: u64 = 1 << 20;

impl HfsPlus {
    /// Metadata of a folder or file record (of an inode, not of a link to it).
    pub(super) fn describe(&self, record: &Record) -> Option<Metadata> {
        match record {
            Record::Folder(common) => {
                let mut meta = self.describe_common(common);
                meta.kind = Kind::Directory;
                meta.mode = (meta.mode & 0o7777) | 0o040_000;
                if common.bsd.file_mode == 0 {
                    meta.mode |= 0o755;
                }
                meta.entries = common.valence;
                Some(meta)
            }
            Record::File(file) => Some(self.describe_file(file)),
            Record::Thread { .. } => None,
        }
    }

    fn describe_file(&self, file: &CatalogFile) -> Metadata {
        let mut meta = self.describe_common(&file.common);
        let kind = Kind::of_mode(file.common.bsd.file_mode);
        meta.kind = kind.filter(|k| *k != Kind::Directory).unwrap_or(Kind::File);
        if meta.kind == Kind::File {
            meta.mode = (meta.mode & 0o7777) | 0o100_000;
        }
        if file.common.bsd.file_mode == 0 {
            meta.mode |= 0o644;
        }
        let blocks =
            u64::from(file.data_fork.total_blocks) + u64::from(file.resource_fork.total_blocks);
        meta.allocated = blocks * u64::from(self.header.block_size);
        meta.size = file.data_fork.logical_size;
        meta.has_xattrs |= file.resource_fork.logical_size > 0;
        match meta.kind {
            Kind::CharDevice | Kind::BlockDevice => {
                meta.device = Some(Device::of_stored(file.common.bsd.special));
            }
            _ if file.common.flags & FLAG_LINK_CHAIN != 0 || self.is_inode(file) => {
                meta.links = file.common.bsd.special.max(1);
            }
            _ => {}
        }
        match self.compression(file) {
            Ok(None) => {}
            Ok(Some(header)) => {
                meta.compressed = true;
                meta.size = header.size;
            }
            // An empty data fork is not what the file holds.
            Err(_) => {
                meta.compressed = true;
                meta.size = 0;
                meta.size_unknown = true;
            }
        }
        meta
    }

    /// Whether a file record lies in the private folder of inodes. Those written
    /// by Linux have no flag that says so, but a link count above one.
    fn is_inode(&self, file: &CatalogFile) -> bool {
        let Ok(Some(private)) = self.file_inodes() else { return false };
        file.common.bsd.special > 1
            && self.key_of(file.common.id).is_ok_and(|k| k.is_some_and(|k| k.0 == private.id))
    }

    /// The compression header of a file that is compressed.
    pub(super) fn compression(&self, file: &CatalogFile) -> Result<Option<decmpfs::Header>> {
        let Some(attribute) = self.compressed_attribute(file)? else { return Ok(None) };
        decmpfs::Header::parse(&attribute).map(Some)
    }

    /// Value of a compressed file's `com.apple.decmpfs`. Where there surely is none, a file
    /// with contents is read as it is stored, whatever its flag says (XNU,
    /// `decmpfs_file_is_compressed`).
    ///
    /// # Errors
    /// When it cannot be read, or is missing in a file without contents of its own: without it
    /// neither size nor contents are known.
    pub(super) fn compressed_attribute(&self, file: &CatalogFile) -> Result<Option<Vec<u8>>> {
        let kind = Kind::of_mode(file.common.bsd.file_mode).unwrap_or(Kind::File);
        if file.common.bsd.owner_flags & UF_COMPRESSED == 0 || kind != Kind::File {
            return Ok(None);
        }
        let what = format!("compressed file {}", file.common.id);
        let found = self.decmpfs_attribute(file.common.id).map_err(|e| e.within(&what))?;
        if found.is_none() && file.data_fork.logical_size == 0 {
            self.not_lost(&file.common).map_err(|e| e.within("compressed file"))?;
            let text = "its compression header is not among the attributes";
            return Err(Error::corrupt(what, text));
        }
        Ok(found)
    }

    fn decmpfs_attribute(&self, cnid: u32) -> Result<Option<Vec<u8>>> {
        let Some(attributes) = self.readable_attributes()? else { return Ok(None) };
        let name = stored_verbatim(decmpfs::XATTR);
        // Asked for every compressed file that is listed: its size comes first.
        match attributes.find(cnid, &name)? {
            Some(value) if value.size() > MAX_HEADER => {
                let text = format!("its compression header has {} bytes", value.size());
                Err(Error::corrupt(format!("file {cnid}"), text))
            }
            Some(Value::Inline(bytes)) => Ok(Some(bytes)),
            Some(Value::Fork(_)) => attributes.value(cnid, &name),
            None => Ok(None),
        }
    }

    fn describe_common(&self, c: &CatalogCommon) -> Metadata {
        Metadata {
            id: NodeId(u64::from(c.id)),
            kind: Kind::File,
            mode: c.bsd.file_mode,
            uid: c.bsd.owner_id,
            gid: c.bsd.group_id,
            size: 0,
            size_unknown: false,
            allocated: 0,
            links: 1,
            entries: 0,
            times: self.times(c),
            device: None,
            flags: u32::from(c.bsd.owner_flags) | u32::from(c.bsd.admin_flags) << 16,
            compressed: false,
            has_xattrs: c.flags & FLAGS_HAS_ANY != 0 || shown_finder_info(c) != [0; 32],
        }
    }

    fn times(&self, c: &CatalogCommon) -> Times {
        let unix =
            self.header.attributes & VOL_EXPANDED_TIMES != 0 && c.flags & FLAG_EXPANDED_TIMES != 0;
        let offset = if unix { 0 } else { EPOCH_OFFSET };
        let time = |stored: u32| {
            (stored != 0).then(|| Time { seconds: i64::from(stored) - offset, nanoseconds: 0 })
        };
        let added = (c.flags & FLAG_DATE_ADDED != 0).then(|| be32(&c.finder_info, 20)).flatten();
        Times {
            created: time(c.create_date),
            // Always there, if only as 1904: a file has a date for everybody.
            modified: Some(Time {
                seconds: i64::from(c.content_mod_date) - offset,
                nanoseconds: 0,
            }),
            changed: time(c.attribute_mod_date),
            accessed: time(c.access_date),
            backup: time(c.backup_date),
            added: added.map(|s| Time { seconds: i64::from(s), nanoseconds: 0 }),
        }
    }
}

/// An error if an object's record says that it has attributes and none was found.
pub(super) fn has_them(object: &CatalogCommon, found: bool) -> Result<()> {
    if found || object.flags & FLAG_HAS_ATTRIBUTES == 0 {
        return Ok(());
    }
    let text = "its record says that it has attributes, and none is there";
    Err(Error::corrupt(format!("object {}", object.id), text))
}

/// Finder information as macOS shows it: it keeps the document id, the date added and a
/// generation counter in there and shows them as zeros.
pub(super) fn shown_finder_info(c: &CatalogCommon) -> [u8; 32] {
    let mut finder_info = c.finder_info;
    for (i, byte) in finder_info.iter_mut().enumerate() {
        if (16..24).contains(&i) || i >= 28 {
            *byte = 0;
        }
    }
    finder_info
}
