//! Netatalk 2: `afpd.conf` and `/etc/default/netatalk`.

use super::Case;
use super::samba_file::unescaped;
use crate::report::ServerCode as C;
use crate::server::netatalk::two::{FLAGS, Netatalk2, Server};
use crate::server::netatalk::{UAMS, is_modern};
use crate::server::samba::value::boolean;
use crate::server::text::{is_typographic, plain};
use crate::server::{Fix, Told};

pub(super) fn rules(case: Case<'_>, told: &mut Vec<Told>) {
    let two = &case.setup.netatalk2;
    for server in &two.servers {
        if server.words.iter().any(|w| w.chars().any(is_typographic)) {
            let message = "the line holds typographic dashes, quotes or no-break blanks";
            told.push(
                Told::at(C::Typographic, &server.at, message)
                    .fix(Fix::replace(&server.at, plain(&server.line))),
            );
        }
        if server.line.contains("\\_") || server.line.contains("\\-") {
            let message = "the line is escaped as in a web page";
            told.push(
                Told::at(C::Escaped, &server.at, message)
                    .fix(Fix::replace(&server.at, unescaped(&server.line))),
            );
        }
        told.extend(flags(server));
        told.extend(uams(case, server));
        if server.words.iter().any(|w| w == "-notcp") {
            let right = server.line.replace("-notcp", "-tcp");
            told.push(
                Told::at(C::Na2NoTcp, &server.at, "`-notcp`").fix(Fix::replace(&server.at, right)),
            );
        }
    }
    for variable in &two.defaults {
        if ["CNID_METAD_RUN", "AFPD_RUN"].contains(&variable.name.as_str())
            && boolean(&variable.value) == Some(false)
        {
            let message = format!("{}={}", variable.name, variable.value);
            let right = format!("{}=yes", variable.name);
            told.push(
                Told::at(C::Na2CnidMetad, &variable.at, message)
                    .fix(Fix::replace(&variable.at, right)),
            );
        }
        told.extend(default_uams(two, variable));
    }
}

/// Words where a flag should be and is none.
fn flags(server: &Server) -> Option<Told> {
    let mut odd = Vec::new();
    let mut words = server.words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix('-') else {
            odd.push(word.as_str());
            continue;
        };
        match FLAGS.iter().find(|(name, _)| *name == flag) {
            Some((_, true)) => drop(words.next()),
            Some((_, false)) => {}
            None => odd.push(word),
        }
    }
    // What a blank cut off a list is told with the list.
    let cut = Netatalk2::uams(server).is_some() && server.line.contains(", ");
    if odd.is_empty() || cut {
        return None;
    }
    Some(Told::at(C::Na2Flag, &server.at, format!("not understood: {}", odd.join(" "))))
}

fn uams(case: Case<'_>, server: &Server) -> Vec<Told> {
    let mut told = Vec::new();
    let Some(list) = Netatalk2::uams(server) else { return told };
    let there = |uam: &&String| match &case.host.uams {
        Some(files) => files.contains(*uam),
        None => UAMS.contains(&uam.as_str()),
    };
    let found: Vec<&String> = list.iter().filter(there).collect();
    if !found.iter().any(|u| is_modern(u)) {
        let message = match found.as_slice() {
            [] => "`-uamlist` names no log-in module that exists; nobody can log in".to_owned(),
            some => format!(
                "`-uamlist` comes to {}",
                some.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ")
            ),
        };
        let joined = server.line.replace(", ", ",");
        let fix = if joined == server.line {
            let right = "uams_dhx.so,uams_dhx2.so";
            let at = server
                .words
                .iter()
                .position(|w| w == "-uamlist")
                .and_then(|n| server.words.get(n + 1));
            at.map(|old| Fix::replace(&server.at, server.line.replacen(old.as_str(), right, 1)))
        } else {
            Some(Fix::replace(&server.at, joined))
        };
        told.push(Told { fix, ..Told::at(C::Na2Uam, &server.at, message) });
    }
    let elsewhere = case.host.accounts.as_ref().map(|a| a.elsewhere.clone()).unwrap_or_default();
    let shadow = found.iter().find(|u| u.ends_with("_passwd.so"));
    if let Some(uam) = shadow.filter(|_| !elsewhere.is_empty()) {
        let message = format!(
            "{uam} reads /etc/shadow only, and users come from {}, too",
            elsewhere.join(", ")
        );
        let right = server.line.replace(uam.as_str(), &uam.replace("_passwd.so", ".so"));
        told.push(Told::at(C::Na2Ldap, &server.at, message).fix(Fix::replace(&server.at, right)));
    }
    told
}

fn default_uams(
    two: &Netatalk2,
    variable: &crate::server::netatalk::two::Variable,
) -> Option<Told> {
    if variable.name != "AFPD_UAMLIST" || variable.value.is_empty() {
        return None;
    }
    let own = variable.value.trim_start_matches("-U").trim();
    let other =
        two.servers.iter().filter_map(Netatalk2::uams).find(|list| list.join(",") != own)?;
    let message = format!("AFPD_UAMLIST says {own}, and afpd.conf {}", other.join(","));
    Some(Told::at(C::Na2DefaultUam, &variable.at, message))
}
