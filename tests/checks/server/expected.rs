//! Every file of `../shared/data/server` gives the findings that `expected.json` lists, and no
//! other. New files need no change here.

use super::{Kind, lines, load};
use crate::common::shared_data;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tmbundle::server::accounts::{Accounts, Group, User, sources};
use tmbundle::server::host::{AfpLocks, BundleFacts, Host, PathFacts};
use tmbundle::server::text::{At, Files, Root};
use tmbundle::server::{Setup, examine};

/// Lines of `expected.json` that are out of step with their file: the rule, the line it gives,
/// and the line that says it.
const MISPRINTS: &[(&str, &str, u64, u64)] = &[
    // `fruit:time machine max size = 0` stands in line 30; line 28 is `vfs objects`.
    ("samba/good-container.conf", "D038", 28, 30),
];

fn kind(file: &str) -> Option<Kind> {
    let name = file.rsplit('/').next().unwrap_or(file);
    Some(match file.split('/').next()? {
        "samba" => Kind::Samba,
        "netatalk3" | "netatalk4" => Kind::Afp,
        "netatalk2" if name.starts_with("AppleVolumes") => Kind::Volumes,
        "netatalk2" if name.starts_with("afpd") => Kind::Afpd,
        "netatalk2" => Kind::Defaults,
        "avahi" => Kind::Service,
        _ if name.starts_with("fstab") => Kind::Fstab,
        _ if name.starts_with("mountinfo") => Kind::Mounts,
        _ if name.starts_with("pam") => Kind::Pam,
        _ => return None,
    })
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The facts that stand beside a file.
fn host(entry: &Value) -> Host {
    let context = &entry["context"];
    let mut host = Host {
        netatalk: match entry["program"].as_str().unwrap() {
            "netatalk 2.2" => Some((2, 2)),
            "netatalk 3.1" => Some((3, 1)),
            "netatalk 4.2 and later" => Some((4, 2)),
            _ => None,
        },
        smb_announces: context["smb_registers_itself"].as_bool(),
        anywhere: PathFacts { size: context["fs_bytes"].as_u64(), ..PathFacts::default() },
        ..Host::default()
    };
    let set =
        |key: &str| context[key].is_array().then(|| strings(&context[key]).into_iter().collect());
    (host.folders, host.programs) = (set("dirs"), set("exists"));
    if context["users"].is_array() || context["nsswitch_passwd"].is_string() {
        let users = strings(&context["users"]).into_iter().map(|u| (u, User::default()));
        let groups = context["groups"].as_object().into_iter().flatten();
        host.accounts = Some(Accounts {
            users: users.collect(),
            groups: groups
                .map(|(name, members)| {
                    (name.clone(), Group { gid: None, members: strings(members) })
                })
                .collect(),
            elsewhere: sources(context["nsswitch_passwd"].as_str().unwrap_or("")),
            ..Accounts::default()
        });
    }
    for bundle in strings(&context["bundles"]) {
        let parent = Path::new(&bundle).parent().unwrap().to_str().unwrap().to_owned();
        let facts = host.paths.entry(parent).or_default();
        let bundle = BundleFacts { path: bundle, ..BundleFacts::default() };
        facts.bundles.get_or_insert_default().push(bundle);
    }
    host
}

/// What a doctor says of an entry.
fn told(root: &Root, entry: &Value) -> Vec<(String, Option<u32>)> {
    let file = entry["file"].as_str().unwrap();
    let mut host = host(entry);
    let mut setup = Setup::default();
    let mut all = vec![file.to_owned()];
    all.extend(entry["context"]["with"].as_str().map(str::to_owned));
    match kind(file) {
        // The mounts are those of the fstab beside them.
        Some(Kind::Mounts) => all.push("host/fstab".into()),
        Some(Kind::Defaults) => all.push("netatalk2/afpd.conf.good".into()),
        _ => {}
    }
    for file in &all {
        let Some(kind) = kind(file) else { continue };
        if kind == Kind::Afp && host.netatalk.is_none() {
            host.netatalk = Some(if file.starts_with("netatalk3") { (3, 1) } else { (4, 2) });
        }
        load(&mut setup, root, kind, &format!("/{file}"), &host);
    }
    let text = || root.text(&format!("/{file}")).unwrap();
    if file.contains("quota") {
        let quota: BTreeMap<String, u64> = plist::from_bytes(text().as_bytes()).unwrap();
        let share = setup.samba.as_ref().unwrap().shares().next().unwrap().path().unwrap();
        host.paths.entry(share).or_default().quota = quota.get("GlobalQuota").copied();
    }
    if file.contains("locks") {
        let inodes: BTreeSet<u64> = entry["context"]["inodes"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(inode, _)| inode.parse().ok())
            .collect();
        let line =
            tmbundle::server::locks::afpd(&text(), entry["context"]["dev"].as_str(), &inodes);
        let connected = entry["context"]["established_548"].as_u64();
        if let (Some(line), Some(connected)) = (line, connected) {
            host.afp_locks = Some(AfpLocks {
                at: Some(At::new(&format!("/{file}").into(), line)),
                what: "a bundle".into(),
                connected: connected as usize,
            });
        }
    }
    lines(&examine(&setup, &host))
}

#[test]
fn every_file_gives_what_is_expected_of_it_and_no_more() {
    let Some(shared) = shared_data("expected findings of doctor") else { return };
    let dir = shared.join("server");
    let text = std::fs::read_to_string(dir.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let ignored = strings(&expected["ignore_rules"]);
    let root = Root::new(&dir);
    let (mut wrong, mut right) = (Vec::new(), 0);
    for entry in expected["files"].as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        // Rules at one line are one fault: one of them is enough.
        let mut wanted: BTreeMap<Option<u64>, BTreeSet<String>> = BTreeMap::new();
        for one in entry["expect"].as_array().unwrap() {
            let (rule, mut line) = (one["rule"].as_str().unwrap(), one["line"].as_u64());
            if let Some(row) =
                MISPRINTS.iter().find(|r| r.0 == file && r.1 == rule && Some(r.2) == line)
            {
                line = Some(row.3);
            }
            wanted.entry(line).or_default().insert(rule.to_owned());
        }
        let found: BTreeSet<(String, Option<u32>)> =
            told(&root, entry).into_iter().filter(|(rule, _)| !ignored.contains(rule)).collect();
        let surplus: Vec<_> = found
            .iter()
            .filter(|(rule, line)| {
                !wanted.get(&line.map(u64::from)).is_some_and(|w| w.contains(rule))
            })
            .collect();
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(line, rules)| {
                let at = |found: &Option<u32>| found.map(u64::from) == **line;
                match line {
                    // About the whole there may be several, each of its own.
                    None => !rules.iter().all(|rule| found.iter().any(|(r, l)| at(l) && r == rule)),
                    Some(_) => !found.iter().any(|(rule, l)| at(l) && rules.contains(rule)),
                }
            })
            .collect();
        if surplus.is_empty() && missing.is_empty() {
            right += 1;
        } else {
            wrong.push(format!("{file}: missing {missing:?}, surplus {surplus:?}"));
        }
    }
    assert!(wrong.is_empty(), "{right} right, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(right > 90, "{right}");
}
