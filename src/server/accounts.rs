//! Users and groups, as files tell them: `passwd`, `group`, `nsswitch.conf`, `shadow`.

use super::text::{Files, lines};
use std::collections::{BTreeMap, BTreeSet};

/// Who there is.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Users by name.
    pub users: BTreeMap<String, User>,
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Where else users come from (`ldap`, `sss`, `winbind`): then a name that is not in the
    /// files may exist all the same.
    pub elsewhere: Vec<String>,
    /// Users whose account is locked or expired, and which of them, from `shadow`.
    pub barred: BTreeMap<String, &'static str>,
}

/// A user.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// Number, if known.
    pub uid: Option<u32>,
    /// Number of his first group.
    pub gid: Option<u32>,
    /// Home folder.
    pub home: String,
}

/// A group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Number, if known.
    pub gid: Option<u32>,
    /// Its members by name.
    pub members: Vec<String>,
}

impl Accounts {
    /// Read the files; `None` if there is no `passwd`. `today` in days since 1970.
    pub fn read(files: &dyn Files, today: i64) -> Option<Self> {
        let mut all = Self::default();
        for line in files.text("/etc/passwd").ok()?.lines() {
            let f: Vec<&str> = line.split(':').collect();
            if let [name, _, uid, gid, _, home, ..] = f.as_slice() {
                let user =
                    User { uid: uid.parse().ok(), gid: gid.parse().ok(), home: (*home).to_owned() };
                all.users.insert((*name).to_owned(), user);
            }
        }
        for line in files.text("/etc/group").unwrap_or_default().lines() {
            let f: Vec<&str> = line.split(':').collect();
            if let [name, _, gid, members, ..] = f.as_slice() {
                let members =
                    members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
                all.groups.insert((*name).to_owned(), Group { gid: gid.parse().ok(), members });
            }
        }
        if let Ok(text) = files.text("/etc/nsswitch.conf") {
            let passwd = lines(&text).find_map(|(_, l)| l.trim().strip_prefix("passwd:"));
            all.elsewhere = passwd.map(sources).unwrap_or_default();
        }
        for line in files.text("/etc/shadow").unwrap_or_default().lines() {
            let f: Vec<&str> = line.split(':').collect();
            let (Some(name), Some(hash)) = (f.first(), f.get(1)) else { continue };
            let expires = f.get(7).and_then(|day| day.parse::<i64>().ok());
            if hash.starts_with('!') && hash.len() > 1 {
                all.barred.insert((*name).to_owned(), "locked");
            } else if expires.is_some_and(|day| day <= today) {
                all.barred.insert((*name).to_owned(), "expired");
            }
        }
        Some(all)
    }

    /// Whether the files are all there is to know.
    pub fn complete(&self) -> bool {
        self.elsewhere.is_empty()
    }

    /// People rather than services: numbers from 1000 on, or unknown.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        let person = |u: &User| u.uid.is_none_or(|uid| (1000..65_000).contains(&uid));
        self.users.iter().filter(move |(_, u)| person(u)).map(|(name, _)| name.as_str())
    }

    /// The names of a group's members, with those whose first group it is.
    pub fn members(&self, group: &str) -> BTreeSet<String> {
        let Some(group) = self.groups.get(group) else { return BTreeSet::new() };
        let first = self.users.iter().filter(|(_, u)| group.gid.is_some() && u.gid == group.gid);
        let first = first.map(|(name, _)| name.clone());
        group.members.iter().cloned().chain(first).collect()
    }

    /// The numbers of a user's groups.
    pub fn groups_of(&self, user: &str) -> BTreeSet<u32> {
        let of = self.groups.values().filter(|g| g.members.iter().any(|m| m == user));
        let first = self.users.get(user).and_then(|u| u.gid);
        of.filter_map(|g| g.gid).chain(first).collect()
    }
}

/// Sources of users beside the files: `files ldap` gives `ldap`.
pub fn sources(line: &str) -> Vec<String> {
    let here = ["files", "compat", "systemd", "db", "passwd:"];
    let words = line.split_whitespace().filter(|w| !w.starts_with('['));
    words.filter(|w| !here.contains(w)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_groups_and_who_is_barred() {
        let mut files = BTreeMap::new();
        let mut put =
            |name: &str, text: &str| files.insert(name.to_owned(), text.as_bytes().to_vec());
        put(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nanna:x:1001:1003:Anna:/home/anna:/bin/sh\nbad\n",
        );
        put("/etc/group", "tmusers:x:1003:bert\nadm:x:4:anna,bert\n");
        put("/etc/nsswitch.conf", "# x\npasswd: files [NOTFOUND=return] ldap systemd\n");
        put(
            "/etc/shadow",
            "anna:!$6$x:1:::::\nbert:$6$y:1:0:9:7::100:\ncarla:$6$z:1:0:9:7::300:\n",
        );
        let all = Accounts::read(&files, 200).unwrap();
        assert_eq!(all.people().collect::<Vec<_>>(), ["anna"]);
        assert_eq!(all.members("tmusers").into_iter().collect::<Vec<_>>(), ["anna", "bert"]);
        assert_eq!(all.groups_of("anna").into_iter().collect::<Vec<_>>(), [4, 1003]);
        assert_eq!(all.elsewhere, ["ldap"]);
        assert_eq!(all.barred.get("anna"), Some(&"locked"));
        assert_eq!(all.barred.get("bert"), Some(&"expired"));
        assert_eq!(all.barred.get("carla"), None);
    }
}
