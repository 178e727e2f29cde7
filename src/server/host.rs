//! What is known of the machine. Whatever is `None` is not known, and rules are silent about it.

use super::accounts::Accounts;
use super::mounts::within;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A program's version, `(4, 22)`.
pub type Version = (u32, u32);

/// Facts about the machine.
#[derive(Debug, Default, Clone)]
pub struct Host {
    /// Samba's version.
    pub samba: Option<Version>,
    /// Netatalk's version.
    pub netatalk: Option<Version>,
    /// What testparm says of the configuration.
    pub testparm: Option<super::live::TestParm>,
    /// Users and groups.
    pub accounts: Option<Accounts>,
    /// Paths that were looked at.
    pub paths: BTreeMap<String, PathFacts>,
    /// If set, the folders that exist, all of them: with what lies above them.
    pub folders: Option<BTreeSet<String>>,
    /// If set, the programs that exist, of those that a configuration names.
    pub programs: Option<BTreeSet<String>>,
    /// What holds for every path that is not in `paths`.
    pub anywhere: PathFacts,
    /// Samba's modules, by their names in `vfs objects`.
    pub vfs_modules: Option<BTreeSet<String>>,
    /// Files of PAM's modules.
    pub pam_modules: Option<BTreeSet<String>>,
    /// Files of Netatalk's log-in modules.
    pub uams: Option<BTreeSet<String>>,
    /// Whether smbd announces its shares by itself.
    pub smb_announces: Option<bool>,
    /// Backup disks that this machine announces, if it answered.
    pub announced: Option<Vec<super::avahi::Disk>>,
    /// What the AFP server says of itself.
    pub afp_status: Option<super::live::dsi::Status>,
    /// Whether a responder for mDNS runs or answers.
    pub responder: Option<bool>,
    /// TCP ports something listens on, and whether only at the loopback.
    pub listening: Option<BTreeMap<u16, bool>>,
    /// Locks that a file server holds, and how many Macs are connected to it.
    pub afp_locks: Option<AfpLocks>,
    /// Whether the machine sleeps by itself, and why that is thought.
    pub suspends: Option<String>,
    /// Files of an older Netatalk that lie about.
    pub old_netatalk_files: Vec<String>,
    /// Names in Avahi's folder that it does not read.
    pub odd_service_files: Vec<String>,
    /// Whether smbd is a program of 32 bits.
    pub samba_32bit: Option<bool>,
    /// Users who have a password with Samba, in lower case.
    pub samba_users: Option<BTreeSet<String>>,
    /// A user whom Samba's cache has under the name of another server.
    pub foreign_sid: Option<ForeignSid>,
    /// Files that Netatalk's processes may hold open.
    pub netatalk_files: Option<u64>,
    /// The machine's name, without its domain.
    pub name: Option<String>,
    /// Interfaces of the networks that Macs may be in.
    pub interfaces: Option<Vec<String>>,
    /// If this is a container, its network if no Mac is in that.
    pub bridged: Option<String>,
    /// Programs that run since before a configuration of theirs was changed, and that.
    pub outdated: Vec<(String, String)>,
    /// Bundles that are held open at this moment.
    pub held: Vec<Held>,
    /// How old the last backup may be, in seconds.
    pub max_age: Option<i64>,
    /// Seconds since 1970.
    pub now: i64,
}

/// A bundle that a Mac is using.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Held {
    /// Its path.
    pub path: String,
    /// By what that is known, a sentence each.
    pub signs: Vec<String>,
    /// Who, and from where, if Samba said so.
    pub who: Vec<String>,
}

/// A user as Samba's cache has him, and what his server is called now.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ForeignSid {
    /// The user's number.
    pub uid: String,
    /// The identity that is remembered.
    pub cached: String,
    /// This server's identity, with which it should begin.
    pub own: String,
}

/// Where a file keeps what Finder says of it, as `fruit:metadata` calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// `user.org.netatalk.Metadata`
    Netatalk,
    /// `user.DosStream.AFP_AfpInfo:$DATA`
    Stream,
}

/// What is known of the disk under a path.
#[derive(Debug, Default, Clone, Copy)]
pub struct Medium {
    /// Whether it turns.
    pub rotational: bool,
    /// Whether it writes in zones (SMR).
    pub zoned: bool,
    /// Whether it is connected by USB 2 or less.
    pub usb2: bool,
}

/// Locks of afpd in `/proc/locks`.
#[derive(Debug, Clone, Default)]
pub struct AfpLocks {
    /// Where the first stands.
    pub at: Option<super::text::At>,
    /// The bundle, or what is known of the file.
    pub what: String,
    /// Established connections on port 548.
    pub connected: usize,
}

/// Facts about a path.
#[derive(Debug, Default, Clone)]
pub struct PathFacts {
    /// Whether it is a folder that exists.
    pub folder: Option<bool>,
    /// Size of its file system in bytes.
    pub size: Option<u64>,
    /// What is free there for other users than root.
    pub free: Option<u64>,
    /// Inodes that are free, unless the file system has no such limit.
    pub inodes: Option<u64>,
    /// Whether extended attributes of users can be kept.
    pub xattr: Option<bool>,
    /// Mode, owner, group.
    pub owner: Option<(u32, u32, u32)>,
    /// Whether more than the mode says who may do what (an access control list).
    pub acl: bool,
    /// Bundles in it, if it was looked into.
    pub bundles: Option<Vec<BundleFacts>>,
    /// Names that recycle bins have, with bundles or bands below.
    pub trash: Vec<String>,
    /// Leftovers of backups (`.incomplete`, `.purgeable`).
    pub leftovers: Vec<String>,
    /// Other things in it than bundles, that take room.
    pub other: Vec<String>,
    /// `GlobalQuota` of the quota file in it, in bytes.
    pub quota: Option<u64>,
    /// What a quota of the file system still allows, in bytes, and whose it is.
    pub allowed: Option<(u64, String)>,
    /// Files that have metadata of Finder, and where: one of each kind.
    pub metadata: Vec<(Store, String)>,
    /// The disk.
    pub medium: Medium,
}

/// A bundle in a share.
#[derive(Debug, Default, Clone)]
pub struct BundleFacts {
    /// Its path.
    pub path: String,
    /// Bytes of a band.
    pub band_size: Option<u64>,
    /// Entries of `bands/`.
    pub bands: Option<u64>,
    /// Size of the disk in it in bytes.
    pub size: Option<u64>,
    /// The Mac's identity, where the bundle tells.
    pub mac: Option<String>,
    /// Owner, and who owns a part that another does not.
    pub owner: Option<u32>,
    /// A file in it of another owner, or that its owner may not write.
    pub odd: Option<String>,
    /// When its last backup was completed, seconds since 1970.
    pub last: Option<i64>,
    /// Whether Samba counts it against a limit; if not, why.
    pub uncounted: Option<&'static str>,
}

impl PathFacts {
    /// What Samba counts of the bundles in it, in bytes, if they were looked at.
    pub fn used(&self) -> Option<u64> {
        self.bundles.as_ref()?.iter().try_fold(0u64, |sum, b| sum.checked_add(b.counted()?))
    }
}

impl BundleFacts {
    /// What Samba counts of it, in bytes.
    pub fn counted(&self) -> Option<u64> {
        match self.uncounted {
            None => self.bands?.checked_mul(self.band_size?),
            Some(_) => Some(0),
        }
    }
}

impl Host {
    /// What is known of a path.
    pub fn path(&self, path: &str) -> &PathFacts {
        let plain = path.trim_end_matches('/');
        self.paths.get(path).or_else(|| self.paths.get(plain)).unwrap_or(&self.anywhere)
    }

    /// Whether a folder exists.
    pub fn is_folder(&self, path: &str) -> Option<bool> {
        let known = self.folders.as_ref();
        let known = known.map(|all| all.iter().any(|there| within(there, path)));
        self.path(path).folder.or(known)
    }

    /// Whether a program exists.
    pub fn has_program(&self, path: &str) -> Option<bool> {
        self.programs.as_ref().map(|all| all.contains(path))
    }

    /// Bundles that are known to lie below a path.
    pub fn bundles(&self, path: &str) -> &[BundleFacts] {
        self.path(path).bundles.as_deref().unwrap_or_default()
    }

    /// Whether a Samba is at least of this version; `None` if it is unknown.
    pub fn samba_from(&self, version: Version) -> Option<bool> {
        self.samba.map(|v| v >= version)
    }
}
