//! A file system under the guard against lost bytes.

use crate::error::Result;
use crate::fs::{FileSystem, Metadata, NodeId, Stream};
use crate::io::Source;
use crate::losses::{Doubt, Guard, Guarded, Standing};
use std::sync::Arc;

/// Where objects are read from: a file system, and who watches that nothing that is lost
/// is given as zeros.
#[derive(Clone)]
pub struct Reading {
    /// The file system.
    pub fs: Arc<dyn FileSystem>,
    /// The watch; without it zeros are what they are.
    pub guard: Option<Arc<Guard>>,
}

/// A stream that was opened.
#[derive(Clone)]
pub struct Opened {
    /// Its bytes.
    pub source: Source,
    guarded: Option<Arc<Guarded>>,
}

impl Opened {
    /// What was given so far as zeros though it may be lost.
    pub fn doubt(&self) -> Option<Doubt> {
        self.guarded.as_ref().and_then(|g| g.doubt())
    }

    /// Whether zeros were given for bytes that are lost, as was asked for: then no checksum
    /// can fit, and that says nothing new.
    pub fn has_lost(&self) -> bool {
        self.doubt().is_some_and(|doubt| doubt.standing == Standing::Lost)
    }
}

impl Reading {
    /// Open a stream.
    ///
    /// # Errors
    /// As [`FileSystem::open`] and [`Guard::open`].
    pub fn open(&self, node: NodeId, stream: &Stream) -> Result<Opened> {
        match &self.guard {
            Some(guard) => {
                let guarded = guard.open(node, stream)?;
                Ok(Opened { source: guarded.clone(), guarded: Some(guarded) })
            }
            None => Ok(Opened { source: self.fs.open(node, stream)?, guarded: None }),
        }
    }

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// As [`FileSystem::read_link`] and [`Guard::read_link`].
    pub fn read_link(&self, meta: &Metadata) -> Result<Vec<u8>> {
        match &self.guard {
            Some(guard) => guard.read_link(meta.id),
            None => self.fs.read_link(meta.id),
        }
    }

    /// Value of an extended attribute, and what of it was given though it may be lost.
    ///
    /// # Errors
    /// As [`FileSystem::xattr`] and [`Guard::xattr`].
    pub fn xattr(&self, node: NodeId, name: &str) -> Result<Option<(Vec<u8>, Option<Doubt>)>> {
        match &self.guard {
            Some(guard) => guard.xattr(node, name),
            None => Ok(self.fs.xattr(node, name)?.map(|value| (value, None))),
        }
    }
}
