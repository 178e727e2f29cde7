//! How sources are read, from the arguments.

use super::flags::AccessArgs;
use super::stop;
use std::sync::Arc;
use tmbundle::io::{Access, Given, Links, Meter};

impl AccessArgs {
    /// For the library. One meter serves a whole run: a limit holds over all sources.
    pub fn access(&self) -> Access {
        let meter = match self.limit_rate {
            Some(rate) => Meter::limited(rate, stop::asked),
            None => Meter::default(),
        };
        Access {
            meter: Arc::new(meter),
            mapped: self.mmap,
            jobs: self.jobs(),
            links: Links::Follow,
            given: Given::default(),
            bad_map: None,
        }
    }

    /// Threads; 0 for the default.
    pub fn jobs(&self) -> usize {
        self.jobs.map_or(0, usize::from)
    }
}
