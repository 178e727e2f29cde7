//! The folders of shares and the bundles in them.

use super::{Gathered, Wanted, medium};
use crate::bundle::{TimeMachinePlists, is_bundle_name, parse_plist, read_file};
use crate::io::open_untrusted_dir;
use crate::server::host::{BundleFacts, PathFacts, Store};
use crate::server::mounts;
use crate::server::text::{Files, Root};
use rustix::fs::{AtFlags, OFlags, fstat, fstatvfs, statat};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Entries of a share that are looked at.
const MOST: usize = 2000;
/// No property list that is looked at is longer.
const LONGEST: u64 = 256 << 10;

pub(super) fn look(wanted: &Wanted<'_>, all: &mut Gathered) {
    let mut paths = BTreeSet::new();
    for share in all.setup.samba.iter().flat_map(|s| s.shares()).filter(|s| !s.is_special()) {
        paths.extend(share.path());
        // What each user has of a path that depends on him.
        if let (Some(path), Some(accounts)) = (share.path(), &all.host.accounts) {
            for (name, user) in accounts.users.iter().take(MOST) {
                let own = path.replace("%U", name).replace("%u", name).replace("%H", &user.home);
                paths.insert(own.replace("%S", share.name()));
            }
        }
    }
    if let Some(afp) = &all.setup.afp {
        paths.extend(afp.volumes.iter().filter_map(|v| afp.path_of(v)));
    }
    paths.extend(all.setup.netatalk2.volumes.iter().map(|v| v.path.clone()));
    for path in paths.into_iter().filter(|p| p.starts_with('/') && !p.contains(['%', '$'])) {
        let (mut facts, denied) = facts(wanted, &path);
        below_it(wanted, &path, all, &mut facts);
        if let Some(why) = denied {
            all.unseen(path.clone(), why);
        }
        for bundle in facts.bundles.iter().flatten() {
            let owner = owner(wanted.root, &bundle.path);
            let own = PathFacts { owner, ..PathFacts::default() };
            all.host.paths.insert(bundle.path.clone(), own);
        }
        all.host.paths.insert(path.trim_end_matches('/').to_owned(), facts);
    }
}

/// What lies under a folder: the disk, and quotas on it.
fn below_it(wanted: &Wanted<'_>, path: &str, all: &Gathered, facts: &mut PathFacts) {
    let mount = all.setup.mounts.as_ref().and_then(|m| mounts::of(m, path));
    let device = wanted.root.open(path, OFlags::PATH).and_then(fstat).map(|s| s.st_dev);
    if let Ok(device) = device {
        facts.medium = medium::medium(wanted.root, device, mount);
    }
    if wanted.root.is_here() && rustix::process::geteuid().is_root() {
        let users: Vec<&str> =
            all.host.accounts.iter().flat_map(|a| a.people()).take(MOST).collect();
        facts.allowed = medium::allowed(path, mount, &users);
    }
}

/// Where a file or folder keeps what Finder says of it.
fn stores(root: &Root, path: &str) -> Vec<Store> {
    let open = |flags| root.open(path, flags | OFlags::NOFOLLOW);
    let plain = open(OFlags::PATH).and_then(fstat).is_ok_and(|s| {
        let kind = rustix::fs::FileType::from_raw_mode(s.st_mode);
        kind.is_file() || kind.is_dir()
    });
    let mut names = [0u8; 4096];
    let read = open(OFlags::RDONLY).ok().filter(|_| plain);
    let length = read.and_then(|fd| rustix::fs::flistxattr(fd, &mut names).ok()).unwrap_or(0);
    let list = names.get(..length).unwrap_or_default();
    let has = |name: &[u8]| list.split(|b| *b == 0).any(|n| n == name);
    let stores = [
        (Store::Netatalk, has(b"user.org.netatalk.Metadata")),
        (Store::Stream, has(b"user.DosStream.AFP_AfpInfo:$DATA")),
    ];
    stores.into_iter().filter(|s| s.1).map(|s| s.0).collect()
}

fn owner(root: &Root, path: &str) -> Option<(u32, u32, u32)> {
    let stat = fstat(root.open(path, OFlags::PATH).ok()?).ok()?;
    Some((stat.st_mode & 0o7777, stat.st_uid, stat.st_gid))
}

/// What there is to know of a folder, and why not more.
fn facts(wanted: &Wanted<'_>, path: &str) -> (PathFacts, Option<String>) {
    let root = wanted.root;
    let mut facts = PathFacts::default();
    let fd = match root.open(path, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            // Below a folder that an automounter fills it may come to be.
            facts.folder = Some(false);
            return (facts, None);
        }
        Err(e) => return (facts, Some(std::io::Error::from(e).to_string())),
    };
    facts.folder = Some(true);
    facts.owner = owner(root, path);
    if let Ok(v) = fstatvfs(&fd) {
        facts.size = v.f_blocks.checked_mul(v.f_frsize);
        facts.free = v.f_bavail.checked_mul(v.f_frsize);
        // btrfs and ZFS say 0: they have no such limit.
        facts.inodes = (v.f_files > 0).then_some(v.f_favail);
    }
    let open = match root.open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(open) => open,
        Err(e) => return (facts, Some(std::io::Error::from(e).to_string())),
    };
    let mut names = [0u8; 4096];
    facts.xattr = match rustix::fs::flistxattr(&open, &mut names) {
        Err(rustix::io::Errno::OPNOTSUPP) => Some(false),
        Ok(n) => {
            let list = String::from_utf8_lossy(names.get(..n).unwrap_or_default()).into_owned();
            facts.acl = list.contains("posix_acl_access")
                || list.contains("nfs4_acl")
                || list.contains("richacl");
            None
        }
        Err(_) => None,
    };
    entries(wanted, path, &mut facts);
    facts.quota = quota(&fd);
    (facts, None)
}

fn entries(wanted: &Wanted<'_>, path: &str, facts: &mut PathFacts) {
    let root = wanted.root;
    let Some(names) = root.list(path) else { return };
    let bundles = facts.bundles.get_or_insert_default();
    for name in names.into_iter().take(MOST) {
        let own = format!("{}/{name}", path.trim_end_matches('/'));
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let is_bundle = is_bundle_name(&name) && root.open(&own, folder).is_ok();
        let parts = [own.clone(), format!("{own}/Info.plist"), format!("{own}/bands")];
        for part in parts.iter().take(if is_bundle { 3 } else { 1 }) {
            for store in stores(root, part) {
                if facts.metadata.iter().all(|(s, _)| *s != store) {
                    facts.metadata.push((store, part.clone()));
                }
            }
        }
        let lower = name.to_lowercase();
        if is_bundle {
            bundles.push(bundle(root, own, &name, wanted.now));
        } else if is_bundle_name(&name) {
            // A link, or a file of that name.
        } else if matches!(name.as_str(), ".recycle" | "#recycle" | "@Recycle") {
            if root.list(&own).is_some_and(|l| !l.is_empty()) {
                facts.trash.push(own);
            }
        } else if lower.ends_with(".incomplete") || lower.ends_with(".purgeable") {
            let changed = root.open(&own, OFlags::PATH).and_then(fstat).map(|s| s.st_mtime);
            if changed.is_ok_and(|t| wanted.now - t > 86_400) {
                facts.leftovers.push(own);
            }
        } else if !name.starts_with(['.', '@', '#']) {
            let stat = root.open(&own, OFlags::PATH | OFlags::NOFOLLOW).and_then(fstat);
            let large = stat.is_ok_and(|s| {
                rustix::fs::FileType::from_raw_mode(s.st_mode).is_file() && s.st_size > 1 << 30
            });
            if large {
                facts.other.push(own);
            } else {
                below(root, &own, bundles, wanted.now);
            }
        }
    }
}

/// Bundles in a folder of the share, which Samba does not count.
fn below(root: &Root, folder: &str, bundles: &mut Vec<BundleFacts>, now: i64) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    if root.open(folder, flags).is_err() {
        return;
    }
    for name in root.list(folder).unwrap_or_default().into_iter().take(MOST) {
        if is_bundle_name(&name) {
            let mut found = bundle(root, format!("{folder}/{name}"), &name, now);
            found.uncounted = Some("it lies in a folder of the share");
            bundles.push(found);
        }
    }
}

/// What a bundle tells. Whoever writes to the share may have put a link anywhere in it: none is
/// followed.
fn bundle(root: &Root, path: String, name: &str, come_by: i64) -> BundleFacts {
    let mut facts = BundleFacts::default();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    if let Ok(dir) = root.open(&path, flags) {
        geometry(&dir, name, &mut facts);
        facts.bands = count(&dir, "bands");
        facts.owner = fstat(&dir).ok().map(|s| s.st_uid);
        for part in ["Info.plist", "Info.bckup", "token", "bands"] {
            let other = statat(&dir, part, AtFlags::SYMLINK_NOFOLLOW).ok().map(|s| s.st_uid);
            if facts.odd.is_none() && other.is_some() && other != facts.owner {
                facts.odd = Some(part.to_owned());
            }
        }
        let lists = TimeMachinePlists::read(&dir);
        facts.mac = lists.machine.and_then(|m| m.host_uuid);
        facts.last = lists.history.and_then(|h| h.last_at(come_by)?.completed);
    }
    facts.path = path;
    facts
}

/// The size of the disk and of its bands, and whether Samba finds that of the bands.
fn geometry(dir: &OwnedFd, name: &str, facts: &mut BundleFacts) {
    let info = read_file(dir, "Info.plist", LONGEST).unwrap_or_default();
    let number = |plist: &plist::Dictionary, key: &str| plist.get(key)?.as_unsigned_integer();
    if let Some(dict) = dictionary(&info) {
        facts.band_size = number(&dict, "band-size");
        facts.size = number(&dict, "size");
    }
    let text = String::from_utf8_lossy(&info);
    let key = |line: &str| line.contains("<key>band-size</key>") && !line.contains("<integer>");
    facts.uncounted = if !name.ends_with("sparsebundle") {
        Some("Samba knows .sparsebundle only")
    } else if name.matches("sparsebundle").count() > 1 {
        Some("its name has sparsebundle twice")
    } else if text.len() > 64 << 10 || !text.lines().any(key) {
        Some("its Info.plist is not in lines as a Mac writes it")
    } else {
        None
    };
}

/// A property list that is one of keys.
fn dictionary(bytes: &[u8]) -> Option<plist::Dictionary> {
    parse_plist(bytes).ok()?.into_dictionary()
}

/// Entries of a folder.
fn count(dir: &OwnedFd, name: &str) -> Option<u64> {
    let fd = open_untrusted_dir(dir, Path::new(name)).ok()?;
    let entries = rustix::fs::Dir::new(fd).ok()?.take(10_000_000).filter_map(Result::ok);
    let n = entries.filter(|e| !matches!(e.file_name().to_bytes(), b"." | b"..")).count();
    u64::try_from(n).ok()
}

/// `GlobalQuota` of the quota file in a share's root.
fn quota(dir: &OwnedFd) -> Option<u64> {
    let read = read_file(dir, ".com.apple.TimeMachine.quota.plist", LONGEST);
    dictionary(&read.ok()?)?.get("GlobalQuota")?.as_unsigned_integer()
}
