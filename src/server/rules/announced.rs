//! What becomes of announcements: who drops whom, whom they reach, and what is behind them.

use super::Case;
use super::announce::{afp_announces, announced, disks, share_names, smb_announces};
use crate::report::ServerCode as C;
use crate::server::Told;
use crate::server::avahi::Disk;
use crate::server::text::At;

pub(super) fn rules(case: Case<'_>, told: &mut Vec<Told>) {
    if case.means_time_machine() {
        told.extend(one_name(case));
        told.extend(interfaces(case));
    }
    for disk in case.host.announced.iter().flatten() {
        told.extend(ghost(case, disk));
    }
}

/// smbd and afpd under one name.
fn one_name(case: Case<'_>) -> Option<Told> {
    let both = smb_announces(case) == Some(true) && afp_announces(case);
    let runs = |port: u16| case.host.listening.as_ref().is_none_or(|l| l.contains_key(&port));
    if !both || !runs(445) || !runs(548) {
        return None;
    }
    let (smb, afp) = (smb_name(case)?, afp_name(case)?);
    // Names of services have no case.
    let message = format!("smbd and afpd both announce themselves as '{afp}'");
    (smb.to_lowercase() == afp.to_lowercase()).then(|| Told::whole(C::MdnsSambaAndAfp, message))
}

/// A NetBIOS name has at most 15 letters.
const NETBIOS: usize = 15;

fn smb_name(case: Case<'_>) -> Option<String> {
    let samba = case.setup.samba.as_ref()?;
    let host = case.host.name.clone();
    if samba.global("mdnsname").is_some_and(|s| s.value.eq_ignore_ascii_case("mdns")) {
        return host;
    }
    let name = samba.global("netbiosname").map(|s| s.value.clone()).or(host)?;
    Some(name.chars().take(NETBIOS).collect())
}

fn afp_name(case: Case<'_>) -> Option<String> {
    let host = case.host.name.clone();
    if let Some(afp) = &case.setup.afp {
        let named = afp.global("server name").filter(|_| afp.is_new());
        let set = named.or_else(|| afp.global("hostname"));
        return set.map(|s| afp.value(s)).or(host);
    }
    let line = case.setup.netatalk2.servers.first().map(|s| s.line.trim());
    let quoted = line.and_then(|l| l.strip_prefix('"')?.split('"').next());
    let name = quoted.or_else(|| line?.split_whitespace().next());
    name.filter(|n| !n.starts_with('-')).map(str::to_owned).or(host)
}

/// Interfaces that Avahi is told to use or to leave alone.
fn interfaces(case: Case<'_>) -> Option<Told> {
    let lan = case.host.interfaces.as_ref();
    let tell = |at: &At, key: &str, names: &[String], why: &str| {
        let message = format!("`{key}={}`: {why}", names.join(","));
        Told::at(C::MdnsInterface, at, message)
    };
    if let Some((at, names)) = &case.setup.avahi.allow {
        let reaches = match lan {
            Some(lan) => lan.is_empty() || lan.iter().any(|i| names.contains(i)),
            None => names.iter().any(|n| n != "lo"),
        };
        if !reaches {
            let why = match lan {
                Some(lan) => format!("the network is at {}", lan.join(", ")),
                None => "that is this machine alone".into(),
            };
            return Some(tell(at, "allow-interfaces", names, &why));
        }
    }
    if let (Some((at, names)), Some(lan)) = (&case.setup.avahi.deny, lan)
        && !lan.is_empty()
        && lan.iter().all(|i| names.contains(i))
    {
        return Some(tell(at, "deny-interfaces", names, "no other is there"));
    }
    let network = case.host.bridged.as_ref()?;
    let message = format!("this is a container, and {network} is a network of its host alone");
    Some(Told::whole(C::MdnsInterface, message))
}

/// A disk that this machine announces, and that nobody can open.
fn ghost(case: Case<'_>, disk: &Disk) -> Option<Told> {
    let by_file = announced(case).flat_map(disks).any(|(_, d)| d.name == disk.name);
    let names = share_names(case)?;
    let message = if names.contains(&disk.name) {
        let target = case.targets().into_iter().find(|t| t.name == disk.name)?;
        let missing = case.host.is_folder(&target.path) == Some(false);
        let samba = case.setup.samba.iter().flat_map(|s| s.shares());
        let opens = samba.filter(|s| s.name() == disk.name).all(|s| s.seen(false).opens);
        if opens && !missing {
            return None;
        }
        format!("'{}' is announced, and cannot be opened", disk.name)
    } else if by_file {
        // Of a name in a file D301 tells.
        return None;
    } else {
        format!("this machine announces '{}', and no share is called so", disk.name)
    };
    Some(Told::whole(C::MdnsGhost, message).share(&disk.name))
}
