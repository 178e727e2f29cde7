//! Questions that are answered by looking: what is this, what is in it?

mod info;
mod locate;

pub use info::{
    ApfsInfo, BackupInfo, BandsInfo, BundleInfo, ComputerInfo, HfsInfo, Info, MachineInfo,
    PartitionInfo, info,
};
pub use locate::{Located, Object, Piece, Place, Stored, What, locate};
