//! What a failed request is answered, and how often it is said.

use crate::error::Error;
use fuser::Errno;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Sentences that are remembered; beyond that no more are logged, so that a
/// badly damaged disk does not fill the log.
const REMEMBERED: usize = 4096;

/// What the kernel is told.
pub fn errno(error: &Error) -> Errno {
    match error {
        Error::NotFound(_) => Errno::ENOENT,
        Error::Invalid(_) => Errno::EINVAL,
        Error::Interrupted => Errno::EINTR,
        // Whatever is wrong with the bytes or with getting them.
        _ => Errno::EIO,
    }
}

/// Logs each sentence once.
#[derive(Default)]
pub struct Complaints {
    said: Mutex<HashSet<String>>,
}

impl Complaints {
    /// Log a sentence unless it has been logged before.
    pub fn say(&self, sentence: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() > REMEMBERED || said.contains(&sentence) {
            return;
        }
        tracing::warn!("{sentence}");
        if said.len() == REMEMBERED {
            tracing::warn!("there is more of this; nothing further is logged");
        }
        said.insert(sentence);
    }
}
