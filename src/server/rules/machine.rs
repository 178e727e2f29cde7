//! The machine and what runs on it.

use super::{Case, Server};
use crate::report::ServerCode as C;
use crate::server::{Fix, Told};

pub(super) fn rules(case: Case<'_>, told: &mut Vec<Told>) {
    let targets = case.targets();
    if let Some(why) = case.host.suspends.as_ref().filter(|_| case.means_time_machine()) {
        let command =
            "systemctl mask sleep.target suspend.target hibernate.target hybrid-sleep.target";
        told.push(
            Told::whole(C::Suspends, format!("this machine goes to sleep: {why}"))
                .fix(Fix::command(command)),
        );
    }
    listening(case, told);
    told.extend(log_in(case));
    told.extend(old_afp(case));
    told.extend(few_files(case));
    told.extend(restart(case));
    told.extend(unsupported(case));
    for smb in targets.iter().filter(|t| t.server == Server::Samba) {
        let other = targets.iter().find(|t| {
            t.server == Server::Netatalk
                && t.path.trim_end_matches('/') == smb.path.trim_end_matches('/')
        });
        let share = case.setup.samba.iter().flat_map(|s| s.shares()).find(|s| s.name() == smb.name);
        let locking = share
            .and_then(|s| s.get("fruit:locking"))
            .is_some_and(|s| s.value.eq_ignore_ascii_case("netatalk"));
        if let (Some(other), Some(at), false) = (other, &smb.at, locking) {
            let message = format!(
                "{} is served by Samba as {} and by Netatalk as {}",
                smb.path, smb.name, other.name
            );
            told.push(Told::at(C::TwoServers, at, message).share(&smb.name));
        }
    }
}

/// What the AFP server itself offers, where its file looks well.
fn log_in(case: Case<'_>) -> Option<Told> {
    let status = case.host.afp_status.as_ref().filter(|s| !s.is_modern())?;
    if !case.afp_means_it() && !case.setup.netatalk2.any {
        return None;
    }
    let offers = status.log_ins.join(", ");
    let message = format!("asked on port 548, {} offers these log-ins: {offers}", status.machine);
    Some(Told::whole(C::AfpUam, message))
}

/// An AFP server that does not speak what Time Machine needs.
fn old_afp(case: Case<'_>) -> Option<Told> {
    if !case.afp_means_it() && !case.setup.netatalk2.any {
        return None;
    }
    let new = |name: &String| {
        let version = name.strip_prefix("AFP")?;
        let (major, minor) = version.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?) >= (3, 3))
    };
    let message = match (&case.host.afp_status, case.host.netatalk) {
        (Some(s), _)
            if !s.versions.is_empty() && !s.versions.iter().any(|v| new(v) == Some(true)) =>
        {
            format!("asked on port 548, {} speaks {}", s.machine, s.versions.join(", "))
        }
        (None, Some(v)) if v < (2, 2) => format!("Netatalk is {}.{}", v.0, v.1),
        _ => return None,
    };
    Some(Told::whole(C::Na2Old, message))
}

/// What cnid_metad of Netatalk 3 and 4 wants to be allowed.
const CNID_FILES: u64 = 65_535;

fn few_files(case: Case<'_>) -> Option<Told> {
    case.setup.afp.as_ref()?;
    let most = case.host.netatalk_files.filter(|n| *n < CNID_FILES)?;
    Some(Told::whole(C::AfpLimits, format!("netatalk may open {most} files at most")))
}

fn restart(case: Case<'_>) -> Vec<Told> {
    let tell = |(program, file): &(String, String)| {
        let message = format!("{program} was started before {file} was changed");
        let command = match program.as_str() {
            "smbd" => "smbcontrol all reload-config",
            _ => "systemctl restart netatalk",
        };
        Told::path(C::Restart, file, message).fix(Fix::command(command))
    };
    case.host.outdated.iter().map(tell).collect()
}

/// Bundles in a volume of Netatalk 2 that is not for Time Machine.
fn unsupported(case: Case<'_>) -> Option<Told> {
    let volumes = &case.setup.netatalk2.volumes;
    let volume =
        volumes.iter().find(|v| !v.is_time_machine() && !case.host.bundles(&v.path).is_empty())?;
    // Through another share they may be used as they should.
    let other = case
        .targets()
        .iter()
        .any(|t| t.path.trim_end_matches('/') == volume.path.trim_end_matches('/'));
    let message = format!("Macs back up to '{}', which is not for Time Machine", volume.name());
    (!other).then(|| Told::whole(C::UnsupportedVolumes, message).share(&volume.name()))
}

fn listening(case: Case<'_>, told: &mut Vec<Told>) {
    let Some(ports) = &case.host.listening else { return };
    let samba = case.setup.samba.as_ref().filter(|s| s.time_machines().next().is_some());
    let smb_port = samba.map(|s| {
        let list = s.global("smbports").map(|s| crate::server::samba::value::list(&s.value));
        list.into_iter().flatten().find_map(|p| p.parse().ok()).unwrap_or(445)
    });
    let afp = case.afp_means_it()
        || case
            .setup
            .netatalk2
            .volumes
            .iter()
            .any(crate::server::netatalk::two::Volume::is_time_machine);
    let afp_port = afp.then(|| {
        let set = case.setup.afp.as_ref().and_then(|a| a.global("afp port").map(|s| a.value(s)));
        set.and_then(|p| p.parse().ok()).unwrap_or(548)
    });
    for (name, port) in [("Samba", smb_port), ("Netatalk", afp_port)] {
        let Some(port) = port else { continue };
        let why = match ports.get(&port) {
            None => "nothing listens",
            Some(true) => "only this machine itself is answered",
            Some(false) => continue,
        };
        told.push(Told::whole(
            C::NotListening,
            format!("{name} is configured, and on port {port} {why}"),
        ));
    }
}
