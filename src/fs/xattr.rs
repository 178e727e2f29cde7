//! Names of extended attributes that mean something to more than one room.

/// Under which macOS shows the resource fork.
pub const RESOURCE_FORK: &str = "com.apple.ResourceFork";
/// Under which macOS shows Finder information, 32 bytes.
pub const FINDER_INFO: &str = "com.apple.FinderInfo";
/// The access control list.
pub const SECURITY: &str = "com.apple.system.Security";
