//! What Samba holds open, by its own `locking.tdb`, which any user may read up to Samba 4.22.
//!
//! It knows more than `/proc`: a Mac whose connection was cut keeps its handles for a minute, in
//! this database only.

use crate::config::samba::{self, Samba};
use crate::config::tdb::Tdb;
use crate::config::text::Root;
use crate::io::bytes::le64;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// The database, in Samba's `lock directory`.
const NAME: &str = "locking.tdb";
/// Where that is, if nobody says otherwise: it is fixed when Samba is built.
const USUAL: &[&str] =
    &["/run/samba", "/var/lib/samba/lock", "/var/cache/samba", "/usr/local/samba/var/lock"];
/// Where the configuration is, if nobody says otherwise.
pub const CONFIGURATIONS: &[&str] =
    &["/etc/samba/smb.conf", "/usr/local/samba/etc/smb.conf", "/usr/local/etc/smb4.conf"];

/// What is open.
#[derive(Debug, Default)]
pub struct Open {
    /// Device and inode of each file that is held.
    pub files: HashSet<(u64, u64)>,
    /// Why that may not be all.
    pub blind: Option<String>,
}

/// The files that the databases of these servers list: their folders in `/proc`.
pub fn open(servers: &[PathBuf]) -> Open {
    let mut all = Open::default();
    let mut seen = BTreeSet::new();
    for server in servers {
        // Every connection has a process of the same words; a container has its own files.
        let world = std::fs::read_link(server.join("ns/mnt")).ok();
        let words = words(server);
        if is_titled(&words) {
            continue;
        }
        if seen.insert((words.clone(), world)) {
            let own = server.join("root");
            let root = if std::fs::read_link(&own).is_ok() { &own } else { Path::new("/") };
            of_server(&Root::new(root), &words, &mut all);
        }
    }
    all
}

fn of_server(root: &Root, words: &[String], all: &mut Open) {
    let (mut read, mut why) = (false, None);
    for folder in folders(root, words) {
        match Tdb::open(root, &format!("{}/{NAME}", folder.trim_end_matches('/'))) {
            Ok(Some(tdb)) => {
                read = true;
                all.files.extend(held(&tdb));
            }
            Ok(None) => {}
            Err(e) => why = Some(e),
        }
    }
    if !read {
        let none = || "only root sees what Samba holds open: its locking.tdb was not found".into();
        all.blind = Some(why.unwrap_or_else(none));
    }
}

/// Device and inode of each file that a `locking.tdb` lists. A record's key is those two and a
/// third number, for streams; it is there while anybody holds the file.
pub fn held(tdb: &Tdb) -> HashSet<(u64, u64)> {
    let file = |(key, _): (&[u8], &[u8])| Some((le64(key, 0)?, le64(key, 8)?));
    tdb.records().into_iter().filter(|(key, _)| key.len() == 24).filter_map(file).collect()
}

/// Where a configuration has the database, or may have it.
pub fn lock_folders(samba: Option<&Samba>) -> Vec<String> {
    let set = samba.and_then(|s| s.global("lockdirectory"));
    match set {
        Some(set) => vec![samba::value::unquoted(&set.value)],
        None => USUAL.iter().map(|s| (*s).to_owned()).collect(),
    }
}

/// The same of a server that was started with these words.
fn folders(root: &Root, words: &[String]) -> Vec<String> {
    let given = |key: &str| {
        let mut own = words.iter().filter_map(|w| w.strip_prefix("--option=")?.split_once('='));
        // The last one counts.
        own.rfind(|(name, _)| samba::keys::canonical(name).0 == key).map(|(_, v)| v.trim())
    };
    if let Some(folder) = given("lockdirectory") {
        return vec![folder.into()];
    }
    let read = |path: &str| samba::parse(root, path).ok();
    let named = configuration(words);
    let found = match &named {
        Some(path) => read(path),
        None => CONFIGURATIONS.iter().find_map(|path| read(path)),
    };
    lock_folders(found.as_ref())
}

/// The configuration that is named on a command line: `-s FILE`, `-sFILE`, `--configfile=FILE`.
pub fn configuration(words: &[String]) -> Option<String> {
    words.iter().zip(words.iter().skip(1).map(Some).chain([None])).find_map(|(word, next)| {
        if word == "-s" || word == "--configfile" {
            return next.cloned();
        }
        let long = word.strip_prefix("--configfile=");
        let short = word.strip_prefix("-s").filter(|rest| rest.starts_with('/'));
        long.or(short).map(str::to_owned)
    })
}

/// Whether a process calls itself by what it does (`smbd: notifyd`), not by how it was started: its
/// parent tells that.
pub fn is_titled(words: &[String]) -> bool {
    words.first().is_some_and(|word| word.starts_with("smbd: "))
}

/// The command line of a process.
pub fn words(process: &Path) -> Vec<String> {
    let text = std::fs::read(process.join("cmdline")).unwrap_or_default();
    text.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_server_keeps_its_database() {
        let words = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        let root = Root::new(Path::new("/"));
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("smb.conf");
        std::fs::write(&conf, "[global]\nLock Dir = \"/srv/locks\"\n").unwrap();
        let conf = conf.to_str().unwrap();
        for line in [
            format!("smbd|-D|-s|{conf}|"),
            format!("smbd|-s{conf}"),
            format!("smbd|--configfile={conf}|--foreground"),
        ] {
            assert_eq!(folders(&root, &words(&line)), ["/srv/locks"], "{line}");
        }
        let line = format!("smbd|-s|{conf}|--option=lock directory=/a|--option=LOCKDIR = /b");
        assert_eq!(folders(&root, &words(&line)), ["/b"]);
        assert!(is_titled(&words("smbd: notifyd .|")) && !is_titled(&words("/usr/sbin/smbd|-D")));
        let missing = folders(&root, &words("smbd|-s|/nonexistent/smb.conf"));
        assert!(missing.contains(&"/run/samba".to_owned()));
    }
}
