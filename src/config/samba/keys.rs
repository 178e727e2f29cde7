//! Names of options. `keys.txt` lists those of Samba 4.17 with what testparm makes of a wrong
//! word (`b` a boolean, `o` an octal number, `z` a size, `=a|b` one of these words, `*a|b` a list of
//! them, `p` ports, `r` a range of ports: all of them end the program), and newer ones by name. Words
//! are those of Samba's own tables, each tried.

use super::{Share, value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// What kind of value an option has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Free,
    /// Yes or no; other words end Samba.
    Boolean,
    /// Begins with an octal digit; other words end Samba.
    Octal,
    /// Digits with or without a letter; other words end Samba.
    Size,
    /// One of some words, parted by `|`; others end Samba.
    Words(&'static str),
    /// Some of these words, as they are written here; others, or none, end Samba.
    List(&'static str),
    /// Numbers of ports; others, or none, end Samba.
    Ports,
    /// Two numbers of ports from 1024 on, with a dash between them; others end Samba.
    PortRange,
}

/// An option that Samba knows.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name with blanks.
    pub name: &'static str,
    /// Whether it is for `[global]` alone.
    pub global: bool,
    /// Its value.
    pub kind: Kind,
}

static KNOWN: LazyLock<HashMap<String, Known>> = LazyLock::new(|| {
    let parse = |line: &'static str| {
        let mut fields = line.split('\t');
        let name = fields.next()?;
        let global = fields.next()? == "g";
        let kind = match fields.next().unwrap_or("") {
            "" => Kind::Free,
            "b" => Kind::Boolean,
            "o" => Kind::Octal,
            "z" => Kind::Size,
            "p" => Kind::Ports,
            "r" => Kind::PortRange,
            words => match words.strip_prefix('*') {
                Some(words) => Kind::List(words),
                None => Kind::Words(words.trim_start_matches('=')),
            },
        };
        Some((compact(name), Known { name, global, kind }))
    };
    include_str!("keys.txt").lines().filter_map(parse).collect()
});

/// Names that stand for another, and whether they mean its contrary.
const SYNONYMS: &[(&str, &str, bool)] = &[
    ("writeable", "readonly", true),
    ("writable", "readonly", true),
    ("writeok", "readonly", true),
    ("public", "guestok", false),
    ("vfsobject", "vfsobjects", false),
    ("directory", "path", false),
    ("minprotocol", "serverminprotocol", false),
    ("maxprotocol", "servermaxprotocol", false),
    ("protocol", "servermaxprotocol", false),
    ("createmode", "createmask", false),
    ("directorymode", "directorymask", false),
    ("printok", "printable", false),
    ("onlyguest", "guestonly", false),
    ("browsable", "browseable", false),
    ("allowhosts", "hostsallow", false),
    ("denyhosts", "hostsdeny", false),
    ("lockdir", "lockdirectory", false),
    ("group", "forcegroup", false),
    ("smbencrypt", "serversmbencrypt", false),
    ("unixextensions", "smb1unixextensions", false),
    ("preferedmaster", "preferredmaster", false),
    ("privatedirectory", "privatedir", false),
];

/// Options of fruit: those that count in `[global]` alone, and the others.
pub const FRUIT_GLOBAL: &[&str] = &["aapl", "nfs_aces", "copyfile", "model"];
const FRUIT: &[&str] = &[
    "time machine",
    "time machine max size",
    "metadata",
    "resource",
    "locking",
    "encoding",
    "veto_appledouble",
    "zero_file_id",
    "wipe_intentionally_left_blank_rfork",
    "delete_empty_adfiles",
    "convert_adouble",
    "validate_afpinfo",
    "ignore_zero_aces",
    "posix_opens",
    "posix_rename",
    "volume_uuid",
];

/// Modules of Samba 4.13 to 4.25, of NAS systems and of others that are met.
const MODULES: &str = "acl_tdb acl_xattr aio_fork aio_linux aio_pthread aio_ratelimit aixacl aixacl2 \
    audit btrfs cacheprime cap catia ceph ceph_new ceph_snapshots commit crossrename default_quota \
    delay_inject dfs_samba4 dirsort error_inject expand_msdfs extd_audit fake_acls fake_dfq \
    fake_perms fileid fruit full_audit full_audit2 glusterfs glusterfs_fuse gpfs hpuxacl io_uring \
    ixnas linux_xfs_sgid media_harmony netatalk nfs4acl_xattr not_implemented notify_fam offline \
    posix_eadb posixacl preopen prealloc readahead readonly recycle scannedonly shadow_copy \
    shadow_copy2 shadow_copy_test shadow_copy_zfs shell_snap snapper solarisacl streams_depot \
    streams_xattr syncops syno_ace synoacl time_audit tmprotect truenas_audit tsmsm unityed_media \
    virusfilter vxfs widelinks winmsa worm xattr_tdb zfs_core zfs_fsrvp zfs_space zfsacl";

/// Words that options of fruit take; others keep the share from being opened.
pub const FRUIT_WORDS: &[(&str, &[&str])] = &[
    ("fruit:metadata", &["stream", "netatalk"]),
    ("fruit:resource", &["file", "xattr", "stream"]),
    ("fruit:locking", &["netatalk", "none"]),
    ("fruit:encoding", &["native", "private"]),
];

/// Lower case and without blanks.
pub fn compact(name: &str) -> String {
    name.chars().filter(|c| !c.is_ascii_whitespace()).flat_map(char::to_lowercase).collect()
}

/// The name that counts, and whether the one given means its contrary.
pub fn canonical(written: &str) -> (String, bool) {
    let key = compact(written);
    match SYNONYMS.iter().find(|(from, ..)| *from == key) {
        Some((_, to, inverted)) => ((*to).to_owned(), *inverted),
        None => (key, false),
    }
}

/// What is known of an option, by its compact name. Options with a colon are modules' own.
pub fn known(key: &str) -> Option<Known> {
    KNOWN.get(key).copied()
}

/// Whether Samba ends at such a value.
pub fn refuses(key: &str, text: &str) -> bool {
    match known(key).map(|k| k.kind) {
        Some(Kind::Boolean) => value::boolean(text).is_none(),
        Some(Kind::Octal) => !value::is_octal(text),
        Some(Kind::Size) => {
            let text = text.trim_ascii();
            let unsigned =
                text.strip_prefix('+').filter(|t| t.starts_with(|c: char| c.is_ascii_digit()));
            let text = unsigned.unwrap_or(text);
            text.is_empty() || value::size(text, false) == value::Size::Unread
        }
        Some(Kind::Words(words)) => !words.split('|').any(|w| w.eq_ignore_ascii_case(text)),
        Some(Kind::List(words)) => {
            let items = value::list(text);
            items.is_empty() || items.iter().any(|i| !words.split('|').any(|w| w == i))
        }
        Some(Kind::Ports) => {
            let bad = |i: &String| !i.parse::<u64>().is_ok_and(|n| (1..=65_535).contains(&n));
            text.trim_ascii().is_empty() || value::list(text).iter().any(bad)
        }
        Some(Kind::PortRange) => value::range(text)
            .is_none_or(|r| r.start() > r.end() || *r.start() < 1024 || *r.end() > 65_535),
        Some(Kind::Free) | None => false,
    }
}

/// The option of fruit that may be meant by a name; `None` if it is one or is far from any.
pub fn fruit_meant(key: &str) -> Option<&'static str> {
    let option = key.strip_prefix("fruit:")?;
    let bare = |name: &str| name.replace(['_', '-'], "");
    let all = || FRUIT.iter().chain(FRUIT_GLOBAL).copied();
    if is_fruit(key) {
        return None;
    }
    let same = all().find(|name| bare(&compact(name)) == bare(option));
    let near = || {
        let most = if option.len() < 8 { 1 } else { 3 };
        let far = |name: &&str| super::super::text::distance(option, &compact(name), most);
        all().filter_map(|name| Some((far(&name)?, name))).min().map(|(_, name)| name)
    };
    same.or_else(near)
}

/// Whether fruit has the option.
pub fn is_fruit(key: &str) -> bool {
    let option = key.strip_prefix("fruit:");
    option.is_some_and(|o| FRUIT.iter().chain(FRUIT_GLOBAL).any(|name| compact(name) == o))
}

/// The option that may be meant by a name that is unknown.
pub fn meant(key: &str) -> Option<String> {
    // `time machine = yes`, and `fruitosix_rename` where a page made a smiley of `:p`.
    let option = key.strip_prefix("fruit").unwrap_or(key);
    let bare = |name: &str| compact(name).replace(['_', '-'], "");
    let fruit = FRUIT.iter().chain(FRUIT_GLOBAL).find(|name| {
        let (name, option) = (bare(name), bare(option));
        name == option || key.starts_with("fruit") && name.get(1..).is_some_and(|n| n == option)
    });
    if let Some(name) = fruit {
        return Some(format!("fruit:{name}"));
    }
    let names = || KNOWN.iter();
    let most = if key.len() < 6 { 1 } else { 2 };
    let far = |name: &str| super::super::text::distance(key, name, most);
    let near = names().filter_map(|(k, known)| Some((far(k)?, known.name))).min();
    near.map(|(_, name)| name.to_owned())
}

/// Whether it is a module that Samba, or a NAS system's, is known to have.
pub fn is_module(name: &str) -> bool {
    let name = name.split(':').next().unwrap_or(name);
    MODULES.split_whitespace().any(|m| m.eq_ignore_ascii_case(name))
}

/// The module that may be meant.
pub fn module_meant(name: &str) -> Option<&'static str> {
    super::super::text::nearest(&name.to_lowercase(), MODULES.split_whitespace())
}

/// Whether fruit understands the words of its options in a share that has it.
pub fn fruit_words_hold(share: &Share<'_>) -> bool {
    let holds = |(key, words): &(&str, &[&str])| {
        share.get(key).is_none_or(|set| words.iter().any(|w| w.eq_ignore_ascii_case(&set.value)))
    };
    !share.modules().iter().any(|m| m == "fruit") || FRUIT_WORDS.iter().all(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_spelling() {
        assert_eq!(canonical("WriteAble"), ("readonly".into(), true));
        assert_eq!(canonical("FRUIT: TimeMachine"), ("fruit:timemachine".into(), false));
        assert_eq!(known("readonly").map(|k| k.kind), Some(Kind::Boolean));
        assert!(refuses("readonly", "nein") && !refuses("readonly", "ON"));
        assert!(refuses("serverminprotocol", "SMB9") && !refuses("serverminprotocol", "smb2"));
        assert!(known("timemachine").is_none());
        assert_eq!(meant("timemachine").as_deref(), Some("fruit:time machine"));
        assert_eq!(meant("fruitosix_rename").as_deref(), Some("fruit:posix_rename"));
        assert_eq!(meant("vaildusers").as_deref(), Some("valid users"));
        assert_eq!(fruit_meant("fruit:time_machine"), Some("time machine"));
        assert_eq!(fruit_meant("fruit:timemachine"), None);
        assert_eq!(module_meant("stream_xattr"), Some("streams_xattr"));
    }
}
