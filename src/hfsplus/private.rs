//! The root folder and the private folders of inodes: looked for by their keys when they
//! are first needed. An error is not kept: what cannot be read now may be readable later,
//! and until then whatever needs the folder fails by name.

use super::HfsPlus;
use super::catalog::Record;
use super::format::{BsdInfo, CatalogCommon, DIR_INODES_DIR, FILE_INODES_DIR, ROOT, record_type};
use super::unicode::{display, raw_string, stored_verbatim};
use crate::error::{Error, Result};
use crate::io::bytes::be16;
use std::sync::OnceLock;

/// What was found so far.
#[derive(Default)]
pub(super) struct Folders {
    files: OnceLock<Option<PrivateFolder>>,
    folders: OnceLock<Option<PrivateFolder>>,
    root: OnceLock<Root>,
}

/// A folder of inodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrivateFolder {
    /// Its CNID.
    pub id: u32,
    /// Its creation date: links made by old systems have the same.
    pub created: u32,
}

/// The root folder.
pub(super) struct Root {
    /// Name of the volume.
    pub name: String,
    /// Its record; made up where it is lost.
    pub record: CatalogCommon,
}

impl HfsPlus {
    /// The folder of the inodes of files, if the volume has one.
    pub(super) fn file_inodes(&self) -> Result<Option<PrivateFolder>> {
        self.private_folder(&self.folders.files, FILE_INODES_DIR)
    }

    /// The folder of the inodes of folders, if the volume has one.
    pub(super) fn dir_inodes(&self) -> Result<Option<PrivateFolder>> {
        self.private_folder(&self.folders.folders, DIR_INODES_DIR)
    }

    fn private_folder(
        &self,
        known: &OnceLock<Option<PrivateFolder>>,
        name: &str,
    ) -> Result<Option<PrivateFolder>> {
        if let Some(found) = known.get() {
            return Ok(*found);
        }
        let found = match self.catalog.find(ROOT, &stored_verbatim(name))? {
            Some(Record::Folder(f)) => Some(PrivateFolder { id: f.id, created: f.create_date }),
            _ => None,
        };
        Ok(*known.get_or_init(|| found))
    }

    /// The root folder. Where its record is lost, one that lists what is still there;
    /// `verify` tells that.
    ///
    /// # Errors
    /// Only when bytes cannot be read.
    pub(super) fn root_folder(&self) -> Result<&Root> {
        if let Some(root) = self.folders.root.get() {
            return Ok(root);
        }
        let (name, record) = match self.catalog.root() {
            Ok(Some((name, record))) => (display(&name), record),
            Ok(None) | Err(Error::Corrupt(_)) => (String::new(), made_up()),
            Err(e) => return Err(e),
        };
        Ok(self.folders.root.get_or_init(|| Root { name, record }))
    }

    /// Creation date of the root folder, if it can be read.
    pub(super) fn root_created(&self) -> Option<u32> {
        self.root_folder().ok().map(|r| r.record.create_date)
    }
}

/// A root folder that says nothing of itself.
fn made_up() -> CatalogCommon {
    CatalogCommon {
        record_type: record_type::FOLDER,
        flags: 0,
        valence: 0,
        id: ROOT,
        create_date: 0,
        content_mod_date: 0,
        attribute_mod_date: 0,
        access_date: 0,
        backup_date: 0,
        bsd: BsdInfo {
            owner_id: 0,
            group_id: 0,
            admin_flags: 0,
            owner_flags: 0,
            file_mode: 0o040_755,
            special: 0,
        },
        finder_info: [0; 32],
        text_encoding: 0,
        folder_count: 0,
    }
}

/// `N` of `iNode<N>`, `dir_<N>`, `temp<N>`: decimal without leading zeros.
pub(super) fn inode_number(name: &[u8]) -> Option<u32> {
    let tail = name.len().checked_sub(2)?;
    // Nearly every name ends otherwise.
    if !(0x30..=0x39).contains(&be16(name, tail)?) {
        return None;
    }
    let text = raw_string(name);
    let digits = ["iNode", "dir_", "temp"].iter().find_map(|p| text.strip_prefix(p))?;
    let plain = digits == "0" || !digits.starts_with('0');
    if plain && digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}
