//! Each code of `doctor` has a configuration, or facts, that provoke it, and then nothing else
//! is reported; and its exact remedy, applied, makes it go.

use super::{Kind, load};
use std::collections::{BTreeMap, BTreeSet};
use tmbundle::report::ServerCode as C;
use tmbundle::server::accounts::{Accounts, Group, User};
use tmbundle::server::avahi::Disk;
use tmbundle::server::host::{AfpLocks, BundleFacts, ForeignSid, Host, Medium, PathFacts, Store};
use tmbundle::server::live::TestParm;
use tmbundle::server::live::dsi::Status;
use tmbundle::server::text::At;
use tmbundle::server::{Fix, Setup, Told, examine, patch};

/// A share that is right in `[global]` and in itself.
const GOOD: &str = "[global]\nvfs objects = catia fruit streams_xattr\n[tm]\npath = /srv/tm\nread only = no\n\
    fruit:time machine = yes\nfruit:time machine max size = 1T\n";
const AFP: &str = "[Global]\nuam list = uams_dhx2.so\n[tm]\npath = /srv/tm\ntime machine = yes\nvol size limit = 500000\n";
const TWO: &str = "/srv/tm \"Anna\" volsizelimit:500000 options:usedots,upriv,tm\n";
const SERVICE: &str = "<?xml version=\"1.0\"?>\n<service-group>\n<name replace-wildcards=\"yes\">%h</name>\n<service>\n\
    <type>_smb._tcp</type>\n<port>445</port>\n</service>\n<service>\n<type>_adisk._tcp</type>\n\
    <txt-record>sys=waMa=0,adVF=0x100</txt-record>\n<txt-record>dk0=adVN=tm,adVF=0x82</txt-record>\n\
    </service>\n</service-group>\n";

/// Files, facts, and all that is then reported.
pub(super) struct Row {
    pub(super) codes: &'static [C],
    files: Vec<(Kind, String)>,
    host: Host,
}

fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Samba => "/etc/samba/smb.conf",
        Kind::Afp => "/etc/netatalk/afp.conf",
        Kind::Volumes => "/etc/netatalk/AppleVolumes.default",
        Kind::Afpd => "/etc/netatalk/afpd.conf",
        Kind::Defaults => "/etc/default/netatalk",
        Kind::Service => "/etc/avahi/services/tm.service",
        Kind::Fstab => "/etc/fstab",
        Kind::Mounts => "/proc/self/mountinfo",
        Kind::Pam => "/etc/pam.d/netatalk",
        Kind::Avahi => "/etc/avahi/avahi-daemon.conf",
    }
}

pub(super) fn of(codes: &'static [C], kind: Kind, text: impl Into<String>) -> Row {
    let netatalk = match kind {
        Kind::Afp => Some((4, 2)),
        Kind::Volumes | Kind::Afpd | Kind::Defaults => Some((2, 2)),
        _ => None,
    };
    Row { codes, files: vec![(kind, text.into())], host: Host { netatalk, ..Host::default() } }
}

/// The good share with a line more.
fn share(codes: &'static [C], more: &str) -> Row {
    of(codes, Kind::Samba, format!("{GOOD}{more}\n"))
}

/// The good share with a line more in `[global]`.
fn global(codes: &'static [C], more: &str) -> Row {
    of(codes, Kind::Samba, GOOD.replacen("[tm]", &format!("{more}\n[tm]"), 1))
}

/// The good share with something else in place of something.
fn instead(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(GOOD.contains(from));
    of(codes, Kind::Samba, GOOD.replacen(from, to, 1))
}

fn afp(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(AFP.contains(from));
    of(codes, Kind::Afp, AFP.replacen(from, to, 1))
        .and(Kind::Samba, "[global]\ninclude = registry\n")
}

pub(super) fn two(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(TWO.contains(from));
    of(codes, Kind::Volumes, TWO.replacen(from, to, 1))
}

fn service(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(SERVICE.contains(from));
    let row = of(codes, Kind::Service, SERVICE.replacen(from, to, 1)).and(Kind::Samba, GOOD);
    row.host(|h| h.smb_announces = Some(false))
}

fn facts(codes: &'static [C], change: impl FnOnce(&mut Host)) -> Row {
    of(codes, Kind::Samba, GOOD).host(change)
}

/// Facts about `/srv/tm`.
fn folder(codes: &'static [C], facts: PathFacts) -> Row {
    self::facts(codes, |h| drop(h.paths.insert("/srv/tm".into(), facts)))
}

fn bundles(codes: &'static [C], bundles: &[BundleFacts]) -> Row {
    folder(codes, PathFacts { bundles: Some(bundles.to_vec()), ..PathFacts::default() })
}

impl Row {
    pub(super) fn and(mut self, kind: Kind, text: &str) -> Self {
        self.files.push((kind, text.into()));
        self
    }

    pub(super) fn host(mut self, change: impl FnOnce(&mut Host)) -> Self {
        change(&mut self.host);
        self
    }

    /// With anna, and the group tmusers.
    fn people(self) -> Self {
        self.host(|h| {
            let anna = User { uid: Some(1001), gid: Some(1001), home: "/home/anna".into() };
            let users = BTreeMap::from([("anna".into(), anna)]);
            let groups =
                BTreeMap::from([("tmusers".into(), Group { gid: Some(2000), members: vec![] })]);
            h.accounts = Some(Accounts { users, groups, ..Accounts::default() });
        })
    }

    pub(super) fn memory(&self) -> BTreeMap<String, Vec<u8>> {
        self.files
            .iter()
            .map(|(kind, text)| (path(*kind).to_owned(), text.clone().into_bytes()))
            .collect()
    }

    pub(super) fn examine(&self, files: &BTreeMap<String, Vec<u8>>) -> Vec<Told> {
        let mut setup = Setup::default();
        for (kind, _) in &self.files {
            load(&mut setup, files, *kind, path(*kind), &self.host);
        }
        // What the helpers add beside what is asked about.
        let beside = |t: &Told| {
            let code = t.code();
            let asked = self.codes.iter().any(|c| Some(*c) == code);
            !asked && matches!(code, Some(C::ConfRegistry | C::AfpGoingAway | C::AfpLowerCase))
        };
        examine(&setup, &self.host).into_iter().filter(|t| !beside(t)).collect()
    }
}

fn bundle(name: &str) -> BundleFacts {
    BundleFacts {
        path: format!("/srv/tm/{name}"),
        band_size: Some(8 << 20),
        bands: Some(10),
        size: Some(1 << 40),
        ..BundleFacts::default()
    }
}

fn testparm(loads: bool, unknown: &[&str]) -> TestParm {
    let unknown = unknown.iter().map(|u| (*u).to_owned()).collect();
    TestParm { loads, unknown, says: None }
}

fn of_samba() -> Vec<Row> {
    vec![
        of(&[C::ConfFatal], Kind::Samba, "[global]\n[tm\npath = /x\n"),
        instead(&[C::ConfFatal], "read only = no", "read only = nope"),
        global(&[C::ConfFatal], "server min protocol = SMB9"),
        global(&[C::ConfFatal], "security = shrae"),
        global(&[C::ConfFatal], "max log size = big"),
        share(&[C::ConfFatal], "create mask = rwxr-x---"),
        share(&[C::ConfFatal], "copy = nosuch"),
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

fn of_netatalk() -> Vec<Row> {
    vec![
        of(&[C::AfpNoTm], Kind::Afp, AFP.replace("time machine = yes\n", "")),
        afp(&[C::AfpTmNotBoolean], "machine = yes", "machine = on"),
        afp(&[C::AfpUnknownKey], "vol size limit", "volsizelimit"),
        afp(&[C::AfpLimitUnit], "500000", "500G"),
        afp(&[C::AfpLimitOdd], "500000", "500"),
        afp(&[C::AfpLowerCase], "[tm]", "[Time Machine]"),
        afp(&[C::AfpNamesMerge], "[tm]", "[TM]\npath = /srv/b\n[tm]"),
        afp(&[C::AfpSamePath], "[tm]", "[a]\npath = /srv/tm/\n[tm]"),
        afp(&[C::AfpNested], "[tm]", "[a]\npath = /srv\n[tm]"),
        afp(&[C::AfpColon], "[tm]", "[t:m]"),
        afp(&[C::AfpInclude], "[tm]", "include = /etc/x\n[tm]"),
        afp(&[C::AfpSyntax], "path", "oops\npath"),
        afp(&[C::AfpHomes], "[tm]", "[Homes]\n[tm]"),
        afp(&[C::AfpCnid], "path", "cnid scheme = tdb\npath"),
        afp(&[C::AfpCnidPort], "[tm]", "cnid listen = localhost:4701\n[tm]"),
        afp(&[C::AfpUam], "uams_dhx2.so", "uams_guest.so"),
        afp(&[C::AfpUam], "tm", "tm").host(|h| {
            let log_ins = vec!["DHCAST128".into()];
            h.afp_status =
                Some(Status { machine: "Netatalk4.2.3".into(), versions: vec![], log_ins });
        }),
        afp(&[C::AfpQuotes], "/srv/tm", "\"/srv/tm\"").host(|h| h.netatalk = Some((3, 1))),
        afp(&[C::AfpNoLimit], "vol size limit = 500000\n", ""),
        afp(&[C::AfpAccess], "path", "valid users = tmusers\npath").people(),
        afp(&[C::AfpAccess], "path", "read only = yes\npath"),
        afp(&[C::AfpOldFiles], "tm", "tm")
            .host(|h| h.old_netatalk_files = vec!["/etc/netatalk/afpd.conf".into()]),
        afp(&[C::AfpNoZeroconf], "[tm]", "zeroconf = no\n[tm]"),
        of(&[C::AfpGoingAway], Kind::Afp, AFP),
        two(&[C::Na2NoTm], ",tm", ""),
        two(&[C::Na2LooseWord], ",tm", ", tm"),
        two(&[C::Na2BlankInPath], "/srv/tm", "/srv/big tm"),
        two(&[C::Na2Wrapped], "\n", "\nvolsizelimit:1 options:tm\n"),
        two(&[C::Na2Comment], "\n", " # for Anna\n"),
        two(&[C::Na2UnclosedQuote], "\"Anna\"", "\"Anna"),
        two(&[C::Na2Limit], "500000", "1T"),
        two(&[C::Na2NoLimit], "volsizelimit:500000 ", ""),
        two(&[C::Na2Allow], "\"Anna\"", "\"Anna\" allow:tmusers").people(),
        two(&[C::Na2KeyCase], "options", "OPTIONS"),
        two(&[C::Na2Separator], ",tm", ";tm"),
        two(&[C::Na2Colon], "\"Anna\"", "\"Backups of: Anna\""),
        two(&[C::Na2Upriv], "usedots,", ""),
        two(&[C::Na2Cnid], "options", "cnidscheme:cdb options"),
        of(&[C::Na2Uam], Kind::Afpd, "- -tcp -uamlist uams_guest.so\n"),
        of(&[C::Na2Flag], Kind::Afpd, "- -tcp -what\n"),
        of(&[C::Na2DefaultUam], Kind::Afpd, "- -uamlist uams_dhx2.so\n")
            .and(Kind::Defaults, "AFPD_UAMLIST=\"-U uams_dhx.so\"\n"),
        of(&[C::Na2CnidMetad], Kind::Defaults, "CNID_METAD_RUN=no\n"),
        of(&[C::Na2Ldap], Kind::Afpd, "- -uamlist uams_dhx2_passwd.so\n").people().host(|h| {
            h.accounts.as_mut().unwrap().elsewhere = vec!["sss".into()];
        }),
        two(&[C::Na2Twice], "\n", "\n/srv/b \"Anna\" volsizelimit:1 options:usedots,upriv,tm\n"),
        two(&[C::Na2PathMissing], "", "")
            .host(|h| h.folders = Some(BTreeSet::from(["/srv/other".into()]))),
        of(&[C::Na2NoTcp], Kind::Afpd, "- -notcp\n"),
        of(&[C::Escaped], Kind::Afpd, "- -uamlist uams\\_dhx2.so\n"),
        of(&[C::PamModule], Kind::Pam, "auth required pam_gone.so\n").host(|h| {
            h.pam_modules = Some(BTreeSet::from(["pam_unix.so".into()]));
        }),
        of(&[C::PamEcryptfs], Kind::Pam, "auth optional pam_ecryptfs.so unwrap\n"),
        afp(&[C::LoginAccount], "path", "valid users = anna\npath").people().host(|h| {
            h.accounts.as_mut().unwrap().barred.insert("anna".into(), "locked");
        }),
    ]
}

fn of_announcements() -> Vec<Row> {
    vec![
        service(&[C::MdnsNoAdisk, C::MdnsName], "adVN=tm", "adVN=TM"),
        service(&[C::MdnsFlags], "0x82", "0x02"),
        service(&[C::MdnsTwice], "tm", "tm").host(|h| h.smb_announces = Some(true)),
        service(&[C::MdnsXml], "<service>", "<srv>"),
        service(&[C::MdnsPercentH], " replace-wildcards=\"yes\"", ""),
        service(&[C::MdnsPort], "445", "548"),
        service(&[C::MdnsNoService], "_smb._tcp", "_http._tcp"),
        service(
            &[C::MdnsNoAdisk, C::MdnsTxtBlanks],
            "dk0=adVN=tm,adVF=0x82",
            "\n dk0=adVN=tm,adVF=0x82\n",
        ),
        service(&[C::MdnsTypeTwice], "_smb._tcp", "_adisk._tcp"),
        service(&[C::MdnsSys], "adVF=0x100", "adVF=0x10"),
        facts(&[C::MdnsNoAdisk, C::MdnsGhost], |h| {
            h.announced = Some(vec![Disk { name: "other".into(), flags: 0x82 }]);
        }),
        facts(&[], |h| h.announced = Some(vec![Disk { name: "tm".into(), flags: 0x82 }])),
        facts(&[C::MdnsNoResponder], |h| h.responder = Some(false)),
        facts(&[C::MdnsFile], |h| h.odd_service_files = vec!["/etc/avahi/services/a.bak".into()]),
    ]
}

fn of_disks() -> Vec<Row> {
    let mounts = |codes, line: &str| of(codes, Kind::Samba, GOOD).and(Kind::Mounts, line);
    let named = |name: &str, mac: &str| BundleFacts { mac: Some(mac.into()), ..bundle(name) };
    let owned = |owner, mode| PathFacts { owner: Some((mode, owner, 0)), ..PathFacts::default() };
    let valid = |codes| share(codes, "valid users = anna").people();
    vec![
        facts(&[C::PathMissing], |h| h.folders = Some(BTreeSet::from(["/srv/other".into()]))),
        mounts(&[C::NotMounted], "1 0 8:1 / / rw - ext4 /dev/a rw\n")
            .and(Kind::Fstab, "UUID=1 /srv ext4 defaults 0 2\n"),
        mounts(&[C::LimitBeyondDisk], "1 0 8:1 / / rw - ext4 /dev/a rw\n")
            .host(|h| h.anywhere.size = Some(3 << 39))
            .and(Kind::Samba, &format!("{GOOD}[two]\ncopy = tm\npath = /srv/two\n")),
        mounts(&[C::InContainer], "1 0 0:1 / / rw - overlay overlay rw\n"),
        valid(&[C::NotWritable]).host(|h| drop(h.paths.insert("/srv/tm".into(), owned(0, 0o755)))),
        valid(&[C::BundleOwner]).host(|h| {
            let folder =
                PathFacts { bundles: Some(vec![bundle("A.sparsebundle")]), ..owned(1001, 0o755) };
            h.paths.insert("/srv/tm".into(), folder);
            h.paths.insert("/srv/tm/A.sparsebundle".into(), owned(0, 0o755));
        }),
        folder(&[C::NoXattr], PathFacts { xattr: Some(false), ..PathFacts::default() }),
        mounts(&[C::FsUnsuited], "1 0 8:1 / / rw - hfsplus /dev/a rw\n"),
        mounts(&[C::FsReadOnly], "1 0 8:1 / / ro - ext4 /dev/a rw\n"),
        folder(
            &[C::FsFull],
            PathFacts { size: Some(2 << 40), free: Some(1 << 30), ..PathFacts::default() },
        ),
        folder(
            &[C::FsInodes],
            PathFacts {
                inodes: Some(5),
                bundles: Some(vec![bundle("A.sparsebundle")]),
                ..PathFacts::default()
            },
        ),
        bundles(
            &[C::ManyBands],
            &[BundleFacts {
                band_size: Some(4096),
                bands: Some(200_000),
                ..bundle("A.sparsebundle")
            }],
        ),
        bundles(&[C::ManyMacs], &[named("A.sparsebundle", "1"), named("B.sparsebundle", "2")]),
        folder(
            &[C::ShareTrash],
            PathFacts { trash: vec!["/srv/tm/.recycle".into()], ..PathFacts::default() },
        ),
        folder(&[C::QuotaPlist], PathFacts { quota: Some(1 << 30), ..PathFacts::default() }),
        facts(&[C::StaleLock], |h| {
            let at = Some(At::new(&"/proc/locks".into(), 1));
            h.afp_locks = Some(AfpLocks { at, what: "A.sparsebundle".into(), connected: 0 });
        }),
        bundles(&[C::StartedAnew], &[named("A.sparsebundle", "1"), named("A 1.sparsebundle", "1")]),
        folder(
            &[C::Leftover],
            PathFacts { leftovers: vec!["/srv/tm/A.incomplete".into()], ..PathFacts::default() },
        ),
        facts(&[C::Suspends], |h| h.suspends = Some("it has a desktop".into())),
        facts(&[C::NotListening], |h| h.listening = Some(BTreeMap::from([(22, false)]))),
        of(&[C::TwoServers], Kind::Samba, GOOD).and(Kind::Afp, AFP),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    let all = [
        of_samba(),
        of_netatalk(),
        of_announcements(),
        of_disks(),
        of_facts(),
        of_live_announcements(),
    ];
    all.into_iter().flatten().collect()
}

#[test]
fn what_is_right_is_not_spoken_of() {
    let rows = [
        of(&[], Kind::Samba, GOOD),
        of(&[], Kind::Volumes, TWO),
        afp(&[], "tm", "tm"),
        service(&[], "tm", "tm"),
        // Of a machine of which everything is known and well.
        share(&[], "valid users = anna @tmusers").people().host(|h| {
            h.samba = Some((4, 22));
            h.responder = Some(true);
            h.listening = Some(BTreeMap::from([(445, false)]));
            let owner = Some((0o700, 1001, 1001));
            let (size, free) = (Some(4 << 40), Some(3 << 40));
            let bundles = Some(vec![bundle("A.sparsebundle")]);
            h.paths.insert(
                "/srv/tm".into(),
                PathFacts {
                    owner,
                    size,
                    free,
                    bundles,
                    folder: Some(true),
                    ..PathFacts::default()
                },
            );
        }),
    ];
    for row in rows {
        let told = row.examine(&row.memory());
        assert!(told.is_empty(), "{:?}: {told:#?}", row.files);
    }
}

#[test]
fn each_code_is_provoked_and_nothing_beside_it() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in rows() {
        let told = row.examine(&row.memory());
        let codes: BTreeSet<C> = told.iter().filter_map(Told::code).collect();
        let wanted: BTreeSet<C> = row.codes.iter().copied().collect();
        if codes != wanted {
            wrong.push(format!("{:?}\n  gives {codes:?}, not {wanted:?}", row.files));
        }
        seen.extend(wanted);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unprovoked: Vec<_> = C::ALL.iter().filter(|c| !seen.contains(c)).collect();
    assert!(unprovoked.is_empty(), "nothing provokes {unprovoked:?}");
}

/// What Samba keeps itself, quotas, disks and programs.
fn of_facts() -> Vec<Row> {
    let valid = |codes| share(codes, "valid users = anna").people();
    let group = |codes| {
        share(codes, "valid users = @tmusers").people().host(|h| {
            let groups = &mut h.accounts.as_mut().unwrap().groups;
            groups.get_mut("tmusers").unwrap().members = vec!["anna".into(), "bert".into()];
        })
    };
    let with = |row: Row, users: &[&str]| {
        let users = users.iter().map(|u| (*u).to_owned()).collect();
        row.host(|h| h.samba_users = Some(users))
    };
    let narrow = |codes, version| {
        global(codes, "fruit:nfs_aces = no")
            .host(|h| (h.samba, h.samba_32bit) = (Some(version), Some(true)))
    };
    let stored = |store| PathFacts {
        metadata: vec![(store, "/srv/tm/A.sparsebundle".into())],
        ..PathFacts::default()
    };
    let at =
        |row: Row, facts: PathFacts| row.host(|h| drop(h.paths.insert("/srv/tm".into(), facts)));
    let quota = |left| PathFacts {
        allowed: Some((left, "the user anna".into())),
        free: Some(500 << 30),
        ..PathFacts::default()
    };
    let medium = |change: fn(&mut Medium), band_size| {
        let mut facts = PathFacts {
            bundles: Some(vec![BundleFacts {
                band_size: Some(band_size),
                ..bundle("A.sparsebundle")
            }]),
            ..PathFacts::default()
        };
        change(&mut facts.medium);
        facts
    };
    let aged = |codes, bundles: &[(&str, &str, i64)]| {
        let of = |(name, mac, last): &(&str, &str, i64)| BundleFacts {
            mac: Some((*mac).into()),
            last: Some(*last),
            ..bundle(name)
        };
        let all = bundles.iter().map(of).collect();
        folder(codes, PathFacts { bundles: Some(all), ..PathFacts::default() })
            .host(|h| (h.now, h.max_age) = (2_000_000, Some(86_400)))
    };
    vec![
        narrow(&[C::Limit32Bit], (4, 17)),
        narrow(&[], (4, 22)),
        with(valid(&[C::NoPassword]), &[]),
        with(valid(&[]), &["anna"]),
        with(group(&[C::NoPassword]), &["carla"]),
        with(group(&[]), &["bert"]),
        with(share(&[C::NoPassword], "").people(), &[]),
        // Others know who may log in.
        with(global(&[], "security = ads"), &[]).people(),
        with(valid(&[]), &[])
            .host(|h| h.accounts.as_mut().unwrap().elsewhere = vec!["ldap".into()]),
        with(share(&[C::Guest], "guest ok = yes\nguest only = yes").people(), &[]),
        facts(&[C::SidChanged], |h| {
            let foreign = ["1001", "S-1-5-21-1-2-3-1000", "S-1-5-21-4-5-6"].map(str::to_owned);
            let [uid, cached, own] = foreign;
            h.foreign_sid = Some(ForeignSid { uid, cached, own });
        }),
        folder(&[C::MetadataMix], stored(Store::Stream)),
        folder(&[], stored(Store::Netatalk)),
        at(share(&[C::MetadataMix], "fruit:metadata = stream"), stored(Store::Netatalk)),
        at(share(&[], "fruit:metadata = stream"), stored(Store::Stream)),
        at(
            afp(&[C::AfpEa], "path", "ea = sys\npath"),
            PathFacts { xattr: Some(false), ..PathFacts::default() },
        ),
        at(
            afp(&[C::NoXattr], "path", "ea = ad\npath"),
            PathFacts { xattr: Some(false), ..PathFacts::default() },
        ),
        afp(&[C::AfpLimits], "tm", "tm").host(|h| h.netatalk_files = Some(1024)),
        afp(&[], "tm", "tm").host(|h| h.netatalk_files = Some(65_536)),
        two(&[C::Na2Old], "tm", "tm").host(|h| h.netatalk = Some((2, 1))),
        two(&[C::Na2Old], "tm", "tm").host(|h| {
            let versions = ["AFP2.2", "AFPX03", "AFP3.1", "AFP3.2"].map(str::to_owned).into();
            let log_ins = vec!["DHX2".into()];
            h.afp_status = Some(Status { machine: "Netatalk".into(), versions, log_ins });
        }),
        two(&[], "tm", "tm").host(|h| {
            let versions = ["AFP3.2", "AFP3.3"].map(str::to_owned).into();
            let log_ins = vec!["DHX2".into()];
            h.afp_status = Some(Status { machine: "Netatalk".into(), versions, log_ins });
        }),
        folder(&[C::FsQuota], quota(50 << 30)),
        folder(&[], quota(500 << 30)),
        // Who ends at the limit is not stopped by the quota.
        at(instead(&[], "1T", "40G"), quota(50 << 30)),
        folder(&[C::DiskSlow], medium(|m| m.rotational = true, 8 << 20)),
        folder(&[], medium(|m| m.rotational = true, 64 << 20)),
        folder(&[], medium(|_| {}, 8 << 20)),
        folder(&[C::DiskSlow], medium(|m| m.usb2 = true, 64 << 20)),
        folder(&[C::DiskSlow], medium(|m| m.zoned = true, 64 << 20)),
        aged(&[C::BundleOld], &[("A.sparsebundle", "1", 1_900_000)]),
        aged(&[], &[("A.sparsebundle", "1", 1_950_000)]),
        // A Mac that goes on with another one is not late.
        aged(
            &[C::StartedAnew],
            &[("A.sparsebundle", "1", 5), ("A 1.sparsebundle", "1", 1_950_000)],
        ),
        aged(&[], &[("A.sparsebundle", "1", 5)]).host(|h| h.max_age = None),
        facts(&[C::Restart], |h| h.outdated = vec![("smbd".into(), "/etc/samba/smb.conf".into())]),
        two(&[C::Na2NoTm, C::UnsupportedVolumes], ",tm", "").host(|h| {
            let bundles = Some(vec![bundle("A.sparsebundle")]);
            h.paths.insert("/srv/tm".into(), PathFacts { bundles, ..PathFacts::default() });
        }),
    ]
}

/// Announcements that meet, that reach nobody, that lead nowhere.
fn of_live_announcements() -> Vec<Row> {
    let both = |codes, more: &str, afp_more: &str| {
        let afp = AFP
            .replacen("[Global]", &format!("[Global]\n{afp_more}"), 1)
            .replace("/srv/tm", "/srv/afp");
        global(codes, more).and(Kind::Afp, &afp).host(|h| {
            (h.smb_announces, h.netatalk) = (Some(true), Some((4, 2)));
            h.name = Some("Server-with-a-name".into());
        })
    };
    let avahi = |codes, text: &str, lan: Option<&[&str]>| {
        let lan: Option<Vec<String>> = lan.map(|l| l.iter().map(|i| (*i).to_owned()).collect());
        of(codes, Kind::Samba, GOOD).and(Kind::Avahi, text).host(|h| h.interfaces = lan)
    };
    let live = |codes, names: &[&str]| {
        let disk = |name: &&str| Disk { name: (*name).into(), flags: 0x82 };
        facts(codes, |h| h.announced = Some(names.iter().map(disk).collect()))
    };
    vec![
        both(&[C::MdnsSambaAndAfp], "netbios name = TANK", "server name = tank"),
        both(&[C::MdnsSambaAndAfp], "mdns name = mdns", "max connections = 9"),
        both(&[C::MdnsSambaAndAfp], "netbios name = SERVER-WITH-A-N", "hostname = server-with-a-n"),
        // A NetBIOS name is cut, so they differ.
        both(&[], "max log size = 9", "max connections = 9"),
        both(&[C::AfpNoZeroconf], "netbios name = TANK", "server name = tank\nzeroconf = no"),
        both(&[], "netbios name = TANK\nmulticast dns register = no", "server name = tank"),
        both(&[C::NotListening], "netbios name = TANK", "server name = tank")
            .host(|h| h.listening = Some(BTreeMap::from([(445, false)]))),
        avahi(&[C::MdnsInterface], "[server]\nallow-interfaces=eth1\n", Some(&["eth0"])),
        avahi(&[], "[server]\nallow-interfaces=eth1, eth0\n", Some(&["eth0"])),
        avahi(&[], "[server]\n#allow-interfaces=eth1\n", Some(&["eth0"])),
        avahi(&[C::MdnsInterface], "allow-interfaces=lo\n", None),
        avahi(&[], "allow-interfaces=eth1\n", None),
        avahi(&[C::MdnsInterface], "deny-interfaces=eth0,eth1\n", Some(&["eth0"])),
        avahi(&[], "deny-interfaces=eth1\n", Some(&["eth0"])),
        facts(&[C::MdnsInterface], |h| h.bridged = Some("eth0".into())),
        live(&[C::MdnsGhost], &["tm", "gone"]),
        live(&[], &["tm"]),
        // Why it cannot be opened is told once.
        live(&[C::PathMissing], &["tm"])
            .host(|h| h.folders = Some(BTreeSet::from(["/srv/x".into()]))),
    ]
}

/// A file with one remedy applied.
fn applied(files: &BTreeMap<String, Vec<u8>>, fix: &Fix) -> BTreeMap<String, Vec<u8>> {
    let mut files = files.clone();
    let (Fix::Replace { file, line, .. }
    | Fix::Remove { file, line }
    | Fix::Insert { file, line, .. }) = fix
    else {
        return files;
    };
    let text = String::from_utf8(files[file].clone()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let n = *line as usize - 1;
    match fix {
        Fix::Replace { text, .. } => lines[n] = text.clone(),
        Fix::Remove { .. } => drop(lines.remove(n)),
        Fix::Insert { text, .. } => lines.insert(n + 1, text.clone()),
        Fix::Command { .. } => {}
    }
    files.insert(file.clone(), (lines.join("\n") + "\n").into_bytes());
    files
}

#[test]
fn an_exact_remedy_makes_the_finding_go() {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for row in rows() {
        let files = row.memory();
        for one in row.examine(&files) {
            let Some(fix) = one.fix.as_ref().filter(|f| !matches!(f, Fix::Command { .. })) else {
                continue;
            };
            tried += 1;
            let after = row.examine(&applied(&files, fix));
            let codes: Vec<&str> = after.iter().map(|t| t.rule).collect();
            if codes.contains(&one.rule) || codes.contains(&"D001") {
                wrong.push(format!("{:?}\n  {fix:?} leaves {codes:?}", row.files));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 60, "{tried}");
}

#[test]
fn the_patch_is_one_that_patch_takes() {
    let text = GOOD.replace("1T", "1TB").replace("read only = no\n", "").replace(
        "[global]\n",
        "[global]\n# 1\n# 2\n# 3\n# 4\n# 5\n# 6\n# 7\n# 8\n# 9\noplocks = no\n",
    ) + "fruit:model = Xserve";
    let row = of(&[], Kind::Samba, text);
    let files = row.memory();
    let told = row.examine(&files);
    assert!(told.len() >= 4, "{told:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("smb.conf");
    std::fs::write(&file, &files[path(Kind::Samba)]).unwrap();
    std::fs::write(dir.path().join("p"), patch::patch(&files, &told)).unwrap();
    let ran = std::process::Command::new("patch")
        .args(["-s", "smb.conf", "p"])
        .current_dir(dir.path())
        .output();
    let Ok(ran) = ran else {
        crate::common::skipped("the patch of doctor: there is no patch(1)");
        return;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    let after = BTreeMap::from([(path(Kind::Samba).to_owned(), std::fs::read(&file).unwrap())]);
    let left = row.examine(&after);
    assert!(left.is_empty(), "{left:#?}");
}
