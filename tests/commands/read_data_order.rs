//! `verify --read-data`: the order of reading, and which part is read on which day.

use crate::common::contents::{
    ALL, How, Recorder, checksummed, firsts_read, forks, memory, pass, try_pass,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tmbundle::Result;
use tmbundle::verify::Subset;
use tmbundle::verify::contents::ReadAlong;
use tools::hfs::{Content, ForkKind, Meta, Volume};

#[test]
fn files_are_read_in_the_order_of_the_disk() {
    let volume = tools::samples::sample("everything").unwrap().build();
    let read = firsts_read(&volume, ALL);
    assert!(read.len() > 600, "{}", read.len());
    let mut sorted = read.clone();
    sorted.sort_unstable();
    assert_eq!(read, sorted, "one thread goes over the disk once");
    let mut parallel = firsts_read(&volume, How { jobs: 4, ..ALL });
    parallel.sort_unstable();
    assert_eq!(parallel, sorted, "four threads read the same, each stream once");
}

#[derive(Default)]
struct Along {
    told: Mutex<Vec<u64>>,
    fail: bool,
}

impl ReadAlong for Along {
    fn before(&self, offset: u64) -> Result<()> {
        self.told.lock().unwrap().push(offset);
        if self.fail { Err(tmbundle::Error::Invalid("no more".into())) } else { Ok(()) }
    }
}

#[test]
fn who_goes_along_hears_of_the_disk_in_rising_order() {
    let mut v = checksummed(50, |_| false);
    let root = v.root();
    let big = v.file(root, "big", Content::Pattern { seed: 1, len: 5 << 20 }, Meta::file());
    let volume = v.build();
    for jobs in [1, 4] {
        let along = Along::default();
        let reads = Arc::new(Mutex::new(Vec::new()));
        let source = Arc::new(Recorder { inner: memory(&volume.image), reads });
        pass(source, How { jobs, along: Some(&along), ..ALL });
        let told = along.told.into_inner().unwrap();
        assert!(told.windows(2).all(|w| w[0] < w[1]), "{told:?}");
        let first = volume.layout.block(volume.layout.fork(big, ForkKind::Data)[0].start) + 20_480;
        for piece in 0..5 {
            assert!(told.contains(&(first + (piece << 20))), "piece {piece} of {first}: {told:?}");
        }
    }
    let along = Along { fail: true, ..Along::default() };
    let ended = try_pass(memory(&volume.image), How { jobs: 3, along: Some(&along), ..ALL });
    assert_eq!(ended.unwrap_err().to_string(), "no more");
}

/// For each run the first bytes it reads; together each of the volume's once.
#[track_caller]
fn covers(volume: &Volume, runs: impl Iterator<Item = (Subset, u64)>) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut read = Vec::new();
    for (subset, day) in runs {
        let part = firsts_read(volume, How { subset, day, ..ALL });
        sizes.push(part.len());
        read.extend(part);
    }
    read.sort_unstable();
    let want: Vec<u64> = firsts_read(volume, ALL);
    assert_eq!(read, want, "{sizes:?}");
    sizes
}

#[test]
fn a_subset_a_day_reads_every_file_once() {
    let volume = checksummed(700, |_| false).build();
    let sevenths =
        covers(&volume, (1..=7).map(|n| (Subset::Part { n, of: 7 }, 20_000 + u64::from(n))));
    assert!(sevenths.iter().all(|n| (60..140).contains(n)), "{sevenths:?}");
    covers(&volume, (20_001..20_005).map(|day| (Subset::Percent(2500), day)));
    covers(&volume, (0..4).map(|week| (Subset::Percent(2500), 20_003 + 7 * week)));
    let total = pass(memory(&volume.image), ALL).0.contents.bytes;
    let third = Subset::Bytes(total / 3 + 1);
    covers(&volume, (20_001..20_004).map(|day| (third, day)));
    covers(&volume, std::iter::once((Subset::Bytes(total), 5)));
}

#[test]
fn the_part_of_a_file_is_its_own_and_not_that_of_its_place() {
    let before = checksummed(300, |_| false);
    let mut after = checksummed(300, |_| false);
    let root = after.root();
    // More files, and others in front of them on the disk.
    for i in 0..50 {
        after.file(root, &format!("a {i}"), Content::text(900 + i, 9_000), Meta::file());
    }
    let id_of = |volume: &Volume| {
        let ids = forks(volume);
        let read = firsts_read(volume, How { subset: Subset::Part { n: 2, of: 5 }, ..ALL });
        read.iter().map(|at| ids[at]).collect::<Vec<_>>()
    };
    let (mut first, mut second) = (id_of(&before.build()), id_of(&after.build()));
    let last = *first.iter().max().unwrap();
    second.retain(|id| *id <= last);
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!(first, second);
}

#[test]
fn a_time_budget_begins_elsewhere_each_day_and_may_reach_everything() {
    let volume = checksummed(700, |_| false).build();
    let timed = |time, day| firsts_read(&volume, How { subset: Subset::Time(time), day, ..ALL });
    assert_eq!(timed(Duration::ZERO, 1), [0u64; 0]);
    let (one, two) = (timed(Duration::from_secs(600), 1), timed(Duration::from_secs(600), 2));
    assert_ne!(one[..20], two[..20], "the days begin with other files");
    let sorted = |mut v: Vec<u64>| {
        v.sort_unstable();
        v
    };
    assert_eq!(sorted(one), sorted(two));
}
