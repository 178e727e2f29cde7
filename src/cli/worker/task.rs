//! What a child is to do.

use crate::cli::args::VerifyArgs;
use crate::cli::busy::IfBusy;
use crate::cli::flags::AccessArgs;
use crate::cli::password::GeometryArgs;
use serde::{Deserialize, Serialize};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tmbundle::io::Links;
use tmbundle::verify::Subset;

/// A path as bytes: not every path is UTF-8.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }

    fn path(&self) -> PathBuf {
        std::ffi::OsString::from_vec(self.0.clone()).into()
    }
}

/// A source and how to examine it: the arguments of `verify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    path: Bytes,
    /// Whether the path may lead through links.
    pub links: Links,
    geometry: GeometryArgs,
    bad_map: Option<Bytes>,
    pub quick: bool,
    pub read_data: Option<Subset>,
    pub max_age: Option<Duration>,
    pub if_busy: IfBusy,
    keep_manifest: bool,
    manifest_file: Option<Bytes>,
    pub manifest_read: Subset,
    pub max_unverified: Duration,
    state_dir: Option<Bytes>,
    pub access: AccessArgs,
    /// Bytes of address space, if the user set a limit.
    pub max_memory: Option<u64>,
    /// How long it may take, if the user set a limit.
    pub max_time: Option<Duration>,
    /// How to die, for tests.
    pub die: Option<String>,
}

impl Task {
    /// To examine `path` as the arguments say.
    pub fn new(path: &Path, links: Links, args: &VerifyArgs) -> Self {
        let memory = &args.memory;
        Self {
            path: Bytes::of(path),
            links,
            geometry: args.password.geometry.clone(),
            bad_map: args.password.geometry.bad_map.as_deref().map(Bytes::of),
            quick: args.quick,
            read_data: args.read_data,
            max_age: args.max_age,
            if_busy: args.if_busy,
            keep_manifest: memory.manifest.is_some(),
            manifest_file: memory.manifest.as_ref().and_then(|file| file.as_deref().map(Bytes::of)),
            manifest_read: memory.manifest_read,
            max_unverified: memory.max_unverified,
            state_dir: memory.state_dir.as_deref().map(Bytes::of),
            access: args.access,
            max_memory: args.bounds.max_memory,
            max_time: args.bounds.max_time,
            die: death(path),
        }
    }

    /// The source.
    pub fn path(&self) -> PathBuf {
        self.path.path()
    }

    /// What the user knows of it.
    pub fn geometry(&self) -> GeometryArgs {
        let bad_map = self.bad_map.as_ref().map(Bytes::path);
        GeometryArgs { bad_map, ..self.geometry.clone() }
    }

    /// Whether a manifest of bands is to be kept, and in which file if the user named one.
    pub fn manifest(&self) -> Option<Option<PathBuf>> {
        self.keep_manifest.then(|| self.manifest_file.as_ref().map(Bytes::path))
    }

    /// The folder for state, if the user named one.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.state_dir.as_ref().map(Bytes::path)
    }
}

/// `TMBUNDLE_TEST_DEATH=NAME=HOW`, in builds for tests only: the child that examines NAME
/// dies so.
#[cfg(debug_assertions)]
fn death(path: &Path) -> Option<String> {
    let wish = std::env::var("TMBUNDLE_TEST_DEATH").ok()?;
    let (name, how) = wish.split_once('=')?;
    (path.file_name()?.to_str()? == name).then(|| how.to_owned())
}

#[cfg(not(debug_assertions))]
fn death(_: &Path) -> Option<String> {
    None
}
