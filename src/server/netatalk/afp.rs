//! `afp.conf`, as Netatalk 3.1 and 4.2 or later read it; they differ (measured with 3.1.12,
//! 4.2.3 and 4.5.1).

use crate::server::host::Version;
use crate::server::text::{At, Files, Unread, lines};
use std::sync::Arc;

/// A configuration.
#[derive(Debug, Default)]
pub struct Afp {
    /// Its file.
    pub path: String,
    /// `[Global]`.
    pub global: Vec<Setting>,
    /// Other sections.
    pub volumes: Vec<Volume>,
    /// Lines that are none, and what they say; a byte order mark is one, too.
    pub bad: Vec<(At, String)>,
    /// Files that are included, and whether they were followed.
    pub includes: Vec<(At, String, bool)>,
    /// The version it is read by.
    pub version: Option<Version>,
}

/// A section.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name as written.
    pub section: String,
    /// Where it begins.
    pub at: At,
    /// What it sets.
    pub settings: Vec<Setting>,
}

/// An option.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Name as written.
    pub written: String,
    /// Value, comments taken off, quotes as they are.
    pub value: String,
    /// Where.
    pub at: At,
    /// The line's text.
    pub line: String,
}

/// Version 4.2, from which on another reader is used.
const INIPARSER: Version = (4, 2);

/// Read a configuration as a version does; an unknown one counts as new.
///
/// # Errors
/// If the file itself cannot be read.
pub fn parse(files: &dyn Files, path: &str, version: Option<Version>) -> Result<Afp, Unread> {
    let mut afp = Afp { path: path.to_owned(), version, ..Afp::default() };
    let text = files.text(path)?;
    read(files, path, &text, &mut afp, &mut None, 0);
    Ok(afp)
}

fn read(
    files: &dyn Files,
    path: &str,
    text: &str,
    afp: &mut Afp,
    open: &mut Option<usize>,
    depth: usize,
) {
    let file: Arc<str> = path.into();
    if text.starts_with('\u{feff}') {
        afp.bad.push((At::new(&file, 1), "a byte order mark stands before it".into()));
    }
    for (n, line) in lines(text) {
        let at = At::new(&file, n);
        let bare = uncommented(line).trim();
        if bare.is_empty() {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|r| r.split_once(']')).map(|r| r.0) {
            afp.begin(at, name.trim(), open);
            continue;
        }
        let Some((key, value)) = bare.split_once('=') else {
            afp.bad.push((at, bare.to_owned()));
            continue;
        };
        let set = Setting {
            written: key.trim().to_owned(),
            value: value.trim().to_owned(),
            at,
            line: line.to_owned(),
        };
        if afp.same_key(&set.written, "include") {
            let follow = !afp.is_new() && depth < 8;
            let text = follow.then(|| files.text(&set.value).ok()).flatten();
            afp.includes.push((set.at.clone(), set.value.clone(), text.is_some()));
            if let Some(text) = text {
                read(files, &set.value, &text, afp, open, depth + 1);
            }
            continue;
        }
        match open.and_then(|index| afp.volumes.get_mut(index)) {
            Some(volume) => volume.settings.push(set),
            None => afp.global.push(set),
        }
    }
}

/// Without a comment, which may stand behind a value.
fn uncommented(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' | '#' if !quoted => return line.get(..at).unwrap_or(line),
            _ => {}
        }
    }
    line
}

impl Afp {
    /// Whether it is read by the new reader.
    pub fn is_new(&self) -> bool {
        self.version.is_none_or(|v| v >= INIPARSER)
    }

    /// Whether the version is known to be new.
    pub fn is_surely_new(&self) -> bool {
        self.version.is_some_and(|v| v >= INIPARSER)
    }

    fn begin(&mut self, at: At, name: &str, open: &mut Option<usize>) {
        if name.eq_ignore_ascii_case("global") {
            *open = None;
            return;
        }
        let same = |v: &Volume| match self.is_new() {
            true => v.section.to_lowercase() == name.to_lowercase(),
            false => v.section == name,
        };
        // The new reader merges what differs in case only; both begin again what is there.
        let known = self.volumes.iter().position(same);
        *open = Some(known.unwrap_or(self.volumes.len()));
        if known.is_none() || self.volumes.iter().all(|v| v.section != name) {
            *open = Some(self.volumes.len());
            self.volumes.push(Volume { section: name.to_owned(), at, settings: Vec::new() });
        }
    }

    /// Whether a name is an option's, as the version compares.
    pub fn same_key(&self, written: &str, key: &str) -> bool {
        if self.is_new() { written.eq_ignore_ascii_case(key) } else { written == key }
    }

    /// A value without quotes, where the version takes them off.
    pub fn value(&self, set: &Setting) -> String {
        let inner = set.value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        inner.filter(|_| self.is_new()).unwrap_or(&set.value).to_owned()
    }

    /// An option of some settings; the last counts.
    pub fn find<'a>(&self, settings: &'a [Setting], key: &str) -> Option<&'a Setting> {
        settings.iter().rev().find(|s| self.same_key(&s.written, key))
    }

    /// A global option.
    pub fn global(&self, key: &str) -> Option<&Setting> {
        self.find(&self.global, key)
    }

    /// A volume's option.
    pub fn get<'a>(&self, volume: &'a Volume, key: &str) -> Option<&'a Setting> {
        self.find(&volume.settings, key)
    }

    /// A volume's path.
    pub fn path_of(&self, volume: &Volume) -> Option<String> {
        self.get(volume, "path").map(|s| self.value(s)).filter(|p| !p.is_empty())
    }

    /// The name that Macs see.
    pub fn name_of(&self, volume: &Volume) -> String {
        let named = self.get(volume, "volume name").filter(|_| self.is_new());
        match named {
            Some(set) => self.value(set),
            None if self.is_new() => volume.section.to_lowercase(),
            None => volume.section.clone(),
        }
    }

    /// Yes or no: `yes`, `true` and `1` in any case are yes, everything else is no.
    pub fn is_yes(&self, set: &Setting) -> bool {
        let value = self.value(set).to_lowercase();
        matches!(value.as_str(), "yes" | "true" | "1")
    }

    /// Whether it is for Time Machine.
    pub fn is_time_machine(&self, volume: &Volume) -> bool {
        self.get(volume, "time machine").is_some_and(|s| self.is_yes(s))
    }

    /// Whether it is `[Homes]`.
    pub fn is_homes(volume: &Volume) -> bool {
        volume.section.eq_ignore_ascii_case("homes")
    }

    /// The limit in MiB, as Netatalk reads it; `None` if there is none.
    pub fn limit(&self, volume: &Volume) -> Option<u64> {
        let set = self.get(volume, "vol size limit")?;
        super::leading_digits(&self.value(set))
            .filter(|n| *n > 0 && !self.value(set).starts_with("0x"))
    }

    /// Whether the server starts.
    pub fn starts(&self) -> bool {
        !self.is_new() || self.bad.is_empty()
    }

    /// The volumes that are served, as far as the file says.
    pub fn served(&self) -> Vec<&Volume> {
        let mut paths: Vec<String> = Vec::new();
        let mut served = Vec::new();
        for volume in self.volumes.iter().filter(|v| !Self::is_homes(v) && self.starts()) {
            let Some(path) = self.path_of(volume).filter(|p| p.starts_with(['/', '~', '$'])) else {
                continue;
            };
            let path = path.trim_end_matches('/').to_owned();
            if volume.section.contains(':')
                || self.name_of(volume).contains(':')
                || paths.contains(&path)
            {
                continue;
            }
            paths.push(path);
            served.push(volume);
        }
        served
    }

    /// The log-in modules, or the default ones.
    pub fn uams(&self) -> Vec<String> {
        match self.global("uam list") {
            Some(set) => {
                let value = self.value(set);
                let words = value.split([' ', '\t', ',']).filter(|w| !w.is_empty());
                words.map(|w| w.trim_matches('"').to_owned()).collect()
            }
            None => vec!["uams_dhx.so".into(), "uams_dhx2.so".into()],
        }
    }
}

/// Options of Netatalk 3 and 4 (afp.conf(5)).
const KEYS: &str = "ad domain|admin auth user|admin group|force user|force group|k5 keytab|k5 service\
|k5 realm|nt domain|nt separator|save password|set password|uam list|uam path|afp listen\
|afp interfaces|afp port|cnid listen|cnid server|ddp address|ddp zone|appletalk|disconnect time\
|dsireadbuf|fqdn|hostname|max connections|server quantum|sleep time|tcprcvbuf|tcpsndbuf|recvfile\
|splice size|use sendfile|zeroconf|advertise ssh|afpstats|mimic model|signature|server name\
|vol dbpath|vol dbnest|volnamelen|vol preset|log file|log level|log microseconds|dircachesize\
|dircache files|dircache validation freq|dircache rfork budget|dircache rfork maxsize|dircache mode\
|extmap file|force xattr with sticky bit|guest account|ignored attributes|login message|legacy icon\
|legacy volume size|mac charset|unix charset|vol charset|keep sessions|chmod request|close vol\
|fce listener|fce version|fce ignore names|fce ignore directories|fce notify script|fce coalesce\
|fce events|fce holdfmod|map acls|spotlight|spotlight attributes|spotlight expr|start dbus\
|start tracker|dbus daemon|tracker manager|sparql results limit|ldap server|ldap uri\
|ldap auth method|ldap auth dn|ldap auth pw|ldap userbase|ldap groupbase|ldap userscope\
|ldap groupscope|ldap uuid attr|ldap uuid encoding|ldap uuid string|ldap name attr|ldap group attr\
|ldap user filter|ldap group filter|solaris share reservations|cnid mysql host|cnid mysql user\
|cnid mysql pw|cnid mysql db|afp read locks|veto message|include|path|appledouble|vol size limit\
|valid users|invalid users|hosts allow|hosts deny|cnid scheme|ea|casefold|password|file perm\
|directory perm|umask|preexec|postexec|root preexec|root postexec|rolist|rwlist|veto files\
|volume name|volume uuid|acls|case sensitive|cnid dev|convert appledouble|delete veto files\
|follow symlinks|invisible dots|network ids|preexec close|prodos|root preexec close|search db\
|stat vol|time machine|unix priv|read only|illegal seq|home name|basedir regex|quota|afp stats\
|server options|max volumes|legacy options|debug|tickleval|timeout|client polling|ip address\
|fqdn port|icon|transall|proxy|bstr|admingroup|vol options|cnid cache size|log timestamps";

/// Whether some Netatalk knows an option by that name in lower case.
pub fn is_key(key: &str) -> bool {
    KEYS.split('|').any(|k| k == key)
}

/// Names of version 2 and slips, and what is meant.
pub fn key_meant(written: &str) -> Option<&'static str> {
    let lower = written.to_lowercase();
    let bare: String = lower.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let same = |k: &&str| k.replace(' ', "") == bare;
    let old = match bare.as_str() {
        "volsizelimit" | "tmmaxsize" | "maxsize" => Some("vol size limit"),
        "allow" => Some("valid users"),
        "deny" => Some("invalid users"),
        "uamlist" => Some("uam list"),
        "options" | "tm" => Some("time machine"),
        "cnidscheme" => Some("cnid scheme"),
        _ => None,
    };
    let near = || super::super::text::nearest(&lower, KEYS.split('|'));
    KEYS.split('|').find(same).or(old).or_else(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read(text: &str, version: Version) -> Afp {
        let files = BTreeMap::from([("/a".to_owned(), text.as_bytes().to_vec())]);
        parse(&files, "/a", Some(version)).unwrap()
    }

    #[test]
    fn the_versions_differ() {
        let text = "[Global]\n; x\n[Time Machine]\nPath = \"/srv/a\" # c\ntime machine = YES\n";
        let (old, new) = (read(text, (3, 1)), read(text, (4, 5)));
        let names = |afp: &Afp| afp.served().iter().map(|v| afp.name_of(v)).collect::<Vec<_>>();
        assert!(names(&old).is_empty(), "keys are case-sensitive and quotes stay");
        assert_eq!(names(&new), ["time machine"]);
        assert!(new.is_time_machine(&new.volumes[0]));
        let merged = "[A]\npath = /a\n[a]\ntime machine = yes\n";
        assert_eq!(read(merged, (3, 1)).volumes.len(), 2);
    }

    #[test]
    fn names_that_are_meant() {
        assert_eq!(key_meant("volsizelimit"), Some("vol size limit"));
        assert_eq!(key_meant("Time_Machine"), Some("time machine"));
        assert_eq!(key_meant("options"), Some("time machine"));
        assert_eq!(key_meant("vaild users"), Some("valid users"));
        assert!(is_key("path") && !is_key("paths of glory"));
    }
}
