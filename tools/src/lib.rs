//! Makers of test data for tmbundle: HFS+ volumes, partition maps, bundles, damage.
//!
//! Shares no format code with `src/hfsplus`, so that each checks the other.

pub mod image;
