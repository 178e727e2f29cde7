//! Configurations that are right, and what is changed in them.

use super::super::{Kind, load};
use std::collections::BTreeMap;
use tmbundle::report::ServerCode as C;
use tmbundle::server::accounts::{Accounts, Group, User};
use tmbundle::server::host::{BundleFacts, Host, PathFacts};
use tmbundle::server::live::TestParm;
use tmbundle::server::{Setup, Told, examine};

/// A share that is right in `[global]` and in itself.
pub const GOOD: &str = "[global]\nvfs objects = catia fruit streams_xattr\n[tm]\npath = /srv/tm\nread only = no\n\
    fruit:time machine = yes\nfruit:time machine max size = 1T\n";
pub const AFP: &str = "[Global]\nuam list = uams_dhx2.so\n[tm]\npath = /srv/tm\ntime machine = yes\nvol size limit = 500000\n";
pub const TWO: &str = "/srv/tm \"Anna\" volsizelimit:500000 options:usedots,upriv,tm\n";
pub const SERVICE: &str = "<?xml version=\"1.0\"?>\n<service-group>\n<name replace-wildcards=\"yes\">%h</name>\n<service>\n\
    <type>_smb._tcp</type>\n<port>445</port>\n</service>\n<service>\n<type>_adisk._tcp</type>\n\
    <txt-record>sys=waMa=0,adVF=0x100</txt-record>\n<txt-record>dk0=adVN=tm,adVF=0x82</txt-record>\n\
    </service>\n</service-group>\n";

/// Files, facts, and all that is then reported.
pub struct Row {
    pub codes: &'static [C],
    pub files: Vec<(Kind, String)>,
    pub host: Host,
}

pub fn path(kind: Kind) -> &'static str {
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

pub fn of(codes: &'static [C], kind: Kind, text: impl Into<String>) -> Row {
    let netatalk = match kind {
        Kind::Afp => Some((4, 2)),
        Kind::Volumes | Kind::Afpd | Kind::Defaults => Some((2, 2)),
        _ => None,
    };
    Row { codes, files: vec![(kind, text.into())], host: Host { netatalk, ..Host::default() } }
}

/// The good share with a line more.
pub fn share(codes: &'static [C], more: &str) -> Row {
    of(codes, Kind::Samba, format!("{GOOD}{more}\n"))
}

/// The good share with a line more in `[global]`.
pub fn global(codes: &'static [C], more: &str) -> Row {
    of(codes, Kind::Samba, GOOD.replacen("[tm]", &format!("{more}\n[tm]"), 1))
}

/// The good share with something else in place of something.
pub fn instead(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(GOOD.contains(from));
    of(codes, Kind::Samba, GOOD.replacen(from, to, 1))
}

pub fn afp(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(AFP.contains(from));
    of(codes, Kind::Afp, AFP.replacen(from, to, 1))
        .and(Kind::Samba, "[global]\ninclude = registry\n")
}

pub fn two(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(TWO.contains(from));
    of(codes, Kind::Volumes, TWO.replacen(from, to, 1))
}

pub fn service(codes: &'static [C], from: &str, to: &str) -> Row {
    assert!(SERVICE.contains(from));
    let row = of(codes, Kind::Service, SERVICE.replacen(from, to, 1)).and(Kind::Samba, GOOD);
    row.host(|h| h.smb_announces = Some(false))
}

pub fn facts(codes: &'static [C], change: impl FnOnce(&mut Host)) -> Row {
    of(codes, Kind::Samba, GOOD).host(change)
}

/// Facts about `/srv/tm`.
pub fn folder(codes: &'static [C], facts: PathFacts) -> Row {
    self::facts(codes, |h| drop(h.paths.insert("/srv/tm".into(), facts)))
}

pub fn bundles(codes: &'static [C], bundles: &[BundleFacts]) -> Row {
    folder(codes, PathFacts { bundles: Some(bundles.to_vec()), ..PathFacts::default() })
}

impl Row {
    pub fn and(mut self, kind: Kind, text: &str) -> Self {
        self.files.push((kind, text.into()));
        self
    }

    pub fn host(mut self, change: impl FnOnce(&mut Host)) -> Self {
        change(&mut self.host);
        self
    }

    /// With anna, and the group tmusers.
    pub fn people(self) -> Self {
        self.host(|h| {
            let anna = User { uid: Some(1001), gid: Some(1001), home: "/home/anna".into() };
            let users = BTreeMap::from([("anna".into(), anna)]);
            let groups =
                BTreeMap::from([("tmusers".into(), Group { gid: Some(2000), members: vec![] })]);
            h.accounts = Some(Accounts { users, groups, ..Accounts::default() });
        })
    }

    pub fn memory(&self) -> BTreeMap<String, Vec<u8>> {
        self.files
            .iter()
            .map(|(kind, text)| (path(*kind).to_owned(), text.clone().into_bytes()))
            .collect()
    }

    pub fn examine(&self, files: &BTreeMap<String, Vec<u8>>) -> Vec<Told> {
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

pub fn bundle(name: &str) -> BundleFacts {
    BundleFacts {
        path: format!("/srv/tm/{name}"),
        band_size: Some(8 << 20),
        bands: Some(10),
        size: Some(1 << 40),
        ..BundleFacts::default()
    }
}

pub fn testparm(loads: bool, unknown: &[&str]) -> TestParm {
    let unknown = unknown.iter().map(|u| (*u).to_owned()).collect();
    TestParm { loads, unknown, says: None }
}
