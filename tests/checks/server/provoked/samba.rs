//! Lines of `smb.conf`, and what its shares meet on the disk.

use super::super::Kind;
use super::row::*;
use std::collections::BTreeSet;
use tmbundle::report::ServerCode as C;
use tmbundle::server::host::{BundleFacts, PathFacts};

pub(super) fn rows() -> Vec<Row> {
    vec![
        of(&[C::ConfFatal], Kind::Samba, "[global]\n[tm\npath = /x\n"),
        instead(&[C::ConfFatal], "read only = no", "read only = nope"),
        global(&[C::ConfFatal], "server min protocol = SMB9"),
        global(&[C::ConfFatal], "security = shrae"),
        global(&[C::ConfFatal], "max log size = big"),
        share(&[C::ConfFatal], "create mask = rwxr-x---"),
        share(&[C::ConfFatal], "copy = nosuch"),
        share(&[C::ConfFatal], "copy = TM"),
        global(&[C::ConfFatal], "copy = tm"),
        global(&[C::ConfFatal], "smb ports = 445 smb"),
        global(&[C::ConfFatal], "name resolve order = host dns"),
        global(&[C::ConfFatal], "rpc server dynamic port range = 5000"),
        of(&[C::NoTimeMachine], Kind::Samba, "[global]\nworkgroup = HOME\n"),
        of(&[C::NoTimeMachine], Kind::Samba, "[homes]\nread only = no\n"),
        instead(&[C::NoTimeMachine], "machine = yes", "machine = no"),
        // Words of Samba's tables that its manual does not tell.
        global(&[], "server signing = force\nmap to guest = baduid\nmax log size = 1K"),
        share(&[], "create mask = 0664\nmap readonly = perms"),
        share(&[C::ConfUnknownKey], "vaild users = anna"),
        share(&[], "newer option = yes").host(|h| h.testparm = Some(testparm(true, &[]))),
        share(&[C::ConfUnknownKey], "newer option = yes")
            .host(|h| h.testparm = Some(testparm(true, &["newer  option"]))),
        facts(&[C::ConfFatal], |h| h.testparm = Some(testparm(false, &[]))),
        share(&[C::ConfUnknownKey], "fruit:time_machine = yes"),
        global(&[C::ConfIncludeMissing], "include = /etc/samba/none.conf"),
        global(&[C::ConfIncludeMissing], "include = /etc/samba/smb.conf"),
        of(&[C::ConfRegistry], Kind::Samba, "[global]\nconfig backend = registry\n"),
        share(&[C::ShareTwice], "[TM]\nvalid users = anna"),
        instead(&[C::CommentInValue], "time machine = yes", "time machine = yes # for Macs"),
        instead(&[C::Typographic], "time machine = yes", "time machine = \u{201c}yes\u{201d}"),
        share(&[C::Typographic], "valid\u{a0}users = anna"),
        share(&[C::Escaped], "write list = anna\\_b"),
        global(&[C::LineIgnored], "a line that is none"),
        instead(&[C::NoPath], "path = /srv/tm\n", ""),
        instead(&[C::PathOdd], "/srv/tm", "'/srv/tm'"),
        instead(&[C::PathOdd], "/srv/tm", "/srv/big\\ disk"),
        instead(&[C::NameBlank], "[tm]", "[tm ]"),
        instead(&[C::NoTimeMachine], "fruit:time machine = yes\n", ""),
        instead(&[C::TmNotBoolean], "machine = yes", "machine = ja"),
        share(&[C::NoFruit], "vfs objects = acl_xattr"),
        share(&[C::NoStreams], "vfs objects = catia fruit"),
        share(&[C::VfsOrder], "vfs objects = streams_xattr fruit"),
        share(&[C::Encoding], "vfs objects = fruit streams_xattr\nfruit:encoding = native"),
        share(&[C::Module], "vfs objects = friuts streams_xattr"),
        share(&[C::Module], "vfs objects = fruit streams_xattr worm").host(|h| {
            h.vfs_modules = Some(["fruit", "streams_xattr"].map(str::to_owned).into());
        }),
        share(&[C::ListQuoted], "vfs objects = \"fruit streams_xattr\""),
        share(&[C::FruitEnum], "fruit:resource = files"),
        share(&[C::FruitMixed], "[data]\npath = /srv/data\nvfs objects = acl_xattr"),
        share(&[C::GlobalOnly], "fruit:copyfile = yes"),
        global(&[C::AaplOff], "fruit:aapl = no"),
        global(&[C::TmEverywhere], "fruit:time machine = yes"),
        instead(&[C::ReadOnly], "read only = no\n", ""),
        share(&[C::ReadOnly], "writeable = no"),
        share(&[C::ReadOnly], "read list = anna\nvalid users = anna").people(),
        instead(&[C::LimitUnread], "1T", "1TB"),
        instead(&[C::LimitTiny], "1T", "1000000"),
        folder(&[C::LimitBeyondDisk], PathFacts { size: Some(1 << 39), ..PathFacts::default() }),
        folder(
            &[C::LimitBeyondDisk],
            PathFacts {
                free: Some(26 << 30),
                bundles: Some(Vec::new()),
                size: Some(1 << 38),
                ..PathFacts::default()
            },
        ),
        bundles(
            &[C::LimitBelowUsed],
            &[BundleFacts { band_size: Some(1 << 39), ..bundle("A.sparsebundle") }],
        ),
        instead(&[C::NoLimit], "fruit:time machine max size = 1T\n", ""),
        folder(
            &[C::OtherData],
            PathFacts { other: vec!["/srv/tm/film".into()], ..PathFacts::default() },
        ),
        bundles(
            &[C::Uncounted],
            &[BundleFacts { uncounted: Some("why"), ..bundle("A.backupbundle") }],
        ),
        share(&[C::LimitOverridden], "max disk size = 1000"),
        global(&[C::OplocksOff], "oplocks = no"),
        global(&[C::LeasesOff], "smb2 leases = no"),
        global(&[C::KernelOplocks], "kernel oplocks = yes"),
        global(&[C::OldProtocol], "protocol = NT1"),
        share(&[C::Overridden], "durable handles = no"),
        global(&[C::NoSync], "strict sync = no"),
        global(&[C::SyncAlways], "sync always = yes"),
        share(&[C::Recycle], "vfs objects = fruit streams_xattr recycle"),
        share(&[C::Veto], "veto files = /*.plist/.DS_Store/"),
        share(&[C::Masks], "directory mask = 0500"),
        share(&[C::ForceUser], "force user = nobody2").people(),
        share(&[C::ValidUsers], "valid users = tmusers").people(),
        instead(&[C::PathUser], "/srv/tm", "/srv/tm/%U")
            .people()
            .host(|h| h.folders = Some(BTreeSet::from(["/srv".into()]))),
        share(&[C::Guest], "guest only = yes"),
        global(&[C::NotReachable], "hosts allow = 127.0.0.1"),
        share(&[C::NotReachable], "hosts allow = 127.0.0.1 localhost"),
        share(&[C::NotReachable], "hosts deny = ALL"),
        share(&[], "hosts deny = ALL\nhosts allow = 192.168."),
        share(&[], "hosts deny = ALL EXCEPT 192.168."),
        global(&[C::Ntlm], "ntlm auth = disabled"),
        global(&[C::Ineffective], "socket options = TCP_NODELAY SO_RCVBUF=8192"),
        facts(&[C::NfsAces], |h| h.samba = Some((4, 17))),
        facts(&[C::SambaOld, C::NfsAces], |h| h.samba = Some((4, 5))),
        share(&[C::Unavailable], "available = no"),
        // What others are to be like may be off, and need not be whole.
        instead(
            &[],
            "[tm]",
            "[like]\navailable = no\nread only = no\n[tm]\ncopy = like\navailable = yes",
        ),
        instead(&[C::Unavailable], "[tm]", "[like]\navailable = no\n[tm]\ncopy = like"),
        share(&[C::TwoSharesOnePath], "[two]\ncopy = tm"),
    ]
}
