//! What the user wishes of a restore.

use super::chosen::Chosen;
use std::collections::HashMap;

/// What to do where something that differs is at the destination already. What is
/// there and identical (kind, size and time) is left alone in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Leave it, and list the object as left behind.
    #[default]
    Identical,
    /// Leave it, and say only how many.
    Skip,
    /// Put the backup's object in its place.
    Overwrite,
    /// Restore beside it, under a name that is told.
    Rename,
    /// Put the backup's object in its place if that is the newer one.
    Newer,
}

/// Where to keep what only a Mac knows: attributes, forks, lists, flags, birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MacMetadata {
    /// As extended attributes where the destination takes them, the rest, and where it
    /// does not, in AppleDouble files.
    #[default]
    Auto,
    /// As extended attributes only.
    Xattr,
    /// In AppleDouble files (`._NAME`) only.
    AppleDouble,
    /// Nowhere.
    None,
}

/// How extended attributes are called on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XattrNames {
    /// `user.NAME`, values as on the Mac.
    #[default]
    User,
    /// As Samba's `fruit` and `streams_xattr` read them.
    Samba,
    /// As Netatalk reads them (and Samba's `fruit:metadata = netatalk`).
    Netatalk,
}

/// Whose version of a damaged file to take instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The nearest older one that is whole.
    Previous,
    /// The nearest newer one that is whole.
    Next,
    /// The nearest in either direction.
    Nearest,
}

/// Who gets the restored objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Set owners at all.
    pub set: bool,
    /// This user for everything.
    pub user: Option<u32>,
    /// This group for everything.
    pub group: Option<u32>,
    /// Users of the Mac and who gets what was theirs.
    pub users: HashMap<u32, u32>,
    /// Groups of the Mac and who gets what was theirs.
    pub groups: HashMap<u32, u32>,
}

impl Owners {
    /// The user and group that get what was `uid`'s and `gid`'s.
    pub fn of(&self, uid: u32, gid: u32) -> (u32, u32) {
        let user = self.user.or_else(|| self.users.get(&uid).copied());
        let group = self.group.or_else(|| self.groups.get(&gid).copied());
        (user.unwrap_or(uid), group.unwrap_or(gid))
    }
}

/// What the user wishes of a restore.
#[derive(Clone, Default)]
pub struct Options {
    /// Who gets the objects.
    pub owners: Owners,
    /// Make devices.
    pub devices: bool,
    /// Give set-user-id and set-group-id bits.
    pub setid: bool,
    /// What only a Mac knows.
    pub mac: MacMetadata,
    /// Names of extended attributes.
    pub xattr_names: XattrNames,
    /// Which objects.
    pub chosen: Chosen,
    /// What to do with what is there.
    pub on_conflict: OnConflict,
    /// Compare what is there byte by byte instead of by size and time.
    pub checksum: bool,
    /// Take another snapshot's version of what is damaged.
    pub fallback: Option<Fallback>,
    /// Write what can be read of what is damaged, as `NAME.damaged`.
    pub salvage: bool,
    /// Do not compare Time Machine's checksums.
    pub ignore_checksums: bool,
    /// Begin although the destination seems too small.
    pub force: bool,
    /// Do not wait until the destination's disk has everything.
    pub no_sync: bool,
    /// Read everything back at the end and compare.
    pub verify: bool,
    /// Threads; 0: as many as there are cores, at most 4.
    pub jobs: usize,
}
