//! The bounds of one examination, by what the source weighs.

use super::task::Task;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Address space that any examination may take: threads' stacks and the allocator's
/// reserves are in it. What is small cannot need more.
const MEMORY: u64 = 768 << 20;
/// Bytes that are stored for one byte of address space. Checking takes about 64 bytes a
/// catalog record, which takes more than that on the disk, and metadata are a small part
/// of what is stored.
const STORED_PER_BYTE: u64 = 8;
/// Processor time that any examination may take.
const SECONDS: u64 = 30;
/// Bytes that are stored for one second more: decoding on a slow machine, several times.
const STORED_PER_SECOND: u64 = 2 << 20;
/// Files open at a time.
const FILES: u64 = 1024;

/// What the user set, for [`weighed`], which is told nothing else.
static WISHES: OnceLock<(Option<u64>, Option<Duration>, bool)> = OnceLock::new();

/// Set the limits that hold until it is known what the source weighs.
pub fn begin(task: &Task) {
    let _ = WISHES.set((task.max_memory, task.max_time, task.access.mmap));
    // Nothing of what a stranger's bundle brought into memory goes to the disk.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let files = getrlimit(Resource::Nofile);
    if files.current.is_some_and(|n| n < FILES) {
        set(Resource::Nofile, FILES);
    }
    apply(0);
}

/// Widen the limits for a source whose bytes take so much on the server's disk.
pub fn weighed(stored: u64) {
    STORED.store(stored, Ordering::Relaxed);
    apply(stored);
}

/// What [`weighed`] was told of the one source of this process; `None` if nothing.
pub fn stored() -> Option<u64> {
    Some(STORED.load(Ordering::Relaxed)).filter(|stored| *stored > 0)
}

static STORED: AtomicU64 = AtomicU64::new(0);

/// Memory and swap space of the machine in bytes, as far as the kernel tells.
fn machine() -> Option<u64> {
    installed(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn installed(meminfo: &str) -> Option<u64> {
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let swap = kib("SwapTotal:").unwrap_or(0);
    Some(kib("MemTotal:")?.saturating_add(swap).saturating_mul(1024))
}

/// Bytes of address space and seconds of processor time for a source. Without a wish never
/// more memory than the `machine` has: beyond, the kernel would end something else.
fn of(
    stored: u64,
    memory: Option<u64>,
    time: Option<Duration>,
    machine: Option<u64>,
) -> (u64, u64) {
    let most = machine.unwrap_or(u64::MAX).max(MEMORY);
    let memory = memory.unwrap_or(MEMORY.saturating_add(stored / STORED_PER_BYTE).min(most));
    // The parent looks at the clock; several threads may use that time each.
    let seconds = match time {
        Some(time) => time.as_secs().saturating_add(1).saturating_mul(256),
        None => SECONDS.saturating_add(stored / STORED_PER_SECOND),
    };
    (memory, seconds)
}

fn apply(stored: u64) {
    let (memory, time, mapped) = WISHES.get().copied().unwrap_or_default();
    let (memory, seconds) = of(stored, memory, time, machine());
    // Maps of bands are addresses, too.
    if !mapped {
        set(Resource::As, memory);
    }
    set(Resource::Cpu, seconds);
}

/// Set a soft limit, as far as the hard one allows. Where that fails the examination goes
/// on without it.
fn set(resource: Resource, wanted: u64) {
    let now = getrlimit(resource);
    let current = Some(now.maximum.map_or(wanted, |most| most.min(wanted)));
    let _ = setrlimit(resource, Rlimit { current, maximum: now.maximum });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weighs_more_may_take_more() {
        assert_eq!(of(0, None, None, None), (768 << 20, 30));
        let (memory, seconds) = of(1 << 40, None, None, None);
        assert_eq!(memory, (768 << 20) + (128 << 30));
        assert_eq!(seconds, 30 + (1 << 19));
        assert_eq!(of(1 << 40, Some(1 << 30), None, None).0, 1 << 30);
        assert!(of(0, None, Some(Duration::from_secs(10)), None).1 > 1000);
        assert_eq!(of(u64::MAX, None, None, None).0, (768 << 20) + (u64::MAX / 8));
    }

    #[test]
    fn nothing_may_take_more_than_the_machine_has() {
        assert_eq!(of(1 << 40, None, None, Some(2 << 30)).0, 2 << 30);
        assert_eq!(of(1 << 40, Some(4 << 30), None, Some(2 << 30)).0, 4 << 30);
        assert_eq!(of(0, None, None, Some(256 << 20)).0, 768 << 20);
        let told = "MemTotal:        2000 kB\nMemFree: 5 kB\nSwapTotal:       48 kB\n";
        assert_eq!(installed(told), Some(2048 << 10));
        assert_eq!(installed("MemTotal: many"), None);
        assert!(machine().is_some_and(|n| n > 64 << 20));
    }
}
