//! Netatalk 3 and 4.

use super::{Case, like};
use crate::report::{ServerCode as C, Severity};
use crate::server::netatalk::afp::{Afp, Setting, Volume, is_key, key_meant};
use crate::server::netatalk::{UAMS, is_modern, mebibytes_meant};
use crate::server::samba::value;
use crate::server::text::{is_typographic, plain};
use crate::server::{Fix, Told, mounts};

pub(super) fn rules(case: Case<'_>, afp: &Afp, told: &mut Vec<Told>) {
    syntax(afp, told);
    if !afp.starts() {
        return;
    }
    let all = afp.global.iter().chain(afp.volumes.iter().flat_map(|v| &v.settings));
    for set in all {
        told.extend(typographic(set).or_else(|| unknown(afp, set)));
    }
    told.extend(no_time_machine(case, afp));
    told.extend(uams(case, afp));
    told.extend(cnid_port(afp));
    told.extend(zeroconf(case, afp));
    for volume in &afp.volumes {
        if Afp::is_homes(volume) {
            told.extend(homes(afp, volume));
            continue;
        }
        told.extend(not_boolean(afp, volume));
        told.extend(limit(case, afp, volume));
        told.extend(name(afp, volume));
        told.extend(cnid(afp, volume));
        told.extend(path(afp, volume));
        told.extend(access(case, afp, volume));
    }
    between(afp, told);
    if !case.host.old_netatalk_files.is_empty() {
        let message =
            format!("{} is not read by this Netatalk", case.host.old_netatalk_files.join(", "));
        told.push(Told::whole(C::AfpOldFiles, message));
    }
    let smb = case
        .setup
        .samba
        .as_ref()
        .is_some_and(|s| s.time_machines().next().is_some() || s.has_registry());
    if !smb && afp.served().iter().any(|v| afp.is_time_machine(v)) {
        told.push(Told::whole(C::AfpGoingAway, "backups are offered over AFP only"));
    }
}

fn replaced(set: &Setting, text: &str) -> Fix {
    Fix::replace(&set.at, like(&set.line, &format!("{} = {text}", set.written)))
}

fn syntax(afp: &Afp, told: &mut Vec<Told>) {
    for (at, text) in &afp.bad {
        let (severity, effect) = match afp.is_new() {
            true => (Severity::Damage, "Netatalk does not start"),
            false => (Severity::Warning, "it is passed over"),
        };
        let message = format!("'{text}' is neither section nor comment and has no `=`: {effect}");
        told.push(Told::at(C::AfpSyntax, at, message).severity(severity));
    }
    for (at, path, followed) in &afp.includes {
        if afp.is_new() {
            let message = format!("`include = {path}` does nothing in this Netatalk");
            told.push(Told::at(C::AfpInclude, at, message));
        } else if !followed {
            told.push(Told::at(
                C::ConfIncludeMissing,
                at,
                format!("the included file {path} could not be read"),
            ));
        }
    }
}

fn typographic(set: &Setting) -> Option<Told> {
    let free = ["volume name", "login message", "server name", "path"]
        .contains(&set.written.to_lowercase().as_str());
    if !set.written.chars().any(is_typographic) && (free || !set.value.chars().any(is_typographic))
    {
        return None;
    }
    let (key, value) = (plain(&set.written), plain(&set.value).replace(['"', '\''], ""));
    let message = format!("`{}` holds typographic quotes, dashes or no-break blanks", key.trim());
    let line = like(&set.line, &format!("{} = {}", key.trim(), value.trim()));
    Some(Told::at(C::Typographic, &set.at, message).fix(Fix::replace(&set.at, line)))
}

fn unknown(afp: &Afp, set: &Setting) -> Option<Told> {
    let lower = set.written.to_lowercase();
    let known = if afp.is_new() { is_key(&lower) } else { is_key(&set.written) };
    if known {
        return None;
    }
    let Some(meant) = key_meant(&set.written) else {
        let message = format!("Netatalk knows no option `{}`", set.written);
        return Some(Told::at(C::AfpUnknownKey, &set.at, message));
    };
    let grave = ["time machine", "vol size limit", "path"].contains(&meant);
    let severity = if grave { Severity::Damage } else { Severity::Warning };
    let message = format!("Netatalk knows no option `{}`; `{meant}` may be meant", set.written);
    let value = match meant {
        "time machine" if lower != "time machine" && value::boolean(&set.value).is_none() => "yes",
        _ => &set.value,
    };
    let line = like(&set.line, &format!("{meant} = {value}"));
    Some(
        Told::at(C::AfpUnknownKey, &set.at, message)
            .severity(severity)
            .fix(Fix::replace(&set.at, line)),
    )
}

fn no_time_machine(case: Case<'_>, afp: &Afp) -> Option<Told> {
    let samba = case
        .setup
        .samba
        .as_ref()
        .is_some_and(|s| s.time_machines().next().is_some() || s.has_registry());
    let followed = afp.includes.iter().all(|(_, _, followed)| *followed);
    if case.afp_means_it() || samba || !followed {
        return None;
    }
    let told = Told::whole(C::AfpNoTm, "no volume says `time machine = yes`");
    Some(match afp.volumes.iter().find(|v| !Afp::is_homes(v)) {
        Some(volume) => told.fix(Fix::insert(&volume.at, "time machine = yes")),
        None => told,
    })
}

fn uams(case: Case<'_>, afp: &Afp) -> Option<Told> {
    let set = afp.global("uam list")?;
    let list = afp.uams();
    let there = |uam: &String| match &case.host.uams {
        Some(files) => files.contains(uam),
        None => UAMS.contains(&uam.as_str()),
    };
    if list.iter().any(|u| is_modern(u) && there(u)) {
        return None;
    }
    let odd = list.iter().find(|u| !there(u));
    let message = match odd {
        Some(odd) => {
            format!("there is no log-in module '{odd}', and no other that today's Macs use")
        }
        None => format!("`uam list = {}` has nothing by which today's Macs log in", set.value),
    };
    Some(Told::at(C::AfpUam, &set.at, message).fix(replaced(set, "uams_dhx2.so")))
}

fn cnid_port(afp: &Afp) -> Option<Told> {
    let listen = afp.global("cnid listen");
    let server = afp.global("cnid server");
    let place = |set: Option<&Setting>| {
        let text = set.map_or("localhost:4700".to_owned(), |s| afp.value(s));
        let (host, port) = text.rsplit_once(':').map_or((text.as_str(), "4700"), |p| p);
        let host = if ["127.0.0.1", "localhost", "::1", "[::1]", "0.0.0.0"].contains(&host) {
            "localhost"
        } else {
            host
        };
        (host.to_owned(), port.to_owned())
    };
    let own = |v: &Volume| afp.get(v, "cnid server").is_some();
    if place(listen).1 == place(server).1
        && (listen.is_none() || place(listen).0 == place(server).0)
        || !afp.volumes.is_empty() && afp.volumes.iter().all(own)
    {
        return None;
    }
    // A server elsewhere is not this machine's to listen for.
    let set = listen.or(server.filter(|_| place(server).0 == "localhost"))?;
    let (l, s) = (place(listen), place(server));
    let message =
        format!("the database listens at {}:{} and is asked at {}:{}", l.0, l.1, s.0, s.1);
    Some(Told::at(C::AfpCnidPort, &set.at, message).fix(Fix::remove(&set.at)))
}

fn zeroconf(case: Case<'_>, afp: &Afp) -> Option<Told> {
    let set = afp.global("zeroconf").filter(|s| !afp.is_yes(s))?;
    let announced =
        case.setup.services.iter().flat_map(|f| f.announced()).any(|s| s.is("_adisk._tcp"));
    let meant = afp.volumes.iter().any(|v| afp.is_time_machine(v));
    (meant && !announced).then(|| {
        Told::at(
            C::AfpNoZeroconf,
            &set.at,
            "`zeroconf = no`, and no service file announces the volumes",
        )
        .fix(replaced(set, "yes"))
    })
}

fn homes(afp: &Afp, volume: &Volume) -> Option<Told> {
    if afp.get(volume, "basedir regex").is_some() {
        return None;
    }
    let message = "[Homes] without `basedir regex` gives no volumes";
    Some(
        Told::at(C::AfpHomes, &volume.at, message)
            .fix(Fix::insert(&volume.at, "basedir regex = /home")),
    )
}

fn not_boolean(afp: &Afp, volume: &Volume) -> Option<Told> {
    let set = afp.get(volume, "time machine")?;
    let value = afp.value(set);
    if afp.is_yes(set) || ["no", "false", "0"].contains(&value.to_lowercase().as_str()) {
        return None;
    }
    let message = format!("`time machine` is '{value}', which Netatalk takes for no");
    Some(
        Told::at(C::AfpTmNotBoolean, &set.at, message)
            .share(&afp.name_of(volume))
            .fix(replaced(set, "yes")),
    )
}

fn limit(case: Case<'_>, afp: &Afp, volume: &Volume) -> Option<Told> {
    if !afp.is_time_machine(volume) || afp.path_of(volume).is_none() || volume.section.contains(':')
    {
        return None;
    }
    let name = afp.name_of(volume);
    let Some(set) = afp.get(volume, "vol size limit") else {
        let told = Told::at(C::AfpNoLimit, &volume.at, format!("the volume {name} has no limit"));
        // A slip of the key is told as such.
        let slip = volume.settings.iter().any(|s| key_meant(&s.written) == Some("vol size limit"));
        // 3.1 and quotes: nothing is known of a volume that is hidden.
        return (!slip).then(|| told.share(&name));
    };
    let value = afp.value(set);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        let message = match afp.limit(volume) {
            Some(mib) => format!("`vol size limit` is '{value}', which is read as {mib} MiB"),
            None => format!("`vol size limit` is '{value}', which is read as no limit"),
        };
        let told = Told::at(C::AfpLimitUnit, &set.at, message).share(&name);
        return Some(match mebibytes_meant(&value) {
            Some(mib) => told.fix(replaced(set, &mib.to_string())),
            None => told,
        });
    }
    let mib = afp.limit(volume)?;
    let disk = afp.path_of(volume).and_then(|p| case.host.path(&p).size).map(|b| b >> 20);
    let odd = mib < 10_000 || disk.is_some_and(|d| mib / 100 > d);
    let message = format!("`vol size limit` is {mib} MiB");
    odd.then(|| Told::at(C::AfpLimitOdd, &set.at, message).share(&name))
}

fn name(afp: &Afp, volume: &Volume) -> Option<Told> {
    let section = &volume.section;
    let shown = afp.name_of(volume);
    if section.contains(':') || shown.contains(':') {
        let message = format!("the volume's name '{section}' has a colon, and Netatalk drops it");
        let fix = Fix::replace(&volume.at, format!("[{}]", section.replace(':', "")));
        return Some(Told::at(C::AfpColon, &volume.at, message).share(&shown).fix(fix));
    }
    let named = afp.get(volume, "volume name").is_some();
    if !afp.is_surely_new()
        || named
        || *section == section.to_lowercase()
        || !afp.is_time_machine(volume)
    {
        return None;
    }
    let message = format!("Macs see the volume as '{shown}', not '{section}'");
    let fix = Fix::insert(&volume.at, format!("volume name = {section}"));
    Some(Told::at(C::AfpLowerCase, &volume.at, message).share(&shown).fix(fix))
}

fn cnid(afp: &Afp, volume: &Volume) -> Option<Told> {
    let set = afp.get(volume, "cnid scheme").or(afp.global("cnid scheme"))?;
    let value = afp.value(set).to_lowercase();
    let known: &[&str] = match afp.version {
        Some(v) if v >= (4, 5) => &["dbd", "mysql", "sqlite"],
        Some(v) if v >= (3, 0) => &["dbd", "mysql"],
        _ => &["dbd", "mysql", "sqlite"],
    };
    (!known.contains(&value.as_str())).then(|| {
        let message = format!("`cnid scheme` is {value}; {} are there", known.join(", "));
        Told::at(C::AfpCnid, &set.at, message).share(&afp.name_of(volume)).fix(Fix::remove(&set.at))
    })
}

fn path(afp: &Afp, volume: &Volume) -> Option<Told> {
    let set = afp.get(volume, "path")?;
    let quoted = set.value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let inner = quoted.filter(|_| !afp.is_new())?;
    let message = format!("this Netatalk keeps the quotes of {}", set.value);
    Some(
        Told::at(C::AfpQuotes, &set.at, message)
            .share(&afp.name_of(volume))
            .fix(replaced(set, inner)),
    )
}

fn access(case: Case<'_>, afp: &Afp, volume: &Volume) -> Vec<Told> {
    let mut told = Vec::new();
    if !afp.is_time_machine(volume) {
        return told;
    }
    let name = afp.name_of(volume);
    if let Some(set) = afp.get(volume, "read only").filter(|s| afp.is_yes(s)) {
        told.push(
            Told::at(C::AfpAccess, &set.at, "the volume is read-only")
                .share(&name)
                .fix(replaced(set, "no")),
        );
    }
    let valid = afp.get(volume, "valid users").map(|s| (s, value::list(&afp.value(s))));
    let readers = afp.get(volume, "rolist").map(|s| (s, case.persons(&value::list(&afp.value(s)))));
    if let (Some((_, users)), Some((set, readers))) = (&valid, &readers) {
        let users = case.persons(users);
        if !users.is_empty() && users.iter().all(|u| readers.contains(u)) {
            told.push(
                Told::at(C::AfpAccess, &set.at, "`rolist` lets every user of the volume read only")
                    .share(&name),
            );
        }
    }
    let (Some((set, users)), Some(accounts)) = (valid, &case.host.accounts) else { return told };
    for user in users {
        let group = user.strip_prefix('@');
        let why = match group {
            Some(group) if !accounts.groups.contains_key(group) && accounts.complete() => {
                format!("there is no group {group}")
            }
            None if accounts.users.contains_key(&user) => continue,
            None if accounts.groups.contains_key(&user) => {
                format!("{user} is a group and needs an @ before it")
            }
            None if accounts.complete() => format!("there is no user {user}"),
            _ => continue,
        };
        told.push(Told::at(C::AfpAccess, &set.at, format!("`valid users`: {why}")).share(&name));
    }
    told
}

/// What volumes do to one another.
fn between(afp: &Afp, told: &mut Vec<Told>) {
    let volumes: Vec<(&Volume, String)> = afp
        .volumes
        .iter()
        .filter(|v| !Afp::is_homes(v))
        .filter_map(|v| Some((v, afp.path_of(v)?.trim_end_matches('/').to_owned())))
        .collect();
    for (n, (volume, own)) in volumes.iter().enumerate() {
        let name = afp.name_of(volume);
        if let Some((first, _)) = volumes.iter().take(n).find(|(_, p)| p == own) {
            let message = format!(
                "{} has the path {own}, too, and is the only one that is served",
                afp.name_of(first)
            );
            told.push(Told::at(C::AfpSamePath, &volume.at, message).share(&name));
            continue;
        }
        let above =
            volumes.iter().find(|(v, p)| v.at != volume.at && p != own && mounts::within(own, p));
        if let Some((above, path)) = above {
            let severity = match afp.version {
                Some(v) if v >= (4, 5) => Severity::Damage,
                _ => Severity::Warning,
            };
            let message = format!("the volume lies within {path} of {}", afp.name_of(above));
            told.push(Told::at(C::AfpNested, &volume.at, message).share(&name).severity(severity));
        }
    }
    for (n, volume) in afp.volumes.iter().enumerate().filter(|_| afp.is_surely_new()) {
        let same = |v: &&Volume| {
            v.section != volume.section && v.section.to_lowercase() == volume.section.to_lowercase()
        };
        if let Some(first) = afp.volumes.iter().take(n).find(same) {
            let message = format!("[{}] and [{}] become one volume", first.section, volume.section);
            told.push(Told::at(C::AfpNamesMerge, &volume.at, message));
        }
    }
}
