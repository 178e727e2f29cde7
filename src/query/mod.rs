//! Questions that are answered by looking: what is this, what is in it?

mod info;

pub use info::{
    BackupInfo, BandsInfo, BundleInfo, ComputerInfo, HfsInfo, Info, MachineInfo, PartitionInfo,
    info,
};
