//! Netatalk 2: `AppleVolumes.default`, `afpd.conf`, `/etc/default/netatalk` (measured with
//! 2.2.10).

use crate::server::text::{At, lines};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What was read of it.
#[derive(Debug, Default)]
pub struct Netatalk2 {
    /// Volumes in their order.
    pub volumes: Vec<Volume>,
    /// Lines that are passed over and look like the rest of a volume's.
    pub wrapped: Vec<(At, String, Option<At>)>,
    /// Lines of `afpd.conf`.
    pub servers: Vec<Server>,
    /// Variables of `/etc/default/netatalk`.
    pub defaults: Vec<Variable>,
    /// Whether any of its files is there.
    pub any: bool,
}

/// A volume's line.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Where it stands.
    pub at: At,
    /// The line, continued ones joined.
    pub line: String,
    /// First word.
    pub path: String,
    /// Words without a colon.
    pub loose: Vec<Word>,
    /// Words with one.
    pub keys: Vec<Key>,
    /// Options that count, lower case: its own and those of `:DEFAULT:`.
    pub options: BTreeSet<String>,
    /// `cnidscheme` that counts, if one is said.
    pub cnid: Option<String>,
    /// `volsizelimit` that counts.
    pub limit: Option<String>,
    /// Whether a quote is not closed.
    pub unclosed: bool,
}

/// A word.
#[derive(Debug, Clone)]
pub struct Word {
    /// Without quotes.
    pub text: String,
    /// Whether quotes stood in it.
    pub quoted: bool,
    /// How many words with a colon stand before it.
    pub after_keys: usize,
}

/// A word with a colon.
#[derive(Debug, Clone)]
pub struct Key {
    /// What is before it.
    pub key: String,
    /// What is behind it.
    pub value: String,
    /// Whether quotes stood in it.
    pub quoted: bool,
}

/// A line of `afpd.conf`.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it stands.
    pub at: At,
    /// The line.
    pub line: String,
    /// Words behind the server's name.
    pub words: Vec<String>,
}

/// A variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Where it stands.
    pub at: At,
    /// Its name.
    pub name: String,
    /// Its value without quotes.
    pub value: String,
}

/// Keys of `AppleVolumes.default`.
pub const KEYS: &[&str] = &[
    "adouble",
    "volsizelimit",
    "allow",
    "deny",
    "cnidscheme",
    "cnidserver",
    "cnidsocket",
    "dbpath",
    "ea",
    "fixpath",
    "maccharset",
    "volcharset",
    "options",
    "password",
    "perm",
    "fperm",
    "dperm",
    "umask",
    "preexec",
    "postexec",
    "root_preexec",
    "root_postexec",
    "rolist",
    "rwlist",
    "veto",
    "casefold",
    "allowed_hosts",
    "denied_hosts",
    "limitsize",
    "mapchars",
    "prodos",
    "forceuid",
    "forcegid",
    "codepage",
];

/// Options of a volume.
pub const OPTIONS: &[&str] = &[
    "acls",
    "caseinsensitive",
    "crlf",
    "dropbox",
    "dropkludge",
    "followsymlinks",
    "invisibledots",
    "limitsize",
    "mswindows",
    "noadouble",
    "nodev",
    "nofileid",
    "nohex",
    "nonetids",
    "noosx",
    "nostat",
    "nov2toeaconv",
    "preexec_close",
    "prodos",
    "root_preexec_close",
    "ro",
    "searchdb",
    "tm",
    "upriv",
    "usedots",
    "xlatecase",
    "illegalseq",
    "nocnidcache",
    "noadmin",
];

/// Flags of `afpd.conf`, and whether a value follows.
pub const FLAGS: &[(&str, bool)] = &[
    ("tcp", false),
    ("notcp", false),
    ("ddp", false),
    ("noddp", false),
    ("transall", false),
    ("notransall", false),
    ("proxy", false),
    ("slp", false),
    ("noslp", false),
    ("zeroconf", false),
    ("nozeroconf", false),
    ("advertise_ssh", false),
    ("noadvertise_ssh", false),
    ("savepassword", false),
    ("nosavepassword", false),
    ("setpassword", false),
    ("nosetpassword", false),
    ("icon", false),
    ("noicon", false),
    ("keepsessions", false),
    ("closevol", false),
    ("client_polling", false),
    ("noacl2maccess", false),
    ("unsetuplog", true),
    ("setuplog", true),
    ("defaultvol", true),
    ("systemvol", true),
    ("loginmaxfail", true),
    ("loginmesg", true),
    ("guestname", true),
    ("ipaddr", true),
    ("port", true),
    ("signature", true),
    ("fqdn", true),
    ("uamlist", true),
    ("uampath", true),
    ("passwdfile", true),
    ("passwdminlen", true),
    ("admingroup", true),
    ("adminauthuser", true),
    ("ntdomain", true),
    ("ntseparator", true),
    ("authprintdir", true),
    ("cnidserver", true),
    ("dircachesize", true),
    ("sleep", true),
    ("timeout", true),
    ("tickleval", true),
    ("server_quantum", true),
    ("dsireadbuf", true),
    ("tcprcvbuf", true),
    ("tcpsndbuf", true),
    ("volnamelen", true),
    ("unixcodepage", true),
    ("maccodepage", true),
    ("fceport", true),
    ("fcelistener", true),
    ("fcecoalesce", true),
    ("fceevents", true),
    ("fceholdfmod", true),
    ("hostname", true),
    ("mimicmodel", true),
    ("k5service", true),
    ("k5realm", true),
    ("k5keytab", true),
    ("ddpaddr", true),
    ("D", false),
    ("maxconn", true),
    ("nodebug", false),
    ("debug", false),
];

impl Volume {
    /// The name that Macs see: the last word without a colon, or the folder's.
    pub fn name(&self) -> String {
        match self.loose.last() {
            Some(word) => word.text.clone(),
            None => {
                let path = self.path.trim_end_matches('/');
                path.rsplit('/').next().unwrap_or(path).to_owned()
            }
        }
    }

    /// Whether it is for Time Machine.
    pub fn is_time_machine(&self) -> bool {
        self.options.contains("tm")
    }

    /// A key's value, if it is there.
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().rev().find(|k| k.key == name).map(|k| k.value.as_str())
    }

    /// The limit in MiB that Netatalk makes of it: 32 bits.
    pub fn limit_mib(&self) -> Option<u64> {
        let number = super::leading_digits(self.limit.as_deref()?)?;
        Some(number & 0xffff_ffff).filter(|n| *n > 0)
    }
}

impl Netatalk2 {
    /// Read `AppleVolumes.default`.
    pub fn volumes(&mut self, path: &str, text: &str) {
        self.any = true;
        let file: Arc<str> = path.into();
        let mut default: Option<Volume> = None;
        for (at, line) in continued(&file, text) {
            let first = line.trim_start_matches([' ', '\t']);
            match first.trim_start_matches('"').chars().next() {
                None | Some('#' | '.') => continue,
                Some('/' | '~') => {
                    let volume = volume(at, first, default.as_ref());
                    self.volumes.push(volume);
                }
                Some(':') if first.starts_with(":DEFAULT:") => {
                    default = Some(volume(at, first, None));
                }
                _ => {
                    let known = |word: &str| {
                        word.split_once(':')
                            .is_some_and(|(k, _)| KEYS.contains(&k.to_lowercase().as_str()))
                    };
                    if first.split_whitespace().any(known) {
                        let before = self.volumes.last().map(|v| v.at.clone());
                        self.wrapped.push((at, first.to_owned(), before));
                    }
                }
            }
        }
    }

    /// Read `afpd.conf`.
    pub fn servers(&mut self, path: &str, text: &str) {
        self.any = true;
        let file: Arc<str> = path.into();
        for (at, line) in continued(&file, text) {
            let first = line.trim();
            if first.is_empty() || first.starts_with('#') {
                continue;
            }
            let (words, _) = words(first);
            let words = words.into_iter().skip(1).map(|w| w.text).collect();
            self.servers.push(Server { at, line: first.to_owned(), words });
        }
    }

    /// Read `/etc/default/netatalk`.
    pub fn defaults(&mut self, path: &str, text: &str) {
        let file: Arc<str> = path.into();
        for (n, line) in lines(text) {
            let line = line.trim().trim_start_matches("export ");
            let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#'))
            else {
                continue;
            };
            let value = value.split(" #").next().unwrap_or("").trim().trim_matches(['"', '\'']);
            let at = At::new(&file, n);
            self.defaults.push(Variable {
                at,
                name: name.trim().to_owned(),
                value: value.to_owned(),
            });
        }
    }

    /// The log-in modules of a server's line, or `None` for the default ones.
    pub fn uams(server: &Server) -> Option<Vec<String>> {
        let at = server.words.iter().position(|w| w == "-uamlist")?;
        let list = server.words.get(at + 1)?;
        Some(list.split(',').filter(|u| !u.is_empty()).map(str::to_owned).collect())
    }
}

/// Lines; one that ends in a backslash goes on. A carriage return ends a line, too.
fn continued(file: &Arc<str>, text: &str) -> Vec<(At, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut all = Vec::new();
    let mut open: Option<(At, String)> = None;
    for (n, line) in lines(&text) {
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        let joined = match open.take() {
            Some((at, begun)) => (at, begun + part),
            None => (At::new(file, n), part.to_owned()),
        };
        if more {
            open = Some(joined);
        } else {
            all.push(joined);
        }
    }
    all.extend(open);
    all
}

/// Words, and whether a quote stays open.
fn words(line: &str) -> (Vec<Word>, bool) {
    let mut all: Vec<Word> = Vec::new();
    let (mut text, mut quoted, mut open, mut any) = (String::new(), false, false, false);
    for c in line.chars() {
        match c {
            '"' => (open, quoted, any) = (!open, true, true),
            ' ' | '\t' if !open => {
                if any {
                    all.push(Word { text: std::mem::take(&mut text), quoted, after_keys: 0 });
                }
                (quoted, any) = (false, false);
            }
            c => {
                text.push(c);
                any = true;
            }
        }
    }
    if any {
        all.push(Word { text, quoted, after_keys: 0 });
    }
    (all, open)
}

fn volume(at: At, line: &str, default: Option<&Volume>) -> Volume {
    let (all, unclosed) = words(line);
    let mut all = all.into_iter();
    let path = all.next().map(|w| w.text).unwrap_or_default();
    let (mut loose, mut keys): (Vec<Word>, Vec<Key>) = (Vec::new(), Vec::new());
    for mut word in all {
        match word.text.split_once(':') {
            Some((key, value)) => {
                keys.push(Key { key: key.to_owned(), value: value.to_owned(), quoted: word.quoted })
            }
            None => {
                word.after_keys = keys.len();
                loose.push(word);
            }
        }
    }
    let mut made = Volume {
        at,
        line: line.to_owned(),
        path,
        loose,
        keys,
        options: default.map(|d| d.options.clone()).unwrap_or_default(),
        cnid: default.and_then(|d| d.cnid.clone()),
        limit: default.and_then(|d| d.limit.clone()),
        unclosed,
    };
    let own: Vec<String> = made
        .keys
        .iter()
        .filter(|k| k.key == "options")
        .flat_map(|k| k.value.split(','))
        .map(str::to_lowercase)
        .collect();
    made.options.extend(own);
    made.cnid = made.key("cnidscheme").map(str::to_owned).or(made.cnid);
    made.limit = made.key("volsizelimit").map(str::to_owned).or(made.limit);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_netatalk_makes_of_them() {
        let mut two = Netatalk2::default();
        two.volumes(
            "/v",
            ":DEFAULT: options:upriv\n\"/a b\" \"My Disk\" options:TM,usedots volsizelimit:1T\n\
             /c\\ d x y \\\n options:tm tm\n~\nwrapped volsizelimit:3 tm\nfoo\n",
        );
        let names: Vec<String> = two.volumes.iter().map(Volume::name).collect();
        assert_eq!(names, ["My Disk", "tm", "~"]);
        assert_eq!(two.volumes[0].path, "/a b");
        assert_eq!(two.volumes[0].limit_mib(), Some(1));
        assert!(two.volumes[0].options.contains("upriv") && two.volumes[0].is_time_machine());
        assert_eq!(two.volumes[1].path, "/c\\");
        assert_eq!(two.volumes[1].at.line, 3);
        assert_eq!(two.wrapped.len(), 1);
    }
}
