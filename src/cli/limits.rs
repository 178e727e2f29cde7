//! What the system lets this process use.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many open files as we may have: bands and folders are held open.
pub fn raise_descriptors() {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now });
}
