//! Are bytes stored, free of meaning, doubtful, or lost? One judgement for all jobs.
//!
//! A band that is missing, short or has a hole reads as zeros. That is right where nothing
//! was ever written, and wrong where a band was lost; only the volume and what else is
//! known of the bundle tell which. `verify` reports by this judgement, and who hands out
//! bytes of files ([`Guard::open`]) reads through it, so that zeros in the place of lost
//! bytes are never given as if they were the file's.
//!
//! - [`Evidence`]: what a bundle itself tells: its record of what was written
//!   (`mapped/`), files that may be the missing band, what earlier runs have read;
//! - [`Facts`] and [`Facts::judge`]: the rule;
//! - [`Around`]: whether a file's data go right up to what is absent, and whether this copy
//!   of the bundle stores zeros elsewhere ([`StoredZeros`]);
//! - [`Guard`]: the rule applied to the streams of a volume's files;
//! - [`WholeDisk`]: the rule applied to a disk that is given as one file.

mod absent;
mod around;
mod checksum;
mod evidence;
mod guard;
mod kept;
mod rule;
mod whole;

pub use absent::{Loss, find, find_in_image, find_unreadable};
pub use around::Around;
pub use checksum::{Recorded, decide, recorded};
pub use evidence::{Evidence, Known};
pub use guard::{Doubt, Guard, Guarded, NO_ZEROS, Policy, Watched};
pub use kept::StoredZeros;
pub use rule::{Facts, Judged, OpenView, Standing};
pub use whole::WholeDisk;
