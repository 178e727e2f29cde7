//! Writers of HFS+ and APFS volumes, partitioned disks and sparse bundles, for tmbundle's tests.
//!
//! Nothing here shares format code with the reader, so that each checks the other. Misuse (a name
//! twice in a folder, a volume too small) panics: these are tools for tests, not for users.

pub mod apfs;
pub mod bundle;
pub mod bytes;
pub mod cksum;
pub mod damage;
pub mod decmpfs;
pub mod demo;
pub mod fields;
pub mod hfs;
pub mod hostile;
pub mod image;
pub mod journal;
pub mod lzbitmap;
pub mod lzvn;
pub mod partition;
pub mod restore;
pub mod samples;
pub mod timemachine;

pub use image::Image;
