//! The readers agree with what real servers made of every file: who reads a file as the server
//! does gets the same shares (`measured` of `../shared/data/server/expected.json`).

use super::{Kind, load};
use crate::common::shared_data;
use serde_json::Value;
use std::collections::BTreeSet;
use tmbundle::server::avahi::disk;
use tmbundle::server::host::Host;
use tmbundle::server::live::{dsi, mdns};
use tmbundle::server::netatalk::afp::Afp;
use tmbundle::server::samba::Samba;
use tmbundle::server::text::Root;
use tmbundle::server::{Setup, examine};

fn entries(test: &str) -> Option<(Root, Vec<Value>)> {
    let dir = shared_data(test)?.join("server");
    let text = std::fs::read_to_string(dir.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    Some((Root::new(&dir), expected["files"].as_array().unwrap().clone()))
}

fn samba(
    file: &str,
    samba: &Samba,
    broken: &BTreeSet<String>,
    measured: &Value,
    wrong: &mut Vec<String>,
) -> usize {
    let starts = measured["testparm"]["rc"] == 0;
    // Where the registry is asked for, testparm ends for want of root.
    if starts == samba.is_fatal() && !samba.has_registry() {
        wrong.push(format!("{file}: testparm starts {starts}, we say fatal {}", samba.is_fatal()));
    }
    let mut compared = 0;
    for (name, told) in measured["shares"].as_object().into_iter().flatten() {
        let Some(share) = samba.shares().find(|s| s.name().eq_ignore_ascii_case(name)) else {
            wrong.push(format!("{file}: the share {name} is not seen"));
            continue;
        };
        compared += 1;
        let seen = share.seen(false);
        if told["connect"].is_string() {
            // A path that leads nowhere is known by a finding, not by the file.
            let known =
                !seen.opens || broken.contains(share.name()) || told["connect"] == "AccessDenied";
            if !known {
                wrong.push(format!("{file}: {name} cannot be opened ({})", told["connect"]));
            }
            continue;
        }
        let pairs =
            [("aapl", seen.apple), ("time_machine", seen.time_machine), ("streams", seen.streams)];
        for (key, ours) in pairs {
            if told[key].as_bool().is_some_and(|theirs| theirs != ours) {
                wrong.push(format!("{file}: {name} has {key} {}, we say {ours}", told[key]));
            }
        }
        let kib = seen.limit.map(|bytes| bytes >> 10);
        let same = match &told["reported_kib"] {
            Value::Number(n) => n.as_u64() == kib,
            Value::String(_) => kib.is_none(),
            _ => true,
        };
        if !same {
            wrong.push(format!(
                "{file}: {name} reports {} KiB, we say {kib:?}",
                told["reported_kib"]
            ));
        }
    }
    compared
}

#[test]
fn shares_of_samba_are_what_its_clients_see() {
    let Some((root, entries)) = entries("shares that Samba made of files") else { return };
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for entry in entries.iter().filter(|e| e["program"] == "samba") {
        let file = entry["file"].as_str().unwrap();
        let (mut setup, host) = (Setup::default(), Host::default());
        load(&mut setup, &root, Kind::Samba, &format!("/{file}"), &host);
        let told = examine(&setup, &host);
        let broken = told.iter().filter(|t| ["D011", "D012"].contains(&t.rule));
        let broken = broken.filter_map(|t| t.share.clone()).collect();
        // What overrides the limit is not the file's to tell.
        let mut measured = entry["measured"].clone();
        if told.iter().any(|t| t.rule == "D042") || file.ends_with("dfree.conf") {
            measured["shares"] = Value::Null;
        }
        compared += samba(file, setup.samba.as_ref().unwrap(), &broken, &measured, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 40, "{compared}");
}

/// Compare names, Time Machine and sizes; `ours` is name, Time Machine, limit in MiB.
fn volumes(
    file: &str,
    measured: &Value,
    ours: &[(String, bool, Option<u64>)],
    wrong: &mut Vec<String>,
) -> usize {
    let mut compared = 0;
    for (name, told) in measured["volumes"].as_object().into_iter().flatten() {
        let Some((_, tm, limit)) = ours.iter().find(|o| o.0 == *name) else {
            wrong.push(format!("{file}: {name} is not seen; we see {ours:?}"));
            continue;
        };
        compared += 1;
        if told["time_machine"].as_bool().is_some_and(|theirs| theirs != *tm) {
            wrong
                .push(format!("{file}: {name} time machine {}, we say {tm}", told["time_machine"]));
        }
        // A limit beyond the disk is reported as the disk.
        let same = match &told["total_mib"] {
            Value::Number(n) => n.as_f64() == limit.map(|l| l as f64),
            _ => limit.is_none_or(|l| l >= 100_000),
        };
        if !same && *tm {
            wrong.push(format!("{file}: {name} has {} MiB, we say {limit:?}", told["total_mib"]));
        }
    }
    for name in measured["seen_by_anna"].as_array().into_iter().flatten() {
        if !ours.iter().any(|o| *name == o.0) {
            wrong.push(format!("{file}: anna sees {name}; we see {ours:?}"));
        }
    }
    compared
}

#[test]
fn volumes_of_netatalk_are_what_its_clients_see() {
    let Some((root, entries)) = entries("volumes that Netatalk made of files") else { return };
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for entry in &entries {
        let file = entry["file"].as_str().unwrap();
        for (version, measured) in entry["measured"]["netatalk"].as_object().into_iter().flatten() {
            let parts: Vec<u32> = version.split('.').map_while(|p| p.parse().ok()).collect();
            let host = Host { netatalk: Some((parts[0], parts[1])), ..Host::default() };
            let mut setup = Setup::default();
            let path = format!("/{file}");
            let ours: Vec<(String, bool, Option<u64>)> = if file.contains("AppleVolumes") {
                load(&mut setup, &root, Kind::Volumes, &path, &host);
                let all = setup.netatalk2.volumes.iter();
                all.map(|v| (v.name().replace("$u", "anna"), v.is_time_machine(), v.limit_mib()))
                    .collect()
            } else if file.starts_with("netatalk2/") {
                continue;
            } else {
                load(&mut setup, &root, Kind::Afp, &path, &host);
                let afp: &Afp = setup.afp.as_ref().unwrap();
                if (measured["server"] == "does not start") == afp.starts() {
                    wrong.push(format!("{file} {version}: starts {}", afp.starts()));
                }
                let all = afp.served().into_iter();
                all.map(|v| (afp.name_of(v), afp.is_time_machine(v), afp.limit(v))).collect()
            };
            compared += volumes(&format!("{file} {version}"), measured, &ours, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 30, "{compared}");
}

#[test]
fn avahi_announces_what_we_read() {
    let Some((root, entries)) = entries("services that Avahi announced") else { return };
    let mut compared = 0;
    for entry in entries.iter().filter(|e| e["measured"]["announced"].is_array()) {
        let file = entry["file"].as_str().unwrap();
        let mut setup = Setup::default();
        load(&mut setup, &root, Kind::Service, &format!("/{file}"), &Host::default());
        let ours: BTreeSet<(String, u64, Vec<String>)> = setup.services[0]
            .announced()
            .iter()
            .map(|s| {
                let records = s.records.iter().map(|r| r.text.clone()).collect();
                (s.kind.text.clone(), u64::from(s.port), records)
            })
            .collect();
        let theirs: BTreeSet<(String, u64, Vec<String>)> = entry["measured"]["announced"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| {
                let records = s["txt"].as_array().unwrap();
                // avahi-browse prints bytes as \ddd, in decimal.
                let records =
                    records.iter().map(|t| t.as_str().unwrap().replace("\\010", "\n")).collect();
                (s["type"].as_str().unwrap().to_owned(), s["port"].as_u64().unwrap(), records)
            })
            .collect();
        // Of two publishers of one name Avahi drops one; that is not this file's.
        if !theirs.is_empty() || !ours.is_empty() && !file.contains("duplicate") {
            assert_eq!(ours, theirs, "{file}");
        }
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn answers_from_the_wire_are_read() {
    let Some(shared) = shared_data("answers of AFP and mDNS servers") else { return };
    let bytes = |name: &str| -> Vec<u8> {
        let text = std::fs::read_to_string(shared.join("server/wire").join(name)).unwrap();
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    };
    for (version, modern) in
        [("2.2.10-dhx-only", false), ("3.1.12", true), ("4.2.3", true), ("4.5.1", true)]
    {
        let reply = bytes(&format!("dsi-getstatus.netatalk-{version}.hex"));
        let status = dsi::read(&reply).unwrap();
        let parts: Vec<u32> = version.split(['.', '-']).map_while(|p| p.parse().ok()).collect();
        assert_eq!(status.netatalk(), Some((parts[0], parts[1])), "{status:?}");
        assert_eq!(status.is_modern(), modern, "{status:?}");
        assert!(status.versions.contains(&"AFP3.3".to_owned()));
        // However it is cut or garbled, it ends.
        for at in 0..reply.len() {
            let mut bad = reply.clone();
            bad[at] ^= 0xff;
            let _ = (dsi::read(&bad), dsi::read(&reply[..at]));
        }
    }
    let packet = bytes("mdns-adisk.hex");
    let heard = mdns::read(&packet).unwrap();
    assert_eq!(heard.instances, ["server._adisk._tcp.local"]);
    let disks: Vec<String> = heard.records.iter().filter_map(|r| disk(r)).map(|d| d.name).collect();
    assert_eq!(disks, ["anna-tm", "bert-tm"]);
    assert_eq!(mdns::read(&bytes("mdns-smb.hex")).unwrap().instances, ["server._smb._tcp.local"]);
    for at in 0..packet.len() {
        let mut bad = packet.clone();
        bad[at] ^= 0xff;
        let _ = (mdns::read(&bad), mdns::read(&packet[..at]));
    }
}
