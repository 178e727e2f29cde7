//! What reader and checker of a volume share is read once: counted, not timed.

use crate::common;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tmbundle::disk::Disk;
use tmbundle::error::Locus;
use tmbundle::io::{PresenceVisitor, ReadAt, Source};
use tmbundle::report::{Ignore, NoProgress};
use tmbundle::volume::{OpenOptions, check, open, volumes};
use tmbundle::{Result, partition};

/// Counts the reads of each range.
struct Counting {
    inner: Source,
    reads: Mutex<BTreeMap<(u64, usize), u32>>,
}

impl ReadAt for Counting {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        *self.reads.lock().unwrap().entry((offset, buf.len())).or_default() += 1;
        self.inner.read_at(buf, offset)
    }
    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        self.inner.presence(range, visit)
    }
    fn locate(&self, offset: u64) -> Option<Locus> {
        self.inner.locate(offset)
    }
}

#[test]
fn headers_journal_and_trees_are_opened_once_for_reader_and_checker() {
    let inner = Disk::open(&common::demo()).unwrap().bytes().unwrap();
    let counting = Arc::new(Counting { inner, reads: Mutex::default() });
    let disk: Source = counting.clone();
    let map = partition::scan(&*disk, &Ignore).unwrap();
    let found = volumes(&disk, &map).unwrap();
    let hfs = found.iter().find(|v| v.kind.can_be_checked()).unwrap();
    let (start, end) = (hfs.range().start, hfs.range().end);
    // What probing and the map needed is not asked about here.
    counting.reads.lock().unwrap().clear();
    assert!(hfs.unique_id().is_some());
    check(hfs, None, &Ignore, &NoProgress).unwrap();
    let after_check: u32 = counting.reads.lock().unwrap().values().sum();
    let opened = open(hfs, &OpenOptions::default());
    assert!(opened.iter().all(|v| v.result.is_ok()));
    let reads = counting.reads.lock().unwrap();
    let of = |offset, len| reads.get(&(offset, len)).copied().unwrap_or(0);
    assert_eq!(of(start + 1024, 512), 1, "volume header");
    assert_eq!(of(end - 1024, 512), 1, "alternate volume header");
    // Opening reads no more than the few nodes that lead to the root and the private
    // folders.
    let to_open = reads.values().sum::<u32>() - after_check;
    assert!(to_open <= 4, "{to_open} reads to open what was checked: {reads:?}");
}
