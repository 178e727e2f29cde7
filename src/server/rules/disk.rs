//! What lies under a share, and in it.

use super::login::may_write;
use super::{Case, Server, Target};
use crate::report::{ServerCode as C, Severity};
use crate::server::{Fix, Told, mounts};
use std::collections::BTreeMap;

pub(super) fn rules(case: Case<'_>, told: &mut Vec<Told>) {
    let mut seen: Vec<String> = Vec::new();
    for target in case.targets() {
        let path = target.path.trim_end_matches('/').to_owned();
        let first = !seen.contains(&path);
        seen.push(path);
        if !first {
            continue;
        }
        let lost = missing(case, &target)
            .or_else(|| in_container(case, &target))
            .or_else(|| not_mounted(case, &target));
        if let Some(lost) = lost {
            told.push(lost.share(&target.name));
            continue;
        }
        let mut found = Vec::new();
        found.extend(file_system(case, &target));
        found.extend(room(case, &target));
        found.extend(rights(case, &target));
        found.extend(bundles(case, &target));
        found.extend(quota(case, &target));
        found.extend(super::disk_use::rules(case, &target));
        told.extend(found.into_iter().map(|t| t.share(&target.name)));
    }
    if let Some(locks) = case.host.afp_locks.as_ref().filter(|l| l.connected == 0) {
        let message = format!("afpd holds locks on {} and no Mac is connected", locks.what);
        told.push(match &locks.at {
            Some(at) => Told::at(C::StaleLock, at, message),
            None => Told::whole(C::StaleLock, message),
        });
    }
}

fn missing(case: Case<'_>, target: &Target) -> Option<Told> {
    let two = case.setup.netatalk2.volumes.iter().any(|v| v.path == target.path);
    if two || case.host.is_folder(&target.path) != Some(false) {
        return None;
    }
    let message = format!("{} does not exist or is no folder", target.path);
    Some(Told::path(C::PathMissing, &target.path, message))
}

fn in_container(case: Case<'_>, target: &Target) -> Option<Told> {
    let mount = mounts::of(case.setup.mounts.as_ref()?, &target.path)?;
    let message =
        format!("{} lies on {}, the container's own file system", target.path, mount.kind);
    (mount.kind == "overlay").then(|| Told::path(C::InContainer, &target.path, message))
}

fn not_mounted(case: Case<'_>, target: &Target) -> Option<Told> {
    let all = case.setup.mounts.as_ref()?;
    let due = case.setup.fstab.iter().filter(|e| {
        e.target != "/"
            && mounts::within(&target.path, &e.target)
            && !e.options.iter().any(|o| o == "noauto")
            && e.kind != "swap"
    });
    let due = due.max_by_key(|e| e.target.len())?;
    let there =
        all.iter().any(|m| m.target.trim_end_matches('/') == due.target.trim_end_matches('/'));
    if there {
        return None;
    }
    let message = format!(
        "{} of {} is not mounted; {} is a folder of the disk above",
        due.target, due.at, target.path
    );
    Some(
        Told::path(C::NotMounted, &target.path, message)
            .fix(Fix::command(format!("mount {}", crate::server::quoted(&due.target)))),
    )
}

/// Types that are not made for it.
fn is_unsuited(kind: &str) -> bool {
    let plain = [
        "hfs", "hfsplus", "ntfs", "ntfs3", "vfat", "msdos", "exfat", "nfs", "nfs4", "cifs", "smb3",
        "9p",
    ];
    plain.contains(&kind) || kind.starts_with("fuse") && kind != "fusectl"
}

fn file_system(case: Case<'_>, target: &Target) -> Vec<Told> {
    let mut told = Vec::new();
    let mount = case.setup.mounts.as_ref().and_then(|all| mounts::of(all, &target.path));
    if let Some(mount) = mount {
        if mount.read_only {
            let message = format!("{}, under {}, is mounted read-only", mount.target, target.path);
            told.push(Told::at(C::FsReadOnly, &mount.at, message));
        }
        if is_unsuited(&mount.kind) {
            let message = format!("{} under {} is {}", mount.target, target.path, mount.kind);
            told.push(Told::at(C::FsUnsuited, &mount.at, message));
        }
    }
    let without = mount.is_some_and(|m| ["vfat", "msdos", "exfat"].contains(&m.kind.as_str()));
    let xattr = case.host.path(&target.path).xattr.or(without.then_some(false));
    let instead = target.server == Server::Samba
        && case.setup.samba.iter().flat_map(|s| s.shares()).any(|s| {
            s.name() == target.name
                && s.modules().iter().any(|m| m == "xattr_tdb" || m == "streams_depot")
        });
    if let Some(one) = xattr.filter(|has| !has).and_then(|_| no_attributes(case, target)) {
        told.push(one);
    } else if xattr == Some(false) && !instead {
        let severity =
            if target.server == Server::Samba { Severity::Damage } else { Severity::Warning };
        let message = format!("the file system under {} keeps no extended attributes", target.path);
        told.push(Told::path(C::NoXattr, &target.path, message).severity(severity));
    }
    told
}

/// A volume of Netatalk 3 or 4 that says where attributes are to be kept.
fn no_attributes(case: Case<'_>, target: &Target) -> Option<Told> {
    let afp = case.setup.afp.as_ref().filter(|_| target.server == Server::Netatalk)?;
    let volume = afp.served().into_iter().find(|v| afp.name_of(v) == target.name)?;
    let set = afp.get(volume, "ea").or_else(|| afp.global("ea"))?;
    let value = afp.value(set).to_lowercase();
    let message = format!(
        "`ea = {value}`, and the file system under {} has no extended attributes",
        target.path
    );
    ["sys", "samba"].contains(&value.as_str()).then(|| Told::at(C::AfpEa, &set.at, message))
}

fn room(case: Case<'_>, target: &Target) -> Vec<Told> {
    let mut told = Vec::new();
    let facts = case.host.path(&target.path);
    let used = facts.used();
    if let (Some(size), Some(free)) = (facts.size, facts.free) {
        let percent = u128::from(free) * 100 / u128::from(size.max(1));
        // A limit that ends before the disk does is what Macs go by.
        let held =
            target.limit.zip(used).is_some_and(|(limit, used)| limit.saturating_sub(used) <= free);
        if percent < 10 && !held {
            let severity = if percent < 2 { Severity::Damage } else { Severity::Warning };
            let message = format!("of the disk under {} {percent} % are free", target.path);
            told.push(Told::path(C::FsFull, &target.path, message).severity(severity));
        }
    }
    let to_come = facts.bundles.iter().flatten().filter_map(|b| {
        let all = b.size?.div_ceil(b.band_size?.max(1));
        Some(all.saturating_sub(b.bands?))
    });
    let to_come: u64 = to_come.fold(0, u64::saturating_add);
    if let Some(inodes) = facts.inodes.filter(|n| *n < to_come) {
        let message = format!(
            "{inodes} inodes are left under {}, and {to_come} bands may still come",
            target.path
        );
        told.push(Told::path(C::FsInodes, &target.path, message));
    }
    told
}

fn rights(case: Case<'_>, target: &Target) -> Vec<Told> {
    let mut told = Vec::new();
    if target.forced {
        return told;
    }
    let users = target.users.as_deref().unwrap_or_default();
    let refused: Vec<&str> = users
        .iter()
        .filter(|u| may_write(case, &target.path, u) == Some(false))
        .map(String::as_str)
        .collect();
    if let Some(first) = refused.first() {
        let message = format!("{} may not write into {}", refused.join(", "), target.path);
        let path = crate::server::quoted(&target.path);
        let command = match refused.len() {
            1 if users.len() == 1 => format!("chown {} {path}", crate::server::quoted(first)),
            _ => format!("chmod 2770 {path}"),
        };
        told.push(Told::path(C::NotWritable, &target.path, message).fix(Fix::command(command)));
    }
    for bundle in case.host.bundles(&target.path) {
        let may: Vec<Option<bool>> =
            users.iter().map(|u| may_write(case, &bundle.path, u)).collect();
        let nobody = !may.is_empty() && may.iter().all(|m| *m == Some(false));
        let why = match (&bundle.odd, nobody) {
            (_, true) => {
                format!("none of those who may use the share may write into {}", bundle.path)
            }
            (Some(odd), _) => format!("{odd} in {} has another owner than the bundle", bundle.path),
            _ => continue,
        };
        let told_one = Told::path(C::BundleOwner, &bundle.path, why);
        told.push(match users {
            [one] => {
                let (user, path) =
                    (crate::server::quoted(one), crate::server::quoted(&bundle.path));
                told_one.fix(Fix::command(format!("chown -R {user} {path}")))
            }
            _ => told_one,
        });
    }
    told
}

fn bundles(case: Case<'_>, target: &Target) -> Vec<Told> {
    let mut told = Vec::new();
    let facts = case.host.path(&target.path);
    let mut macs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for bundle in facts.bundles.iter().flatten() {
        if let Some(bands) = bundle.bands.filter(|n| *n > 100_000) {
            let message = format!("{} has {bands} bands", bundle.path);
            told.push(Told::path(C::ManyBands, &bundle.path, message));
        }
        if let Some(mac) = &bundle.mac {
            macs.entry(mac).or_default().push(&bundle.path);
        }
    }
    for (mac, paths) in &macs {
        if let [_, second, ..] = paths.as_slice() {
            let message = format!("{} belong to one Mac ({mac})", paths.join(" and "));
            told.push(Told::path(C::StartedAnew, second, message));
        }
    }
    if macs.len() > 1 && target.limit.is_some() {
        let message = format!("{} Macs share the limit of {}", macs.len(), target.name);
        told.push(Told::path(C::ManyMacs, &target.path, message));
    }
    for name in &facts.trash {
        told.push(Told::path(C::ShareTrash, name, format!("{name} holds what Macs deleted")));
    }
    for name in &facts.leftovers {
        told.push(Told::path(C::Leftover, name, format!("{name} is left over")));
    }
    told
}

fn quota(case: Case<'_>, target: &Target) -> Option<Told> {
    let (quota, limit) = (case.host.path(&target.path).quota?, target.limit?);
    let gib = |bytes: u64| bytes >> 30;
    let message =
        format!("the quota file says {} GiB, and the server {} GiB", gib(quota), gib(limit));
    (quota != limit).then(|| Told::path(C::QuotaPlist, &target.path, message))
}
