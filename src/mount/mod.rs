//! A backup as a read-only file system (FUSE).
//!
//! `tree` says what is shown and knows nothing of FUSE; `inodes` numbers it,
//! `xattr` and `sidecar` carry what a Mac keeps beside a file's contents; `core`
//! holds these together and notices when the source changes (`probe`);
//! `adapter` speaks fuser's language, and nothing else does; `session` mounts and
//! goes away again, `check` refuses with a sentence.

mod adapter;
mod check;
mod core;
mod errors;
mod inodes;
mod options;
mod probe;
mod session;
mod sidecar;
mod tree;
mod views;
mod xattr;

pub use check::{check_mountpoint, mount_at};
pub use core::{Opened, Opener};
pub use options::{Names, Options, Owner, ResourceForks, Xattrs};
pub use session::{Mounted, unmount};
pub use tree::{Attributes, Listed, Object, Tree};
