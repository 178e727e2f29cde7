//! Who may use a share, may he write there, and can he log in?

use super::{Case, Server};
use crate::report::ServerCode as C;
use crate::server::netatalk::{afp, two};
use crate::server::samba::{Share, value};
use crate::server::{Fix, Told};

/// PAM modules that no current system has any more.
const GONE: &[&str] = &["pam_smbpass.so", "pam_tally.so", "pam_tally2.so", "pam_cracklib.so"];

pub(super) fn rules(case: Case<'_>, told: &mut Vec<Told>) {
    pam(case, told);
    let Some(accounts) = &case.host.accounts else { return };
    let mut seen = std::collections::BTreeSet::new();
    for target in case.targets() {
        for user in target.users.iter().flatten() {
            let Some(why) = accounts.barred.get(user) else { continue };
            // Samba keeps passwords of its own; a locked one is no bar to it.
            let bars = target.server == Server::Netatalk || *why == "expired";
            if bars && seen.insert(user.clone()) {
                let message =
                    format!("the account of {user}, who may use {}, is {why}", target.name);
                told.push(Told::whole(C::LoginAccount, message).share(&target.name));
            }
        }
    }
}

fn pam(case: Case<'_>, told: &mut Vec<Told>) {
    let two = case.host.netatalk.map_or(case.setup.afp.is_none(), |v| v < (3, 0));
    for line in &case.setup.pam {
        let missing = match &case.host.pam_modules {
            Some(there) => !there.contains(&line.module),
            None => GONE.contains(&line.module.as_str()),
        };
        if missing && line.is_needed() {
            let message =
                format!("{} is {}, and there is no such module", line.module, line.control);
            told.push(Told::at(C::PamModule, &line.at, message).fix(Fix::remove(&line.at)));
        } else if two && ["pam_ecryptfs.so", "pam_smbpass.so"].contains(&line.module.as_str()) {
            told.push(Told::at(
                C::PamEcryptfs,
                &line.at,
                format!("{} is asked at log-in", line.module),
            ));
        }
    }
}

impl Case<'_> {
    /// Users that names of users and groups stand for, as far as that is known.
    pub(super) fn persons(&self, names: &[String]) -> Vec<String> {
        let mut all = Vec::new();
        for name in names {
            match name.strip_prefix(['@', '+', '&']) {
                Some(group) => {
                    let members = self.host.accounts.as_ref().map(|a| a.members(group));
                    all.extend(members.unwrap_or_default());
                }
                None => all.push(name.clone()),
            }
        }
        all
    }

    /// Of names those that are users who exist.
    fn known(&self, names: &[String]) -> Option<Vec<String>> {
        let accounts = self.host.accounts.as_ref()?;
        let users = self.persons(names).into_iter().filter(|u| accounts.users.contains_key(u));
        Some(users.collect())
    }
}

/// Who may use a share, if the file says so.
pub(super) fn allowed_users(case: Case<'_>, share: &Share<'_>) -> Option<Vec<String>> {
    let names = share.list("validusers");
    if names.is_empty() {
        let people = case.host.accounts.as_ref()?;
        return Some(people.people().map(str::to_owned).collect());
    }
    Some(case.persons(&names))
}

/// Users of a share who are named and exist.
pub(super) fn samba_users(case: Case<'_>, share: &Share<'_>) -> Option<Vec<String>> {
    let names = share.list("validusers");
    if names.is_empty() { None } else { case.known(&names) }
}

/// Users of a volume of Netatalk 3 or 4.
pub(super) fn afp_users(
    case: Case<'_>,
    afp: &afp::Afp,
    volume: &afp::Volume,
) -> Option<Vec<String>> {
    let names = value::list(&afp.value(afp.get(volume, "valid users")?));
    case.known(&names)
}

/// Users of a volume of Netatalk 2.
pub(super) fn two_users(case: Case<'_>, volume: &two::Volume) -> Option<Vec<String>> {
    let names: Vec<String> = volume.key("allow")?.split(',').map(str::to_owned).collect();
    case.known(&names)
}

/// Whether a user may make things in a folder, by its mode; `None` where that is not all.
pub(super) fn may_write(case: Case<'_>, path: &str, user: &str) -> Option<bool> {
    let facts = case.host.path(path);
    let (mode, uid, gid) = facts.owner.filter(|_| !facts.acl)?;
    let accounts = case.host.accounts.as_ref()?;
    let own = accounts.users.get(user)?.uid?;
    let shift = if own == uid {
        6
    } else if accounts.groups_of(user).contains(&gid) {
        3
    } else {
        0
    };
    Some(own == 0 || (mode >> shift) & 0o3 == 0o3)
}
