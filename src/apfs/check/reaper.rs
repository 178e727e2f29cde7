//! What is being deleted, piece by piece (section 8).

use super::say::Checker;
use crate::apfs::container::Container;
use crate::apfs::format::kind;
use crate::apfs::object::Object;
use crate::error::Result;
use crate::io::bytes::{all_zero, to_u64};
use crate::report::{Rule, Structure, Where};
use std::collections::HashSet;

/// Bytes of the reaper before its state, of a list before its entries, of an entry.
const STATE: u64 = 0x70;
const ENTRIES: u64 = 0x40;
const ENTRY: u64 = 40;
/// Where begins what it last deleted, after its own flags and sizes.
const LAST: usize = 0x48;
/// Most lists that are followed.
const MOST: usize = 4096;

/// Check the reaper and its lists; their numbers are added to `seen`. Returns whether nothing
/// is being deleted: what is, is marked as used and belongs to nobody any more.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn check(
    checker: &Checker<'_>,
    container: &Container,
    seen: &mut HashSet<u64>,
) -> Result<bool> {
    let oid = container.superblock().reaper_oid;
    seen.insert(oid);
    let reaper = match container.ephemeral("reaper", oid, kind::REAPER) {
        Ok(reaper) => reaper,
        Err(e) => {
            let place = Where::of(Structure::Reaper);
            return checker.unreadable(place, "the reaper", e).map(|()| false);
        }
    };
    let found = container.checkpoint().ephemeral.iter().find(|e| e.oid == oid);
    let place = || checker.place(Structure::Reaper, found.map_or(0, |e| e.block));
    let broken = |rule, text: &dyn Fn() -> String| {
        checker.broken(rule, place(), || format!("the reaper {}", text()));
    };
    let (long, word) = (|at| reaper.u64(at).unwrap_or(0), |at| reaper.u32(at).unwrap_or(0));
    let (next, head, tail) = (long(0x20), long(0x30), long(0x38));
    let (flags, lists) = (word(0x40), word(0x44));
    let room = container.store().blocks().size() - STATE;
    numbers(&reaper, room, &broken);
    let parts = [head != 0, tail != 0, lists != 0];
    let none = parts == [false; 3];
    // What a reaper deleted stays in it; one without lists never deleted anything.
    let blank = next == 1
        && [LAST..0x6C, 0x70..reaper.bytes().len()]
            .into_iter()
            .all(|range| reaper.bytes().get(range).is_some_and(all_zero));
    if parts != [true; 3] && !none || none && !blank {
        broken(Rule::A313, &|| {
            format!("has lists from {head} to {tail}, {lists} of them, and number {next} is next")
        });
    }
    let (mut at, mut last, mut count) = (head, 0, 0u64);
    let mut idle = flags & 2 == 0;
    while at != 0 && seen.len() < MOST && seen.insert(at) {
        (last, count) = (at, count + 1);
        at = match container.ephemeral("reaper list", at, kind::REAP_LIST) {
            Ok(list) => {
                idle &= list.u32(0x30) == Some(0);
                self::list(checker, container, at, &list)
            }
            Err(e) => return checker.unreadable(place(), "the reaper's list", e).map(|()| false),
        };
    }
    // A list that leads back, or to what is none, is not the last.
    if count != u64::from(lists) || last != tail || at != 0 {
        broken(Rule::A317, &|| {
            format!("has {count} lists, the last {last}; it says {lists} and {tail}")
        });
    }
    Ok(idle)
}

/// Check the numbers of the reaper that stand for themselves.
fn numbers(reaper: &Object, room: u64, broken: &dyn Fn(Rule, &dyn Fn() -> String)) {
    let (long, word) = (|at| reaper.u64(at).unwrap_or(0), |at| reaper.u32(at).unwrap_or(0));
    let (next, completed) = (long(0x20), long(0x28));
    let (flags, state) = (word(0x40), u64::from(word(0x6C)));
    if flags & 1 == 0 || flags & !3 != 0 {
        broken(Rule::A310, &|| format!("has flags {flags:#x}"));
    }
    if state != room {
        broken(Rule::A311, &|| format!("has room for {state} bytes of state, expected {room}"));
    }
    if next <= completed {
        broken(Rule::A312, &|| format!("has done number {completed}, and {next} is next"));
    }
    if flags & 2 != 0 {
        broken(Rule::A314, &|| "is deleting something, and goes on when it is mounted".into());
    }
}

/// Check a list; returns the number of the next.
fn list(checker: &Checker<'_>, container: &Container, oid: u64, list: &Object) -> u64 {
    let found = container.checkpoint().ephemeral.iter().find(|e| e.oid == oid);
    let place = || checker.place(Structure::Reaper, found.map_or(0, |e| e.block));
    let most = u64::from(list.u32(0x2C).unwrap_or(0));
    let room = (to_u64(list.bytes().len()) - ENTRIES) / ENTRY;
    if most != room {
        checker.broken(Rule::A315, place(), || {
            format!("list {oid} of the reaper has room for {most} entries, expected {room}")
        });
    }
    let count = list.u32(0x30).unwrap_or(0);
    if count != 0 {
        checker.broken(Rule::A316, place(), || {
            format!("list {oid} of the reaper has {count} things to delete")
        });
    }
    list.u64(0x20).unwrap_or(0)
}
