//! Access control lists on their way out: without what Time Machine added, and in the
//! words in which Apple's `copyfile` keeps them.

use crate::fs::acl::{Acl, Entry};
use crate::io::bytes::be32;
use std::fmt::Write;

const EVERYONE: [u8; 16] =
    [0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0, 0, 0, 12];
const DENY: u32 = 2;
/// The rights that Time Machine denies everybody on a backup, so that nobody changes
/// it: write, delete, append, `delete_child`, `writeattr`, `writeextattr`,
/// `writesecurity`, chown.
const BACKUP_RIGHTS: u32 = 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 12 | 1 << 13;
/// Those that tell such an entry from a user's own ("everyone deny delete" is on every
/// home folder).
const SURE_RIGHTS: u32 = 1 << 2 | 1 << 4;

/// Whether an entry is Time Machine's own.
fn is_time_machines(entry: &Entry) -> bool {
    entry.who == EVERYONE
        && entry.flags & 0xF == DENY
        && entry.rights & SURE_RIGHTS == SURE_RIGHTS
        && entry.rights & !BACKUP_RIGHTS == 0
}

/// A list as it was on the Mac.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List(Acl);

impl List {
    /// From the stored value. `backup`: it lies in a backup, where Time Machine adds
    /// entries of its own. `None` if nothing is left, or it is not valid.
    pub fn new(value: &[u8], backup: bool) -> Option<Self> {
        let mut acl = Acl::parse(value).ok().flatten()?;
        if backup {
            acl.entries.retain(|e| !is_time_machines(e));
        }
        (!acl.entries.is_empty()).then_some(Self(acl))
    }

    /// As stored (`kauth_filesec`).
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = 0x012C_C16D_u32.to_be_bytes().to_vec();
        out.resize(36, 0);
        let count = u32::try_from(self.0.entries.len()).unwrap_or(0);
        out.extend(count.to_be_bytes());
        out.extend(self.0.flags.to_be_bytes());
        for e in &self.0.entries {
            out.extend(e.who);
            out.extend(e.flags.to_be_bytes());
            out.extend(e.rights.to_be_bytes());
        }
        out
    }

    /// In the words of `ls -le`.
    pub fn text(&self, folder: bool) -> String {
        self.0.lines(folder).join("\n")
    }

    /// In the words of Apple's `acl_to_text`, which `copyfile` keeps in AppleDouble
    /// files as `com.apple.acl.text`.
    pub fn apple_text(&self, folder: bool) -> String {
        let mut out = String::from("!#acl 1\n");
        for (e, line) in self.0.entries.iter().zip(self.0.lines(folder)) {
            // "0: user:501 inherited allow read,write": the rights stand last.
            let words: Vec<&str> = line.split(' ').collect();
            let (kind, rights) = match words.as_slice() {
                [.., kind, rights] => (*kind, *rights),
                _ => continue,
            };
            let inherited = if e.flags & 0x10 != 0 { ",inherited" } else { "" };
            let (flags, rights): (Vec<&str>, Vec<&str>) =
                rights.split(',').partition(|w| w.ends_with("inherit"));
            let flags: String = flags.iter().map(|f| format!(",{f}")).collect();
            let uuid = uuid::Uuid::from_bytes(e.who).to_string().to_uppercase();
            let (tag, name, id) = who(&e.who);
            let rights = rights.join(",");
            let _ = writeln!(out, "{tag}:{uuid}:{name}:{id}:{kind}{inherited}{flags}:{rights}");
        }
        out
    }
}

fn who(guid: &[u8; 16]) -> (&'static str, &'static str, String) {
    let n = be32(guid, 12).unwrap_or(0);
    match guid {
        [0xFF, 0xFF, 0xEE, 0xEE, 0xDD, 0xDD, 0xCC, 0xCC, 0xBB, 0xBB, 0xAA, 0xAA, ..] => {
            ("user", "", n.to_string())
        }
        g if *g == EVERYONE => ("group", "everyone", n.to_string()),
        [0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, ..] => {
            ("group", "", n.to_string())
        }
        _ => ("user", "", String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tools::hfs::{Ace, Acl as Made};

    #[test]
    fn time_machines_entries_go_and_the_users_stay() {
        assert_eq!(List::new(&Made::time_machine().to_bytes(), true), None);
        assert!(List::new(&Made::time_machine().to_bytes(), false).is_some());
        let own = Made { flags: 0, entries: vec![Ace::user(501, 1, 0b110)] };
        let list = List::new(&own.to_bytes(), true).unwrap();
        assert_eq!(list.bytes(), own.to_bytes());
        assert_eq!(list.text(false), "0: user:501 allow read,write");
        assert_eq!(
            list.apple_text(false),
            "!#acl 1\nuser:FFFFEEEE-DDDD-CCCC-BBBB-AAAA000001F5::501:allow:read,write\n"
        );
        let home = [(EVERYONE, 2u32, 1u32 << 4)];
        let mut value = own.to_bytes();
        value.truncate(44);
        for (who, flags, rights) in home {
            value.extend(who);
            value.extend(flags.to_be_bytes());
            value.extend(rights.to_be_bytes());
        }
        assert!(List::new(&value, true).is_some(), "everyone deny delete is the user's own");
    }
}
