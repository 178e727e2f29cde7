//! Limits of shares for Time Machine, against what there is.

use super::Case;
use super::samba_file::replaced;
use crate::report::{ServerCode as C, Severity};
use crate::server::samba::value::{self, Size, in_words};
use crate::server::samba::{Samba, Setting, Share, TimeMachine};
use crate::server::{Fix, Told, mounts};
use std::collections::BTreeMap;

/// No backup fits into less.
const SMALLEST: u64 = 10 << 30;

pub(super) fn rules(case: Case<'_>, samba: &Samba, told: &mut Vec<Told>) {
    let fractions = case.host.samba_from((4, 25)) == Some(true);
    let mut found = Vec::new();
    for share in samba.time_machines() {
        let limit = share.limit(fractions);
        let offered = matches!(share.time_machine(), TimeMachine::Yes(_));
        match limit {
            Some((set, Size::Unread)) => found.push(unread(&share, set)),
            Some((set, Size::Bytes(bytes))) => {
                found.extend(sizes(case, &share, set, bytes));
                found.extend(contents(case, &share));
            }
            Some((_, Size::None)) | None if offered => {
                found.extend(none(case, &share, limit.map(|l| l.0)))
            }
            _ => {}
        }
        found.extend(dfree(case, &share));
    }
    for one in found {
        let again =
            |t: &Told| t.rule == one.rule && t.line() == one.line() && one.line().1.is_some();
        if !told.iter().any(again) {
            told.push(one);
        }
    }
    together(case, samba, fractions, told);
}

fn unread(share: &Share<'_>, set: &Setting) -> Told {
    let message =
        format!("`{}` is '{}', which Samba cannot read: there is no limit", set.written, set.value);
    let told = Told::at(C::LimitUnread, &set.at, message).share(share.name());
    match value::meant(&set.value) {
        Some(bytes) => told.fix(replaced(set, &in_words(bytes))),
        None => told,
    }
}

fn sizes(case: Case<'_>, share: &Share<'_>, set: &Setting, limit: u64) -> Vec<Told> {
    let mut told = Vec::new();
    if limit < SMALLEST {
        let bare = set.value.bytes().all(|b| b.is_ascii_digit());
        let why = if bare { "; a number without a letter is in bytes" } else { "" };
        let message = format!("the limit is {} KiB{why}", limit >> 10);
        let one = Told::at(C::LimitTiny, &set.at, message).share(share.name());
        // Who writes a bare number means MiB, as Netatalk does, or GB.
        let right =
            if set.value.len() > 4 { format!("{}M", set.value) } else { format!("{}G", set.value) };
        told.push(if bare { one.fix(replaced(set, &right)) } else { one });
        return told;
    }
    let Some(path) = share.path() else { return told };
    let facts = case.host.path(&path);
    if let Some(size) = facts.size.filter(|size| limit > *size) {
        let message = format!("the limit is {}, and the disk has {}", gib(limit), gib(size));
        // As much of the disk as is well used, and what is there already need not go.
        let room = facts.used().zip(facts.free).map(|(used, free)| fitting(used, free));
        let right = in_words(room.map_or(most(size), |room| room.min(most(size))));
        told.push(
            Told::at(C::LimitBeyondDisk, &set.at, message)
                .share(share.name())
                .fix(replaced(set, &right)),
        );
        return told;
    }
    let Some(used) = facts.used() else { return told };
    if used > limit {
        let message = format!("the limit is {}, and the bundles have {}", gib(limit), gib(used));
        told.push(Told::at(C::LimitBelowUsed, &set.at, message).share(share.name()));
    } else if let Some(free) = facts.free.filter(|free| limit - used > *free) {
        let message = format!(
            "the limit leaves {} to the Macs, and the disk has {} free",
            gib(limit - used),
            gib(free)
        );
        let right = in_words(fitting(used, free));
        told.push(
            Told::at(C::LimitBeyondDisk, &set.at, message)
                .share(share.name())
                .severity(Severity::Warning)
                .fix(replaced(set, &right)),
        );
    }
    told
}

/// The largest limit on a disk of so many bytes, in whole GiB.
fn most(size: u64) -> u64 {
    (size / 100 * 90) >> 30 << 30
}

/// The largest limit that leaves no more than there is, in whole GiB (rule D036).
fn fitting(used: u64, free: u64) -> u64 {
    used.saturating_add(free / 100 * 95) >> 30 << 30
}

fn gib(bytes: u64) -> String {
    let tenths = u128::from(bytes) * 10 / (1 << 30);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

fn contents(case: Case<'_>, share: &Share<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    let Some(path) = share.path() else { return told };
    let facts = case.host.path(&path);
    for bundle in facts.bundles.iter().flatten() {
        if let Some(why) = bundle.uncounted {
            let message = format!("Samba does not count {} against the limit: {why}", bundle.path);
            told.push(Told::path(C::Uncounted, &bundle.path, message).share(share.name()));
        }
    }
    if let (Some(first), Some(at)) = (facts.other.first(), &share.section.at) {
        let more = if facts.other.len() > 1 {
            format!(" and {} more", facts.other.len() - 1)
        } else {
            String::new()
        };
        let message = format!("beside bundles lies {first}{more}, which the limit does not count");
        told.push(Told::at(C::OtherData, at, message).share(share.name()));
    }
    told
}

fn none(case: Case<'_>, share: &Share<'_>, set: Option<&Setting>) -> Option<Told> {
    let at = set.map(|s| &s.at).or(share.section.at.as_ref())?;
    let other = share.path().is_some_and(|p| !case.host.path(&p).other.is_empty());
    let severity = if other { Severity::Warning } else { Severity::Info };
    let told = Told::at(C::NoLimit, at, format!("the share {} has no limit", share.name()))
        .share(share.name())
        .severity(severity);
    let size = share.path().and_then(|p| case.host.path(&p).size);
    let Some(size) = size.map(|s| in_words(most(s))) else { return Some(told) };
    Some(told.fix(match set {
        Some(set) => replaced(set, &size),
        None => Fix::insert(at, format!("   fruit:time machine max size = {size}")),
    }))
}

fn dfree(case: Case<'_>, share: &Share<'_>) -> Option<Told> {
    let command = share.get("dfreecommand").filter(|s| {
        let program = s.value.split_whitespace().next().unwrap_or("");
        case.host.has_program(program) == Some(true)
    });
    let most = share.get("maxdisksize").filter(|s| s.value.parse::<u64>().is_ok_and(|n| n > 0));
    let set = command.or(most)?;
    let message = format!("`{}` is what Macs are told of the room that is left", set.written);
    Some(
        Told::at(C::LimitOverridden, &set.at, message)
            .share(share.name())
            .fix(Fix::remove(&set.at)),
    )
}

/// Limits of several shares on one disk.
fn together(case: Case<'_>, samba: &Samba, fractions: bool, told: &mut Vec<Told>) {
    let Some(all) = &case.setup.mounts else { return };
    let mut disks: BTreeMap<&str, Disk<'_>> = BTreeMap::new();
    for share in samba.time_machines() {
        let (Some(path), Some((set, Size::Bytes(limit)))) = (share.path(), share.limit(fractions))
        else {
            continue;
        };
        let (Some(mount), Some(size)) = (mounts::of(all, &path), case.host.path(&path).size) else {
            continue;
        };
        let disk = disks.entry(&mount.target).or_insert(Disk {
            limits: 0,
            size,
            names: Vec::new(),
            last: set,
        });
        disk.limits = disk.limits.saturating_add(limit);
        disk.names.push(share.name());
        disk.last = set;
    }
    let known = told.iter().any(|t| t.code() == Some(C::LimitBeyondDisk));
    for disk in disks.values().filter(|d| d.names.len() > 1 && d.limits > d.size && !known) {
        let message = format!(
            "the limits of {} come to {}, and their disk has {}",
            disk.names.join(", "),
            gib(disk.limits),
            gib(disk.size)
        );
        told.push(Told::at(C::LimitBeyondDisk, &disk.last.at, message).severity(Severity::Warning));
    }
}

/// A disk and the limits of the shares on it.
struct Disk<'a> {
    limits: u64,
    size: u64,
    names: Vec<&'a str>,
    last: &'a Setting,
}
