//! Programs that run, the network they are in, and what Macs hold open.

use super::{Gathered, Wanted};
use crate::bundle::{Bundle, busy, samba as opened};
use crate::io::{Access, Links};
use crate::server::host::Held;
use crate::server::live;
use crate::server::text::{Files, Root};
use rustix::fs::{OFlags, fstat};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The machine's name without its domain.
pub(super) fn name(root: &Root) -> Option<String> {
    let here = root.is_here().then(|| root.text("/proc/sys/kernel/hostname").ok()).flatten();
    let text = here.or_else(|| root.text("/etc/hostname").ok())?;
    let name = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'))?;
    Some(name.split('.').next().unwrap_or(name).to_owned())
}

/// Programs of this machine, and since when their configuration is another.
pub(super) fn programs(root: &Root, all: &mut Gathered) {
    let boot = root.text("/proc/stat").ok();
    let boot = boot
        .and_then(|t| t.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse::<i64>().ok()));
    let mut started: [(&str, Option<i64>); 2] = [("smbd", None), ("netatalk", None)];
    for process in processes() {
        let read = |name: &str| std::fs::read_to_string(process.join(name)).unwrap_or_default();
        let command = read("comm");
        let command = command.trim();
        if ["netatalk", "afpd", "cnid_metad"].contains(&command) {
            let most = most_files(&read("limits"));
            let least = all.host.netatalk_files.into_iter().chain(most).min();
            all.host.netatalk_files = least;
        }
        let other = || {
            let ours = all.setup.samba.as_ref().map_or("", |s| s.path.as_str());
            let words = opened::words(&process);
            let usual = opened::CONFIGURATIONS.contains(&ours);
            let is_ours = opened::configuration(&words).map_or(usual, |named| named == ours);
            opened::is_titled(&words) || !is_ours
        };
        let Some(begun) = boot.zip(begun(&read("stat"))).map(|(boot, after)| boot + after) else {
            continue;
        };
        for (program, first) in &mut started {
            let is = command == *program || *program == "netatalk" && command == "afpd";
            if is && !(command == "smbd" && other()) {
                *first = Some(first.map_or(begun, |t| t.min(begun)));
            }
        }
    }
    for (program, since) in started {
        let Some(since) = since else { continue };
        let newer = |file: &String| {
            let changed = root.open(file, OFlags::PATH).and_then(fstat).map(|s| s.st_mtime);
            changed.is_ok_and(|changed| is_later(changed, since))
        };
        let file = configured(all, program).into_iter().find(newer);
        all.host.outdated.extend(file.map(|file| (program.to_owned(), file)));
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(|p| p.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .map(|p| p.path())
}

/// The files that a program has its settings from.
fn configured(all: &Gathered, program: &str) -> BTreeSet<String> {
    let setup = &all.setup;
    if program == "smbd" {
        let lines = setup.samba.iter().flat_map(|s| &s.lines).map(|l| l.at.file.to_string());
        return lines.filter(|f| f.starts_with('/')).collect();
    }
    let two = setup.netatalk2.volumes.iter().map(|v| v.at.file.to_string());
    let two = two.chain(setup.netatalk2.servers.iter().map(|s| s.at.file.to_string()));
    setup.afp.iter().map(|a| a.path.clone()).chain(two).collect()
}

/// Seconds by which a start may seem earlier than it was: the machine's start is told in whole
/// seconds, and so is each process's distance from it.
const SLACK: i64 = 2;

/// Whether a file was changed after a process began.
fn is_later(changed: i64, begun: i64) -> bool {
    changed > begun.saturating_add(SLACK)
}

/// Ticks of a second, which are the same on all machines as far as programs see (`USER_HZ`).
const TICKS: i64 = 100;

/// Seconds after the machine's start at which a process began. Source: proc_pid_stat(5), field 22.
fn begun(stat: &str) -> Option<i64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let ticks: i64 = behind.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / TICKS)
}

/// How many files a process may hold open at most: the hard limit.
fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What interfaces are called that lead to no network of Macs.
const INNER: &[&str] = &["docker", "veth", "virbr", "br-", "cni", "podman", "ifb", "dummy"];

/// The networks of this machine.
pub(super) fn networks(root: &Root, all: &mut Gathered) {
    let ethernet = |name: &String| {
        let kind = root.text(&format!("/sys/class/net/{name}/type")).unwrap_or_default();
        kind.trim() == "1" && !INNER.iter().any(|begin| name.starts_with(begin))
    };
    let names: Vec<String> =
        root.list("/sys/class/net").unwrap_or_default().into_iter().filter(ethernet).collect();
    let inside = ["/.dockerenv", "/run/.containerenv"];
    let inside = inside.iter().any(|mark| root.open(mark, OFlags::PATH).is_ok());
    // Docker gives addresses of its own to the ends of its bridges.
    let bridged = |name: &&String| {
        let address = root.text(&format!("/sys/class/net/{name}/address")).unwrap_or_default();
        address.starts_with("02:42:")
    };
    if inside && !names.is_empty() && names.iter().all(|n| bridged(&n)) {
        all.host.bridged = names.first().cloned();
    }
    all.host.interfaces = Some(names);
}

/// The bundles that are in use, as `--if-busy` sees it, and who uses them.
pub(super) fn held(wanted: &Wanted<'_>, all: &mut Gathered) {
    let bundles: Vec<String> = all
        .host
        .paths
        .values()
        .flat_map(|p| p.bundles.iter().flatten().map(|b| b.path.clone()))
        .collect();
    let now = busy::Moment::now();
    for path in bundles {
        // Since it was found, something else may have been put there.
        let access = Access { links: Links::Refuse, ..Access::default() };
        let Ok(bundle) = Bundle::open_with(Path::new(&path), &access) else { continue };
        let (signs, gaps) = now.signs_and_gaps(&bundle);
        if let Some(why) = gaps.first() {
            all.unseen(format!("whether a Mac is using {path}"), why);
        }
        if !signs.is_empty() {
            all.host.held.push(Held { path, signs, who: Vec::new() });
        }
    }
    if let Some(why) = now.blind() {
        all.unseen("which bundles file servers hold open", why);
    }
    let root = rustix::process::geteuid().is_root();
    let Some(samba) = all.setup.samba.as_ref().filter(|_| root && wanted.root.is_here()) else {
        return;
    };
    if all.host.held.is_empty() {
        return;
    }
    for (file, who) in live::smbstatus(&samba.path).unwrap_or_default() {
        let within = |h: &&mut Held| crate::server::mounts::within(&file, &h.path);
        if let Some(held) = all.host.held.iter_mut().find(within)
            && !held.who.contains(&who)
        {
            held.who.push(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1024                 4096                 files     \n";
        assert_eq!(most_files(text), Some(4096));
        assert_eq!(most_files(&text.replace("4096", "unlimited")), None);
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12300 1 1";
        assert_eq!(begun(stat), Some(12_300 / 100));
        assert_eq!(begun("12 (cut"), None);
        // Written, and the server started in the same second.
        assert!(!is_later(1002, 1000) && is_later(1003, 1000) && !is_later(i64::MIN, i64::MAX));
    }
}
