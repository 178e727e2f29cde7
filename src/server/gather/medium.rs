//! The disk under a share: how it is connected and how it writes, and quotas on it.

use crate::server::host::Medium;
use crate::server::live;
use crate::server::mounts::Mount;
use crate::server::text::{Files, Root};
use rustix::fs::{OFlags, fstat, major, minor};

/// How far up the tree of devices a controller is looked for.
const HIGHEST: usize = 12;

/// The disk of a path, by its device and what is mounted there.
pub(super) fn medium(root: &Root, device: u64, mount: Option<&Mount>) -> Medium {
    // btrfs and others have numbers of their own; their mount tells the disk.
    let source = || {
        let fd = root.open(&mount?.source, OFlags::PATH).ok()?;
        fstat(fd).ok().map(|s| s.st_rdev).filter(|d| *d != 0)
    };
    let device = if major(device) == 0 { source().unwrap_or(device) } else { device };
    let base = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let mut all = of_device(root, &base);
    // What is put together of disks is as slow as the slowest.
    let parts = root.list(&format!("{base}/slaves")).unwrap_or_default();
    for part in parts.into_iter().take(64) {
        let one = of_device(root, &format!("{base}/slaves/{part}"));
        all.rotational |= one.rotational;
        all.zoned |= one.zoned;
        all.usb2 |= one.usb2;
    }
    all
}

fn of_device(root: &Root, base: &str) -> Medium {
    // A partition's disk is the folder above.
    let queue = |name: &str| {
        let read = |up: &str| root.text(&format!("{base}{up}/queue/{name}")).ok();
        read("").or_else(|| read("/..")).map(|t| t.trim().to_owned())
    };
    let mut usb2 = false;
    for n in 1..HIGHEST {
        let folder = format!("{base}{}", "/..".repeat(n));
        if root.text(&format!("{folder}/idVendor")).is_ok() {
            let speed = root.text(&format!("{folder}/speed")).unwrap_or_default();
            // Mbit/s; USB 3 begins at 5000.
            usb2 = speed.trim().parse::<f64>().is_ok_and(|s| s <= 480.0);
            break;
        }
    }
    Medium {
        rotational: queue("rotational").as_deref() == Some("1"),
        zoned: queue("zoned").is_some_and(|z| z != "none"),
        usb2,
    }
}

/// What quotas still allow below a path, and whose: the least of them. Only root may ask.
pub(super) fn allowed(path: &str, mount: Option<&Mount>, users: &[&str]) -> Option<(u64, String)> {
    let mount = mount?;
    if mount.kind == "btrfs" {
        let said = live::run("btrfs", &["qgroup", "show", "-r", "-e", "-F", "--raw", path])?;
        return qgroups(&said.out);
    }
    if !mount.quotas {
        return None;
    }
    let said = live::run("repquota", &["-u", "-p", "-O", "csv", &mount.target])?;
    repquota(&said.out, users)
}

/// Lines of `btrfs qgroup show -r -e -F --raw`: group, referenced, exclusive, limits of both.
fn qgroups(text: &str) -> Option<(u64, String)> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [group, referenced, exclusive, most, most_own, ..] = words.as_slice() else {
            return None;
        };
        group
            .split_once('/')
            .filter(|(a, b)| a.parse::<u16>().is_ok() && b.parse::<u64>().is_ok())?;
        let left = |most: &str, used: &str| {
            Some(most.parse::<u64>().ok()?.saturating_sub(used.parse().ok()?))
        };
        let least = left(most, referenced).into_iter().chain(left(most_own, exclusive)).min()?;
        Some((least, format!("the btrfs group {group}")))
    };
    text.lines().filter_map(one).min()
}

/// Lines of `repquota -u -p -O csv`: user, states, KiB used, soft and hard limit.
fn repquota(text: &str, users: &[&str]) -> Option<(u64, String)> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split(',').collect();
        let [user, _, _, used, soft, hard, ..] = words.as_slice() else { return None };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let most = [number(soft)?, number(hard)?].into_iter().filter(|n| *n > 0).min()?;
        let left = most.saturating_sub(number(used)?).checked_mul(1024)?;
        users.contains(user).then(|| (left, format!("the user {user}")))
    };
    text.lines().filter_map(one).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_quotas() {
        // As btrfs-progs 6 writes them.
        let text = "Qgroupid    Referenced    Exclusive    Max referenced    Max exclusive   Path \n\
            --------    ----------    ---------    --------------    -------------   ---- \n\
            0/256         49000448     49000448          52428800             none   tm\n";
        assert_eq!(qgroups(text), Some((52_428_800 - 49_000_448, "the btrfs group 0/256".into())));
        assert_eq!(qgroups(&text.replace("52428800", "    none")), None);
        let text = "User,BlockStatus,FileStatus,BlockUsed,BlockSoftLimit,BlockHardLimit,BlockGrace\n\
            anna,ok,ok,100,0,300,0\nbert,ok,ok,100,150,300,0\ncarla,ok,ok,100,0,0,0\n";
        assert_eq!(repquota(text, &["anna", "carla"]), Some((200 << 10, "the user anna".into())));
        assert_eq!(repquota(text, &["anna", "bert"]), Some((50 << 10, "the user bert".into())));
        assert_eq!(repquota(text, &["carla"]), None);
    }
}
