//! Every object of the volume in one pass over the catalog's leaves.

use super::HfsPlus;
use super::catalog::{Key, Record, is_dir_link, is_file_link};
use super::filesystem::is_private_folder;
use super::format::{
    CatalogCommon, CatalogFile, FLAGS_HAS_ANY, ForkData, ROOT, UF_COMPRESSED, decode, record_type,
};
use super::node::split;
use super::unicode::{display, raw_string};
use crate::error::Result;
use crate::fs::{Body, Kind, NodeId, Stored, ViewId};
use crate::io::bytes::be16;
use crate::report::{Progress, Unit};

impl HfsPlus {
    /// See [`crate::fs::Volume::objects`].
    pub(super) fn visit_objects(
        &self,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Stored),
    ) -> Result<bool> {
        progress.phase("listing the files", 0, Unit::Items);
        let inodes = self.file_inodes();
        let known = inodes.is_ok();
        let inodes = inodes.ok().flatten().map(|f| f.id);
        let whole = self.scan_catalog(progress, &mut |_, _, record| {
            if let Some(object) = self.object(record, inodes) {
                visit(object);
                progress.advance(1);
            }
        })?;
        Ok(whole && known)
    }

    /// The object that a leaf record is, if it is one. `inodes`: the folder of inodes.
    fn object(&self, record: &[u8], inodes: Option<u32>) -> Option<Stored> {
        let parts = split(record)?;
        let key = Key::parse(parts.key)?;
        match be16(parts.data, 0)? {
            record_type::FOLDER => {
                let folder: CatalogCommon = decode(parts.data)?;
                let private = key.parent == ROOT && is_private_folder(&display(key.name));
                (!private).then(|| described(&folder, Kind::Directory))
            }
            record_type::FILE => self.file_object(key, decode(parts.data)?, inodes),
            _ => None,
        }
    }

    fn file_object(&self, key: Key<'_>, file: CatalogFile, inodes: Option<u32>) -> Option<Stored> {
        // An ordinary file may carry a link's type by accident, but then it is empty,
        // too, or has a resource fork.
        let link = is_file_link(&file) && file.resource_fork.logical_size == 0;
        if link || is_dir_link(&file) || self.is_storage(key, &file, inodes) {
            return None;
        }
        let kind = Kind::of_mode(file.common.bsd.file_mode);
        let kind = kind.filter(|k| *k != Kind::Directory).unwrap_or(Kind::File);
        Some(Stored {
            data: self.body(&file.data_fork),
            resource: self.body(&file.resource_fork),
            compressed: file.common.bsd.owner_flags & UF_COMPRESSED != 0,
            ..described(&file.common, kind)
        })
    }

    /// Whether a file is the journal's, or was deleted while open.
    fn is_storage(&self, key: Key<'_>, file: &CatalogFile, inodes: Option<u32>) -> bool {
        if key.parent == ROOT {
            let record = Record::File(Box::new(*file));
            return self.is_private(ROOT, &record, &raw_string(key.name));
        }
        Some(key.parent) == inodes && raw_string(key.name).starts_with("temp")
    }

    fn body(&self, fork: &ForkData) -> Body {
        let [extent, ..] = fork.extents;
        let first = u64::from(extent.start) * u64::from(self.header().block_size);
        Body { len: fork.logical_size, first: (extent.count > 0).then_some(first) }
    }
}

fn described(common: &CatalogCommon, kind: Kind) -> Stored {
    Stored {
        view: ViewId::LIVE,
        id: NodeId(u64::from(common.id)),
        kind,
        created: u64::from(common.create_date),
        data: Body::default(),
        resource: Body::default(),
        compressed: false,
        has_xattrs: common.flags & FLAGS_HAS_ANY != 0,
    }
}
