//! Global options of Samba that Time Machine depends on, and what shares have in common.

use super::Case;
use super::samba_file::replaced;
use crate::report::{ServerCode as C, Severity};
use crate::server::samba::{Remark, Samba, Setting, TimeMachine, keys, value};
use crate::server::{Fix, Told};
use std::collections::BTreeMap;

pub(super) fn rules(case: Case<'_>, samba: &Samba, told: &mut Vec<Told>) {
    let meant = samba.time_machines().next().is_some();
    if meant {
        told.extend(aapl(samba));
        told.extend(everywhere(samba));
        told.extend(handles(samba));
        told.extend(protocol(samba));
        told.extend(reachable(samba));
        told.extend(ntlm(samba));
        told.extend(nfs_aces(case, samba));
        told.extend(global_switch(samba, "strictsync", false, C::NoSync, "yes"));
        told.extend(global_switch(samba, "syncalways", true, C::SyncAlways, "no"));
        told.extend(mixed(samba));
        told.extend(one_path(samba));
        if case.host.samba.is_some_and(|v| v < (4, 8)) {
            told.push(Told::whole(C::SambaOld, "this Samba is older than 4.8"));
        }
    }
    told.extend(no_time_machine(case, samba));
}

/// Set in `[global]` to a value that does harm.
fn global_switch(samba: &Samba, key: &str, harm: bool, code: C, right: &str) -> Option<Told> {
    let set = samba.global(key).filter(|_| samba.global_bool(key) == Some(harm))?;
    Some(switch(set, code, right))
}

/// The finding about a switch that is set to the wrong side.
pub(super) fn switch(set: &Setting, code: C, right: &str) -> Told {
    let message = format!("`{} = {}`", set.written, set.value);
    let side = if set.inverted { if right == "yes" { "no" } else { "yes" } } else { right };
    Told::at(code, &set.at, message).fix(replaced(set, side))
}

fn aapl(samba: &Samba) -> Option<Told> {
    let set =
        samba.global("fruit:aapl").filter(|_| samba.global_bool("fruit:aapl") == Some(false))?;
    let message = "`fruit:aapl = no` turns off what Time Machine needs";
    Some(Told::at(C::AaplOff, &set.at, message).fix(Fix::remove(&set.at)))
}

fn everywhere(samba: &Samba) -> Option<Told> {
    let set =
        samba.global("fruit:timemachine").filter(|s| value::boolean(&s.value) == Some(true))?;
    // A server with one share and no printers offers nothing else but IPC$.
    let others = samba.shares().any(|s| s.is_special()) || samba.shares.len() > 1;
    let severity = if others { Severity::Warning } else { Severity::Info };
    let message = "`fruit:time machine = yes` holds for every share, printers and homes among them";
    Some(Told::at(C::TmEverywhere, &set.at, message).severity(severity))
}

fn handles(samba: &Samba) -> Vec<Told> {
    let mut told = Vec::new();
    let no =
        |key: &str, harm: bool| samba.global(key).filter(|_| samba.global_bool(key) == Some(harm));
    let mut put = |set: Option<&Setting>, code: C| {
        told.extend(set.map(|s| {
            let message = format!("`{} = {}`: no share has durable handles", s.written, s.value);
            Told::at(code, &s.at, message).fix(Fix::remove(&s.at))
        }));
    };
    put(no("smb2leases", false), C::LeasesOff);
    put(no("kerneloplocks", true), C::KernelOplocks);
    told
}

fn protocol(samba: &Samba) -> Option<Told> {
    let set = samba.global("servermaxprotocol")?;
    let value = set.value.to_uppercase();
    let effect = match value.as_str() {
        "" | "DEFAULT" => return None,
        v if v.starts_with("SMB3") => return None,
        v if v.starts_with("SMB2") => "there are no durable handles that Time Machine can use",
        _ => "no Mac of today connects",
    };
    let message = format!("`{} = {}`: {effect}", set.written, set.value);
    Some(Told::at(C::OldProtocol, &set.at, message).fix(Fix::remove(&set.at)))
}

/// Whether a list of interfaces or hosts names this machine alone.
pub(super) fn only_here(set: &Setting) -> bool {
    let here = |name: &String| {
        let bare = name.split('/').next().unwrap_or(name).to_lowercase();
        bare == "lo" || bare == "localhost" || bare == "::1" || bare.starts_with("127.")
    };
    let list = value::list(&set.value);
    !list.is_empty() && list.iter().all(here)
}

fn reachable(samba: &Samba) -> Option<Told> {
    let bound = samba.global_bool("bindinterfacesonly") == Some(true);
    let interfaces = samba.global("interfaces").filter(|s| bound && only_here(s));
    let allowed = samba.global("hostsallow").filter(|s| only_here(s));
    let set = interfaces.or(allowed)?;
    let message = format!("`{} = {}`: nobody but this machine can connect", set.written, set.value);
    Some(Told::at(C::NotReachable, &set.at, message))
}

/// Whether others know who may log in.
pub(super) fn in_domain(samba: &Samba) -> bool {
    let domain = |s: &Setting| {
        let value = s.value.to_lowercase();
        ["ads", "domain"].contains(&value.as_str())
            || value.contains("member")
            || value.contains("controller")
    };
    samba.global("security").is_some_and(domain)
        || samba.global("serverrole").is_some_and(domain)
        || samba.global("realm").is_some_and(|s| !s.value.is_empty())
}

fn ntlm(samba: &Samba) -> Option<Told> {
    let set = samba.global("ntlmauth").filter(|s| s.value.eq_ignore_ascii_case("disabled"))?;
    if in_domain(samba) {
        return None;
    }
    let message = "`ntlm auth = disabled`, and this is no member of a domain: nobody can log in";
    Some(Told::at(C::Ntlm, &set.at, message).fix(replaced(set, "ntlmv2-only")))
}

fn nfs_aces(case: Case<'_>, samba: &Samba) -> Option<Told> {
    if case.host.samba_from((4, 22)) != Some(false)
        || samba.global_bool("fruit:nfs_aces") == Some(false)
    {
        return None;
    }
    let message = "`fruit:nfs_aces` is on";
    Some(match samba.global("fruit:nfs_aces") {
        Some(set) => Told::at(C::NfsAces, &set.at, message).fix(replaced(set, "no")),
        None => Told::whole(C::NfsAces, message),
    })
}

/// Shares without fruit beside one that is for Time Machine.
fn mixed(samba: &Samba) -> Vec<Told> {
    let has = |s: &crate::server::samba::Share<'_>| s.modules().iter().any(|m| m == "fruit");
    if !samba.time_machines().any(|s| has(&s)) {
        return Vec::new();
    }
    let hidden = |s: &crate::server::samba::Share<'_>| {
        s.is_special()
            || s.boolean("browseable") == Some(false)
            || s.name().ends_with('$')
            || s.boolean("available") == Some(false)
    };
    // Of a share that is for Time Machine and lacks it D022 tells.
    let without = samba.shares().filter(|s| !hidden(s) && !s.is_meant() && !has(s));
    let tell = |s: crate::server::samba::Share<'_>| {
        let at = s.section.at.clone()?;
        let message =
            format!("the share {} has no fruit among its modules, and others have", s.name());
        Some(Told::at(C::FruitMixed, &at, message).share(s.name()))
    };
    without.filter_map(tell).collect()
}

fn one_path(samba: &Samba) -> Vec<Told> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let mut told = Vec::new();
    for share in samba.time_machines() {
        let (Some(path), Some(at)) = (share.path(), &share.section.at) else { continue };
        let path = path.trim_end_matches('/').to_owned();
        match first.get(&path) {
            Some(other) => told.push(
                Told::at(
                    C::TwoSharesOnePath,
                    at,
                    format!("the shares {other} and {} have one path, {path}", share.name()),
                )
                .share(share.name()),
            ),
            None => {
                first.insert(path, share.name());
            }
        }
    }
    told
}

/// Bundles lie where nobody offers Time Machine, or nobody offers it at all.
fn no_time_machine(case: Case<'_>, samba: &Samba) -> Vec<Told> {
    let elsewhere = case.afp_means_it() || case.setup.netatalk2.any;
    let misspelt = samba.lines.iter().any(|s| {
        let unknown = keys::known(&s.key).is_none() && !keys::is_fruit(&s.key);
        let fruit = || keys::fruit_meant(&s.key).map(|n| format!("fruit:{n}"));
        unknown
            && keys::meant(&s.key)
                .or_else(fruit)
                .is_some_and(|m| m.starts_with("fruit:time machine"))
    });
    let lost = samba.shares.iter().any(|s| s.lost.iter().any(|l| l.key == "fruit:timemachine"));
    if samba.has_registry() || samba.is_fatal() || elsewhere || misspelt || lost {
        return Vec::new();
    }
    let meant = samba.lines.iter().any(|s| s.key == "fruit:timemachine");
    let mut told = Vec::new();
    for share in samba.shares().filter(|s| !s.is_special()) {
        let Some(path) = share.path() else { continue };
        let said = share.own("fruit:timemachine").is_some();
        let bundle = case.host.bundles(&path).first();
        if let Some(bundle) =
            bundle.filter(|_| matches!(share.time_machine(), TimeMachine::No) && !said)
        {
            let offered = samba.time_machines().any(|s| {
                s.path().is_some_and(|p| p.trim_end_matches('/') == path.trim_end_matches('/'))
            });
            if offered {
                continue;
            }
            let message = format!(
                "{} lies in the share {}, which is not for Time Machine",
                bundle.path,
                share.name()
            );
            let mut one = Told::whole(C::NoTimeMachine, message).share(share.name());
            if let Some(at) = &share.section.at {
                one = one.fix(Fix::insert(at, "   fruit:time machine = yes"));
            }
            told.push(one);
        }
    }
    // It may stand in a file that could not be looked at.
    let unread = samba.remarks.iter().any(|r| matches!(r, Remark::Unread(..)));
    if told.is_empty() && samba.time_machines().next().is_none() && !unread {
        let one = Told::whole(C::NoTimeMachine, "no share says `fruit:time machine = yes`");
        // Who says no may mean it.
        told.push(if meant { one.severity(Severity::Warning) } else { one });
    }
    told
}
