//! What Samba itself keeps, and what was written on the files that it serves.

use super::Case;
use super::samba_global::in_domain;
use crate::report::ServerCode as C;
use crate::server::host::Store;
use crate::server::samba::value::Size;
use crate::server::samba::{Samba, Share};
use crate::server::{Fix, Told, quoted};
use std::collections::BTreeSet;

pub(super) fn rules(case: Case<'_>, samba: &Samba, told: &mut Vec<Told>) {
    for share in samba.time_machines() {
        let found = narrow(case, &share).into_iter().chain(metadata(case, &share));
        told.extend(found.map(|t| t.share(share.name())));
    }
    if samba.time_machines().next().is_some() && !in_domain(samba) {
        told.extend(passwords(case, samba));
        told.extend(identity(case));
    }
}

/// What no number of 32 bits holds.
const NARROW: u64 = 4 << 30;

fn narrow(case: Case<'_>, share: &Share<'_>) -> Option<Told> {
    let narrow = case.host.samba_32bit == Some(true) && case.host.samba? <= (4, 17);
    let (set, size) = share.limit(false).filter(|_| narrow)?;
    let Size::Bytes(bytes) = size else { return None };
    let message = "smbd is a program of 32 bits, and the limit is more than 4 GiB";
    (bytes > NARROW).then(|| Told::at(C::Limit32Bit, &set.at, message))
}

/// Who may log in, but has no password.
fn passwords(case: Case<'_>, samba: &Samba) -> Vec<Told> {
    let (Some(known), Some(accounts)) = (&case.host.samba_users, &case.host.accounts) else {
        return Vec::new();
    };
    if !accounts.complete() || samba.global("usernamemap").is_some() {
        return Vec::new();
    }
    let has = |name: &str| known.contains(&name.to_lowercase());
    let (mut told, mut seen) = (Vec::new(), BTreeSet::new());
    for share in samba.time_machines().filter(|s| s.boolean("guestok") != Some(true)) {
        let names = share.list("validusers");
        if names.is_empty() && known.is_empty() && seen.insert(String::new()) {
            let message = "nobody has a password with Samba";
            told.push(Told::whole(C::NoPassword, message).share(share.name()));
        }
        for name in names {
            let none = match name.strip_prefix(['@', '+', '&']) {
                // Not every member of a group need use the share.
                Some(group) => {
                    let members = accounts.members(group);
                    !members.is_empty() && !members.iter().any(|m| has(m))
                }
                None => accounts.users.contains_key(&name) && !has(&name),
            };
            if !none || !seen.insert(name.clone()) {
                continue;
            }
            let message =
                format!("{name}, who may use {}, has no password with Samba", share.name());
            let one = Told::whole(C::NoPassword, message).share(share.name());
            told.push(match name.starts_with(['@', '+', '&']) {
                true => one,
                false => one.fix(Fix::command(format!("smbpasswd -a {}", quoted(&name)))),
            });
        }
    }
    told
}

fn identity(case: Case<'_>) -> Option<Told> {
    let foreign = case.host.foreign_sid.as_ref()?;
    let message = format!(
        "Samba's cache has the user with the number {} as {}, and this server is {} now",
        foreign.uid, foreign.cached, foreign.own
    );
    Some(Told::whole(C::SidChanged, message).fix(Fix::command("net cache flush")))
}

fn metadata(case: Case<'_>, share: &Share<'_>) -> Option<Told> {
    let fruit = share.modules().iter().any(|m| m.eq_ignore_ascii_case("fruit"));
    let path = share.path().filter(|_| fruit)?;
    let set = share.get("fruit:metadata");
    let stream = set.is_some_and(|s| s.value.eq_ignore_ascii_case("stream"));
    let (ours, other) =
        if stream { (Store::Stream, "netatalk") } else { (Store::Netatalk, "stream") };
    let (_, file) = case.host.path(&path).metadata.iter().find(|(store, _)| *store != ours)?;
    let at = set.map(|s| &s.at).or(share.section.at.as_ref())?;
    let message = format!(
        "{file} was written with `fruit:metadata = {other}`, and the share {} has {}",
        share.name(),
        if stream { "stream" } else { "netatalk" },
    );
    Some(Told::at(C::MetadataMix, at, message))
}
