//! Work for the threads that write: bounded, in the order of the disk.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Objects handed over at a time.
pub const BATCH: usize = 32;
/// Batches that wait at most.
const WAITING: usize = 16;

/// Batches of work, from one thread to several.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    more: Condvar,
    less: Condvar,
}

struct State<T> {
    batches: VecDeque<Vec<T>>,
    /// Batches handed out and not done.
    busy: usize,
    closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { batches: VecDeque::new(), busy: 0, closed: false };
        Self { state: Mutex::new(state), more: Condvar::new(), less: Condvar::new() }
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hand over a batch; waits while too many wait.
    pub fn push(&self, batch: Vec<T>) {
        let mut state = self.lock();
        while state.batches.len() >= WAITING && !state.closed {
            state = self.less.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.batches.push_back(batch);
        self.more.notify_one();
    }

    /// Take a batch; `None` when there will be no more.
    pub fn pop(&self) -> Option<Vec<T>> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.batches.pop_front() {
                state.busy += 1;
                self.less.notify_all();
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A batch that was taken is done.
    pub fn done(&self) {
        let mut state = self.lock();
        state.busy = state.busy.saturating_sub(1);
        self.less.notify_all();
    }

    /// Wait until everything that was handed over is done.
    pub fn drain(&self) {
        let mut state = self.lock();
        while (!state.batches.is_empty() || state.busy > 0) && !state.closed {
            state = self.less.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more will come; what waits is still handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
        self.less.notify_all();
    }
}
