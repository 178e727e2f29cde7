//! Programs, modules, ports and mounts.

use super::{Gathered, Wanted};
use crate::server::avahi::disk;
use crate::server::host::{AfpLocks, Version};
use crate::server::text::{At, Files, Root};
use crate::server::{live, locks, mounts as mount_lines};
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};

/// Of which version the servers are.
pub(super) fn versions(wanted: &Wanted<'_>, all: &mut Gathered) {
    let versions = installed(wanted.root, &["samba", "netatalk"]);
    let asked = || live::samba_version().filter(|_| wanted.root.is_here());
    all.host.samba = versions.get("samba").copied().or_else(asked);
    all.host.netatalk = versions.get("netatalk").copied();
}

/// What else readers of configurations need.
pub(super) fn before(wanted: &Wanted<'_>, all: &mut Gathered) {
    let root = wanted.root;
    if root.is_here() {
        all.host.afp_status = live::dsi::ask(548);
        let version = all.host.afp_status.as_ref().and_then(live::dsi::Status::netatalk);
        all.host.netatalk = version.or(all.host.netatalk);
    }
    all.host.name = super::running::name(root);
    all.host.vfs_modules = modules(root, "samba/vfs", "", ".so");
    all.host.pam_modules = modules(root, "security", "pam_", "");
    all.host.uams = modules(root, "netatalk", "uams_", "");
}

pub(super) fn mounts(wanted: &Wanted<'_>, all: &mut Gathered) {
    let path = if wanted.root.is_here() { "/proc/self/mountinfo" } else { "/proc/1/mountinfo" };
    let here = wanted.root.is_here().then(|| std::fs::read_to_string(path).ok()).flatten();
    match here.or_else(|| wanted.root.text(path).ok()) {
        Some(text) => all.setup.mounts = Some(mount_lines::mountinfo(&path.into(), &text)),
        None => all.unseen("what is mounted", format!("{path} cannot be read there")),
    }
}

/// What depends on the configurations.
pub(super) fn after(wanted: &Wanted<'_>, all: &mut Gathered) {
    let root = wanted.root;
    if let Some(samba) = all.setup.samba.as_ref().filter(|_| root.is_here()) {
        all.host.testparm = live::testparm(&samba.path);
        if all.host.testparm.is_none() {
            all.unseen("testparm's word", "it is not there or does not answer");
        }
    }
    if let Some(samba) = &all.setup.samba {
        let commands = samba.lines.iter().filter(|s| s.key == "dfreecommand");
        let programs =
            commands.filter_map(|s| s.value.split_whitespace().next().map(str::to_owned));
        all.host.programs = Some(programs.filter(|p| root.open(p, OFlags::PATH).is_ok()).collect());
    }
    suspends(root, all);
    super::state::look(wanted, all);
    if !root.is_here() {
        all.unseen("ports, connections and locks", "another system's root was given");
        return;
    }
    super::running::programs(root, all);
    super::running::networks(root, all);
    super::running::held(wanted, all);
    let tcp = sockets(&["/proc/net/tcp", "/proc/net/tcp6"]);
    let mut ports: BTreeMap<u16, bool> = BTreeMap::new();
    for socket in tcp.iter().filter(|s| s.state == 0x0a) {
        let only_here = ports.entry(socket.port).or_insert(true);
        *only_here &= socket.loopback;
    }
    let mdns = sockets(&["/proc/net/udp", "/proc/net/udp6"]).iter().any(|s| s.port == 5353);
    all.host.listening = Some(ports);
    all.host.responder = Some(mdns);
    // Debian's builds have it in; of others nobody knows.
    all.host.smb_announces = all.host.samba.filter(|_| mdns).map(|_| true);
    let heard = live::mdns::ask("_adisk._tcp.local");
    if let Some(heard) = heard {
        all.host.responder = Some(true);
        all.host.announced = Some(heard.records.iter().filter_map(|r| disk(r)).collect());
    }
    let connected = tcp.iter().filter(|s| s.state == 1 && s.port == 548).count();
    stale_locks(connected, all);
}

/// Bundles of Netatalk that afpd holds.
fn stale_locks(connected: usize, all: &mut Gathered) {
    let Ok(text) = std::fs::read_to_string("/proc/locks") else { return };
    for bundle in all.host.paths.values().flat_map(|p| p.bundles.iter().flatten()) {
        let Ok(stat) = rustix::fs::stat(format!("{}/Info.plist", bundle.path)) else { continue };
        let inodes = BTreeSet::from([stat.st_ino]);
        let device = format!(
            "{:02x}:{:02x}",
            rustix::fs::major(stat.st_dev),
            rustix::fs::minor(stat.st_dev)
        );
        if let Some(line) = locks::afpd(&text, Some(&device), &inodes) {
            let at = Some(At::new(&"/proc/locks".into(), line));
            all.host.afp_locks = Some(AfpLocks { at, what: bundle.path.clone(), connected });
            return;
        }
    }
}

struct Socket {
    port: u16,
    loopback: bool,
    state: u8,
}

/// Lines of `/proc/net/*`. Source: proc_net(5).
fn sockets(files: &[&str]) -> Vec<Socket> {
    let mut all = Vec::new();
    for file in files {
        for line in std::fs::read_to_string(file).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some((address, port)) = words.get(1).and_then(|w| w.split_once(':')) else {
                continue;
            };
            let (Ok(port), Some(Ok(state))) =
                (u16::from_str_radix(port, 16), words.get(3).map(|s| u8::from_str_radix(s, 16)))
            else {
                continue;
            };
            let four = address.len() == 8 && address.ends_with("7F");
            let six = address == "00000000000000000000000001000000";
            all.push(Socket { port, loopback: four || six, state });
        }
    }
    all
}

/// Versions of packages by dpkg's list.
fn installed(root: &Root, names: &[&str]) -> BTreeMap<String, Version> {
    let mut found = BTreeMap::new();
    let Ok(list) = root.file("/var/lib/dpkg/status") else { return found };
    let mut open: Option<String> = None;
    let mut whole = false;
    // Bounded: a list of packages has some megabytes.
    for line in BufReader::new(list.take(64 << 20)).lines().map_while(Result::ok) {
        if let Some(name) = line.strip_prefix("Package: ") {
            (open, whole) = (names.contains(&name).then(|| name.to_owned()), false);
        } else if line.starts_with("Status: ") {
            whole = line.ends_with(" installed");
        } else if let (Some(name), Some(version)) = (&open, line.strip_prefix("Version: "))
            && whole
            && let Some(version) = live::version_of(version)
        {
            found.insert(name.clone(), version);
        }
    }
    found
}

/// Names of files in a folder of modules, wherever it lies; `None` if it lies nowhere.
fn modules(root: &Root, folder: &str, begin: &str, cut: &str) -> Option<BTreeSet<String>> {
    let mut places: Vec<String> =
        ["/usr/lib", "/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/samba/lib"]
            .map(str::to_owned)
            .into();
    let wide = root.list("/usr/lib").unwrap_or_default().into_iter();
    places.extend(wide.filter(|n| n.contains("-linux-")).map(|n| format!("/usr/lib/{n}")));
    let lists = places.iter().filter_map(|place| root.list(&format!("{place}/{folder}")));
    let names: BTreeSet<String> = lists
        .flatten()
        .filter(|n| n.starts_with(begin) && n.ends_with(".so"))
        .map(|n| n.strip_suffix(cut).unwrap_or(&n).to_owned())
        .collect();
    (!names.is_empty()).then_some(names)
}

fn suspends(root: &Root, all: &mut Gathered) {
    let battery = root.list("/sys/class/power_supply").unwrap_or_default();
    let masked = root.open("/etc/systemd/system/sleep.target", OFlags::PATH);
    let masked = masked.and_then(rustix::fs::fstat);
    let is_null = masked.is_ok_and(|s| !rustix::fs::FileType::from_raw_mode(s.st_mode).is_file());
    if is_null || battery.iter().any(|n| n.starts_with("BAT")) {
        return;
    }
    let logind = root.text("/etc/systemd/logind.conf").unwrap_or_default();
    let idle = logind.lines().any(|l| l.trim().eq_ignore_ascii_case("IdleAction=suspend"));
    let desktop = root.open("/etc/systemd/system/display-manager.service", OFlags::PATH).is_ok();
    all.host.suspends = match (idle, desktop) {
        (true, _) => Some("logind.conf says IdleAction=suspend".into()),
        (_, true) => Some("it has a desktop, and sleep.target is not masked".into()),
        _ => None,
    };
}
