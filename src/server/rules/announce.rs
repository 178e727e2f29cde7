//! What is announced by mDNS, by service files and by the servers themselves.

use super::{Case, Server};
use crate::report::ServerCode as C;
use crate::server::avahi::{Disk, Service, ServiceFile, disk};
use crate::server::text::At;
use crate::server::{Fix, Told};

pub(super) fn rules(case: Case<'_>, told: &mut Vec<Told>) {
    for file in &case.setup.services {
        if let Some((at, why)) = &file.error {
            told.push(Told::at(C::MdnsXml, at, format!("Avahi cannot read the file: {why}")));
            continue;
        }
        if let Some((at, kind)) = &file.twice {
            told.push(Told::at(
                C::MdnsTypeTwice,
                at,
                format!("{kind} stands in the file a second time"),
            ));
            continue;
        }
        told.extend(percent(file));
        for service in &file.services {
            told.extend(port(case, service));
            told.extend(records(service));
            if service.is("_adisk._tcp") {
                for (at, disk) in disks(service) {
                    told.extend(name(case, &at, &disk));
                    told.extend(flags(case, &at, &disk));
                }
            }
        }
    }
    told.extend(no_service(case));
    told.extend(twice(case));
    told.extend(not_announced(case));
    for name in &case.host.odd_service_files {
        told.push(Told::path(
            C::MdnsFile,
            name,
            format!("Avahi does not read {name}: its name does not end in .service"),
        ));
    }
    if case.host.responder == Some(false) && case.means_time_machine() {
        told.push(
            Told::whole(C::MdnsNoResponder, "no avahi-daemon runs, and nothing else answers mDNS")
                .fix(Fix::command("systemctl enable --now avahi-daemon")),
        );
    }
}

pub(super) fn announced(case: Case<'_>) -> impl Iterator<Item = &Service> {
    case.setup.services.iter().flat_map(|f| f.announced())
}

/// Disks of a service, of records that a Mac can read.
pub(super) fn disks(service: &Service) -> Vec<(At, Disk)> {
    service.records.iter().filter_map(|r| Some((r.at.clone(), disk(&r.text)?))).collect()
}

/// Whether smbd announces its shares by itself, if that is known.
pub(super) fn smb_announces(case: Case<'_>) -> Option<bool> {
    let off = case.setup.samba.as_ref()?.global_bool("multicastdnsregister") == Some(false);
    if off { Some(false) } else { case.host.smb_announces }
}

/// Whether afpd announces its volumes by itself.
pub(super) fn afp_announces(case: Case<'_>) -> bool {
    let zeroconf = |afp: &crate::server::netatalk::afp::Afp| {
        afp.global("zeroconf").is_none_or(|s| afp.is_yes(s))
    };
    let flag =
        |s: &crate::server::netatalk::two::Server| !s.words.iter().any(|w| w == "-nozeroconf");
    case.setup.afp.as_ref().is_some_and(zeroconf)
        || case.setup.netatalk2.any && case.setup.netatalk2.servers.iter().all(flag)
}

fn has_afp(case: Case<'_>) -> bool {
    case.setup.afp.is_some() || case.setup.netatalk2.any
}

fn percent(file: &ServiceFile) -> Option<Told> {
    let name = file.name.as_ref().filter(|n| n.text.contains("%h") && !file.wildcards)?;
    let right = format!("  <name replace-wildcards=\"yes\">{}</name>", name.text.trim());
    let message = "the server is announced under the name %h";
    Some(Told::at(C::MdnsPercentH, &name.at, message).fix(Fix::replace(&name.at, right)))
}

fn port(case: Case<'_>, service: &Service) -> Option<Told> {
    let ports: Vec<u16> = if service.is("_smb._tcp") {
        let samba = case.setup.samba.as_ref()?;
        let set = samba.global("smbports").map(|s| crate::server::samba::value::list(&s.value));
        let set: Vec<u16> = set.into_iter().flatten().filter_map(|p| p.parse().ok()).collect();
        if set.is_empty() { vec![445, 139] } else { set }
    } else if service.is("_afpovertcp._tcp") && has_afp(case) {
        let afp = case.setup.afp.as_ref();
        let set = afp.and_then(|a| a.global("afp port").map(|s| a.value(s)));
        vec![set.and_then(|p| p.parse().ok()).unwrap_or(548)]
    } else {
        return None;
    };
    if ports.contains(&service.port) {
        return None;
    }
    let at = service.port_at.as_ref().unwrap_or(&service.kind.at);
    let right = ports.first()?;
    let message = format!(
        "{} is announced on port {}, and the server is configured for {right}",
        service.kind.text, service.port
    );
    let told = Told::at(C::MdnsPort, at, message);
    Some(match &service.port_at {
        Some(at) => told.fix(Fix::replace(at, format!("    <port>{right}</port>"))),
        None => told,
    })
}

fn records(service: &Service) -> Vec<Told> {
    let mut told = Vec::new();
    for record in &service.records {
        let tidy = record.text.trim();
        if tidy != record.text || record.text.contains('\n') {
            let message =
                format!("blanks or line ends stand round '{tidy}' and belong to the record");
            told.push(Told::at(C::MdnsTxtBlanks, &record.at, message));
        } else if service.is("_adisk._tcp") && tidy.starts_with("sys=") {
            let twice = tidy.matches("sys=").count() > 1;
            if twice || !tidy.contains("adVF=0x100") {
                let message = format!("the record '{tidy}' has no adVF=0x100 that Macs can read");
                let right = "    <txt-record>sys=waMa=0,adVF=0x100</txt-record>";
                told.push(
                    Told::at(C::MdnsSys, &record.at, message).fix(Fix::replace(&record.at, right)),
                );
            }
        }
    }
    told
}

/// Names of all shares and volumes; `None` where that may not be all of them.
pub(super) fn share_names(case: Case<'_>) -> Option<Vec<String>> {
    let samba = case.setup.samba.as_ref();
    let unclear = samba.is_some_and(|s| {
        s.has_registry()
            || s.is_fatal()
            || s.shares.iter().any(|x| x.name.eq_ignore_ascii_case("homes"))
    }) || case
        .setup
        .afp
        .as_ref()
        .is_some_and(|a| a.volumes.iter().any(crate::server::netatalk::afp::Afp::is_homes));
    let mut names: Vec<String> =
        samba.iter().flat_map(|s| &s.shares).map(|s| s.name.clone()).collect();
    names.extend(case.setup.afp.iter().flat_map(|a| a.served().into_iter().map(|v| a.name_of(v))));
    names.extend(
        case.setup.netatalk2.volumes.iter().map(crate::server::netatalk::two::Volume::name),
    );
    (!unclear && !names.is_empty()).then_some(names)
}

fn name(case: Case<'_>, at: &At, disk: &Disk) -> Option<Told> {
    let names = share_names(case)?;
    if names.contains(&disk.name) || disk.name.contains(['%', '$']) {
        return None;
    }
    let near = names.iter().find(|n| {
        let bare = |s: &str| s.to_lowercase().replace([' ', '-', '_'], "");
        bare(n) == bare(&disk.name)
    });
    let message = match near {
        Some(near) => format!("no share is called '{}'; '{near}' may be meant", disk.name),
        None => format!("no share is called '{}'", disk.name),
    };
    Some(Told::at(C::MdnsName, at, message).share(&disk.name))
}

fn flags(case: Case<'_>, at: &At, disk: &Disk) -> Option<Told> {
    let (smb, afp) = (case.setup.samba.is_some(), has_afp(case));
    let known = smb || afp;
    let why = if disk.flags & 0x80 == 0 {
        "do not say Time Machine (0x80)"
    } else if known && disk.flags & 0x01 != 0 && !afp {
        "say AFP (0x01), and there is no AFP server"
    } else if known && disk.flags & 0x02 != 0 && !smb {
        "say SMB (0x02), and there is no SMB server"
    } else if disk.flags & 0x03 == 0 {
        "name no protocol"
    } else {
        return None;
    };
    let message = format!("the flags 0x{:x} of '{}' {why}", disk.flags, disk.name);
    Some(Told::at(C::MdnsFlags, at, message).share(&disk.name))
}

fn no_service(case: Case<'_>) -> Option<Told> {
    let adisk = announced(case).find(|s| s.is("_adisk._tcp"))?;
    let files = announced(case).any(|s| s.is("_smb._tcp") || s.is("_afpovertcp._tcp"));
    if files || smb_announces(case) == Some(true) || afp_announces(case) {
        return None;
    }
    let message = format!("{} announces disks, and nothing the file service", adisk.kind.at.file);
    Some(Told::whole(C::MdnsNoService, message))
}

fn twice(case: Case<'_>) -> Option<Told> {
    let of = |kind: &str| announced(case).find(|s| s.is(kind));
    let adisk = of("_adisk._tcp");
    let smb = adisk.or(of("_smb._tcp")).filter(|s| {
        let by_smb = disks(s).iter().any(|(_, d)| d.flags & 0x02 != 0) || s.is("_smb._tcp");
        by_smb && smb_announces(case) == Some(true)
    });
    let afp = adisk.or(of("_afpovertcp._tcp")).filter(|s| {
        let by_afp = disks(s).iter().any(|(_, d)| d.flags & 0x01 != 0) || s.is("_afpovertcp._tcp");
        by_afp && afp_announces(case)
    });
    let (service, who) = smb.map(|s| (s, "smbd")).or(afp.map(|s| (s, "afpd")))?;
    let message = format!("{} announces what {who} announces itself", service.kind.at.file);
    Some(Told::whole(C::MdnsTwice, message))
}

/// Shares that nobody announces, where all who might are known.
fn not_announced(case: Case<'_>) -> Vec<Told> {
    let files = &case.setup.services;
    let broken = files.iter().any(|f| f.error.is_some() || f.twice.is_some());
    let asked = case.host.announced.is_some();
    if broken || !(case.setup.services_known || !files.is_empty() || asked) {
        return Vec::new();
    }
    let live = case.host.announced.as_ref();
    let mut names: Vec<String> = announced(case)
        .filter(|s| s.is("_adisk._tcp"))
        .flat_map(|s| disks(s).into_iter().map(|(_, d)| d.name))
        .collect();
    names.extend(live.into_iter().flatten().map(|d| d.name.clone()));
    let silent = |server: Server| match server {
        // Who was asked and named others would have named it.
        _ if live.is_some_and(|l| !l.is_empty()) => true,
        Server::Samba => smb_announces(case) == Some(false),
        // Without any announcement D121 tells of it.
        Server::Netatalk => !afp_announces(case) && !names.is_empty(),
    };
    let mut told = Vec::new();
    for target in case.targets() {
        if silent(target.server)
            && !names.contains(&target.name)
            && opens(case, &target.name, target.server)
        {
            let message = format!("nobody announces '{}' as a backup disk", target.name);
            told.push(Told::whole(C::MdnsNoAdisk, message).share(&target.name));
        }
    }
    told
}

/// Whether a Mac could use the share if it knew of it.
fn opens(case: Case<'_>, name: &str, server: Server) -> bool {
    let samba = case.setup.samba.as_ref().filter(|_| server == Server::Samba);
    let share = samba.and_then(|s| s.shares().find(|s| s.name() == name));
    share.is_none_or(|s| {
        let seen = s.seen(false);
        seen.opens && seen.time_machine
    })
}
