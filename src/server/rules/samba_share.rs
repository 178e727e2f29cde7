//! What a share needs to be one for Time Machine.

use super::Case;
use super::login::{allowed_users, may_write};
use super::samba_file::{replaced, yes_or_no};
use super::samba_global::{only_here, switch};
use crate::report::{ServerCode as C, Severity};
use crate::server::samba::{Samba, Setting, Share, TimeMachine, keys, value};
use crate::server::{Fix, Told};

pub(super) fn rules(case: Case<'_>, samba: &Samba, told: &mut Vec<Told>) {
    for share in samba.shares().filter(|s| !s.is_special()) {
        told.extend(path(&share));
        told.extend(global_only(&share));
    }
    let mut found = Vec::new();
    for share in samba.time_machines() {
        found.extend(not_boolean(&share));
        found.extend(modules(case, &share));
        found.extend(words(&share));
        found.extend(unavailable(&share));
        found.extend(closed(&share));
        found.extend(writable(case, &share));
        found.extend(oplocks(&share));
        found.extend(overridden(&share));
        found.extend(veto(&share));
        found.extend(masks(&share));
        found.extend(users(case, &share));
        found.extend(path_of_user(case, &share));
        found.extend(guest(&share));
    }
    // What several shares have from one line is one fault.
    for one in found {
        let again =
            |t: &Told| t.rule == one.rule && t.line() == one.line() && one.line().1.is_some();
        if !told.iter().any(again) {
            told.push(one);
        }
    }
}

fn path(share: &Share<'_>) -> Option<Told> {
    let at = share.section.at.as_ref()?;
    let Some(set) = share.get("path").filter(|s| !s.value.is_empty()) else {
        let message = format!("the share {} has no path", share.name());
        return Some(Told::at(C::NoPath, at, message).share(share.name()));
    };
    let path = share.path()?;
    let inner = path.strip_prefix('\'').and_then(|p| p.strip_suffix('\''));
    let (why, right) = if let Some(inner) = inner {
        ("single quotes belong to the name", Some(inner.to_owned()))
    } else if path.contains("\\ ") {
        ("a backslash is no escape", Some(path.replace("\\ ", " ")))
    } else if path.starts_with('~') {
        ("`~` means nothing to Samba", None)
    } else if !path.starts_with(['/', '%']) {
        ("it does not begin with /", None)
    } else {
        return None;
    };
    let told =
        Told::at(C::PathOdd, &set.at, format!("the path is {path}: {why}")).share(share.name());
    Some(match right {
        Some(right) => told.fix(replaced(set, &right)),
        None => told,
    })
}

fn global_only(share: &Share<'_>) -> Vec<Told> {
    let own = share.section.settings.values();
    let only = own.filter(|s| {
        s.section.is_some()
            && s.key.strip_prefix("fruit:").is_some_and(|o| keys::FRUIT_GLOBAL.contains(&o))
    });
    only.map(|set| {
        let message = format!("`{}` counts in [global] only", set.written);
        Told::at(C::GlobalOnly, &set.at, message).share(share.name()).fix(Fix::remove(&set.at))
    })
    .collect()
}

fn not_boolean(share: &Share<'_>) -> Option<Told> {
    let TimeMachine::Odd(set) = share.time_machine() else { return None };
    let message = match set.value.as_str() {
        "" => format!("`{}` is empty, which is no", set.written),
        other => format!("`{}` is '{other}', which Samba takes for no", set.written),
    };
    let right = yes_or_no(&set.value).unwrap_or_else(|| "yes".into());
    Some(Told::at(C::TmNotBoolean, &set.at, message).share(share.name()).fix(replaced(set, &right)))
}

/// A finding about the list of modules, with the list as it should be.
fn about_list(
    share: &Share<'_>,
    code: C,
    message: String,
    right: Option<Vec<String>>,
) -> Option<Told> {
    let set = share.get("vfsobjects");
    let at = set.map(|s| &s.at).or(share.section.at.as_ref())?;
    let told = Told::at(code, at, message).share(share.name());
    let Some(right) = right.map(|r| r.join(" ")) else { return Some(told) };
    Some(told.fix(match set {
        Some(set) => replaced(set, &right),
        None => Fix::insert(at, format!("   vfs objects = {right}")),
    }))
}

fn modules(case: Case<'_>, share: &Share<'_>) -> Vec<Told> {
    let list = share.modules();
    if list.iter().any(|m| m.contains(' ')) {
        let all = list.iter().flat_map(|m| m.split_whitespace()).map(str::to_owned).collect();
        let message = format!("the quotes make one module '{}' of the list", list.join(" "));
        return about_list(share, C::ListQuoted, message, Some(all)).into_iter().collect();
    }
    let bad: Vec<&String> = list.iter().filter(|m| missing(case, m)).collect();
    let mut told = Vec::new();
    for module in &bad {
        let near = keys::module_meant(module).filter(|n| !n.eq_ignore_ascii_case(module));
        let message = match near {
            Some(near) => format!("there is no module '{module}'; {near} may be meant"),
            None => format!("there is no module '{module}'"),
        };
        let right = |near: &str| {
            list.iter().map(|m| if m == *module { near.to_owned() } else { m.clone() }).collect()
        };
        told.extend(about_list(share, C::Module, message, near.map(right)));
    }
    told.extend(fruit_and_streams(share, &list, &bad));
    told.extend(encoding(share, &list));
    told.extend(recycle(share, &list));
    told
}

fn place(list: &[String], name: &str) -> Option<usize> {
    list.iter().position(|m| m.eq_ignore_ascii_case(name))
}

/// Fruit, and streams behind it; `bad` are names that no module has.
fn fruit_and_streams(share: &Share<'_>, list: &[String], bad: &[&String]) -> Option<Told> {
    let meant = |name: &str| bad.iter().any(|m| keys::module_meant(m) == Some(name));
    let streams = place(list, "streams_xattr").or(place(list, "streams_depot"));
    let (code, message) = match (place(list, "fruit"), streams) {
        (None, _) if meant("fruit") => return None,
        (None, _) => {
            (C::NoFruit, format!("fruit is not among the modules of the share {}", share.name()))
        }
        (Some(_), None) if meant("streams_xattr") || meant("streams_depot") => return None,
        (Some(_), None) => (C::NoStreams, "no module for streams stands behind fruit".to_owned()),
        (Some(fruit), Some(streams)) if streams < fruit => {
            (C::VfsOrder, "the module for streams stands before fruit".to_owned())
        }
        _ => return None,
    };
    let told = about_list(share, code, message, Some(with_fruit(list)))?;
    // Modules of a NAS may bring streams that nobody knows of here.
    let nas = code == C::NoStreams && place(list, "ixnas").is_some();
    Some(if nas { told.severity(Severity::Warning) } else { told })
}

fn encoding(share: &Share<'_>, list: &[String]) -> Option<Told> {
    let set = share.get("fruit:encoding").filter(|s| s.value.eq_ignore_ascii_case("native"))?;
    if place(list, "catia").is_some() || place(list, "fruit").is_none() {
        return None;
    }
    let message = "`fruit:encoding = native` without catia before fruit";
    Some(Told::at(C::Encoding, &set.at, message).share(share.name()))
}

fn recycle(share: &Share<'_>, list: &[String]) -> Option<Told> {
    let is_bin =
        |m: &&String| ["recycle", "trash"].iter().any(|word| m.to_lowercase().contains(word));
    let bin = list.iter().find(is_bin)?;
    let set = share.get("vfsobjects")?;
    let rest: Vec<&str> = list.iter().filter(|m| *m != bin).map(String::as_str).collect();
    // Other shares may want their bin.
    let fix = share.section.at.as_ref().map(|at| match share.own("vfsobjects") {
        Some(own) => replaced(own, &rest.join(" ")),
        None => Fix::insert(at, format!("   vfs objects = {}", rest.join(" "))),
    });
    let message = format!("the module {bin} keeps what Macs delete");
    Some(Told { fix, ..Told::at(C::Recycle, &set.at, message).share(share.name()) })
}

/// Whether a module does not exist: by the machine's files, or because another name is near.
fn missing(case: Case<'_>, module: &str) -> bool {
    let bare = module.split(':').next().unwrap_or(module);
    match &case.host.vfs_modules {
        Some(there) => !there.contains(&bare.to_lowercase()),
        None => !keys::is_module(bare) && keys::module_meant(bare).is_some(),
    }
}

/// The list with fruit and then streams at its end, as they belong.
fn with_fruit(list: &[String]) -> Vec<String> {
    let is = |m: &String, name: &str| m.eq_ignore_ascii_case(name);
    let streams = list.iter().find(|m| is(m, "streams_depot")).cloned();
    let rest = list
        .iter()
        .filter(|m| !["fruit", "streams_xattr", "streams_depot"].iter().any(|n| is(m, n)));
    let before = rest.clone().filter(|m| !is(m, "xattr_tdb")).cloned();
    let after = rest.filter(|m| is(m, "xattr_tdb")).cloned();
    let streams = streams.unwrap_or_else(|| "streams_xattr".into());
    before.chain(["fruit".to_owned(), streams]).chain(after).collect()
}

fn words(share: &Share<'_>) -> Vec<Told> {
    if !share.modules().iter().any(|m| m == "fruit") {
        return Vec::new();
    }
    let wrong = keys::FRUIT_WORDS.iter().filter_map(|(key, words)| {
        let set = share.get(key)?;
        let known = words.iter().any(|w| w.eq_ignore_ascii_case(&set.value));
        (!known).then_some((set, words))
    });
    wrong
        .map(|(set, words)| {
            let message =
                format!("`{}` is '{}'; fruit knows {}", set.written, set.value, words.join(", "));
            let near =
                crate::server::text::nearest(&set.value.to_lowercase(), words.iter().copied());
            let right = near.or(words.first().copied()).unwrap_or_default();
            Told::at(C::FruitEnum, &set.at, message).share(share.name()).fix(replaced(set, right))
        })
        .collect()
}

fn unavailable(share: &Share<'_>) -> Option<Told> {
    let set = share.get("available").filter(|_| share.boolean("available") == Some(false))?;
    let told = Told::at(C::Unavailable, &set.at, "the share is switched off").share(share.name());
    // A line that it has from another share switches that one off, too, as is perhaps meant.
    let section = share.section.at.as_ref();
    let elsewhere = set.section.as_deref() != Some(share.name());
    Some(told.fix(match section.filter(|_| elsewhere) {
        Some(section) => Fix::insert(section, "   available = yes".to_owned()),
        None => Fix::remove(&set.at),
    }))
}

/// Nobody but this machine may use it, whoever may connect.
fn closed(share: &Share<'_>) -> Option<Told> {
    let allowed = share.get("hostsallow").filter(|s| !s.value.is_empty());
    let denied = |s: &&Setting| {
        let all = |host: &String| matches!(host.as_str(), "ALL" | "0.0.0.0/0");
        matches!(value::list(&s.value).as_slice(), [one] if all(one))
    };
    let set = match allowed {
        Some(set) => only_here(set).then_some(set),
        None => share.get("hostsdeny").filter(denied),
    }?;
    let message =
        format!("`{} = {}`: nobody but this machine can use the share", set.written, set.value);
    Some(Told::at(C::NotReachable, &set.at, message).share(share.name()))
}

fn writable(case: Case<'_>, share: &Share<'_>) -> Option<Told> {
    // Who names the writers may leave the share read-only for all others.
    let writers = share.list("writelist");
    let set = share.get("readonly");
    let unclear = set.is_some_and(|s| value::boolean(&s.value).is_none());
    if unclear {
        return None;
    }
    if !share.is_writable() {
        if !writers.is_empty() {
            return None;
        }
        let told = match (set, &share.section.at) {
            (Some(set), _) => {
                Told::at(C::ReadOnly, &set.at, format!("`{} = {}`", set.written, set.value))
                    .fix(replaced(set, if set.inverted { "yes" } else { "no" }))
            }
            (None, Some(at)) => Told::at(
                C::ReadOnly,
                at,
                "nothing says `read only = no`, and read-only is the default",
            )
            .fix(Fix::insert(at, "   read only = no")),
            (None, None) => return None,
        };
        return Some(told.share(share.name()));
    }
    let set = share.get("readlist").filter(|s| !value::list(&s.value).is_empty())?;
    let readers = case.persons(&value::list(&set.value));
    let writers = case.persons(&writers);
    let allowed = allowed_users(case, share).filter(|a| !a.is_empty());
    let all_read = match allowed {
        Some(users) => users.iter().all(|u| readers.contains(u) && !writers.contains(u)),
        // Nobody else is named anywhere.
        None => readers.iter().all(|r| !writers.contains(r)) && writers.is_empty(),
    };
    let message = format!("`read list` lets {} read only", readers.join(", "));
    all_read.then(|| {
        Told::at(C::ReadOnly, &set.at, message).share(share.name()).fix(Fix::remove(&set.at))
    })
}

fn oplocks(share: &Share<'_>) -> Option<Told> {
    let set = share.get("oplocks").filter(|_| share.boolean("oplocks") == Some(false))?;
    Some(switch(set, C::OplocksOff, "yes").share(share.name()).fix(Fix::remove(&set.at)))
}

fn overridden(share: &Share<'_>) -> Vec<Told> {
    let contrary = [
        ("durablehandles", false),
        ("kernelsharemodes", true),
        ("posixlocking", true),
        ("kerneloplocks", true),
    ];
    let own = contrary.iter().filter_map(|(key, harm)| {
        let set = share.own(key)?;
        (value::boolean(&set.value) == Some(*harm)).then_some(set)
    });
    own.map(|set| {
        let message =
            format!("`{} = {}` does nothing in a share for Time Machine", set.written, set.value);
        Told::at(C::Overridden, &set.at, message).share(share.name()).fix(Fix::remove(&set.at))
    })
    .collect()
}

/// Names that Time Machine makes.
const NEEDED: &[&str] = &[
    ".com.apple.timemachine.supported",
    "Info.plist",
    "Info.bckup",
    "bands",
    "mapped",
    "token",
    "lock",
    "com.apple.TimeMachine.MachineID.plist",
    "com.apple.TimeMachine.SnapshotHistory.plist",
    "Mac.sparsebundle",
    "Mac.backupbundle",
    "0",
    "1f",
    "2c0a",
];

fn veto(share: &Share<'_>) -> Option<Told> {
    let set = share.get("vetofiles")?;
    let hits = |pattern: &&str| {
        !pattern.is_empty()
            && NEEDED.iter().any(|n| matches(&pattern.to_lowercase(), &n.to_lowercase()))
    };
    let text = value::unquoted(&set.value);
    let bad: Vec<&str> = text.split('/').filter(hits).collect();
    if bad.is_empty() {
        return None;
    }
    let rest: Vec<&str> = text.split('/').filter(|p| !p.is_empty() && !hits(p)).collect();
    let fix = match rest.as_slice() {
        [] => Fix::remove(&set.at),
        rest => replaced(set, &format!("/{}/", rest.join("/"))),
    };
    let message = format!("`veto files` forbids {}, which Time Machine needs", bad.join(", "));
    Some(Told::at(C::Veto, &set.at, message).share(share.name()).fix(fix))
}

/// `*` and `?` as Samba has them.
fn matches(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) =
        (pattern.chars().take(256).collect(), name.chars().collect());
    let mut row: Vec<bool> = std::iter::once(true).chain(n.iter().map(|_| false)).collect();
    for c in p {
        let mut next = Vec::with_capacity(row.len());
        next.push(c == '*' && row.first() == Some(&true));
        for (i, letter) in n.iter().enumerate() {
            let before = row.get(i) == Some(&true);
            let above = row.get(i + 1) == Some(&true);
            let left = next.get(i) == Some(&true);
            next.push(if c == '*' { above || left } else { before && (c == '?' || c == *letter) });
        }
        row = next;
    }
    row.last() == Some(&true)
}

fn masks(share: &Share<'_>) -> Vec<Told> {
    let of = |key: &str, force: &str, needed: u32, right: &str| {
        let set = share.get(key)?;
        let octal = |text: &str| u32::from_str_radix(text, 8).ok();
        let forced = share.get(force).and_then(|s| octal(&s.value)).unwrap_or(0);
        let mask = octal(&set.value)? | forced;
        let message =
            format!("`{} = {}` takes from the owner what he needs", set.written, set.value);
        (mask & needed != needed).then(|| {
            Told::at(C::Masks, &set.at, message).share(share.name()).fix(replaced(set, right))
        })
    };
    let files = of("createmask", "forcecreatemode", 0o600, "0600");
    let folders = of("directorymask", "forcedirectorymode", 0o700, "0700");
    files.into_iter().chain(folders).collect()
}

fn users(case: Case<'_>, share: &Share<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    let Some(accounts) = &case.host.accounts else { return told };
    let forced =
        share.get("forceuser").filter(|s| !s.value.is_empty() && !s.value.contains(['%', '\\']));
    if let Some(set) = forced {
        let there = accounts.users.contains_key(&set.value);
        let path = share.path().filter(|p| !p.contains('%'));
        let refused = path.is_some_and(|p| may_write(case, &p, &set.value) == Some(false));
        if !there && accounts.complete() {
            let message = format!("`force user` names {}, and there is no such user", set.value);
            told.push(Told::at(C::ForceUser, &set.at, message).share(share.name()));
        } else if refused {
            let message =
                format!("`force user` is {}, who may not write into the share's folder", set.value);
            told.push(Told::at(C::ForceUser, &set.at, message).share(share.name()));
        }
    }
    let Some(set) = share.get("validusers") else { return told };
    for name in value::list(&set.value) {
        let group = name.trim_start_matches(['@', '+', '&']);
        let marked = group != name;
        if name.contains(['%', '\\', '/', '#', ';'])
            || name.chars().any(crate::server::text::is_typographic)
        {
            continue;
        }
        let (users, groups) =
            (accounts.users.contains_key(group), accounts.groups.contains_key(group));
        let why = match (marked, users, groups) {
            (false, false, true) => format!("{name} is a group and needs an @ before it"),
            (false, false, false) if accounts.complete() => format!("there is no user {name}"),
            (true, _, false) if accounts.complete() => format!("there is no group {group}"),
            _ => continue,
        };
        let one =
            Told::at(C::ValidUsers, &set.at, format!("`valid users`: {why}")).share(share.name());
        told.push(if !marked && groups {
            one.fix(replaced(set, &set.value.replace(&name, &format!("@{name}"))))
        } else {
            one
        });
    }
    told
}

fn path_of_user(case: Case<'_>, share: &Share<'_>) -> Option<Told> {
    let set = share.get("path")?;
    let path = share.path().filter(|p| ["%U", "%u", "%H", "%S"].iter().any(|v| p.contains(v)))?;
    if share.get("rootpreexec").is_some_and(|s| !s.value.is_empty()) {
        return None;
    }
    let accounts = case.host.accounts.as_ref()?;
    let users = allowed_users(case, share)
        .unwrap_or_else(|| accounts.people().map(str::to_owned).collect());
    let missing: Vec<String> = users
        .into_iter()
        .filter_map(|user| {
            let home = &accounts.users.get(&user)?.home;
            let own = path
                .replace("%U", &user)
                .replace("%u", &user)
                .replace("%H", home)
                .replace("%S", share.name());
            // Another variable, or a name that would lead elsewhere, tells nothing.
            let plain = !own.contains('%') && !user.contains('/') && !user.starts_with('.');
            (plain && case.host.is_folder(&own) == Some(false)).then_some(own)
        })
        .collect();
    let first = missing.first()?;
    let more =
        if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
    let message = format!("the folder {first}{more} does not exist");
    Some(Told::at(C::PathUser, &set.at, message).share(share.name()))
}

fn guest(share: &Share<'_>) -> Option<Told> {
    let set = share.get("guestonly").filter(|_| share.boolean("guestonly") == Some(true))?;
    Some(Told::at(C::Guest, &set.at, "the share is for guests only").share(share.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_samba() {
        assert!(matches(".*", ".com.apple"));
        assert!(matches("*.plist", "info.plist"));
        assert!(!matches("._*", ".com.apple") && !matches("thumbs.db", "token"));
        assert!(matches("?", "0") && !matches("?", "1f"));
        assert_eq!(
            with_fruit(&["streams_xattr".into(), "catia".into()]),
            ["catia", "fruit", "streams_xattr"]
        );
    }
}
