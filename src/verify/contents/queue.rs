//! Hands the streams to the threads so that together they go over the disk once.

use super::ReadAlong;
use super::plan::{Item, Plan};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::report::Progress;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How far the threads may be apart on the disk, in bytes.
const WINDOW: u64 = 64 << 20;
/// How often a thread that waits looks whether the user wants to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// The streams that are left, and where the threads are.
pub(super) struct Queue<'a> {
    plan: &'a Plan,
    volume: &'a dyn ReadAt,
    along: Option<&'a dyn ReadAlong>,
    progress: &'a dyn Progress,
    deadline: Option<Instant>,
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    next: usize,
    sweep: u64,
    /// The highest offset on the disk that was told of in this sweep.
    told: Option<u64>,
    /// Where in the volume each thread reads.
    at: Vec<Option<u64>>,
    /// What ended the pass.
    failed: Option<Error>,
}

impl<'a> Queue<'a> {
    pub fn new(
        plan: &'a Plan,
        volume: &'a dyn ReadAt,
        along: Option<&'a dyn ReadAlong>,
        progress: &'a dyn Progress,
        threads: usize,
    ) -> Self {
        let at = vec![None; threads];
        let state = State { next: 0, sweep: u64::MAX, told: None, at, failed: None };
        let deadline = plan.time.and_then(|time| Instant::now().checked_add(time));
        let (state, moved) = (Mutex::new(state), Condvar::new());
        Self { plan, volume, along, progress, deadline, state, moved }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next stream for a thread; `None` when there is none or the time is up.
    /// Waits until the others are near enough.
    pub fn take(&self, thread: usize) -> Result<Option<&'a Item>> {
        let mut state = self.lock();
        loop {
            self.check(&state)?;
            let Some(item) = self.plan.items.get(state.next).filter(|_| !self.is_late()) else {
                return Ok(None);
            };
            if self.may_begin(&state, item) {
                state.next += 1;
                self.begin(&mut state, item);
                self.step(&mut state, thread, item.first)?;
                return Ok(Some(item));
            }
            let waited = self.moved.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the time that reading may take is up.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    fn may_begin(&self, state: &State, item: &Item) -> bool {
        let slowest = state.at.iter().flatten().min();
        match slowest {
            None => true,
            Some(slowest) => {
                self.plan.sweep(item) == state.sweep
                    && (item.first == u64::MAX || item.first <= slowest.saturating_add(WINDOW))
            }
        }
    }

    fn begin(&self, state: &mut State, item: &Item) {
        let sweep = self.plan.sweep(item);
        if state.sweep != sweep {
            state.sweep = sweep;
            state.told = None;
            if let Some(along) = self.along {
                along.sweep();
            }
        }
    }

    /// A thread is about to read at this byte of the volume.
    pub fn at(&self, thread: usize, position: u64) -> Result<()> {
        self.step(&mut self.lock(), thread, position)
    }

    /// An error if the pass is to end.
    fn check(&self, state: &State) -> Result<()> {
        if state.failed.is_some() { Err(Error::Interrupted) } else { self.progress.check() }
    }

    fn step(&self, state: &mut State, thread: usize, position: u64) -> Result<()> {
        self.check(state)?;
        if let Some(at) = state.at.get_mut(thread) {
            *at = Some(position);
        }
        self.moved.notify_all();
        let Some(along) = self.along else { return Ok(()) };
        let place = self.volume.locate(position).filter(|_| position < self.volume.len());
        let Some(place) = place else { return Ok(()) };
        if state.told.is_none_or(|told| place.offset > told) {
            state.told = Some(place.offset);
            along.before(place.offset)?;
        }
        Ok(())
    }

    /// A thread is done with its stream.
    pub fn done(&self, thread: usize) {
        if let Some(at) = self.lock().at.get_mut(thread) {
            *at = None;
        }
        self.moved.notify_all();
    }

    /// End the pass for all threads.
    pub fn fail(&self, error: Error) {
        self.lock().failed.get_or_insert(error);
        self.moved.notify_all();
    }

    /// What ended the pass before its time.
    pub fn into_failure(self) -> Option<Error> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).failed
    }
}
