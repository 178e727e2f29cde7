//! What is announced, by files and in the network.

use super::super::Kind;
use super::row::*;
use std::collections::{BTreeMap, BTreeSet};
use tmbundle::report::ServerCode as C;
use tmbundle::server::avahi::Disk;

pub(super) fn rows() -> Vec<Row> {
    by_files().into_iter().chain(live()).collect()
}

fn by_files() -> Vec<Row> {
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

/// Announcements that meet, that reach nobody, that lead nowhere.
fn live() -> Vec<Row> {
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
    let heard = |codes, names: &[&str]| {
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
        heard(&[C::MdnsGhost], &["tm", "gone"]),
        heard(&[], &["tm"]),
        // Why it cannot be opened is told once.
        heard(&[C::PathMissing], &["tm"])
            .host(|h| h.folders = Some(BTreeSet::from(["/srv/x".into()]))),
    ]
}
