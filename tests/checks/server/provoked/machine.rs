//! Folders, disks, users and programs.

use super::super::Kind;
use super::row::*;
use std::collections::{BTreeMap, BTreeSet};
use tmbundle::report::ServerCode as C;
use tmbundle::server::host::{AfpLocks, BundleFacts, ForeignSid, Medium, PathFacts, Store};
use tmbundle::server::live::dsi::Status;
use tmbundle::server::text::At;

pub(super) fn rows() -> Vec<Row> {
    of_disks().into_iter().chain(of_facts()).collect()
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
        // More than can be counted is in them, if they say so.
        {
            let vast = |name| BundleFacts { band_size: Some(u64::MAX / 10), ..bundle(name) };
            let bundles = Some(vec![vast("A.sparsebundle"), vast("B.sparsebundle")]);
            folder(&[C::FsQuota], PathFacts { bundles, ..quota(50 << 30) })
        },
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
