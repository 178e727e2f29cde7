//! What the caller may choose.

/// Form of names that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// Composed, as Linux programs write them.
    #[default]
    Nfc,
    /// Decomposed, as the Mac stored them.
    Nfd,
}

/// How extended attributes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Xattrs {
    /// `user.<name>`.
    #[default]
    User,
    /// As Samba's `fruit` and `streams_xattr` store them.
    Samba,
    /// Not at all; the kernel stops asking.
    None,
}

/// How resource forks are shown besides the attribute, which the kernel limits
/// to 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResourceForks {
    /// As the attribute only.
    #[default]
    Xattr,
    /// Also as an AppleDouble file `._name` beside the file.
    AppleDouble,
}

/// Owners that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// This user owns everything; `None`: as recorded.
    pub uid: Option<u32>,
    /// This group owns everything; `None`: as recorded.
    pub gid: Option<u32>,
}

/// Everything that can be chosen about a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Form of names.
    pub names: Names,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Resource forks.
    pub resource_forks: ResourceForks,
    /// Owners.
    pub owner: Owner,
    /// Other users may use the mount, within the permissions that are recorded.
    pub allow_other: bool,
    /// Whether the source's path may lead through symbolic links.
    pub links: crate::io::Links,
    /// What is given for bytes that are lost.
    pub lost: crate::losses::Policy,
    /// Threads that answer the kernel; 0: as many as suit the machine.
    pub threads: usize,
}

impl Options {
    /// Threads that answer the kernel: more than one, so that a slow read does
    /// not keep others waiting.
    pub fn worker_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(4, |n| n.get().clamp(4, 8)),
            n => n.min(64),
        }
    }
}
