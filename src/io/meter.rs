//! How much is read from a source, and how fast it may be.

use super::BadMap;
use super::bytes::to_u64;
use crate::error::{Error, Locus, Result};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who has read nothing for so long may read so much at once.
const BURST: Duration = Duration::from_millis(100);
/// Longest sleep between two looks at the wish to stop.
const NAP: Duration = Duration::from_millis(50);

/// How the bytes of a source are fetched.
#[derive(Clone, Default)]
pub struct Access {
    /// Counts what is read, and holds it back; shared by all threads.
    pub meter: Arc<Meter>,
    /// Read the bands of a bundle through memory maps. Refused where that is not safe.
    pub mapped: bool,
    /// Threads that decrypt; 0: as many as there are cores, up to 4.
    pub jobs: usize,
    /// Whether the path of a source may lead through symbolic links.
    pub links: super::Links,
    /// What the person who asks knows of the source.
    pub given: Given,
    /// Of a copy that ddrescue made: its map.
    pub bad_map: Option<Arc<BadMap>>,
}

/// What is known of a source from elsewhere, and counts before what it says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Bytes in a band.
    pub band_size: Option<u64>,
    /// Size of the disk in bytes.
    pub size: Option<u64>,
    /// The partition that is to be looked at, from 1; no other.
    pub partition: Option<u32>,
    /// First byte of the volume; the partition map is left aside.
    pub volume_offset: Option<u64>,
}

/// How many threads share a pass: as many as were asked for; for 0, as many as there
/// are cores, but no more than slow disks have use for.
pub fn threads(jobs: usize) -> usize {
    match jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
        n => n,
    }
}

/// Asked whether to give up waiting.
type Stop = Box<dyn Fn() -> bool + Send + Sync>;

/// Failed reads that are kept, in different files.
const MAX_FAILED: usize = 64;

/// A read that the system refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRead {
    /// What was read and why it failed.
    pub text: String,
    /// The end of that: the same for every such read of one file.
    pub cause: String,
    /// Where it was.
    pub place: Locus,
}

/// Counts the bytes that are read from the files of a source; all that read them take
/// from one meter. It keeps in mind what could not be read, too: whoever asks for bytes
/// may do without them, but nobody may then believe that all was seen.
#[derive(Default)]
pub struct Meter {
    read: AtomicU64,
    pace: Option<Pace>,
    failed: Mutex<Vec<FailedRead>>,
}

struct Pace {
    /// Bytes a second.
    rate: NonZeroU64,
    stop: Stop,
    /// When what was handed out so far will have been read at that rate.
    next: Mutex<Instant>,
}

impl Meter {
    /// At most `rate` bytes a second, over all threads; a wait ends when `stop` says so.
    pub fn limited(rate: NonZeroU64, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let pace = Pace { rate, stop: Box::new(stop), next: Mutex::new(Instant::now()) };
        Self { pace: Some(pace), ..Self::default() }
    }

    /// `n` bytes were read: count them, and wait until more may be.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the wait was ended.
    pub fn take(&self, n: usize) -> Result<()> {
        if let Some(pace) = &self.pace {
            pace.wait(to_u64(n))?;
        }
        self.read.fetch_add(to_u64(n), Ordering::Relaxed);
        Ok(())
    }

    /// A read failed. Of those of one file with one cause the first is kept.
    pub fn fail(&self, read: FailedRead) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() < MAX_FAILED && !failed.iter().any(|f| f.cause == read.cause) {
            failed.push(read);
        }
    }

    /// What could not be read so far.
    pub fn failed(&self) -> Vec<FailedRead> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Pace {
    /// Each reader waits until those before it are done at the rate; so a large read is
    /// not held back by small ones, and none has to be cut.
    fn wait(&self, n: u64) -> Result<()> {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let turn = (*next).max(earliest);
            let nanos = u128::from(n) * 1_000_000_000 / u128::from(self.rate.get());
            let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            *next = turn.checked_add(takes).unwrap_or(turn);
            turn
        };
        loop {
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_limit_holds_over_all_threads() {
        let rate = NonZeroU64::new(1_000_000).unwrap();
        let meter = Meter::limited(rate, || false);
        let started = Instant::now();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..10).for_each(|_| meter.take(10_000).unwrap()));
            }
        });
        // 400 kB, of which the first 100 ms and the last read need not be waited for.
        assert!(started.elapsed() >= Duration::from_millis(280), "{:?}", started.elapsed());
        assert_eq!(meter.bytes(), 400_000);
    }

    #[test]
    fn a_wait_can_be_ended() {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let rate = NonZeroU64::new(1).unwrap();
        let meter = Meter::limited(rate, move || asked.load(Ordering::Relaxed));
        meter.take(usize::MAX).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(meter.take(1), Err(Error::Interrupted)));
    }
}
