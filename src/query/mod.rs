//! Questions that are answered by looking: what is this, what is in it?

pub mod forecast;
mod info;
mod locate;
pub mod watch;

pub use info::{
    ApfsInfo, BackupInfo, BandsInfo, BundleInfo, ComputerInfo, HfsInfo, Info, MachineInfo,
    PartitionInfo, bytes_on_disk, info,
};
pub use locate::{Located, Object, Piece, Place, Stored, What, locate};
